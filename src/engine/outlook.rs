//! How an open run stands for who did not follow it: which way it is on, how far that is gone, what lies in
//! the tree meanwhile, what `resume` and `abort` will therefore do. All of it is read from its journal.

use jiff::Timestamp;

use super::entry::Entry;
use super::phase::{Phase, Side};
use super::run::Run;
use super::steps;
use crate::model::{Cause, Step};

/// Which way a run that is not over is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// To the target, and nothing that serves was touched yet.
    Preparing,
    /// To the target.
    Forward,
    /// Back: what served before is being put in place again, and both `resume` and `abort` finish that.
    Back,
    /// Past the commit point: all that is left is the record, and there is nothing to abort.
    Proven,
    /// Nowhere until a person has mended something; whose tree is in place.
    Stuck(Side),
}

/// What a run has put into the tree, or of flags into their sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lying {
    /// What lay there before the run.
    Before,
    /// Some files of the one and some of the other.
    Between,
    /// The target.
    Target,
}

impl Run {
    /// Which way it is on.
    pub fn course(&self) -> Course {
        match self.journal.phase() {
            Phase::Fresh => Course::Preparing,
            Phase::Forward { next, .. } => {
                let prepares = *next < steps::activation(&self.plan);
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
        let changes = |step: &Step| matches!(step, Step::Activate | Step::Flags(_));
        let activation = self.plan.steps.iter().position(changes);
        let activation = activation.unwrap_or_else(|| steps::activation(&self.plan));
        let mut lying = Lying::Before;
        for line in self.journal.lines() {
            lying = match (&line.entry, lying) {
                (Entry::Intent { step, .. }, Lying::Before) if *step == activation => {
                    Lying::Between
                }
                (Entry::Done { step, .. }, _) if *step == activation => Lying::Target,
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
}
