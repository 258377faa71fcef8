//! What is verified and signed in process: as `ssh-keygen` would, or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::ledger::signing::{self, Signed};
use crate::ledger::ssh::PrivateKey;
use crate::ledger::tests::{World, at, make_key_of, success};
use crate::ledger::trust::{Trust, Validity};

const PAYLOAD: &str = "object 1\ntag x\n\nproduction web-1: deployed\n";
const WRITER: &str = "web-1.k3f9";
const DATED: &str = "2026-06-01T00:00:00Z";

fn signed_by(world: &World, key: &Path, namespace: &str, options: &[&str]) -> String {
    let file = world.path("payload");
    fs::write(&file, PAYLOAD).unwrap();
    let _ = fs::remove_file(world.path("payload.sig"));
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-Y", "sign", "-n", namespace]).args(options).arg("-f").arg(key);
    success(sign.arg(&file));
    fs::read_to_string(world.path("payload.sig")).unwrap()
}

fn public(key: &Path) -> String {
    let text = fs::read_to_string(key.with_extension("pub")).unwrap();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// What is said in process, and what `ssh-keygen` says, of a payload and its signature.
fn both(world: &World, payload: &str, signature: &str) -> (Option<Validity>, Option<Validity>) {
    let object = format!("{payload}{signature}");
    let signed: Signed<'_> = signing::split(object.as_bytes()).expect("signed");
    let trust = Trust::load(&world.binding);
    let told = trust.ssh_keygen_verify(&signed, WRITER, at(DATED)).ok();
    (here(world, payload, signature), told)
}

fn here(world: &World, payload: &str, signature: &str) -> Option<Validity> {
    let object = format!("{payload}{signature}");
    let signed = signing::split(object.as_bytes()).ok()?;
    Trust::load(&world.binding).plain_verify(&signed, WRITER, at(DATED))
}

#[test]
fn each_kind_of_key_and_line_gets_the_verdict_of_ssh_keygen() {
    let world = World::new();
    let kinds: [(&str, &[&str], bool); 6] = [
        ("ed25519", &["ed25519"], true),
        ("p256", &["ecdsa", "-b", "256"], true),
        ("p384", &["ecdsa", "-b", "384"], true),
        ("p521", &["ecdsa", "-b", "521"], false),
        ("rsa", &["rsa", "-b", "2048"], true),
        ("small-rsa", &["rsa", "-b", "1024"], false),
    ];
    for (name, kind, _) in kinds {
        make_key_of(kind, &world.path(name));
    }
    let other = public(&world.path("key"));
    let current = Some(Validity::Current);
    for (name, _, in_process) in kinds {
        let (file, key) = (world.path(name), public(&world.path(name)));
        let signature = signed_by(&world, &file, "git", &[]);
        let of_file = signed_by(&world, &file, "file", &[]);
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(3);
        let later = later.strftime("%Y%m%d%H%M%SZ").to_string();
        // The list, the verdict of ssh-keygen, and whether it can be told without it.
        let lists = [
            (format!("{WRITER} {key}\n"), current, true),
            (format!("{WRITER} namespaces=\"git\" {key} a comment\n"), current, true),
            (format!("\n # {WRITER}\n\t{WRITER}\tnamespaces=\"file,git\"  {key}"), current, true),
            (format!("ana,{WRITER},bo {key}\n"), current, true),
            (format!("{WRITER} {other}\n{WRITER} {key}\n"), current, true),
            (format!("{WRITER} namespaces=\"file\" {key}\n{WRITER} {key}\n"), current, true),
            (format!("{WRITER} nonsense\n{WRITER} {key}\n"), current, true),
            (
                format!("{WRITER} valid-before=\"20990101\",valid-after=\"20200101\" {key}\n"),
                current,
                true,
            ),
            (format!("{WRITER} valid-before=\"{later}\" {key}\n"), current, true),
            (
                format!("{WRITER} valid-before=\"{}\" {key}\n", later.trim_end_matches('Z')),
                current,
                false,
            ),
            (format!("{WRITER} valid-before=\"20260701\" {key}\n"), Some(Validity::Past), true),
            (
                format!("{WRITER} valid-before=\"202606010000Z\" {key}\n"),
                Some(Validity::Past),
                true,
            ),
            (format!("{WRITER} valid-before=\"20260531235959Z\" {key}\n"), None, false),
            (format!("{WRITER} valid-after=\"20990101\" {key}\n"), None, false),
            (
                format!("{WRITER} valid-after=\"20270101\",valid-before=\"20260101\" {key}\n"),
                None,
                false,
            ),
            (format!("{WRITER} namespaces=\"file\" {key}\n"), None, false),
            (format!("{WRITER} namespaces=\"*\" {key}\n"), current, false),
            (format!("{WRITER} {other}\n"), None, false),
            (format!("web-2.k3f9 {key}\n"), None, false),
            (format!("web-1.* {key}\n"), current, false),
            (format!("!{WRITER},* {key}\n"), None, false),
            (format!("\"{WRITER}\" {key}\n"), current, false),
            (format!("{WRITER} cert-authority {key}\n"), None, false),
            (format!("{WRITER} unknown=\"x\" {key}\n"), None, false),
            (format!("{WRITER} valid-before=\"20261301\" {key}\n"), None, false),
            (format!("{WRITER} {}\n", key.replacen(' ', " A", 1)), None, false),
            (format!("#{WRITER} {key}\n"), None, false),
            (String::new(), None, false),
        ];
        for (at, (list, verdict, plain)) in lists.into_iter().enumerate() {
            fs::write(world.binding.trust_file(), &list).unwrap();
            let expected = verdict.filter(|_| plain && in_process);
            assert_eq!(here(&world, PAYLOAD, &signature), expected, "{name} {list}");
            // The lists are read the same for every kind of key.
            if at == 0 || name == "ed25519" {
                assert_eq!(both(&world, PAYLOAD, &signature).1, verdict, "{name} {list}");
            }
            if at == 0 {
                assert_eq!(both(&world, PAYLOAD, &of_file), (None, None), "{name}");
                assert_eq!(both(&world, "another\n", &signature), (None, None), "{name}");
            }
        }

        fs::write(world.binding.trust_file(), format!("{WRITER} {key}\n")).unwrap();
        let good = current.filter(|_| in_process);
        let revoked = world.binding.revoked_file();
        for (list, expected) in [
            (String::new(), (good, current)),
            (format!("# old\n\n{other} ana\n"), (good, current)),
            (format!("{key}\n"), (None, None)),
            (format!("  {key} lost"), (None, None)),
            (format!("{other}\n{key}\n"), (None, None)),
            (format!("{other}\nno key\n{key}\n"), (None, None)),
            ("no key\n".to_owned(), (None, None)),
        ] {
            fs::write(&revoked, &list).unwrap();
            assert_eq!(here(&world, PAYLOAD, &signature), expected.0, "{name} {list}");
            if name == "ed25519" || name == "rsa" {
                assert_eq!(both(&world, PAYLOAD, &signature).1, expected.1, "{name} {list}");
            }
        }
        let krl = |revoke: &str| {
            fs::write(world.path("revoke"), format!("{revoke}\n")).unwrap();
            let mut make = Command::new("ssh-keygen");
            success(make.arg("-qkf").arg(&revoked).arg(world.path("revoke")));
        };
        krl(&other);
        assert_eq!(both(&world, PAYLOAD, &signature), (None, current), "{name}");
        krl(&key);
        assert_eq!(both(&world, PAYLOAD, &signature), (None, None), "{name}");
        fs::remove_file(&revoked).unwrap();

        // Damage in every part of it, and other ways to write the same.
        for at in 0..signature.len() {
            let mut damaged = signature.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            if let Some(verdict) = here(&world, PAYLOAD, &damaged) {
                assert_eq!(both(&world, PAYLOAD, &damaged).1, Some(verdict), "{name}, byte {at}");
            }
        }
        let rewrapped = signature.replacen('\n', "\n\n", 2);
        assert_eq!(here(&world, PAYLOAD, &rewrapped), None, "{name}");
        let sha256 = signed_by(&world, &file, "git", &["-Ohashalg=sha256"]);
        assert_eq!(both(&world, PAYLOAD, &sha256), (good, current), "{name}");
    }
}

#[test]
fn the_principal_of_a_tag_is_the_one_that_ssh_keygen_finds() {
    let mut world = World::new();
    let (file, key) = (world.path("key"), public(&world.path("key")));
    let object = format!("{PAYLOAD}{}", signed_by(&world, &file, "git", &[]));
    let signed = signing::split(object.as_bytes()).expect("signed");
    let (script, count) = world.counting("ssh-keygen");
    world.binding.tools.ssh_keygen = Some(script);
    for (list, principal, asks) in [
        (format!("ana {key}\nbo {key}\n"), Ok("ana"), false),
        (format!("* {key}\nbo {key}\n"), Ok("*"), true),
        (format!("bo valid-before=\"20200101\" {key}\n"), Err(()), true),
    ] {
        fs::write(world.binding.trust_file(), &list).unwrap();
        let found = Trust::load(&world.binding).principal(&signed);
        let found = found.as_deref().map_err(|_| ());
        assert_eq!((found, count.exists()), (principal, asks), "{list}");
        let _ = fs::remove_file(&count);
    }
}

#[test]
fn a_plain_key_signs_the_bytes_that_ssh_keygen_writes() {
    let world = World::new();
    let key = world.path("key");
    let text = fs::read(&key).unwrap();
    let here = PrivateKey::read(&text).unwrap().sign(PAYLOAD.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(here).unwrap(), signed_by(&world, &key, "git", &[]));

    // Whatever is not such a key is none here; a changed byte within the key does not go unnoticed.
    for (name, kind) in [("p256", &["ecdsa"][..]), ("rsa", &["rsa", "-m", "PEM"])] {
        make_key_of(kind, &world.path(name));
        assert!(PrivateKey::read(&fs::read(world.path(name)).unwrap()).is_none(), "{name}");
    }
    let end = text.len() - 200;
    for at in (40..end).step_by(5) {
        let mut damaged = text.clone();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        if let Some(key) = PrivateKey::read(&damaged) {
            let same = key.sign(PAYLOAD.as_bytes()).unwrap();
            assert_eq!(
                String::from_utf8(same).unwrap(),
                signed_by(&world, &world.path("key"), "git", &[])
            );
        }
    }
}

#[test]
fn a_key_that_others_can_read_is_refused_as_ever() {
    let world = World::new();
    let probe = || crate::ledger::probe_signing(&world.git, &world.binding, None);
    probe().unwrap();
    fs::set_permissions(world.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = probe().unwrap_err().to_string();
    assert!(error.contains("ssh-keygen could not sign"), "{error}");
}
