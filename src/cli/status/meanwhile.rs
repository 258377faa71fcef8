//! What serves while a run is open: neither HEAD nor the records say it then, the checks do.

use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::config;
use crate::engine::{Course, Lying, Run};
use crate::model::{RepoPath, Served};
use crate::plan::facts::Facts;
use crate::site::Observed;

/// What was seen of a host.
pub(super) struct Seen {
    /// What serves; `None` where a run is open and neither state answers as it should, or nobody can tell which.
    pub(super) serves: Option<Served>,
    /// The checks and services, as asked of that.
    pub(super) observed: Observed,
    /// Tracked files with local edits, those that the open run itself has changed left out.
    pub(super) edited: Vec<RepoPath>,
}

/// Looks.
///
/// # Errors
/// When the tree cannot be compared.
pub(super) fn look(session: &Session, facts: &Facts, run: Option<&Run>) -> Result<Seen, Failure> {
    let site = &session.site;
    let deployment = facts.deployment(site);
    let mut edited = site.git.edited(&facts.head.commit)?;
    let Some(run) = run.filter(|run| run.course() != Course::Preparing) else {
        let observed = Observed::now(site, &facts.accepted.config, &facts.serving, &deployment);
        return Ok(Seen { serves: Some(facts.serving.clone()), observed, edited });
    };
    let plan = &run.plan;
    let lying = match run.lying() {
        Lying::Before => Some(&plan.from.commit),
        Lying::Target => Some(&plan.to.commit),
        Lying::Between => None,
    };
    if lying != Some(&facts.head.commit) {
        edited.retain(|path| plan.activation.changes.iter().all(|change| change.path != *path));
    }
    let as_before = config::parse(&plan.config_before, "gitroll.toml")
        .map(|config| Observed::now(site, &config, &plan.from, &deployment))?;
    let as_target = config::parse(&plan.config, "gitroll.toml")
        .map(|config| Observed::now(site, &config, &plan.to, run.id.as_str()))?;
    let target = match (as_before.healthy(), as_target.healthy()) {
        (true, false) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
        // Only flags differ.
        (true, true) if plan.from.commit == plan.to.commit => Some(false),
        // No check tells the one from the other: what was not reloaded is what it was.
        (true, true) => match run.course() {
            Course::Proven => Some(true),
            _ if !run.reloaded() => Some(false),
            _ => None,
        },
    };
    let serves = target.map(|target| if target { &plan.to } else { &plan.from }.clone());
    let shown = target.unwrap_or(run.lying() == Lying::Target);
    Ok(Seen { serves, observed: if shown { as_target } else { as_before }, edited })
}
