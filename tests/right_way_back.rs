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
        plan.exit(0).says("v1.0.0-stable").says("served only").says("(stable.min_served");
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
        s.promote(version).stderr_lacks("is not a version");
    }
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.git(&["tag", "--no-sign", "-a", "-m", "by a person", "v1.1.0-stable"]);
    let tags = || s.app.git(&["tag", "--list", "*-stable"]);
    let before = tags();
    // The declared name is taken, by a tag on this very commit that nobody trusted signed.
    host.gitroll(&["promote", "--yes"])
        .exit(10)
        .says("v1.1.0-stable already names")
        .says("--as v2024.11.6");
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
    host.gitroll(&["promote", "--yes"]).exit(0).says("v1.1.0-stable already names");
    // The next release still declares 1.1.0.
    s.app.write("more.txt", "more\n");
    let commit = s.app.commit("More of 1.1.0");
    host.gitroll(&["deploy", &commit, "--yes"]).exit(0);
    host.gitroll(&["promote", "--yes"]).exit(1).says("--as v2024.11.6").says("v1.1.0-stable");
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
    host.gitroll(&["targets"]).exit(0).says("newer than what serves");
    let plan = host.gitroll(&["back", "--to", "last-stable", "--plan"]);
    plan.exit(0).says("v1.2.0-stable  newer than what serves").never_says(&newest[..7]);
    host.gitroll(&["back", "--plan"]).exit(0).never_says(&newest[..7]);
    host.gitroll(&["back", "--to", "last-stable", "--no-verdict", "--yes"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["deploy", "v1.2.0-stable", "--yes"]).exit(0);
    s.serves("1.2.0");
}

/// The next release: its health URL has moved, in the server and in `gitroll.toml`.
fn move_health(app: &App<'_>, config: &AppConfig) {
    app.write("server.js", &app.read("server.js").replace("/api/health", "/healthz"));
    app.configure(config);
    app.write("gitroll.toml", &app.read("gitroll.toml").replace("/api/health", "/healthz"));
}

#[test]
fn a_release_is_asked_what_it_can_answer() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let tcp = |name: &str| {
        let port = app.port.number();
        format!(
            "[[check]]\nname = \"{name}\"\ntcp = \"127.0.0.1:{port}\"\nsettle = \"0s\"\npasses = 1\n"
        )
    };
    app.configure(&quick().and(&tcp("old-port")));
    app.commit_version("1.0.0", Behaviour::Good);
    let port = tcp("new-port");
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let component = "[component.QW-001]\npaths = [\"x\"]\nchecks = [\"new-port\"]\n";
    move_health(&s.app, &quick().and(&port).and(component));
    let moved = s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let version_at = |path: &str| http_get(&s.app.url(path)).ok().and_then(|a| a.version());
    assert_eq!(version_at("/healthz").as_deref(), Some("1.1.0"));

    // There, back again, and what is asked of each afterwards.
    let plan = host.gitroll(&["back", "--plan"]);
    plan.exit(0).stderr_has("checks   api as in the proof of v1.0.0 (#2)");
    plan.stderr_has("new-port not run: not part of the proof of v1.0.0 (#2)");
    plan.stderr_has("old-port of v1.0.0 (#2) not run");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("api ✓").stdout_lacks("new-port");
    host.gitroll(&["check"]).exit(0);
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert_eq!(version_at("/healthz").as_deref(), Some("1.1.0"));
    host.gitroll(&["check"]).exit(0).says("new-port");

    // One that fails as it was proven before is not served although the accepted question would pass, and the one
    // that serves is asked its own.
    s.app.sour("1.0.0");
    host.gitroll(&["back", "--yes"]).exit(20).says("api");
    assert_eq!(version_at("/healthz").as_deref(), Some("1.1.0"));
    assert_eq!(s.app.head(), moved);
}

#[test]
fn a_release_that_moves_its_port_can_be_left() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    let port = s.app.port.number().to_string();
    let server = s.app.read("server.js").replace("setting('PORT') || 3000", &port);
    s.app.write("server.js", &server);
    s.app.commit_version("1.0.0", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let free = free_port();
    let moved = free.number().to_string();
    s.app.write("server.js", &server.replace(&port, &moved));
    s.app.write("gitroll.toml", &s.app.read("gitroll.toml").replace(&port, &moved));
    s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0).stderr_has("api as in the proof of v1.0.0");
    s.serves("1.0.0");
    host.gitroll(&["check"]).exit(0);
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    let version = http_get(&s.app.health().replace(&port, &moved)).ok();
    assert_eq!(version.and_then(|answer| answer.version()).as_deref(), Some("1.1.0"));
}

#[test]
fn where_what_is_left_would_prove_less_the_accepted_checks_are_asked() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    host.gitroll(&["deploy", "--yes"]).exit(0);
    // Another name, and another place.
    let config = s.app.read("gitroll.toml").replace("name = \"api\"", "name = \"version\"");
    s.app.write("gitroll.toml", &config.replace("127.0.0.1", "localhost"));
    s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let plan = host.gitroll(&["back", "--plan"]);
    plan.exit(0)
        .stderr_has("checks   the accepted checks: none of the checks that proved v1.0.0 (#2)");
    host.gitroll(&["back", "--yes"]).exit(0).says("version");
    s.serves("1.0.0");
}

/// Deploys these versions one after the other; the last one serves.
#[track_caller]
fn releases(s: &Scenario<'_>, versions: &[&str]) {
    for version in versions {
        s.release(version, Behaviour::Good).exit(0);
    }
}

#[test]
fn cascade_goes_on_as_far_as_it_was_told_also_where_what_served_was_failing() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().without_builds().settle(1, "100ms").timeout("2s");
    let s = Scenario::bound(&host, Fixture::Plain, &config);
    releases(&s, &["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"]);
    let left = s.app.head();
    for version in ["1.1.0", "1.2.0", "1.3.0", "1.4.0"] {
        s.app.sour(version);
    }
    let back = host.gitroll(&["back", "--cascade", "3", "--yes"]);
    back.exit(0);
    for tried in ["1.3.0", "1.2.0", "1.1.0"] {
        back.stderr_has(&format!("✗ v{tried}"));
    }
    s.serves("1.0.0");
    let status = host.gitroll(&["status", "--json"]).exit(0).json();
    assert_eq!(status["result"]["open_runs"], serde_json::json!([]));
    assert_eq!(status["result"]["held"][0]["commit"], left);
    assert_eq!(status["result"]["held"].as_array().map(Vec::len), Some(1), "{status}");
}

#[test]
fn a_candidate_that_cannot_be_built_is_passed_over_for_one_that_is_kept() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &AppConfig::default().settle(1, "100ms"));
    releases(&s, &["1.0.0", "1.1.0", "1.2.0"]);
    // What 1.1.0 was built into is gone, and cannot be built again.
    let log = host.gitroll(&["show", "3", "--json"]).exit(0).json();
    let key =
        log["result"]["evidence"]["artifacts"][0]["key"].as_str().expect("it was built").to_owned();
    fs::remove_dir_all(s.app.dir.join(".git/gitroll/store").join(key)).expect("it is kept");
    host.gitroll(&["back", "--plan"]).exit(0).stderr_has("build    app");
    fs::write(host.path("tools/npm"), "#!/bin/sh\nexit 1\n").expect("it was put there");
    let back = host.gitroll(&["back", "--yes"]);
    back.exit(0).stderr_has("✗ v1.1.0").stderr_has("none (kept)");
    s.serves("1.0.0");
    // By its name nothing else is taken for it.
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    s.serves("1.2.0");
    host.gitroll(&["back", "--to", "3", "--yes"]).exit(1);
    s.serves("1.2.0");
}

#[test]
fn what_serves_is_kept_a_second_time_so_that_an_install_by_hand_destroys_no_way_back() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(1, "100ms");
    let s =
        Scenario::bound(&host, Fixture::Plain, &config.clone().and("[retention]\ncopies = true\n"));
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let shown = host.gitroll(&["show", "2", "--json"]).exit(0).json();
    let key = shown["result"]["evidence"]["artifacts"][0]["key"]
        .as_str()
        .expect("it was built")
        .to_owned();
    let kept = s.app.dir.join(".git/gitroll/store").join(key).join("dist");
    // Once the answer is told; no other command is kept out meanwhile.
    host.gitroll(&["mark", "good", "HEAD", "--reason", "seen"]).exit(0);
    wait_until("it is kept", || kept.is_dir());
    host.gitroll(&["promote", "--yes"]).exit(0);
    let in_store = |name: &str| {
        fs::read_dir(s.app.dir.join(".git/gitroll/store")).expect("it is there").any(|entry| {
            entry.expect("it is listed").file_name().to_string_lossy().starts_with(name)
        })
    };
    assert!(!in_store(".copy-"));

    // A release by hand, in the tree.
    fs::remove_dir_all(s.app.dir.join("dist")).expect("it can be removed");
    s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.build_by_hand();
    host.gitroll(&["service", "restart"]).exit(0);
    s.serves("1.1.0");
    fs::write(host.path("tools/npm"), "#!/bin/sh\nexit 1\n").expect("it was put there");
    host.gitroll(&["back", "--yes"]).exit(0).stderr_has("none (kept)");
    s.serves("1.0.0");
    assert!(s.app.has("dist"));
    let copied = s.app.dir.join(".git/gitroll/keep.log");
    assert_eq!(fs::read_to_string(copied).unwrap_or_default(), "");

    // Turned off, nothing is copied.
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &config);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    assert!(!s.app.dir.join(".git/gitroll/keep.log").exists());
}
