//! Runs: the executor, its journal, undo and compensation.
//!
//! A run executes a frozen [`Plan`](crate::model::Plan). Every step is announced in the journal before its
//! effect and confirmed after it, both fsynced, and observes before it acts: a step may be interrupted
//! anywhere and done again. The line `proven` is the commit point. Before it a failing run restores what
//! served; after it the run can only continue to its record.

mod cleanup;
mod data;
mod eject;
mod entry;
mod error;
mod executor;
mod flags;
mod hooks;
mod journal;
mod legacy;
mod lock;
mod migrate;
mod nested_runs;
mod output;
mod phase;
mod prove;
mod record;
mod run;
mod run_state;
mod steps;
pub mod watchdog;

pub use cleanup::{AtWork, Note, begun_at, clean, forget, saved_for, tidy};
pub use data::{brought_back, default_of, kept_dir, runs_that_keep_data};
pub use eject::{
    Branch, EjectError, Ejection, carry_out as eject, finish as finish_eject, plan as eject_plan,
};
pub use entry::{Further, OnFailure, Reason, Side, Terms};
pub use error::EngineError;
pub use executor::{Ended, Repeat, abort, execute, resume, settle, undo};
pub use flags::{
    environment as flag_environment, question as flag_question, question_name as flag_question_name,
};
pub use journal::JournalError;
pub use lock::{Held, KEEPING, Lock, LockError};
pub use output::kept_output;
pub use phase::Phase;
pub use record::{
    LONG_WAIT, SHORT_WAIT, append, append_or_queue, by_watchdog, host_name, other_records, project,
    project_all, publish, published_head, queued, queued_drafts, sign_queued, unprojected,
    was_stopped,
};
pub use run::{Attempt, Run, attempts, fresh_id, hidden_flags, last_run, open_runs};
pub use run_state::{Course, Lying, Unsettled};
