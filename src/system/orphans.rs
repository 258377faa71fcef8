//! Processes that outlive the call of gitroll that started them.

use std::ffi::OsStr;
use std::sync::OnceLock;

use super::procs::{self, ProcessId};
use super::random;

/// The variable by which git commands and builds carry the id of the call that started them.
pub const CALL_VARIABLE: &str = "GITROLL_CALL";

/// The id of this call: 32 random hex digits, the same for as long as this process lives.
pub fn call_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(random::hex_id)
}

/// The processes of this user that carry the id of a call and are in session `session`: what made a session of
/// its own wanted to live on.
pub fn of_call(call: &str, session: u32) -> Vec<ProcessId> {
    let us = rustix::process::geteuid().as_raw();
    let carries = |pid: &u32| {
        *pid != std::process::id()
            && procs::owner(*pid) == Some(us)
            && procs::session_of(*pid) == Some(session)
            && procs::has_variable(*pid, CALL_VARIABLE, OsStr::new(call))
    };
    procs::running().into_iter().filter(carries).filter_map(ProcessId::of).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    #[test]
    fn what_carries_the_id_of_a_call_in_this_session_is_ended_and_nothing_else() {
        let carrying = |call: &str| -> Child {
            let mut command = Command::new("sleep");
            command.arg("60").env(CALL_VARIABLE, call).stdin(Stdio::null());
            command.spawn().unwrap()
        };
        let session = procs::session_of(std::process::id()).unwrap();
        let (mut wanted, mut other) = (carrying("ab12"), carrying("cd34"));
        let found = of_call("ab12", session);
        assert_eq!(found.iter().map(|p| p.pid).collect::<Vec<_>>(), [wanted.id()]);
        assert_eq!(of_call("ab12", session + 1), []);
        assert!(procs::end(&found));
        assert!(ProcessId::of(other.id()).is_some());
        other.kill().unwrap();
        wanted.wait().unwrap();
        other.wait().unwrap();
    }
}
