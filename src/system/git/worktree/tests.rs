#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use crate::model::{Oid, RepoPath};

use super::super::testing::{Repo, path};
use super::super::{Git, GitError};

fn names(git: &Git, commit: &Oid) -> Vec<String> {
    git.edited(commit).unwrap().iter().map(ToString::to_string).collect()
}

fn age(file: &std::path::Path) {
    let past = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(file).unwrap().set_modified(past).unwrap();
}

#[test]
fn every_way_to_differ_from_the_commit_is_found() {
    let repo = Repo::new();
    for file in ["changed", "deleted", "linked", "made-executable", "dir/inside", "same", "dir2/x"]
    {
        repo.write(file, "text\n");
    }
    symlink("same", repo.top.join("link")).unwrap();
    symlink("same", repo.top.join("link2")).unwrap();
    let head = repo.commit("all");
    let git = repo.open();
    assert_eq!(names(&git, &head), Vec::<String>::new());

    repo.write("changed", "TEXT\n");
    fs::remove_file(repo.top.join("deleted")).unwrap();
    fs::remove_file(repo.top.join("linked")).unwrap();
    symlink("same", repo.top.join("linked")).unwrap();
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(repo.top.join("made-executable"), mode).unwrap();
    fs::rename(repo.top.join("dir"), repo.dir.path().join("moved")).unwrap();
    // The same file is still reached, but through a link: writing there would leave the tree.
    symlink(repo.dir.path().join("moved"), repo.top.join("dir")).unwrap();
    fs::remove_dir_all(repo.top.join("dir2")).unwrap();
    fs::remove_file(repo.top.join("link")).unwrap();
    symlink("other", repo.top.join("link")).unwrap();
    fs::remove_file(repo.top.join("link2")).unwrap();
    repo.write("link2", "same");
    repo.write("untracked", "not asked for");
    assert_eq!(
        names(&git, &head),
        [
            "changed",
            "deleted",
            "dir/inside",
            "dir2/x",
            "link",
            "link2",
            "linked",
            "made-executable",
        ]
    );
}

#[test]
fn an_edit_of_the_same_size_and_time_is_found() {
    let repo = Repo::new();
    let file = repo.top.join("a.txt");
    age(&file);
    let head = repo.id("HEAD");
    let git = repo.open();
    repo.git(&["status"]);
    assert!(names(&git, &head).is_empty());
    for round in 0..20 {
        let before = fs::metadata(&file).unwrap();
        fs::write(&file, if round % 2 == 0 { "two\n" } else { "one\n" }).unwrap();
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(before.modified().unwrap())
            .unwrap();
        let after = fs::metadata(&file).unwrap();
        assert_eq!((before.size(), before.mtime_nsec()), (after.size(), after.mtime_nsec()));
        assert_eq!(names(&git, &head).len(), usize::from(round % 2 == 0), "round {round}");
    }
}

#[test]
fn only_what_was_read_long_after_its_last_change_is_remembered() {
    let repo = Repo::new();
    let head = repo.id("HEAD");
    let git = repo.open();
    git.edited(&head).unwrap();
    let cache = git.state_dir().join("seen");
    assert!(!cache.exists(), "a file changed this moment was remembered");
    std::thread::sleep(Duration::from_millis(4100));
    git.edited(&head).unwrap();
    let learnt = fs::read(&cache).unwrap();
    assert!(learnt.windows(5).any(|w| w == b"a.txt"));

    // Remembered, and still an edit is seen.
    assert!(names(&git, &head).is_empty());
    repo.write("a.txt", "two\n");
    assert_eq!(names(&git, &head), ["a.txt"]);

    // A damaged cache, and one that others may write, are not trusted.
    let mut damaged = learnt.clone();
    damaged[30] ^= 1;
    fs::write(&cache, &damaged).unwrap();
    assert_eq!(names(&git, &head), ["a.txt"]);
    fs::write(&cache, &learnt).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(names(&git, &head), ["a.txt"]);
}

#[test]
fn marks_that_tell_git_to_look_away_are_not_heeded() {
    let repo = Repo::new();
    repo.write("b.txt", "b\n");
    let head = repo.commit("b");
    repo.git(&["update-index", "--assume-unchanged", "a.txt"]);
    repo.git(&["update-index", "--skip-worktree", "b.txt"]);
    repo.write("a.txt", "edited\n");
    repo.write("b.txt", "edited\n");
    assert_eq!(repo.git(&["status", "--porcelain"]), "");
    assert_eq!(names(&repo.open(), &head), ["a.txt", "b.txt"]);
}

#[test]
fn attributes_of_the_work_tree_cannot_hide_an_edit() {
    let repo = Repo::new();
    repo.write("crlf.txt", "one\ntwo\n");
    let head = repo.commit("lf");
    repo.write(".gitattributes", "* text eol=crlf\n");
    repo.write(".git/info/attributes", "* text\n");
    repo.git(&["config", "core.autocrlf", "true"]);
    repo.write("crlf.txt", "one\r\ntwo\r\n");
    assert_eq!(names(&repo.open(), &head), ["crlf.txt"]);
}

#[test]
fn names_that_are_not_text_are_compared_like_others() {
    let repo = Repo::new();
    let odd = RepoPath::new(b"d\xffr/\xfe\n\"x".to_vec()).unwrap();
    repo.write(odd.as_path(), "odd");
    let head = repo.commit("odd");
    let git = repo.open();
    assert!(git.edited(&head).unwrap().is_empty());
    repo.write(odd.as_path(), "Odd");
    assert_eq!(git.edited(&head).unwrap(), std::slice::from_ref(&odd));
    repo.write(".gitignore", b"\xfe*\n");
    assert_eq!(git.ignored(&[odd.clone(), path("a.txt")]).unwrap(), [odd]);
}

#[test]
fn ignore_rules_cover_tracked_files_too_and_globs_are_taken_literally() {
    let repo = Repo::new();
    repo.write(".gitignore", "*.log\nlogs/\n.env\n");
    repo.write("x.log", "");
    repo.write("logs/deep/x", "");
    repo.write("real/x", "");
    symlink("real", repo.top.join("link")).unwrap();
    repo.git(&["add", "-f", "x.log"]);
    let git = repo.open();
    let asked: Vec<RepoPath> =
        ["x.log", "logs/deep/x", ".env", "a.txt", "*", ":(top)a", "link/x.log"].map(path).into();
    let covered: Vec<String> =
        git.ignored(&asked).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(covered, ["x.log", "logs/deep/x", ".env"]);
    assert!(git.ignored(&[]).unwrap().is_empty());
}

#[test]
fn the_index_becomes_the_commits_and_the_work_tree_stays() {
    let repo = Repo::new();
    let first = repo.id("HEAD");
    repo.write("a.txt", "two\n");
    repo.write("b.txt", "b\n");
    let second = repo.commit("second");
    let git = repo.open();
    git.reset_index(&first).unwrap();
    assert_eq!(
        repo.git(&["ls-files", "-s"]),
        repo.git(&["ls-tree", first.as_str()]).replace(" blob ", " ").replace("\t", " 0\t")
    );
    assert_eq!(fs::read(repo.top.join("b.txt")).unwrap(), b"b\n");

    git.reset_index(&second).unwrap();
    // Refreshed: plumbing that only looks at times finds nothing either.
    repo.git(&["diff-files", "--quiet"]);

    fs::write(repo.top.join(".git/index"), "torn by a power cut").unwrap();
    git.reset_index(&second).unwrap();
    assert_eq!(repo.git(&["status", "--porcelain"]), "");

    let lock = repo.top.join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let error = git.reset_index(&second).unwrap_err().to_string();
    assert!(error.contains(lock.to_str().unwrap()) && error.contains("remove"), "{error}");
}

#[test]
fn head_is_detached_from_the_expected_commit_only_and_no_branch_moves() {
    let repo = Repo::new();
    let first = repo.id("HEAD");
    let second = repo.commit("second");
    let git = repo.open();
    assert!(matches!(git.move_head(&first, &second, "x"), Err(GitError::Ref { .. })));
    assert_eq!(git.head().unwrap().branch.as_deref(), Some("refs/heads/main"));

    // To the very commit it is at: it is detached anyway.
    git.move_head(&second, &second, "gitroll: stay").unwrap();
    assert_eq!(git.head().unwrap().branch, None);
    git.move_head(&second, &first, "gitroll: back to v1").unwrap();
    assert_eq!(git.head().unwrap().commit, first);
    assert_eq!(repo.id("refs/heads/main"), second);
    assert!(repo.git(&["reflog", "-1", "HEAD"]).ends_with("gitroll: back to v1"));
}
