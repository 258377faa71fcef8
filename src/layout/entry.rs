//! One path of the tree: whether the right thing is there, making it, and saving what is in the way. Bytes
//! are the blob's, never filtered; an error names the path.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::{RepoPath, RunId, TreeEntry, TreeMode};
use crate::system::files::{
    self, Access, Beneath, DirEntryAt, FileKind, FileStat, is_symbolic_link_error,
};
use crate::system::git::{Git, GitError, ObjectKind};

/// Why the tree could not be made what it should be.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A path leads out of the repository or through a symbolic link.
    #[error("{path}: {problem}")]
    Unsafe { path: String, problem: String },
    /// A file system operation failed.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// An artifact that was planned to come in is not in the store.
    #[error("artifact {0} is no longer kept")]
    ArtifactGone(String),
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Where the things of one run lie.
#[derive(Debug, Clone)]
pub struct RunPlaces {
    pub run: RunId,
    /// Files saved: `<state>/saved/<run>/<path>`.
    pub saved: PathBuf,
    /// Temporary files before they are renamed into place: `<state>/runs/<run>/tmp`.
    pub temporary: PathBuf,
}

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
                    problem:
                        "a directory in its path is a symbolic link, which gitroll does not follow"
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

/// Makes `entry` at `spot`, where nothing is, as its directory and the mask would have it.
pub(super) fn make_entry(
    git: &Git,
    spot: &DirEntryAt,
    entry: &TreeEntry,
) -> Result<(), LayoutError> {
    let bytes = blob(git, entry)?;
    match entry.mode {
        TreeMode::Symlink => spot.make_link(&bytes),
        TreeMode::Executable => spot.make_file(&bytes, 0o777),
        TreeMode::File | TreeMode::Submodule => spot.make_file(&bytes, 0o666),
    }
    .at(spot.path())
}

/// As [`make_entry`], with this access, and never with a wider one. Says whether it is in the group that it
/// shall be in.
pub(super) fn make_entry_with(
    git: &Git,
    spot: &DirEntryAt,
    entry: &TreeEntry,
    access: Option<&Access>,
) -> Result<bool, LayoutError> {
    let Some(access) = access else { return make_entry(git, spot, entry).map(|()| true) };
    spot.make_file_with(&blob(git, entry)?, access).at(spot.path())
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

/// Puts what is at `path` where the way back found it into `saved/<run>-later`, so that it is neither in
/// the way nor lost.
pub(super) fn put_later(
    top: &Beneath,
    places: &RunPlaces,
    path: &RepoPath,
) -> Result<(), LayoutError> {
    let Some(spot) = top.entry(path).at(path.as_path())? else {
        return Ok(());
    };
    let dir = later(places);
    files::make_private_dir(&dir).at(&dir)?;
    let later = Beneath::open(&dir).at(&dir)?;
    for number in 0..1000_u32 {
        let name = match number {
            0 => path.as_bytes().to_vec(),
            _ => [path.as_bytes(), format!(".{number}").as_bytes()].concat(),
        };
        let Ok(name) = RepoPath::new(name) else {
            break;
        };
        let to = match later.entry_with_parents(&name) {
            Err(error) if is_in_the_way(&error) => continue,
            to => to.at(dir.join(name.as_path()))?,
        };
        match spot.rename_to_free(&to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                spot.copy(&to).at(to.path())?;
                files::sync_file_system(&dir).at(&dir)?;
                return spot.remove_tree().at(spot.path());
            }
            renamed => return renamed.at(spot.path()),
        }
    }
    Err(refused(path, "is in the way and could not be saved elsewhere"))
}

fn later(places: &RunPlaces) -> PathBuf {
    places.saved.with_file_name(format!("{}-later", places.run))
}

/// Whether something other than a directory is where one is needed.
pub(super) fn is_in_the_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotADirectory || files::is_symbolic_link_error(error)
}

/// The directories above `path`, the nearest first.
pub(super) fn above(path: &RepoPath) -> Vec<RepoPath> {
    std::iter::successors(path.parent(), RepoPath::parent).collect()
}
