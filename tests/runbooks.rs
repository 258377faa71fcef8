//! Five runbooks carried out: their apps, their sections, each within the time that the runbook gives it.

#![allow(clippy::print_stdout)]

mod agents;
mod full;
mod memory_system;

use std::fs;
use std::time::{Duration, Instant};

use crate::support::*;
use gitroll::config::{Rto, parse};
use serde_json::Value;

/// Does something of a runbook and says how long it took of the time it may take.
#[track_caller]
pub fn within<T>(what: &str, limit: Option<Duration>, act: impl FnOnce() -> T) -> T {
    let limit = limit.expect("the runbook gives a time, and [rto] names it");
    let began = Instant::now();
    let done = act();
    let took = began.elapsed();
    println!("{what}: {:.1} s of {} s", took.as_secs_f64(), limit.as_secs());
    assert!(took <= limit, "{what} took {took:?} of {limit:?}");
    done
}

/// The times that a runbook's own file promises.
pub fn promised(fixture: &str) -> Rto {
    let text = fs::read_to_string(project().join("fixtures/runbooks").join(fixture)).unwrap();
    parse(&text, "gitroll.toml").unwrap_or_else(|error| panic!("{:#?}", error.problems)).rto
}

/// The level and the command that `advise` came to.
#[track_caller]
pub fn advised(answer: &Answer) -> (String, String) {
    let advice = answer.exit(0).json()["result"]["advice"].clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&advice["level"]), text(&advice["command"]))
}

/// The runbooks' files are what they promise to be: read as they are.
#[test]
fn the_runbooks_are_valid_files_that_promise_times() {
    for fixture in ["002-agents/gitroll.toml", "003-memory-system/gitroll.toml"] {
        let rto = promised(fixture);
        assert!(rto.flags.is_some() && rto.code.is_some() && rto.full.is_some(), "{fixture}");
    }
}
