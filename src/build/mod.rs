//! Build groups: their keys, running them in a stage, and the store that keeps what they make.

mod baked;
mod copies;
mod error;
mod fit;
mod group;
mod key;
mod seal;
mod store;
mod take;

use crate::config::{Binding, Build};
use crate::model::{ArtifactEvidence, BuildKey, BuildStep, Oid, RepoPath};
use crate::system::git::Git;

pub use copies::CopyAside;
pub use error::BuildError;
pub use fit::fit;
pub use group::{Built, build};
pub use seal::Depth;
pub use store::{LiveArtifact, Store};
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
        // A group is left out only with all its outputs.
        self.steps.retain(|step| {
            let kept = |output: &RepoPath| {
                renamed.iter().any(|(path, key, _)| path == output && *key == step.key)
            };
            step.outputs.is_empty() || !step.outputs.iter().all(kept)
        });
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

/// Computes the keys of all groups for a commit and says which must be built. A key hashes the matched
/// inputs (path, mode, object id), run lines, environment, carried files' hashes, `node --version`, the
/// platform, and the keys of the groups before it. Neither where the checkout lies nor the time has a part
/// in it.
///
/// # Errors
/// When the tree or a carried file cannot be read.
pub fn plan(
    git: &Git,
    binding: &Binding,
    store: &Store,
    groups: &[Build],
    commit: &Oid,
    live: &[LiveArtifact],
    depth: Depth,
) -> Result<BuildPlan, BuildError> {
    let mut plan = BuildPlan::default();
    if groups.is_empty() {
        return Ok(plan);
    }
    let entries = git.entries(commit)?;
    let node = key::node_version(binding, git.top())?;
    let mut before = Vec::new();
    for group in groups {
        let key = key::of(group, &entries, git.top(), &node, &before)?;
        let serves =
            |output: &RepoPath| live.iter().any(|l| l.known && l.output == *output && l.key == key);
        let kept = match group.outputs.as_slice() {
            [] => store.has_run(&key),
            outputs => {
                let mut all = true;
                for output in outputs {
                    let keeps =
                        || store.keeps(&key, output, depth).map_err(|e| key::io_at(&store.dir, e));
                    all = all && (serves(output) || keeps()?);
                }
                all
            }
        };
        if !kept {
            plan.steps.push(BuildStep {
                group: group.name.clone(),
                key: key.clone(),
                run: group.run.clone(),
                outputs: group.outputs.clone(),
                carry: group.carry.clone(),
                env: group.env.clone(),
                limit_seconds: group.timeout.as_secs().max(1),
                needs: plan.artifacts.iter().map(|a| (a.output.clone(), a.key.clone())).collect(),
            });
        }
        plan.artifacts.extend(group.outputs.iter().map(|output| ArtifactEvidence {
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
