//! What a service wrote: to its log files since it was last reloaded, and to the journal of its unit from a moment on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Service;
use crate::system::clock;
use crate::system::files::{self, FileIdentity};
use crate::system::process::{Invocation, telling_lines};

use super::state::{Host, ServiceError};

/// How much of a file's end is read.
const TAIL: u64 = 64 * 1024;

/// How much of a log is searched for the beginning of a fault.
const SEARCHED: u64 = 512 * 1024;

/// How many lines are told.
const LINES: usize = 5;

/// Remembers how long the files are now: what is written from here on belongs to the next start.
pub(super) fn mark(
    host: &Host<'_>,
    service: &Service,
    logs: &[PathBuf],
) -> Result<(), ServiceError> {
    let lengths: BTreeMap<&Path, u64> = logs
        .iter()
        .map(|path| (path.as_path(), path.metadata().map_or(0, |file| file.len())))
        .collect();
    let path = host.file(service, ".logs.json")?;
    let text = serde_json::to_vec(&lengths).unwrap_or_default();
    files::write_durably(&path, &text, 0o600).map_err(ServiceError::at(&path))
}

/// The telling lines written since the mark to the first of `logs` that has any. Where no mark was set,
/// the telling lines of its end.
pub(super) fn since_mark(host: &Host<'_>, service: &Service, logs: &[PathBuf]) -> Vec<String> {
    lines_since_mark(host, service, logs, |_| true)
}

/// As [`since_mark`], of the lines that are `wanted`: for a log that several services share.
pub(super) fn lines_since_mark(
    host: &Host<'_>,
    service: &Service,
    logs: &[PathBuf],
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let marks = host.state.join("services").join(format!("{}.logs.json", service.name));
    let lengths: BTreeMap<PathBuf, u64> = crate::system::files::read_state(marks.as_ref())
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let told = |path: &PathBuf| {
        let written = tail(path, lengths.get(path).copied().unwrap_or(0));
        let written = written.split_inclusive(|b| *b == b'\n');
        let written = written.filter(|line| wanted(&String::from_utf8_lossy(line)));
        telling_lines(&written.flatten().copied().collect::<Vec<u8>>(), LINES)
    };
    logs.iter().map(told).find(|lines| !lines.is_empty()).unwrap_or_default()
}

/// The end of a file, not before `from`. A log that cannot be read tells nothing, which is not a failure.
fn tail(path: &Path, from: u64) -> Vec<u8> {
    let read = || -> std::io::Result<Vec<u8>> {
        let (mut file, found) = files::open_plain(path)?;
        let length = found.size;
        // A file shorter than its mark was rotated: all of it is new.
        let from = if from > length { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL))))?;
        let mut bytes = Vec::new();
        let begin = from.max(length.saturating_sub(TAIL));
        file.take(TAIL).read_to_end(&mut bytes)?;
        // Where a line is cut at its beginning, so may be a secret in it.
        Ok(if begin > from { from_next_line(&bytes).to_vec() } else { bytes })
    };
    read().unwrap_or_default()
}

/// The end of a log in whole lines, and whether it is all of the log. A log that cannot be read is empty.
pub fn end_of_log(path: &Path) -> (Vec<u8>, bool) {
    LogEnd::read(path, SEARCHED).map_or((Vec::new(), true), |end| (end.bytes, end.whole))
}

/// The end of a log file.
#[derive(Debug)]
pub struct LogEnd {
    /// Its last bytes, from the beginning of a line on.
    pub bytes: Vec<u8>,
    /// They are all of it.
    pub whole: bool,
    /// Which file it is.
    pub file: FileIdentity,
    /// Where the bytes end in it.
    pub offset: u64,
}

impl LogEnd {
    /// Reads at most `most` bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path, most: u64) -> io::Result<Self> {
        let (mut file, found) = files::open_plain(path)?;
        let begin = found.size.saturating_sub(most);
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        let (whole, offset) = (begin == 0, begin + bytes.len() as u64);
        let bytes = if whole { bytes } else { from_next_line(&bytes).to_vec() };
        Ok(Self { bytes, whole, file: found.identity, offset })
    }
}

/// What follows the first line end; nothing if there is none.
fn from_next_line(bytes: &[u8]) -> &[u8] {
    let begin = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1);
    &bytes[begin..]
}

/// How long one reading may take.
const READING: Duration = Duration::from_secs(10);

/// What `journalctl --show-cursor` writes before the place where it ended.
const CURSOR: &str = "-- cursor: ";

/// Where a service writes what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceLog {
    /// A file.
    File(PathBuf),
    /// The journal of a unit.
    Journal(UnitJournal),
}

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
                "this user may not read the journal of {unit}: add the user to the group systemd-journal"
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
        Invocation { args, env, limit: READING, ..Invocation::new(&self.journalctl, &self.dir) }
    }

    /// The entries with their time and process, a line each: the last `lines` of them, within `span` (seconds since
    /// 1970) where that is given. Of more than 16 MiB the middle is not there.
    ///
    /// # Errors
    /// As [`UnitJournal::read`].
    pub fn entries(&self, lines: usize, span: Option<(i64, i64)>) -> io::Result<Vec<u8>> {
        let mut invocation = self.invocation();
        invocation.args.extend(["--quiet", "--output=short-iso"].map(Into::into));
        invocation.args.push(format!("--lines={lines}").into());
        if let Some((from, to)) = span {
            invocation.args.push(format!("--since=@{from}").into());
            invocation.args.push(format!("--until=@{to}").into());
        }
        finished(invocation)
    }

    /// The messages since `from`, a line each, and where the next reading continues. Of more than 16 MiB the middle is
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
        let mut text = finished(invocation)?;
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

/// What journalctl wrote.
fn finished(invocation: Invocation) -> io::Result<Vec<u8>> {
    let finished = invocation.run().map_err(io::Error::other)?;
    // Where nothing was written it may exit with 1, without a word.
    let silent = finished.stdout.is_empty() && finished.stderr.is_empty();
    let nothing_written = finished.code == Some(1) && silent;
    if !finished.success() && !nothing_written {
        let said = String::from_utf8_lossy(&finished.stderr).trim().to_owned();
        let what = if finished.timed_out { "did not end in time" } else { &said };
        return Err(io::Error::other(format!("journalctl: {what}")));
    }
    Ok(finished.stdout)
}

impl fmt::Display for UnitJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal of {}", self.unit)
    }
}
