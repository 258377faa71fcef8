//! What checks are asked for, what they need to know of the host, and what comes of asking them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Selection;
use crate::model::{
    CheckEvidence, CheckName, Digest, Redactor, Served, ServiceEvidence, ServiceName,
};
use crate::service::ServiceState;
use crate::system::procs::Ticks;
use crate::system::signals::Until;
use crate::system::sockets::Place;

use super::log_position::{LogPlace, LogPositions};

/// What is to be proven.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The state that must serve; fills `{version}` and `{commit}`.
    pub served: Served,
    /// The run or record that put it there; fills `{deployment}`.
    pub deployment: String,
    /// What served before and must not be what answers. Where it declares the same version as `served`,
    /// an answered version tells nothing; `None` when nothing else served.
    pub not: Option<Served>,
    /// No process of an observed service may be older than this; `None` when nothing was reloaded.
    pub fresh_since: Option<Ticks>,
    /// Files that may be served were changed although nothing was reloaded: only an answer can show it.
    pub changed: bool,
    /// Passing checks are enough.
    pub weak: bool,
    /// What ends the proof before it is decided.
    pub until: Until,
    /// Which checks are asked. The others are told as skipped.
    pub only: Selection,
    /// Where commands run and files lie.
    pub around: Surroundings,
    /// Where the services listen.
    pub listens: Listens,
    /// The checks in whose answers the intended version is known to name itself.
    pub tells: BTreeSet<CheckName>,
}

/// What is known in advance of where the services listen, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listens {
    /// Those that are configured.
    pub services: BTreeMap<String, ServiceListens>,
}

/// What is known in advance of where one service listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceListens {
    /// The ports that its configuration names.
    pub named: BTreeSet<u16>,
    /// Its manager names no processes.
    pub nameless: bool,
    /// Where it is not a success not to listen.
    pub must: MustListen,
}

/// What is known of both states of a run before it begins: what each does while it serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Where the services listened that are replaced.
    #[serde(default)]
    pub before: BTreeMap<String, MustListen>,
    /// Where those of the target must listen.
    #[serde(default)]
    pub target: BTreeMap<String, MustListen>,
    /// The checks in whose answers the target names its version.
    #[serde(default)]
    pub tells: BTreeSet<CheckName>,
    /// The files of the replaced state that the answers to checks must be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<CheckName, Digest>,
}

impl Shown {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Listens {
    /// With where services must listen, unless the configuration says so itself.
    pub fn and(mut self, must: &BTreeMap<String, MustListen>) -> Self {
        for (name, service) in &mut self.services {
            if let Some(must) = must.get(name).filter(|_| service.must.ports.is_empty()) {
                service.must = must.clone();
            }
        }
        self
    }
}

/// Where a service must be seen to listen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MustListen {
    /// Here, since it did before.
    #[serde(default)]
    pub at: Vec<Place>,
    /// On these ports of whatever address, since its configuration says so.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Anywhere, since it did before.
    #[serde(default)]
    pub somewhere: bool,
}

/// What checks need to know that ask the host itself and not only the network.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The live tree: commands run there, relative paths begin there.
    pub top: PathBuf,
    /// The whole environment of commands, `GITROLL_*` included, besides their own `env`.
    pub env: BTreeMap<OsString, OsString>,
    /// Takes secrets out of what commands print and files hold.
    pub redactor: Redactor,
    /// Checks that are asked with a secret: nothing of what is answered to them is told.
    pub untold: BTreeSet<CheckName>,
    /// The logs of the services that checks name, or why they are not known.
    pub service_logs: BTreeMap<ServiceName, Result<Vec<LogPlace>, NoLog>>,
    /// What the files were before the run that answers to checks must be.
    pub files_before: BTreeMap<CheckName, Digest>,
    /// From where on logs are judged; `None` if nothing was changed.
    pub window: Option<LogWindow>,
}

/// Why it is not known where a service writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoLog {
    /// In words.
    pub why: String,
    /// It will not be known either when the service was restarted.
    pub lasting: bool,
}

/// The part of each log that a change answers for. Both begin before the change, but going back: there what
/// must not be said counts only once what failed has been stopped.
#[derive(Debug, Clone, Default)]
pub struct LogWindow {
    /// Where a line that must come is looked for from.
    pub must: LogPositions,
    /// Where a line that must not come is looked for from.
    pub must_not: LogPositions,
}

/// What came of a proof.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// Whether the intended version was observed serving.
    pub proven: bool,
    /// Every check.
    pub checks: Vec<CheckEvidence>,
    /// Every service.
    pub services: Vec<ServiceEvidence>,
    /// Why it is a weak one: nothing that was seen could have told whether, or which version of, the app answers.
    pub weak: Option<String>,
    /// Why not, in order of weight, e.g. `api: 500`, `web: errored, 16 restarts`.
    pub failures: Vec<String>,
    /// The log lines of services that failed: service name and line.
    pub lines: Vec<(String, String)>,
    /// The services as they were last seen, where their managers answered.
    pub last_look: Vec<(String, ServiceState)>,
}
