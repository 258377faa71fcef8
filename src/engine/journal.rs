//! The journal of a run: append-only JSON lines with sequence and checksum, each fsynced.
//!
//! A line is `{"sum":"<16 hex>","n":<n>,"at":"<time>","entry":{…}}`; `sum` is the first 16 digits of the
//! SHA-256 of the line with `"sum":"…",` taken out. A torn last line is what a kill leaves and is
//! ignored; anything else that does not fit is damage, and the bytes are kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};

use super::entry::{Begun, Entry};
use super::phase::Phase;
use crate::model::Digest;
use crate::system::{failpoint, files};

/// One line with its position and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Position, from 1.
    pub n: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub entry: Entry,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line in its middle is not what was written. The file is left as it is.
    #[error("{path}, line {line}: {problem}; the file is unchanged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A file of a run that had begun is not there any more.
    #[error("{path} is missing although the run had begun; its other files are unchanged")]
    Lost {
        /// The file.
        path: PathBuf,
    },
}

impl JournalError {
    /// The directory of the run that nobody can believe any more; `None` if reading or writing failed.
    pub fn damaged_run(&self) -> Option<&Path> {
        match self {
            JournalError::Damaged { path, .. } | JournalError::Lost { path } => path.parent(),
            JournalError::Io { .. } => None,
        }
    }
}

/// What a run makes in its directory only after the journal's first line was on the disk.
const AFTER_FIRST_LINE: [&str; 5] =
    ["converge.json", "reserve", "tmp", "watchdog.json", "watchdog.log"];

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// `None` until the first write: who only looks must neither need write permission nor cut what
    /// another process is writing.
    file: Option<File>,
    /// How many bytes of the file are whole lines.
    whole: u64,
    lines: Vec<Line>,
    phase: Phase,
}

impl Journal {
    /// Begins a journal in `dir`.
    ///
    /// # Errors
    /// Any I/O error; the file must not exist.
    pub fn create(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join("journal.jsonl");
        let io = |source| JournalError::Io { path: path.clone(), source };
        let file =
            OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path).map_err(io)?;
        hold_room(&file);
        files::sync_dir(dir).map_err(io)?;
        Ok(Self { path, file: Some(file), whole: 0, lines: Vec::new(), phase: Phase::Fresh })
    }

    /// Reads the journal in `dir`. A torn last line is ignored, and cut off by the first write.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when the middle is not what was written, or the first line is torn although the
    /// run went on after it; [`JournalError::Lost`] when there is none although the run had begun.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join("journal.jsonl");
        let went_on = || AFTER_FIRST_LINE.iter().find(|name| dir.join(name).exists());
        let bytes = crate::system::files::read_state(&path).map_err(|source| {
            match source.kind() == io::ErrorKind::NotFound && went_on().is_some() {
                true => JournalError::Lost { path: path.clone() },
                false => JournalError::Io { path: path.clone(), source },
            }
        })?;
        let (lines, whole) = read(&bytes).map_err(|(line, problem)| JournalError::Damaged {
            path: path.clone(),
            line,
            problem,
        })?;
        // That line was on the disk before anything else was done: this is not what a kill leaves.
        if let (true, Some(later)) = (lines.is_empty(), went_on()) {
            let problem =
                format!("it is incomplete, and {later} shows that the run continued after it");
            return Err(JournalError::Damaged { path, line: 1, problem });
        }
        let mut phase = Phase::Fresh;
        for (index, line) in lines.iter().enumerate() {
            phase = phase.after(&line.entry).map_err(|impossible| JournalError::Damaged {
                path: path.clone(),
                line: index + 1,
                problem: impossible.to_string(),
            })?;
        }
        Ok(Self { path, file: None, whole: whole as u64, lines, phase })
    }

    /// Whether the last line in `dir` is whole and says that the run is over, whatever the lines before it are by
    /// now: nothing is left to be done that they could tell.
    pub fn ends_closed(dir: &Path) -> bool {
        let bytes =
            crate::system::files::read_state(&dir.join("journal.jsonl")).unwrap_or_default();
        let last = bytes.split_inclusive(|b| *b == b'\n').next_back();
        last.and_then(|raw| unpack(raw).ok()).is_some_and(|body| {
            serde_json::from_str::<Line>(&body)
                .is_ok_and(|line| matches!(line.entry, Entry::Closed { .. }))
        })
    }

    /// Appends an entry and returns when it is on the disk.
    ///
    /// # Errors
    /// Any I/O error.
    ///
    /// # Panics
    /// Never on input: an entry that cannot follow is a bug of this program.
    pub fn write(&mut self, entry: Entry, at: Timestamp) -> Result<(), JournalError> {
        let next = self.phase.clone().after(&entry).map_err(|e| JournalError::Io {
            path: self.path.clone(),
            source: io::Error::other(e),
        })?;
        let line = Line { n: self.lines.len() as u64 + 1, at, entry };
        let bytes = encode(&line);
        let path = self.path.clone();
        let place = |when: &str| format!("journal {} {when}", line.entry.kind());
        failpoint::pass(&place("before"))
            .and_then(|()| self.append(&bytes))
            .and_then(|()| failpoint::pass(&place("after")))
            .map_err(|source| JournalError::Io { path, source })?;
        // Only now: whatever is on the disk of a line that failed, the next one takes its place.
        self.whole += bytes.len() as u64;
        self.lines.push(line);
        self.phase = next;
        if self.phase.is_closed()
            && let Some(file) = &self.file
        {
            // The room that was held goes back.
            let _ = file.set_len(self.whole);
        }
        Ok(())
    }

    /// Appends after the last whole line: what a kill or a full disk left of another is cut off first.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => OpenOptions::new().append(true).open(&self.path)?,
        };
        if file.metadata()?.len() != self.whole {
            file.set_len(self.whole)?;
            file.sync_all()?;
            hold_room(&file);
        }
        file.write_all(bytes)?;
        file.sync_data()?;
        self.file = Some(file);
        Ok(())
    }

    /// Where the run stands.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What was written so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How the run began, once that is written.
    pub fn begun(&self) -> Option<&Begun> {
        self.lines.iter().find_map(|line| match &line.entry {
            Entry::Begun(begun) => Some(begun),
            _ => None,
        })
    }
}

/// Holds room for all lines a run may write, so that a disk that fills up meanwhile does not stop it half way.
/// Best effort: not every file system can.
fn hold_room(file: &File) {
    const ROOM: u64 = 1024 * 1024;
    if let Err(error) = rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, ROOM) {
        tracing::debug!("no disk space could be reserved for the journal: {error}");
    }
}

fn encode(line: &Line) -> Vec<u8> {
    let body = serde_json::to_string(line).expect("a journal line has only text keys");
    let sum = &Digest::of(body.as_bytes()).hex()[..16];
    format!("{{\"sum\":\"{sum}\",{}\n", &body[1..]).into_bytes()
}

/// The lines of a journal and how many bytes of it are whole; else the line that is damaged, and how.
fn read(bytes: &[u8]) -> Result<(Vec<Line>, usize), (usize, String)> {
    let mut lines = Vec::new();
    let mut whole = 0;
    for (index, raw) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let last = whole + raw.len() == bytes.len();
        match decode(raw, index as u64 + 1) {
            Ok(line) => lines.push(line),
            Err(Unread::Torn(_)) if last => return Ok((lines, whole)),
            Err(Unread::Torn(problem) | Unread::Unknown(problem)) => {
                return Err((index + 1, problem));
            }
        }
        whole += raw.len();
    }
    Ok((lines, whole))
}

/// Why a line was not read.
enum Unread {
    /// Its bytes are not those that were written.
    Torn(String),
    /// They are, and say what this program does not know.
    Unknown(String),
}

/// A line's JSON without its checksum, which matches.
fn unpack(raw: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(raw).map_err(|_| "it is not text")?;
    let text = text.strip_suffix('\n').ok_or("it has no end")?;
    let rest = text.strip_prefix("{\"sum\":\"").ok_or("it has no checksum")?;
    let (sum, rest) = rest.split_once("\",").ok_or("it has no checksum")?;
    let body = format!("{{{rest}");
    if Digest::of(body.as_bytes()).hex()[..16] != *sum {
        return Err("its checksum does not match");
    }
    Ok(body)
}

fn decode(raw: &[u8], n: u64) -> Result<Line, Unread> {
    let body = unpack(raw).map_err(|problem| Unread::Torn(problem.to_owned()))?;
    let line: Line = serde_json::from_str(&body).map_err(|e| Unread::Unknown(e.to_string()))?;
    if line.n != n {
        return Err(Unread::Unknown(format!("it claims to be line {}", line.n)));
    }
    match &line.entry {
        Entry::Begun(begun) if begun.journal != Begun::VERSION => {
            Err(Unread::Unknown(format!("its version {} needs a different gitroll", begun.journal)))
        }
        _ => Ok(line),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn written(dir: &Path) -> Vec<u8> {
        let mut journal = Journal::create(dir).unwrap();
        journal.write(Entry::Begun(Begun::for_tests()), Timestamp::UNIX_EPOCH).unwrap();
        journal.write(Entry::intent(0), Timestamp::UNIX_EPOCH).unwrap();
        std::fs::read(dir.join("journal.jsonl")).unwrap()
    }

    #[test]
    fn every_torn_end_is_cut_and_the_run_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let bytes = written(home.path());
        let first = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        for cut in first..bytes.len() {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("journal.jsonl"), &bytes[..cut]).unwrap();
            let mut journal = Journal::open(dir.path()).unwrap();
            assert_eq!(*journal.phase(), Phase::Forward { next: 0, announced: false });
            journal.write(Entry::intent(0), Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(Journal::open(dir.path()).unwrap().lines().len(), 2);
        }
    }

    /// The text with the sums its lines ought to have.
    fn summed(text: &str) -> String {
        text.lines()
            .map(|line| {
                let body = format!("{{{}", line.split_once("\",").unwrap().1);
                let sum = &Digest::of(body.as_bytes()).hex()[..16];
                format!("{{\"sum\":\"{sum}\",{}\n", &body[1..])
            })
            .collect()
    }

    #[test]
    fn a_restoration_journalled_before_its_times_were_is_read() {
        let home = tempfile::tempdir().unwrap();
        written(home.path());
        let mut journal = Journal::open(home.path()).unwrap();
        let (checks, services, reloads) = (Vec::new(), Vec::new(), Vec::new());
        for entry in [
            Entry::Restoring { why: String::new(), cause: None },
            Entry::TreeRestored { millis: 7, logs: None, notes: Vec::new() },
            Entry::Restored { checks, services, millis: 7, reloads, weak: None, witnessed: None },
        ] {
            journal.write(entry, Timestamp::UNIX_EPOCH).unwrap();
        }
        let path = home.path().join("journal.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        let older = text
            .replace(r#""what":"tree-restored","millis":7"#, r#""what":"tree-restored""#)
            .replace(r#","reloads":[]"#, "");
        assert!(older.len() + 20 < text.len(), "{older}");
        std::fs::write(&path, summed(&older)).unwrap();
        assert_eq!(*Journal::open(home.path()).unwrap().phase(), Phase::Restored);
    }

    #[test]
    fn a_whole_last_line_of_a_newer_version_is_kept_and_refused() {
        for (old, new) in [("\"intent\"", "\"later\""), ("\"journal\":1", "\"journal\":2")] {
            let home = tempfile::tempdir().unwrap();
            let text = String::from_utf8(written(home.path())).unwrap();
            let path = home.path().join("journal.jsonl");
            let lines = summed(&text.replace(old, new));
            std::fs::write(&path, &lines).unwrap();
            assert!(
                matches!(Journal::open(home.path()), Err(JournalError::Damaged { .. })),
                "{new}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), lines);
        }
    }

    #[test]
    fn a_damaged_middle_is_an_error_and_the_bytes_stay() {
        let home = tempfile::tempdir().unwrap();
        let mut bytes = written(home.path());
        bytes[40] ^= 1;
        let path = home.path().join("journal.jsonl");
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Journal::open(home.path()), Err(JournalError::Damaged { line: 1, .. })));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_line_taken_out_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let bytes = written(home.path());
        let first = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        let doubled = [&bytes[first..], &bytes[first..]].concat();
        std::fs::write(home.path().join("journal.jsonl"), doubled).unwrap();
        assert!(Journal::open(home.path()).is_err());
    }
}

#[test]
fn no_damaged_journal_makes_it_panic() {
    crate::model::mutated::each("journal", |bytes| {
        if let Err((_, problem)) = read(bytes) {
            assert!(!problem.is_empty());
        }
    });
}
