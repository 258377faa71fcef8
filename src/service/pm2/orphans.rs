//! Processes of an app that lived on when pm2's daemon was killed.

use std::ffi::OsStr;
use std::time::Duration;

use serde_json::Value;

use crate::system::procs::{self, ProcessId};

use super::super::ServiceError;
use super::client::Client;

/// How long they may take to end by themselves.
const GRACE: Duration = Duration::from_secs(5);

/// The processes that pm2 once started for this app and no longer watches. They may hold its port.
pub(super) fn of(client: &Client, app: &str) -> Vec<ProcessId> {
    let watched = client.daemon().map(|daemon| procs::family(daemon.pid)).unwrap_or_default();
    procs::running()
        .into_iter()
        .filter(|pid| !watched.contains(pid) && *pid != std::process::id())
        .filter(|pid| was_started_for(*pid, client, app))
        .filter_map(ProcessId::of)
        .collect()
}

/// Ends them, so that the app can be started again.
pub(super) fn end(client: &Client, app: &str) -> Result<(), ServiceError> {
    let orphans = of(client, app);
    for process in &orphans {
        process.terminate();
    }
    if procs::wait_until_gone(&orphans, GRACE) {
        return Ok(());
    }
    for process in &orphans {
        process.kill();
    }
    if procs::wait_until_gone(&orphans, GRACE) {
        return Ok(());
    }
    let pids: Vec<String> =
        orphans.iter().filter(|p| p.alive()).map(|p| p.pid.to_string()).collect();
    Err(ServiceError::Failed {
        command: format!("stop {app}"),
        problem: format!("process {} of a lost pm2 daemon does not end", pids.join(", ")),
    })
}

/// Whether its environment says that this pm2 started it for this app: in fork mode by variables of
/// their own, in cluster mode by one that holds everything as JSON.
fn was_started_for(pid: u32, client: &Client, app: &str) -> bool {
    let Some(environment) = procs::environment(pid) else {
        return false;
    };
    let variable = |name: &str| environment.get(OsStr::new(name));
    if variable("PM2_HOME").is_none_or(|home| *home != client.home()) {
        return false;
    }
    let forked = variable("pm_id").is_some() && variable("name").is_some_and(|name| *name == app);
    forked
        || variable("pm2_env")
            .and_then(|text| serde_json::from_slice::<Value>(text.as_encoded_bytes()).ok())
            .is_some_and(|settings| settings.get("name").is_some_and(|name| name == app))
}
