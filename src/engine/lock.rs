//! The lock: one changing command at a time on one checkout.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
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
}

/// Who holds the lock. For the message only: the kernel's lock is what counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The process.
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
    #[error("another command is at work on this checkout")]
    Busy(Option<Box<Held>>),
    /// The state directory cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Who holds the lock, by what its file says: for messages, the lock itself is not touched.
    pub fn holder(state: &Path) -> Option<Held> {
        let held: Held = serde_json::from_slice(&std::fs::read(state.join("lock")).ok()?).ok()?;
        held.process.as_ref().is_some_and(ProcessId::alive).then_some(held)
    }

    /// Takes the lock in gitroll's state directory (made with mode 0700 where missing), waiting up to
    /// `wait` for it.
    ///
    /// The file is permanent and never unlinked; it is not inherited by children.
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
        // For messages only: on a full disk `abort` must still come to its work.
        let text = serde_json::to_string(held).unwrap_or_default();
        let written = file.set_len(0).and_then(|()| file.rewind());
        if let Err(error) = written.and_then(|()| file.write_all(text.as_bytes())) {
            tracing::warn!("{}: {error}", path.display());
        }
        Ok(Self { _file: file })
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
        drop(first);
        Lock::take(state.path(), &held, Duration::ZERO).unwrap();
    }
}
