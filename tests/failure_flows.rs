//! When more than one thing is wrong: the next candidate, a person, an open run, a lost key, a lock, a
//! remote that is away.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::support::*;

fn quick() -> AppConfig {
    AppConfig::default().settle(2, "400ms").timeout("4s").without_builds()
}

/// 1.0.0, 1.1.0 and 1.2.0 were deployed one after the other; these versions fail now.
#[track_caller]
fn three_releases<'h>(host: &'h TestEnvironment, sour: &[&str]) -> Scenario<'h> {
    let s = Scenario::serving(host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.release("1.2.0", Behaviour::Good).exit(0);
    for version in sour {
        s.app.sour(version);
    }
    s
}

/// Nothing healthy is left: 1.2.0 serves and fails, so do both it could go back to.
#[track_caller]
fn a_person_is_needed(host: &TestEnvironment) -> Scenario<'_> {
    let s = three_releases(host, &["1.0.0", "1.1.0", "1.2.0"]);
    let answer = host.gitroll(&["back", "--yes"]);
    answer.exit(21).stderr_has("A PERSON IS NEEDED").stderr_has("gitroll resume");
    s.is_down();
    s
}

#[test]
fn where_baseline_and_target_are_bad_the_next_candidate_serves() {
    let host = TestEnvironment::new();
    let s = three_releases(&host, &["1.1.0", "1.2.0"]);
    let answer = host.gitroll(&["back", "--yes"]);
    answer.exit(0).stdout_has("v1.0.0-stable observed serving").stderr_has("v1.1.0");
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
    host.gitroll(&["log"]).exit(0).stdout_has("failed");
}

#[test]
fn where_the_baseline_was_good_a_bad_target_is_left_again() {
    let host = TestEnvironment::new();
    let s = three_releases(&host, &["1.1.0"]);
    host.gitroll(&["back", "--yes"]).exit(20).stderr_has("restored, observed serving");
    s.serves("1.2.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open").stdout_lacks("held");
}

#[test]
fn where_nothing_healthy_is_left_the_run_stays_open_until_a_person_mended_it() {
    let host = TestEnvironment::new();
    let s = a_person_is_needed(&host);
    let status = host.gitroll(&["status"]);
    status.exit(0).stdout_has("a person is needed").stdout_has("gitroll resume");
    let bad = s.app.git(&["rev-parse", "main"]);
    for refused in [
        &["back", "--yes"] as &[&str],
        &["deploy", &bad, "--yes"],
        &["promote", "--yes"],
        &["mark", "bad", &bad, "--reason", "x"],
        &["init", "--yes"],
    ] {
        host.gitroll(refused).exit(22).stderr_has("gitroll resume").stderr_has("gitroll abort");
    }
    host.gitroll(&["targets"]).exit(0);
    host.gitroll(&["log"]).exit(0);
    host.gitroll(&["resume"]).exit(21);

    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        s.app.mend(version);
    }
    host.gitroll(&["resume"]).stdout_has("");
    let served = s.app.version_served().expect("somebody answers");
    s.serves(&served);
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
    host.gitroll(&["resume"]).exit(1).stderr_has("no run is open");
}

#[test]
fn a_mended_target_is_what_resume_proves() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.sour("1.0.0");
    s.app.sour("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(21).stderr_has("api: 500");
    s.app.mend("1.0.0");
    host.gitroll(&["resume"]).exit(0).stdout_has("v1.0.0-stable observed serving");
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open").stdout_has("v1.1.0");
}

#[test]
fn aborting_puts_back_what_failed_before_and_leaves_the_way_free_for_a_fix() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    let before = s.app.head();
    s.app.sour("1.0.0");
    s.app.sour("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(21);
    let aborted = host.gitroll(&["abort"]);
    aborted.exit(21).stderr_has("v1.1.0").stderr_has("fails as it did").stderr_has("api: 500");
    aborted.stderr_has("v1.0.0-stable was tried and failed").stderr_has("next     gitroll check");
    assert_eq!(s.app.head(), before);
    assert_eq!(s.app.version_served().as_deref(), Some("1.1.0"));
    host.gitroll(&["status"]).exit(0).stdout_has("none open").stdout_lacks("held");
    s.release("1.2.0", Behaviour::Good).exit(0);
    s.serves("1.2.0");
}

#[test]
fn with_every_candidate_failing_an_aborted_run_leaves_the_way_free_for_a_fix() {
    let host = TestEnvironment::new();
    let s = a_person_is_needed(&host);
    host.gitroll(&["abort"]).exit(21).stderr_has("the run is over").stderr_has("gitroll check");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
    s.release("1.3.0", Behaviour::Good).exit(0);
    s.serves("1.3.0");
}

#[test]
fn an_aborted_deploy_leaves_what_served_before() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let mut deploy = {
        s.app.git(&["checkout", "-q", "main"]);
        let hangs = s.app.commit_version("1.1.0", Behaviour::HangsAtBoot);
        let mut command = host.gitroll_command(&["deploy", &hangs, "--yes"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("gitroll can be started")
    };
    wait_until("the old version is gone", || http_get(&s.app.health()).is_err());
    deploy.kill().expect("a child can be killed");
    deploy.wait().expect("a child can be waited for");
    host.gitroll(&["status"]).exit(0).stdout_has("interrupted");
    host.gitroll(&["back", "--yes"]).exit(22);
    host.gitroll(&["abort"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn a_key_lost_after_the_proof_leaves_the_target_serving_and_the_next_command_signs() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let key = host.path("gitroll/key");
    let away = host.path("key-is-away");
    assert!(key.is_file(), "the host has a key of its own");
    // Preflight signs a probe; the key goes away when the new version begins to serve.
    let steal = format!("fs.renameSync({:?}, {:?});\n", key, away);
    s.app.write("server.js", &(s.app.read("server.js") + &steal));
    let answer = s.release_kept("1.1.0");
    answer.exit(30).stdout_has("v1.1.0 observed serving").stderr_has("could not be signed");
    s.serves("1.1.0");
    host.gitroll(&["status"]).exit(0).stdout_has("1 record unsigned").stdout_has("none open");
    let head = s.app.head();

    std::fs::rename(&away, &key).expect("it was only moved");
    let mark = host.gitroll(&["mark", "good", &head, "--reason", "looked at it"]);
    mark.exit(0).stderr_has("signed 1 record from the queue");
    let status = host.gitroll(&["status"]);
    status.exit(0).stdout_lacks("unsigned").stdout_has("proven");
    let log = host.gitroll(&["log", "--json"]).exit(0).json();
    let events: Vec<_> = log["result"]["records"]
        .as_array()
        .expect("records are a list")
        .iter()
        .map(|line| line["record"]["event"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(events[..2], ["mark", "deploy"], "in the order in which they happened");
}

#[test]
fn a_second_command_is_told_who_is_at_work() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick().timeout("15s"));
    s.app.git(&["checkout", "-q", "main"]);
    let slow = s.app.commit_version("1.1.0", Behaviour::SlowBoot(4));
    let mut first = host.gitroll_command(&["deploy", &slow, "--yes"]);
    first.stdout(Stdio::null()).stderr(Stdio::null());
    let mut first = first.spawn().expect("gitroll can be started");
    wait_until("the old version is gone", || http_get(&s.app.health()).is_err());
    let answer = host.gitroll(&["back", "--yes"]);
    answer.exit(12).stderr_has("gitroll deploy by ").stderr_has(&first.id().to_string());
    answer.stderr_has(": deploy to v1.1.0");
    answer.within(Duration::from_secs(3));
    host.gitroll(&["log"]).exit(0);
    let ended = first.wait().expect("a child can be waited for");
    assert_eq!(ended.code(), Some(0), "the first one went on undisturbed");
    s.serves("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
}

#[test]
fn a_second_command_can_wait_and_says_for_whom() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick().timeout("15s"));
    let slow = s.app.commit_version("1.1.0", Behaviour::SlowBoot(3));
    let mut first = host.gitroll_command(&["deploy", &slow, "--yes"]);
    let first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut first = first.expect("gitroll can be started");
    wait_until("the old version is gone", || http_get(&s.app.health()).is_err());
    host.gitroll(&["mark", "good", "HEAD", "--yes", "--wait", "soon"]).exit(2);
    let answer = host.gitroll(&["back", "--yes", "--wait", "60s"]);
    answer.exit(0).stderr_has("waiting up to 60 s for gitroll deploy by ");
    assert_eq!(first.wait().expect("a child can be waited for").code(), Some(0));
    s.serves("1.0.0");
}

#[test]
fn where_the_remote_is_required_and_away_the_target_serves_and_the_exit_code_says_so() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let away = host.path("remote-is-away.git");
    s.app.git(&["remote", "add", "origin", away.to_str().expect("UTF-8")]);
    s.release("1.1.0", Behaviour::Good).exit(0).stderr_has("not published");
    s.app.git(&["checkout", "-q", "main"]);
    s.app.configure(&quick().and("[remote]\nrequired = true\n"));
    let answer = s.release_kept("1.2.0");
    answer.exit(30).stdout_has("v1.2.0 observed serving").stderr_has("not published");
    s.serves("1.2.0");
    host.gitroll(&["status"]).exit(0).stdout_has("unpublished").stdout_has("none open");

    s.app.git(&["init", "-q", "--bare", away.to_str().expect("UTF-8")]);
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.1.0");
    host.gitroll(&["status"]).exit(0).stdout_lacks("unpublished");
    let chain = s.app.git(&["for-each-ref", "--format=%(objectname) %(refname)", "refs/gitroll/"]);
    let there = s.app.git(&["ls-remote", "origin", "refs/gitroll/*"]).replace('\t', " ");
    assert_eq!(there, chain);
}

#[test]
fn a_pipeline_does_not_try_again_what_has_just_failed_and_a_person_may() {
    let host = TestEnvironment::new();
    let deploy = "[deploy]\nref = \"origin/main\"\n";
    let config = AppConfig::default().without_builds().and(deploy);
    let app = host.app(Fixture::Plain);
    app.configure(&config);
    app.commit_version("1.0.0", Behaviour::Good);
    app.with_remote();
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let serving = s.app.head();
    let broken = s.app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
    s.app.git(&["push", "-q", "origin", "HEAD:main"]);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    host.gitroll(&["deploy", "--yes"]).exit(20);
    let pid = s.app.pid_served();
    host.gitroll(&["deploy", "--yes"])
        .exit(10)
        .stderr_has("its deploy failed: record #3")
        .stderr_has(&format!("gitroll deploy {}", &broken[..7]));
    assert_eq!(s.app.pid_served(), pid, "nothing was reloaded");
    host.gitroll(&["deploy", &broken, "--yes"]).exit(20);
}

#[test]
fn what_a_check_prints_is_not_taken_for_a_person_who_stopped_the_deploy() {
    let host = TestEnvironment::new();
    let job = "[[check]]\nname = \"job\"\ncommand = [\"sh\", \"job.sh\"]\npasses = 1\nsettle = \"0s\"\ntimeout = \"1s\"\n";
    let app = host.app(Fixture::Plain);
    app.configure(&quick().and(job).and("[deploy]\nref = \"origin/main\"\n"));
    app.write("job.sh", "exit 0\n");
    app.commit_version("1.0.0", Behaviour::Good);
    app.with_remote();
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let serving = s.app.head();
    s.app.write("job.sh", "echo job was interrupted by SIGTERM; exit 1\n");
    s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["push", "-q", "origin", "HEAD:main"]);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    host.gitroll(&["deploy", "--yes"]).exit(20);
    host.gitroll(&["show"]).exit(0).stdout_has("job was interrupted by SIGTERM");
    host.gitroll(&["deploy", "--yes"]).exit(10).stderr_has("its deploy failed");
}

#[test]
fn a_local_file_edited_on_the_host_makes_no_deploy_of_what_serves_already() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&AppConfig::default().without_builds());
    let text = app.read("gitroll.toml").replace("[app]\n", "[app]\nlocal = [\"config/**\"]\n");
    app.write("gitroll.toml", &text);
    app.write("config/host.json", "{}\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.app.write("config/host.json", "{ \"workers\": 4 }\n");
    let pid = s.app.pid_served();
    host.gitroll(&["deploy", "--yes"]).exit(0).stdout_has("already serves");
    assert_eq!(s.app.pid_served(), pid, "nothing was reloaded");
}

#[test]
fn a_file_that_git_was_told_not_to_look_at_does_not_stop_a_rollback() {
    for (bit, edited) in
        [("--skip-worktree", false), ("--skip-worktree", true), ("--assume-unchanged", true)]
    {
        let host = TestEnvironment::new();
        let config = AppConfig::default().without_builds();
        let s = Scenario::serving(&host, Fixture::Plain, &config);
        s.release("1.1.0", Behaviour::Good).exit(0);
        // What was edited stays; what was not follows the version.
        let file = if edited { "README.md" } else { "package.json" };
        s.app.git(&["update-index", bit, file]);
        if edited {
            s.app.write(file, "here\n");
        }
        host.gitroll(&["back", "--yes"]).exit(0).stdout_has("v1.0.0-stable observed serving");
        s.serves("1.0.0");
        assert_eq!(s.app.read("README.md") == "here\n", edited, "{bit}");
        assert_eq!(s.app.git(&["status", "--porcelain"]), "", "{bit}");
    }
}

#[test]
fn check_says_that_an_edited_configuration_is_not_what_it_went_by() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    host.gitroll(&["check"]).exit(0).stderr_lacks("differs");
    // After a rollback the older file lies there, as it should.
    s.app.write("gitroll.toml", &(s.app.read("gitroll.toml") + "# next\n"));
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0);
    host.gitroll(&["check"]).exit(0).stderr_lacks("differs");
    s.app.write("gitroll.toml", &(s.app.read("gitroll.toml") + "# by hand\n"));
    let answer = host.gitroll(&["check"]);
    answer
        .exit(0)
        .stderr_has("gitroll.toml differs from the one of record #")
        .stderr_has("gitroll init");
    // What is not a regular file is neither read nor waited for.
    fs::remove_file(s.app.dir.join("gitroll.toml")).expect("it is writable");
    host.run("mkfifo", &["gitroll.toml"]).exit(0);
    host.gitroll(&["check"]).exit(0).stderr_lacks("differs");
    host.gitroll(&["doctor"]).says("gitroll.toml: it is not a regular file");
    host.gitroll(&["init", "--yes"]).exit(1).stderr_has("gitroll.toml: it is not a regular file");
}

#[test]
fn what_was_judged_bad_is_not_promoted_and_the_way_on_can_be_pasted() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let bad = s.app.head();
    host.gitroll(&["mark", "bad", &bad, "--reason", "loses uploads"]).exit(0);
    let next = format!("gitroll mark good {} --reason 'WHY'", &bad[..7]);
    host.gitroll(&["promote", "--as", "v2.0.0", "--yes"]).exit(10).stderr_has(&next);
}

#[test]
fn a_deploy_that_a_person_aborted_is_not_called_failed() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().without_builds().settle(2, "300ms");
    let config = config.and("[deploy]\nref = \"origin/main\"\n");
    let s = Scenario::bound(&host, Fixture::Plain, &config);
    let remote = host.path("remote.git");
    let remote = remote.to_str().expect("temporary paths are UTF-8");
    host.run("git", &["init", "-q", "--bare", remote]).exit(0);
    s.app.git(&["remote", "add", "origin", remote]);
    s.app.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    host.gitroll(&["deploy"]).exit(0);
    s.promote("v1.0.0");
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    s.app.git(&["push", "-q", "origin", &format!("{next}:refs/heads/main")]);
    let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
    deploy.env("GITROLL_FAIL_AT", "prove before=kill").stderr(Stdio::null());
    assert_eq!(deploy.status().expect("it ends").code(), None);
    host.gitroll(&["abort"]).exit(0);
    let shown = host.gitroll(&["show"]);
    shown.exit(0).stdout_has("was stopped, v1.0.0-stable restored").stdout_lacks("failed");
    host.gitroll(&["deploy"]).exit(0);
    s.serves("1.1.0");
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let host = TestEnvironment::new();
    let _s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().without_builds());
    for args in
        ["log --json", "status", "component --json", "targets", "check", "deploy HEAD --plan"]
    {
        let mut command = host.gitroll_command(&args.split(' ').collect::<Vec<_>>());
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let answer = command.stdout(full).stderr(std::process::Stdio::piped()).output();
        let answer = answer.expect("it runs");
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert_eq!(answer.status.code(), Some(1), "{args}: {said}");
        assert!(said.contains("the output could not be written"), "{args}: {said}");
    }
    host.run("sh", &["-c", &format!("{} log --json | true", env!("CARGO_BIN_EXE_gitroll"))])
        .exit(0);
}
