//! A file that flags are kept in: found without following links, read whole, replaced as a whole.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, Gid, Uid, XattrFlags};
use rustix::io::Errno;

use super::FlagError;
use crate::config::FilePlace;
use crate::system::failpoint;
use crate::system::files::{Beneath, DirEntryAt, FileKind, FileStat, is_symbolic_link_error};

/// A larger file is not a file of settings.
const MOST_BYTES: u64 = 1024 * 1024;

/// A file that was written less than this long ago may be in the middle of being written.
const FRESH: Duration = Duration::from_millis(20);

/// What the temporary file's name begins with; the file's own name follows.
const TEMPORARY: &str = ".gitroll-flags-";

/// Mode of a file that is made.
const NEW_MODE: u32 = 0o600;

/// The place of the file.
#[derive(Debug)]
pub(super) struct FileOnDisk {
    spot: DirEntryAt,
    /// For messages.
    pub(super) path: PathBuf,
}

/// The file as it was read.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// All of it.
    pub(super) bytes: Vec<u8>,
    file: File,
    found: FileStat,
}

impl FileOnDisk {
    /// The place of `file`, in a live tree whose top is `top`.
    ///
    /// # Errors
    /// A symbolic link on the way, a directory that is missing or that anyone can write.
    pub(super) fn of(top: &Path, file: &FilePlace) -> Result<Self, FlagError> {
        match file {
            FilePlace::Tree(below) => {
                let path = top.join(below.as_path());
                let spot = Beneath::open(top).and_then(|top| top.entry(below));
                match spot.map_err(|error| not_opened(&path, error))? {
                    Some(spot) => Ok(Self { spot, path }),
                    None => {
                        Err(FlagError::refused(&path, "its directory does not exist: create it"))
                    }
                }
            }
            FilePlace::Host(path) => {
                let spot = DirEntryAt::try_from(path.as_path()).map_err(FlagError::io(path))?;
                let dir = spot.beside(".").and_then(|dir| dir.find());
                let mode = dir.map_err(FlagError::io(path))?.map_or(0, |dir| dir.mode);
                // Anyone could put another file, or a link to one, in its place.
                if mode & 0o1002 == 0o002 {
                    let problem = "everyone can write to its directory (chmod o-w it)";
                    return Err(FlagError::refused(path, problem));
                }
                Ok(Self { spot, path: path.clone() })
            }
        }
    }

    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    /// What is not a regular file, is larger than 1 MiB, has other names, or cannot be read.
    pub(super) fn read(&self) -> Result<Option<Snapshot>, FlagError> {
        const TRIES: usize = 5;
        let mut last = self.read_once()?;
        for _ in 0..TRIES {
            // Whoever writes in place empties the file first.
            let Some(wait) = last.as_ref().and_then(Snapshot::unsettled_for) else { break };
            std::thread::sleep(wait);
            let next = self.read_once()?;
            let same = match (&last, &next) {
                (Some(a), Some(b)) => a.found == b.found && a.bytes == b.bytes,
                (a, b) => a.is_none() && b.is_none(),
            };
            last = next;
            if same {
                break;
            }
        }
        Ok(last)
    }

    fn read_once(&self) -> Result<Option<Snapshot>, FlagError> {
        let refused = |problem: &str| Err(FlagError::refused(&self.path, problem));
        let (file, found) = match self.spot.open_file() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| not_opened(&self.path, error))?,
        };
        match found.kind {
            FileKind::File => {}
            FileKind::Directory => return refused("is a directory"),
            FileKind::Symlink | FileKind::Other => return refused("is not a regular file"),
        }
        let meta = file.metadata().map_err(FlagError::io(&self.path))?;
        if meta.nlink() > 1 {
            return refused(
                "has other hard links, which a change would not update: make it a \
                 separate file",
            );
        }
        let mut bytes = Vec::new();
        let read = (&file).take(MOST_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(FlagError::io(&self.path))?;
        if bytes.len() as u64 > MOST_BYTES {
            return refused("is larger than 1 MiB, which is too large for a settings file");
        }
        Ok(Some(Snapshot { bytes, file, found }))
    }

    /// Removes what a killed change left beside the file.
    ///
    /// # Errors
    /// Any I/O error; `Busy` where another change is at work.
    pub(super) fn clean(&self) -> Result<(), FlagError> {
        let temporary = self.temporary()?;
        for _ in 0..100 {
            let (file, found) = match temporary.open_file() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                opened => opened.map_err(|error| not_opened(temporary.path(), error))?,
            };
            // Whoever writes it holds the lock on it for as long as it lives.
            if found.kind == FileKind::File && lock(&file) {
                let now = temporary.find().map_err(FlagError::io(&self.path))?;
                if now.is_none_or(|now| now.identity == found.identity) {
                    return temporary.remove_file().map_err(FlagError::io(&self.path));
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(FlagError::Busy { path: temporary.path().to_owned() })
    }

    /// Replaces what was read by `bytes`, with its owner, mode, access list and attributes; says whether: not
    /// where the file is no longer what was read. Durable.
    ///
    /// # Errors
    /// Any I/O error, and where the owner cannot be kept. Then the file is what it was.
    pub(super) fn replace(
        &self,
        before: Option<&Snapshot>,
        bytes: &[u8],
    ) -> Result<bool, FlagError> {
        let io = || FlagError::io(&self.path);
        let temporary = self.temporary()?;
        let mut file = self.make_temporary(&temporary)?;
        let filled = self.fill(&mut file, before, bytes);
        let done = filled.and_then(|()| {
            failpoint::pass("flags before write").map_err(FlagError::Stopped)?;
            Ok(self.is_still(before)? && self.put(&temporary, &file, before).map_err(io())?)
        });
        if !matches!(done, Ok(true)) {
            temporary.remove_file().map_err(io())?;
            return done;
        }
        failpoint::pass("flags after write").map_err(FlagError::Stopped)?;
        temporary.remove_file().map_err(io())?;
        self.spot.sync_dir().map_err(io())?;
        Ok(true)
    }

    /// Removes the file that was read; says whether, as [`Self::replace`].
    ///
    /// # Errors
    /// Any I/O error.
    pub(super) fn remove(&self, before: &Snapshot) -> Result<bool, FlagError> {
        failpoint::pass("flags before write").map_err(FlagError::Stopped)?;
        if !self.is_still(Some(before))? {
            return Ok(false);
        }
        self.spot.remove_file().map_err(FlagError::io(&self.path))?;
        failpoint::pass("flags after write").map_err(FlagError::Stopped)?;
        self.spot.sync_dir().map_err(FlagError::io(&self.path))?;
        Ok(true)
    }

    fn temporary(&self) -> Result<DirEntryAt, FlagError> {
        let mut name = std::ffi::OsString::from(TEMPORARY);
        name.push(self.path.file_name().unwrap_or_default());
        self.spot.beside(name).map_err(FlagError::io(&self.path))
    }

    fn make_temporary(&self, temporary: &DirEntryAt) -> Result<File, FlagError> {
        for _ in 0..50 {
            self.clean()?;
            match temporary.make_private_file() {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let problem = "this user cannot write to its directory, and gitroll writes \
                                   a change beside the file first";
                    return Err(FlagError::refused(&self.path, problem));
                }
                Err(error) => return Err(FlagError::io(temporary.path())(error)),
                Ok(file) => {
                    let ours = file.metadata().map_err(FlagError::io(&self.path))?.ino();
                    let there = temporary.find().map_err(FlagError::io(&self.path))?;
                    // Another change may have taken it for a leftover before it was locked.
                    if lock(&file) && there.is_some_and(|found| found.identity.ino == ours) {
                        return Ok(file);
                    }
                }
            }
        }
        Err(FlagError::Busy { path: self.path.clone() })
    }

    fn fill(
        &self,
        file: &mut File,
        before: Option<&Snapshot>,
        bytes: &[u8],
    ) -> Result<(), FlagError> {
        let io = || FlagError::io(&self.path);
        file.write_all(bytes).map_err(io())?;
        let mode = match before {
            None => NEW_MODE,
            Some(before) => {
                self.carry_over(&before.file, file)?;
                before.found.mode
            }
        };
        // After the owner and the access list: both change it.
        file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(io())?;
        file.sync_all().map_err(io())
    }

    /// Owner, access list and attributes.
    fn carry_over(&self, from: &File, to: &File) -> Result<(), FlagError> {
        let io = || FlagError::io(&self.path);
        let (old, new) = (from.metadata().map_err(io())?, to.metadata().map_err(io())?);
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            let (uid, gid) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            if let Err(error) = rustix::fs::fchown(to, Some(uid), Some(gid)) {
                let problem = format!(
                    "belongs to user {} and group {}, and this user cannot create a file with that owner \
                     ({error}): chown it to the user that gitroll runs as",
                    old.uid(),
                    old.gid()
                );
                return Err(FlagError::refused(&self.path, problem));
            }
        }
        for name in attributes(from).map_err(io())? {
            let kept = attribute(from, &name).and_then(|value| {
                Ok(rustix::fs::fsetxattr(to, &name, &value, XattrFlags::empty())?)
            });
            // What the system labels files with it sets itself.
            if !name.starts_with(b"security.") && !name.starts_with(b"trusted.") {
                kept.map_err(io())?;
            }
        }
        Ok(())
    }

    /// Whether the file is what was read, or still missing.
    fn is_still(&self, before: Option<&Snapshot>) -> Result<bool, FlagError> {
        Ok(match (before, self.read_once()?) {
            (None, None) => true,
            (Some(before), Some(now)) => before.is(&now),
            _ => false,
        })
    }

    /// Puts the temporary file in the place of what was read; says whether. Afterwards what is at the
    /// temporary name is of no use.
    fn put(
        &self,
        temporary: &DirEntryAt,
        file: &File,
        before: Option<&Snapshot>,
    ) -> io::Result<bool> {
        let Some(before) = before else {
            return match temporary.rename_to_free(&self.spot) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                renamed => renamed.map(|()| true),
            };
        };
        // Swapped rather than renamed: what is displaced can still be looked at, and given back.
        match temporary.exchange(&self.spot) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) if lacks_exchange(&error) => {
                return temporary.rename(&self.spot).map(|()| true);
            }
            Err(error) => return Err(error),
        }
        if displaced(temporary)?.is_some_and(|now| before.is(&now)) {
            return Ok(true);
        }
        temporary.exchange(&self.spot)?;
        let ours = file.metadata()?.ino();
        if temporary.find()?.is_some_and(|found| found.identity.ino != ours) {
            // Yet another one came in place of ours: the latest is what shall lie there.
            temporary.exchange(&self.spot)?;
        }
        Ok(false)
    }
}

impl Snapshot {
    /// How long to wait before the file counts as written to its end.
    fn unsettled_for(&self) -> Option<Duration> {
        let (seconds, nanos) = self.found.modified;
        let modified = Duration::new(u64::try_from(seconds).ok()?, nanos);
        let age = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.checked_sub(modified)?;
        FRESH.checked_sub(age)
    }

    fn is(&self, other: &Snapshot) -> bool {
        self.found.identity == other.found.identity
            && (self.found.size, self.found.modified) == (other.found.size, other.found.modified)
            && self.bytes == other.bytes
    }
}

fn displaced(temporary: &DirEntryAt) -> io::Result<Option<Snapshot>> {
    let (file, found) = match temporary.open_file() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A link that was put there: not what was read.
        Err(error) if is_symbolic_link_error(&error) => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    (&file).take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(Some(Snapshot { bytes, file, found }))
}

fn lock(file: &File) -> bool {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => false,
        // A file system without locks: one run at a time holds gitroll's own.
        Ok(()) | Err(_) => true,
    }
}

fn lacks_exchange(error: &io::Error) -> bool {
    let lacking = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    lacking.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn attributes(file: &File) -> io::Result<Vec<Vec<u8>>> {
    let size = match rustix::fs::flistxattr_query(file) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        size => size?,
    };
    let mut names = vec![0; size];
    let length = rustix::fs::flistxattr(file, &mut names[..])?;
    names.truncate(length);
    Ok(names.split(|b| *b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

fn attribute(file: &File, name: &[u8]) -> io::Result<Vec<u8>> {
    let mut value = vec![0; rustix::fs::fgetxattr_query(file, name)?];
    let length = rustix::fs::fgetxattr(file, name, &mut value[..])?;
    value.truncate(length);
    Ok(value)
}

fn not_opened(path: &Path, error: io::Error) -> FlagError {
    if is_symbolic_link_error(&error) {
        let problem = "is a symbolic link or is behind one, which gitroll does not \
                       follow: name its target, or make it a regular file";
        return FlagError::refused(path, problem);
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        let problem = "this user may not read it: chown or chmod it for the user gitroll runs as";
        return FlagError::refused(path, problem);
    }
    FlagError::io(path)(error)
}
