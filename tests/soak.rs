//! Watching after a deploy: what ends it, what its exit code means, and that it answers once.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use crate::support::*;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "200ms").timeout("3s")
}

/// 1.0.0 serves; the commit of 1.1.0, which is not deployed yet.
fn two_versions<'h>(host: &'h TestEnvironment, config: &AppConfig) -> (Scenario<'h>, String) {
    let s = Scenario::serving(host, Fixture::Plain, config);
    let one = s.app.head();
    let two = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    (s, two)
}

fn soaks<'h>(host: &'h TestEnvironment, rev: &str, more: &[&str]) -> Going<'h> {
    let going = Going::start(host, &[&["deploy", rev, "--yes"], more].concat());
    going.tells("watching for");
    going
}

fn only_document(out: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|e| panic!("expected one document: {e}\n{out}"))
}

#[test]
fn what_fails_while_it_is_watched_is_told_in_one_document() {
    let host = TestEnvironment::new();
    let (s, two) = two_versions(&host, &quick());
    let going = soaks(&host, &two, &["--soak", "60s", "--json"]);
    s.app.sour("1.1.0");
    let (out, _) = going.ends(20);
    let answer = only_document(&out);
    assert_eq!(answer["exit"], 20, "{answer:#}");
    assert_eq!(answer["command"], "deploy", "{answer:#}");
    let result = &answer["result"];
    assert_eq!(result["outcome"], "restored", "{answer:#}");
    assert_eq!(result["watched"]["outcome"], "failed", "{answer:#}");
    assert_eq!(result["to"]["version"], "1.1.0", "{answer:#}");
    s.serves("1.0.0");
}

#[test]
fn a_key_that_is_lost_while_it_is_watched_does_not_bar_the_way_back() {
    let host = TestEnvironment::new();
    let (s, two) = two_versions(&host, &quick());
    let key = signing_key(&host);
    let going = soaks(&host, &two, &["--soak", "60s"]);
    fs::rename(&key, key.with_extension("away")).expect("it is there");
    s.app.sour("1.1.0");
    let (_, told) = going.ends(20);
    assert!(told.contains("Failed during the soak"), "{told}");
    assert!(told.contains("cannot be signed now, and is queued"), "{told}");
    s.serves("1.0.0");
    fs::rename(key.with_extension("away"), &key).expect("it was moved");
    host.gitroll(&["mark", "bad", &two, "--reason", "it sours"]).exit(0);
    let log = host.gitroll(&["log", "--json"]).exit(0).json();
    let records = log["result"]["records"].as_array().expect("records are a list");
    let events: Vec<_> = records.iter().map(|line| line["record"]["event"].as_str()).collect();
    assert_eq!(events[..2], [Some("mark"), Some("back")], "the queued record came first: {log}");
}

#[test]
fn a_binding_that_goes_while_it_is_watched_ends_the_way_back_not_the_watching() {
    let host = TestEnvironment::new();
    let (s, two) = two_versions(&host, &quick());
    let going = soaks(&host, &two, &["--soak", "60s"]);
    let bindings = host.path("gitroll");
    fs::rename(&bindings, host.path("gitroll-away")).expect("it is there");
    going.tells("still watching with the places found");
    s.app.sour("1.1.0");
    going.ends(21);
}

#[test]
fn another_command_at_work_is_waited_for() {
    let host = TestEnvironment::new();
    let (s, two) = two_versions(&host, &quick());
    let going = soaks(&host, &two, &["--soak", "60s"]);
    let lock = fs::File::open(s.app.dir.join(".git/gitroll/lock")).expect("it is there");
    flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("nobody holds it");
    s.app.sour("1.1.0");
    going.tells("waiting for");
    flock(&lock, FlockOperation::Unlock).expect("it is held");
    going.ends(20);
    s.serves("1.0.0");
}

#[test]
fn a_lock_that_stays_taken_needs_a_person() {
    let host = TestEnvironment::new();
    let (s, two) = two_versions(&host, &quick());
    let going = soaks(&host, &two, &["--soak", "60s", "--wait", "2s"]);
    let lock = fs::File::open(s.app.dir.join(".git/gitroll/lock")).expect("it is there");
    flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("nobody holds it");
    s.app.sour("1.1.0");
    let (_, told) = going.ends(21);
    assert!(told.contains("is not restored"), "{told}");
}

#[test]
fn somebody_elses_change_of_a_flag_does_not_end_the_watching() {
    let host = TestEnvironment::new();
    let s = flagged(&host, &format!("{UPLOADS}{SHOWN_BY_HTTP}"));
    let one = s.app.head();
    let two = s.app.commit_version("1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    let going = soaks(&host, &two, &["--soak", "60s"]);
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    s.sicken("both");
    wait_until("it is seen", || going.told().contains("500"));
    s.cure("both");
    let (_, told) = going.ends(20);
    assert!(!told.contains("restarted"), "{told}");
    s.serves("1.1.0");
}

#[test]
fn an_older_state_put_in_place_meanwhile_is_no_success() {
    let host = TestEnvironment::new();
    let (s, two) = two_versions(&host, &quick());
    let going = soaks(&host, &two, &["--soak", "60s", "--json"]);
    host.gitroll(&["back", "--yes"]).exit(0);
    let (out, told) = going.ends(20);
    assert!(told.contains("no longer serves"), "{told}");
    assert_eq!(only_document(&out)["result"]["watched"]["outcome"], "replaced", "{out}");
    s.serves("1.0.0");
}

#[test]
fn a_newer_deploy_that_contains_it_takes_over() {
    let host = TestEnvironment::new();
    let (s, two) = two_versions(&host, &quick());
    s.app.git(&["checkout", "-q", "--detach", &two]);
    let three = s.app.commit_version("1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~2"]);
    let going = soaks(&host, &two, &["--soak", "60s"]);
    host.gitroll(&["deploy", &three, "--yes"]).exit(0);
    let (_, told) = going.ends(0);
    assert!(told.contains("v1.1.0") && told.contains("was deployed meanwhile"), "{told}");
    s.serves("1.2.0");
}

#[test]
fn a_line_that_must_not_come_comes_while_it_is_watched() {
    let host = TestEnvironment::new();
    let log = "[[check]]\nname = \"quiet\"\nlog = { file = \"app.log\", optional = true }\n\
               expect = { must_not = \"^ERROR\" }\ntimeout = \"2s\"\nsettle = \"0s\"\npasses = 1\n";
    let app_log = |s: &Scenario<'_>, text: &str| {
        let file = OpenOptions::new().create(true).append(true).open(s.app.dir.join("app.log"));
        writeln!(file.expect("it is writable"), "{text}").expect("it is writable");
    };
    let (s, two) = two_versions(&host, &quick().and(log));
    fs::write(s.app.dir.join(".git/info/exclude"), "app.log\n").expect("it is writable");
    app_log(&s, "ERROR of yesterday");
    let going = soaks(&host, &two, &["--soak", "30s"]);
    app_log(&s, "ERROR pool exhausted");
    let (_, told) = going.ends(20);
    assert!(told.contains("quiet says \"ERROR pool exhausted\""), "{told}");
    s.serves("1.0.0");
}

#[test]
fn a_person_who_stops_the_watching_is_told_the_truth() {
    let host = TestEnvironment::new();
    let (s, two) = two_versions(&host, &quick());
    let going = soaks(&host, &two, &["--soak", "60s"]);
    going.interrupt();
    let (_, told) = going.ends(0);
    assert!(told.contains("was proven and serves"), "{told}");
    assert!(!told.contains("the live tree was not changed"), "{told}");
    s.serves("1.1.0");
    // Stopped while it fails it is no success.
    let going = Going::start(&host, &["deploy", &two, "--yes", "--soak", "60s"]);
    going.tells("watching for");
    s.app.sour("1.1.0");
    going.interrupt();
    going.ends(21);
}

#[test]
fn what_serves_already_is_watched_too() {
    let host = TestEnvironment::new();
    let (s, two) = two_versions(&host, &quick());
    host.gitroll(&["deploy", &two, "--yes"]).exit(0);
    let again = host.gitroll(&["deploy", &two, "--yes", "--soak", "2s", "--json"]);
    again.exit(0).stderr_has("healthy for");
    assert_eq!(again.json()["result"]["watched"]["outcome"], "held");
    let going = soaks(&host, &two, &["--soak", "60s"]);
    s.app.sour("1.1.0");
    going.ends(21);
    assert_eq!(s.app.version_served().as_deref(), Some("1.1.0"));
}

fn signing_key(host: &TestEnvironment) -> PathBuf {
    let found =
        host.run("find", &[host.path("gitroll").to_str().expect("UTF-8"), "-name", "*key*"]);
    let keys = found.stdout.lines().filter(|line| !line.ends_with(".pub"));
    keys.map(PathBuf::from).find(|path| path.is_file()).expect("the host has a key of its own")
}

/// At every look the app is up: its manager starts it anew at once.
#[test]
fn a_crash_that_the_manager_mends_at_once_is_a_fault_all_the_same() {
    let host = TestEnvironment::new();
    let pm2 = std::env::var_os("GITROLL_TEST_PM2")
        .map_or_else(|| test_tools().join("pm2/node_modules/.bin/pm2"), PathBuf::from);
    assert!(pm2.is_file(), "pm2 is not installed yet: tests/run installs it");
    host.fake_tool("pm2", &format!("#!/bin/sh\nexec '{}' \"$@\"\n", pm2.display()));
    let app = host.app(Fixture::Plain);
    let config = AppConfig::default().without_builds().settle(1, "200ms").timeout("20s");
    app.configure(&config.served_by(ServedBy::Pm2("web".to_owned())));
    app.commit_version("1.0.0", Behaviour::Good);
    let one = app.head();
    let mut start = host.command("pm2");
    start.args(["start", "server.js", "--name", "web"]).env("PORT", app.port.number().to_string());
    Answer::of(start, std::time::Duration::from_secs(60)).exit(0);
    wait_for_version(&app.health(), "1.0.0");
    let s = Scenario { host: &host, app };
    s.bind().stdout_has("adopted");
    let two = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    let going = soaks(&host, &two, &["--soak", "60s"]);
    let pid = s.app.pid_served();
    host.run("kill", &["-KILL", &pid.to_string()]).exit(0);
    wait_until("it is up again", || {
        http_get(&s.app.health()).is_ok_and(|answer| answer.status == 200)
    });
    let (_, told) = going.ends(20);
    assert!(told.contains("web was restarted once during the soak"), "{told}");
    s.serves("1.0.0");
}

#[test]
fn maintenance_silences_the_soak_is_shown_and_ends_when_the_services_start() {
    let host = TestEnvironment::new();
    let (s, two) = two_versions(&host, &quick());
    let going = soaks(&host, &two, &["--soak", "60s"]);
    host.gitroll(&["service", "stop", "--maintenance", "--reason", "a new disk"])
        .exit(0)
        .says("gitroll service start");
    let (_, told) = going.ends(21);
    assert!(told.contains("no longer watching"), "{told}");
    s.is_down();
    let status = host.gitroll(&["status"]);
    status.exit(0).says("silenced  maintenance since").says("(a new disk)");
    let json = host.gitroll(&["status", "--json"]).exit(0).json();
    let result = &json["result"];
    assert_eq!(result["maintenance"]["was_down"], false, "{result:#}");
    assert_eq!(result["diagnosis"]["next"][0][0], "gitroll service start", "{result:#}");
    host.gitroll(&["service", "restart", "--maintenance"]).exit(2);
    // Damaged, it silences all the same.
    fs::write(s.app.dir.join(".git/gitroll/maintenance.json"), "{").expect("it is writable");
    host.gitroll(&["status"]).exit(0).says("silenced");
    host.gitroll(&["service", "start"]).exit(0).says("maintenance ended");
    s.serves("1.1.0");
    host.gitroll(&["status"]).exit(0).never_says("silenced");
    // A rollback that serves ends it as well.
    host.gitroll(&["service", "stop", "--maintenance"]).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0).says("maintenance ended");
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).never_says("silenced");
}
