//! Runs: the executor, its journal, undo and compensation.
//!
//! A run executes a frozen [`Plan`](crate::model::Plan). Every step is announced in the journal before its
//! effect and confirmed after it, both fsynced, and observes before it acts: a step may be interrupted
//! anywhere and done again. The line `proven` is the commit point. Before it a failing run restores what
//! served; after it the run can only go on to its record.

mod at_work;
mod cause;
mod cleanup;
mod eject;
mod ended;
mod entry;
mod executor;
mod flags;
mod in_turn;
mod journal;
mod legacy;
mod lock;
mod nested_runs;
mod outlook;
mod phase;
mod prove;
mod record;
mod reserve;
mod restore;
mod run;
mod run_state;
mod steps;
pub mod watchdog;

pub use at_work::{AtWork, Note};
pub use cause::{Reason, by_watchdog, was_stopped};
pub use cleanup::clean;
pub use eject::{
    Branch, EjectError, Ejection, carry_out as eject, finish as finish_eject, plan as eject_plan,
};
pub use ended::{Ended, Repeat};
pub use entry::{Further, OnFailure, Terms};
pub use executor::{abort, execute, resume, undo};
pub use flags::{
    environment as flag_environment, hidden_of as hidden_flags, question as flag_question,
    question_name as flag_question_name,
};
pub use journal::JournalError;
pub use lock::{Held, Lock, LockError};
pub use nested_runs::settle;
pub use outlook::{Course, Lying};
pub use phase::{Phase, Side};
pub use record::{append, host_name, publish, published_head, queued, sign_queued};
pub use run::{Run, forget, last_run, open_runs, tidy};
pub use run_state::Unsettled;

use crate::build::BuildError;
use crate::layout::LayoutError;
use crate::ledger::LedgerError;
use crate::model::Cause;
use crate::service::ServiceError;
use crate::system::git::GitError;

/// Why a run could not go on, as opposed to a step that failed and was answered.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal cannot be written or believed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run could not be begun: nothing of it is left.
    #[error("no run can be begun: {0}")]
    NotBegun(JournalError),
    /// The plan's configuration no longer parses: another version of gitroll made it.
    #[error("the plan's configuration cannot be read: {0}")]
    Config(String),
    /// The run is past its commit point.
    #[error("it is too late to abort: {} was observed serving", .0.plan.to)]
    TooLate(Box<Run>),
    /// The record could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
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
    #[error("{0}")]
    Files(String),
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<StepError>),
}

impl StepError {
    /// All of them as one; `None` where there are none.
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
            StepError::NotProven { lines, .. } => lines.clone(),
            StepError::Service { service, source: ServiceError::Down { lines, .. } } => {
                lines.iter().map(|line| (service.clone(), line.clone())).collect()
            }
            StepError::Several(errors) => errors.iter().flat_map(StepError::lines).collect(),
            _ => Vec::new(),
        }
    }
}
