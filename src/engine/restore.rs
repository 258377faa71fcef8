//! The way back of a run: the tree, then forward again on it: reload, prove.

use std::time::{Duration, Instant};

use super::ended::Ended;
use super::entry::Entry;
use super::executor::{Executor, millis, pass};
use super::phase::Side;
use super::prove::log_window;
use super::{EngineError, StepError, steps};
use crate::ledger;
use crate::model::{Event, Narration, Outcome, Step};
use crate::system::signals;

impl Executor<'_, '_> {
    /// What served before was seen serving again by a process that was killed since: everything once more.
    pub(super) fn restore_again(&mut self) -> Result<(), EngineError> {
        Ok(self.write(Entry::restoring(self.run.why_restored()))?)
    }

    /// The intended version was seen serving by a process that was killed since. There is no way back any
    /// more, but whether it still serves has to be seen: services that went down are started.
    pub(super) fn finish_proven_before(&mut self) -> Result<Ended, EngineError> {
        let step = Step::Prove.label();
        let begin = Instant::now();
        (self.narrator)(Narration::Begin { step: step.clone() });
        steps::start_after_interruption(self.site, &self.run, &self.config);
        let proof = self.prove_target(None);
        let why = if proof.proven { self.head_moved() } else { Some(proof.failures.join("; ")) };
        if let Some(signal) = signals::stop_asked().filter(|_| !proof.proven) {
            // What was proven is not undone: it is looked at again later.
            let what = StepError::Interrupted(signal).to_string();
            (self.narrator)(Narration::Failed { step, what, lines: Vec::new() });
            return Ok(Ended::Left { run: self.run.id.clone() });
        }
        let Some(why) = why else {
            (self.narrator)(Narration::Done { step, took: begin.elapsed() });
            return self.finish_proven();
        };
        self.finish_proven()?;
        Ok(Ended::NoLonger { why, lines: proof.lines })
    }

    pub(super) fn restore_tree(&mut self) -> Result<Option<Ended>, EngineError> {
        super::cleanup::after_killed_git(self.site);
        self.wait_for_locks();
        let begin = Instant::now();
        (self.narrator)(Narration::Begin { step: "activate".to_owned() });
        let restored = pass("restore tree", "before")
            .and_then(|()| steps::restore_tree(self.site, &self.run, &self.config))
            .and_then(|back| pass("restore tree", "after").map(|()| back));
        match restored {
            Ok(steps::TreeBack { mut failures, .. }) if !failures.is_empty() => {
                // The files are those of before: what was stopped for them need not wait for the rest.
                let (config, touched) = (&self.config_before, self.touched());
                let services =
                    steps::services_back(self.site, &self.run, config, touched, self.narrator);
                failures.extend(services.failures);
                let error = StepError::Several(failures);
                self.stuck_before("activate", begin.elapsed(), &error)
            }
            Ok(back) => {
                let took = begin.elapsed();
                // What serves again may say what it must as soon as it is reloaded.
                let (config, run) = (&self.config_before, &self.run);
                let logs = log_window(self.site, config, &run.plan.from, &run.id);
                for text in &back.notes {
                    (self.narrator)(Narration::Warning { text: text.clone() });
                }
                self.write(Entry::TreeRestored {
                    millis: millis(took),
                    logs,
                    notes: back.notes.clone(),
                })?;
                (self.narrator)(Narration::Done { step: "activate".to_owned(), took });
                self.warn_of_changed(&back.edited);
                Ok(None)
            }
            Err(error) => self.stuck_before("activate", begin.elapsed(), &error),
        }
    }

    /// Another tool's git may hold a lock for a moment, at which index and HEAD could not be written.
    pub(super) fn wait_for_locks(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        let binding = &self.site.binding;
        let chain = ledger::chain_ref(&binding.environment, &binding.writer);
        let begin = Instant::now();
        let mut told = false;
        while let Some(lock) = self.site.git.locks_in_the_way(&chain).first() {
            if begin.elapsed() >= PATIENCE || signals::leave_asked() {
                return;
            }
            if !told {
                let text = format!("waiting at most 10 s: {} is in the way", lock.display());
                (self.narrator)(Narration::Warning { text });
                told = true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn compensate(&mut self) -> Result<Option<Ended>, EngineError> {
        let begin = Instant::now();
        let touched = self.touched();
        let result =
            steps::compensate(self.site, &self.run, &self.config_before, touched, self.narrator);
        let result = result.and_then(|done| pass("compensate", "after").map(|()| done));
        let (proof, reloads) = match result {
            Ok(done) => done,
            Err(error) => return self.stuck_before("reload", begin.elapsed(), &error),
        };
        // What failed before and fails again serves no better for it: only what every check saw was observed.
        if proof.proven {
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
        // Flags are put back before anything deeper is tried, also onto what was failing.
        let wanted = self.run.aborted() || self.run.plan.event == Event::Flags;
        if !signals::leave_asked() && wanted && self.run.was_failing() {
            let why = self.tell_failure("prove", begin.elapsed(), &error)?;
            let _ = self.record(Outcome::Failed)?;
            self.write(Entry::Closed { outcome: Some(Outcome::Failed) })?;
            return Ok(Some(Ended::PutBack { why }));
        }
        self.stuck_before("prove", begin.elapsed(), &error)
    }

    fn touched(&self) -> bool {
        self.run.reload_was_announced() || self.run.was_reloaded_above(self.site)
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
