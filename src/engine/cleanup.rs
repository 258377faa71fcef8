//! What a command that was killed left beside its run: processes, locks of git, half-written objects, files
//! of its own under temporary names. Only what is provably ours is touched, and only under the lock.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::at_work::AtWork;
use super::run::{open_runs, remove_dead_runs};
use crate::site::Site;
use crate::system::{git, orphans, procs};

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
    /// Locks that it may have left and that somebody may be using at this moment.
    pub in_doubt: Vec<PathBuf>,
}

impl Cleaned {
    /// What was done, in words; `None` where there was nothing to do.
    pub fn told(&self) -> Option<String> {
        let count = |n: usize, one: &str, many: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let name = |path: &PathBuf| path.display().to_string();
        let said: Vec<String> = [
            count(self.ended, "process that still ran", "processes that still ran"),
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
                true => format!("gitroll {command} left something behind"),
                false => format!("gitroll {command} or a git of it was killed"),
            };
            format!("{what}; removed: {}", said.join(", "))
        })
    }
}

/// Cleans up after the last changing command where that was killed. Only for who holds the lock. Once: what
/// was cleaned is gone, and doing it again after a kill is harmless.
pub fn clean(site: &Site) -> Option<Cleaned> {
    let left = AtWork::left(site)?;
    // Its children first: an install that outlived it would go on writing.
    let orphans = orphans::of_call(&left.call, left.session);
    procs::end(&orphans);
    let found = site.git.remains();
    let locks = found.locks.into_iter().filter(|path| fs::remove_file(path).is_ok()).collect();
    if found.in_doubt.is_empty() {
        site.git.forget_in_flight();
    }
    let objects = found.objects.iter().filter(|path| fs::remove_file(path).is_ok()).count();
    let files = objects + own_files(site) + stages(site) + remove_dead_runs(site);
    if let Err(error) = site.store.sweep() {
        tracing::warn!("unfinished artifacts could not be removed: {error}");
    }
    Some(Cleaned { after: left, ended: orphans.len(), locks, files, in_doubt: found.in_doubt })
}

/// Removes the locks that a git command of this very call left when it was killed: by a person, or because
/// memory ran out.
pub(super) fn after_killed_git(site: &Site) {
    if !git::command_was_killed() || !AtWork::left(site).is_some_and(|at| at.is_this()) {
        return;
    }
    for path in site.git.remains().locks {
        let _ = fs::remove_file(path);
    }
}

/// Files that this program writes under a name of their own before it renames them.
pub(super) fn own_files(site: &Site) -> usize {
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
            let temporary = name.to_str().is_some_and(|name| is_temporary(name, inside));
            let own = temporary && is_own_file(&entry.path(), inside);
            removed += usize::from(own && fs::remove_file(entry.path()).is_ok());
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
        let run = run.strip_suffix(".part").unwrap_or(run);
        let Ok(run) = run.parse::<crate::model::RunId>() else { continue };
        let ours = site.run_dir(&run).is_dir();
        if ours && !open.iter().any(|open| open.id == run) {
            removed += usize::from(fs::remove_dir_all(entry.path()).is_ok());
        }
    }
    removed
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
    }
}
