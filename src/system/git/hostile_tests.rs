//! The repository is data: whatever its configuration names, nothing of it is ever run.
//!
//! Each case first shows that plain git does run the canary, where it can be made to: a canary that cannot
//! sing proves nothing.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;

use crate::model::Person;

use super::testing::{Repo, path};
use super::{Git, ObjectKind, RefEdit};

/// Everything this module can do, whether it succeeds or not.
fn exercise(repo: &Repo) {
    let git: Git = repo.open();
    let head = git.head().unwrap().commit;
    let person = git.identity(Timestamp::from_second(5).unwrap());
    let _ = git.tags();
    let _ = git.refs("refs/");
    let _ = git.resolve("main~0");
    let _ = git.entries(&head);
    let _ = git.changes(&head, &head);
    let _ = git.converted_files(&head);
    let _ = git.edited(&head);
    let _ = git.ignored(&[path("a.txt")]);
    repo.write("a.txt", "edited\n");
    let _ = git.edited(&head);
    let _ = git.reset_index(&head);
    write_and_move(&git, &person);
    let _ = git.diff(&head, &git.head().unwrap().commit);
    let _ = git.patch(&head, &git.head().unwrap().commit, &[]);
    let _ = git.fetch_branch("origin", "main");
    let _ = git.push("origin", &["refs/heads/main".to_owned(), "refs/tags/x".to_owned()]);
}

fn write_and_move(git: &Git, person: &Person) {
    let head = git.head().unwrap().commit;
    let blob = git.write_object(ObjectKind::Blob, b"x").unwrap();
    let tree = git.write_tree(&[("a.txt", blob)]).unwrap();
    let commit = git.write_commit(&tree, std::slice::from_ref(&head), person, "x").unwrap();
    let edit = RefEdit { name: "refs/tags/x".to_owned(), new: Some(commit.clone()), old: None };
    git.update_refs(&[edit], "x").unwrap();
    git.set_notes("refs/notes/x", &[(&head, "x".to_owned())], person).unwrap();
    git.reset_index(&commit).unwrap();
    git.move_head(&head, &commit, "x").unwrap();
}

/// Sets the trap, shows with plain git that it works, sets it again, and sees that we do not step into it.
fn trap(set: impl Fn(&Repo, &str), plain: &[&[&str]]) {
    let repo = with_origin();
    let (script, mark) = repo.canary();
    set(&repo, &script);
    repo.write("a.txt", "touched\n");
    for args in plain {
        let _ = repo.command(args).output().unwrap();
    }
    assert!(plain.is_empty() || mark.exists(), "plain git {plain:?} does not trigger this");

    let repo = with_origin();
    let (script, mark) = repo.canary();
    set(&repo, &script);
    exercise(&repo);
    let sung = fs::read_to_string(&mark).unwrap_or_default();
    assert!(sung.is_empty(), "the repository's configuration was executed: {sung}");
}

fn with_origin() -> Repo {
    let repo = Repo::new();
    repo.git(&["clone", "-q", "--bare", ".", "../origin.git"]);
    repo.git(&["remote", "add", "origin", "../origin.git"]);
    repo
}

fn set(repo: &Repo, key: &str, value: &str) {
    repo.git(&["config", key, value]);
}

#[test]
fn a_file_system_monitor_is_not_run() {
    trap(|repo, canary| set(repo, "core.fsmonitor", canary), &[&["status"]]);
}

#[test]
fn hooks_are_not_run_wherever_they_lie() {
    let fill = |dir: &Path, canary: &str| {
        fs::create_dir_all(dir).unwrap();
        let hooks = [
            "reference-transaction",
            "post-index-change",
            "pre-push",
            "post-checkout",
            "post-rewrite",
            "pre-auto-gc",
        ];
        for hook in hooks {
            fs::copy(canary, dir.join(hook)).unwrap();
        }
    };
    let plain: &[&[&str]] = &[&["update-ref", "refs/tags/y", "HEAD"]];
    trap(|repo, canary| fill(&repo.top.join(".git/hooks"), canary), plain);
    let elsewhere = |repo: &Repo, canary: &str| {
        let dir = repo.dir.path().join("hooks");
        fill(&dir, canary);
        set(repo, "core.hooksPath", dir.to_str().unwrap());
    };
    trap(elsewhere, plain);
    let configured = |repo: &Repo, canary: &str| {
        set(repo, "hook.evil.command", canary);
        for event in ["reference-transaction", "post-index-change", "pre-push"] {
            repo.git(&["config", "--add", "hook.evil.event", event]);
        }
    };
    // Only later versions of git know these.
    trap(configured, &[]);
}

#[test]
fn filters_are_not_run_whatever_their_names() {
    for name in ["x", "a=b", "a.b", "sp ace", "\u{e9}"] {
        let set_filter = |repo: &Repo, canary: &str| {
            for kind in ["clean", "smudge", "process"] {
                set(repo, &format!("filter.{name}.{kind}"), canary);
            }
            set(repo, &format!("filter.{name}.required"), "true");
            repo.write(".git/info/attributes", format!("* filter={name}\n"));
            repo.write(".gitattributes", format!("* filter={name}\n"));
        };
        // A name with a space cannot be written in an attributes file.
        let plain: &[&[&str]] = if name == "sp ace" { &[] } else { &[&["add", "-A"]] };
        trap(set_filter, plain);
    }
}

#[test]
fn an_ssh_command_of_the_repository_is_not_run() {
    let ssh = |repo: &Repo, canary: &str| {
        set(repo, "remote.origin.url", "ssh://nobody@127.0.0.1:1/x");
        set(repo, "core.sshCommand", canary);
    };
    trap(ssh, &[&["fetch", "origin"]]);
}

#[test]
fn programs_named_for_the_far_side_are_not_run() {
    let far = |repo: &Repo, canary: &str| {
        set(repo, "remote.origin.uploadpack", canary);
        set(repo, "remote.origin.receivepack", canary);
    };
    trap(far, &[&["fetch", "origin"], &["push", "origin", "main"]]);
}

#[test]
fn a_url_that_is_a_command_is_not_run() {
    let plain: &[&[&str]] = &[&["-c", "protocol.ext.allow=always", "fetch", "origin"]];
    let ext = |repo: &Repo, canary: &str| {
        set(repo, "protocol.ext.allow", "always");
        set(repo, "protocol.allow", "always");
        set(repo, "remote.origin.url", &format!("ext::{canary}"));
    };
    trap(ext, plain);
    let helper = |repo: &Repo, canary: &str| {
        set(repo, "protocol.ext.allow", "always");
        set(repo, "remote.origin.vcs", "ext");
        set(repo, "remote.origin.url", canary);
    };
    trap(helper, plain);
    let rewritten = |repo: &Repo, canary: &str| {
        set(repo, "protocol.ext.allow", "always");
        set(repo, &format!("url.ext::{canary} .insteadOf"), "../");
    };
    trap(rewritten, &[&["fetch", "origin"]]);
}

#[test]
fn a_proxy_program_is_not_run() {
    let proxy = |repo: &Repo, canary: &str| {
        set(repo, "remote.origin.url", "git://127.0.0.1:1/x");
        set(repo, "core.gitProxy", canary);
    };
    trap(proxy, &[&["fetch", "origin"]]);
}

#[test]
fn credential_helpers_and_question_programs_of_the_repository_are_not_run() {
    // Asks everybody for a password, for as long as the test lives.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.git", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
                  Content-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let everywhere = |repo: &Repo, canary: &str| {
        set(repo, "remote.origin.url", &url);
        set(repo, "credential.helper", &format!("!{canary}"));
        set(repo, &format!("credential.{url}.helper"), &format!("!{canary}"));
        set(repo, "core.askPass", canary);
    };
    trap(everywhere, &[&["fetch", "origin"]]);

    // The user's own helper is asked.
    let repo = with_origin();
    let (script, mark) = repo.canary();
    set(&repo, "remote.origin.url", &url);
    let user = format!("[credential \"{url}\"]\n\thelper = !{script} users\n");
    fs::write(repo.dir.path().join("gitconfig"), user).unwrap();
    assert!(repo.open().fetch_branch("origin", "main").is_err());
    assert!(fs::read_to_string(&mark).unwrap().contains("users get"));
}

#[test]
fn signers_viewers_and_editors_are_not_run() {
    let all = |repo: &Repo, canary: &str| {
        for key in ["gpg.program", "gpg.ssh.program", "core.pager", "core.editor", "diff.external"]
        {
            set(repo, key, canary);
        }
        set(repo, "push.gpgSign", "true");
        set(repo, "commit.gpgSign", "true");
        set(repo, "tag.gpgSign", "true");
        set(repo, "core.alternateRefsCommand", canary);
        set(repo, "diff.x.textconv", canary);
        repo.write(".gitattributes", "* diff=x\n");
        let objects = repo.dir.path().join("origin.git/objects");
        repo.write(".git/objects/info/alternates", format!("{}\n", objects.display()));
    };
    trap(all, &[&["--paginate", "diff"]]);
}

#[test]
fn programs_that_would_show_a_difference_are_not_run() {
    for program in ["command", "textconv"] {
        let driver = |repo: &Repo, canary: &str| {
            set(repo, &format!("diff.x.{program}"), canary);
            set(repo, "diff.external", canary);
            repo.write(".git/info/attributes", "* diff=x\n");
        };
        trap(driver, &[&["diff"]]);
    }
}

#[test]
fn the_ssh_command_of_the_user_is_used() {
    let repo = with_origin();
    let (script, mark) = repo.canary();
    set(&repo, "remote.origin.url", "ssh://nobody@127.0.0.1:1/x");
    set(&repo, "core.sshCommand", "/bin/false");
    let user = format!("[core]\n\tsshCommand = {script} users\n");
    fs::write(repo.dir.path().join("gitconfig"), user).unwrap();
    assert!(repo.open().fetch_branch("origin", "main").is_err());
    assert!(fs::read_to_string(&mark).unwrap().contains("users"));
}

#[test]
fn variables_of_a_calling_hook_turn_us_nowhere() {
    let repo = with_origin();
    let mut variables = Repo::variables(repo.dir.path());
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
        variables.push((name.into(), "/nowhere".into()));
    }
    let (script, mark) = repo.canary();
    variables.push(("GIT_EXTERNAL_DIFF".into(), script.clone().into()));
    variables.push(("GIT_TRACE".into(), mark.clone().into()));
    let environment = super::config::Environment::with(variables);
    let git = Git::open_in(&repo.top, None, environment).unwrap();
    git.reset_index(&git.head().unwrap().commit).unwrap();
    git.fetch_branch("origin", "main").unwrap();
    assert!(!mark.exists());
}

#[test]
fn a_command_that_hangs_is_ended_with_its_children() {
    let repo = with_origin();
    let hanging = repo.dir.path().join("git");
    fs::write(&hanging, "#!/bin/sh\nsleep 1000 & echo $! > \"$HOME/pid\"\nwait\n").unwrap();
    fs::set_permissions(&hanging, fs::Permissions::from_mode(0o755)).unwrap();
    let git = Git::open_in(&repo.top, Some(&hanging), repo.environment()).unwrap();
    let call = super::command::Call::listing(&git).limit(std::time::Duration::from_secs(2));
    match call.run() {
        Err(super::GitError::TimedOut { verb, .. }) => assert_eq!(verb, "config"),
        other => panic!("{}", other.is_ok()),
    }
    let pid = fs::read_to_string(repo.dir.path().join("pid")).unwrap();
    let gone = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    let begun = std::time::Instant::now();
    while !gone() {
        assert!(begun.elapsed().as_secs() < 5, "the child of a command that was ended still runs");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }

    let git = Git::open_in(&repo.top, Some(Path::new("/no/git")), repo.environment()).unwrap();
    let error = git.fetch_branch("origin", "main").unwrap_err().to_string();
    assert!(error.contains("/no/git was not found"), "{error}");
}
