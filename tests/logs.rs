//! What services wrote to their logs: the last lines, those around a record, those to come, and no secret in them.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::support::*;

const CANARY: &str = "canary-41d0aa";

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("5s")
}

fn append(log: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(log).expect("the service writes to it");
    file.write_all(text.as_bytes()).expect("it is writable");
}

#[test]
fn the_last_lines_of_a_service_are_shown_and_followed_without_its_secrets() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    fs::write(s.app.dir.join(".env"), format!("SESSION_KEY={CANARY}\n")).expect("it is writable");
    let log = s.app.dir.join(".git/gitroll/services/web.log");
    append(&log, &format!("one\ntwo {CANARY}\nthree \u{1b}[31mred\n"));
    let last = host.gitroll(&["logs", "web", "-n", "2"]);
    last.exit(0).stdout_has("two [redacted]\nthree \\u{1b}[31mred\n").stdout_lacks("one");
    let json = host.gitroll(&["logs", "--json"]).exit(0).json();
    let lines = json["result"]["logs"][0]["lines"].as_array().expect("a list");
    assert_eq!(lines[lines.len() - 2], "two [redacted]");
    host.gitroll(&["logs", "wbe"]).exit(1).stderr_has("gitroll logs web");
    host.gitroll(&["logs", "-f", "--json"]).exit(2).stderr_has("does not end");

    let going = Going::start(&host, &["logs", "-n", "1", "-f"]);
    going.answers("three \\u{1b}[31mred");
    append(&log, &format!("later {CANARY} half"));
    append(&log, " and whole\n");
    going.answers("later [redacted] half and whole\n");
    // Its log is cut, as copytruncate does.
    fs::write(&log, "after the cut\n").expect("it is writable");
    going.answers("after the cut");
    going.interrupt();
}

#[test]
fn what_was_written_around_a_record_is_found_by_its_time() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let log = s.app.dir.join(".git/gitroll/services/web.log");
    let bad = s.release("1.1.0", Behaviour::ThrowsAtBoot);
    bad.exit(20);
    let at = |seconds: i64| {
        let now = jiff::Timestamp::now();
        now.saturating_add(jiff::SignedDuration::from_secs(seconds)).expect("near")
    };
    append(
        &log,
        &format!(
            "{} long before\n{} in its time\n  at its stack\n{} long after\n",
            at(-3600),
            at(0),
            at(3600)
        ),
    );
    let seq = host.gitroll(&["log", "-n", "1", "--json"]).exit(0).json();
    let seq = seq["result"]["records"][0]["record"]["seq"].to_string();
    let around = host.gitroll(&["logs", "--at", &seq]);
    around
        .exit(0)
        .stdout_has("in its time\n  at its stack\n")
        .stdout_lacks("long before")
        .stdout_lacks("long after")
        .stdout_has("== prove  (kept in the record)");
    host.gitroll(&["logs", "--at", "99"]).exit(1).stderr_has("no record #99");
}
