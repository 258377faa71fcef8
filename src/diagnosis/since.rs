//! Since when it fails: by the times that a log writes before its lines, else by when it was seen.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;

/// Since when what serves fails, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FailingSince {
    /// The first time that is known.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Whether it began then. Otherwise it was failing by then, and nobody saw it begin.
    pub began: bool,
    /// What says so: `web log`; absent where gitroll saw it itself.
    pub told_by: Option<String>,
}

/// A piece of a cause that is shorter says too little to be found again.
const SHORTEST: usize = 12;

/// A cause and what is left of it without the words before its first colons: a log has other words before it.
pub(super) fn cores(cause: &str) -> impl Iterator<Item = &str> {
    let cause = without_time(cause);
    let rests = cause.match_indices(": ").map(move |(at, mark)| &cause[at + mark.len()..]);
    std::iter::once(cause).chain(rests.filter(|rest| rest.len() >= SHORTEST))
}

/// Whether a line of a log tells of this cause.
pub(super) fn tells_of(line: &str, cause: &str) -> bool {
    let line = plain(line);
    cores(cause).any(|core| !core.is_empty() && line.contains(&plain(core)))
}

/// A line without the time at its beginning.
pub fn without_time(line: &str) -> &str {
    match stamp_end(line) {
        Some(end) => line[end..].trim_start_matches([']', ':', ' ']),
        None => line,
    }
}

/// When a log first told of `cause` after `well`. `whole`: the lines begin where the log does; otherwise an error in
/// the very first of them may have begun before.
pub fn first_told<'l>(
    lines: impl IntoIterator<Item = &'l str>,
    cause: &str,
    well: Option<Timestamp>,
    whole: bool,
) -> Option<(Timestamp, bool)> {
    let mut before = whole;
    for line in lines {
        let Some(at) = time_of(line) else { continue };
        // What a log writes is finer than what a record holds.
        if well.is_some_and(|well| at < well) {
            before = true;
            continue;
        }
        if tells_of(line, cause) {
            return Some((at, before));
        }
        before = true;
    }
    None
}

/// An error without what differs from one time to the next.
pub(super) fn plain(error: &str) -> String {
    let letters = error.chars().filter(|c| !c.is_ascii_digit());
    letters.collect::<String>().to_lowercase()
}

/// The time at the beginning of a line: `2026-11-30T15:34:54.763Z`, `[2026-11-30 15:34:54,763]`; without an offset it
/// is local.
fn time_of(line: &str) -> Option<Timestamp> {
    let word = &line[..stamp_end(line)?];
    let word = word.trim_start_matches('[').replace(',', ".").replacen(' ', "T", 1);
    if let Ok(at) = word.parse::<Timestamp>() {
        return Some(at);
    }
    let local: DateTime = word.parse().ok()?;
    local.to_zoned(TimeZone::system()).ok().map(|zoned| zoned.timestamp())
}

/// Where the time at the beginning of a line ends.
fn stamp_end(line: &str) -> Option<usize> {
    let begin = usize::from(line.starts_with('['));
    let bytes = line.as_bytes();
    let shape = b"0000-00-00T00:00:00";
    let fits = |(place, wanted): (usize, &u8)| {
        let Some(found) = bytes.get(begin + place) else { return false };
        match wanted {
            b'0' => found.is_ascii_digit(),
            b'T' => matches!(found, b'T' | b' '),
            other => found == other,
        }
    };
    if !shape.iter().enumerate().all(fits) {
        return None;
    }
    let mut end = begin + shape.len();
    if matches!(bytes.get(end), Some(b'.' | b',')) {
        end += 1;
        end += bytes[end..].iter().take_while(|b| b.is_ascii_digit()).count();
    }
    match bytes.get(end) {
        Some(b'Z') => end += 1,
        Some(b'+' | b'-') => {
            end += 1;
            let offset = |b: &&u8| b.is_ascii_digit() || **b == b':';
            let length = bytes[end..].iter().take_while(offset).count();
            // `2026-11-30T15:34:54+00:00: message`
            let text = &line[end..end + length];
            end += text.trim_end_matches(':').len();
        }
        _ => {}
    }
    Some(end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_at_the_beginning_of_lines_are_read() {
        let table = [
            ("2026-11-30T15:34:54.763Z health: Error: boom", "health: Error: boom"),
            ("[2026-11-30T15:34:54+01:00] Error: boom", "Error: boom"),
            ("2026-11-30T15:34:54: Error: boom", "Error: boom"),
            ("2026-11-30 15:34:54,763 Error: boom", "Error: boom"),
            ("Error: boom", "Error: boom"),
            ("2026-11-30 is no time", "2026-11-30 is no time"),
        ];
        for (line, rest) in table {
            assert_eq!(without_time(line), rest, "{line}");
        }
        assert_eq!(time_of(table[0].0), Some(at("2026-11-30T15:34:54.763Z")));
        assert_eq!(time_of(table[1].0), Some(at("2026-11-30T14:34:54Z")));
        assert!(time_of("2026-19-39T15:34:54Z Error").is_none());
    }

    #[test]
    fn the_first_line_that_tells_of_the_cause_after_it_was_well_is_the_beginning() {
        let lines = [
            "2026-11-30T01:00:00Z Error: pool 3 is empty",
            "2026-11-30T02:00:00Z listening",
            "2026-11-30T02:58:00Z health: Error: pool 4 is empty",
            "2026-11-30T02:59:00Z health: Error: pool 4 is empty",
        ];
        let well = Some(at("2026-11-30T02:00:00Z"));
        let cause = "db: pool 4 is empty";
        let began = at("2026-11-30T02:58:00Z");
        assert_eq!(first_told(lines, cause, well, false), Some((began, true)));
        // Where the log that is read begins with it, it may have begun before.
        assert_eq!(first_told(lines[2..].to_vec(), cause, well, false), Some((began, false)));
        assert_eq!(first_told(lines[2..].to_vec(), cause, well, true), Some((began, true)));
        assert_eq!(first_told(lines, "another cause of it", well, true), None);
    }
}
