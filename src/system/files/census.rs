//! What is below a directory, in a few numbers: one walk that reads no file.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::dir_entry_at::{DirEntryAt, directory_flags};
use super::stat::{FileKind, FileStat};

/// Build tools write into directories of this name while the app runs.
const LEFT_OUT: &[u8] = b".cache";

/// A moment of a file system: seconds and nanoseconds since 1970.
pub type Moment = (i64, u32);

/// What a walk below a directory (or a look at a file) found. The directory's own times have no part in it:
/// it is renamed, and entries are added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Census {
    /// Entries below it.
    pub entries: u64,
    /// A sum over all entries: path, kind, permissions, birth, and for what is not a directory also size and
    /// last change of the content. In whatever order they are met it is the same.
    pub sum: u64,
    /// The latest change or birth of any of them.
    pub latest: Moment,
    /// Entries that are no directories.
    pub files: u64,
    /// Of these, the ones that changed in any way since the moment that was asked for.
    pub changed: u64,
    /// Whether one of these has more than one name. Then its time of change says little: it also changes when
    /// someone links to it from elsewhere, as package managers do.
    pub linked: bool,
}

impl Census {
    /// Of all there is.
    ///
    /// # Errors
    /// Any I/O error but what is gone meanwhile; a directory that may not be read counts as such.
    pub fn of(entry: &DirEntryAt) -> io::Result<Option<Self>> {
        Self::at(entry, (i64::MAX, 0))
    }

    /// Of what had been born by then; what has no time of birth always counts.
    ///
    /// # Errors
    /// As [`Census::of`].
    pub fn at(entry: &DirEntryAt, then: Moment) -> io::Result<Option<Self>> {
        Ok(Self::with_content(entry, then)?.map(|(census, _)| census))
    }

    /// As [`Census::at`], with the sum of the same without permissions.
    ///
    /// # Errors
    /// As [`Census::of`].
    pub fn with_content(entry: &DirEntryAt, then: Moment) -> io::Result<Option<(Self, u64)>> {
        let Some(found) = entry.find()? else { return Ok(None) };
        let mut walk = Walk { census: Self::default(), content: 0, then };
        let mut own = Sum::new().and(&[found.kind as u8]).and(&found.mode.to_le_bytes());
        if found.kind == FileKind::Directory {
            let (dir, name) = entry.parts();
            walk.below(dir.as_fd(), name, Sum::new())?;
        } else {
            own = own.and(&found.size.to_le_bytes()).moment(found.modified);
            walk.census.latest = found.modified;
            walk.content = Sum::new().and(&found.size.to_le_bytes()).moment(found.modified).0;
        }
        walk.census.sum = walk.census.sum.wrapping_add(own.0);
        Ok(Some((walk.census, walk.content)))
    }

    fn count(&mut self, found: &FileStat, path: Sum, then: Moment) {
        if found.identity.born.is_some_and(|born| born > then) {
            return;
        }
        let mut sum = path.and(&[found.kind as u8]).and(&found.mode.to_le_bytes());
        if let Some(born) = found.identity.born {
            sum = sum.moment(born);
            self.latest = self.latest.max(born);
        }
        self.entries += 1;
        self.latest = self.latest.max(found.changed);
        if found.kind != FileKind::Directory {
            sum = sum.and(&found.size.to_le_bytes()).moment(found.modified);
            self.files += 1;
            self.changed += u64::from(found.changed > then);
            self.linked |= found.links > 1;
        }
        self.sum = self.sum.wrapping_add(sum.0);
    }
}

/// One walk on its way.
struct Walk {
    census: Census,
    content: u64,
    then: Moment,
}

impl Walk {
    fn below(
        &mut self,
        above: BorrowedFd<'_>,
        name: impl rustix::path::Arg,
        path: Sum,
    ) -> io::Result<()> {
        let flags = directory_flags() | OFlags::NOFOLLOW;
        let dir = match rustix::fs::openat(above, name, flags, Mode::empty()) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(Errno::ACCESS) => {
                let unreadable = path.and(b"unreadable").0;
                self.census.sum = self.census.sum.wrapping_add(unreadable);
                self.content = self.content.wrapping_add(unreadable);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut below = Vec::new();
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Some(found) = look(dir.as_fd(), name)? else { continue };
            if found.kind == FileKind::Directory && name.to_bytes() == LEFT_OUT {
                continue;
            }
            let path = path.and(name.to_bytes()).and(b"/");
            self.census.count(&found, path, self.then);
            self.count_content(&found, path);
            if found.kind == FileKind::Directory {
                below.push((name.to_owned(), path));
            }
        }
        for (name, path) in below {
            self.below(dir.as_fd(), name, path)?;
        }
        Ok(())
    }

    fn count_content(&mut self, found: &FileStat, path: Sum) {
        if found.identity.born.is_some_and(|born| born > self.then) {
            return;
        }
        let mut sum = path.and(&[found.kind as u8]);
        if let Some(born) = found.identity.born {
            sum = sum.moment(born);
        }
        if found.kind != FileKind::Directory {
            sum = sum.and(&found.size.to_le_bytes()).moment(found.modified);
        }
        self.content = self.content.wrapping_add(sum.0);
    }
}

fn look(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<FileStat>> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    match rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, mask) {
        Ok(stat) => Ok(Some(FileStat::of(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// FNV-1a: kept on disk, so it must be the same in every version of the program.
#[derive(Clone, Copy)]
struct Sum(u64);

impl Sum {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn and(self, bytes: &[u8]) -> Self {
        Self(
            bytes
                .iter()
                .fold(self.0, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)),
        )
    }

    fn moment(self, (seconds, nanoseconds): Moment) -> Self {
        self.and(&seconds.to_le_bytes()).and(&nanoseconds.to_le_bytes())
    }
}
