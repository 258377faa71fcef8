//! Starting, stopping and looking at the app's services.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::outcome::Status;
use super::session::Session;
use crate::check::{self, Expectation, ObservedService};
use crate::config::{Check, Config, Prove, Service};
use crate::engine;
use crate::model::{CheckEvidence, Served};
use crate::plan::facts::{Facts, HandMade};
use crate::service::{self, ServiceError};
use crate::site::{
    self, Maintenance, Observed, begin_maintenance, end_maintenance, expectation, observe_services,
};
use crate::system::clock;
use crate::system::text::nearest;

/// To do something about services.
#[derive(Debug, Clone)]
pub struct ServiceRequest {
    pub action: ServiceAction,
    /// One of them; all, in the order of their dependencies, where left out.
    pub name: Option<String>,
    /// With `stop`: nothing automatic starts or judges them until they are started again.
    pub maintenance: bool,
    /// Why it is stopped.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceAction {
    Start,
    Stop,
    Restart,
    Status,
}

impl ServiceAction {
    /// As it is typed.
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Status => "status",
        }
    }
}

/// How one service is afterwards.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServiceState {
    /// Its name.
    pub service: String,
    /// The manager's word.
    pub state: String,
    /// Whether it is up.
    pub up: bool,
    /// Its processes.
    pub pids: Vec<u32>,
    /// Restarts counted by the manager.
    pub restarts: u64,
    /// After `start` and `restart`: whether it was up and stayed up for two seconds.
    pub stayed_up: Option<bool>,
    /// Where it did not: the lines of its log that say why.
    pub log: Vec<String>,
}

impl ServiceState {
    fn of(service: &Service, state: service::ServiceState) -> Self {
        Self {
            service: service.name.to_string(),
            state: state.word,
            up: state.up,
            pids: state.processes.iter().map(|p| p.pid).collect(),
            restarts: state.restarts,
            stayed_up: None,
            log: Vec::new(),
        }
    }
}

/// How the services are, and what that comes to.
#[derive(Debug)]
pub struct ServiceOutcome {
    pub states: Vec<ServiceState>,
    /// After `start` and `restart`, where every service of the app is up: each check, asked until it passes once.
    pub checks: Vec<CheckEvidence>,
    /// Why they do not pass.
    pub failures: Vec<String>,
    /// The maintenance that is in force afterwards.
    pub maintenance: Option<Maintenance>,
    pub status: Status,
}

/// For how long a service that was started must stay up before that is said of it.
const WATCHED: Duration = Duration::from_secs(2);

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(200);

/// How long a check is asked at most after a start.
const ASKED: Duration = Duration::from_secs(30);

/// Does it, and looks how they are afterwards.
///
/// # Errors
/// When there is no such service, or its manager cannot be asked.
pub fn act_on_services(
    caller: &Caller,
    request: &ServiceRequest,
) -> Result<ServiceOutcome, Failure> {
    let session = match request.action {
        ServiceAction::Status => Session::look(caller)?,
        _ => Session::change(caller, "service")?.going_by_what_was_seen(),
    };
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    let command = format!("service {}", request.action.word());
    let chosen = chosen(&config.services, request.name.as_deref(), &command)?;
    let mut host = session.site.host(&facts.serving, &facts.deployment(&session.site));
    let starting = matches!(request.action, ServiceAction::Start | ServiceAction::Restart);
    let stopping = request.action == ServiceAction::Stop;
    let order: Vec<&Service> = if stopping { chosen.into_iter().rev().collect() } else { chosen };
    if request.action != ServiceAction::Status {
        let asked = check::asked_ports(&config.checks);
        // Before the first is touched.
        for service in &order {
            service::of_this_tree(&host, service, &asked)
                .map_err(|error| failed(&session, config, service, request.action, &error))?;
        }
    }
    if request.maintenance {
        silence(&session, &facts, &order, request.reason.clone())?;
    }
    let up = |service: &Service| service::observe(&host, service).is_ok_and(|state| state.up);
    let served = starting && order.iter().any(|service| up(service));
    for service in &order {
        if starting {
            host.flags = engine::flag_environment(&host, config, &service.name).map_err(|why| {
                Failure::unchanged(format!("service {}: {why}", service.name))
                    .detail("it receives these flags when it starts, and was not restarted")
            })?;
        }
        let done = match request.action {
            ServiceAction::Start => service::start(&host, service),
            ServiceAction::Stop => service::stop(&host, service),
            ServiceAction::Restart => service::reload(&host, service).map(|_| ()),
            ServiceAction::Status => Ok(()),
        };
        done.map_err(|error| failed(&session, config, service, request.action, &error))?;
    }
    let stayed = if starting { stay_up(&host, &order) } else { vec![None; order.len()] };
    let mut states = Vec::new();
    for (service, stayed) in order.into_iter().zip(stayed) {
        let observed = service::observe(&host, service)
            .map_err(|error| failed(&session, config, service, request.action, &error))?;
        let mut log = observed.log.clone();
        if stayed == Some(false) && log.is_empty() {
            log = service::last_lines(&host, service);
        }
        let mut state = ServiceState::of(service, observed);
        state.stayed_up = stayed.map(|stayed| stayed && state.up);
        if state.stayed_up == Some(false) {
            let redactor = session.site.redactor(config);
            state.log = log.iter().map(|line| redactor.text(line)).collect();
        }
        states.push(state);
    }
    let as_asked = |state: &ServiceState| state.stayed_up.unwrap_or(state.up != stopping);
    let as_asked = states.iter().all(as_asked);
    let (checks, failures) = match starting && as_asked {
        true => answers(&session, &facts),
        false => Default::default(),
    };
    let status = match (as_asked, failures.is_empty()) {
        (true, true) => Status::Done,
        // What served before the restart does not any more.
        (false, _) if served => Status::PersonNeeded,
        _ => Status::Unchanged,
    };
    if starting {
        end_silence(&session, config, &facts);
    }
    let maintenance = site::maintenance(&session.site);
    Ok(ServiceOutcome { states, checks, failures, maintenance, status })
}

/// Before the first service is stopped: whoever watches must not take it for a failure.
fn silence(
    session: &Session,
    facts: &Facts,
    services: &[&Service],
    reason: Option<String>,
) -> Result<(), Failure> {
    let (site, config) = (&session.site, &facts.accepted.config);
    let deployment = facts.deployment(site);
    let up = |(_, state): &ObservedService| state.as_ref().is_ok_and(|state| state.up);
    // What hurts is stopped at once: the checks are asked only where no service is up.
    let was_down = !observe_services(site, config, &facts.serving, &deployment).iter().any(up) && {
        let observed = Observed::now(site, config, &facts.serving, &deployment);
        observed.nothing_answers(config) && !observed.stopped()
    };
    let new = Maintenance {
        since: clock::now(),
        by: site.actor.clone(),
        reason,
        services: services.iter().map(|service| service.name.to_string()).collect(),
        was_down,
    };
    begin_maintenance(site, new).map(drop).map_err(|error| {
        Failure::unchanged(format!("maintenance cannot be noted: {error}"))
            .and_nothing_changed()
            .next("gitroll service stop", "stops the services without it")
    })
}

/// Ends maintenance where every service that it stopped is up again.
pub(super) fn end_silence(session: &Session, config: &Config, facts: &Facts) {
    let site = &session.site;
    if site::maintenance(site).is_none() {
        return;
    }
    let services = observe_services(site, config, &facts.serving, &facts.deployment(site));
    match end_maintenance(site, &services) {
        Ok(true) => session.caller.info("maintenance ended: every service is up again"),
        Ok(false) => {}
        Err(error) => session.caller.warn(format!("maintenance cannot be ended: {error}")),
    }
}

/// What a start runs: what is in the tree, whoever put it there.
fn in_the_tree(facts: &Facts) -> &Served {
    match &facts.hand_made {
        Some(HandMade::NeverStarted(head)) => head,
        _ => &facts.serving,
    }
}

/// Whether the app answers after a start: each check, until it passes once, and what fails. None is asked while a
/// service of the app is down, for somebody starts them one by one.
fn answers(session: &Session, facts: &Facts) -> (Vec<CheckEvidence>, Vec<String>) {
    let (site, config) = (&session.site, &facts.accepted.config);
    let deployment = facts.deployment(site);
    let started = in_the_tree(facts);
    let mut observe = || observe_services(site, config, started, &deployment);
    let up = |(_, state): &ObservedService| state.as_ref().is_ok_and(|state| state.up);
    if config.app.prove == Prove::Weak || !observe().iter().all(up) {
        return Default::default();
    }
    let once = |check: &Check| Check {
        passes: 1,
        settle: Duration::ZERO,
        timeout: check.timeout.min(ASKED),
        ..check.clone()
    };
    let checks: Vec<Check> = config.checks.iter().map(once).collect();
    if checks.is_empty() {
        return Default::default();
    }
    let expectation: Expectation = expectation(site, config, started, &deployment, None);
    let proof = check::prove(&checks, &expectation, &mut observe, &mut |_| {});
    let asked = proof.checks.into_iter().filter(|check| check.skipped.is_none());
    (asked.collect(), proof.failures)
}

/// Watches services that were started: a program that falls over on its first request for a module does so within
/// moments, and its manager starts it again. Whether each was up and stayed the same.
fn stay_up(host: &service::Host<'_>, services: &[&Service]) -> Vec<Option<bool>> {
    let mut first: Vec<Option<service::ServiceState>> = services.iter().map(|_| None).collect();
    let mut fell = vec![false; services.len()];
    let begun = Instant::now();
    loop {
        for ((service, first), fell) in services.iter().zip(&mut first).zip(&mut fell) {
            let state = service::observe(host, service).ok();
            match (&*first, state) {
                (None, state) => *first = state.filter(|state| state.up),
                (Some(first), Some(state)) if state.up => *fell |= is_another(first, &state),
                (Some(_), _) => *fell = true,
            }
        }
        if begun.elapsed() >= WATCHED {
            break;
        }
        std::thread::sleep(LOOK);
    }
    first.iter().zip(fell).map(|(first, fell)| Some(first.is_some() && !fell)).collect()
}

/// Whether a service that is up was started again since `first`. One that is meant to end may have.
fn is_another(first: &service::ServiceState, now: &service::ServiceState) -> bool {
    let gone = first.processes.iter().any(|process| !now.processes.contains(process));
    !now.untouched && (gone || now.restarts > first.restarts)
}

/// The named service, or all; `command` is what is proposed with the nearest name.
pub(super) fn chosen<'a>(
    services: &'a [Service],
    name: Option<&str>,
    command: &str,
) -> Result<Vec<&'a Service>, Failure> {
    let Some(name) = name else { return Ok(services.iter().collect()) };
    if let Some(service) = services.iter().find(|s| s.name.as_str() == name) {
        return Ok(vec![service]);
    }
    let known: Vec<String> = services.iter().map(|s| s.name.to_string()).collect();
    let failure = Failure::unchanged(format!("gitroll.toml has no service {name:?}"));
    Err(match nearest(name, &known) {
        Some(near) => failure.next(format!("gitroll {command} {near}"), "the nearest name"),
        None => failure.detail(format!("it has {}", known.join(", "))),
    })
}

fn failed(
    session: &Session,
    config: &Config,
    service: &Service,
    action: ServiceAction,
    error: &ServiceError,
) -> Failure {
    let mut failure = Failure::unchanged(format!("service {}: {error}", service.name));
    if let ServiceError::Down { lines, .. } = error {
        let redactor = session.site.redactor(config);
        for line in lines {
            failure = failure.detail(redactor.text(line));
        }
    }
    if let ServiceError::Unusable { hint, .. } = error {
        failure = failure.detail(hint.clone());
    }
    match action {
        ServiceAction::Status => failure.next("gitroll doctor", "shows what is wrong"),
        _ => failure.next("gitroll service status", "shows how they are"),
    }
}
