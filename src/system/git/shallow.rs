//! Histories that are cut off: what can still be told of who descends from whom.

use std::collections::BTreeSet;

use crate::model::Oid;

use super::object::{object_error, oid, told};
use super::repository::{Git, GitError};

/// What is known of whether one commit is an ancestor of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    Ancestor,
    NoAncestor,
    /// The history between is not in this clone.
    CutOff,
}

impl Git {
    /// Whether the history of this clone is cut off somewhere.
    pub fn is_shallow(&self) -> bool {
        // What cannot be read is not known to be whole.
        self.repo.is_shallow().unwrap_or(true)
    }

    /// Whether `ancestor` is `commit` or reachable from it, as far as this clone can tell. `ancestor` need not be here.
    ///
    /// # Errors
    /// `Object`.
    pub fn ancestry(&self, commit: &Oid, ancestor: &Oid) -> Result<Ancestry, GitError> {
        let here = self.has(ancestor);
        if here && self.contains(commit, ancestor)? {
            return Ok(Ancestry::Ancestor);
        }
        let ends = self.cut_off_at(commit)?;
        for end in &ends {
            // What is behind an end that `ancestor` descends from cannot hold `ancestor`.
            if !here || !self.contains(ancestor, end)? {
                return Ok(Ancestry::CutOff);
            }
        }
        Ok(Ancestry::NoAncestor)
    }

    /// The commits reachable from `commit` whose parents are not here.
    fn cut_off_at(&self, commit: &Oid) -> Result<Vec<Oid>, GitError> {
        let failed = |e| object_error(commit, &told(&e));
        let Some(ends) = self.repo.shallow_commits().map_err(failed)? else {
            return Ok(Vec::new());
        };
        let ends: BTreeSet<Oid> = ends.iter().map(|id| oid(*id)).collect();
        let mut found = Vec::new();
        for step in self.walk_all(commit)? {
            let id = step?;
            if ends.contains(&id) {
                found.push(id);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::Repo;
    use super::*;

    #[test]
    fn where_history_is_cut_off_only_what_cannot_be_otherwise_is_said() {
        let origin = Repo::new();
        let held = origin.commit("held");
        let next = origin.commit("next");
        let url = format!("file://{}", origin.top.display());
        let clone = Repo::empty();
        clone.git(&["fetch", "-q", "--depth", "1", &url, "main"]);
        let git = clone.open();
        assert!(git.is_shallow());
        // The held commit is not even here.
        assert_eq!(git.ancestry(&next, &held).unwrap(), Ancestry::CutOff);

        // From here on history is whole: what comes later descends from the end.
        origin.git(&["checkout", "-q", "-b", "side"]);
        let side = origin.commit("side");
        origin.git(&["checkout", "-q", "main"]);
        let later = origin.commit("later");
        clone.git(&["fetch", "-q", &url, "main", "side"]);
        let git = clone.open();
        assert_eq!(git.ancestry(&later, &side).unwrap(), Ancestry::NoAncestor);
        assert_eq!(git.ancestry(&later, &next).unwrap(), Ancestry::Ancestor);

        // Cut off again.
        origin.commit("more");
        let last = origin.commit("last");
        clone.git(&["fetch", "-q", "--depth", "1", &url, "main"]);
        let git = clone.open();
        assert_eq!(git.ancestry(&last, &side).unwrap(), Ancestry::CutOff);
        assert_eq!(git.ancestry(&last, &last).unwrap(), Ancestry::Ancestor);

        clone.git(&["fetch", "-q", "--unshallow", &url, "main"]);
        let git = clone.open();
        assert!(!git.is_shallow());
        assert_eq!(git.ancestry(&last, &held).unwrap(), Ancestry::Ancestor);
        assert_eq!(git.ancestry(&last, &side).unwrap(), Ancestry::NoAncestor);
    }
}
