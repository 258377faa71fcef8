//! JSON with the place of each value. That the text is JSON at all says `serde_json`; what is done here is
//! finding the places in a text known to be right.

use std::ops::Range;

use serde_json::Value as Json;

use super::tree::{Edit, Kind, Member, Node};

/// The document.
///
/// # Errors
/// Where it stops being JSON.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    // `serde_json` also bounds how deep it is nested.
    if let Err(error) = serde_json::from_str::<Json>(&text[start..]) {
        let (line, column) = (error.line(), error.column());
        return Err(format!("is not valid JSON from line {line}, column {column} on"));
    }
    let mut reader = JsonReader { text, at: start };
    reader.value().ok_or_else(|| "is JSON that gitroll cannot edit".to_owned())
}

/// One more entry behind the last one, spaced as that is.
pub(super) fn insert(
    text: &str,
    holder: &Node,
    object: &[Member],
    name: &str,
    value: &Json,
) -> Edit {
    let entry = |colon: &str| format!("{}{colon}{value}", Json::from(name));
    let Some(last) = object.last() else {
        let inner = holder.span.start + 1;
        return Edit { span: inner..inner, text: entry(": ") };
    };
    let before =
        object.len().checked_sub(2).map_or(holder.span.start + 1, |i| object[i].value.span.end);
    let colon = &text[last.span.end..last.value.span.start];
    let between = &text[before..last.span.start];
    let space = match between.rfind('\n') {
        Some(line) if between[..line].ends_with('\r') => &between[line - 1..],
        Some(line) => &between[line..],
        // On one line the space before the first entry says nothing about the next ones.
        None if object.len() == 1 => colon.trim_start_matches(':'),
        None => between.trim_start().trim_start_matches(','),
    };
    let end = last.value.span.end;
    Edit { span: end..end, text: format!(",{space}{}", entry(colon)) }
}

/// An entry with the comma that it no longer needs.
pub(super) fn remove(holder: &Node, object: &[Member], entry: &Member) -> Edit {
    let at = object.iter().position(|other| other.span == entry.span).unwrap_or_default();
    let span = match (at.checked_sub(1).map(|at| &object[at]), object.get(at + 1)) {
        (Some(before), _) => before.value.span.end..entry.value.span.end,
        (None, Some(next)) => entry.span.start..next.span.start,
        (None, None) => holder.span.start + 1..holder.span.end - 1,
    };
    Edit { span, text: String::new() }
}

struct JsonReader<'a> {
    text: &'a str,
    at: usize,
}

impl JsonReader<'_> {
    fn value(&mut self) -> Option<Node> {
        self.space();
        let start = self.at;
        let kind = match self.next()? {
            b'{' => Kind::Object(self.items(b'}', Self::entry)?),
            b'[' => Kind::List(self.items(b']', Self::value)?),
            b'"' => Kind::Scalar(Json::String(self.string()?.0)),
            _ => {
                let rest = &self.text[self.at..];
                let length =
                    rest.find([',', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
                self.at += length;
                Kind::Scalar(serde_json::from_str(&rest[..length]).ok()?)
            }
        };
        Some(Node { span: start..self.at, kind })
    }

    fn entry(&mut self) -> Option<Member> {
        self.space();
        let (name, span) = self.string()?;
        self.space();
        self.at += 1;
        Some(Member { name, span, value: self.value()? })
    }

    fn items<T>(&mut self, end: u8, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        while self.next()? != end {
            items.push(item(self)?);
            self.space();
            if self.next()? == b',' {
                self.at += 1;
            }
            self.space();
        }
        self.at += 1;
        Some(items)
    }

    fn string(&mut self) -> Option<(String, Range<usize>)> {
        let start = self.at;
        let mut escaped = false;
        let inner = self.text.get(start + 1..)?.bytes().position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        })?;
        self.at = start + inner + 2;
        Some((serde_json::from_str(&self.text[start..self.at]).ok()?, start..self.at))
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
