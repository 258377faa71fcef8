//! Verdicts and holds against a commit, and the commit that is judged when another is rolled back to.

use super::error::PlanError;
use super::facts::Facts;
use crate::component;
use crate::ledger::{Held, History};
use crate::model::{Event, Hold, Judgement, Oid};
use crate::site::Site;
use crate::system::git::{Ancestry, Containment, GitError};
use crate::target::Reason;

/// Why a commit may not be rolled back to: it is marked bad, has the tree of a held commit, contains one, or
/// has the content of a component that is held.
///
/// # Errors
/// When git cannot read the commits.
pub fn against(site: &Site, facts: &Facts, commit: &Oid) -> Result<Option<Reason>, PlanError> {
    let history = &facts.history;
    if let Some(judged) = history.verdict(commit)
        && judged.verdict.judgement == Judgement::Bad
    {
        return Ok(Some(Reason::Bad { by: format!("#{}", judged.seq) }));
    }
    if let Some(held) = holding(site, facts, commit)?.first() {
        let by = format!("#{}", held.seq);
        return Ok(Some(Reason::Held { commit: held.subject.clone(), by }));
    }
    let contents = component::held_in(&site.git, &facts.held_contents, commit)?;
    Ok(contents.first().map(|found| Reason::HeldComponent {
        id: found.component.id.clone(),
        by: format!("#{}", found.held.seq),
    }))
}

/// Looks into the history of many commits at once, before they are judged one by one.
///
/// # Errors
/// When git cannot read the commits.
pub fn look_ahead(site: &Site, facts: &Facts, commits: &[Oid]) -> Result<(), PlanError> {
    if commits.is_empty() {
        return Ok(());
    }
    Ok(facts.lineage(site)?.look(&site.git, commits)?)
}

/// The holds on `commit`, for a look: on itself, on its tree, on a commit it contains and does not revert, as far as
/// that is known or remembered.
///
/// # Errors
/// When git cannot read the commits.
pub fn holding(site: &Site, facts: &Facts, commit: &Oid) -> Result<Vec<Held>, PlanError> {
    let mut holding = Vec::new();
    if holds_on_commits(&facts.history).next().is_none() {
        return Ok(holding);
    }
    let (git, lineage) = (&site.git, facts.lineage(site)?);
    let tree = git.commit(commit)?.tree;
    for (held, held_tree) in facts.held_trees(site)? {
        let of = &held.subject;
        let stops = of == commit
            || held_tree.as_ref() == Some(&tree)
            || (lineage.ancestry(git, commit, of)? == Ancestry::Ancestor
                && !lineage.reverted(git, commit, of)?);
        if stops {
            holding.push(held.clone());
        }
    }
    Ok(holding)
}

/// Those of `commits` that a hold stops, although it was not remembered so: found out from the commits themselves.
///
/// # Errors
/// When git cannot read the commits.
pub fn misremembered(site: &Site, facts: &Facts, commits: &[Oid]) -> Result<Vec<Oid>, GitError> {
    let all = stopping_each(site, &facts.history, commits)?;
    let stopped = all.into_iter().zip(commits).filter(|(stopping, _)| !stopping.held.is_empty());
    Ok(stopped.map(|(_, commit)| commit.clone()).collect())
}

/// Which holds stop a commit that is about to be put in place.
#[derive(Debug, Default, PartialEq)]
pub struct Stopping {
    /// It is held, has the tree of a held commit, or contains one and does not revert it.
    pub held: Vec<Held>,
    /// Its history is cut off in this clone, so that nobody can say whether it contains what they hold.
    pub undecided: Vec<Held>,
}

/// The holds that stop `commit`, found out from the commits themselves: what is remembered decides nothing here.
///
/// # Errors
/// When git cannot read the commits.
pub fn stopping(site: &Site, history: &History, commit: &Oid) -> Result<Stopping, GitError> {
    let mut each = stopping_each(site, history, std::slice::from_ref(commit))?;
    Ok(each.pop().unwrap_or_default())
}

fn stopping_each(
    site: &Site,
    history: &History,
    commits: &[Oid],
) -> Result<Vec<Stopping>, GitError> {
    let mut containment = Containment::of(holds_on_commits(history).map(|held| &held.subject));
    containment.look(&site.git, commits)?;
    commits.iter().map(|commit| stopping_one(site, history, &containment, commit)).collect()
}

fn stopping_one(
    site: &Site,
    history: &History,
    containment: &Containment,
    commit: &Oid,
) -> Result<Stopping, GitError> {
    let git = &site.git;
    let mut stopping = Stopping::default();
    let tree = git.commit(commit)?.tree;
    for held in holds_on_commits(history) {
        let of = &held.subject;
        let same_tree = || Ok::<_, GitError>(git.has(of) && git.commit(of)?.tree == tree);
        if of == commit || same_tree()? {
            stopping.held.push(held.clone());
            continue;
        }
        match containment.ancestry(commit, of) {
            _ if containment.reverted(commit, of) => {}
            Ancestry::Ancestor => stopping.held.push(held.clone()),
            Ancestry::CutOff => stopping.undecided.push(held.clone()),
            Ancestry::NoAncestor => {}
        }
    }
    Ok(stopping)
}

fn holds_on_commits(history: &History) -> impl Iterator<Item = &Held> {
    history.holds().iter().filter(|held| held.hold == Hold::Commit)
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
        facts.history.times(commit).any(|span| {
            let Some(entry) = facts.own_record(site, span.seq) else { return false };
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
