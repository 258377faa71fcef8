//! Revisions: from what a person typed to a commit, and which commit is an ancestor of which.

use std::collections::HashSet;

use gix::objs::Kind;

use crate::model::Oid;

use super::object::{Commit, gix_id, object_error, oid, told};
use super::repository::{Git, GitError};

/// The shortest abbreviation of an id, as in git.
const SHORTEST: usize = 4;

/// No ref's file could have a longer name.
const LONGEST: usize = 250;

impl Git {
    /// Resolves what a person typed to a commit: full or abbreviated id, `refs/…`, tag, branch, `origin/main`,
    /// `HEAD~2`. A name that begins with a remote's name is that remote's branch before anything else.
    ///
    /// # Errors
    /// `Unknown`; `Ambiguous` (an abbreviation of several objects; a tag, a branch or an abbreviation of one name
    /// that are different commits); `Ref` where the name's ref is broken: nothing else is then taken in its place.
    pub fn resolve(&self, name: &str) -> Result<Oid, GitError> {
        let unknown = || GitError::Unknown { name: name.to_owned() };
        // `:` names paths and searches messages; a leading `-` is an option somewhere sooner or later.
        if name.len() > LONGEST
            || name.starts_with('-')
            || name.contains(':')
            || name.chars().any(char::is_control)
        {
            return Err(unknown());
        }
        let cut = [name.find('~'), name.find('^'), name.find("@{")].into_iter().flatten().min();
        let (base, way) = name.split_at(cut.unwrap_or(name.len()));
        let (id, full_name) = self.base(base, name)?.ok_or_else(unknown)?;
        if way.is_empty() {
            return self.peel(&id)?.ok_or_else(unknown);
        }
        // gix walks the way, from an id or a full name that cannot mean anything else.
        let start = match full_name {
            Some(full) if way.starts_with("@{") => full,
            _ => id.to_string(),
        };
        let spec = format!("{start}{way}");
        let found = self.repo.rev_parse_single(spec.as_str()).map_err(|_| unknown())?;
        self.peel(&oid(found.detach()))?.ok_or_else(unknown)
    }

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
        let best = self.repo.merge_base(tip, base).map_err(|e| object_error(commit, &told(&e)))?;
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

    /// `tip` and the commits reachable from it, newest first, at most `most`.
    ///
    /// # Errors
    /// `Object`.
    pub fn commits_of(&self, tip: &Oid, most: usize) -> Result<Vec<Commit>, GitError> {
        self.walk_all(tip)?.take(most).map(|id| self.commit(&id?)).collect()
    }

    /// The object a name without `~`, `^` or `@{` stands for, with the full name of its ref.
    fn base(&self, base: &str, typed: &str) -> Result<Option<(Oid, Option<String>)>, GitError> {
        if base.is_empty() {
            return Ok(None);
        }
        let lower = base.to_ascii_lowercase();
        let hex = lower.bytes().all(|b| b.is_ascii_hexdigit());
        if hex && lower.len() == self.repo.object_hash().len_in_hex() {
            let id = lower.parse::<Oid>().ok().filter(|id| self.has(id));
            return Ok(id.map(|id| (id, None)));
        }
        let full_names = match base {
            "@" => vec!["HEAD".to_owned()],
            _ if base.starts_with("refs/") => vec![base.to_owned()],
            "HEAD" | "ORIG_HEAD" => vec![base.to_owned()],
            // Whoever says origin/main means the remote's branch, whatever a tag or branch here is called.
            _ if self.is_of_remote(base) => vec![
                format!("refs/remotes/{base}"),
                format!("refs/tags/{base}"),
                format!("refs/heads/{base}"),
            ],
            _ => vec![
                format!("refs/tags/{base}"),
                format!("refs/heads/{base}"),
                format!("refs/remotes/{base}"),
                format!("refs/{base}"),
                format!("refs/remotes/{base}/HEAD"),
            ],
        };
        let abbreviated = hex && lower.len() >= SHORTEST;
        for full in full_names {
            if let Some(id) = self.find_ref(&full)? {
                let digits = abbreviated.then_some(lower.as_str());
                self.only_meaning(base, typed, (&full, &id), digits)?;
                return Ok(Some((id, Some(full))));
            }
        }
        if abbreviated {
            return Ok(self.abbreviated(&lower, typed)?.map(|id| (id, None)));
        }
        Ok(None)
    }

    /// Refuses a bare name of a tag or branch that means another commit, too: the branch of that name, or the one whose
    /// id begins with these `digits`. Git takes the first with a warning; here it is what would serve.
    fn only_meaning(
        &self,
        base: &str,
        typed: &str,
        (full, id): (&str, &Oid),
        digits: Option<&str>,
    ) -> Result<(), GitError> {
        let bare =
            ["refs/tags/", "refs/heads/"].iter().any(|kind| *full == format!("{kind}{base}"));
        let Some(commit) = self.peel(id)?.filter(|_| bare) else { return Ok(()) };
        let branch = format!("refs/heads/{base}");
        let mut meanings = vec![full.to_owned()];
        if branch != full
            && let Some(tip) = self.find_ref(&branch)?
            && self.peel(&tip)?.is_some_and(|tip| tip != commit)
        {
            meanings.push(branch);
        }
        let of_digits = digits.and_then(|digits| self.abbreviated(digits, typed).ok().flatten());
        if let Some(other) = of_digits.map(|id| self.peel(&id)).transpose()?.flatten()
            && other != commit
        {
            meanings.push(other.to_string());
        }
        if meanings.len() < 2 {
            return Ok(());
        }
        Err(GitError::Ambiguous { name: typed.to_owned(), meanings })
    }

    /// Whether a name begins with a remote's.
    fn is_of_remote(&self, name: &str) -> bool {
        let beneath = |remote: &String| {
            name.strip_prefix(remote.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        name.contains('/') && self.remotes().iter().any(beneath)
    }

    /// The one commit (or tag on a commit) whose id begins so. Trees and blobs that do too are not meant.
    fn abbreviated(&self, digits: &str, typed: &str) -> Result<Option<Oid>, GitError> {
        let Ok(prefix) = gix::hash::Prefix::from_hex(digits) else { return Ok(None) };
        let mut candidates = HashSet::new();
        self.repo
            .objects
            .lookup_prefix(prefix, Some(&mut candidates))
            .map_err(|e| GitError::Object { id: digits.to_owned(), problem: told(&e) })?;
        let mut meanings = Vec::new();
        for candidate in candidates {
            let candidate = oid(candidate);
            if self.peel(&candidate)?.is_some() {
                meanings.push(candidate);
            }
        }
        meanings.sort();
        match meanings.len() {
            0 | 1 => Ok(meanings.pop()),
            _ => Err(GitError::Ambiguous {
                name: typed.to_owned(),
                meanings: meanings.iter().map(Oid::to_string).collect(),
            }),
        }
    }

    /// The commit an object is or, through tags, stands for; `None` for trees and blobs.
    pub(super) fn peel(&self, id: &Oid) -> Result<Option<Oid>, GitError> {
        let mut id = id.clone();
        // Tags on tags are finite (an object cannot name itself), but may be many.
        for _ in 0..64 {
            let missing = || object_error(&id, "it is not in this repository");
            let key = gix_id(&id).ok_or_else(missing)?;
            let header = self
                .repo
                .try_find_header(key)
                .map_err(|e| object_error(&id, &told(&e)))?
                .ok_or_else(missing)?;
            match header.kind() {
                Kind::Commit => return Ok(Some(id)),
                Kind::Tree | Kind::Blob => return Ok(None),
                Kind::Tag => {
                    let data = self.bytes(&id, Kind::Tag, u64::MAX)?;
                    id = gix::objs::TagRefIter::from_bytes(&data, self.repo.object_hash())
                        .target_id()
                        .map(oid)
                        .map_err(|e| object_error(&id, &told(&e)))?;
                }
            }
        }
        Err(object_error(&id, "it is a tag on a tag on a tag, more than 64 deep"))
    }

    pub(super) fn walk_all<'a>(
        &'a self,
        tip: &'a Oid,
    ) -> Result<impl Iterator<Item = Result<Oid, GitError>> + use<'a>, GitError> {
        use gix::revision::walk::Sorting;
        use gix::traverse::commit::simple::CommitTimeOrder;
        let walk = self
            .repo
            .rev_walk([self.commit_id(tip)?])
            .sorting(Sorting::ByCommitTime(CommitTimeOrder::NewestFirst))
            .all()
            .map_err(|e| object_error(tip, &told(&e)))?;
        Ok(walk.map(move |info| {
            info.map(|info| oid(info.id)).map_err(|e| object_error(tip, &told(&e)))
        }))
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
            .map_err(|e| object_error(tip, &told(&e)))?;
        Ok(walk.map(move |info| {
            info.map(|info| oid(info.id)).map_err(|e| object_error(tip, &told(&e)))
        }))
    }

    /// The id for gix, of an object that is here and is a commit.
    fn commit_id(&self, id: &Oid) -> Result<gix::ObjectId, GitError> {
        self.tree_of(id)?;
        gix_id(id).ok_or_else(|| object_error(id, "it is not in this repository"))
    }
}
