#![allow(clippy::unwrap_used)]

use std::fs;

use super::super::testing::{Repo, path};

#[test]
fn a_renamed_and_edited_file_is_one_file_with_its_lines() {
    let repo = Repo::new();
    let text: String = (0..50).map(|n| format!("line {n}\n")).collect();
    repo.write("old name.txt", &text);
    repo.write("picture.bin", b"\0\x01\x02");
    repo.write("tool", "x\n");
    let from = repo.commit("before");
    fs::remove_file(repo.top.join("old name.txt")).unwrap();
    repo.write("dir/new\nname.txt", text.replace("line 7\n", "line seven\n"));
    repo.write("picture.bin", b"\0\x01\x03");
    repo.git(&["update-index", "--chmod=+x", "tool"]);
    repo.write("added.txt", "a\nb\n");
    fs::remove_file(repo.top.join("a.txt")).unwrap();
    let to = repo.commit("after");

    let diff = repo.open().diff(&from, &to).unwrap();
    assert_eq!(diff.uncounted, None);
    let found = |name: &str| diff.files.iter().find(|f| f.path == path(name)).unwrap();
    assert_eq!(diff.files.len(), 4, "{:?}", diff.files);
    let (was, similar) = found("dir/new\nname.txt").renamed.clone().unwrap();
    assert_eq!(was, path("old name.txt"));
    assert!((90..100).contains(&similar), "{similar}");
    assert_eq!(found("dir/new\nname.txt").lines, Some((1, 1)));
    assert_eq!(found("picture.bin").lines, None);
    assert_eq!(found("added.txt").lines, Some((2, 0)));
    assert_eq!(found("a.txt").after, None);
    assert_eq!(found("a.txt").lines, Some((0, 1)));
}

#[test]
fn where_a_files_content_is_missing_the_paths_are_still_told() {
    let repo = Repo::new();
    let from = repo.id("HEAD");
    repo.write("b.txt", "two\n");
    let to = repo.commit("second");
    let blob = repo.git(&["rev-parse", "HEAD:b.txt"]);
    fs::remove_file(repo.top.join(format!(".git/objects/{}/{}", &blob[..2], &blob[2..]))).unwrap();
    let git = repo.open();
    let diff = git.diff(&from, &to).unwrap();
    assert_eq!(diff.files.len(), 1);
    assert!(diff.uncounted.is_some(), "{diff:?}");
    assert!(git.patch(&from, &to, &[]).is_err());
}

#[test]
fn the_patch_holds_the_named_paths_alone_and_their_names_are_no_patterns() {
    let repo = Repo::new();
    let from = repo.id("HEAD");
    repo.write("*.txt", "star\n");
    repo.write("b.txt", "two\n");
    let to = repo.commit("second");
    let patch = repo.open().patch(&from, &to, &[path("*.txt")]).unwrap();
    let patch = String::from_utf8(patch).unwrap();
    assert!(patch.contains("+star"), "{patch}");
    assert!(!patch.contains("+two"), "{patch}");
}

#[test]
fn the_pager_is_the_users_and_never_the_repositorys() {
    let repo = Repo::new();
    repo.git(&["config", "core.pager", "evil"]);
    assert_ne!(repo.open().user_pager().as_deref(), Some("evil"));
    repo.git(&["config", "--global", "core.pager", "mine -R"]);
    assert_eq!(repo.open().user_pager().as_deref(), Some("mine -R"));
    repo.git(&["config", "--global", "core.pager", "cat"]);
    assert_eq!(repo.open().user_pager(), None);
}
