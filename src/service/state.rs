//! What every manager's adapter is given and answers: the host, a service as observed, and why it could not be.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::{Binding, Service};
use crate::system::files;
use crate::system::process::ProcessError;
use crate::system::procs::ProcessId;
use crate::system::user::Account;

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
    /// Something else is run than what was proven last: what.
    pub redefined: Option<String>,
    /// The last lines of its log that say what went wrong.
    pub log: Vec<String>,
}

/// Why a service could not be observed or changed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The manager does not know it.
    #[error("{manager} has no {name:?}{}", if .known.is_empty() { String::new() } else { format!(", it has {}", .known.join(", ")) })]
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

/// What is done between two instances of a service that are reloaded one after the other; it is told the
/// one that runs already, and its error stops the others.
pub type Between<'a> = dyn FnMut(&str) -> Result<(), String> + 'a;

impl Host<'_> {
    /// The flags that are set.
    pub(super) fn flag_variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
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

    pub(super) fn account(&self) -> Account {
        Account::named(&self.binding.run_as).unwrap_or_else(Account::current)
    }

    /// `GITROLL_*`
    pub fn version_variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
        self.extra.iter().map(|(name, value)| (name.into(), value.into()))
    }

    /// The file `<name><suffix>` where services keep what they need, its directory made.
    pub(super) fn file(&self, service: &Service, suffix: &str) -> Result<PathBuf, ServiceError> {
        let dir = self.state.join("services");
        files::make_private_dir(&dir)
            .map_err(|source| ServiceError::Io { path: dir.clone(), source })?;
        Ok(dir.join(format!("{}{suffix}", service.name)))
    }
}

impl ServiceError {
    /// In one word or two, without anything that a command or a log said.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown",
            Self::NoTool(_) => "no tool",
            Self::Failed { .. } => "failed",
            Self::Unusable { .. } => "unusable",
            Self::Down { .. } => "down",
            Self::Unsupported(_) => "unsupported",
            Self::Io { .. } => "files",
        }
    }

    /// What it means for a manager that one of its programs could not be run.
    pub(super) fn not_run(command: &str, error: ProcessError) -> Self {
        match error {
            ProcessError::NotFound { program } => Self::NoTool(program),
            error @ ProcessError::Start { .. } => {
                Self::Failed { command: command.to_owned(), problem: error.to_string() }
            }
        }
    }

    pub(super) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

/// A command as a person would type it, for messages.
pub(super) fn spelled(words: &[String]) -> String {
    words.join(" ")
}
