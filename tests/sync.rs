//! Several hosts, one history: `gitroll sync` and `gitroll trust`.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::*;
use serde_json::Value;

/// A second host: a checkout and a binding of its own.
struct Second<'s, 'h> {
    s: &'s Scenario<'h>,
    dir: PathBuf,
}

impl<'s, 'h> Second<'s, 'h> {
    /// Cloned from `origin` and bound as web-2.
    fn bound(s: &'s Scenario<'h>) -> Self {
        let dir = s.host.path("second");
        let url = s.app.git(&["remote", "get-url", "origin"]);
        s.host.run("git", &["clone", "-q", url.trim(), dir.to_str().expect("UTF-8")]).exit(0);
        let second = Self { s, dir };
        second
            .gitroll(&["init", "--yes", "--environment", "production", "--name", "web-2"])
            .exit(0);
        second
    }

    fn gitroll(&self, args: &[&str]) -> Answer {
        let mut command = self.s.host.gitroll_command(args);
        command.current_dir(&self.dir).env("GITROLL_HOME", self.s.host.path("gitroll-2"));
        Answer::of(command, Duration::from_secs(60))
    }
}

fn chains(answer: &Answer) -> Vec<Value> {
    answer.json()["result"]["chains"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_second_host_joins_in_two_commands_and_both_see_one_history() {
    let host = TestEnvironment::new();
    let s = Scenario::with_origin(&host, "");
    s.promote("v1.0.0");
    let second = Second::bound(&s);
    let there = |args: &[&str]| second.gitroll(args);

    // Not trusted yet: shown, never believed, with the command.
    host.gitroll(&["sync"]).exit(0);
    let synced = there(&["sync"]);
    synced.exit(0).stdout_has("not believed").stderr_has("gitroll trust add");

    let line = host.gitroll(&["trust", "request"]).exit(0).stdout.trim().to_owned();
    assert!(line.starts_with("web-1.") && line.contains("ssh-ed25519 "), "{line}");
    there(&["trust", "add", &line]).exit(2).stdout_has("SHA256:");
    let added = there(&["trust", "add", &line, "--yes"]);
    added.exit(0).stdout_has("SHA256:").stdout_has("trusted");
    there(&["trust", "add", &line, "--yes"]).exit(0).stdout_has("trusted already");
    let listed = there(&["trust", "list", "--json"]).exit(0).json();
    assert_eq!(listed["result"]["keys"].as_array().map(Vec::len), Some(2), "{listed}");
    there(&["trust", "add", "web-1 nonsense", "--yes"]).exit(1).stderr_has("trust request");
    there(&["trust", "add", "web-1 ssh-ed25519 AAAA", "--yes"]).exit(1);
    // A limit that would not be kept.
    let limited = line.replace("namespaces", "valid-before=\"20300101\" namespaces");
    there(&["trust", "add", &limited, "--yes"]).exit(1).stderr_has("trust request");

    let synced = there(&["sync", "--json"]);
    let [web_1] = &chains(synced.exit(0))[..] else { panic!("{synced:?}") };
    assert_eq!(web_1["records"], 3, "{web_1}");
    there(&["log", "--writer", "web-1"]).exit(0).stdout_has("deploy");
    assert!(there(&["fsck"]).exit(0).stdout.contains("web-1"));
    // The stable tag came with it, and so did record tags made from the chain.
    let tags = host.run("git", &["-C", second.dir.to_str().unwrap(), "tag", "--list"]);
    assert!(tags.stdout.contains("v1.0.0-stable"), "{tags:?}");
    assert!(tags.stdout.contains("gitroll/production/web-1"), "{tags:?}");

    // What the second host judges counts on the first, once it is trusted there.
    let bad = s.app.git(&["rev-parse", "HEAD"]);
    there(&["mark", "bad", bad.trim(), "--reason", "loses orders"]).exit(0);
    there(&["sync"]).exit(0).stdout_has("published");
    let line = there(&["trust", "request"]).exit(0).stdout.trim().to_owned();
    host.gitroll(&["trust", "add", &line, "--yes"]).exit(0);
    host.gitroll(&["sync"]).exit(0);
    host.gitroll(&["status"]).stdout_has("held");
    host.gitroll(&["sync"]).exit(0).stdout_has("published 0 records");
}

#[test]
fn nothing_is_overwritten_where_two_histories_do_not_fit() {
    let host = TestEnvironment::new();
    let s = Scenario::with_origin(&host, "");
    host.gitroll(&["sync"]).exit(0);
    let chain = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/gitroll"]);
    let chain = chain.trim();

    // The machine was restored from an older copy: the remote is ahead.
    let copy = host.path("copy.tar");
    let state = ["app/.git"].map(|dir| host.path(dir));
    let tar = |args: &[&str]| host.run("tar", args).exit(0).stdout.len();
    let (archive, git) = (copy.to_str().unwrap(), state[0].to_str().unwrap());
    let root = host.root().to_str().unwrap();
    tar(&["-C", root, "-cf", archive, git.strip_prefix(&format!("{root}/")).unwrap()]);
    host.gitroll(&["annotate", "--reason", "later"]).exit(0);
    host.gitroll(&["sync"]).exit(0);
    let ahead = s.app.git(&["rev-parse", chain]);
    std::fs::remove_dir_all(git).unwrap();
    tar(&["-C", root, "-xf", archive]);
    let behind = host.gitroll(&["sync"]);
    behind.exit(10).stdout_has("restored from an older copy").stdout_has("init --new-writer");
    behind.stdout_lacks("git push");

    // It went on all the same: two histories of one writer.
    host.gitroll(&["annotate", "--reason", "another"]).exit(0);
    host.gitroll(&["sync"]).exit(10).stdout_has("was copied").stdout_has("init --new-writer");
    let origin = s.app.git(&["ls-remote", "origin", chain]);
    assert!(origin.starts_with(ahead.trim()), "the remote keeps what it has: {origin}");

    // A stable tag that somebody moved on the remote.
    s.promote("v1.0.0");
    s.app.git(&["commit", "-q", "--allow-empty", "-m", "other"]);
    s.app.git(&["push", "-q", "origin", "HEAD:refs/tags/v1.0.0-stable"]);
    let moved = host.gitroll(&["sync"]);
    moved.exit(10).stdout_has("v1.0.0-stable").stdout_has("the one here is kept");

    // The remote is away: at once, with what waits.
    s.app.git(&["remote", "set-url", "origin", "/nowhere"]);
    let away = host.gitroll(&["sync"]);
    away.exit(1).stderr_has("does not answer").stderr_has("records stay here");
    host.gitroll(&["sync", "--remote", "nope"]).exit(1).stderr_has("there is no remote nope");
}
