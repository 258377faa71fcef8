//! What is written down, once and durably, before the first change of a run, so that any later try can
//! tell from the inodes how far an earlier one came.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::entry::{AtPath as _, LayoutError, RunPlaces, refused};
use super::rights::{self, AccessChange};
use crate::build::Store;
use crate::model::{Activation, RepoPath};
use crate::system::files::{self, Beneath, FileIdentity, FileKind};

/// The version of the format.
const VERSION: u32 = 1;

/// How things lay before the first change. Kept in `<state>/runs/<run>/converge.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Baseline {
    /// Version of this format: 1.
    pub(super) converge: u32,
    /// Directories the target needs that were not there: the way back removes them when empty. Others are
    /// never removed on the way back, be they empty or not.
    pub(super) made: Vec<RepoPath>,
    /// What lay at the paths that are to be saved.
    pub(super) saves: Vec<(RepoPath, FileIdentity)>,
    /// Which directories the artifacts are.
    pub(super) artifacts: Vec<ArtifactIds>,
    /// Who may do what with the changed files, before and after. Earlier versions wrote none of it down.
    #[serde(default)]
    pub(super) access: BTreeMap<RepoPath, AccessChange>,
}

/// The directories of one artifact move. A copy made because of another file system is one more identity
/// of the same artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ArtifactIds {
    pub(super) output: RepoPath,
    pub(super) incoming: Vec<FileIdentity>,
    pub(super) outgoing: Vec<FileIdentity>,
}

impl Baseline {
    /// The baseline of an earlier try.
    pub(super) fn read(places: &RunPlaces) -> Result<Option<Self>, LayoutError> {
        let path = file(places);
        let bytes = match crate::system::files::read_state(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at(path),
        };
        let baseline: Self =
            serde_json::from_slice(&bytes).map_err(std::io::Error::other).at(&path)?;
        if baseline.converge != VERSION {
            let problem = format!("its version {} needs a different gitroll", baseline.converge);
            return Err(std::io::Error::other(problem)).at(path);
        }
        Ok(Some(baseline))
    }

    /// Observes how things lie, and seals it. Changes nothing of it; [`Baseline::write`] must follow.
    pub(super) fn observe(
        top: &Beneath,
        store: &Store,
        activation: &Activation,
    ) -> Result<Self, LayoutError> {
        let mut saves = Vec::new();
        for save in &activation.saves {
            // A link in the way of a save is itself saved or refused where it matters.
            if let Some(found) = top.find(&save.path).at(save.path.as_path())? {
                saves.push((save.path.clone(), found.identity));
            }
        }
        let mut artifacts = Vec::new();
        for change in activation.artifacts.iter().filter(|a| a.incoming != a.outgoing) {
            let mut ids = ArtifactIds {
                output: change.output.clone(),
                incoming: Vec::new(),
                outgoing: Vec::new(),
            };
            if let Some(key) = &change.incoming {
                let place = store.place(key, &change.output);
                let found = store.find(key, &change.output).at(place)?;
                match found {
                    Some(found) => {
                        // A run may be resumed much later: what an earlier version kept is sealed now.
                        store.seal_kept(key, &change.output).at(&store.dir)?;
                        ids.incoming.push(found.identity);
                    }
                    None if store.was_absent(key, &change.output).at(&store.dir)? => {}
                    None => return Err(LayoutError::ArtifactGone(key.to_string())),
                }
            }
            let live = top.find(&change.output).at(change.output.as_path())?;
            if let (Some(found), Some(key)) = (live, &change.outgoing) {
                if !matches!(found.kind, FileKind::Directory | FileKind::File) {
                    return Err(refused(&change.output, "is neither a directory nor a file"));
                }
                store.seal_live(top.path(), &change.output, key).at(&store.dir)?;
                ids.outgoing.push(found.identity);
            }
            artifacts.push(ids);
        }
        Ok(Self {
            converge: VERSION,
            made: missing_directories(top, activation)?,
            saves,
            artifacts,
            access: rights::observe(top, activation)?,
        })
    }

    pub(super) fn write(&self, places: &RunPlaces) -> Result<(), LayoutError> {
        let path = file(places);
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other).at(&path)?;
        files::write_durably(&path, &text, 0o600).at(path)
    }
}

fn file(places: &RunPlaces) -> PathBuf {
    places.temporary.with_file_name("converge.json")
}

/// The directories that must be made for what comes in, parents before children.
fn missing_directories(
    top: &Beneath,
    activation: &Activation,
) -> Result<Vec<RepoPath>, LayoutError> {
    let kept: BTreeSet<&RepoPath> = activation.kept.iter().map(|k| &k.path).collect();
    let leaving: Vec<&RepoPath> = activation
        .artifacts
        .iter()
        .filter(|a| a.incoming.is_none())
        .map(|a| &a.output)
        .chain(activation.saves.iter().map(|s| &s.path))
        .collect();
    let coming = activation
        .changes
        .iter()
        .filter(|c| c.after.is_some() && !kept.contains(&c.path))
        .map(|c| &c.path)
        .chain(activation.artifacts.iter().filter(|a| a.incoming.is_some()).map(|a| &a.output));
    let mut there = BTreeSet::new();
    let mut missing = BTreeSet::new();
    for path in coming {
        let mut above = path.parent();
        while let Some(dir) = above {
            if there.contains(&dir) || missing.contains(&dir) {
                break;
            }
            let is_there = !leaving.iter().any(|l| dir.starts_with(l))
                && match top.find(&dir) {
                    Ok(found) => found.is_some_and(|f| f.kind == FileKind::Directory),
                    // A tracked link that gives way to a directory.
                    Err(error) if files::is_symbolic_link_error(&error) => false,
                    Err(error) => return Err(error).at(dir.as_path()),
                };
            above = dir.parent();
            if is_there {
                there.insert(dir);
            } else {
                missing.insert(dir);
            }
        }
    }
    Ok(missing.into_iter().collect())
}
