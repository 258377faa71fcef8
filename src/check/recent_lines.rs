//! The lines that were written to a log lately, without a change that would open its window.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use regex::Regex;

use crate::config::{FilePlace, LogCheck};
use crate::model::Redactor;
use crate::service::JournalPosition;
use crate::system::clock;

use super::expectation::Surroundings;
use super::file::why;
use super::judgement::{Judgement, seconds, shown};
use super::log::LinePattern;
use super::log_position::{LogPlace, open, read_at};
use super::template::Subject;

/// A date with a time of day as logs write it, with the zone where it is said.
const MOMENT: &str = r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,][0-9]{1,9})?(?: ?(Z|[+-][0-9]{2}:?[0-9]{2})\b)?";

/// Seconds or milliseconds since 1970 in a JSON line.
const EPOCH: &str = r#""(?:time|ts|timestamp)"\s*:\s*"?([0-9]{10})(?:[0-9]{3}|\.[0-9]+)?\b"#;

/// A question about the last lines of a log.
#[derive(Debug)]
pub(super) struct RecentLines {
    top: PathBuf,
    places: Result<Vec<LogPlace>, String>,
    optional: bool,
    most: u64,
    since: Duration,
    lines: Result<(Option<LinePattern>, Option<LinePattern>), String>,
    redactor: Redactor,
}

/// The lines that fit.
#[derive(Debug, Default)]
struct Matches {
    count: usize,
    last: String,
}

impl RecentLines {
    /// Lines of the last `since`, in the last `max_bytes` of each file.
    pub(super) fn new(
        check: &LogCheck,
        since: Duration,
        around: &Surroundings,
        subject: &Subject,
    ) -> Self {
        let line = |text: &Option<String>| {
            text.as_ref().map(|text| LinePattern::new(text, subject)).transpose()
        };
        let lines = line(&check.must).and_then(|must| Ok((must, line(&check.must_not)?)));
        Self {
            top: around.top.clone(),
            places: around.places_of(&check.source).map_err(|no| no.why),
            optional: check.optional,
            most: check.max_bytes,
            since,
            lines,
            redactor: around.redactor.clone(),
        }
    }

    pub(super) fn ask(&self) -> Judgement {
        self.look().unwrap_or_else(Judgement::unaskable)
    }

    fn look(&self) -> Result<Judgement, String> {
        let (must, never) = self.lines.as_ref().map_err(Clone::clone)?;
        let times = Times::new().map_err(|error| error.to_string())?;
        let (mut wanted, mut unwanted) = (Matches::default(), Matches::default());
        for place in self.places.as_ref().map_err(Clone::clone)? {
            let text = match self.written(place) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.optional => continue,
                Err(error) => return Err(format!("{}: {}", place, why(&error))),
            };
            for line in times.lately(&text, clock::now(), self.since) {
                for (regex, found) in [(must, &mut wanted), (never, &mut unwanted)] {
                    if regex.as_ref().is_some_and(|regex| regex.matches(line).is_some()) {
                        found.count += 1;
                        found.last = line.trim().to_owned();
                    }
                }
            }
        }
        let within = seconds_or_minutes(self.since);
        let told = |found: &Matches| {
            let last = shown(&self.redactor.text(&found.last));
            let lines = if found.count == 1 {
                "1 line".to_owned()
            } else {
                format!("{} lines", found.count)
            };
            format!("{lines} in {within}, the last \"{last}\"")
        };
        Ok(match (must.is_some(), wanted.count, unwanted.count) {
            (_, _, 1..) => Judgement::failed(told(&unwanted)),
            (true, 0, 0) => Judgement::failed(format!("no such line in {within}")),
            (true, 1.., 0) => Judgement::fine(told(&wanted)),
            (false, _, 0) => Judgement::fine(format!("no such line in {within}")),
        })
    }

    /// What was written to a place lately, as far as it is known; lines of before may be among it.
    fn written(&self, place: &LogPlace) -> io::Result<String> {
        match place {
            LogPlace::File(file) => self.tail(file),
            LogPlace::Journal(journal) => {
                let micros = i64::try_from(self.since.as_micros()).unwrap_or(i64::MAX);
                let since = clock::now().as_microsecond().saturating_sub(micros);
                let (text, _) = journal.read(&JournalPosition::Since(since))?;
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
        }
    }

    /// The last bytes of a file, from the beginning of a line on; none where nothing was written lately.
    fn tail(&self, place: &FilePlace) -> io::Result<String> {
        let (file, found) = open(&self.top, place)?;
        let written = file.metadata()?.modified()?;
        if written.elapsed().is_ok_and(|ago| ago > self.since) {
            return Ok(String::new());
        }
        let from = found.size.saturating_sub(self.most);
        let bytes = read_at(&file, from, usize::try_from(found.size - from).unwrap_or(usize::MAX))?;
        let begin = match from {
            0 => 0,
            _ => bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1),
        };
        Ok(String::from_utf8_lossy(&bytes[begin..]).into_owned())
    }
}

/// The lines of a log within a span of time, and what is known of its times.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LinesBetween<'t> {
    /// A line without a time belongs to the one before it.
    pub lines: Vec<&'t str>,
    /// The first time in the text, in seconds since 1970; `None` where its lines carry no times.
    pub begins: Option<i64>,
}

/// The lines that were written from `from` to `to`, both in seconds since 1970.
#[must_use]
pub fn lines_between(text: &str, from: i64, to: i64) -> LinesBetween<'_> {
    Times::new().map(|times| times.between(text, from, to)).unwrap_or_default()
}

/// `15 min`, `90 s`.
fn seconds_or_minutes(time: Duration) -> String {
    match time.as_secs() {
        whole if whole >= 60 && whole.is_multiple_of(60) => format!("{} min", whole / 60),
        _ => seconds(time),
    }
}

/// How lines say when they were written.
struct Times {
    moment: Regex,
    epoch: Regex,
    zone: TimeZone,
}

impl Times {
    fn new() -> Result<Self, regex::Error> {
        let zone = TimeZone::system();
        Ok(Self { moment: Regex::new(MOMENT)?, epoch: Regex::new(EPOCH)?, zone })
    }

    /// The lines that are not older than `since`. A line without a time belongs to the one before it; where no
    /// line has one all of them count.
    fn lately<'t>(&self, text: &'t str, now: Timestamp, since: Duration) -> Vec<&'t str> {
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let from = now.as_second().saturating_sub(seconds);
        let mut timed = false;
        let mut inside = false;
        let mut lines = Vec::new();
        for line in text.lines() {
            if let Some(at) = self.of(line) {
                (timed, inside) = (true, at >= from);
            }
            if inside {
                lines.push(line);
            }
        }
        if timed { lines } else { text.lines().collect() }
    }

    fn between<'t>(&self, text: &'t str, from: i64, to: i64) -> LinesBetween<'t> {
        let mut found = LinesBetween::default();
        let mut inside = false;
        for line in text.lines() {
            if let Some(at) = self.of(line) {
                found.begins.get_or_insert(at);
                inside = (from..=to).contains(&at);
            }
            if inside {
                found.lines.push(line);
            }
        }
        found
    }

    /// When a line was written, in seconds since 1970. A time without a zone is one of this host's.
    fn of(&self, line: &str) -> Option<i64> {
        if let Some(found) = self.moment.captures(line) {
            let [year, month, day, time] =
                [1, 2, 3, 4].map(|n| found.get(n).map_or("", |m| m.as_str()));
            let written = format!("{year}-{month}-{day}T{time}");
            let zone = found.get(5).map(|zone| zone.as_str());
            let at = match zone {
                Some("Z") => format!("{written}Z").parse::<Timestamp>().ok(),
                Some(zone) => {
                    let (hours, minutes) = (&zone[..3], &zone[zone.len() - 2..]);
                    format!("{written}{hours}:{minutes}").parse().ok()
                }
                None => {
                    let civil = written.parse::<DateTime>().ok()?;
                    Some(civil.to_zoned(self.zone.clone()).ok()?.timestamp())
                }
            };
            if let Some(at) = at {
                return Some(at.as_second());
            }
        }
        self.epoch.captures(line)?.get(1)?.as_str().parse().ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn times() -> Times {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        Times { zone, ..Times::new().unwrap() }
    }

    #[test]
    fn a_line_says_when_it_was_written() {
        let noon: i64 = "2026-01-13T12:00:00Z".parse::<Timestamp>().unwrap().as_second();
        for line in [
            "2026-01-13T12:00:00Z up",
            "[2026-01-13T12:00:00.123Z] up",
            "{\"timestamp\":\"2026-01-13T13:00:00.5+01:00\",\"level\":\"INFO\"}",
            "2026-01-13 07:00:00,250 -0500 INFO",
            "2026/01/13 14:00:00 [error] nginx",
            "2026-01-13T14:00:00: what pm2 puts before a line",
            "{\"level\":30,\"time\":1768305600123,\"msg\":\"x\"}",
            "{\"ts\": 1768305600.25}",
        ] {
            assert_eq!(times().of(line), Some(noon), "{line}");
        }
        for line in ["up", "", "2026-13-45T12:00:00Z", "at 12:00:00", "id 1768305600123"] {
            assert_eq!(times().of(line), None, "{line}");
        }
    }

    #[test]
    fn only_what_is_young_enough_counts() {
        let now: Timestamp = "2026-01-13T12:00:00Z".parse().unwrap();
        let quarter = Duration::from_secs(15 * 60);
        let lately = |text: &'static str| times().lately(text, now, quarter);
        let text = "  of before\n2026-01-13T11:44:59Z old\n  at its stack\n\
                    2026-01-13T11:45:00Z new\n  at its stack\n";
        assert_eq!(lately(text), ["2026-01-13T11:45:00Z new", "  at its stack"]);
        assert_eq!(lately("one\ntwo\n"), ["one", "two"]);
        assert!(lately("2026-01-13T01:00:00Z x\ny\n").is_empty());
        assert!(lately("").is_empty());
    }

    #[test]
    fn the_lines_of_a_span_come_with_those_that_belong_to_them() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        let (from, to) = (at("2026-01-13T12:00:00Z"), at("2026-01-13T12:05:00Z"));
        let text = "2026-01-13T11:59:59Z before\n  its stack\n2026-01-13T12:00:00Z in\n  its stack\n\
                    2026-01-13T12:05:01Z after\n";
        let found = times().between(text, from, to);
        assert_eq!(found.lines, ["2026-01-13T12:00:00Z in", "  its stack"]);
        assert_eq!(found.begins, Some(from - 1));
        assert_eq!(times().between("no time\n", from, to), LinesBetween::default());
    }
}
