//! Several hosts, one history: `gitroll sync` and `gitroll trust`.

use std::path::PathBuf;
use std::process::Command;
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

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.s.host.gitroll_command(args);
        command.current_dir(&self.dir).env("GITROLL_HOME", self.s.host.path("gitroll-2"));
        command
    }

    fn gitroll(&self, args: &[&str]) -> Answer {
        Answer::of(self.command(args), Duration::from_secs(60))
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
fn a_new_key_is_accepted_by_a_person_or_by_a_host_that_follows_the_old_one() {
    let host = TestEnvironment::new();
    let s = Scenario::with_origin(&host, "");
    let second = Second::bound(&s);
    let there = |args: &[&str]| second.gitroll(args);
    let line = host.gitroll(&["trust", "request"]).exit(0).stdout.trim().to_owned();
    host.gitroll(&["sync"]).exit(0);
    there(&["trust", "add", &line, "--yes"]).exit(0);

    // A person accepts: the chain is believed again, up to the record of the old key and from there on.
    host.gitroll(&["trust", "rotate"]).exit(0);
    host.gitroll(&["annotate", "--reason", "by the new key"]).exit(0);
    host.gitroll(&["sync"]).exit(0);
    let synced = there(&["sync"]);
    synced.exit(0).stdout_has("not believed").stderr_has("gitroll trust accept 3 --writer web-1.");
    there(&["trust", "accept", "3"]).exit(2).stderr_has("revokes SHA256:");
    there(&["trust", "accept", "4", "--yes"]).exit(1).stderr_has("#3: production web-1");
    there(&["trust", "accept", "3", "--yes"]).exit(0).stdout_has("trusts SHA256:");
    let synced = there(&["sync", "--json"]);
    assert_eq!(chains(synced.exit(0))[0]["records"], 4, "{synced:?}");
    there(&["fsck"]).exit(0);

    // A host that follows the key applies it by itself; only its own host.toml says so.
    let listed = host.gitroll(&["trust", "list", "--json"]).exit(0).json();
    let keys = listed["result"]["keys"].as_array().cloned().unwrap_or_default();
    let current = keys.iter().find(|key| key["revoked"].as_array().is_some_and(Vec::is_empty));
    let follow = current.expect("one key is not revoked")["fingerprint"].to_string();
    let file = host.path("gitroll-2/host.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("[trust]\n", &format!("[trust]\nfollow = [{follow}]\n"));
    std::fs::write(&file, text).unwrap();
    host.gitroll(&["trust", "rotate"]).exit(0);
    host.gitroll(&["annotate", "--reason", "by the third key"]).exit(0);
    host.gitroll(&["sync"]).exit(0);
    let synced = there(&["sync"]);
    synced.exit(0).stdout_has("as #5 of web-1.").stdout_lacks("not believed");
    there(&["fsck"]).exit(0);

    // Revoked there: what came before counts, what comes later does not.
    there(&["trust", "revoke", "web-1", "--yes"]).exit(0).stdout_has("only records up to #6 count");
    there(&["fsck"]).exit(0);
    host.gitroll(&["annotate", "--reason", "after that"]).exit(0);
    host.gitroll(&["sync"]).exit(0);
    there(&["sync"]).exit(0).stdout_has("is revoked: only its records up to #6 count");
}

#[test]
fn two_hosts_write_at_once_and_none_of_their_records_is_lost() {
    /// Each takes a quarter of a second; with 100 the same holds.
    const RECORDS: usize = 24;
    let host = TestEnvironment::new();
    let s = Scenario::with_origin(&host, "");
    let second = Second::bound(&s);
    let commit = s.app.head();
    let before = |answer: Answer| {
        let log = answer.exit(0).json();
        log["result"]["records"].as_array().map_or(0, Vec::len)
    };
    let all = ["log", "--json", "-n", "1000"];
    let (first_had, second_had) = (before(host.gitroll(&all)), before(second.gitroll(&all)));
    let commands = |make: &dyn Fn(&[&str]) -> Command| -> Vec<(bool, Command)> {
        let mut commands = Vec::new();
        for number in 0..RECORDS {
            let reason = format!("number {number}");
            commands.push((true, make(&["mark", "good", &commit, "--reason", &reason])));
            if number % 10 == 5 {
                // Whatever comes of a sync beside another one, nothing is lost.
                commands.push((false, make(&["sync"])));
            }
        }
        commands
    };
    let here = commands(&|args| host.gitroll_command(args));
    let there = commands(&|args| second.command(args));
    let run = |commands: Vec<(bool, Command)>| {
        for (must, command) in commands {
            let answer = Answer::of(command, Duration::from_secs(60));
            if must {
                answer.exit(0);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| run(here));
        scope.spawn(|| run(there));
    });
    host.gitroll(&["sync"]).exit(0);
    second.gitroll(&["sync"]).exit(0);
    assert_eq!(before(host.gitroll(&all)), first_had + RECORDS);
    assert_eq!(before(second.gitroll(&all)), second_had + RECORDS);
    let count = |name: &str| {
        let refs = s.app.git(&["ls-remote", "origin", "refs/gitroll/production/ledger/*"]);
        let line = refs.lines().find(|line| line.contains(name)).expect("it is on the remote");
        let id = line.split_whitespace().next().expect("an id").to_owned();
        s.app.git(&["fetch", "-q", "origin", &id]);
        s.app.git(&["rev-list", "--count", "--first-parent", &id, "--not", &commit])
    };
    assert_eq!(count("web-1.").trim(), (first_had + RECORDS).to_string());
    assert_eq!(count("web-2.").trim(), (second_had + RECORDS).to_string());
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
    // doctor does not say "push" of what the remote has already.
    let doctor = host.gitroll(&["doctor"]);
    doctor.stdout_has("records of this host that are not here").stdout_has("--new-writer");
    doctor.stdout_lacks("git push").stdout_lacks("not on origin");
    doctor.stdout_has("protects stable tags and records: anyone who pushes can move them");

    // It went on all the same: two histories of one writer.
    let went_on = s.release("1.1.0", Behaviour::Good);
    went_on
        .exit(0)
        .stderr_has("origin has other records of this host")
        .stderr_has("init --new-writer");
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

#[test]
fn a_shallow_clone_becomes_a_whole_one_and_notes_that_do_not_go_are_told() {
    let host = TestEnvironment::new();
    let s = Scenario::with_origin(&host, "");
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    host.gitroll(&["sync"]).exit(0);
    let url = s.app.git(&["remote", "get-url", "origin"]);
    let dir = host.path("second");
    let there = dir.to_str().expect("UTF-8");
    let url = format!("file://{}", url.trim());
    host.run("git", &["clone", "-q", "--depth", "1", &url, there]).exit(0);
    let second = Second { s: &s, dir: dir.clone() };
    second.gitroll(&["init", "--yes", "--environment", "production", "--name", "web-2"]).exit(0);
    assert!(dir.join(".git/shallow").exists());
    second.gitroll(&["sync"]).exit(0);
    assert!(!dir.join(".git/shallow").exists(), "the history is whole");

    // Notes of somebody else's making lie where this host's are to go.
    let notes = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/notes/gitroll"]);
    let other = s.app.git(&["commit-tree", "-m", "x", "HEAD^{tree}"]);
    s.app.git(&["push", "-q", "-f", "origin", &format!("{}:{}", other.trim(), notes.trim())]);
    let told = host.gitroll(&["sync"]);
    told.exit(0).stderr_has("the notes of this host were not published");
}

#[test]
fn another_hosts_history_that_shrank_stops_who_decides_and_can_be_given_up() {
    let host = TestEnvironment::new();
    let s = Scenario::with_origin(&host, "");
    let second = Second::bound(&s);
    let there = |args: &[&str]| second.gitroll(args);
    let line = there(&["trust", "request"]).exit(0).stdout.trim().to_owned();
    host.gitroll(&["trust", "add", &line, "--yes"]).exit(0);
    let bad = s.app.head();
    there(&["mark", "good", &bad, "--reason", "fine"]).exit(0);
    there(&["mark", "bad", &bad, "--reason", "loses orders"]).exit(0);
    there(&["sync"]).exit(0);
    host.gitroll(&["sync"]).exit(0);
    host.gitroll(&["status"]).stdout_has("held");
    // This host's own chain has seen it, too.
    host.gitroll(&["annotate", "--reason", "seen"]).exit(0);

    s.app.git(&["commit", "-q", "--allow-empty", "-m", "later"]);
    let later = s.app.head();
    s.app.git(&["checkout", "-q", "--detach", &bad]);
    host.gitroll(&["deploy", &later, "--yes"]).exit(10).stderr_has("held");

    // Someone takes the verdict out of the history: here, and on the remote.
    let chain =
        line.split(' ').next().map(|w| format!("refs/gitroll/production/ledger/{w}")).unwrap();
    let whole = s.app.git(&["rev-parse", &chain]);
    let shorter = s.app.git(&["rev-parse", &format!("{chain}~1")]);
    s.app.git(&["update-ref", &chain, &shorter]);
    s.app.git(&["push", "-q", "-f", "origin", &format!("{shorter}:{chain}")]);
    for args in [
        &["deploy", &later, "--yes"] as &[&str],
        &["promote", "--as", "v9.9.9", "--yes"],
        &["trust", "rotate"],
    ] {
        let refused = host.gitroll(args);
        refused.exit(10).stderr_has("as seen by").says("gitroll fsck --repair").says("--at 0");
    }
    host.gitroll(&["status"]).exit(0);
    // The way back is not barred by it: the host has nothing older, which is another refusal.
    host.gitroll(&["back", "--yes"]).exit(1);
    let doctor = host.gitroll(&["doctor"]);
    doctor.stdout_has("as seen by");
    host.gitroll(&["fsck", "--repair"]).exit(0);
    assert_eq!(s.app.git(&["rev-parse", &chain]), whole);
    host.gitroll(&["doctor"]).stdout_has("origin has fewer records of web-2.");
    host.gitroll(&["deploy", &later, "--yes"]).exit(10).stderr_has("held");

    // Its objects are lost, and every copy of them: a person gives the history up.
    s.app.git(&["update-ref", &chain, &shorter]);
    let object = s.app.dir.join(".git/objects").join(&whole[..2]).join(&whole[2..]);
    std::fs::remove_file(&object).unwrap_or_else(|e| panic!("{}: {e}", object.display()));
    host.gitroll(&["fsck", "--repair"]).exit(10);
    host.gitroll(&["deploy", &later, "--yes"]).exit(10).stderr_has("as seen by");
    host.gitroll(&["trust", "revoke", "web-2", "--at", "0"]).exit(2);
    host.gitroll(&["trust", "revoke", "web-2", "--at", "0", "--yes"]).exit(0);
    let again = host.gitroll(&["deploy", &later, "--yes"]);
    again.exit(0).stderr_has("revoked from its first record on");
    // The ref itself may be gone, too.
    s.app.git(&["update-ref", "-d", &chain]);
    host.gitroll(&["deploy", &later, "--yes"]).exit(0);

    // It begins again under another name, and is believed again.
    std::fs::remove_dir_all(host.path("gitroll-2")).unwrap();
    there(&["init", "--yes", "--environment", "production", "--name", "web-2", "--new-writer"])
        .exit(0);
    let line = there(&["trust", "request"]).exit(0).stdout.trim().to_owned();
    host.gitroll(&["trust", "add", &line, "--yes"]).exit(0);
    there(&["sync"]);
    let synced = host.gitroll(&["sync", "--json"]).json();
    let believed = synced["result"]["chains"].as_array().cloned().unwrap_or_default();
    assert!(believed.iter().any(|chain| chain["records"].as_u64().is_some()), "{synced:#}");
}

#[test]
fn a_clone_that_is_not_bound_fetches_the_whole_history_and_publishes_nothing() {
    let host = TestEnvironment::new();
    let s = Scenario::with_origin(&host, "");
    s.promote("v1.0.0");
    host.gitroll(&["sync"]).exit(0);
    let url = s.app.git(&["remote", "get-url", "origin"]);
    let dir = host.path("laptop");
    let there = dir.to_str().expect("UTF-8");
    host.run("git", &["clone", "-q", "--no-tags", url.trim(), there]).exit(0);
    let gitroll = |args: &[&str]| {
        let mut command = host.gitroll_command(args);
        command.current_dir(&dir).env("GITROLL_HOME", host.path("nowhere"));
        Answer::of(command, Duration::from_secs(60))
    };
    let before = s.app.git(&["ls-remote", "origin"]);
    let synced = gitroll(&["sync"]);
    synced.exit(0).stdout_has("web-1.").stdout_has("3 records, 3 new").stdout_has("v1.0.0-stable");
    synced.stdout_has("signatures are not verified").stdout_lacks("published");
    assert_eq!(s.app.git(&["ls-remote", "origin"]), before);
    gitroll(&["log"]).exit(0).stdout_has("deploy").stdout_has("promote");
    let again = gitroll(&["sync", "--json"]).exit(0).json();
    assert_eq!(again["result"]["chains"][0]["new"], 0, "{again:#}");
    assert_eq!(again["result"]["verified"], false, "{again:#}");
    gitroll(&["sync", "--remote", "nope"]).exit(1).stderr_has("there is no remote nope");
}
