//! The last paragraph of a record's message: its trailers, in their one order.

use std::fmt::{Display, Write as _};
use std::str::FromStr;

/// The major version of the record format that this program reads and writes.
pub(super) const VERSION: &str = "1";

/// How often a trailer may stand in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Once,
    Optional,
    Many,
}

/// Every trailer this version knows, in the order in which they stand.
const KNOWN: [(&str, Count); 30] = [
    ("Gitroll-Record", Count::Once),
    ("Gitroll-App", Count::Once),
    ("Gitroll-Environment", Count::Once),
    ("Gitroll-Writer", Count::Once),
    ("Gitroll-Chain", Count::Once),
    ("Gitroll-Seq", Count::Once),
    ("Gitroll-Previous", Count::Optional),
    ("Gitroll-Event", Count::Once),
    ("Gitroll-Outcome", Count::Once),
    ("Gitroll-From", Count::Optional),
    ("Gitroll-To", Count::Optional),
    ("Gitroll-Target", Count::Optional),
    ("Gitroll-Adopts", Count::Many),
    ("Gitroll-Subject", Count::Optional),
    ("Gitroll-Verdict", Count::Optional),
    ("Gitroll-Hold", Count::Optional),
    ("Gitroll-Component", Count::Many),
    ("Gitroll-Flag", Count::Many),
    ("Gitroll-Lifts", Count::Many),
    ("Gitroll-Annotates", Count::Optional),
    ("Gitroll-Seen", Count::Many),
    ("Gitroll-Plan", Count::Optional),
    ("Gitroll-Request", Count::Optional),
    ("Gitroll-Clock", Count::Optional),
    ("Gitroll-Moved-To", Count::Optional),
    ("Gitroll-Ran-Since", Count::Optional),
    ("Gitroll-Trusts", Count::Many),
    ("Gitroll-Revokes", Count::Many),
    ("Gitroll-Evidence", Count::Once),
    ("Gitroll-Config", Count::Once),
];

/// Writes `name: value` lines.
pub(super) fn write(message: &mut String, name: &str, value: &dyn Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(message, "{name}: {value}");
}

/// The trailers of one record, checked for names, number and order.
#[derive(Debug)]
pub(super) struct Trailers<'a> {
    known: Vec<(&'static str, &'a str)>,
    unknown: Vec<(&'a str, &'a str)>,
}

impl<'a> Trailers<'a> {
    /// Reads the last paragraph of a message, without its last line end.
    pub fn parse(paragraph: &'a str) -> Result<Self, String> {
        let mut trailers = Trailers { known: Vec::new(), unknown: Vec::new() };
        let mut reached = 0;
        for line in paragraph.split('\n') {
            let (name, value) = split_line(line)?;
            match KNOWN.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) {
                None => trailers.unknown.push((name, value)),
                Some(place) => {
                    let (known, count) = KNOWN[place];
                    // Git takes names in any case; two spellings of one trailer must not say two things.
                    if known != name {
                        return Err(format!("trailer {name} must be spelled {known}"));
                    }
                    let again = trailers.known.iter().any(|(before, _)| *before == known);
                    if again && count != Count::Many {
                        return Err(format!("trailer {known} occurs twice"));
                    }
                    if place < reached {
                        return Err(format!("trailer {known} is in the wrong place"));
                    }
                    reached = place;
                    trailers.known.push((known, value));
                }
            }
        }
        trailers.check_version()?;
        match KNOWN.iter().find(|(name, count)| *count == Count::Once && !trailers.has(name)) {
            Some((name, _)) => Err(format!("trailer {name} is missing")),
            None => Ok(trailers),
        }
    }

    // Said before anything else is found wrong: another version may have other rules.
    fn check_version(&self) -> Result<(), String> {
        match self.all("Gitroll-Record").next() {
            Some(VERSION) => Ok(()),
            Some(other) if other.bytes().all(|b| b.is_ascii_digit()) => Err(format!(
                "it has record format {other}; this gitroll reads format {VERSION}: a newer one is needed"
            )),
            Some(_) => Err("trailer Gitroll-Record is not a version number".to_owned()),
            None => Err("trailer Gitroll-Record is missing".to_owned()),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.known.iter().any(|(known, _)| *known == name)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.known.iter().filter(move |(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// A trailer that must be there.
    pub fn required<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<T, String> {
        self.optional(name)?.ok_or_else(|| format!("trailer {name} is missing"))
    }

    /// A trailer that may be there once.
    pub fn optional<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, String> {
        Ok(self.many(name)?.into_iter().next())
    }

    /// A trailer that may be there any number of times.
    pub fn many<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<Vec<T>, String> {
        self.all(name)
            .map(|value| value.parse().map_err(|error| format!("trailer {name}: {error}")))
            .collect()
    }

    /// Trailers of a newer version, in their order.
    pub fn unknown(&self) -> Vec<(String, String)> {
        self.unknown.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

fn split_line(line: &str) -> Result<(&str, &str), String> {
    let problem = || format!("line {line:?} is not a trailer");
    let (name, value) = line.split_once(": ").ok_or_else(problem)?;
    let plain = name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain && !value.is_empty() && value.trim() == value && !value.contains(char::is_control) {
        Ok((name, value))
    } else {
        Err(problem())
    }
}
