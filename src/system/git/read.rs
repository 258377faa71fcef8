//! Reading objects with gix, in process. Nothing here follows replace refs or runs a program.

use std::collections::BTreeMap;
use std::fmt::Display;

use gix::bstr::ByteSlice;
use gix::objs::tree::EntryKind;
use jiff::Timestamp;

use crate::model::{Oid, Person, RepoPath, TreeEntry, TreeMode};

use super::refs::{Target, oid, ref_error};
use super::{Commit, Git, GitError, Head, ObjectKind, TreeChange};

/// No commit or tag that is meant for people is larger.
const MOST_HEADERS: u64 = 16 << 20;

/// Files that gitroll interprets are never larger.
const MOST_FILE: u64 = 16 << 20;

impl Git {
    /// Where HEAD is. `Unknown` when there is no commit yet.
    ///
    /// # Errors
    /// `Unknown`; `Ref` when HEAD or its branch is broken.
    pub fn head(&self) -> Result<Head, GitError> {
        let unborn = || GitError::Unknown { name: "HEAD".to_owned() };
        let target = self.raw_ref("HEAD")?.ok_or_else(|| ref_error("HEAD", "it is missing"))?;
        let branch = match &target {
            Target::Symbolic(name) => Some(name.clone()),
            _ => None,
        };
        let commit = self.follow("HEAD", target)?.ok_or_else(unborn)?;
        Ok(Head { commit, branch })
    }

    /// A commit.
    ///
    /// # Errors
    /// `Object` when it is missing, damaged or no commit.
    pub fn commit(&self, id: &Oid) -> Result<Commit, GitError> {
        let data = self.bytes(id, gix::objs::Kind::Commit, MOST_HEADERS)?;
        let commit = gix::objs::CommitRef::from_bytes(&data, self.repo.object_hash())
            .map_err(|e| object_error(id, &format!("{e:#}")))?;
        let author = commit.author().map_err(|e| object_error(id, &format!("{e:#}")))?;
        Ok(Commit {
            id: id.clone(),
            tree: oid(commit.tree()),
            parents: commit.parents().map(oid).collect(),
            author: person(author),
            message: commit.message.to_str_lossy().into_owned(),
        })
    }

    /// Whether this repository has the object.
    pub fn has(&self, id: &Oid) -> bool {
        gix_id(id).is_some_and(|id| self.repo.has_object(id))
    }

    /// The raw bytes of an object, which must be of `kind` and at most `most` bytes.
    ///
    /// # Errors
    /// `Object` when it is missing, damaged, of another kind or larger.
    pub fn object(&self, id: &Oid, kind: ObjectKind, most: u64) -> Result<Vec<u8>, GitError> {
        self.bytes(id, kind.into(), most)
    }

    /// The content of a blob; `None` where it has more than `most` bytes.
    ///
    /// # Errors
    /// `Object` when it is missing, damaged or no blob.
    pub fn small_blob(&self, id: &Oid, most: u64) -> Result<Option<Vec<u8>>, GitError> {
        let header = gix_id(id).and_then(|key| self.repo.try_find_header(key).ok().flatten());
        match header {
            Some(header) if header.size() > most => Ok(None),
            _ => self.object(id, ObjectKind::Blob, most).map(Some),
        }
    }

    /// The file or link at `path` in a commit's tree.
    ///
    /// # Errors
    /// `Object`.
    pub fn entry(&self, commit: &Oid, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        let found = self.object_at(commit, path)?;
        Ok(found.and_then(|(kind, id)| mode(kind).map(|mode| TreeEntry { mode, id })))
    }

    /// What a commit's tree has at `path`, a directory too.
    pub(super) fn object_at(
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
                let entry = entry.map_err(|e| object_error(&tree, &format!("{e:#}")))?;
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

    /// The content of a file in a commit's tree, at most 16 MiB.
    ///
    /// # Errors
    /// `Object`, also where the file is larger.
    pub fn file(&self, commit: &Oid, path: &RepoPath) -> Result<Option<Vec<u8>>, GitError> {
        match self.entry(commit, path)? {
            Some(TreeEntry { mode: TreeMode::Submodule, .. }) | None => Ok(None),
            Some(entry) => self.object(&entry.id, ObjectKind::Blob, MOST_FILE).map(Some),
        }
    }

    /// The size of an object in bytes, where it is here.
    pub fn size(&self, id: &Oid) -> Option<u64> {
        let header = self.repo.try_find_header(gix_id(id)?).ok().flatten()?;
        Some(header.size())
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

    /// Adds every file, link and submodule of a tree that lies at `at`.
    pub(super) fn entries_of_tree(
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
        .map_err(|e| object_error(tree, &format!("{e:#}")))?;
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
        .map_err(|e| object_error(&after, &format!("{e:#}")))?;

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

    /// The tree of a commit.
    pub(super) fn tree_of(&self, commit: &Oid) -> Result<Oid, GitError> {
        let data = self.bytes(commit, gix::objs::Kind::Commit, MOST_HEADERS)?;
        gix::objs::CommitRefIter::from_bytes(&data, self.repo.object_hash())
            .tree_id()
            .map(oid)
            .map_err(|e| object_error(commit, &format!("{e:#}")))
    }

    /// An object's bytes, after its kind and size were looked at.
    pub(super) fn bytes(
        &self,
        id: &Oid,
        kind: gix::objs::Kind,
        most: u64,
    ) -> Result<Vec<u8>, GitError> {
        let missing = || object_error(id, "it is not in this repository");
        let key = gix_id(id).ok_or_else(missing)?;
        let header = self
            .repo
            .try_find_header(key)
            .map_err(|e| object_error(id, &format!("{e:#}")))?
            .ok_or_else(missing)?;
        if header.kind() != kind {
            return Err(object_error(id, &format!("it is a {}, not a {kind}", header.kind())));
        }
        if header.size() > most {
            let problem = format!("it has {} bytes, more than the {most} allowed", header.size());
            return Err(object_error(id, &problem));
        }
        let mut object = self
            .repo
            .try_find_object(key)
            .map_err(|e| object_error(id, &format!("{e:#}")))?
            .ok_or_else(missing)?;
        Ok(std::mem::take(&mut object.data))
    }
}

impl From<ObjectKind> for gix::objs::Kind {
    fn from(kind: ObjectKind) -> Self {
        match kind {
            ObjectKind::Blob => Self::Blob,
            ObjectKind::Tag => Self::Tag,
        }
    }
}

/// One of our ids for gix; `None` where this build of gix lacks its hash.
pub(super) fn gix_id(id: &Oid) -> Option<gix::ObjectId> {
    gix::ObjectId::from_hex(id.as_str().as_bytes()).ok()
}

pub(super) fn object_error(id: &Oid, problem: &(impl Display + ?Sized)) -> GitError {
    GitError::Object { id: id.to_string(), problem: problem.to_string() }
}

/// A name and a time as git has them; a time that is none, or beyond what can be shown, is the epoch.
pub(super) fn person(signature: gix::actor::SignatureRef<'_>) -> Person {
    let seconds = signature.time().map(|time| time.seconds).unwrap_or_default();
    Person {
        name: signature.name.to_str_lossy().into_owned(),
        email: signature.email.to_str_lossy().into_owned(),
        time: Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

pub(super) fn mode(kind: EntryKind) -> Option<TreeMode> {
    match kind {
        EntryKind::Tree => None,
        EntryKind::Blob => Some(TreeMode::File),
        EntryKind::BlobExecutable => Some(TreeMode::Executable),
        EntryKind::Link => Some(TreeMode::Symlink),
        EntryKind::Commit => Some(TreeMode::Submodule),
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
