//! Where a run stands: one pure function over its journal.

use super::entry::{Entry, OnFailure, Side};
use crate::model::Outcome;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is journalled yet.
    Fresh,
    /// Steps are being done. `next` is the first that is not confirmed.
    Forward {
        /// Index into the plan's steps.
        next: usize,
        /// It was announced: its effect may be there, half there or not there.
        announced: bool,
    },
    /// The intended version was observed serving. There is no way back from here but `back --undo`.
    Proven,
    /// What served before is being restored.
    Restoring {
        /// Tree, index and HEAD are back.
        tree: bool,
    },
    /// What served before was observed serving again.
    Restored,
    /// A person is needed. The run stays open.
    Stuck(Side),
    /// The run is over.
    Closed(Option<Outcome>),
}

/// A journal line that cannot follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` cannot follow {phase:?}")]
pub struct Impossible {
    /// Where the run stood.
    pub phase: Phase,
    /// The line's kind.
    pub entry: &'static str,
}

impl Phase {
    /// Where a run is after one more journal line.
    ///
    /// # Errors
    /// When the line cannot come here: the journal is not one that gitroll wrote.
    pub fn after(self, entry: &Entry) -> Result<Phase, Impossible> {
        let next = match (&self, entry) {
            (Phase::Fresh, Entry::Begun(_)) => Phase::Forward { next: 0, announced: false },
            (Phase::Forward { next, .. }, Entry::Intent { step, .. }) if step <= next => {
                Phase::Forward { next: *step, announced: true }
            }
            (Phase::Forward { next, announced: true }, Entry::Done { step, .. })
                if step == next =>
            {
                Phase::Forward { next: next + 1, announced: false }
            }
            (Phase::Forward { announced: true, .. }, Entry::Proven { .. }) => Phase::Proven,
            (Phase::Forward { .. } | Phase::Stuck(Side::Target), Entry::Failed { .. }) => {
                self.clone()
            }
            // Restored once, and interrupted: whether that still is so has to be seen.
            (
                Phase::Forward { .. } | Phase::Restoring { .. } | Phase::Stuck(_) | Phase::Restored,
                Entry::Restoring { .. },
            ) => Phase::Restoring { tree: false },
            (Phase::Restoring { .. }, Entry::TreeRestored { .. }) => {
                Phase::Restoring { tree: true }
            }
            (Phase::Restoring { .. }, Entry::Failed { .. }) => self.clone(),
            (Phase::Restoring { tree: true }, Entry::Restored { .. }) => Phase::Restored,
            (Phase::Forward { .. } | Phase::Stuck(_), Entry::Stuck { side: Side::Target, .. }) => {
                Phase::Stuck(Side::Target)
            }
            (
                Phase::Restoring { .. } | Phase::Stuck(_),
                Entry::Stuck { side: Side::Before, .. },
            ) => Phase::Stuck(Side::Before),
            (Phase::Stuck(Side::Target), Entry::Resumed { at, .. }) => {
                Phase::Forward { next: *at, announced: false }
            }
            (Phase::Stuck(Side::Before), Entry::Resumed { .. }) => Phase::Restoring { tree: false },
            (Phase::Forward { next, .. }, Entry::Resumed { at, .. }) if at <= next => {
                Phase::Forward { next: *at, announced: false }
            }
            (Phase::Restoring { tree }, Entry::Resumed { .. }) => Phase::Restoring { tree: *tree },
            (Phase::Proven | Phase::Restored, Entry::Resumed { .. }) => self.clone(),
            (Phase::Proven | Phase::Restored, Entry::Recorded { .. } | Entry::Queued { .. }) => {
                self.clone()
            }
            // They come at an end of the run and change nothing about where it stands.
            (
                Phase::Forward { .. }
                | Phase::Restoring { .. }
                | Phase::Proven
                | Phase::Restored
                | Phase::Stuck(_),
                Entry::HookBegun { .. } | Entry::HookEnded { .. },
            ) => self.clone(),
            (
                Phase::Forward { .. } | Phase::Restoring { .. },
                Entry::Recorded { .. } | Entry::Queued { .. },
            ) => self.clone(),
            (
                Phase::Forward { .. } | Phase::Proven | Phase::Restored | Phase::Restoring { .. },
                Entry::Closed { outcome },
            ) => Phase::Closed(*outcome),
            _ => return Err(Impossible { entry: entry.kind(), phase: self }),
        };
        Ok(next)
    }

    /// Whether the run is over.
    pub fn is_closed(&self) -> bool {
        matches!(self, Phase::Closed(_))
    }
}

/// What to do about a step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing that serves was touched: drop what was prepared.
    Drop,
    /// Restored what served before.
    Restore,
    /// Leave the target in place and the run open, and let the caller try the next candidate.
    Abandon,
    /// Leave the target in place and keep the run open for a person.
    Stay,
}

/// What to do when step `failed` failed, given where activation is in the plan.
pub fn answer(failed: usize, activation: usize, policy: OnFailure) -> Answer {
    match policy {
        _ if failed < activation => Answer::Drop,
        OnFailure::Restore => Answer::Restore,
        OnFailure::Abandon => Answer::Abandon,
        OnFailure::Stay => Answer::Stay,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::entry::Begun;

    fn begun() -> Entry {
        Entry::Begun(Begun::for_tests())
    }

    fn walk(entries: &[Entry]) -> Result<Phase, Impossible> {
        entries.iter().try_fold(Phase::Fresh, Phase::after)
    }

    fn done(step: usize) -> Entry {
        Entry::Done {
            step,
            label: String::new(),
            millis: 0,
            output: Vec::new(),
            warnings: Vec::new(),
            ticks: None,
            logs: None,
            brought_back: None,
            point: None,
        }
    }

    fn proven() -> Entry {
        Entry::Proven {
            checks: vec![],
            services: vec![],
            millis: 0,
            flags: vec![],
            weak: None,
            witnessed: None,
        }
    }

    #[test]
    fn a_run_that_goes_well_passes_through_every_phase_once() {
        let entries = [
            begun(),
            Entry::intent(0),
            done(0),
            Entry::intent(1),
            proven(),
            Entry::Recorded { seq: 7, digest: "sha256:".into() },
            Entry::Closed { outcome: Some(Outcome::Succeeded) },
        ];
        assert_eq!(walk(&entries), Ok(Phase::Closed(Some(Outcome::Succeeded))));
        assert_eq!(walk(&entries[..5]), Ok(Phase::Proven));
        assert_eq!(walk(&entries[..4]), Ok(Phase::Forward { next: 1, announced: true }));
    }

    #[test]
    fn nothing_is_restored_after_the_commit_point() {
        let late = [
            begun(),
            Entry::intent(0),
            proven(),
            Entry::Restoring { why: "x".into(), cause: None },
        ];
        assert!(walk(&late).is_err());
    }

    #[test]
    fn a_step_is_not_confirmed_that_was_not_announced() {
        assert!(walk(&[begun(), done(0)]).is_err());
        assert!(walk(&[begun(), Entry::intent(1)]).is_err());
        assert!(walk(&[Entry::intent(0)]).is_err());
    }

    #[test]
    fn a_stuck_run_can_be_resumed_on_its_side() {
        let stuck = |side| Entry::Stuck { side, why: "x".into() };
        let resumed = |at| Entry::Resumed {
            at,
            process: Begun::for_tests().process,
            watchdog: false,
            actor: None,
        };
        let target = [begun(), Entry::intent(0), stuck(Side::Target), resumed(0)];
        assert_eq!(walk(&target), Ok(Phase::Forward { next: 0, announced: false }));
        let before = [
            begun(),
            Entry::intent(0),
            Entry::Restoring { why: "x".into(), cause: None },
            Entry::TreeRestored { millis: 0, logs: None, notes: Vec::new() },
            stuck(Side::Before),
        ];
        assert_eq!(walk(&before), Ok(Phase::Stuck(Side::Before)));
    }

    #[test]
    fn what_a_failure_is_answered_with() {
        let table = [
            (0, OnFailure::Restore, Answer::Drop),
            (1, OnFailure::Stay, Answer::Drop),
            (2, OnFailure::Restore, Answer::Restore),
            (5, OnFailure::Restore, Answer::Restore),
            (5, OnFailure::Abandon, Answer::Abandon),
            (5, OnFailure::Stay, Answer::Stay),
        ];
        for (failed, policy, wanted) in table {
            assert_eq!(answer(failed, 2, policy), wanted, "step {failed}, {policy:?}");
        }
    }
}
