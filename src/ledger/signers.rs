//! The lists of keys that are trusted or revoked, read without a program: their plain lines.
//!
//! A plain line of the trust file names its principals letter by letter, and nothing but namespaces and times limits its
//! key. Other lines (patterns, authorities, hardware keys) say nothing here: `ssh-keygen` reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::ssh::{Key, NAMESPACE};

/// No time zone is further from UTC, in seconds, with some to spare.
const FURTHEST_ZONE: i64 = 26 * 3_600;

/// What a trust file says, as far as it is plain.
#[derive(Debug, Default)]
pub(super) struct Signers(Vec<Line>);

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Plain(Plain),
    /// It may say anything.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
struct Plain {
    principals: Vec<String>,
    /// The key is for what git signs, among others.
    for_git: bool,
    after: Option<Time>,
    before: Option<Time>,
    key: Vec<u8>,
}

/// A time, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Time {
    seconds: i64,
    /// It is by the clock of some place: by how much that differs is not known here.
    local: bool,
}

impl Time {
    /// `20300101`, `203001011200`, `20300101120000`; with a `Z` after it where it is UTC.
    fn parse(text: &str) -> Option<Self> {
        let (digits, local) = match text.strip_suffix('Z') {
            Some(digits) => (digits, false),
            None => (text, true),
        };
        if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let part =
            |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |d| d.parse().ok());
        let year =
            digits.get(..4)?.parse::<i16>().ok().filter(|year| (1971..9000).contains(year))?;
        let time = DateTime::new(
            year,
            part(4, 6)?,
            part(6, 8)?,
            part(8, 10)?,
            part(10, 12)?,
            part(12, 14)?,
            0,
        );
        let seconds = time.ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
        Some(Self { seconds, local })
    }

    /// Whether it is over at a moment; the moment itself counts as `itself`.
    fn is_over_at(self, moment: i64, itself: bool) -> Option<bool> {
        let since = moment.saturating_sub(self.seconds);
        match self.local && since.abs() <= FURTHEST_ZONE {
            true => None,
            false => Some(since > 0 || (since == 0 && itself)),
        }
    }
}

impl Plain {
    fn parse(line: &str) -> Option<Self> {
        let (principals, rest) = line.split_once([' ', '\t'])?;
        let rest = rest.trim_start_matches([' ', '\t']);
        let names = principals.split(',').map(str::to_owned).collect::<Vec<_>>();
        if names.iter().any(|name| !is_literal(name)) {
            return None;
        }
        let mut plain =
            Self { principals: names, for_git: true, after: None, before: None, key: Vec::new() };
        plain.key = match key(rest) {
            Some(key) => key,
            None => {
                let key_text = plain.read_options(rest)?;
                key(key_text)?
            }
        };
        let in_order = match (plain.after, plain.before) {
            (Some(after), Some(before)) => after.seconds < before.seconds,
            _ => true,
        };
        in_order.then_some(plain)
    }

    /// Reads the options before a key, and returns what comes after them.
    fn read_options<'a>(&mut self, mut text: &'a str) -> Option<&'a str> {
        let mut known = Vec::new();
        loop {
            let (name, rest) = text.split_once("=\"")?;
            let (value, rest) = rest.split_once('"')?;
            if known.contains(&name) {
                return None;
            }
            known.push(name);
            match name {
                "namespaces" => {
                    let mut names = value.split(',');
                    if !names.clone().all(is_literal) {
                        return None;
                    }
                    self.for_git = names.any(|name| name == NAMESPACE);
                }
                "valid-after" => self.after = Some(Time::parse(value)?),
                "valid-before" => self.before = Some(Time::parse(value)?),
                _ => return None,
            }
            match rest.strip_prefix(',') {
                Some(more) => text = more,
                None => {
                    let key = rest.trim_start_matches([' ', '\t']);
                    return (key.len() < rest.len()).then_some(key);
                }
            }
        }
    }

    /// Whether the key counts at a time; `None` where that depends on a time zone.
    fn counts_at(&self, seconds: i64) -> Option<bool> {
        let begun = self.after.map_or(Some(true), |after| after.is_over_at(seconds, true));
        let over = self.before.map_or(Some(false), |before| before.is_over_at(seconds, false));
        match (self.for_git, begun, over) {
            (false, ..) | (_, Some(false), _) | (_, _, Some(true)) => Some(false),
            (true, Some(true), Some(false)) => Some(true),
            _ => None,
        }
    }
}

impl Signers {
    /// Reads a trust file.
    pub fn parse(bytes: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else { return Self(vec![Line::Other]) };
        let lines = entries(text).map(|line| match is_printed(line).then(|| Plain::parse(line)) {
            Some(Some(plain)) => Line::Plain(plain),
            _ => Line::Other,
        });
        Self(lines.collect())
    }

    /// Whether a key is trusted for a principal at a time. `None` where a line may say so that is not plain, or where
    /// it depends on a time zone.
    pub fn trust(&self, key: &[u8], principal: &str, seconds: i64) -> Option<bool> {
        let mut certain = true;
        for line in &self.0 {
            let Line::Plain(plain) = line else {
                certain = false;
                continue;
            };
            if plain.key != key || !plain.principals.iter().any(|name| name == principal) {
                continue;
            }
            match plain.counts_at(seconds) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => certain = false,
            }
        }
        certain.then_some(false)
    }

    /// The principal of the first line with a key, where all lines up to it are plain and it counts at a time.
    pub fn principal(&self, key: &[u8], seconds: i64) -> Option<&str> {
        for line in &self.0 {
            match line {
                Line::Other => return None,
                Line::Plain(plain) if plain.key == key => match &plain.principals[..] {
                    [only] if plain.counts_at(seconds) == Some(true) => return Some(only),
                    _ => return None,
                },
                Line::Plain(_) => {}
            }
        }
        None
    }
}

/// The keys of a plain revocation list. `None` where any line of it is something else: it may revoke anybody.
pub(super) fn revoked(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text = std::str::from_utf8(bytes).ok()?;
    entries(text).map(|line| key(line).filter(|_| is_printed(line))).collect()
}

/// The lines that are neither empty nor a comment.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.split('\n').map(|line| line.trim_start_matches([' ', '\t']));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The key of `<type> <base64> [comment]`.
fn key(text: &str) -> Option<Vec<u8>> {
    let (kind, rest) = text.split_once([' ', '\t'])?;
    let blob = rest.trim_start_matches([' ', '\t']).split([' ', '\t']).next()?;
    let blob = STANDARD.decode(blob).ok()?;
    (Key::of(&blob)?.kind() == kind).then_some(blob)
}

/// Whether a name stands for itself alone.
fn is_literal(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._@+-:/".contains(&b);
    (1..=256).contains(&name.len()) && name.bytes().all(plain)
}

fn is_printed(line: &str) -> bool {
    line.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b))
}
