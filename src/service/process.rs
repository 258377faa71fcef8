//! gitroll's own process manager: one program in a session of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Manager, Service};
use crate::model::RepoPath;
use crate::system::clock;
use crate::system::files;
use crate::system::process::Invocation;
use crate::system::procs::{self, ProcessId, Ticks};

use super::log;
use super::state::{Host, ServiceError, ServiceState, spelled};

/// The variable that marks every process of a service, `<app's path>:<service>`. It finds a process
/// whose state file was lost, or never written because this program was killed just after the start.
const MARK: &str = "GITROLL_SERVICE";

/// A log longer than this is saved when the service starts.
const LOG_LIMIT: u64 = 10 * 1024 * 1024;

/// How long the end is waited for after KILL.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// What is known about the running service: `<state>/services/<name>.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Running {
    #[serde(flatten)]
    process: ProcessId,
    command: Vec<String>,
    since: jiff::Timestamp,
}

pub(super) fn observe(host: &Host<'_>, service: &Service) -> Result<ServiceState, ServiceError> {
    let settings = Settings::of(service)?;
    let main = main_process(host, service);
    let known = state_path(host, service).exists();
    let word = match &main {
        Some(_) => "running",
        None if known => "exited",
        None => "stopped",
    };
    Ok(ServiceState {
        word: word.to_owned(),
        up: main.is_some(),
        stale: main.as_ref().and_then(|main| runs_elsewhere(host, main)),
        untouched: false,
        kept: false,
        no_witness: None,
        redefined: None,
        socket_owners: helpers(host, service, main.as_ref()),
        processes: main.into_iter().collect(),
        restarts: 0,
        log: log::since_mark(host, service, &[log_path(host, service, settings.log)]),
    })
}

pub(super) fn reload(host: &Host<'_>, service: &Service) -> Result<Ticks, ServiceError> {
    stop(host, service)?;
    let moment = Ticks::now();
    start(host, service)?;
    Ok(moment)
}

pub(super) fn start(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    if main_process(host, service).is_some() {
        return Ok(());
    }
    // What an earlier start left behind may hold the port.
    stop(host, service)?;
    let settings = Settings::of(service)?;
    let Some((program, args)) = settings.command.split_first() else {
        return Err(ServiceError::Unsupported(format!("service {} has no command", service.name)));
    };
    let log = log_path(host, service, settings.log);
    prepare_log(host, service, settings.log)?;
    log::mark(host, service, std::slice::from_ref(&log))?;

    let mut env = host.environment();
    env.extend(settings.env.iter().map(|(name, value)| (name.into(), value.into())));
    env.extend(host.version_variables());
    env.extend(host.flag_variables());
    env.insert(MARK.into(), mark(host, service));
    let args = args.iter().map(Into::into).collect();
    let invocation = Invocation { args, env, ..Invocation::new(program, &host.top) };
    let process = invocation
        .spawn_detached(&log)
        .map_err(|error| ServiceError::not_run(&spelled(settings.command), error))?;

    let path = host.file(service, ".json")?;
    let running = Running { process, command: settings.command.to_vec(), since: clock::now() };
    let text = serde_json::to_vec_pretty(&running).unwrap_or_default();
    files::write_durably(&path, &text, 0o600).map_err(ServiceError::at(&path))
}

pub(super) fn stop(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let settings = Settings::of(service)?;
    let members = members(host, service);
    for process in &members {
        process.terminate();
    }
    if !procs::wait_until_gone(&members, settings.stop_timeout) {
        for process in &members {
            process.kill();
        }
        procs::wait_until_gone(&members, KILL_GRACE);
    }
    // What was started while the others were being ended had its TERM coming; a few rounds, since it
    // may start more.
    for _ in 0..5 {
        let left: Vec<ProcessId> = members
            .iter()
            .filter(|process| process.alive())
            .cloned()
            .chain(marked(host, service))
            .collect();
        if left.is_empty() {
            return forget(&state_path(host, service));
        }
        for process in &left {
            process.kill();
        }
        procs::wait_until_gone(&left, KILL_GRACE);
    }
    let command = format!("stop {}", service.name);
    let problem = "its processes do not end, even after SIGKILL".to_owned();
    Err(ServiceError::Failed { command, problem })
}

/// A service of this manager as configured.
struct Settings<'a> {
    command: &'a [String],
    env: &'a BTreeMap<String, String>,
    log: Option<&'a RepoPath>,
    stop_timeout: Duration,
}

impl<'a> Settings<'a> {
    fn of(service: &'a Service) -> Result<Self, ServiceError> {
        match &service.manager {
            Manager::Process { command, env, log, stop_timeout } => {
                Ok(Self { command, env, log: log.as_ref(), stop_timeout: *stop_timeout })
            }
            _ => Err(ServiceError::Unsupported(format!("{} has no command", service.name))),
        }
    }
}

/// The program itself: the one the state file names, else a marked one that leads its session.
fn main_process(host: &Host<'_>, service: &Service) -> Option<ProcessId> {
    let leads = |process: &ProcessId| procs::session_of(process.pid) == Some(process.pid);
    remembered(host, service)
        .filter(ProcessId::alive)
        .or_else(|| marked(host, service).into_iter().find(leads))
}

fn remembered(host: &Host<'_>, service: &Service) -> Option<ProcessId> {
    let text = files::read_state(&state_path(host, service)).ok()?;
    serde_json::from_slice::<Running>(&text).ok().map(|running| running.process)
}

/// Every process of the service: the program, its session, and what left the session but bears the mark.
fn members(host: &Host<'_>, service: &Service) -> Vec<ProcessId> {
    let mut members = marked(host, service);
    if let Some(main) = main_process(host, service) {
        let ours = our_processes();
        let session = procs::session(main.pid).into_iter().filter(|pid| !ours.contains(pid));
        let session: Vec<ProcessId> = session.filter_map(ProcessId::of).collect();
        // Asked again after the session was read: else the session could be a stranger's by now.
        if main.alive() {
            members.extend(session);
        }
    }
    members.sort_by_key(|process| process.pid);
    members.dedup();
    members
}

/// What the program left to itself: it bears the mark and is not an older.
fn helpers(host: &Host<'_>, service: &Service, main: Option<&ProcessId>) -> Vec<u32> {
    let young = |process: &ProcessId| {
        main.is_none_or(|main| process.pid != main.pid && process.start_ticks >= main.start_ticks)
    };
    marked(host, service).iter().filter(|process| young(process)).map(|p| p.pid).collect()
}

/// The processes of this user that bear the service's mark, but not this program.
fn marked(host: &Host<'_>, service: &Service) -> Vec<ProcessId> {
    let mark = mark(host, service);
    let user = rustix::process::geteuid().as_raw();
    let ours = our_processes();
    procs::running()
        .into_iter()
        .filter(|pid| fs::metadata(format!("/proc/{pid}")).is_ok_and(|file| file.uid() == user))
        .filter(|pid| procs::has_variable(*pid, MARK, &mark))
        .filter(|pid| !ours.contains(pid))
        .filter_map(ProcessId::of)
        .collect()
}

/// This program and what it runs at the moment. It may have been started by the very service that it
/// now restarts (one that deploys itself on a push), and then bears its mark and is in its session.
fn our_processes() -> Vec<u32> {
    let this = std::process::id();
    let session = procs::session_of(this);
    procs::family(this).into_iter().filter(|pid| procs::session_of(*pid) == session).collect()
}

fn mark(host: &Host<'_>, service: &Service) -> std::ffi::OsString {
    let mut mark = host.top.clone().into_os_string();
    mark.push(":");
    mark.push(service.name.as_str());
    mark
}

fn runs_elsewhere(host: &Host<'_>, main: &ProcessId) -> Option<String> {
    let found = procs::working_directory(main.pid)?;
    let top = host.top.canonicalize().ok()?;
    (!found.starts_with(&top)).then(|| format!("runs in {}", found.display()))
}

fn state_path(host: &Host<'_>, service: &Service) -> PathBuf {
    host.state.join("services").join(format!("{}.json", service.name))
}

fn forget(path: &Path) -> Result<(), ServiceError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ServiceError::at(path)(error)),
        _ => Ok(()),
    }
}

pub(super) fn log_path(host: &Host<'_>, service: &Service, declared: Option<&RepoPath>) -> PathBuf {
    match declared {
        Some(log) => host.top.join(log.as_path()),
        None => host.state.join("services").join(format!("{}.log", service.name)),
    }
}

/// Makes the log's directory and puts a log that became too long aside. A declared log may not leave
/// the tree through a symbolic link that someone committed.
fn prepare_log(
    host: &Host<'_>,
    service: &Service,
    declared: Option<&RepoPath>,
) -> Result<(), ServiceError> {
    let path = match declared {
        None => host.file(service, ".log")?,
        Some(log) => {
            let parts: Vec<&[u8]> = log.as_bytes().split(|b| *b == b'/').collect();
            let mut dir = host.top.clone();
            for part in &parts[..parts.len() - 1] {
                dir.push(OsStr::from_bytes(part));
                real_directory(&dir).map_err(ServiceError::at(&dir))?;
            }
            host.top.join(log.as_path())
        }
    };
    let length = fs::symlink_metadata(&path).map_or(0, |file| file.len());
    if length > LOG_LIMIT {
        let mut aside = path.clone().into_os_string();
        aside.push(".1");
        fs::rename(&path, &aside).map_err(ServiceError::at(&path))?;
    }
    Ok(())
}

fn real_directory(dir: &Path) -> io::Result<()> {
    match fs::symlink_metadata(dir) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::NotADirectory, "not a real directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(dir),
        Err(error) => Err(error),
    }
}
