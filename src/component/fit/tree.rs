//! A tree of files as entries with differences laid over them, and what can be read of it.

use std::collections::BTreeMap;

use crate::model::{RepoPath, TreeEntry, TreeMode};
use crate::system::git::{Git, GitError, TreeChange};

/// No file that is looked into is larger.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// One of the trees compared. Made from the one that is known whole, so that none is listed twice.
pub(super) struct Tree<'a> {
    git: &'a Git,
    base: &'a BTreeMap<RepoPath, TreeEntry>,
    over: BTreeMap<&'a RepoPath, Option<&'a TreeEntry>>,
}

impl<'a> Tree<'a> {
    /// The tree that is known whole.
    pub fn whole(git: &'a Git, base: &'a BTreeMap<RepoPath, TreeEntry>) -> Self {
        Self { git, base, over: BTreeMap::new() }
    }

    /// This tree before the changes that led to it.
    pub fn before(&self, changes: &'a [TreeChange]) -> Self {
        self.with(changes.iter().map(|change| (&change.path, change.before.as_ref())))
    }

    /// This tree after more changes.
    pub fn after(&self, changes: &'a [TreeChange]) -> Self {
        self.with(changes.iter().map(|change| (&change.path, change.after.as_ref())))
    }

    /// The file or link at a path.
    pub fn entry(&self, path: &RepoPath) -> Option<&'a TreeEntry> {
        let entry = match self.over.get(path) {
            Some(entry) => *entry,
            None => self.base.get(path),
        };
        entry.filter(|entry| entry.mode != TreeMode::Submodule)
    }

    /// A plain file's content; `None` where there is none, or a larger one than is looked into.
    ///
    /// # Errors
    /// When git cannot read it.
    pub fn read(&self, path: &RepoPath) -> Result<Option<Vec<u8>>, GitError> {
        match self.entry(path) {
            Some(entry) if is_plain(entry) => self.git.small_blob(&entry.id, MOST_BYTES),
            _ => Ok(None),
        }
    }

    fn with(
        &self,
        changes: impl Iterator<Item = (&'a RepoPath, Option<&'a TreeEntry>)>,
    ) -> Tree<'a> {
        let mut over = self.over.clone();
        over.extend(changes);
        Tree { git: self.git, base: self.base, over }
    }
}

/// Whether an entry is a file with content of its own.
pub(super) fn is_plain(entry: &TreeEntry) -> bool {
    matches!(entry.mode, TreeMode::File | TreeMode::Executable)
}
