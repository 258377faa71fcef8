//! Why a build failed.

use std::path::PathBuf;

use crate::config::quote;
use crate::model::{GroupName, RepoPath};
use crate::system::git::GitError;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A command failed.
    #[error("`{command}` {how}")]
    Command {
        /// The argument vector, joined for people.
        command: String,
        /// `exited with 1`, `was not found`, `did not end within 900 s`.
        how: String,
        /// The lines of its output that matter.
        lines: Vec<String>,
    },
    /// A declared output was not made.
    #[error("the build did not produce {0}")]
    NoOutput(String),
    /// What the commands wrote beside the outputs, and the live tree has in another version: the app would serve
    /// with that.
    #[error(
        "build {group} also wrote {}, which is not one of its outputs, and the live tree has a different version of \
         it: add {} to `outputs` of [[build]] {group} in gitroll.toml, or to `scratch` if the running app does not read it",
        .paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        .paths.iter().map(|path| quote(&path.to_string())).collect::<Vec<_>>().join(", ")
    )]
    Undeclared {
        /// The group.
        group: GroupName,
        /// As they would have to be declared.
        paths: Vec<RepoPath>,
    },
    /// What the commands wrote into files of the commit: the app would serve with what is committed.
    #[error(
        "build {group} also wrote {}, which git tracks, so the app would run with the committed version: remove it from \
         git (git rm --cached), ignore it and add it to `outputs` of [[build]] {group} in gitroll.toml; or add {} to \
         `scratch` if the running app does not read it",
        .paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        .paths.iter().map(|path| quote(&path.to_string())).collect::<Vec<_>>().join(", ")
    )]
    Tracked {
        /// The group.
        group: GroupName,
        /// The files.
        paths: Vec<RepoPath>,
    },
    /// What the commands wrote outside the repository, beside the directory they ran in.
    #[error(
        "build {group} wrote {}, outside the repository: builds run in a directory of their own, so it never reaches \
         the place beside the app; let it write inside the repository, and add that to `outputs` of [[build]] {group}",
        .names.iter().map(|name| format!("../{name}")).collect::<Vec<_>>().join(", ")
    )]
    Outside {
        /// The group.
        group: GroupName,
        /// Beside the repository.
        names: Vec<String>,
    },
    /// An output of an earlier group is neither kept nor live any more.
    #[error("{0}, which an earlier group made, is no longer kept")]
    NeedGone(RepoPath),
    /// A file cannot be read or written, e.g. a carried one.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
}
