//! Which artifacts stay kept.

use std::collections::BTreeSet;

use super::PlanError;
use super::candidates::{self, Candidates};
use super::facts::Facts;
use crate::data;
use crate::ledger;
use crate::model::{ArtifactEvidence, BuildKey, Oid};
use crate::site::Site;
use crate::target::{Candidate, Standing};

/// Artifacts of other keys that are kept besides, the least recently used going first: of builds whose
/// deployment failed, say.
const BESIDES: usize = 10;
/// How many of the states that `back` could take now keep their artifacts, however old they are: should the
/// first not answer, the next is tried.
const WAYS_BACK: usize = 3;

/// Removes artifacts that no likely way back needs: all but those of what serves, of the states that `back`
/// could take now, of the latest deployments and of the latest promoted ones. Only called under the lock, when
/// no run is open and after a proof; a failure is for the log alone.
pub fn prune(site: &Site, facts: &Facts) {
    let most = facts.accepted.config.retention.artifacts;
    let mut needed: BTreeSet<BuildKey> = BTreeSet::new();
    let mut need = |entry| match ledger::evidence(&site.git, entry) {
        Ok(evidence) => {
            // What was built is named by its own record; what only lay there is named here alone.
            let lay_there = |a: &ArtifactEvidence| a.key.as_str().starts_with("seen-");
            let left = evidence.left.into_iter().filter(lay_there);
            let all = evidence.artifacts.into_iter().chain(left);
            needed.extend(all.map(|artifact| artifact.key));
        }
        Err(error) => tracing::warn!("evidence cannot be read: {error}"),
    };
    let serving = facts.own(site).iter().rev().filter(|entry| entry.record.event.serves());
    let promoted = serving.clone().filter(|entry| {
        entry.record.to.as_ref().is_some_and(|to| !facts.history.promoted(to).is_empty())
    });
    serving.take(most).chain(promoted.take(most)).for_each(&mut need);
    let ways = match ways_back(&candidates::gather(site, facts)) {
        Ok(ways) => ways,
        Err(error) => {
            // Who does not know the ways back removes nothing.
            tracing::warn!("artifacts are not removed: {error}");
            return;
        }
    };
    let entries = ways.iter().chain([&facts.serving.commit]);
    entries.filter_map(|commit| facts.last_record_of(site, commit)).for_each(&mut need);
    match data::artifacts_of_points(&site.state()) {
        Ok(named) => needed.extend(named),
        Err(error) => {
            // What the points name is not known.
            tracing::warn!("artifacts are not removed: points.json: {error}");
            return;
        }
    }
    match site.store.prune(&needed, BESIDES.min(most)) {
        Ok(removed) => tracing::debug!("{} artifacts removed", removed.len()),
        Err(error) => tracing::warn!("artifacts could not be removed: {error}"),
    }
}

/// The states that `last-good` and `last-stable` could take now, the likeliest of each.
fn ways_back(all: &Candidates<'_>) -> Result<Vec<Oid>, PlanError> {
    let usable = |candidate: &Result<Candidate, PlanError>| {
        candidate.as_ref().map_or(true, |candidate| candidate.standing == Standing::Usable)
    };
    let good = all.deployments().filter(usable).take(WAYS_BACK);
    let stable = all.stable().filter(usable).take(WAYS_BACK);
    let found: Result<Vec<Candidate>, PlanError> = good.chain(stable).collect();
    Ok(found?.into_iter().filter_map(|candidate| candidate.commit).collect())
}
