//! Which command is at work, on disk, and what its children are known by. A command that
//! was killed leaves it for the next one, which then knows what may be cleaned.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::run;
use crate::site::Site;
use crate::system::git::GitRemains;
use crate::system::procs::{self, ProcessId};
use crate::system::{clock, files, git, orphans};

/// A changing command that holds the lock, or held it until it was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtWork {
    /// Version of the file's format: 1.
    pub at_work: u32,
    /// What it does, e.g. `deploy`.
    pub command: String,
    /// Its process.
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
        let text = std::fs::read(path(&site.state())).ok()?;
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
        let GitRemains { locks, objects, in_doubt } = site.git.remains();
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
