//! The place of one file, and what can be done there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, StatxFlags};
use rustix::io::Errno;

use super::access::{self, Access};
use super::copy::copy_tree;
use super::stat::{FileKind, FileStat};

/// The place of one file: an opened directory and a name in it. What is there may be anything or
/// nothing; a symbolic link there is itself, never what it points to.
#[derive(Debug)]
pub struct DirEntryAt {
    dir: OwnedFd,
    name: OsString,
    path: PathBuf,
}

/// Where `path` is as a [`DirEntryAt`]: its directory is trusted.
impl TryFrom<&Path> for DirEntryAt {
    type Error = io::Error;

    fn try_from(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file's path"))?;
        let dir = directory_of(path)?;
        let dir = rustix::fs::openat(CWD, dir, directory_flags(), Mode::empty())?;
        Ok(DirEntryAt { dir, name: name.to_owned(), path: path.to_owned() })
    }
}

impl DirEntryAt {
    pub(super) fn new(dir: OwnedFd, name: OsString, path: PathBuf) -> Self {
        Self { dir, name, path }
    }

    /// The path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn parts(&self) -> (&OwnedFd, &OsStr) {
        (&self.dir, &self.name)
    }

    /// A path that reaches this very place whatever becomes of the directories above it.
    pub fn real_path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.dir.as_raw_fd().to_string()).join(&self.name)
    }

    /// Another name in the same directory.
    ///
    /// # Errors
    /// When the directory cannot be opened again.
    pub fn beside(&self, name: impl AsRef<OsStr>) -> io::Result<DirEntryAt> {
        let dir = self.dir.try_clone()?;
        let name = name.as_ref();
        Ok(DirEntryAt { dir, name: name.to_owned(), path: self.path.with_file_name(name) })
    }

    /// A name in the directory here.
    ///
    /// # Errors
    /// When it cannot be opened; a symbolic link is not a directory.
    pub fn inside(&self, name: &[u8]) -> io::Result<DirEntryAt> {
        let flags = directory_flags() | OFlags::NOFOLLOW;
        let dir = rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())?;
        let name = OsString::from_vec(name.to_owned());
        let path = self.path.join(&name);
        Ok(DirEntryAt { dir, name, path })
    }

    /// What is here.
    ///
    /// # Errors
    /// Any I/O error but "not found".
    pub fn find(&self) -> io::Result<Option<FileStat>> {
        let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        match rustix::fs::statx(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW, mask) {
            Ok(stat) => Ok(Some(FileStat::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes of the regular file here.
    ///
    /// # Errors
    /// Any I/O error; a symbolic link is one, and so is anything else than a regular file.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let (mut file, found) = self.open_file()?;
        if found.kind != FileKind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Opens the regular file here for reading, and says which it is. Waits for nothing: a fifo is opened like
    /// a file, and told by its kind.
    ///
    /// # Errors
    /// Any I/O error; a symbolic link is one.
    pub fn open_file(&self) -> io::Result<(File, FileStat)> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())?;
        let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let found = FileStat::of(&rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH, mask)?);
        Ok((File::from(file), found))
    }

    /// Makes a regular file that only this user can read and write.
    ///
    /// # Errors
    /// Any I/O error; `AlreadyExists` where something is here.
    pub fn make_private_file(&self) -> io::Result<File> {
        change()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        Ok(File::from(rustix::fs::openat(&self.dir, &self.name, flags | OFlags::NOFOLLOW, mode)?))
    }

    /// Makes a regular file with this access, and never with a wider one. Says whether it is in the group that it
    /// shall be in. Not durable by itself.
    ///
    /// # Errors
    /// Any I/O error; `AlreadyExists` where something is here.
    pub fn make_file_with(&self, bytes: &[u8], access: &Access) -> io::Result<bool> {
        let mut file = self.make_private_file()?;
        file.write_all(bytes)?;
        access::give_open(file.as_fd(), access)
    }

    /// Who may do what with what is here; `None` if nothing or a symbolic link does.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn access(&self) -> io::Result<Option<Access>> {
        access::at(self.dir.as_fd(), &self.name)
    }

    /// Gives what is here, no symbolic link, this access. Owner and label only as far as this user may; says
    /// whether the group is as wanted, which is not for everybody to give either.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn give(&self, access: &Access) -> io::Result<bool> {
        change()?;
        access::give(self.dir.as_fd(), &self.name, access)
    }

    /// fsync of the directory that this place is in.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn sync_dir(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.dir)?)
    }

    pub(super) fn open(&self, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW;
        Ok(File::from(rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())?))
    }

    /// What the symbolic link here says.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn read_link(&self) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.dir, &self.name, Vec::new())?.into_bytes())
    }

    /// The names in the directory here.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let flags = directory_flags() | OFlags::NOFOLLOW;
        let dir = rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(dir)? {
            let name = entry?.file_name().to_bytes().to_owned();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Makes a regular file with this mode minus umask. Not durable by itself.
    ///
    /// # Errors
    /// Any I/O error; `AlreadyExists` where something is here.
    pub fn make_file(&self, bytes: &[u8], mode: u32) -> io::Result<()> {
        change()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        let file = rustix::fs::openat(&self.dir, &self.name, flags | OFlags::NOFOLLOW, mode)?;
        File::from(file).write_all(bytes)
    }

    /// fsync of the regular file here; nothing for anything else, whose only bytes are its name.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn sync_file(&self) -> io::Result<()> {
        if self.find()?.is_none_or(|found| found.kind != FileKind::File) {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())?;
        Ok(rustix::fs::fsync(file)?)
    }

    /// `syncfs` of the file system that this place is on.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn sync_file_system(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.dir)?)
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// Any I/O error; `AlreadyExists` where something is here.
    pub fn make_link(&self, target: &[u8]) -> io::Result<()> {
        change()?;
        let target = OsString::from_vec(target.to_owned());
        Ok(rustix::fs::symlinkat(&target, &self.dir, &self.name)?)
    }

    /// Makes a directory, mode 0777 minus umask; one that is there is fine.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn make_dir(&self) -> io::Result<()> {
        change()?;
        match rustix::fs::mkdirat(&self.dir, &self.name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames what is here to `to`, in place of a file that is there.
    ///
    /// # Errors
    /// Any I/O error; `CrossesDevices` where `to` is on another file system.
    pub fn rename(&self, to: &DirEntryAt) -> io::Result<()> {
        change()?;
        Ok(rustix::fs::renameat(&self.dir, &self.name, &to.dir, &to.name)?)
    }

    /// Renames what is here to `to`, where nothing may lie.
    ///
    /// # Errors
    /// Any I/O error; `AlreadyExists`; `CrossesDevices`.
    pub fn rename_to_free(&self, to: &DirEntryAt) -> io::Result<()> {
        change()?;
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(&self.dir, &self.name, &to.dir, &to.name, flags) {
            // Some file systems know no NOREPLACE; one run at a time holds the lock.
            Err(Errno::INVAL | Errno::NOSYS) if to.find()?.is_none() => {
                Ok(rustix::fs::renameat(&self.dir, &self.name, &to.dir, &to.name)?)
            }
            renamed => Ok(renamed?),
        }
    }

    /// Swaps what is here with what is at `other`, atomically.
    ///
    /// # Errors
    /// Any I/O error; `CrossesDevices` where `other` is on another file system.
    pub fn exchange(&self, other: &DirEntryAt) -> io::Result<()> {
        change()?;
        let flags = RenameFlags::EXCHANGE;
        Ok(rustix::fs::renameat_with(&self.dir, &self.name, &other.dir, &other.name, flags)?)
    }

    /// Removes the file or link here; nothing there is fine.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn remove_file(&self) -> io::Result<()> {
        change()?;
        match rustix::fs::unlinkat(&self.dir, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the directory here if it is empty; says whether none is here now.
    ///
    /// # Errors
    /// Any I/O error but "not empty".
    pub fn remove_empty_dir(&self) -> io::Result<bool> {
        change()?;
        match rustix::fs::unlinkat(&self.dir, &self.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            // A mount point and a directory that is in use stay.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what is here, with all below it; nothing there is fine. Follows no link.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn remove_tree(&self) -> io::Result<()> {
        match self.find()? {
            None => Ok(()),
            Some(found) if found.kind == FileKind::Directory => {
                change()?;
                std::fs::remove_dir_all(self.real_path())
            }
            Some(_) => self.remove_file(),
        }
    }

    /// Copies what is here to `to`, where nothing may lie.
    ///
    /// # Errors
    /// As [`copy_tree`].
    pub fn copy(&self, to: &DirEntryAt) -> io::Result<()> {
        change()?;
        copy_tree(&self.real_path(), &to.real_path())
    }
}

pub(super) fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

#[cfg(test)]
fn change() -> io::Result<()> {
    fault::point()
}

#[cfg(not(test))]
#[allow(clippy::unnecessary_wraps, reason = "tests make it fail")]
fn change() -> io::Result<()> {
    Ok(())
}

/// The directory that holds `path`.
pub(super) fn directory_of(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(dir) => Ok(dir),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file")),
    }
}

/// Failing on purpose: tests make the n-th change of the file system fail, as a kill would end it there.
#[cfg(test)]
pub(crate) mod fault {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Lets this thread make `changes` more changes, then fails every further one until disarmed.
    pub(crate) fn arm(changes: usize) {
        LEFT.set(Some(changes));
    }

    /// No more failures; says whether one was met.
    pub(crate) fn disarm() -> bool {
        LEFT.replace(None) == Some(0)
    }

    /// Called before each change.
    pub(crate) fn point() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("interrupted on purpose")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }
}
