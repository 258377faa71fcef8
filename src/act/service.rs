//! Starting, stopping and looking at the app's services.

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::session::Session;
use crate::config::{Config, Service};
use crate::engine;
use crate::service::{self, ServiceError};
use crate::system::text::nearest;

/// To do something about services.
#[derive(Debug, Clone)]
pub struct ServiceRequest {
    pub action: ServiceAction,
    /// One of them; all, in the order of their dependencies, where left out.
    pub name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceAction {
    Start,
    Stop,
    Restart,
    Status,
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
    /// Restarts the manager counted.
    pub restarts: u64,
}

/// Does it, and looks how they are afterwards.
///
/// # Errors
/// When there is no such service, or its manager cannot be asked.
pub fn act_on_services(
    caller: &Caller,
    request: &ServiceRequest,
) -> Result<Vec<ServiceState>, Failure> {
    let session = match request.action {
        ServiceAction::Status => Session::look(caller)?,
        _ => Session::change(caller, "service")?,
    };
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    let chosen = chosen(&config.services, request.name.as_deref())?;
    let mut host = session.site.host(&facts.serving, &facts.deployment(&session.site));
    let mut states = Vec::new();
    let stopping = request.action == ServiceAction::Stop;
    let order: Vec<&Service> = if stopping { chosen.into_iter().rev().collect() } else { chosen };
    for service in order {
        if matches!(request.action, ServiceAction::Start | ServiceAction::Restart) {
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
        done.and_then(|()| settled(&host, service, request.action))
            .map(|state| states.push(state))
            .map_err(|error| failed(&session, config, service, request.action, &error))?;
    }
    Ok(states)
}

/// The state after the action; a service that was started gets a moment to fall over.
fn settled(
    host: &service::Host<'_>,
    service: &Service,
    action: ServiceAction,
) -> Result<ServiceState, ServiceError> {
    if matches!(action, ServiceAction::Start | ServiceAction::Restart) {
        std::thread::sleep(std::time::Duration::from_millis(700));
    }
    let state = service::observe(host, service)?;
    Ok(ServiceState {
        service: service.name.to_string(),
        state: state.word,
        up: state.up,
        pids: state.processes.iter().map(|p| p.pid).collect(),
        restarts: state.restarts,
    })
}

fn chosen<'a>(services: &'a [Service], name: Option<&str>) -> Result<Vec<&'a Service>, Failure> {
    let Some(name) = name else { return Ok(services.iter().collect()) };
    if let Some(service) = services.iter().find(|s| s.name.as_str() == name) {
        return Ok(vec![service]);
    }
    let known: Vec<String> = services.iter().map(|s| s.name.to_string()).collect();
    let failure = Failure::unchanged(format!("gitroll.toml has no service {name:?}"));
    Err(match nearest(name, &known) {
        Some(near) => failure.next(format!("gitroll service … {near}"), "the nearest name"),
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
        ServiceAction::Status => failure.next("gitroll doctor", "says what stands in the way"),
        _ => failure.next("gitroll service status", "shows how they are"),
    }
}
