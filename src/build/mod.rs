//! Build groups: their keys, running them in a stage, and the store that keeps what they make.

mod baked;
mod beside;
mod copies;
mod error;
mod fit;
mod group;
mod key;
mod made;
mod outputs;
mod runtime;
mod seal;
mod store;
mod take;

use crate::config::Build;
use crate::model::{ArtifactEvidence, BuildKey, BuildStep, Oid, RepoPath};
use crate::system::git::Git;

pub use copies::CopyAside;
pub use error::BuildError;
pub use fit::fit;
pub use group::{Built, build};
pub use made::Made;
pub use outputs::{GroupOutputs, is_packages, outputs_of};
pub use runtime::{Runtime, Toolchain};
pub use store::{Depth, LiveArtifact, Store};
pub use take::TakeOutcome;

/// What building for one commit takes: the steps whose outputs are not kept, and the keys of all outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildPlan {
    /// Groups that must be built, in order.
    pub steps: Vec<BuildStep>,
    /// Every output of every group with its key, built or kept.
    pub artifacts: Vec<ArtifactEvidence>,
}

impl BuildPlan {
    /// Leaves in place what serves where a group's key is the same as in `before`, the plan for the commit
    /// that `serving` was made from. What serves may be kept under another key: it was there before gitroll
    /// came, and nobody knows which build made it.
    pub fn keep_unchanged(&mut self, before: &BuildPlan, serving: &[ArtifactEvidence]) {
        let mut renamed = Vec::new();
        for artifact in &mut self.artifacts {
            let same = |a: &&ArtifactEvidence| a.output == artifact.output;
            let unchanged =
                before.artifacts.iter().find(same).is_some_and(|b| b.key == artifact.key);
            let built = self.steps.iter().any(|step| step.key == artifact.key);
            if let (true, Some(there)) = (unchanged && built, serving.iter().find(same)) {
                renamed.push((artifact.output.clone(), artifact.key.clone(), there.key.clone()));
            }
        }
        // A group is left out only with all its outputs; one that may be absent and is not there is no matter.
        let lies_there = |output: &RepoPath| serving.iter().any(|a| a.output == *output);
        let mut left_out = Vec::new();
        self.steps.retain(|step| {
            let kept = |output: &RepoPath| {
                renamed.iter().any(|(path, key, _)| path == output && *key == step.key)
            };
            let whole = step.outputs.iter().all(kept)
                && step.optional.iter().all(|output| kept(output) || !lies_there(output))
                && step.all_outputs().any(kept);
            if whole {
                left_out.push(step.key.clone());
            }
            !whole
        });
        self.artifacts.retain(|a| !left_out.contains(&a.key) || lies_there(&a.output));
        renamed.retain(|(_, key, _)| !self.steps.iter().any(|step| step.key == *key));
        let new_key = |output: &RepoPath, key: &mut BuildKey| {
            let found = renamed.iter().find(|(path, old, _)| path == output && old == key);
            if let Some((.., there)) = found {
                key.clone_from(there);
            }
        };
        self.artifacts.iter_mut().for_each(|a| new_key(&a.output, &mut a.key));
        for step in &mut self.steps {
            step.needs.iter_mut().for_each(|(output, key)| new_key(output, key));
        }
    }
}

/// What a build is planned beside.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// What is in the live tree.
    pub live: &'a [LiveArtifact],
    /// Outputs that come into it besides, of none of the groups.
    pub besides: &'a [RepoPath],
    /// Outputs of what serves that go out of it.
    pub leaving: &'a [RepoPath],
    /// How closely what is kept is looked at.
    pub depth: Depth,
}

/// Computes the keys of all groups for a commit and says which must be built. A key hashes the matched
/// inputs (path, mode, object id), run lines, environment, carried files' hashes, `node --version`, the
/// platform, and the keys of the groups before it. Neither where the checkout is nor the time has a part
/// in it.
///
/// # Errors
/// When the tree or a carried file cannot be read.
pub fn plan(
    git: &Git,
    toolchain: &Toolchain,
    store: &Store,
    groups: &[Build],
    commit: &Oid,
    around: Around<'_>,
) -> Result<BuildPlan, BuildError> {
    let Around { live, besides, leaving, depth } = around;
    let mut plan = BuildPlan::default();
    if groups.is_empty() {
        return Ok(plan);
    }
    let entries = git.entries(commit)?;
    let node = toolchain.node()?;
    let mut before = Vec::new();
    let all = outputs_of(groups, &entries);
    let carried = groups.iter().flat_map(|group| &group.carry);
    let of_all: Vec<&RepoPath> =
        all.iter().flat_map(GroupOutputs::all).chain(carried).chain(besides).collect();
    let io = |error| key::io_at(&store.dir, error);
    for (group, outputs) in groups.iter().zip(&all) {
        let key = key::of(group, &entries, git.top(), node, &before)?;
        let has = |output: &RepoPath| {
            let serves = live.iter().any(|l| l.known && l.output == *output && l.key == key);
            Ok::<_, BuildError>(serves || store.keeps(&key, output, depth).map_err(io)?)
        };
        let made = store.made(&key).map_err(io)?;
        let made = made.filter(|made| {
            let known = |o: &RepoPath| made.outputs.contains(o) || made.absent.contains(o);
            outputs.all().all(known)
        });
        // What is expected of it, and whether all of that is there.
        let (expected, kept): (Vec<&RepoPath>, bool) = match &made {
            Some(made) => {
                let expected: Vec<_> =
                    outputs.all().filter(|output| made.outputs.contains(*output)).collect();
                let mut kept = made.fits(git.top(), besides, leaving)?;
                for output in &expected {
                    kept = kept && has(output)?;
                }
                (expected, kept)
            }
            None => {
                let expected: Vec<_> = outputs.all().collect();
                let mut kept = !expected.is_empty() && group.output_globs.is_empty();
                for output in &expected {
                    kept = kept && has(output)?;
                }
                (expected, kept)
            }
        };
        if !kept {
            let own = |path: &&RepoPath| !outputs.all().chain(&group.carry).any(|o| o == *path);
            plan.steps.push(BuildStep {
                group: group.name.clone(),
                key: key.clone(),
                run: group.run.clone(),
                outputs: outputs.required.clone(),
                optional: outputs.optional.clone(),
                at_least_one: outputs.at_least_one.clone(),
                of_others: of_all.iter().copied().filter(own).cloned().collect(),
                leaving: leaving.to_vec(),
                scratch: groups.iter().flat_map(|group| &group.scratch.globs).cloned().collect(),
                undeclared: false,
                carry: group.carry.clone(),
                env: group.env.clone(),
                limit_seconds: group.timeout.as_secs().max(1),
                needs: plan.artifacts.iter().map(|a| (a.output.clone(), a.key.clone())).collect(),
            });
        }
        let places: Vec<&RepoPath> = if kept { expected } else { outputs.all().collect() };
        plan.artifacts.extend(places.into_iter().map(|output| ArtifactEvidence {
            group: Some(group.name.clone()),
            output: output.clone(),
            key: key.clone(),
        }));
        before.push(key);
    }
    Ok(plan)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
