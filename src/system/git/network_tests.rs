#![allow(clippy::unwrap_used)]

use super::super::testing::Repo;
use super::super::{GitError, Pushed};

/// A repository with a bare `origin` that has its `main`.
fn with_origin() -> Repo {
    let repo = Repo::new();
    repo.git(&["clone", "-q", "--bare", ".", "../origin.git"]);
    repo.git(&["remote", "add", "origin", "../origin.git"]);
    repo
}

#[test]
fn a_fetch_brings_branches_and_tags_and_nothing_else() {
    let repo = with_origin();
    let first = repo.id("HEAD");
    repo.git(&["--git-dir=../origin.git", "tag", "-a", "-m", "x", "v1", "main"]);
    repo.git(&["--git-dir=../origin.git", "update-ref", "refs/notes/x", first.as_str()]);
    repo.git(&["--git-dir=../origin.git", "update-ref", "refs/gitroll/a/ledger/b", first.as_str()]);
    repo.git(&["config", "--add", "remote.origin.fetch", "+refs/notes/*:refs/notes/*"]);
    repo.git(&["config", "--add", "remote.origin.fetch", "+refs/heads/*:refs/copied/*"]);
    repo.git(&["config", "remote.origin.prune", "true"]);
    repo.git(&["update-ref", "refs/remotes/origin/stale", first.as_str()]);
    let git = repo.open();
    assert_eq!(git.remotes(), ["origin"]);
    assert!(git.fetch("origin").unwrap().moved_tags.is_empty());
    let refs = repo.git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(
        refs.lines().collect::<Vec<_>>(),
        [
            "refs/heads/main",
            "refs/remotes/origin/main",
            "refs/remotes/origin/stale",
            "refs/tags/v1",
        ]
    );
    assert!(!repo.top.join(".git/FETCH_HEAD").exists());
}

#[test]
fn a_tag_that_moved_on_the_remote_is_reported_and_stays_and_the_branches_come() {
    let repo = with_origin();
    let first = repo.id("HEAD");
    repo.git(&["tag", "v1"]);
    let second = repo.commit("second");
    repo.git(&["push", "-q", "origin", "main", "HEAD:refs/tags/v1", "HEAD:refs/tags/v2"]);
    repo.git(&["update-ref", "-d", "refs/remotes/origin/main"]);
    repo.git(&["config", "--add", "remote.origin.fetch", "+refs/tags/*:refs/tags/*"]);
    let git = repo.open();
    assert_eq!(git.fetch("origin").unwrap().moved_tags, ["refs/tags/v1"]);
    assert_eq!(git.find_ref("refs/tags/v1").unwrap(), Some(first));
    assert_eq!(git.find_ref("refs/tags/v2").unwrap(), Some(second.clone()));
    assert_eq!(git.find_ref("refs/remotes/origin/main").unwrap(), Some(second));
}

#[test]
fn a_remote_that_is_away_is_an_error_in_gits_words() {
    let repo = with_origin();
    std::fs::remove_dir_all(repo.dir.path().join("origin.git")).unwrap();
    let git = repo.open();
    let error = git.fetch("origin").unwrap_err().to_string();
    assert!(error.starts_with("git fetch: ") && error.contains("origin.git"), "{error}");
    assert!(matches!(
        git.push("origin", &["refs/heads/main".to_owned()]).unwrap(),
        Pushed::Failed(_)
    ));
    for odd in ["nope", "--upload-pack=x", "../origin.git", ""] {
        assert!(matches!(git.fetch(odd), Err(GitError::Command { .. })), "{odd}");
    }
}

#[test]
fn a_push_is_all_or_nothing_and_tells_a_copied_checkout_from_an_outage() {
    let repo = with_origin();
    let first = repo.id("HEAD");
    let chain = "refs/gitroll/production/ledger/w".to_owned();
    let tag = "refs/tags/v1-stable".to_owned();
    repo.git(&["update-ref", &chain, first.as_str()]);
    repo.git(&["update-ref", &tag, first.as_str()]);
    // A mirror would delete on the remote what is not here.
    repo.git(&["config", "remote.origin.mirror", "true"]);
    let git = repo.open();
    assert_eq!(git.push("origin", &[chain.clone(), tag.clone()]).unwrap(), Pushed::Done);
    assert_eq!(git.push("origin", &[chain.clone(), tag.clone()]).unwrap(), Pushed::Done);

    // Another checkout with the same writer went on differently.
    repo.git(&["checkout", "-q", "--orphan", "other"]);
    let other = repo.commit("another history");
    repo.git(&["update-ref", &chain, other.as_str()]);
    repo.git(&["update-ref", "refs/tags/v2-stable", first.as_str()]);
    let refs = [chain.clone(), "refs/tags/v2-stable".to_owned()];
    match git.push("origin", &refs).unwrap() {
        Pushed::Rejected(why) => assert!(why.contains(&chain), "{why}"),
        other => panic!("{other:?}"),
    }
    let there = repo.git(&["--git-dir=../origin.git", "for-each-ref", "--format=%(refname)"]);
    assert!(!there.contains("v2-stable"), "a part of the push arrived: {there}");
    assert!(matches!(
        git.push("origin", &["refs/tags/absent".to_owned()]).unwrap(),
        Pushed::Failed(_)
    ));
}
