//! Git commands that take locks, noted on disk for as long as they run. What one of them left when it was
//! killed is told by its note: by the name, and by the moment it was made.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Git;
use crate::system::{files, orphans};

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
pub(super) struct Takes {
    /// Lock files, by their paths.
    pub(super) locks: Vec<PathBuf>,
    /// Whatever a fetch takes besides: locks of refs that only the remote can name, and half-written objects.
    #[serde(default)]
    pub(super) fetches: bool,
}

/// The note, version 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Text {
    in_flight: u32,
    verb: String,
    since: Timestamp,
    takes: Takes,
    /// Of the locks, those that lay here already.
    before: Vec<PathBuf>,
}

/// A command that runs just now.
#[derive(Debug)]
pub(super) struct InFlight {
    path: PathBuf,
    file: File,
    beat: Instant,
}

/// What a note tells of a command that did not come to its end.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) takes: Takes,
    before: Vec<PathBuf>,
    since: SystemTime,
    until: SystemTime,
}

impl InFlight {
    const VERSION: u32 = 1;

    /// Notes durably that a command begins. `None` where it cannot be noted (a full disk, no directory of
    /// gitroll's own): then nothing it leaves is taken for ours.
    pub(super) fn begin(git: &Git, verb: &str, takes: &Takes) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let state = git.state_dir();
        if *takes == Takes::default() || !state.is_dir() {
            return None;
        }
        let all = if takes.fetches { git.lock_files() } else { Default::default() };
        let lies = |path: &&PathBuf| path.symlink_metadata().is_ok();
        let text = Text {
            in_flight: Self::VERSION,
            verb: verb.to_owned(),
            since: Timestamp::try_from(SystemTime::now()).ok()?,
            takes: takes.clone(),
            before: takes.locks.iter().filter(lies).cloned().chain(all).collect(),
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = state.join(format!("in-flight-{}-{number}.json", &orphans::call_id()[..8]));
        let bytes = serde_json::to_vec(&text).ok()?;
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

impl Ended {
    /// Whether the command can have made this file: it lay not there before, and was made while it ran.
    pub(super) fn can_have_made(&self, path: &Path) -> bool {
        let made = path.symlink_metadata().and_then(|at| at.created().or_else(|_| at.modified()));
        !self.before.iter().any(|before| before == path)
            && made.is_ok_and(|made| made >= self.since && made <= self.until)
    }
}

impl Git {
    /// The commands of ours that were noted and did not come to their end. Only for who holds the lock.
    pub(super) fn ended_in_flight(&self) -> Vec<Ended> {
        notes(&self.state_dir()).iter().filter_map(|path| read(path)).collect()
    }

    /// Forgets them, once what they left is gone. Only for who holds the lock.
    pub fn forget_in_flight(&self) {
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

fn read(path: &Path) -> Option<Ended> {
    let text: Text = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    if text.in_flight != InFlight::VERSION {
        return None;
    }
    let since = SystemTime::from(text.since);
    let until = path.metadata().and_then(|at| at.modified()).ok()?;
    Some(Ended {
        takes: text.takes,
        before: text.before,
        since: since.checked_sub(TICK)?,
        until: until.checked_add(AFTERWARDS)?,
    })
}
