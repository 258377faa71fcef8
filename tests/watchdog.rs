//! A run that is killed while it touches what serves is finished without anybody: by a process of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::*;
use serde_json::Value;

/// 1.0.0 serves; runs that are killed are taken care of this long after they began to touch it.
fn serving<'h>(host: &'h TestEnvironment, watchdog: &str) -> Scenario<'h> {
    let run = format!("[run]\nwatchdog = \"{watchdog}\"\n");
    let config = AppConfig::default().without_builds().settle(2, "300ms").and(&run);
    Scenario::serving(host, Fixture::Plain, &config)
}

/// A deploy of a new version that meets its end, or an error, or waits, at a named place.
fn deploy(s: &Scenario<'_>, version: &str, place: &str) -> Child {
    let serving = s.app.head();
    let next = s.app.commit_version(version, Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    start(s, &["deploy", &next, "--yes"], place)
}

/// Starts gitroll with a failpoint.
fn start(s: &Scenario<'_>, args: &[&str], place: &str) -> Child {
    let mut command = s.host.gitroll_command(args);
    command.env("GITROLL_FAIL_AT", place).env("GITROLL_FAIL_LOG", s.host.path("places"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

#[track_caller]
fn is_killed(mut child: Child) {
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), None, "the place was not passed: {status}");
}

/// The open runs, as `status` tells them.
fn open_runs(host: &TestEnvironment) -> Vec<Value> {
    let answer = host.gitroll(&["status", "--json"]);
    answer.json()["result"]["open_runs"].as_array().expect("a list").clone()
}

/// The one run that is not the first deploy: its directory.
fn run_dir(s: &Scenario<'_>) -> PathBuf {
    let runs = fs::read_dir(s.app.dir.join(".git/gitroll/runs")).expect("there are runs");
    let mut runs: Vec<PathBuf> = runs.map(|run| run.expect("it is listed").path()).collect();
    runs.sort();
    runs.pop().expect("there is a run")
}

/// The process that guards a run.
fn guard(s: &Scenario<'_>) -> u32 {
    let text = fs::read(run_dir(s).join("watchdog.json")).expect("a guard is armed");
    let guard: Value = serde_json::from_slice(&text).expect("it is JSON");
    assert_eq!(guard["keeper"]["by"], "process", "{guard}");
    u32::try_from(guard["keeper"]["process"]["pid"].as_u64().expect("a number")).expect("a pid")
}

/// What the guard said.
fn log(s: &Scenario<'_>) -> String {
    fs::read_to_string(run_dir(s).join("watchdog.log")).unwrap_or_default()
}

/// The guards of this app's runs that live.
fn guards(s: &Scenario<'_>) -> Vec<String> {
    let top = s.app.dir.to_str().expect("temporary paths are UTF-8").to_owned();
    processes()
        .into_iter()
        .filter(|words| words.contains("watchdog") && words.contains(&top))
        .collect()
}

/// The command lines of all processes.
fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("it is there").flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    // It may have ended in the meantime.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[track_caller]
fn nothing_is_left(s: &Scenario<'_>) {
    assert_eq!(guards(s), Vec::<String>::new());
    assert!(!run_dir(s).join("watchdog.json").exists(), "a guard is armed still");
}

/// Without any command the run comes to its end, with this version proven.
#[track_caller]
fn heals(s: &Scenario<'_>, version: &str) {
    wait_until("the run is over", || open_runs(s.host).is_empty());
    s.serves(version);
    wait_until("the guard ends", || guards(s).is_empty());
    nothing_is_left(s);
    let status = s.host.gitroll(&["status", "--json"]).json();
    assert_eq!(status["result"]["serving"]["version"], version, "{status}");
    assert_eq!(status["result"]["healthy"], true, "{status}");
    assert_eq!(status["result"]["edited"], serde_json::json!([]), "{status}");
}

#[test]
fn a_deploy_that_is_killed_is_finished_by_nobody() {
    let host = TestEnvironment::new();
    let s = serving(&host, "2s");
    is_killed(deploy(&s, "1.1.0", "activate after=kill"));
    let run = &open_runs(&host)[0];
    assert!(
        ["armed", "acting"].contains(&run["watchdog"]["state"].as_str().expect("text")),
        "{run}"
    );
    heals(&s, "1.1.0");
    let log = log(&s);
    assert!(
        log.contains("deploy to v1.1.0") && log.contains("resume ended with exit code 0"),
        "{log}"
    );
    host.gitroll(&["show"]).exit(0).stdout_has("finished by the watchdog").stdout_has("v1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn status_says_when_the_watchdog_acts_and_a_person_may_be_quicker() {
    let host = TestEnvironment::new();
    let s = serving(&host, "10m");
    is_killed(deploy(&s, "1.1.0", "activate after=kill"));
    let earlier = guard(&s);
    let said = host.gitroll(&["status"]);
    said.exit(0).stdout_has("watchdog  acts at ").stdout_has(", in ").stdout_has(" min ");
    // The person's own process is guarded too, and killed in its turn.
    is_killed(start(&s, &["resume"], "head after=kill"));
    assert!(!alive(earlier), "two guards watch over one run");
    let later = guard(&s);
    assert!(alive(later));
    host.gitroll(&["resume"]).exit(0);
    assert!(!alive(later));
    nothing_is_left(&s);
    host.gitroll(&["show"]).exit(0).stdout_lacks("finished by the watchdog");
}

#[test]
fn a_resume_that_is_killed_like_the_run_before_it_is_finished_too() {
    let host = TestEnvironment::new();
    let s = serving(&host, "3s");
    is_killed(deploy(&s, "1.1.0", "activate after=kill"));
    is_killed(start(&s, &["resume"], "reload web after=kill"));
    heals(&s, "1.1.0");
    host.gitroll(&["show"]).exit(0).stdout_has("finished by the watchdog");
}

#[test]
fn a_try_of_the_watchdog_that_is_killed_is_not_the_last() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    is_killed(deploy(&s, "1.1.0", "activate after=kill"));
    let guard = guard(&s);
    let mut killed = Vec::new();
    wait_until("its resume and its abort run", || {
        let new = children_of(guard).into_iter().find(|pid| !killed.contains(pid));
        new.iter().for_each(|pid| kill(*pid));
        killed.extend(new);
        killed.len() == 2
    });
    wait_until("the run is over", || open_runs(&host).is_empty());
    // Where the abort had begun already its way is gone to its end.
    let version = if log(&s).contains("v1.1.0 observed serving") { "1.1.0" } else { "1.0.0" };
    heals(&s, version);
    let log = log(&s);
    assert!(log.contains("resume was killed") && log.contains("abort was killed"), "{log}");
}

#[test]
fn the_watchdog_goes_back_where_it_cannot_go_on() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    is_killed(deploy(&s, "1.1.0", "activate after=kill"));
    let guard = guard(&s);
    wait_until("its resume runs", || !children_of(guard).is_empty());
    children_of(guard).into_iter().for_each(kill);
    heals(&s, "1.0.0");
    host.gitroll(&["show"]).exit(0).stdout_has("aborted by the watchdog");
}

#[test]
fn a_run_that_lives_longer_than_the_watchdog_is_left_alone() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    let mut run = deploy(&s, "1.1.0", "activate after=wait");
    wait_until("its time has come", || {
        open_runs(&host).first().is_some_and(|run| run["watchdog"]["state"] == "waiting")
    });
    assert_eq!(log(&s), "");
    assert_eq!(children_of(guard(&s)), [0; 0]);
    host.gitroll(&["status"]).exit(0).stdout_has("watchdog  waits for the end of the process");
    fs::write(host.path("places.go"), "").expect("the host's directory is writable");
    assert_eq!(run.wait().expect("it ends").code(), Some(0));
    nothing_is_left(&s);
    assert!(!run_dir(&s).join("watchdog.log").exists());
}

#[test]
fn a_run_that_is_killed_after_the_watchdogs_time_is_finished_at_once() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    let mut run = deploy(&s, "1.1.0", "activate after=wait");
    wait_until("its time has come", || {
        open_runs(&host).first().is_some_and(|run| run["watchdog"]["state"] == "waiting")
    });
    run.kill().expect("it runs");
    run.wait().expect("it ends");
    heals(&s, "1.1.0");
}

#[test]
fn a_run_that_ends_by_itself_leaves_no_guard() {
    let host = TestEnvironment::new();
    let s = serving(&host, "10m");
    s.release("1.1.0", Behaviour::Good).exit(0);
    let serving = s.app.head();
    nothing_is_left(&s);
    s.release("1.2.0", Behaviour::ThrowsAtBoot).exit(20);
    nothing_is_left(&s);
    let next = s.app.commit_version("1.3.0", Behaviour::ThrowsAtBoot);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let stuck = start(&s, &["deploy", &next, "--yes"], "restore tree before=error").wait();
    assert_eq!(stuck.expect("it ends").code(), Some(21));
    nothing_is_left(&s);
    host.gitroll(&["status"]).exit(0).stdout_has("a person is needed").stdout_lacks("watchdog");
    let places = fs::read_to_string(host.path("places")).expect("places were passed");
    assert!(places.contains("arm watchdog after"), "{places}");
    host.gitroll(&["abort"]).exit(0);
    s.serves("1.1.0");
}

#[test]
fn a_run_that_is_killed_before_it_touches_anything_is_not_guarded() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    is_killed(deploy(&s, "1.1.0", "journal begun after=kill"));
    nothing_is_left(&s);
    host.gitroll(&["status"]).exit(0).stdout_has("watchdog  none: you must finish");
    host.gitroll(&["abort"]).exit(0);
    nothing_is_left(&s);
}

#[test]
fn a_guard_of_a_run_that_is_over_goes_away_with_the_next_command() {
    let host = TestEnvironment::new();
    let s = serving(&host, "10m");
    is_killed(deploy(&s, "1.1.0", "journal closed after=kill"));
    assert!(alive(guard(&s)));
    host.gitroll(&["back", "--yes"]).exit(0);
    assert_eq!(guards(&s), Vec::<String>::new());
}

#[test]
fn without_a_watchdog_a_run_stays_open() {
    let host = TestEnvironment::new();
    let s = serving(&host, "off");
    is_killed(deploy(&s, "1.1.0", "activate after=kill"));
    nothing_is_left(&s);
    host.gitroll(&["resume"]).exit(0);
}

#[test]
fn a_run_goes_on_where_no_watchdog_can_be_had() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let mut command = host.gitroll_command(&["deploy", &next, "--yes"]);
    command.env("GITROLL_FAIL_AT", "arm watchdog before=error");
    Answer::of(command, Duration::from_secs(60)).exit(0).stderr_has("no watchdog");
    s.serves("1.1.0");
}

#[test]
fn the_watchdog_acts_although_the_program_was_removed_meanwhile() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    let program = host.path("gitroll-of-today");
    fs::copy(env!("CARGO_BIN_EXE_gitroll"), &program).expect("it can be copied");
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let mut command = host.command(&program);
    command.args(["deploy", &next, "--yes"]).env("GITROLL_FAIL_AT", "activate after=kill");
    is_killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"));
    fs::remove_file(&program).expect("ours");
    heals(&s, "1.1.0");
}

/// The units of watchdogs in a box: those that wait or run, and those that failed.
#[track_caller]
fn units(inside: &Sysbox<'_>) -> String {
    let states = "--state=active,activating,deactivating,failed";
    let list = ["list-units", "--all", "--plain", "--no-legend", states, "gitroll-watchdog-*"];
    inside.run("systemctl", &list).exit(0).stdout.clone()
}

/// Prints why a test cannot be made on this machine.
#[allow(clippy::print_stderr)]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

#[test]
fn where_systemd_runs_the_watchdog_is_a_timer() {
    let host = TestEnvironment::new();
    let inside = match Sysbox::start(&host) {
        Ok(inside) => inside,
        Err(why) => return skipped(&why),
    };
    let app = host.app(Fixture::Plain);
    let run = |time: &str| format!("[run]\nwatchdog = \"{time}\"\n");
    let quick = AppConfig::default().without_builds().settle(2, "300ms");
    app.configure(&quick.clone().and(&run("10m")));
    app.commit_version("1.0.0", Behaviour::Good);
    inside.gitroll(&["init", "--yes", "--environment", "production", "--name", "web-1"]).exit(0);
    inside.gitroll(&["deploy", "--yes"]).exit(0).stderr_lacks("watchdog");
    assert_eq!(units(&inside), "");

    // Killed: the timer waits, and a person who is quicker ends it.
    let serving = app.head();
    let next = app.commit_version("1.1.0", Behaviour::Good);
    app.git(&["checkout", "-q", "--detach", &serving]);
    let killed = inside.gitroll_until("activate after=kill", &["deploy", &next, "--yes"]);
    assert_eq!(killed.code, None, "{}", killed.stderr);
    let waiting = units(&inside);
    assert!(waiting.contains(".timer") && !waiting.contains(".service"), "{waiting}");
    inside.gitroll(&["status"]).exit(0).stdout_has("watchdog  acts at ");
    inside.gitroll(&["resume"]).exit(0);
    assert_eq!(units(&inside), "");

    // Killed again: the timer finishes it, and what it started outlives it.
    app.configure(&quick.and(&run("1s")));
    let serving = app.head();
    let next = app.commit_version("1.2.0", Behaviour::Good);
    app.git(&["checkout", "-q", "--detach", &serving]);
    let killed = inside.gitroll_until("activate after=kill", &["deploy", &next, "--yes"]);
    assert_eq!(killed.code, None, "{}", killed.stderr);
    wait_until("the run is over", || inside.gitroll(&["status"]).stdout.contains("none open"));
    wait_until("the guard ends", || units(&inside).is_empty());
    wait_for_version(&app.health(), "1.2.0");
    inside.gitroll(&["show"]).exit(0).stdout_has("finished by the watchdog");
    inside.gitroll(&["status"]).exit(0).stdout_has("v1.2.0").stdout_has("web running");
    inside.gitroll(&["check"]).exit(0);
}

#[test]
fn what_the_watchdog_finished_is_said_to_who_looks_later() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    is_killed(deploy(&s, "1.1.0", "activate after=kill"));
    heals(&s, "1.1.0");
    let said = host.gitroll(&["status"]);
    said.exit(0).stdout_has("watchdog  finished deploy to v1.1.0").stdout_has("proven");
    let answer = host.gitroll(&["status", "--json"]).json();
    assert_eq!(answer["result"]["finished_by_watchdog"]["outcome"], "succeeded", "{answer}");
    host.gitroll(&["log", "-n", "1"]).exit(0).stdout_has(", watchdog");
    let late = host.gitroll(&["resume"]);
    late.exit(1).stderr_has("no run is open").stderr_has("the watchdog finished deploy to v1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
    host.gitroll(&["status"]).exit(0).stdout_lacks("watchdog  finished");
}

#[test]
fn who_meets_the_watchdog_at_work_is_told_that_it_is_the_watchdog() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().without_builds().settle(2, "3s");
    let s = Scenario::serving(&host, Fixture::Plain, &config.and("[run]\nwatchdog = \"1s\"\n"));
    is_killed(deploy(&s, "1.1.0", "activate after=kill"));
    let mut met = String::new();
    wait_until("the watchdog is met at work", || {
        let answer = host.gitroll(&["mark", "good", "HEAD", "--reason", "x"]);
        met = answer.stderr.clone();
        answer.code == Some(12) || open_runs(&host).is_empty()
    });
    assert!(met.contains("by the watchdog since") && met.contains("--wait 60s"), "{met}");
    heals(&s, "1.1.0");
}
