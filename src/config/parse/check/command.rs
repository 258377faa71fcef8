//! `command = [..]`: a command whose exit code and output are judged.

use std::collections::BTreeMap;
use std::time::Duration;

use super::expected::text;
use super::{limit, most_bytes};
use crate::config::parse::value;
use crate::config::reader::{Table, or};
use crate::config::{CommandCheck, Expected};

pub(super) fn command(table: &Table<'_>, timeout: Option<Duration>) -> Option<CommandCheck> {
    let command = table.need("command").and_then(|item| value::command(&item));
    let env = or(table.get("env"), BTreeMap::new, |item| value::environment(&item));
    let expect = or(
        table.get("expect"),
        || (0, None),
        |item| {
            let expect = item.table("expect")?;
            let exit = or(expect.get("exit"), || 0, |item| item.number(0..=255));
            let stdout = or(expect.get("stdout"), || None, |item| text(&item).map(Some));
            expect.finish();
            Some((exit?, stdout?))
        },
    );
    let run_timeout = limit(table, "run_timeout", Duration::from_secs(10), timeout);
    let max_bytes = most_bytes(table, 1 << 20);
    let (exit, stdout): (u64, Option<Expected>) = expect?;
    Some(CommandCheck {
        command: command?,
        env: env?,
        exit: i32::try_from(exit).unwrap_or(i32::MAX),
        stdout,
        run_timeout: run_timeout?,
        max_bytes: max_bytes?,
    })
}
