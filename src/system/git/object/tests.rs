#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::ffi::OsStrExt;

use jiff::Timestamp;

use crate::model::{Oid, Person, RepoPath, TreeMode};

use super::super::testing::{Repo, path};
use super::super::{GitError, ObjectKind, RefEdit, TagKind};

#[test]
fn head_knows_its_commit_and_branch_and_says_when_there_is_none() {
    let repo = Repo::empty();
    assert!(matches!(repo.open().head(), Err(GitError::Unknown { .. })));
    let first = repo.commit("first");
    let head = repo.open().head().unwrap();
    assert_eq!((head.commit, head.branch.as_deref()), (first, Some("refs/heads/main")));
    repo.git(&["checkout", "-q", "--detach"]);
    assert_eq!(repo.open().head().unwrap().branch, None);
    fs::write(repo.top.join(".git/refs/heads/main"), "").unwrap();
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
    let error = repo.open().head().unwrap_err();
    assert!(matches!(&error, GitError::Ref { name, .. } if name == "refs/heads/main"), "{error}");
}

#[test]
fn a_name_that_is_both_tag_and_branch_is_refused_where_they_differ() {
    let repo = Repo::new();
    let first = repo.id("HEAD");
    repo.git(&["tag", "-a", "-m", "x", "v1"]);
    let second = repo.commit("second");
    repo.git(&["branch", "v1"]);
    for packed in [false, true] {
        if packed {
            repo.git(&["pack-refs", "--all"]);
        }
        let git = repo.open();
        for name in ["v1", "v1~0"] {
            let error = git.resolve(name).unwrap_err();
            assert!(matches!(&error, GitError::Ambiguous { meanings, .. } if meanings.len() == 2));
        }
        assert_eq!(git.resolve("refs/heads/v1").unwrap(), second);
        assert_eq!(git.resolve("heads/v1").unwrap(), second);
        assert_eq!(git.resolve("refs/tags/v1").unwrap(), first);
    }
    repo.git(&["branch", "-f", "v1", first.as_str()]);
    assert_eq!(repo.open().resolve("v1").unwrap(), first);
}

#[test]
fn names_resolve_as_a_person_means_them() {
    let repo = Repo::new();
    let first = repo.id("HEAD");
    let second = repo.commit("second");
    let third = repo.commit("third");
    repo.git(&["update-ref", "refs/remotes/origin/main", second.as_str()]);
    repo.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
    let git = repo.open();
    for (name, commit) in [
        ("HEAD", &third),
        ("@", &third),
        ("main", &third),
        ("HEAD~2", &first),
        ("HEAD^", &second),
        ("main~1^0", &second),
        ("origin/main", &second),
        ("origin", &second),
        ("HEAD@{1}", &second),
        (first.as_str(), &first),
        (&first.as_str()[..9], &first),
        (&first.as_str()[..9].to_uppercase(), &first),
    ] {
        assert_eq!(&git.resolve(name).unwrap(), commit, "{name}");
    }
    let absent = "0123456789012345678901234567890123456789";
    for name in ["", "-x", "--help", "nope", "HEAD~9", "HEAD:a.txt", "a..b", "../x", absent, "\n"] {
        assert!(matches!(git.resolve(name), Err(GitError::Unknown { .. })), "{name:?}");
    }
}

#[test]
fn an_abbreviation_of_two_commits_is_ambiguous_and_both_are_named() {
    let repo = Repo::new();
    let mut ids = vec![repo.id("HEAD").to_string()];
    // Among some hundred commits two share their first four digits.
    let mut script = String::new();
    for n in 0..900 {
        script += &format!("commit refs/heads/many\ncommitter A <a@b> {n} +0000\ndata 1\nx\n");
    }
    repo.feed(&["fast-import", "--quiet"], script.as_bytes());
    ids.extend(repo.git(&["rev-list", "many"]).lines().map(str::to_owned));
    ids.sort();
    let pair = ids.windows(2).find(|pair| pair[0][..4] == pair[1][..4]).unwrap();
    match repo.open().resolve(&pair[0][..4]) {
        Err(GitError::Ambiguous { meanings, .. }) => {
            assert!(meanings.contains(&pair[0]) && meanings.contains(&pair[1]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn replace_refs_are_never_followed() {
    let repo = Repo::new();
    let first = repo.id("HEAD");
    repo.write("a.txt", "evil\n");
    let evil = repo.commit("evil");
    repo.git(&["replace", first.as_str(), evil.as_str()]);
    let git = repo.open();
    assert_eq!(git.commit(&first).unwrap().message, "first\n");
    assert_eq!(git.file(&first, &path("a.txt")).unwrap().unwrap(), b"one\n");
}

#[test]
fn trees_are_read_with_modes_and_names_of_any_bytes() {
    let repo = Repo::new();
    let odd = RepoPath::new(b"dir/\xff\xfe name".to_vec()).unwrap();
    repo.write(odd.as_path(), "odd");
    repo.write("run.sh", "x");
    repo.git(&["add", "-A"]);
    repo.git(&["update-index", "--chmod=+x", "run.sh"]);
    std::os::unix::fs::symlink("a.txt", repo.top.join("link")).unwrap();
    repo.git(&["add", "link"]);
    repo.git(&["commit", "-qm", "odd"]);
    let head = repo.id("HEAD");
    let git = repo.open();
    let found: Vec<(RepoPath, TreeMode)> =
        git.entries(&head).unwrap().into_iter().map(|(path, entry)| (path, entry.mode)).collect();
    assert_eq!(
        found,
        [
            (path("a.txt"), TreeMode::File),
            (odd.clone(), TreeMode::File),
            (path("link"), TreeMode::Symlink),
            (path("run.sh"), TreeMode::Executable),
        ]
    );
    assert_eq!(git.file(&head, &odd).unwrap().unwrap(), b"odd");
    assert_eq!(git.entry(&head, &path("dir")).unwrap(), None);
    assert_eq!(git.entry(&head, &path("a.txt/x")).unwrap(), None);
    assert_eq!(odd.as_path().as_os_str().as_bytes(), odd.as_bytes());
}

#[test]
fn changes_name_both_sides_and_meet_where_a_file_becomes_a_directory() {
    let repo = Repo::new();
    repo.write("same", "s");
    repo.write("gone", "g");
    repo.write("turns", "t");
    let from = repo.commit("from");
    fs::remove_file(repo.top.join("gone")).unwrap();
    fs::remove_file(repo.top.join("turns")).unwrap();
    repo.write("turns/inside", "t");
    repo.write("a.txt", "two\n");
    repo.write("new/deep/file", "n");
    let to = repo.commit("to");
    let git = repo.open();
    let seen: Vec<(String, bool, bool)> = git
        .changes(&from, &to)
        .unwrap()
        .into_iter()
        .map(|c| (c.path.to_string(), c.before.is_some(), c.after.is_some()))
        .collect();
    let expected = [
        ("a.txt", true, true),
        ("gone", true, false),
        ("new/deep/file", false, true),
        ("turns", true, false),
        ("turns/inside", false, true),
    ];
    assert_eq!(seen, expected.map(|(name, b, a)| (name.to_owned(), b, a)));
    assert!(git.changes(&to, &to).unwrap().is_empty());
}

#[test]
fn missing_and_damaged_objects_are_errors_that_name_them() {
    let repo = Repo::new();
    let head = repo.id("HEAD");
    let git = repo.open();
    let absent = "0123456789012345678901234567890123456789".parse().unwrap();
    let error = git.commit(&absent).unwrap_err();
    assert!(error.to_string().contains(absent.as_str()), "{error}");
    assert!(!error.to_string().contains("Message"), "{error}");
    assert!(!git.has(&absent));
    assert!(git.object(&head, ObjectKind::Blob, 10).unwrap_err().to_string().contains("commit"));
    let blob = repo.id("HEAD:a.txt");
    assert!(git.object(&blob, ObjectKind::Blob, 3).unwrap_err().to_string().contains("4 bytes"));

    let (fan, rest) = blob.as_str().split_at(2);
    let file = repo.top.join(".git/objects").join(fan).join(rest);
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"torn").unwrap();
    let error = repo.open().file(&head, &path("a.txt")).unwrap_err();
    assert!(matches!(&error, GitError::Object { id, .. } if *id == blob.to_string()), "{error}");
    assert!(!error.to_string().contains("class:"), "{error}");
}

#[test]
fn ancestry_is_told_even_where_clocks_were_wrong() {
    let repo = Repo::empty();
    let at = |date: &str, message: &str| {
        let mut command = repo.command(&["commit", "-q", "--allow-empty", "-m", message]);
        command.env("GIT_COMMITTER_DATE", date).env("GIT_AUTHOR_DATE", date);
        assert!(command.status().unwrap().success());
        repo.id("HEAD")
    };
    let root = at("2030-01-01T00:00:00Z", "root, in the future");
    let middle = at("2001-01-01T00:00:00Z", "middle, in the past");
    let tip = at("2026-01-01T00:00:00Z", "tip");
    repo.git(&["checkout", "-q", "-b", "side", root.as_str()]);
    let side = at("2027-01-01T00:00:00Z", "side");
    let git = repo.open();
    assert!(git.contains(&tip, &root).unwrap());
    assert!(git.contains(&tip, &tip).unwrap());
    assert!(!git.contains(&root, &tip).unwrap());
    assert!(!git.contains(&side, &middle).unwrap());
    assert_eq!(git.distance(&root, &tip).unwrap(), 2);
    assert_eq!(git.distance(&tip, &root).unwrap(), 0);
    assert_eq!(git.distance(&side, &tip).unwrap(), 2);
    let between = git.commits_between(&root, &tip, 1).unwrap();
    assert_eq!(between.iter().map(|c| &c.id).collect::<Vec<_>>(), [&tip]);
}

#[test]
fn an_empty_ref_file_is_an_unusable_tag_and_never_left_out() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.1.0-stable"]);
    repo.git(&["pack-refs", "--all"]);
    fs::create_dir_all(repo.top.join(".git/refs/tags")).unwrap();
    fs::write(repo.top.join(".git/refs/tags/v1.2.0-stable"), "").unwrap();
    // Packed once, and then emptied: the old packed value must not come back.
    fs::write(repo.top.join(".git/refs/tags/v1.1.0-stable"), "\n").unwrap();
    let git = repo.open();
    let tags = git.tags().unwrap();
    assert_eq!(tags.len(), 2);
    for tag in &tags {
        assert!(matches!(&tag.kind, TagKind::Unusable(why) if why.contains("empty")), "{tag:?}");
    }
    let error = git.refs("refs/tags/").unwrap_err();
    assert!(error.to_string().contains("refs/tags/v1.1.0-stable"), "{error}");
    let error = git.resolve("v1.2.0-stable").unwrap_err();
    assert!(matches!(error, GitError::Ref { .. }), "{error}");
}

#[test]
fn every_kind_of_tag_is_told_apart() {
    let repo = Repo::new();
    let head = repo.id("HEAD");
    repo.git(&["tag", "light"]);
    repo.git(&["tag", "-a", "-m", "text", "noted"]);
    repo.git(&["tag", "-a", "-m", "text", "nested", "noted"]);
    repo.git(&["tag", "-a", "-m", "text", "on-tree", "HEAD^{tree}"]);
    repo.git(&["update-ref", "refs/tags/blob", repo.id("HEAD:a.txt").as_str()]);
    repo.git(&["update-ref", "refs/tags/renamed", repo.id("refs/tags/noted").as_str()]);
    repo.git(&["update-ref", "refs/tags/gitroll/production/w/1-init", head.as_str()]);
    repo.git(&["symbolic-ref", "refs/tags/symbolic", "refs/tags/light"]);
    fs::write(repo.top.join(".git/refs/tags/garbage"), "not an id\n").unwrap();
    fs::write(repo.top.join(".git/refs/tags/lost"), format!("{}\n", "12".repeat(20))).unwrap();
    fs::write(repo.top.join(".git/refs/tags/bad~name"), format!("{head}\n")).unwrap();
    fs::write(repo.top.join(".git/refs/tags/v9.lock"), "").unwrap();
    let signed = format!(
        "object {head}\ntype commit\ntag signed\ntagger A <a@b> 5 +0000\n\nx\n\
         -----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"
    );
    let git = repo.open();
    let id = git.write_object(ObjectKind::Tag, signed.as_bytes()).unwrap();
    repo.git(&["update-ref", "refs/tags/signed", id.as_str()]);

    let tags = repo.open().tags().unwrap();
    let kind = |name: &str| {
        let full = format!("refs/tags/{name}");
        &tags.iter().find(|tag| tag.target.name == full).unwrap_or_else(|| panic!("{name}")).kind
    };
    assert_eq!(kind("light"), &TagKind::Lightweight(head.clone()));
    for (name, own, is_signed) in
        [("noted", "noted", false), ("renamed", "noted", false), ("signed", "signed", true)]
    {
        assert!(
            matches!(kind(name), TagKind::Annotated { commit, own_name, signed, tagger: Some(_) }
                if *commit == head && own_name == own && *signed == is_signed),
            "{name}: {:?}",
            kind(name)
        );
    }
    for (name, why) in [
        ("nested", "tag on a tag"),
        ("on-tree", "tree"),
        ("blob", "blob"),
        ("symbolic", "another ref"),
        ("garbage", "no object id"),
        ("lost", "missing"),
        ("bad~name", "does not allow"),
    ] {
        assert!(
            matches!(kind(name), TagKind::Unusable(text) if text.contains(why)),
            "{name}: {:?}",
            kind(name)
        );
    }
    assert_eq!(tags.len(), 11, "{tags:#?}");
}

#[test]
fn ten_thousand_packed_tags_are_all_read() {
    let repo = Repo::new();
    let head = repo.id("HEAD");
    let mut script = String::new();
    for n in 0..10_000 {
        script +=
            &format!("tag v1.{n}.0-stable\nfrom {head}\ntagger A <a@b> {n} +0000\ndata 4\ntext\n");
    }
    repo.feed(&["fast-import", "--quiet"], script.as_bytes());
    repo.git(&["pack-refs", "--all"]);
    let git = repo.open();
    assert_eq!(git.tags().unwrap().len(), 10_000);
}

#[test]
fn refs_are_listed_by_prefix_loose_over_packed() {
    let repo = Repo::new();
    let first = repo.id("HEAD");
    repo.git(&["update-ref", "refs/gitroll/production/ledger/a", first.as_str()]);
    repo.git(&["update-ref", "refs/gitroll/production/ledger/b", first.as_str()]);
    repo.git(&["update-ref", "refs/gitroll/staging/ledger/c", first.as_str()]);
    repo.git(&["pack-refs", "--all"]);
    let second = repo.commit("second");
    repo.git(&["update-ref", "refs/gitroll/production/ledger/b", second.as_str()]);
    let git = repo.open();
    let refs = git.refs("refs/gitroll/production/").unwrap();
    let seen: Vec<(&str, _)> = refs.iter().map(|r| (r.name.as_str(), &r.id)).collect();
    assert_eq!(
        seen,
        [
            ("refs/gitroll/production/ledger/a", &first),
            ("refs/gitroll/production/ledger/b", &second),
        ]
    );
    assert_eq!(git.find_ref("refs/gitroll/staging/ledger/c").unwrap(), Some(first));
    assert_eq!(git.find_ref("refs/gitroll/staging/ledger/d").unwrap(), None);
    assert_eq!(git.find_ref("refs/../../x").unwrap(), None);
}

fn ana() -> Person {
    Person {
        name: "Ana".to_owned(),
        email: "ana@example.org".to_owned(),
        time: Timestamp::from_second(1_767_323_045).unwrap(),
    }
}

fn edit(name: &str, new: Option<&Oid>, old: Option<&Oid>) -> RefEdit {
    RefEdit { name: name.to_owned(), new: new.cloned(), old: old.cloned() }
}

#[test]
fn what_is_written_is_what_git_reads_and_finds_sound() {
    let repo = Repo::new();
    let git = repo.open();
    let blob = git.write_object(ObjectKind::Blob, b"a record\n").unwrap();
    let tree = git.write_tree(&[("record", blob.clone()), ("evidence", blob.clone())]).unwrap();
    let head = repo.id("HEAD");
    let commit =
        git.write_commit(&tree, std::slice::from_ref(&head), &ana(), "one\n\ntwo\n").unwrap();
    git.update_refs(&[edit("refs/gitroll/production/ledger/web-1.k3f9", Some(&commit), None)], "x")
        .unwrap();

    assert_eq!(repo.git(&["ls-tree", "--name-only", commit.as_str()]), "evidence\nrecord");
    assert_eq!(
        repo.git(&["log", "-1", "--format=%an %ae %at %s", commit.as_str()]),
        "Ana ana@example.org 1767323045 one"
    );
    assert_eq!(repo.git(&["cat-file", "-p", blob.as_str()]), "a record");
    repo.git(&["fsck", "--strict", "--no-dangling"]);
    let read = git.commit(&commit).unwrap();
    assert_eq!(
        (read.tree, read.parents, read.message),
        (tree, vec![head], "one\n\ntwo\n".to_owned())
    );
    assert_eq!(read.author, ana());
}

#[test]
fn a_torn_object_of_a_power_cut_is_written_again() {
    let repo = Repo::new();
    let git = repo.open();
    let blob = git.write_object(ObjectKind::Blob, b"whole\n").unwrap();
    let (fan, rest) = blob.as_str().split_at(2);
    let file = repo.top.join(".git/objects").join(fan).join(rest);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, b"").unwrap();

    let git = repo.open();
    assert_eq!(git.write_object(ObjectKind::Blob, b"whole\n").unwrap(), blob);
    assert_eq!(repo.git(&["cat-file", "-p", blob.as_str()]), "whole");
}

#[test]
fn refs_change_all_together_or_not_at_all() {
    let repo = Repo::new();
    let first = repo.id("HEAD");
    let second = repo.commit("second");
    let git = repo.open();
    git.update_refs(&[edit("refs/gitroll/a", Some(&first), None)], "make").unwrap();

    let both = [
        edit("refs/gitroll/b", Some(&second), None),
        edit("refs/gitroll/a", Some(&second), Some(&second)),
    ];
    let error = git.update_refs(&both, "wrong old value").unwrap_err();
    assert!(matches!(&error, GitError::Ref { name, .. } if name == "refs/gitroll/a"), "{error}");
    assert_eq!(git.find_ref("refs/gitroll/b").unwrap(), None);
    assert_eq!(git.find_ref("refs/gitroll/a").unwrap(), Some(first.clone()));

    let error = git.update_refs(&[edit("refs/gitroll/a", Some(&second), None)], "must not exist");
    assert!(matches!(error, Err(GitError::Ref { .. })));

    git.update_refs(&[edit("refs/gitroll/a", None, Some(&first))], "delete").unwrap();
    assert_eq!(git.find_ref("refs/gitroll/a").unwrap(), None);
}

#[test]
fn a_lock_left_by_a_kill_is_named_in_the_error() {
    let repo = Repo::new();
    let head = repo.id("HEAD");
    let git = repo.open();
    let lock = repo.top.join(".git/refs/tags/v1.lock");
    std::fs::write(&lock, b"").unwrap();

    let error = git.update_refs(&[edit("refs/tags/v1", Some(&head), None)], "tag").unwrap_err();
    let text = error.to_string();
    assert!(text.contains(lock.to_str().unwrap()) && text.contains("remove that file"), "{text}");
    assert!(text.starts_with("ref refs/tags/v1: "), "{text}");
}
