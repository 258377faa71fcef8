//! What is known of how the artifacts of a key were made: a file beside them in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;
use super::beside;
use super::error::BuildError;
use super::key::io_at;
use super::runtime::Runtime;
use crate::model::{BuildKey, Digest, RepoPath};
use crate::system::files;

/// The version of the format.
const VERSION: u32 = 1;
/// What is larger is not read.
const MOST: u64 = 4 << 20;

/// How the artifacts of one key were made, in `<store>/<key>.json`. Stores of earlier versions have no such
/// file: then nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    made: u32,
    /// The outputs that the build made.
    pub outputs: BTreeSet<RepoPath>,
    /// Those that it could have made and did not.
    #[serde(default)]
    pub absent: BTreeSet<RepoPath>,
    /// What it was made with, and for.
    #[serde(default)]
    pub runtime: Runtime,
    /// Files that the build wrote beside its outputs and that nobody declared, with their contents.
    #[serde(default)]
    pub beside: BTreeMap<RepoPath, Digest>,
}

impl Made {
    /// What a build just made.
    pub fn new(
        outputs: BTreeSet<RepoPath>,
        absent: BTreeSet<RepoPath>,
        runtime: Runtime,
        beside: BTreeMap<RepoPath, Digest>,
    ) -> Self {
        Self { made: VERSION, outputs, absent, runtime, beside }
    }
}

impl Made {
    /// Whether the live tree has what the build wrote beside its outputs as it was then, as far as it has it at all
    /// and no other artifact brings it or, `leaving`, takes it away.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn fits(
        &self,
        live: &Path,
        besides: &[RepoPath],
        leaving: &[RepoPath],
    ) -> Result<bool, BuildError> {
        let taken = |path: &RepoPath| leaving.iter().any(|output| path.starts_with(output));
        if self.beside.keys().any(taken) {
            return Ok(false);
        }
        beside::is_unchanged(&self.beside, live, besides)
            .map_err(|(path, error)| io_at(&path, error))
    }
}

impl Store {
    /// How the artifacts of a key were made; `None` if nothing is known of it. A file that cannot be read as
    /// ours only means that.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn made(&self, key: &BuildKey) -> io::Result<Option<Made>> {
        let path = self.made_file(key);
        match path.symlink_metadata() {
            Ok(found) if found.is_file() && found.len() <= MOST => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let made: Option<Made> =
            serde_json::from_slice(&crate::system::files::read_state(&path)?).ok();
        Ok(made.filter(|made| made.made == VERSION))
    }

    /// Whether the build of a key is known to have made nothing at an output that may be absent.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn was_absent(&self, key: &BuildKey, output: &RepoPath) -> io::Result<bool> {
        Ok(self.made(key)?.is_some_and(|made| made.absent.contains(output)))
    }

    /// Writes it down; durable.
    pub(super) fn note_made(&self, key: &BuildKey, made: &Made) -> io::Result<()> {
        files::make_private_dir(&self.dir)?;
        let text = serde_json::to_vec(made).map_err(io::Error::other)?;
        files::write_durably(&self.made_file(key), &text, 0o600)
    }

    /// Forgets what is known of keys that are neither kept here, nor serve, nor are among `keep`.
    pub(super) fn forget_made(
        &self,
        keep: &BTreeSet<BuildKey>,
        live: &BTreeSet<BuildKey>,
    ) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let key = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
            let Some(key) = key else { continue };
            let gone = !self.dir.join(BuildKey::as_str(&key)).exists();
            if gone && !live.contains(&key) && !keep.contains(&key) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn made_file(&self, key: &BuildKey) -> PathBuf {
        self.dir.join(format!("{key}.json"))
    }
}
