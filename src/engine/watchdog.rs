//! The watchdog: when the process of a run dies after it began to touch what serves, something that does
//! not depend on it finishes the run.
//!
//! Before that moment the run's process *arms* a guard: a transient timer where systemd runs, else a
//! process of its own session. When its time has come the guard looks whether the run is over and, once no
//! process is working on it any more, runs `gitroll resume` and, should that not do, `gitroll abort`. The
//! run's process *disarms* it however the run ends, so a guard that is armed while the process is dead
//! means that it was killed.
//!
//! `watchdog.json` in the run's directory names the guard that counts, by a token: one that is not
//! named there (any more) does nothing.

mod systemd;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, Side};
use super::journal::JournalError;
use super::lock::Lock;
use super::phase::Phase;
use super::run::{Run, open_runs};
use crate::model::RunId;
use crate::site::Site;
use crate::system::process::{Finished, Invocation, own_program};
use crate::system::procs::{self, ProcessId};
use crate::system::user::Account;
use crate::system::{clock, failpoint, files, random};

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

/// How often a run is tried to be finished before it is left to a person.
const TRIES: usize = 4;

/// Before another try: what killed the first (memory, disk) may pass.
const PAUSE: Duration = Duration::from_secs(1);

/// A try that takes longer than this is ended: it would never end.
const LONGEST_TRY: Duration = Duration::from_secs(3600);

/// The exit code of a command that found the checkout locked.
const BUSY: i32 = 12;

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
    Process { process: ProcessId },
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
    let text = files::read_state(&file(site, run)).ok()?;
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
    let keeper = match systemd::arm(&order.timer()) {
        Some((unit, user)) => Keeper::Timer { unit, user },
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
    /// Marks that this process is a try of the guard that knows itself by `token`. `false` if that guard
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

    /// The guard as a timer. It waits by itself and looks at once when it is started.
    fn timer(&self) -> systemd::Timer {
        let mut description = OsString::from("gitroll: watchdog of ");
        description.push(self.site.top());
        systemd::Timer {
            unit: format!("gitroll-watchdog-{}-{}", self.run, &self.token[..4]),
            description,
            after: self.after,
            log: log(self.site, self.run),
            environment: environment(self.site),
            args: self.args(0),
        }
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
    if environment.get(OsStr::new("HOME")).is_none_or(|home| home.is_empty()) {
        environment.insert("HOME".into(), Account::current().home.into());
    }
    // Said once more, as it was found: a relative path means another place from `/`.
    environment.insert("GITROLL_HOME".into(), site.binding.dir.clone().into());
    environment.insert("GITROLL_ACTOR".into(), site.actor.clone().into());
    environment
}

/// Starts this program in a session of its own, beside everything else, with the environment of a guard. What it
/// says goes to `log`.
///
/// # Errors
/// Why not, in a few words.
pub fn start_beside(site: &Site, verb: &[&str], log: &Path) -> Result<(), String> {
    start_beside_with(site, verb, BTreeMap::new(), log)
}

/// As [`start_beside`], with more in its environment.
///
/// # Errors
/// Why not, in a few words.
pub fn start_beside_with(
    site: &Site,
    verb: &[&str],
    more: BTreeMap<OsString, OsString>,
    log: &Path,
) -> Result<(), String> {
    let mut args = at_top(site);
    args.extend(verb.iter().map(Into::into));
    let mut env = environment(site);
    env.extend(more);
    let invocation = Invocation { args, env, ..Invocation::new(own_program(), Path::new("/")) };
    invocation.spawn_detached(log).map(drop).map_err(|error| error.to_string())
}

/// Waits until nobody is at the run any more and finishes it. Returns when it is over, when the guard
/// that knows itself by `token` does not count any more, or when it gave up.
///
/// `say` is told what is done, a line at a time.
pub fn keep_watch(site: &Site, id: &RunId, token: &str, say: &mut dyn FnMut(&str)) {
    let mut tries = 0;
    let mut last: Option<Try> = None;
    loop {
        let Some(guard) = guard(site, id).filter(|guard| guard.token == token) else { return };
        let run = match left(site, id) {
            Ok(Some(run)) => run,
            Ok(None) => {
                if last.is_some() {
                    say("the run is over");
                }
                let _ = fs::remove_file(file(site, id));
                return;
            }
            Err(error) => return give_up(site, id, guard, &error.to_string(), say),
        };
        match (run.journal.phase(), &last) {
            // It ended by itself and was left open on purpose.
            (Phase::Stuck(_), None) | (Phase::Stuck(Side::Target), Some(_)) => {
                return give_up(site, id, guard, "a person is needed", say);
            }
            _ => {}
        }
        if let Some(process) = at_work(site, &run, &guard) {
            process.wait();
            continue;
        }
        let way = match Way::after(last.as_ref(), run.journal.phase()) {
            Some(way) if tries < TRIES => way,
            _ => return give_up(site, id, guard, &format!("after {tries} tries"), say),
        };
        if last.as_ref().is_some_and(|last| last.killed) {
            thread::sleep(PAUSE);
        }
        say(&format!("{} to {}: its process is gone: {}", run.plan.event, run.plan.to, way.verb()));
        let finished = way.run(site, id, token);
        match finished {
            Ok(finished) if finished.code == Some(BUSY) => {
                // Someone was quicker; who that is is in the lock in a moment.
                thread::sleep(PAUSE);
            }
            Ok(finished) => {
                tries += 1;
                let killed = finished.code.is_none() || finished.timed_out;
                say(&match finished.code {
                    Some(code) => format!("{} ended with exit code {code}", way.verb()),
                    None => format!("{} was killed", way.verb()),
                });
                last = Some(Try { way, killed });
            }
            Err(error) => {
                tries += 1;
                say(&error);
                last = Some(Try { way, killed: true });
            }
        }
    }
}

/// What there is to finish of the run and of those that follow it: the last one that is open.
fn left(site: &Site, id: &RunId) -> Result<Option<Run>, JournalError> {
    let ours = |run: &Run| run.id == *id || run.follows().contains(id);
    Ok(open_runs(site)?.into_iter().rfind(ours))
}

/// Who is at the run or holds the checkout.
fn at_work(site: &Site, run: &Run, guard: &Guard) -> Option<ProcessId> {
    let lines = run.journal.lines().iter().rev();
    let last = lines.filter_map(|line| match &line.entry {
        Entry::Begun(begun) => Some(begun.process.clone()),
        Entry::Resumed { process, .. } => Some(process.clone()),
        _ => None,
    });
    let last = last.into_iter().next().flatten();
    let holder = Lock::holder(&site.state()).and_then(|held| held.process);
    let own = std::process::id();
    [last, guard.guards.clone(), holder]
        .into_iter()
        .flatten()
        .find(|process| process.pid != own && process.alive())
}

/// Says why a guard does nothing more, in its file too: `status` shows it.
fn give_up(site: &Site, id: &RunId, guard: Guard, why: &str, say: &mut dyn FnMut(&str)) {
    say(&format!("the run stays open: {why}; then run gitroll resume or gitroll abort"));
    let _ = write(site, id, &Guard { gave_up: Some(why.to_owned()), ..guard });
}

/// One of the two ways on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Resume,
    Abort,
}

/// A try and what became of it.
struct Try {
    way: Way,
    /// It did not end by itself.
    killed: bool,
}

impl Way {
    /// What to try next. A way that failed by itself is not tried again; one that was killed is.
    fn after(last: Option<&Try>, phase: &Phase) -> Option<Self> {
        // After the commit point there is only one way.
        let proven = *phase == Phase::Proven;
        match last {
            None | Some(Try { killed: true, way: Way::Abort }) => Some(Way::Resume),
            Some(Try { killed: true, way: Way::Resume }) if proven => Some(Way::Resume),
            Some(Try { way: Way::Resume, .. }) if !proven => Some(Way::Abort),
            Some(_) => None,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Way::Resume => "resume",
            Way::Abort => "abort",
        }
    }

    fn run(self, site: &Site, id: &RunId, token: &str) -> Result<Finished, String> {
        let mut args = at_top(site);
        args.extend([self.verb().into(), "--watchdog".into(), token.into()]);
        let invocation = Invocation {
            args,
            env: environment(site),
            limit: LONGEST_TRY,
            ..Invocation::new(own_program(), Path::new("/"))
        };
        invocation.run_and_leave(&log(site, id)).map_err(|e| e.to_string())
    }
}
