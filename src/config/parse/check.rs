//! `[[check]]`: what all kinds have in common, and which kind it is.

mod command;
mod expected;
mod file;
mod http;
mod log;
mod metric;
mod tcp;

pub(super) use expected::is_pointer;
pub(super) use http::{is_header, is_url};

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use crate::config::quantity::show_duration;
use crate::config::reader::{Item, Table, all, or};
use crate::config::{Check, CheckGroup, CheckKind};
use crate::model::CheckName;

/// The keys that say what is asked, one of them in each check.
const KINDS: [&str; 6] = ["http", "tcp", "command", "log", "file", "metric"];

/// What belongs into `expect`, whatever the kind.
const EXPECTED: [&str; 15] = [
    "status", "header", "body", "json", "banner", "exit", "stdout", "must", "must_not", "exists",
    "sha256", "above", "below", "at_least", "at_most",
];

/// `services`: the names of all services.
pub(super) fn checks(root: &Table<'_>, services: &[&str]) -> Option<Vec<Check>> {
    let Some(item) = root.get("check") else { return Some(Vec::new()) };
    let mut names = HashSet::new();
    let tables = item.tables()?;
    all(tables.iter().map(|table| check(table, services, &mut names)).collect::<Vec<_>>())
}

fn check(table: &Table<'_>, services: &[&str], names: &mut HashSet<CheckName>) -> Option<Check> {
    let name = table.need("name").and_then(|item| {
        let name: CheckName = item.id()?;
        if !names.insert(name.clone()) {
            item.add(format_args!("{:?} names an earlier [[check]] too", name.as_str()));
            return None;
        }
        Some(name)
    });
    let critical = or(table.get("critical"), || true, |item| item.boolean());
    let groups = [("quick", CheckGroup::Quick), ("full", CheckGroup::Full)];
    let group = or(table.get("group"), || CheckGroup::Quick, |item| item.word(&groups));
    for key in EXPECTED.into_iter().filter(|key| table.has(key)) {
        if let Some(item) = table.get(key) {
            item.add(format_args!("belongs into expect: expect = {{ {key} = … }}"));
        }
    }
    let kind = kind_key(table)?;
    let rhythm = if kind == "metric" { metric::samples(table) } else { rhythm(table) };
    let timeout = rhythm.as_ref().map(|rhythm| rhythm.timeout);
    let kind = of_kind(kind, table, timeout, services);
    table.finish();
    let Rhythm { passes, settle, timeout } = rhythm?;
    Some(Check {
        name: name?,
        kind: kind?,
        critical: critical?,
        group: group?,
        passes,
        settle,
        timeout,
    })
}

/// A question by itself, with further words in braces that are filled in.
pub(super) fn question(
    table: &Table<'_>,
    timeout: Option<Duration>,
    services: &[&str],
    filled: &'static [&'static str],
) -> Option<CheckKind> {
    let kind = kind_key(table)?;
    let question = table.filling(filled, || of_kind(kind, table, timeout, services));
    table.finish();
    question
}

/// An array of names of checks, with the place of each.
pub(super) fn references(item: &Item<'_>) -> Option<Vec<(CheckName, Range<usize>)>> {
    let elements = item.elements("an array of names of checks such as [\"api\"]")?;
    all(elements.iter().map(|element| Some((element.id()?, element.span()))).collect::<Vec<_>>())
}

fn of_kind(
    kind: &str,
    table: &Table<'_>,
    timeout: Option<Duration>,
    services: &[&str],
) -> Option<CheckKind> {
    match kind {
        "tcp" => tcp::tcp(table, timeout).map(CheckKind::Tcp),
        "command" => command::command(table, timeout).map(CheckKind::Command),
        "log" => log::log(table, services).map(CheckKind::Log),
        "file" => file::file(table).map(CheckKind::File),
        "metric" => metric::metric(table, timeout).map(CheckKind::Metric),
        _ => http::http(table, timeout).map(CheckKind::Http),
    }
}

/// The one key that says what is asked. Without it the other keys cannot be judged.
fn kind_key(table: &Table<'_>) -> Option<&'static str> {
    let present: Vec<&str> = KINDS.into_iter().filter(|key| table.has(key)).collect();
    match present[..] {
        [kind] => return KINDS.into_iter().find(|key| *key == kind),
        [] => {
            let quoted: Vec<String> = KINDS.iter().map(|key| format!("{key:?}")).collect();
            let place = table.place();
            table.add(format!("{place} needs one of {}", quoted.join(", ")));
        }
        [first, second, ..] => {
            let place = table.place();
            table.add(format!("{place} has {first:?} and {second:?}: each check asks one thing"));
        }
    }
    None
}

/// How often and for how long something is asked.
struct Rhythm {
    passes: u32,
    settle: Duration,
    timeout: Duration,
}

const HOUR: Duration = Duration::from_secs(60 * 60);

fn rhythm(table: &Table<'_>) -> Option<Rhythm> {
    let seconds = Duration::from_secs;
    let passes = or(table.get("passes"), || 3, |item| item.number(1..=1000));
    let settle = or(table.get("settle"), || seconds(5), |item| item.duration(seconds(0)..=HOUR));
    let range = Duration::from_millis(100)..=HOUR;
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
    let passes = u32::try_from(passes?).unwrap_or(u32::MAX);
    Some(Rhythm { passes, settle: settle?, timeout: timeout? })
}

/// The limit of one question, not longer than the whole check's; `usual` where it is not said.
fn limit(
    table: &Table<'_>,
    key: &'static str,
    usual: Duration,
    whole: Option<Duration>,
) -> Option<Duration> {
    let Some(item) = table.get(key) else { return Some(whole.map_or(usual, |w| w.min(usual))) };
    let limit = item.duration(Duration::from_millis(10)..=HOUR)?;
    match whole {
        Some(whole) if limit > whole => {
            let whole = show_duration(whole);
            item.add(format_args!("is longer than the timeout of the whole check, {whole}"));
            None
        }
        _ => Some(limit),
    }
}

fn most_bytes(table: &Table<'_>, usual: u64) -> Option<u64> {
    or(table.get("max_bytes"), || usual, |item| item.size(1..=64 << 20))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
