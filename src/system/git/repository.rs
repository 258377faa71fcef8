//! An opened repository, and what can be wrong with one.

use std::cell::OnceCell;
use std::fmt;
use std::path::{Path, PathBuf};

use super::config::{Environment, Settings};

/// One opened repository with a work tree, safe to read.
pub struct Git {
    pub(super) repo: gix::Repository,
    pub(super) top: PathBuf,
    pub(super) git_dir: PathBuf,
    pub(super) common_dir: PathBuf,
    pub(super) program: PathBuf,
    pub(super) environment: Environment,
    pub(super) settings: OnceCell<Settings>,
}

/// Why a repository is refused. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither here nor above.
    #[error("{0} is not inside a git repository")]
    NotARepository(PathBuf),
    /// No work tree.
    #[error("{0} is a bare repository: gitroll deploys a work tree")]
    Bare(PathBuf),
    /// Owned by someone else.
    #[error("{path} belongs to {owner}, not to {user}")]
    ForeignOwner {
        /// The repository.
        path: PathBuf,
        /// Its owner.
        owner: String,
        /// Who we are.
        user: String,
    },
    /// reftable, or an extension gitroll does not know.
    #[error("{path} uses the repository extension {extension:?}, which gitroll does not support")]
    Extension {
        /// The repository.
        path: PathBuf,
        /// e.g. `refstorage = reftable`.
        extension: String,
    },
    /// Partial clone: objects are missing.
    #[error("{0} is a partial clone: its old versions are not available here")]
    Partial(PathBuf),
    /// Sparse checkout: files are missing.
    #[error("{0} is a sparse checkout: some of its files are not here")]
    Sparse(PathBuf),
    /// Something else.
    #[error("{path}: {problem}")]
    Broken {
        /// The repository.
        path: PathBuf,
        /// What git says.
        problem: String,
    },
}

/// Why a git operation failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// An object is not there or cannot be read.
    #[error("object {id}: {problem}")]
    Object {
        /// The object.
        id: String,
        /// Why.
        problem: String,
    },
    /// A ref moved, exists, is missing or cannot be written.
    #[error("ref {name}: {problem}")]
    Ref {
        /// The full name.
        name: String,
        /// Why.
        problem: String,
    },
    /// A name names nothing.
    #[error("{name:?} does not name a commit here")]
    Unknown {
        /// As typed.
        name: String,
    },
    /// A name names several things.
    #[error("{name:?} is ambiguous: {}", .meanings.join(", "))]
    Ambiguous {
        /// As typed.
        name: String,
        /// Full names or ids.
        meanings: Vec<String>,
    },
    /// A git command failed.
    #[error("git {verb}: {problem}")]
    Command {
        /// e.g. `fetch`.
        verb: String,
        /// Its last telling lines.
        problem: String,
    },
    /// A git command ran longer than its limit.
    #[error("git {verb} did not end within {seconds} s")]
    TimedOut {
        /// e.g. `fetch`.
        verb: String,
        /// The limit.
        seconds: u64,
    },
    /// Files could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Git {
    /// The top of the work tree, canonical.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The git directory of this work tree, canonical.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Every directory, and the log of HEAD, that recording and moving HEAD write to. What is not there yet
    /// is left out.
    pub fn written_places(&self) -> Vec<PathBuf> {
        let mut places = vec![self.git_dir.clone(), self.common_dir.clone()];
        for top in ["objects", "refs", "logs"] {
            directories_of(&self.common_dir.join(top), 6, &mut places);
        }
        let logs = [&self.git_dir, &self.common_dir].map(|dir| dir.join("logs/HEAD"));
        places.extend(logs.into_iter().filter(|log| log.exists()));
        places.sort();
        places.dedup();
        places
    }

    /// gitroll's own directory in it, `<git dir>/gitroll` (not made here).
    pub fn state_dir(&self) -> PathBuf {
        self.git_dir().join("gitroll")
    }
}

fn directories_of(dir: &Path, depth: usize, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    into.push(dir.to_owned());
    for entry in entries.flatten().filter(|_| depth > 0) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            directories_of(&entry.path(), depth - 1, into);
        }
    }
}

impl fmt::Debug for Git {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Git").field("top", &self.top).field("git_dir", &self.git_dir).finish()
    }
}
