//! The dotenv format, as the `dotenv` package of npm reads it: where a value stands, and how it is changed
//! without touching anything else.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::model::parse_dotenv;

/// The package's own expression (version 16), its ends of lines and white space spelled out as JavaScript
/// means them. Groups: the name, what stands between it and the value, the value.
static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let space = "[\t\n\x0B\x0C\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}]";
    let expression = r#"(?m)^~*(?:export~+)?([A-Za-z0-9_.\-]+)(~*=~*?|:~+?)(~*'(?:\\'|[^'])*'|~*"(?:\\"|[^"])*"|~*`(?:\\`|[^`])*`|[^#\r\n]+)?~*(?:#[^\n]*)?$"#;
    Regex::new(&expression.replace('~', space)).ok()
});

/// One assignment.
#[derive(Debug, Clone)]
struct Pair {
    name: String,
    value: String,
    /// From the name, or `export` before it, to the end of the value.
    whole: Range<usize>,
    /// The value with its quotes; empty where there is none.
    raw: Range<usize>,
}

/// What each name is set to: of several assignments the last one counts, for this reader as for all others
/// that are known.
pub(super) fn values(bytes: &[u8]) -> BTreeMap<String, String> {
    pairs(bytes).into_iter().map(|pair| (pair.name, pair.value)).collect()
}

/// How many times a name is assigned.
pub(super) fn times(bytes: &[u8], name: &str) -> usize {
    pairs(bytes).iter().filter(|pair| pair.name == name).count()
}

/// The bytes with `name` set to `value`, or without it. Of several assignments the last one is changed, for it
/// is the one that counts; taken out are all, else an earlier one would count.
///
/// # Errors
/// Why it cannot be done without changing what another name is set to.
pub(super) fn with(bytes: &[u8], name: &str, value: Option<&str>) -> Result<Vec<u8>, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !name.chars().all(plain) {
        return Err("a name in a dotenv file has letters, digits, `_`, `.` and `-` only".to_owned());
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
    // Our own reading of the result, compared with what was wanted, decides; that the other, more careful
    // reader sees no other change either is better still.
    let mut fitting = candidates.into_iter().filter(|new| values(new) == wanted).peekable();
    let first = fitting.peek().cloned();
    let others = others(bytes, name);
    fitting.find(|new| self::others(new, name) == others).or(first).ok_or_else(|| {
        "this value cannot be written into a dotenv file without changing what else is read from it: \
         look at the quotes around it"
            .to_owned()
    })
}

fn others(bytes: &[u8], name: &str) -> Vec<(String, String)> {
    let mut pairs = parse_dotenv(&String::from_utf8_lossy(bytes));
    pairs.retain(|(key, _)| key != name);
    pairs
}

/// The ways to write it, best first.
fn changed(bytes: &[u8], name: &str, value: &str) -> Result<Vec<Vec<u8>>, String> {
    let pair = pairs(bytes).into_iter().rfind(|pair| pair.name == name);
    let Some(pair) = pair else {
        return Ok(spellings(value, None).map(|raw| appended(bytes, name, &raw)).collect());
    };
    let gap = &bytes[pair.whole.start..pair.raw.start];
    if gap.contains(&b'\n') || gap.contains(&b'\r') {
        return Err(
            "its value begins on another line than its name: write both on one line".to_owned()
        );
    }
    let old = &bytes[pair.raw.clone()];
    let quote = old.first().filter(|first| old.len() > 1 && old.last() == Some(first));
    let quote = quote.map(|b| char::from(*b)).filter(|c| matches!(c, '"' | '\'' | '`'));
    // Read by others, a `#` that touches the value would be part of it.
    let touches = old.is_empty() && bytes.get(pair.raw.end) == Some(&b'#');
    let gap = if touches { " " } else { "" };
    Ok(spellings(value, quote)
        .map(|raw| {
            [&bytes[..pair.raw.start], raw.as_bytes(), gap.as_bytes(), &bytes[pair.raw.end..]]
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
    for pair in pairs(bytes).iter().rev().filter(|pair| pair.name == name) {
        let begin =
            left[..pair.whole.start].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let begin =
            if left[begin..].starts_with("\u{feff}".as_bytes()) { begin + 3 } else { begin };
        let end = left[pair.whole.end..].iter().position(|b| *b == b'\n');
        match end {
            Some(at) => drop(left.drain(begin..=pair.whole.end + at)),
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

fn pairs(bytes: &[u8]) -> Vec<Pair> {
    let text = Text::of(bytes);
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
        Some(Pair {
            name: name.as_str().to_owned(),
            value: meaning(trimmed),
            whole: text.original(start)..text.original(begin + trimmed.len()),
            raw: text.original(begin)..text.original(begin + trimmed.len()),
        })
    });
    found.collect()
}

/// The value without its quotes, as the package has it.
fn meaning(raw: &str) -> String {
    let quote = raw.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
    let inner = match quote {
        Some(quote) if raw.len() > 1 && raw.ends_with(quote) => &raw[1..raw.len() - 1],
        _ => raw,
    };
    if quote == Some('"') {
        return inner.replace("\\n", "\n").replace("\\r", "\r");
    }
    inner.to_owned()
}

fn is_space(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

/// The bytes as the package reads them, each line end one `\n`, and where each of its bytes was.
struct Text {
    text: String,
    /// The place of each byte of `text`, and of its end.
    places: Vec<usize>,
}

impl Text {
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
