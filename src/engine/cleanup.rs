//! What commands leave: the note of which one is at work, what a killed one left beside its run (processes, locks of
//! git, half-written objects, files of its own under temporary names), and runs that are over.
//!
//! Only what is provably ours is touched, and only under the lock.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::journal::{Journal, JournalError};
use super::run::{self, Run, open_runs, run_ids};
use super::{hooks, watchdog};
use crate::config::{Retention, Service};
use crate::layout;
use crate::model::RunId;
use crate::service::{self, Host};
use crate::site::Site;
use crate::system::git::StaleFiles;
use crate::system::process;
use crate::system::procs::{self, ProcessId};
use crate::system::{clock, files, git, orphans, removal};

/// A changing command that holds the lock, or held it until it was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtWork {
    /// Version of the file's format: 1.
    pub at_work: u32,
    /// What it does, e.g. `deploy`.
    pub command: String,
    pub process: Option<ProcessId>,
    /// The session that its git commands and builds are in.
    pub session: u32,
    /// What they carry in `GITROLL_CALL`.
    pub call: String,
    /// Since when.
    pub since: Timestamp,
    /// It came to its end by itself, and something is left for the next command to remove.
    #[serde(default)]
    pub ended: bool,
}

/// The note that this process is at work. At the command's ordinary end it goes; nothing rests on that, for
/// after a kill it is what the next command goes by.
#[derive(Debug)]
pub struct Note {
    path: PathBuf,
    at_work: AtWork,
    /// What an earlier command may have left. As long as it is there, the note stays too.
    doubted: Vec<PathBuf>,
}

impl AtWork {
    /// The version of the format this program writes.
    pub const VERSION: u32 = 1;

    /// What the last changing command left; `None` after an ordinary end.
    pub fn left(site: &Site) -> Option<Self> {
        let text = files::read_state(&path(&site.state())).ok()?;
        let mut left: Self = serde_json::from_slice(&text).ok()?;
        // Where its note could not be removed either, its run says that it was not killed.
        left.ended |= run::last_run(site).is_some_and(|run| run.left_to_person(left.since));
        (left.at_work == Self::VERSION).then_some(left)
    }

    /// As [`AtWork::left`], for who does not hold the lock: `None` too while that command runs.
    pub fn killed(site: &Site) -> Option<Self> {
        Self::left(site).filter(|left| !left.process.as_ref().is_some_and(ProcessId::alive))
    }

    /// Whether there is something of it that the next changing command has to see to: a process, or a file.
    pub fn leaves_something(&self, site: &Site) -> bool {
        let StaleFiles { locks, objects, in_doubt } = site.git.stale_files();
        [locks, objects, in_doubt].iter().any(|paths| !paths.is_empty())
            || !orphans::of_call(&self.call, self.session).is_empty()
    }

    /// Whether it is this very call.
    pub(super) fn is_this(&self) -> bool {
        self.call == orphans::call_id()
    }
}

impl Note {
    /// Notes durably that this process is at work; only for who holds the lock. `doubted` is what a killed
    /// command may have left and could not be cleaned now: it is remembered.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn write(site: &Site, command: &str, doubted: &[PathBuf]) -> io::Result<Self> {
        let at_work = AtWork {
            at_work: AtWork::VERSION,
            command: command.to_owned(),
            process: ProcessId::of(std::process::id()),
            session: procs::session_of(std::process::id()).unwrap_or(0),
            call: orphans::call_id().to_owned(),
            since: clock::now(),
            ended: false,
        };
        let path = path(&site.state());
        let text = serde_json::to_vec_pretty(&at_work).map_err(io::Error::other)?;
        files::write_durably(&path, &text, 0o600)?;
        Ok(Self { path, at_work, doubted: doubted.to_vec() })
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // What a killed git left, or this program in the middle of something, is for the next command to see.
        let doubt = self.doubted.iter().any(|path| path.exists());
        if doubt || git::command_was_killed() || std::thread::panicking() {
            let at_work = AtWork { ended: true, ..self.at_work.clone() };
            let text = serde_json::to_vec_pretty(&at_work).unwrap_or_default();
            let _ = files::write_durably(&self.path, &text, 0o600);
        } else {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("at-work.json")
}

/// What was cleaned after a command that was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// The command that was killed.
    pub after: AtWork,
    /// How many of its processes were ended.
    pub ended: usize,
    /// The locks of git that were removed.
    pub locks: Vec<PathBuf>,
    /// How many half-written objects, temporary files and directories were removed.
    pub files: usize,
    /// Locks that it may have left and that someone may be using at this moment.
    pub in_doubt: Vec<PathBuf>,
}

impl Cleaned {
    /// What was done, in words; `None` if there was nothing to do.
    pub fn told(&self) -> Option<String> {
        let count = |n: usize, one: &str, many: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let name = |path: &PathBuf| path.display().to_string();
        let said: Vec<String> = [
            count(
                self.ended,
                "process that was still running",
                "processes that were still running",
            ),
            (!self.locks.is_empty())
                .then(|| self.locks.iter().map(name).collect::<Vec<_>>().join(", ")),
            count(self.files, "temporary file", "temporary files"),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!said.is_empty()).then(|| {
            let command = &self.after.command;
            let what = match self.after.ended {
                true => format!("gitroll {command} left files behind"),
                false => format!("gitroll {command}, or a git command that it started, was killed"),
            };
            format!("{what}; removed: {}", said.join(", "))
        })
    }
}

/// Cleans up after the last changing command where that was killed. Only for who holds the lock. Once: what
/// was cleaned is gone, and doing it again after a kill is harmless.
pub fn clean(site: &Site) -> Option<Cleaned> {
    let left = AtWork::left(site)?;
    // Its children first: an install that outlived it would continue writing.
    let orphans = orphans::of_call(&left.call, left.session);
    procs::end(&orphans);
    let found = site.git.stale_files();
    let locks = found.locks.into_iter().filter(|path| fs::remove_file(path).is_ok()).collect();
    if found.in_doubt.is_empty() {
        site.git.forget_killed_commands();
    }
    let objects = found.objects.iter().filter(|path| fs::remove_file(path).is_ok()).count();
    let files = objects + own_files(site) + stages(site) + remove_dead_runs(site);
    Some(Cleaned { after: left, ended: orphans.len(), locks, files, in_doubt: found.in_doubt })
}

/// Removes the locks that a git command of this very call left when it was killed: by a person, or because
/// memory ran out.
pub(super) fn after_killed_git(site: &Site) {
    if !git::command_was_killed() || !AtWork::left(site).is_some_and(|at| at.is_this()) {
        return;
    }
    for path in site.git.stale_files().locks {
        let _ = fs::remove_file(path);
    }
}

/// Files that this program writes under a name of their own before it renames them.
fn own_files(site: &Site) -> usize {
    let state = site.state();
    let mut dirs = vec![site.top().to_owned(), site.git.git_dir().to_owned(), state.clone()];
    for dir in [&state, &state.join("runs")] {
        let below = fs::read_dir(dir).into_iter().flatten().flatten();
        dirs.extend(
            below.map(|e| e.path()).filter(|p| p.symlink_metadata().is_ok_and(|m| m.is_dir())),
        );
    }
    dirs.push(site.binding.work_dir.clone());
    let mut removed = 0;
    for dir in dirs {
        let inside = dir.starts_with(&state);
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let own = is_temporary(name, inside) && is_own_file(&entry.path(), inside);
            let probe = is_left_swap_probe(name) && remove_swap_probe(&entry.path());
            removed += usize::from(probe || own && fs::remove_file(entry.path()).is_ok());
        }
    }
    removed
}

/// `.gitroll-probe-`, and `inside` of our own directory `.gitroll-` and `.tmp` too, each with six letters or
/// digits. Elsewhere a person may have a `.gitroll-backup`.
fn is_temporary(name: &str, inside: bool) -> bool {
    let own = [".gitroll-", ".tmp"].iter().filter(|_| inside);
    let rest = [".gitroll-probe-"].iter().chain(own).find_map(|prefix| name.strip_prefix(prefix));
    rest.is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// A directory in which a process that is gone tried a swap: `.gitroll-probe-<pid>-1` or `-2`.
fn is_left_swap_probe(name: &str) -> bool {
    let rest = name.strip_prefix(".gitroll-probe-").and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(pid, number)| {
        let gone = |pid: u32| ProcessId::of(pid).is_none();
        ["1", "2"].contains(&number) && pid.parse().is_ok_and(gone)
    })
}

/// Removes it, where it is as the trial made it: whatever else someone put there stays.
fn remove_swap_probe(path: &Path) -> bool {
    let _ = fs::remove_dir(path.join("held"));
    fs::remove_dir(path).is_ok()
}

/// Nothing is ever written to a probe.
fn is_own_file(path: &Path, inside: bool) -> bool {
    let us = rustix::process::geteuid().as_raw();
    let own =
        |meta: fs::Metadata| meta.is_file() && meta.uid() == us && (inside || meta.len() == 0);
    path.symlink_metadata().is_ok_and(own)
}

/// Removes stages, whole or half made, of runs that are over or never began. An open run keeps its own.
fn stages(site: &Site) -> usize {
    let Ok(open) = open_runs(site) else { return 0 };
    let mut removed = 0;
    for entry in fs::read_dir(&site.binding.work_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(run) = name.to_str().and_then(|name| name.strip_prefix("stage-")) else {
            continue;
        };
        let (run, rest) = run.split_once('.').unwrap_or((run, ""));
        let Ok(run) = run.parse::<RunId>() else { continue };
        let ours = site.run_dir(&run).is_dir() && ["", "part", "git"].contains(&rest);
        if ours && !open.iter().any(|open| open.id == run) {
            removed += usize::from(removal::set_aside(&entry.path()).is_ok());
        }
    }
    removed
}

impl Run {
    /// The commands of the team's own that this run started and that continue although it was killed: process,
    /// words.
    pub fn outlived(&self, site: &Site) -> Vec<(u32, String)> {
        let found = |(host, service): (Host<'_>, Service)| {
            service::outlived(&host, &service).map(|(process, words)| (process.pid, words))
        };
        let hook = process::outlived(&hooks::note(site, self));
        let services = self.services(site).into_iter().filter_map(found);
        services.chain(hook.map(|(process, words)| (process.pid, words))).collect()
    }

    /// Waits until they have ended. One that takes longer than it may is ended.
    ///
    /// # Errors
    /// The one that does not end, in words.
    pub fn wait_for_outlived(&self, site: &Site) -> Result<(), String> {
        for (host, service) in self.services(site) {
            service::wait_for_outlived(&host, &service).map_err(|e| e.to_string())?;
        }
        process::wait_for_outlived(&hooks::note(site, self), hooks::limit(self))
            .map_err(|(command, problem)| format!("{command}: {problem}"))
    }

    fn services<'s>(&self, site: &'s Site) -> Vec<(Host<'s>, Service)> {
        let services = self.config().into_iter().flat_map(|config| config.services.clone());
        services.map(|one| (site.host(&self.plan.to, self.id.as_str()), one)).collect()
    }
}

/// Removes what dead runs left behind: directories without a first journal line, stages, guards of runs that
/// are over. What is large is only taken out of the way ([`removal`]). Called under the lock, when no run is open.
pub fn tidy(site: &Site) {
    let Ok(ids) = run_ids(site) else { return };
    for id in &ids {
        watchdog::disarm(site, id);
        // The stage first: it is found by its run.
        let _ = layout::set_stage_aside(&site.stage(id));
        run::release_room(site, id);
    }
    for entry in fs::read_dir(&site.binding.work_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        if name.starts_with("stage-") && removal::is_aside(name) {
            removal::later(entry.path());
        }
    }
    if let Err(error) = site.store.sweep() {
        tracing::warn!("unfinished artifacts could not be removed: {error}");
    }
    remove_dead_runs(site);
    // A command that came to its end may have failed to remove one of its own.
    own_files(site);
}

/// What was saved is kept for so long, whatever `[retention]` says: 30 days.
const LEAST_SAVED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What was saved is named to a person so many times before it goes.
const NAMED: u32 = 2;

/// How long what a run saved is kept at least.
pub fn saved_for(retention: &Retention) -> Duration {
    retention.saved.max(LEAST_SAVED)
}

/// How often what was saved was named, by the name of its directory.
#[derive(Debug, Default, Serialize, Deserialize)]
struct NamedSets {
    /// Version of the file's format: 1.
    saved: u32,
    named: BTreeMap<String, u32>,
}

/// Removes plans and journals of all but the latest runs, and what older ones saved once that is old
/// enough and was named twice; returns what a person is to be told of now. An open run and what it saved always stay.
/// Called under the lock.
#[must_use]
pub fn forget(site: &Site, retention: &Retention) -> Vec<String> {
    let (Ok(ids), Ok(open)) = (run_ids(site), open_runs(site)) else { return Vec::new() };
    let old = ids.len().saturating_sub(retention.runs);
    let (old, kept) = ids.split_at(old);
    let is_open = |id: &RunId| open.iter().any(|run| run.id == *id);
    for id in old.iter().filter(|id| !is_open(id)) {
        let _ = fs::remove_dir_all(site.run_dir(id));
    }
    let now = clock::now();
    let path = site.state().join("saved.json");
    let mut known: NamedSets = files::read_state(&path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let before = known.named.len();
    let mut told = Vec::new();
    let mut left = BTreeMap::new();
    for set in layout::saved_sets(&site.state()).unwrap_or_default() {
        let named = known.named.remove(&set.id).unwrap_or(0);
        // Of the future, or of no time at all: not old.
        let age = begun_at(&set.run).and_then(|at| Duration::try_from(now.duration_since(at)).ok());
        let young = age.is_none_or(|age| age < saved_for(retention));
        if young || kept.contains(&set.run) || is_open(&set.run) {
            left.extend((named > 0).then(|| (set.id.clone(), named)));
        } else if named < NAMED {
            left.insert(set.id.clone(), named + 1);
            told.push(set.id);
        } else {
            let _ = fs::remove_dir_all(set.dir);
        }
    }
    if !told.is_empty() || !known.named.is_empty() || before != left.len() {
        let text = serde_json::to_vec_pretty(&NamedSets { saved: 1, named: left });
        let written = text.map_err(io::Error::other);
        if let Err(error) = written.and_then(|text| files::write_durably(&path, &text, 0o600)) {
            tracing::warn!("the warning about saved files will be repeated: {error}");
        }
    }
    told
}

/// The moment that a run's id says.
pub fn begun_at(id: &RunId) -> Option<Timestamp> {
    let stamp = id.as_str().get(..15)?;
    let time = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", stamp).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Removes what runs left that were killed before their first journal line: nothing was changed by then.
/// Says how many there were.
fn remove_dead_runs(site: &Site) -> usize {
    let dead = |id: &RunId| {
        let dir = site.run_dir(id);
        match Journal::open(&dir) {
            Ok(journal) => journal.lines().is_empty(),
            Err(JournalError::Io { source, .. }) => source.kind() == io::ErrorKind::NotFound,
            Err(_) => false,
        }
    };
    let ids = run_ids(site).unwrap_or_default();
    ids.iter().filter(|id| dead(id) && fs::remove_dir_all(site.run_dir(id)).is_ok()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_this_program_makes_are_temporary() {
        for (name, inside, wanted) in [
            (".gitroll-Ab12Cd", true, true),
            (".gitroll-backup", false, false),
            (".gitroll-probe-Ab12Cd", false, true),
            (".tmpAb12Cd", true, true),
            (".tmpAb12Cd", false, false),
            (".gitroll-20260101-000000-abcd-dist", true, false),
            (".gitroll-shop", true, false),
            (".gitroll-notes.txt", false, false),
            ("journal.jsonl", true, false),
        ] {
            assert_eq!(is_temporary(name, inside), wanted, "{name}");
        }
        let own = format!(".gitroll-probe-{}-1", std::process::id());
        for (name, wanted) in [
            (".gitroll-probe-4194304-2", true),
            (".gitroll-probe-4194304-3", false),
            (".gitroll-probe-4194304", false),
            (own.as_str(), false),
        ] {
            assert_eq!(is_left_swap_probe(name), wanted, "{name}");
        }
    }
}
