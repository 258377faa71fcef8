//! `gitroll service`

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::service::{ServiceAction, ServiceRequest, ServiceState, act_on_services};
use crate::ui::{Ui, escape};

/// Start, stop, restart or show the app's services
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll service status         show process ids and states
  gitroll service restart web    restart one service

service starts what is in the tree now and proves nothing; use `gitroll check` for that.")]
pub struct ServiceArgs {
    /// Action
    action: Action,
    /// Service name [default: all services, in the order of their dependencies]
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

/// Exits 1 when a service is not as asked for.
pub fn run(globals: &Globals, ui: &Ui, args: &ServiceArgs) -> Result<Exit, Failure> {
    let action = match args.action {
        Action::Start => ServiceAction::Start,
        Action::Stop => ServiceAction::Stop,
        Action::Restart => ServiceAction::Restart,
        Action::Status => ServiceAction::Status,
    };
    let request = ServiceRequest { action, name: args.name.clone() };
    let states = act_on_services(&globals.caller(ui), &request)?;
    let wanted = args.action != Action::Stop;
    for state in &states {
        let sign = if state.up == wanted { ui.out.ok() } else { ui.out.bad() };
        let pids: Vec<String> = state.pids.iter().map(u32::to_string).collect();
        let line =
            format!("{sign} {}  {}  {}", state.service, escape(&state.state), pids.join(" "));
        ui.line(line.trim_end());
    }
    let as_asked = states.iter().all(|state| state.up == wanted);
    let exit = if as_asked { Exit::Done } else { Exit::Unchanged };
    ui.document("service", exit.code(), &ServiceAnswer { services: states });
    Ok(exit)
}
