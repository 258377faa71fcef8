//! Trees made from another tree by taking paths out and putting entries in.

use std::collections::BTreeMap;

use gix::objs::tree::EntryKind;

use crate::model::{Oid, RepoPath, TreeEntry, TreeMode};

use super::read::{gix_id, mode, object_error};
use super::refs::oid;
use super::{Git, GitError};

impl Git {
    /// Every file, link and submodule of a commit's tree at or below one of `roots`, sorted by path; of
    /// the whole tree where `roots` is empty.
    ///
    /// # Errors
    /// `Object`, also where the tree holds a path that no work tree may have.
    pub fn entries_below(
        &self,
        commit: &Oid,
        roots: &[RepoPath],
    ) -> Result<BTreeMap<RepoPath, TreeEntry>, GitError> {
        if roots.is_empty() {
            return Ok(self.entries(commit)?.into_iter().collect());
        }
        let mut found = Vec::new();
        for root in roots {
            match self.object_at(commit, root)? {
                Some((EntryKind::Tree, tree)) => {
                    self.entries_of_tree(&tree, Some(root), &mut found)?;
                }
                Some((kind, id)) => {
                    found.extend(mode(kind).map(|mode| (root.clone(), TreeEntry { mode, id })));
                }
                None => {}
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Writes the tree of `base` with every path of `gone` taken out, itself and what lies below it, and
    /// then every entry of `put` put in. A file that stands where an entry needs a directory gives way.
    ///
    /// # Errors
    /// `Object`, `Io`.
    pub fn write_overlay<'a>(
        &self,
        base: &Oid,
        gone: impl IntoIterator<Item = &'a RepoPath>,
        put: impl IntoIterator<Item = (&'a RepoPath, &'a TreeEntry)>,
    ) -> Result<Oid, GitError> {
        let root = self.tree_of(base)?;
        let failed = |e: &dyn std::fmt::Display| object_error(&root, &format!("{e:#}"));
        let data = self.bytes(&root, gix::objs::Kind::Tree, u64::MAX)?;
        let tree = gix::objs::TreeRef::from_bytes(&data, self.repo.object_hash())
            .map_err(|e| failed(&e))?
            .into();
        let mut editor =
            gix::objs::tree::Editor::new(tree, &self.repo.objects, self.repo.object_hash());
        for path in gone {
            editor.remove(parts(path)).map_err(|e| failed(&e))?;
        }
        for (path, entry) in put {
            let id = gix_id(&entry.id)
                .ok_or_else(|| object_error(&entry.id, "it is no id of this repository"))?;
            editor.upsert(parts(path), kind(entry.mode), id).map_err(|e| failed(&e))?;
        }
        editor
            .write(|tree| {
                let id = self.write_parsed(tree)?;
                gix_id(&id).ok_or_else(|| object_error(&id, "it is no id of this repository"))
            })
            .map(oid)
    }
}

fn parts(path: &RepoPath) -> impl Iterator<Item = &gix::bstr::BStr> {
    path.as_bytes().split(|b| *b == b'/').map(Into::into)
}

fn kind(mode: TreeMode) -> EntryKind {
    match mode {
        TreeMode::File => EntryKind::Blob,
        TreeMode::Executable => EntryKind::BlobExecutable,
        TreeMode::Symlink => EntryKind::Link,
        TreeMode::Submodule => EntryKind::Commit,
    }
}
