//! Verdicts and holds against a commit, and the commit that is judged when another is gone back to.

use super::facts::Facts;
use crate::component;
use crate::ledger::{Held, History};
use crate::model::{Event, Hold, Judgement, Oid};
use crate::site::Site;
use crate::system::git::{Ancestry, GitError};
use crate::target::Reason;

/// Why a commit may not be gone back to: it is judged bad, has the tree of a held commit, contains one, or
/// has the content of a component that is held.
///
/// # Errors
/// When git cannot read the commits.
pub fn against(site: &Site, facts: &Facts, commit: &Oid) -> Result<Option<Reason>, GitError> {
    let history = &facts.history;
    if let Some(judged) = history.verdict(commit)
        && judged.verdict.judgement == Judgement::Bad
    {
        return Ok(Some(Reason::Bad { by: format!("#{}", judged.seq) }));
    }
    if let Some(held) = holding(site, history, commit)?.first() {
        let by = format!("#{}", held.seq);
        return Ok(Some(Reason::Held { commit: held.subject.clone(), by }));
    }
    let contents = component::held_in(&site.git, &facts.held_contents, commit)?;
    Ok(contents.first().map(|found| Reason::HeldComponent {
        id: found.component.id.clone(),
        by: format!("#{}", found.held.seq),
    }))
}

/// The holds that stop a deploy of `commit`: on itself, on its tree, on a commit it contains and does not
/// revert.
///
/// # Errors
/// When git cannot read the commits.
pub fn holding(site: &Site, history: &History, commit: &Oid) -> Result<Vec<Held>, GitError> {
    let mut holding = Vec::new();
    let tree = site.git.commit(commit)?.tree;
    for held in history.holds() {
        if held.hold != Hold::Commit || !site.git.has(&held.subject) {
            continue;
        }
        let stops = held.subject == *commit
            || site.git.commit(&held.subject)?.tree == tree
            || (site.git.contains(commit, &held.subject)?
                && !reverts(site, commit, &held.subject)?);
        if stops {
            holding.push(held.clone());
        }
    }
    Ok(holding)
}

/// The holds of which nobody can say whether `commit` contains what they hold, for its history is cut off in this
/// clone. Those that stop it for certain are not among them.
///
/// # Errors
/// When git cannot read the commits.
pub fn undecided(site: &Site, history: &History, commit: &Oid) -> Result<Vec<Held>, GitError> {
    if !site.git.is_shallow() {
        return Ok(Vec::new());
    }
    let mut undecided = Vec::new();
    for held in history.holds().iter().filter(|held| held.hold == Hold::Commit) {
        if site.git.ancestry(commit, &held.subject)? == Ancestry::CutOff
            && !reverts(site, commit, &held.subject)?
        {
            undecided.push(held.clone());
        }
    }
    Ok(undecided)
}

/// The commit that is judged when `left` is left for `target`: itself, or, where our own records say that a
/// component's files were put into it, what they were put into. Never anything that the target contains:
/// that is to serve.
///
/// # Errors
/// When git cannot read the commits.
pub fn judged_with(site: &Site, facts: &Facts, left: &Oid, target: &Oid) -> Result<Oid, GitError> {
    let mut judged = left.clone();
    let ours = |commit: &Oid| {
        facts.own(site).iter().any(|entry| {
            let record = &entry.record;
            record.to.as_ref() == Some(commit)
                && !record.components.is_empty()
                && matches!(record.event, Event::Component | Event::Deploy | Event::Back)
        })
    };
    while let Some(found) = component::synthesised(&site.git.commit(&judged)?) {
        if !ours(&judged) || site.git.contains(target, &found.base)? {
            break;
        }
        judged = found.base;
    }
    Ok(judged)
}

/// Whether a commit after `held` says, as `git revert` does, that it reverts it.
fn reverts(site: &Site, commit: &Oid, held: &Oid) -> Result<bool, GitError> {
    const MOST: usize = 1_000;
    let line = format!("This reverts commit {held}");
    let between = match site.git.has(held) {
        true => site.git.commits_between(held, commit, MOST)?,
        false => site.git.commits_of(commit, MOST)?,
    };
    Ok(between.iter().any(|c| c.message.contains(&line)))
}
