//! `[[check]]`.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::quantity::show_duration;
use crate::config::reader::{Item, Table, all, nearest, or, quoted};
use crate::config::{Check, CheckKind, Expected, HttpCheck};
use crate::model::CheckName;

/// The texts that are filled in when a check is asked.
const PLACEHOLDERS: [&str; 3] = ["version", "commit", "deployment"];

pub(super) fn checks(root: &Table<'_>) -> Option<Vec<Check>> {
    let Some(item) = root.get("check") else { return Some(Vec::new()) };
    let mut names = HashSet::new();
    let tables = item.tables()?;
    all(tables.iter().map(|table| check(table, &mut names)).collect::<Vec<_>>())
}

fn check(table: &Table<'_>, names: &mut HashSet<CheckName>) -> Option<Check> {
    let name = table.need("name").and_then(|item| {
        let name: CheckName = item.id()?;
        if !names.insert(name.clone()) {
            item.add(format_args!("{:?} names an earlier [[check]] too", name.as_str()));
            return None;
        }
        Some(name)
    });
    let seconds = Duration::from_secs;
    let passes = or(table.get("passes"), || 3, |item| item.number(1..=1000));
    let hour = seconds(60 * 60);
    let settle = or(table.get("settle"), || seconds(5), |item| item.duration(seconds(0)..=hour));
    let range = Duration::from_millis(100)..=hour;
    let timeout = or(table.get("timeout"), || seconds(30), |item| item.duration(range));
    if let (Some(settle), Some(timeout)) = (settle, timeout)
        && timeout < settle
    {
        let message =
            format!("{} is shorter than settle, {}", show_duration(timeout), show_duration(settle));
        match table.get("timeout") {
            Some(item) => item.add(message),
            None => table.add(format!("timeout, {message}")),
        }
    }
    let kind = kind(table, timeout);
    Some(Check {
        name: name?,
        kind: kind?,
        passes: u32::try_from(passes?).unwrap_or(u32::MAX),
        settle: settle?,
        timeout: timeout?,
    })
}

/// A question by itself, with further words in braces that are filled in.
pub(super) fn question(
    table: &Table<'_>,
    timeout: Option<Duration>,
    _more: &[&str],
) -> Option<CheckKind> {
    kind(table, timeout)
}

fn kind(table: &Table<'_>, timeout: Option<Duration>) -> Option<CheckKind> {
    let later = ["tcp", "command", "log"];
    let mut unsupported = false;
    for key in later.into_iter().filter(|key| table.has(key)) {
        unsupported = true;
        if let Some(item) = table.get(key) {
            item.add("a check of this kind is not supported yet; supported: http");
        }
    }
    if unsupported {
        // Its other keys cannot be judged.
        return None;
    }
    let http = http(table, timeout);
    table.finish();
    http.map(CheckKind::Http)
}

fn http(table: &Table<'_>, timeout: Option<Duration>) -> Option<HttpCheck> {
    let url = table.need("http").and_then(|item| url(&item));
    let expect = or(table.get("expect"), Expect::default, |item| expect(&item));
    let redirects = or(table.get("redirects"), || 0, |item| item.number(0..=10));
    let limit = table.get("request_timeout");
    let range = Duration::from_millis(10)..=Duration::from_secs(60 * 60);
    let request_timeout = match (limit, timeout) {
        (None, timeout) => {
            let usual = Duration::from_secs(5);
            Some(timeout.map_or(usual, |whole| whole.min(usual)))
        }
        (Some(item), timeout) => item.duration(range).and_then(|limit| match timeout {
            Some(whole) if limit > whole => {
                let whole = show_duration(whole);
                item.add(format_args!("is longer than the timeout of the whole check, {whole}"));
                None
            }
            _ => Some(limit),
        }),
    };
    let max_bytes = or(table.get("max_bytes"), || 1 << 20, |item| item.size(1..=64 << 20));
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

fn url(item: &Item<'_>) -> Option<String> {
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
pub(super) fn is_url(item: &Item<'_>, text: &str) -> Option<()> {
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

/// An array of names of checks, with the place of each.
pub(super) fn references(item: &Item<'_>) -> Option<Vec<(CheckName, Range<usize>)>> {
    let elements = item.elements("an array of names of checks such as [\"api\"]")?;
    all(elements.iter().map(|element| Some((element.id()?, element.span()))).collect::<Vec<_>>())
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
    let body = or(table.get("body"), || None, |item| body(&item).map(Some));
    let json = or(table.get("json"), BTreeMap::new, |item| json(&item));
    table.finish();
    Some(Expect {
        status: u16::try_from(status?).unwrap_or(u16::MAX),
        headers: headers?,
        body: body?,
        json: json?,
    })
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
        Some((name.to_owned(), Expected { value: text.into() }))
    });
    all(headers.collect::<Vec<_>>()).map(|headers| headers.into_iter().collect())
}

/// Whether a text can be the name of a header (a token of RFC 9110).
pub(super) fn is_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= 256 && name.bytes().all(token)
}

fn body(item: &Item<'_>) -> Option<Expected> {
    let text = item.text()?;
    if text.is_empty() {
        item.add("is empty: every body holds the empty text");
        return None;
    }
    placeholders(item, text)?;
    Some(Expected { value: text.into() })
}

fn json(item: &Item<'_>) -> Option<BTreeMap<String, Expected>> {
    let wanted = item.table("json")?.named().into_iter().map(|(pointer, value)| {
        let expected = json_value(&value, true);
        if !is_pointer(pointer) {
            value.add("is no JSON pointer: it begins with `/`, such as \"/status\"");
            return None;
        }
        Some((pointer.to_owned(), Expected { value: expected? }))
    });
    all(wanted.collect::<Vec<_>>()).map(|wanted| wanted.into_iter().collect())
}

/// RFC 6901, without the empty pointer: `~` begins `~0` or `~1`.
pub(super) fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

fn json_value(item: &Item<'_>, top: bool) -> Option<serde_json::Value> {
    match item.value() {
        DeValue::String(_) => {
            let text = item.text()?;
            placeholders(item, text)?;
            if !top && PLACEHOLDERS.iter().any(|p| text.contains(&format!("{{{p}}}"))) {
                item.add("placeholders are filled only in a text that stands by itself");
                return None;
            }
            Some(text.into())
        }
        DeValue::Integer(integer) => {
            let (digits, radix) = (integer.as_str(), integer.radix());
            let number = i64::from_str_radix(digits, radix).map(serde_json::Value::from);
            let number = number.or_else(|_| u64::from_str_radix(digits, radix).map(Into::into));
            if number.is_err() {
                item.add("is too large a number");
            }
            number.ok()
        }
        DeValue::Float(float) => {
            let number = float.as_str().replace('_', "").parse().ok();
            let number = number.and_then(serde_json::Number::from_f64);
            if number.is_none() {
                item.add("is no number JSON can hold");
            }
            number.map(Into::into)
        }
        DeValue::Boolean(value) => Some((*value).into()),
        DeValue::Datetime(_) => item.wanted("a value JSON can hold"),
        DeValue::Array(_) => {
            let values = item.elements("an array")?;
            all(values.iter().map(|value| json_value(value, false))).map(Into::into)
        }
        DeValue::Table(_) => {
            let entries = item.table("json")?.named().into_iter();
            let entries =
                entries.map(|(name, value)| Some((name.to_owned(), json_value(&value, false)?)));
            let entries = all(entries.collect::<Vec<_>>())?;
            Some(serde_json::Value::Object(entries.into_iter().collect()))
        }
    }
}

/// Reports words in braces that are no placeholder. Braces around anything else are plain text.
fn placeholders(item: &Item<'_>, text: &str) -> Option<()> {
    let mut fine = Some(());
    for (at, _) in text.match_indices('{') {
        let rest = &text[at + 1..];
        let Some((word, _)) = rest.split_once('}') else { break };
        let is_word = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if is_word && !word.is_empty() && !PLACEHOLDERS.contains(&word) {
            let hint = nearest(word, PLACEHOLDERS);
            item.add(format_args!("{{{word}}} is no placeholder{hint}"));
            fine = None;
        }
    }
    fine
}
