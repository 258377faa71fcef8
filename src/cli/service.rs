//! `gitroll service`

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::{Failure, Status, print_next_steps};
use super::globals::Globals;
use crate::act::service::{
    ServiceAction, ServiceOutcome, ServiceRequest, ServiceState, act_on_services,
};
use crate::model::CheckEvidence;
use crate::site::Maintenance;
use crate::system::clock;
use crate::ui::{Ui, clock_word, escape, plural};

/// Start, stop, restart or show the app's services
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll service status         show process ids and states
  gitroll service restart web    restart one service
  gitroll service stop --maintenance
                                 stop all, and silence everything automatic until `gitroll service start`

start and restart run what is in the tree now. They prove nothing; use `gitroll check` for that.")]
pub struct ServiceArgs {
    /// Action
    #[arg(default_value = "status")]
    action: Action,
    /// Service name [default: all services, in the order of their dependencies]
    name: Option<String>,
    /// With stop: silence everything automatic until the services are started again
    #[arg(long)]
    maintenance: bool,
    /// Why they are stopped
    #[arg(long, value_name = "TEXT", requires = "maintenance")]
    reason: Option<String>,
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
    /// After `start` and `restart`, where every service of the app is up: each check, asked until it passes once.
    pub checks: Vec<CheckEvidence>,
    /// Why they do not pass.
    pub failures: Vec<String>,
    /// The maintenance that is in force: nothing automatic acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
}

/// Exits 1 when a service is not as asked for, or the app does not answer after a start; 21 when a service was up and
/// does not stay up any more.
pub fn run(globals: &Globals, ui: &Ui, args: &ServiceArgs) -> Result<Exit, Failure> {
    let action = match args.action {
        Action::Start => ServiceAction::Start,
        Action::Stop => ServiceAction::Stop,
        Action::Restart => ServiceAction::Restart,
        Action::Status => ServiceAction::Status,
    };
    if args.maintenance && args.action != Action::Stop {
        return Err(Failure::new(Status::Usage, "--maintenance goes with stop")
            .next("gitroll service start", "ends a maintenance"));
    }
    let request = ServiceRequest {
        action,
        name: args.name.clone(),
        maintenance: args.maintenance,
        reason: args.reason.clone(),
    };
    let ServiceOutcome { states, checks, failures, maintenance, status } =
        act_on_services(&globals.caller(ui), &request)?;
    let wanted = args.action != Action::Stop;
    for state in &states {
        let as_asked = state.stayed_up.unwrap_or(state.up == wanted);
        let sign = if as_asked { ui.out.ok() } else { ui.out.bad() };
        let pids: Vec<String> = state.pids.iter().map(u32::to_string).collect();
        let restarts = match state.restarts {
            1.. if !as_asked => {
                plural(usize::try_from(state.restarts).unwrap_or(usize::MAX), "restart")
            }
            _ => String::new(),
        };
        let words = [escape(&state.state), pids.join(" "), restarts];
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        ui.line(&format!("{sign} {}  {}", state.service, words.join("  ")));
        for line in &state.log {
            ui.line(&format!("    {} {}", ui.out.dim(&state.service), escape(line)));
        }
    }
    for check in &checks {
        let sign = if check.passed { ui.out.ok() } else { ui.out.bad() };
        ui.line(&format!("{sign} {}  {}", check.check, escape(&check.last.answer)));
    }
    let exit = Exit::from(status);
    let fell = states.iter().filter(|state| state.stayed_up == Some(false));
    let fell: Vec<&str> = fell.map(|state| state.service.as_str()).collect();
    if !fell.is_empty() {
        let (what, code) = (fell.join(", "), exit.code());
        let verb = if fell.len() == 1 { "does" } else { "do" };
        ui.cry(&format!("{} {what} {verb} not stay up [{code}]", ui.err.bad()));
        print_next_steps(
            ui,
            &[("gitroll status".to_owned(), "shows the reason and the command to type".to_owned())],
        );
    }
    if !failures.is_empty() {
        let (sign, code) = (ui.err.bad(), exit.code());
        ui.cry(&format!(
            "{sign} every service is up, but it does not answer as it should [{code}]"
        ));
        for why in &failures {
            ui.cry(&format!("  {}", escape(why)));
        }
        print_next_steps(
            ui,
            &[("gitroll status".to_owned(), "shows the reason and the command to type".to_owned())],
        );
    }
    if let Some(maintenance) = &maintenance {
        ui.line(&format!(
            "{} {}",
            ui.out.yellow("!"),
            maintenance_words(maintenance, clock::now())
        ));
        if args.maintenance {
            print_next_steps(
                ui,
                &[("gitroll service start".to_owned(), "starts them and ends it".to_owned())],
            );
        }
    }
    let answer = ServiceAnswer { services: states, checks, failures, maintenance };
    ui.document("service", exit.code(), &answer);
    Ok(exit)
}

/// `maintenance since 03:04 by ana: nothing automatic acts`
pub(super) fn maintenance_words(maintenance: &Maintenance, now: Timestamp) -> String {
    let since = clock_word(maintenance.since, now);
    let reason = maintenance.reason.as_ref().map(|reason| format!(" ({reason})"));
    let reason = reason.unwrap_or_default();
    let words = format!("maintenance since {since} by {}{reason}", maintenance.by);
    format!("{}: nothing automatic acts", escape(&words))
}
