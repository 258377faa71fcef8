//! Whether something can change places with something else, tried where it is.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::dir_entry_at::DirEntryAt;
use crate::system::procs::ProcessId;

/// How what is somewhere can change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapping {
    /// By `RENAME_EXCHANGE`: something is there at every moment.
    AtOnce,
    /// By two renames: this file system knows no exchange (NFS, many in user space).
    InTwoSteps,
}

/// Whether an exchange failed because the file system knows none.
pub fn knows_no_exchange(error: &io::Error) -> bool {
    let unknown = [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP];
    unknown.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

const PROBE: &str = ".gitroll-probe-";

impl DirEntryAt {
    /// Tries how the file or directory here could change places with another one, and leaves it where it is.
    ///
    /// Two directories are exchanged for a trial. What is here is then renamed onto one of them, which holds something:
    /// that is refused by every file system, after it has looked whether what is here could be renamed at all.
    ///
    /// They lie in `scratch`, a directory of gitroll's own, so that a kill leaves nothing in the tree. They lie beside
    /// what is here only if nothing can be renamed from there to `scratch`.
    ///
    /// # Errors
    /// Why it cannot be renamed: `ResourceBusy` for a mount point, `CrossesDevices` for a lower layer of an
    /// overlay, `PermissionDenied`; and where nothing can be made beside it.
    pub fn try_swap(&self, scratch: &Path) -> io::Result<Swapping> {
        let scratch = DirEntryAt::try_from(scratch.join(PROBE).as_path())?;
        match self.try_swap_at(&scratch) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => self.try_swap_at(self),
            tried => tried,
        }
    }

    /// Tries it with directories beside `place`.
    fn try_swap_at(&self, place: &DirEntryAt) -> io::Result<Swapping> {
        place.remove_left_probes()?;
        let own = |name: &str| place.beside(format!("{PROBE}{}-{name}", std::process::id()));
        let (one, other) = (own("1")?, own("2")?);
        let tried = self.try_with(&one, &other);
        // Twice: a disk that fails once must leave nothing behind.
        let removed =
            [&one, &other].map(|probe| probe.remove_tree().or_else(|_| probe.remove_tree()));
        let swapping = tried?;
        for removed in removed {
            removed?;
        }
        Ok(swapping)
    }

    fn try_with(&self, one: &DirEntryAt, other: &DirEntryAt) -> io::Result<Swapping> {
        for probe in [one, other] {
            probe.remove_tree()?;
            probe.make_dir()?;
            let inside = probe.real_path().join("held");
            DirEntryAt::try_from(inside.as_path())?.make_dir()?;
        }
        let swapping = match one.exchange(other) {
            Ok(()) => Swapping::AtOnce,
            Err(error) if knows_no_exchange(&error) => Swapping::InTwoSteps,
            Err(error) => return Err(error),
        };
        match self.rename(one) {
            Ok(()) => {
                one.rename(self)?;
                Err(io::Error::other("this file system renames onto directories that hold files"))
            }
            Err(error) => match Errno::from_io_error(&error) {
                // A directory is not renamed onto one that holds something, and a file onto none.
                Some(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR) => Ok(swapping),
                _ => Err(error),
            },
        }
    }

    /// Removes what a killed trial left.
    fn remove_left_probes(&self) -> io::Result<()> {
        let dir = self.beside(".")?;
        for name in dir.names()? {
            let name = String::from_utf8_lossy(&name).into_owned();
            let Some(rest) = name.strip_prefix(PROBE) else { continue };
            let pid = rest.split('-').next().and_then(|pid| pid.parse().ok());
            if pid.is_some_and(|pid: u32| ProcessId::of(pid).is_none()) {
                self.beside(&name)?.remove_tree()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_everything_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, own) = (dir.path().join("tree"), dir.path().join("own"));
        for place in [&tree, &own] {
            std::fs::create_dir(place).unwrap();
        }
        let place = |name: &str| DirEntryAt::try_from(tree.join(name).as_path()).unwrap();
        let live = place("dist");
        live.make_dir().unwrap();
        std::fs::write(tree.join("dist/index.html"), "live").unwrap();
        std::fs::write(tree.join("bundle.js"), "live").unwrap();
        // As trials were left whose process is gone.
        let left = ".gitroll-probe-4194304-1";
        std::fs::create_dir(own.join(left)).unwrap();
        place(left).make_dir().unwrap();
        let before = live.find().unwrap().unwrap();
        let names = |dir: &Path| -> Vec<_> {
            let mut names: Vec<_> =
                std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let untouched = std::fs::metadata(&tree).unwrap().modified().unwrap();
        for name in ["dist", "bundle.js"] {
            assert_eq!(place(name).try_swap(&own).unwrap(), Swapping::AtOnce);
        }
        assert_eq!(std::fs::metadata(&tree).unwrap().modified().unwrap(), untouched);
        assert_eq!(names(&own), Vec::<std::ffi::OsString>::new());

        // From another file system nothing can be renamed to a directory of this one.
        let elsewhere = Path::new("/dev/shm");
        let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev).unwrap();
        if device(elsewhere) != device(&tree) {
            for name in ["dist", "bundle.js"] {
                assert_eq!(place(name).try_swap(elsewhere).unwrap(), Swapping::AtOnce);
            }
            assert_eq!(names(&tree), ["bundle.js", "dist"]);
        }
        assert_eq!(live.find().unwrap().unwrap(), before);
        assert_eq!(std::fs::read(tree.join("bundle.js")).unwrap(), b"live");
    }
}
