//! Proving a state with the checks and services of a configuration.

use super::EngineError;
use crate::check::{self, Intent, LogPositions, Proof};
use crate::config::{self, CheckKind, Config, Selection};
use crate::model::{CheckEvidence, Narration, Narrator, Plan, RunId, Served, Step};
use crate::service;
use crate::site::{Site, intent, observe_services, surroundings};
use crate::system::procs::Ticks;
use crate::system::signals::Until;

/// Proves what is intended. Of a service that the plan does not reload only being up is wanted.
pub(super) fn prove(
    site: &Site,
    config: &Config,
    plan: &Plan,
    intent: &Intent,
    narrator: &mut Narrator<'_>,
) -> Proof {
    let only = if plan.critical_only { Selection::Critical } else { intent.only };
    let intent = &Intent { only, ..intent.clone() };
    let mut all_up = false;
    let proof = check::prove(
        &config.checks,
        intent,
        &mut || {
            let mut look = observe_services(site, config, &intent.served, &intent.deployment);
            for (name, state) in &mut look {
                if let Ok(state) = state {
                    state.untouched |= !reloads(plan, name);
                }
            }
            all_up = look.iter().all(|(_, state)| state.as_ref().is_ok_and(|state| state.up));
            look
        },
        &mut |text| narrator(Narration::Progress { text: text.to_owned() }),
    );
    if proof.proven || !all_up {
        return proof;
    }
    let host = site.host(&intent.served, &intent.deployment);
    let mut lines = proof.lines;
    for service in &config.services {
        let said = service::last_lines(&host, service);
        lines.extend(said.into_iter().map(|line| (service.name.to_string(), line)));
    }
    Proof { lines, ..proof }
}

/// What is to be proven of `served` by this run, and not to be taken for `not`.
pub(super) fn intended(
    site: &Site,
    config: &Config,
    served: &Served,
    run: &RunId,
    not: Option<&Served>,
    fresh_since: Option<Ticks>,
    until: Until,
) -> Intent {
    let not = not.cloned();
    Intent { not, until, ..intent(site, config, served, run.as_str(), fresh_since) }
}

/// Where the logs end now that a configuration's checks read; `None` where none does.
pub(super) fn log_window(
    site: &Site,
    config: &Config,
    served: &Served,
    run: &RunId,
) -> Option<LogPositions> {
    config.checks.iter().find(|check| matches!(check.kind, CheckKind::Log(_)))?;
    let around = surroundings(site, config, served, run.as_str());
    Some(check::log_positions(&config.checks, &around))
}

/// Whether no check is worse than before the run, although not all of them pass.
pub(super) fn no_worse(proof: &Proof, baseline: &[CheckEvidence]) -> bool {
    let was_failing = |name| baseline.iter().any(|before| before.check == name && before.failed());
    let any_failing_before = baseline.iter().any(CheckEvidence::failed);
    any_failing_before
        && !proof.checks.is_empty()
        && proof.checks.iter().any(|now| now.passed)
        && proof.checks.iter().all(|now| !now.failed() || was_failing(now.check.clone()))
}

fn reloads(plan: &Plan, name: &str) -> bool {
    let reload = |step: &Step| matches!(step, Step::Reload { service } if service.as_str() == name);
    plan.steps.iter().any(reload)
}

/// The configuration a plan carries.
pub(super) fn parsed(text: &str, file: &str) -> Result<Config, EngineError> {
    config::parse(text, file).map_err(|e| {
        let first = e.problems.first().map(|p| p.message.clone()).unwrap_or_default();
        EngineError::Config(format!("{e}: {first}"))
    })
}
