//! What serves fails and so does the first candidate of `back`: the way to the next one, cut off and gone wrong.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::*;

/// 1.0.0, 1.1.0 and 1.2.0 were deployed one after the other; these versions fail now.
#[track_caller]
fn three_releases<'h>(host: &'h TestEnvironment, sour: &[&str], run: &str) -> Scenario<'h> {
    let config = AppConfig::default().settle(1, "300ms").timeout("2s").without_builds().and(run);
    let s = Scenario::serving(host, Fixture::Plain, &config);
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.release("1.2.0", Behaviour::Good).exit(0);
    for version in sour {
        s.app.sour(version);
    }
    s
}

/// 1.2.0 serves and fails, 1.1.0 fails, 1.0.0 is good.
#[track_caller]
fn only_the_oldest_is_good(host: &TestEnvironment) -> Scenario<'_> {
    three_releases(host, &["1.1.0", "1.2.0"], "[run]\nwatchdog = \"off\"\n")
}

/// `back` with a fault at a named place.
fn back(s: &Scenario<'_>, fault: &str) -> Answer {
    let mut command = s.host.gitroll_command(&["back", "--yes"]);
    command.env("GITROLL_FAIL_AT", fault);
    Answer::of(command, Duration::from_secs(60))
}

/// 1.0.0 was proven, and what was left first is held: nothing else.
#[track_caller]
fn is_at_the_oldest(s: &Scenario<'_>, left: &str) {
    s.serves("1.0.0");
    let status = s.host.gitroll(&["status", "--json"]).exit(0).json();
    let result = &status["result"];
    assert_eq!(result["open_runs"], serde_json::json!([]));
    assert_eq!(result["held"].as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!(result["held"][0]["commit"], left);
}

/// 1.2.0 is there as it was before, failing, nothing is held and no run is open.
#[track_caller]
fn is_as_before(s: &Scenario<'_>, left: &str) {
    assert_eq!(s.app.head(), left);
    assert_eq!(s.app.version_served().as_deref(), Some("1.2.0"));
    let status = s.host.gitroll(&["status"]);
    status.exit(0).stdout_has("none open").stdout_lacks("held").stdout_lacks("by hand");
}

#[test]
fn where_the_next_candidate_cannot_be_begun_with_a_person_is_needed_and_nothing_is_called_unchanged()
 {
    let host = TestEnvironment::new();
    let s = only_the_oldest_is_good(&host);
    let left = s.app.head();
    let answer = back(&s, "run directory made#2=error");
    answer.exit(21).stderr_lacks("nothing was changed").stderr_has("v1.0.0-stable");
    answer
        .stderr_has("A PERSON IS NEEDED")
        .stderr_has("gitroll resume")
        .stderr_has("gitroll abort");
    let status = s.host.gitroll(&["status"]);
    status.exit(0).stdout_has("a person is needed").stdout_lacks("by hand");
    host.gitroll(&["back", "--yes"]).exit(22);
    // It goes on as `back` would have, never forward to what was left.
    host.gitroll(&["resume"]).exit(0).stdout_has("v1.0.0-stable observed serving");
    is_at_the_oldest(&s, &left);
}

#[test]
fn where_the_next_candidate_does_not_build_what_served_before_can_still_be_put_back() {
    let host = TestEnvironment::new();
    let config =
        AppConfig::default().settle(1, "300ms").timeout("2s").and("[run]\nwatchdog = \"off\"\n");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.release("1.2.0", Behaviour::Good).exit(0);
    let left = s.app.head();
    s.app.sour("1.1.0");
    s.app.sour("1.2.0");
    // Nothing is kept: every way back is built.
    fs::remove_dir_all(s.app.dir.join(".git/gitroll/store")).expect("artifacts are kept there");
    let answer = back(&s, "build app before#2=error");
    answer.exit(21).stderr_lacks("nothing was changed").stderr_has("build app");
    answer.stderr_has("gitroll resume").stderr_has("gitroll abort");
    host.gitroll(&["abort"]).exit(21).stderr_has("fails as it did before");
    is_as_before(&s, &left);
    host.gitroll(&["back", "--yes"]).exit(0);
    is_at_the_oldest(&s, &left);
}

#[test]
fn killed_before_the_next_candidate_was_begun_with_the_run_is_open_and_goes_on_to_it() {
    for place in ["journal failed after", "run plan written#2", "journal begun after#2"] {
        let host = TestEnvironment::new();
        let s = only_the_oldest_is_good(&host);
        let left = s.app.head();
        assert_eq!(back(&s, &format!("{place}=kill")).code, None);
        let status = s.host.gitroll(&["status"]);
        status.exit(0).stdout_has("gitroll resume").stdout_lacks("by hand");
        host.gitroll(&["back", "--yes"]).exit(22);
        host.gitroll(&["resume"]).exit(0).stdout_has("v1.0.0-stable observed serving");
        is_at_the_oldest(&s, &left);
        host.gitroll(&["back", "--undo", "--plan"]).exit(0).stderr_has("v1.2.0");
    }
}

#[test]
fn one_abort_undoes_both_runs() {
    for place in
        ["journal failed after", "journal begun after#2", "activate after#2", "reload web after#2"]
    {
        let host = TestEnvironment::new();
        let s = only_the_oldest_is_good(&host);
        let left = s.app.head();
        assert_eq!(back(&s, &format!("{place}=kill")).code, None, "{place}");
        host.gitroll(&["abort"]).exit(21).stderr_has("fails as it did before");
        is_as_before(&s, &left);
    }
}

#[test]
fn where_the_next_candidate_fails_as_well_it_stays_for_a_person_and_abort_goes_all_the_way_back() {
    let host = TestEnvironment::new();
    let s = three_releases(&host, &["1.0.0", "1.1.0", "1.2.0"], "");
    let left = s.app.head();
    let answer = host.gitroll(&["back", "--yes"]);
    answer.exit(21).stderr_has("tree     v1.0.0-stable").stderr_has("not used v1.1.0");
    host.gitroll(&["resume"]).exit(21).stderr_has("gitroll abort");
    host.gitroll(&["abort"]).exit(21).stderr_has("fails as it did before");
    is_as_before(&s, &left);

    // Mended while a person was needed, it is the run that counts.
    host.gitroll(&["back", "--yes"]).exit(21);
    s.app.mend("1.0.0");
    host.gitroll(&["resume"]).exit(0).stdout_has("v1.0.0-stable observed serving");
    is_at_the_oldest(&s, &left);
}

/// `back` that waits at a place, and where it says that it may go on.
fn waiting_at(s: &Scenario<'_>, place: &str) -> Child {
    let log = s.host.path("places");
    let mut command = s.host.gitroll_command(&["back", "--yes"]);
    command.env("GITROLL_FAIL_AT", format!("{place}=wait")).env("GITROLL_FAIL_LOG", &log);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    wait_until("it is there", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("fired "))
    });
    child
}

#[test]
fn who_stops_it_between_or_within_the_runs_gets_back_what_was_there() {
    for place in ["run directory made#2", "reload web before#2"] {
        let host = TestEnvironment::new();
        let s = only_the_oldest_is_good(&host);
        let left = s.app.head();
        let mut child = waiting_at(&s, place);
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let signal = rustix::process::Signal::INT;
        rustix::process::kill_process(pid.expect("a pid"), signal).expect("it is there");
        fs::write(host.path("places.go"), "").expect("it is writable");
        assert_eq!(child.wait().expect("it ends").code(), Some(21), "{place}");
        is_as_before(&s, &left);
    }
}

#[test]
fn killed_between_or_within_the_runs_the_host_heals_without_a_person() {
    for place in ["run directory made#2", "activate after#2", "journal closed after"] {
        let host = TestEnvironment::new();
        let s = three_releases(&host, &["1.1.0", "1.2.0"], "[run]\nwatchdog = \"3s\"\n");
        let left = s.app.head();
        assert_eq!(back(&s, &format!("{place}=kill")).code, None, "{place}");
        wait_until("the runs are over", || host.gitroll(&["status"]).stdout.contains("none open"));
        is_at_the_oldest(&s, &left);
        wait_until("no guard is armed", || {
            let mut runs = fs::read_dir(s.app.dir.join(".git/gitroll/runs")).expect("there are");
            !runs.any(|run| run.expect("it is listed").path().join("watchdog.json").exists())
        });
    }
}

#[test]
fn a_damaged_journal_of_the_run_beneath_is_in_the_way_of_the_one_above() {
    let host = TestEnvironment::new();
    let s = only_the_oldest_is_good(&host);
    assert_eq!(back(&s, "activate after#2=kill").code, None);
    let runs = fs::read_dir(s.app.dir.join(".git/gitroll/runs")).expect("there are runs");
    let mut runs: Vec<_> = runs.map(|run| run.expect("it is listed").path()).collect();
    runs.sort();
    let journal = runs[runs.len() - 2].join("journal.jsonl");
    let mut bytes = fs::read(&journal).expect("it is there");
    bytes[60] ^= 1;
    fs::write(&journal, &bytes).expect("it is writable");
    for command in ["status", "resume", "abort"] {
        host.gitroll(&[command]).exit(21).stderr_has(&journal.display().to_string());
    }
}
