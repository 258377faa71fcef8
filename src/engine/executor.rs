//! Executing a plan, going on with an open run, undoing one.

use std::time::{Duration, Instant};

use super::entry::{Begun, Entry, OnFailure, Reason, RunResult, Side, Terms};
use super::error::{EngineError, StepError};
use super::journal::JournalError;
use super::nested_runs::{beneath, close_beneath};
use super::output::Effect;
use super::phase::{Answer, Phase, answer};
use super::prove::{
    changes_unseen, edited, head_moved, intended, list, log_window, moved_meanwhile, prove,
    witnessed,
};
use super::run::{Configs, Run, hidden_flags, hold_room, release_room};
use super::{cleanup, data, flags, hooks, record, steps, watchdog};
use crate::check::{LogPositions, LogWindow, Proof};
use crate::config::Config;
use crate::ledger;
use crate::model::{
    Cause, CheckedPlan, Event, Narration, Narrator, Outcome, Redactor, RepoPath, RunId, Step,
};
use crate::service;
use crate::site::Site;
use crate::system::procs::{ProcessId, Ticks};
use crate::system::signals::{self, Until};
use crate::system::{clock, failpoint};

/// How a run ended, or where it stopped.
#[derive(Debug)]
pub enum Ended {
    /// The intended version was observed serving.
    Serving {
        /// What was observed.
        proof: Proof,
        /// Processes that go on with the code they have, in words.
        strays: Vec<String>,
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
    Untouched { why: String },
    /// It failed; what served before was restored and observed serving.
    Restored {
        why: String,
        /// The record, as above.
        record: Result<Box<ledger::Entry>, String>,
        /// Nothing served before, and nothing does again.
        nothing_served: bool,
        /// Why that is a weak proof, where it is one.
        weak: Option<String>,
    },
    /// It failed, what served before was failing too, the target's tree is in place. The run is open: another
    /// that follows it tries the next candidate, or a person is needed.
    Abandoned { why: String },
    /// A run that follows others was taken back to where it began, and is over. The one before it is open and is
    /// taken back now: nothing was proven yet.
    Undone { why: Reason },
    /// A person gave up on it: what served before is in place again. It was failing before, and either fails still or
    /// passes its checks for now, which proves nothing. The run is over.
    PutBack {
        /// What is, or was, wrong with it.
        why: String,
        /// How many checks passed, and how long they were watched, where they did.
        passed: Option<(usize, Duration)>,
    },
    /// The migrations were taken back, which is all that was wanted; what serves fails, as it did before. The run is over.
    Migrated {
        /// What is wrong with what serves.
        why: String,
        /// The record, as above.
        record: Result<Box<ledger::Entry>, String>,
    },
    /// A person gave up on a run that could not be restored. It is over, as it stands.
    GivenUp {
        /// What is wrong.
        why: String,
    },
    /// A person wanted everything left as it stands; the run is open.
    Left { run: RunId },
    /// A person is needed; the run is open.
    Stuck {
        /// Which tree is in place.
        side: Side,
        why: String,
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
        shown: terms.shown,
        faults: terms.faults,
        vouched: terms.vouched,
        nothing_served: terms.nothing_served,
        waited_millis: millis(terms.waited),
        approvals: terms.approvals,
    };
    // Whatever is wrong is found while there is no run.
    let configs = Configs::of(checked.plan());
    configs.both()?;
    let mut run = Run::begin(site, checked, configs, begun).map_err(EngineError::NotBegun)?;
    run.by_watchdog = terms.by_watchdog;
    hold_room(site, &run);
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
        Phase::Forward { next, .. } => run.activate_from(*next),
        Phase::Stuck(Side::Target) => run.activate_from(run.plan.steps.len()),
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
            output: vec![format!("done, confirmed by {}", site.actor)],
            warnings: Vec::new(),
            ticks: None,
            logs: None,
            brought_back: None,
            point: None,
        })?;
    }
    executor.guard();
    let (process, watchdog) = (ProcessId::of(std::process::id()), executor.run.by_watchdog);
    let actor = Some(site.actor.clone());
    executor.write(Entry::Resumed { at, process, watchdog, actor })?;
    if *executor.run.journal.phase() == Phase::Restored {
        executor.restore_again()?;
    }
    executor.drive()
}

/// Undoes an open run: what served before is restored and proven.
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
            if next < executor.run.activation()
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

/// Leaves an abandoned run to a person: there is no other candidate, or it could not even be begun with. Where a
/// signal came in between it is undone, or left as it stands.
///
/// # Errors
/// When that cannot be journalled.
pub fn settle(site: &Site, run: Run, narrator: &mut Narrator<'_>) -> Result<Ended, EngineError> {
    if signals::leave_asked() {
        return Ok(Ended::Left { run: run.id });
    }
    if signals::stop_asked().is_some() {
        return undo(site, run, Reason::of(Cause::Interrupted), narrator);
    }
    let mut executor = Executor::new(site, run, narrator)?;
    if matches!(executor.run.journal.phase(), Phase::Forward { .. }) {
        let why = executor.run.last_failure();
        executor.write(Entry::Stuck { side: Side::Target, why })?;
    }
    executor.drive()
}

struct Executor<'a, 'n> {
    site: &'a Site,
    run: Run,
    config: Config,
    config_before: Config,
    narrator: &'a mut Narrator<'n>,
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
    fn new(site: &'a Site, run: Run, narrator: &'a mut Narrator<'n>) -> Result<Self, EngineError> {
        let (config, config_before) = run.configs()?;
        let (mut config, config_before) = (config.clone(), config_before.clone());
        let hidden = hidden_flags(site, &run.id);
        config.checks.extend(flags::questions(&config, &run.plan, &hidden));
        let guarded = run.by_watchdog;
        let (redo, lost_a_line, saw_it) = (false, false, false);
        Ok(Self { site, run, config, config_before, narrator, redo, guarded, lost_a_line, saw_it })
    }

    fn drive(mut self) -> Result<Ended, EngineError> {
        let (site, by_watchdog) = (self.site, self.run.by_watchdog);
        let (guarded, follows) = (self.run.guarded_as().clone(), !self.run.follows().is_empty());
        let ended = loop {
            self.guard();
            let step = match self.advance() {
                Err(error) => self.lost_line(error),
                step => step,
            };
            match step {
                Ok(None) => {}
                Ok(Some(ended)) => break Ok(ended),
                Err(error) => break Err(error),
            }
        };
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
            Phase::Forward { next, .. } => *next < self.run.activation(),
            phase => *phase == Phase::Fresh || phase.is_closed(),
        };
        if self.guarded || untouched {
            return;
        }
        self.guarded = true;
        let Some(after) = self.config.run.watchdog else { return };
        if let Err(why) = watchdog::arm(self.site, self.run.guarded_as(), after) {
            let text = format!("there is no watchdog to finish this run if it is killed: {why}");
            (self.narrator)(Narration::Warning { text });
        }
    }

    /// Does the next thing; `None` if there is more to do.
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
            Phase::Proven if self.saw_it => self.finish_proven(RunResult::Proven).map(Some),
            Phase::Proven => self.finish_proven_before().map(Some),
            Phase::Restoring { tree: false } => self.restore_tree(),
            Phase::Restoring { tree: true } if self.is_above_another()? => {
                self.hand_back().map(Some)
            }
            Phase::Restoring { tree: true } => self.compensate(),
            Phase::Restored => self.finish_restored().map(Some),
            Phase::Stuck(side) => {
                self.hooks(RunResult::Stuck)?;
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
            return self.failed(next, "prove", Duration::ZERO, StepError::NoProof);
        };
        if matches!(step, Step::Activate | Step::Head { .. }) {
            self.wait_for_locks();
        }
        // A hook that came to its end is not what a person wants to see again.
        let redo = self.redo && !matches!(step, Step::Hook(_) | Step::Migrate(_));
        let again = self.run.command_once(next).filter(|_| !redo);
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
            let edited = edited(self.site, &self.run, &self.config);
            if !edited.is_empty() {
                let text = format!(
                    "edited here, different from {}: {}",
                    self.run.plan.to.name,
                    list(&edited)
                );
                (self.narrator)(Narration::Warning { text });
            }
            let since = self.run.fresh_since();
            let proof = self.prove_target(since);
            let moved = || moved_meanwhile(self.site, &self.run, &self.config, &edited);
            if let Some(error) = Some(proof.proven).filter(|proven| *proven).and_then(|_| moved()) {
                return self.failed(next, "prove", begin.elapsed(), error);
            }
            if let (false, Some(signal)) = (proof.proven, signals::stop_asked()) {
                let error = StepError::Interrupted(signal);
                return self.failed(next, "prove", begin.elapsed(), error);
            }
            if !proof.proven && self.changes_the_schema_of_what_fails() {
                return self.close_migrated(begin.elapsed(), proof).map(Some);
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
            let witnessed = witnessed(self.site, &self.run, &self.config, served, &proof);
            self.write(Entry::Proven {
                checks: proof.checks,
                services: proof.services,
                millis: millis(begin.elapsed()),
                flags,
                weak: proof.weak,
                witnessed,
            })?;
            self.saw_it = true;
            (self.narrator)(Narration::Done { step: step.label(), took: begin.elapsed() });
            return Ok(None);
        }
        let mut logs = None;
        let performed = if let Err(error) = pass(&step.label(), "before") {
            Err(error)
        } else if let Some(ticks) = before {
            // Not idempotent, and done in this run: what came of it is proven, not made again.
            let output = vec!["not repeated".to_owned()];
            let effect = Effect { output, ticks, ..Effect::default() };
            flags::noting_last_words(
                self.site,
                &self.run,
                &self.config,
                &step,
                || Ok(effect),
                &mut logs,
            )
        } else {
            let narrator = &mut *self.narrator;
            let perform = || steps::perform(self.site, &self.run, &self.config, &step, narrator);
            flags::noting_last_words(self.site, &self.run, &self.config, &step, perform, &mut logs)
        };
        let performed = performed.and_then(|effect| pass(&step.label(), "after").map(|()| effect));
        match performed {
            Ok(effect) => {
                for text in &effect.warnings {
                    (self.narrator)(Narration::Warning { text: text.clone() });
                }
                self.write(Entry::Done {
                    step: next,
                    label: step.label(),
                    millis: millis(begin.elapsed()),
                    output: effect.output,
                    warnings: effect.warnings,
                    ticks: effect.ticks,
                    logs,
                    brought_back: effect.brought_back.map(Box::new),
                    point: effect.point,
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
        match answer(step, self.run.activation(), policy) {
            Answer::Drop => self.drop_prepared(reason.text).map(Some),
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

    fn finish_proven(&mut self, result: RunResult) -> Result<Ended, EngineError> {
        release_room(self.site, &self.run.id);
        close_beneath(self.site, &self.run)?;
        self.hooks(result)?;
        let record = self.record(Outcome::Succeeded)?;
        let host = self.site.host(&self.run.plan.to, self.run.id.as_str());
        for service in &self.config.services {
            if let Err(error) = service::remember(&host, service) {
                let text = format!("{}: its definition was not stored: {error}", service.name);
                (self.narrator)(Narration::Warning { text });
            }
        }
        let _ = steps::drop_stage(self.site, &self.run);
        let proof = self.run.proof();
        self.write(Entry::Closed { outcome: Some(Outcome::Succeeded) })?;
        let strays = self.run.strays();
        Ok(Ended::Serving { proof, strays, record })
    }

    fn finish_restored(&mut self) -> Result<Ended, EngineError> {
        self.hooks(RunResult::Restored)?;
        let nothing_served = self.run.nothing_served();
        let outcome = if nothing_served { Outcome::Failed } else { Outcome::Restored };
        let record = self.record(outcome)?;
        let why = self.run.first_failure();
        self.write(Entry::Closed { outcome: Some(outcome) })?;
        let weak = self.run.weakness();
        Ok(Ended::Restored { why, record, nothing_served, weak })
    }

    fn drop_prepared(&mut self, why: String) -> Result<Ended, EngineError> {
        let _ = steps::drop_stage(self.site, &self.run);
        data::drop_prepared(self.site, &self.run, &self.config_before);
        // Else the run beneath it goes on, and tells how that was.
        if self.run.follows().is_empty() {
            self.hooks(RunResult::Untouched)?;
        }
        self.write(Entry::Closed { outcome: None })?;
        Ok(Ended::Untouched { why })
    }

    /// The commands of the team's own that come when the run ended so.
    fn hooks(&mut self, result: RunResult) -> Result<(), EngineError> {
        hooks::at_end(self.site, &mut self.run, result, self.narrator)
    }

    fn record(
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

    fn write(&mut self, entry: Entry) -> Result<(), JournalError> {
        let over = matches!(entry, Entry::Closed { .. });
        self.run.trace(&entry);
        self.run.journal.write(entry, clock::now())?;
        if over {
            flags::forget(self.site, &self.run, &self.config);
            data::tidy(self.site, &self.run);
        }
        Ok(())
    }

    /// Where the logs end, before the first step that touches what serves: from there on they speak of what is put
    /// in place. A run that continues keeps to what it said first.
    fn window_opened(&self, next: usize) -> Option<LogPositions> {
        let run = &self.run;
        let activation = run.activation();
        let nothing = run.plan.steps.get(activation) == Some(&Step::Prove);
        if next < activation || nothing || run.log_window().is_some() {
            return None;
        }
        log_window(self.site, &self.config, &run.plan.from, &run.id)
    }

    fn prove_target(&mut self, since: Option<Ticks>) -> Proof {
        let plan = &self.run.plan;
        let not = Some(&plan.from).filter(|from| from.commit != plan.to.commit);
        let (run, until) = (&self.run.id, Until::Stopped);
        let mut intent = intended(self.site, &self.config, &plan.to, run, not, since, until);
        let logs = self.run.log_window();
        intent.around.window = logs.map(|logs| LogWindow { must: logs.clone(), must_not: logs });
        intent.around.untold = flags::untold(plan);
        intent.around.redactor = self.redactor();
        self.run.shown(&mut intent);
        intent.changed = since.is_none() && changes_unseen(self.site, plan);
        prove(self.site, &self.config, plan, &intent, self.narrator)
    }

    /// What served before was seen serving again by a process that was killed since: everything once more.
    fn restore_again(&mut self) -> Result<(), EngineError> {
        Ok(self.write(Entry::restoring(self.run.why_restored()))?)
    }

    /// The intended version was seen serving by a process that was killed since. There is no way back any
    /// more, but whether it still serves has to be seen: services that went down are started.
    fn finish_proven_before(&mut self) -> Result<Ended, EngineError> {
        let step = Step::Prove.label();
        let begin = Instant::now();
        (self.narrator)(Narration::Begin { step: step.clone() });
        steps::start_after_interruption(self.site, &self.run, &self.config);
        let proof = self.prove_target(None);
        let why = match proof.proven {
            true => head_moved(self.site, &self.run).map(|error| error.to_string()),
            false => Some(proof.failures.join("; ")),
        };
        if let Some(signal) = signals::stop_asked().filter(|_| !proof.proven) {
            // What was proven is not undone: it is looked at again later.
            let what = StepError::Interrupted(signal).to_string();
            (self.narrator)(Narration::Failed { step, what, lines: Vec::new() });
            return Ok(Ended::Left { run: self.run.id.clone() });
        }
        let Some(why) = why else {
            (self.narrator)(Narration::Done { step, took: begin.elapsed() });
            return self.finish_proven(RunResult::Proven);
        };
        self.finish_proven(RunResult::Failed)?;
        Ok(Ended::NoLonger { why, lines: proof.lines })
    }

    fn restore_tree(&mut self) -> Result<Option<Ended>, EngineError> {
        cleanup::after_killed_git(self.site);
        self.wait_for_locks();
        let begin = Instant::now();
        (self.narrator)(Narration::Begin { step: "activate".to_owned() });
        let restored = pass("restore tree", "before")
            .and_then(|()| steps::restore_tree(self.site, &self.run, &self.config))
            .and_then(|back| pass("restore tree", "after").map(|()| back));
        match restored {
            Ok(steps::TreeBack { mut failures, .. }) if !failures.is_empty() => {
                // The files are the previous ones: what was stopped for them need not wait for the rest.
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
    fn wait_for_locks(&mut self) {
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
                let text = format!("waiting up to 10 s: {} is in the way", lock.display());
                (self.narrator)(Narration::Warning { text });
                told = true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn compensate(&mut self) -> Result<Option<Ended>, EngineError> {
        if self.run.nothing_served() {
            return self.stop_again();
        }
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
        if proof.proven && !self.run.faults().is_empty() {
            let asked = proof.checks.iter().filter(|check| check.passed).count();
            let why = self.run.faults().join("; ");
            return self.close_put_back(why, Some((asked, begin.elapsed())));
        }
        if proof.proven {
            let (config, from) = (&self.config_before, &self.run.plan.from);
            let witnessed = witnessed(self.site, &self.run, config, from, &proof);
            let reloading = reloads.iter().map(|(_, millis)| Duration::from_millis(*millis)).sum();
            let took = begin.elapsed().saturating_sub(reloading);
            self.write(Entry::Restored {
                checks: proof.checks,
                services: proof.services,
                millis: millis(took),
                reloads,
                weak: proof.weak,
                witnessed,
            })?;
            (self.narrator)(Narration::Done { step: "prove".to_owned(), took });
            return Ok(None);
        }
        let error = StepError::NotProven { failures: proof.failures, lines: proof.lines };
        // Flags and data are restored before anything deeper is tried, also onto what was failing.
        let plan = &self.run.plan;
        let parts = plan.event == Event::Flags || plan.migrates().is_some() || plan.full.is_some();
        let wanted = self.run.aborted() || parts;
        if !signals::leave_asked() && wanted && self.run.was_failing() {
            let why = self.tell_failure("prove", begin.elapsed(), &error)?;
            return self.close_put_back(why, None);
        }
        self.stuck_before("prove", begin.elapsed(), &error)
    }

    /// Nothing served before, so nothing is proven going back: what the run started is stopped.
    fn stop_again(&mut self) -> Result<Option<Ended>, EngineError> {
        const STEP: &str = "stop";
        let begin = Instant::now();
        (self.narrator)(Narration::Begin { step: STEP.to_owned() });
        if let Err(error) = steps::stop_started(self.site, &self.run) {
            return self.stuck_before(STEP, begin.elapsed(), &error);
        }
        let took = begin.elapsed();
        self.write(Entry::Restored {
            checks: Vec::new(),
            services: Vec::new(),
            millis: millis(took),
            reloads: Vec::new(),
            weak: None,
            witnessed: None,
        })?;
        (self.narrator)(Narration::Done { step: STEP.to_owned(), took });
        Ok(None)
    }

    /// Ends with what was failing before in place again: nothing of it is proven.
    fn close_put_back(
        &mut self,
        why: String,
        passed: Option<(usize, Duration)>,
    ) -> Result<Option<Ended>, EngineError> {
        self.hooks(RunResult::Failed)?;
        let _ = self.record(Outcome::Failed)?;
        self.write(Entry::Closed { outcome: Some(Outcome::Failed) })?;
        Ok(Some(Ended::PutBack { why, passed }))
    }

    /// Whether this run changes nothing but the schema, and what serves was failing before: that it still fails says
    /// nothing against the older schema, which was wanted for another version.
    fn changes_the_schema_of_what_fails(&self) -> bool {
        let failing = self.run.was_failing() || !self.run.faults().is_empty();
        self.run.plan.event == Event::Migrate && failing
    }

    /// Ends with the migrations taken back and what serves failing as before.
    fn close_migrated(&mut self, took: Duration, proof: Proof) -> Result<Ended, EngineError> {
        let error = StepError::NotProven { failures: proof.failures, lines: proof.lines };
        let why = self.tell_failure("prove", took, &error)?;
        release_room(self.site, &self.run.id);
        self.hooks(RunResult::Failed)?;
        let record = self.record(Outcome::Failed)?;
        self.write(Entry::Closed { outcome: Some(Outcome::Failed) })?;
        Ok(Ended::Migrated { why, record })
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
            self.hooks(RunResult::Failed)?;
            let _ = self.record(Outcome::Failed)?;
            self.write(Entry::Closed { outcome: Some(Outcome::Failed) })?;
            return Ok(Some(Ended::GivenUp { why }));
        }
        self.write(Entry::Stuck { side: Side::Before, why })?;
        Ok(None)
    }

    fn is_above_another(&self) -> Result<bool, EngineError> {
        Ok(!beneath(self.site, &self.run)?.is_empty())
    }

    /// The tree is that of the run beneath again, whose services are not wanted: that one is undone next.
    fn hand_back(&mut self) -> Result<Ended, EngineError> {
        let why = self.run.why_restored();
        let _ = self.record(Outcome::Failed)?;
        self.write(Entry::Closed { outcome: Some(Outcome::Failed) })?;
        Ok(Ended::Undone { why })
    }

    /// What was restored and is not what was built any more.
    fn warn_of_changed(&mut self, outputs: &[RepoPath]) {
        for output in outputs {
            let text = format!(
                "{output} was changed since it was built; it is restored with these changes"
            );
            (self.narrator)(Narration::Warning { text });
        }
    }

    /// Takes the app's secrets out, and those that this run sets flags to and from.
    fn redactor(&self) -> Redactor {
        let hidden = hidden_flags(self.site, &self.run.id);
        self.site.redactor(&self.config).and(hidden.redactor())
    }

    /// Tells and journals a failure, the app's secrets taken out; returns it in one line.
    fn tell_failure(
        &mut self,
        label: &str,
        took: Duration,
        error: &StepError,
    ) -> Result<String, EngineError> {
        let redactor = self.redactor();
        let what = redactor.text(&error.to_string());
        let lines: Vec<(String, String)> = error
            .lines()
            .into_iter()
            .map(|(source, line)| (source, redactor.text(&line)))
            .collect();
        (self.narrator)(Narration::Failed {
            step: label.to_owned(),
            what: what.clone(),
            lines: lines.clone(),
        });
        let why = format!("{label}: {what}");
        self.write(Entry::Failed {
            label: label.to_owned(),
            millis: millis(took),
            why: what,
            cause: Some(error.cause()),
            lines,
        })?;
        Ok(why)
    }

    /// Answers a lost line like a step that failed; what was being restored or recorded is tried once more.
    /// A second lost line ends the command and leaves the run open: nothing can be said of it any more.
    fn lost_line(&mut self, error: EngineError) -> Result<Option<Ended>, EngineError> {
        let error = match error {
            EngineError::Journal(error @ JournalError::Io { .. }) if !self.lost_a_line => error,
            error => return Err(error),
        };
        self.lost_a_line = true;
        release_room(self.site, &self.run.id);
        match *self.run.journal.phase() {
            Phase::Forward { next, .. } => {
                self.failed(next, "journal", Duration::ZERO, StepError::Journal(error))
            }
            _ => Ok(None),
        }
    }
}

/// A place of the crash tests around something that a step does.
fn pass(what: &str, when: &str) -> Result<(), StepError> {
    failpoint::pass(&format!("{what} {when}")).map_err(StepError::Failpoint)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
