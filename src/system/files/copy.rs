//! Copies of files and file trees, by reflink where the file system can.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
};
use std::path::Path;

use super::access;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid};

/// Copies a file tree with modes, times and symbolic links, by reflink where the file system can.
/// Owners are kept as far as this user may.
///
/// # Errors
/// Any I/O error; what was copied so far is left for the caller to remove. A socket or a device cannot
/// be copied.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let meta = from.symlink_metadata()?;
    let kind = meta.file_type();
    if kind.is_symlink() {
        std::os::unix::fs::symlink(std::fs::read_link(from)?, to)?;
    } else if kind.is_dir() {
        std::fs::DirBuilder::new().mode(0o700).create(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if kind.is_file() {
        copy_bytes(from, to)?;
    } else if kind.is_fifo() {
        rustix::fs::mknodat(CWD, to, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    } else {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{} is a socket or a device: it cannot be copied", from.display()),
        ));
    }
    carry_over(from, &meta, to)
}

/// Copies one regular file with its mode and times and makes it durable.
///
/// # Errors
/// Any I/O error; `AlreadyExists` where something is at `to`.
pub fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let meta = from.symlink_metadata()?;
    copy_bytes(from, to)?;
    carry_over(from, &meta, to)?;
    File::open(to)?.sync_all()
}

fn copy_bytes(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = OpenOptions::new().read(true).custom_flags(no_follow()).open(from)?;
    if !source.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"));
    }
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        io::copy(&mut source, &mut target)?;
    }
    Ok(())
}

fn no_follow() -> i32 {
    // Without waiting: a pipe in the file's place must not hang the command.
    (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed()
}

/// Owner, group, mode, ACL and label as far as this user may, and the times.
fn carry_over(from: &Path, meta: &Metadata, to: &Path) -> io::Result<()> {
    if meta.file_type().is_symlink() {
        let (uid, gid) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
        match rustix::fs::chownat(CWD, to, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
            Err(error) if error != rustix::io::Errno::PERM => return Err(error.into()),
            _ => {}
        }
    } else if let Some(access) = access::at_path(from)? {
        access::give_path(to, &access)?;
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: meta.atime(), tv_nsec: meta.atime_nsec() },
        last_modification: Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() },
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_copied_tree_has_the_same_bytes_modes_times_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join("sub/empty")).unwrap();
        std::fs::write(from.join("sub/run"), b"#!/bin/sh\n").unwrap();
        std::fs::set_permissions(from.join("sub/run"), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        std::fs::set_permissions(from.join("sub/empty"), std::fs::Permissions::from_mode(0o550))
            .unwrap();
        std::os::unix::fs::symlink("../nowhere", from.join("link")).unwrap();
        copy_tree(&from, &to).unwrap();
        for path in ["", "sub", "sub/run", "sub/empty", "link"] {
            let a = from.join(path).symlink_metadata().unwrap();
            let b = to.join(path).symlink_metadata().unwrap();
            assert_eq!((a.mode(), a.mtime_nsec()), (b.mode(), b.mtime_nsec()), "{path}");
        }
        assert_eq!(std::fs::read(to.join("sub/run")).unwrap(), b"#!/bin/sh\n");
        assert_eq!(std::fs::read_link(to.join("link")).unwrap(), Path::new("../nowhere"));
    }

    #[test]
    fn a_socket_in_the_tree_is_an_error_and_not_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        std::fs::create_dir(&from).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(from.join("s")).unwrap();
        assert!(copy_tree(&from, &dir.path().join("to")).is_err());
    }
}
