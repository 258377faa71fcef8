//! Chains, tags and objects that are not what gitroll wrote: named, refused, and nothing changed.

use super::*;

/// Puts a last entry with these bytes as its record at the end of the chain.
pub(super) fn append(s: &Scenario<'_>, record: &[u8]) {
    let chain = own_chain(s);
    let blob = |name: &str, bytes: &[u8]| {
        let file = s.host.path(name);
        fs::write(&file, bytes).expect("the host's directory is writable");
        s.app.git(&["hash-object", "-w", "--no-filters", file.to_str().expect("UTF-8")])
    };
    let evidence = s.app.git(&["rev-parse", &format!("{chain}:evidence")]);
    let config = s.app.git(&["rev-parse", &format!("{chain}:config")]);
    let record = blob("record", record);
    let listing = format!(
        "100644 blob {config}\tconfig\n100644 blob {evidence}\tevidence\n100644 blob {record}\trecord\n"
    );
    let file = s.host.path("listing");
    fs::write(&file, listing).expect("the host's directory is writable");
    let mut tree = s.host.command("git");
    tree.arg("mktree").stdin(fs::File::open(&file).expect("it was just written"));
    let tree = Answer::of(tree, std::time::Duration::from_secs(20)).exit(0).text().to_owned();
    let commit = s.app.git(&["commit-tree", &tree, "-p", &chain, "-p", "HEAD", "-m", "x"]);
    s.app.git(&["update-ref", &chain, &commit]);
}

/// All refuse it, naming the chain or record; nothing changes, and the old end of the chain mends it.
fn refused_everywhere(s: &Scenario<'_>, what: &str) {
    let before = s.app.state();
    for (verb, answer) in every_command(s) {
        if verb == "back" {
            // A plan, by what this host verified before.
            answer.exit(0).stderr_has("this host verified before");
        }
        if matches!(verb, "deploy" | "annotate" | "mark" | "promote") {
            assert!(
                matches!(answer.code, Some(1 | 10)),
                "{what}: {verb} went on\n{}",
                answer.transcript()
            );
            let named = ["web-1.", "record", "refs/", "object", ".git/"];
            assert!(
                named.iter().any(|n| answer.stderr.contains(n)),
                "{what}: {}",
                answer.transcript()
            );
        }
    }
    before.assert_same(&s.app.state());
    s.serves("1.1.0");
}

#[test]
fn malformed_records_are_refused_by_name() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let chain = own_chain(&s);
    let end = s.app.git(&["rev-parse", &chain]);
    let blob = s.app.git(&["rev-parse", &format!("{chain}:record")]);
    let mut cat = host.command("git");
    cat.args(["cat-file", "blob", &blob]);
    let good = cat.output().expect("git can be started").stdout;
    let text = String::from_utf8(good.clone()).expect("a record is text");
    assert!(text.contains("Gitroll-Seq: "), "{text}");
    let line = |name: &str| {
        text.lines().find(|l| l.starts_with(name)).expect("the record has this line").to_owned()
    };
    let seq = line("Gitroll-Seq: ");
    let to = line("Gitroll-To: ");
    let kept = |bytes: &[u8]| bytes.to_vec();
    let shapes: Vec<(&str, Vec<u8>)> = vec![
        ("the same record twice", good.clone()),
        ("nothing", Vec::new()),
        ("a truncated record", kept(&good[..good.len() / 2])),
        ("a record without its signature's end", kept(&good[..good.len() - 20])),
        ("bytes after the signature", [&good[..], b"more\n"].concat()),
        ("no UTF-8", [&good[..60], b"\xff\xfe\x00\x80", &good[60..]].concat()),
        (
            "a number beyond all numbers",
            text.replace(&seq, "Gitroll-Seq: 99999999999999999999").into(),
        ),
        ("a negative number", text.replace(&seq, "Gitroll-Seq: -1").into()),
        ("a doubled trailer", text.replace(&to, &format!("{to}\n{to}")).into()),
        ("a missing trailer", text.replace(&format!("{seq}\n"), "").into()),
        ("an unknown version", text.replace("Gitroll-Record: 1", "Gitroll-Record: 2").into()),
        (
            "a commit that is not here",
            text.replace(&to, &format!("Gitroll-To: {}", "d".repeat(40))).into(),
        ),
        (
            "four megabytes of message",
            text.replace("\n\n", &format!("\n\n{}\n\n", "x".repeat(4 << 20))).into(),
        ),
        (
            "random bytes",
            (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
        ),
    ];
    for (what, bytes) in shapes {
        append(&s, &bytes);
        let before = s.app.state();
        for args in [
            &["back", "--plan"] as &[&str],
            &["status"],
            &["log"],
            &["show"],
            &["deploy", "HEAD~1", "--yes"],
        ] {
            let answer = host.gitroll(args);
            assert!(matches!(answer.code, Some(0 | 1 | 10)), "{what}: {}", answer.transcript());
            answer.never_says("panicked").never_says("\u{1b}");
            if args[0] == "back" {
                answer.exit(0).stderr_has("this host verified before");
            }
            if args[0] == "deploy" {
                answer.fails();
                let named = answer.stderr.contains("web-1.") || answer.stderr.contains("object ");
                assert!(named, "{what}: {}", answer.transcript());
            }
        }
        before.assert_same(&s.app.state());
        s.app.git(&["update-ref", &chain, &end]);
    }
    s.serves("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
}

#[test]
fn an_empty_ref_file_is_named_never_passed_over_in_silence() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    s.promote("v1.1.0");
    s.release("1.2.0", Behaviour::Good).exit(0);
    let chain = s.app.dir.join(".git").join(own_chain(&s));
    let tag = s.app.dir.join(".git/refs/tags/v1.1.0-stable");
    let stable = &["back", "--to", "last-stable", "--yes"] as &[&str];
    let named = &["back", "--to", "v1.1.0-stable", "--yes"] as &[&str];
    for (file, commands) in
        [(&chain, [&["back", "--yes"] as &[&str], stable]), (&tag, [named, named])]
    {
        let good = fs::read(file).expect("refs are loose here");
        fs::write(file, "").expect("the repository is writable");
        let before = Tree::of(&s.app.dir).without(".git");
        for args in commands {
            let answer = host.gitroll(args);
            assert!(matches!(answer.code, Some(1 | 10)), "{}", answer.transcript());
            answer.stderr_has(file.file_name().and_then(|n| n.to_str()).expect("UTF-8"));
        }
        if file == &tag {
            host.gitroll(&["back", "--to", "last-stable", "--plan"])
                .exit(0)
                .stderr_has("skipped  v1.1.0-stable  its file is empty")
                .stderr_has("git update-ref refs/tags/v1.1.0-stable");
        }
        before.assert_same(&Tree::of(&s.app.dir).without(".git"));
        fs::write(file, good).expect("the repository is writable");
    }
    s.serves("1.2.0");
    host.gitroll(stable).exit(0);
    s.serves("1.1.0");
}

#[test]
fn missing_objects_are_named() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let chain = own_chain(&s);
    let name = |rev: &str| s.app.git(&["rev-parse", rev]);
    for (what, id) in [
        ("the record", name(&format!("{chain}:record"))),
        ("the evidence", name(&format!("{chain}:evidence"))),
        ("the configuration", name(&format!("{chain}:config"))),
        ("the entry's tree", name(&format!("{chain}^{{tree}}"))),
        ("the entry", name(&chain)),
        ("an older entry", name(&format!("{chain}~1"))),
        ("what serves", name("HEAD")),
        ("its tree", name("HEAD^{tree}")),
        ("the target's tree", name("v1.0.0-stable^{tree}")),
        ("the target's file", name("v1.0.0-stable:package.json")),
        ("the target", name("v1.0.0-stable^{commit}")),
    ] {
        let file = s.app.dir.join(".git/objects").join(&id[..2]).join(&id[2..]);
        let good = fs::read(&file).expect("objects are loose here");
        fs::remove_file(&file).expect("the repository is writable");
        let before = Tree::of(&s.app.dir).without(".git");
        for args in [&["back", "--yes"] as &[&str], &["status"], &["log"], &["targets"], &["show"]]
        {
            let answer = host.gitroll(args);
            assert!(matches!(answer.code, Some(0 | 1 | 10)), "{what}: {}", answer.transcript());
            answer.never_says("panicked");
            if args[0] == "back" {
                answer.fails();
                let named = answer.stderr.contains(&id[..7]) || answer.stderr.contains("web-1.");
                assert!(named, "{what} {id}: {}", answer.transcript());
            }
        }
        before.assert_same(&Tree::of(&s.app.dir).without(".git"));
        use std::os::unix::fs::PermissionsExt;
        fs::write(&file, good).expect("the repository is writable");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).expect("it is ours");
    }
    s.serves("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
}

#[test]
fn a_corrupt_pack_and_corrupt_objects_are_errors() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    s.app.git(&["repack", "-adq"]);
    let packs = s.app.dir.join(".git/objects/pack");
    let pack = fs::read_dir(&packs).expect("there are packs").flatten().map(|e| e.path());
    let pack = pack
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "pack"))
        .expect("there is one");
    let good = fs::read(&pack).expect("the repository is readable");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let mut broken = good.clone();
    for at in (40..broken.len()).step_by(97) {
        broken[at] ^= 0x55;
    }
    for bad in [broken, good[..good.len() / 3].to_vec(), Vec::new()] {
        fs::write(&pack, bad).expect("it is ours");
        let before = Tree::of(&s.app.dir).without(".git");
        for (verb, answer) in every_command(&s) {
            if matches!(verb, "back" | "deploy" | "mark" | "promote") {
                assert!(matches!(answer.code, Some(1 | 10)), "{}", answer.transcript());
            }
        }
        before.assert_same(&Tree::of(&s.app.dir).without(".git"));
    }
    fs::write(&pack, good).expect("it is ours");
    s.serves("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
}

#[test]
fn a_huge_tag_and_a_tag_of_tags_are_survived() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let message = host.path("message");
    fs::write(&message, "x".repeat(4 << 20)).expect("the host's directory is writable");
    s.app.git(&["tag", "--no-sign", "-a", "-F", message.to_str().expect("UTF-8"), "v8.0.0-stable"]);
    let mut last = "v1.0.0-stable".to_owned();
    for n in 0..70 {
        let next = format!("deep-{n}");
        s.app.git(&["tag", "--no-sign", "-a", "-m", "x", &next, &last]);
        last = next;
    }
    s.app.git(&["tag", "--no-sign", "-a", "-m", "x", "v8.1.0-stable", &last]);
    every_command(&s);
    host.gitroll(&["back", "--to", "v8.1.0-stable", "--yes"]).exit(10);
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn a_record_made_of_another_repositorys_chain_is_refused_everywhere() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let elsewhere = TestEnvironment::new();
    let other = two_releases(&elsewhere);
    let from = other.app.dir.to_str().expect("UTF-8");
    let (own, foreign) = (own_chain(&s), own_chain(&other));
    s.app.git(&["fetch", "-q", from, &format!("+{foreign}:{own}")]);
    refused_everywhere(&s, "another repository's chain");
}
