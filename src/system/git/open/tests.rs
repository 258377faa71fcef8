#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::testing::Repo;
use super::super::{Git, OpenError};

#[test]
fn a_plain_repository_opens_from_a_directory_inside_it() {
    let repo = Repo::new();
    repo.write("src/deep/x", "x");
    let git = Git::open_in(&repo.top.join("src/deep"), None, repo.environment()).unwrap();
    assert_eq!(git.top(), repo.top);
    assert_eq!(git.git_dir(), repo.top.join(".git"));
}

#[test]
fn a_directory_outside_of_any_repository_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = Git::open(dir.path(), None).unwrap_err();
    assert!(matches!(error, OpenError::NotARepository(_)), "{error}");
}

#[test]
fn a_bare_repository_is_refused() {
    let repo = Repo::new();
    repo.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    let bare = repo.dir.path().join("bare.git");
    let error = Git::open_in(&bare, None, repo.environment()).unwrap_err();
    assert!(matches!(error, OpenError::Bare(_)), "{error}");

    repo.git(&["config", "core.bare", "true"]);
    let error = repo.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Bare(_)), "{error}");
}

#[test]
fn a_git_directory_damaged_by_a_power_cut_is_not_passed_by() {
    let outer = Repo::new();
    let inner = outer.top.join("inner");
    outer.git(&["init", "-q", "inner"]);
    fs::write(inner.join(".git/HEAD"), "").unwrap();
    let error = Git::open_in(&inner, None, outer.environment()).unwrap_err();
    assert!(matches!(error, OpenError::Broken { .. }), "{error}");
    assert!(error.to_string().contains("inner/.git"), "{error}");
}

#[test]
fn a_foreign_owner_is_refused_unless_the_user_declares_the_directory_safe() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let repo = Repo::new();
    give_away(&repo.top);

    let error = repo.try_open().unwrap_err();
    assert!(
        matches!(&error, OpenError::ForeignOwner { owner, user, .. }
        if owner == "12345" && user == "root"),
        "{error}"
    );

    // Root behind sudo is let in by git, but would leave root's files in the user's tree.
    let mut variables = Repo::variables(repo.dir.path());
    variables.push(("SUDO_UID".into(), "12345".into()));
    let environment = super::Environment::with(variables);
    let error = Git::open_in(&repo.top, None, environment).unwrap_err();
    assert!(matches!(error, OpenError::ForeignOwner { .. }), "{error}");

    let safe = format!("[safe]\n\tdirectory = {}\n", repo.top.display());
    fs::write(repo.dir.path().join("gitconfig"), safe).unwrap();
    repo.open().head().unwrap();
}

#[test]
fn a_repository_that_declares_itself_safe_is_still_foreign() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let repo = Repo::new();
    repo.git(&["config", "safe.directory", "*"]);
    give_away(&repo.top);
    assert!(matches!(repo.try_open(), Err(OpenError::ForeignOwner { .. })));
}

fn give_away(dir: &Path) {
    let chown = Command::new("chown").args(["-R", "12345:12345"]).arg(dir).status().unwrap();
    assert!(chown.success());
}

#[test]
fn reftable_and_unknown_extensions_are_refused_before_any_ref_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let repo = Repo::new();
    let made = repo
        .command(&["init", "-q", "--ref-format=reftable", dir.path().to_str().unwrap()])
        .status()
        .unwrap();
    if made.success() {
        let error = Git::open_in(dir.path(), None, repo.environment()).unwrap_err();
        assert!(
            matches!(&error, OpenError::Extension { extension, .. }
            if extension == "refstorage = reftable"),
            "{error}"
        );
    }

    repo.git(&["config", "core.repositoryformatversion", "1"]);
    repo.git(&["config", "extensions.tomorrow", "yes"]);
    let error = repo.try_open().unwrap_err();
    assert!(
        matches!(&error, OpenError::Extension { extension, .. }
        if extension == "tomorrow = yes"),
        "{error}"
    );
    let config = repo.top.join(".git/config");
    fs::write(&config, "[core]\n\trepositoryformatversion = 2\n").unwrap();
    assert!(matches!(repo.try_open(), Err(OpenError::Extension { .. })));
}

#[test]
fn partial_clones_and_sparse_checkouts_are_refused() {
    let repo = Repo::new();
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", repo.top.display());
    repo.git(&["clone", "-q", "--filter=blob:none", &url, "../partial"]);
    let partial = repo.dir.path().join("partial");
    let error = Git::open_in(&partial, None, repo.environment()).unwrap_err();
    assert!(matches!(error, OpenError::Partial(_)), "{error}");

    repo.write("dir/b.txt", "b");
    repo.commit("second");
    repo.git(&["sparse-checkout", "set", "dir"]);
    let error = repo.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Sparse(_)), "{error}");
}

#[test]
fn a_linked_work_tree_opens_with_its_own_head() {
    let repo = Repo::new();
    let first = repo.id("HEAD");
    repo.commit("second");
    repo.git(&["worktree", "add", "-q", "--detach", "../linked", first.as_str()]);
    let linked = repo.dir.path().canonicalize().unwrap().join("linked");
    let git = Git::open_in(&linked, None, repo.environment()).unwrap();
    assert_eq!(git.top(), linked);
    assert_eq!(git.head().unwrap().commit, first);
    assert_eq!(git.head().unwrap().branch, None);
    assert_eq!(git.resolve("main").unwrap(), repo.id("HEAD"));
    assert!(git.edited(&first).unwrap().is_empty());
    git.move_head(&first, &repo.id("HEAD"), "forward").unwrap();
    assert_eq!(git.head().unwrap().commit, repo.id("HEAD"));
}

#[test]
fn a_repository_whose_git_directory_is_elsewhere_opens() {
    let repo = Repo::new();
    let elsewhere = repo.dir.path().join("app.git");
    repo.git(&["init", "-q", "--separate-git-dir", elsewhere.to_str().unwrap()]);
    fs::create_dir(repo.top.join("deep")).unwrap();
    for inside in [repo.top.clone(), repo.top.join("deep")] {
        let git = Git::open_in(&inside, None, repo.environment()).unwrap();
        assert_eq!((git.top(), git.git_dir()), (repo.top.as_path(), elsewhere.as_path()));
        assert!(git.head().is_ok());
    }
}

#[test]
fn a_work_tree_that_the_configuration_puts_elsewhere_is_refused() {
    let repo = Repo::new();
    let elsewhere = tempfile::tempdir().unwrap();
    repo.git(&["config", "core.worktree", elsewhere.path().to_str().unwrap()]);
    let error = repo.try_open().unwrap_err();
    assert!(error.to_string().contains("core.worktree"), "{error}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_an_error_naming_it() {
    let repo = Repo::new();
    fs::write(repo.top.join(".git/config"), "[core\nbare = ???").unwrap();
    let error = repo.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Broken { .. }), "{error}");
    assert!(error.to_string().contains(".git"), "{error}");
}
