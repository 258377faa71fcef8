//! A target that is unknown, ambiguous, missing, or what serves already.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use super::*;

#[test]
fn without_a_stable_tag_it_says_how_to_make_one() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let back = ["back", "--to", "last-stable", "--yes"];
    refused(&s, &back, 1, &["no stable tag", "gitroll promote"]);
    s.app.lightweight_tag("v0.9.0-stable");
    refused(&s, &back, 1, &["skipped  v0.9.0-stable", "gitroll promote"]);
}

#[test]
fn with_nothing_to_go_back_to_it_says_so() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    refused(&s, &["back", "--yes"], 1, &["no version to roll back to", "gitroll targets"]);
    refused(&s, &["back", "--undo", "--yes"], 1, &["not a rollback", "gitroll log"]);
    refused(&s, &["back", "--to", "7", "--yes"], 1, &["#7", "gitroll log"]);
    refused(&s, &["show", "7"], 1, &["7", "gitroll log"]);
}

#[test]
fn an_unknown_target_is_answered_with_the_nearest_name() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    s.app.tag("v1.2.0-stable");
    s.app.git(&["branch", "feature/uploads"]);
    for args in [
        &["back", "--to", "v1.2.0-stabel", "--yes"] as &[&str],
        &["deploy", "v1.2.0-stabel", "--yes"],
        &["mark", "bad", "v1.2.0-stabel", "--reason", "r"],
        &["promote", "v1.2.0-stabel", "--yes"],
    ] {
        refused(&s, args, 1, &["v1.2.0-stabel", "nearest name is v1.2.0-stable"]);
    }
    refused(&s, &["deploy", "feature/upload", "--yes"], 1, &["nearest name is feature/uploads"]);
    refused(&s, &["deploy", "qqqqqqqq", "--yes"], 1, &["qqqqqqqq", "gitroll targets"]);
    for name in [
        "--yes",
        "-x",
        ":/Release",
        "HEAD:server.js",
        "HEAD^{tree}",
        "",
        "refs/heads/../x",
        "a\u{1b}[2Jb",
    ] {
        let answer = host.gitroll(&["deploy", "--yes", "--", name]);
        answer.exit(1).never_says("\u{1b}").never_says("bug");
    }
}

#[test]
fn an_ambiguous_target_is_refused() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    // So many commits that two begin with the same four digits.
    let mut story = String::new();
    for n in 0..1500 {
        story += &format!(
            "commit refs/heads/many-{n}\ncommitter A <a@example.org> {n} +0000\ndata 0\n\n"
        );
    }
    let mut import = host.command("git");
    import.args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut import = import.spawn().expect("git can be started");
    let mut pipe = import.stdin.take().expect("stdin is piped");
    pipe.write_all(story.as_bytes()).expect("git reads");
    drop(pipe);
    assert!(import.wait().expect("a child can be waited for").success());
    let mut by_digits: BTreeMap<String, usize> = BTreeMap::new();
    for id in s.app.git(&["rev-parse", "--branches=many-*"]).lines() {
        *by_digits.entry(id[..4].to_owned()).or_default() += 1;
    }
    // A number of four decimal digits would be a record's.
    let two = by_digits.iter().find(|(d, n)| **n > 1 && d.bytes().any(|b| b.is_ascii_alphabetic()));
    let (digits, _) = two.expect("1500 commits share four digits somewhere");
    refused(&s, &["deploy", digits, "--yes"], 10, &[digits, "ambiguous", "more digits"]);
    refused(&s, &["back", "--to", digits, "--yes"], 10, &[digits, "ambiguous"]);
}

#[test]
fn a_target_that_serves_already_is_proven_and_nothing_reloaded() {
    let host = TestEnvironment::new();
    let s = serving(&host, &quick());
    let (pid, head) = (s.app.pid_served(), s.app.head());
    let before = s.app.state();
    for args in [
        &["deploy", "--yes"] as &[&str],
        &["deploy", &head, "--yes"],
        &["back", "--to", &head, "--yes"],
    ] {
        host.gitroll(args).exit(0).stdout_has("already serves");
        assert_eq!(s.app.pid_served(), pid, "it was reloaded");
    }
    before.assert_same(&s.app.state());
}

#[test]
fn a_tag_of_a_tree_is_no_target() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    s.app.git(&["tag", "--no-sign", "-a", "-m", "t", "v9.0.0-stable", "HEAD^{tree}"]);
    refused(&s, &["deploy", "v9.0.0-stable", "--yes"], 1, &["v9.0.0-stable"]);
    refused(&s, &["back", "--to", "v9.0.0-stable", "--yes"], 10, &["v9.0.0-stable"]);
    host.gitroll(&["targets"]).exit(0).stdout_has("v9.0.0-stable");
}

#[test]
fn what_fails_at_the_moment_is_not_made_a_stable_release() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &AppConfig::default().without_builds());
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.app.sour("1.0.0");
    let before = s.app.state();
    host.gitroll(&["promote", "--yes"])
        .exit(10)
        .stderr_has("is not healthy: api 500")
        .stderr_has("gitroll promote --unproven");
    before.assert_same(&s.app.state());
    host.gitroll(&["promote", "--yes", "--unproven"]).exit(0);
    s.app.mend("1.0.0");
    let named = host.gitroll(&["promote", "--as", "friday-stable", "--yes"]);
    named.exit(0).stderr_has("friday-stable is not a version");
}
