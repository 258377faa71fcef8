//! A commit's tree checked out whole, in a directory of its own.

use std::io;
use std::path::{Path, PathBuf};

use super::entry::{AtPath as _, LayoutError, make_entry};
use crate::model::{Oid, TreeMode};
use crate::system::files::{self, Beneath};
use crate::system::git::Git;

/// Where `stage` lies until it is whole.
pub fn unfinished(stage: &Path) -> PathBuf {
    let mut name = stage.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    stage.with_file_name(name)
}

/// Checks a commit's tree out whole into `stage`, an empty or missing directory outside the app, from the
/// blobs' exact bytes. `stage` appears under its name only when it is whole; its top is private to this
/// user (mode 0700), as carried secrets may come into it. A submodule becomes an empty directory.
///
/// # Errors
/// The first failure, e.g. where something lies in `stage`, or a path of the tree would leave it.
pub fn stage(git: &Git, commit: &Oid, stage: &Path) -> Result<(), LayoutError> {
    let part = unfinished(stage);
    match std::fs::remove_dir_all(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at(&part),
        _ => files::make_private_dir(&part).at(&part)?,
    }
    let beneath = Beneath::open(&part).at(&part)?;
    let mut directory = None;
    for (path, entry) in git.entries(commit)? {
        let name = path.as_path().file_name().unwrap_or_default();
        // Entries come sorted: the directory of the one before is nearly always that of this one.
        let spot = match &directory {
            Some((parent, sibling)) if *parent == path.parent() => {
                files::DirEntryAt::beside(sibling, name).at(path.as_path())?
            }
            _ => beneath.entry_with_parents(&path).at(path.as_path())?,
        };
        if entry.mode == TreeMode::Submodule {
            spot.make_dir().at(spot.path())?;
        } else {
            make_entry(git, &spot, &entry)?;
        }
        directory = Some((path.parent(), spot));
    }
    std::fs::rename(&part, stage).at(stage)
}

/// Removes a stage, whole or half made.
///
/// # Errors
/// Any I/O error.
pub fn remove_stage(stage: &Path) -> io::Result<()> {
    for dir in [unfinished(stage).as_path(), stage] {
        match std::fs::remove_dir_all(dir) {
            Ok(()) => {
                if let Some(parent) = dir.parent() {
                    let _ = files::sync_dir(parent);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{LayoutError, stage};
    use crate::layout::testing::{App, Node, files};
    use crate::model::Oid;

    #[test]
    fn a_stage_holds_the_whole_tree_and_appears_only_when_it_is_whole() {
        let app = App::new();
        let mut tree = files(&[("a", "1"), ("d/e/f", "2")]);
        tree.insert("run".to_owned(), Node::Program(b"#!".to_vec()));
        tree.insert("d/link".to_owned(), Node::Link("../../out".to_owned()));
        let commit = app.commit(&tree);
        let dir = tempfile::tempdir_in(crate::layout::testing::memory()).unwrap();
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
        assert!(
            matches!(error, LayoutError::Io { .. }),
            "a stage that holds something is not reused"
        );
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
                    (0..id.len())
                        .step_by(2)
                        .map(|i| u8::from_str_radix(&id[i..i + 2], 16).unwrap()),
                );
            }
            let raw_file = app.top.join(".git/raw-tree");
            std::fs::write(&raw_file, raw).unwrap();
            let args =
                ["hash-object", "-t", "tree", "-w", "--literally", raw_file.to_str().unwrap()];
            crate::layout::testing::run_git(&app.top, &args).trim().to_owned()
        };
        let inner = make_tree(&[("100644", "f", &file)]);
        for tree in [
            make_tree(&[("120000", "d", &link), ("40000", "d", &inner)]),
            make_tree(&[("40000", "..", &inner)]),
            make_tree(&[("100644", "../f", &file)]),
        ] {
            let commit =
                crate::layout::testing::run_git(&app.top, &["commit-tree", "-m", "x", &tree]);
            let commit: Oid = commit.trim().parse().unwrap();
            let dir = tempfile::tempdir().unwrap();
            assert!(stage(&app.git, &commit, &dir.path().join("in/stage")).is_err());
            assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
            assert!(!dir.path().join("f").exists() && !dir.path().join("in/f").exists());
        }
    }
}
