//! Real keys, a real agent, a real gpg: signing never asks.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::world::{World, draft, make_key, output, run_git, success, write_script};
use crate::config::SigningFormat;
use crate::ledger::{LedgerError, append, create_tag, probe_signing, verify_tag};
use crate::model::{Oid, Person};

fn probe(world: &World) -> Result<(), LedgerError> {
    probe_signing(&world.git, &world.binding)
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

    world.binding.tools.ssh_keygen = Some(world.path("nowhere"));
    world.binding.signing.key = world.path("key").display().to_string();
    assert!(sign_problem(&world).contains("nowhere was not found"));

    let sleeper = world.path("sleeper");
    write_script(&sleeper, "#!/bin/sh\necho not a signature\n");
    world.binding.tools.ssh_keygen = Some(sleeper);
    assert!(sign_problem(&world).contains("is not a signature"));
}

#[test]
fn a_program_that_waits_for_a_person_is_ended() {
    let mut world = World::new();
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
    let text =
        format!("#!/bin/sh\nSSH_AUTH_SOCK='{}' exec ssh-keygen \"$@\"\n", agent.socket.display());
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
    // Short: a socket lies in it.
    dir: tempfile::TempDir,
}

impl GpgHome {
    fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("g").tempdir_in("/tmp").unwrap() }
    }

    fn gpg(&self, args: &[&str]) -> String {
        let mut gpg = Command::new("gpg");
        success(gpg.arg("--homedir").arg(self.dir.path()).args(["--batch", "--quiet"]).args(args))
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

    let tag = world.git.object(&entry.blob, crate::system::git::ObjectKind::Blob, 1 << 20).unwrap();
    let id = world.git.write_object(crate::system::git::ObjectKind::Tag, &tag).unwrap();
    let program = format!("gpg.program={}", world.path("with-home").display());
    let mut plain =
        super::world::git_command(&world.top, &["-c", &program, "verify-tag", id.as_str()]);
    success(plain.env("HOME", world.dir.path()));
    assert_eq!(verify_tag(&world.git, &world.binding, &id).unwrap(), key);

    world.binding.openpgp = vec!["0".repeat(40)];
    let error = world.ledger().unwrap_err().to_string();
    assert!(error.ends_with("signer is not in the pinned trust file"), "{error}");
    world.binding.openpgp.clear();
    assert!(world.ledger().is_err());

    // A chain signed by ssh is not believed where only an OpenPGP key is trusted.
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
    success(Command::new("gpgconf").arg("--homedir").arg(home.dir.path()).args(["--kill", "all"]));
    with_gpg(&mut world, &home, &key);
    let begin = Instant::now();
    let problem = sign_problem(&world);
    assert!(problem.contains("without asking"), "{problem}");
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
    let made = create_tag(git, binding, "v1.2.0-stable", commit, "shop v1.2.0\n", &ana()).unwrap();
    assert_eq!(made.name, "refs/tags/v1.2.0-stable");
    assert_eq!(verify_tag(git, binding, &made.id).unwrap(), "ana@example.com");
    let signers = format!("gpg.ssh.allowedSignersFile={}", binding.trust_file().display());
    world.plain(&["-c", &signers, "verify-tag", "v1.2.0-stable"]);
    assert_eq!(world.plain(&["rev-parse", "v1.2.0-stable^{commit}"]), commit.as_str());
    assert_eq!(world.plain(&["fsck", "--strict"]), "");

    let again = create_tag(git, binding, "v1.2.0-stable", commit, "x", &ana()).unwrap_err();
    assert!(matches!(again, LedgerError::Git(_)), "{again}");
    for (name, message) in [("-x", "m"), ("gitroll/x", "m"), ("v2", ""), ("v2", "-----BEGIN X")] {
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
    append(&world.git, &world.binding, &ledger, draft(&world.binding, "init", &world.commits[0]))
        .unwrap();
}
