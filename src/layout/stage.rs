//! A commit's tree checked out whole, in a directory of its own.

use std::io;
use std::path::{Path, PathBuf};

use super::entry::{AtPath as _, LayoutError, make_entry, refused};
use crate::model::{Oid, RepoPath, TreeMode};
use crate::system::files::{self, Beneath};
use crate::system::git::{Git, ThrowAway};
use crate::system::removal;

/// Checks a commit's tree out whole into `stage`, an empty or missing directory outside the app, from the
/// blobs' exact bytes. `stage` appears under its name only when it is whole; its top is private to this
/// user (mode 0700), as carried secrets may come into it. The files of a submodule that is checked out in the live
/// tree come with it; any other becomes an empty directory. Repositories for builds ([`ThrowAway`]) lie ready beside it.
///
/// # Errors
/// The first failure, e.g. where something is in `stage`, or a path of the tree would leave it.
pub fn stage(git: &Git, commit: &Oid, stage: &Path) -> Result<(), LayoutError> {
    let part = unfinished(stage);
    let repositories = ThrowAway::of(stage);
    for left in [part.as_path(), repositories.ready()] {
        removal::set_aside(left).at(left)?;
    }
    files::make_private_dir(&part).at(&part)?;
    files::make_private_dir(repositories.ready()).at(repositories.ready())?;
    let beneath = Beneath::open(&part).at(&part)?;
    check_out(git, commit, None, &beneath, &repositories)?;
    std::fs::rename(&part, stage).at(stage)
}

/// Takes a stage out of the way, whole or half made, with its repositories. It is removed later ([`removal`]).
///
/// # Errors
/// Any I/O error.
pub fn set_stage_aside(stage: &Path) -> io::Result<()> {
    removal::set_aside(&unfinished(stage))?;
    removal::set_aside(ThrowAway::of(stage).ready())?;
    removal::set_aside(stage)
}

/// Where `stage` is until it is whole.
fn unfinished(stage: &Path) -> PathBuf {
    let mut name = stage.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    stage.with_file_name(name)
}

/// A submodule that a build would not find as the commit wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmoduleFault {
    /// It is not checked out in the live tree: a build finds an empty directory, there as here.
    Absent(RepoPath),
    /// Something else is checked out than the commit wants, or it cannot be read: why.
    Other(RepoPath, String),
}

/// What is wrong with the submodules of a commit, those of submodules included, for a build in a stage.
///
/// # Errors
/// When a tree cannot be read.
pub fn submodule_faults(git: &Git, commit: &Oid) -> Result<Vec<SubmoduleFault>, LayoutError> {
    let mut faults = Vec::new();
    for (path, entry) in git.entries(commit)? {
        if entry.mode != TreeMode::Submodule {
            continue;
        }
        let other = |why: String| SubmoduleFault::Other(path.clone(), why);
        let found = match git.submodule(&path) {
            Ok(None) => {
                faults.push(SubmoduleFault::Absent(path));
                continue;
            }
            Ok(Some(found)) => found,
            Err(error) => {
                faults.push(other(error.to_string()));
                continue;
            }
        };
        match found.head() {
            Ok(head) if head.commit != entry.id => faults.push(other(format!(
                "it is checked out at {}, not at {}",
                head.commit.short(),
                entry.id.short()
            ))),
            Ok(_) => {
                let converted = found.converted_files(&entry.id)?;
                faults.extend(converted.first().map(|file| {
                    let (path, by, rule) = (&file.path, &file.by, &file.rule);
                    other(format!(
                        "{path}: {by} in {rule}: git would write different bytes than it stores"
                    ))
                }));
                for fault in submodule_faults(&found, &entry.id)? {
                    let full = |inner: RepoPath| path.join(inner.as_bytes()).unwrap_or(inner);
                    faults.push(match fault {
                        SubmoduleFault::Absent(inner) => SubmoduleFault::Absent(full(inner)),
                        SubmoduleFault::Other(inner, why) => {
                            SubmoduleFault::Other(full(inner), why)
                        }
                    });
                }
            }
            Err(error) => faults.push(other(error.to_string())),
        }
    }
    Ok(faults)
}

/// Writes a commit's files into the stage, at its top or `below` it where a submodule is, and readies its repository.
fn check_out(
    git: &Git,
    commit: &Oid,
    below: Option<&RepoPath>,
    stage: &Beneath,
    repositories: &ThrowAway,
) -> Result<(), LayoutError> {
    let mut directory = None;
    let mut submodules = Vec::new();
    for (own_path, entry) in git.entries(commit)? {
        let path = match below {
            Some(below) => below
                .join(own_path.as_bytes())
                .map_err(|error| refused(&own_path, &error.to_string()))?,
            None => own_path.clone(),
        };
        let name = path.as_path().file_name().unwrap_or_default();
        // Entries come sorted: the directory of the one before is nearly always that of this one.
        let spot = match &directory {
            Some((parent, sibling)) if *parent == path.parent() => {
                files::DirEntryAt::beside(sibling, name).at(path.as_path())?
            }
            _ => stage.entry_with_parents(&path).at(path.as_path())?,
        };
        directory = Some((path.parent(), spot));
        let Some((_, spot)) = &directory else { continue };
        if entry.mode == TreeMode::Submodule {
            spot.make_dir().at(spot.path())?;
            submodules.push((own_path, path, entry.id));
        } else {
            make_entry(git, spot, &entry)?;
        }
    }
    let files = below.map_or_else(PathBuf::new, |path| path.as_path().to_owned());
    repositories.add(git, commit, below, &stage.path().join(files))?;
    for (own_path, path, commit) in submodules {
        let found = git.submodule(&own_path).map_err(|e| refused(&path, &e.to_string()))?;
        if let Some(found) = found {
            check_out(&found, &commit, Some(&path), stage, repositories)?;
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
