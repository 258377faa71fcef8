//! `gitroll watch`: rules over time against an app that fails when the test says so, and what is done and told of it.

use std::fs;

use crate::support::*;
use serde_json::Value;

/// 1.0.0 served and 1.1.0 serves, with these rules; messages are kept. `DIR` in the rules is the host's directory, and
/// `HEALTH` what the app answers.
fn watched<'h>(host: &'h TestEnvironment, announce: &str, rules: &str) -> Scenario<'h> {
    watched_on(host, announce, "2s", rules)
}

fn watched_on<'h>(
    host: &'h TestEnvironment,
    announce: &str,
    soak: &str,
    rules: &str,
) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    let more = format!(
        "[watch]\nevery = \"1s\"\nstart_grace = \"0s\"\nannounce = \"{announce}\"\nclear = \"4s\"\n\
         [soak]\nafter_back = \"{soak}\"\n\
         [notify.chat]\nkind = \"command\"\nrun = [\"sh\", \"-c\", \"tr -d '\\\\n' >> DIR/told; echo >> DIR/told\"]\n\
         {rules}"
    );
    let more =
        more.replace("DIR", &host.root().display().to_string()).replace("HEALTH", &app.health());
    let quick = AppConfig::default().without_builds().settle(1, "100ms").timeout("4s");
    app.configure(&quick.min_served("0s").and(&more));
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s.release_kept("1.1.0").exit(0);
    s
}

const FAILS: &str = "[[rule]]\nsymptom = \"the api fails\"\nseverity = \"P1\"\naction = \"code\"\n\
    probe = { http = \"HEALTH\", when = \"fails\" }\nfor = \"1s\"\nattempts = 2\nauto = true\n";

/// Its probe is about something else than the app: what the app depends on.
const DEPENDS: &str = "[[rule]]\nsymptom = \"orders fail\"\nseverity = \"P1\"\naction = \"code\"\n\
    probe = { file = \"DIR/down\" }\nattempts = 2\nauto = true\n";

/// No answer tells anything where its file is gone.
const LOGS: &str = "[[rule]]\nsymptom = \"orders fail\"\nseverity = \"P1\"\naction = \"code\"\n\
    probe = { log = { file = \"DIR/app.log\" }, expect = { must = \"boom\" } }\nattempts = 2\nauto = true\n";

/// The messages that were sent, but for those of the deploys at the beginning.
fn messages(host: &TestEnvironment) -> Vec<Value> {
    let text = fs::read_to_string(host.path("told")).unwrap_or_default();
    let all = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    all.filter(|message: &Value| message["act"] != "deploy").collect()
}

fn events(host: &TestEnvironment) -> Vec<String> {
    messages(host).iter().map(|m| m["event"].as_str().unwrap_or_default().to_owned()).collect()
}

fn backs(host: &TestEnvironment) -> usize {
    let log = host.gitroll(&["log", "--json"]).exit(0).json();
    let records = log["result"]["records"].as_array().expect("records are a list").clone();
    records.iter().filter(|line| line["record"]["event"] == "back").count()
}

#[test]
fn a_release_that_fails_after_a_while_is_announced_taken_back_and_watched() {
    let host = TestEnvironment::new();
    let s = watched(&host, "2s", FAILS);
    let going = Going::start(&host, &["watch"]);
    going.tells("P1 the api fails: absent, 200");
    host.gitroll(&["status"]).exit(0).stdout_has("watch     ✓ 1 rule, no symptom");
    s.app.sour("1.1.0");
    going.tells("(taken for real for 1 s and 2 times in a row)");
    going.tells("rolling back to v1.0.0-stable at");
    going.tells("confirmed by api 500");
    going.tells("gitroll silence 1h");
    going.tells("cleared after the rollback to v1.0.0-stable: 200");
    s.serves("1.0.0");
    going.tells("was healthy for 2 s: INC-1 is closed");
    going.interrupt();
    going.ends(0);

    wait_until("the messages", || events(&host).len() >= 4);
    assert_eq!(events(&host), ["announced", "done", "done", "done"], "{:#?}", messages(&host));
    let messages = messages(&host);
    let told = |at: usize| messages[at].to_string();
    assert!(told(0).contains("P1 the api fails: rolling back to v1.0.0-stable at"), "{}", told(0));
    assert!(told(0).contains("v1.1.0 deployed (#"), "{}", told(0));
    assert!(messages[..3].iter().all(|message| message["incident"] == "INC-1"), "{messages:#?}");
    assert_eq!(messages[1]["act"], "back", "{}", told(1));
    host.gitroll(&["show"]).exit(0).stdout_has("automatic, INC-1: the api fails: 500");
    host.gitroll(&["report", "--last"]).exit(0).stdout_has("automatic, INC-1");
    host.gitroll(&["incident", "list"]).exit(0).stdout_has("INC-1 P1 the api fails");
    host.gitroll(&["incident"]).exit(0).stdout_has("no incident is open");
    host.gitroll(&["status"]).exit(0).stdout_has("held").stdout_lacks("  watch ");
}

#[test]
fn what_does_not_help_is_done_once_withdrawn_and_told() {
    let host = TestEnvironment::new();
    let s = watched(&host, "1s", DEPENDS);
    let going = Going::start(&host, &["watch"]);
    going.tells("P1 orders fail:");
    fs::write(host.path("down"), "").expect("the host's directory is writable");
    s.app.sour("1.1.0");
    going.tells("rolling back to v1.0.0-stable at");
    going.tells("the rollback to v1.0.0-stable did not help, probably not the code");
    going.tells("verdict and hold of v1.1.0");
    s.serves("1.0.0");
    going.tells("not acting: nothing is done automatically any more");
    host.gitroll(&["status"])
        .exit(0)
        .stdout_lacks("held")
        .stdout_has(
            "does nothing automatically: the rollback to v1.0.0-stable did not help (INC-1)",
        )
        .stdout_has("incident  INC-1 P1 orders fail");
    let answer = host.gitroll(&["watch", "status", "--json"]).exit(0).json()["result"].clone();
    assert_eq!(answer["acts"][0]["ended"], "no-help", "{answer:#}");
    assert_eq!(answer["watcher"]["rules"][0]["fires"], true, "{answer:#}");
    assert_eq!(backs(&host), 1, "one act, and nothing more");
    assert_eq!(events(&host), ["announced", "done", "needs-person"], "{:#?}", messages(&host));

    // The next needs a person, and something new to take back.
    host.gitroll(&["watch", "ack"]).exit(0).stderr_has("it may act again");
    host.gitroll(&["watch", "ack"]).exit(1).stderr_has("nothing to acknowledge");
    going.tells("a person is working on it: lift");
    fs::remove_file(host.path("down")).expect("it is there");
    wait_until("it is told to be over", || events(&host).len() >= 4);
    host.gitroll(&["incident", "close", "--reason", "orders were back"]).exit(0);
    going.interrupt();
    going.ends(0);
    assert_eq!(backs(&host), 1);
}

#[test]
fn a_person_stops_what_was_announced_and_one_process_watches() {
    let host = TestEnvironment::new();
    let s = watched(&host, "60s", FAILS);
    let going = Going::start(&host, &["watch"]);
    going.tells("P1 the api fails: absent, 200");
    host.gitroll(&["watch"]).exit(12).stderr_has("this checkout is watched already (pid ");
    s.app.sour("1.1.0");
    going.tells("rolling back to v1.0.0-stable at");
    host.gitroll(&["silence", "1h", "--reason", "moving the disk"]).exit(0);
    going.tells("called off: silence until");
    going.tells("not told and not acting: silent until");
    host.gitroll(&["status"]).exit(0).stdout_has("silence   until").stdout_has("moving the disk");
    host.gitroll(&["silence", "--end"]).exit(0).stdout_has("the silence has ended");
    host.gitroll(&["silence"]).exit(0).stdout_has("no silence");
    wait_until("it is announced again", || {
        going.told().matches("rolling back to v1.0.0-stable at").count() == 2
    });
    // It is over by itself.
    s.app.mend("1.1.0");
    going.tells("called off: the symptom is gone");
    s.serves("1.1.0");
    host.gitroll(&["service", "stop"]).exit(0);
    going.tells("not done automatically: a person is working on it: web is stopped");
    host.gitroll(&["service", "start"]).exit(0);
    host.gitroll(&["service", "stop", "--maintenance"]).exit(0);
    going.tells("not told and not acting: silent since");
    going.interrupt();
    going.ends(0);
    assert_eq!(backs(&host), 0);

    let open = ["incident", "open", "the disk is full", "--severity", "P2"];
    host.gitroll(&open).exit(0).stdout_has("INC-2 P2 the disk is full");
    host.gitroll(&["incident", "close"])
        .exit(2)
        .stderr_has("several incidents are open: INC-1, INC-2");
    host.gitroll(&["incident", "close", "inc-2"]).exit(0).stdout_has("closed");
    host.gitroll(&["incident", "close", "INC-2"]).exit(1).stderr_has("INC-2 is not open");
}

#[test]
fn what_no_change_caused_and_nothing_confirms_is_only_told() {
    let host = TestEnvironment::new();
    let s = watched(&host, "1s", DEPENDS);
    // The symptom was there when it began to look: nobody knows whether the change brought it.
    fs::write(host.path("down"), "").expect("the host's directory is writable");
    s.app.sour("1.1.0");
    let going = Going::start(&host, &["watch"]);
    going.tells("not done automatically: nobody knows whether it began before v1.1.0 deployed");
    fs::remove_file(host.path("down")).expect("it is there");
    wait_until("it is over", || events(&host) == ["needs-person", "done"]);
    // From here on it is known, but every check passes.
    s.app.mend("1.1.0");
    fs::write(host.path("down"), "").expect("the host's directory is writable");
    going.tells("not done automatically: not confirmed: every check passes");
    going.interrupt();
    going.ends(0);
    assert_eq!(backs(&host), 0);
    s.serves("1.1.0");
}

#[test]
fn what_someone_changes_after_the_act_is_theirs() {
    let host = TestEnvironment::new();
    let s = watched(&host, "0s", DEPENDS);
    let going = Going::start(&host, &["watch"]);
    going.tells("P1 orders fail: absent");
    fs::write(host.path("down"), "").expect("the host's directory is writable");
    s.app.sour("1.1.0");
    going.tells("the symptom must be gone within 4 s");
    s.app.mend("1.1.0");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    going.tells("someone changed what serves after the rollback to v1.0.0-stable");
    going.tells("not done automatically: it was there before rolled back to v1.1.0");
    going.interrupt();
    going.ends(0);
    s.serves("1.1.0");
    assert_eq!(backs(&host), 2);
    let answer = host.gitroll(&["watch", "status", "--json"]).exit(0).json()["result"].clone();
    assert_eq!(answer["acts"][0]["ended"], "taken-over", "{answer:#}");
    assert!(answer["stopped"].is_null(), "{answer:#}");
}

#[test]
fn where_no_answer_tells_whether_it_helped_the_verdict_stays_and_a_person_is_told() {
    let host = TestEnvironment::new();
    fs::write(host.path("app.log"), "").expect("the host's directory is writable");
    let s = watched(&host, "0s", LOGS);
    let going = Going::start(&host, &["watch"]);
    going.tells("P1 orders fail: absent");
    fs::write(host.path("app.log"), "boom\n").expect("the host's directory is writable");
    s.app.sour("1.1.0");
    going.tells("the symptom must be gone within 4 s");
    fs::remove_file(host.path("app.log")).expect("it is there");
    going.tells("nobody knows whether the rollback to v1.0.0-stable helped");
    wait_until("a person is told", || events(&host).len() == 3);
    going.interrupt();
    going.ends(0);
    let answer = host.gitroll(&["watch", "status", "--json"]).exit(0).json()["result"].clone();
    assert_eq!(answer["acts"][0]["ended"], "unknown", "{answer:#}");
    host.gitroll(&["status"]).exit(0).stdout_has("held").stdout_has("nobody knows whether");
    assert_eq!(events(&host), ["announced", "done", "needs-person"], "{:#?}", messages(&host));
}

#[test]
fn what_fails_while_it_is_watched_after_a_rollback_is_told_and_nothing_is_done() {
    let host = TestEnvironment::new();
    let s = watched_on(&host, "0s", "60s", FAILS);
    let going = Going::start(&host, &["watch"]);
    going.tells("P1 the api fails: absent");
    s.app.sour("1.1.0");
    going.tells("watching v1.0.0-stable for 60 s");
    // A watcher that is started again begins anew: nobody looked meanwhile.
    going.interrupt();
    going.ends(0);
    let going = Going::start(&host, &["watch"]);
    going.tells("watching v1.0.0-stable for");
    host.gitroll(&["silence", "1h"]).exit(0);
    s.app.sour("1.0.0");
    going.tells("P1 the api fails: 500");
    host.gitroll(&["silence", "--end"]).exit(0);
    going.tells("v1.0.0-stable failed while it was watched after the rollback");
    wait_until("the message", || events(&host).last().is_some_and(|it| it == "needs-person"));
    going.interrupt();
    going.ends(0);
    assert_eq!(backs(&host), 1);
}

/// A number of the page by the name of its series.
fn metric(page: &str, name: &str) -> f64 {
    let line = page.lines().find(|line| line.starts_with(&format!("gitroll_{name}{{")));
    let line = line.unwrap_or_else(|| panic!("no {name} in {page}"));
    let value = line.rsplit_once(' ').expect("a value follows").1;
    value.parse().expect("it is a number")
}

#[test]
fn what_serves_and_what_is_wrong_are_metrics() {
    let host = TestEnvironment::new();
    let s = watched(&host, "1s", FAILS);
    let page = || host.gitroll(&["status", "--prometheus"]).exit(0).stdout.clone();
    let well = page();
    assert!(well.contains("version=\"v1.1.0"), "{well}");
    for (name, value) in [("serving_info", 1.0), ("healthy", 1.0), ("proven", 1.0)] {
        assert!((metric(&well, name) - value).abs() < 0.1, "{name} in {well}");
    }
    for name in ["checks_failing", "services_down", "open_runs", "silent", "incidents_open"] {
        assert!(metric(&well, name).abs() < 0.1, "{name} in {well}");
    }
    let now = metric(&well, "status_seconds");
    for name in ["serving_since_seconds", "last_stable_seconds"] {
        let age = now - metric(&well, name);
        assert!((0.0..600.0).contains(&age), "{name} is {age} s ago: {well}");
    }
    s.app.sour("1.1.0");
    host.gitroll(&["silence", "1h"]).exit(0);
    host.gitroll(&["incident", "open", "checkout slow"]).exit(0);
    let ill = page();
    for (name, value) in
        [("healthy", 0.0), ("checks_failing", 1.0), ("silent", 1.0), ("incidents_open", 1.0)]
    {
        assert!((metric(&ill, name) - value).abs() < 0.1, "{name} in {ill}");
    }
    host.gitroll(&["status", "--prometheus", "--json"]).exit(2);
}
