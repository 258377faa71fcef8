//! What a killed command leaves beside its run, and how the next one cleans it: only what is provably ours.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::support::*;

fn serving(host: &TestEnvironment) -> Scenario<'_> {
    Scenario::serving(host, Fixture::Plain, &AppConfig::default().without_builds())
}

fn at_work(s: &Scenario<'_>) -> PathBuf {
    s.app.dir.join(".git/gitroll/at-work.json")
}

fn lie(s: &Scenario<'_>, path: &str) -> PathBuf {
    let path = s.app.dir.join(path);
    fs::create_dir_all(path.parent().expect("it has a directory")).expect("it can be made");
    fs::write(&path, "").expect("it is writable");
    path
}

fn next_version(s: &Scenario<'_>) -> String {
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    next
}

#[test]
fn what_a_killed_command_left_is_removed_by_resume_and_nothing_of_others_is() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    let older = lie(&s, ".git/refs/tags/somebodys.lock");
    let theirs = lie(&s, ".gitroll-backup");
    let paused = Paused::at(&host, "activate after", &["deploy", &next, "--yes"]);
    let ours: Vec<PathBuf> = [
        ".git/objects/tmp_obj_gitroll-Ab12Cd",
        ".git/gitroll/.gitroll-Ab12Cd",
        ".gitroll-probe-Ab12Cd",
    ]
    .iter()
    .map(|path| lie(&s, path))
    .collect();
    // No git of ours runs at this moment: these are of another program.
    let during = lie(&s, ".git/refs/heads/during.lock");
    let object = lie(&s, ".git/objects/tmp_obj_Ab12Cd");
    paused.kill();
    let after = lie(&s, ".git/refs/heads/after.lock");
    host.gitroll(&["status"]).exit(0).stdout_has("killed    gitroll deploy");
    assert!(ours.iter().all(|path| path.exists()), "looking removes nothing");
    host.gitroll(&["resume"]).exit(0).stdout_has("v1.1.0 observed serving");
    for path in &ours {
        assert!(!path.exists(), "{} is still there", path.display());
    }
    for path in [older, theirs, during, object, after] {
        assert!(path.exists(), "{} is not ours", path.display());
    }
    assert!(!at_work(&s).exists(), "an ordinary end");
    host.gitroll(&["back", "--yes"]).exit(0);
}

#[test]
fn an_index_lock_that_somebody_made_after_the_kill_stays_and_is_named() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    Paused::at(&host, "activate after", &["deploy", &next, "--yes"]).kill();
    let lock = lie(&s, ".git/index.lock");
    let named = format!("{} is in the way", lock.display());
    host.gitroll(&["abort"]).exit(21).stderr_has(&named);
    assert!(lock.exists(), "no git of ours made it");
    fs::remove_file(&lock).expect("it is ours to remove");
    host.gitroll(&["abort"]).exit(0);
    s.serves("1.0.0");
}

/// A deploy and its git are killed, the git in `read-tree`: its lock stays.
fn killed_with_its_git(s: &Scenario<'_>) -> PathBuf {
    let next = next_version(s);
    let (mut deploy, git) = deploy_in_hanging_git(s, &next, ":");
    deploy.kill().expect("it can be killed");
    s.host.run("kill", &["-KILL", &git.to_string()]).exit(0);
    deploy.wait().expect("it ends");
    wait_until("git has ended too", || !runs(git));
    s.app.dir.join(".git/index.lock")
}

#[test]
fn the_lock_of_a_git_that_was_killed_with_its_gitroll_goes_and_a_later_one_of_its_name_stays() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let lock = killed_with_its_git(&s);
    assert!(lock.exists());
    let other = lie(&s, ".git/HEAD.lock");
    fs::remove_file(&lock).expect("it is ours to remove");
    std::thread::sleep(std::time::Duration::from_millis(700));
    lie(&s, ".git/index.lock");
    host.gitroll(&["abort"]).exit(21).stderr_has("index.lock is in the way");
    assert!(lock.exists() && other.exists(), "made after the git had ended");
}

#[test]
fn a_lock_stays_while_a_git_of_somebody_works_here_and_goes_when_that_has_ended() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let lock = killed_with_its_git(&s);
    // Waits for its input for as long as it is open.
    let mut gc = host.command("git");
    gc.args(["cat-file", "--batch"]).current_dir(&s.app.dir);
    let mut gc = gc.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("git starts");
    host.gitroll(&["abort"]).exit(21).stderr_has(&format!("rm {}", lock.display()));
    assert!(lock.exists(), "it may be somebody's");
    drop(gc.stdin.take());
    gc.wait().expect("it ends");
    host.gitroll(&["abort"]).exit(0).stderr_has("index.lock");
    assert!(!lock.exists());
    s.serves("1.0.0");
}

#[test]
fn a_lock_that_lay_there_before_is_never_removed() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    let lock = lie(&s, ".git/index.lock");
    Paused::at(&host, "lock taken", &["deploy", &next, "--yes"]).kill();
    host.gitroll(&["deploy", &next, "--yes"]).exit(1).stderr_has("index.lock is in the way");
    assert!(lock.exists());
}

/// A git in the place of git that stops in `read-tree` with the index locked, as one that KILL has hit.
fn hanging_git(host: &TestEnvironment, at_term: &str) {
    let git = std::env::split_paths(&std::env::var_os("PATH").expect("there is a PATH"))
        .map(|dir| dir.join("git"))
        .find(|file| file.is_file())
        .expect("git is on this machine");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n*' read-tree '*)\n  trap '{at_term}' TERM\n  : > \"$GIT_DIR/index.lock\"\n  \
         echo $$ > '{}'\n  while :; do sleep 0.1; done;;\nesac\nexec '{}' \"$@\"\n",
        host.path("hanging").display(),
        git.display()
    );
    host.fake_tool("git", &script);
}

fn hung(host: &TestEnvironment) -> u32 {
    let file = host.path("hanging");
    let read = || fs::read_to_string(&file).ok()?.trim().parse().ok();
    wait_until("git hangs", || read().is_some());
    read().expect("it was just there")
}

fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn deploy_in_hanging_git(s: &Scenario<'_>, next: &str, at_term: &str) -> (Child, u32) {
    let path = std::env::var_os("PATH").expect("there is a PATH");
    use_git_of_the_path(s.host);
    hanging_git(s.host, at_term);
    let mut deploy = s.host.gitroll_command(&["deploy", next, "--yes"]);
    // A session as a terminal gives it: what git starts is in it too.
    let deploy = deploy.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn();
    let deploy = deploy.expect("it starts");
    let pid = hung(s.host);
    s.host.set("PATH", path);
    (deploy, pid)
}

/// The binding names the git that `init` found: here the one that is first on the path counts.
fn use_git_of_the_path(host: &TestEnvironment) {
    for file in files_below(&host.path("gitroll")) {
        if file.file_name().is_some_and(|name| name == "host.toml") {
            let text = fs::read_to_string(&file).expect("it is ours");
            let kept: Vec<&str> =
                text.lines().filter(|line| !line.trim_start().starts_with("git = ")).collect();
            fs::write(&file, kept.join("\n") + "\n").expect("it is ours");
        }
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn a_killed_gitroll_takes_its_git_along() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    let (mut deploy, git) =
        deploy_in_hanging_git(&s, &next, "rm -f \"$GIT_DIR/index.lock\"; exit 143");
    deploy.kill().expect("it can be killed");
    deploy.wait().expect("it ends");
    wait_until("git has ended too", || !runs(git));
    assert!(!s.app.dir.join(".git/index.lock").exists(), "git could remove its lock");
    host.gitroll(&["resume"]).exit(0);
    s.serves("1.1.0");
}

#[test]
fn a_git_that_does_not_go_is_ended_by_the_next_command_with_what_it_left() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    let (mut deploy, git) = deploy_in_hanging_git(&s, &next, ":");
    deploy.kill().expect("it can be killed");
    deploy.wait().expect("it ends");
    assert!(runs(git), "it does not heed TERM");
    host.gitroll(&["abort"]).exit(0).stderr_has("still running").stderr_has("index.lock");
    assert!(!runs(git));
    s.serves("1.0.0");
}

#[test]
fn a_git_that_was_killed_alone_leads_to_what_served_before() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    let (deploy, git) = deploy_in_hanging_git(&s, &next, ":");
    // As memory that runs out ends it: the deploy goes on living. The next read-tree is no longer the fake.
    hanging_git_is_gone(&host);
    host.run("kill", &["-KILL", &git.to_string()]).exit(0);
    let ended = deploy.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(20));
    s.serves("1.0.0");
    assert!(!s.app.dir.join(".git/index.lock").exists());
}

/// The fake git becomes the real one.
fn hanging_git_is_gone(host: &TestEnvironment) {
    let fake = host.path("fake/git");
    let text = fs::read_to_string(&fake).expect("it is there");
    let last = text.lines().last().expect("it has lines").to_owned();
    let new = host.path("fake/git.new");
    fs::write(&new, format!("#!/bin/sh\n{last}\n")).expect("it is writable");
    host.run("chmod", &["755", &new.display().to_string()]).exit(0);
    fs::rename(&new, &fake).expect("it can be replaced");
}

#[test]
fn a_build_that_outlived_its_gitroll_is_ended_before_anything_is_built_again() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default());
    let serving = s.app.head();
    let flag = host.path("slow");
    let pid = host.path("build-pid");
    s.app.write(
        "slow.js",
        &format!(
            "const fs = require('fs');\nif (fs.existsSync({flag:?})) {{\n  fs.writeFileSync({pid:?}, \
             String(process.pid));\n  setInterval(() => fs.writeFileSync('late.txt', 'x'), 20);\n}}\n"
        ),
    );
    let text = s.app.read("gitroll.toml");
    let slow = text.replacen(
        "run = [[\"npm\", \"run\"",
        "run = [[\"node\", \"slow.js\"], [\"npm\", \"run\"",
        1,
    );
    assert_ne!(text, slow, "the fixture's configuration has a build: {text}");
    s.app.write("gitroll.toml", &slow);
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--force", "--detach", &serving]);
    fs::write(&flag, "").expect("it is writable");
    let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
    let deploy = deploy.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut deploy = deploy.expect("it starts");
    let read = || fs::read_to_string(&pid).ok()?.trim().parse::<u32>().ok();
    wait_until("the build runs", || read().is_some());
    let build = read().expect("it was just there");
    deploy.kill().expect("it can be killed");
    deploy.wait().expect("it ends");
    assert!(runs(build), "a build outlives a gitroll that was killed");
    fs::remove_file(&flag).expect("it is there");
    host.gitroll(&["resume"]).exit(0).stderr_has("still running");
    assert!(!runs(build));
    s.serves("1.1.0");
}

#[test]
fn the_way_back_waits_for_a_lock_that_somebody_holds_for_a_moment() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let next = next_version(&s);
    Paused::at(&host, "activate after", &["deploy", &next, "--yes"]).kill();
    let lock = lie(&s, ".git/index.lock");
    let free = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(4));
        fs::remove_file(lock).expect("it stayed");
    });
    host.gitroll(&["abort"]).exit(0).stderr_has("waiting up to 10 s");
    free.join().expect("it was removed");
    s.serves("1.0.0");
}
