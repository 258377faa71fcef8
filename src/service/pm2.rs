//! Services run by pm2.
//!
//! pm2's exit codes and ticks are not trusted: a reload onto code that crashes exits 0. Everything is
//! decided by pm2's list of processes, from its daemon's socket or else from `jlist`, which is asked only while
//! the daemon lives: otherwise it would start a new, empty one and answer that there are no apps.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::config::{Manager, Service};
use crate::system::files;
use crate::system::procs::{self, ProcessId, Ticks};

use super::log;
use super::state::{Host, ServiceError, ServiceState};
use app::{Definition, FlagVariables, Instance, resolved};
use client::Client;
use identity::{App, Found, shared_name};

pub use ecosystem::{DeclaredApp, declared as declared_pm2_apps};

mod app;
mod client;
mod ecosystem;
mod identity;
mod rpc;

/// The least time that any change may take.
const LIMIT: Duration = Duration::from_secs(120);

/// An app found running under pm2, for `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pm2App {
    /// Its name.
    pub name: String,
    /// Its namespace, where it is not the default one.
    pub namespace: Option<String>,
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
        .filter(|i| seen.insert((i.name.clone(), i.namespace().to_owned(), i.cwd.clone())))
        .map(|instance| Pm2App {
            name: instance.name.clone(),
            namespace: Some(instance.namespace().to_owned()).filter(|name| name != "default"),
            cwd: instance.cwd.clone(),
            port: instance.port(),
            user: instance.user.clone(),
        })
        .collect()
}

pub(super) fn observe(host: &Host<'_>, service: &Service) -> Result<ServiceState, ServiceError> {
    let app = App::of(host, service);
    let client = Client::new(host)?;
    client.find()?;
    let Some(daemon) = client.daemon() else {
        if !is_remembered(host, service) && client.saved(&app).is_none() {
            // No reload could start it: better known before anything changes.
            return Err(ServiceError::Unknown {
                manager: "pm2".to_owned(),
                name: app.name.to_owned(),
                known: Vec::new(),
            });
        }
        let orphans = orphans(&client, &app);
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
            redefined: None,
            log: Vec::new(),
        });
    };
    let instances = match client.found(&app) {
        Err(ServiceError::Unknown { .. }) if is_remembered(host, service) => Vec::new(),
        found => found?.own,
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
        redefined: redefined(host, service, &instances),
        log: told(host, service, app.name, &client, &instances, up),
    })
}

/// Whether it could be made to run the tree: what [`observe`] does not tell. Changes nothing.
pub(super) fn ready(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let app = App::of(host, service);
    let client = Client::new(host)?;
    if client.daemon().is_none() {
        return Ok(());
    }
    let found = match client.found(&app) {
        Ok(found) => found,
        Err(error @ ServiceError::Unusable { .. }) => return Err(error),
        // Whatever else it is, the observation says it.
        Err(_) => return Ok(()),
    };
    if found.own.iter().any(|instance| instance.stale(&host.top).is_some()) {
        found.nobody_shares_the_name()?;
        let listed = Definition::of(&found.own);
        let moved = listed.map(|one| one.moved_to(&host.top, remembered(host, service).as_ref()));
        if let Some(Err(ServiceError::Failed { command, problem })) = moved {
            return Err(ServiceError::Unusable {
                problem: format!("{command}: {problem}"),
                hint: format!("start it once in {} with pm2", host.top.display()),
                command: None,
            });
        }
    }
    Ok(())
}

pub(super) fn reload(host: &Host<'_>, service: &Service) -> Result<Ticks, ServiceError> {
    let app = App::of(host, service);
    let client = Client::new(host)?;
    if client.daemon().is_none() {
        return start_again(host, service, &app, &client);
    }
    let found = match client.found(&app) {
        Err(ServiceError::Unknown { .. }) if is_remembered(host, service) => {
            return start_again(host, service, &app, &client);
        }
        found => found?,
    };
    let instances = &found.own;
    mark_logs(host, service, &client, log_files(instances))?;
    let own = instances.first().and_then(|instance| instance.settings.get("env")?.as_object());
    let flags = FlagVariables::over(host, service, own)?;
    let stale = instances.iter().any(|instance| instance.stale(&host.top).is_some());
    let intended = intended(host, service, &client, &found, &flags)?;
    if stale || intended.is_some() || !flags.unset.is_empty() {
        return replace(host, service, &client, &found, intended, &flags);
    }
    let limit = limit(instances);
    let change = |verb: &str| {
        for command in found.commands(verb)? {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            client.change_with_flags(&flags.words(&command), limit, &flags, instances.first())?;
        }
        Ok::<(), ServiceError>(())
    };
    let moment = Ticks::now();
    if instances.iter().all(Instance::is_online) {
        // One that says it is working on it already, or that fails otherwise, is found by its old processes.
        change("reload")?;
        if all_fresh(&client.found(&app)?.own, moment) {
            return Ok(moment);
        }
    }
    let moment = Ticks::now();
    change("restart")?;
    let now = client.found(&app)?;
    if all_fresh(&now.own, moment) {
        return Ok(moment);
    }
    replace(host, service, &client, &now, None, &flags)
}

/// Whether what a version that is not in place yet says of the app can be applied. Changes nothing.
pub(super) fn foreseen(
    host: &Host<'_>,
    service: &Service,
    all: &[Service],
    changed: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<String>, ServiceError> {
    let app = App::of(host, service);
    let client = Client::new(host)?;
    if client.daemon().is_none() {
        return Ok(Vec::new());
    }
    let running = client.found(&app).ok().and_then(|found| Definition::of(&found.own));
    let Some(running) = running else { return Ok(Vec::new()) };
    let Some(apps) = ecosystem::foreseen(host, service, &client, &running, changed)? else {
        return Ok(Vec::new());
    };
    // Those that a service of gitroll.toml stands for are reloaded, or refused, for themselves.
    let served = |name: &str| {
        let named = |one: &Service| matches!(&one.manager, Manager::Pm2 { app, .. } if app == name);
        all.iter().any(named)
    };
    let listed = client.list().unwrap_or_default();
    let runs = |name: &str| listed.iter().any(|one| one.name == name && app.runs_here(one));
    let gained = apps.after.iter().filter(|name| !apps.before.contains(name));
    let gained = gained.filter(|name| !served(name) && !runs(name)).map(|name| {
        format!(
            "{} also declares {name} now, which nothing starts: pm2 start it, and add a [service]",
            apps.file
        )
    });
    let lost = apps.before.iter().filter(|name| !apps.after.contains(name));
    let lost = lost.filter(|name| !served(name) && runs(name)).map(|name| {
        format!(
            "{} no longer declares {name}, which continues to run: pm2 delete {name}",
            apps.file
        )
    });
    Ok(gained.chain(lost).collect())
}

/// The definition that the tree wants, where it is another one than pm2 has.
fn intended(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    found: &Found,
    flags: &FlagVariables,
) -> Result<Option<Definition>, ServiceError> {
    let running = Definition::of(&found.own).map(|running| running.with_flags(flags));
    let same = |one: &Definition| Some(&one.clone().with_flags(flags)) == running.as_ref();
    Ok(ecosystem::intended(host, service, client, &same)?.filter(|one| !same(one)))
}

/// Before a run changes anything: what pm2 runs, and what the app's own files say of it.
pub(super) fn note_before(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let app = App::of(host, service);
    let client = Client::new(host)?;
    let running = match client.daemon() {
        Some(_) => client.found(&app).ok().and_then(|found| Definition::of(&found.own)),
        None => None,
    };
    let known = running.or_else(|| remembered(host, service)).or_else(|| client.saved(&app));
    known.map_or(Ok(()), |known| ecosystem::note_before(host, service, &client, &known))
}

pub(super) fn start(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let state = match observe(host, service) {
        Err(ServiceError::Unknown { .. }) if is_remembered(host, service) => None,
        state => Some(state?),
    };
    if state.is_some_and(|state| state.up && state.stale.is_none()) {
        return Ok(());
    }
    reload(host, service).map(|_| ())
}

pub(super) fn stop(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let app = App::of(host, service);
    let client = Client::new(host)?;
    if client.daemon().is_none() {
        return end_orphans(&client, &app);
    }
    let found = match client.found(&app) {
        Err(ServiceError::Unknown { .. }) if is_remembered(host, service) => {
            return end_orphans(&client, &app);
        }
        found => found?,
    };
    let processes: Vec<ProcessId> = found.own.iter().filter_map(Instance::process).collect();
    let mut said = None;
    for command in found.commands("stop")? {
        said = client.change(&command, limit(&found.own))?.or(said);
    }
    if procs::wait_until_gone(&processes, Duration::from_secs(5)) {
        return Ok(());
    }
    Err(ServiceError::Failed {
        command: format!("pm2 stop {}", app.name),
        problem: said.unwrap_or_else(|| "its processes are still running".to_owned()),
    })
}

pub(super) fn remember(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let client = Client::new(host)?;
    if client.daemon().is_none() {
        return Ok(());
    }
    let app = App::of(host, service);
    let instances = client.found(&app)?.own;
    if instances.iter().any(|instance| instance.stale(&host.top).is_some()) {
        return Ok(());
    }
    let Some(definition) = Definition::of(&instances) else {
        return Ok(());
    };
    let path = host.file(service, ".pm2.json")?;
    // Its environment holds the app's secrets.
    files::write_durably(&path, definition.text().as_bytes(), 0o600)
        .map_err(ServiceError::at(&path))?;
    if ecosystem::note_proven(host, service, &client, &definition)? {
        client.save_again(&app, &instances).map_err(|why| ServiceError::Failed {
            command: "pm2 save".to_owned(),
            problem: format!(
                "{why}; after a reboot pm2 would start the previous definition: run pm2 save"
            ),
        })?;
    }
    Ok(())
}

/// Starts an app that pm2 has forgotten from what is remembered of it.
fn start_again(
    host: &Host<'_>,
    service: &Service,
    app: &App<'_>,
    client: &Client,
) -> Result<Ticks, ServiceError> {
    let definition = match remembered(host, service) {
        Some(definition) => definition,
        None => client.saved(app).ok_or_else(|| ServiceError::Failed {
            command: format!("pm2 reload {}", app.name),
            problem: format!(
                "pm2's daemon is gone and gitroll has no stored definition of {}; start it once with pm2",
                app.name
            ),
        })?,
    };
    let definition = ecosystem::intended(host, service, client, &|_| true)?.unwrap_or(definition);
    let definition = definition.moved_to(&host.top, None)?;
    let flags = FlagVariables::over(host, service, definition.variables())?;
    let definition = definition.with_flags(&flags);
    end_orphans(client, app)?;
    mark_logs(host, service, client, definition.logs())?;
    run_definition(host, service, client, app, &definition)
}

/// Deletes an app and starts it from the live tree: the only way to fix a stale directory, and to take a variable
/// away.
fn replace(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    found: &Found,
    intended: Option<Definition>,
    flags: &FlagVariables,
) -> Result<Ticks, ServiceError> {
    found.nobody_shares_the_name()?;
    let instances = &found.own;
    let Some(listed) = intended.or_else(|| Definition::of(instances)) else {
        return Err(ServiceError::Failed {
            command: "pm2 jlist".to_owned(),
            problem: format!("does not say how to start {} again", service.name),
        });
    };
    // Before anything is deleted: this fails where the live tree has no such script.
    let definition = listed.moved_to(&host.top, remembered(host, service).as_ref())?;
    let definition = definition.with_flags(flags);
    let processes: Vec<ProcessId> = instances.iter().filter_map(Instance::process).collect();
    let limit = limit(instances);
    keep_unless_remembered(host, service, &definition)?;
    for command in found.commands("delete")? {
        client.change(&command, limit)?;
    }
    if !procs::wait_until_gone(&processes, Duration::from_secs(5)) {
        for process in &processes {
            process.kill();
        }
        procs::wait_until_gone(&processes, Duration::from_secs(5));
    }
    run_definition(host, service, client, &App::of(host, service), &definition)
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
    app: &App<'_>,
    definition: &Definition,
) -> Result<Ticks, ServiceError> {
    if client.daemon().is_some()
        && let Some(other) = client.list()?.iter().find(|one| one.name == app.name)
    {
        return Err(shared_name(other));
    }
    let path = host.file(service, ".start.json")?;
    files::write_durably(&path, definition.text().as_bytes(), 0o600)
        .map_err(ServiceError::at(&path))?;
    let moment = Ticks::now();
    let started = client.change(&["start".as_ref(), path.as_os_str()], LIMIT);
    let removed = std::fs::remove_file(&path).map_err(ServiceError::at(&path));
    let said = started?;
    removed?;
    match client.found(app) {
        Err(ServiceError::Unknown { .. }) => Err(ServiceError::Failed {
            command: format!("pm2 start {}", definition.name()),
            problem: said.unwrap_or_else(|| "pm2 did not start it".to_owned()),
        }),
        listed => listed.map(|_| moment),
    }
}

fn remembered(host: &Host<'_>, service: &Service) -> Option<Definition> {
    kept_definition(&host.state, service)
}

fn kept_definition(state: &Path, service: &Service) -> Option<Definition> {
    let path = state.join("services").join(format!("{}.pm2.json", service.name));
    Definition::read(&files::read_state(&path).ok()?)
}

/// See [`super::kept_variables`].
pub(super) fn kept_variables(state: &Path, service: &Service) -> Vec<(String, String)> {
    let definition = kept_definition(state, service);
    let variables = definition.as_ref().and_then(Definition::variables).into_iter().flatten();
    variables.map(|(name, value)| (name.clone(), app::in_text(value))).collect()
}

/// What of the app is not as it was when it was proven last, in what says which code runs: somebody deleted it and started
/// another one by that name.
fn redefined(host: &Host<'_>, service: &Service, instances: &[Instance]) -> Option<String> {
    let (proven, now) = (remembered(host, service)?, Definition::of(instances)?);
    if now.cwd() != proven.cwd() && resolved(now.cwd()) != resolved(proven.cwd()) {
        let (now, proven) = (now.cwd().display(), proven.cwd().display());
        return Some(format!("pm2 runs it in {now}, not in {proven}"));
    }
    let nothing = serde_json::json!([]);
    let words = |definition: &Definition, key: &str| {
        let found = definition.app().get(key).filter(|value| !value.is_null());
        match found.unwrap_or(&nothing) {
            Value::Array(all) => all.iter().map(app::in_text).collect::<Vec<_>>().join(" "),
            // With or without its path.
            one if key == "interpreter" => {
                let text = app::in_text(one);
                text.rsplit('/').next().unwrap_or_default().to_owned()
            }
            one => app::in_text(one),
        }
    };
    let differing = ["script", "interpreter", "node_args", "args"].into_iter();
    let mut differing = differing.filter(|key| words(&now, key) != words(&proven, key));
    // Its words may hold secrets.
    differing.next().map(|key| match key {
        "script" => format!("pm2 runs {}, not {}", words(&now, key), words(&proven, key)),
        key => format!("pm2 runs {} with different {key}", words(&now, "script")),
    })
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
pub(super) fn log_files_of(
    host: &Host<'_>,
    service: &Service,
) -> Result<Vec<PathBuf>, ServiceError> {
    let client = Client::new(host)?;
    if client.daemon().is_none() {
        let command = "pm2 jlist".to_owned();
        return Err(ServiceError::Failed { command, problem: "its daemon is dead".to_owned() });
    }
    let mut files = log_files(&client.found(&App::of(host, service))?.own);
    files.sort();
    files.dedup();
    Ok(files)
}

/// The log files of an app as they were at its last proof, those of each instance by its number.
pub(super) fn remembered_log_files(host: &Host<'_>, service: &Service) -> Vec<PathBuf> {
    let Some(definition) = remembered(host, service) else { return Vec::new() };
    let named = ["error_file", "out_file"].into_iter();
    let named = named.filter_map(|key| definition.app().get(key).and_then(|path| path.as_str()));
    let mut files: Vec<PathBuf> =
        named.map(PathBuf::from).flat_map(|path| numbered(&path)).collect();
    files.sort();
    files.dedup();
    files
}

/// The files that pm2 makes of this name: `web-error.log`, and `web-error-3.log` for instance 3.
fn numbered(path: &Path) -> Vec<PathBuf> {
    let text =
        |part: Option<&std::ffi::OsStr>| part.and_then(|part| part.to_str()).map(str::to_owned);
    let (Some(stem), extension) = (text(path.file_stem()), text(path.extension())) else {
        return Vec::new();
    };
    let is_one = |file: &Path| {
        let number =
            text(file.file_stem()).and_then(|name| name.strip_prefix(&stem).map(str::to_owned));
        let number = number.filter(|_| text(file.extension()) == extension);
        number.is_some_and(|number| {
            number.is_empty() || number.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok())
        })
    };
    let entries = path.parent().and_then(|dir| std::fs::read_dir(dir).ok());
    let files = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|file| is_one(file)).collect()
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
fn orphans(client: &Client, app: &App<'_>) -> Vec<ProcessId> {
    let watched = client.daemon().map(|daemon| procs::family(daemon.pid)).unwrap_or_default();
    procs::running()
        .into_iter()
        .filter(|pid| !watched.contains(pid) && *pid != std::process::id())
        .filter(|pid| was_started_for(*pid, client, app))
        .filter_map(ProcessId::of)
        .collect()
}

/// Ends them, so that the app can be started again.
fn end_orphans(client: &Client, app: &App<'_>) -> Result<(), ServiceError> {
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
        command: format!("stop {}", app.name),
        problem: format!("process {} of a lost pm2 daemon does not end", pids.join(", ")),
    })
}

/// Whether its environment says that this pm2 started it for this app, in this tree: in fork mode by variables of
/// their own, in cluster mode by one that holds everything as JSON.
fn was_started_for(pid: u32, client: &Client, app: &App<'_>) -> bool {
    let Some(environment) = procs::environment(pid) else {
        return false;
    };
    let variable = |name: &str| environment.get(OsStr::new(name));
    if variable("PM2_HOME").is_none_or(|home| *home != client.home()) {
        return false;
    }
    let here = |dir: Option<&Path>| {
        let dir = dir.map(Path::to_owned).or_else(|| procs::working_directory(pid));
        dir.is_some_and(|dir| app.is_here(&dir))
    };
    let forked = variable("pm_id").is_some()
        && variable("name").is_some_and(|name| *name == app.name)
        && here(variable("pm_cwd").map(Path::new));
    let settings = variable("pm2_env")
        .and_then(|text| serde_json::from_slice::<Value>(text.as_encoded_bytes()).ok());
    forked
        || settings.is_some_and(|settings| {
            settings.get("name").is_some_and(|name| name == app.name)
                && here(settings.get("pm_cwd").and_then(Value::as_str).map(Path::new))
        })
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
