//! Executing a plan, going on with an open run, undoing one.

use std::time::{Duration, Instant};

use super::cause::Reason;
use super::ended::{Ended, Repeat};
use super::entry::{Begun, Entry, OnFailure, Terms};
use super::journal::JournalError;
use super::phase::{Answer, Phase, Side, answer};
use super::record;
use super::run::Run;
use super::{EngineError, StepError, flags, reserve, steps, watchdog};
use crate::config::Config;
use crate::ledger;
use crate::model::{Cause, CheckedPlan, Narration, Narrator, Outcome, Step};
use crate::site::Site;
use crate::system::procs::ProcessId;
use crate::system::signals;
use crate::system::{clock, failpoint};

mod lost_line;
mod proving;
mod telling;

/// Executes a checked plan.
///
/// # Errors
/// Only when the run cannot be journalled or recorded; a failing step is an [`Ended`].
pub fn execute(
    site: &Site,
    checked: &CheckedPlan,
    terms: Terms,
    narrator: &mut Narrator<'_>,
) -> Result<Ended, EngineError> {
    let begun = Begun {
        journal: Begun::VERSION,
        plan: checked.plan().digest().to_string(),
        actor: site.actor.clone(),
        process: ProcessId::of(std::process::id()),
        on_failure: terms.on_failure,
        baseline: terms.baseline,
        follows: terms.follows,
        further: terms.further,
    };
    // Whatever is wrong is found while there is no run.
    steps::configurations(checked.plan())?;
    let mut run = Run::begin(site, checked, begun).map_err(EngineError::NotBegun)?;
    run.by_watchdog = terms.by_watchdog;
    reserve::hold(site, &run);
    Executor::new(site, run, narrator)?.drive()
}

/// Goes on with an open run: forward to the target, or to the end of its restoration. An unsettled command
/// ([`Run::unsettled`]) needs a `repeat` other than `None`, else it is run again.
///
/// # Errors
/// As [`execute`].
pub fn resume(
    site: &Site,
    run: Run,
    repeat: Repeat,
    narrator: &mut Narrator<'_>,
) -> Result<Ended, EngineError> {
    let at = match run.journal.phase() {
        Phase::Forward { next, .. } => activate_from(&run, *next),
        Phase::Stuck(Side::Target) => activate_from(&run, run.plan.steps.len()),
        _ => 0,
    };
    let unsettled = run.unsettled();
    let mut executor = Executor::new(site, run, narrator)?;
    executor.redo = repeat == Repeat::Redo;
    if let (Some(unsettled), Repeat::Done) = (unsettled, repeat) {
        executor.write(Entry::Done {
            step: unsettled.step,
            label: unsettled.label,
            millis: 0,
            output: vec![format!("done, says {}", site.actor)],
            ticks: None,
            logs: None,
        })?;
    }
    executor.guard();
    let (process, watchdog) = (ProcessId::of(std::process::id()), executor.run.by_watchdog);
    executor.write(Entry::Resumed { at, process, watchdog })?;
    if *executor.run.journal.phase() == Phase::Restored {
        executor.restore_again()?;
    }
    executor.drive()
}

/// Undoes an open run: what served before is put back and proven.
///
/// # Errors
/// [`EngineError::TooLate`] after the commit point; else as [`execute`].
pub fn abort(site: &Site, run: Run, narrator: &mut Narrator<'_>) -> Result<Ended, EngineError> {
    // The watchdog never gives up on a run as a person may.
    let cause = if run.by_watchdog { Cause::AbortedByWatchdog } else { Cause::Aborted };
    undo(site, run, Reason::of(cause), narrator)
}

/// As [`abort`], for another reason: of a run that was open beneath one which was [`Ended::Undone`].
///
/// # Errors
/// As [`abort`].
pub fn undo(
    site: &Site,
    run: Run,
    reason: Reason,
    narrator: &mut Narrator<'_>,
) -> Result<Ended, EngineError> {
    let mut executor = Executor::new(site, run, narrator)?;
    match executor.run.journal.phase().clone() {
        Phase::Proven | Phase::Closed(Some(Outcome::Succeeded)) => {
            return Err(EngineError::TooLate(Box::new(executor.run)));
        }
        Phase::Forward { next, .. }
            if next < steps::activation(&executor.run.plan)
                && !steps::went_down(site, &executor.run, &executor.config_before) =>
        {
            return executor.drop_prepared(reason.text);
        }
        Phase::Forward { .. } | Phase::Restoring { .. } | Phase::Stuck(_) => {
            executor.guard();
            executor.write(Entry::restoring(reason))?;
        }
        Phase::Restored => {
            executor.guard();
            executor.restore_again()?;
        }
        Phase::Fresh | Phase::Closed(_) => {}
    }
    executor.drive()
}

/// The step to go on with. Since the run stopped processes may have come and gone and somebody may have
/// moved HEAD or changed files: what was activated is looked at and reloaded again before it is proven,
/// else a check that names no version would prove whatever lies there by now. What was prepared is prepared
/// anew: a build was cut off in the middle of a file, and a stage does not outlive a power cut whole.
fn activate_from(run: &Run, next: usize) -> usize {
    let activation = steps::activation(&run.plan);
    if next < activation { 0 } else { activation }
}

pub(super) struct Executor<'a, 'n> {
    pub(super) site: &'a Site,
    pub(super) run: Run,
    pub(super) config: Config,
    pub(super) config_before: Config,
    pub(super) narrator: &'a mut Narrator<'n>,
    /// Commands that were done in this run already are run again.
    redo: bool,
    /// The watchdog is armed, or this is the watchdog.
    guarded: bool,
    /// A line of the journal could not be written.
    lost_a_line: bool,
    /// This process saw the intended version serve, not one that was killed since.
    saw_it: bool,
}

impl<'a, 'n> Executor<'a, 'n> {
    pub(super) fn new(
        site: &'a Site,
        run: Run,
        narrator: &'a mut Narrator<'n>,
    ) -> Result<Self, EngineError> {
        let (mut config, config_before) = steps::configurations(&run.plan)?;
        let hidden = flags::hidden_of(site, &run.id);
        config.checks.extend(flags::questions(&config, &run.plan, &hidden));
        let guarded = run.by_watchdog;
        let (redo, lost_a_line, saw_it) = (false, false, false);
        Ok(Self { site, run, config, config_before, narrator, redo, guarded, lost_a_line, saw_it })
    }

    pub(super) fn drive(self) -> Result<Ended, EngineError> {
        let (site, by_watchdog) = (self.site, self.run.by_watchdog);
        let (guarded, follows) = (self.run.guarded_as().clone(), !self.run.follows().is_empty());
        let ended = self.go();
        let goes_on = match &ended {
            Ok(Ended::Abandoned { .. } | Ended::Undone { .. }) => true,
            Ok(Ended::Untouched { .. }) => follows,
            _ => false,
        };
        if !by_watchdog && !goes_on {
            watchdog::disarm(site, &guarded);
        }
        ended
    }

    /// Arms the watchdog, once, before the first step that touches what serves.
    fn guard(&mut self) {
        let untouched = match self.run.journal.phase() {
            Phase::Forward { next, .. } => *next < steps::activation(&self.run.plan),
            phase => *phase == Phase::Fresh || phase.is_closed(),
        };
        if self.guarded || untouched {
            return;
        }
        self.guarded = true;
        let Some(after) = self.config.run.watchdog else { return };
        if let Err(why) = watchdog::arm(self.site, self.run.guarded_as(), after) {
            let text = format!("nothing finishes this run if it is killed: no watchdog: {why}");
            (self.narrator)(Narration::Warning { text });
        }
    }

    fn go(mut self) -> Result<Ended, EngineError> {
        loop {
            self.guard();
            let ended = match self.advance() {
                Err(error) => self.lost_line(error)?,
                Ok(ended) => ended,
            };
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    /// Does the next thing; `None` where there is more to do.
    fn advance(&mut self) -> Result<Option<Ended>, EngineError> {
        let phase = self.run.journal.phase().clone();
        let undecided = matches!(phase, Phase::Forward { .. } | Phase::Restoring { .. });
        if undecided && signals::leave_asked() {
            return Ok(Some(Ended::Left { run: self.run.id.clone() }));
        }
        match phase {
            Phase::Forward { next, .. } => {
                match (signals::stop_asked(), self.run.plan.steps.get(next)) {
                    (Some(signal), Some(step)) => {
                        let label = step.label();
                        let error = StepError::Interrupted(signal);
                        self.failed(next, &label, Duration::ZERO, error)
                    }
                    _ => self.forward(next),
                }
            }
            Phase::Proven if self.saw_it => self.finish_proven().map(Some),
            Phase::Proven => self.finish_proven_before().map(Some),
            Phase::Restoring { tree: false } => self.restore_tree(),
            Phase::Restoring { tree: true } if self.is_above_another()? => {
                self.hand_back().map(Some)
            }
            Phase::Restoring { tree: true } => self.compensate(),
            Phase::Restored => self.finish_restored().map(Some),
            Phase::Stuck(side) => {
                let why = self.run.last_failure();
                Ok(Some(Ended::Stuck { side, why, run: self.run.id.clone() }))
            }
            Phase::Fresh | Phase::Closed(_) => {
                Ok(Some(Ended::Untouched { why: "the run is over".to_owned() }))
            }
        }
    }

    fn forward(&mut self, next: usize) -> Result<Option<Ended>, EngineError> {
        let Some(step) = self.run.plan.steps.get(next).cloned() else {
            let why = "the plan has no proof".to_owned();
            return self.failed(next, "prove", Duration::ZERO, StepError::Files(why));
        };
        if matches!(step, Step::Activate | Step::Head { .. }) {
            self.wait_for_locks();
        }
        let again = self.run.command_once(next).filter(|_| !self.redo);
        let before = again.and_then(|_| self.run.done_before(next));
        let logs = self.window_opened(next);
        self.write(Entry::Intent { step: next, logs })?;
        (self.narrator)(Narration::Begin { step: step.label() });
        let begin = Instant::now();
        if step == Step::Prove {
            if let Err(error) = pass("prove", "before") {
                return self.failed(next, "prove", begin.elapsed(), error);
            }
            steps::start_after_interruption(self.site, &self.run, &self.config);
            self.warn_of_edits();
            let since = self.run.fresh_since();
            let proof = self.prove_target(since);
            if let (true, Some(why)) = (proof.proven, self.head_moved()) {
                return self.failed(next, "prove", begin.elapsed(), StepError::Files(why));
            }
            if let (false, Some(signal)) = (proof.proven, signals::stop_asked()) {
                let error = StepError::Interrupted(signal);
                return self.failed(next, "prove", begin.elapsed(), error);
            }
            if !proof.proven {
                let error = StepError::NotProven { failures: proof.failures, lines: proof.lines };
                return self.failed(next, "prove", begin.elapsed(), error);
            }
            let served = &self.run.plan.to;
            let flags = match flags::look(self.site, &self.run, &self.config, served, &proof.checks)
            {
                Ok(flags) => flags,
                Err(error) => return self.failed(next, "prove", begin.elapsed(), error),
            };
            self.write(Entry::Proven {
                checks: proof.checks,
                services: proof.services,
                millis: millis(begin.elapsed()),
                flags,
            })?;
            self.saw_it = true;
            (self.narrator)(Narration::Done { step: step.label(), took: begin.elapsed() });
            return Ok(None);
        }
        let perform = || match before {
            // Not idempotent, and done in this run: what came of it is proven, not made again.
            Some(ticks) => Ok(steps::Effect { output: vec!["not repeated".to_owned()], ticks }),
            None => steps::perform(self.site, &self.run, &self.config, &step),
        };
        let mut logs = None;
        let performed = pass(&step.label(), "before")
            .and_then(|()| self.noting_last_words(&step, perform, &mut logs))
            .and_then(|effect| pass(&step.label(), "after").map(|()| effect));
        match performed {
            Ok(effect) => {
                if let Step::Flags(_) = step {
                    for text in &effect.output {
                        (self.narrator)(Narration::Warning { text: text.clone() });
                    }
                }
                self.write(Entry::Done {
                    step: next,
                    label: step.label(),
                    millis: millis(begin.elapsed()),
                    output: effect.output,
                    ticks: effect.ticks,
                    logs,
                })?;
                (self.narrator)(Narration::Done { step: step.label(), took: begin.elapsed() });
                Ok(None)
            }
            Err(error) => self.failed(next, &step.label(), begin.elapsed(), error),
        }
    }

    fn failed(
        &mut self,
        step: usize,
        label: &str,
        took: Duration,
        error: StepError,
    ) -> Result<Option<Ended>, EngineError> {
        if signals::leave_asked() {
            // The next turn of the drive ends here: what was begun stays as it is.
            return Ok(None);
        }
        let why = self.tell_failure(label, took, &error)?;
        let policy = self.run.journal.begun().map_or(OnFailure::Restore, |b| b.on_failure);
        // Who stops a run wants what was there before, however that was.
        let stopped = signals::stop_asked();
        let policy = if stopped.is_some() { OnFailure::Restore } else { policy };
        let reason = match stopped {
            Some(_) => Reason::of(Cause::Interrupted),
            None => Reason { cause: error.cause(), text: why },
        };
        match answer(step, steps::activation(&self.run.plan), policy) {
            Answer::Drop => {
                let _ = steps::drop_stage(self.site, &self.run);
                self.write(Entry::Closed { outcome: None })?;
                Ok(Some(Ended::Untouched { why: reason.text }))
            }
            Answer::Restore => {
                (self.narrator)(Narration::Restoring);
                self.write(Entry::restoring(reason))?;
                Ok(None)
            }
            Answer::Abandon => {
                // Open as it stands: nobody chose this state, and a kill from here on must not leave it to itself.
                let _ = steps::drop_stage(self.site, &self.run);
                Ok(Some(Ended::Abandoned { why: reason.text }))
            }
            Answer::Stay => {
                self.write(Entry::Stuck { side: Side::Target, why: reason.text })?;
                Ok(None)
            }
        }
    }

    pub(super) fn finish_proven(&mut self) -> Result<Ended, EngineError> {
        reserve::release(self.site, &self.run.id);
        self.close_beneath()?;
        let record = self.record(Outcome::Succeeded)?;
        let host = self.site.host(&self.run.plan.to, self.run.id.as_str());
        for service in &self.config.services {
            if let Err(error) = crate::service::remember(&host, service) {
                let text = format!("{}: its definition was not kept: {error}", service.name);
                (self.narrator)(Narration::Warning { text });
            }
        }
        let _ = steps::drop_stage(self.site, &self.run);
        let proof = self.run.proof();
        self.write(Entry::Closed { outcome: Some(Outcome::Succeeded) })?;
        Ok(Ended::Serving { proof, record })
    }

    fn finish_restored(&mut self) -> Result<Ended, EngineError> {
        let record = self.record(Outcome::Restored)?;
        let why = self.run.first_failure();
        self.write(Entry::Closed { outcome: Some(Outcome::Restored) })?;
        Ok(Ended::Restored { why, record })
    }

    fn drop_prepared(&mut self, why: String) -> Result<Ended, EngineError> {
        let _ = steps::drop_stage(self.site, &self.run);
        self.write(Entry::Closed { outcome: None })?;
        Ok(Ended::Untouched { why })
    }

    pub(super) fn record(
        &mut self,
        outcome: Outcome,
    ) -> Result<Result<Box<ledger::Entry>, String>, EngineError> {
        let result = record::record(self.site, &self.run, outcome)?;
        match &result {
            Ok(entry) => self.write(Entry::Recorded {
                seq: entry.record.seq.0,
                digest: entry.digest.to_string(),
            })?,
            Err(why) => self.write(Entry::Queued { why: why.clone() })?,
        }
        Ok(result.map(Box::new))
    }

    pub(super) fn write(&mut self, entry: Entry) -> Result<(), JournalError> {
        let over = matches!(entry, Entry::Closed { .. });
        self.run.journal.write(entry, clock::now())?;
        if over {
            flags::forget(self.site, &self.run, &self.config);
        }
        Ok(())
    }
}

/// A place of the crash tests around something that a step does.
pub(super) fn pass(what: &str, when: &str) -> Result<(), StepError> {
    failpoint::pass(&format!("{what} {when}")).map_err(|e| StepError::Files(e.to_string()))
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
