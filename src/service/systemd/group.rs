//! The processes of a unit, by its control group.

use std::path::{Path, PathBuf};

use crate::system::procs::{self, ProcessId};

use super::unit::Unit;

/// Where control groups are mounted: all of them, or those of systemd only.
const MOUNTS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];

/// How much of a command is told, in characters.
const COMMAND: usize = 100;

/// How deep groups lie in one another, at most.
const DEPTH: usize = 16;

/// The processes that say which code a unit runs: its main process, and what is older than that in its
/// control group, for it was left over from an earlier start. What the main process started comes and goes
/// and is left out. Where there is no main process, those that nobody in the group started.
pub(super) fn processes(unit: &Unit) -> Vec<ProcessId> {
    let members: Vec<ProcessId> =
        members(&unit.group).into_iter().filter_map(ProcessId::of).collect();
    let Some(main) = unit.main.and_then(ProcessId::of) else {
        let inside = |pid: Option<u32>| members.iter().any(|member| Some(member.pid) == pid);
        return members.iter().filter(|m| !inside(procs::parent(m.pid))).cloned().collect();
    };
    let older = members.into_iter().filter(|member| member.start_ticks < main.start_ticks);
    let mut all: Vec<ProcessId> = older.collect();
    all.push(main);
    all
}

/// The processes in the unit's control group that are older than its main process, or go on although the unit does
/// not: a sentence each.
pub(super) fn left_over(unit: &Unit) -> Vec<String> {
    let main = unit.main.and_then(ProcessId::of);
    let members = members(&unit.group).into_iter().filter_map(ProcessId::of);
    let old = members.filter(|member| match &main {
        Some(main) => member.start_ticks < main.start_ticks,
        None => !unit.has_begun(),
    });
    let why = match unit.kill_mode.as_str() {
        "process" | "none" | "mixed" => format!(": KillMode={}", unit.kill_mode),
        _ => String::new(),
    };
    old.map(|process| {
        let words = procs::command_line(process.pid).unwrap_or_default();
        let words: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
        let command: String = words.join(" ").chars().take(COMMAND).collect();
        let how = match &main {
            Some(_) => "was there before the main process",
            None => "still runs although the unit does not",
        };
        format!("process {} ({command}) {how}{why}", process.pid)
    })
    .collect()
}

/// The numbers of all processes in a group and those below it; none where it cannot be read.
fn members(group: &str) -> Vec<u32> {
    if group.is_empty() || group == "/" {
        return Vec::new();
    }
    let relative = group.trim_start_matches('/');
    let dirs = MOUNTS.iter().map(|mount| Path::new(mount).join(relative));
    let Some(dir) = dirs.into_iter().find(|dir| dir.is_dir()) else { return Vec::new() };
    let mut found = Vec::new();
    collect(&dir, DEPTH, &mut found);
    found
}

fn collect(dir: &Path, depth: usize, found: &mut Vec<u32>) {
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    // A process of another process namespace has the number 0 here.
    found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
    if depth == 0 {
        return;
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let below: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    for dir in below {
        collect(&dir, depth - 1, found);
    }
}
