//! `gitroll service`

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use super::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::session::Session;
use crate::config::{Config, Service};
use crate::engine;
use crate::plan::preflight::nearest;
use crate::service::{self, ServiceError};
use crate::ui::{Ui, escape};

/// Start, stop, restart or look at the app's services
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll service status         pids and states
  gitroll service restart web    one of them

Starts what lies in the tree now; proves nothing: `gitroll check` does.")]
pub struct ServiceArgs {
    /// What to do
    action: Action,
    /// One service; all, in the order of their dependencies, where left out
    name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    Start,
    Stop,
    Restart,
    Status,
}

/// The answer of `service`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServiceAnswer {
    /// Each service.
    pub services: Vec<ServiceState>,
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

/// Runs it. Exits 1 when a service is not as asked for.
///
/// # Errors
/// When there is no such service, or its manager cannot be asked.
pub fn run(globals: &Globals, ui: &Ui, args: &ServiceArgs) -> Result<Exit, Failure> {
    let session = match args.action {
        Action::Status => Session::look(globals, ui)?,
        _ => Session::change(globals, ui, "service")?,
    };
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    let chosen = chosen(&config.services, args.name.as_deref())?;
    let mut host = session.site.host(&facts.serving, &facts.deployment(&session.site));
    let mut states = Vec::new();
    let stopping = args.action == Action::Stop;
    let order: Vec<&Service> = if stopping { chosen.into_iter().rev().collect() } else { chosen };
    for service in order {
        if matches!(args.action, Action::Start | Action::Restart) {
            host.flags = engine::flag_environment(&host, config, &service.name).map_err(|why| {
                Failure::unchanged(format!("service {}: {why}", service.name))
                    .detail("it is handed these flags as it starts, and was not touched")
            })?;
        }
        let done = match args.action {
            Action::Start => service::start(&host, service),
            Action::Stop => service::stop(&host, service),
            Action::Restart => service::reload(&host, service).map(|_| ()),
            Action::Status => Ok(()),
        };
        done.and_then(|()| settled(&host, service, args.action))
            .map(|state| states.push(state))
            .map_err(|error| failed(&session, config, service, args.action, &error))?;
    }
    let wanted = !stopping;
    let as_asked = states.iter().all(|state| state.up == wanted);
    for state in &states {
        let sign = if state.up == wanted { ui.out.ok() } else { ui.out.bad() };
        let pids: Vec<String> = state.pids.iter().map(u32::to_string).collect();
        let line =
            format!("{sign} {}  {}  {}", state.service, escape(&state.state), pids.join(" "));
        ui.line(line.trim_end());
    }
    let exit = if as_asked { Exit::Done } else { Exit::Unchanged };
    ui.document("service", exit.code(), &ServiceAnswer { services: states });
    Ok(exit)
}

/// The state after the action; a service that was started gets a moment to fall over.
fn settled(
    host: &service::Host<'_>,
    service: &Service,
    action: Action,
) -> Result<ServiceState, ServiceError> {
    if matches!(action, Action::Start | Action::Restart) {
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
    action: Action,
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
        Action::Status => failure.next("gitroll doctor", "says what stands in the way"),
        _ => failure.next("gitroll service status", "shows how they are"),
    }
}
