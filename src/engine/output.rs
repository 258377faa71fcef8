//! What a step leaves to be journalled, and all that the builds of a run wrote, kept beside its journal as long as that is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::model::{BroughtBack, PointId, RunId};
use crate::site::Site;
use crate::system::files;
use crate::system::procs::Ticks;

/// What a step leaves to be journalled.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) output: Vec<String>,
    /// What a person is told at once.
    pub(super) warnings: Vec<String>,
    pub(super) ticks: Option<Ticks>,
    /// What went back of an item.
    pub(super) brought_back: Option<BroughtBack>,
    /// The point that was taken.
    pub(super) point: Option<PointId>,
}

/// How much is kept of one run.
const MOST: u64 = 64 * 1024 * 1024;

const NAME: &str = "output";

/// The file that takes what builds write. A disk that is full must not fail a build that does not: then what comes is
/// not kept.
pub(super) struct KeptOutput {
    file: Option<File>,
    left: u64,
}

impl KeptOutput {
    /// Goes on behind what is kept of the run already, with the step's label.
    pub(super) fn of(site: &Site, run: &RunId, label: &str) -> Self {
        let path = site.run_dir(run).join(NAME);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).ok();
        let written = file.as_ref().and_then(|file| Some(file.metadata().ok()?.len()));
        let mut kept = Self { file, left: MOST.saturating_sub(written.unwrap_or(0)) };
        kept.line(&format!("== {label}"));
        kept
    }

    pub(super) fn line(&mut self, line: &str) {
        let Some(file) = &mut self.file else { return };
        let length = line.len() as u64 + 1;
        let text =
            if length > self.left { "… more output was written but not kept" } else { line };
        let written = file.write_all(format!("{text}\n").as_bytes());
        self.left = self.left.saturating_sub(length);
        if written.is_err() || text.len() != line.len() {
            self.file = None;
        }
    }
}

/// What the builds of a run wrote, secrets removed; `None` if nothing is kept of it on this host.
///
/// # Errors
/// When it is there and cannot be read.
pub fn kept_output(site: &Site, run: &RunId) -> io::Result<Option<String>> {
    match files::open_plain(&site.run_dir(run).join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok((mut file, _)) => {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut file, &mut bytes)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}
