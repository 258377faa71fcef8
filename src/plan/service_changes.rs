//! The services that only one of two configurations has.

use crate::config::{self, Config, Manager, Scope, Service};
use crate::model::{Served, ServiceName, Step};
use crate::service;
use crate::site::Site;

/// What a plan has to do about them.
#[derive(Debug, Default)]
pub(super) struct ServiceChanges {
    /// The steps that stop those which the target has no more, what depends on others first.
    pub(super) stops: Vec<Step>,
    /// What a person should know of each.
    pub(super) warnings: Vec<String>,
    /// Those that only the target has and that do not run.
    pub(super) starts: Vec<ServiceName>,
}

/// Asks their managers.
pub(super) fn between(
    site: &Site,
    (before, after): (&Config, &Config),
    (from, to): (&Served, &Served),
) -> ServiceChanges {
    let host = site.host(from, "plan");
    let (mut steps, mut warnings) = (Vec::new(), Vec::new());
    let down = |one: &&Service| {
        service::observe(&host, one).is_ok_and(|state| !state.up && state.processes.is_empty())
    };
    let starts = config::dropped(after, before);
    let starts = starts.iter().filter(down).map(|one| one.name.clone()).collect();
    for one in config::dropped(before, after).iter().rev() {
        let what = format!("{} is no longer a service of {}", spelled(one), to.name);
        match service::observe(&host, one) {
            Ok(state) if state.up || !state.processes.is_empty() => {
                steps.push(Step::Stop { service: one.name.clone() });
                let for_good = for_good(&one.manager);
                let for_good = for_good.map(|command| format!("; {command} makes that permanent"));
                warnings.push(format!("{what}: it is stopped{}", for_good.unwrap_or_default()));
            }
            Ok(_) | Err(service::ServiceError::Unknown { .. }) => {}
            Err(error) => {
                warnings.push(format!(
                    "{what}, and gitroll could not find out whether it runs ({error}): stop it by hand"
                ));
            }
        }
    }
    ServiceChanges { stops: steps, warnings, starts }
}

/// `worker (worker.service)`
fn spelled(service: &Service) -> String {
    match &service.manager {
        Manager::Pm2 { app, .. } => format!("{} (pm2 app {app})", service.name),
        Manager::Systemd { .. } => {
            format!("{} ({})", service.name, service.manager.units().join(", "))
        }
        Manager::Process { .. } | Manager::Command { .. } => service.name.to_string(),
    }
}

/// The command that keeps the manager from starting it again by itself, after a reboot.
fn for_good(manager: &Manager) -> Option<String> {
    match manager {
        Manager::Pm2 { app, .. } => Some(format!("pm2 delete {app} && pm2 save")),
        Manager::Systemd { scope, .. } => {
            let user = match scope {
                Scope::System => "",
                Scope::User => " --user",
            };
            Some(format!("systemctl{user} disable {}", manager.units().join(" ")))
        }
        Manager::Process { .. } | Manager::Command { .. } => None,
    }
}
