//! How two points differ, by path.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustic_core::repofile::Node;
use schemars::JsonSchema;
use serde::Serialize;

use super::error::DataError;
use super::store::{StoredPoint, Writing};

/// A path that is not the same in two points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// The path in the points.
    pub path: String,
    /// Bytes in the first; absent if it is not there.
    pub before: Option<u64>,
    /// Bytes in the second; absent if it is not there.
    pub after: Option<u64>,
}

/// The files whose content, kind or mode differs between two points, by path.
///
/// # Errors
/// When one of them cannot be read.
pub fn differences(
    repository: &Writing,
    before: &StoredPoint,
    after: &StoredPoint,
) -> Result<Vec<Difference>, DataError> {
    let (before, after) = (files(repository, before)?, files(repository, after)?);
    let size = |node: &Node| node.meta.size;
    let gone_or_changed = before.iter().filter_map(|(path, old)| match after.get(path) {
        Some(new) if same(old, new) => None,
        new => Some((path, Some(size(old)), new.map(size))),
    });
    let added = after.iter().filter(|(path, _)| !before.contains_key(*path));
    let added = added.map(|(path, new)| (path, None, Some(size(new))));
    let mut all: Vec<Difference> = gone_or_changed
        .chain(added)
        .map(|(path, before, after)| Difference { path: path.display().to_string(), before, after })
        .collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

/// Everything but directories, and but what describes the point itself.
fn files(repository: &Writing, point: &StoredPoint) -> Result<BTreeMap<PathBuf, Node>, DataError> {
    let all = repository.nodes(point)?.into_iter();
    Ok(all.filter(|(path, node)| !node.is_dir() && path.as_os_str() != "point.json").collect())
}

fn same(a: &Node, b: &Node) -> bool {
    a.node_type == b.node_type && a.content == b.content && a.meta.mode == b.meta.mode
}
