//! What the way back needs, kept before the first change: two files in a private directory of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FlagError, Value};
use crate::model::{Digest, FlagName, FlagSourceName};
use crate::system::failpoint;
use crate::system::files;

/// Holds secrets.
const MODE: u32 = 0o600;

/// What a source held, and what was put there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Undo {
    /// What each changed flag was set to.
    #[serde(default)]
    pub(super) before: BTreeMap<FlagName, Value>,
    /// Everything it was set to by us.
    #[serde(default)]
    pub(super) set: BTreeMap<FlagName, Vec<Value>>,
    /// What was sent and not seen to take effect: it may still come.
    #[serde(default)]
    pub(super) pending: BTreeSet<FlagName>,
    /// For a file: its bytes.
    #[serde(default)]
    pub(super) file: Option<Bytes>,
}

/// A file before, and as we wrote it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Bytes {
    /// `None`: there was no file.
    pub(super) before: Option<Digest>,
    /// Each content that leads back to it.
    pub(super) written: Vec<Digest>,
}

/// What an undo says about one flag.
pub(super) enum UndoState<'a> {
    /// Nothing was changed, or it is as it was.
    Back,
    /// It is as we set it.
    Ours(&'a Value),
    /// Someone else set it meanwhile.
    Theirs,
}

/// Where the undo of a source is kept.
pub(super) struct UndoStore<'a> {
    dir: &'a Path,
    source: &'a FlagSourceName,
}

impl<'a> UndoStore<'a> {
    pub(super) fn new(dir: &'a Path, source: &'a FlagSourceName) -> Self {
        Self { dir, source }
    }

    /// What was kept; `None` if no change began.
    pub(super) fn load(&self) -> Result<Option<Undo>, FlagError> {
        let path = self.path("json");
        match crate::system::files::read_state(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FlagError::io(&path)(error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| {
                FlagError::refused(
                    &path,
                    "does not contain valid undo data: restore the flags by hand",
                )
            }),
        }
    }

    /// The bytes before, where they are the ones meant.
    pub(super) fn bytes(&self, wanted: Digest) -> Result<Option<Vec<u8>>, FlagError> {
        let path = self.path("before");
        match crate::system::files::read_state(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FlagError::io(&path)(error)),
            Ok(bytes) => Ok(Some(bytes).filter(|bytes| Digest::of(bytes) == wanted)),
        }
    }

    /// Keeps it, durably. `bytes` first: what names them by digest must find them.
    pub(super) fn save(&self, undo: &Undo, bytes: Option<&[u8]>) -> Result<(), FlagError> {
        files::make_private_dir(self.dir).map_err(FlagError::io(self.dir))?;
        if let Some(bytes) = bytes {
            let path = self.path("before");
            files::write_durably(&path, bytes, MODE).map_err(FlagError::io(&path))?;
        }
        let path = self.path("json");
        let json =
            serde_json::to_vec(undo).map_err(|e| FlagError::io(&path)(io::Error::other(e)))?;
        files::write_durably(&path, &json, MODE).map_err(FlagError::io(&path))?;
        failpoint::pass("flags undo kept").map_err(FlagError::Stopped)
    }

    /// Removes it, with what a kill left half written beside it; nothing there is fine.
    pub(super) fn remove(&self) -> Result<(), FlagError> {
        let gone = |done: io::Result<()>, path: &Path| match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FlagError::io(path)(error))
            }
            _ => Ok(()),
        };
        // First what names the other: bytes alone lead nowhere.
        let path = self.path("json");
        gone(std::fs::remove_file(&path), &path)?;
        gone(std::fs::remove_dir_all(self.dir), self.dir)
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.dir.join(format!("{}.{suffix}", self.source))
    }
}

impl Undo {
    /// Notes changes that are about to be made: from, to.
    pub(super) fn add(&mut self, changes: &[(FlagName, Value, Value)]) {
        for (name, before, after) in changes {
            self.before.entry(name.clone()).or_insert_with(|| before.clone());
            let set = self.set.entry(name.clone()).or_default();
            if !set.contains(after) {
                set.push(after.clone());
            }
        }
    }

    /// How `name`, found set to `now`, goes back.
    pub(super) fn way(&self, name: &FlagName, now: &Value) -> UndoState<'_> {
        match self.before.get(name) {
            None => UndoState::Back,
            Some(before) if before.same(now) => UndoState::Back,
            Some(before) => {
                let ours =
                    self.set.get(name).is_some_and(|set| set.iter().any(|set| set.same(now)));
                if ours { UndoState::Ours(before) } else { UndoState::Theirs }
            }
        }
    }
}

/// What is said of a flag whose change was sent and never seen.
pub(super) fn never_seen(name: &FlagName) -> String {
    format!(
        "flag {name}: the change was sent but never seen; its previous value was sent after it and is there now: \
         check again later that it stays"
    )
}

/// What is said of a flag that is left as it is.
pub fn left_alone(name: &FlagName) -> String {
    format!("flag {name} was set to a different value meanwhile and is left unchanged")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_private_whole_and_found_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let source = "file".parse().unwrap();
        let undo_dir = dir.path().join("undo");
        let kept = UndoStore::new(&undo_dir, &source);
        assert!(kept.load().unwrap().is_none());
        let name: FlagName = "API_TOKEN".parse().unwrap();
        let mut undo = Undo::default();
        undo.add(&[(name.clone(), Value::text("canary"), Value::Absent)]);
        undo.add(&[(name.clone(), Value::Absent, Value::text("next"))]);
        kept.save(&undo, Some(b"x")).unwrap();
        let read = kept.load().unwrap().unwrap();
        assert_eq!(read.before[&name], Value::text("canary"));
        assert_eq!(read.set[&name], [Value::Absent, Value::text("next")]);
        assert_eq!(kept.bytes(Digest::of(b"x")).unwrap().unwrap(), b"x");
        assert!(kept.bytes(Digest::of(b"y")).unwrap().is_none());
        for entry in std::fs::read_dir(&undo_dir).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(undo_dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!format!("{read:?}").contains("canary"));
        assert!(matches!(read.way(&name, &Value::text("next")), UndoState::Ours(_)));
        assert!(matches!(read.way(&name, &Value::text("canary")), UndoState::Back));
        assert!(matches!(read.way(&name, &Value::text("third")), UndoState::Theirs));
        std::fs::write(undo_dir.join("file.json"), "{}").unwrap();
        assert!(kept.load().unwrap().unwrap().before.is_empty());
    }
}
