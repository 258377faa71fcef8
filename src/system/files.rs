//! Files: durable writes, safe walks below a directory, exchange, copies.

mod access;
mod acl;
mod beneath;
mod bytes_as_file;
mod census;
mod copy;
mod dir_entry_at;
mod mounts;
mod stat;
mod swap;

use std::fs::File;
use std::io;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

#[cfg(test)]
use rustix::fs::{CWD, RenameFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use dir_entry_at::directory_of;

pub use access::{Access, PlaceAccess};
pub use beneath::{Beneath, is_symbolic_link_error, open_plain, read_plain};
pub use bytes_as_file::BytesAsFile;
pub use census::Census;
pub use copy::copy_file;
#[cfg(test)]
pub use copy::copy_tree;
pub use dir_entry_at::DirEntryAt;
#[cfg(test)]
pub(crate) use dir_entry_at::fault;
pub use mounts::mounts_below;
pub use stat::{FileIdentity, FileKind, FileStat};
pub use swap::{Swapping, knows_no_exchange};

/// Writes `bytes` to `path` so that after a power cut either the old or the new content is there:
/// temporary file in the same directory, fsync, rename, fsync of the directory. The file gets exactly
/// `mode`, whatever the umask.
///
/// # Errors
/// Any I/O error; the temporary file is removed.
pub fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = directory_of(path)?;
    let mut file = tempfile::Builder::new().prefix(".gitroll-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    sync_dir(dir)
}

/// Reads a file in which something is remembered that can be found out again; `None` where it is missing, larger than
/// `most` bytes, or where anybody else could have written it.
pub fn read_cache(path: &Path, most: u64) -> Option<Vec<u8>> {
    let (mut file, size) = open_cache(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).ok().filter(|_| size <= most)?);
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Opens such a file, with its size, to be read in parts.
pub fn open_cache(path: &Path) -> Option<(File, u64)> {
    let own = |metadata: &std::fs::Metadata| {
        let ours = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
        ours && metadata.mode() & 0o022 == 0
    };
    let dir = std::fs::symlink_metadata(path.parent()?).ok()?;
    let found = std::fs::symlink_metadata(path).ok()?;
    let safe = dir.is_dir() && own(&dir) && found.is_file() && own(&found);
    let file = File::open(path).ok().filter(|_| safe)?;
    // It may have become another one meanwhile.
    let opened = file.metadata().ok().filter(|opened| opened.is_file() && own(opened))?;
    Some((file, opened.len()))
}

/// Writes such a file, whole or not at all as long as the power stays on. After that it may be torn: who reads it has
/// to be able to tell.
///
/// # Errors
/// Any I/O error; the temporary file is removed.
pub fn write_cache(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = directory_of(path)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut file = tempfile::Builder::new().prefix(".gitroll-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

/// A path without symbolic links, as far as it exists.
pub fn resolved(path: &Path) -> PathBuf {
    let existing =
        path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    let Some((ancestor, real)) = existing else {
        return path.to_owned();
    };
    match path.strip_prefix(ancestor) {
        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
        _ => real,
    }
}

/// fsync of a directory.
///
/// # Errors
/// Any I/O error.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// `syncfs` of the file system that holds `path`.
///
/// # Errors
/// Any I/O error.
pub fn sync_file_system(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(path)?)?)
}

#[cfg(test)]
/// Swaps two paths atomically (`RENAME_EXCHANGE`).
///
/// # Errors
/// Any I/O error; `CrossesDevices` where they are on different file systems.
pub fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

/// Makes a directory and what is missing above it, private to this user (mode 0700), and durable: what is
/// written into it durably is worth nothing if its own name is lost.
///
/// # Errors
/// Any I/O error.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_dir(directory_of(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(above) if !above.is_dir() && !above.as_os_str().is_empty() => {
                make_private_dir(above)?;
                make_private_dir(path)
            }
            _ => Err(error),
        },
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why others than root and this user could have put something into the directory `path`; `None` if
/// they could not, or if there is nothing.
///
/// # Errors
/// Any I/O error.
pub fn open_to_others(path: &Path) -> io::Result<Option<String>> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    Ok(if !metadata.is_dir() {
        Some("it is not a directory (links are not followed)".to_owned())
    } else if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        Some(format!("it belongs to user {owner}"))
    } else if mode & 0o022 != 0 {
        Some(format!("others can write it (mode {mode:o})"))
    } else {
        None
    })
}

/// What is at or on the way to `relative` below `top` that is neither a directory nor a regular file: the
/// path, and what it is. A symbolic link is never followed.
pub fn obstacle(top: &Path, relative: &Path) -> Option<(PathBuf, &'static str)> {
    let mut path = top.to_owned();
    for part in relative.components() {
        path.push(part);
        let kind = path.symlink_metadata().ok()?.file_type();
        if kind.is_symlink() {
            return Some((path, "a symbolic link"));
        }
        if !kind.is_dir() && !kind.is_file() {
            return Some((path, "neither a directory nor a file"));
        }
    }
    None
}

/// The nearest directory at or above `dir` that holds `name`.
pub fn find_upwards(dir: &Path, name: &str) -> Option<PathBuf> {
    dir.ancestors().find(|above| above.join(name).symlink_metadata().is_ok()).map(Path::to_owned)
}

/// Removes `dir` and what is below it as far as it holds directories only.
///
/// # Errors
/// Any I/O error.
pub fn remove_empty_directories(dir: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty_directories(&entry.path())?;
        }
    }
    match std::fs::remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed,
    }
}

/// Free space where `path` is: bytes and inodes available to this user.
///
/// # Errors
/// Any I/O error.
pub fn free_space(path: &Path) -> io::Result<FreeSpace> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(FreeSpace {
        bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: (stat.f_files > 0).then_some(stat.f_favail),
    })
}

/// Whether this user can make files in a directory: makes one without a name, which no kill leaves there, or
/// one that is removed at once where the file system knows none without.
///
/// # Errors
/// Why not: read-only, not permitted, full.
pub fn probe_writable(dir: &Path) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags, Mode::from_raw_mode(0o600)) {
        Ok(_) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            tempfile::Builder::new().prefix(".gitroll-probe-").tempfile_in(dir).map(|_| ())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether this user may write to what is at `path`: into it, for a directory.
///
/// # Errors
/// Why not: permissions, a read-only file system, nothing there.
pub fn may_write(path: &Path) -> io::Result<()> {
    use rustix::fs::Access;
    let directory = path.metadata()?.is_dir();
    let wanted = if directory { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
    Ok(rustix::fs::access(path, wanted)?)
}

/// What a file tree takes: bytes and entries, as far as it can be read. Links are not followed.
pub fn size_of_tree(path: &Path) -> (u64, u64) {
    let Ok(meta) = path.symlink_metadata() else { return (0, 0) };
    if !meta.is_dir() {
        return (meta.len(), 1);
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| size_of_tree(&entry.path()))
        .fold((meta.len(), 1), |sum, size| (sum.0 + size.0, sum.1 + size.1))
}

/// The file system that holds `path`; `None` if nothing is there.
pub fn device(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|found| found.dev())
}

/// What a file system has left for this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    pub bytes: u64,
    /// Inodes; `None` if the file system does not count them.
    pub inodes: Option<u64>,
}

/// More than any file of gitroll's own: 256 MiB.
const MOST_STATE: u64 = 256 << 20;

/// Reads a file of gitroll's own, which is a plain file and not larger than 256 MiB.
///
/// # Errors
/// Any I/O error; `FileTooLarge`; where it is no plain file.
pub fn read_state(path: &Path) -> io::Result<Vec<u8>> {
    read_plain(path, MOST_STATE)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_durable_write_replaces_the_file_whole_with_the_wanted_mode_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.toml");
        write_durably(&path, b"old", 0o600).unwrap();
        write_durably(&path, b"new", 0o644).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_durable_write_into_a_missing_directory_fails_and_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write_durably(&dir.path().join("no/where"), b"x", 0o600).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn two_directories_swap_places_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for (path, name) in [(&a, "one"), (&b, "two")] {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join(name), name).unwrap();
        }
        exchange(&a, &b).unwrap();
        assert!(a.join("two").exists() && b.join("one").exists());
    }

    #[test]
    fn free_space_and_syncing_answer_for_a_real_directory() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_space(dir.path()).unwrap().bytes > 0);
        sync_file_system(dir.path()).unwrap();
        sync_dir(dir.path()).unwrap();
        assert!(free_space(&dir.path().join("missing")).is_err());
    }
}
