//! How long a change will take, from how long it took before.

use std::time::Duration;

use super::facts::Facts;
use crate::ledger;
use crate::model::Evidence;
use crate::site::Site;

/// The latest runs that are looked at.
const RUNS: usize = 10;

/// About how long it takes to put a state in place and prove it, building `groups` first: each step as it
/// took the last time. `None` before the first run, or when a group was never built here.
pub fn about(site: &Site, facts: &Facts, groups: &[String]) -> Option<Duration> {
    let runs: Vec<Evidence> = facts
        .own(site)
        .iter()
        .rev()
        .filter(|entry| entry.record.plan.is_some())
        .take(RUNS)
        .filter_map(|entry| ledger::evidence(&site.git, entry).ok())
        .collect();
    let step = |name: &str| {
        let took =
            runs.iter().flat_map(|run| &run.steps).find(|s| s.step == name && s.result == "done");
        took.map(|step| step.millis)
    };
    let proof = step("prove")?;
    let services = &facts.accepted.config.services;
    let reloads: u64 = services.iter().filter_map(|s| step(&format!("reload {}", s.name))).sum();
    let builds: Option<u64> = groups.iter().map(|group| step(&format!("build {group}"))).sum();
    Some(Duration::from_millis(proof + reloads + builds?))
}
