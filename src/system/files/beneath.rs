//! Walking below one directory without ever leaving it: no symbolic link on the way is followed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::fs::{AtFlags, FileType, Mode, ResolveFlags};
use rustix::io::Errno;

use super::found::Found;
use super::spot::{Spot, directory_flags};
use crate::model::RepoPath;

/// A directory below which paths are looked up. Every directory on the way to a path must be a real one:
/// a symbolic link there is an error ([`is_symbolic_link_error`]), never followed.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
    path: PathBuf,
}

/// Whether an error of [`Beneath`] or [`Spot`] says that a symbolic link was in the way.
pub fn is_symbolic_link_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

impl Beneath {
    /// The directory at `path`, which is trusted.
    ///
    /// # Errors
    /// When it cannot be opened or is no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, directory_flags(), Mode::empty())?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The place of `path`; `None` when a directory on the way is missing or is no directory.
    ///
    /// # Errors
    /// A symbolic link on the way, or any I/O error.
    pub fn spot(&self, path: &RepoPath) -> io::Result<Option<Spot>> {
        match self.directory(path.parent().as_ref()) {
            Ok(dir) => Ok(Some(self.spot_in(dir, path))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The place of `path`; missing directories on the way are made.
    ///
    /// # Errors
    /// A symbolic link on the way, `NotADirectory` where a file is, or any I/O error.
    pub fn spot_made(&self, path: &RepoPath) -> io::Result<Spot> {
        let parent = path.parent();
        match self.directory(parent.as_ref()) {
            Ok(dir) => Ok(self.spot_in(dir, path)),
            Err(Errno::NOENT) => {
                // Only a path with a parent can miss one.
                if let Some(parent) = parent {
                    self.spot_made(&parent)?.make_dir()?;
                }
                Ok(self.spot_in(self.directory(path.parent().as_ref())?, path))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What lies at `path`; nothing when a directory on the way is missing.
    ///
    /// # Errors
    /// A symbolic link on the way, or any I/O error.
    pub fn find(&self, path: &RepoPath) -> io::Result<Option<Found>> {
        match self.spot(path)? {
            Some(spot) => spot.find(),
            None => Ok(None),
        }
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    fn spot_in(&self, dir: OwnedFd, path: &RepoPath) -> Spot {
        let name = path.as_path().file_name().unwrap_or(OsStr::new("")).to_owned();
        Spot::new(dir, name, self.path.join(path.as_path()))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::found::Kind;
    use super::*;

    fn path(text: &str) -> RepoPath {
        RepoPath::new(text).unwrap()
    }

    #[test]
    fn a_symbolic_link_on_the_way_is_an_error_on_both_ways_of_walking() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir(outside.path().join("sub")).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
        let beneath = Beneath::open(dir.path()).unwrap();
        for inside in ["out/file", "out/sub/file"] {
            assert!(is_symbolic_link_error(&beneath.spot(&path(inside)).unwrap_err()));
            assert!(is_symbolic_link_error(&beneath.spot_made(&path(inside)).unwrap_err()));
        }
        for inside in ["out", "out/sub"] {
            assert_eq!(beneath.walk(&path(inside)).unwrap_err(), Errno::LOOP);
        }
        assert_eq!(beneath.find(&path("out")).unwrap().unwrap().kind, Kind::Symlink);
    }

    #[test]
    fn missing_directories_are_made_on_the_way_and_a_file_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let beneath = Beneath::open(dir.path()).unwrap();
        assert!(beneath.spot(&path("a/b/c")).unwrap().is_none());
        beneath.spot_made(&path("a/b/c")).unwrap().make_file(b"x", true).unwrap();
        let found = beneath.find(&path("a/b/c")).unwrap().unwrap();
        assert_eq!((found.kind, found.size, found.mode & 0o100), (Kind::File, 1, 0o100));
        let error = beneath.spot_made(&path("a/b/c/d")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        assert_eq!(beneath.find(&path("a/b/c/d")).unwrap(), None);
    }

    #[test]
    fn a_directory_is_the_same_wherever_it_is_renamed_to() {
        let dir = tempfile::tempdir().unwrap();
        let beneath = Beneath::open(dir.path()).unwrap();
        let (a, b) = (path("a"), path("b"));
        beneath.spot_made(&a).unwrap().make_dir().unwrap();
        let before = beneath.find(&a).unwrap().unwrap().identity;
        beneath.spot(&a).unwrap().unwrap().rename(&beneath.spot(&b).unwrap().unwrap()).unwrap();
        beneath.spot(&a).unwrap().unwrap().make_dir().unwrap();
        assert_eq!(beneath.find(&b).unwrap().unwrap().identity, before);
        assert_ne!(beneath.find(&a).unwrap().unwrap().identity, before);
    }
}
