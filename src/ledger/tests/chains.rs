//! Appending and reading, warm and cold, alone and at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::rc::Rc;

use crate::ledger::as_read::AsRead;
use crate::ledger::entry::EntryParts;
use crate::ledger::tests::{World, draft, git_command};
use crate::ledger::trust::Trust;
use crate::ledger::{
    History, Ledger, LedgerError, Reading, append, cache, chain_ref, codec, config, evidence, read,
    read_unverified, snapshot,
};
use crate::model::{Digest, Oid, Outcome, Record, Seq};
use crate::system::git::{ObjectKind, RefEdit};

#[test]
fn what_is_appended_is_read_back() {
    let world = World::new();
    assert!(world.ledger().unwrap().chains.is_empty());
    let first = world.append("init", 0);
    let mut draft = world.draft(&world.binding, "back", 1);
    draft.record.reason = Some("  Error rate 12 %\n\nsince 14:02\n".to_owned());
    draft.record.sentence = "rolled back\nfrom \u{1b}[2J v1".to_owned();
    draft.person.name = "Ana <root>\n".to_owned();
    let second = append(&world.git, &world.binding, &world.ledger().unwrap(), draft).unwrap();
    let entries = world.entries();
    assert_eq!(entries, [first.clone(), second.clone()]);
    assert_eq!(second.record.previous, Some(first.digest));
    assert_eq!((first.record.seq, second.record.seq), (Seq(1), Seq(2)));
    assert_eq!(second.record.reason.as_deref(), Some("Error rate 12 %\n\nsince 14:02"));
    assert_eq!(second.record.sentence, "rolled back\\nfrom \\u{1b}[2J v1");
    assert_eq!(second.tagger.name, "Ana root");
    assert_eq!(evidence(&world.git, &second).unwrap().actor, "ana");
    assert_eq!(config(&world.git, &second).unwrap(), "[app]\nname = \"shop\"\n");
    let unverified = read_unverified(&world.git, &world.binding.environment).unwrap();
    assert_eq!(unverified.chains[&world.binding.writer].entries, entries);
}

#[test]
fn every_commit_that_served_stays_reachable_from_the_chain_alone() {
    let world = World::new();
    world.append("init", 0);
    let made = world.plain(&["commit-tree", "-m", "synthesised", "HEAD^{tree}"]);
    let made: Oid = made.parse().unwrap();
    let ledger = world.ledger().unwrap();
    append(&world.git, &world.binding, &ledger, draft(&world.binding, "component", &made)).unwrap();
    let head = world.head(&world.binding);
    let parents = world.plain(&["log", "-1", "--format=%P", head.as_str()]);
    assert_eq!(parents.split(' ').nth(1), Some(made.as_str()));
    world.plain(&["reflog", "expire", "--expire=now", "--all"]);
    world.plain(&["gc", "-q", "--prune=now"]);
    assert!(world.git.has(&made));
}

#[test]
fn a_thousand_records_are_read_warm_without_any_program() {
    let mut world = World::new();
    import(&world, 1000);
    let (script, count) = world.counting("ssh-keygen");
    world.binding.tools.ssh_keygen = Some(script);
    assert_eq!(world.entries().len(), 1000);
    assert!(!count.exists(), "a program was run");

    world.append("deploy", 1);
    assert_eq!(world.entries().len(), 1001);
    assert!(!count.exists(), "a plain key needs no program, neither to sign nor to verify");
}

// A chain as other runs have left it, and the cache that says that they verified it. The signatures are
// of no worth, so that the test fails when one of them is looked at.
fn import(world: &World, number: u64) {
    let armour = "-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----\n";
    let base = draft(&world.binding, "deploy", &world.commits[0]);
    let (mut stream, mut previous) = (String::new(), None);
    let name = chain_ref(&world.binding.environment, &world.binding.writer);
    for seq in 1..=number {
        let record = Record { seq: Seq(seq), previous, ..base.record.clone() };
        let payload = codec::encode(&record, &base.person).unwrap();
        previous = Some(Digest::of(&payload));
        let record = String::from_utf8(payload).unwrap() + armour;
        let blob = format!("data {}\n{record}\n", record.len());
        let parents = match seq {
            1 => format!("from {}", world.commits[0]),
            _ => format!("merge {}", world.commits[0]),
        };
        stream += &format!("commit {name}\ncommitter A <a@b> 0 +0000\ndata 1\nx\n{parents}\n");
        stream += &format!("deleteall\nM 100644 inline record\n{blob}");
        stream += "M 100644 inline evidence\ndata 0\n\nM 100644 inline config\ndata 0\n\n";
    }
    let path = world.path("stream");
    fs::write(&path, stream).unwrap();
    let mut import = git_command(&world.top, &["fast-import", "--quiet"]);
    assert!(import.stdin(fs::File::open(path).unwrap()).status().unwrap().success());
    let known = serde_json::json!({
        "trust": Trust::load(&world.binding).digest,
        "chains": {
            name: {
                "verified": world.head(&world.binding), "seq": number, "digest": previous.unwrap()
            },
        },
    });
    cache::write_json(&cache::place(&world.git, "verified"), &known);
}

#[test]
fn the_cache_is_used_only_under_the_same_trust_and_only_if_nobody_else_could_write_it() {
    let mut world = World::new();
    // A pattern is for `ssh-keygen`, so its runs can be counted.
    world.trust(&[("web-1.*", "", &world.path("key"))]);
    world.append("init", 0);
    world.append("deploy", 1);
    let (script, count) = world.counting("ssh-keygen");
    world.binding.tools.ssh_keygen = Some(script);
    let runs = || {
        let runs = fs::read_to_string(&count).unwrap_or_default().lines().count();
        let _ = fs::remove_file(&count);
        runs
    };
    world.entries();
    assert_eq!(runs(), 0);
    let cache = world.git.state_dir().join("cache/verified.json");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&cache), mode(cache.parent().unwrap())), (0o600, 0o700));

    let whole = fs::read(&cache).unwrap();
    fs::write(&cache, &whole[..whole.len() / 2]).unwrap();
    world.entries();
    assert_eq!(runs(), 2, "a damaged cache is no cache");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o666)).unwrap();
    world.entries();
    assert_eq!(runs(), 2, "a cache that others could write is no cache");
    assert_eq!(mode(&cache), 0o600);
    let trust = fs::read_to_string(world.binding.trust_file()).unwrap();
    fs::write(world.binding.trust_file(), format!("# a comment\n{trust}")).unwrap();
    world.entries();
    assert_eq!(runs(), 2, "what is trusted now was not asked");
    world.entries();
    assert_eq!(runs(), 0);
}

/// What a command that only looks finds remembered.
fn remembered(world: &World) -> Option<AsRead> {
    let refs = world.git.refs("refs/gitroll/production/ledger/").unwrap();
    let trust = Trust::load(&world.binding).digest;
    snapshot::load(&world.git, &world.binding, &refs, &trust)
}

fn look(world: &World) -> (Rc<Ledger>, Rc<History>) {
    let reading = Reading::default();
    reading.only_looks();
    let ledger = reading.ledger(&world.git, &world.binding).unwrap();
    let history = reading.history(&ledger, &world.binding);
    (ledger, history)
}

#[test]
fn what_looking_left_is_what_reading_finds_and_counts_only_for_the_same_refs_and_trust() {
    let world = World::new();
    import(&world, 100);
    assert!(remembered(&world).is_none());
    let entries = world.entries();
    let folded = History::of(&world.ledger().unwrap(), Some(&world.binding.writer));
    for expected in [false, true] {
        assert_eq!(remembered(&world).is_some(), expected);
        let (ledger, history) = look(&world);
        assert_eq!(*history, folded);
        assert_eq!(ledger.chains[&world.binding.writer].entries, entries);
    }

    // Every byte of the first part counts; a damaged record is read from git.
    let cache = world.git.state_dir().join("cache");
    let files = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
    let find = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("snapshot");
    let file = files.into_iter().find(find).unwrap();
    let whole = fs::read(&file).unwrap();
    let records = whole.windows(7).position(|bytes| bytes == b"object ").unwrap();
    for at in (0..records).step_by(997).chain([records - 1]) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, &damaged).unwrap();
        assert!(remembered(&world).is_none(), "byte {at}");
    }
    for damage in
        [&whole[..records], &[&whole[..records], &vec![b'x'; whole.len() - records]].concat()]
    {
        fs::write(&file, damage).unwrap();
        let found = remembered(&world).unwrap();
        assert_eq!(found.ledger.chains[&world.binding.writer].entries, entries);
    }
    for damage in [&whole[..records - 1], b"", b"gitroll snapshot 1\n"] {
        fs::write(&file, damage).unwrap();
        assert!(remembered(&world).is_none(), "{} bytes", damage.len());
    }
    fs::write(&file, &whole).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(remembered(&world).is_none(), "others could have written it");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(remembered(&world).is_some());

    // Another trust, another binding, other refs.
    let trust = fs::read(world.binding.trust_file()).unwrap();
    fs::write(world.binding.trust_file(), [b"# a comment\n", &trust[..]].concat()).unwrap();
    assert!(remembered(&world).is_none());
    fs::write(world.binding.trust_file(), &trust).unwrap();
    let mut other = world.binding.clone();
    other.chain = "f".repeat(32).parse().unwrap();
    let refs = world.git.refs("refs/gitroll/production/ledger/").unwrap();
    let digest = Trust::load(&world.binding).digest;
    assert!(snapshot::load(&world.git, &other, &refs, &digest).is_none());
    let name = chain_ref(&world.binding.environment, &world.binding.writer);
    let head = world.head(&world.binding);
    world.plain(&["update-ref", &name, &format!("{head}^")]);
    assert!(remembered(&world).is_none());
    let reading = Reading::default();
    reading.only_looks();
    let error = reading.ledger(&world.git, &world.binding).unwrap_err();
    assert!(matches!(error, LedgerError::Rewritten { .. }), "{error}");
    world.plain(&["update-ref", &name, head.as_str()]);
    assert!(remembered(&world).is_some());

    // What was appended since is read.
    world.append("deploy", 1);
    assert!(remembered(&world).is_none());
    let (ledger, history) = look(&world);
    assert_eq!(ledger.chains[&world.binding.writer].entries.len(), 101);
    assert_eq!(history.serving().unwrap().commit, world.commits[1]);
    assert!(remembered(&world).is_some());

    // Whether all of it is verified is for the other file of this directory to say.
    fs::remove_file(cache.join("verified.json")).unwrap();
    assert!(remembered(&world).is_none());
}

#[test]
fn many_writers_and_many_runs_of_one_writer_lose_nothing() {
    let world = World::new();
    world.append("init", 0);
    let others = [world.other("web-2.a"), world.other("ci.b")];
    let key = world.path("key");
    let keys = others.each_ref().map(|binding| world.path(&format!("key-{}", binding.writer)));
    world.trust(&[("web-1.k3f9", "", &key), ("web-2.a", "", &keys[0]), ("ci.b", "", &keys[1])]);
    let bindings = [&world.binding, &world.binding, &others[0], &others[1]];
    const EACH: usize = 6;
    std::thread::scope(|scope| {
        for binding in bindings {
            let (top, commit) = (&world.top, &world.commits[1]);
            scope.spawn(move || {
                let git = crate::system::git::Git::open(top, None).unwrap();
                for _ in 0..EACH {
                    while let Err(error) = read(&git, binding).and_then(|ledger| {
                        append(&git, binding, &ledger, draft(binding, "deploy", commit))
                    }) {
                        assert!(matches!(error, LedgerError::Raced), "{error}");
                    }
                }
            });
        }
    });
    let ledger = world.ledger().unwrap();
    assert!(ledger.refused.is_empty(), "{:?}", ledger.refused);
    let count = |writer: &str| ledger.chains[&writer.parse().unwrap()].entries.len();
    assert_eq!((count("web-1.k3f9"), count("web-2.a"), count("ci.b")), (2 * EACH + 1, EACH, EACH));
    let last = world.append("deploy", 0);
    let seen: Vec<(String, Seq)> =
        last.record.seen.iter().map(|seen| (seen.writer.to_string(), seen.seq)).collect();
    let each = Seq(EACH as u64);
    assert_eq!(seen, [("ci.b".to_owned(), each), ("web-2.a".to_owned(), each)]);
}

#[test]
fn an_append_on_an_old_reading_is_a_lost_race_and_changes_nothing() {
    let world = World::new();
    let none = world.ledger().unwrap();
    world.append("init", 0);
    let one = world.ledger().unwrap();
    world.append("deploy", 1);
    for old in [none, one] {
        let draft = world.draft(&world.binding, "deploy", 2);
        let error = append(&world.git, &world.binding, &old, draft).unwrap_err();
        assert!(matches!(error, LedgerError::Raced), "{error}");
    }
    assert_eq!(world.entries().len(), 2);
}

#[test]
fn a_draft_for_another_app_environment_or_writer_is_refused() {
    let world = World::new();
    let ledger = world.ledger().unwrap();
    let base = world.draft(&world.binding, "init", 0);
    for what in 0..3 {
        let mut draft = base.clone();
        match what {
            0 => draft.record.app = "blog".parse().unwrap(),
            1 => draft.record.environment = "staging".parse().unwrap(),
            _ => draft.record.writer = "web-2.k3f9".parse().unwrap(),
        }
        let error = append(&world.git, &world.binding, &ledger, draft).unwrap_err();
        assert!(error.to_string().contains("this checkout is bound to"), "{error}");
    }
    let mut draft = base.clone();
    draft.record.reason = Some("x\n\nGitroll-To: y".to_owned());
    let error = append(&world.git, &world.binding, &ledger, draft).unwrap_err();
    assert!(matches!(error, LedgerError::Reason(_)), "{error}");
    let mut draft = base;
    draft.record.to = Some("1".repeat(40).parse().unwrap());
    let error = append(&world.git, &world.binding, &ledger, draft).unwrap_err();
    assert!(error.to_string().contains("lacks its commit"), "{error}");
    assert!(world.git.refs("refs/gitroll/").unwrap().is_empty());
}

#[test]
fn a_chain_that_lost_or_changed_what_this_host_has_seen_is_refused() {
    let world = World::new();
    let first = world.append("init", 0);
    let second = world.append("deploy", 1);
    let own = chain_ref(&world.binding.environment, &world.binding.writer);
    let other = world.other("ci.b");
    world.trust(&[("web-1.k3f9", "", &world.path("key")), ("ci.b", "", &world.path("key-ci.b"))]);
    let theirs = chain_ref(&other.environment, &other.writer);
    let shorter = world.append_as(&other, "init", 0).unwrap().commit.clone();
    let longer = world.append_as(&other, "deploy", 1).unwrap().commit.clone();
    assert_eq!(world.ledger().unwrap().chains.len(), 2);
    let point = |name: &str, to: Option<&Oid>, from: Option<&Oid>| {
        let edit = RefEdit { name: name.to_owned(), new: to.cloned(), old: from.cloned() };
        world.git.update_refs(&[edit], "test").unwrap();
    };
    let refused = |ledger: &Ledger| {
        let (writer, error) = &ledger.refused[0];
        assert_eq!((writer.as_str(), ledger.chains.len()), ("ci.b", 1));
        assert!(matches!(error, LedgerError::Rewritten { .. }), "{error}");
        error.to_string()
    };
    // Shortened, deleted, then whole again.
    point(&theirs, Some(&shorter), Some(&longer));
    let said = refused(&world.ledger().unwrap());
    assert!(said.contains("ends with record 1") && said.contains("record 2 was"), "{said}");
    point(&theirs, None, Some(&shorter));
    assert!(refused(&world.ledger().unwrap()).contains("it is gone"));
    point(&theirs, Some(&longer), None);
    assert!(world.ledger().unwrap().refused.is_empty());

    // Of the own chain it is an error: nothing may be decided as if it were shorter.
    point(&own, Some(&first.commit), Some(&second.commit));
    let error = world.ledger().unwrap_err();
    assert!(matches!(error, LedgerError::Rewritten { .. }), "{error}");
    let draft = world.draft(&world.binding, "deploy", 2);
    let short = crate::ledger::read_unverified(&world.git, &world.binding.environment).unwrap();
    append(&world.git, &world.binding, &short, draft).unwrap();
    let error = world.ledger().unwrap_err().to_string();
    assert!(error.contains("record 2 is now"), "{error}");
    let forked = world.head(&world.binding);
    point(&own, None, Some(&forked));
    assert!(matches!(world.ledger().unwrap_err(), LedgerError::Rewritten { .. }));
}

#[test]
fn what_another_chain_has_seen_shows_a_rewriting_that_this_host_has_not() {
    let world = World::new();
    let other = world.other("ci.b");
    world.trust(&[("web-1.k3f9", "", &world.path("key")), ("ci.b", "", &world.path("key-ci.b"))]);
    world.append("init", 0);
    let shorter = world.append_as(&other, "init", 0).unwrap().commit.clone();
    let longer = world.append_as(&other, "deploy", 1).unwrap().commit.clone();
    world.append("deploy", 2);
    let name = chain_ref(&other.environment, &other.writer);
    let edit = RefEdit { name, new: Some(shorter), old: Some(longer) };
    world.git.update_refs(&[edit], "test").unwrap();
    fs::remove_dir_all(world.git.state_dir().join("cache")).unwrap();
    let ledger = world.ledger().unwrap();
    let said = ledger.refused[0].1.to_string();
    assert!(said.contains("as seen by record web-1.k3f9 2"), "{said}");
    assert!(!ledger.chains.contains_key(&other.writer));
}

#[test]
fn what_lies_beside_a_record_counts_only_if_it_is_what_the_record_names() {
    let world = World::new();
    let mut entry = world.append("init", 0);
    let forged = world.git.write_object(ObjectKind::Blob, b"{}").unwrap();
    entry = EntryParts { evidence: forged.clone(), config: forged, ..(*entry).clone() }.into();
    let problem = "is not the one it names";
    assert!(evidence(&world.git, &entry).unwrap_err().to_string().contains(problem));
    assert!(config(&world.git, &entry).unwrap_err().to_string().contains(problem));
}

#[test]
fn records_of_every_outcome_are_kept() {
    let world = World::new();
    for outcome in [Outcome::Succeeded, Outcome::Restored, Outcome::Failed] {
        let mut draft = world.draft(&world.binding, "deploy", 0);
        draft.record.outcome = outcome;
        draft.record.from = draft.record.to.take();
        let ledger = world.ledger().unwrap();
        append(&world.git, &world.binding, &ledger, draft).unwrap();
    }
    let outcomes: Vec<Outcome> = world.entries().iter().map(|e| e.record.outcome).collect();
    assert_eq!(outcomes, [Outcome::Succeeded, Outcome::Restored, Outcome::Failed]);
    assert_ne!(world.entries()[0].digest, Digest::of(b""));
}
