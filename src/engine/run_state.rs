//! The state of a run, by its journal: which way it is on, how far that is gone, what is in the tree meanwhile, what
//! `resume` and `abort` will therefore do.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::entry::{Entry, OnFailure, Reason, Side};
use super::phase::Phase;
use super::run::Run;
use crate::check::{Expectation, LogPositions, MustListen, Proof};
use crate::config::Manager;
use crate::model::{Cause, CheckEvidence, HookMoment, Step};
use crate::system::procs::Ticks;
use crate::system::text::time_of_day;

/// Which way a run that is not over is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// To the target, and the live tree was not changed yet.
    Preparing,
    /// To the target.
    Forward,
    /// Back: what served before is being put in place again, and both `resume` and `abort` finish that.
    Back,
    /// Past the commit point: all that is left is the record, and there is nothing to abort.
    Proven,
    /// Nowhere until a person has fixed something; whose tree is in place.
    Stuck(Side),
}

/// What a run has put into the tree, or of flags into their sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lying {
    /// What lay there before the run.
    Before,
    /// Some files of the one and some of the other.
    Between,
    Target,
}

/// A command of the team's own that was interrupted and does not say that it may simply be run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The step's index in the plan.
    pub step: usize,
    /// The step's label, e.g. `reload web`.
    pub label: String,
    /// The command as it was started.
    pub command: String,
    /// What would say in gitroll.toml that it may simply be run again.
    pub declared_by: String,
}

impl Run {
    /// The place of activation among the steps: before it nothing that serves is touched.
    pub(super) fn activation(&self) -> usize {
        let prepares = |step: &Step| match step {
            // Beside what is live, while that is used: what writes is stopped first where it matters.
            Step::Stage { .. } | Step::Build(_) | Step::Copy | Step::Restore { .. } => true,
            Step::Hook(hook) => hook.moment == HookMoment::BeforeDeploy,
            _ => false,
        };
        let steps = &self.plan.steps;
        steps.iter().position(|step| !prepares(step)).unwrap_or(steps.len())
    }

    /// Which way it is on.
    pub fn course(&self) -> Course {
        match self.journal.phase() {
            Phase::Fresh => Course::Preparing,
            Phase::Forward { next, .. } => {
                let prepares = *next < self.activation();
                if prepares { Course::Preparing } else { Course::Forward }
            }
            Phase::Restoring { .. } | Phase::Restored => Course::Back,
            Phase::Proven | Phase::Closed(_) => Course::Proven,
            Phase::Stuck(side) => Course::Stuck(*side),
        }
    }

    /// What it has put into the tree, as far as it knows.
    pub fn lying(&self) -> Lying {
        // What is stopped before lets the tree lie as it is.
        let changes =
            |step: &Step| matches!(step, Step::Activate | Step::Flags(_) | Step::Swap { .. });
        let migrates = |step: &Step| matches!(step, Step::Migrate(_));
        let steps = &self.plan.steps;
        let first = steps.iter().position(changes).or_else(|| steps.iter().position(migrates));
        let first = first.unwrap_or_else(|| self.activation());
        let last = match self.plan.full {
            Some(_) => steps.iter().rposition(changes).unwrap_or(first),
            None => first,
        };
        let mut lying = Lying::Before;
        for line in self.journal.lines() {
            lying = match (&line.entry, lying) {
                (Entry::Intent { step, .. }, Lying::Before) if *step == first => Lying::Between,
                (Entry::Done { step, .. }, _) if *step == last => Lying::Target,
                (Entry::Restoring { .. }, Lying::Target) => Lying::Between,
                (Entry::TreeRestored { .. }, _) => Lying::Before,
                (_, lying) => lying,
            };
        }
        lying
    }

    /// The steps of the way it is on that were done, and those that were not, an interrupted one first.
    /// `recorded`: its act is in the chain, whether the journal says so already or not.
    pub fn progress(&self, recorded: bool) -> (Vec<String>, Vec<String>) {
        let back = matches!(self.course(), Course::Back | Course::Stuck(Side::Before));
        let mut way = if back { self.way_back() } else { self.way_forward() };
        let before_record = way.len().saturating_sub(1);
        let done = match self.journal.phase() {
            Phase::Fresh => 0,
            Phase::Forward { next, .. } => *next,
            Phase::Stuck(Side::Target) => self.last_announced(),
            Phase::Restoring { .. } | Phase::Stuck(Side::Before) => {
                usize::from(self.lying() == Lying::Before)
            }
            Phase::Proven | Phase::Restored => before_record + usize::from(recorded),
            Phase::Closed(_) => way.len(),
        };
        let left = way.split_off(done.min(way.len()));
        (way, left)
    }

    /// Whether a service was or is being made to run the target.
    pub fn reloaded(&self) -> bool {
        self.reload_was_announced()
    }

    /// Whether it was the watchdog that brought it to its end, or tries to.
    pub fn in_hands_of_watchdog(&self) -> bool {
        let lines = self.journal.lines().iter().rev();
        let by = lines.filter_map(|line| match &line.entry {
            Entry::Resumed { watchdog, .. } => Some(*watchdog),
            entry => match entry.reason()?.cause {
                Cause::AbortedByWatchdog => Some(true),
                Cause::Aborted => Some(false),
                Cause::Interrupted | Cause::Failed => None,
            },
        });
        by.into_iter().next().unwrap_or(false)
    }

    /// Whether the command that was at it since `since` ended by itself, leaving it to a person.
    pub(super) fn left_to_person(&self, since: Timestamp) -> bool {
        let stuck = matches!(self.journal.phase(), Phase::Stuck(_));
        stuck && self.journal.lines().last().is_some_and(|line| line.at >= since)
    }

    fn way_forward(&self) -> Vec<String> {
        self.plan.steps.iter().map(Step::label).collect()
    }

    /// The way back is not the plan's steps in reverse: the tree first, then forward again on it.
    fn way_back(&self) -> Vec<String> {
        let reload = |step: &&Step| matches!(step, Step::Reload { .. }) && self.reloaded();
        let reloads = self.plan.steps.iter().filter(reload).map(Step::label);
        let ends = [Step::Prove.label(), Step::Record.label()];
        std::iter::once(Step::Activate.label()).chain(reloads).chain(ends).collect()
    }

    fn last_announced(&self) -> usize {
        let announced = self.journal.lines().iter().rev().find_map(|line| match line.entry {
            Entry::Intent { step, .. } => Some(step),
            _ => None,
        });
        announced.unwrap_or(0)
    }

    /// The command of which nobody knows whether it ran to its end, where the run stopped in one.
    pub fn unsettled(&self) -> Option<Unsettled> {
        let Phase::Forward { next, announced: true } = *self.journal.phase() else { return None };
        // What failed was not interrupted.
        let command = self.command_once(next).filter(|_| !self.has_failed())?;
        let step = self.plan.steps.get(next)?;
        // What is copied before is put back and done again.
        if matches!(step, Step::Migrate(step) if step.data.is_some()) {
            return None;
        }
        let declared_by = match step {
            Step::Migrate(_) => "[migrate] data".to_owned(),
            Step::Hook(hook) => format!("[hooks] idempotent = [\"{}\"]", hook.moment.as_str()),
            _ => "idempotent = true".to_owned(),
        };
        Some(Unsettled { step: next, label: step.label(), command, declared_by })
    }

    /// The command of the team's own in a step that must not simply be repeated.
    pub(super) fn command_once(&self, step: usize) -> Option<String> {
        let service = match self.plan.steps.get(step)? {
            Step::Reload { service } => service,
            Step::Hook(hook) if !hook.idempotent => return Some(hook.run.join(" ")),
            Step::Migrate(step) => return Some(step.names().join(", ")),
            _ => return None,
        };
        let service = self.config()?.services.iter().find(|s| s.name == *service)?;
        match &service.manager {
            Manager::Command { idempotent: false, reload, stop, start, .. } => {
                let both = || format!("{} && {}", stop.join(" "), start.join(" "));
                Some(reload.as_ref().map_or_else(both, |words| words.join(" ")))
            }
            _ => None,
        }
    }

    /// When a step was done in this run, by the ticks it left: the outer `None` if it was not.
    pub(super) fn done_before(&self, wanted: usize) -> Option<Option<Ticks>> {
        self.journal.lines().iter().rev().find_map(|line| match line.entry {
            Entry::Done { step, ticks, .. } if step == wanted => Some(ticks),
            _ => None,
        })
    }

    pub(super) fn aborted(&self) -> bool {
        self.restoring().is_some_and(|reason| reason.is_person())
    }

    /// Why it is restored.
    pub(super) fn why_restored(&self) -> Reason {
        self.restoring().unwrap_or_else(|| Reason::of(Cause::Aborted))
    }

    /// Whether it is being, or was, restored.
    pub(super) fn is_restoring(&self) -> bool {
        self.restoring().is_some()
    }

    pub(super) fn restoring(&self) -> Option<Reason> {
        self.journal.lines().iter().rev().find_map(|line| line.entry.reason())
    }

    /// Whether it was stuck on its way back before.
    pub(super) fn was_stuck_before(&self) -> bool {
        self.journal
            .lines()
            .iter()
            .any(|line| matches!(line.entry, Entry::Stuck { side: Side::Before, .. }))
    }

    /// Whether what served before the run was failing then.
    pub(super) fn was_failing(&self) -> bool {
        // The last of several candidates is left for the one before it, which had failed as well.
        self.baseline().iter().any(CheckEvidence::failed)
            || self.journal.begun().is_some_and(|b| b.on_failure != OnFailure::Restore)
    }

    /// Whether nothing served here before the run: restoring what was there means that nothing serves again.
    pub fn nothing_served(&self) -> bool {
        self.journal.begun().is_some_and(|begun| begun.nothing_served)
    }

    /// The step to continue with. Since the run stopped processes may have come and gone and someone may have
    /// moved HEAD or changed files: what was activated is looked at and reloaded again before it is proven,
    /// else a check that names no version would prove whatever is there by now. What was prepared is prepared
    /// again: a build was cut off in the middle of a file, and a stage does not outlive a power cut whole.
    pub(super) fn activate_from(&self, next: usize) -> usize {
        let activation = self.activation();
        if next < activation { 0 } else { activation }
    }

    /// What the answers of what served before the run said of a cause.
    pub fn said_before(&self) -> impl Iterator<Item = &str> {
        self.baseline().iter().filter_map(|check| check.last.says.as_deref())
    }

    /// What was wrong with what served before the run; empty where that served well, or a person had stopped it.
    pub fn faults(&self) -> &[String] {
        self.journal.begun().map_or(&[], |begun| &begun.faults)
    }

    /// Where the logs ended before what is to be proven now was put in place. A person who has fixed what was
    /// stuck begins a window of its own, and so does the way back.
    pub(super) fn log_window(&self) -> Option<LogPositions> {
        self.journal.lines().iter().fold(None, |window, line| match &line.entry {
            Entry::Intent { logs: Some(logs), .. } => Some(logs.clone()),
            Entry::Done { logs: Some(later), .. } => window.map(|logs| logs.with(later.clone())),
            Entry::TreeRestored { logs, .. } => logs.clone(),
            Entry::Restoring { .. } | Entry::Stuck { .. } => None,
            _ => window,
        })
    }

    /// Where the logs ended before the run touched what serves.
    pub(super) fn logs_before(&self) -> Option<&LogPositions> {
        self.journal.lines().iter().find_map(|line| match &line.entry {
            Entry::Intent { logs, .. } => logs.as_ref(),
            _ => None,
        })
    }

    /// Whether the last thing that was done was a step that failed: the next candidate is to be tried.
    pub fn has_failed(&self) -> bool {
        let mut lines = self.journal.lines().iter().rev().map(|line| &line.entry);
        let step =
            lines.find(|entry| !matches!(entry, Entry::HookBegun { .. } | Entry::HookEnded { .. }));
        matches!(step, Some(Entry::Failed { .. }))
    }

    /// Where its process was killed, when, and who went on with it: a sentence for each time.
    pub fn interruptions(&self) -> Vec<String> {
        let lines = self.journal.lines();
        let pairs = lines.windows(2).filter_map(|pair| match pair {
            // It ended by itself where it waits for a person.
            [before, after] if !matches!(before.entry, Entry::Stuck { .. }) => {
                Some((before, after))
            }
            _ => None,
        });
        let told = pairs.filter_map(|(before, after)| {
            let Entry::Resumed { watchdog, actor, .. } = &after.entry else { return None };
            let who = match (watchdog, actor) {
                (true, _) => "the watchdog",
                (false, Some(actor)) => actor.as_str(),
                (false, None) => "somebody",
            };
            let (cut, on) = (time_of_day(before.at), time_of_day(after.at));
            let during = self.during(&before.entry);
            Some(format!("interrupted {during}after {cut}; {who} continued at {on}"))
        });
        told.collect()
    }

    /// Where the process that was at it last was killed, and when; `None` if it ended by itself.
    pub fn cut_off(&self) -> Option<String> {
        let last = self.journal.lines().last()?;
        if matches!(last.entry, Entry::Stuck { .. } | Entry::Failed { .. } | Entry::Closed { .. }) {
            return None;
        }
        let began = self.journal.begun().map_or("somebody", |begun| &begun.actor);
        let (during, at) = (self.during(&last.entry), time_of_day(last.at));
        Some(format!("started by {began}, interrupted {during}after {at}"))
    }

    /// `in reload web, `, where a line says that this was announced.
    fn during(&self, entry: &Entry) -> String {
        let Entry::Intent { step, .. } = entry else { return String::new() };
        let label = self.plan.steps.get(*step).map(Step::label);
        label.map(|label| format!("in {label}, ")).unwrap_or_default()
    }

    /// Whether a later process continues with it.
    pub(super) fn was_resumed(&self) -> bool {
        self.journal.lines().iter().any(|line| matches!(line.entry, Entry::Resumed { .. }))
    }

    pub(super) fn baseline(&self) -> &[CheckEvidence] {
        self.journal.begun().map_or(&[], |b| &b.baseline)
    }

    /// The earliest reload since the run last began to go forward.
    pub(super) fn fresh_since(&self) -> Option<Ticks> {
        let lines = self.journal.lines();
        let from =
            lines.iter().rposition(|line| matches!(line.entry, Entry::Resumed { .. })).unwrap_or(0);
        lines[from..]
            .iter()
            .filter_map(|line| match line.entry {
                Entry::Done { ticks, .. } => ticks,
                _ => None,
            })
            .min()
    }

    pub(super) fn reload_was_announced(&self) -> bool {
        self.journal.lines().iter().any(|line| match line.entry {
            Entry::Intent { step, .. } => {
                matches!(self.plan.steps.get(step), Some(Step::Reload { .. }))
            }
            _ => false,
        })
    }

    /// Whether the run stopped a service, or was about to: then it is the run that started it again.
    pub(super) fn was_stopped(&self, name: &str) -> bool {
        self.journal.lines().iter().any(|line| match line.entry {
            Entry::Intent { step, .. } => matches!(
                self.plan.steps.get(step),
                Some(Step::Quiesce { service }) if service.as_str() == name
            ),
            _ => false,
        })
    }

    pub(super) fn first_failure(&self) -> String {
        let mut restored = self.journal.lines().iter().filter_map(|line| line.entry.reason());
        let reason = self.failures().next().or_else(|| restored.next());
        reason.unwrap_or_else(|| Reason::of(Cause::Aborted)).text
    }

    /// Why its last step failed.
    pub fn last_failure(&self) -> String {
        self.failures().last().map_or_else(|| "it was interrupted".to_owned(), |last| last.text)
    }

    pub(super) fn failures(&self) -> impl Iterator<Item = Reason> {
        self.journal.lines().iter().filter_map(|line| line.entry.failure())
    }

    /// What is known of the target goes into what is to be proven of it.
    pub(super) fn shown(&self, intent: &mut Expectation) {
        let Some(begun) = self.journal.begun() else { return };
        intent.listens = std::mem::take(&mut intent.listens).and(&begun.shown.target);
        intent.tells.clone_from(&begun.shown.tells);
        intent.around.files_before.clone_from(&begun.shown.files);
    }

    /// Where the services listened before the run.
    pub(super) fn listened(&self) -> BTreeMap<String, MustListen> {
        self.journal.begun().map(|begun| begun.shown.before.clone()).unwrap_or_default()
    }

    /// The processes of the tree that no service restarts, as they were told when HEAD moved.
    pub(super) fn strays(&self) -> Vec<String> {
        let told = self.journal.lines().iter().rev().find_map(|line| match &line.entry {
            Entry::Done { step, warnings, .. } => {
                let head = matches!(self.plan.steps.get(*step), Some(Step::Head { .. }));
                head.then(|| warnings.clone())
            }
            _ => None,
        });
        told.unwrap_or_default()
    }

    /// Why the last proof is a weak one, where it is.
    pub(super) fn weakness(&self) -> Option<String> {
        self.journal.lines().iter().rev().find_map(|line| match &line.entry {
            Entry::Proven { weak, .. } | Entry::Restored { weak, .. } => Some(weak.clone()),
            _ => None,
        })?
    }

    pub(super) fn proof(&self) -> Proof {
        let found = self.journal.lines().iter().find_map(|line| match &line.entry {
            Entry::Proven { checks, services, weak, .. } => {
                Some((checks.clone(), services.clone(), weak.clone()))
            }
            _ => None,
        });
        let (checks, services, weak) = found.unwrap_or_default();
        Proof {
            proven: true,
            checks,
            services,
            weak,
            failures: Vec::new(),
            lines: Vec::new(),
            last_look: Vec::new(),
        }
    }
}
