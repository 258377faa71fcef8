//! Services: pm2, systemd, the built-in process manager, commands. One `match`, no trait.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::{Binding, Manager, Service, Signal};
use crate::system::files;
use crate::system::process::ProcessError;
use crate::system::procs::{ProcessId, Ticks};
use crate::system::user::Account;

mod command;
mod journal;
mod log;
mod pm2;
mod process;
mod systemd;

pub use journal::{JournalPosition, UnitJournal};
pub use pm2::{Pm2App, running_pm2_apps};

/// What adapters need to know besides the service.
#[derive(Debug, Clone)]
pub struct Host<'a> {
    /// The binding: tools, user, `PM2_HOME`, `PATH`.
    pub binding: &'a Binding,
    /// The app's live tree.
    pub top: PathBuf,
    /// gitroll's directory in the repository: pid files, saved definitions, logs.
    pub state: PathBuf,
    /// `GITROLL_VERSION`, `GITROLL_COMMIT`, `GITROLL_DEPLOYMENT`, `GITROLL_RUN`.
    pub extra: BTreeMap<String, String>,
    /// The flags that the service is handed in its environment; `None` is one that is not set.
    pub flags: BTreeMap<String, Option<String>>,
}

/// A service as observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceState {
    /// The manager's own word: `online`, `errored`, `running`, `stopped`, `unknown`.
    pub word: String,
    /// Whether every instance runs, as far as the manager can tell.
    pub up: bool,
    /// The processes that serve; empty where the manager cannot say.
    pub processes: Vec<ProcessId>,
    /// Restarts the manager counted, where it does.
    pub restarts: u64,
    /// Processes that may own the listening socket although they are no instances (pm2's daemon).
    pub socket_owners: Vec<u32>,
    /// Where it runs from is not the live tree: what was found.
    pub stale: Option<String>,
    /// It says nothing about what serves now: the change does not concern it and it was not reloaded, or it
    /// is meant to end and ended well.
    pub untouched: bool,
    /// Its processes live through a reload: they do not tell old from new, only an answered version does.
    pub kept: bool,
    /// Nothing shows that its processes run the live tree, why: whatever they are, only an answered version is
    /// a witness.
    pub no_witness: Option<String>,
    /// The last lines of its log that say what went wrong.
    pub log: Vec<String>,
}

/// Why a service could not be observed or changed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The manager does not know it.
    #[error("{manager} knows no {name:?}{}", if .known.is_empty() { String::new() } else { format!(", it knows {}", .known.join(", ")) })]
    Unknown {
        /// `pm2`.
        manager: String,
        /// The name looked for.
        name: String,
        /// The names it knows.
        known: Vec<String>,
    },
    /// The manager's tool is missing on this host.
    #[error("{0} was not found on this host")]
    NoTool(String),
    /// A command of the manager failed.
    #[error("{command}: {problem}")]
    Failed {
        /// e.g. `pm2 reload app`.
        command: String,
        /// Its telling lines.
        problem: String,
    },
    /// Its manager cannot run it as things are on this host.
    #[error("{problem}")]
    Unusable {
        /// What it is.
        problem: String,
        /// What to do.
        hint: String,
        /// The command that does it or shows more, where it is not a matter of gitroll.toml.
        command: Option<String>,
    },
    /// It was started, and does not hold.
    #[error("{unit} {word}")]
    Down {
        /// What was started: one of its instances.
        unit: String,
        /// How it is, and why: `failed: exit code 1`.
        word: String,
        /// The last lines of its log.
        lines: Vec<String>,
    },
    /// This version cannot do it.
    #[error("{0}")]
    Unsupported(String),
    /// Files.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Observes a service. Starts nothing (asking a dead pm2 daemon would start one).
///
/// # Errors
/// `Unknown`, `NoTool`, `Failed`.
pub fn observe(host: &Host<'_>, service: &Service) -> Result<ServiceState, ServiceError> {
    match &service.manager {
        Manager::Process { .. } => process::observe(host, service),
        Manager::Pm2 { app } => pm2::observe(host, service, app),
        Manager::Command { .. } => command::observe(host, service),
        Manager::Systemd { .. } => systemd::observe(host, service),
    }
}

/// What is done between two instances of a service that are reloaded one after the other; it is told the
/// one that runs already, and its error stops the others.
pub type Between<'a> = dyn FnMut(&str) -> Result<(), String> + 'a;

/// Makes a service run the tree that lies there now, whatever its state was. Its exit codes are not
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
    match &service.manager {
        Manager::Process { .. } => process::reload(host, service),
        Manager::Pm2 { app } => pm2::reload(host, service, app),
        Manager::Command { .. } => command::reload(host, service),
        Manager::Systemd { .. } => systemd::reload(host, service, between),
    }
}

/// Whether its manager could be asked to make it run the tree: what of that can be known without changing
/// what serves. Why its processes will show nothing about the version, where that is so.
///
/// # Errors
/// `Unusable`, with what to do; whatever [`observe`] says.
pub fn ready(host: &Host<'_>, service: &Service) -> Result<Option<String>, ServiceError> {
    match &service.manager {
        Manager::Systemd { .. } => systemd::ready(host, service),
        _ => Ok(None),
    }
}

/// Starts a service that does not run; nothing when it does.
///
/// # Errors
/// As [`reload`].
pub fn start(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    match &service.manager {
        Manager::Process { .. } => process::start(host, service),
        Manager::Pm2 { app } => pm2::start(host, service, app),
        Manager::Command { .. } => command::start(host, service),
        Manager::Systemd { .. } => systemd::start(host, service),
    }
}

/// Stops a service; nothing when it does not run.
///
/// # Errors
/// As [`reload`].
pub fn stop(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    match &service.manager {
        Manager::Process { .. } => process::stop(host, service),
        Manager::Pm2 { app } => pm2::stop(host, service, app),
        Manager::Command { .. } => command::stop(host, service),
        Manager::Systemd { .. } => systemd::stop(host, service),
    }
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
        problem: "no process of it is known".to_owned(),
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

/// Keeps what is needed to start a service again should its manager forget it (pm2's daemon killed).
/// Called after each proof. Nothing for the other managers.
///
/// # Errors
/// Files.
pub fn remember(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    match &service.manager {
        Manager::Pm2 { app } => pm2::remember(host, service, app),
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

/// Where a service writes what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceLog {
    /// A file.
    File(PathBuf),
    /// The journal of a unit.
    Journal(UnitJournal),
}

/// Where a service writes what it says, whoever runs it; each place once.
///
/// # Errors
/// As [`observe`]; `Unsupported` where a journal cannot be read.
pub fn logs(host: &Host<'_>, service: &Service) -> Result<Vec<ServiceLog>, ServiceError> {
    let files = match &service.manager {
        Manager::Process { log, .. } => vec![process::log_path(host, service, log.as_ref())],
        Manager::Pm2 { app } => pm2::log_files_of(host, app)?,
        Manager::Command { .. } => vec![command::log_path(host, service)?],
        Manager::Systemd { .. } => return systemd::logs(host, service),
    };
    Ok(files.into_iter().map(ServiceLog::File).collect())
}

impl Host<'_> {
    /// The flags that are set.
    fn flag_variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
        let set = self.flags.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        set.map(|(name, value)| (name.into(), value.into()))
    }

    /// The whole environment of a command that is run for the app: that of services, flags that are handed over, and
    /// `GITROLL_*`.
    pub fn command_environment(&self) -> BTreeMap<OsString, OsString> {
        self.environment()
            .into_iter()
            .chain(self.version_variables())
            .chain(self.flag_variables())
            .collect()
    }

    /// `PATH`, `HOME`, `USER` and `LANG` of the user services run as, and nothing of whoever called
    /// this program: a deploy from a CI job must not leave the job's variables in the app.
    pub fn environment(&self) -> BTreeMap<OsString, OsString> {
        let account = self.account();
        BTreeMap::from([
            ("PATH".into(), self.binding.path_variable.clone().into()),
            ("HOME".into(), account.home.into()),
            ("USER".into(), account.name.into()),
            ("LANG".into(), "C.UTF-8".into()),
        ])
    }

    fn account(&self) -> Account {
        Account::named(&self.binding.run_as).unwrap_or_else(Account::current)
    }

    /// `GITROLL_*`
    pub fn version_variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
        self.extra.iter().map(|(name, value)| (name.into(), value.into()))
    }

    /// The file `<name><suffix>` where services keep what they need, its directory made.
    fn file(&self, service: &Service, suffix: &str) -> Result<PathBuf, ServiceError> {
        let dir = self.state.join("services");
        files::make_private_dir(&dir)
            .map_err(|source| ServiceError::Io { path: dir.clone(), source })?;
        Ok(dir.join(format!("{}{suffix}", service.name)))
    }
}

impl ServiceError {
    /// What it means for a manager that one of its programs could not be run.
    fn not_run(command: &str, error: ProcessError) -> Self {
        match error {
            ProcessError::NotFound { program } => Self::NoTool(program),
            error @ ProcessError::Start { .. } => {
                Self::Failed { command: command.to_owned(), problem: error.to_string() }
            }
        }
    }

    fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

/// A command as a person would type it, for messages.
fn spelled(words: &[String]) -> String {
    words.join(" ")
}
