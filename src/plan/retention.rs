//! Which artifacts stay kept.

use std::collections::BTreeSet;

use super::facts::Facts;
use crate::ledger;
use crate::model::BuildKey;
use crate::site::Site;

/// Artifacts kept beyond those that a way back needs.
const MOST: usize = 10;
/// The latest records whose artifacts always stay.
const RECORDS: usize = 20;

/// Removes artifacts that no likely way back needs: all but those of the latest records and of the latest
/// promoted states, and of the rest the least recently used beyond ten. Only called under the lock, when
/// no run is open; a failure is for the log alone.
pub fn prune(site: &Site, facts: &Facts) {
    let mut needed: BTreeSet<BuildKey> = BTreeSet::new();
    let serving = facts.own(site).iter().rev().filter(|entry| entry.record.event.serves());
    let promoted = serving.clone().filter(|entry| {
        entry.record.to.as_ref().is_some_and(|to| !facts.history.promoted(to).is_empty())
    });
    for entry in serving.take(RECORDS).chain(promoted.take(RECORDS)) {
        if let Ok(evidence) = ledger::evidence(&site.git, entry) {
            needed.extend(evidence.artifacts.into_iter().map(|artifact| artifact.key));
        }
    }
    match site.store.prune(&needed, MOST) {
        Ok(removed) => tracing::debug!("{} artifacts removed", removed.len()),
        Err(error) => tracing::warn!("artifacts could not be removed: {error}"),
    }
}
