//! A transient timer of systemd that starts this program later.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::system::process::{Finished, Invocation, own_program};
use crate::system::user::Account;

/// Both programs answer within milliseconds; a manager that does not is done without.
const LIMIT: Duration = Duration::from_secs(5);

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What is started, and when.
pub(super) struct Timer {
    /// The unit's name without its `.timer`.
    pub(super) unit: String,
    pub(super) description: OsString,
    pub(super) after: Duration,
    /// Where its output goes.
    pub(super) log: PathBuf,
    pub(super) environment: BTreeMap<OsString, OsString>,
    /// This program's arguments.
    pub(super) args: Vec<OsString>,
}

/// Arms a timer: the unit's name, and whether it is under the user's own manager. `None` if systemd does not run,
/// would not outlive this login, or does not answer.
pub(super) fn arm(timer: &Timer) -> Option<(String, bool)> {
    let user = scope()?;
    let program = program_for_later()?;
    let unit = &timer.unit;
    let said = |name: &str, value: &OsStr| {
        let mut text = OsString::from(name);
        text.push(value);
        text
    };
    let mut args: Vec<OsString> = vec!["--quiet".into(), "--collect".into()];
    args.push(format!("--unit={unit}").into());
    args.push(said("--description=", &timer.description));
    args.push(format!("--on-active={}ms", timer.after.as_millis()).into());
    args.push("--timer-property=AccuracySec=100ms".into());
    for property in [
        // What the guard starts (the app) lives on when the guard ends, and its death is not the guard's.
        "KillMode=process",
        "OOMPolicy=continue",
        "WorkingDirectory=/",
    ] {
        args.push(format!("--property={property}").into());
    }
    if let Some(mask) = umask() {
        args.push(format!("--property=UMask={mask}").into());
    }
    for stream in ["StandardOutput", "StandardError"] {
        args.push(said(&format!("--property={stream}=append:"), timer.log.as_os_str()));
    }
    for (name, value) in &timer.environment {
        let mut setting = OsString::from("--setenv=");
        setting.push(name);
        setting.push("=");
        setting.push(value);
        args.push(setting);
    }
    args.push("--".into());
    args.push(program.into());
    args.extend(timer.args.iter().cloned().map(without_variables));
    ask(user, "systemd-run", args).filter(Finished::success)?;
    Some((unit.clone(), user))
}

/// Whether the timer waits, or what it started runs.
pub(super) fn active(unit: &str, user: bool) -> bool {
    let args = ["is-active".to_owned(), "--quiet".to_owned()].into_iter().chain(both(unit));
    ask(user, "systemctl", args.map(Into::into).collect()).is_some_and(|done| done.success())
}

/// Ends the timer and what it started. Where both are gone already nothing happens.
pub(super) fn stop(unit: &str, user: bool) {
    // One by one: systemctl does nothing at all where it knows only one of them.
    for unit in both(unit) {
        ask(user, "systemctl", vec!["stop".into(), "--quiet".into(), unit.into()]);
    }
}

fn both(unit: &str) -> [String; 2] {
    [format!("{unit}.timer"), format!("{unit}.service")]
}

/// Whether it is the user's own manager that is asked; `None` if none is there to be asked.
fn scope() -> Option<bool> {
    // As sd_booted(3) does.
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let account = Account::current();
    if account.uid == 0 {
        // The system's manager sees the host's files: not those of a sandbox this process may be in.
        let mounts = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
        return (mounts("1") == mounts("self")).then_some(false);
    }
    // A user's manager ends with the last login, unless the user lingers: a process would live longer.
    Path::new("/var/lib/systemd/linger").join(account.name).exists().then_some(true)
}

/// The program as systemd will find it. Where it was replaced since it began, that is the new one.
fn program_for_later() -> Option<PathBuf> {
    let program = own_program();
    if program != Path::new("/proc/self/exe") {
        return Some(program);
    }
    let shown = std::fs::read_link(program).ok()?;
    let path =
        Path::new(OsStr::from_bytes(shown.as_os_str().as_bytes().strip_suffix(b" (deleted)")?));
    path.is_file().then(|| path.to_owned())
}

fn ask(user: bool, program: &str, args: Vec<OsString>) -> Option<Finished> {
    let mut env: BTreeMap<OsString, OsString> = BTreeMap::from([("PATH".into(), PATH.into())]);
    let mut all: Vec<OsString> = Vec::new();
    if user {
        all.push("--user".into());
        let runtime = format!("/run/user/{}", Account::current().uid);
        env.insert("XDG_RUNTIME_DIR".into(), runtime.into());
    }
    all.extend(args);
    let invocation =
        Invocation { args: all, env, limit: LIMIT, ..Invocation::new(program, Path::new("/")) };
    invocation.run().ok()
}

/// systemd puts variables in place of `$NAME` in a command's arguments; `$$` is a `$`.
fn without_variables(arg: OsString) -> OsString {
    let bytes = arg.into_vec();
    let doubled =
        bytes.iter().flat_map(|b| std::iter::repeat_n(*b, if *b == b'$' { 2 } else { 1 }));
    OsString::from_vec(doubled.collect())
}

/// The mask for new files that this process has, as octal digits.
fn umask() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| Some(line.strip_prefix("Umask:")?.trim().to_owned()))
}
