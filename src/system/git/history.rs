//! Questions about ancestry.

use crate::model::Oid;

use super::read::{gix_id, object_error};
use super::refs::oid;
use super::{Commit, Git, GitError};

impl Git {
    /// Whether `ancestor` is `commit` or reachable from it.
    ///
    /// # Errors
    /// `Object`.
    pub fn contains(&self, commit: &Oid, ancestor: &Oid) -> Result<bool, GitError> {
        if commit == ancestor {
            self.tree_of(commit)?;
            return Ok(true);
        }
        let (tip, base) = (self.commit_id(commit)?, self.commit_id(ancestor)?);
        // If it is an ancestor it is the one best common ancestor.
        let best =
            self.repo.merge_base(tip, base).map_err(|e| object_error(commit, &format!("{e:#}")))?;
        Ok(best.is_some_and(|best| best.detach() == base))
    }

    /// Commits reachable from `tip` and not from `base`: their number.
    ///
    /// # Errors
    /// `Object`.
    pub fn distance(&self, base: &Oid, tip: &Oid) -> Result<usize, GitError> {
        let mut number = 0;
        for step in self.walk_between(base, tip)? {
            step?;
            number += 1;
        }
        Ok(number)
    }

    /// Commits reachable from `tip` and not from `base`, newest first, at most `most`.
    ///
    /// # Errors
    /// `Object`.
    pub fn commits_between(
        &self,
        base: &Oid,
        tip: &Oid,
        most: usize,
    ) -> Result<Vec<Commit>, GitError> {
        self.walk_between(base, tip)?.take(most).map(|id| self.commit(&id?)).collect()
    }

    fn walk_between<'a>(
        &'a self,
        base: &Oid,
        tip: &'a Oid,
    ) -> Result<impl Iterator<Item = Result<Oid, GitError>> + use<'a>, GitError> {
        use gix::revision::walk::Sorting;
        use gix::traverse::commit::simple::CommitTimeOrder;
        let hidden = self.commit_id(base)?;
        let walk = self
            .repo
            .rev_walk([self.commit_id(tip)?])
            .sorting(Sorting::ByCommitTime(CommitTimeOrder::NewestFirst))
            .with_hidden([hidden])
            .all()
            .map_err(|e| object_error(tip, &format!("{e:#}")))?;
        Ok(walk.map(move |info| {
            info.map(|info| oid(info.id)).map_err(|e| object_error(tip, &format!("{e:#}")))
        }))
    }

    /// The id for gix, of an object that is here and is a commit.
    fn commit_id(&self, id: &Oid) -> Result<gix::ObjectId, GitError> {
        self.tree_of(id)?;
        gix_id(id).ok_or_else(|| object_error(id, "it is not in this repository"))
    }
}
