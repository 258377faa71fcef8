//! Why a point could not be made, read or restored.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::{DataName, PointId};

/// Why something about points failed. Nothing of the app was changed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no repository of points here yet.
    #[error("there are no points here yet: {} does not exist", dir.display())]
    NoRepository {
        /// Where it would be.
        dir: PathBuf,
    },
    /// There is no such point.
    #[error("there is no point {id}")]
    NoSuchPoint {
        /// As it was asked for.
        id: String,
    },
    /// A path is not in the point.
    #[error("{point} does not contain {path}")]
    NoSuchPath {
        /// The point.
        point: PointId,
        /// The path.
        path: String,
    },
    /// The password file is gone, but the repository is there.
    #[error("the password of the points is missing: {}", file.display())]
    PasswordMissing {
        /// Where it should be.
        file: PathBuf,
    },
    /// The password file cannot be made where it belongs.
    #[error("the password of the points cannot be stored: {}: {source}", file.display())]
    PasswordUnwritable {
        /// Where it belongs.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the password, or it is no plain file.
    #[error("{}: {problem}", file.display())]
    PasswordUnsafe {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The password does not open the repository.
    #[error("the password in {} does not open {}", file.display(), dir.display())]
    WrongPassword {
        /// The password file.
        file: PathBuf,
        /// The repository.
        dir: PathBuf,
    },
    /// Another gitroll works on the points.
    #[error("another gitroll command is working on the points in {}", dir.display())]
    Busy {
        /// Their directory.
        dir: PathBuf,
    },
    /// restic works on the repository.
    #[error("restic has locked the points: {}", lock.display())]
    LockedByRestic {
        /// Its lock.
        lock: PathBuf,
    },
    /// The repository is damaged or cannot be used.
    #[error("the repository of points in {}: {problem}", dir.display())]
    Repository {
        /// Its directory.
        dir: PathBuf,
        /// What it said.
        problem: String,
    },
    /// One item could not be copied, or not be tried.
    #[error("{name}: {problem}")]
    Item {
        /// The NAME of its section.
        name: DataName,
        /// Why.
        problem: String,
    },
    /// There is not enough space.
    #[error("{} has {free} free, and this needs up to {needed}", place.display())]
    NoSpace {
        /// Where.
        place: PathBuf,
        /// In words.
        free: String,
        /// In words.
        needed: String,
    },
    /// A place for restored files that is not free.
    #[error("{}: {problem}", place.display())]
    Place {
        /// The directory.
        place: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The points could not be copied away.
    #[error("the points were not copied away: `{command}`: {why}")]
    Offsite {
        /// The command of `[points] offsite`.
        command: String,
        /// Why.
        why: String,
    },
    /// A person stopped it.
    #[error("stopped; no point was made")]
    Stopped,
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataError {
    /// Wraps an I/O error of `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| DataError::Io { path, source }
    }

    /// Something about one item.
    pub(super) fn item(name: &DataName, problem: impl Into<String>) -> Self {
        DataError::Item { name: name.clone(), problem: problem.into() }
    }
}
