//! Whether an artifact is still what was built: told by a seal, without reading it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::store::LiveNote;
use super::{Depth, LiveArtifact, Store};
use crate::model::{ArtifactEvidence, BuildKey, RepoPath};
use crate::system::files::{self, Beneath, Census, DirEntryAt, FileIdentity};

/// How many directories may be one artifact: the kept one, a live copy on another file system, and those
/// that went before them.
const MOST: usize = 4;
/// Artifacts with fewer files are looked at without the doubt of [`Seal::intact`].
const FEW: u64 = 16;

/// What a close look at an artifact finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealState {
    /// Nothing is known of it: an earlier version put it here, or the whole store was copied from elsewhere.
    Unsealed,
    /// What it was when it was sealed; entries that were added since do not count.
    Intact,
    /// Something was edited, replaced or removed since.
    Changed,
}

/// One directory as it was when it was known to be the artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    identity: FileIdentity,
    census: Census,
    /// A copy of one that had been changed already.
    #[serde(default)]
    broken: bool,
    /// While it is given the access of its place: what a kill leaves of that is not an edit. The sum of everything but
    /// permissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fitting: Option<u64>,
}

/// All seals of a store, in `<store>/seals.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seals {
    /// The store's directory. In a copy of it every seal would seem broken.
    #[serde(default)]
    store: Option<FileIdentity>,
    #[serde(default)]
    keys: BTreeMap<BuildKey, BTreeMap<RepoPath, Vec<Seal>>>,
}

impl Seal {
    fn of(spot: &DirEntryAt, broken: bool) -> io::Result<Option<Self>> {
        let (Some(found), Some(census)) = (spot.find()?, Census::of(spot)?) else {
            return Ok(None);
        };
        Ok(Some(Self { identity: found.identity, census, broken, fitting: None }))
    }

    fn intact(&self, spot: &DirEntryAt) -> io::Result<bool> {
        let Some((now, content)) = Census::with_content(spot, self.census.latest)? else {
            return Ok(false);
        };
        if let Some(before) = self.fitting {
            return Ok(!self.broken && (now.entries, content) == (self.census.entries, before));
        }
        // An edit that keeps size and times still shows in the time of change, of a file or two. That of every
        // file changes when the whole checkout is given to its owner again.
        let all = now.changed == now.files && now.files >= FEW;
        let quiet = now.changed == 0 || all || self.census.linked;
        Ok(!self.broken
            && quiet
            && (now.entries, now.sum) == (self.census.entries, self.census.sum))
    }
}

impl Seals {
    fn of(&self, key: &BuildKey, output: &RepoPath) -> &[Seal] {
        self.keys.get(key).and_then(|outputs| outputs.get(output)).map_or(&[], Vec::as_slice)
    }

    fn judge(&self, key: &BuildKey, output: &RepoPath, spot: &DirEntryAt) -> io::Result<SealState> {
        let Some(found) = spot.find()? else { return Ok(SealState::Changed) };
        match self.of(key, output).iter().find(|seal| seal.identity == found.identity) {
            None => Ok(SealState::Unsealed),
            Some(seal) if seal.intact(spot)? => Ok(SealState::Intact),
            Some(_) => Ok(SealState::Changed),
        }
    }

    fn add(&mut self, key: &BuildKey, output: &RepoPath, seal: Seal) {
        let seals = self.keys.entry(key.clone()).or_default().entry(output.clone()).or_default();
        seals.retain(|other| other.identity != seal.identity);
        seals.push(seal);
        seals.drain(..seals.len().saturating_sub(MOST));
    }
}

impl Store {
    /// Whether an artifact is kept here and, after a close look, still what was built.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn keeps(&self, key: &BuildKey, output: &RepoPath, depth: Depth) -> io::Result<bool> {
        Ok(match depth {
            Depth::Shallow => self.has(key, output),
            Depth::Deep => {
                self.has(key, output)
                    && self.judge_kept(&self.seals()?, key, output)? != Some(SealState::Changed)
            }
        })
    }

    /// The outputs of these artifacts that serve and were changed since they were built, edited in place or replaced
    /// as a whole.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn changed(&self, top: &Path, artifacts: &[ArtifactEvidence]) -> io::Result<Vec<RepoPath>> {
        let seals = self.seals()?;
        let beneath = Beneath::open(top)?;
        let mut changed = Vec::new();
        for ArtifactEvidence { key, output, .. } in artifacts {
            // Where none is the artifact, another directory, a link or nothing is in its place.
            let sealed = !seals.of(key, output).is_empty();
            let state = match live_spot(&beneath, output)? {
                Some(spot) if spot.find()?.is_some() => seals.judge(key, output, &spot)?,
                _ => SealState::Unsealed,
            };
            match state {
                SealState::Changed => changed.push(output.clone()),
                SealState::Unsealed if sealed => changed.push(output.clone()),
                SealState::Unsealed | SealState::Intact => {}
            }
        }
        Ok(changed)
    }

    /// Whether the artifact at `spot` was changed since it was built.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn is_changed(
        &self,
        key: &BuildKey,
        output: &RepoPath,
        spot: &DirEntryAt,
    ) -> io::Result<bool> {
        Ok(self.seals()?.judge(key, output, spot)? == SealState::Changed)
    }

    /// Seals an artifact that is here, if nothing is known of it.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn seal_kept(&self, key: &BuildKey, output: &RepoPath) -> io::Result<()> {
        match self.spot_kept(key, output)? {
            Some(spot) if self.seals()?.of(key, output).is_empty() => {
                self.seal(key, output, &spot, false)
            }
            _ => Ok(()),
        }
    }

    /// Seals what is live at an output, unless it is sealed under this key. What came there in the place of what this key
    /// stands for, a build that writes to the live tree say, is sealed as changed.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn seal_live(&self, top: &Path, output: &RepoPath, key: &BuildKey) -> io::Result<()> {
        let Some(spot) = live_spot(&Beneath::open(top)?, output)? else { return Ok(()) };
        match spot.find()? {
            Some(found) if !self.seals()?.knows(key, output, found.identity) => {
                let is_key = |depth| -> io::Result<bool> {
                    let now = self.live(top, std::slice::from_ref(output), depth)?;
                    Ok(now.first().is_some_and(|now| now.key == *key))
                };
                let broken = !is_key(Depth::Shallow)? && !is_key(Depth::Deep)?;
                self.seal(key, output, &spot, broken)
            }
            _ => Ok(()),
        }
    }

    /// Seals a copy that was made of `from`: as good as that one is, no better.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn seal_copy(
        &self,
        key: &BuildKey,
        output: &RepoPath,
        from: &DirEntryAt,
        copy: &DirEntryAt,
    ) -> io::Result<()> {
        // After copying: an edit that came while it was copied is an edit.
        let broken = self.seals()?.judge(key, output, from)? == SealState::Changed;
        self.seal(key, output, copy, broken)
    }

    /// Whether a fitting of what is at `spot` was begun and not ended.
    pub(super) fn is_being_fitted(
        &self,
        key: &BuildKey,
        output: &RepoPath,
        spot: &DirEntryAt,
    ) -> io::Result<bool> {
        let Some(found) = spot.find()? else { return Ok(false) };
        let seals = self.seals()?;
        let own = seals.of(key, output).iter().find(|seal| seal.identity == found.identity);
        Ok(own.is_some_and(|seal| seal.fitting.is_some()))
    }

    /// From now on until it is sealed again, permissions of what is at `spot` do not count; durable.
    pub(super) fn begin_fitting(
        &self,
        key: &BuildKey,
        output: &RepoPath,
        spot: &DirEntryAt,
    ) -> io::Result<()> {
        let Some(found) = spot.find()? else { return Ok(()) };
        let mut seals = self.seals()?;
        let own = seals.of(key, output).iter().find(|seal| seal.identity == found.identity);
        let Some(mut seal) = own.cloned() else { return Ok(()) };
        let content = Census::with_content(spot, seal.census.latest)?.map(|(_, content)| content);
        seal.fitting = seal.fitting.or(content);
        seals.add(key, output, seal);
        self.write_seals(seals)
    }

    /// Seals what is at `spot`; durable.
    pub(super) fn seal(
        &self,
        key: &BuildKey,
        output: &RepoPath,
        spot: &DirEntryAt,
        broken: bool,
    ) -> io::Result<()> {
        let Some(seal) = Seal::of(spot, broken)? else { return Ok(()) };
        files::make_private_dir(&self.dir)?;
        let mut seals = self.seals()?;
        seals.add(key, output, seal);
        self.write_seals(seals)
    }

    /// Forgets the seals of artifacts that neither lie here nor serve.
    pub(super) fn forget_seals(&self, live: &BTreeMap<RepoPath, LiveNote>) -> io::Result<()> {
        let mut seals = self.seals()?;
        let before = seals.keys.len();
        let serves = |key: &BuildKey| live.values().any(|noted| noted.key == *key);
        seals.keys.retain(|key, _| self.dir.join(key.as_str()).exists() || serves(key));
        if seals.keys.len() == before { Ok(()) } else { self.write_seals(seals) }
    }

    /// What a close look makes of a live artifact that a light look took for `light`.
    pub(super) fn closely(
        &self,
        spot: &DirEntryAt,
        light: LiveArtifact,
    ) -> io::Result<LiveArtifact> {
        let LiveArtifact { output, key, .. } = &light;
        if self.seals()?.judge(key, output, spot)? != SealState::Changed {
            return Ok(light);
        }
        let (Some(found), census) = (spot.find()?, Census::of(spot)?) else { return Ok(light) };
        let key = super::store::seen_key(&found, census.as_ref());
        Ok(LiveArtifact { output: light.output, key, known: false, changed: true })
    }

    /// `None` if nothing is kept.
    fn judge_kept(
        &self,
        seals: &Seals,
        key: &BuildKey,
        output: &RepoPath,
    ) -> io::Result<Option<SealState>> {
        let Some(found) = self.find(key, output)? else { return Ok(None) };
        let known = seals.of(key, output);
        if known.is_empty() {
            return Ok(Some(SealState::Unsealed));
        }
        // Sealed, and another directory is in its place.
        if !seals.knows(key, output, found.identity) {
            return Ok(Some(SealState::Changed));
        }
        match self.spot_kept(key, output)? {
            Some(spot) => seals.judge(key, output, &spot).map(Some),
            None => Ok(None),
        }
    }

    /// Nothing if there is no such file, where it cannot be read as ours, or where it came with a copy of
    /// another store.
    fn seals(&self) -> io::Result<Seals> {
        let bytes = match crate::system::files::read_state(&self.seals_file()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seals::default()),
            Err(error) => return Err(error),
        };
        let seals: Seals = serde_json::from_slice(&bytes).unwrap_or_default();
        let here = self.identity()?;
        Ok(if seals.store == here { seals } else { Seals::default() })
    }

    fn write_seals(&self, mut seals: Seals) -> io::Result<()> {
        seals.store = self.identity()?;
        let text = serde_json::to_vec(&seals).map_err(io::Error::other)?;
        files::write_durably(&self.seals_file(), &text, 0o600)
    }

    fn identity(&self) -> io::Result<Option<FileIdentity>> {
        let spot = DirEntryAt::try_from(self.dir.as_path())?;
        Ok(spot.find()?.map(|found| found.identity))
    }

    fn seals_file(&self) -> PathBuf {
        self.dir.join("seals.json")
    }
}

impl Seals {
    fn knows(&self, key: &BuildKey, output: &RepoPath, identity: FileIdentity) -> bool {
        self.of(key, output).iter().any(|seal| seal.identity == identity)
    }
}

/// The place of an output in the live tree; none where a link is on the way.
fn live_spot(top: &Beneath, output: &RepoPath) -> io::Result<Option<DirEntryAt>> {
    match top.entry(output) {
        Err(error) if files::is_symbolic_link_error(&error) => Ok(None),
        spot => spot,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
