//! The guard of a server's repository: real pushes over a real ssh to `git-shell`, honest and forged.

use super::*;

/// A server with the guard, that trusts the host's own key.
struct Guarded<'h> {
    s: Scenario<'h>,
    server: GitServer<'h>,
}

impl<'h> Guarded<'h> {
    fn of(s: Scenario<'h>) -> Self {
        let server = GitServer::start(s.host);
        s.app.git(&["remote", "add", "server", &server.url]);
        Self { s, server }
    }

    fn install(&self, args: &[&str]) -> Answer {
        self.s
            .host
            .gitroll_in(&self.server.bare, &[&["hooks", "install", "--server"], args].concat())
    }

    fn push(&self, refs: &[&str]) -> Answer {
        self.s.app.try_git(&[&["push", "server"], refs].concat())
    }

    fn refs(&self) -> String {
        let bare = self.server.bare.to_str().unwrap();
        self.s.host.run("git", &["-C", bare, "for-each-ref"]).exit(0).text().to_owned()
    }

    /// Refused with this sentence, and nothing came in.
    #[track_caller]
    fn refuses(&self, refs: &[&str], sentence: &str) {
        let before = self.refs();
        let push = self.push(refs);
        push.fails().stderr_has("gitroll: ").stderr_has(sentence);
        assert_eq!(self.refs(), before, "{}", push.transcript());
    }
}

#[test]
fn a_server_takes_what_is_signed_and_refuses_what_is_forged_moved_or_deleted() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let chain = own_chain(&s);
    let server = Guarded::of(s);
    let s = &server.s;
    // Without keys there is no guard, and it says what to give it.
    server.install(&[]).exit(1).stderr_has("--trust FILE");
    let trust = host.path("gitroll/trust");
    server.install(&["--trust", trust.to_str().unwrap()]).exit(0).stdout_has("pre-receive");
    host.gitroll_in(&server.server.bare, &["hooks", "status", "--server"]).exit(0);

    let stable = "refs/tags/v1.0.0-stable";
    let records = "refs/tags/gitroll/*:refs/tags/gitroll/*";
    server.push(&["HEAD:refs/heads/main", stable, &chain, records]).exit(0);
    assert!(server.refs().contains(&chain) && server.refs().contains(stable));
    host.gitroll(&["annotate", "--reason", "one more"]).exit(0);
    server.push(&[&chain]).exit(0);

    let head = s.app.head();
    let here = |args: &[&str]| s.app.git(args);
    server.refuses(&["--delete", stable], "is a stable tag: it is never deleted");
    server.refuses(&["--force", &format!("{head}:{stable}")], "is a stable tag: it is never moved");
    here(&["tag", "--no-sign", "light-stable"]);
    server.refuses(&["light-stable"], "light-stable is a lightweight tag, not signed");
    s.app.tag("plain-stable");
    server.refuses(&["plain-stable"], "plain-stable is not signed: git tag -s plain-stable");
    let signed = here(&["rev-parse", stable]);
    server.refuses(
        &[&format!("{signed}:refs/tags/v9.0.0-stable")],
        "a tag is signed under its own name",
    );
    here(&["tag", "--no-sign", "-a", "-m", "x", "nested-stable", stable]);
    server.refuses(&["nested-stable"], "nested-stable names a tag, not a commit");
    // A key that nobody trusts.
    let key = host.path("other-key");
    let file = key.to_str().unwrap();
    host.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", file]).exit(0);
    let sign =
        ["-c", "gpg.format=ssh", "-c", &format!("user.signingKey={file}")].map(str::to_owned);
    let sign: Vec<&str> = sign.iter().map(String::as_str).collect();
    here(&[&sign[..], &["tag", "-s", "-m", "x", "theirs-stable"]].concat());
    server.refuses(&["theirs-stable"], "signer is not in the pinned trust file");
    // Any other tag is the team's own.
    here(&["tag", "--no-sign", "nightly"]);
    server.push(&["nightly"]).exit(0);

    let tags = here(&["for-each-ref", "--format=%(refname)", "refs/tags/gitroll"]);
    let record = tags.lines().last().unwrap();
    server.refuses(&["--delete", record], "is a record: it is never deleted");
    server.refuses(&["--force", &format!("{head}:{record}")], "is a record: it is never moved");
    let writer = chain.rsplit('/').next().unwrap();
    let beside = format!("refs/tags/gitroll/production/{writer}/99-deploy/x");
    server.refuses(&[&format!("{head}:{beside}")], "is not a record: there is no tag object");
    let replayed = format!("refs/tags/gitroll/production/{writer}/99-deploy");
    server.refuses(&[&format!("{record}:{replayed}")], "holds another record");
    server.refuses(&["--delete", &chain], "is the history of a host: it is never deleted");
    let earlier = here(&["rev-parse", &format!("{chain}~1")]);
    server.refuses(&["--force", &format!("{earlier}:{chain}")], "it only grows");
    server.refuses(&["--force", &format!("{head}:{chain}")], "the history of web-1");
    let other = "refs/gitroll/production/ledger/web-2.abcd";
    server.refuses(&[&format!("{chain}:{other}")], "it belongs to writer web-1");
    let staging = format!("refs/gitroll/staging/ledger/{writer}");
    server.refuses(&[&format!("{chain}:{staging}")], "it belongs to environment production");
    // A record at the end of the chain that nobody signed.
    let tree = here(&["rev-parse", &format!("{chain}^{{tree}}")]);
    let forged = here(&["commit-tree", &tree, "-p", &chain, "-p", "HEAD", "-m", "forged"]);
    server.refuses(&[&format!("{forged}:{chain}")], "the history of web-1");
    // One thing that is refused takes nothing else in.
    server.refuses(&["HEAD:refs/heads/topic", "light-stable"], "light-stable is a lightweight tag");
    // A server's own hook still runs, and what others could write is not believed.
    fs::set_permissions(
        server.server.bare.join("gitroll/trust"),
        std::os::unix::fs::PermissionsExt::from_mode(0o666),
    )
    .unwrap();
    server.refuses(&["HEAD:refs/heads/topic"], "the push is refused");
    fs::set_permissions(
        server.server.bare.join("gitroll/trust"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    server.push(&["HEAD:refs/heads/topic"]).exit(0);
    host.gitroll_in(&server.server.bare, &["hooks", "uninstall", "--server"]).exit(0);
    assert!(!server.server.bare.join("hooks/pre-receive").exists());
    server.push(&["light-stable"]).exit(0);
}
