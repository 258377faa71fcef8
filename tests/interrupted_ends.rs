//! Runs that were killed between their end and their record: what had been seen by then may be gone when
//! somebody goes on with them.

use crate::support::*;

/// 1.0.0 serves; a deploy of 1.1.0 is killed at a place, and then the service dies.
fn killed_at<'h>(host: &'h TestEnvironment, place: &str, behaviour: Behaviour) -> Scenario<'h> {
    let quick = AppConfig::default().without_builds().settle(1, "200ms").timeout("4s");
    let s = Scenario::serving(host, Fixture::Plain, &quick);
    let one = s.app.head();
    let two = s.app.commit_version("1.1.0", behaviour);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    let mut deploy = host.gitroll_command(&["deploy", &two, "--yes"]);
    deploy.env("GITROLL_FAIL_AT", format!("{place}=kill"));
    assert_eq!(deploy.output().expect("it runs").status.code(), None, "it was killed");
    s
}

fn end_the_service(s: &Scenario<'_>) {
    let pid = s.app.pid_served().to_string();
    s.host.run("kill", &["-9", &pid]).exit(0);
    s.is_down();
}

#[test]
fn what_was_proven_before_the_kill_is_started_and_seen_again() {
    let host = TestEnvironment::new();
    let s = killed_at(&host, "journal proven after", Behaviour::Good);
    end_the_service(&s);
    host.gitroll(&["abort"]).stderr_has("too late");
    host.gitroll(&["resume"]).exit(0).stdout_has("v1.1.0 observed serving");
    s.serves("1.1.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn what_was_proven_before_the_kill_and_is_broken_now_is_not_told_as_serving() {
    let host = TestEnvironment::new();
    let s = killed_at(&host, "journal proven after", Behaviour::Good);
    let whole = s.app.read("server.js");
    s.app.write("server.js", "process.exit(3)\n");
    end_the_service(&s);
    host.gitroll(&["resume"]).exit(21).stderr_has("no longer serves").stdout_lacks("serving:");
    // It is over: nothing is in the way of the way back.
    host.gitroll(&["status"]).stdout_has("none open");
    s.app.write("server.js", &whole);
    host.gitroll(&["back", "--to", "previous", "--yes"]).exit(0).stdout_has("v1.0.0");
    s.serves("1.0.0");
}

#[test]
fn what_was_proven_before_the_kill_and_was_checked_out_of_is_not_told_as_serving() {
    let host = TestEnvironment::new();
    let s = killed_at(&host, "journal proven after", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--force", "HEAD~1"]);
    host.gitroll(&["resume"]).exit(21).stderr_has("HEAD was moved");
    host.gitroll(&["status"]).stdout_has("none open");
}

#[test]
fn what_was_restored_before_the_kill_is_started_and_seen_again() {
    for way in ["resume", "abort"] {
        let host = TestEnvironment::new();
        let s = killed_at(&host, "journal restored after", Behaviour::ThrowsAtBoot);
        end_the_service(&s);
        let code = if way == "abort" { 0 } else { 20 };
        host.gitroll(&[way]).exit(code);
        s.serves("1.0.0");
        host.gitroll(&["status"]).exit(0).stdout_has("none open");
    }
}

#[test]
fn a_state_that_answers_is_not_told_to_be_dead_where_its_tree_cannot_be_put_back() {
    let host = TestEnvironment::new();
    let s = killed_at(&host, "activate after", Behaviour::Good);
    // 1.0.0 still runs. What git needs to bring its files back is gone.
    let lost = s.app.git(&["rev-parse", "HEAD:package.json"]);
    let lost = lost.trim();
    let object = s.app.dir.join(".git/objects").join(&lost[..2]).join(&lost[2..]);
    std::fs::rename(&object, host.path("object")).expect("a loose object");
    let told = host.gitroll(&["abort"]);
    told.exit(21)
        .stderr_has("v1.0.0")
        .stderr_has("v1.0.0-stable")
        .stderr_has(" answers")
        .stderr_lacks("nothing healthy serves");
    std::fs::rename(host.path("object"), &object).expect("it goes back");
    host.gitroll(&["resume"]).exit(20);
    s.serves("1.0.0");
}
