//! One tracked path: whether the right thing lies there, and making it. Bytes are the blob's, never
//! filtered.

use std::io;
use std::path::Path;

use super::in_place::LayoutError;
use crate::model::{RepoPath, TreeEntry, TreeMode};
use crate::system::files::{DirEntryAt, FileKind, FileStat, is_symbolic_link_error};
use crate::system::git::{Git, ObjectKind};

/// Turns an I/O error into one that names the path.
pub(super) trait AtPath<T> {
    /// The result, with `path` in its error.
    fn at(self, path: impl AsRef<Path>) -> Result<T, LayoutError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T, LayoutError> {
        self.map_err(|source| {
            if is_symbolic_link_error(&source) {
                LayoutError::Unsafe {
                    path: path.as_ref().display().to_string(),
                    problem: "a directory on the way is a symbolic link, which is never followed"
                        .to_owned(),
                }
            } else {
                LayoutError::Io { path: path.as_ref().to_owned(), source }
            }
        })
    }
}

/// A refusal that names a path of the repository.
pub(super) fn refused(path: &RepoPath, problem: &str) -> LayoutError {
    LayoutError::Unsafe { path: path.to_string(), problem: problem.to_owned() }
}

/// Whether what was found at `spot` is exactly `entry`: type, bytes and executable bit.
pub(super) fn is_entry(
    git: &Git,
    spot: &DirEntryAt,
    found: &FileStat,
    entry: &TreeEntry,
) -> Result<bool, LayoutError> {
    match (entry.mode, found.kind) {
        (TreeMode::File | TreeMode::Executable, FileKind::File) => {
            let executable = found.mode & 0o100 != 0;
            if executable != (entry.mode == TreeMode::Executable) {
                return Ok(false);
            }
            let wanted = blob(git, entry)?;
            Ok(wanted.len() as u64 == found.size && spot.read().at(spot.path())? == wanted)
        }
        (TreeMode::Symlink, FileKind::Symlink) => {
            Ok(spot.read_link().at(spot.path())? == blob(git, entry)?)
        }
        _ => Ok(false),
    }
}

/// Makes `entry` at `spot`, where nothing lies.
pub(super) fn make_entry(
    git: &Git,
    spot: &DirEntryAt,
    entry: &TreeEntry,
) -> Result<(), LayoutError> {
    let bytes = blob(git, entry)?;
    match entry.mode {
        TreeMode::Symlink => spot.make_link(&bytes),
        mode => spot.make_file(&bytes, mode == TreeMode::Executable),
    }
    .at(spot.path())
}

fn blob(git: &Git, entry: &TreeEntry) -> Result<Vec<u8>, LayoutError> {
    if entry.mode == TreeMode::Submodule {
        return Err(LayoutError::Unsafe {
            path: entry.id.to_string(),
            problem: "a submodule cannot be put in place".to_owned(),
        });
    }
    Ok(git.object(&entry.id, ObjectKind::Blob, u64::MAX)?)
}
