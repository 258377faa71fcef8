//! Where the outputs of groups lie, globs among them resolved for a commit.

use std::collections::BTreeSet;

use crate::config::Build;
use crate::model::{OutputChoice, RepoPath, TreeEntry};

/// What package managers make beside a package.json; none if there is nothing to install.
const PACKAGES: &[u8] = b"node_modules";

/// The outputs of one group for one commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupOutputs {
    /// Those that must be made.
    pub required: Vec<RepoPath>,
    /// Those that may be absent.
    pub optional: Vec<RepoPath>,
    /// The globs of which at least one must be made.
    pub at_least_one: Vec<OutputChoice>,
}

impl GroupOutputs {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &RepoPath> {
        self.required.iter().chain(&self.optional)
    }
}

/// The outputs of each group. A glob means a name in each directory that the commit tracks and that matches:
/// what it could come to is known before anything is built.
pub fn outputs_of(groups: &[Build], entries: &[(RepoPath, TreeEntry)]) -> Vec<GroupOutputs> {
    let globs = groups.iter().any(|group| !group.output_globs.is_empty());
    let directories = if globs { directories(entries) } else { BTreeSet::new() };
    let mut taken: Vec<RepoPath> = groups
        .iter()
        .flat_map(|group| group.outputs.iter().chain(&group.optional))
        .cloned()
        .collect();
    let mut all = Vec::new();
    for group in groups {
        let (optional, required) = group.outputs.iter().cloned().partition(is_packages);
        let mut outputs = GroupOutputs { required, optional, at_least_one: Vec::new() };
        outputs.optional.extend(group.optional.iter().cloned());
        for glob in &group.output_globs {
            let mut paths: Vec<RepoPath> =
                directories.iter().filter_map(|directory| glob.below(directory)).collect();
            paths.retain(|path| fits(path, entries) && !taken.iter().any(|t| overlap(t, path)));
            taken.extend(paths.iter().cloned());
            outputs.optional.extend(paths.iter().cloned());
            if !glob.optional && !glob.text.as_bytes().ends_with(PACKAGES) {
                outputs.at_least_one.push(OutputChoice { glob: glob.text.clone(), paths });
            }
        }
        all.push(outputs);
    }
    all
}

/// Whether it is where a package manager puts packages.
pub fn is_packages(output: &RepoPath) -> bool {
    output.as_bytes().rsplit(|b| *b == b'/').next() == Some(PACKAGES)
}

/// Packages are installed beside a package.json only.
fn fits(path: &RepoPath, entries: &[(RepoPath, TreeEntry)]) -> bool {
    if !is_packages(path) {
        return true;
    }
    let manifest = path.parent().and_then(|directory| directory.join(b"package.json").ok());
    manifest.is_some_and(|m| entries.binary_search_by(|(path, _)| path.cmp(&m)).is_ok())
}

fn directories(entries: &[(RepoPath, TreeEntry)]) -> BTreeSet<RepoPath> {
    let mut all = BTreeSet::new();
    for (path, _) in entries {
        let mut above = path.parent();
        while let Some(directory) = above {
            above = directory.parent();
            if !all.insert(directory) {
                break;
            }
        }
    }
    all
}

fn overlap(a: &RepoPath, b: &RepoPath) -> bool {
    a.starts_with(b) || b.starts_with(a)
}
