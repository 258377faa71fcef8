//! The commits between two states, and which of them touch a suspect.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::suspect::Suspect;
use crate::config::Component;
use crate::ledger::Held;
use crate::model::{Hold, Oid, Person, RepoPath};
use crate::system::git::{Commit, Git, GitError};

/// No answer lists more commits in one direction; no more are looked into.
const MOST_COMMITS: usize = 500;

/// No commit lists more suspects it touches.
const MOST_TOUCHED: usize = 20;

/// The commits between two states, in both directions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Commits {
    /// How many commits the newer version has and the older one lacks.
    pub gained: usize,
    /// How many commits the older version has and the newer one lacks: not 0 if it is not an ancestor.
    pub lost: usize,
    /// Those that were gained, the newest first. At most 500.
    pub gained_commits: Vec<CommitLine>,
    /// Those that were lost, the newest first. At most 500.
    pub lost_commits: Vec<CommitLine>,
}

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CommitLine {
    /// Its id.
    pub id: Oid,
    /// Who wrote it, and when.
    pub author: Person,
    /// The first line of its message.
    pub subject: String,
    /// It joins histories; its changes are reported by the commits it joins.
    pub merge: bool,
    /// The suspects' files that it touches. At most 20.
    pub touches: Vec<RepoPath>,
    /// It is held.
    pub held: bool,
}

/// What is looked at.
pub(super) struct Between<'a> {
    pub(super) from: &'a Oid,
    pub(super) to: &'a Oid,
    pub(super) component: Option<&'a Component>,
    pub(super) suspects: &'a [Suspect],
    pub(super) held: &'a [Held],
}

impl Between<'_> {
    /// Walks the history in both directions. With a component only its own commits are listed; the numbers
    /// count all of them.
    pub(super) fn look(&self, git: &Git) -> Result<Commits, GitError> {
        let suspicious: BTreeSet<&RepoPath> = self.suspects.iter().flat_map(|s| &s.paths).collect();
        Ok(Commits {
            gained: git.distance(self.from, self.to)?,
            lost: git.distance(self.to, self.from)?,
            gained_commits: self.lines(git, self.from, self.to, &suspicious)?,
            lost_commits: self.lines(git, self.to, self.from, &suspicious)?,
        })
    }

    fn lines(
        &self,
        git: &Git,
        base: &Oid,
        tip: &Oid,
        suspicious: &BTreeSet<&RepoPath>,
    ) -> Result<Vec<CommitLine>, GitError> {
        let mut lines = Vec::new();
        for commit in git.commits_between(base, tip, MOST_COMMITS)? {
            let paths = paths(git, &commit)?;
            if self.component.is_some_and(|c| !paths.iter().any(|path| c.paths.covers(path))) {
                continue;
            }
            lines.push(self.line(commit, &paths, suspicious));
        }
        Ok(lines)
    }

    fn line(
        &self,
        commit: Commit,
        paths: &[RepoPath],
        suspicious: &BTreeSet<&RepoPath>,
    ) -> CommitLine {
        let touched = paths.iter().filter(|path| suspicious.contains(path));
        let holds = |held: &Held| held.hold == Hold::Commit && held.subject == commit.id;
        CommitLine {
            subject: commit.message.lines().next().unwrap_or_default().to_owned(),
            merge: commit.parents.len() > 1,
            touches: touched.take(MOST_TOUCHED).cloned().collect(),
            held: self.held.iter().any(holds),
            author: commit.author,
            id: commit.id,
        }
    }
}

/// The paths a commit changes. A merge's are those of the commits that it joins, as in `git log`.
fn paths(git: &Git, commit: &Commit) -> Result<Vec<RepoPath>, GitError> {
    match &commit.parents[..] {
        [] => Ok(git.entries(&commit.id)?.into_iter().map(|(path, _)| path).collect()),
        [parent] => Ok(git.changes(parent, &commit.id)?.into_iter().map(|c| c.path).collect()),
        _ => Ok(Vec::new()),
    }
}
