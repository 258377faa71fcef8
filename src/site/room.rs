//! What putting back a run's changes takes.

use std::path::Path;

use super::Site;
use crate::model::Plan;

/// A file takes whole blocks of this many bytes.
pub const BLOCK: u64 = 4096;

/// Taken beside what the changed files take: the new index and HEAD, the record, services' own files.
const MARGIN: u64 = 1024 * 1024;

/// The bytes that putting back everything that `plan` changes may take: each file as it lies there now.
pub fn way_back(site: &Site, plan: &Plan) -> u64 {
    let size =
        |path: &Path| path.symlink_metadata().map_or(0, |meta| meta.len().next_multiple_of(BLOCK));
    let changes = plan.activation.changes.iter().filter(|change| change.before.is_some());
    let files = changes.map(|change| size(&site.top().join(change.path.as_path())) + BLOCK);
    files.fold(MARGIN + size(&site.git.git_dir().join("index")), u64::saturating_add)
}
