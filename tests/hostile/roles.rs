//! What a key may do, and up to which record it counts: by files outside the repository, never by the tagger's date.

use super::*;

/// `SHA256:…` of this host's key.
fn fingerprint(host: &TestEnvironment) -> String {
    let listed = host.gitroll(&["trust", "list", "--json"]).exit(0).json();
    let key = &listed["result"]["keys"][0]["fingerprint"];
    key.as_str().expect("the host has a key").to_owned()
}

fn give(host: &TestEnvironment, key: &str, roles: &str) {
    let text = format!("[[key]]\nfingerprint = {key:?}\nroles = [{roles}]\n");
    fs::write(host.path("gitroll/roles.toml"), text).expect("the binding is ours");
}

#[test]
fn a_key_that_may_deploy_cannot_promote() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let key = fingerprint(&host);
    // What it promoted while it might.
    s.promote("v1.1.0");
    let signed = s.app.git(&["rev-parse", "v1.1.0-stable"]);
    give(&host, &key, "\"deploy\", \"back\"");
    let listed = host.gitroll(&["trust", "list"]);
    listed.exit(0).stdout_has("deploy, back");
    let doctor = host.gitroll(&["doctor"]);
    doctor.stdout_has("no trusted key has the role promote: nobody can promote");
    let before = s.app.state();
    for (args, role) in [
        (&["promote", "--as", "v1.1.1", "--yes"] as &[&str], "promote"),
        (&["mark", "bad", "HEAD", "--reason", "r"], "mark"),
    ] {
        let refused = host.gitroll(args);
        refused.exit(10).stderr_has(&format!("does not have the role {role}"));
        refused.stderr_has("gitroll trust list");
    }
    before.assert_same(&s.app.state());
    // When reading, too: the record does not promote, and neither does a tag that the key signed by hand.
    let found = host.gitroll(&["fsck"]);
    found.exit(10).stdout_has("does not have the role promote").stdout_has("#5 web-1.");
    let stable = host.gitroll(&["back", "--to", "last-stable", "--plan"]);
    stable.exit(1).stderr_has("v1.0.0-stable").stderr_has("does not have the role promote");
    assert_eq!(s.app.git(&["rev-parse", "v1.1.0-stable"]), signed);

    // Deploying and going back it may.
    s.release("1.2.0", Behaviour::Good).exit(0);
    host.gitroll(&["back", "@4", "--yes"]).exit(0);
    s.serves("1.1.0");
    // Without the role the way back is not barred, and a deploy is.
    give(&host, &key, "\"promote\"");
    host.gitroll(&["deploy", "main", "--fixes", "7", "--yes"]).exit(10).stderr_has("role deploy");
    let back = host.gitroll(&["back", "@2", "--yes"]);
    back.exit(30).stderr_has("does not have the role back");
    s.serves("1.0.0");

    // Another name for the role; another environment or writer; a file that is wrong.
    let needs = format!("[needs]\npromote = \"manager\"\n[[key]]\nfingerprint = {key:?}\n");
    let file = |more: &str| {
        let path = host.path("gitroll/roles.toml");
        fs::write(path, format!("{needs}{more}")).expect("the binding is ours");
    };
    file("roles = [\"back\", \"manager\"]\n");
    host.gitroll(&["fsck"]).stdout_lacks("role manager");
    file("roles = [\"back\", \"manager\"]\nenvironments = [\"staging\"]\n");
    host.gitroll(&["fsck"]).exit(10).stdout_has("does not have the role manager");
    file("roles = [\"back\", \"manager\"]\nwriters = [\"ci*\"]\n");
    host.gitroll(&["fsck"]).exit(10).stdout_has("does not have the role manager");
    file("role = [\"back\"]\n");
    let wrong = host.gitroll(&["deploy", "HEAD~1", "--yes"]);
    wrong.exit(10).stderr_has("roles.toml: line ").stderr_has("did you mean \"roles\"?");
    fs::remove_file(host.path("gitroll/roles.toml")).expect("it is ours");
    host.gitroll(&["annotate", "--reason", "mended"]).exit(0).stderr_has("signed 1 record");
    host.gitroll(&["fsck"]).exit(0);
}

#[test]
fn a_new_key_takes_over_and_the_old_one_counts_up_to_its_last_record() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let old = fingerprint(&host);
    let own = host.gitroll(&["trust", "revoke", &old, "--yes"]);
    own.exit(10).stderr_has("gitroll trust rotate");
    let rotated = host.gitroll(&["trust", "rotate"]);
    rotated.exit(0).stdout_has("counts up to #5").stderr_has("gitroll trust accept 5");
    s.release("1.2.0", Behaviour::Good).exit(0);
    host.gitroll(&["fsck", "--all"]).exit(0);
    host.gitroll(&["trust", "list"]).exit(0).stdout_has("revoked after #5");

    // Whoever has the old key writes a later record with it, and dates it back.
    let key = host.path("gitroll/key");
    let chain = own_chain(&s);
    let blob = s.app.git(&["rev-parse", &format!("{chain}:record")]);
    let last = s.app.git(&["cat-file", "blob", &blob]);
    let payload = last.split("-----BEGIN").next().expect("there is a payload");
    let seq = payload.lines().find(|l| l.starts_with("Gitroll-Seq: ")).expect("it has one");
    assert_eq!(seq, "Gitroll-Seq: 6");
    let file = host.path("payload");
    fs::write(&file, payload).expect("the host's directory is writable");
    let (key, file) = (key.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    host.run("ssh-keygen", &["-q", "-Y", "sign", "-n", "git", "-f", key, file]).exit(0);
    let signature = fs::read_to_string(format!("{file}.sig")).expect("it was made");
    let forged = format!("{payload}{signature}");
    s.app.git(&["update-ref", &chain, &format!("{chain}~1")]);
    records::append(&s, forged.as_bytes());
    let refused = host.gitroll(&["deploy", "HEAD~1", "--yes"]);
    refused.exit(10).stderr_has("is revoked: only its records up to #5 count");
    host.gitroll(&["back", "--yes"]).exit(30).stderr_has("this host verified before");
    s.serves("1.1.0");
}
