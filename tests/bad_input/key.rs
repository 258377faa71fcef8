//! Keys that are missing, cannot sign, or would ask; and OpenPGP from end to end.

use std::fs;
use std::time::Duration;

use super::*;

#[test]
fn a_key_that_is_gone_is_noticed_before_anything_changes() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let key = host.path("gitroll/key");
    let kept = host.path("kept");
    fs::rename(&key, &kept).expect("the key is a file");
    let place = key.to_str().expect("temporary paths are UTF-8");
    refused(&s, &["deploy", "--yes"], 1, &[place, "gitroll init --new-key", "nothing was changed"]);
    refused(&s, &["mark", "bad", "HEAD", "--reason", "r"], 1, &[place]);
    fs::rename(&kept, &key).expect("the key is a file");
    host.gitroll(&["deploy", "--plan"]).exit(0);
}

#[test]
fn a_key_with_a_passphrase_is_noticed_without_asking() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let key = host.path("gitroll/key");
    let place = key.to_str().expect("temporary paths are UTF-8");
    host.run("ssh-keygen", &["-q", "-p", "-P", "", "-N", "secret words", "-f", place]).exit(0);
    refused(
        &s,
        &["deploy", "--yes"],
        1,
        &[place, "passphrase", "ssh-add", "gitroll init --new-key"],
    );
    // A person at a terminal is not asked either: the same command runs at night.
    let terminal = host.gitroll_on_terminal(&["deploy", "--yes"]);
    let (code, screen) = terminal.finish();
    assert_eq!(code, 1, "{screen}");
    assert!(!screen.contains("Enter passphrase"), "{screen}");
}

#[test]
fn a_key_that_is_no_key_is_named() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    fs::write(host.path("gitroll/key"), "-----BEGIN OPENSSH PRIVATE KEY-----\nrubbish\n")
        .expect("ours");
    refused(&s, &["deploy", "--yes"], 1, &["gitroll/key", "gitroll init --new-key"]);
}

#[test]
fn a_key_nobody_trusts_is_refused() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let key = host.path("gitroll/key");
    for file in [key.clone(), host.path("gitroll/key.pub")] {
        fs::remove_file(file).expect("the key is a file");
    }
    let place = key.to_str().expect("temporary paths are UTF-8");
    host.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", place]).exit(0);
    refused(&s, &["deploy", "--yes"], 10, &["trust"]);
}

#[test]
fn without_any_key_of_the_user_init_makes_one() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.0.0", Behaviour::Good);
    host.configure_git("gpg.format", "ssh");
    host.configure_git("user.signingKey", "/nowhere/key.pub");
    host.gitroll(&["init", "--yes"])
        .exit(0)
        .stderr_has("the key of your git configuration is not used");
    assert!(host.path("gitroll/key").exists());
}

#[test]
fn without_ssh_keygen_init_says_what_to_install() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.0.0", Behaviour::Good);
    host.only_tools(&["git", "node", "npm"]);
    // One would be written, were the rest possible.
    fs::remove_file(app.dir.join("gitroll.toml")).expect("the work tree is writable");
    let before = app.state();
    host.gitroll(&["init", "--yes"]).exit(1).stderr_has("openssh-client");
    before.assert_same(&app.state());
    assert!(!host.path("gitroll/host.toml").exists());
}

/// A private GnuPG home with one signing key; its agent ends with this.
struct GnuPg<'h> {
    host: &'h TestEnvironment,
    fingerprint: String,
}

impl<'h> GnuPg<'h> {
    fn with_passphrase(host: &'h TestEnvironment, passphrase: &str) -> Self {
        let home = host.path("g");
        fs::create_dir(&home).expect("a fresh directory can be filled");
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("it is ours");
        // Nobody is there to ask, as at night.
        fs::write(home.join("gpg-agent.conf"), "pinentry-program /bin/false\n")
            .expect("it is ours");
        host.set("GNUPGHOME", &home);
        let mut made = Self { host, fingerprint: String::new() };
        host.run(
            "gpg",
            &[
                "--batch",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                passphrase,
                "--quick-generate-key",
                "Ada Operator <ada@example.org>",
                "ed25519",
                "sign",
                "never",
            ],
        )
        .exit(0);
        let listing = host.run("gpg", &["--batch", "--with-colons", "--list-secret-keys"]);
        let fingerprint = listing
            .stdout
            .lines()
            .find_map(|l| l.strip_prefix("fpr:")?.split(':').find(|f| f.len() == 40));
        made.fingerprint = fingerprint.expect("the key has a fingerprint").to_owned();
        host.configure_git("user.signingKey", &made.fingerprint);
        made.forget();
        made
    }

    /// The agent forgets what was typed: it ends.
    fn forget(&self) {
        let mut kill = self.host.command("gpgconf");
        kill.args(["--kill", "gpg-agent"]);
        Answer::of(kill, Duration::from_secs(20));
    }
}

impl Drop for GnuPg<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

#[test]
fn gpg_that_would_ask_is_noticed_without_asking() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    let gpg = GnuPg::with_passphrase(&host, "secret words");
    // The person's own key would ask: the host gets one of its own.
    host.gitroll(&["init", "--yes"])
        .exit(0)
        .stderr_has("the key of your git configuration is not used");
    // A binding that names it all the same is refused before anything changes.
    let file = host.path("gitroll/host.toml");
    let text = fs::read_to_string(&file).expect("init wrote it");
    let key = host.path("gitroll/key").display().to_string();
    let text =
        text.replace("format = \"ssh\"", "format = \"openpgp\"").replace(&key, &gpg.fingerprint);
    assert!(text.contains(&gpg.fingerprint) && text.contains("openpgp"), "{text}");
    fs::write(&file, text).expect("the binding is writable");
    let s = Scenario { host: &host, app };
    refused(
        &s,
        &["deploy", "--yes"],
        1,
        &["gpg could not sign", "without a prompt", "gitroll init --new-key"],
    );
    host.gitroll(&["init", "--yes", "--new-key"]).exit(0);
    host.gitroll(&["deploy", "--yes"]).exit(0);
}

#[test]
fn an_openpgp_key_signs_everything_and_plain_git_agrees() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    let gpg = GnuPg::with_passphrase(&host, "");
    host.gitroll(&["init", "--yes", "--environment", "production", "--name", "web-1"]).exit(0);
    assert!(!host.path("gitroll/key").exists(), "the user's own key was not used");
    let s = Scenario { host: &host, app };
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0).stdout_has("v1.0.0-stable observed serving");
    s.serves("1.0.0");
    let tags = s.app.git(&["for-each-ref", "--format=%(refname:short)", "refs/tags/"]);
    assert!(tags.lines().count() >= 3, "{tags}");
    for tag in tags.lines() {
        s.app
            .try_git(&["verify-tag", "--raw", tag])
            .exit(0)
            .stderr_has(&format!("VALIDSIG {}", gpg.fingerprint));
    }
    host.gitroll(&["show", "2"]).exit(0);
    drop(gpg);
}

/// An agent that holds keys; it ends with this.
struct Agent(std::process::Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_key_that_git_signs_with_is_used_as_git_uses_it() {
    let host = TestEnvironment::new();
    host.unset("SSH_AUTH_SOCK");
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    // A public key, and the private one beside it.
    let key = host.ssh_key();
    let public = fs::read_to_string(key.with_extension("pub")).expect("it was made");
    app.git(&["tag", "-s", "-m", "as git does it", "by-git"]);
    let init = ["init", "--yes", "--environment", "production", "--name", "web-1"];
    host.gitroll(&init).exit(0).never_says("is not used");
    let binding = || fs::read_to_string(host.path("gitroll/host.toml")).expect("it is bound");
    assert!(binding().contains("id_ed25519.pub"), "{}", binding());
    host.gitroll(&["deploy", "--yes"]).exit(0);
    host.gitroll(&["fsck", "--all"]).exit(0);

    // The key itself is in the configuration, and an agent holds the private half.
    let socket = host.path("agent");
    let place = socket.to_str().expect("UTF-8");
    let mut agent = host.command("ssh-agent");
    agent.args(["-D", "-a", place]).stdout(std::process::Stdio::null());
    let _agent = Agent(agent.spawn().expect("ssh-agent is part of OpenSSH"));
    host.set("SSH_AUTH_SOCK", place);
    // 1: it answers, and holds nothing yet.
    wait_until("the agent answers", || host.run("ssh-add", &["-l"]).code == Some(1));
    host.run("ssh-add", &["-q", key.to_str().expect("UTF-8")]).exit(0);
    fs::rename(&key, host.path("away")).expect("ours");
    host.configure_git("user.signingKey", &format!("key::{}", public.trim()));
    fs::remove_dir_all(host.path("gitroll")).expect("ours");
    let anew = [&init[..], &["--new-writer"]].concat();
    host.gitroll(&anew).exit(0).never_says("is not used");
    assert!(binding().contains("user-key.pub"), "{}", binding());
    host.gitroll(&["deploy", "--yes"]).exit(0);
    // The other writer's key is no longer trusted here; what this one signed is.
    host.gitroll(&["fsck"]).stdout_has("2 records, newest");
    // Without the agent the next command says so.
    host.unset("SSH_AUTH_SOCK");
    host.gitroll(&["mark", "good", "HEAD", "--reason", "r"]).exit(1).stderr_has("ssh-add");
}
