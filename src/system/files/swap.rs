//! Whether something can change places with something else, tried where it is.

use std::io;

use rustix::io::Errno;

use super::dir_entry_at::DirEntryAt;
use super::stat::FileKind;
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
    /// Two directories beside it are exchanged for a trial. What is here is then renamed onto one of them, which
    /// holds something: that is refused by every file system, after it has looked whether what is here could be
    /// renamed at all.
    ///
    /// # Errors
    /// Why it cannot be renamed: `ResourceBusy` for a mount point, `CrossesDevices` for a lower layer of an
    /// overlay, `PermissionDenied`; and where nothing can be made beside it.
    pub fn try_swap(&self) -> io::Result<Swapping> {
        self.remove_left_probes()?;
        let own = |name: &str| self.beside(format!("{PROBE}{}-{name}", std::process::id()));
        let (one, other) = (own("1")?, own("2")?);
        let tried = self.try_with(&one, &other);
        // Twice: a disk that fails once must leave nothing in the tree.
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
        if self.find()?.is_none_or(|found| found.kind != FileKind::Directory) {
            return Ok(swapping);
        }
        match self.rename(one) {
            Ok(()) => {
                one.rename(self)?;
                Err(io::Error::other("this file system renames onto directories that hold files"))
            }
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOTEMPTY | Errno::EXIST) => Ok(swapping),
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
        let place = |name: &str| DirEntryAt::try_from(dir.path().join(name).as_path()).unwrap();
        let live = place("dist");
        live.make_dir().unwrap();
        std::fs::write(dir.path().join("dist/index.html"), "live").unwrap();
        // As a trial was left whose process is gone.
        place(".gitroll-probe-4194304-1").make_dir().unwrap();
        let before = live.find().unwrap().unwrap();
        assert_eq!(live.try_swap().unwrap(), Swapping::AtOnce);
        assert_eq!(live.find().unwrap().unwrap(), before);
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        std::fs::write(dir.path().join("bundle.js"), "live").unwrap();
        assert_eq!(place("bundle.js").try_swap().unwrap(), Swapping::AtOnce);
    }
}
