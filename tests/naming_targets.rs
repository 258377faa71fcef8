//! What the name of a target means: tags, records, branches here and upstream, remotes that do not answer.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;

/// A colleague's clone, who pushes.
struct Colleague<'s, 'h> {
    s: &'s Scenario<'h>,
    clone: PathBuf,
}

impl<'s, 'h> Colleague<'s, 'h> {
    fn of(s: &'s Scenario<'h>) -> Self {
        let clone = s.host.path("colleague");
        let place = clone.to_str().expect("temporary paths are UTF-8");
        s.app.git(&["clone", "-q", "../remote.git", place]);
        Self { s, clone }
    }

    fn git(&self, args: &[&str]) {
        let mut all = vec!["-C", self.clone.to_str().expect("temporary paths are UTF-8")];
        all.extend(args);
        self.s.host.run("git", &all).exit(0);
    }

    /// Commits a version on what is checked out there and pushes it to `refs`.
    fn push(&self, version: &str, refs: &[&str]) {
        let package = self.clone.join("package.json");
        let text = std::fs::read_to_string(&package).expect("the clone has it");
        let old = text.split("\"version\": \"").nth(1).and_then(|rest| rest.split('"').next());
        let old = old.expect("it has a version").to_owned();
        std::fs::write(&package, text.replacen(&old, version, 1)).expect("the clone is writable");
        self.git(&["commit", "-q", "-a", "-m", version]);
        let mut args = vec!["push", "-q", "-f", "origin"];
        args.extend(refs);
        self.git(&args);
    }
}

#[test]
fn a_number_is_a_record_or_a_tag_and_where_it_is_both_nobody_guesses() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().without_builds());
    // Record 2 is the deploy of 1.0.0.
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.git(&["tag", "-a", "-m", "build 2", "2", "HEAD"]);
    s.app.git(&["tag", "-a", "-m", "build 77", "77", "HEAD"]);
    for command in
        [&["deploy", "2", "--yes"][..], &["back", "--to", "2", "--yes"], &["back", "2", "--yes"]]
    {
        let both = host.gitroll(command);
        both.exit(10).stderr_has("2 is both a tag and a record").stderr_has("refs/tags/2");
        both.stderr_has(&format!("gitroll {} @2", command[0]));
    }
    s.serves("1.1.0");
    host.gitroll(&["deploy", "77", "--plan"]).exit(0);
    host.gitroll(&["deploy", "refs/tags/2", "--yes"]).exit(0).says("already serves");
    host.gitroll(&["show", "@2"]).exit(0);
    // The names that are shown can be typed.
    s.release("1.2.0", Behaviour::Good).exit(0);
    host.gitroll(&["back", "v1.1.0", "--plan"]).exit(0).says("v1.1.0");
    host.gitroll(&["show", "v1.1.0"]).exit(0).stdout_has("deployed v1.1.0");
    host.gitroll(&["show", "v9.9.9"]).exit(1);
    for two in [["v1.1.0", "v1.2.0"], ["@2", "v1.1.0"], ["2", "@5"]] {
        host.gitroll(&["diff", two[0], two[1]]).exit(0);
    }
    host.gitroll(&["back", "@2", "--yes"]).exit(0);
    s.serves("1.0.0");
    // A tag of the name another state would be shown under: that one is shown, and named, by its id.
    s.app.git(&["tag", "-a", "-m", "early", "v1.1.0", "HEAD"]);
    let status = host.gitroll(&["targets"]);
    status.exit(0).stdout_lacks("v1.1.0 ");
    // One number for a record and for what it put in place is no question.
    let six = s.app.git(&["rev-parse", "HEAD"]);
    s.app.git(&["tag", "-f", "-a", "-m", "same", "2", &six]);
    host.gitroll(&["deploy", "2", "--yes"]).exit(0).says("already serves");
}

#[test]
fn what_a_remote_has_is_asked_before_a_name_is_taken_for_what_is_here() {
    let host = TestEnvironment::new();
    let s = Scenario::with_origin(&host, "[deploy]\nref = \"origin/main\"\n");
    let colleague = Colleague::of(&s);
    s.app.git(&["checkout", "-q", "--detach"]);
    let deploy = |rev: &str| host.gitroll(&["deploy", rev, "--yes"]);

    // A branch here that is behind the one it follows, and a tag that takes the remote branch's name.
    colleague.push("1.1.0", &["HEAD:main"]);
    s.app.git(&["tag", "-a", "-m", "not the branch", "origin/main", "HEAD"]);
    deploy("origin/main").exit(0);
    s.serves("1.1.0");
    colleague.push("1.2.0", &["HEAD:main"]);
    deploy("main").exit(0).stderr_has("main here is behind origin/main");
    s.serves("1.2.0");

    // A tag, a branch and a commit that only the remote has.
    colleague.push("1.3.0", &["HEAD:main", "HEAD:refs/tags/v1.3.0"]);
    deploy("v1.3.0").exit(0);
    s.serves("1.3.0");
    colleague.push("1.4.0", &["HEAD:main"]);
    let clone = colleague.clone.to_str().expect("temporary paths are UTF-8");
    let pushed = host.run("git", &["-C", clone, "rev-parse", "HEAD"]).text().to_owned();
    deploy(&pushed[..10]).exit(0);
    s.serves("1.4.0");

    // `feature` became `feature/x`: neither stops a deploy, of main or of the new branch.
    colleague.push("1.5.0", &["HEAD:main", "HEAD:feature"]);
    deploy("feature").exit(0);
    colleague.git(&["push", "-q", "origin", ":feature"]);
    colleague.push("1.6.0", &["HEAD:main", "HEAD:feature/x"]);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.serves("1.6.0");
    colleague.push("1.7.0", &["HEAD:feature/x"]);
    deploy("origin/feature/x").exit(0).stderr_has("was in the way");
    s.serves("1.7.0");

    // One name for a tag and a branch, there and here, and for a branch and the beginning of an id.
    colleague.push("1.7.1", &["HEAD:rel", "HEAD~1:refs/tags/rel"]);
    let both = deploy("rel");
    both.exit(10)
        .stderr_has("gitroll deploy origin/rel")
        .stderr_has("gitroll deploy refs/tags/rel");
    let digits = s.app.git(&["rev-parse", "--short=8", "HEAD"]);
    for args in [["tag", "two"], ["branch", "two"], ["branch", digits.trim()]] {
        let on = if args[0] == "tag" { "HEAD" } else { "HEAD~1" };
        s.app.git(&[args[0], args[1], on]);
    }
    deploy("two").exit(10).stderr_has("refs/tags/two, refs/heads/two");
    deploy(digits.trim()).exit(10).stderr_has(&format!("refs/heads/{}", digits.trim()));
    s.serves("1.7.0");
    deploy("refs/heads/two").exit(0);
    s.serves("1.6.0");

    // Different ways are nobody's guess; commits that are only here are said.
    s.app.git(&["tag", "-d", "origin/main"]);
    s.app.git(&["branch", "-f", "main", "origin/main"]);
    s.app.git(&["checkout", "-q", "main"]);
    s.app.commit_version("2.0.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "origin/feature/x"]);
    let ahead = host.gitroll(&["deploy", "main", "--plan"]);
    ahead.exit(0).says("1 ahead of origin/main");
    colleague.push("1.8.0", &["HEAD:main"]);
    deploy("main").exit(10).stderr_has("have diverged").stderr_has("refs/heads/main");
    deploy("refs/heads/main").exit(0);
    s.serves("2.0.0");
}

#[test]
fn a_tag_that_moved_and_a_branch_that_is_gone_on_the_remote_are_said_not_deployed() {
    let host = TestEnvironment::new();
    let s = Scenario::with_origin(&host, "[deploy]\nref = \"origin/main\"\n");
    let colleague = Colleague::of(&s);
    s.app.git(&["checkout", "-q", "--detach"]);
    s.app.git(&["tag", "-a", "-m", "one", "live"]);
    colleague.push("1.1.0", &["HEAD:refs/tags/live", "HEAD:main"]);
    let moved = host.gitroll(&["deploy", "live", "--yes"]);
    moved.exit(10).stderr_has("here differs from the one on origin");
    moved.stderr_has("git fetch --force origin tag live");
    host.gitroll(&["deploy", "--yes"])
        .exit(0)
        .says("tags that differ on origin are left unchanged here: live");
    host.gitroll(&["deploy", "refs/tags/live", "--plan"]).exit(0);

    s.app.git(&["--git-dir=../remote.git", "branch", "-m", "main", "trunk"]);
    for args in [&["deploy", "--yes"][..], &["deploy", "origin/main", "--yes"]] {
        let gone = host.gitroll(args);
        gone.exit(1).stderr_has("origin no longer has a branch main");
        gone.stderr_has("git ls-remote --heads origin")
            .stderr_has("gitroll deploy refs/remotes/origin/main");
    }
    host.gitroll(&["deploy", "origin/nonsense", "--yes"])
        .exit(1)
        .stderr_has("has no branch nonsense");
    s.serves("1.1.0");

    // Without the remote what is here counts, where it was named, and that is said.
    std::fs::rename(host.path("remote.git"), host.path("away.git")).expect("it can be moved");
    host.gitroll(&["deploy", "--yes"]).exit(1).stderr_has("without fetching");
    host.gitroll(&["deploy", "origin/main", "--yes"]).exit(0).says("origin does not answer");
    host.gitroll(&["deploy", "v7.7.7", "--yes"]).exit(1).stderr_has("origin does not answer");
    // And where git would have gone another way than gitroll does.
    s.app.git(&["config", "core.sshCommand", "ssh -i /nowhere"]);
    host.gitroll(&["deploy", "--yes"]).exit(1).stderr_has("core.sshCommand");
}

#[test]
fn a_remote_that_never_answers_keeps_nobody_waiting_who_acts_here() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().without_builds());
    s.release("1.1.0", Behaviour::Good).exit(0);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
    let url = format!("http://{}/app.git", silent.local_addr().expect("it is bound"));
    // Accepts, reads what comes, and says nothing.
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in silent.incoming().flatten() {
            let mut reader = stream.try_clone().expect("a socket can be cloned");
            thread::spawn(move || {
                let mut buffer = [0; 1024];
                while reader.read(&mut buffer).is_ok_and(|read| read > 0) {}
            });
            open.push(stream);
        }
    });
    s.app.git(&["remote", "add", "origin", &url]);
    let begun = Instant::now();
    let back = Going::start(&host, &["back", "--yes"]);
    s.serves("1.0.0");
    wait_until("it is on record", || {
        let tags = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/tags/gitroll"]);
        tags.contains("-back")
    });
    // It publishes now; whoever wants to act here may.
    wait_until("others may act", || host.gitroll(&["service", "restart"]).code == Some(0));
    let (out, told) = back.ends(0);
    assert!(out.contains("observed serving"), "{out}");
    assert!(told.contains("is not published: origin did not answer within 3 s"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{told}");
    host.gitroll(&["status"]).exit(0).stdout_has("unpublished");

    // The answer comes first, as a document, too: whoever reads it waits for no remote.
    let begun = Instant::now();
    let undo = Going::start(&host, &["back", "--undo", "--yes", "--json"]);
    undo.answers("\"serving\"");
    assert!(!undo.told().contains("is not published"), "{}", undo.told());
    undo.tells("is not published");
    undo.ends(0);
    assert!(begun.elapsed() < Duration::from_secs(60));
}
