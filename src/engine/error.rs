//! Why a run could not continue, and why a step failed.

use std::io;
use std::path::PathBuf;

use super::journal::JournalError;
use super::run::{Run, UnreadableConfig};
use crate::build::BuildError;
use crate::data::DataError;
use crate::flag::FlagError;
use crate::layout::LayoutError;
use crate::ledger::LedgerError;
use crate::model::{
    Cause, DataName, FlagName, FlagSourceName, PointId, RepoPath, Served, ServiceName,
};
use crate::service::ServiceError;
use crate::system::git::GitError;

/// Why a run could not continue, as opposed to a step that failed and was answered.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal cannot be written or believed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run could not be begun: nothing of it is left.
    #[error("cannot start a run: {0}")]
    NotBegun(JournalError),
    /// The plan's configuration no longer parses: another version of gitroll made it.
    #[error("the plan's configuration cannot be read: {0}")]
    Config(#[from] UnreadableConfig),
    /// The run is past its commit point.
    #[error("too late to abort: {} was already observed serving", .0.plan.to)]
    TooLate(Box<Run>),
    /// The record could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The flags that a service is handed as it starts could not be read.
#[derive(Debug, thiserror::Error)]
#[error("flags of {name}: {source}")]
pub struct EnvironmentError {
    pub name: FlagSourceName,
    pub source: FlagError,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("{service}: {source}")]
    Service { service: String, source: ServiceError },
    #[error("{}", .failures.join("; "))]
    NotProven { failures: Vec<String>, lines: Vec<(String, String)> },
    #[error("the plan's configuration cannot be read: {0}")]
    Config(#[from] UnreadableConfig),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// What a crash test asked for.
    #[error(transparent)]
    Failpoint(io::Error),
    #[error(transparent)]
    Journal(JournalError),
    #[error("service {0} is not in the configuration")]
    NoService(String),
    #[error("{0} was changed since it was built")]
    Edited(RepoPath),
    #[error("the plan has no proof")]
    NoProof,
    #[error("HEAD was moved to {found} while {proven} was proven")]
    HeadMoved { found: String, proven: Served },
    #[error(
        "{files} changed after {proven} was put in place; if the app writes these files, list them in [app] local"
    )]
    Written { files: String, proven: Served },
    #[error("[flags] has no source {0}")]
    NoFlagSource(FlagSourceName),
    #[error("{name}: {source}")]
    FlagSource { name: FlagSourceName, source: FlagError },
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("{service}: {source}")]
    NotStarted { service: ServiceName, source: EnvironmentError },
    #[error("the value of {0} is no longer known")]
    ValueLost(FlagName),
    #[error("{flag} was not seen {wanted} in the running app: {why}")]
    NotSeen { flag: FlagName, wanted: String, why: String },
    #[error("{0} is not a signal that this version sends")]
    NoSignal(String),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("{0} is no longer the point that was planned")]
    OtherPoint(PointId),
    #[error("{0} is not declared any more")]
    NotDeclared(DataName),
    #[error("the plan does not say what goes back")]
    NoFullPlan,
    #[error("there is no default {0}")]
    NoDefault(RepoPath),
    #[error("{command}: {why}")]
    Apply { command: String, why: String },
    #[error("{problem}")]
    Hook { problem: String, lines: Vec<(String, String)> },
    /// A database was not changed, or not put back.
    #[error("{0}")]
    Migration(String),
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<StepError>),
}

impl StepError {
    /// All of them as one; `None` if there are none.
    pub(crate) fn all(mut errors: Vec<StepError>) -> Option<Self> {
        if errors.len() > 1 { Some(StepError::Several(errors)) } else { errors.pop() }
    }

    pub(crate) fn cause(&self) -> Cause {
        match self {
            StepError::Interrupted(_) => Cause::Interrupted,
            _ => Cause::Failed,
        }
    }

    /// The lines of output that say more, each with its source.
    pub(crate) fn lines(&self) -> Vec<(String, String)> {
        match self {
            StepError::Build(BuildError::Command { lines, .. }) => {
                lines.iter().map(|line| ("build".to_owned(), line.clone())).collect()
            }
            StepError::NotProven { lines, .. } | StepError::Hook { lines, .. } => lines.clone(),
            StepError::Service { service, source: ServiceError::Down { lines, .. } } => {
                lines.iter().map(|line| (service.clone(), line.clone())).collect()
            }
            StepError::Several(errors) => errors.iter().flat_map(StepError::lines).collect(),
            _ => Vec::new(),
        }
    }
}
