//! What speaks against going back to a state although it was proven once: how it was when it was left, and what became
//! of its commits since.

use super::deployed;
use super::error::PlanError;
use super::facts::Facts;
use super::reverts::{Revert, stands};
use crate::diagnosis::{is_of_the_schema, is_of_the_surroundings};
use crate::ledger::{self, Entry};
use crate::model::{Cause, Event, Judgement, Oid, Outcome};
use crate::site::Site;
use crate::system::git::{Ancestry, GitError};
use crate::target::Reason;

/// Why a state that served here is no good one any more, if so.
///
/// # Errors
/// When records or commits cannot be read.
pub fn against(site: &Site, facts: &Facts, commit: &Oid) -> Result<Option<Reason>, PlanError> {
    let verdict = facts.history.verdict(commit).map(|judged| judged.verdict);
    let good = verdict.is_some_and(|v| v.judgement == Judgement::Good && !v.provisional);
    if let Some(entry) = failing_when_left(site, facts, commit)?.filter(|_| !good) {
        return Ok(Some(Reason::FailedWhenLeft { by: format!("#{}", entry.record.seq) }));
    }
    if let Some(entry) = tried_in_vain(site, facts, commit)?.filter(|_| !good) {
        return Ok(Some(Reason::FailedWhenTried { by: format!("#{}", entry.record.seq) }));
    }
    let vouched_for = good || !facts.history.promoted(commit).is_empty();
    let by = reverted(site, facts, commit, vouched_for)?;
    Ok(by.map(|by| Reason::Reverted { by }))
}

/// The record of the act that left a commit the last time, where that act saw it failing.
fn failing_when_left<'f>(
    site: &Site,
    facts: &'f Facts,
    commit: &Oid,
) -> Result<Option<&'f Entry>, PlanError> {
    let left = facts.history.left_by(commit).and_then(|at| facts.own(site).get(at));
    let Some(left) = left else { return Ok(None) };
    let record = &left.record;
    let found_failing = record.event == Event::Predeploy
        && record.outcome == Outcome::Failed
        && record.to.is_none()
        && record.subject.as_ref() == Some(commit);
    if found_failing {
        return Ok(Some(left));
    }
    if record.from.as_ref() != Some(commit) || record.event == Event::Predeploy {
        return Ok(None);
    }
    let evidence = ledger::evidence(&site.git, left)?;
    let baseline = || {
        let failed = evidence.baseline.iter().filter(|check| check.failed());
        failed.map(|check| check.last.told()).collect::<Vec<_>>()
    };
    let faults = match evidence.witnessed {
        Some(_) => evidence.faults_before.clone(),
        None => baseline(),
    };
    if faults.is_empty() {
        return Ok(None);
    }
    // A migration of the newer version had run by then: that was no fault of the older one.
    let of_the_schema = faults.iter().any(|fault| is_of_the_schema(fault));
    if let Some(to) = record.to.as_ref().filter(|to| of_the_schema && site.git.has(to))
        && !deployed::migrations(site, facts, to, commit)?.names.is_empty()
    {
        return Ok(None);
    }
    Ok(Some(left))
}

/// The record of the last try to put a commit in place that failed for something of its own, where it was not observed
/// serving since.
///
/// # Errors
/// When the evidence of the record cannot be read.
pub fn tried_in_vain<'f>(
    site: &Site,
    facts: &'f Facts,
    commit: &Oid,
) -> Result<Option<&'f Entry>, PlanError> {
    let Some(place) = facts.history.tried_in_vain(commit) else { return Ok(None) };
    let chain = facts.own(site);
    let Some(entry) = chain.get(place) else { return Ok(None) };
    let evidence = ledger::evidence(&site.git, entry)?;
    let why = evidence.failure.as_deref().unwrap_or_default();
    // A record from before causes were written does not say who ended it.
    if evidence.cause != Some(Cause::Failed) || is_of_the_surroundings(why) {
        return Ok(None);
    }
    // A migration, a hook or a file that could not be put in place says nothing of the version.
    let failed = evidence.steps.iter().find(|step| step.result == "failed");
    let own = failed.is_some_and(|step| step.step == "prove" || step.step.starts_with("reload "));
    if !own {
        return Ok(None);
    }
    let Some(from) = &entry.record.from else { return Ok(Some(entry)) };
    // What failed before the try as well and serves since was failing for something around it, and so did the try.
    let failed_before =
        !evidence.faults_before.is_empty() || evidence.baseline.iter().any(|one| one.failed());
    let serves_since = || {
        let mut later = chain.iter().skip(place + 1).map(|entry| &entry.record);
        later.any(|one| one.outcome == Outcome::Succeeded && one.to.as_ref() == Some(from))
    };
    if failed_before && serves_since() {
        return Ok(None);
    }
    // A migration of the newer version had run by then.
    if is_of_the_schema(why)
        && site.git.has(from)
        && site.git.has(commit)
        && !deployed::migrations(site, facts, from, commit)?.names.is_empty()
    {
        return Ok(None);
    }
    Ok(Some(entry))
}

/// The commit of what serves that reverts one which `commit` brought. One that came before it, with an earlier
/// deployment, counts too if nobody vouched for `commit`.
fn reverted(
    site: &Site,
    facts: &Facts,
    commit: &Oid,
    vouched_for: bool,
) -> Result<Option<Oid>, GitError> {
    let lineage = facts.lineage(site)?;
    let contains = |commit: &Oid, of: &Oid| {
        lineage.ancestry(&site.git, commit, of).map(|found| found == Ancestry::Ancestor)
    };
    let before = facts.history.times(commit).next().and_then(|span| span.from.as_ref());
    let before = before.filter(|from| site.git.has(from));
    let reverts = lineage.said();
    for Revert { by, of } in reverts.iter().filter(|revert| stands(reverts, revert, 0)) {
        if !contains(commit, of)? || contains(commit, by)? {
            continue;
        }
        let brought = match before {
            Some(before) if before != commit => !contains(before, of)?,
            _ => true,
        };
        if brought || !vouched_for {
            return Ok(Some(by.clone()));
        }
    }
    Ok(None)
}
