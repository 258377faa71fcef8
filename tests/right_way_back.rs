//! Which state back takes, what it asks of it, and how far it goes on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::support::*;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("4s")
}

/// A library that, loaded before a program's own, shifts the clock that can be set by `CLOCK_SHIFT` seconds, and no
/// other clock.
fn clock_shifter(host: &TestEnvironment) -> PathBuf {
    let (source, library) = (host.path("clock.c"), host.path("clock.so"));
    let text = "#include <stdlib.h>\n#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
        int clock_gettime(clockid_t id, struct timespec *t) {\n\
          int r = syscall(SYS_clock_gettime, id, t);\n\
          char *by = getenv(\"CLOCK_SHIFT\");\n\
          if (id == CLOCK_REALTIME && by) t->tv_sec += atol(by);\n\
          return r;\n}\n";
    fs::write(&source, text).expect("the test's directory is writable");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    Answer::of(compile, Duration::from_secs(60)).exit(0);
    library
}

/// Runs gitroll as on a host whose clock is off by this many seconds.
fn gitroll_shifted(host: &TestEnvironment, library: &PathBuf, by: i64, args: &[&str]) -> Answer {
    let mut command = host.gitroll_command(args);
    command.env("LD_PRELOAD", library).env("CLOCK_SHIFT", by.to_string());
    Answer::of(command, Duration::from_secs(60))
}

#[test]
fn time_served_is_not_taken_from_a_clock_that_was_set() {
    const YEARS: i64 = 25 * 365 * 24 * 60 * 60;
    let host = TestEnvironment::new();
    let library = clock_shifter(&host);
    let s = Scenario::serving(&host, Fixture::Plain, &quick().min_served("30m"));
    // Made before the clock was set.
    let commit = s.app.commit_version("1.1.0", Behaviour::Good);
    gitroll_shifted(&host, &library, -YEARS, &["deploy", &commit, "--yes"]).exit(0);
    s.serves("1.1.0");
    s.release("1.2.0", Behaviour::Good).exit(0);
    let served = |seq: u64| {
        let targets = host.gitroll(&["targets", "--json"]).exit(0).json();
        let list = targets["result"]["targets"].as_array().cloned().expect("a list");
        list.into_iter().find(|t| t["seq"] == seq).expect("it is listed")["served"].clone()
    };
    assert!(served(4)["seconds"].as_u64().is_some_and(|seconds| seconds < 600), "{}", served(4));
    for shift in [0, 3600] {
        let plan = gitroll_shifted(&host, &library, shift, &["back", "--plan"]);
        plan.exit(0).says("v1.0.0-stable").says("served").says("only (stable.min_served");
    }
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn calendar_versions_are_taken_by_their_numbers_and_promote_invents_no_name() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    for version in ["2024.10.12", "2024.11.05"] {
        s.release(version, Behaviour::Good).exit(0);
        s.promote(version).stderr_lacks("is no version");
    }
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.git(&["tag", "--no-sign", "-a", "-m", "by a person", "v1.1.0-stable"]);
    let tags = || s.app.git(&["tag", "--list", "*-stable"]);
    let before = tags();
    // The declared name is taken, by a tag on this very commit that nobody trusted signed.
    host.gitroll(&["promote", "--yes"]).exit(10).says("v1.1.0-stable names").says("--as VERSION");
    s.app.git(&["tag", "-d", "v1.1.0-stable"]);
    s.app.lightweight_tag("v1.1.0-stable");
    host.gitroll(&["promote", "--yes"])
        .exit(10)
        .says("lightweight")
        .says("git tag -d v1.1.0-stable");
    for name in ["friday", "v1.1.0-stabel", "a b", "-x"] {
        host.gitroll(&["promote", &format!("--as={name}"), "--yes"]).exit(2).says("stable");
    }
    assert_eq!(tags(), before);
    s.app.git(&["tag", "-d", "v1.1.0-stable"]);
    host.gitroll(&["promote", "--yes"]).exit(0).says("v1.1.0-stable is");
    let before = tags();
    host.gitroll(&["promote", "--yes"]).exit(0).says("v1.1.0-stable names").says("already");
    // The next release still declares 1.1.0.
    s.app.write("more.txt", "more\n");
    let commit = s.app.commit("More of 1.1.0");
    host.gitroll(&["deploy", &commit, "--yes"]).exit(0);
    host.gitroll(&["promote", "--yes"]).exit(1).says("--as VERSION").says("v1.1.0-stable");
    assert_eq!(tags(), before);

    host.gitroll(&["back", "--to", "last-stable", "--yes"]).exit(0);
    s.serves("2024.11.05");
    host.gitroll(&["demote", "nothing"]).fails();
    host.gitroll(&["demote", "1.1.0"]).fails();
    let demoted = host.gitroll(&["demote", "2024.10.12-stable", "--reason", "slow", "--json"]);
    assert!(demoted.exit(0).json()["result"]["sentence"].to_string().contains("2024.10.12-stable"));
    host.gitroll(&["demote", "2024.10.12-stable"]).exit(1).says("is not promoted");
    host.gitroll(&["targets"]).exit(0).says("promotion was withdrawn");
    host.gitroll(&["demote", "v1.1.0-stable"]).exit(0);
    host.gitroll(&["back", "--to", "last-stable", "--plan"]).exit(1).stderr_has("withdrawn");
    host.gitroll(&["promote", "2024.10.12-stable", "--yes"]).exit(0).says("2024.10.12-stable is");
    host.gitroll(&["back", "--to", "last-stable", "--yes"]).exit(0);
    s.serves("2024.10.12");
}

#[test]
fn a_fresh_clone_never_goes_back_to_a_tag_that_lies_ahead_and_never_ran_there() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    app.tag("v1.0.0-stable");
    app.commit_version("1.1.0", Behaviour::Good);
    let newest = app.commit_version("1.2.0", Behaviour::Good);
    app.tag("v1.2.0-stable");
    // A clone stands at the newest commit for a moment.
    app.git(&["checkout", "-q", "v1.0.0-stable"]);
    app.git(&["checkout", "-q", "--detach", "HEAD~0"]);
    app.git(&["checkout", "-q", "main~1"]);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "HEAD", "--yes"]).exit(0);
    s.serves("1.1.0");
    host.gitroll(&["targets"]).exit(0).says("lies ahead of what serves");
    let plan = host.gitroll(&["back", "--to", "last-stable", "--plan"]);
    plan.exit(0).says("v1.2.0-stable  lies ahead").never_says(&newest[..7]);
    host.gitroll(&["back", "--plan"]).exit(0).never_says(&newest[..7]);
    host.gitroll(&["back", "--to", "last-stable", "--no-verdict", "--yes"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["deploy", "v1.2.0-stable", "--yes"]).exit(0);
    s.serves("1.2.0");
}
