//! Programs that the repository's own configuration, hooks and attributes name must never run.

use super::*;

/// Settings that make git run a program, `@` standing for it.
const SETTINGS: [(&str, &str); 34] = [
    ("core.fsmonitor", "@"),
    ("core.pager", "@"),
    ("core.editor", "@"),
    ("core.sshCommand", "@"),
    ("core.askPass", "@"),
    ("core.gitProxy", "@"),
    ("core.alternateRefsCommand", "@"),
    ("sequence.editor", "@"),
    ("credential.helper", "!@"),
    ("diff.external", "@"),
    ("diff.evil.textconv", "@"),
    ("diff.evil.command", "@"),
    ("merge.evil.driver", "@"),
    ("filter.evil.clean", "@"),
    ("filter.evil.smudge", "@"),
    ("filter.evil.process", "@"),
    ("filter.evil.required", "true"),
    ("gpg.program", "@"),
    ("gpg.openpgp.program", "@"),
    ("gpg.ssh.program", "@"),
    ("gpg.x509.program", "@"),
    ("gpg.ssh.defaultKeyCommand", "@"),
    ("log.showSignature", "true"),
    ("tag.gpgSign", "true"),
    ("commit.gpgSign", "true"),
    ("push.gpgSign", "if-asked"),
    ("remote.origin.uploadpack", "@"),
    ("remote.origin.receivepack", "@"),
    ("uploadpack.packObjectsHook", "@"),
    ("hook.evil.command", "@"),
    ("hook.evil.event", "reference-transaction"),
    ("trailer.evil.cmd", "@"),
    ("gc.auto", "1"),
    ("interactive.diffFilter", "@"),
];

const HOOKS: [&str; 14] = [
    "post-checkout",
    "pre-commit",
    "commit-msg",
    "post-commit",
    "pre-push",
    "reference-transaction",
    "post-index-change",
    "pre-auto-gc",
    "post-rewrite",
    "pre-receive",
    "update",
    "post-update",
    "post-merge",
    "applypatch-msg",
];

/// A program that leaves a mark, whatever it is asked.
fn canary(host: &TestEnvironment) -> String {
    let program = host.path("canary");
    let mark = host.path("it-ran");
    write_script(&program, &format!("#!/bin/sh\necho \"$0 $*\" >> {}\nexit 1\n", mark.display()));
    program.to_str().expect("temporary paths are UTF-8").to_owned()
}

#[track_caller]
fn assert_silent(host: &TestEnvironment) {
    let ran = fs::read_to_string(host.path("it-ran")).unwrap_or_default();
    assert_eq!(ran, "", "the repository had a program run");
}

fn poison(s: &Scenario<'_>, program: &str) {
    for (name, value) in SETTINGS {
        let file = s.app.dir.join(".git/config");
        let file = file.to_str().expect("temporary paths are UTF-8");
        let value = value.replace('@', program);
        // Elsewhere than in the repository, whose configuration would have its effect on this git too.
        let mut git = s.host.command("git");
        git.current_dir("/").args(["config", "--file", file, name, &value]);
        Answer::of(git, std::time::Duration::from_secs(20)).exit(0);
    }
    let script = fs::read_to_string(program).expect("the canary was written");
    let own = s.app.dir.join(".git/hooks");
    let other = s.app.dir.join(".git/other-hooks");
    for dir in [&own, &other] {
        fs::create_dir_all(dir).expect("the repository is writable");
        for hook in HOOKS {
            write_script(&dir.join(hook), &script);
        }
    }
    let mut git = s.host.command("git");
    let file = s.app.dir.join(".git/config");
    git.current_dir("/").arg("config").arg("--file").arg(file);
    git.arg("core.hooksPath").arg(other);
    Answer::of(git, std::time::Duration::from_secs(20)).exit(0);
    // Not committed: what is committed with a filter is refused.
    s.app.write(".gitattributes", "* filter=evil diff=evil merge=evil\n");
}

#[test]
fn nothing_that_the_repository_names_is_run_by_any_command() {
    let host = TestEnvironment::new();
    let program = canary(&host);
    let app = host.app(Fixture::Plain);
    app.configure(&quick().and("[deploy]\nref = \"origin/main\"\n"));
    app.commit_version("1.0.0", Behaviour::Good);
    app.write(".git/info/exclude", ".gitattributes\n");
    app.with_remote();
    let first = app.head();
    let next = app.commit_version("1.1.0", Behaviour::Good);
    app.git(&["push", "-q", "origin", "HEAD:main"]);
    app.git(&["checkout", "-q", "--detach", &first]);
    let s = Scenario { host: &host, app };
    poison(&s, &program);
    host.gitroll(&["init", "--yes", "--environment", "production", "--name", "web-1"]).exit(0);
    assert_silent(&host);
    host.gitroll(&["deploy", &first, "--yes"]).exit(0);
    host.gitroll(&["promote", "--as", "v1.0.0", "--yes"]).exit(0);
    assert_silent(&host);
    // Fetches, activates and publishes.
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.serves("1.1.0");
    assert_eq!(
        fs::read_to_string(s.app.dir.join(".git/HEAD")).map(|t| t.trim().to_owned()).ok(),
        Some(next)
    );
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert_silent(&host);
    every_command(&s);
    host.gitroll(&["unhold", "1"]);
    host.gitroll(&["service", "restart"]).exit(0);
    assert_silent(&host);
}

#[test]
fn the_canary_would_sing() {
    let host = TestEnvironment::new();
    let program = canary(&host);
    let app = host.app(Fixture::Plain);
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    poison(&s, &program);
    s.app.try_git(&["status"]);
    assert!(host.path("it-ran").exists(), "the canary is deaf: these tests would prove nothing");
}

#[test]
fn a_gitconfig_planted_in_the_tree_and_a_bare_repository_inside_are_nothing() {
    let host = TestEnvironment::new();
    let program = canary(&host);
    let s = two_releases(&host);
    // A directory of the tree that looks like a git directory.
    for (path, text) in [
        ("sub/HEAD", "ref: refs/heads/main\n".to_owned()),
        ("sub/config", format!("[core]\n\tbare = true\n\tfsmonitor = {program}\n\tworktree = /\n")),
        ("sub/objects/.keep", String::new()),
        ("sub/refs/.keep", String::new()),
    ] {
        s.app.write(path, &text);
    }
    let answer = host.gitroll_in(&s.app.dir.join("sub"), &["status"]);
    assert!(answer.code != Some(70) && answer.code.is_some(), "{}", answer.transcript());
    host.gitroll(&["status"]).exit(0);
    assert_silent(&host);
}
