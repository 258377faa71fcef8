//! What people do to a checkout while a run is open, and what is in the way of one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::*;

/// 1.0.0 serves, by checks that name no version.
fn serving_without_a_version(host: &TestEnvironment) -> Scenario<'_> {
    let app = host.app(Fixture::Plain);
    let config = AppConfig::default().settle(2, "2s").toml(Fixture::Plain, app.port.number());
    app.write("gitroll.toml", &config.replace(", \"/version\" = \"{version}\"", ""));
    app.commit_version("0.9.0", Behaviour::Good);
    app.tag("older");
    app.commit_version("1.0.0", Behaviour::Good);
    let scenario = Scenario { host, app };
    scenario.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    scenario.promote("v1.0.0");
    scenario
}

/// Kills a deploy of 1.1.0 when the new version answers and is being proven.
fn killed_in_prove(s: &Scenario<'_>) {
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let mut deploy = s.host.gitroll_command(&["deploy", &next, "--yes"]);
    let deploy = deploy.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut deploy = deploy.expect("it starts");
    wait_for_version(&s.app.health(), "1.1.0");
    deploy.kill().expect("it can be killed");
    deploy.wait().expect("it ends");
    s.host.gitroll(&["back", "--yes"]).exit(22);
}

#[test]
fn resume_does_not_prove_a_version_that_somebody_checked_out_meanwhile() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    killed_in_prove(&s);
    s.app.git(&["checkout", "-q", "--force", "older"]);
    host.gitroll(&["resume"]).exit(20).stderr_has("changed since the plan was made");
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn resume_puts_the_target_in_place_again_where_somebody_checked_out_what_served_before() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    killed_in_prove(&s);
    s.app.git(&["checkout", "-q", "--force", "v1.0.0-stable"]);
    host.gitroll(&["resume"]).exit(0).stdout_has("v1.1.0 observed serving");
    s.serves("1.1.0");
}

#[test]
fn resume_does_not_prove_a_tree_whose_artifacts_were_deleted_meanwhile() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    killed_in_prove(&s);
    fs::remove_dir_all(s.app.dir.join("dist")).expect("it was built");
    host.gitroll(&["resume"]).exit(20);
    s.serves("1.0.0");
    assert!(s.app.read("dist/index.html").contains("1.0.0"), "the artifact of before is back");
}

#[test]
fn resume_puts_head_where_the_run_wants_it_again() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    killed_in_prove(&s);
    let wanted = s.app.head();
    s.app.write("more.txt", "by hand\n");
    let by_hand = s.app.commit("By hand");
    host.gitroll(&["resume"]).exit(0).stdout_has("v1.1.0 observed serving");
    assert_eq!(s.app.head(), wanted);
    assert_eq!(s.app.read("more.txt"), "by hand\n");
    // The commit made meanwhile is on no branch; it stays reachable all the same.
    let kept = s.app.git(&["for-each-ref", "--contains", &by_hand, "refs/gitroll/rescued"]);
    assert!(kept.contains(&by_hand), "{kept}");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn a_run_with_a_damaged_journal_can_be_taken_out_of_the_way_as_the_message_says() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    let run = s.app.dir.join(".git/gitroll/runs/29991231-000000-abcd");
    fs::create_dir(&run).expect("the state directory is writable");
    fs::write(run.join("journal.jsonl"), "no\njournal\n").expect("it is writable");
    host.gitroll(&["check"]).exit(0);
    let answer = host.gitroll(&["resume"]);
    answer.exit(21).stderr_has("gitroll check");
    let hint = answer.stderr.lines().find_map(|line| line.split_once("mv ")).expect("a way out").1;
    let mut words = hint.split_whitespace();
    let (from, to) = (words.next().expect("from"), words.next().expect("to"));
    host.run("mv", &[from, to]).exit(0);
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
    host.gitroll(&["deploy", "--yes"]).exit(0);
}

/// The journals, the oldest run's first.
fn journals(s: &Scenario<'_>) -> Vec<PathBuf> {
    let runs = fs::read_dir(s.app.dir.join(".git/gitroll/runs")).expect("there are runs");
    let mut runs: Vec<_> = runs.map(|run| run.expect("it can be read").path()).collect();
    runs.sort();
    runs.into_iter().map(|run| run.join("journal.jsonl")).collect()
}

/// Changes a byte in the middle of a file's first line. Returns the bytes that are there now.
fn damage(file: &Path) -> Vec<u8> {
    let mut bytes = fs::read(file).expect("it is there");
    bytes[60] ^= 1;
    fs::write(file, &bytes).expect("it is writable");
    bytes
}

#[test]
fn a_damaged_journal_of_an_open_run_stops_everything_names_the_file_and_keeps_its_bytes() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    killed_in_prove(&s);
    let journal = journals(&s).pop().expect("the open run's");
    let bytes = damage(&journal);
    for command in [&["status"] as &[&str], &["back", "--yes"], &["resume"], &["abort"]] {
        let named = format!("{}, line 1", journal.display());
        host.gitroll(command).exit(21).stderr_has(&named).stderr_has("unchanged");
        assert_eq!(fs::read(&journal).expect("it is there"), bytes);
    }
}

#[test]
fn a_torn_last_line_of_an_open_run_is_what_a_kill_leaves() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    killed_in_prove(&s);
    let journal = journals(&s).pop().expect("the open run's");
    let bytes = fs::read(&journal).expect("it is there");
    fs::write(&journal, &bytes[..bytes.len() - 7]).expect("it is writable");
    host.gitroll(&["status"]).exit(0).stdout_has("gitroll resume");
    host.gitroll(&["resume"]).exit(0);
    s.serves("1.1.0");
}

#[test]
fn a_damaged_journal_of_a_run_that_is_over_is_in_nobodys_way() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    // Its last line says that it is over.
    let first = journals(&s).pop().expect("the deploy's");
    damage(&first);
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
    s.release("1.1.0", Behaviour::Good).exit(0);
    // Not even that is left of it, but another run began since.
    fs::write(&first, "no\njournal\n").expect("it is writable");
    fs::write(first.with_file_name("plan.json"), "").expect("it is writable");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    // Whether the last one is over nobody knows then.
    let last = journals(&s).pop().expect("the rollback's");
    fs::write(&last, "no\njournal\n").expect("it is writable");
    host.gitroll(&["status"]).exit(21).stderr_has("gitroll check");
}

#[test]
fn a_plan_that_is_not_the_one_the_run_began_with_is_not_carried_out() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    killed_in_prove(&s);
    let plan = journals(&s).pop().expect("the open run's").with_file_name("plan.json");
    let text = fs::read_to_string(&plan).expect("it is there");
    let version = text.replacen("\"plan\": 1", "\"plan\": 2", 1);
    let other = text.replacen("\"branch\": null", "\"branch\": \"refs/heads/other\"", 1);
    assert!(version != text && other != text, "{text}");
    for (other, problem) in [
        (version.as_str(), "its version 2 needs a different gitroll"),
        (other.as_str(), "not the plan that the run started with"),
        ("", "plan.json, line 1"),
    ] {
        fs::write(&plan, other).expect("it is writable");
        host.gitroll(&["resume"]).exit(21).stderr_has(problem);
        assert_eq!(fs::read_to_string(&plan).expect("it is there"), other);
    }
    fs::write(&plan, text).expect("it is writable");
    host.gitroll(&["resume"]).exit(0);
}

#[test]
fn an_edit_made_while_a_run_was_open_is_named_when_it_is_resumed() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    killed_in_prove(&s);
    s.app.write("README.md", "edited at night\n");
    host.gitroll(&["resume"]).exit(0).stderr_has("edited here, different from v1.1.0: README.md");
    assert_eq!(s.app.read("README.md"), "edited at night\n");
}

#[test]
fn a_run_that_cannot_be_restored_does_not_block_the_way_for_ever() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    let good = s.app.head();
    killed_in_prove(&s);
    fs::remove_dir_all(s.app.dir.join(".git/gitroll/store")).expect("artifacts are kept there");
    host.gitroll(&["abort"]).exit(21).stderr_has("gitroll abort");
    host.gitroll(&["abort"]).exit(21).stderr_has("the run is closed as it is");
    host.gitroll(&["deploy", &good, "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn a_promote_that_was_killed_before_its_record_can_be_repeated() {
    let host = TestEnvironment::new();
    let s = serving_without_a_version(&host);
    s.release("1.1.0", Behaviour::Good).exit(0);
    // What a kill between tag and record leaves: the tag, signed by the host.
    let key = format!("user.signingkey={}", host.path("gitroll/key").display());
    let args =
        ["-c", "gpg.format=ssh", "-c", &key, "tag", "-s", "-m", "v1.1.0-stable", "v1.1.0-stable"];
    s.app.git(&args);
    s.promote("v1.1.0").stdout_has("v1.1.0-stable is");
    host.gitroll(&["log", "-n", "1"]).exit(0).stdout_has("promote");
    // A tag that nobody trusted signed is not made one of ours.
    s.app.git(&["tag", "--no-sign", "-a", "-m", "x", "v1.2.0-stable"]);
    host.gitroll(&["promote", "--as", "v1.2.0", "--yes"]).exit(10);
}

#[test]
fn what_somebody_checks_out_while_it_is_proven_is_not_called_serving() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().without_builds().settle(2, "3s");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
    let mut deploy = deploy
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    wait_for_version(&s.app.health(), "1.1.0");
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let code = deploy.wait().expect("it ends").code();
    assert_eq!(
        code,
        Some(20),
        "1.0.0 is checked out: 1.1.0 is not what serves after the next start"
    );
    s.serves("1.0.0");
    assert_eq!(s.app.head(), serving);
}

/// The files of the host's binding with their bytes.
fn binding(host: &TestEnvironment) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(host.path("gitroll")).expect("it is bound").flatten();
    let files = files.map(|file| file.path()).filter(|path| path.is_file());
    let mut files: Vec<_> =
        files.map(|path| (path.clone(), fs::read(path).expect("it is ours"))).collect();
    files.sort();
    files
}

#[test]
fn a_new_writer_is_begun_neither_beside_an_open_run_nor_beside_another_command() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().without_builds());
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let before = binding(&host);
    let deploy = Paused::at(&host, "head after", &["deploy", &next, "--yes"]);
    host.gitroll(&["init", "--new-writer", "--yes"]).exit(12).stderr_has("gitroll deploy by");
    assert_eq!(binding(&host), before, "somebody else is at it");
    deploy.kill();
    host.gitroll(&["init", "--new-writer", "--yes"]).exit(22).stderr_has("gitroll abort");
    assert_eq!(binding(&host), before, "a run is open");
    host.gitroll(&["status"]).exit(0).stdout_has("interrupted in head");
    host.gitroll(&["resume"]).exit(0);
    s.serves("1.1.0");
    host.gitroll(&["init", "--new-writer", "--yes"]).exit(0);
    assert_ne!(binding(&host), before);
}

/// A run that was killed when the tree was the target's and HEAD was not, with its directory.
fn killed_half_way<'h>(host: &'h TestEnvironment) -> (Scenario<'h>, PathBuf) {
    let s = Scenario::serving(host, Fixture::Plain, &AppConfig::default().without_builds());
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    Paused::at(host, "activate after", &["deploy", &next, "--yes"]).kill();
    let run = journals(&s).pop().expect("the open run's");
    (s, run.parent().expect("it has a directory").to_owned())
}

/// A person is asked, with the way out; `status` says all the rest, and nothing of the run is changed.
#[track_caller]
fn asks_a_person(host: &TestEnvironment, run: &Path, named: &str) {
    let files = || {
        let files = fs::read_dir(run).expect("it is kept").flatten().map(|file| file.path());
        let mut files: Vec<_> = files.map(|path| (fs::read(&path).ok(), path)).collect();
        files.sort();
        files
    };
    let before = files();
    let status = host.gitroll(&["status"]);
    status.exit(21).stdout_has("one run is damaged").stdout_has("serving").stdout_has("observed");
    let json = host.gitroll(&["status", "--json"]).exit(21).json();
    assert!(json["result"]["damaged_run"].as_str().is_some_and(|text| text.contains(named)));
    for command in [
        &["resume"] as &[&str],
        &["abort"],
        &["deploy", "--yes"],
        &["mark", "good", "HEAD", "--reason", "it is"],
    ] {
        let way_out = format!("mv {} ", run.display());
        host.gitroll(command).exit(21).stderr_has(named).stderr_has(&way_out);
    }
    assert_eq!(files(), before);
}

#[test]
fn a_torn_first_line_of_a_run_that_went_on_is_no_run_that_never_began() {
    let host = TestEnvironment::new();
    let (s, run) = killed_half_way(&host);
    let journal = run.join("journal.jsonl");
    let bytes = fs::read(&journal).expect("it is there");
    fs::write(&journal, &bytes[..100]).expect("it is writable");
    asks_a_person(&host, &run, "converge.json shows that the run continued");
    fs::remove_file(&journal).expect("it is ours");
    asks_a_person(&host, &run, "journal.jsonl is missing");
    fs::write(&journal, bytes).expect("it is writable");
    host.gitroll(&["abort"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn a_plan_that_is_gone_is_a_damaged_run() {
    let host = TestEnvironment::new();
    let (s, run) = killed_half_way(&host);
    let plan = fs::read(run.join("plan.json")).expect("it is there");
    fs::remove_file(run.join("plan.json")).expect("it is ours");
    asks_a_person(&host, &run, "plan.json is missing");
    host.gitroll(&["doctor"]).exit(1).stdout_has("plan.json is missing");
    fs::write(run.join("plan.json"), plan).expect("it is writable");
    host.gitroll(&["resume"]).exit(0);
    s.serves("1.1.0");
}
