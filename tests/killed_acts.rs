//! Commands that are no runs (a tag and a record, a record, files that go), killed at every place: typed
//! again they come to the same end as if nothing had happened.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::*;

/// Runs a command once for each place, killed there, and then to its end.
#[track_caller]
fn interrupted(host: &TestEnvironment, dir: &Path, args: &[&str], places: &[&str]) -> Answer {
    let log = host.path("places");
    for place in places {
        fs::write(&log, "").expect("the test's directory is writable");
        let mut command = host.gitroll_command(args);
        command.current_dir(dir);
        command.env("GITROLL_FAIL_AT", format!("{place}=kill")).env("GITROLL_FAIL_LOG", &log);
        let answer = Answer::of(command, Duration::from_secs(60));
        let passed = fs::read_to_string(&log).expect("it was made");
        let place = place.split('#').next().unwrap_or(place);
        assert!(passed.contains(&format!("fired {place}\n")), "{place} is not passed:\n{passed}");
        assert_eq!(answer.code, None, "{}", answer.transcript());
    }
    let answer = host.gitroll_in(dir, args);
    answer.exit(0);
    answer
}

/// The events of the chain, the oldest first.
fn events(s: &Scenario<'_>) -> Vec<String> {
    let log = s.host.gitroll(&["log", "-n", "1000", "--json"]);
    log.exit(0);
    let log = log.json();
    let records = log["result"]["records"].as_array().or(log["result"].as_array());
    let mut events: Vec<String> = records
        .expect("a list of records")
        .iter()
        .map(|line| line["record"]["event"].as_str().expect("a word").to_owned())
        .collect();
    events.reverse();
    events
}

const RECORD: [&str; 2] = ["record objects written", "chain moved"];

#[test]
fn init() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&AppConfig::default());
    app.commit_version("1.0.0", Behaviour::Good);
    app.build_by_hand();
    let places = ["binding saved", "configuration written", "lock taken", RECORD[0], RECORD[1]];
    let args = ["init", "--yes", "--environment", "production", "--name", "web-1"];
    interrupted(&host, &app.dir, &args, &places);
    let s = Scenario { host: &host, app };
    assert_eq!(events(&s), ["init"]);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert_eq!(s.app.git(&["status", "--porcelain"]), "");
}

#[test]
fn promote_makes_one_tag_and_one_record() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &AppConfig::default().without_builds());
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let args = ["promote", "--as", "v1.0.0", "--yes"];
    let places = ["lock taken", "stable tag made", "record objects written", "chain moved"];
    interrupted(&host, &s.app.dir, &args, &places);
    assert_eq!(s.app.git(&["tag", "--list", "*-stable"]).trim(), "v1.0.0-stable");
    assert_eq!(events(&s), ["init", "deploy", "promote"]);
}

#[test]
fn a_judgement_is_in_the_chain_or_it_is_not() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().without_builds());
    s.release("1.1.0", Behaviour::Good).exit(0);
    let bad = s.app.head();
    let mark = ["mark", "bad", bad.as_str(), "--reason", "it loses orders"];
    let before = events(&s).len();
    interrupted(&host, &s.app.dir, &mark, &["lock taken", RECORD[0]]);
    assert_eq!(events(&s).len(), before + 1);
    let unhold = ["unhold", bad.as_str(), "--reason", "it does not"];
    interrupted(&host, &s.app.dir, &unhold, &["lock taken", RECORD[0]]);
    assert_eq!(events(&s).len(), before + 2);
    host.gitroll(&["check"]).exit(0);
}

#[test]
fn what_was_recorded_when_the_kill_came_is_projected_by_the_next_command() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().without_builds());
    let note = ["annotate", "--reason", "a quiet night"];
    interrupted(&host, &s.app.dir, &note, &["chain moved"]);
    let log = s.app.git(&["log", "-1", "--notes=gitroll/production/*", "--format=%N"]);
    assert!(log.contains("quiet night") || log.contains("annotate"), "{log}");
}

#[test]
fn eject() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().without_builds());
    let pid = s.app.pid_served();
    let removes = ["eject removes", "eject removes#2", "eject removes#2"];
    interrupted(&host, &s.app.dir, &["eject", "--yes"], &removes);
    assert_eq!(s.app.pid_served(), pid, "the service was touched");
    assert!(!s.app.git(&["branch", "--show-current"]).trim().is_empty());
    host.gitroll(&["status"]).exit(10);
}
