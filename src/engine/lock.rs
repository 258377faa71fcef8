//! The lock: one changing command at a time on one checkout.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::system::procs::ProcessId;

/// The lock, held until dropped or until this process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

/// Who holds the lock. For the message only: the kernel's lock is what counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub process: Option<ProcessId>,
    /// The person behind it.
    pub actor: String,
    /// What it does, e.g. `deploy`.
    pub command: String,
    /// Since when.
    pub since: Timestamp,
    /// It is a try of the watchdog; the person began the run.
    #[serde(default)]
    pub watchdog: bool,
}

impl Held {
    /// Who, in words.
    pub fn who(&self) -> String {
        if self.watchdog { "the watchdog".to_owned() } else { self.actor.clone() }
    }
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another command holds it.
    #[error("another command is running on this checkout")]
    Busy(Option<Box<Held>>),
    /// Its file went while it was waited for: `gitroll eject` took it away with all the rest.
    #[error("this checkout was turned back into plain git while this command waited")]
    Gone,
    /// The state directory cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The command of whoever keeps a second copy of what serves. It holds the lock for a moment only.
pub const KEEPING: &str = "keep";

impl Lock {
    /// Who holds the lock, by what its file says: for messages, the lock itself is not touched.
    pub fn holder(state: &Path) -> Option<Held> {
        let held: Held =
            serde_json::from_slice(&crate::system::files::read_state(&state.join("lock")).ok()?)
                .ok()?;
        held.process.as_ref().is_some_and(ProcessId::alive).then_some(held)
    }

    /// Whether any process holds the lock now, by what the kernel says. The lock is not touched: nobody who wants
    /// it meanwhile finds it taken.
    pub fn is_held(state: &Path) -> bool {
        let Ok(inode) = state.join("lock").metadata().map(|file| file.ino()) else { return false };
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        locks.lines().any(|line| {
            // `1: FLOCK  ADVISORY  WRITE 4711 fe:01:123456 0 EOF`
            let mut words = line.split_whitespace();
            words.nth(1) == Some("FLOCK")
                && words.nth(3).and_then(|file| file.rsplit(':').next()?.parse().ok())
                    == Some(inode)
        })
    }

    /// Takes the lock in gitroll's state directory (made with mode 0700 where missing), waiting up to
    /// `wait` for it.
    ///
    /// The file is unlinked by `eject` only, as the last thing it does; it is not inherited by children.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn take(state: &Path, held: &Held, wait: Duration) -> Result<Self, LockError> {
        let path = state.join("lock");
        let io = |source| LockError::Io { path: path.clone(), source };
        crate::system::files::make_private_dir(state).map_err(io)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        let begin = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if begin.elapsed() < wait => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let mut text = String::new();
                    file.read_to_string(&mut text).map_err(io)?;
                    let holder = serde_json::from_str(&text).ok().map(Box::new);
                    return Err(LockError::Busy(holder));
                }
                Err(errno) => return Err(io(errno.into())),
            }
        }
        // A lock on a file that is not there any more keeps nobody else out.
        let ours = file.metadata().map_err(io)?;
        let there = path.symlink_metadata();
        if !there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Err(LockError::Gone);
        }
        // For messages only: on a full disk `abort` must still come to its work.
        let text = serde_json::to_string(held).unwrap_or_default();
        let written = file.set_len(0).and_then(|()| file.rewind());
        if let Err(error) = written.and_then(|()| file.write_all(text.as_bytes())) {
            tracing::warn!("{}: {error}", path.display());
        }
        Ok(Self { _file: file, path })
    }

    /// Unlinks the lock's file, and its directory where nothing else is in it: the checkout is bound no more.
    /// Whoever waits for it learns that ([`LockError::Gone`]).
    ///
    /// # Errors
    /// Any I/O error.
    pub fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)?;
        if let Some(state) = self.path.parent() {
            let _ = std::fs::remove_dir(state);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_second_command_learns_who_holds_the_lock() {
        let state = tempfile::tempdir().unwrap();
        let held = Held {
            process: None,
            actor: "ana".into(),
            command: "deploy".into(),
            since: Timestamp::UNIX_EPOCH,
            watchdog: false,
        };
        let first = Lock::take(state.path(), &held, Duration::ZERO).unwrap();
        match Lock::take(state.path(), &held, Duration::from_millis(60)) {
            Err(LockError::Busy(Some(who))) => assert_eq!(*who, held),
            other => panic!("expected a busy lock, got {other:?}"),
        }
        assert!(Lock::is_held(state.path()));
        drop(first);
        assert!(!Lock::is_held(state.path()));
        Lock::take(state.path(), &held, Duration::ZERO).unwrap();
    }
}
