//! Layout `in-place`: stage and converge.

use std::path::PathBuf;

#[cfg(test)]
pub use super::observe::Observed;
pub use super::observe::{Commits, observe_activation, tracked_outputs};
pub use super::stage::{remove_stage, stage, unfinished};

use super::content::AtPath as _;
use super::converge::Converge;
use crate::build::Store;
use crate::model::{Activation, RepoPath, RunId};
use crate::system::git::{Git, GitError};

/// Why the tree could not be made what it should be.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A path leads out of the repository or through a symbolic link.
    #[error("{path}: {problem}")]
    Unsafe {
        /// The path.
        path: String,
        /// Why.
        problem: String,
    },
    /// A file system operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An artifact that was planned to come in is not in the store.
    #[error("artifact {0} is no longer kept")]
    ArtifactGone(String),
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Where the things of one run lie.
#[derive(Debug, Clone)]
pub struct RunPlaces {
    /// The run.
    pub run: RunId,
    /// Files put aside: `<state>/saved/<run>/<path>`.
    pub saved: PathBuf,
    /// Temporary files before they are renamed into place: `<state>/runs/<run>/tmp`.
    pub temporary: PathBuf,
}

/// Makes the work tree and artifacts those of the target ("after"). Paths not named in `activation` are
/// never touched; what is right already is not written; may be killed anywhere and run again.
///
/// Order: artifacts that only leave, put aside what is in the way, delete, write, swap artifacts, one
/// `syncfs`.
///
/// # Errors
/// The first failure; nothing is undone here.
pub fn converge_forward(
    git: &Git,
    store: &Store,
    places: &RunPlaces,
    activation: &Activation,
) -> Result<(), LayoutError> {
    Converge::begin(git, store, places, activation)?.forward()
}

/// Makes the work tree and artifacts those before: the inverse of [`converge_forward`], from wherever it
/// stopped, local edits and untracked files back in place. May be killed anywhere and run again.
///
/// What somebody else put in the way since (the new version's own data, say) is not lost: it is moved to
/// `<state>/saved/<run>-later`.
///
/// Returns the artifacts that somebody edited since they were built: they go back as they are, and no longer
/// stand for their keys.
///
/// # Errors
/// The first failure.
pub fn converge_back(
    git: &Git,
    store: &Store,
    places: &RunPlaces,
    activation: &Activation,
) -> Result<Vec<RepoPath>, LayoutError> {
    match Converge::begun(git, store, places, activation)? {
        Some(converge) => converge.back(),
        // Nothing was changed; the place for temporary files may be there already.
        None => match std::fs::remove_dir_all(&places.temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).at(&places.temporary)
            }
            _ => Ok(Vec::new()),
        },
    }
}
