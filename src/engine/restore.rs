//! The way back of a run: the tree, then forward again on it: reload, prove.

use std::time::{Duration, Instant};

use super::ended::Ended;
use super::entry::Entry;
use super::execute::{Executor, millis, pass};
use super::phase::Side;
use super::prove::no_worse;
use super::{EngineError, StepError, steps};
use crate::model::{Narration, Outcome};
use crate::system::signals;

impl Executor<'_, '_> {
    pub(super) fn restore_tree(&mut self) -> Result<Option<Ended>, EngineError> {
        let begin = Instant::now();
        (self.narrator)(Narration::Begin { step: "activate".to_owned() });
        let restored = pass("restore tree", "before")
            .and_then(|()| steps::restore_tree(self.site, &self.run))
            .and_then(|()| pass("restore tree", "after"));
        match restored {
            Ok(()) => {
                let took = begin.elapsed();
                self.write(Entry::TreeRestored { millis: millis(took) })?;
                (self.narrator)(Narration::Done { step: "activate".to_owned(), took });
                Ok(None)
            }
            Err(error) => self.stuck_before("activate", begin.elapsed(), &error),
        }
    }

    pub(super) fn compensate(&mut self) -> Result<Option<Ended>, EngineError> {
        let begin = Instant::now();
        let touched = self.run.reload_was_announced() || self.run.was_reloaded_above(self.site);
        let result =
            steps::compensate(self.site, &self.run, &self.config_before, touched, self.narrator);
        let result = result.and_then(|done| pass("compensate", "after").map(|()| done));
        let (proof, reloads) = match result {
            Ok(done) => done,
            Err(error) => return self.stuck_before("reload", begin.elapsed(), &error),
        };
        if proof.proven || no_worse(&proof, self.run.baseline()) {
            let reloading = reloads.iter().map(|(_, millis)| Duration::from_millis(*millis)).sum();
            let took = begin.elapsed().saturating_sub(reloading);
            self.write(Entry::Restored {
                checks: proof.checks,
                services: proof.services,
                millis: millis(took),
                reloads,
            })?;
            (self.narrator)(Narration::Done { step: "prove".to_owned(), took });
            return Ok(None);
        }
        let error = StepError::NotProven { failures: proof.failures, lines: proof.lines };
        if !signals::leave_asked() && self.run.aborted() && self.run.was_failing() {
            let why = self.tell_failure("prove", begin.elapsed(), &error)?;
            let _ = self.record(Outcome::Failed)?;
            self.write(Entry::Closed { outcome: Some(Outcome::Failed) })?;
            return Ok(Some(Ended::PutBack { why }));
        }
        self.stuck_before("prove", begin.elapsed(), &error)
    }

    fn stuck_before(
        &mut self,
        label: &str,
        took: Duration,
        error: &StepError,
    ) -> Result<Option<Ended>, EngineError> {
        if signals::leave_asked() {
            return Ok(None);
        }
        let why = self.tell_failure(label, took, error)?;
        // A person who aborts what was stuck on its way back already wants the way free.
        if self.run.aborted() && self.run.was_stuck_before() {
            let _ = self.record(Outcome::Failed)?;
            self.write(Entry::Closed { outcome: Some(Outcome::Failed) })?;
            return Ok(Some(Ended::GivenUp { why }));
        }
        self.write(Entry::Stuck { side: Side::Before, why })?;
        Ok(None)
    }
}
