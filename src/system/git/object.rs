//! Objects: commits and blobs read with gix, in process, and written so that they are durable.
//!
//! Nothing here follows replace refs or runs a program. gix never syncs, and git syncs files (with
//! `core.fsync=all`) but never directories: both are done here, so that a ref never survives a power cut that
//! its objects did not, and no object gets its name before its bytes are on the disk.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice;
use gix::objs::WriteTo;
use jiff::Timestamp;

use crate::model::{Oid, Person, RepoPath, TreeEntry, TreeMode};
use crate::system::files;

use super::repository::{Git, GitError};

/// How the temporary name of an object begins that is written here, and by nobody else.
pub(super) const OWN_OBJECT: &str = "tmp_obj_gitroll-";

/// No commit or tag that is meant for people is larger.
const MOST_HEADERS: u64 = 16 << 20;

/// From so many objects on, one sync for all of them is cheaper than one for each.
const MANY: usize = 32;

/// So many temporary files lie around at once, at most.
const MOST_AT_ONCE: usize = 512;

/// Files that gitroll interprets are never larger.
const MOST_FILE: u64 = 16 << 20;

/// A commit's head lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: Oid,
    pub tree: Oid,
    pub parents: Vec<Oid>,
    /// Who wrote it, and when.
    pub author: Person,
    /// The whole message; escape before printing.
    pub message: String,
}

/// The kinds of object gitroll writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    Blob,
    /// A tag object.
    Tag,
}

impl Git {
    /// A commit.
    ///
    /// # Errors
    /// `Object` when it is missing, damaged or no commit.
    pub fn commit(&self, id: &Oid) -> Result<Commit, GitError> {
        let data = self.bytes(id, gix::objs::Kind::Commit, MOST_HEADERS)?;
        let commit = gix::objs::CommitRef::from_bytes(&data, self.repo.object_hash())
            .map_err(|e| object_error(id, &told(&e)))?;
        let author = commit.author().map_err(|e| object_error(id, &told(&e)))?;
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

    /// The content of a blob; `None` if it has more than `most` bytes.
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

    /// Writes an object: file and directories fsynced.
    ///
    /// # Errors
    /// `Object`, `Io`.
    pub fn write_object(&self, kind: ObjectKind, bytes: &[u8]) -> Result<Oid, GitError> {
        self.write_durably(kind.into(), bytes)
    }

    /// Writes objects of one kind: each durably, or, where there are many, all of them at once.
    ///
    /// # Errors
    /// `Object`, `Io`.
    pub fn write_objects(&self, kind: ObjectKind, all: &[Vec<u8>]) -> Result<Vec<Oid>, GitError> {
        let mut ids = Vec::with_capacity(all.len());
        for some in all.chunks(MOST_AT_ONCE) {
            if some.len() < MANY {
                for bytes in some {
                    ids.push(self.write_object(kind, bytes)?);
                }
            } else {
                ids.extend(self.write_together(kind.into(), some)?);
            }
        }
        Ok(ids)
    }

    /// The id that an object has or would have here.
    ///
    /// # Errors
    /// `Object` when its bytes cannot be hashed.
    pub fn id_of(&self, kind: ObjectKind, bytes: &[u8]) -> Result<Oid, GitError> {
        gix::objs::compute_hash(self.repo.object_hash(), kind.into(), bytes)
            .map(oid)
            .map_err(|e| not_written(&told(&e)))
    }

    /// Writes a commit; author and committer are `person`.
    ///
    /// # Errors
    /// `Object`, `Io`.
    pub fn write_commit(
        &self,
        tree: &Oid,
        parents: &[Oid],
        person: &Person,
        message: &str,
    ) -> Result<Oid, GitError> {
        let key = |id: &Oid| {
            gix_id(id).ok_or_else(|| object_error(id, "it is not an object id of this repository"))
        };
        let who = signature(person);
        self.write_parsed(&gix::objs::Commit {
            tree: key(tree)?,
            parents: parents.iter().map(key).collect::<Result<_, _>>()?,
            author: who.clone(),
            committer: who,
            encoding: None,
            message: message.into(),
            extra_headers: Vec::new(),
        })
    }

    /// Makes every object that is here durable, whoever wrote it: git syncs the loose ones that it fetches
    /// or commits only if it is told to.
    ///
    /// # Errors
    /// `Io`.
    pub fn sync_objects(&self) -> Result<(), GitError> {
        let path = self.common_dir.join("objects");
        files::sync_file_system(&path).map_err(|source| GitError::Io { path, source })
    }

    /// The tree of a commit.
    pub(super) fn tree_of(&self, commit: &Oid) -> Result<Oid, GitError> {
        let data = self.bytes(commit, gix::objs::Kind::Commit, MOST_HEADERS)?;
        gix::objs::CommitRefIter::from_bytes(&data, self.repo.object_hash())
            .tree_id()
            .map(oid)
            .map_err(|e| object_error(commit, &told(&e)))
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
            .map_err(|e| object_error(id, &told(&e)))?
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
            .map_err(|e| object_error(id, &told(&e)))?
            .ok_or_else(missing)?;
        Ok(std::mem::take(&mut object.data))
    }

    pub(super) fn write_parsed(&self, object: &dyn WriteTo) -> Result<Oid, GitError> {
        let mut bytes = Vec::new();
        object.write_to(&mut bytes).map_err(|e| GitError::Object {
            id: "to be written".to_owned(),
            problem: e.to_string(),
        })?;
        self.write_durably(object.kind(), &bytes)
    }

    pub(super) fn write_durably(
        &self,
        kind: gix::objs::Kind,
        bytes: &[u8],
    ) -> Result<Oid, GitError> {
        let id = gix::objs::compute_hash(self.repo.object_hash(), kind, bytes)
            .map_err(|e| not_written(&told(&e)))?;
        let known = oid(id);
        // An object that was here before may be the torn file of an earlier power cut.
        if self.repo.has_object(id) {
            if self.bytes(&known, kind, u64::MAX).is_ok_and(|found| found == bytes) {
                self.sync_object(&known)?;
                return Ok(known);
            }
            let path = self.loose_path(&known);
            fs::remove_file(&path).map_err(|_| {
                object_error(&known, "the copy in this repository is damaged: run git fsck")
            })?;
        }
        self.write_loose(&known, kind, bytes)
            .map_err(|e| object_error(&known, &format!("cannot be written: {e}")))?;
        self.sync_object(&known)?;
        Ok(known)
    }

    /// Many loose objects with two syncs in all: one before any has its name, one after.
    fn write_together(&self, kind: gix::objs::Kind, all: &[Vec<u8>]) -> Result<Vec<Oid>, GitError> {
        let (mut ids, mut unnamed) = (Vec::new(), Vec::new());
        for bytes in all {
            let key = gix::objs::compute_hash(self.repo.object_hash(), kind, bytes)
                .map_err(|e| not_written(&told(&e)))?;
            let id = oid(key);
            if self.repo.has_object(key) {
                self.write_durably(kind, bytes)?;
            } else {
                let file = self.unnamed(kind, bytes);
                let file =
                    file.map_err(|e| object_error(&id, &format!("cannot be written: {e}")))?;
                unnamed.push((id.clone(), file.into_temp_path()));
            }
            ids.push(id);
        }
        self.sync_objects()?;
        for (id, file) in unnamed {
            let path = self.loose_path(&id);
            let named =
                self.make_fan(&path).and_then(|()| file.persist(&path).map_err(|e| e.error));
            named.map_err(|e| object_error(&id, &format!("cannot be written: {e}")))?;
        }
        self.sync_objects()?;
        Ok(ids)
    }

    /// A loose object that has its name only when its bytes are on the disk: a power cut would leave an empty
    /// file, at which git's own commands stop. The temporary name is one that `git prune` removes.
    fn write_loose(&self, id: &Oid, kind: gix::objs::Kind, bytes: &[u8]) -> io::Result<()> {
        let path = self.loose_path(id);
        let file = self.unnamed(kind, bytes)?;
        file.as_file().sync_all()?;
        self.make_fan(&path)?;
        file.persist(&path).map(|_| ()).map_err(|failed| failed.error)
    }

    /// The file of a loose object, without its name and not synced.
    fn unnamed(&self, kind: gix::objs::Kind, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
        let file = tempfile::Builder::new()
            .prefix(OWN_OBJECT)
            .permissions(fs::Permissions::from_mode(0o444))
            .tempfile_in(self.common_dir.join("objects"))?;
        let level = gix::zlib::Compression::default();
        let mut to = gix::zlib::stream::deflate::Write::new(file, level);
        to.write_all(&gix::objs::encode::loose_header(kind, bytes.len() as u64))?;
        to.write_all(bytes)?;
        to.flush()?;
        Ok(to.into_inner())
    }

    /// The directory that a loose object lies in.
    fn make_fan(&self, path: &Path) -> io::Result<()> {
        if let Some(fan) = path.parent() {
            match fs::create_dir(fan) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) => {}
                // In a repository that a group shares, the group writes into this one, too.
                Ok(()) => {
                    let above = self.common_dir.join("objects").metadata()?.permissions().mode();
                    let mode = fs::Permissions::from_mode(above & 0o7775 | 0o700);
                    fs::set_permissions(fan, mode)?;
                }
            }
        }
        Ok(())
    }

    /// fsync of a loose object and its directories; packed ones were synced when they came.
    fn sync_object(&self, id: &Oid) -> Result<(), GitError> {
        let path = self.loose_path(id);
        match File::open(&path).and_then(|file| file.sync_all()) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(GitError::Io { path, source }),
        }
        for dir in path.ancestors().skip(1).take(2) {
            sync_dir(dir)?;
        }
        Ok(())
    }

    fn loose_path(&self, id: &Oid) -> PathBuf {
        let (fan, rest) = id.as_str().split_at(2);
        self.common_dir.join("objects").join(fan).join(rest)
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

/// An id of gix as one of ours.
pub(super) fn oid(id: gix::ObjectId) -> Oid {
    id.to_string().parse().expect("gix prints ids as lower-case hex of full length")
}

/// One of our ids for gix; `None` if this build of gix lacks its hash.
pub(super) fn gix_id(id: &Oid) -> Option<gix::ObjectId> {
    gix::ObjectId::from_hex(id.as_str().as_bytes()).ok()
}

fn not_written(problem: &str) -> GitError {
    GitError::Object { id: "to be written".to_owned(), problem: problem.to_owned() }
}

pub(super) fn object_error(id: &Oid, problem: &(impl Display + ?Sized)) -> GitError {
    GitError::Object { id: id.to_string(), problem: problem.to_string() }
}

/// An error of gix and what led to it, in one line: printed by itself it is a tree of its own types.
pub(super) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let line = |all: Vec<String>| all.join(": ");
    if let Some(error) = error.downcast_ref::<gix::Error>() {
        return line(error.iter_errors().map(ToString::to_string).collect());
    }
    line(
        std::iter::successors(Some(error), |error| error.source())
            .map(ToString::to_string)
            .collect(),
    )
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

/// A person as git writes them: what would end the line or the address is left out.
fn signature(person: &Person) -> gix::actor::Signature {
    let clean = |text: &str| {
        let kept: String =
            text.chars().filter(|c| !matches!(c, '<' | '>') && !c.is_control()).collect();
        kept.trim().to_owned()
    };
    let name = Some(clean(&person.name)).filter(|name| !name.is_empty());
    gix::actor::Signature {
        // git takes a line without a name for damaged.
        name: name.unwrap_or_else(|| "unknown".to_owned()).into(),
        email: clean(&person.email).into(),
        time: gix::date::Time { seconds: person.time.as_second(), offset: 0 },
    }
}

/// fsync of a directory.
pub(super) fn sync_dir(path: &Path) -> Result<(), GitError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| GitError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
