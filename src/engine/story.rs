//! What a run's journal says of it.

use super::entry::{Entry, OnFailure};
use super::execute::ABORTED;
use super::phase::Side;
use super::run::Run;
use crate::check::Proof;
use crate::model::{CheckEvidence, Step};
use crate::system::procs::Ticks;

impl Run {
    pub(super) fn aborted(&self) -> bool {
        let last = self.journal.lines().iter().rev().find_map(|line| match &line.entry {
            Entry::Restoring { why } => Some(why == ABORTED),
            _ => None,
        });
        last.unwrap_or(false)
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
        self.baseline().iter().any(|check| !check.passed)
            || self.journal.begun().is_some_and(|b| b.on_failure != OnFailure::Restore)
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
            Entry::Intent { step } => {
                matches!(self.plan.steps.get(step), Some(Step::Reload { .. }))
            }
            _ => false,
        })
    }

    pub(super) fn first_failure(&self) -> String {
        self.failures().next().unwrap_or_else(|| ABORTED.to_owned())
    }

    pub(super) fn last_failure(&self) -> String {
        self.failures().last().unwrap_or_else(|| "it was interrupted".to_owned())
    }

    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        self.journal.lines().iter().filter_map(|line| match &line.entry {
            Entry::Failed { label, why, .. } => Some(format!("{label}: {why}")),
            _ => None,
        })
    }

    pub(super) fn proof(&self) -> Proof {
        let found = self.journal.lines().iter().find_map(|line| match &line.entry {
            Entry::Proven { checks, services, .. } => Some((checks.clone(), services.clone())),
            _ => None,
        });
        let (checks, services) = found.unwrap_or_default();
        Proof { proven: true, checks, services, failures: Vec::new(), lines: Vec::new() }
    }
}
