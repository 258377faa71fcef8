//! Trees: listed, compared, and made from another one.

use std::collections::{BTreeMap, BTreeSet};

use gix::bstr::ByteSlice;
use gix::objs::tree::EntryKind;

use crate::model::{Oid, RepoPath, TreeEntry, TreeMode};

use super::object::{gix_id, object_error, oid, told};
use super::repository::{Git, GitError};

/// A tracked path that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeChange {
    pub path: RepoPath,
    /// In the first tree.
    pub before: Option<TreeEntry>,
    /// In the second.
    pub after: Option<TreeEntry>,
}

impl Git {
    /// The file or link at `path` in a commit's tree.
    ///
    /// # Errors
    /// `Object`.
    pub fn entry(&self, commit: &Oid, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        let found = self.object_at(commit, path)?;
        Ok(found.and_then(|(kind, id)| mode(kind).map(|mode| TreeEntry { mode, id })))
    }

    /// Every file, link and submodule of a commit's tree, sorted by path.
    ///
    /// # Errors
    /// `Object`, also where the tree holds a path that no work tree may have.
    pub fn entries(&self, commit: &Oid) -> Result<Vec<(RepoPath, TreeEntry)>, GitError> {
        let mut entries = Vec::new();
        self.entries_of_tree(&self.tree_of(commit)?, None, &mut entries)?;
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// Those of `words` that a text file of a commit holds, as whole words.
    ///
    /// # Errors
    /// `Command`.
    pub fn words_of(&self, commit: &Oid, words: &[String]) -> Result<BTreeSet<String>, GitError> {
        if words.is_empty() {
            return Ok(BTreeSet::new());
        }
        let call = self.call("grep").args(["-h", "-o", "-w", "-F", "-I", "--no-color"]);
        let patterns = words.iter().flat_map(|word| ["-e", word.as_str()]);
        let answer = call.args(patterns).arg(commit.as_str()).arg("--").run()?;
        if !matches!(answer.code, Some(0 | 1)) {
            return Err(GitError::Command { verb: "grep".to_owned(), problem: answer.problem() });
        }
        let found = String::from_utf8_lossy(&answer.stdout);
        Ok(found.lines().map(str::to_owned).collect())
    }

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

    /// What differs between two commits' trees, without renames, sorted by path.
    ///
    /// # Errors
    /// `Object`.
    pub fn changes(&self, from: &Oid, to: &Oid) -> Result<Vec<TreeChange>, GitError> {
        let (before, after) = (self.tree_of(from)?, self.tree_of(to)?);
        if before == after {
            return Ok(Vec::new());
        }
        let hash = self.repo.object_hash();
        let old = self.bytes(&before, gix::objs::Kind::Tree, u64::MAX)?;
        let new = self.bytes(&after, gix::objs::Kind::Tree, u64::MAX)?;
        let mut recorder = gix::diff::tree::Recorder::default();
        gix::diff::tree(
            gix::objs::TreeRefIter::from_bytes(&old, hash),
            gix::objs::TreeRefIter::from_bytes(&new, hash),
            gix::diff::tree::State::default(),
            &self.repo.objects,
            &mut recorder,
        )
        .map_err(|e| object_error(&after, &told(&e)))?;

        type Sides = (Option<TreeEntry>, Option<TreeEntry>);
        let mut changed: BTreeMap<Vec<u8>, Sides> = BTreeMap::new();
        let entry = |mode_: gix::objs::tree::EntryMode, id| {
            mode(mode_.kind()).map(|mode| TreeEntry { mode, id: oid(id) })
        };
        // A file that becomes a directory arrives as two changes of one path: they meet in the map.
        for change in recorder.records {
            use gix::diff::tree::recorder::Change::{Addition, Deletion, Modification};
            match change {
                Addition { entry_mode, oid, path, .. } => {
                    let side = entry(entry_mode, oid);
                    let slot = changed.entry(path.into()).or_default();
                    slot.1 = slot.1.take().or(side);
                }
                Deletion { entry_mode, oid, path, .. } => {
                    let side = entry(entry_mode, oid);
                    let slot = changed.entry(path.into()).or_default();
                    slot.0 = slot.0.take().or(side);
                }
                Modification { previous_entry_mode, previous_oid, entry_mode, oid, path } => {
                    let slot = changed.entry(path.into()).or_default();
                    slot.0 = slot.0.take().or(entry(previous_entry_mode, previous_oid));
                    slot.1 = slot.1.take().or(entry(entry_mode, oid));
                }
            }
        }
        changed
            .into_iter()
            .filter(|(_, (before, after))| before != after)
            .map(|(path, (before, after))| {
                let path = RepoPath::new(path).map_err(|e| object_error(to, &e))?;
                Ok(TreeChange { path, before, after })
            })
            .collect()
    }

    /// Writes a flat tree of blobs.
    ///
    /// # Errors
    /// `Object` for a name that no tree may hold, `Io`.
    pub fn write_tree(&self, entries: &[(&str, Oid)]) -> Result<Oid, GitError> {
        let mut tree = gix::objs::Tree::empty();
        for (name, id) in entries {
            let valid = RepoPath::new(name.as_bytes()).is_ok() && !name.contains('/');
            let key = gix_id(id).filter(|_| valid);
            let oid =
                key.ok_or_else(|| object_error(id, &format!("cannot be {name:?} in a tree")))?;
            tree.entries.push(gix::objs::tree::Entry {
                mode: EntryKind::Blob.into(),
                filename: (*name).into(),
                oid,
            });
        }
        tree.entries.sort();
        self.write_parsed(&tree)
    }

    /// Writes the tree of `base` with every path of `removed` taken out, itself and what is below it, and
    /// then every entry of `put` put in. A file that is where an entry needs a directory gives way.
    ///
    /// # Errors
    /// `Object`, `Io`.
    pub fn edit_tree<'a>(
        &self,
        base: &Oid,
        removed: impl IntoIterator<Item = &'a RepoPath>,
        put: impl IntoIterator<Item = (&'a RepoPath, &'a TreeEntry)>,
    ) -> Result<Oid, GitError> {
        let root = self.tree_of(base)?;
        let failed = |e: &(dyn std::error::Error + 'static)| object_error(&root, &told(e));
        let data = self.bytes(&root, gix::objs::Kind::Tree, u64::MAX)?;
        let tree = gix::objs::TreeRef::from_bytes(&data, self.repo.object_hash())
            .map_err(|e| failed(&e))?
            .into();
        let mut editor =
            gix::objs::tree::Editor::new(tree, &self.repo.objects, self.repo.object_hash());
        for path in removed {
            editor.remove(parts(path)).map_err(|e| failed(&e))?;
        }
        for (path, entry) in put {
            let id = gix_id(&entry.id).ok_or_else(|| {
                object_error(&entry.id, "it is not an object id of this repository")
            })?;
            editor.upsert(parts(path), kind(entry.mode), id).map_err(|e| failed(&e))?;
        }
        editor
            .write(|tree| {
                let id = self.write_parsed(tree)?;
                gix_id(&id)
                    .ok_or_else(|| object_error(&id, "it is not an object id of this repository"))
            })
            .map(oid)
    }

    /// What a commit's tree has at `path`, a directory too.
    fn object_at(
        &self,
        commit: &Oid,
        path: &RepoPath,
    ) -> Result<Option<(EntryKind, Oid)>, GitError> {
        let mut tree = self.tree_of(commit)?;
        let mut parts = path.as_bytes().split(|b| *b == b'/').peekable();
        while let Some(part) = parts.next() {
            let data = self.bytes(&tree, gix::objs::Kind::Tree, u64::MAX)?;
            let entries = gix::objs::TreeRefIter::from_bytes(&data, self.repo.object_hash());
            let mut found = None;
            for entry in entries {
                let entry = entry.map_err(|e| object_error(&tree, &told(&e)))?;
                if entry.filename == part.as_bstr() {
                    found = Some((entry.mode.kind(), oid(entry.oid.to_owned())));
                    break;
                }
            }
            match (found, parts.peek().is_some()) {
                (Some((EntryKind::Tree, id)), true) => tree = id,
                (found, false) => return Ok(found),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Adds every file, link and submodule of a tree that is at `at`.
    fn entries_of_tree(
        &self,
        tree: &Oid,
        at: Option<&RepoPath>,
        entries: &mut Vec<(RepoPath, TreeEntry)>,
    ) -> Result<(), GitError> {
        let data = self.bytes(tree, gix::objs::Kind::Tree, u64::MAX)?;
        let mut recorder = gix::traverse::tree::Recorder::default();
        gix::traverse::tree::breadthfirst(
            gix::objs::TreeRefIter::from_bytes(&data, self.repo.object_hash()),
            gix::traverse::tree::breadthfirst::State::default(),
            &self.repo.objects,
            &mut recorder,
        )
        .map_err(|e| object_error(tree, &told(&e)))?;
        entries.reserve(recorder.records.len());
        for record in recorder.records {
            if let Some(mode) = mode(record.mode.kind()) {
                let mut path = at.map_or_else(Vec::new, |at| [at.as_bytes(), b"/"].concat());
                path.extend_from_slice(&record.filepath);
                let path = RepoPath::new(path).map_err(|e| object_error(tree, &e))?;
                entries.push((path, TreeEntry { mode, id: oid(record.oid) }));
            }
        }
        Ok(())
    }
}

fn parts(path: &RepoPath) -> impl Iterator<Item = &gix::bstr::BStr> {
    path.as_bytes().split(|b| *b == b'/').map(Into::into)
}

fn mode(kind: EntryKind) -> Option<TreeMode> {
    match kind {
        EntryKind::Tree => None,
        EntryKind::Blob => Some(TreeMode::File),
        EntryKind::BlobExecutable => Some(TreeMode::Executable),
        EntryKind::Link => Some(TreeMode::Symlink),
        EntryKind::Commit => Some(TreeMode::Submodule),
    }
}

fn kind(mode: TreeMode) -> EntryKind {
    match mode {
        TreeMode::File => EntryKind::Blob,
        TreeMode::Executable => EntryKind::BlobExecutable,
        TreeMode::Symlink => EntryKind::Link,
        TreeMode::Submodule => EntryKind::Commit,
    }
}
