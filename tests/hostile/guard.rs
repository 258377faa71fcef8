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

/// `SHA256:…` of a public key.
fn fingerprint_of(host: &TestEnvironment, public: &Path) -> String {
    let listed = host.run("ssh-keygen", &["-l", "-f", public.to_str().expect("UTF-8")]);
    listed.exit(0).text().split(' ').nth(1).expect("bits, fingerprint, comment").to_owned()
}

#[test]
fn a_server_refuses_names_that_stand_in_the_way_another_apps_history_and_who_lacks_the_role() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let chain = own_chain(&s);
    let server = Guarded::of(s);
    let s = &server.s;
    let trust = host.path("signers");
    let own = fs::read_to_string(host.path("gitroll/trust")).expect("init wrote it");
    // A release manager's key, and one of a build server that may deploy.
    let key = |name: &str| {
        let path = host.path(name);
        let file = path.to_str().expect("UTF-8").to_owned();
        host.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file]).exit(0);
        let public = fs::read_to_string(path.with_extension("pub")).expect("it was made");
        let words: Vec<&str> = public.split(' ').take(2).collect();
        (file, format!("{name}@example.org namespaces=\"git\" {}\n", words.join(" ")))
    };
    let ((ci, of_ci), (ana, of_ana)) = (key("ci"), key("ana"));
    let place = trust.to_str().expect("UTF-8");
    fs::write(&trust, "no key at all\n").expect("ours");
    server.install(&["--trust", place]).exit(1).stderr_has("allowed_signers");
    fs::write(&trust, "# nobody\n").expect("ours");
    server.install(&["--trust", place]).exit(1).stderr_has("lists no key");
    fs::write(&trust, format!("{own}{of_ci}{of_ana}")).expect("ours");
    let prints = [host.path("gitroll/key.pub"), host.path("ci.pub"), host.path("ana.pub")];
    let [web, ci_print, ana_print] = prints.map(|path| fingerprint_of(&host, &path));
    let roles = host.path("server-roles");
    let gives =
        |key: &str, roles: &str| format!("[[key]]\nfingerprint = {key:?}\nroles = [{roles}]\n");
    fs::write(&roles, "[[key]]\nrole = 1\n").expect("ours");
    let given = ["--trust", place, "--roles", roles.to_str().expect("UTF-8")];
    server.install(&given).exit(1).stderr_has("line 2");
    let text = [
        gives(&web, "\"deploy\", \"back\", \"promote\""),
        gives(&ci_print, "\"deploy\""),
        gives(&ana_print, "\"promote\""),
    ];
    fs::write(&roles, text.concat()).expect("ours");
    // Where git looks for hooks elsewhere, what lies in `hooks` guards nothing.
    let bare = server.server.bare.to_str().expect("UTF-8").to_owned();
    let hooks_path = |args: &[&str]| {
        host.run("git", &[&["-C", &bare, "config", "core.hooksPath"], args].concat()).exit(0);
    };
    hooks_path(&["/srv/hooks-of-all"]);
    server
        .install(&given)
        .exit(1)
        .stderr_has("/srv/hooks-of-all")
        .stderr_has("core.hooksPath hooks");
    hooks_path(&["own-hooks"]);
    server.install(&given).exit(0).stdout_has("own-hooks/pre-receive");
    let light = s.app.git(&["tag", "--no-sign", "light-stable"]);
    assert_eq!(light, "");
    server.refuses(&["light-stable"], "light-stable is a lightweight tag");
    host.run("git", &["-C", &bare, "config", "--unset", "core.hooksPath"]).exit(0);
    server.install(&given).exit(0).stdout_has("hooks/pre-receive");
    assert!(!server.server.bare.join("own-hooks/pre-receive").exists(), "it is in one place");

    // Whoever takes the name of a directory keeps every record out that comes later.
    let head = s.app.head();
    for name in [
        "refs/gitroll",
        "refs/gitroll/production",
        "refs/gitroll/production/ledger",
        "refs/tags/gitroll",
        "refs/notes/gitroll",
        "refs/notes/gitroll/production",
        "refs/tags/v2.0.0-stable/x",
    ] {
        server.refuses(&[&format!("{head}:{name}")], "takes a name that");
    }
    server.refuses(&[&format!("{head}:refs/tags/gitroll/production")], "is not a record");
    let writer = chain.rsplit('/').next().expect("a writer");
    let notes = format!("refs/notes/gitroll/production/{writer}");
    server.refuses(&[&format!("{notes}:{notes}/x")], "takes a name that");
    let odd = "refs/tags/$(touch${IFS}x)\u{202e}\u{e9}-stable";
    let refused = server.push(&[&format!("{head}:{odd}")]);
    refused.fails().stderr_has("is a lightweight tag").stderr_lacks("-s $(touch");
    let said = refused.stderr.lines().filter(|line| line.starts_with("remote: gitroll"));
    assert!(said.clone().count() == 1 && said.clone().all(|line| !line.contains('\u{202e}')));
    assert!(!server.server.bare.join("x").exists());

    // What a key may not do does not come in, whoever pushes it.
    let sign = |file: &str, name: &str| {
        let key = format!("user.signingKey={file}");
        s.app.git(&["-c", "gpg.format=ssh", "-c", &key, "tag", "-s", "-m", "x", name]);
    };
    sign(&ci, "by-ci-stable");
    sign(&ana, "by-ana-stable");
    let lacks = format!("{ci_print} does not have the role promote");
    server.refuses(&["by-ci-stable"], &lacks);
    server.push(&["by-ana-stable", &chain]).exit(0);
    host.gitroll(&["mark", "bad", "HEAD~1", "--reason", "r"]).exit(0);
    server.refuses(&[&chain], "does not have the role mark");
    let judged = s.app.git(&["rev-parse", &chain]);
    let marked = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/tags/gitroll"]);
    for tag in marked.lines().filter(|tag| tag.ends_with("-mark")) {
        server.refuses(&[tag], "does not have the role mark");
    }

    // The same key signs for two apps: the history of one is none of the other.
    let other = host.path("other");
    let there = other.to_str().expect("UTF-8");
    host.run("git", &["clone", "-q", s.app.dir.to_str().expect("UTF-8"), there]).exit(0);
    let config = fs::read_to_string(other.join("gitroll.toml")).expect("the app has one");
    assert!(config.contains("name = \"plain-app\""), "{config}");
    let config = config.replacen("name = \"plain-app\"", "name = \"till\"", 1);
    fs::write(other.join("gitroll.toml"), config).expect("ours");
    host.run("git", &["-C", there, "commit", "-q", "-am", "another app"]).exit(0);
    let mut init = host.gitroll_command(&["init", "--yes", "--environment", "production"]);
    init.current_dir(&other).env("GITROLL_HOME", host.path("gitroll-2"));
    let told = Answer::of(init, std::time::Duration::from_secs(60));
    told.exit(0);
    let of_other =
        host.run("git", &["-C", there, "for-each-ref", "--format=%(refname)", "refs/gitroll"]);
    let of_other = of_other.exit(0).text().to_owned();
    let public = fs::read_to_string(host.path("gitroll-2/trust")).expect("init wrote it");
    let binding = server.server.bare.join("gitroll");
    let both = fs::read_to_string(binding.join("trust")).expect("installed") + &public;
    fs::write(binding.join("trust"), both).expect("ours");
    let second = fingerprint_of(&host, &host.path("gitroll-2/key.pub"));
    let more = fs::read_to_string(binding.join("roles.toml")).expect("installed");
    fs::write(binding.join("roles.toml"), more + &gives(&second, "\"deploy\"")).expect("ours");
    let push = host.run("git", &["-C", there, "push", "-q", &server.server.url, &of_other]);
    push.fails().stderr_has("it is of app till, not plain-app");

    // Ref by ref: what is refused keeps nothing else out.
    server.install(&["--each-ref"]).exit(0).stdout_has("hooks/update").stdout_lacks("pre-receive");
    assert!(!server.server.bare.join("hooks/pre-receive").exists());
    s.app.git(&["tag", "--no-sign", "nightly"]);
    let some = server.push(&["nightly", "light-stable", &chain]);
    some.fails().stderr_has("light-stable is a lightweight tag").stderr_has("role mark");
    let refs = server.refs();
    assert!(refs.contains("refs/tags/nightly") && !refs.contains("light-stable"), "{refs}");
    assert!(!refs.contains(judged.trim()), "{refs}");
    for file in ["roles.toml", "revoked"] {
        let path = binding.join(file);
        if file == "revoked" {
            fs::write(&path, "").expect("ours");
        }
        set_mode(&path, 0o666);
        server.refuses(&["HEAD:refs/heads/topic"], &format!("{file}: others may write it"));
        set_mode(&path, 0o600);
    }
    host.gitroll_in(&server.server.bare, &["hooks", "uninstall", "--server"]).exit(0);
    assert!(!server.server.bare.join("hooks/update").exists());
}
