//! Forged histories: what plain `git verify-tag` refuses with the same trust file, gitroll refuses; and where gitroll is
//! stricter, that is so.

use super::*;

const SIGNED: &str = "-----BEGIN SSH SIGNATURE-----";

/// Who signs and forges on one host.
struct Forger<'s, 'h> {
    s: &'s Scenario<'h>,
    /// A commit that served here.
    good: String,
}

impl Forger<'_, '_> {
    fn key(&self, name: &str) -> String {
        let path = self.s.host.path(name).to_str().expect("UTF-8").to_owned();
        let args = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &path];
        self.s.host.run("ssh-keygen", &args).exit(0);
        path
    }

    fn payload(&self, name: &str) -> String {
        self.about(name, &self.good, "commit")
    }

    fn about(&self, name: &str, object: &str, kind: &str) -> String {
        let tagger = "tagger Ana <ana@example.org> 1795144325 +0000";
        format!("object {object}\ntype {kind}\ntag {name}\n{tagger}\n\na release\n")
    }

    fn armour(&self, key: &str, payload: &str, namespace: &str) -> String {
        let file = self.s.host.path("to-sign");
        fs::write(&file, payload).expect("the host's directory is writable");
        let signature = self.s.host.path("to-sign.sig");
        let _ = fs::remove_file(&signature);
        let file = file.to_str().expect("UTF-8");
        self.s.host.run("ssh-keygen", &["-q", "-Y", "sign", "-n", namespace, "-f", key, file]);
        fs::read_to_string(signature).expect("it was made")
    }

    fn signed(&self, key: &str, payload: &str) -> String {
        format!("{payload}{}", self.armour(key, payload, "git"))
    }

    /// Puts a tag object under a name.
    fn plant(&self, name: &str, object: &str) {
        let file = self.s.host.path("object");
        fs::write(&file, object).expect("the host's directory is writable");
        let file = file.to_str().expect("UTF-8");
        let args = ["hash-object", "-t", "tag", "-w", "--literally", file];
        let id = self.s.app.git(&args);
        // Git itself refuses to point to some of these.
        fs::write(self.ref_file(name), format!("{id}\n")).expect("the repository is writable");
    }

    fn ref_file(&self, name: &str) -> std::path::PathBuf {
        self.s.app.dir.join(".git/refs/tags").join(name)
    }

    fn git_accepts(&self, name: &str) -> bool {
        let dir = self.s.host.path("gitroll");
        let signers =
            format!("gpg.ssh.allowedSignersFile={}", dir.join("trust").to_str().expect("UTF-8"));
        let mut args = vec!["-c", "gpg.format=ssh", "-c", &signers];
        let revoked = dir.join("revoked");
        let revoked = format!("gpg.ssh.revocationFile={}", revoked.to_str().expect("UTF-8"));
        args.extend(["-c", &revoked, "verify-tag", "--", name]);
        self.s.app.try_git(&args).code == Some(0)
    }
}

/// Whether `git verify-tag` accepts a tag, and its forged bytes.
type Forged = (&'static str, bool, String);

fn forgeries(f: &Forger<'_, '_>, own: &str, keys: &[String]) -> Vec<Forged> {
    let [stranger, expired, future, filed, revoked, ended] = keys else { panic!("six keys") };
    let name = |n: usize| format!("v1.0.{n}-stable");
    let payload = |n: usize| f.payload(&name(n));
    let good = |n: usize| f.signed(own, &payload(n));
    let edited = |n: usize, from: &str, to: &str| {
        let object = good(n).replacen(from, to, 1);
        assert_ne!(object, good(n), "{from} is in the tag");
        object
    };
    let never =
        f.s.app.git(&["commit-tree", "-p", &f.good, "-m", "x", &format!("{}^{{tree}}", f.good)]);
    let tree = f.s.app.git(&["rev-parse", &format!("{}^{{tree}}", f.good)]);
    let blob = f.s.app.git(&["rev-parse", &format!("{}:server.js", f.good)]);
    let inner = f.s.app.git(&["rev-parse", "refs/tags/v1.0.0-stable"]);
    let armour = |n: usize| f.armour(own, &payload(n), "git");
    let cut = |n: usize, keep: usize| {
        let lines: Vec<String> = armour(n).lines().map(|line| format!("{line}\n")).collect();
        format!("{}{}", payload(n), lines[..keep].concat())
    };
    let line = |n: usize| armour(n).lines().nth(2).expect("it has lines").to_owned();
    let turned = |text: &str| text.chars().rev().collect::<String>();
    vec![
        ("unsigned", false, payload(101)),
        ("signed by a stranger", false, f.signed(stranger, &payload(102))),
        (
            "a stranger's, on what never served",
            false,
            f.signed(stranger, &f.about(&name(103), &never, "commit")),
        ),
        ("the message was edited", false, edited(104, "a release", "another release")),
        ("another commit", false, edited(105, &f.good, &never)),
        ("another tagger", false, edited(106, "Ana", "Eve")),
        ("another date", false, edited(107, "1795144325", "1795144326")),
        ("another time zone", false, edited(108, "+0000", "+0100")),
        ("another name in the object", false, edited(109, "v1.0.109-stable", "v1.0.209-stable")),
        ("the signature of another tag", false, format!("{}{}", payload(110), armour(1))),
        (
            "signed for files",
            false,
            format!("{}{}", payload(111), f.armour(own, &payload(111), "file")),
        ),
        ("a signature without its end", false, cut(112, 4)),
        ("only the first line of a signature", false, cut(113, 1)),
        (
            "a line of the signature turned round",
            false,
            good(114).replace(&line(114), &turned(&line(114))),
        ),
        (
            "an empty signature",
            false,
            format!("{}{SIGNED}\n-----END SSH SIGNATURE-----\n", payload(115)),
        ),
        (
            "an OpenPGP signature of nothing",
            false,
            format!(
                "{}-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n",
                payload(116)
            ),
        ),
        ("the own signature, then a stranger's", false, f.signed(stranger, &good(117))),
        (
            "a line before the signature",
            false,
            good(118).replace(SIGNED, &format!("more\n{SIGNED}")),
        ),
        ("a changed line end", false, good(119).replace("a release\n", "a release\r\n")),
        (
            "a second object line",
            false,
            good(120).replacen("\ntype", &format!("\nobject {never}\ntype"), 1),
        ),
        ("no line for the tag's name", false, good(121).replacen("tag v1.0.121-stable\n", "", 1)),
        ("a key whose time is over", false, f.signed(expired, &payload(122))),
        ("a key whose time has not come", false, f.signed(future, &payload(123))),
        ("a key for other things", false, f.signed(filed, &payload(124))),
        ("a revoked key", false, f.signed(revoked, &payload(125))),
        // Where gitroll is stricter.
        (
            "an expired key and a date in its time",
            true,
            f.signed(expired, &payload(126).replace("1795144325", "1262304000")),
        ),
        ("another name than its ref", true, f.signed(own, &f.payload("v1.0.0-stable"))),
        ("a tag of a tag", true, f.signed(own, &f.about(&name(128), &inner, "tag"))),
        ("a tag of a tree", true, f.signed(own, &f.about(&name(129), &tree, "tree"))),
        ("a tag of a file", true, f.signed(own, &f.about(&name(130), &blob, "blob"))),
        ("a key that counts only up to a record", true, f.signed(ended, &payload(131))),
        ("bytes after the signature", true, format!("{}more\n", good(132))),
    ]
}

#[test]
fn what_git_refuses_gitroll_refuses_and_more() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let good = s.app.git(&["rev-parse", "v1.0.0-stable^{commit}"]);
    let f = Forger { s: &s, good };
    let own = host.path("gitroll/key").to_str().expect("UTF-8").to_owned();
    let keys: Vec<String> = ["stranger", "expired", "future", "filed", "revoked-key", "ended"]
        .map(|k| f.key(k))
        .to_vec();
    let trust = host.path("gitroll/trust");
    let mut lines = fs::read_to_string(&trust).expect("init wrote it");
    let limits = [
        "valid-before=\"20150101\",namespaces=\"git\"",
        "valid-after=\"20980101\",namespaces=\"git\"",
        "namespaces=\"file\"",
        "namespaces=\"git\"",
        "namespaces=\"git\"",
    ];
    for (key, limit) in keys[1..].iter().zip(limits) {
        let public = fs::read_to_string(format!("{key}.pub")).expect("it was made");
        lines.push_str(&format!("ana@example.org {limit} {public}"));
    }
    fs::write(&trust, lines).expect("the binding is ours");
    fs::copy(format!("{}.pub", keys[4]), host.path("gitroll/revoked")).expect("it was made");
    let shown = host.run("ssh-keygen", &["-lf", &format!("{}.pub", keys[5])]);
    let ended = shown.text().split_whitespace().nth(1).expect("a fingerprint").to_owned();
    let revoked =
        format!("[[revoked]]\nfingerprint = {ended:?}\nwriter = \"web-9.aaaa\"\nlast = 3\n");
    fs::write(host.path("gitroll/roles.toml"), revoked).expect("the binding is ours");

    // What nobody forged is accepted by both.
    f.plant("v1.0.1-stable", &f.signed(&own, &f.payload("v1.0.1-stable")));
    assert!(f.git_accepts("v1.0.1-stable"));
    host.gitroll(&["back", "--to", "v1.0.1-stable", "--plan"]).exit(0);

    let before = s.app.state();
    let all = forgeries(&f, &own, &keys);
    let mut differ = Vec::new();
    assert!(all.len() >= 30, "{}", all.len());
    for (number, (what, git, object)) in all.iter().enumerate() {
        let name = format!("v1.0.{}-stable", 101 + number);
        f.plant(&name, object);
        let answer = host.gitroll(&["back", "--to", &name, "--plan"]);
        assert!(matches!(answer.code, Some(1 | 10)), "{what}: {}", answer.transcript());
        answer.never_says("panicked");
        if f.git_accepts(&name) != *git {
            differ.push(*what);
        }
        fs::remove_file(f.ref_file(&name)).expect("it was planted");
    }
    assert!(differ.is_empty(), "git verify-tag does not say what is expected of: {differ:?}");
    before.assert_same(&s.app.state());
    s.serves("1.1.0");
}
