//! What was verified before, in gitroll's state directory: it saves the programs that verify
//! signatures, and it remembers how far each chain had come.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::entry::Entry;
use crate::model::{Digest, Oid, Seq};
use crate::system::files;
use crate::system::git::Git;

/// A larger file is not one that was written here.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// `<state>/cache/verified.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cache {
    /// What was trusted when `verified` heads were verified.
    trust: Option<Digest>,
    /// By full name of the chain's ref.
    chains: BTreeMap<String, Known>,
}

/// What is known of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The commit up to which every signature was verified under the cache's trust.
    verified: Option<Oid>,
    /// The highest position ever seen verified, under whatever trust.
    pub seq: Seq,
    /// The digest of the record there.
    pub digest: Digest,
    /// The commit that carries it; unknown to what an earlier version wrote.
    #[serde(default)]
    pub commit: Option<Oid>,
}

impl Known {
    /// Commits that may carry the record there.
    pub fn heads(&self) -> impl Iterator<Item = &Oid> {
        self.commit.iter().chain(&self.verified)
    }
}

impl Cache {
    /// Reads the cache. One that is missing, damaged, or that someone else could have written is empty.
    pub fn load(git: &Git) -> Self {
        read_json(&place(git, "verified")).unwrap_or_default()
    }

    /// The same without any head that was verified: how far each chain had come is not forgotten.
    pub fn unverified(mut self) -> Self {
        self.chains.values_mut().for_each(|known| known.verified = None);
        self
    }

    /// The head that was verified under this trust.
    pub fn verified(&self, chain_ref: &str, trust: &Digest) -> Option<&Oid> {
        let known = self.chains.get(chain_ref).filter(|_| self.trust == Some(*trust))?;
        known.verified.as_ref()
    }

    /// How far a chain had come.
    pub fn known(&self, chain_ref: &str) -> Option<&Known> {
        self.chains.get(chain_ref)
    }

    /// All chains below a prefix that had been seen.
    pub fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, &Known)> {
        self.chains
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, known)| (name.as_str(), known))
    }

    /// Notes that a chain was verified up to its last entry.
    pub fn remember(&mut self, chain_ref: &str, trust: &Digest, last: &Entry) {
        if self.trust != Some(*trust) {
            self.trust = Some(*trust);
            self.chains.values_mut().for_each(|known| known.verified = None);
        }
        let known = Known {
            verified: Some(last.commit.clone()),
            seq: last.record.seq,
            digest: last.digest,
            commit: Some(last.commit.clone()),
        };
        self.chains.insert(chain_ref.to_owned(), known);
    }

    /// Writes the cache, joined with what other processes wrote meanwhile. A failure costs time later
    /// and is not told.
    pub fn save(mut self, git: &Git) {
        for (name, theirs) in Self::load(git).chains {
            match self.chains.get(&name) {
                Some(ours) if ours.seq >= theirs.seq => {}
                _ => {
                    // Whether that was verified under our trust cannot be known.
                    self.chains.insert(name, Known { verified: None, ..theirs });
                }
            }
        }
        write_json(&place(git, "verified"), &self);
    }
}

/// The path of a cache file.
pub(super) fn place(git: &Git, name: &str) -> PathBuf {
    git.state_dir().join("cache").join(format!("{name}.json"))
}

/// Reads a file of the cache directory if nobody else could have written it.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&files::read_cache(path, MOST_BYTES)?).ok()
}

/// Writes a file of the cache directory. A failure is not told: everything here can be found out again.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) {
    let write = || -> io::Result<()> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        files::write_durably(path, &serde_json::to_vec_pretty(value)?, 0o600)
    };
    if let Err(error) = write() {
        tracing::debug!("{} was not written: {error}", path.display());
    }
}
