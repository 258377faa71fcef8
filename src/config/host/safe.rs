//! The files of a binding: read only if nobody else could have written them.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open, openat};
use rustix::io::Errno;

/// The binding itself.
pub(super) const FILE: &str = "host.toml";
/// Whose signatures count.
pub(super) const TRUST: &str = "trust";
/// Keys that count no longer.
pub(super) const REVOKED: &str = "revoked";
/// Who may do what.
pub(super) const ROLES: &str = "roles.toml";

/// What is beside it and decides who is trusted: who could write these could forge records.
const BESIDE: [&str; 3] = [TRUST, REVOKED, ROLES];

/// A binding is a page of text.
const MOST_BYTES: u64 = 64 * 1024;

/// Why a binding cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BindingError {
    /// No binding names this work tree.
    #[error("this checkout is not bound to an environment on this host")]
    Unbound {
        /// Bindings of the same repository's app at other paths, for the hint.
        elsewhere: Vec<PathBuf>,
    },
    /// A binding exists but someone else could have written it.
    #[error("{path}: {problem}")]
    Unsafe {
        /// The file or directory.
        path: PathBuf,
        /// Owner or mode, and what it should be.
        problem: String,
    },
    /// A binding exists but cannot be read.
    #[error("{path}: {problem}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where it is the text.
        problem: String,
    },
}

/// What was found in a directory.
pub(super) struct Found {
    /// The text of `host.toml`.
    pub text: String,
    /// Why what decides who is trusted cannot be relied on.
    pub distrust: Option<BindingError>,
}

/// The text of the `host.toml` in `dir`; `None` if there is none. A file beside it that someone else could have written
/// is no error: nobody is trusted then, and the way back is not barred.
///
/// Every check is made on what was opened, so nothing can be exchanged in between. No link is followed.
pub(super) fn read(dir: &Path) -> Result<Option<Found>, BindingError> {
    read_as(dir, rustix::process::geteuid().as_raw())
}

/// As [`read`], where the files may belong to `me` or root.
pub(super) fn read_as(dir: &Path, me: u32) -> Result<Option<Found>, BindingError> {
    let base = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let handle = match open(dir, base | OFlags::DIRECTORY, Mode::empty()) {
        Ok(handle) => handle,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => {
            return Err(unsafe_at(dir, "is not a directory (links are not followed)"));
        }
        Err(errno) => return Err(unreadable(dir, &errno.into())),
    };
    let path = dir.join(FILE);
    // Without waiting: a pipe in the file's place must not hang the command.
    let open_file = |name| openat(&handle, name, base | OFlags::NONBLOCK, Mode::empty());
    let file = match open_file(FILE) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(unsafe_at(&path, "is a link; it must be a regular file")),
        Err(errno) => return Err(unreadable(&path, &errno.into())),
    };
    check(dir, &handle, FileType::Directory, me)?;
    check(&path, &file, FileType::RegularFile, me)?;
    let mut distrust = None;
    for name in BESIDE {
        let path = dir.join(name);
        let checked = match open_file(name) {
            Ok(file) => check(&path, &file, FileType::RegularFile, me),
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::LOOP) => Err(unsafe_at(&path, "is a link; it must be a regular file")),
            Err(errno) => Err(unreadable(&path, &errno.into())),
        };
        if let Err(error) = checked {
            distrust.get_or_insert(error);
        }
    }
    Ok(Some(Found { text: text(&path, file)?, distrust }))
}

fn text(path: &Path, file: OwnedFd) -> Result<String, BindingError> {
    let mut bytes = Vec::new();
    let read = File::from(file).take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(path, &error))?;
    let invalid = |problem: &str| BindingError::Invalid {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    if bytes.len() as u64 > MOST_BYTES {
        return Err(invalid("is larger than 64 KiB"));
    }
    String::from_utf8(bytes).map_err(|_| invalid("is not UTF-8"))
}

fn check(path: &Path, file: impl AsFd, kind: FileType, me: u32) -> Result<(), BindingError> {
    let stat = fstat(file).map_err(|errno| unreadable(path, &errno.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(unsafe_at(path, "must be a regular file"));
    }
    match problem(&stat, me) {
        Some(problem) => Err(unsafe_at(path, &problem)),
        None => Ok(()),
    }
}

/// Why someone other than root and `me` could have written a file.
pub(super) fn problem(stat: &Stat, me: u32) -> Option<String> {
    let (owner, mode) = (stat.st_uid, stat.st_mode & 0o7777);
    if owner != 0 && owner != me {
        Some(format!("belongs to user {owner}; it must belong to root or to user {me}"))
    } else if mode & 0o022 != 0 {
        Some(format!("is writable by others (mode {mode:04o}): chmod go-w it"))
    } else {
        None
    }
}

fn unsafe_at(path: &Path, problem: &str) -> BindingError {
    BindingError::Unsafe { path: path.to_owned(), problem: problem.to_owned() }
}

fn unreadable(path: &Path, error: &std::io::Error) -> BindingError {
    let problem = match error.kind() {
        ErrorKind::PermissionDenied => "cannot be read by this user".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    BindingError::Invalid { path: path.to_owned(), problem }
}
