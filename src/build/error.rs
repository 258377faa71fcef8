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
