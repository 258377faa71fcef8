//! TOML with the place of each value.

use std::ops::Range;

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use super::tree::{Edit, Kind, Member, Node, line_end};

/// The document.
///
/// # Errors
/// Where it stops being TOML.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let root = DeTable::parse(text).map_err(|error| {
        let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
        format!(
            "is not valid TOML from line {} on: {}",
            before.matches('\n').count() + 1,
            error.message()
        )
    })?;
    Ok(Node { span: root.span(), kind: table(root.get_ref()) })
}

fn table(table: &DeTable<'_>) -> Kind {
    let entry = |(name, value): (
        &toml::Spanned<std::borrow::Cow<'_, str>>,
        &toml::Spanned<DeValue<'_>>,
    )| Member {
        name: name.get_ref().to_string(),
        span: name.span(),
        value: node(value.span(), value.get_ref()),
    };
    Kind::Object(table.iter().map(entry).collect())
}

fn node(span: Range<usize>, value: &DeValue<'_>) -> Node {
    let kind = match value {
        DeValue::Table(inner) => table(inner),
        DeValue::Array(items) => {
            Kind::List(items.iter().map(|item| node(item.span(), item.get_ref())).collect())
        }
        DeValue::String(text) => Kind::Scalar(Json::String(text.to_string())),
        DeValue::Boolean(value) => Kind::Scalar(Json::Bool(*value)),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(number.as_str(), number.radix()).ok();
            read.map_or_else(|| other(number.as_str()), |number| Kind::Scalar(number.into()))
        }
        DeValue::Float(number) => {
            let read = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            read.map_or_else(|| other(number.as_str()), |number| Kind::Scalar(Json::Number(number)))
        }
        DeValue::Datetime(date) => Kind::Other("a date", date.to_string()),
    };
    Node { span, kind }
}

/// `inf`, `nan` and what no integer holds.
fn other(text: &str) -> Kind {
    Kind::Other("a number that gitroll does not change", text.to_owned())
}

/// A value as TOML.
///
/// # Errors
/// TOML knows no null.
pub(super) fn written(value: &Json) -> Result<String, String> {
    Ok(match value {
        Json::Bool(value) => toml::Value::Boolean(*value).to_string(),
        Json::String(text) => basic(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => toml::Value::Float(number).to_string(),
            (None, None) => return Err("TOML has no such number".to_owned()),
        },
        _ => return Err("TOML has no null".to_owned()),
    })
}

/// A text on one line.
fn basic(text: &str) -> String {
    let escape = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// One more line behind the last value of the table, or one more entry of an inline one.
///
/// # Errors
/// A table without a value says nowhere how its next one should look.
pub(super) fn insert(
    text: &str,
    table: &[Member],
    name: &str,
    value: &str,
) -> Result<Edit, String> {
    let values = table.iter().filter(|entry| !matches!(entry.value.kind, Kind::Object(_)));
    let Some(last) = values.max_by_key(|entry| entry.value.span.end) else {
        return Err(format!("{name} would be the first value of its table: add it by hand"));
    };
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let name = if plain { name.to_owned() } else { basic(name) };
    let end = last.value.span.end;
    let begin = text[..last.span.start].rfind('\n').map_or(0, |at| at + 1);
    let before = text[begin..last.span.start].trim_start_matches('\u{feff}');
    let assign = &text[last.span.end..last.value.span.start];
    if before.contains(['{', ',']) {
        return Ok(Edit { span: end..end, text: format!(", {name}{assign}{value}") });
    }
    // What is before the name is how deep it is, or the dotted way to it.
    let line = text[end..].find(['\r', '\n']).map_or(text.len(), |at| end + at);
    Ok(Edit { span: line..line, text: format!("{}{before}{name}{assign}{value}", line_end(text)) })
}
