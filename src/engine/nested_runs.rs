//! Runs of one act on top of each other: what served was failing, the first candidate failed as well, and the next
//! one is tried.
//!
//! The first run stays open beneath the one that follows it until that one is proven, so that at every moment
//! there is a run to finish, and a way back to what was there before either of them: each is undone from
//! where the one above it began.

use super::entry::{Begun, Entry};
use super::error::EngineError;
use super::journal::JournalError;
use super::run::{Run, later_runs, open_runs, release_room};
use super::{record, steps};
use crate::model::Outcome;
use crate::site::Site;
use crate::system::clock;

impl Run {
    /// Whether a run that followed this one had begun to reload services: they run what it put there.
    pub(super) fn was_reloaded_above(&self, site: &Site) -> bool {
        let above = |begun: &Begun| begun.follows.contains(&self.id);
        let later = later_runs(site, &self.id);
        later.iter().any(|run| run.journal.begun().is_some_and(above) && run.reload_was_announced())
    }
}

/// The open runs beneath one, the first one first.
pub(super) fn beneath(site: &Site, run: &Run) -> Result<Vec<Run>, JournalError> {
    if run.follows().is_empty() {
        return Ok(Vec::new());
    }
    let mut open = open_runs(site)?;
    open.retain(|other| run.follows().contains(&other.id));
    Ok(open)
}

/// Records the runs beneath as failed and closes them: the one above is proven. A record that cannot be signed is
/// queued. Repeated after a kill it continues with those that are still open.
pub(super) fn close_beneath(site: &Site, run: &Run) -> Result<(), EngineError> {
    for mut below in beneath(site, run)? {
        let line = match record::record(site, &below, Outcome::Failed)? {
            Ok(entry) => {
                Entry::Recorded { seq: entry.record.seq.0, digest: entry.digest.to_string() }
            }
            Err(why) => Entry::Queued { why },
        };
        below.journal.write(line, clock::now())?;
        below.journal.write(Entry::Closed { outcome: Some(Outcome::Failed) }, clock::now())?;
        release_room(site, &below.id);
        let _ = steps::drop_stage(site, &below);
    }
    Ok(())
}
