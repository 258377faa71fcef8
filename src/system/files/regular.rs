//! Opening what must be a plain file: never waiting for a pipe's other end, never leaving a directory.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use super::Beneath;
use super::found::{Found, Kind};
use crate::model::RepoPath;

/// Opens the plain file at `path` for reading, through symbolic links.
///
/// # Errors
/// Any I/O error; `InvalidInput` where something else lies there (a pipe is not waited for).
pub fn open_plain(path: &Path) -> io::Result<(File, Found)> {
    plain(File::from(rustix::fs::openat(CWD, path, flags(), Mode::empty())?))
}

impl Beneath {
    /// Opens the plain file at `path` for reading. A symbolic link is followed as long as it stays below.
    ///
    /// # Errors
    /// Any I/O error; `CrossesDevices` where a symbolic link leads out; `InvalidInput` where something else
    /// than a plain file lies there.
    pub fn open_plain(&self, path: &RepoPath) -> io::Result<(File, Found)> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let open =
            || rustix::fs::openat2(self.root(), path.as_path(), flags(), Mode::empty(), resolve);
        let mut opened = open();
        for _ in 0..3 {
            // Something was renamed on the way meanwhile.
            if matches!(opened, Err(Errno::AGAIN)) {
                opened = open();
            }
        }
        match opened {
            // Old kernels lack openat2, old containers forbid it: there no link is followed at all.
            Err(Errno::NOSYS | Errno::PERM) => match self.spot(path)? {
                None => Err(Errno::NOENT.into()),
                Some(spot) => plain(spot.open(flags())?),
            },
            opened => plain(File::from(opened?)),
        }
    }
}

fn plain(file: File) -> io::Result<(File, Found)> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let found = Found::of(&rustix::fs::statx(&file, c"", AtFlags::EMPTY_PATH, mask)?);
    if found.kind == Kind::File {
        Ok((file, found))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "is no plain file"))
    }
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

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
