//! How services and checks stand.

use super::Site;
use crate::check::{self, Intent};
use crate::config::{Config, Prove};
use crate::model::{CheckEvidence, Served};
use crate::service::{self, ServiceError, State};
use crate::system::procs::Ticks;
use crate::system::signals::Until;

/// How a host stands at one moment, nothing asked twice.
#[derive(Debug)]
pub struct Observed {
    /// Each check and its one answer.
    pub checks: Vec<CheckEvidence>,
    /// Each service by name.
    pub services: Vec<(String, Result<State, ServiceError>)>,
}

impl Observed {
    /// Looks once, without settling.
    pub fn now(site: &Site, config: &Config, served: &Served, deployment: &str) -> Self {
        let intent = intent(config, served, deployment, None);
        let checks = check::look(&config.checks, Some(&intent))
            .into_iter()
            .map(|(check, last)| CheckEvidence {
                check,
                passed: last.ok,
                passes: u32::from(last.ok),
                wanted: 1,
                last,
                told_version: false,
            })
            .collect();
        Self { checks, services: observe_services(site, config, served, deployment) }
    }

    /// Whether every check passed and every service is up.
    pub fn healthy(&self) -> bool {
        self.checks.iter().all(|c| c.passed)
            && self.services.iter().all(|(_, s)| s.as_ref().is_ok_and(|s| s.up))
    }

    /// What is wrong, in few words each.
    pub fn faults(&self) -> Vec<String> {
        let checks = self
            .checks
            .iter()
            .filter(|c| !c.passed)
            .map(|c| format!("{} {}", c.check, c.last.answer));
        let services = self.services.iter().filter_map(|(name, state)| match state {
            Ok(state) if state.up => None,
            Ok(state) => Some(format!("{name} {}", state.word)),
            Err(error) => Some(format!("{name}: {error}")),
        });
        checks.chain(services).collect()
    }
}

/// Asks every service of a configuration how it is.
pub fn observe_services(
    site: &Site,
    config: &Config,
    served: &Served,
    deployment: &str,
) -> Vec<(String, Result<State, ServiceError>)> {
    let host = site.host(served, deployment);
    config
        .services
        .iter()
        .map(|service| (service.name.to_string(), service::observe(&host, service)))
        .collect()
}

/// What is to be proven of `served` with the checks of a configuration.
pub fn intent(
    config: &Config,
    served: &Served,
    deployment: &str,
    fresh_since: Option<Ticks>,
) -> Intent {
    Intent {
        served: served.clone(),
        deployment: deployment.to_owned(),
        not: None,
        fresh_since,
        weak: config.app.prove == Prove::Weak,
        until: Until::Left,
    }
}
