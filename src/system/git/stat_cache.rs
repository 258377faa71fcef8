//! Which content a file had when it was last read, and by which marks that may be believed again.
//!
//! git's own index compares whole seconds in the common builds, so an edit that keeps size and time and
//! falls into the second of the last look escapes it; and its entries can be told to look away
//! (`assume-unchanged`, `skip-worktree`). Here every mark counts, to the nanosecond, and a file that was
//! changed shortly before the look is read again the next time.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use crate::model::{Digest, Oid};
use crate::system::{files, procs};

/// The first line names the boot: after a power cut a file that was written in place may have its old bytes
/// again, under the marks of the new ones.
fn first_line() -> Vec<u8> {
    format!("gitroll files seen 2 {}\n", procs::boot_id()).into_bytes()
}

/// The coarsest clock of a file system that a work tree may lie on (FAT), in seconds.
const COARSEST: i64 = 2;

/// The marks of a file: two equal ones of one boot mean that nothing was written in between. The change time cannot be
/// set by a program, whatever it does to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Marks {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            mode: meta.mode(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// What is known of the files below one work tree.
#[derive(Debug, Default)]
pub(super) struct StatCache {
    known: HashMap<Vec<u8>, (Marks, Oid)>,
    fresh: bool,
}

impl StatCache {
    /// Reads the cache; an absent, damaged or foreign one is empty, and one of an earlier boot.
    pub(super) fn load(path: &Path) -> Self {
        let us = rustix::process::geteuid().as_raw();
        let ours = fs::symlink_metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.uid() == us && meta.mode() & 0o022 == 0);
        let bytes = if ours { files::read_state(path).unwrap_or_default() } else { Vec::new() };
        Self { known: parse(&bytes).unwrap_or_default(), fresh: false }
    }

    /// The content last seen at `path`, if its marks are the same.
    pub(super) fn content(&self, path: &[u8], marks: &Marks) -> Option<&Oid> {
        self.known.get(path).filter(|(known, _)| known == marks).map(|(_, id)| id)
    }

    /// Remembers what was read at `path`, unless it changed so shortly before `look` that a further change
    /// could bear the same marks.
    pub(super) fn remember(&mut self, path: &[u8], marks: Marks, id: Oid, look: i64) {
        if marks.changed.0 + COARSEST < look {
            self.known.insert(path.to_vec(), (marks, id));
            self.fresh = true;
        }
    }

    /// Writes what was learnt. Losing it costs time, never truth, so it is not synced.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        if !self.fresh {
            return Ok(());
        }
        let mut bytes = first_line();
        for (file, (marks, id)) in &self.known {
            let (modified, changed) = (marks.modified, marks.changed);
            write!(
                bytes,
                "{} {} {} {} {} {} {} {} {id} ",
                marks.device,
                marks.inode,
                marks.size,
                marks.mode,
                modified.0,
                modified.1,
                changed.0,
                changed.1
            )?;
            bytes.extend_from_slice(file);
            bytes.push(0);
        }
        let sum = Digest::of(&bytes).hex();
        bytes.extend_from_slice(sum.as_bytes());
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&bytes)?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    }
}

/// Makes gitroll's own directory, for its owner only.
pub(super) fn make_state_dir(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The present second on the clock of the file system that holds `dir`.
pub(super) fn second_at(dir: &Path) -> io::Result<i64> {
    let probe: File = tempfile::tempfile_in(dir)?;
    Ok(probe.metadata()?.mtime())
}

fn parse(bytes: &[u8]) -> Option<HashMap<Vec<u8>, (Marks, Oid)>> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(64)?)?;
    if Digest::of(body).hex().as_bytes() != sum {
        return None;
    }
    let mut known = HashMap::new();
    for line in body
        .strip_prefix(first_line().as_slice())?
        .split(|b| *b == 0)
        .filter(|line| !line.is_empty())
    {
        let mut fields = line.splitn(10, |b| *b == b' ');
        let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
        let marks = Marks {
            device: text()?.parse().ok()?,
            inode: text()?.parse().ok()?,
            size: text()?.parse().ok()?,
            mode: text()?.parse().ok()?,
            modified: (text()?.parse().ok()?, text()?.parse().ok()?),
            changed: (text()?.parse().ok()?, text()?.parse().ok()?),
        };
        let id = text()?.parse().ok()?;
        known.insert(fields.next()?.to_vec(), (marks, id));
    }
    Some(known)
}

/// The bytes of a symbolic link's target.
pub(super) fn link_bytes(path: &Path) -> io::Result<Vec<u8>> {
    fs::read_link(path).map(|target| target.as_os_str().as_bytes().to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_before_the_machine_went_down_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, cache) = (dir.path().join("file"), dir.path().join("seen"));
        fs::write(&file, "bytes").unwrap();
        let marks = Marks::of(&file.metadata().unwrap());
        let mut seen = StatCache::default();
        seen.remember(b"file", marks, "ab".repeat(20).parse().unwrap(), i64::MAX);
        seen.save(&cache).unwrap();
        assert!(StatCache::load(&cache).content(b"file", &marks).is_some());

        let text = fs::read_to_string(&cache).unwrap();
        let (body, _) = text.split_at(text.len() - 64);
        let other = body.replace(&procs::boot_id(), "another boot");
        assert_ne!(body, other);
        fs::write(&cache, format!("{other}{}", Digest::of(other.as_bytes()).hex())).unwrap();
        assert!(StatCache::load(&cache).content(b"file", &marks).is_none());
    }
}
