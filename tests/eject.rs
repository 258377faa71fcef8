//! `gitroll eject`: the checkout is plain git again, services were not touched, nothing of people's is lost.

use std::fs;

use crate::support::*;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("20s")
}

fn state(s: &Scenario<'_>) -> std::path::PathBuf {
    s.app.dir.join(".git/gitroll")
}

#[track_caller]
fn branch(s: &Scenario<'_>) -> String {
    s.app.git(&["symbolic-ref", "--short", "HEAD"])
}

#[test]
fn the_branch_that_is_at_what_serves_is_taken_and_the_service_goes_on() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let (head, pid) = (s.app.head(), s.app.pid_served());
    let records = s.app.git(&["for-each-ref", "refs/gitroll", "refs/tags", "refs/notes"]);
    assert_eq!(s.app.try_git(&["symbolic-ref", "-q", "HEAD"]).code, Some(1), "HEAD is detached");
    let before = s.app.state();
    let plan = host.gitroll(&["eject", "--plan"]);
    plan.exit(0).stdout_has("HEAD moves to main").stdout_has(&format!("pid {pid}"));
    plan.stdout_has("nothing restarts it now").stdout_has("host.toml");
    before.assert_same(&s.app.state());
    host.gitroll(&["eject"]).exit(2).stderr_has("--yes");
    before.assert_same(&s.app.state());

    host.gitroll(&["eject", "--yes"])
        .exit(0)
        .stdout_has("HEAD is on main; this checkout is plain git now");
    assert_eq!((branch(&s).as_str(), s.app.head()), ("main", head));
    assert_eq!(s.app.git(&["status", "--porcelain"]), "");
    assert_eq!(s.app.pid_served(), pid, "the service was touched");
    assert!(!host.path("gitroll/host.toml").exists(), "still bound");
    let left: Vec<_> = fs::read_dir(state(&s)).expect("the log is kept").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(state(&s).join("services/web.log").exists(), "its log is being written");
    assert_eq!(s.app.git(&["for-each-ref", "refs/gitroll", "refs/tags", "refs/notes"]), records);
    // Again: there is nothing left to do.
    host.gitroll(&["eject", "--yes"]).exit(0).stdout_has("already plain git");
    host.gitroll(&["back", "--yes"]).exit(10).stderr_has("gitroll init");
}

#[test]
fn what_stays_in_git_can_be_verified_and_deleted_as_it_says() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let answer = host.gitroll(&["eject", "--yes", "--json"]);
    let result = answer.exit(0).json()["result"].clone();
    assert_eq!(result["outcome"], "ejected");
    let tag = s.app.git(&["for-each-ref", "--format=%(refname:short)", "refs/tags/gitroll/"]);
    let tag = tag.lines().next().expect("records have tags").to_owned();
    let trust = host.path("gitroll/trust").display().to_string();
    let verify = format!("gpg.ssh.allowedSignersFile={trust}");
    s.app.try_git(&["-c", &verify, "-c", "gpg.format=ssh", "verify-tag", &tag]).exit(0);
    let delete = result["delete_records"].as_str().expect("the command is told").to_owned();
    host.run("sh", &["-c", &delete]).exit(0);
    let left = s.app.git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(left, "refs/heads/main\nrefs/tags/v1.0.0-stable");
}

#[test]
fn what_was_published_is_named_with_the_command_that_removes_it_there() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    app.with_remote();
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let remote = || s.app.git(&["ls-remote", "origin", "refs/gitroll/*"]);
    assert!(!remote().is_empty(), "it was published");
    let kept = host.gitroll(&["eject", "--yes", "--json"]).exit(0).json()["result"]["kept"].clone();
    let there = kept
        .as_array()
        .expect("a list")
        .iter()
        .find(|k| k["what"].as_str().is_some_and(|what| what.contains("origin")));
    let why = there.expect("the remote is named")["why"].as_str().expect("a text").to_owned();
    let command = why.split(" removes").next().expect("the command comes first");
    host.run("sh", &["-c", command]).exit(0);
    assert_eq!(remote(), "");
}

#[test]
fn no_branch_moves_where_none_is_at_what_serves() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0);
    let (head, main) = (s.app.head(), s.app.git(&["rev-parse", "main"]));
    assert_ne!(head, main);
    host.gitroll(&["eject", "--plan", "--branch", "main"])
        .exit(1)
        .stderr_has("gitroll does not move branches");
    host.gitroll(&["eject", "--plan", "--branch", "-x"]).exit(2);
    let answer = host.gitroll(&["eject", "--yes"]);
    answer.exit(0).stdout_has("a new branch at what serves");
    answer.stdout_has("git switch main changes the files that serve");
    assert_eq!(branch(&s), "gitroll-ejected");
    assert_eq!((s.app.head(), s.app.git(&["rev-parse", "main"])), (head, main));
    assert_eq!(s.app.git(&["status", "--porcelain"]), "");
    s.serves("1.0.0");
}

#[test]
fn a_branch_of_ones_own_choice_is_made_and_a_taken_name_is_passed_by() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.git(&["branch", "gitroll-ejected", "main"]);
    host.gitroll(&["back", "--yes"]).exit(0);
    host.gitroll(&["eject", "--plan"]).exit(0).stdout_has("gitroll-ejected-2");
    // A branch that another work tree is on is nobody else's.
    s.app.git(&["branch", "night", "HEAD"]);
    let elsewhere = host.path("elsewhere").display().to_string();
    s.app.git(&["worktree", "add", "-q", &elsewhere, "night"]);
    host.gitroll(&["eject", "--plan"]).exit(0).stdout_has("gitroll-ejected-2");
    host.gitroll(&["eject", "--plan", "--branch", "night"]).exit(1).stderr_has("work tree");
    host.gitroll(&["eject", "--yes", "--branch", "served"]).exit(0);
    assert_eq!(branch(&s), "served");
}

#[test]
fn files_that_were_put_aside_stay_unless_asked_otherwise() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.app.write("README.md", "edited at night\n");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    s.app.write("README.md", "edited at noon\n");
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    let saved = state(&s).join("saved");
    assert!(saved.is_dir(), "the edit was put aside");
    host.gitroll(&["eject", "--plan", "--discard-saved"])
        .exit(0)
        .stdout_has("removes  .git/gitroll/saved\n");
    host.gitroll(&["eject", "--yes"]).exit(0).stdout_has("yours");
    let kept = host.run("grep", &["-r", "edited at noon", saved.to_str().expect("UTF-8")]);
    kept.exit(0);
}

#[test]
fn an_open_run_and_waiting_records_are_not_thrown_away() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    s.app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
    let mut killed = host.gitroll_command(&["deploy"]);
    killed.env("GITROLL_FAIL_AT", "prove before=kill").status().expect("it starts");
    host.gitroll(&["eject", "--yes"]).exit(22).stderr_has("gitroll abort");
    assert!(host.path("gitroll/host.toml").exists());
    host.gitroll(&["abort"]).exit(0);

    // A record that cannot be signed: the key goes while the app is being proven.
    let queue = state(&s).join("queue");
    fs::create_dir_all(&queue).expect("the state directory is writable");
    fs::write(queue.join("20260101-000000-abcd.json"), "{}").expect("it is writable");
    host.gitroll(&["eject", "--yes"]).exit(1).stderr_has("1 record would be lost");
    assert!(queue.exists() && host.path("gitroll/host.toml").exists());
}

#[test]
fn what_a_kill_left_half_done_is_finished_by_the_same_command() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0);
    let pid = s.app.pid_served();
    // Killed after the branch was made.
    s.app.git(&["branch", "gitroll-ejected", "HEAD"]);
    host.gitroll(&["eject", "--plan"]).exit(0).stdout_has("HEAD moves to gitroll-ejected");
    // Killed after HEAD was put on it and most of the state was gone.
    s.app.git(&["symbolic-ref", "HEAD", "refs/heads/gitroll-ejected"]);
    for dir in ["runs", "cache", "store"] {
        fs::remove_dir_all(state(&s).join(dir)).ok();
    }
    fs::remove_file(state(&s).join("services/web.json")).expect("it is there");
    host.gitroll(&["eject", "--yes"]).exit(0).stdout_has("HEAD is already on gitroll-ejected");
    assert!(!host.path("gitroll/host.toml").exists());
    assert_eq!(s.app.pid_served(), pid);
}

#[test]
fn records_that_cannot_be_read_do_not_lock_anybody_in() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    fs::remove_file(host.path("gitroll/trust")).expect("it is a file");
    host.gitroll(&["status"]).exit(0).stderr_has("cannot be verified now");
    host.gitroll(&["eject", "--yes"]).exit(0);
    assert_eq!(branch(&s), "main");
}

#[test]
fn only_hooks_that_gitroll_installed_go() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let hooks = s.app.dir.join(".git/hooks");
    fs::create_dir_all(&hooks).expect("it is writable");
    fs::write(hooks.join("post-merge"), "#!/bin/sh\n# Installed by gitroll\n").expect("writable");
    fs::write(hooks.join("pre-commit"), "#!/bin/sh\n# not Installed by gitroll\n").expect("ok");
    host.gitroll(&["eject", "--yes"]).exit(0);
    assert!(!hooks.join("post-merge").exists() && hooks.join("pre-commit").exists());
}

#[test]
fn after_it_init_adopts_again_with_the_service_it_finds() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let pid = s.app.pid_served();
    host.gitroll(&["eject", "--yes"]).exit(0);
    s.bind().stdout_has("adopted");
    assert_eq!(s.app.pid_served(), pid, "init found the running service");
    // The old chain is another writer's now: believed, and no way back by itself.
    let chains = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/gitroll/"]);
    assert_eq!(chains.lines().count(), 2, "{chains}");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    host.gitroll(&["doctor"]).exit(0).stdout_has("would go to v1.0.0-stable");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}

/// How many things it would remove now.
fn removes(host: &TestEnvironment) -> usize {
    let plan = host.gitroll(&["eject", "--plan", "--json"]).exit(0).json();
    plan["result"]["removed"].as_array().expect("a list").len()
}

#[test]
fn nobody_gets_in_before_it_is_done_nor_with_the_lock_that_it_takes_away() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    let eject = Paused::at(&host, "eject removes#6", &["eject", "--yes"]);
    host.gitroll(&["back", "--yes"]).exit(12).stderr_has("gitroll eject by");
    let mut waiting = host.gitroll_command(&["back", "--yes", "--wait", "60s"]);
    let waiting = waiting.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    // Time to come to the lock: then it is the old file that it waits for.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(eject.go_on().success());
    let ended = waiting.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(10), "{said}");
    assert!(said.contains("turned back into plain git"), "{said}");
    let left: Vec<_> = fs::read_dir(state(&s)).expect("the log is kept").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    s.serves("1.1.0");
}

#[test]
fn the_lock_goes_last() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let place = format!("eject removes#{}", removes(&host));
    let eject = Paused::at(&host, &place, &["eject", "--yes"]);
    assert!(!host.path("gitroll/host.toml").exists() && state(&s).join("lock").exists());
    host.gitroll(&["init", "--yes"]).exit(12);
    host.gitroll(&["eject", "--yes"]).exit(12);
    eject.kill();
    host.gitroll(&["eject", "--yes"]).exit(0).stdout_has("already plain git");
    assert!(!state(&s).join("lock").exists());
}

#[test]
fn what_an_error_left_half_done_is_named_with_the_command_that_finishes_it() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let cut_off = |place: usize| {
        let mut command = host.gitroll_command(&["eject", "--yes", "--discard-saved"]);
        command.env("GITROLL_FAIL_AT", format!("eject removes#{place}=error"));
        let answer = Answer::of(command, std::time::Duration::from_secs(60));
        answer.exit(22).stderr_has("eject is not finished").stderr_has(".git/gitroll/lock\n");
        answer.stderr_has("gitroll eject --yes --discard-saved");
        answer.stderr_has("what serves was not changed");
        answer
    };
    cut_off(1).stderr_has("host.toml");
    host.gitroll(&["status"]).exit(0);
    let last = removes(&host);
    cut_off(last / 2).stderr_has("host.toml");
    cut_off(removes(&host));
    host.gitroll(&["eject", "--yes", "--discard-saved"]).exit(0);
    assert!(!host.path("gitroll/host.toml").exists() && !state(&s).join("lock").exists());
    s.serves("1.0.0");
}
