//! Walking below one directory without ever leaving it: no symbolic link on the way is followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use super::access::{self, Access};
use super::dir_entry_at::{DirEntryAt, directory_flags};
use super::stat::{FileKind, FileStat};
use crate::model::RepoPath;

/// A directory below which paths are looked up. Every directory on the way to a path must be a real one:
/// a symbolic link there is an error ([`is_symbolic_link_error`]), never followed.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
    path: PathBuf,
}

/// Whether an error of [`Beneath`] or [`DirEntryAt`] says that a symbolic link was in the way.
pub fn is_symbolic_link_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

impl Beneath {
    /// The directory at `path`, which is trusted.
    ///
    /// # Errors
    /// When it cannot be opened or is not a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, directory_flags(), Mode::empty())?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// Who may do what with the directory itself.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn access(&self) -> io::Result<Access> {
        access::at(self.root.as_fd(), OsStr::new("."))?.ok_or_else(|| Errno::NOENT.into())
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The place of `path`; `None` when a directory on the way is missing or is not a directory.
    ///
    /// # Errors
    /// A symbolic link on the way, or any I/O error.
    pub fn entry(&self, path: &RepoPath) -> io::Result<Option<DirEntryAt>> {
        match self.directory(path.parent().as_ref()) {
            Ok(dir) => Ok(Some(self.entry_in(dir, path))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The place of `path`; missing directories on the way are made.
    ///
    /// # Errors
    /// A symbolic link on the way, `NotADirectory` where a file is, or any I/O error.
    pub fn entry_with_parents(&self, path: &RepoPath) -> io::Result<DirEntryAt> {
        let parent = path.parent();
        match self.directory(parent.as_ref()) {
            Ok(dir) => Ok(self.entry_in(dir, path)),
            Err(Errno::NOENT) => {
                // Only a path with a parent can miss one.
                if let Some(parent) = parent {
                    self.entry_with_parents(&parent)?.make_dir()?;
                }
                Ok(self.entry_in(self.directory(path.parent().as_ref())?, path))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is at `path`; nothing when a directory on the way is missing.
    ///
    /// # Errors
    /// A symbolic link on the way, or any I/O error.
    pub fn find(&self, path: &RepoPath) -> io::Result<Option<FileStat>> {
        match self.entry(path)? {
            Some(entry) => entry.find(),
            None => Ok(None),
        }
    }

    /// Opens the regular file at `path` for reading. A symbolic link is followed as long as it stays below.
    ///
    /// # Errors
    /// Any I/O error; `CrossesDevices` where a symbolic link leads out; `InvalidInput` where something else
    /// than a regular file is there.
    pub fn open_plain(&self, path: &RepoPath) -> io::Result<(File, FileStat)> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let open = || {
            rustix::fs::openat2(&self.root, path.as_path(), plain_flags(), Mode::empty(), resolve)
        };
        let mut opened = open();
        for _ in 0..3 {
            // Something was renamed on the way meanwhile.
            if matches!(opened, Err(Errno::AGAIN)) {
                opened = open();
            }
        }
        match opened {
            // Old kernels lack openat2, old containers forbid it: there no link is followed at all.
            Err(Errno::NOSYS | Errno::PERM) => match self.entry(path)? {
                None => Err(Errno::NOENT.into()),
                Some(entry) => plain(entry.open(plain_flags())?),
            },
            opened => plain(File::from(opened?)),
        }
    }

    /// The bytes of the regular file at `path`, not longer than `most`. A symbolic link is followed as long as it
    /// stays below.
    ///
    /// # Errors
    /// As [`Self::open_plain`]; `FileTooLarge` where there are more bytes.
    pub fn read_plain(&self, path: &RepoPath, most: u64) -> io::Result<Vec<u8>> {
        bytes_of(self.open_plain(path)?, most)
    }

    fn entry_in(&self, dir: OwnedFd, path: &RepoPath) -> DirEntryAt {
        let name = path.as_path().file_name().unwrap_or(OsStr::new("")).to_owned();
        DirEntryAt::new(dir, name, self.path.join(path.as_path()))
    }

    fn directory(&self, path: Option<&RepoPath>) -> Result<OwnedFd, Errno> {
        let Some(path) = path else {
            return rustix::fs::openat(&self.root, ".", directory_flags(), Mode::empty());
        };
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = rustix::fs::openat2(
            &self.root,
            path.as_path(),
            directory_flags(),
            Mode::empty(),
            resolve,
        );
        match opened {
            // Old kernels lack openat2, old containers forbid it.
            Err(Errno::NOSYS | Errno::PERM) => self.walk(path),
            opened => opened,
        }
    }

    /// The same as openat2, one part after the other. A [`RepoPath`] has no `..`, so this cannot leave.
    fn walk(&self, path: &RepoPath) -> Result<OwnedFd, Errno> {
        let mut dir = rustix::fs::openat(&self.root, ".", directory_flags(), Mode::empty())?;
        for part in path.as_bytes().split(|b| *b == b'/') {
            let name = OsStr::from_bytes(part);
            let flags = directory_flags() | OFlags::NOFOLLOW;
            dir = match rustix::fs::openat(&dir, name, flags, Mode::empty()) {
                // With O_DIRECTORY a link is reported as "not a directory".
                Err(Errno::NOTDIR)
                    if rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(
                        |stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink,
                    ) =>
                {
                    return Err(Errno::LOOP);
                }
                opened => opened?,
            };
        }
        Ok(dir)
    }
}

/// Opens the regular file at `path` for reading, through symbolic links.
///
/// # Errors
/// Any I/O error; `InvalidInput` where something else is there (a pipe is not waited for).
pub fn open_plain(path: &Path) -> io::Result<(File, FileStat)> {
    plain(File::from(rustix::fs::openat(CWD, path, plain_flags(), Mode::empty())?))
}

/// The bytes of the regular file at `path`, through symbolic links; not longer than `most`.
///
/// # Errors
/// As [`open_plain`]; `FileTooLarge` where there are more bytes.
pub fn read_plain(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    bytes_of(open_plain(path)?, most)
}

fn bytes_of((file, found): (File, FileStat), most: u64) -> io::Result<Vec<u8>> {
    let too_large =
        || io::Error::new(io::ErrorKind::FileTooLarge, format!("is larger than {}", size(most)));
    if found.size > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// `1 MiB`, `64 KiB`, `500 bytes`.
fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    match bytes {
        b if b >= KIB * KIB && b.is_multiple_of(KIB * KIB) => format!("{} MiB", b / (KIB * KIB)),
        b if b >= KIB && b.is_multiple_of(KIB) => format!("{} KiB", b / KIB),
        b => format!("{b} bytes"),
    }
}

fn plain(file: File) -> io::Result<(File, FileStat)> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let found = FileStat::of(&rustix::fs::statx(&file, c"", AtFlags::EMPTY_PATH, mask)?);
    if found.kind == FileKind::File {
        Ok((file, found))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"))
    }
}

fn plain_flags() -> OFlags {
    OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn path(text: &str) -> RepoPath {
        RepoPath::new(text).unwrap()
    }

    #[test]
    fn a_symbolic_link_on_the_way_is_an_error_on_both_ways_of_walking() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir(outside.path().join("sub")).unwrap();
        symlink(outside.path(), dir.path().join("out")).unwrap();
        let beneath = Beneath::open(dir.path()).unwrap();
        for inside in ["out/file", "out/sub/file"] {
            assert!(is_symbolic_link_error(&beneath.entry(&path(inside)).unwrap_err()));
            assert!(is_symbolic_link_error(
                &beneath.entry_with_parents(&path(inside)).unwrap_err()
            ));
        }
        for inside in ["out", "out/sub"] {
            assert_eq!(beneath.walk(&path(inside)).unwrap_err(), Errno::LOOP);
        }
        assert_eq!(beneath.find(&path("out")).unwrap().unwrap().kind, FileKind::Symlink);
    }

    #[test]
    fn missing_directories_are_made_on_the_way_and_a_file_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let beneath = Beneath::open(dir.path()).unwrap();
        assert!(beneath.entry(&path("a/b/c")).unwrap().is_none());
        beneath.entry_with_parents(&path("a/b/c")).unwrap().make_file(b"x", 0o777).unwrap();
        let found = beneath.find(&path("a/b/c")).unwrap().unwrap();
        assert_eq!((found.kind, found.size, found.mode & 0o100), (FileKind::File, 1, 0o100));
        let error = beneath.entry_with_parents(&path("a/b/c/d")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        assert_eq!(beneath.find(&path("a/b/c/d")).unwrap(), None);
    }

    #[test]
    fn a_directory_is_the_same_wherever_it_is_renamed_to() {
        let dir = tempfile::tempdir().unwrap();
        let beneath = Beneath::open(dir.path()).unwrap();
        let (a, b) = (path("a"), path("b"));
        beneath.entry_with_parents(&a).unwrap().make_dir().unwrap();
        let before = beneath.find(&a).unwrap().unwrap().identity;
        beneath.entry(&a).unwrap().unwrap().rename(&beneath.entry(&b).unwrap().unwrap()).unwrap();
        beneath.entry(&a).unwrap().unwrap().make_dir().unwrap();
        assert_eq!(beneath.find(&b).unwrap().unwrap().identity, before);
        assert_ne!(beneath.find(&a).unwrap().unwrap().identity, before);
    }

    #[test]
    fn links_may_stay_inside_and_not_lead_out_and_a_pipe_is_not_waited_for() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("a"), "x").unwrap();
        std::fs::write(outside.path().join("b"), "x").unwrap();
        symlink("a", dir.path().join("inside")).unwrap();
        symlink(outside.path().join("b"), dir.path().join("out")).unwrap();
        symlink(outside.path(), dir.path().join("dir")).unwrap();
        let fifo = dir.path().join("pipe");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let beneath = Beneath::open(dir.path()).unwrap();
        let open = |path: &str| beneath.open_plain(&RepoPath::new(path).unwrap());
        let kind = |path: &str| open(path).unwrap_err().kind();
        assert_eq!(open("a").unwrap().1.size, 1);
        assert_eq!(open("inside").unwrap().1.size, 1);
        assert_eq!(kind("out"), io::ErrorKind::CrossesDevices);
        assert_eq!(kind("dir/b"), io::ErrorKind::CrossesDevices);
        assert_eq!(kind("pipe"), io::ErrorKind::InvalidInput);
        assert_eq!(kind("none"), io::ErrorKind::NotFound);
        assert_eq!(open_plain(&fifo).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(open_plain(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(open_plain(&dir.path().join("out")).is_ok());
    }
}
