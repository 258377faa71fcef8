//! A command of the team's own that outlives the gitroll that started it and goes on when that was killed. Two at
//! once would each undo what the other does.
//!
//! It is known by the process that was noted when it was started, not by its words or its environment: a server
//! that it leaves behind may share both.

use std::path::PathBuf;
use std::time::Duration;

use super::Commands;
use crate::config::Service;
use crate::service::{Host, ServiceError};
use crate::system::process::still_running;
use crate::system::procs::{self, ProcessId};

/// Where the process of a command is noted while it runs.
pub(super) fn note(host: &Host<'_>, service: &Service) -> Result<PathBuf, ServiceError> {
    host.file(service, ".command")
}

/// The start, stop or reload of a service that still runs although nobody waits for it, and its words.
pub(super) fn find(host: &Host<'_>, service: &Service) -> Option<(ProcessId, String)> {
    let process = still_running(&note(host, service).ok()?)?;
    let line = procs::command_line(process.pid)?;
    let words: Vec<String> = line.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    Some((process, words.join(" ")))
}

/// Waits for such a command as long as it may take anyway; then it is ended with all it started, as it would
/// have been by who started it.
pub(super) fn wait_for(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    /// How long a command that was ended may take to be gone.
    const GRACE: Duration = Duration::from_secs(5);
    let limit = Commands::of(service)?.timeout;
    let Some((process, command)) = find(host, service) else { return Ok(()) };
    tracing::info!("waits for `{command}` (process {}), started earlier", process.pid);
    if procs::wait_until_gone(std::slice::from_ref(&process), limit) {
        return Ok(());
    }
    // Only a session that it leads is its own.
    let session = procs::session(process.pid).into_iter().filter_map(ProcessId::of);
    let group: Vec<ProcessId> = session.chain([process.clone()]).collect();
    procs::end(&group);
    if procs::wait_until_gone(std::slice::from_ref(&process), GRACE) {
        return Ok(());
    }
    let problem = format!("process {} of an earlier run does not end", process.pid);
    Err(ServiceError::Failed { command, problem })
}
