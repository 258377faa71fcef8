//! How runs end.

use super::cause::Reason;
use super::phase::Side;
use crate::check::Proof;
use crate::ledger;
use crate::model::RunId;

/// How a run ended, or where it stopped.
#[derive(Debug)]
pub enum Ended {
    /// The intended version was observed serving.
    Serving {
        /// What was observed.
        proof: Proof,
        /// The record; `None` when it could not be signed and is queued, with why.
        record: Result<Box<ledger::Entry>, String>,
    },
    /// It was observed serving before this program was killed; now it does not serve. The run is over and
    /// recorded.
    NoLonger {
        /// What is wrong now.
        why: String,
        /// The log lines of services that failed: service name and line.
        lines: Vec<(String, String)>,
    },
    /// It failed before anything that serves was touched.
    Untouched {
        /// Why.
        why: String,
    },
    /// It failed; what served before was restored and observed serving.
    Restored {
        /// Why.
        why: String,
        /// The record, as above.
        record: Result<Box<ledger::Entry>, String>,
    },
    /// It failed, what served before was failing too, the target's tree is in place. The run is open: another
    /// that follows it tries the next candidate, or a person is needed.
    Abandoned {
        /// Why.
        why: String,
    },
    /// A run that follows others was taken back to where it began, and is over. The one before it is open and is
    /// taken back now: nothing was proven yet.
    Undone {
        /// Why.
        why: Reason,
    },
    /// A person gave up on it: what served before is in place again, failing as it was. The run is over.
    PutBack {
        /// What is wrong with it.
        why: String,
    },
    /// A person gave up on a run that could not be restored. It is over, as it stands.
    GivenUp {
        /// What is wrong.
        why: String,
    },
    /// A person wanted everything left as it stands; the run is open.
    Left {
        /// The run.
        run: RunId,
    },
    /// A person is needed; the run is open.
    Stuck {
        /// Which tree is in place.
        side: Side,
        /// Why.
        why: String,
        /// The run.
        run: RunId,
    },
}

/// What about commands of the team's own that do not say that they may be run again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Repeat {
    /// What was done is not done again; there is none that was interrupted.
    #[default]
    None,
    /// The interrupted one ran to its end, a person says.
    Done,
    /// They are run again, a person says.
    Redo,
}
