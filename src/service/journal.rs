//! The journal of a systemd unit, read from a moment on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::system::clock;
use crate::system::process::Invocation;

/// How long one reading may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What `journalctl --show-cursor` writes before the place where it ended.
const CURSOR: &str = "-- cursor: ";

/// What one unit writes to the journal, its own output and what systemd says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitJournal {
    pub(super) journalctl: PathBuf,
    /// Of the user's manager.
    pub(super) user: bool,
    pub(super) unit: String,
    pub(super) dir: PathBuf,
    pub(super) env: BTreeMap<OsString, OsString>,
}

/// A place in a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalPosition {
    /// This moment, in microseconds since 1970: of entries the moment of receipt counts.
    Since(i64),
    /// Just after the entry of this cursor.
    After(String),
}

impl JournalPosition {
    /// What is written from now on.
    pub fn now() -> Self {
        Self::Since(clock::now().as_microsecond())
    }
}

impl UnitJournal {
    /// Whether this user sees what the unit writes, and not only messages of its own.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn readable(&self) -> Result<(), String> {
        let mut invocation = self.invocation();
        invocation.args.push("--lines=0".into());
        let finished = invocation.run().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&finished.stderr);
        let blind = ["not seeing messages", "insufficient permissions"];
        if blind.iter().any(|words| said.contains(words)) {
            let unit = &self.unit;
            return Err(format!(
                "this user may not read the journal of {unit}: it must be in the group systemd-journal"
            ));
        }
        if finished.success() || said.is_empty() {
            Ok(())
        } else {
            Err(format!("journalctl: {}", said.trim()))
        }
    }

    fn invocation(&self) -> Invocation {
        let mut args: Vec<OsString> = vec!["--no-pager".into()];
        args.extend(self.user.then(|| "--user".into()));
        args.push(format!("--unit={}", self.unit).into());
        let env = self.env.clone();
        Invocation { args, env, limit: LIMIT, ..Invocation::new(&self.journalctl, &self.dir) }
    }

    /// The messages since `from`, a line each, and where the next reading goes on. Of more than 16 MiB the middle is
    /// not there.
    ///
    /// # Errors
    /// When journalctl cannot be run or fails, with its words.
    pub fn read(&self, from: &JournalPosition) -> io::Result<(Vec<u8>, JournalPosition)> {
        let mut invocation = self.invocation();
        invocation.args.extend(["--quiet", "--output=cat", "--show-cursor"].map(Into::into));
        invocation.args.push(match from {
            JournalPosition::Since(micros) => {
                let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
                format!("--since=@{seconds}.{rest:06}").into()
            }
            JournalPosition::After(cursor) => format!("--after-cursor={cursor}").into(),
        });
        let finished = invocation.run().map_err(io::Error::other)?;
        // Where nothing was written it may exit with 1, without a word.
        let silent = finished.stdout.is_empty() && finished.stderr.is_empty();
        let nothing_written = finished.code == Some(1) && silent;
        if !finished.success() && !nothing_written {
            let said = String::from_utf8_lossy(&finished.stderr).trim().to_owned();
            let what = if finished.timed_out { "did not end in time" } else { &said };
            return Err(io::Error::other(format!("journalctl: {what}")));
        }
        let mut text = finished.stdout;
        // The cursor is the last line, and there is none where nothing was written.
        let begin = text.trim_ascii_end().iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let last = String::from_utf8_lossy(&text[begin..]).trim().to_owned();
        let next = match last.strip_prefix(CURSOR) {
            Some(cursor) => {
                text.truncate(begin);
                JournalPosition::After(cursor.to_owned())
            }
            None => from.clone(),
        };
        Ok((text, next))
    }
}

impl fmt::Display for UnitJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal of {}", self.unit)
    }
}
