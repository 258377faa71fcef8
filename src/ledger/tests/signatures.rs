//! Keys that sign, and what is refused: signatures, trust and forgery.

mod signing {
    use std::fs;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use crate::config::SigningFormat;
    use crate::ledger::tests::{
        World, draft, make_key, make_key_of, output, run_git, success, write_script,
    };
    use crate::ledger::{LedgerError, append, create_tag, probe_signing, verify_tag};
    use crate::model::{Oid, Person};

    fn probe(world: &World) -> Result<(), LedgerError> {
        probe_signing(&world.git, &world.binding, None)
    }

    fn sign_problem(world: &World) -> String {
        match probe(world) {
            Err(LedgerError::Sign(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_probe_signs_and_is_verified() {
        let mut world = World::new();
        probe(&world).unwrap();
        make_key(&world.path("other"), "");
        world.binding.signing.key = world.path("other").display().to_string();
        let error = probe(&world).unwrap_err().to_string();
        assert!(error.ends_with("other: signer is not in the pinned trust file"), "{error}");
        assert!(world.git.refs("refs/gitroll/").unwrap().is_empty());
    }

    #[test]
    fn a_key_that_cannot_sign_says_what_to_do() {
        let mut world = World::new();
        world.binding.signing.key = world.path("absent").display().to_string();
        assert!(sign_problem(&world).contains("absent cannot be read"));

        make_key(&world.path("locked"), "secret");
        world.binding.signing.key = world.path("locked").display().to_string();
        let begin = Instant::now();
        let problem = sign_problem(&world);
        assert!(problem.contains("has a passphrase and no ssh-agent offers it"), "{problem}");
        assert!(problem.contains("ssh-add"), "{problem}");
        assert!(begin.elapsed() < Duration::from_secs(5), "it waited for somebody");

        world.binding.signing.key = world.path("locked.pub").display().to_string();
        let problem = sign_problem(&world);
        assert!(
            problem.contains("is a public key and no ssh-agent offers its private one"),
            "{problem}"
        );

        // With a terminal at hand ssh-keygen would ask there; told to use only an agent it does not.
        let asked = world.path("asked");
        let script = world.path("telling");
        let text = format!("#!/bin/sh\necho \"$@\" >>'{}'\nexit 1\n", asked.display());
        write_script(&script, &text);
        world.binding.tools.ssh_keygen = Some(script);
        for key in ["locked", "locked.pub"] {
            world.binding.signing.key = world.path(key).display().to_string();
            sign_problem(&world);
        }
        let asked = fs::read_to_string(asked).unwrap();
        assert!(
            asked.lines().count() == 2 && asked.lines().all(|line| line.contains(" -U ")),
            "{asked}"
        );
        world.binding.tools.ssh_keygen = None;

        fs::write(world.path("broken"), "-----BEGIN OPENSSH PRIVATE KEY-----\nno\n").unwrap();
        world.binding.signing.key = world.path("broken").display().to_string();
        sign_problem(&world);

        make_key_of(&["ecdsa"], &world.path("ecdsa"));
        world.binding.tools.ssh_keygen = Some(world.path("nowhere"));
        world.binding.signing.key = world.path("ecdsa").display().to_string();
        assert!(sign_problem(&world).contains("nowhere was not found"));

        let sleeper = world.path("sleeper");
        write_script(&sleeper, "#!/bin/sh\necho not a signature\n");
        world.binding.tools.ssh_keygen = Some(sleeper);
        assert!(sign_problem(&world).contains("is not a signature"));
    }

    #[test]
    fn a_program_that_waits_for_a_person_is_ended() {
        let mut world = World::new();
        make_key_of(&["ecdsa"], &world.path("ecdsa"));
        world.binding.signing.key = world.path("ecdsa").display().to_string();
        let sleeper = world.path("sleeper");
        write_script(&sleeper, "#!/bin/sh\nexec sleep 60\n");
        world.binding.tools.ssh_keygen = Some(sleeper);
        let begin = Instant::now();
        assert!(sign_problem(&world).contains("did not end within 10 s"));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    /// An agent of its own, ended with the test.
    struct Agent {
        child: Child,
        socket: PathBuf,
    }

    impl Agent {
        fn start(world: &World) -> Self {
            let socket = world.path("agent");
            let mut command = Command::new("ssh-agent");
            command.arg("-D").arg("-a").arg(&socket).stdin(Stdio::null()).stdout(Stdio::null());
            let child = command.spawn().unwrap();
            let agent = Self { child, socket };
            let begin = Instant::now();
            while !agent.socket.exists() {
                assert!(begin.elapsed() < Duration::from_secs(10), "ssh-agent does not listen");
                std::thread::sleep(Duration::from_millis(10));
            }
            agent
        }
    }

    impl Drop for Agent {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn an_agent_signs_for_a_public_key_and_for_one_with_a_passphrase() {
        let mut world = World::new();
        make_key(&world.path("locked"), "secret");
        world.trust(&[("web-1.k3f9", "", &world.path("locked"))]);
        let agent = Agent::start(&world);
        // The environment of a test belongs to all tests: the socket comes in by the program.
        let script = world.path("with-agent");
        let text = format!(
            "#!/bin/sh\nSSH_AUTH_SOCK='{}' exec ssh-keygen \"$@\"\n",
            agent.socket.display()
        );
        write_script(&script, &text);
        world.binding.tools.ssh_keygen = Some(script);
        world.binding.signing.key = world.path("locked.pub").display().to_string();
        assert!(sign_problem(&world).contains("no ssh-agent offers"));

        let answer = world.path("answer");
        write_script(&answer, "#!/bin/sh\necho secret\n");
        success(
            Command::new("ssh-add")
                .arg(world.path("locked"))
                .env("SSH_AUTH_SOCK", &agent.socket)
                .env("SSH_ASKPASS", &answer)
                .env("SSH_ASKPASS_REQUIRE", "force"),
        );
        probe(&world).unwrap();
        world.append("init", 0);
        world.binding.signing.key = world.path("locked").display().to_string();
        world.append("deploy", 1);
        fs::remove_dir_all(world.git.state_dir().join("cache")).unwrap();
        assert_eq!(world.entries().len(), 2);
    }

    /// A gpg home with one key, its agent ended with the test.
    struct GpgHome {
        // Short: a socket is in it.
        dir: tempfile::TempDir,
    }

    impl GpgHome {
        fn new() -> Self {
            Self { dir: tempfile::Builder::new().prefix("g").tempdir_in("/tmp").unwrap() }
        }

        fn gpg(&self, args: &[&str]) -> String {
            let mut gpg = Command::new("gpg");
            success(
                gpg.arg("--homedir").arg(self.dir.path()).args(["--batch", "--quiet"]).args(args),
            )
        }

        fn key(&self, passphrase: &str, expires: &str) -> String {
            let loopback = ["--pinentry-mode", "loopback", "--passphrase", passphrase];
            let name = format!("Ana{} <ana@example.com>", passphrase.len());
            let make = ["--quick-generate-key", &name, "ed25519", "sign", expires];
            self.gpg(&[&loopback[..], &make].concat());
            let list = self.gpg(&["--with-colons", "--list-keys", &format!("={name}")]);
            let line = list.lines().find(|line| line.starts_with("fpr:")).unwrap();
            line.split(':').nth(9).unwrap().to_owned()
        }
    }

    impl Drop for GpgHome {
        fn drop(&mut self) {
            let mut end = Command::new("gpgconf");
            output(end.arg("--homedir").arg(self.dir.path()).args(["--kill", "all"]));
        }
    }

    fn with_gpg(world: &mut World, home: &GpgHome, key: &str) {
        let script = world.path("with-home");
        let home = home.dir.path().display();
        write_script(&script, &format!("#!/bin/sh\nGNUPGHOME='{home}' exec gpg \"$@\"\n"));
        world.binding.tools.gpg = Some(script);
        world.binding.signing.format = SigningFormat::OpenPgp;
        world.binding.signing.key = key.to_owned();
        world.binding.openpgp = vec![key.to_owned()];
    }

    #[test]
    fn an_openpgp_key_signs_and_only_listed_fingerprints_are_believed() {
        let mut world = World::new();
        let home = GpgHome::new();
        let key = home.key("", "never");
        with_gpg(&mut world, &home, &key);
        probe(&world).unwrap();
        world.append("init", 0);
        let entry = world.append("deploy", 1);
        let cache = world.git.state_dir().join("cache");
        fs::remove_dir_all(&cache).unwrap();
        assert_eq!(world.entries().len(), 2);

        let tag =
            world.git.object(&entry.blob, crate::system::git::ObjectKind::Blob, 1 << 20).unwrap();
        let id = world.git.write_object(crate::system::git::ObjectKind::Tag, &tag).unwrap();
        let program = format!("gpg.program={}", world.path("with-home").display());
        let mut plain = crate::ledger::tests::git_command(
            &world.top,
            &["-c", &program, "verify-tag", id.as_str()],
        );
        success(plain.env("HOME", world.dir.path()));
        assert_eq!(verify_tag(&world.git, &world.binding, &id).unwrap(), key);

        world.binding.openpgp = vec!["0".repeat(40)];
        let error = world.ledger().unwrap_err().to_string();
        assert!(error.ends_with("signer is not in the pinned trust file"), "{error}");
        world.binding.openpgp.clear();
        assert!(world.ledger().is_err());

        // A chain signed by ssh is not trusted where only an OpenPGP key is trusted.
        let ssh = World::new();
        ssh.append("init", 0);
        fs::remove_file(ssh.binding.trust_file()).unwrap();
        let mut binding = ssh.binding.clone();
        binding.openpgp = vec![key];
        let error = crate::ledger::read(&ssh.git, &binding).unwrap_err().to_string();
        assert!(error.ends_with("signer is not in the pinned trust file"), "{error}");
    }

    #[test]
    fn a_gpg_that_would_ask_fails_at_once() {
        let mut world = World::new();
        let home = GpgHome::new();
        let key = home.key("secret", "never");
        success(
            Command::new("gpgconf").arg("--homedir").arg(home.dir.path()).args(["--kill", "all"]),
        );
        with_gpg(&mut world, &home, &key);
        let begin = Instant::now();
        let problem = sign_problem(&world);
        assert!(problem.contains("without a prompt"), "{problem}");
        assert!(begin.elapsed() < Duration::from_secs(8), "it waited for somebody");
        world.binding.signing.key = "ana@example.com".to_owned();
        assert!(sign_problem(&world).contains("is not the fingerprint"));
        world.binding.signing.key = "0".repeat(40);
        sign_problem(&world);
    }

    #[test]
    fn an_expired_openpgp_key_signs_nothing_more() {
        let mut world = World::new();
        let home = GpgHome::new();
        let key = home.key("", "seconds=3");
        with_gpg(&mut world, &home, &key);
        world.append("init", 0);
        std::thread::sleep(Duration::from_secs(4));
        assert_eq!(world.entries().len(), 1, "what was verified before stays believed");
        assert!(world.append_as(&world.binding, "deploy", 1).is_err());
        fs::remove_dir_all(world.git.state_dir().join("cache")).unwrap();
        let error = world.ledger().unwrap_err().to_string();
        assert!(error.ends_with("the signing key has expired"), "{error}");
    }

    fn ana() -> Person {
        Person {
            name: "Ana".into(),
            email: "ana@example.com".into(),
            time: crate::system::clock::now(),
        }
    }

    #[test]
    fn a_stable_tag_is_made_signed_and_verified_for_the_person_it_is_pinned_to() {
        let world = World::new();
        let (git, binding, commit) = (&world.git, &world.binding, &world.commits[0]);
        world.trust(&[("ana@example.com", "", &world.path("key"))]);
        let made =
            create_tag(git, binding, "v1.2.0-stable", commit, "shop v1.2.0\n", &ana()).unwrap();
        assert_eq!(made.name, "refs/tags/v1.2.0-stable");
        assert_eq!(verify_tag(git, binding, &made.id).unwrap(), "ana@example.com");
        let signers = format!("gpg.ssh.allowedSignersFile={}", binding.trust_file().display());
        world.plain(&["-c", &signers, "verify-tag", "v1.2.0-stable"]);
        assert_eq!(world.plain(&["rev-parse", "v1.2.0-stable^{commit}"]), commit.as_str());
        assert_eq!(world.plain(&["fsck", "--strict"]), "");

        let again = create_tag(git, binding, "v1.2.0-stable", commit, "x", &ana()).unwrap_err();
        assert!(matches!(again, LedgerError::Git(_)), "{again}");
        for (name, message) in [("-x", "m"), ("gitroll/x", "m"), ("v2", ""), ("v2", "-----BEGIN X")]
        {
            assert!(create_tag(git, binding, name, commit, message, &ana()).is_err(), "{name}");
        }
        world.trust(&[("ana@example.com", "valid-before=\"20200101\"", &world.path("key"))]);
        assert!(verify_tag(git, binding, &made.id).is_err());
        make_key(&world.path("other"), "");
        world.trust(&[("ana@example.com", "", &world.path("other"))]);
        let error = verify_tag(git, binding, &made.id).unwrap_err().to_string();
        assert!(error.ends_with("signer is not in the pinned trust file"), "{error}");
        let error = create_tag(git, binding, "v2-stable", commit, "x", &ana()).unwrap_err();
        assert!(matches!(error, LedgerError::Untrusted { .. }), "{error}");
        assert_eq!(git.find_ref("refs/tags/v2-stable").unwrap(), None);
    }

    #[test]
    fn a_tag_without_signature_is_not_signed() {
        let world = World::new();
        run_git(&world.top, &["tag", "-a", "-m", "x", "v1-stable"]);
        let id: Oid = world.plain(&["rev-parse", "v1-stable"]).parse().unwrap();
        let error = verify_tag(&world.git, &world.binding, &id).unwrap_err().to_string();
        assert!(error.ends_with("it is not signed"), "{error}");
        assert!(verify_tag(&world.git, &world.binding, &world.commits[0]).is_err());
        let ledger = world.ledger().unwrap();
        append(
            &world.git,
            &world.binding,
            &ledger,
            draft(&world.binding, "init", &world.commits[0]),
        )
        .unwrap();
    }
}

mod forgery {
    use std::fs;

    use crate::config::Binding;
    use crate::ledger::tests::{World, at, draft, make_key, write_script};
    use crate::ledger::{Entry, LedgerError, append, chain_ref, codec, read_unverified, signing};
    use crate::model::{Oid, Person, Record};
    use crate::system::git::{ObjectKind, RefEdit};

    /// Puts any bytes at the end of a writer's chain, as someone who can write refs could.
    fn plant(world: &World, binding: &Binding, object: &[u8], about: &Oid) {
        let git = &world.git;
        let blob = git.write_object(ObjectKind::Blob, object).unwrap();
        let empty = git.write_object(ObjectKind::Blob, b"").unwrap();
        let name = chain_ref(&binding.environment, &binding.writer);
        let old = git.find_ref(&name).unwrap();
        let who =
            Person { name: "M".into(), email: "m@m".into(), time: at("2026-01-01T00:00:00Z") };
        let commit = crate::ledger::chain::write(
            git,
            [&blob, &empty, &empty],
            None,
            old.as_ref(),
            about,
            &who,
            "planted",
        );
        let edit = RefEdit { name, new: Some(commit.unwrap()), old };
        git.update_refs(&[edit], "test").unwrap();
    }

    fn tag_object(world: &World, entry: &Entry) -> Vec<u8> {
        world.git.object(&entry.blob, ObjectKind::Blob, 1 << 20).unwrap()
    }

    /// A record as a continuation of what is there, changed, and signed with the binding's key.
    fn forged(world: &World, binding: &Binding, change: impl FnOnce(&mut Record)) -> Vec<u8> {
        let chains = read_unverified(&world.git, &binding.environment).unwrap().chains;
        let last = chains.get(&binding.writer).and_then(|chain| chain.entries.last());
        let draft = draft(binding, "deploy", &world.commits[1]);
        let mut record = draft.record;
        if let Some(last) = last {
            record.seq = last.record.seq.next();
            record.previous = Some(last.digest);
        }
        change(&mut record);
        signing::sign(binding, &codec::encode(&record, &draft.person).unwrap()).unwrap()
    }

    fn refusal(world: &World) -> LedgerError {
        world.ledger().unwrap_err()
    }

    #[test]
    fn a_forged_record_is_refused_though_the_repository_names_its_signer_and_programs() {
        let mut world = World::new();
        world.append("init", 0);
        let mallory = world.path("mallory");
        make_key(&mallory, "");
        let public = fs::read_to_string(mallory.with_extension("pub")).unwrap();
        let signers = world.top.join(".git/signers");
        fs::write(&signers, format!("* {public}web-1.k3f9 {public}")).unwrap();
        let yes = world.top.join(".git/yes");
        let mark = world.path("ran");
        write_script(&yes, &format!("#!/bin/sh\ntouch '{}'\nexit 0\n", mark.display()));
        let yes = yes.to_str().unwrap();
        for (key, value) in [
            ("gpg.format", "ssh"),
            ("gpg.ssh.allowedSignersFile", signers.to_str().unwrap()),
            ("gpg.ssh.program", yes),
            ("gpg.program", yes),
            ("gpg.openpgp.program", yes),
            ("user.signingKey", mallory.to_str().unwrap()),
        ] {
            world.plain(&["config", key, value]);
        }
        let honest = world.binding.signing.key.clone();
        world.binding.signing.key = mallory.display().to_string();
        let object = forged(&world, &world.binding, |_| {});
        plant(&world, &world.binding, &object, &world.commits[1]);
        world.binding.signing.key = honest;
        let said = refusal(&world).to_string();
        assert_eq!(said, "record web-1.k3f9 2: signer is not in the pinned trust file");
        assert!(!mark.exists(), "a program that the repository names was run");
    }

    #[test]
    fn nothing_is_appended_that_nobody_would_believe() {
        let mut world = World::new();
        world.append("init", 0);
        let ledger = world.ledger().unwrap();
        make_key(&world.path("new"), "");
        world.binding.signing.key = world.path("new").display().to_string();
        let draft = world.draft(&world.binding, "deploy", 1);
        let error = append(&world.git, &world.binding, &ledger, draft).unwrap_err();
        assert!(matches!(error, LedgerError::Untrusted { .. }), "{error}");
        assert!(error.to_string().contains("signer is not in the pinned trust file"), "{error}");
        assert_eq!(world.entries().len(), 1);
    }

    #[test]
    fn a_key_trusted_for_another_writer_or_purpose_signs_nothing_here() {
        let world = World::new();
        let key = world.path("key");
        for (principal, options) in [
            ("web-2.a", ""),
            ("web-1", ""),
            ("ana@example.com", ""),
            ("!web-1.k3f9,*", ""),
            ("web-1.k3f9", "valid-before=\"20200101\""),
            ("web-1.k3f9", "valid-after=\"20990101\""),
        ] {
            world.trust(&[(principal, options, &key)]);
            let error = world.append_as(&world.binding, "init", 0).unwrap_err();
            assert!(
                matches!(error, LedgerError::Untrusted { .. }),
                "{principal} {options}: {error}"
            );
        }
        let line = fs::read_to_string(world.binding.trust_file()).unwrap();
        fs::write(world.binding.trust_file(), line.replace("\"git\"", "\"file\"")).unwrap();
        assert!(world.append_as(&world.binding, "init", 0).is_err());
        fs::write(world.binding.trust_file(), "").unwrap();
        assert!(world.append_as(&world.binding, "init", 0).is_err());
        fs::remove_file(world.binding.trust_file()).unwrap();
        let error = world.append_as(&world.binding, "init", 0).unwrap_err().to_string();
        assert!(error.contains("trust cannot be read"), "{error}");
    }

    #[test]
    fn records_of_another_app_chain_writer_or_place_are_refused() {
        type Change = fn(&mut Record);
        let cases: [(Change, &str); 6] = [
            (|r| r.app = "blog".parse().unwrap(), "it is of app blog, not shop"),
            (|r| r.environment = "staging".parse().unwrap(), "it belongs to environment staging"),
            (|r| r.chain = "f".repeat(32).parse().unwrap(), "it belongs to chain ffff"),
            (|r| r.writer = "web-2.a".parse().unwrap(), "it belongs to writer web-2.a"),
            (|r| r.seq = crate::model::Seq(7), "record 7 comes after it"),
            (
                |r| r.previous = Some(crate::model::Digest::of(b"x")),
                "names another record before it",
            ),
        ];
        for (change, problem) in cases {
            let world = World::new();
            world.append("init", 0);
            let object = forged(&world, &world.binding, change);
            plant(&world, &world.binding, &object, &world.commits[1]);
            let error = refusal(&world);
            assert!(matches!(error, LedgerError::Broken { .. }), "{error}");
            assert!(error.to_string().contains(problem), "{error}");
        }
    }

    #[test]
    fn a_record_cannot_be_replayed_into_another_chain_or_twice() {
        let world = World::new();
        let first = world.append("init", 0);
        let object = tag_object(&world, &first);
        plant(&world, &world.binding, &object, &world.commits[0]);
        assert!(matches!(refusal(&world), LedgerError::Broken { .. }), "{}", refusal(&world));

        // Under another writer's name: that chain is not trusted, the own one is.
        let world = World::new();
        let first = world.append("init", 0);
        let other = world.other("web-2.a");
        plant(&world, &other, &tag_object(&world, &first), &world.commits[0]);
        let ledger = world.ledger().unwrap();
        assert_eq!(ledger.chains.len(), 1);
        assert!(ledger.refused[0].1.to_string().contains("it belongs to writer web-1.k3f9"));

        // Another app's whole chain, pushed here.
        let mut stranger = world.other("web-3.c");
        stranger.app = "blog".parse().unwrap();
        world.trust(&[
            ("web-1.k3f9", "", &world.path("key")),
            ("web-3.c", "", &world.path("key-web-3.c")),
        ]);
        plant(&world, &stranger, &forged(&world, &stranger, |_| {}), &world.commits[1]);
        let ledger = world.ledger().unwrap();
        let refused: Vec<&str> = ledger.refused.iter().map(|(writer, _)| writer.as_str()).collect();
        assert_eq!(refused, ["web-2.a", "web-3.c"]);
    }

    #[test]
    fn what_is_no_record_is_named_and_does_not_hide_the_rest() {
        let world = World::new();
        world.append("init", 0);
        let honest = forged(&world, &world.binding, |_| {});
        let unsigned = &honest[..honest.windows(5).position(|w| w == b"-----").unwrap()];
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("a.1", b"hello".to_vec(), "it is not signed"),
            ("a.2", unsigned.to_vec(), "it is not signed"),
            ("a.3", [&honest[..], b"x\n"].concat(), "bytes follow its signature"),
            ("a.4", vec![b'x'; (1 << 20) + 1], ""),
            ("a.5", Vec::new(), "it is not signed"),
            ("a.6", honest[..honest.len() - 40].to_vec(), "its signature does not end"),
        ];
        for (writer, object, _) in &cases {
            plant(&world, &world.other(writer), object, &world.commits[1]);
        }
        let tree = world.plain(&["update-ref", "refs/gitroll/production/ledger/a.7", "HEAD"]);
        assert_eq!(tree, "");
        world.plain(&["update-ref", "refs/gitroll/production/ledger/b/c", "HEAD"]);
        let blob = world.plain(&["rev-parse", "HEAD:a.txt"]);
        world.plain(&["update-ref", "refs/gitroll/production/ledger/a.8", &blob]);
        let ledger = world.ledger().unwrap();
        assert_eq!(ledger.chains.len(), 1);
        assert_eq!(ledger.refused.len(), cases.len() + 3);
        for (writer, _, problem) in cases {
            let (_, error) = ledger.refused.iter().find(|(refused, _)| refused == writer).unwrap();
            assert!(error.to_string().contains(problem), "{writer}: {error}");
        }
        let unverified = read_unverified(&world.git, &world.binding.environment).unwrap();
        assert_eq!(unverified.refused.len(), ledger.refused.len());
    }

    #[test]
    fn a_changed_byte_behind_a_good_signature_is_noticed() {
        let world = World::new();
        world.append("init", 0);
        let honest = String::from_utf8(forged(&world, &world.binding, |_| {})).unwrap();
        let changed = honest.replacen("deploy of", "deploy 0f", 1);
        assert_ne!(changed, honest);
        plant(&world, &world.binding, changed.as_bytes(), &world.commits[1]);
        let error = refusal(&world);
        assert!(matches!(error, LedgerError::Untrusted { .. }), "{error}");
        assert!(error.to_string().ends_with("its signature does not match its content"), "{error}");
    }

    #[test]
    fn an_expired_key_signs_nothing_more_whatever_date_it_names() {
        let world = World::new();
        let old = world.path("key");
        world.append("init", 0);
        let past = "valid-before=\"20260101\"";
        // A record by the expired key, dated back to when it was valid.
        let draft = {
            let mut draft = world.draft(&world.binding, "deploy", 1);
            draft.person.time = at("2025-06-01T00:00:00Z");
            draft
        };
        let ledger = world.ledger().unwrap();
        world.trust(&[("web-1.k3f9", past, &old)]);
        let error = append(&world.git, &world.binding, &ledger, draft.clone()).unwrap_err();
        assert!(error.to_string().ends_with("the signing key has expired"), "{error}");
        let first = ledger.chains[&world.binding.writer].entries[0].digest;
        let object = forged(&world, &world.binding, |r| r.previous = Some(first));
        plant(&world, &world.binding, &object, &world.commits[1]);
        assert!(matches!(refusal(&world), LedgerError::Untrusted { .. }));
    }

    #[test]
    fn what_an_expired_key_signed_in_its_time_stays_believed() {
        let mut world = World::new();
        let old = world.path("key");
        let mut draft = world.draft(&world.binding, "init", 0);
        draft.person.time = at("2025-06-01T00:00:00Z");
        append(&world.git, &world.binding, &world.ledger().unwrap(), draft).unwrap();
        let cache = world.git.state_dir().join("cache");

        // The key runs out: on this host the record was verified before.
        let past = "valid-before=\"20260101\"";
        world.trust(&[("web-1.k3f9", past, &old)]);
        assert_eq!(world.entries().len(), 1);
        assert_eq!(world.entries().len(), 1);
        let kept = fs::read(cache.join("verified.json")).unwrap();
        fs::remove_dir_all(&cache).unwrap();
        let error = refusal(&world).to_string();
        assert!(error.ends_with("the signing key has expired"), "{error}");
        fs::create_dir(&cache).unwrap();
        fs::write(cache.join("verified.json"), kept).unwrap();

        // Its successor continues: what it appends vouches for all before, on every host.
        make_key(&world.path("new"), "");
        world.binding.signing.key = world.path("new").display().to_string();
        world.trust(&[("web-1.k3f9", past, &old), ("web-1.k3f9", "", &world.path("new"))]);
        world.append("deploy", 1);
        fs::remove_dir_all(&cache).unwrap();
        assert_eq!(world.entries().len(), 2);

        // Taken out of the trust file, its records are not trusted, whatever was verified before.
        world.trust(&[("web-1.k3f9", "", &world.path("new"))]);
        let error = refusal(&world).to_string();
        assert_eq!(error, "record web-1.k3f9 1: signer is not in the pinned trust file");
    }

    #[test]
    fn a_revoked_key_is_refused_and_so_is_all_where_the_list_cannot_be_read() {
        let world = World::new();
        world.append("init", 0);
        let revoked = world.path("revoked");
        fs::copy(world.path("key.pub"), &revoked).unwrap();
        assert!(matches!(refusal(&world), LedgerError::Untrusted { .. }));
        fs::write(&revoked, "what is this\n").unwrap();
        assert!(matches!(refusal(&world), LedgerError::Untrusted { .. }));
        fs::remove_file(&revoked).unwrap();
        fs::create_dir(&revoked).unwrap();
        assert!(refusal(&world).to_string().contains("cannot be read"));
        fs::remove_dir(&revoked).unwrap();
        fs::write(&revoked, "").unwrap();
        assert_eq!(world.entries().len(), 1);
    }

    #[test]
    fn a_host_without_the_program_believes_nothing_that_only_the_program_can_tell() {
        let mut world = World::new();
        world.trust(&[("web-1.*", "", &world.path("key"))]);
        world.append("init", 0);
        fs::remove_dir_all(world.git.state_dir().join("cache")).unwrap();
        world.binding.path_variable = world.path("nowhere").display().to_string();
        let error = refusal(&world).to_string();
        assert!(error.contains("ssh-keygen was not found"), "{error}");
        let sleeper = world.path("sleeper");
        write_script(&sleeper, "#!/bin/sh\nexit 1\n");
        world.binding.tools.ssh_keygen = Some(sleeper);
        assert!(matches!(refusal(&world), LedgerError::Untrusted { .. }));
    }
}
