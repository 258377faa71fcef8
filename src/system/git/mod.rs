//! Git: gix for reading and writing objects, the `git` command for the rest. Nothing outside this
//! module names gix or starts git.

mod attributes;
mod command;
mod diff;
mod environment;
mod history;
mod identity;
mod in_flight;
mod index;
mod network;
mod notes;
mod open;
mod overlay;
mod read;
mod reflog;
mod refs;
mod remains;
mod resolve;
mod settings;
mod stat_cache;
mod tags;
mod worktree;
mod write;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod testing;

use std::cell::OnceCell;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::model::{Oid, Person, RepoPath, TargetRef, TreeEntry};

pub use self::diff::{FileDiff, TreeDiff};
pub use self::in_flight::command_was_killed;
pub use self::reflog::HeadMove;
pub use self::remains::GitRemains;

use self::environment::Environment;
use self::settings::Settings;

/// One opened repository with a work tree, safe to read.
pub struct Git {
    repo: gix::Repository,
    top: PathBuf,
    git_dir: PathBuf,
    common_dir: PathBuf,
    program: PathBuf,
    environment: Environment,
    settings: OnceCell<Settings>,
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
    /// Owned by somebody else.
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
    #[error("{0} is a partial clone: its old versions are not here")]
    Partial(PathBuf),
    /// Sparse checkout: files are missing.
    #[error("{0} is a sparse checkout: not all of its files are here")]
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
    #[error("{name:?} names no commit here")]
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

/// Where HEAD is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its commit.
    pub commit: Oid,
    /// The branch (`refs/heads/…`) it is on; `None` when detached.
    pub branch: Option<String>,
}

/// A ref as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// Full name; may hold bytes that are not safe to print.
    pub name: String,
    /// The object it points to, unpeeled.
    pub id: Oid,
}

/// A tag under `refs/tags/`, looked at closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The ref.
    pub target: TargetRef,
    /// What it is.
    pub kind: TagKind,
}

/// What a tag ref points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagKind {
    /// A commit, without a tag object.
    Lightweight(Oid),
    /// A tag object on a commit.
    Annotated {
        /// The commit.
        commit: Oid,
        /// The name inside the object, which should be the ref's.
        own_name: String,
        /// Whether it carries a signature (not whether that is good).
        signed: bool,
        /// Tagger, where it has one.
        tagger: Option<Person>,
    },
    /// A tag on a tag, a tree or a blob, an empty or broken ref: with the reason it cannot be used.
    Unusable(String),
}

/// A commit's head lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: Oid,
    /// Its tree.
    pub tree: Oid,
    /// Its parents.
    pub parents: Vec<Oid>,
    /// Who wrote it, and when.
    pub author: Person,
    /// The whole message; escape before printing.
    pub message: String,
}

/// A tracked path that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeChange {
    /// The path.
    pub path: RepoPath,
    /// In the first tree.
    pub before: Option<TreeEntry>,
    /// In the second.
    pub after: Option<TreeEntry>,
}

/// The kinds of object gitroll writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A blob.
    Blob,
    /// A tag object.
    Tag,
}

/// One ref to change, with what it must be before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefEdit {
    /// Full name.
    pub name: String,
    /// The new object; `None` deletes.
    pub new: Option<Oid>,
    /// What it must be now; `None` means it must not exist.
    pub old: Option<Oid>,
}

/// What a fetch came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Tags (full names) that are others on the remote; the ones here were kept.
    pub moved_tags: Vec<String>,
}

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// All refs are on the remote.
    Done,
    /// The remote has another history of one's own chain: the checkout was copied.
    Rejected(String),
    /// The remote could not be reached or refused.
    Failed(String),
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
