//! What contains what, as far as it bears on the way back: held commits, and reverts. Found out once and remembered in
//! the state directory, for a commit contains what it contains for good.
//!
//! What is remembered makes looking fast and decides nothing that is put in place: that is looked at anew (see
//! [`super::holds::stopping`]). A file that is damaged, that somebody else could have written, or that is another
//! checkout's counts for nothing and is written anew.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::reverts::{self, Revert};
use crate::model::{Digest, Oid};
use crate::site::Site;
use crate::system::files;
use crate::system::git::{Ancestry, Contained, Containment, Git, GitError};

/// A larger file is not one that was written here.
const MOST_BYTES: u64 = 32 << 20;
/// Of more commits nothing is kept.
const MOST_COMMITS: usize = 20_000;

/// What lies in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    /// What was looked for, by place.
    of: Vec<Oid>,
    /// The reverts that bear on that, by place: which commit reverts which.
    reverts: Vec<(Oid, Oid)>,
    /// For each commit a sign per place of `of` (`1` contains it, `0` does not, `?` not known), and its reverts.
    commits: BTreeMap<Oid, (String, Vec<usize>)>,
    /// What was read from messages.
    said: Option<Said>,
}

/// The reverts between two commits.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Said {
    base: Oid,
    tip: Oid,
    reverts: Vec<(Oid, Oid)>,
}

/// Who contains whom, of those that bear on the way back.
#[derive(Debug)]
pub struct Lineage {
    containment: RefCell<Containment>,
    remembered: RefCell<Remembered>,
    said: Vec<Revert>,
    place: PathBuf,
    /// What makes a file one of this checkout.
    owner: String,
}

impl Lineage {
    /// Of `held` commits, `others`, and the reverts in `tip` since `base`, as far as it is remembered.
    ///
    /// # Errors
    /// When git cannot read the commits.
    pub fn of<'a>(
        site: &Site,
        held: impl IntoIterator<Item = &'a Oid>,
        others: impl IntoIterator<Item = &'a Oid>,
        said_between: Option<(&Oid, &Oid)>,
    ) -> Result<Self, GitError> {
        let git = &site.git;
        let owner = format!("{}\n{}", git.git_dir().display(), site.binding.chain);
        let place = site.state().join("cache/lineage");
        let mut remembered = read(&place, &owner).unwrap_or_default();
        let before = remembered.said.clone();
        let said = match said_between {
            Some((base, tip)) => said(git, base, tip, before.as_ref())?,
            None => Vec::new(),
        };
        let of_reverts = said.iter().flat_map(|revert| [&revert.by, &revert.of]);
        let looked_for: BTreeSet<Oid> =
            held.into_iter().chain(others).cloned().chain(of_reverts.cloned()).collect();
        let mut containment = Containment::of(&looked_for);
        containment.remember(&remembered.facts());
        remembered.said = said_between.map(|(base, tip)| Said {
            base: base.clone(),
            tip: tip.clone(),
            reverts: said.iter().map(|r| (r.by.clone(), r.of.clone())).collect(),
        });
        let renewed = match (&before, &remembered.said) {
            (Some(before), Some(now)) => (&before.base, &before.tip) != (&now.base, &now.tip),
            (before, now) => before.is_some() != now.is_some(),
        };
        let lineage = Self {
            containment: RefCell::new(containment),
            remembered: RefCell::new(remembered),
            said,
            place,
            owner,
        };
        if renewed {
            lineage.write();
        }
        Ok(lineage)
    }

    /// Forgets what was remembered for later commands: it was wrong.
    pub fn forget(&self) {
        if let Err(error) = std::fs::remove_file(&self.place) {
            tracing::debug!("{} stays: {error}", self.place.display());
        }
    }

    /// The reverts in what serves.
    pub fn said(&self) -> &[Revert] {
        &self.said
    }

    /// Looks into these commits, where that was never done, and remembers it.
    ///
    /// # Errors
    /// When git cannot read the commits.
    pub fn look(&self, git: &Git, commits: &[Oid]) -> Result<(), GitError> {
        let mut containment = self.containment.borrow_mut();
        let unknown = commits.iter().filter(|commit| !containment.knows(commit));
        let unknown: Vec<Oid> = unknown.filter(|commit| git.has(commit)).cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        containment.look(git, &unknown)?;
        // Where a clone is cut off, what it lacks may come with the next fetch.
        if git.is_shallow() {
            return Ok(());
        }
        let facts: Vec<Contained> =
            unknown.iter().flat_map(|commit| containment.known(commit)).collect();
        drop(containment);
        self.remembered.borrow_mut().add(&facts);
        self.write();
        Ok(())
    }

    /// Whether `commit` contains `of`, one of those that are looked for.
    ///
    /// # Errors
    /// When git cannot read the commits.
    pub fn ancestry(&self, git: &Git, commit: &Oid, of: &Oid) -> Result<Ancestry, GitError> {
        self.look(git, std::slice::from_ref(commit))?;
        Ok(self.containment.borrow().ancestry(commit, of))
    }

    /// Whether `commit` contains a revert of `of` that stands.
    ///
    /// # Errors
    /// When git cannot read the commits.
    pub fn reverted(&self, git: &Git, commit: &Oid, of: &Oid) -> Result<bool, GitError> {
        self.look(git, std::slice::from_ref(commit))?;
        Ok(self.containment.borrow().reverted(commit, of))
    }

    fn write(&self) {
        let written = serde_json::to_string(&*self.remembered.borrow()).map(|body| {
            let sum = sum(&self.owner, &body);
            files::write_cache(&self.place, format!("{sum}\n{body}").as_bytes())
        });
        if let Err(error) = written.map_err(std::io::Error::from).and_then(|written| written) {
            tracing::debug!("{} was not written: {error}", self.place.display());
        }
    }
}

impl Remembered {
    fn facts(&self) -> Vec<Contained> {
        let mut facts = Vec::new();
        for (commit, (signs, reverts)) in &self.commits {
            let reverts: Vec<(Oid, Oid)> =
                reverts.iter().filter_map(|at| self.reverts.get(*at).cloned()).collect();
            for (of, sign) in self.of.iter().zip(signs.chars()) {
                let contains = sign == '1';
                if contains || sign == '0' {
                    let reverts = if contains { reverts.clone() } else { Vec::new() };
                    let (commit, of) = (commit.clone(), of.clone());
                    facts.push(Contained { commit, of, contains, reverts });
                }
            }
        }
        facts
    }

    /// Takes in what was found out now. What is no more looked for goes.
    fn add(&mut self, facts: &[Contained]) {
        let mut all = self.facts();
        let now: BTreeSet<&Oid> = facts.iter().map(|fact| &fact.commit).collect();
        let looked_for: BTreeSet<&Oid> = facts.iter().map(|fact| &fact.of).collect();
        all.retain(|fact| !now.contains(&fact.commit) && looked_for.contains(&fact.of));
        if self.commits.len() + now.len() > MOST_COMMITS {
            all.clear();
        }
        let of: Vec<Oid> = looked_for.iter().map(|of| (*of).clone()).collect();
        let mut next = Self { of, said: self.said.take(), ..Self::default() };
        let mut numbers: BTreeMap<(Oid, Oid), usize> = BTreeMap::new();
        for fact in all.iter().chain(facts.iter().take(MOST_COMMITS * next.of.len().max(1))) {
            let Ok(place) = next.of.binary_search(&fact.of) else { continue };
            let unknown = || ("?".repeat(next.of.len()), Vec::new());
            let (signs, reverts) = next.commits.entry(fact.commit.clone()).or_insert_with(unknown);
            signs.replace_range(place..=place, if fact.contains { "1" } else { "0" });
            for revert in &fact.reverts {
                let number = *numbers.entry(revert.clone()).or_insert_with(|| {
                    next.reverts.push(revert.clone());
                    next.reverts.len() - 1
                });
                if !reverts.contains(&number) {
                    reverts.push(number);
                }
            }
        }
        *self = next;
    }
}

/// The reverts in `tip` since `base`: those that were read before, and what came since.
fn said(git: &Git, base: &Oid, tip: &Oid, before: Option<&Said>) -> Result<Vec<Revert>, GitError> {
    let before = before.filter(|before| before.base == *base && git.has(&before.tip));
    let Some(before) = before else { return reverts::between(git, base, tip) };
    let read = before.reverts.iter().map(|(by, of)| Revert { by: by.clone(), of: of.clone() });
    let read: Vec<Revert> = read.filter(|revert| git.has(&revert.by)).collect();
    if before.tip == *tip {
        return Ok(read);
    }
    if !git.contains(tip, &before.tip)? {
        return reverts::between(git, base, tip);
    }
    let mut all = reverts::between(git, &before.tip, tip)?;
    all.extend(read);
    Ok(all)
}

fn read(place: &std::path::Path, owner: &str) -> Option<Remembered> {
    let bytes = files::read_cache(place, MOST_BYTES)?;
    let (told, body) = std::str::from_utf8(&bytes).ok()?.split_once('\n')?;
    if sum(owner, body).to_string() != told {
        return None;
    }
    serde_json::from_str(body).ok()
}

fn sum(owner: &str, body: &str) -> Digest {
    Digest::of(format!("gitroll lineage 1\n{owner}\n{body}").as_bytes())
}
