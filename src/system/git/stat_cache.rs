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

const FIRST_LINE: &[u8] = b"gitroll files seen 1\n";

/// The coarsest clock of a file system that a work tree may lie on (FAT), in seconds.
const COARSEST: i64 = 2;

/// The marks of a file: two equal ones mean that nothing was written in between. The change time cannot be
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
    /// Reads the cache; an absent, damaged or foreign one is empty.
    pub(super) fn load(path: &Path) -> Self {
        let us = rustix::process::geteuid().as_raw();
        let ours = fs::symlink_metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.uid() == us && meta.mode() & 0o022 == 0);
        let bytes = if ours { fs::read(path).unwrap_or_default() } else { Vec::new() };
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
        let mut bytes = FIRST_LINE.to_vec();
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
    for line in body.strip_prefix(FIRST_LINE)?.split(|b| *b == 0).filter(|line| !line.is_empty()) {
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
