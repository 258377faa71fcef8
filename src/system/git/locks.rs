//! Lock files, and what a git command that was killed leaves: they are told from other programs' by notes.
//!
//! Git commands that take locks are noted on disk for as long as they run. What one of them left when it was
//! killed is told by its note: by the name, and by the moment it was made.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::object::OWN_OBJECT;
use super::repository::Git;
use crate::system::{files, open_files, orphans, procs};

/// How often a note's time is moved while its command runs: that is the last moment it is known to have run.
const BEAT: Duration = Duration::from_millis(200);

/// How long after the last beat the command may have gone on.
const AFTERWARDS: Duration = Duration::from_millis(400);

/// The kernel gives files the time of its last tick.
const TICK: Duration = Duration::from_millis(20);

static WAS_KILLED: AtomicBool = AtomicBool::new(false);

/// Whether a git command of this call was ended by a signal: it may have left its lock files.
pub fn command_was_killed() -> bool {
    WAS_KILLED.load(Ordering::Relaxed)
}

/// Notes that a git command of this call was ended by a signal.
pub(super) fn note_killed() {
    WAS_KILLED.store(true, Ordering::Relaxed);
}

/// What a git command may leave when it is killed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LocksTaken {
    /// Lock files, by their paths.
    pub(super) locks: Vec<PathBuf>,
    /// Whatever a fetch takes besides: locks of refs that only the remote can name, and half-written objects.
    #[serde(default)]
    pub(super) fetches: bool,
}

/// The note, version 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    in_flight: u32,
    verb: String,
    since: Timestamp,
    takes: LocksTaken,
    /// Of the locks, those that lay here already.
    before: Vec<PathBuf>,
}

/// A command that runs just now.
#[derive(Debug)]
pub(super) struct RunningCommand {
    path: PathBuf,
    file: File,
    beat: Instant,
}

/// What a note tells of a command that did not come to its end.
#[derive(Debug, Clone)]
pub(super) struct KilledCommand {
    pub(super) takes: LocksTaken,
    before: Vec<PathBuf>,
    since: SystemTime,
    until: SystemTime,
}

impl RunningCommand {
    const VERSION: u32 = 1;

    /// Notes durably that a command begins. `None` if it cannot be noted (a full disk, no directory of
    /// gitroll's own): then nothing it leaves is taken for ours.
    pub(super) fn begin(git: &Git, verb: &str, takes: &LocksTaken) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let state = git.state_dir();
        if *takes == LocksTaken::default() || !state.is_dir() {
            return None;
        }
        let all = if takes.fetches { git.lock_files() } else { Default::default() };
        let lies = |path: &&PathBuf| path.symlink_metadata().is_ok();
        let note = Note {
            in_flight: Self::VERSION,
            verb: verb.to_owned(),
            since: Timestamp::try_from(SystemTime::now()).ok()?,
            takes: takes.clone(),
            before: takes.locks.iter().filter(lies).cloned().chain(all).collect(),
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = state.join(format!("in-flight-{}-{number}.json", &orphans::call_id()[..8]));
        let bytes = serde_json::to_vec(&note).ok()?;
        files::write_durably(&path, &bytes, 0o600).ok()?;
        let file = File::options().write(true).open(&path).ok()?;
        Some(Self { path, file, beat: Instant::now() })
    }

    /// It still runs.
    pub(super) fn beat(&mut self) {
        if self.beat.elapsed() >= BEAT {
            self.beat_now();
        }
    }

    /// It was ended before its own end: what it left is for the next who cleans.
    pub(super) fn was_killed(mut self) {
        self.beat_now();
    }

    /// It came to its end and took away what it had made.
    pub(super) fn came_to_its_end(self) {
        let _ = fs::remove_file(&self.path);
    }

    fn beat_now(&mut self) {
        let _ = self.file.set_modified(SystemTime::now());
        self.beat = Instant::now();
    }
}

impl KilledCommand {
    /// Whether the command can have made this file: it lay not there before, and was made while it ran.
    pub(super) fn can_have_made(&self, path: &Path) -> bool {
        let made = path.symlink_metadata().and_then(|at| at.created().or_else(|_| at.modified()));
        !self.before.iter().any(|before| before == path)
            && made.is_ok_and(|made| made >= self.since && made <= self.until)
    }
}

impl Git {
    /// The commands of ours that were noted and did not come to their end. Only for who holds the lock.
    pub(super) fn killed_commands(&self) -> Vec<KilledCommand> {
        notes(&self.state_dir()).iter().filter_map(|path| read(path)).collect()
    }

    /// Forgets them, once what they left is gone. Only for who holds the lock.
    pub fn forget_killed_commands(&self) {
        for path in notes(&self.state_dir()) {
            let _ = fs::remove_file(path);
        }
    }
}

fn notes(state: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("in-flight-") && name.ends_with(".json"))
    };
    entries.filter(named).collect()
}

fn read(path: &Path) -> Option<KilledCommand> {
    let note: Note = serde_json::from_slice(&crate::system::files::read_state(path).ok()?).ok()?;
    if note.in_flight != RunningCommand::VERSION {
        return None;
    }
    let since = SystemTime::from(note.since);
    let until = path.metadata().and_then(|at| at.modified()).ok()?;
    Some(KilledCommand {
        takes: note.takes,
        before: note.before,
        since: since.checked_sub(TICK)?,
        until: until.checked_add(AFTERWARDS)?,
    })
}

/// The locks of files directly in a git directory that a fetch takes, and what else git refuses to write over.
const TOP: [&str; 3] = ["packed-refs.lock", "packed-refs.new", "shallow.lock"];

/// What may be told of things that a killed command could have left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaleFiles {
    /// Lock files that only a killed command of ours can have left.
    pub locks: Vec<PathBuf>,
    /// Half-written objects and packs, likewise.
    pub objects: Vec<PathBuf>,
    /// What may be of use to someone at this moment: a git command works in this repository.
    pub in_doubt: Vec<PathBuf>,
}

impl Git {
    /// The lock files that lie in this repository, of all kinds that a fetch takes.
    pub(super) fn lock_files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for dir in [&self.git_dir, &self.common_dir] {
            found.extend(TOP.iter().map(|name| dir.join(name)).filter(|path| is_file(path)));
        }
        locks_below(&self.common_dir.join("refs"), 8, &mut found);
        found
    }

    /// The locks that lie in the way of a run at this moment, which writes index, HEAD and the ref `chain`.
    pub fn locks_in_the_way(&self, chain: &str) -> Vec<PathBuf> {
        let names = ["index", "HEAD", "packed-refs", chain];
        let paths = names.map(|name| self.git_dir.join(format!("{name}.lock")));
        paths.into_iter().filter(|path| path.exists()).collect()
    }

    /// What git commands of ours left that were noted as running and did not come to their end: what such a
    /// command takes, made while it ran, of this user, open in no process. While any git command works in this
    /// repository all of it is in doubt. Looks, and changes nothing.
    pub fn stale_files(&self) -> StaleFiles {
        let (mut locks, mut objects) = (BTreeSet::new(), BTreeSet::new());
        for command in self.killed_commands() {
            let made = |path: &PathBuf| is_ours(path) && command.can_have_made(path);
            locks.extend(command.takes.locks.iter().filter(|path| made(path)).cloned());
            if command.takes.fetches {
                locks.extend(self.lock_files().into_iter().filter(made));
                objects.extend(self.temporary_objects().into_iter().filter(made));
            }
        }
        // Nobody else gives them such a name.
        objects.extend(self.temporary_objects().into_iter().filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            is_ours(path) && name.is_some_and(|name| name.starts_with(OWN_OBJECT))
        }));
        let (mut locks, mut objects): (Vec<_>, Vec<_>) =
            (locks.into_iter().collect(), objects.into_iter().collect());
        if locks.is_empty() && objects.is_empty() {
            return StaleFiles::default();
        }
        let all: Vec<PathBuf> = locks.iter().chain(&objects).cloned().collect();
        if procs::works_in("git", &[&self.top, &self.git_dir, &self.common_dir]) {
            return StaleFiles { in_doubt: locks, ..StaleFiles::default() };
        }
        let open = open_files::open_anywhere(&all);
        let in_doubt = locks.iter().filter(|path| open.contains(*path)).cloned().collect();
        for list in [&mut locks, &mut objects] {
            list.retain(|path| !open.contains(path));
        }
        StaleFiles { locks, objects, in_doubt }
    }

    /// Files of git that become objects and packs when they are whole.
    fn temporary_objects(&self) -> Vec<PathBuf> {
        let top = self.common_dir.join("objects");
        let mut found = Vec::new();
        for (name, path) in entries(&top) {
            if name.starts_with("tmp_obj_") {
                found.push(path);
            } else if name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
                let below = entries(&path).into_iter();
                found.extend(below.filter(|(name, _)| name.starts_with("tmp_obj_")).map(|e| e.1));
            } else if name == "pack" {
                let below = entries(&path).into_iter();
                found.extend(below.filter(|(name, _)| name.starts_with("tmp_")).map(|e| e.1));
            }
        }
        found.retain(|path| is_file(path));
        found
    }
}

fn locks_below(dir: &Path, depth: u8, found: &mut BTreeSet<PathBuf>) {
    for (name, path) in entries(dir) {
        if name.ends_with(".lock") && is_file(&path) {
            found.insert(path);
        } else if depth > 0 && path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            locks_below(&path, depth - 1, found);
        }
    }
}

fn entries(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| Some((e.file_name().into_string().ok()?, e.path()))).collect()
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

fn is_ours(path: &Path) -> bool {
    let us = rustix::process::geteuid().as_raw();
    path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.uid() == us)
}

/// The lock file that a message of git complains about, where it does.
pub(super) fn lock_in_message(message: &str) -> Option<&Path> {
    let rest = message.split_once("Unable to create '")?.1;
    let (path, rest) = rest.split_once(".lock'")?;
    let whole = path.len() + ".lock".len();
    let start = message.len() - rest.len() - ".lock'".len() - path.len();
    rest.contains("File exists").then(|| Path::new(&message[start..start + whole]))
}

/// What to do about a lock file that is in the way.
pub(super) fn in_the_way(lock: &Path) -> String {
    let lock = lock.display();
    format!(
        "{lock} is in the way; if no git command is running here, remove that file: a killed command left it"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::Repo;
    use super::*;

    fn lie(repo: &Repo, names: &[&str]) -> Vec<PathBuf> {
        let made = names.iter().map(|name| {
            let path = repo.top.join(".git").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        });
        made.collect()
    }

    fn takes(repo: &Repo, names: &[&str], fetches: bool) -> LocksTaken {
        LocksTaken {
            locks: names.iter().map(|name| repo.top.join(".git").join(name)).collect(),
            fetches,
        }
    }

    fn bound(repo: &Repo) -> Git {
        let git = repo.open();
        fs::create_dir(git.state_dir()).unwrap();
        git
    }

    #[test]
    fn only_what_a_killed_command_takes_and_made_while_it_ran_is_told() {
        let repo = Repo::new();
        repo.commit("one");
        let git = bound(&repo);
        lie(&repo, &["index.lock"]);
        let names = ["index.lock", "HEAD.lock", "refs/gitroll/a/b.lock"];
        let noted =
            RunningCommand::begin(&git, "update-ref", &takes(&repo, &names, false)).unwrap();
        let ours = lie(&repo, &["HEAD.lock"]);
        lie(&repo, &["refs/heads/foo.lock", "objects/pack/tmp_pack_x"]);
        noted.was_killed();
        // Longer than it can have gone on.
        std::thread::sleep(std::time::Duration::from_millis(600));
        let later = lie(&repo, &["refs/gitroll/a/b.lock"]);
        assert_eq!(git.stale_files(), StaleFiles { locks: ours.clone(), ..StaleFiles::default() });
        fs::remove_file(&ours[0]).unwrap();
        lie(&repo, &["HEAD.lock"]);
        assert_eq!(git.stale_files(), StaleFiles::default(), "another process created it again");
        git.forget_killed_commands();
        assert!(later[0].exists() && fs::read_dir(git.state_dir()).unwrap().next().is_none());
    }

    #[test]
    fn a_command_that_came_to_its_end_left_nothing() {
        let repo = Repo::new();
        repo.commit("one");
        let git = bound(&repo);
        RunningCommand::begin(&git, "read-tree", &takes(&repo, &["index.lock"], false))
            .unwrap()
            .came_to_its_end();
        lie(&repo, &["index.lock"]);
        assert_eq!(git.stale_files(), StaleFiles::default());
    }

    #[test]
    fn a_fetch_takes_what_only_the_remote_can_name() {
        let repo = Repo::new();
        repo.commit("one");
        let git = bound(&repo);
        let before = lie(&repo, &["refs/tags/v1.lock"]);
        let noted = RunningCommand::begin(&git, "fetch", &takes(&repo, &[], true)).unwrap();
        let locks = lie(&repo, &["packed-refs.lock", "refs/remotes/origin/main.lock"]);
        let objects = lie(&repo, &["objects/ab/tmp_obj_x1", "objects/pack/tmp_pack_x"]);
        lie(&repo, &["objects/pack/pack-1.keep", "index.lock"]);
        noted.was_killed();
        let own = lie(&repo, &["objects/tmp_obj_gitroll-Ab12Cd"]);
        let found = git.stale_files();
        assert_eq!(found.locks, locks);
        assert_eq!(found.objects, [objects, own].concat());
        assert!(before[0].exists());
    }

    #[test]
    fn what_a_process_holds_open_is_in_doubt() {
        let repo = Repo::new();
        repo.commit("one");
        let git = bound(&repo);
        let noted =
            RunningCommand::begin(&git, "HEAD", &takes(&repo, &["HEAD.lock"], false)).unwrap();
        let lock = lie(&repo, &["HEAD.lock"]).remove(0);
        noted.was_killed();
        let open = fs::File::open(&lock).unwrap();
        assert_eq!(git.stale_files().in_doubt, std::slice::from_ref(&lock));
        drop(open);
        assert_eq!(git.stale_files().locks, [lock]);
    }
}
