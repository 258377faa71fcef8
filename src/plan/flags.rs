//! The plan of a change of flags: what serves stays, its tree is not touched.

use std::collections::BTreeSet;

use super::compose::{self, Change, Composed};
use super::disk_space;
use super::error::PlanError;
use super::facts::Facts;
use crate::build::Depth;
use crate::config::{Apply, Config, takers};
use crate::ledger;
use crate::model::{
    Activation, ArtifactEvidence, FlagChange, FlagName, FlagStep, Plan, ServiceName, Step,
};
use crate::site::Site;

/// Composes the plan for the flags of a change: per source the changes, then what makes the app take them.
///
/// # Errors
/// When the repository, the tree or the store cannot be read.
pub fn compose(site: &Site, facts: &Facts, change: Change) -> Result<Composed, PlanError> {
    let config = &change.config;
    let artifacts = artifacts(site, facts)?;
    let plan = Plan {
        plan: Plan::VERSION,
        app: site.binding.app.clone(),
        environment: site.binding.environment.clone(),
        writer: site.binding.writer.clone(),
        event: change.event,
        steps: steps(config, &change.flags),
        target: None,
        recorded: change.recorded,
        config: change.config_text,
        config_before: facts.accepted.text.clone(),
        artifacts: artifacts.clone(),
        artifacts_before: artifacts,
        activation: Activation::default(),
        warnings: change.warnings,
        skipped: Vec::new(),
        critical_only: change.emergency,
        starts: Vec::new(),
        from: change.from,
        to: change.to,
    };
    Ok(Composed {
        submodules: Vec::new(),
        converting: Vec::new(),
        tracked_outputs: Vec::new(),
        room: disk_space::needed(site, &plan)?,
        hidden: change.hidden,
        plan,
    })
}

fn steps(config: &Config, changes: &[FlagChange]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut reloads: BTreeSet<ServiceName> = BTreeSet::new();
    let mut signals: Vec<Step> = Vec::new();
    for source in config.flags.iter().flat_map(|flags| &flags.sources) {
        let of_source = |change: &&FlagChange| change.source == source.name;
        let changes: Vec<FlagChange> = changes.iter().filter(of_source).cloned().collect();
        if changes.is_empty() {
            continue;
        }
        let names: Vec<&FlagName> = changes.iter().map(|change| &change.name).collect();
        let takers = takers(config, source, &names);
        steps.push(Step::Flags(FlagStep { source: source.name.clone(), changes }));
        match source.apply {
            Apply::Reload | Apply::Environment => reloads.extend(takers),
            Apply::Signal(signal) => {
                signals.extend(
                    takers
                        .into_iter()
                        .map(|service| Step::Signal { service, signal: signal.name().to_owned() }),
                );
            }
            Apply::None => {}
        }
    }
    // Who is reloaded reads everything anew.
    signals
        .retain(|step| !matches!(step, Step::Signal { service, .. } if reloads.contains(service)));
    signals.dedup();
    steps.extend(signals);
    let services = config.services.iter().filter(|service| reloads.contains(&service.name));
    steps.extend(services.map(|service| Step::Reload { service: service.name.clone() }));
    steps.push(Step::Prove);
    steps.push(Step::Record);
    steps
}

/// What lies there: as recorded with what serves, else by what is found.
fn artifacts(site: &Site, facts: &Facts) -> Result<Vec<ArtifactEvidence>, PlanError> {
    if let Some(entry) = facts.last_record_of(site, &facts.serving.commit) {
        return Ok(ledger::evidence(&site.git, entry)?.artifacts);
    }
    let groups = &facts.accepted.config.build;
    let outputs: Vec<_> = groups.iter().flat_map(|group| group.outputs.clone()).collect();
    Ok(compose::artifacts_now(&facts.live(site, &outputs, Depth::Shallow)?))
}
