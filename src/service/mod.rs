//! Services: pm2, systemd, the built-in process manager, commands. One `match`, no trait.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::config::{Manager, Service, Signal};
use crate::system::files;
use crate::system::procs::{ProcessId, Ticks};

mod command;
mod elsewhere;
mod log;
mod pm2;
mod process;
mod state;
mod systemd;

pub use elsewhere::copy_served;
pub use log::{JournalPosition, LogEnd, ServiceLog, UnitJournal, end_of_log};
pub use pm2::{DeclaredApp, Pm2App, declared_pm2_apps, running_pm2_apps};
pub use state::{Between, Host, ServiceError, ServiceState};
pub use systemd::{UnitApp, units_in};

/// Observes a service. Starts nothing (asking a dead pm2 daemon would start one).
///
/// # Errors
/// `Unknown`, `NoTool`, `Failed`.
pub fn observe(host: &Host<'_>, service: &Service) -> Result<ServiceState, ServiceError> {
    traced("observe", service, || match &service.manager {
        Manager::Process { .. } => process::observe(host, service),
        Manager::Pm2 { .. } => pm2::observe(host, service),
        Manager::Command { .. } => command::observe(host, service),
        Manager::Systemd { .. } => systemd::observe(host, service),
    })
}

/// The variables that a service gets from its manager alone, as far as they are kept on this host: pm2 hands an app
/// those of whoever started it first.
pub fn kept_variables(state: &Path, service: &Service) -> Vec<(String, String)> {
    match &service.manager {
        Manager::Pm2 { .. } => pm2::kept_variables(state, service),
        Manager::Process { .. } | Manager::Command { .. } | Manager::Systemd { .. } => Vec::new(),
    }
}

/// Makes a service run the tree that is there now, whatever its state was. Its exit codes are not
/// believed; the caller observes and proves. Returns the moment before which no serving process may have
/// been started.
///
/// # Errors
/// When the manager cannot even be asked, or an instance does not hold where others wait for it.
pub fn reload(host: &Host<'_>, service: &Service) -> Result<Ticks, ServiceError> {
    reload_in_turn(host, service, &mut |_| Ok(()))
}

/// As [`reload`], looking in `between` whenever one of several instances was reloaded and holds, and the next
/// one is still to come.
///
/// # Errors
/// As [`reload`], and where `between` fails: then the others run what they ran before.
pub fn reload_in_turn(
    host: &Host<'_>,
    service: &Service,
    between: &mut Between<'_>,
) -> Result<Ticks, ServiceError> {
    traced("reload", service, || match &service.manager {
        Manager::Process { .. } => process::reload(host, service),
        Manager::Pm2 { .. } => pm2::reload(host, service),
        Manager::Command { .. } => command::reload(host, service),
        Manager::Systemd { .. } => systemd::reload(host, service, between),
    })
}

/// Whether its manager could be asked to make it run the tree: what of that can be known without changing
/// what serves. Why its processes will show nothing about the version, if so.
///
/// # Errors
/// `Unusable`, with what to do; whatever [`observe`] says.
pub fn ready(host: &Host<'_>, service: &Service) -> Result<Option<String>, ServiceError> {
    match &service.manager {
        Manager::Systemd { .. } => systemd::ready(host, service),
        Manager::Pm2 { .. } => pm2::ready(host, service).map(|()| None),
        Manager::Process { .. } | Manager::Command { .. } => Ok(None),
    }
}

/// Whether what a version that is not in place yet says of a service can be applied. `changed` gives the bytes of a
/// file below the tree, where that version has others. Answers what that version declares beside the service and none of
/// `all` runs, a sentence each.
///
/// # Errors
/// `Unusable`, with what to do.
pub fn foreseen(
    host: &Host<'_>,
    service: &Service,
    all: &[Service],
    changed: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<String>, ServiceError> {
    match &service.manager {
        Manager::Pm2 { .. } => pm2::foreseen(host, service, all, changed),
        Manager::Systemd { .. } | Manager::Process { .. } | Manager::Command { .. } => {
            Ok(Vec::new())
        }
    }
}

/// The files outside of the tree that its manager reads the definition of a service from, as far as it has any.
pub fn definition_files(host: &Host<'_>, service: &Service) -> Vec<PathBuf> {
    match &service.manager {
        Manager::Systemd { .. } => systemd::unit_files(host, service),
        Manager::Pm2 { .. } | Manager::Process { .. } | Manager::Command { .. } => Vec::new(),
    }
}

/// Refuses a service that is another checkout's: what is done to it by its name would be done to that. `asked` are the
/// ports on which checks ask the app.
///
/// # Errors
/// `Unusable` where it is; what the manager says where it cannot be asked.
pub fn of_this_tree(
    host: &Host<'_>,
    service: &Service,
    asked: &BTreeSet<u16>,
) -> Result<(), ServiceError> {
    match &service.manager {
        Manager::Systemd { .. } => systemd::of_this_tree(host, service),
        Manager::Command { .. } => command::of_this_tree(host, service, asked),
        // pm2's are known by their directory, the others by what they were started as.
        Manager::Pm2 { .. } | Manager::Process { .. } => Ok(()),
    }
}

/// The checkout whose app the commands of a service would act on, if that is not the one at `top`. `None` for the other
/// managers.
pub fn acts_on(top: &Path, service: &Service, asked: &BTreeSet<u16>) -> Option<PathBuf> {
    let Manager::Command { .. } = &service.manager else { return None };
    let (_, _, other) = command::in_another_checkout(&files::resolved(top), service, asked)?;
    Some(other)
}

/// Starts a service that does not run; nothing when it does.
///
/// # Errors
/// As [`reload`].
pub fn start(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    traced("start", service, || match &service.manager {
        Manager::Process { .. } => process::start(host, service),
        Manager::Pm2 { .. } => pm2::start(host, service),
        Manager::Command { .. } => command::start(host, service),
        Manager::Systemd { .. } => systemd::start(host, service),
    })
}

/// Stops a service; nothing when it does not run.
///
/// # Errors
/// As [`reload`].
pub fn stop(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    traced("stop", service, || match &service.manager {
        Manager::Process { .. } => process::stop(host, service),
        Manager::Pm2 { .. } => pm2::stop(host, service),
        Manager::Command { .. } => command::stop(host, service),
        Manager::Systemd { .. } => systemd::stop(host, service),
    })
}

/// Sends a signal to the processes that serve.
///
/// # Errors
/// As [`observe`]; where no process is known.
pub fn signal(host: &Host<'_>, service: &Service, signal: Signal) -> Result<(), ServiceError> {
    let processes = observe(host, service)?.processes;
    let send = |process: &&ProcessId| match signal {
        Signal::Hup => process.hang_up(),
        Signal::Usr1 => process.user_1(),
        Signal::Usr2 => process.user_2(),
    };
    let sent = processes.iter().filter(send).count();
    if sent > 0 {
        return Ok(());
    }
    Err(ServiceError::Failed {
        command: format!("{} to {}", signal.name(), service.name),
        problem: "none of its processes is known".to_owned(),
    })
}

/// A command of the team's own that changes the service and still runs although nobody waits for it: the gitroll
/// that started it was killed. With its words.
pub fn outlived(host: &Host<'_>, service: &Service) -> Option<(ProcessId, String)> {
    match &service.manager {
        Manager::Command { .. } => command::outlived(host, service),
        _ => None,
    }
}

/// Waits for such a command as long as it may take; then ends it.
///
/// # Errors
/// When it does not end.
pub fn wait_for_outlived(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    match &service.manager {
        Manager::Command { .. } => command::wait_for_outlived(host, service),
        _ => Ok(()),
    }
}

/// Notes how a service's manager runs it, before a run changes the tree that says so: what the way back needs. Nothing
/// for managers that keep that in gitroll.toml or on the host.
///
/// # Errors
/// When its manager cannot be called; files.
pub fn note_before(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    match &service.manager {
        Manager::Pm2 { .. } => pm2::note_before(host, service),
        _ => Ok(()),
    }
}

/// Keeps what is needed to start a service again should its manager forget it (pm2's daemon killed).
/// Called after each proof. Nothing for the other managers.
///
/// # Errors
/// Files.
pub fn remember(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    match &service.manager {
        Manager::Pm2 { .. } => pm2::remember(host, service),
        _ => Ok(()),
    }
}

/// The last lines of its log where [`observe`] leaves them out of a service that is up, since reading them takes long.
pub fn last_lines(host: &Host<'_>, service: &Service) -> Vec<String> {
    match &service.manager {
        Manager::Systemd { .. } => systemd::last_lines(host, service),
        _ => Vec::new(),
    }
}

/// Where the built-in process manager writes what a service says; `None` under another manager.
pub fn log_file(host: &Host<'_>, service: &Service) -> Option<PathBuf> {
    match &service.manager {
        Manager::Process { log, .. } => Some(process::log_path(host, service, log.as_ref())),
        _ => None,
    }
}

/// Where a service writes what it says, whoever runs it; each place once.
///
/// # Errors
/// As [`observe`]; `Unsupported` where a journal cannot be read.
pub fn logs(host: &Host<'_>, service: &Service) -> Result<Vec<ServiceLog>, ServiceError> {
    let files = match &service.manager {
        Manager::Process { log, .. } => vec![process::log_path(host, service, log.as_ref())],
        Manager::Pm2 { .. } => pm2::log_files_of(host, service)?,
        Manager::Command { .. } => vec![command::log_path(host, service)?],
        Manager::Systemd { .. } => return systemd::logs(host, service),
    };
    Ok(files.into_iter().map(ServiceLog::File).collect())
}

/// Where a service wrote what it said when its manager cannot be asked: as gitroll remembers it from its last proof.
/// Empty where nothing is remembered.
pub fn remembered_logs(host: &Host<'_>, service: &Service) -> Vec<ServiceLog> {
    match &service.manager {
        Manager::Pm2 { .. } => {
            pm2::remembered_log_files(host, service).into_iter().map(ServiceLog::File).collect()
        }
        _ => Vec::new(),
    }
}

/// Does something with a service and lets the trace know: what, how it came out and how long it took. No words of a
/// command or a log go there, for they may hold secrets.
fn traced<T>(
    act: &'static str,
    service: &Service,
    work: impl FnOnce() -> Result<T, ServiceError>,
) -> Result<T, ServiceError> {
    let began = Instant::now();
    let result = work();
    let outcome = result.as_ref().map_or_else(ServiceError::kind, |_| "ok");
    let millis = began.elapsed().as_millis();
    let name = &service.name;
    let manager = match &service.manager {
        Manager::Process { .. } => "process",
        Manager::Pm2 { .. } => "pm2",
        Manager::Command { .. } => "command",
        Manager::Systemd { .. } => "systemd",
    };
    tracing::debug!("service {name} ({manager}): {act}: {outcome}, {millis} ms");
    result
}
