//! `log = { .. }`: lines that must, or must not, be written to a log.

use super::expected::known;
use super::most_bytes;
use crate::config::parse::value;
use crate::config::reader::{Item, Table, nearest, or};
use crate::config::{LogCheck, LogSource};
use crate::model::ServiceName;

/// A larger expression is refused: it is compiled into memory.
const MOST_PROGRAM: usize = 1 << 20;

pub(super) fn log(table: &Table<'_>, services: &[&str]) -> Option<LogCheck> {
    let source = table.need("log").and_then(|item| source(&item, services));
    let expect = table.need("expect").and_then(|item| {
        let expect = item.table("expect")?;
        let must = or(expect.get("must"), || None, |item| expression(&item, true).map(Some));
        let never = expect.get("must_not");
        let must_not = or(never, || None, |item| expression(&item, false).map(Some));
        expect.finish();
        if !expect.has("must") && !expect.has("must_not") {
            expect.add("expect needs \"must\" or \"must_not\"");
            return None;
        }
        Some((must?, must_not?))
    });
    let max_bytes = most_bytes(table, 16 << 20);
    let ((source, optional), (must, must_not)) = (source?, expect?);
    Some(LogCheck { source, optional, must, must_not, max_bytes: max_bytes? })
}

fn source(item: &Item<'_>, services: &[&str]) -> Option<(LogSource, bool)> {
    let table = item.table("log")?;
    let file = table.get("file").map(|item| value::file_place(&item).map(LogSource::File));
    let service = table.get("service").map(|item| {
        let name: ServiceName = item.id()?;
        if !services.contains(&name.as_str()) {
            let hint = nearest(name.as_str(), services.iter().copied());
            item.add(format_args!("there is no [service.{name}]{hint}"));
            return None;
        }
        Some(LogSource::Service(name))
    });
    let optional = or(table.get("optional"), || false, |item| item.boolean());
    table.finish();
    let source = match (file, service) {
        (Some(source), None) | (None, Some(source)) => source,
        _ => {
            table.add("log needs either \"file\" or \"service\"");
            None
        }
    };
    Some((source?, optional?))
}

/// A regular expression over a line. `filled`: it may hold placeholders.
fn expression(item: &Item<'_>, filled: bool) -> Option<String> {
    let text = item.text()?;
    if text.is_empty() {
        item.add("is empty: every line matches that");
        return None;
    }
    let mut plain = text.to_owned();
    for placeholder in known(item) {
        let word = format!("{{{placeholder}}}");
        if !filled && text.contains(&word) {
            item.add(format_args!("{word} is filled in `must` only"));
            return None;
        }
        plain = plain.replace(&word, "(?:x)");
    }
    match regex::RegexBuilder::new(&plain).size_limit(MOST_PROGRAM).build() {
        Ok(_) => Some(text.to_owned()),
        Err(regex::Error::CompiledTooBig(_)) => {
            item.add("is too large a regular expression");
            None
        }
        Err(error) => {
            // Its last line says what; those before it draw where.
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            item.add(format_args!("is no regular expression: {why}"));
            None
        }
    }
}
