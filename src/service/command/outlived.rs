//! A command of the team's own that outlives the gitroll that started it and goes on when that was killed. Two at once would each undo what the other does.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use super::Commands;
use crate::config::Service;
use crate::service::{Host, ServiceError, spelled};
use crate::system::procs::{self, ProcessId};

/// What the commands of a service carry: whose they are. A server that one of them leaves behind carries it too.
pub(super) const MARK: &str = "GITROLL_SERVICE_COMMAND";

pub(super) fn mark(host: &Host<'_>, service: &Service) -> OsString {
    let mut mark = host.top.clone().into_os_string();
    mark.push(":");
    mark.push(service.name.as_str());
    mark
}

/// The start, stop or reload of a service that still runs although nobody waits for it, and its words.
pub(super) fn find(host: &Host<'_>, service: &Service) -> Option<(ProcessId, String)> {
    let commands = Commands::of(service).ok()?;
    let mark = mark(host, service);
    let changing = [Some(commands.start), Some(commands.stop), commands.reload];
    procs::carrying_anywhere(MARK, &mark).into_iter().find_map(|process| {
        let line = procs::command_line(process.pid)?;
        let words = changing.iter().flatten().find(|words| is_command(&line, words))?;
        Some((process, spelled(words)))
    })
}

/// Waits for such a command as long as it may take anyway; then it is ended with all it started, as it would
/// have been by who started it.
pub(super) fn wait_for(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    /// How long a command that was ended may take to be gone.
    const GRACE: Duration = Duration::from_secs(5);
    let limit = Commands::of(service)?.timeout;
    while let Some((process, command)) = find(host, service) {
        tracing::info!("waits for `{command}` (process {}), started earlier", process.pid);
        if procs::wait_until_gone(std::slice::from_ref(&process), limit) {
            continue;
        }
        // Only a session that it leads is its own.
        let session = procs::session(process.pid).into_iter().filter_map(ProcessId::of);
        let group: Vec<ProcessId> = session.chain([process.clone()]).collect();
        procs::end(&group);
        if !procs::wait_until_gone(std::slice::from_ref(&process), GRACE) {
            let problem = format!("process {} of an earlier run does not end", process.pid);
            return Err(ServiceError::Failed { command, problem });
        }
    }
    Ok(())
}

/// Whether a process runs these words: a script shows behind its interpreter, a program under its whole path.
fn is_command(line: &[OsString], words: &[String]) -> bool {
    let Some((program, args)) = words.split_first() else { return false };
    let Some(at) = line.len().checked_sub(words.len()) else { return false };
    let same = |(found, wanted): (&OsString, &String)| found.as_bytes() == wanted.as_bytes();
    let name = |path: &std::ffi::OsStr| Path::new(path).file_name().map(ToOwned::to_owned);
    name(&line[at]) == name(program.as_ref()) && line[at + 1..].iter().zip(args).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_by_its_words_behind_an_interpreter_too() {
        let line = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let words = ["./ctl".to_owned(), "reload".to_owned()];
        for (found, wanted) in [
            (line(&["/bin/sh", "./ctl", "reload"]), true),
            (line(&["/opt/shop/ctl", "reload"]), true),
            (line(&["/usr/bin/env", "bash", "./ctl", "reload"]), true),
            (line(&["./ctl", "start"]), false),
            (line(&["node", "server.js"]), false),
            (line(&["reload"]), false),
            (line(&[]), false),
        ] {
            assert_eq!(is_command(&found, &words), wanted, "{found:?}");
        }
    }
}
