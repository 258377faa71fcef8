//! Services that a team starts and stops with commands of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Manager, Service};
use crate::system::files;
use crate::system::process::{self, Finished, Invocation, telling_lines};
use crate::system::procs::{self, ProcessId, Ticks};
use crate::system::sockets;

use super::log;
use super::state::{Host, ServiceError, ServiceState, spelled};

/// How many lines of a failing command are told.
const LINES: usize = 3;

pub(super) fn observe(host: &Host<'_>, service: &Service) -> Result<ServiceState, ServiceError> {
    let up = is_up(host, service)?;
    Ok(ServiceState {
        word: if up { "running" } else { "stopped" }.to_owned(),
        up,
        processes: Vec::new(),
        restarts: 0,
        socket_owners: Vec::new(),
        stale: None,
        untouched: false,
        kept: false,
        no_witness: None,
        redefined: None,
        log: log::since_mark(host, service, &[log_path(host, service)?]),
    })
}

pub(super) fn reload(host: &Host<'_>, service: &Service) -> Result<Ticks, ServiceError> {
    wait_for_outlived(host, service)?;
    let commands = Commands::of(service)?;
    // What is down, since it must be while files change, cannot be told to reload.
    let quiesced = service.quiesce && !is_up(host, service)?;
    if let Some(reload) = commands.reload.filter(|_| !quiesced) {
        log::mark(host, service, &[log_path(host, service)?])?;
        let moment = Ticks::now();
        run_and_leave(host, service, reload, commands.timeout)?;
        return Ok(moment);
    }
    // A service that does not run may well refuse to be stopped; that counts only if it still runs.
    if !quiesced
        && let Err(problem) = run(host, service, commands.stop, commands.timeout)
        && is_up(host, service)?
    {
        return Err(problem);
    }
    log::mark(host, service, &[log_path(host, service)?])?;
    let moment = Ticks::now();
    run_and_leave(host, service, commands.start, commands.timeout)?;
    Ok(moment)
}

pub(super) fn start(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    wait_for_outlived(host, service)?;
    if is_up(host, service)? {
        return Ok(());
    }
    let commands = Commands::of(service)?;
    log::mark(host, service, &[log_path(host, service)?])?;
    run_and_leave(host, service, commands.start, commands.timeout)
}

pub(super) fn stop(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    wait_for_outlived(host, service)?;
    if !is_up(host, service)? {
        return Ok(());
    }
    let commands = Commands::of(service)?;
    run(host, service, commands.stop, commands.timeout)
}

/// Refuses a service whose port a process of another checkout has: `status` may speak of that one, and `stop` end it, for
/// such commands go by a pid file or a name that every checkout shares.
pub(super) fn of_this_tree(
    host: &Host<'_>,
    service: &Service,
    asked: &BTreeSet<u16>,
) -> Result<(), ServiceError> {
    let top = files::resolved(&host.top);
    let taken: Vec<PathBuf> =
        host.binding.take_over.iter().map(|dir| files::resolved(dir)).collect();
    let Some((pid, port, other)) = in_another_checkout(&top, service, asked)
        .filter(|(_, _, dir)| !taken.iter().any(|taken| dir.starts_with(taken)))
    else {
        return Ok(());
    };
    let program = procs::program(pid).unwrap_or_default();
    let (other, top) = (other.display(), top.display());
    Err(ServiceError::Unusable {
        problem: format!(
            "process {pid} ({program}) on port {port} runs in {other}, not in {top}: it belongs to another checkout, and \
             the commands of this service may stop it"
        ),
        hint: format!(
            "give this checkout its own port, and commands with their own pid file, in gitroll.toml; gitroll init \
             --take-over replaces the app of {other}"
        ),
        command: None,
    })
}

/// The process that has a port of a service and runs in another checkout than `top`, the port, and that checkout.
pub(super) fn in_another_checkout(
    top: &Path,
    service: &Service,
    asked: &BTreeSet<u16>,
) -> Option<(u32, u16, PathBuf)> {
    let ports: BTreeSet<u16> =
        asked.iter().chain(service.ports.iter().flatten()).copied().collect();
    let listeners = |port: u16| sockets::listeners(port).into_iter().map(move |pid| (pid, port));
    // What is in this one, or around it, may well be its own.
    let apart = |dir: &PathBuf| !dir.starts_with(top) && !top.starts_with(dir);
    let other = |(pid, port)| Some((pid, port, checkout_of(pid).filter(apart)?));
    ports.into_iter().flat_map(listeners).find_map(other)
}

/// The top of the git checkout that a process runs in, or else whose file it was started with.
fn checkout_of(pid: u32) -> Option<PathBuf> {
    let top = |path: &Path| {
        files::resolved(path).ancestors().find(|dir| dir.join(".git").exists()).map(Path::to_owned)
    };
    let directory = procs::working_directory(pid)?;
    let started_with = || {
        let words = procs::command_line(pid)?;
        words.iter().map(Path::new).filter(|word| word.is_absolute()).find_map(top)
    };
    top(&directory).or_else(started_with)
}

/// The commands of one service.
struct Commands<'a> {
    start: &'a [String],
    stop: &'a [String],
    reload: Option<&'a [String]>,
    status: &'a [String],
    timeout: Duration,
}

impl<'a> Commands<'a> {
    fn of(service: &'a Service) -> Result<Self, ServiceError> {
        match &service.manager {
            Manager::Command { start, stop, reload, status, timeout, .. } => {
                Ok(Self { start, stop, reload: reload.as_deref(), status, timeout: *timeout })
            }
            _ => Err(ServiceError::Unsupported(format!("{} has no commands", service.name))),
        }
    }
}

fn is_up(host: &Host<'_>, service: &Service) -> Result<bool, ServiceError> {
    let commands = Commands::of(service)?;
    let finished = invocation(host, commands.status, commands.timeout)?
        .run()
        .map_err(|error| ServiceError::not_run(&spelled(commands.status), error))?;
    if finished.timed_out {
        return Err(failed(commands.status, &finished, commands.timeout));
    }
    Ok(finished.success())
}

/// Runs a command that ends with what it did.
fn run(
    host: &Host<'_>,
    service: &Service,
    words: &[String],
    limit: Duration,
) -> Result<(), ServiceError> {
    let finished = changing(host, service, words, limit)?
        .run()
        .map_err(|error| ServiceError::not_run(&spelled(words), error))?;
    succeeded(words, &finished, limit)
}

/// Runs a command that may leave a server behind: that continues, and writes to the service's log instead
/// of to a pipe which breaks when this program ends.
fn run_and_leave(
    host: &Host<'_>,
    service: &Service,
    words: &[String],
    limit: Duration,
) -> Result<(), ServiceError> {
    let finished = changing(host, service, words, limit)?
        .run_and_leave(&log_path(host, service)?)
        .map_err(|error| ServiceError::not_run(&spelled(words), error))?;
    succeeded(words, &finished, limit)
}

fn succeeded(words: &[String], finished: &Finished, limit: Duration) -> Result<(), ServiceError> {
    if finished.success() { Ok(()) } else { Err(failed(words, finished, limit)) }
}

/// A command that changes the service, and by which it is found should it outlive this program.
fn changing(
    host: &Host<'_>,
    service: &Service,
    words: &[String],
    limit: Duration,
) -> Result<Invocation, ServiceError> {
    let pid_file = Some(note(host, service)?);
    Ok(Invocation { pid_file, ..invocation(host, words, limit)? })
}

fn invocation(
    host: &Host<'_>,
    words: &[String],
    limit: Duration,
) -> Result<Invocation, ServiceError> {
    let Some((program, args)) = words.split_first() else {
        return Err(ServiceError::Unsupported("an empty command cannot be run".to_owned()));
    };
    let env = host.command_environment();
    let args = args.iter().map(Into::into).collect();
    Ok(Invocation { args, env, limit, ..Invocation::new(program, &host.top) })
}

fn failed(words: &[String], finished: &Finished, limit: Duration) -> ServiceError {
    let output = [finished.stdout.as_slice(), b"\n", finished.stderr.as_slice()].concat();
    let mut problem = finished.problem(limit).unwrap_or_else(|| "failed".to_owned());
    let lines = telling_lines(&output, LINES);
    if !lines.is_empty() {
        problem = format!("{problem}: {}", lines.join(" · "));
    }
    ServiceError::Failed { command: spelled(words), problem }
}

pub(super) fn log_path(host: &Host<'_>, service: &Service) -> Result<PathBuf, ServiceError> {
    host.file(service, ".log")
}

// A command of the team's own that outlives the gitroll that started it continues when that was killed: two at once
// would each undo what the other does. It is known by the process that was noted when it was started, not by its words
// or its environment: a server that it leaves behind may share both.

/// Where the process of a command is noted while it runs.
fn note(host: &Host<'_>, service: &Service) -> Result<PathBuf, ServiceError> {
    host.file(service, ".command")
}

/// The start, stop or reload of a service that still runs although nobody waits for it, and its words.
pub(super) fn outlived(host: &Host<'_>, service: &Service) -> Option<(ProcessId, String)> {
    process::outlived(&note(host, service).ok()?)
}

/// Waits for such a command as long as it may take anyway; then it is ended with all it started.
pub(super) fn wait_for_outlived(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let limit = Commands::of(service)?.timeout;
    process::wait_for_outlived(&note(host, service)?, limit)
        .map_err(|(command, problem)| ServiceError::Failed { command, problem })
}
