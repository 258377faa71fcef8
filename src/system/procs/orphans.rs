//! Processes that outlived the one that started them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use super::{
    ProcessId, command_line, environment, owner, running, wait_until_gone, working_directory,
};

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);

/// The processes of this user that were started with `name=value` in their environment, in session
/// `session`: what made a session of its own wanted to live on.
pub fn carrying(name: &str, value: &str, session: u32) -> Vec<ProcessId> {
    let us = rustix::process::geteuid().as_raw();
    let carries = |pid: &u32| {
        *pid != std::process::id()
            && owner(*pid) == Some(us)
            && super::session_of(*pid) == Some(session)
            && environment(*pid)
                .is_some_and(|all| all.get(OsStr::new(name)).is_some_and(|found| found == value))
    };
    running().into_iter().filter(carries).filter_map(ProcessId::of).collect()
}

/// Ends processes: TERM, and KILL to those that still run 2 s later. Says whether they all ended.
pub fn end(processes: &[ProcessId]) -> bool {
    for process in processes {
        process.terminate();
    }
    if wait_until_gone(processes, GRACE) {
        return true;
    }
    for process in processes {
        process.kill();
    }
    wait_until_gone(processes, GRACE)
}

/// Whether a program of this name, or one that begins with it and a dash, works in one of `dirs` or was told
/// to: by its working directory, its environment or its arguments, as far as this user may see.
pub fn works_in(program: &str, dirs: &[&Path]) -> bool {
    let named = |pid: u32| {
        let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let rest = name.trim_ascii().strip_prefix(program.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'-')
    };
    let inside = |text: &OsStr| {
        let path = text.as_bytes().split(|b| *b == b'=').next_back().unwrap_or_default();
        dirs.iter().any(|dir| Path::new(OsStr::from_bytes(path)).starts_with(dir))
    };
    running().into_iter().filter(|pid| named(*pid)).any(|pid| {
        let there = working_directory(pid).is_some_and(|dir| inside(dir.as_os_str()));
        there
            || command_line(pid).unwrap_or_default().iter().any(|word| inside(word))
            || environment(pid)
                .and_then(|all| all.get(OsStr::new("GIT_DIR")).cloned())
                .is_some_and(|dir| inside(&dir))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn started(marked: &str, change: impl FnOnce(&mut Command)) -> std::process::Child {
        let mut command = Command::new("sleep");
        command.arg("60").env("CALL_UNDER_TEST", marked).stdin(Stdio::null());
        change(&mut command);
        command.spawn().unwrap()
    }

    #[test]
    fn what_carries_the_mark_in_this_session_is_ended_and_nothing_else() {
        let session = super::super::session_of(std::process::id()).unwrap();
        let mut marked = started("ab12", |_| {});
        let mut other = started("cd34", |_| {});
        let found = carrying("CALL_UNDER_TEST", "ab12", session);
        assert_eq!(found.iter().map(|p| p.pid).collect::<Vec<_>>(), [marked.id()]);
        assert_eq!(carrying("CALL_UNDER_TEST", "ab12", session + 1), []);
        assert!(end(&found));
        assert!(ProcessId::of(other.id()).is_some());
        other.kill().unwrap();
        marked.wait().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn who_works_in_a_directory_is_known_by_where_it_is_and_by_what_it_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        assert!(!works_in("sleep", &[&top]));
        let mut inside = started("x", |command| {
            command.current_dir(&top);
        });
        assert!(works_in("sleep", &[&top]));
        assert!(!works_in("slee", &[&top]) && !works_in("git", &[&top]));
        inside.kill().unwrap();
        inside.wait().unwrap();
        let mut told = started("x", |command| {
            command.env("GIT_DIR", top.join(".git")).arg0("sleep");
        });
        assert!(works_in("sleep", &[&top]));
        told.kill().unwrap();
        told.wait().unwrap();
    }
}
