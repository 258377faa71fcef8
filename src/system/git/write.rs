//! Writing objects and refs, durable before it returns.
//!
//! gix never syncs, and git syncs files (with `core.fsync=all`) but never directories: both are done here,
//! so that a ref never survives a power cut that its objects did not, and no object gets its name before its
//! bytes are on the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use gix::objs::WriteTo;

use crate::model::{Oid, Person};
use crate::system::files;

use super::command::stale_lock;
use super::in_flight::Takes;
use super::read::{gix_id, object_error};
use super::refs::{oid, ref_error};
use super::{Git, GitError, ObjectKind, RefEdit};

/// How the temporary name of an object begins that is written here, and by nobody else.
pub(super) const OWN_OBJECT: &str = "tmp_obj_gitroll-";

impl Git {
    /// Writes an object: file and directories fsynced.
    ///
    /// # Errors
    /// `Object`, `Io`.
    pub fn write_object(&self, kind: ObjectKind, bytes: &[u8]) -> Result<Oid, GitError> {
        self.write_durably(kind.into(), bytes)
    }

    /// Writes a flat tree of blobs.
    ///
    /// # Errors
    /// `Object` for a name that no tree may hold, `Io`.
    pub fn write_tree(&self, entries: &[(&str, Oid)]) -> Result<Oid, GitError> {
        let mut tree = gix::objs::Tree::empty();
        for (name, id) in entries {
            let valid = crate::model::RepoPath::new(name.as_bytes()).is_ok() && !name.contains('/');
            let key = gix_id(id).filter(|_| valid);
            let oid =
                key.ok_or_else(|| object_error(id, &format!("cannot be {name:?} in a tree")))?;
            tree.entries.push(gix::objs::tree::Entry {
                mode: gix::objs::tree::EntryKind::Blob.into(),
                filename: (*name).into(),
                oid,
            });
        }
        tree.entries.sort();
        self.write_parsed(&tree)
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
        let key =
            |id: &Oid| gix_id(id).ok_or_else(|| object_error(id, "it is no id of this repository"));
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

    /// Changes refs all together or not at all, each only from its expected value; fsynced with their
    /// directories.
    ///
    /// # Errors
    /// `Ref` with the name of the first that is not as expected, or whose lock file is in the way.
    pub fn update_refs(&self, edits: &[RefEdit], why: &str) -> Result<(), GitError> {
        if edits.is_empty() {
            return Ok(());
        }
        let zero = "0".repeat(self.repo.object_hash().len_in_hex());
        let mut orders = b"start\0".to_vec();
        for edit in edits {
            if !edit.name.starts_with("refs/") {
                return Err(ref_error(&edit.name, "its name does not begin with refs/"));
            }
            let old = edit.old.as_ref().map_or(zero.as_str(), Oid::as_str);
            let order = match (&edit.new, &edit.old) {
                (Some(new), _) => format!("update {}\0{new}\0{old}\0", edit.name),
                (None, Some(_)) => format!("delete {}\0{old}\0", edit.name),
                (None, None) => format!("verify {}\0{old}\0", edit.name),
            };
            orders.extend(order.into_bytes());
        }
        orders.extend(b"prepare\0commit\0");
        let names: Vec<&str> = edits.iter().map(|edit| edit.name.as_str()).collect();
        self.transact(orders, why, &names)?;
        for edit in edits {
            self.sync_ref_dirs(&edit.name)?;
        }
        Ok(())
    }

    /// Runs one ref transaction on these refs; the first is named where git names none.
    pub(super) fn transact(
        &self,
        orders: Vec<u8>,
        why: &str,
        names: &[&str],
    ) -> Result<(), GitError> {
        let locked = |path: PathBuf| {
            let mut lock = path.into_os_string();
            lock.push(".lock");
            PathBuf::from(lock)
        };
        // HEAD too, where it is on one of them; packed ones where one is deleted.
        let also = ["HEAD.lock"].map(|name| self.git_dir.join(name));
        let packed = ["packed-refs.lock", "packed-refs.new"].map(|name| self.common_dir.join(name));
        let locks = names.iter().map(|name| locked(self.ref_path(name))).chain(also).chain(packed);
        let takes = Takes { locks: locks.collect(), fetches: false };
        let first = names.first().copied().unwrap_or_default();
        let who = self.identity(crate::system::clock::now());
        let answer = self
            .call("update-ref")
            .arg("-m")
            .arg(why)
            .args(["--stdin", "-z"])
            .input(orders)
            .durable()
            .takes(takes)
            .env("GIT_COMMITTER_NAME", &who.name)
            .env("GIT_COMMITTER_EMAIL", &who.email)
            .run()?;
        if answer.code == Some(0) {
            return Ok(());
        }
        let problem = answer.problem();
        let name = problem
            .split_once("ref '")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map_or(first, |(name, _)| name)
            .to_owned();
        if let Some(lock) = stale_lock(&answer.stderr) {
            let problem = format!(
                "{} is in the way; if no git command is running here, one was killed: remove that file",
                lock.display()
            );
            return Err(GitError::Ref { name, problem });
        }
        Err(GitError::Ref { name, problem })
    }

    /// fsync of the directories in which a ref may have come, gone, or moved to `packed-refs`.
    pub(super) fn sync_ref_dirs(&self, name: &str) -> Result<(), GitError> {
        let path = self.ref_path(name);
        let top = if path.starts_with(&self.common_dir) { &self.common_dir } else { &self.git_dir };
        let mut dir = path.parent();
        while let Some(at) = dir.filter(|at| at.starts_with(top)) {
            // git removes directories that a deletion empties.
            match sync_dir(at) {
                Err(GitError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
            dir = at.parent();
        }
        Ok(())
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
        let failed = |problem: String| GitError::Object { id: "to be written".to_owned(), problem };
        let id = gix::objs::compute_hash(self.repo.object_hash(), kind, bytes)
            .map_err(|e| failed(format!("{e:#}")))?;
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

    /// A loose object that has its name only when its bytes are on the disk: a power cut would leave an empty
    /// file, at which git's own commands stop. The temporary name is one that `git prune` removes.
    fn write_loose(&self, id: &Oid, kind: gix::objs::Kind, bytes: &[u8]) -> io::Result<()> {
        let path = self.loose_path(id);
        let file = tempfile::Builder::new()
            .prefix(OWN_OBJECT)
            .permissions(fs::Permissions::from_mode(0o444))
            .tempfile_in(self.common_dir.join("objects"))?;
        let level = gix::zlib::Compression::default();
        let mut to = gix::zlib::stream::deflate::Write::new(file, level);
        to.write_all(&gix::objs::encode::loose_header(kind, bytes.len() as u64))?;
        to.write_all(bytes)?;
        to.flush()?;
        let file = to.into_inner();
        file.as_file().sync_all()?;
        if let Some(fan) = path.parent() {
            match fs::create_dir(fan) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        file.persist(&path).map(|_| ()).map_err(|failed| failed.error)
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

    fn loose_path(&self, id: &Oid) -> std::path::PathBuf {
        let (fan, rest) = id.as_str().split_at(2);
        self.common_dir.join("objects").join(fan).join(rest)
    }
}

/// A person as git writes them: what would end the line or the address is left out.
pub(super) fn signature(person: &Person) -> gix::actor::Signature {
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
#[path = "write_tests.rs"]
mod tests;
