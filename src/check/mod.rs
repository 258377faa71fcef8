//! Checks and proof: asks the app and what is around it, weighs witnesses. The only async code, on a
//! current-thread runtime it owns.

mod asker;
mod command;
mod file;
mod find;
mod format;
mod http;
mod judgement;
mod line;
mod log;
mod log_position;
mod metric;
mod prometheus;
mod prove;
mod recent_lines;
mod request;
mod since;
mod streak;
mod symptom;
mod tcp;
mod template;
mod watch;
mod window;
mod witness;

pub use format::shown;
pub use request::{HttpReply, HttpRequest, ask};
pub use since::LogsSince;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
pub use symptom::Symptom;

pub use find::{Health, find_health};
pub use log_position::{FilePosition, FileReader, LogPlace, LogPosition, LogPositions, LogReader};

use crate::config::{Check, CheckKind, Selection, SymptomProbe};
use crate::model::{CheckEvidence, CheckName, Redactor, Served, ServiceEvidence, ServiceName};
use crate::service::{ServiceError, ServiceState};
use crate::system::procs::Ticks;
use crate::system::signals::Until;

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
    /// Passing checks are enough.
    pub weak: bool,
    /// What ends the proof before it is decided.
    pub until: Until,
    /// Which checks are asked. The others are told as skipped.
    pub only: Selection,
    /// Where commands run and files lie.
    pub around: Surroundings,
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
    /// From where on logs are judged; `None` where nothing was changed.
    pub window: Option<LogWindow>,
}

/// Why it is not known where a service writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoLog {
    /// In words.
    pub why: String,
    /// It will not be known either when the service was started anew.
    pub lasting: bool,
}

/// The part of each log that a change answers for. Both begin before the change, but on the way back: there what
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
    /// Why not, in order of weight, e.g. `api: 500`, `web: errored, 16 restarts`.
    pub failures: Vec<String>,
    /// The log lines of services that failed: service name and line.
    pub lines: Vec<(String, String)>,
}

/// Whether a set of checks and services could ever tell old from new.
///
/// `service_has_pids`: whether each service's manager can name its processes. The owner of a socket may
/// turn out to be a witness too, but nobody can promise that it will be visible.
pub fn has_witness(checks: &[Check], service_has_pids: &[bool]) -> bool {
    let all_named = !service_has_pids.is_empty() && service_has_pids.iter().all(|named| *named);
    all_named || checks.iter().any(witness::names_version)
}

/// What listens where a `tcp` or `metric` check asks the app on this host and is no process of a service: by check,
/// with its process. Nothing where a manager names no processes, for then nobody can tell.
pub fn strangers(
    checks: &[Check],
    services: &[(String, Result<ServiceState, ServiceError>)],
) -> Vec<(CheckName, u32)> {
    prove::strangers(checks, services)
}

/// A TCP port of the loopback address that is free now.
///
/// # Errors
/// When none can be had.
pub fn free_loopback_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Where the logs that checks read end now. To be journalled before a change, and handed to [`prove`] in
/// [`Surroundings::window`].
pub fn log_positions(checks: &[Check], around: &Surroundings) -> LogPositions {
    let logs = checks.iter().filter_map(|check| match &check.kind {
        CheckKind::Log(log) => {
            Some((check.name.to_string(), around.places_of(&log.source).unwrap_or_default()))
        }
        _ => None,
    });
    LogPositions::take(&around.top, &logs.collect())
}

/// Asks each check once, all at the same time, no settling: how things stand now. Takes as long as the
/// longest question at most. Without an expectation no version is known, and none can be wrong. A log is
/// skipped: it is judged by what a change makes it say.
pub fn look(checks: &[Check], expectation: Option<&Expectation>) -> Vec<CheckEvidence> {
    prove::look(checks, expectation)
}

/// Puts the questions of rules, all at the same time, each once: whether a symptom shows now. Takes as long as
/// the longest of them.
pub fn symptoms(probes: &[&SymptomProbe], expectation: &Expectation) -> Vec<Symptom> {
    symptom::symptoms(probes, expectation)
}

/// Proves that the intended version serves: all checks at the same time, each `passes` times in a row over
/// its `settle` window within its `timeout`; `observe` is asked for the services' states at the start and
/// the end of the window and while waiting, so that a crash, a restart loop or an old process is seen.
///
/// Without checks, services that stay up and unchanged for 5 s prove it; without either, nothing does.
/// Ends early when it can no longer succeed; takes at most the longest `timeout` and one
/// `request_timeout`, besides the time `observe` takes.
///
/// `observe` answers for the services that were reloaded. `tell` hears where it is, e.g. `api 2/3`.
pub fn prove(
    checks: &[Check],
    expectation: &Expectation,
    observe: &mut dyn FnMut() -> Vec<(String, Result<ServiceState, ServiceError>)>,
    tell: &mut dyn FnMut(&str),
) -> Proof {
    prove::prove(checks, expectation, observe, tell)
}
