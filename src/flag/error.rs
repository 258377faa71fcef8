//! What can go wrong with a source of flags.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::FlagName;

/// Why flags could not be read or changed. Says where and what to do; never what a flag is set to.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// A file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is not read or not changed as it is.
    #[error("{path}: {problem}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        problem: String,
    },
    /// Something else changed the file each time, between reading and replacing it.
    #[error("{path}: something else keeps changing it; try again when that stops")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A flag that this source cannot hold, or not with this value.
    #[error("flag {name}: {problem}")]
    Flag {
        /// The flag.
        name: FlagName,
        /// Why, and what to do.
        problem: String,
    },
    /// A flag that was set and is not what it was set to.
    #[error("flag {name}: {problem}")]
    Unseen {
        /// The flag.
        name: FlagName,
        /// In words.
        problem: &'static str,
    },
    /// The admin API.
    #[error("{question}: {problem}")]
    Api {
        /// `GET http://127.0.0.1:8080/flags`
        question: String,
        /// What came of it.
        problem: String,
        /// Nothing of what was sent can take effect later.
        settled: bool,
    },
    /// The secret of the API.
    #[error("the token of the API: {0}")]
    Token(String),
    /// A command.
    #[error("{command}: {problem}")]
    Command {
        /// As in `gitroll.toml`.
        command: String,
        /// What came of it.
        problem: String,
        /// It ended by itself: nothing of it can take effect later.
        settled: bool,
    },
    /// A test asked for it, or the disk is full.
    #[error(transparent)]
    Stopped(io::Error),
}

impl FlagError {
    /// Whether what was begun is over: what a flag is set to now it stays.
    pub(super) fn settled(&self) -> bool {
        match self {
            Self::Api { settled, .. } | Self::Command { settled, .. } => *settled,
            Self::Token(_) | Self::Flag { .. } => true,
            Self::Io { .. }
            | Self::Refused { .. }
            | Self::Busy { .. }
            | Self::Unseen { .. }
            | Self::Stopped(_) => false,
        }
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }

    pub(super) fn refused(path: &Path, problem: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn flag(name: &FlagName, problem: impl Into<String>) -> Self {
        Self::Flag { name: name.clone(), problem: problem.into() }
    }
}
