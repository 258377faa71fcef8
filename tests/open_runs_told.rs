//! What `status` and the other commands say while a run is open, and after it was finished by nobody: what
//! serves, what is done, what the ways on will really do.

use std::fs;
use std::process::{Child, Stdio};

use crate::support::*;
use serde_json::Value;

/// 1.0.0 serves; the watchdog is far away.
fn serving(host: &TestEnvironment) -> Scenario<'_> {
    let config = AppConfig::default().without_builds().settle(2, "300ms").timeout("4s");
    Scenario::serving(host, Fixture::Plain, &config)
}

/// 1.1.0 committed, 1.0.0 checked out.
fn next_version(s: &Scenario<'_>) -> String {
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    next
}

fn start(host: &TestEnvironment, args: &[&str], place: &str) -> Child {
    let mut command = host.gitroll_command(args);
    command.env("GITROLL_FAIL_AT", place).env("GITROLL_FAIL_LOG", host.path("places"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// A command that is killed at a place.
#[track_caller]
fn killed(host: &TestEnvironment, args: &[&str], place: &str) {
    let status = start(host, args, &format!("{place}=kill")).wait().expect("it ends");
    assert_eq!(status.code(), None, "{place} was not passed: {status}");
}

fn reached(host: &TestEnvironment, place: &str) {
    let fired = format!("fired {place}");
    wait_until(place, || {
        fs::read_to_string(host.path("places")).is_ok_and(|text| text.contains(&fired))
    });
}

fn status(host: &TestEnvironment) -> Value {
    host.gitroll(&["status", "--json"]).exit(0).json()["result"].clone()
}

#[test]
fn before_the_reload_status_says_what_serves_and_what_the_run_put_into_the_tree() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    killed(&host, &["deploy", &next, "--yes"], "head after");
    let said = host.gitroll(&["status"]);
    said.exit(0)
        .stdout_lacks("by hand")
        .stdout_has("back to   unknown until the open run is finished");
    said.stdout_has("tree      v1.1.0").stdout_has("deployed by the open run");
    said.stdout_has("tree clean");
    assert!(said.stdout.contains("serving   v1.0.0-stable"), "{}", said.stdout);
    let answer = status(&host);
    assert_eq!(answer["serving"]["version"], "1.0.0", "{answer}");
    assert_eq!(answer["healthy"], true, "{answer}");
    assert_eq!(answer["back_to"], Value::Null, "{answer}");
    assert_eq!(answer["open_runs"][0]["tree"], "target", "{answer}");
    assert_eq!(answer["open_runs"][0]["course"], "forward", "{answer}");
}

#[test]
fn a_run_that_is_alive_at_its_proof_was_not_put_there_by_hand() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    let mut deploy = start(&host, &["deploy", &next, "--yes"], "prove before=wait");
    reached(&host, "prove before");
    wait_for_version(&s.app.health(), "1.1.0");
    let said = host.gitroll(&["status"]);
    said.exit(0).stdout_has("by the open run, not proven yet").stdout_lacks("by hand");
    host.gitroll(&["doctor"]).stdout_lacks("by hand").stdout_lacks("gitroll deploy\n");
    host.gitroll(&["deploy", &next]).exit(12).stderr_has("--wait 60s").stderr_has(" ago), pid ");
    fs::write(host.path("places.go"), "").expect("the test's directory is writable");
    assert!(deploy.wait().expect("it ends").success());
}

#[test]
fn files_that_the_run_itself_is_changing_are_no_edits() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    killed(&host, &["deploy", &next, "--yes"], "activate after");
    host.gitroll(&["status"]).exit(0).stdout_lacks("edited").stdout_has("tree      partly v1.1.0");
    s.app.write("README.md", "edited at night\n");
    host.gitroll(&["status"]).exit(0).stdout_has("README.md edited");
}

#[test]
fn a_run_that_goes_back_is_told_with_that_way_and_resume_finishes_it() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    killed(&host, &["deploy", &next, "--yes"], "prove before");
    killed(&host, &["abort"], "journal tree-restored after");
    let said = host.gitroll(&["status"]);
    said.exit(0)
        .stdout_has("done      going back: activate")
        .stdout_has("not done  going back: reload web, prove, record")
        .stdout_has("finishes restoring v1.0.0-stable")
        .stdout_lacks("continues to v1.1.0");
    let refused = host.gitroll(&["deploy", &next]);
    refused.exit(22).stderr_has("finishes restoring").stderr_lacks("continues to v1.1.0");
    assert_eq!(status(&host)["open_runs"][0]["course"], "back");
    host.gitroll(&["resume"]).exit(20);
    s.serves("1.0.0");
}

#[test]
fn past_the_commit_point_nobody_offers_an_abort() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    killed(&host, &["deploy", &next, "--yes"], "journal proven after");
    host.gitroll(&["status"])
        .exit(0)
        .stdout_has("proven by the open run, not recorded yet")
        .stdout_lacks("gitroll abort");
    host.gitroll(&["deploy", &next]).exit(22).stderr_lacks("gitroll abort").stderr_has("resume");
    let aborted = host.gitroll(&["abort"]);
    aborted.exit(22).stderr_has("too late to abort").stderr_has("gitroll resume");
    // Nothing is there to be undone after a deploy: what is left is left by going back.
    aborted.stderr_has("then gitroll back leaves it").stderr_lacks("--undo");
    host.gitroll(&["resume"]).exit(0);
    killed(&host, &["back", "--yes"], "journal proven after");
    host.gitroll(&["abort"]).exit(22).stderr_has("gitroll back --undo");
    host.gitroll(&["resume"]).exit(0);
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    s.serves("1.1.0");
}

#[test]
fn a_record_that_is_in_the_chain_is_not_called_missing() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    killed(&host, &["deploy", &next, "--yes"], "chain moved");
    let said = host.gitroll(&["status"]);
    said.exit(0).stdout_has("is recorded (#").stdout_lacks("not recorded").stdout_lacks("not done");
    let answer = status(&host);
    assert_eq!(answer["open_runs"][0]["record"], answer["record"], "{answer}");
    assert_eq!(answer["open_runs"][0]["left"], serde_json::json!([]), "{answer}");
    host.gitroll(&["resume"]).exit(0);
}

#[test]
fn status_of_a_run_that_needs_a_person_says_what_the_run_said() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.sour("1.0.0");
    s.app.sour("1.1.0");
    let ended = host.gitroll(&["back", "--yes"]);
    ended.exit(21);
    let said = host.gitroll(&["status"]);
    said.exit(0).stdout_has("nothing healthy").stdout_lacks("proven #").stdout_lacks("by hand");
    for (name, words) in [
        ("why", "prove: api: 500"),
        ("not used", "it was failing too"),
        ("gitroll resume", "after you fix the problem"),
        ("gitroll abort", "restores what served before, which was failing"),
    ] {
        ended.stderr_has(name).stderr_has(words);
        said.stdout_has(name).stdout_has(words);
    }
    let answer = status(&host);
    assert_eq!(answer["told"], false, "{answer}");
    assert_eq!(answer["open_runs"][0]["why"], "prove: api: 500", "{answer}");
    // It needs a person, it was not killed.
    said.stdout_lacks("killed");
}

#[test]
fn a_lock_in_the_way_of_abort_is_no_kill() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    killed(&host, &["deploy", &next, "--yes"], "prove before");
    let mut abort = start(&host, &["abort"], "restore tree before=wait");
    reached(&host, "restore tree before");
    let lock = s.app.dir.join(".git/index.lock");
    fs::write(&lock, "").expect("it is writable");
    fs::write(host.path("places.go"), "").expect("the test's directory is writable");
    assert_eq!(abort.wait().expect("it ends").code(), Some(21));
    // As where not even the note of being at work can be removed.
    let note = s.app.dir.join(".git/gitroll/at-work.json");
    fs::write(&note, STALE_NOTE).expect("it is writable");
    host.gitroll(&["status"])
        .exit(0)
        .stdout_lacks("killed  ")
        .stdout_has("tree      partly v1.1.0");
    fs::remove_file(&lock).expect("it is there");
    host.gitroll(&["abort"]).exit(0).stderr_lacks("killed");
    s.serves("1.0.0");
}

/// The note of a command that is gone, as an earlier version wrote it.
const STALE_NOTE: &str = r#"{"at_work":1,"command":"abort","process":null,"session":0,"call":"00",
    "since":"2026-01-01T00:00:00Z","locks":[]}"#;

#[test]
fn a_terminal_closed_at_the_question_alarms_nobody() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    killed(&host, &["deploy", &next, "--yes"], "lock taken");
    host.gitroll(&["status"])
        .exit(0)
        .stdout_lacks("killed")
        .stdout_has("nothing remains to be done");
    assert_eq!(status(&host)["killed"]["leftovers"], false);
}

#[test]
fn an_open_run_that_nobody_guards_says_so() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().without_builds().and("[run]\nwatchdog = \"off\"\n");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    let next = next_version(&s);
    killed(&host, &["deploy", &next, "--yes"], "prove before");
    host.gitroll(&["status"])
        .exit(0)
        .stdout_has("watchdog  none: you must finish this run yourself");
}

#[test]
fn commands_that_only_look_mention_the_open_run() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    killed(&host, &["deploy", &next, "--yes"], "head after");
    for looking in ["targets", "log", "show", "check"] {
        let answer = host.gitroll(&[looking]);
        answer.stderr_has("a run is open: deploy to v1.1.0").stdout_lacks("a run is open");
    }
    // What is printed to be typed is accepted: `back` is refused until the run is over.
    let targets = host.gitroll(&["targets"]);
    targets.stderr_has("next     gitroll resume").stderr_has("gitroll abort");
    targets.stderr_lacks("gitroll back").stdout_lacks("→");
    let saved = host.gitroll(&["saved"]);
    saved.exit(0).stderr_has("gitroll resume").stderr_has("gitroll abort");
    // What the run put into the tree was not started yet: what serves is what it was.
    host.gitroll(&["check"]).exit(0).stdout_has("v1.0.0-stable").stderr_lacks("gitroll back");
}

#[test]
fn what_is_printed_while_a_run_is_open_is_accepted() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0);
    for place in ["activate before", "reload web after", "journal proven after", "chain moved"] {
        killed(&host, &["back", "--undo", "--yes"], place);
        let answer = status(&host);
        let steps = answer["diagnosis"]["next"].as_array().expect("a list").clone();
        let commands: Vec<&str> = steps.iter().filter_map(|step| step[0].as_str()).collect();
        assert_eq!(commands.first(), Some(&"gitroll resume"), "{place}: {answer}");
        assert!(!commands.iter().any(|one| one.contains("back")), "{place}: {commands:?}");
        for looking in ["targets", "saved"] {
            host.gitroll(&[looking]).exit(0).says("gitroll resume").stderr_lacks("  gitroll back");
        }
        host.gitroll(&["resume"]).exit(0);
        s.serves("1.1.0");
        host.gitroll(&["back", "--yes"]).exit(0);
    }
}
