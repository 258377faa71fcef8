//! Services run by pm2.
//!
//! pm2's exit codes and ticks are not believed: a reload onto code that crashes exits 0. Everything is
//! decided by `jlist`, which in turn is asked only while pm2's daemon lives: otherwise it would start
//! a new, empty one and answer that there are no apps.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::config::Service;
use crate::model::ServiceName;
use crate::system::files;
use crate::system::procs::{self, ProcessId, Ticks};

use super::log;
use super::state::{Host, ServiceError, ServiceState};
use app::{Definition, FlagVariables, Instance};
use client::Client;

mod app;
mod client;

/// The least time that any change may take.
const LIMIT: Duration = Duration::from_secs(120);

/// An app found running under pm2, for `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pm2App {
    /// Its name.
    pub name: ServiceName,
    /// Where it runs.
    pub cwd: PathBuf,
    /// `PORT` in its environment.
    pub port: Option<u16>,
    /// The user it runs as.
    pub user: Option<String>,
}

/// The apps of a running pm2 daemon; none when there is no daemon. Starts nothing.
pub fn running_pm2_apps(pm2: &Path, pm2_home: &Path) -> Vec<Pm2App> {
    let client = Client::outside(pm2, pm2_home);
    if client.daemon().is_none() {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let instances = client.list().unwrap_or_default();
    instances
        .iter()
        .filter(|instance| seen.insert(instance.name.clone()))
        .filter_map(|instance| {
            Some(Pm2App {
                name: instance.name.parse().ok()?,
                cwd: instance.cwd.clone(),
                port: instance.port(),
                user: instance.user.clone(),
            })
        })
        .collect()
}

pub(super) fn observe(
    host: &Host<'_>,
    service: &Service,
    app: &str,
) -> Result<ServiceState, ServiceError> {
    let client = Client::new(host, app)?;
    client.find()?;
    let Some(daemon) = client.daemon() else {
        if !is_remembered(host, service) && client.saved(app).is_none() {
            // No reload could start it: better known before anything changes.
            return Err(ServiceError::Unknown {
                manager: "pm2".to_owned(),
                name: app.to_owned(),
                known: Vec::new(),
            });
        }
        let orphans = orphans(&client, app);
        return Ok(ServiceState {
            word: "daemon dead".to_owned(),
            up: false,
            processes: orphans,
            restarts: 0,
            socket_owners: Vec::new(),
            stale: None,
            untouched: false,
            kept: false,
            no_witness: None,
            log: Vec::new(),
        });
    };
    let instances = match client.instances(app) {
        Err(ServiceError::Unknown { .. }) if is_remembered(host, service) => Vec::new(),
        instances => instances?,
    };
    let processes: Vec<ProcessId> = instances.iter().filter_map(Instance::process).collect();
    let up = !instances.is_empty()
        && instances.iter().all(Instance::is_online)
        && processes.len() == instances.len();
    Ok(ServiceState {
        word: word(&instances),
        up,
        processes,
        restarts: instances.iter().map(|instance| instance.restarts).sum(),
        socket_owners: vec![daemon.pid],
        stale: instances.iter().find_map(|instance| instance.stale(&host.top)),
        untouched: false,
        kept: false,
        no_witness: None,
        log: told(host, service, app, &client, &instances, up),
    })
}

pub(super) fn reload(host: &Host<'_>, service: &Service, app: &str) -> Result<Ticks, ServiceError> {
    let client = Client::new(host, app)?;
    if client.daemon().is_none() {
        return start_again(host, service, app, &client);
    }
    let instances = match client.instances(app) {
        Err(ServiceError::Unknown { .. }) if is_remembered(host, service) => {
            return start_again(host, service, app, &client);
        }
        instances => instances?,
    };
    mark_logs(host, service, &client, log_files(&instances))?;
    let own = instances.first().and_then(|instance| instance.settings.get("env")?.as_object());
    let flags = FlagVariables::over(host, service, own)?;
    let stale = instances.iter().any(|instance| instance.stale(&host.top).is_some());
    if stale || !flags.unset.is_empty() {
        return replace(host, service, &client, &instances, &flags);
    }
    let limit = limit(&instances);
    let change = |command: &str| {
        let words = flags.words(&[command, app]);
        client.change_with_flags(&words, limit, &flags, instances.first())
    };
    let moment = Ticks::now();
    if instances.iter().all(Instance::is_online) {
        // One that says it is at it already, or that fails otherwise, is found by its old processes.
        change("reload")?;
        if all_fresh(&client.instances(app)?, moment) {
            return Ok(moment);
        }
    }
    let moment = Ticks::now();
    change("restart")?;
    let now = client.instances(app)?;
    if all_fresh(&now, moment) {
        return Ok(moment);
    }
    replace(host, service, &client, &now, &flags)
}

pub(super) fn start(host: &Host<'_>, service: &Service, app: &str) -> Result<(), ServiceError> {
    let state = match observe(host, service, app) {
        Err(ServiceError::Unknown { .. }) if is_remembered(host, service) => None,
        state => Some(state?),
    };
    if state.is_some_and(|state| state.up && state.stale.is_none()) {
        return Ok(());
    }
    reload(host, service, app).map(|_| ())
}

pub(super) fn stop(host: &Host<'_>, service: &Service, app: &str) -> Result<(), ServiceError> {
    let client = Client::new(host, app)?;
    if client.daemon().is_none() {
        return end_orphans(&client, app);
    }
    let instances = match client.instances(app) {
        Err(ServiceError::Unknown { .. }) if is_remembered(host, service) => {
            return end_orphans(&client, app);
        }
        instances => instances?,
    };
    let processes: Vec<ProcessId> = instances.iter().filter_map(Instance::process).collect();
    let said = client.change(&["stop", app], limit(&instances))?;
    if procs::wait_until_gone(&processes, Duration::from_secs(5)) {
        return Ok(());
    }
    Err(ServiceError::Failed {
        command: format!("pm2 stop {app}"),
        problem: said.unwrap_or_else(|| "its processes still run".to_owned()),
    })
}

pub(super) fn remember(host: &Host<'_>, service: &Service, app: &str) -> Result<(), ServiceError> {
    let client = Client::new(host, app)?;
    if client.daemon().is_none() {
        return Ok(());
    }
    let instances = client.instances(app)?;
    if instances.iter().any(|instance| instance.stale(&host.top).is_some()) {
        return Ok(());
    }
    let Some(definition) = Definition::of(&instances) else {
        return Ok(());
    };
    let path = host.file(service, ".pm2.json")?;
    // Its environment holds the app's secrets.
    files::write_durably(&path, definition.text().as_bytes(), 0o600)
        .map_err(ServiceError::at(&path))
}

/// Starts an app that pm2 has forgotten from what is remembered of it.
fn start_again(
    host: &Host<'_>,
    service: &Service,
    app: &str,
    client: &Client,
) -> Result<Ticks, ServiceError> {
    let definition = match remembered(host, service) {
        Some(definition) => definition,
        None => client.saved(app).ok_or_else(|| ServiceError::Failed {
            command: format!("pm2 reload {app}"),
            problem: format!(
                "pm2's daemon is gone and nothing is remembered of {app}; start it once with pm2"
            ),
        })?,
    };
    let definition = definition.moved_to(&host.top, None)?;
    let flags = FlagVariables::over(host, service, definition.variables())?;
    let definition = definition.with_flags(&flags);
    end_orphans(client, app)?;
    mark_logs(host, service, client, definition.logs())?;
    run_definition(host, service, client, &definition)
}

/// Deletes an app and starts it from the live tree: the only way to mend a stale directory, and to take a variable
/// away.
fn replace(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    instances: &[Instance],
    flags: &FlagVariables,
) -> Result<Ticks, ServiceError> {
    let Some(listed) = Definition::of(instances) else {
        return Err(ServiceError::Failed {
            command: "pm2 jlist".to_owned(),
            problem: format!("does not say how to start {} again", service.name),
        });
    };
    // Before anything is deleted: this fails where the live tree has no such script.
    let definition = listed.moved_to(&host.top, remembered(host, service).as_ref())?;
    let definition = definition.with_flags(flags);
    let app = definition.name();
    let processes: Vec<ProcessId> = instances.iter().filter_map(Instance::process).collect();
    let limit = limit(instances);
    keep_unless_remembered(host, service, &definition)?;
    client.change(&["delete", app], limit)?;
    if !procs::wait_until_gone(&processes, Duration::from_secs(5)) {
        for process in &processes {
            process.kill();
        }
        procs::wait_until_gone(&processes, Duration::from_secs(5));
    }
    run_definition(host, service, client, &definition)
}

/// Between delete and start pm2 knows nothing: should this program be killed there, the next one must.
fn keep_unless_remembered(
    host: &Host<'_>,
    service: &Service,
    definition: &Definition,
) -> Result<(), ServiceError> {
    let path = host.file(service, ".pm2.json")?;
    if path.exists() {
        return Ok(());
    }
    files::write_durably(&path, definition.text().as_bytes(), 0o600)
        .map_err(ServiceError::at(&path))
}

fn run_definition(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    definition: &Definition,
) -> Result<Ticks, ServiceError> {
    let path = host.file(service, ".start.json")?;
    files::write_durably(&path, definition.text().as_bytes(), 0o600)
        .map_err(ServiceError::at(&path))?;
    let moment = Ticks::now();
    let started = client.change(&["start".as_ref(), path.as_os_str()], LIMIT);
    let removed = std::fs::remove_file(&path).map_err(ServiceError::at(&path));
    let said = started?;
    removed?;
    match client.instances(definition.name()) {
        Err(ServiceError::Unknown { .. }) => Err(ServiceError::Failed {
            command: format!("pm2 start {}", definition.name()),
            problem: said.unwrap_or_else(|| "pm2 did not start it".to_owned()),
        }),
        listed => listed.map(|_| moment),
    }
}

fn remembered(host: &Host<'_>, service: &Service) -> Option<Definition> {
    let path = host.state.join("services").join(format!("{}.pm2.json", service.name));
    Definition::read(&std::fs::read(path).ok()?)
}

fn is_remembered(host: &Host<'_>, service: &Service) -> bool {
    remembered(host, service).is_some()
}

/// Whether every process that runs was started since `moment`. One that does not run is not fresh
/// either, but no restart would change that: the caller finds it when it observes.
fn all_fresh(instances: &[Instance], moment: Ticks) -> bool {
    instances
        .iter()
        .filter_map(Instance::process)
        .all(|process| Ticks(process.start_ticks) >= moment)
}

/// pm2 goes through the instances one after the other and gives each its time to listen and to end.
fn limit(instances: &[Instance]) -> Duration {
    let each: Duration = instances.iter().map(Instance::patience).sum();
    LIMIT.max(Duration::from_secs(30) + each)
}

fn mark_logs(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    mut logs: Vec<PathBuf>,
) -> Result<(), ServiceError> {
    logs.push(client.own_log());
    log::mark(host, service, &logs)
}

/// What the app wrote, else what pm2 noted about it: a cluster worker that dies on an exception at boot
/// ends before its message is in the log.
fn told(
    host: &Host<'_>,
    service: &Service,
    app: &str,
    client: &Client,
    instances: &[Instance],
    up: bool,
) -> Vec<String> {
    let lines = log::since_mark(host, service, &log_files(instances));
    if up || !lines.is_empty() {
        return lines;
    }
    let scripts: Vec<String> = instances.iter().map(|i| i.script.display().to_string()).collect();
    let about = |line: &str| is_about_its_end(line, app, &scripts);
    log::lines_since_mark(host, service, &[client.own_log()], about)
}

/// Whether a line of pm2's own log tells that a process of the app ended, or that pm2 gave it up.
fn is_about_its_end(line: &str, app: &str, scripts: &[String]) -> bool {
    let ended = line.contains(&format!("App [{app}:")) && line.contains("exited with code");
    let given_up = line.contains("too many unstable restarts")
        && scripts.iter().any(|script| line.contains(script.as_str()));
    ended || given_up
}

/// Where the app's instances write to.
pub(super) fn log_files_of(host: &Host<'_>, app: &str) -> Result<Vec<PathBuf>, ServiceError> {
    let client = Client::new(host, app)?;
    if client.daemon().is_none() {
        let command = "pm2 jlist".to_owned();
        return Err(ServiceError::Failed { command, problem: "its daemon is dead".to_owned() });
    }
    let mut files = log_files(&client.instances(app)?);
    files.sort();
    files.dedup();
    Ok(files)
}

fn log_files(instances: &[Instance]) -> Vec<PathBuf> {
    let errors = instances.iter().filter_map(|instance| instance.error_log.clone());
    let outputs = instances.iter().filter_map(|instance| instance.output_log.clone());
    errors.chain(outputs).collect()
}

/// pm2's word where all instances agree, else each with its number.
fn word(instances: &[Instance]) -> String {
    let words: BTreeSet<&str> = instances.iter().map(|instance| instance.status.as_str()).collect();
    let count = |word: &str| instances.iter().filter(|instance| instance.status == word).count();
    match words.len() {
        0 => "unknown".to_owned(),
        1 => words.into_iter().collect(),
        _ => {
            let each: Vec<String> =
                words.into_iter().map(|word| format!("{} {word}", count(word))).collect();
            each.join(", ")
        }
    }
}

/// How long processes that lived on when the daemon was killed may take to end by themselves.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// The processes that pm2 once started for this app and no longer watches. They may hold its port.
fn orphans(client: &Client, app: &str) -> Vec<ProcessId> {
    let watched = client.daemon().map(|daemon| procs::family(daemon.pid)).unwrap_or_default();
    procs::running()
        .into_iter()
        .filter(|pid| !watched.contains(pid) && *pid != std::process::id())
        .filter(|pid| was_started_for(*pid, client, app))
        .filter_map(ProcessId::of)
        .collect()
}

/// Ends them, so that the app can be started again.
fn end_orphans(client: &Client, app: &str) -> Result<(), ServiceError> {
    let orphans = orphans(client, app);
    for process in &orphans {
        process.terminate();
    }
    if procs::wait_until_gone(&orphans, ORPHAN_GRACE) {
        return Ok(());
    }
    for process in &orphans {
        process.kill();
    }
    if procs::wait_until_gone(&orphans, ORPHAN_GRACE) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As pm2 writes them.
    #[test]
    fn lines_of_pm2s_log_are_about_the_end_of_one_app() {
        let scripts = ["/srv/shop/server.js".to_owned()];
        let about = |line: &str| is_about_its_end(line, "shop", &scripts);
        assert!(about(
            "2026-01-13T12:00:00: PM2 log: App [shop:0] exited with code [1] via signal [SIGINT]"
        ));
        assert!(about(
            "2026-01-13T12:00:00: PM2 log: Script /srv/shop/server.js had too many unstable restarts (16). \
             Stopped. \"errored\""
        ));
        assert!(!about("2026-01-13T12:00:00: PM2 log: App [shop:0] online"));
        assert!(!about("2026-01-13T12:00:00: PM2 log: App [shop-admin:1] exited with code [1]"));
        assert!(!about(
            "PM2 log: Script /srv/other.js had too many unstable restarts (16). Stopped."
        ));
    }
}
