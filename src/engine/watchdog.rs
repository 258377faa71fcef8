//! The watchdog: when the process of a run dies after it began to touch what serves, something that does
//! not depend on it finishes the run.
//!
//! Before that moment the run's process *arms* a guard: a transient timer where systemd runs, else a
//! process of its own session. When its time has come the guard looks whether the run is over and, once no
//! process is at it any more, runs `gitroll resume` and, should that not do, `gitroll abort`. The
//! run's process *disarms* it however the run ends, so a guard that is armed while the process is dead
//! means that it was killed.
//!
//! `watchdog.json` in the run's directory names the guard that counts, by a token: one that is not
//! named there (any more) does nothing.

mod systemd;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::run::Run;
use crate::model::RunId;
use crate::site::Site;
use crate::system::process::{Invocation, own_program};
use crate::system::procs::{self, ProcessId};
use crate::system::{clock, failpoint, files, random};

pub use watch::keep_watch;

/// How long the end of a guard is waited for: only the kernel can be slow.
const GRACE: Duration = Duration::from_secs(2);

/// What the guard and its tries may see of the environment of whoever began the run: where things lie, who
/// signs, and nothing that could be a secret, for a timer's environment can be read by everybody.
const PASSED_ON: [&str; 19] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GNUPGHOME",
    "SSH_AUTH_SOCK",
    "PM2_HOME",
    "NO_COLOR",
    "GITROLL_LOG",
];

/// A guard, as `watchdog.json` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Version of this format: 1.
    pub watchdog: u32,
    /// What the guard knows itself by.
    pub token: String,
    /// When it acts, should nobody be at the run then.
    pub acts: Timestamp,
    /// The process that armed it.
    pub guards: Option<ProcessId>,
    /// What waits for that moment.
    pub keeper: Keeper,
    /// Why it does not act any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gave_up: Option<String>,
}

/// What waits until a guard has to act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum Keeper {
    /// A process of a session of its own.
    Process {
        /// The process.
        process: ProcessId,
    },
    /// A transient timer of systemd.
    Timer {
        /// The unit's name without its `.timer`.
        unit: String,
        /// Under the user's own manager.
        user: bool,
    },
}

impl Guard {
    /// The version of the format this program writes.
    const VERSION: u32 = 1;

    /// Whether it is still there: neither killed nor ended by a reboot.
    pub fn alive(&self) -> bool {
        match &self.keeper {
            Keeper::Process { process } => process.alive(),
            Keeper::Timer { unit, user } => systemd::active(unit, *user),
        }
    }
}

/// The guard of a run, where one is armed.
pub fn guard(site: &Site, run: &RunId) -> Option<Guard> {
    let text = fs::read(file(site, run)).ok()?;
    serde_json::from_slice(&text).ok().filter(|guard: &Guard| guard.watchdog == Guard::VERSION)
}

/// The file a run's guard and its tries write to.
pub fn log(site: &Site, run: &RunId) -> PathBuf {
    site.run_dir(run).join("watchdog.log")
}

/// Arms a guard for a run, `after` from now, in place of an earlier one.
///
/// # Errors
/// Why there is none now, in a few words. An earlier one stays armed then.
pub(super) fn arm(site: &Site, run: &RunId, after: Duration) -> Result<(), String> {
    failpoint::pass("arm watchdog before").map_err(|e| e.to_string())?;
    let earlier = guard(site, run);
    let token = random::hex_id();
    let later = |after| clock::now().checked_add(after).ok();
    let acts = SignedDuration::try_from(after).ok().and_then(later).unwrap_or_else(clock::now);
    let order = Order { site, run, token: &token, after };
    let keeper = match systemd::arm(&order) {
        Some(keeper) => keeper,
        None => Keeper::Process { process: order.start()? },
    };
    let guard = Guard {
        watchdog: Guard::VERSION,
        token,
        acts,
        guards: ProcessId::of(std::process::id()),
        keeper,
        gave_up: None,
    };
    if let Err(error) = write(site, run, &guard) {
        end(&guard.keeper);
        return Err(error.to_string());
    }
    if let Some(earlier) = earlier {
        end(&earlier.keeper);
    }
    failpoint::pass("arm watchdog after").map_err(|e| e.to_string())
}

/// Ends the guard of a run, if there is one, and removes what names it.
pub(super) fn disarm(site: &Site, run: &RunId) {
    let file = file(site, run);
    if !file.exists() {
        return;
    }
    // What the crash tests want to fail here could not be answered by anything.
    let _ = failpoint::pass("disarm watchdog before");
    if let Some(guard) = guard(site, run) {
        end(&guard.keeper);
    }
    let _ = fs::remove_file(file);
    let log = log(site, run);
    if log.metadata().is_ok_and(|log| log.len() == 0) {
        let _ = fs::remove_file(log);
    }
    let _ = failpoint::pass("disarm watchdog after");
}

fn end(keeper: &Keeper) {
    match keeper {
        Keeper::Process { process } => {
            if process.kill() {
                procs::wait_until_gone(std::slice::from_ref(process), GRACE);
            }
        }
        Keeper::Timer { unit, user } => systemd::stop(unit, *user),
    }
}

fn write(site: &Site, run: &RunId, guard: &Guard) -> std::io::Result<()> {
    files::write_durably(&file(site, run), &serde_json::to_vec_pretty(guard)?, 0o600)
}

fn file(site: &Site, run: &RunId) -> PathBuf {
    site.run_dir(run).join("watchdog.json")
}

impl Run {
    /// Marks that this process is a try of the guard that knows itself by `token`. `false` where that guard
    /// does not count any more.
    pub fn left_to_watchdog(&mut self, site: &Site, token: &str) -> bool {
        self.by_watchdog = guard(site, self.guarded_as()).is_some_and(|guard| guard.token == token);
        self.by_watchdog
    }
}

/// What a guard is told.
struct Order<'a> {
    site: &'a Site,
    run: &'a RunId,
    token: &'a str,
    after: Duration,
}

impl Order<'_> {
    /// The guard's own arguments; `after` milliseconds from its start it looks.
    fn args(&self, after: u128) -> Vec<OsString> {
        let mut args = at_top(self.site);
        args.extend(["watchdog".into(), self.run.as_str().into(), self.token.into()]);
        args.extend(["--after".into(), after.to_string().into()]);
        args
    }

    /// Starts the guard as a process of its own session.
    fn start(&self) -> Result<ProcessId, String> {
        let invocation = Invocation {
            args: self.args(self.after.as_millis()),
            env: environment(self.site),
            ..Invocation::new(own_program(), Path::new("/"))
        };
        invocation.spawn_detached(&log(self.site, self.run)).map_err(|e| e.to_string())
    }
}

/// `-C TOP`
fn at_top(site: &Site) -> Vec<OsString> {
    vec!["-C".into(), site.top().into()]
}

/// The environment of a guard and of its tries.
fn environment(site: &Site) -> BTreeMap<OsString, OsString> {
    let mut environment: BTreeMap<OsString, OsString> =
        PASSED_ON.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect();
    // Said once more, as it was found: a relative path means another place from `/`.
    environment.insert("GITROLL_HOME".into(), site.binding.dir.clone().into());
    environment.insert("GITROLL_ACTOR".into(), site.actor.clone().into());
    environment
}
