//! YAML with the place of each value, as the parser's events tell it. What an edit of a few characters could
//! not change safely is refused: aliases and anchors, tags, several documents, block texts.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value as Json;

use super::tree::{Edit, Kind, Member, Node, line_end};

const DEEPEST: usize = 100;

/// What older readers (YAML 1.1) take for a boolean and newer ones for a text.
const OLD_BOOLEANS: [&str; 8] = ["yes", "no", "on", "off", "y", "n", "t", "f"];

/// The document.
///
/// # Errors
/// Where it stops being YAML, or what in it is left alone.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut reader = YamlReader {
        parser: Parser::new_from_str(text),
        text,
        bytes: text.char_indices().map(|(at, _)| at).chain([text.len()]).collect(),
    };
    let mut document = None;
    loop {
        match reader.next()? {
            (Event::DocumentStart(_), _) if document.is_some() => {
                return Err("contains more than one document: use one file for each".to_owned());
            }
            (Event::DocumentStart(_), _) => {
                let first = reader.next()?;
                document = Some(reader.node(first, 0)?);
            }
            (Event::StreamEnd, _) => break,
            _ => {}
        }
    }
    document.ok_or_else(|| "is empty".to_owned())
}

struct YamlReader<'a> {
    text: &'a str,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    /// Where each character begins: the parser counts characters.
    bytes: Vec<usize>,
}

impl<'a> YamlReader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), String> {
        match self.parser.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let (line, column) = (error.marker().line(), error.marker().col() + 1);
                Err(format!("is not valid YAML from line {line}, column {column} on"))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, (event, span): (Event<'a>, Span), depth: usize) -> Result<Node, String> {
        if depth > DEEPEST {
            return Err("is nested too deep".to_owned());
        }
        let begin = self.place(&span).start;
        let (kind, end, marked) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = match style {
                    ScalarStyle::Plain => Kind::Scalar(plain(&text)),
                    ScalarStyle::Literal | ScalarStyle::Folded => {
                        Kind::Other("a text of several lines", text.into_owned())
                    }
                    _ => Kind::Scalar(Json::String(text.into_owned())),
                };
                (kind, self.place(&span).end, anchor > 0 || tag.is_some())
            }
            Event::SequenceStart(anchor, tag) => {
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, span) => break self.place(&span).end,
                        item => items.push(self.node(item, depth + 1)?),
                    }
                };
                (Kind::List(items), end, anchor > 0 || tag.is_some())
            }
            Event::MappingStart(anchor, tag) => {
                let mut entries = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::MappingEnd, span) => break self.place(&span).end,
                        name => {
                            let name = self.node(name, depth + 1)?;
                            let value = self.next()?;
                            entries.push(entry(name, self.node(value, depth + 1)?)?);
                        }
                    }
                };
                let merged = entries.iter().any(|entry| entry.name == "<<");
                (Kind::Object(entries), end, anchor > 0 || tag.is_some() || merged)
            }
            Event::Alias(_) => (Kind::Scalar(Json::Null), self.place(&span).end, true),
            _ => return Err("is YAML that gitroll cannot edit".to_owned()),
        };
        // A change there would be one elsewhere, too, or would not mean what it says.
        let kind = if marked {
            let source = self.text.get(begin..end).unwrap_or_default().trim_end();
            Kind::Other("something with an anchor, an alias, a merge or a tag", source.to_owned())
        } else {
            kind
        };
        Ok(Node { span: begin..end, kind })
    }

    fn place(&self, span: &Span) -> Range<usize> {
        let last = self.bytes.last().copied().unwrap_or_default();
        let at = |index: usize| self.bytes.get(index).copied().unwrap_or(last);
        at(span.start.index())..at(span.end.index())
    }
}

fn entry(name: Node, value: Node) -> Result<Member, String> {
    let text = match &name.kind {
        Kind::Scalar(Json::String(text)) => text.clone(),
        Kind::Scalar(other) => other.to_string(),
        _ => return Err("has a name that is not plain text".to_owned()),
    };
    Ok(Member { name: text, span: name.span, value })
}

/// A plain scalar by the core schema of YAML 1.2.
fn plain(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    let digits = text.trim_start_matches(['+', '-']);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Json::String(text.to_owned());
    }
    let number = text.strip_prefix('+').unwrap_or(text);
    if let Ok(number) = number.parse::<i64>() {
        return number.into();
    }
    let floating =
        digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    number
        .parse::<f64>()
        .ok()
        .filter(|_| floating)
        .and_then(serde_json::Number::from_f64)
        .map_or_else(|| Json::String(text.to_owned()), Json::Number)
}

/// A value as YAML, in the quotes that stood there before.
pub(super) fn written(value: &Json, old: Option<&str>) -> String {
    let Json::String(text) = value else { return value.to_string() };
    let old_boolean = |text: &str| OLD_BOOLEANS.contains(&text.to_lowercase().as_str());
    // `off` in the place of `on` stays what it was for whoever reads it.
    if old.is_some_and(old_boolean) && old_boolean(text) {
        return text.clone();
    }
    let simple = !text.chars().any(char::is_control);
    match old.and_then(|old| old.chars().next()) {
        Some('\'') if simple => format!("'{}'", text.replace('\'', "''")),
        // JSON's texts are YAML's, in double quotes.
        Some('"') => value.to_string(),
        _ if is_plain_word(text) && !old_boolean(text) => text.clone(),
        _ => value.to_string(),
    }
}

/// Whether a text needs no quotes and is taken for a text by every reader.
fn is_plain_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && plain(text).is_string()
}

/// One more line behind the last entry, as deep as that is.
///
/// # Errors
/// Into `{ … }`, and where the last entry is itself of several lines.
pub(super) fn insert(
    text: &str,
    holder: &Node,
    object: &[Member],
    name: &str,
    value: &Json,
) -> Result<Edit, String> {
    if text[holder.span.start..].starts_with('{') {
        return Err(format!("{name} would be added between braces: write it there by hand"));
    }
    let single = |entry: &&Member| {
        entry.value.scalar().is_some()
            && !text[entry.span.start..entry.value.span.end.max(entry.span.end)].contains('\n')
    };
    let Some(model) = object.iter().rfind(single) else {
        return Err(format!(
            "{name} would be the first value of its object: write it there by hand"
        ));
    };
    let begin = text[..model.span.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[begin..model.span.start];
    if !before.chars().all(|c| c == ' ') {
        return Err(format!(
            "{name} would be added in the middle of a line: write it there by hand"
        ));
    }
    let end = model.value.span.end.max(model.span.end);
    let line = text[end..].find(['\r', '\n']).map_or(text.len(), |at| end + at);
    let name = if is_plain_word(name) { name.to_owned() } else { Json::from(name).to_string() };
    Ok(Edit {
        span: line..line,
        text: format!("{}{before}{name}: {}", line_end(text), written(value, None)),
    })
}
