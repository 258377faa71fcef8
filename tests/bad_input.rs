//! Bad input of every kind: each command ends with the exit code of the table, says what happened, where and
//! what to do next, and nothing is lost or half done.

mod component;
mod config;
mod health;
mod host;
mod key;
mod repository;
mod target;
mod tree;

use std::path::Path;

use crate::support::*;

/// Every command that changes something, as one would type it in a checkout.
const CHANGING: [&[&str]; 6] = [
    &["deploy", "--yes"],
    &["back", "--yes"],
    &["promote", "--yes"],
    &["mark", "bad", "HEAD", "--reason", "r"],
    &["unhold", "1"],
    &["annotate", "1", "--reason", "r"],
];

/// Every command that only looks.
const READING: [&[&str]; 5] = [&["status"], &["targets"], &["log"], &["show", "1"], &["check"]];

/// No build, one short look at the health URL.
fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s")
}

/// The plain app, 1.0.0 committed and bound; nothing runs.
#[track_caller]
fn bound<'h>(host: &'h TestEnvironment, config: &AppConfig) -> Scenario<'h> {
    Scenario::bound(host, Fixture::Plain, config)
}

/// The plain app, 1.0.0 serving.
#[track_caller]
fn serving<'h>(host: &'h TestEnvironment, config: &AppConfig) -> Scenario<'h> {
    let scenario = bound(host, config);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    scenario
}

/// The command ends with `code`, says all of `texts` on stderr, and leaves the app as it was.
#[track_caller]
fn refused(scenario: &Scenario<'_>, args: &[&str], code: i32, texts: &[&str]) {
    let before = scenario.app.state();
    let answer = scenario.host.gitroll(args);
    answer.exit(code);
    texts.iter().for_each(|text| {
        answer.stderr_has(text);
    });
    before.assert_same(&scenario.app.state());
}

/// As [`refused`], in a directory that holds no usable app.
#[track_caller]
fn refused_in(host: &TestEnvironment, dir: &Path, args: &[&str], code: i32, texts: &[&str]) {
    let before = Tree::of(dir);
    let answer = host.gitroll_in(dir, args);
    answer.exit(code);
    texts.iter().for_each(|text| {
        answer.stderr_has(text);
    });
    before.assert_same(&Tree::of(dir));
}

/// Prints why a test cannot be made on this machine.
#[allow(clippy::print_stderr)]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

#[test]
fn a_shell_in_a_directory_that_is_gone_is_no_obstacle() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let program = host.gitroll_command(&[]).get_program().to_owned();
    let gone = "mkdir gone && cd gone && rmdir ../gone && \"$0\" -C \"$1\" status";
    let mut command = host.command("sh");
    command.args(["-c", gone]).arg(program).arg(&s.app.dir);
    Answer::of(command, std::time::Duration::from_secs(60)).exit(0);
}
