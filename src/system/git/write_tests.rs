#![allow(clippy::unwrap_used)]

use jiff::Timestamp;

use crate::model::{Oid, Person};

use super::super::testing::Repo;
use super::super::{GitError, ObjectKind, RefEdit};

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
