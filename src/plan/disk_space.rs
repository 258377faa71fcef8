//! The room on disk that a plan needs, on each file system where it needs it, and whether it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::PlanError;
use super::problem::Problem;
use crate::model::{Oid, Plan, Step, TreeEntry};
use crate::site::{DISK_BLOCK, Site, bytes_to_put_back};
use crate::system::files::{self, FreeSpace};
use crate::system::removal;

/// What a build may take that was never made here: nobody knows what it will make.
const BUILD: Need = Need { bytes: 64 * 1024 * 1024, files: 1_000 };

/// The run's plan and journal with the room it holds, the record's objects, the services' files.
const RUN: Need = Need { bytes: 2 * 1024 * 1024, files: 64 };

/// Bytes and files, estimated from above.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    pub bytes: u64,
    /// Files and directories.
    pub files: u64,
}

/// What a plan may write, by where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpaceNeeded {
    /// In the app's tree.
    pub tree: Need,
    /// In gitroll's own directory: the run, the way back, kept artifacts.
    pub state: Need,
    /// Where builds are staged.
    pub stage: Need,
}

impl SpaceNeeded {
    /// What any change needs, if there is no plan to say more.
    pub const LEAST: Self = Self {
        tree: Need { bytes: 0, files: 0 },
        state: BUILD,
        stage: Need { bytes: 0, files: 0 },
    };
}

impl Need {
    fn add(&mut self, other: Need) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.files = self.files.saturating_add(other.files);
    }
}

/// What `plan` needs: each changed file at its new size and, for the way back, at its old one; for builds the
/// whole tree once more, and one and a half times what their outputs take now.
///
/// # Errors
/// When the target's tree cannot be read.
pub fn needed(site: &Site, plan: &Plan) -> Result<SpaceNeeded, PlanError> {
    let mut needed = SpaceNeeded { state: RUN, ..SpaceNeeded::default() };
    needed.state.bytes += bytes_to_put_back(site, plan);
    let entry = |entry: &TreeEntry| Need {
        bytes: site.git.size(&entry.id).unwrap_or(0).next_multiple_of(DISK_BLOCK),
        files: 1,
    };
    let mut parents = BTreeSet::new();
    for change in &plan.activation.changes {
        if let Some(after) = &change.after {
            needed.tree.add(entry(after));
            parents.extend(change.path.parent());
        }
    }
    let new = parents.iter().filter(|dir| !site.top().join(dir.as_path()).exists());
    needed.tree.files += new.count() as u64;
    let (tree, state) = (device(site.top()), device(site.git.git_dir()));
    let stage = device(&site.binding.work_dir);
    for key in plan.activation.artifacts.iter().filter(|_| tree != state) {
        let Some(incoming) = &key.incoming else { continue };
        let place = site.store.place(incoming, &key.output);
        if place.exists() {
            needed.tree.add(size(&place));
        }
    }
    if let Some(commit) = staged(plan) {
        let mut directories = BTreeSet::new();
        for (path, found) in site.git.entries(commit)? {
            needed.stage.add(entry(&found));
            directories.extend(path.parent());
        }
        needed.stage.files += directories.len() as u64;
    }
    for step in &plan.steps {
        let Step::Build(build) = step else { continue };
        let mut made = Need::default();
        for output in build.all_outputs() {
            made.add(size(&site.top().join(output.as_path())));
        }
        let made = Need {
            bytes: BUILD.bytes.max(made.bytes + made.bytes / 2),
            files: BUILD.files.max(made.files + made.files / 2),
        };
        needed.stage.add(made);
        // Moved from there to the store, and on into the tree, where that can be; else copied.
        if state != stage {
            needed.state.add(made);
        }
        if tree != state {
            needed.tree.add(made);
        }
    }
    Ok(needed)
}

/// Whether the file systems have that room.
pub fn check(site: &Site, room: SpaceNeeded, problems: &mut Vec<Problem>) {
    let mut by_device: BTreeMap<Option<u64>, (PathBuf, Need)> = BTreeMap::new();
    for (place, need) in [
        (site.git.git_dir(), room.state),
        (site.top(), room.tree),
        (site.binding.work_dir.as_path(), room.stage),
    ] {
        let place = existing(place);
        let sum = by_device.entry(device(place)).or_insert((place.to_owned(), Need::default()));
        sum.1.add(need);
    }
    for (place, need) in by_device.values() {
        let Ok(mut free) = files::free_space(place) else { continue };
        let few = |free: &FreeSpace| free.inodes.is_some_and(|inodes| inodes < need.files);
        if free.bytes < need.bytes || few(&free) {
            // What is taken away and not removed yet.
            removal::make_room();
            free = files::free_space(place).unwrap_or(free);
        }
        let place = place.display();
        if free.bytes < need.bytes {
            problems.push(Problem::new(
                format!(
                    "the disk is nearly full: {} free, {} may be needed, at {place}",
                    mib(free.bytes),
                    mib(need.bytes.next_multiple_of(1024 * 1024))
                ),
                "free some space first; nothing was changed",
            ));
        }
        if let Some(inodes) = free.inodes.filter(|inodes| *inodes < need.files) {
            problems.push(Problem::new(
                format!(
                    "the file system has {inodes} inodes left, {} may be needed, at {place}",
                    need.files
                ),
                "remove files first; nothing was changed",
            ));
        }
    }
}

fn staged(plan: &Plan) -> Option<&Oid> {
    plan.steps.iter().find_map(|step| match step {
        Step::Stage { commit } => Some(commit),
        _ => None,
    })
}

fn size(path: &Path) -> Need {
    let (bytes, files) = files::size_of_tree(path);
    Need { bytes: bytes.saturating_add(files.saturating_mul(DISK_BLOCK)), files }
}

fn device(path: &Path) -> Option<u64> {
    existing(path).metadata().ok().map(|meta| meta.dev())
}

/// The nearest directory that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(path)
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes / (1024 * 1024))
}
