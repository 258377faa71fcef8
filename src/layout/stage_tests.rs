//! A stage is whole or not there, and nothing leaves it.

use super::in_place::{LayoutError, stage};
use super::testing::{App, Node, files};
use crate::model::Oid;

#[test]
fn a_stage_holds_the_whole_tree_and_appears_only_when_it_is_whole() {
    let app = App::new();
    let mut tree = files(&[("a", "1"), ("d/e/f", "2")]);
    tree.insert("run".to_owned(), Node::Program(b"#!".to_vec()));
    tree.insert("d/link".to_owned(), Node::Link("../../out".to_owned()));
    let commit = app.commit(&tree);
    let dir = tempfile::tempdir_in(super::testing::memory()).unwrap();
    let place = dir.path().join("work/stage");
    // What a killed try left.
    std::fs::create_dir_all(dir.path().join("work/stage.part/junk")).unwrap();
    stage(&app.git, &commit, &place).unwrap();
    assert_eq!(app.tree(&commit), tree);
    for name in tree.keys() {
        assert!(place.join(name).symlink_metadata().is_ok(), "{name}");
    }
    assert!(!place.join("junk").exists() && !dir.path().join("work/stage.part").exists());
    let error = stage(&app.git, &commit, &place).unwrap_err();
    assert!(matches!(error, LayoutError::Io { .. }), "a stage that holds something is not reused");
}

#[test]
fn a_hostile_tree_cannot_leave_the_stage() {
    let app = App::new();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let blob = |bytes: &[u8]| {
        app.git.write_object(crate::system::git::ObjectKind::Blob, bytes).unwrap().to_string()
    };
    let (link, file) = (blob(target.as_bytes()), blob(b"evil"));
    let make_tree = |entries: &[(&str, &str, &str)]| {
        let mut raw = Vec::new();
        for (mode, name, id) in entries {
            raw.extend(format!("{mode} {name}\0").bytes());
            raw.extend(
                (0..id.len()).step_by(2).map(|i| u8::from_str_radix(&id[i..i + 2], 16).unwrap()),
            );
        }
        let raw_file = app.top.join(".git/raw-tree");
        std::fs::write(&raw_file, raw).unwrap();
        let args = ["hash-object", "-t", "tree", "-w", "--literally", raw_file.to_str().unwrap()];
        super::testing::run_git(&app.top, &args).trim().to_owned()
    };
    let inner = make_tree(&[("100644", "f", &file)]);
    for tree in [
        make_tree(&[("120000", "d", &link), ("40000", "d", &inner)]),
        make_tree(&[("40000", "..", &inner)]),
        make_tree(&[("100644", "../f", &file)]),
    ] {
        let commit = super::testing::run_git(&app.top, &["commit-tree", "-m", "x", &tree]);
        let commit: Oid = commit.trim().parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        assert!(stage(&app.git, &commit, &dir.path().join("in/stage")).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(!dir.path().join("f").exists() && !dir.path().join("in/f").exists());
    }
}
