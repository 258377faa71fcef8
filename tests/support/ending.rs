//! The end of every process a test started, each by its own number.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Ends what runs from below `root`: services by gitroll's own state files, pm2 by its own command, then
/// whatever else has its working directory there. TERM first, KILL after 2 s, until nothing is left: what is ended may
/// start something on its way.
pub fn end_everything_below(root: &Path, variables: &BTreeMap<OsString, OsString>) {
    end_pm2(variables);
    let mut signal = Signal::TERM;
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let recorded = service_files(root).into_iter().flat_map(|file| recorded(&file));
        let mut processes: Vec<u32> = recorded.chain(working_below(root)).collect();
        processes.retain(|&pid| alive(pid));
        if processes.is_empty() {
            break;
        }
        processes.iter().for_each(|&pid| send(pid, signal));
        wait_until_gone(&processes, Duration::from_secs(2));
        signal = Signal::KILL;
    }
}

/// Ends what has its working directory at or below `root` at once and without a word, as a power cut does.
pub fn kill_everything_below(root: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let processes = working_below(root);
        let Some(first) = processes.first() else { return };
        assert!(Instant::now() < deadline, "process {first} cannot be killed");
        processes.iter().for_each(|&pid| send(pid, Signal::KILL));
        wait_until_gone(&processes, Duration::from_secs(2));
    }
}

/// The processes with a working directory at or below `root`, this one excepted.
pub fn working_below(root: &Path) -> Vec<u32> {
    let below = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(root))
    };
    all().filter(|&pid| pid != std::process::id()).filter(below).collect()
}

/// Whether a process runs (a zombie does not).
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some()
}

/// The running children of a process.
pub fn children_of(parent: u32) -> Vec<u32> {
    all().filter(|&pid| parent_of(pid) == Some(parent) && alive(pid)).collect()
}

/// What /proc tells of a running process.
struct Stat {
    session: u32,
    start_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last parenthesis may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    Some(Stat { session: fields.get(3)?.parse().ok()?, start_ticks: fields.get(19)?.parse().ok()? })
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The process of a state file and those of its session. A number that was given to another process since
/// is left alone; a session whose leader is gone keeps the leader's number from being given again.
fn recorded(file: &Path) -> Vec<u32> {
    let Some(state) = fs::read(file).ok().and_then(|b| serde_json::from_slice(&b).ok()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    find_processes(&state, &mut found);
    let ours = |(pid, ticks): &(u32, u64)| stat(*pid).is_none_or(|s| s.start_ticks == *ticks);
    let leaders: Vec<u32> = found.iter().filter(|p| ours(p)).map(|p| p.0).collect();
    all()
        .filter(|&pid| {
            leaders.contains(&pid) || stat(pid).is_some_and(|s| leaders.contains(&s.session))
        })
        .collect()
}

fn find_processes(value: &serde_json::Value, found: &mut Vec<(u32, u64)>) {
    if let (Some(pid), Some(ticks)) = (value["pid"].as_u64(), value["start_ticks"].as_u64()) {
        found.extend(u32::try_from(pid).ok().filter(|&pid| pid > 1).map(|pid| (pid, ticks)));
    }
    match value {
        serde_json::Value::Object(map) => map.values().for_each(|v| find_processes(v, found)),
        serde_json::Value::Array(list) => list.iter().for_each(|v| find_processes(v, found)),
        _ => {}
    }
}

/// Every `gitroll/services/*.json` and `gitroll/runs/*/watchdog.json` below `root`.
fn service_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                if path.file_name() != Some(OsStr::new("node_modules")) {
                    dirs.push(path);
                }
            } else if dir.ends_with("gitroll/services") && path.extension() == Some("json".as_ref())
                || path.ends_with("watchdog.json")
            {
                files.push(path);
            }
        }
    }
    files
}

/// `pm2 kill`, only where a daemon runs: asking starts one otherwise.
fn end_pm2(variables: &BTreeMap<OsString, OsString>) {
    let Some(home) = variables.get(OsStr::new("PM2_HOME")).map(PathBuf::from) else {
        return;
    };
    let Some(daemon) = fs::read_to_string(home.join("pm2.pid"))
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok())
        .filter(|&pid| alive(pid) && is_pm2_of(pid, &home))
    else {
        return;
    };
    let pm2 = std::env::var_os("GITROLL_TEST_PM2")
        .map(PathBuf::from)
        .unwrap_or_else(|| super::test_tools().join("pm2/node_modules/.bin/pm2"));
    let children: Vec<u32> = all().filter(|&pid| has_ancestor(pid, daemon)).collect();
    let asked = Command::new(pm2)
        .arg("kill")
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if asked.is_ok_and(|status| status.success()) && !alive(daemon) {
        return;
    }
    for pid in children.into_iter().chain([daemon]) {
        send(pid, Signal::KILL);
    }
}

/// pm2's daemon names its home in its process title.
fn is_pm2_of(pid: u32, home: &Path) -> bool {
    let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&title).contains(&*home.to_string_lossy())
}

fn has_ancestor(pid: u32, ancestor: u32) -> bool {
    std::iter::successors(parent_of(pid), |&p| parent_of(p)).any(|p| p == ancestor)
}

fn parent_of(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // It may have ended in the meantime, which is what is wanted.
    pid.map(|pid| kill_process(pid, signal).ok());
}

fn wait_until_gone(processes: &[u32], limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while processes.iter().any(|&pid| alive(pid)) {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}
