//! Records that somebody else would like to be believed.

use std::fs;

use super::world::{World, at, draft, make_key, write_script};
use crate::config::Binding;
use crate::ledger::{Entry, LedgerError, append, chain_ref, codec, read_unverified, sign};
use crate::model::{Oid, Person, Record};
use crate::system::git::{ObjectKind, RefEdit};

/// Puts any bytes at the end of a writer's chain, as somebody who can write refs could.
fn plant(world: &World, binding: &Binding, object: &[u8], about: &Oid) {
    let git = &world.git;
    let blob = git.write_object(ObjectKind::Blob, object).unwrap();
    let empty = git.write_object(ObjectKind::Blob, b"").unwrap();
    let name = chain_ref(&binding.environment, &binding.writer);
    let old = git.find_ref(&name).unwrap();
    let who = Person { name: "M".into(), email: "m@m".into(), time: at("2026-01-01T00:00:00Z") };
    let commit = crate::ledger::chain::write(
        git,
        [&blob, &empty, &empty],
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
    sign::sign(binding, &codec::encode(&record, &draft.person).unwrap()).unwrap()
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
        assert!(matches!(error, LedgerError::Untrusted { .. }), "{principal} {options}: {error}");
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
        (|r| r.environment = "staging".parse().unwrap(), "it is of environment staging"),
        (|r| r.chain = "f".repeat(32).parse().unwrap(), "it is of chain ffff"),
        (|r| r.writer = "web-2.a".parse().unwrap(), "it is of writer web-2.a"),
        (|r| r.seq = crate::model::Seq(7), "record 7 comes after it"),
        (|r| r.previous = Some(crate::model::Digest::of(b"x")), "names another record before it"),
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

    // Under another writer's name: that chain is not believed, the own one is.
    let world = World::new();
    let first = world.append("init", 0);
    let other = world.other("web-2.a");
    plant(&world, &other, &tag_object(&world, &first), &world.commits[0]);
    let ledger = world.ledger().unwrap();
    assert_eq!(ledger.chains.len(), 1);
    assert!(ledger.refused[0].1.to_string().contains("it is of writer web-1.k3f9"));

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
    assert!(error.to_string().ends_with("its signature is not over these bytes"), "{error}");
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

    // Its successor goes on: what it appends vouches for all before, on every host.
    make_key(&world.path("new"), "");
    world.binding.signing.key = world.path("new").display().to_string();
    world.trust(&[("web-1.k3f9", past, &old), ("web-1.k3f9", "", &world.path("new"))]);
    world.append("deploy", 1);
    fs::remove_dir_all(&cache).unwrap();
    assert_eq!(world.entries().len(), 2);

    // Taken out of the trust file, its records are not believed, whatever was verified before.
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
fn a_host_without_the_program_believes_nothing() {
    let mut world = World::new();
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
