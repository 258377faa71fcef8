//! Whether what is kept of a target still runs on this host, and what becomes of the target where it does not.

use super::error::PlanError;
use super::facts::Facts;
use crate::config::{self, Build};
use crate::ledger::{self, Entry};
use crate::model::{ArtifactEvidence, RepoPath};
use crate::site::Site;

/// What is known of kept artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fitness {
    /// Why they do not run on this host as they are, for example `dist was built for node 18.0.0, this host has
    /// 20.0.0`.
    pub(super) unfit: Option<String>,
    /// Whether the live tree has what was built together with them and is not an artifact.
    pub(super) as_made: bool,
    /// Those of which nobody knows what they were built for.
    unknown: Vec<ArtifactEvidence>,
}

impl Fitness {
    /// Of artifacts that are kept; `besides` are outputs that others bring, `leaving` those that go.
    pub(super) fn of(
        site: &Site,
        facts: &Facts,
        kept: &[ArtifactEvidence],
        (besides, leaving): (&[RepoPath], &[RepoPath]),
    ) -> Result<Self, PlanError> {
        let mut fitness = Self { unfit: None, as_made: true, unknown: Vec::new() };
        let failed = |source| PlanError::Io { path: site.store.dir.clone(), source };
        for artifact in kept {
            let made = site.store.made(&artifact.key).map_err(failed)?;
            let Some(made) = made.filter(|made| !made.runtime.is_unknown()) else {
                fitness.unknown.push(artifact.clone());
                continue;
            };
            if fitness.unfit.is_none() {
                let why = made.runtime.unfit_for(&facts.toolchain);
                fitness.unfit = why.map(|why| format!("{} was {why}", artifact.output));
            }
            fitness.as_made = fitness.as_made && made.fits(site.top(), besides, leaving)?;
        }
        Ok(fitness)
    }

    /// Whether they can be used as they are.
    pub(super) fn fits(&self) -> bool {
        self.unfit.is_none() && self.as_made
    }

    fn why(&self) -> &str {
        self.unfit.as_deref().unwrap_or("files that were built with it have been replaced since")
    }

    /// They are used although they do not fit.
    pub(super) fn used(&self, because: &str) -> String {
        format!("{}; using it anyway: {because}", self.why())
    }

    pub(super) fn built_anew(&self) -> String {
        format!("{}: rebuilding it", self.why())
    }

    /// Those that are not what would be built `now` either.
    pub(super) fn unknown(&self, now: &[ArtifactEvidence]) -> Option<String> {
        let same =
            |a: &ArtifactEvidence| now.iter().any(|b| (&a.output, &a.key) == (&b.output, &b.key));
        let names: Vec<String> =
            self.unknown.iter().filter(|a| !same(a)).map(|a| a.output.to_string()).collect();
        let names = names.join(", ");
        (!names.is_empty()).then(|| {
            format!("the node version that {names} was built for is not known: using it as it is")
        })
    }

    /// Whether there are some of which nothing is known, and a node that they may not be for.
    pub(super) fn is_doubtful(&self, facts: &Facts) -> bool {
        !self.unknown.is_empty() && facts.toolchain.node().is_ok_and(|node| !node.is_empty())
    }
}

/// What lay at `outputs`, which the target's own files do not declare, when it last served here: taken out of the
/// tree by what was deployed after it.
pub(super) fn left_with(
    site: &Site,
    facts: &Facts,
    served: Option<&Entry>,
    outputs: &[&RepoPath],
) -> Result<Vec<ArtifactEvidence>, PlanError> {
    let Some(served) = served.filter(|_| !outputs.is_empty()) else { return Ok(Vec::new()) };
    let after = facts.own(site).iter().find(|entry| {
        let record = &entry.record;
        record.seq > served.record.seq
            && record.event.serves()
            && record.to.is_some()
            && record.to != served.record.to
    });
    let Some(after) = after else { return Ok(Vec::new()) };
    let mut left = ledger::evidence(&site.git, after)?.left;
    left.retain(|artifact| outputs.contains(&&artifact.output));
    Ok(left)
}

/// The groups of an earlier version with the outputs that were declared since, each at the group of the same name:
/// what it makes is put in place where it must be built anyway. Nothing if none was.
pub(super) fn with_later_outputs(groups: &[Build], accepted: &[Build]) -> Option<Vec<Build>> {
    let mut extended = groups.to_vec();
    let mut changed = false;
    let known = |output: &RepoPath| {
        groups
            .iter()
            .any(|group| group.outputs.iter().chain(&group.optional).any(|other| other == output))
    };
    for later in accepted {
        let Some(group) = extended.iter_mut().find(|group| group.name == later.name) else {
            continue;
        };
        let plain = later.outputs.iter().chain(&later.optional).filter(|output| !known(output));
        let before = (group.optional.len(), group.output_globs.len(), group.scratch.globs.len());
        group.optional.extend(plain.cloned());
        for glob in &later.output_globs {
            if groups.iter().flat_map(|g| &g.output_globs).all(|other| other.text != glob.text) {
                let mut glob = glob.clone();
                glob.optional = true;
                group.output_globs.push(glob);
            }
        }
        let scratch: Vec<String> =
            group.scratch.globs.iter().chain(&later.scratch.globs).cloned().collect();
        group.scratch = config::patterns(&scratch);
        changed |=
            before != (group.optional.len(), group.output_globs.len(), group.scratch.globs.len());
    }
    changed.then_some(extended)
}
