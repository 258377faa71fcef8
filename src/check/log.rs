//! The lines written to a log since a moment: one that must come, and one that must not.

use std::io;
use std::sync::{Mutex, TryLockError};

use regex::{Regex, RegexBuilder};

use crate::config::{Check, CheckKind, FilePlace, LogCheck, LogSource};
use crate::model::{CheckName, Redactor};
use crate::service::ServiceLog;

use super::expectation::{Expectation, NoLog, Surroundings};
use super::file::why;
use super::judgement::{Judgement, shown, size};
use super::log_position::{LogPlace, LogPositions, LogReader, open};
use super::template::{ABBREVIATION, Piece, Subject, Template, begins_apart, ends_apart};

/// How much is read at a time.
const PIECE: u64 = 1 << 20;

/// A longer line is looked at in parts.
const LONGEST: usize = 64 << 10;

/// A log that is read on with each question.
#[derive(Debug)]
pub(super) struct LogAsker {
    check: LogCheck,
    redactor: Redactor,
    state: Mutex<Result<LineRules, String>>,
}

#[derive(Debug)]
struct LineRules {
    must: Option<WantedLine>,
    never: Option<UnwantedLine>,
}

#[derive(Debug)]
struct WantedLine {
    line: LinePattern,
    lines: Lines,
    /// It came; and whether it told the version.
    found: Option<bool>,
}

#[derive(Debug)]
struct UnwantedLine {
    line: LinePattern,
    lines: Lines,
    found: Option<String>,
}

impl LogAsker {
    /// Where no window was opened by a change, the lines from now on count, and none is waited for.
    pub(super) fn new(
        name: &CheckName,
        check: &LogCheck,
        around: &Surroundings,
        subject: &Subject,
    ) -> Self {
        let state = Mutex::new(LineRules::new(name, check, around, subject));
        Self { check: check.clone(), redactor: around.redactor.clone(), state }
    }

    /// Reads what was written since the question before.
    pub(super) fn ask(&self) -> Judgement {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => return Judgement::failed("is still being read"),
        };
        match &mut *state {
            Err(why) => Judgement::failed(why.clone()),
            Ok(state) => self.read(state).unwrap_or_else(Judgement::failed),
        }
    }

    /// As [`Self::ask`], with a limit of its own for what was written since the question before.
    pub(super) fn ask_anew(&self) -> Judgement {
        if let Ok(mut state) = self.state.try_lock()
            && let Ok(LineRules { never: Some(never), .. }) = &mut *state
        {
            never.lines.read = 0;
        }
        self.ask()
    }

    fn read(&self, state: &mut LineRules) -> Result<Judgement, String> {
        let hopeless = |why: String| Ok(Judgement { hopeless: true, ..Judgement::failed(why) });
        let most = self.check.max_bytes;
        if let Some(UnwantedLine { line, lines, found }) = &mut state.never {
            if found.is_none() {
                lines.each(most, self.check.optional, &mut |text| {
                    let hit = line.matches(text).is_some();
                    if hit {
                        *found = Some(shown(&self.redactor.text(text.trim())));
                    }
                    hit
                })?;
            }
            match found {
                Some(text) => return hopeless(format!("says \"{text}\"")),
                None if lines.read > most => {
                    return hopeless(format!("more than {} written", size(most)));
                }
                None if lines.lost() => {
                    return hopeless("was rotated before it was read completely".to_owned());
                }
                None => {}
            }
        }
        let Some(WantedLine { line, lines, found }) = &mut state.must else {
            return Ok(Judgement::fine("no forbidden line"));
        };
        if found.is_none() {
            lines.each(most, self.check.optional, &mut |text| {
                *found = line.matches(text);
                found.is_some()
            })?;
        }
        match found {
            Some(told) => {
                Ok(Judgement { told: *told, ..Judgement::fine("found the required line") })
            }
            None if lines.read > most => hopeless(format!("more than {} written", size(most))),
            None => {
                let wanted = self.check.must.as_deref().unwrap_or_default();
                Err(format!("no line matches \"{}\"", shown(wanted)))
            }
        }
    }
}

impl LineRules {
    fn new(
        name: &CheckName,
        check: &LogCheck,
        around: &Surroundings,
        subject: &Subject,
    ) -> Result<Self, String> {
        let places = around.places_of(&check.source).map_err(|no| no.why)?;
        let lines = |positions: Option<&LogPositions>| {
            let since = positions.and_then(|p| p.readers(name.as_str(), &around.top, &places));
            let from_now = || places.iter().map(|place| LogReader::from_now(&around.top, place));
            Lines::of(since.unwrap_or_else(|| from_now().collect()))
        };
        let window = around.window.as_ref();
        let must = check.must.as_ref().filter(|_| window.is_some());
        let must = must.map(|text| {
            let line = LinePattern::new(text, subject)?;
            Ok::<_, String>(WantedLine { line, lines: lines(window.map(|w| &w.must)), found: None })
        });
        let never = check.must_not.as_ref().map(|text| {
            let line = LinePattern::new(text, subject)?;
            let lines = lines(window.map(|w| &w.must_not));
            Ok::<_, String>(UnwantedLine { line, lines, found: None })
        });
        Ok(Self { must: must.transpose()?, never: never.transpose()? })
    }
}

/// The lines of some files.
#[derive(Debug)]
struct Lines {
    /// Each with the beginning of a line that has no end yet.
    files: Vec<(LogReader, Vec<u8>)>,
    read: u64,
}

impl Lines {
    fn of(readers: Vec<LogReader>) -> Self {
        Self { files: readers.into_iter().map(|reader| (reader, Vec::new())).collect(), read: 0 }
    }

    fn lost(&self) -> bool {
        self.files.iter().any(|(reader, _)| reader.lost())
    }

    /// Hands each new line to `look` until that has enough, or more than `most` bytes were read.
    fn each(
        &mut self,
        most: u64,
        optional: bool,
        look: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(), String> {
        for (reader, begun) in &mut self.files {
            let mut quiet = true;
            while self.read <= most {
                let piece = match reader.read(PIECE) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && optional => break,
                    read => read.map_err(|error| why(&error))?,
                };
                if piece.is_empty() {
                    break;
                }
                quiet = false;
                self.read += piece.len() as u64;
                begun.extend(piece);
                let mut at = 0;
                let hit = ended(begun).any(|line| {
                    at += line.len();
                    look(String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']))
                });
                // Once for all of them: a piece may hold a million lines.
                begun.drain(..at);
                if hit {
                    return Ok(());
                }
            }
            // A line that nobody has ended since the last look may never be.
            if quiet && !begun.is_empty() && look(&String::from_utf8_lossy(begun)) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The lines that have an end, each with it; of one that is too long without, what there is.
fn ended(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = bytes.iter().position(|b| *b == b'\n').map(|at| at + 1);
        let end = end.or((bytes.len() >= LONGEST).then_some(bytes.len()))?;
        let line;
        (line, bytes) = bytes.split_at(end);
        Some(line)
    })
}

/// The checks that name lines which must not come, from one moment on. A line that came counts for good.
#[derive(Debug)]
pub struct LogsSince {
    askers: Vec<(CheckName, LogAsker)>,
}

impl LogsSince {
    /// What is written from now on. The files are held open: they are followed wherever they are renamed to.
    pub fn now(checks: &[Check], expectation: &Expectation) -> Self {
        let subject = Subject::of(Some(expectation));
        let askers = checks.iter().filter_map(|check| match &check.kind {
            CheckKind::Log(log) if log.must_not.is_some() => {
                let asker = LogAsker::new(&check.name, log, &expectation.around, &subject);
                Some((check.name.clone(), asker))
            }
            _ => None,
        });
        Self { askers: askers.collect() }
    }

    /// Reads on; each log that does not say what it must, or cannot be read. How much a log may say is counted from
    /// one question to the next.
    pub fn faults(&self) -> Vec<String> {
        let answers = self.askers.iter().map(|(name, asker)| (name, asker.ask_anew()));
        let faults = answers.filter(|(_, judgement)| !judgement.ok);
        faults.map(|(name, judgement)| format!("{name} {}", judgement.answer)).collect()
    }
}

/// Where the logs that checks read end now. To be journalled before a change, and handed to [`super::prove`] in
/// [`Surroundings::window`].
pub fn log_positions(checks: &[Check], around: &Surroundings) -> LogPositions {
    let logs = checks.iter().filter_map(|check| match &check.kind {
        CheckKind::Log(log) => {
            Some((check.name.to_string(), around.places_of(&log.source).unwrap_or_default()))
        }
        _ => None,
    });
    LogPositions::take(&around.top, &logs.collect())
}

impl Surroundings {
    /// Where a log is written.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn places_of(&self, source: &LogSource) -> Result<Vec<LogPlace>, NoLog> {
        match source {
            LogSource::File(place) => Ok(vec![LogPlace::File(place.clone())]),
            LogSource::Service(name) => match self.service_logs.get(name) {
                Some(places) => places.clone(),
                None => {
                    let why = format!("the location of the log of {name} is not known");
                    Err(NoLog { why, lasting: false })
                }
            },
        }
    }

    /// Why a log cannot be read now: lasting where that is so whatever is started, by rights or by what is in its
    /// place, and not where nothing is there. `None` if it can be, or where that cannot be told before its service
    /// runs.
    pub fn unreadable(&self, log: &LogCheck) -> Option<NoLog> {
        let places = match self.places_of(&log.source) {
            Ok(places) => places,
            Err(no) => return Some(no).filter(|no| no.lasting),
        };
        let files = places.iter().filter_map(|place| match place {
            LogPlace::File(file) => Some((place, open(&self.top, file).err()?)),
            LogPlace::Journal(_) => None,
        });
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let told =
            files.filter(|(_, error)| !(log.optional && gone(error))).map(|(place, error)| NoLog {
                why: format!("{place}: {}", why(&error)),
                lasting: !gone(&error),
            });
        let mut told: Vec<NoLog> = told.collect();
        told.sort_by_key(|no| !no.lasting);
        told.into_iter().next()
    }

    /// A file below the live tree as one that may not lead out of it; anything else as it is.
    pub fn place_of(&self, log: ServiceLog) -> LogPlace {
        use std::os::unix::ffi::OsStrExt as _;
        let file = match log {
            ServiceLog::Journal(journal) => return LogPlace::Journal(journal),
            ServiceLog::File(file) => file,
        };
        let inside = file.strip_prefix(&self.top).ok();
        let inside =
            inside.and_then(|path| crate::model::RepoPath::new(path.as_os_str().as_bytes()).ok());
        LogPlace::File(inside.map_or(FilePlace::Host(file), FilePlace::Tree))
    }
}

/// A larger expression is not compiled.
const MOST_PROGRAM: usize = 1 << 20;

/// The lines that are looked for.
#[derive(Debug)]
pub(super) struct LinePattern {
    regex: Regex,
    /// The groups that stand for placeholders, with which one they stand for.
    groups: Vec<(String, Piece<'static>)>,
    /// A line with all of them rules out what served before.
    tells: bool,
}

impl LinePattern {
    /// # Errors
    /// When the expression, filled, is none.
    pub(super) fn new(text: &str, subject: &Subject) -> Result<Self, String> {
        let template = Template::new(text);
        let mut filled = String::new();
        let mut groups = Vec::new();
        for piece in template.pieces() {
            let own = match piece {
                Piece::Literal(text) => {
                    filled.push_str(text);
                    continue;
                }
                Piece::Version => Piece::Version,
                Piece::Commit => Piece::Commit,
                Piece::Deployment => Piece::Deployment,
            };
            let Some(value) = own.value(subject) else {
                // Not known: whatever is there tells nothing.
                filled.push_str(r"\S+");
                continue;
            };
            let name = format!("gitroll{}", groups.len());
            let value = match own {
                Piece::Commit => abbreviated(value),
                _ => regex::escape(value),
            };
            filled.push_str(&format!("(?P<{name}>{value})"));
            groups.push((name, own));
        }
        let regex = RegexBuilder::new(&filled).size_limit(MOST_PROGRAM).build();
        let regex =
            regex.map_err(|_| format!("\"{}\" is not a valid regular expression", shown(text)))?;
        let tells = template.known(subject) && template.tells(subject);
        Ok(Self { regex, groups, tells })
    }

    /// Whether the line matches; if so, whether it tells the version. A version must stand for itself.
    pub(super) fn matches(&self, line: &str) -> Option<bool> {
        if self.groups.is_empty() {
            return self.regex.is_match(line).then_some(false);
        }
        self.regex.captures_iter(line).find_map(|found| {
            let mut all = true;
            for (name, piece) in &self.groups {
                match found.name(name) {
                    None => all = false,
                    Some(value) => {
                        let apart = begins_apart(Some(piece), &line[..value.start()])
                            && ends_apart(Some(piece), &line[value.end()..]);
                        if !apart {
                            return None;
                        }
                    }
                }
            }
            Some(all && self.tells)
        })
    }
}

/// A commit by seven digits or more: `4be21d9(?:a(?:b)?)?`.
fn abbreviated(commit: &str) -> String {
    let (least, rest) = commit.split_at(ABBREVIATION.min(commit.len()));
    let digits: String = rest.chars().map(|digit| format!("(?:{digit}")).collect();
    format!("(?i:{least}{digits}{})", ")?".repeat(rest.len()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Served;

    #[test]
    fn lines_are_cut_from_a_piece_where_they_lie_and_an_open_one_is_left() {
        let cut = |text: &'static str| ended(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(cut("a\r\n\nb"), [b"a\r\n".as_slice(), b"\n"]);
        assert!(cut("b").is_empty());
        let long = vec![b'x'; LONGEST];
        assert_eq!(ended(&long).map(<[u8]>::len).collect::<Vec<_>>(), [LONGEST]);
        assert_eq!(ended(&long[1..]).count(), 0);
        // Nothing is moved for a line: what would be moved for each of a million is too much.
        let many = b"\n".repeat(1 << 20);
        let range = many.as_ptr_range();
        let lines = ended(&many);
        assert_eq!(lines.filter(|line| range.contains(&line.as_ptr())).count(), many.len());
    }

    #[test]
    fn a_piece_of_a_million_lines_is_looked_at_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "\n".repeat(4 << 20)).unwrap();
        let place = LogPlace::File(FilePlace::Host(path));
        let mut lines = Lines::of(vec![LogReader::from(dir.path(), &place, None)]);
        let mut seen = 0;
        lines
            .each(16 << 20, false, &mut |_| {
                seen += 1;
                false
            })
            .unwrap();
        assert_eq!(seen, 4 << 20);
        assert_eq!(lines.files[0].1.len(), 0);
    }

    const COMMIT: &str = "4be21d9aaaabbbbccccddddeeeeffff000011112";

    fn subject() -> Subject {
        Subject {
            version: Some("1.0.0".to_owned()),
            commit: Some(COMMIT.parse().unwrap()),
            deployment: Some("run-7".to_owned()),
            before: None,
        }
    }

    #[test]
    fn a_version_in_a_line_must_stand_for_itself_and_then_tells() {
        let table = [
            ("listens", "shop listens", Some(false)),
            ("^Error", "an Error", None),
            ("shop {version} listens", "shop 1.0.0 listens on 3000", Some(true)),
            ("shop v{version}", "shop v1.0.0", Some(true)),
            ("{version}", "shop 1.0.0-rc.1", None),
            ("{version}", "shop 11.0.0", None),
            ("{version}", "shop 1x0x0", None),
            ("{version}", "11.0.0, now 1.0.0", Some(true)),
            ("ready|{version}", "ready", Some(false)),
            ("{commit} up", "4be21d9 up", Some(true)),
            ("{commit} up", &format!("{COMMIT} up"), Some(true)),
            ("{commit} up", "4BE21D9A up", Some(true)),
            ("{commit} up", "4be21d up", None),
            ("{commit} up", "4be21d9b up", None),
            (r"run {deployment}\b", "run run-7", Some(true)),
        ];
        for (text, line, wanted) in table {
            let found = LinePattern::new(text, &subject()).unwrap().matches(line);
            assert_eq!(found, wanted, "{text:?} against {line:?}");
        }
    }

    #[test]
    fn what_is_not_known_or_not_different_tells_nothing() {
        let nobody = Subject::default();
        let line = LinePattern::new("shop {version} up", &nobody).unwrap();
        assert_eq!(line.matches("shop 9 up"), Some(false));
        let before = Served {
            commit: "7".repeat(40).parse().unwrap(),
            name: "before".to_owned(),
            version: Some("1.0.0".to_owned()),
        };
        let same = Subject { before: Some(before), ..subject() };
        let line = LinePattern::new("{version}", &same).unwrap();
        assert_eq!(line.matches("1.0.0"), Some(false));
    }
}
