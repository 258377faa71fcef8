//! Files inside the live tree that its services hold open for writing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{Observed, Site};
use crate::model::RepoPath;
use crate::service::ServiceState;
use crate::system::open_files::{self, Writing};
use crate::system::procs;

/// A file that a service holds open for writing: a database, a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFile {
    /// Where it lies in the tree.
    pub path: RepoPath,
    /// The service; the program, where only its working directory tells that it belongs to the app.
    pub holder: String,
    /// The process.
    pub pid: u32,
    /// Written at its end only: a log.
    pub log: bool,
}

impl HeldFile {
    /// Whether taking `path` away takes this file, or a part of the same SQLite database: its journal and
    /// its write-ahead log are worth as much as the file itself.
    pub fn is_part_of(&self, path: &RepoPath) -> bool {
        *path == self.path || (!self.log && database(path) == database(&self.path))
    }
}

/// The files below the top of the tree that the observed services hold open for writing, by path. What this
/// user may not look into stays unknown.
pub fn held_files(site: &Site, observed: &Observed) -> Vec<HeldFile> {
    let Ok(top) = site.top().canonicalize() else {
        return Vec::new();
    };
    let mut found: BTreeMap<RepoPath, HeldFile> = BTreeMap::new();
    for (service, state) in &observed.services {
        let Ok(state) = state else { continue };
        for (pid, holder) in processes(service, state, &top) {
            for (path, writing) in open_files::open_for_writing(pid, &top) {
                let below = path.strip_prefix(&top).unwrap_or(&path);
                // What lies in `.git` is no path of the repository.
                let Ok(path) = RepoPath::new(below.as_os_str().as_bytes()) else { continue };
                let log = writing == Writing::Appending;
                let held = HeldFile { path: path.clone(), holder: holder.clone(), pid, log };
                let known = found.entry(path).or_insert_with(|| held.clone());
                if known.log && !log {
                    *known = held;
                }
            }
        }
    }
    found.into_values().collect()
}

/// The processes of a service with what to call them. A manager that cannot name them (commands of the
/// team's own) leaves those that work in the tree.
fn processes(service: &str, state: &ServiceState, top: &Path) -> Vec<(u32, String)> {
    if state.up && state.processes.is_empty() {
        let ours: BTreeSet<u32> = procs::family(std::process::id()).into_iter().collect();
        let here = |pid: &u32| {
            !ours.contains(pid)
                && procs::working_directory(*pid).is_some_and(|dir| dir.starts_with(top))
        };
        let named = |pid| (pid, program(pid).unwrap_or_else(|| service.to_owned()));
        return procs::running().into_iter().filter(here).map(named).collect();
    }
    let families = state.processes.iter().flat_map(|process| procs::family(process.pid));
    // pm2's daemon writes the logs of what it runs.
    let all: BTreeSet<u32> = families.chain(state.socket_owners.iter().copied()).collect();
    all.into_iter().map(|pid| (pid, service.to_owned())).collect()
}

fn program(pid: u32) -> Option<String> {
    let line = procs::command_line(pid)?;
    Some(Path::new(line.first()?).file_name()?.to_string_lossy().into_owned())
}

/// The name without what SQLite appends for the files beside a database.
fn database(path: &RepoPath) -> &[u8] {
    let bytes = path.as_bytes();
    let beside: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];
    beside.into_iter().find_map(|end| bytes.strip_suffix(end)).unwrap_or(bytes)
}
