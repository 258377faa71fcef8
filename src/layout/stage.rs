//! A commit's tree checked out whole, in a directory of its own.

use std::io;
use std::path::{Path, PathBuf};

use super::content::{AtPath as _, make_entry};
use super::in_place::LayoutError;
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
