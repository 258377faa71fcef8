//! What speaks against going back to a state although it was proven once: how it was when it was left, and what became
//! of its commits since.

use super::error::PlanError;
use super::facts::Facts;
use super::reverts::{Revert, stands};
use crate::ledger::{self, Entry};
use crate::model::{Event, Judgement, Oid, Outcome};
use crate::site::Site;
use crate::system::git::GitError;
use crate::target::Reason;

/// Why a state that served here is no good one any more, where that is so.
///
/// # Errors
/// When records or commits cannot be read.
pub fn against(site: &Site, facts: &Facts, commit: &Oid) -> Result<Option<Reason>, PlanError> {
    let verdict = facts.history.verdict(commit).map(|judged| judged.verdict);
    let good = verdict.is_some_and(|v| v.judgement == Judgement::Good && !v.provisional);
    if let Some(entry) = failing_when_left(site, facts, commit)?.filter(|_| !good) {
        return Ok(Some(Reason::FailedWhenLeft { by: format!("#{}", entry.record.seq) }));
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
    let own: Vec<&Entry> =
        facts.own(site).iter().filter(|entry| entry.record.event.serves()).collect();
    let Some(last) = own.iter().rposition(|entry| served(entry) == Some(commit)) else {
        return Ok(None);
    };
    let Some(left) = own.get(last + 1) else { return Ok(None) };
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
    let failing = match evidence.witnessed {
        Some(_) => !evidence.faults_before.is_empty(),
        None => evidence.baseline.iter().any(|check| check.failed()),
    };
    Ok(failing.then_some(left))
}

fn served(entry: &Entry) -> Option<&Oid> {
    let record = &entry.record;
    match record.outcome {
        Outcome::Succeeded => record.to.as_ref(),
        Outcome::Restored => record.to.as_ref().or(record.from.as_ref()),
        Outcome::Failed => None,
    }
}

/// The commit of what serves that reverts one which `commit` brought. One that came before it, with an earlier
/// deployment, counts too where nobody vouched for `commit`.
fn reverted(
    site: &Site,
    facts: &Facts,
    commit: &Oid,
    vouched_for: bool,
) -> Result<Option<Oid>, GitError> {
    let git = &site.git;
    let before = facts.history.deployments().iter().find(|span| span.commit == *commit);
    let before = before.and_then(|span| span.from.as_ref()).filter(|from| git.has(from));
    let reverts = facts.reverts(site)?;
    for Revert { by, of } in reverts.iter().filter(|revert| stands(reverts, revert, 0)) {
        if !git.contains(commit, of)? || git.contains(commit, by)? {
            continue;
        }
        let brought = match before {
            Some(before) if before != commit => !git.contains(before, of)?,
            _ => true,
        };
        if brought || !vouched_for {
            return Ok(Some(by.clone()));
        }
    }
    Ok(None)
}
