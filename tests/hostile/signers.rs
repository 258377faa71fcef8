//! Who signed is judged by the trust file outside the repository, of the very bytes that are used.

use super::*;

/// A key of somebody's who may push and whom this host does not trust.
fn strangers_key(host: &TestEnvironment) -> String {
    let key = host.path("stranger");
    let key = key.to_str().expect("temporary paths are UTF-8").to_owned();
    host.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "mallory", "-f", &key]).exit(0);
    key
}

#[test]
fn a_forged_tag_that_the_repositorys_own_settings_verify_is_refused() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let key = strangers_key(&host);
    let first = s.app.git(&["rev-parse", "v1.0.0-stable^{commit}"]);
    // Signed by the stranger, on a commit that was proven here.
    let tag = [
        "-c",
        "gpg.format=ssh",
        "-c",
        &format!("user.signingKey={key}"),
        "tag",
        "-s",
        "-m",
        "t",
        "v1.0.5-stable",
        &first,
    ];
    s.app.git(&tag);
    let public = fs::read_to_string(format!("{key}.pub")).expect("it was made");
    let signers = s.app.dir.join(".git/signers");
    fs::write(&signers, format!("* {public}")).expect("the repository is writable");
    let program = host.path("always-good");
    write_script(
        &program,
        "#!/bin/sh\necho 'Good \"git\" signature for ana with ED25519 key SHA256:x'\nexit 0\n",
    );
    s.app.git(&["config", "gpg.format", "ssh"]);
    let signers = signers.to_str().expect("UTF-8");
    s.app.git(&["config", "gpg.ssh.allowedSignersFile", signers]);
    s.app.try_git(&["verify-tag", "v1.0.5-stable"]).exit(0);
    s.app.git(&["config", "gpg.ssh.program", program.to_str().expect("UTF-8")]);
    let before = s.app.state();
    host.gitroll(&["back", "--to", "v1.0.5-stable", "--yes"])
        .exit(10)
        .stderr_has("v1.0.5-stable")
        .stderr_has("signer is not in the pinned trust file");
    before.assert_same(&s.app.state());
    host.gitroll(&["back", "--to", "last-stable", "--plan"])
        .exit(0)
        .stderr_has("to       v1.0.0-stable")
        .stderr_has("v1.0.5-stable");
}

#[test]
fn replaced_objects_are_never_read() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let good = s.app.git(&["rev-parse", "v1.0.0-stable^{commit}"]);
    let blob = s.app.git(&["rev-parse", &format!("{good}:server.js")]);
    s.app.write("evil.js", "throw new Error('evil');\n");
    let evil = s.app.git(&["hash-object", "-w", "evil.js"]);
    fs::remove_file(s.app.dir.join("evil.js")).expect("it was just written");
    let wanted = s.app.git(&["cat-file", "blob", &blob]);
    s.app.git(&["replace", &blob, &evil]);
    s.app.git(&["replace", &good, "HEAD"]);
    host.gitroll(&["back", "--to", "v1.0.0-stable", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert_eq!(s.app.read("server.js").trim(), wanted);
}

#[test]
fn without_its_trust_file_nothing_is_believed() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let trust = host.path("gitroll/trust");
    let good = fs::read_to_string(&trust).expect("init wrote it");
    for broken in [
        None,
        Some(String::new()),
        Some("garbage\n".to_owned()),
        Some(good.replace("AAAA", "AAAB")),
    ] {
        match &broken {
            Some(text) => fs::write(&trust, text).expect("it is ours"),
            None => fs::remove_file(&trust).expect("it is ours"),
        }
        let before = s.app.state();
        for args in [
            &["deploy", "HEAD~1", "--yes"] as &[&str],
            &["promote", "--as", "v1.1.0", "--yes"],
            &["mark", "bad", "HEAD", "--reason", "r"],
        ] {
            host.gitroll(args).exit(10).stderr_has("trust");
        }
        before.assert_same(&s.app.state());
        s.serves("1.1.0");
    }
    fs::write(&trust, good).expect("it is ours");
    host.gitroll(&["back", "--yes"]).exit(0);
}

#[test]
fn a_chain_from_elsewhere_is_not_believed() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let chain = own_chain(&s);
    // Another writer's name over the same records; and a deployed commit that says it is a chain.
    s.app.git(&["update-ref", "refs/gitroll/production/ledger/web-9.aaaa", &chain]);
    s.app.git(&["update-ref", "refs/gitroll/production/ledger/web-8.bbbb", "HEAD"]);
    s.app.git(&["update-ref", "refs/gitroll/production/ledger/-x;touch", "HEAD"]);
    let answer = host.gitroll(&["status"]);
    answer.exit(0).stderr_has("web-9.aaaa is rejected").stderr_has("web-8.bbbb is rejected");
    // In the place of our own, it stops everything but the way back to what this host proved.
    s.app.git(&["update-ref", &chain, "HEAD"]);
    let before = s.app.state();
    host.gitroll(&["deploy", "HEAD~1", "--yes"]).exit(10).stderr_has("gitroll back");
    before.assert_same(&s.app.state());
    host.gitroll(&["back", "--yes"]).exit(30).stderr_has("this host verified before");
    s.serves("1.0.0");
}

#[test]
fn a_chain_that_was_shortened_is_noticed_and_restored() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let chain = own_chain(&s);
    host.gitroll(&["status"]).exit(0);
    let end = s.app.git(&["rev-parse", &chain]);
    s.app.git(&["update-ref", &chain, &format!("{chain}~1")]);
    let before = s.app.state();
    for args in [&["deploy", "HEAD~1", "--yes"] as &[&str], &["promote", "--as", "v1.1.0", "--yes"]]
    {
        // Both sides, and a way on.
        let refused = host.gitroll(args);
        refused
            .exit(10)
            .stderr_has("it ends with record 3 (sha256:")
            .stderr_has("but its record 4");
        refused.stderr_has("gitroll fsck --repair");
    }
    before.assert_same(&s.app.state());
    host.gitroll(&["fsck", "--repair"]).exit(0).stdout_has("repaired");
    assert_eq!(s.app.git(&["rev-parse", &chain]), end);
    // Other records in its place: only a person can say which are right.
    let fork = s.app.git(&["commit-tree", "-m", "x", &format!("{chain}~1^{{tree}}")]);
    s.app.git(&["update-ref", &chain, &fork]);
    host.gitroll(&["fsck", "--repair"]).exit(10).stdout_has("rejected");
    assert_eq!(s.app.git(&["rev-parse", &chain]), fork);
    host.gitroll(&["back", "--yes"]).exit(30);
    s.serves("1.0.0");
}

#[test]
fn notes_are_never_read_for_a_decision() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let targets = host.gitroll(&["targets", "--json"]).exit(0).json();
    s.app.git(&["commit", "-q", "--allow-empty", "-m", "never deployed"]);
    for notes in s.app.git(&["for-each-ref", "--format=%(refname)", "refs/notes/"]).lines() {
        s.app.git(&[
            "notes",
            "--ref",
            notes,
            "add",
            "-f",
            "-m",
            "#9 deploy succeeded: proven, good",
            "HEAD",
        ]);
    }
    s.app.git(&[
        "tag",
        "--no-sign",
        "-a",
        "-m",
        "x",
        "gitroll/production/web-1.zzzz/9-deploy",
        "HEAD",
    ]);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    let again = host.gitroll(&["targets", "--json"]).exit(0).json();
    let names =
        |document: &serde_json::Value| document["result"].to_string().matches("commit").count();
    assert_eq!(names(&targets), names(&again), "{again}");
}
