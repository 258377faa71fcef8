//! Which built directories the points name: they stay kept as long as the points. A copy of what the points say, so that
//! a deploy does not have to open their repository.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::store::StoredPoint;
use crate::model::{BuildKey, PointId};
use crate::system::files;

/// The keys of artifacts that the points of a checkout name. `state`: gitroll's own directory in the repository.
///
/// # Errors
/// When the list is there and cannot be read: then nobody knows what may go.
pub fn artifacts_of_points(state: &Path) -> io::Result<BTreeSet<BuildKey>> {
    let bytes = match files::read_state(&file(state)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        read => read?,
    };
    let points: BTreeMap<PointId, Vec<BuildKey>> =
        serde_json::from_slice(&bytes).map_err(io::Error::from)?;
    Ok(points.into_values().flatten().collect())
}

/// Notes what these points name, all there are.
///
/// # Errors
/// Any I/O error.
pub fn remember_artifacts(state: &Path, points: &[StoredPoint]) -> io::Result<()> {
    let all: BTreeMap<&PointId, &Vec<BuildKey>> =
        points.iter().map(|point| (&point.manifest.id, &point.manifest.artifacts)).collect();
    files::write_durably(&file(state), &serde_json::to_vec(&all)?, 0o600)
}

fn file(state: &Path) -> PathBuf {
    state.join("points.json")
}
