//! `tcp = "host:port"`: a connection that must be accepted.

use std::time::Duration;

use super::expected::text;
use super::limit;
use crate::config::TcpCheck;
use crate::config::reader::{Item, Table, or, quoted};

pub(super) fn tcp(table: &Table<'_>, timeout: Option<Duration>) -> Option<TcpCheck> {
    let address = table.need("tcp").and_then(|item| address(&item));
    let banner = or(
        table.get("expect"),
        || None,
        |item| {
            let expect = item.table("expect")?;
            let banner = or(expect.get("banner"), || None, |item| text(&item).map(Some));
            expect.finish();
            banner
        },
    );
    let usual = Duration::from_secs(5);
    let request_timeout = limit(table, "request_timeout", usual, timeout);
    let own = own(table);
    let (host, port) = address?;
    Some(TcpCheck { host, port, banner: banner?, own: own?, request_timeout: request_timeout? })
}

/// `own`: whether it is the app itself that answers there.
pub(super) fn own(table: &Table<'_>) -> Option<bool> {
    or(table.get("own"), || true, |item| item.boolean())
}

/// `host:port`, an IPv6 address in brackets.
fn address(item: &Item<'_>) -> Option<(String, u16)> {
    let text = item.line()?;
    let wrong = || {
        let quoted = quoted(text);
        let wanted = "\"127.0.0.1:5432\" or \"[::1]:5432\"";
        item.add(format_args!("{quoted} is no host with a port such as {wanted}"));
        None
    };
    let Some((host, port)) = text.rsplit_once(':') else { return wrong() };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fine = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let part = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            !host.is_empty() && host.len() <= 253 && host.bytes().all(part)
        }
    };
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if fine && digits && port > 0 => Some((bare.unwrap_or(host).to_owned(), port)),
        _ => wrong(),
    }
}
