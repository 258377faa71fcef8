//! What to do when a line of the journal could not be written: the disk is full, or does not answer.

use std::time::Duration;

use super::{Ended, EngineError, Executor, JournalError, StepError};
use crate::engine::phase::Phase;
use crate::engine::reserve;

impl Executor<'_, '_> {
    /// Answers a lost line like a step that failed; what was being restored or recorded is tried once more.
    /// A second lost line ends the command and leaves the run open: nothing can be said of it any more.
    pub(in crate::engine) fn lost_line(
        &mut self,
        error: EngineError,
    ) -> Result<Option<Ended>, EngineError> {
        if self.lost_a_line || !matches!(error, EngineError::Journal(JournalError::Io { .. })) {
            return Err(error);
        }
        self.lost_a_line = true;
        reserve::release(self.site, &self.run.id);
        match *self.run.journal.phase() {
            Phase::Forward { next, .. } => {
                let error = StepError::Files(error.to_string());
                self.failed(next, "journal", Duration::ZERO, error)
            }
            _ => Ok(None),
        }
    }
}
