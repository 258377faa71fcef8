//! How services and checks stand.

use super::Site;
use crate::check::{self, Expectation, NoLog, Surroundings};
use crate::config::{CheckKind, Config, LogCheck, LogSource, Prove, Selection};
use crate::model::{CheckEvidence, Served};
use crate::service::{self, ServiceError, ServiceState};
use crate::system::procs::Ticks;
use crate::system::signals::Until;

/// How a host stands at one moment, nothing asked twice.
#[derive(Debug)]
pub struct Observed {
    /// Each check and its one answer.
    pub checks: Vec<CheckEvidence>,
    /// Each service by name.
    pub services: Vec<(String, Result<ServiceState, ServiceError>)>,
}

impl Observed {
    /// Looks once, without settling.
    pub fn now(site: &Site, config: &Config, served: &Served, deployment: &str) -> Self {
        Self::by(site, config, served, deployment, Selection::All)
    }

    /// As [`Self::now`], asking some of the checks only.
    pub fn by(
        site: &Site,
        config: &Config,
        served: &Served,
        deployment: &str,
        only: Selection,
    ) -> Self {
        let expectation =
            Expectation { only, ..expectation(site, config, served, deployment, None) };
        let checks = check::look(&config.checks, Some(&expectation));
        Self { checks, services: observe_services(site, config, served, deployment) }
    }

    /// Whether every check passed and every service is up.
    pub fn healthy(&self) -> bool {
        !self.checks.iter().any(CheckEvidence::failed)
            && self.services.iter().all(|(_, s)| s.as_ref().is_ok_and(|s| s.up))
    }

    /// What is wrong, in few words each.
    pub fn faults(&self) -> Vec<String> {
        let checks = self
            .checks
            .iter()
            .filter(|c| c.failed())
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
) -> Vec<(String, Result<ServiceState, ServiceError>)> {
    let host = site.host(served, deployment);
    config
        .services
        .iter()
        .map(|service| (service.name.to_string(), service::observe(&host, service)))
        .collect()
}

/// What is to be proven of `served` with the checks of a configuration: all of them, and nothing was changed.
pub fn expectation(
    site: &Site,
    config: &Config,
    served: &Served,
    deployment: &str,
    fresh_since: Option<Ticks>,
) -> Expectation {
    Expectation {
        served: served.clone(),
        deployment: deployment.to_owned(),
        not: None,
        fresh_since,
        weak: config.app.prove == Prove::Weak,
        until: Until::Left,
        only: Selection::All,
        around: surroundings(site, config, served, deployment),
    }
}

/// As [`expectation`], for the questions of rules.
pub fn expectation_of_rules(
    site: &Site,
    config: &Config,
    served: &Served,
    deployment: &str,
) -> Expectation {
    let kinds = config.rules.iter().map(|rule| &rule.probe.kind);
    let around = surroundings_of(site, config, served, deployment, kinds);
    let without_checks = Config { checks: Vec::new(), ..config.clone() };
    Expectation { around, ..expectation(site, &without_checks, served, deployment, None) }
}

/// What checks need to know of this host. Asks managers where the logs are that checks read, if any does.
pub fn surroundings(
    site: &Site,
    config: &Config,
    served: &Served,
    deployment: &str,
) -> Surroundings {
    let kinds = config.checks.iter().map(|check| &check.kind);
    surroundings_of(site, config, served, deployment, kinds)
}

fn surroundings_of<'c>(
    site: &Site,
    config: &Config,
    served: &Served,
    deployment: &str,
    kinds: impl Iterator<Item = &'c CheckKind>,
) -> Surroundings {
    let host = site.host(served, deployment);
    let mut around = Surroundings {
        top: site.top().to_owned(),
        env: host.command_environment(),
        redactor: site.redactor(config),
        ..Surroundings::default()
    };
    let named = kinds.filter_map(|kind| match kind {
        CheckKind::Log(LogCheck { source: LogSource::Service(name), .. }) => Some(name),
        _ => None,
    });
    for name in named {
        let service = config.services.iter().find(|service| service.name == *name);
        let Some(service) = service.filter(|_| !around.service_logs.contains_key(name)) else {
            continue;
        };
        let logs = service::logs(&host, service).map_err(|error| NoLog {
            why: error.to_string(),
            lasting: matches!(error, ServiceError::Unsupported(_)),
        });
        let places = logs.map(|logs| logs.into_iter().map(|log| around.place_of(log)).collect());
        around.service_logs.insert(name.clone(), places);
    }
    around
}
