//! Runs of one act on top of each other: what served was failing, the first candidate failed as well, and the next
//! one is tried.
//!
//! The first run stays open beneath the one that follows it until that one is proven, so that at every moment
//! there is a run to finish, and a way back to what was there before either of them: each is undone from
//! where the one above it began.

use super::cause::Reason;
use super::entry::{Begun, Entry};
use super::executor::{Executor, undo};
use super::journal::JournalError;
use super::phase::{Phase, Side};
use super::run::{Run, later_runs, open_runs};
use super::{Ended, EngineError, record, reserve, steps};
use crate::model::{Cause, Narrator, Outcome, RunId};
use crate::site::Site;
use crate::system::{clock, signals};

impl Run {
    /// The runs that failed before it in the same act, the first one first.
    pub fn follows(&self) -> &[RunId] {
        self.journal.begun().map_or(&[], |begun| &begun.follows)
    }

    /// The run whose guard is this one's too: the first of the act. One guard sees to all of them.
    pub fn guarded_as(&self) -> &RunId {
        self.follows().first().unwrap_or(&self.id)
    }

    /// Whether a run that followed this one had begun to reload services: they run what it put there.
    pub(super) fn was_reloaded_above(&self, site: &Site) -> bool {
        let above = |begun: &Begun| begun.follows.contains(&self.id);
        let later = later_runs(site, &self.id);
        later.iter().any(|run| run.journal.begun().is_some_and(above) && run.reload_was_announced())
    }
}

/// The open runs beneath one, the first one first.
fn beneath(site: &Site, run: &Run) -> Result<Vec<Run>, JournalError> {
    if run.follows().is_empty() {
        return Ok(Vec::new());
    }
    let mut open = open_runs(site)?;
    open.retain(|other| run.follows().contains(&other.id));
    Ok(open)
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

impl Executor<'_, '_> {
    pub(super) fn is_above_another(&self) -> Result<bool, EngineError> {
        Ok(!beneath(self.site, &self.run)?.is_empty())
    }

    /// The tree is that of the run beneath again, whose services are not wanted: that one is undone next.
    pub(super) fn hand_back(&mut self) -> Result<Ended, EngineError> {
        let why = self.run.why_restored();
        let _ = self.record(Outcome::Failed)?;
        self.write(Entry::Closed { outcome: Some(Outcome::Failed) })?;
        Ok(Ended::Undone { why })
    }

    /// Records the runs beneath as failed and closes them: this one is proven. A record that cannot be signed is
    /// queued. Repeated after a kill it goes on with those that are still open.
    pub(super) fn close_beneath(&mut self) -> Result<(), EngineError> {
        for mut run in beneath(self.site, &self.run)? {
            let line = match record::record(self.site, &run, Outcome::Failed)? {
                Ok(entry) => {
                    Entry::Recorded { seq: entry.record.seq.0, digest: entry.digest.to_string() }
                }
                Err(why) => Entry::Queued { why },
            };
            run.journal.write(line, clock::now())?;
            run.journal.write(Entry::Closed { outcome: Some(Outcome::Failed) }, clock::now())?;
            reserve::release(self.site, &run.id);
            let _ = steps::drop_stage(self.site, &run);
        }
        Ok(())
    }
}
