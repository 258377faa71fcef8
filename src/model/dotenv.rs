//! The dotenv format (`.env`): what a file assigns, where each assignment is in its bytes, and how one is
//! changed without touching any other byte.
//!
//! Read as the `dotenv` package of npm reads it, from bytes: a byte that is not UTF-8 spoils no more than the
//! value it is in.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// No environment file is larger.
pub const MOST_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub name: String,
    /// Without its quotes; bytes that are no UTF-8 are `U+FFFD`.
    pub value: String,
    /// `"`, `'` or a backtick where the value is quoted.
    pub quote: Option<char>,
    /// From the name, or `export` before it, to the end of the value.
    pub span: Range<usize>,
    /// The value with its quotes; empty if there is none.
    pub value_span: Range<usize>,
}

/// Why a file cannot be changed as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DotenvError {
    #[error("a name in a dotenv file may contain only letters, digits, `_`, `.` and `-`")]
    Name,
    #[error("its value begins on a different line than its name: write both on one line")]
    SplitLine,
    #[error(
        "this value cannot be written into a dotenv file without changing other values: check the \
         quotes around it"
    )]
    Value,
}

/// All assignments, in the order of the file.
pub fn assignments(bytes: &[u8]) -> Vec<Assignment> {
    let text = LineText::of(bytes);
    let Some(line) = LINE.as_ref() else { return Vec::new() };
    let found = line.captures_iter(&text.text).filter_map(|found| {
        let (name, gap) = (found.get(1)?, found.get(2)?);
        let raw = found.get(3).map_or("", |raw| raw.as_str());
        let from = found.get(3).map_or(gap.end(), |raw| raw.start());
        let trimmed = raw.trim_matches(is_space);
        let begin = match trimmed {
            "" => gap.end(),
            _ => from + raw.find(trimmed)?,
        };
        let all = found.get(0)?.start();
        let before = text.text[all..name.start()].rfind("export");
        let start = before.map_or(name.start(), |at| all + at);
        let (quote, value) = unquoted(trimmed);
        let end = text.original(begin + trimmed.len());
        Some(Assignment {
            name: name.as_str().to_owned(),
            value,
            quote,
            span: text.original(start)..end,
            value_span: text.original(begin)..end,
        })
    });
    found.collect()
}

/// What each name is set to: of several assignments the last one counts, for this reader as for all others
/// that are known.
pub fn values(bytes: &[u8]) -> BTreeMap<String, String> {
    assignments(bytes).into_iter().map(|pair| (pair.name, pair.value)).collect()
}

/// The names, sorted, each once: what may be shown of a file with secrets.
pub fn names(bytes: &[u8]) -> Vec<String> {
    values(bytes).into_keys().collect()
}

/// Every name and value that some reader may find, for whoever looks for secrets: read strictly and loosely, a
/// value that holds a `#` whole and cut there, one that is not UTF-8 also as Latin-1.
pub fn possible_values(bytes: &[u8]) -> Vec<(String, String)> {
    let mut pairs: Vec<_> =
        assignments(bytes).into_iter().map(|pair| (pair.name, pair.value)).collect();
    pairs.extend(loose_pairs(&String::from_utf8_lossy(bytes)));
    if str::from_utf8(bytes).is_err() {
        let latin_1: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        pairs.extend(loose_pairs(&latin_1));
    }
    pairs
}

/// The bytes with `name` set to `value`, or without it. Of several assignments the last one is changed, for it
/// is the one that counts; taken out are all, else an earlier one would count.
pub fn with(bytes: &[u8], name: &str, value: Option<&str>) -> Result<Vec<u8>, DotenvError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !name.chars().all(plain) {
        return Err(DotenvError::Name);
    }
    let mut wanted = values(bytes);
    match value {
        Some(value) => wanted.insert(name.to_owned(), value.to_owned()),
        None => wanted.remove(name),
    };
    let candidates = match value {
        None => vec![without(bytes, name)],
        Some(value) => changed(bytes, name, value)?,
    };
    // Our own reading of the result, compared with what was wanted, decides; that a looser reader sees no other
    // change either is better still.
    let mut fitting = candidates.into_iter().filter(|new| values(new) == wanted).peekable();
    let first = fitting.peek().cloned();
    let others = others(bytes, name);
    fitting.find(|new| self::others(new, name) == others).or(first).ok_or(DotenvError::Value)
}

/// The package's own expression (version 16), its ends of lines and white space spelled out as JavaScript
/// means them. Groups: the name, what is between it and the value, the value.
static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let space = "[\t\n\x0B\x0C\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}]";
    let expression = r#"(?m)^~*(?:export~+)?([A-Za-z0-9_.\-]+)(~*=~*?|:~+?)(~*'(?:\\'|[^'])*'|~*"(?:\\"|[^"])*"|~*`(?:\\`|[^`])*`|[^#\r\n]+)?~*(?:#[^\n]*)?$"#;
    Regex::new(&expression.replace('~', space)).ok()
});

fn others(bytes: &[u8], name: &str) -> Vec<(String, String)> {
    let mut pairs = loose_pairs(&String::from_utf8_lossy(bytes));
    pairs.retain(|(key, _)| key != name);
    pairs
}

/// The ways to write it, best first.
fn changed(bytes: &[u8], name: &str, value: &str) -> Result<Vec<Vec<u8>>, DotenvError> {
    let pair = assignments(bytes).into_iter().rfind(|pair| pair.name == name);
    let Some(pair) = pair else {
        return Ok(spellings(value, None).map(|raw| appended(bytes, name, &raw)).collect());
    };
    let gap = &bytes[pair.span.start..pair.value_span.start];
    if gap.contains(&b'\n') || gap.contains(&b'\r') {
        return Err(DotenvError::SplitLine);
    }
    // Read by others, a `#` that touches the value would be part of it.
    let touches = pair.value_span.is_empty() && bytes.get(pair.value_span.end) == Some(&b'#');
    let gap = if touches { " " } else { "" };
    Ok(spellings(value, pair.quote)
        .map(|raw| {
            [
                &bytes[..pair.value_span.start],
                raw.as_bytes(),
                gap.as_bytes(),
                &bytes[pair.value_span.end..],
            ]
            .concat()
        })
        .collect())
}

/// The value as it was quoted before, else bare, else in the first quotes that all readers understand.
fn spellings(value: &str, quote: Option<char>) -> impl Iterator<Item = String> {
    let bare = value.chars().all(|c| c.is_ascii_alphanumeric() || "_./:@%+,-".contains(c));
    // Many readers expand `$` and `\` between double quotes.
    let expands = value.contains(['$', '\\', '`']);
    let quoted = |quote: char| format!("{quote}{value}{quote}");
    let kept =
        quote.filter(|quote| !value.contains(*quote) && (*quote == '\'' || !expands)).map(quoted);
    let bare = bare.then(|| value.to_owned());
    let usual = if expands { ['\'', '"', '`'] } else { ['"', '\'', '`'] };
    let usual = usual.into_iter().filter(|quote| !value.contains(*quote)).map(quoted);
    kept.into_iter().chain(bare).chain(usual.collect::<Vec<_>>())
}

fn appended(bytes: &[u8], name: &str, raw: &str) -> Vec<u8> {
    let end = if bytes.windows(2).any(|pair| pair == b"\r\n") { "\r\n" } else { "\n" };
    let line = format!("{name}={raw}");
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    if text.is_empty() || text.ends_with(b"\n") {
        [bytes, line.as_bytes(), end.as_bytes()].concat()
    } else {
        [bytes, end.as_bytes(), line.as_bytes()].concat()
    }
}

/// Without every line that assigns it, comments behind the value included.
fn without(bytes: &[u8], name: &str) -> Vec<u8> {
    let mut left = bytes.to_vec();
    for pair in assignments(bytes).iter().rev().filter(|pair| pair.name == name) {
        let begin =
            left[..pair.span.start].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let begin =
            if left[begin..].starts_with("\u{feff}".as_bytes()) { begin + 3 } else { begin };
        let end = left[pair.span.end..].iter().position(|b| *b == b'\n');
        match end {
            Some(at) => drop(left.drain(begin..=pair.span.end + at)),
            None => {
                // The last line had no end: the one before it becomes such a line.
                left.truncate(begin);
                for end in [b'\n', b'\r'] {
                    if left.last() == Some(&end) {
                        left.pop();
                    }
                }
            }
        }
    }
    left
}

/// The quote and what is between two of it, as the package has it. A quote that is not closed is a part of
/// the value, and yet that of `"` lets `\n` be a line end.
fn unquoted(raw: &str) -> (Option<char>, String) {
    let first = raw.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
    let quote = first.filter(|quote| raw.len() > 1 && raw.ends_with(*quote));
    let inner = if quote.is_some() { &raw[1..raw.len() - 1] } else { raw };
    let value = match first {
        Some('"') => inner.replace("\\n", "\n").replace("\\r", "\r"),
        _ => inner.to_owned(),
    };
    (quote, value)
}

fn is_space(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

/// As readers have it that know `\"` in quotes and take more for a name. An unquoted value that holds a `#` comes
/// twice, whole and cut there.
fn loose_pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        let Some((key, value)) = split_pair(line) else {
            continue;
        };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
        if let Some(quote) = quote {
            // The value may continue over the following lines, up to the closing quote.
            let begin = value.as_ptr() as usize - text.as_ptr() as usize + 1;
            if let Some(length) = closing_quote(&text[begin..], quote) {
                let inner = &text[begin..begin + length];
                let value = if quote == '"' {
                    inner.replace("\\n", "\n").replace("\\r", "\r").replace("\\\"", "\"")
                } else {
                    inner.to_owned()
                };
                pairs.push((key.to_owned(), value));
                let tail = &text[begin + length + 1..];
                rest = tail.split_once('\n').map_or("", |(_, next)| next);
                continue;
            }
        }
        let whole = value.split(" #").next().unwrap_or(value).trim();
        pairs.push((key.to_owned(), whole.to_owned()));
        if let Some((cut, _)) = whole.split_once('#') {
            pairs.push((key.to_owned(), cut.trim().to_owned()));
        }
    }
    pairs
}

fn split_pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (key, value) = line.split_once('=').or_else(|| line.split_once(": "))?;
    let key = key.trim_end();
    let plain = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ':' | '@'));
    plain.then_some((key, value))
}

fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// The bytes as the package reads them, each line end one `\n`, and where each of its bytes was.
struct LineText {
    text: String,
    /// The place of each byte of `text`, and of its end.
    places: Vec<usize>,
}

impl LineText {
    fn of(bytes: &[u8]) -> Self {
        let (mut text, mut places) =
            (String::with_capacity(bytes.len()), Vec::with_capacity(bytes.len() + 1));
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            let mut valid = chunk.valid().char_indices().peekable();
            while let Some((offset, c)) = valid.next() {
                let place = at + offset;
                let kept = if c == '\r' {
                    valid.next_if(|(_, next)| *next == '\n');
                    '\n'
                } else {
                    c
                };
                text.push(kept);
                places.extend((0..kept.len_utf8()).map(|byte| place + byte));
            }
            at += chunk.valid().len();
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
                places.extend([at; 3]);
                at += chunk.invalid().len();
            }
        }
        places.push(bytes.len());
        Self { text, places }
    }

    fn original(&self, at: usize) -> usize {
        self.places.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
