//! What is somewhere, and which one it is.

use rustix::fs::{FileType, Statx, StatxFlags};
use serde::{Deserialize, Serialize};

/// What is at a path: `statx`, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// What kind of file.
    pub kind: FileKind,
    /// Which one.
    pub identity: FileIdentity,
    /// Size in bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// How many names it has.
    pub links: u32,
    /// Last change of the content: seconds and nanoseconds since 1970.
    pub modified: (i64, u32),
    /// Last change of content, name or permissions: seconds and nanoseconds since 1970.
    pub changed: (i64, u32),
}

/// The kinds of file gitroll tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    Directory,
    /// A fifo, socket or device.
    Other,
}

/// One file system object, wherever it is renamed to. Survives a reboot where the file system knows
/// birth times; device numbers, which may change with a reboot, count only where it does not.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// When it was made: seconds and nanoseconds since 1970.
    pub born: Option<(i64, u32)>,
}

impl PartialEq for FileIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.ino == other.ino
            && match (self.born, other.born) {
                (Some(a), Some(b)) => a == b,
                (None, None) => self.dev == other.dev,
                _ => false,
            }
    }
}

impl Eq for FileIdentity {}

impl FileStat {
    pub(super) fn of(stat: &Statx) -> Self {
        let mode = u32::from(stat.stx_mode);
        let kind = match FileType::from_raw_mode(mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Symlink => FileKind::Symlink,
            FileType::Directory => FileKind::Directory,
            _ => FileKind::Other,
        };
        let born = StatxFlags::from_bits_retain(stat.stx_mask)
            .contains(StatxFlags::BTIME)
            .then_some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec));
        Self {
            kind,
            identity: FileIdentity {
                dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
                ino: stat.stx_ino,
                born,
            },
            size: stat.stx_size,
            mode: mode & 0o7777,
            links: stat.stx_nlink,
            modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        }
    }
}
