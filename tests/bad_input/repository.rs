//! Where there is no repository, or none that can be trusted or read.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use super::*;

#[test]
fn outside_a_repository_every_command_says_so() {
    let host = TestEnvironment::new();
    let dir = host.path("empty");
    fs::create_dir(&dir).expect("a fresh directory can be filled");
    for args in CHANGING.iter().chain(&READING).chain(&[&["init", "--yes"] as &[&str]]) {
        let place = dir.to_str().expect("temporary paths are UTF-8");
        refused_in(
            &host,
            &dir,
            args,
            1,
            &["is not inside a git repository", place, "gitroll -C DIR"],
        );
    }
}

#[test]
fn a_directory_that_does_not_exist_is_named() {
    let host = TestEnvironment::new();
    host.gitroll(&["-C", "nowhere", "status"]).exit(1).stderr_has("nowhere");
}

#[test]
fn a_bare_repository_is_refused() {
    let host = TestEnvironment::new();
    host.run("git", &["init", "-q", "--bare", "bare.git"]).exit(0);
    for args in [&["init", "--yes"] as &[&str], &["deploy", "--yes"], &["status"]] {
        refused_in(&host, &host.path("bare.git"), args, 1, &["bare", "git clone"]);
    }
}

#[test]
fn a_repository_without_commits_is_refused() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let before = app.state();
    host.gitroll(&["init", "--yes"]).exit(1).stderr_has("no commit yet").stderr_has("git commit");
    host.gitroll(&["deploy", "--yes"]).exit(10).stderr_has("gitroll init");
    for args in READING {
        host.gitroll(args).fails().stderr_lacks("bug");
    }
    before.assert_same(&app.state());
    assert!(!host.path("gitroll/host.toml").exists(), "a binding was written");
    assert!(!host.path("gitroll/key").exists(), "a key was made");
}

#[test]
fn a_repository_whose_head_was_emptied_is_named() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let head = s.app.dir.join(".git/HEAD");
    let was = fs::read(&head).expect("HEAD is a file");
    fs::write(&head, "").expect("the repository is writable");
    for args in [&["deploy", "--yes"] as &[&str], &["status"]] {
        refused_in(&host, &s.app.dir, args, 1, &["HEAD", "git fsck"]);
    }
    fs::write(&head, was).expect("the repository is writable");
    host.gitroll(&["status"]).exit(0);
}

#[test]
fn formats_that_would_be_misread_are_refused() {
    for (settings, named) in [
        (
            "[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefStorage = reftable\n",
            "reftable",
        ),
        (
            "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tfromTheFuture = yes\n",
            "fromthefuture",
        ),
        ("[core]\n\trepositoryformatversion = 7\n", "repositoryformatversion = 7"),
    ] {
        let host = TestEnvironment::new();
        let s = bound(&host, &quick());
        let file = s.app.dir.join(".git/config");
        let was = fs::read_to_string(&file).expect("a repository has a configuration");
        fs::write(&file, was + settings).expect("the repository is writable");
        for args in CHANGING.iter().chain(&READING).chain(&[&["init", "--yes"] as &[&str]]) {
            refused_in(&host, &s.app.dir, args, 1, &[named, "--ref-format=files"]);
        }
    }
}

#[test]
fn a_real_reftable_repository_is_refused() {
    let host = TestEnvironment::new();
    let made = host.run("git", &["init", "-q", "--ref-format=reftable", "app"]);
    if made.code != Some(0) {
        return skipped("this git knows no reftable");
    }
    host.run("git", &["commit", "-q", "--allow-empty", "-m", "first"]).exit(0);
    refused_in(&host, &host.path("app"), &["init", "--yes"], 1, &["reftable"]);
}

#[test]
fn a_sparse_checkout_is_refused() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    s.app.git(&["sparse-checkout", "set", "--no-cone", "/*", "!build.js"]);
    refused(&s, &["deploy", "--yes"], 1, &["sparse", "git sparse-checkout disable"]);
    refused(&s, &["back", "--yes"], 1, &["sparse"]);
}

#[test]
fn a_partial_clone_is_refused() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    s.app.with_remote();
    s.app.git(&["config", "remote.origin.promisor", "true"]);
    s.app.git(&["config", "remote.origin.partialclonefilter", "blob:none"]);
    refused(&s, &["deploy", "--yes"], 1, &["partial", "git clone"]);
}

#[test]
fn a_clone_without_a_binding_reads_and_does_not_act() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let clone = host.path("clone");
    let (from, to) = (s.app.dir.to_str().expect("UTF-8"), clone.to_str().expect("UTF-8"));
    host.run("git", &["clone", "-q", from, to]).exit(0);
    host.gitroll_in(&clone, &["log"])
        .exit(1)
        .stderr_has("no gitroll records")
        .stderr_has("git fetch");
    host.run("git", &["-C", to, "fetch", "-q", "origin", "refs/gitroll/*:refs/gitroll/*"]).exit(0);
    let before = Tree::of(&clone);
    host.gitroll_in(&clone, &["log"])
        .exit(0)
        .stdout_has("init")
        .stderr_has("signatures were not verified");
    host.gitroll_in(&clone, &["show", "1"]).exit(0).stdout_has("records begin");
    for args in CHANGING {
        host.gitroll_in(&clone, args)
            .exit(10)
            .stderr_has("not bound")
            .stderr_has(from)
            .stderr_has("gitroll init");
    }
    before.assert_same(&Tree::of(&clone));
}

/// A copy of the program that any user of the machine can run.
fn program_for_everybody(host: &TestEnvironment) -> PathBuf {
    let copy = host.path("gitroll-program");
    let program = Path::new(env!("CARGO_BIN_EXE_gitroll"));
    // No link: what is given away below is given away with its owner.
    fs::copy(program, &copy).expect("the host's directory is writable");
    copy
}

fn give_to(dir: &Path, id: u32) {
    chown(dir, Some(id), Some(id)).expect("root may give files away");
    for entry in fs::read_dir(dir).expect("a directory can be listed").flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            give_to(&path, id);
        } else if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            chown(&path, Some(id), Some(id)).expect("root may give files away");
        }
    }
}

/// Files below `dir` that belong to somebody else than `id`.
fn foreign(dir: &Path, id: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory can be listed").flatten() {
            let metadata = entry.path().symlink_metadata().expect("it was just listed");
            if metadata.uid() != id {
                found.push(entry.path());
            }
            if metadata.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    found
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn somebody_elses_tree_is_refused_with_the_way_to_run_there() {
    if !is_root() {
        return skipped("only root can be another user");
    }
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    chown(host.root(), Some(54_321), Some(54_321)).expect("root may give files away");
    let program = program_for_everybody(&host);
    let before = s.app.state();
    for args in [&["deploy", "--yes"] as &[&str], &["status"], &["init", "--yes"]] {
        let program = program.to_str().expect("temporary paths are UTF-8");
        let mut all = vec!["--reuid=54321", "--regid=54321", "--clear-groups", "--", program];
        all.extend(args);
        host.run("setpriv", &all)
            .exit(1)
            .stderr_has("belongs to root")
            .stderr_has("sudo -u root gitroll");
    }
    before.assert_same(&s.app.state());
}

/// Root starts everything in the tree of the user `id`: nothing of root's is left there, the app is not root's.
fn root_acts_as_the_owner(id: u32) {
    if !is_root() {
        return skipped("only root can act in another user's tree");
    }
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    give_to(host.root(), id);
    let program = program_for_everybody(&host);
    let program = program.to_str().expect("temporary paths are UTF-8");
    let gitroll = |args: &[&str]| host.run(program, args);
    gitroll(&["init", "--yes", "--environment", "production", "--name", "web-1"]).exit(0);
    gitroll(&["deploy", "--yes"]).exit(0);
    gitroll(&["promote", "--as", "v1.0.0", "--yes"]).exit(0);
    gitroll(&["status"]).exit(0);
    let pid = app.pid_served();
    let server = fs::metadata(format!("/proc/{pid}")).expect("the app runs");
    assert_eq!(server.uid(), id, "the app runs as somebody else");
    for dir in [&app.dir, &host.path("gitroll")] {
        assert_eq!(foreign(dir, id), Vec::<PathBuf>::new());
    }
    let binding = fs::read_to_string(host.path("gitroll/host.toml")).expect("a binding");
    assert!(!binding.contains("run_as = \"root\""), "{binding}");
}

#[test]
fn root_in_another_users_tree_acts_as_that_user() {
    // The one ordinary account every system has.
    root_acts_as_the_owner(65_534);
}

#[test]
fn root_in_the_tree_of_a_number_without_an_account_is_told_to_make_one() {
    if !is_root() {
        return skipped("only root can act in another user's tree");
    }
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.0.0", Behaviour::Good);
    give_to(host.root(), 54_322);
    let program = program_for_everybody(&host);
    let program = program.to_str().expect("temporary paths are UTF-8");
    host.run(program, &["init", "--yes"]).exit(1).stderr_has("useradd --uid 54322");
    host.run(program, &["log"]).exit(1).stderr_has("no gitroll records");
    for dir in [&app.dir, &host.path("gitroll")] {
        assert_eq!(foreign(dir, 54_322), Vec::<PathBuf>::new());
    }
}

#[test]
fn parts_of_the_tree_that_somebody_made_as_root_are_found_before_anything_is_changed() {
    if !is_root() {
        return skipped("only root can give files away");
    }
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.write("lib/a.txt", "1\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    give_to(host.root(), 65_534);
    let program = program_for_everybody(&host);
    let program = program.to_str().expect("temporary paths are UTF-8").to_owned();
    let as_nobody = |args: &[&str]| {
        let mut all = vec!["--reuid=65534", "--regid=65534", "--clear-groups", "--", &program];
        all.extend(args);
        host.run("setpriv", &all)
    };
    host.configure_git("safe.directory", "*");
    as_nobody(&["init", "--yes", "--environment", "production", "--name", "web-1"]).exit(0);
    as_nobody(&["deploy", "--yes"]).exit(0);
    let serving = s.app.head();
    s.app.write("lib/a.txt", "2\n");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    give_to(host.root(), 65_534);
    for place in ["lib", ".git/refs/tags", ".git/logs", ".git/objects/pack"] {
        let place = s.app.dir.join(place);
        chown(&place, Some(0), Some(0)).expect("root may take files");
        as_nobody(&["deploy", &next, "--yes"])
            .exit(1)
            .stderr_has(&format!("{} cannot be written", place.display()))
            .stderr_has("sudo chown -R nobody");
        chown(&place, Some(65_534), Some(65_534)).expect("root may give files away");
    }
    s.serves("1.0.0");
    as_nobody(&["deploy", &next, "--yes"]).exit(0);
    s.serves("1.1.0");
    // Doctor says it as well.
    chown(s.app.dir.join(".git/refs"), Some(0), Some(0)).expect("root may take files");
    as_nobody(&["doctor"]).exit(1).stdout_has(".git/refs cannot be written");
}
