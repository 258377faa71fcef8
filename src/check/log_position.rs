//! Logs from one moment on: where they ended then, and what was written since, through rotation.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::FilePlace;
use crate::model::Digest;
use crate::service::{JournalPosition, UnitJournal};
use crate::system::files::{self, Beneath, FileIdentity, FileStat};

/// One log: where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// A file.
    File(FilePlace),
    /// The journal of a unit.
    Journal(UnitJournal),
}

/// Where logs ended at one moment. Taken before a change and journalled, so that whoever asks later, also
/// another process after a kill, means the same lines. By whose question (the name of a check or a flag),
/// then by place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogPositions(BTreeMap<String, BTreeMap<String, Option<LogPosition>>>);

/// Where one log ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LogPosition {
    /// In a file.
    File(FilePosition),
    /// In the journal.
    Journal(JournalPosition),
}

/// Where one log file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// Which file it was, wherever it is renamed to.
    #[serde(flatten)]
    pub file: FileIdentity,
    /// Its length then, in bytes.
    pub offset: u64,
    /// The digest of some of the bytes before `offset`: others there mean that it was cut and written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
}

/// So many of the first and of the last bytes before an offset are known again.
const KNOWN: usize = 256;

/// At most so many files that were rotated away are read on, because someone may still write to them.
const MOST_OPEN: usize = 8;

/// At most so many names beside a log are looked at for the one it was renamed to.
const MOST_BESIDE: usize = 10_000;

impl LogPositions {
    /// Where the logs of each question end now; `top` is the live tree. A file that is not there or cannot
    /// be read has no position: if it comes, all of it was written since.
    pub fn take(top: &Path, logs: &BTreeMap<String, Vec<LogPlace>>) -> Self {
        let positions = |places: &Vec<LogPlace>| {
            places.iter().map(|place| (place.to_string(), place.end(top))).collect()
        };
        Self(logs.iter().map(|(name, places)| (name.clone(), positions(places))).collect())
    }

    /// Readers of what is written to `places` from these positions on; `None` if none were taken for
    /// this question. A file that was not among them then is read from its start, a journal from now on.
    pub fn readers(&self, name: &str, top: &Path, places: &[LogPlace]) -> Option<Vec<LogReader>> {
        let taken = self.0.get(name)?;
        let reader = |place: &LogPlace| {
            let position = taken.get(&place.to_string()).cloned().flatten();
            LogReader::from(top, place, position)
        };
        Some(places.iter().map(reader).collect())
    }

    /// These, and for each question of `later` those instead.
    #[must_use]
    pub fn with(mut self, later: Self) -> Self {
        self.0.extend(later.0);
        self
    }

    /// Whether a log of this question could not be read then.
    pub fn unread(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|places| places.is_empty() || places.values().any(Option::is_none))
    }

    /// Whether no question has any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl LogPlace {
    /// Where it ends now.
    fn end(&self, top: &Path) -> Option<LogPosition> {
        match self {
            LogPlace::File(file) => FilePosition::of(top, file).map(LogPosition::File),
            LogPlace::Journal(_) => Some(LogPosition::Journal(JournalPosition::now())),
        }
    }
}

impl std::fmt::Display for LogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LogPlace::File(file) => file.fmt(f),
            LogPlace::Journal(journal) => journal.fmt(f),
        }
    }
}

impl FilePosition {
    fn of(top: &Path, place: &FilePlace) -> Option<Self> {
        let (file, found) = open(top, place).ok()?;
        let before = EdgeBytes::of(&file, found.size).ok().map(|known| known.digest());
        Some(Self { file: found.identity, offset: found.size, before })
    }
}

/// What is written to one log, read piece by piece.
#[derive(Debug)]
pub enum LogReader {
    /// A file.
    File(FileReader),
    /// A journal.
    Journal {
        /// Which.
        journal: UnitJournal,
        /// Up to where it was read.
        at: JournalPosition,
        /// What was read of it and not handed out yet.
        left: Vec<u8>,
    },
}

impl LogReader {
    /// Reads from `position` on; without one a file from its start, a journal from now on.
    pub fn from(top: &Path, place: &LogPlace, position: Option<LogPosition>) -> Self {
        match (place, position) {
            (LogPlace::File(file), Some(LogPosition::File(at))) => {
                Self::File(FileReader::from(top, file, Some(at)))
            }
            (LogPlace::File(file), _) => Self::File(FileReader::from(top, file, None)),
            (LogPlace::Journal(journal), position) => {
                let at = match position {
                    Some(LogPosition::Journal(at)) => at,
                    _ => JournalPosition::now(),
                };
                Self::Journal { journal: journal.clone(), at, left: Vec::new() }
            }
        }
    }

    /// Reads what is written from now on.
    pub fn from_now(top: &Path, place: &LogPlace) -> Self {
        match place {
            LogPlace::File(file) => Self::File(FileReader::from_now(top, file)),
            LogPlace::Journal(_) => Self::from(top, place, None),
        }
    }

    /// What was written since the last call, at most `most` bytes of it; the rest comes with the next call.
    ///
    /// # Errors
    /// As [`FileReader::read`]; what journalctl says.
    pub fn read(&mut self, most: u64) -> io::Result<Vec<u8>> {
        match self {
            Self::File(file) => file.read(most),
            Self::Journal { journal, at, left } => {
                if left.is_empty() {
                    (*left, *at) = journal.read(at)?;
                }
                let end = left.len().min(usize::try_from(most).unwrap_or(usize::MAX));
                Ok(left.drain(..end).collect())
            }
        }
    }

    /// Whether lines may have been missed: the file was rotated out of sight before it was read.
    pub fn lost(&self) -> bool {
        matches!(self, Self::File(file) if file.lost)
    }
}

/// What is written to one log file, read piece by piece.
///
/// A file that is renamed away is read to its end, and on, before the one that takes its place is read from
/// its start. One that is cut in place (`copytruncate`, or opened again with its old content thrown away) is read from
/// its start again, also when it is longer by then than it was; what was written between the last look and the cut is
/// not seen.
#[derive(Debug)]
pub struct FileReader {
    top: PathBuf,
    place: FilePlace,
    position: Option<FilePosition>,
    began: bool,
    /// The oldest first; the last one is in place, or did.
    open: Vec<OpenLog>,
    /// The file of the position is nowhere to be found.
    lost: bool,
}

#[derive(Debug)]
struct OpenLog {
    file: File,
    identity: FileIdentity,
    offset: u64,
    /// As in [`FilePosition`].
    before: Option<Digest>,
}

impl FileReader {
    /// Reads from `position` on; from the start if there is none.
    pub fn from(top: &Path, place: &FilePlace, position: Option<FilePosition>) -> Self {
        let (top, place) = (top.to_owned(), place.clone());
        Self { top, place, position, began: false, open: Vec::new(), lost: false }
    }

    /// Reads what is written from now on.
    pub fn from_now(top: &Path, place: &FilePlace) -> Self {
        let mut reader = Self::from(top, place, FilePosition::of(top, place));
        // Held open from here on: whatever it is renamed to.
        let _ = reader.follow();
        reader
    }

    /// What was written since the last call, at most `most` bytes of it; the rest comes with the next call.
    /// Never waits.
    ///
    /// # Errors
    /// `NotFound` while the file has never been seen; any other I/O error; `InvalidInput` where something
    /// else than a regular file is there, `CrossesDevices` where a symbolic link leads out of the tree.
    pub fn read(&mut self, most: u64) -> io::Result<Vec<u8>> {
        self.follow()?;
        let mut bytes = Vec::new();
        for open in &mut self.open {
            let room = most.saturating_sub(bytes.len() as u64);
            let piece = open.read(room)?;
            if !piece.is_empty() && !matches!(bytes.last(), None | Some(b'\n')) {
                // The last line of a file that was rotated away is not the beginning of another's first.
                bytes.push(b'\n');
            }
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    /// Looks which file is in place now.
    fn follow(&mut self) -> io::Result<()> {
        let in_place = match open(&self.top, &self.place) {
            Ok(opened) => Some(opened),
            // Between the renaming and the new file; or before the first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let first = !std::mem::replace(&mut self.began, true);
        if let Some(position) = self.position.filter(|_| first)
            && in_place.as_ref().is_none_or(|(_, found)| found.identity != position.file)
        {
            match self.renamed(position.file) {
                Some(file) => self.push(file, position.file, Some(position)),
                None => self.lost = true,
            }
        }
        if let Some((file, found)) = in_place {
            let known = self.open.iter().any(|open| open.identity == found.identity);
            let at = self.position.filter(|position| position.file == found.identity);
            if !known {
                self.push(file, found.identity, at);
            }
        } else if self.open.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(())
    }

    fn push(&mut self, file: File, identity: FileIdentity, at: Option<FilePosition>) {
        let (offset, before) = at.map_or((0, None), |at| (at.offset, at.before));
        self.open.push(OpenLog { file, identity, offset, before });
        if self.open.len() > MOST_OPEN {
            self.open.remove(0);
        }
    }

    /// The file of this identity under another name in the same directory.
    fn renamed(&self, identity: FileIdentity) -> Option<File> {
        let path = match &self.place {
            FilePlace::Tree(path) => self.top.join(path.as_path()),
            FilePlace::Host(path) => path.clone(),
        };
        let dir = path.parent()?;
        let entries = std::fs::read_dir(dir).ok()?.take(MOST_BESIDE);
        entries.filter_map(Result::ok).find_map(|entry| {
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            let (file, found) = files::open_plain(&entry.path()).ok().filter(|_| is_file)?;
            (found.identity == identity).then_some(file)
        })
    }
}

impl OpenLog {
    fn read(&mut self, most: u64) -> io::Result<Vec<u8>> {
        let length = self.file.metadata()?.len();
        let mut seen = EdgeBytes::of(&self.file, self.offset.min(length))?;
        if length < self.offset || self.before.is_some_and(|before| before != seen.digest()) {
            self.offset = 0;
            seen = EdgeBytes::default();
        }
        let wanted = usize::try_from((length - self.offset).min(most)).unwrap_or(usize::MAX);
        let bytes = read_at(&self.file, self.offset, wanted)?;
        self.offset += bytes.len() as u64;
        seen.add(&bytes);
        self.before = Some(seen.digest());
        Ok(bytes)
    }
}

/// The first and the last bytes before an offset.
#[derive(Debug, Default)]
struct EdgeBytes {
    first: Vec<u8>,
    last: Vec<u8>,
}

impl EdgeBytes {
    fn of(file: &File, offset: u64) -> io::Result<Self> {
        let some = offset.min(KNOWN as u64);
        let first = read_at(file, 0, usize::try_from(some).unwrap_or(KNOWN))?;
        let last = read_at(file, offset - some, first.len())?;
        Ok(Self { first, last })
    }

    /// What was read from the offset on. Not looked up again: it may have been cut since.
    fn add(&mut self, bytes: &[u8]) {
        let room = KNOWN.saturating_sub(self.first.len()).min(bytes.len());
        self.first.extend(&bytes[..room]);
        self.last.extend(&bytes[bytes.len().saturating_sub(KNOWN)..]);
        self.last.drain(..self.last.len().saturating_sub(KNOWN));
    }

    fn digest(&self) -> Digest {
        Digest::of(&[self.first.as_slice(), &self.last].concat())
    }
}

/// What is at `offset`, `wanted` bytes or as many as there are.
pub(super) fn read_at(file: &File, offset: u64, wanted: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; wanted];
    let mut done = 0;
    while done < wanted {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            // Cut just now.
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Opens a named file, which must be a plain one.
pub(super) fn open(top: &Path, place: &FilePlace) -> io::Result<(File, FileStat)> {
    match place {
        FilePlace::Tree(path) => Beneath::open(top)?.open_plain(path),
        FilePlace::Host(path) => files::open_plain(path),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;
    use crate::model::RepoPath;

    struct Log(tempfile::TempDir);

    impl Log {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("app.log")
        }

        fn write(&self, text: &str) -> File {
            let mut file = OpenOptions::new().create(true).append(true).open(self.path()).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        }

        fn rotate(&self) {
            std::fs::rename(self.path(), self.0.path().join("app.log.1")).unwrap();
        }

        fn places(&self) -> Vec<LogPlace> {
            vec![LogPlace::File(FilePlace::Tree(RepoPath::new("app.log").unwrap()))]
        }

        fn positions(&self) -> LogPositions {
            let taken = BTreeMap::from([("quiet".to_owned(), self.places())]);
            let taken = LogPositions::take(self.0.path(), &taken);
            // As another process finds them in the journal.
            serde_json::from_str(&serde_json::to_string(&taken).unwrap()).unwrap()
        }

        fn reader(&self, positions: &LogPositions) -> LogReader {
            positions.readers("quiet", self.0.path(), &self.places()).unwrap().remove(0)
        }
    }

    fn text(reader: &mut LogReader) -> String {
        String::from_utf8(reader.read(1 << 20).unwrap()).unwrap()
    }

    #[test]
    fn only_what_was_written_since_is_read_and_each_byte_once() {
        let log = Log::new();
        log.write("old\n");
        let mut reader = log.reader(&log.positions());
        assert_eq!(text(&mut reader), "");
        log.write("a\nb");
        assert_eq!(reader.read(2).unwrap(), b"a\n");
        assert_eq!(text(&mut reader), "b");
        log.write("c\n");
        assert_eq!(text(&mut reader), "c\n");
        assert!(log.positions().readers("other", log.0.path(), &log.places()).is_none());
    }

    #[test]
    fn a_log_that_is_renamed_is_read_to_its_end_and_on_before_the_new_one() {
        let log = Log::new();
        log.write("old\n");
        let mut reader = log.reader(&log.positions());
        let mut held = log.write("a\n");
        assert_eq!(text(&mut reader), "a\n");
        held.write_all(b"b\n").unwrap();
        log.rotate();
        assert_eq!(text(&mut reader), "b\n", "there is no new one yet");
        log.write("new\n");
        held.write_all(b"late\n").unwrap();
        assert_eq!(text(&mut reader), "late\nnew\n");
        held.write_all(b"later, without an end").unwrap();
        log.write("newer\n");
        assert_eq!(text(&mut reader), "later, without an end\nnewer\n");
        assert!(!reader.lost());
    }

    #[test]
    fn a_position_is_found_again_after_the_log_was_renamed() {
        let log = Log::new();
        log.write("old\n");
        let positions = log.positions();
        log.write("since\n");
        log.rotate();
        log.write("new\n");
        let mut reader = log.reader(&positions);
        assert_eq!(text(&mut reader), "since\nnew\n");
        assert!(!reader.lost());
    }

    #[test]
    fn what_was_rotated_out_of_sight_is_said_to_be_lost() {
        let log = Log::new();
        log.write("old\n");
        let positions = log.positions();
        // Held, so that its inode is not given to the next file at once.
        let _held = log.write("since\n");
        std::fs::remove_file(log.path()).unwrap();
        log.write("new\n");
        let mut reader = log.reader(&positions);
        assert_eq!(text(&mut reader), "new\n");
        assert!(reader.lost());
    }

    #[test]
    fn a_log_that_is_cut_in_place_is_read_from_its_start() {
        let log = Log::new();
        log.write("a long line of before\n");
        let positions = log.positions();
        let file = log.write("");
        file.set_len(0).unwrap();
        log.write("new\n");
        let mut reader = log.reader(&positions);
        assert_eq!(text(&mut reader), "new\n");
        file.set_len(0).unwrap();
        assert_eq!(text(&mut reader), "");
        log.write("x\n");
        assert_eq!(text(&mut reader), "x\n");
    }

    #[test]
    fn a_log_that_is_cut_and_longer_than_before_at_the_next_look_is_read_from_its_start() {
        let log = Log::new();
        log.write("of before\n");
        let positions = log.positions();
        let file = log.write("");
        file.set_len(0).unwrap();
        let anew = format!("FATAL no db\n{}", "later\n".repeat(100));
        log.write(&anew);
        let mut reader = log.reader(&positions);
        assert_eq!(text(&mut reader), anew);
        // The same between two looks.
        file.set_len(0).unwrap();
        let again = format!("FATAL again\n{}", "later\n".repeat(200));
        log.write(&again);
        assert_eq!(text(&mut reader), again);
        log.write("more\n");
        assert_eq!(text(&mut reader), "more\n");
        assert!(!reader.lost());
    }

    #[test]
    fn a_position_of_an_earlier_version_goes_by_the_length_alone() {
        let log = Log::new();
        log.write("old\n");
        let text_of = serde_json::to_string(&log.positions()).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text_of).unwrap();
        value["quiet"]["app.log"].as_object_mut().unwrap().remove("before").unwrap();
        let positions: LogPositions = serde_json::from_value(value).unwrap();
        log.write("since\n");
        assert_eq!(text(&mut log.reader(&positions)), "since\n");
    }

    #[test]
    fn a_log_that_comes_later_is_read_from_its_start() {
        let log = Log::new();
        let positions = log.positions();
        let mut reader = log.reader(&positions);
        assert_eq!(reader.read(9).unwrap_err().kind(), io::ErrorKind::NotFound);
        log.write("first\n");
        assert_eq!(text(&mut reader), "first\n");
        let mut now = LogReader::from_now(log.0.path(), &log.places()[0]);
        assert_eq!(text(&mut now), "");
        log.write("second\n");
        assert_eq!(text(&mut now), "second\n");
    }

    #[test]
    fn a_pipe_as_a_log_is_refused_and_not_waited_for() {
        let log = Log::new();
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, log.path(), kind, 0o600.into(), 0).unwrap();
        let mut reader = log.reader(&log.positions());
        assert_eq!(reader.read(9).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
