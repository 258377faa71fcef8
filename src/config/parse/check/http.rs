//! `http = URL`: a question over HTTP.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::expected::{json, placeholders, text};
use super::{limit, most_bytes};
use crate::config::reader::{Item, Table, all, or, quoted};
use crate::config::{Comparison, Expected, HttpCheck};

pub(super) fn http(table: &Table<'_>, timeout: Option<Duration>) -> Option<HttpCheck> {
    let url = table.need("http").and_then(|item| url(&item));
    let expect = or(table.get("expect"), Expect::default, |item| expect(&item));
    let redirects = or(table.get("redirects"), || 0, |item| item.number(0..=10));
    let usual = Duration::from_secs(5);
    let request_timeout = limit(table, "request_timeout", usual, timeout);
    let max_bytes = most_bytes(table, 1 << 20);
    let expect = expect?;
    Some(HttpCheck {
        url: url?,
        status: expect.status,
        headers: expect.headers,
        body: expect.body,
        json: expect.json,
        redirects: u8::try_from(redirects?).unwrap_or(u8::MAX),
        request_timeout: request_timeout?,
        max_bytes: max_bytes?,
    })
}

/// A URL without credentials and placeholders.
pub(super) fn url(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    if text.contains(char::is_whitespace) {
        item.add("a URL has no spaces");
        return None;
    }
    if text.contains(['{', '}']) {
        item.add("placeholders are filled in `expect`, not in a URL");
        return None;
    }
    is_url(item, text)?;
    Some(text.to_owned())
}

/// Reports what is no web address that may stand in the file.
pub(in crate::config::parse) fn is_url(item: &Item<'_>, text: &str) -> Option<()> {
    let url = match reqwest::Url::parse(text) {
        Ok(url) => url,
        Err(problem) => {
            item.add(format_args!("{} is no URL: {problem}", quoted(text)));
            return None;
        }
    };
    if !matches!(url.scheme(), "http" | "https") {
        item.add(format_args!(
            "must begin with http:// or https://, not {}:",
            quoted(url.scheme())
        ));
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        // The value itself is not repeated: it is a secret.
        item.add("must not carry a user or password: this file is in the repository");
        return None;
    }
    Some(())
}

struct Expect {
    status: u16,
    headers: BTreeMap<String, Expected>,
    body: Option<Expected>,
    json: BTreeMap<String, Expected>,
}

impl Default for Expect {
    fn default() -> Self {
        Self { status: 200, headers: BTreeMap::new(), body: None, json: BTreeMap::new() }
    }
}

fn expect(item: &Item<'_>) -> Option<Expect> {
    let table = item.table("expect")?;
    let status = or(table.get("status"), || 200, |item| item.number(100..=599));
    let headers = or(table.get("header"), BTreeMap::new, |item| headers(&item));
    let body = or(table.get("body"), || None, |item| text(&item).map(Some));
    let json = or(table.get("json"), BTreeMap::new, |item| json(&item));
    table.finish();
    Some(Expect {
        status: u16::try_from(status?).unwrap_or(u16::MAX),
        headers: headers?,
        body: body?,
        json: json?,
    })
}

/// Whether a text can be the name of a header (a token of RFC 9110).
pub(in crate::config::parse) fn is_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= 256 && name.bytes().all(token)
}

fn headers(item: &Item<'_>) -> Option<BTreeMap<String, Expected>> {
    let mut seen = HashSet::new();
    let headers = item.table("header")?.named().into_iter().map(|(name, value)| {
        if !is_header(name) {
            value.add("is no name of a header");
            return None;
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            value.add("is named twice: headers are the same in any case");
            return None;
        }
        let text = value.line()?;
        placeholders(&value, text)?;
        Some((name.to_owned(), Expected { value: text.into(), comparison: Comparison::Filled }))
    });
    all(headers.collect::<Vec<_>>()).map(|headers| headers.into_iter().collect())
}
