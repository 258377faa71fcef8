//! JSON, TOML and YAML documents: where each value is in the text, and how one is changed there without
//! touching any other byte.

mod json;
mod toml;
mod tree;
mod yaml;

use serde_json::Value as Json;

use crate::config::DocumentFormat;

use tree::{Edit, Kind, Member, Node};

/// The names and values of the object at `pointer`, in order; `None` for what is not a single value.
///
/// # Errors
/// What is wrong with the document, or with the object.
pub(super) fn entries(
    text: &str,
    format: DocumentFormat,
    pointer: &str,
) -> Result<Vec<(String, Option<Json>)>, String> {
    let root = parse(text, format)?;
    let (_, object) = object(&root, pointer)?;
    Ok(object.iter().map(|entry| (entry.name.clone(), entry.value.scalar().cloned())).collect())
}

/// The text with `name` in the object at `pointer` set to `value`, or without it.
///
/// # Errors
/// Why it cannot be changed there and nowhere else.
pub(super) fn with(
    text: &str,
    format: DocumentFormat,
    pointer: &str,
    name: &str,
    value: Option<&Json>,
) -> Result<String, String> {
    let root = parse(text, format)?;
    let (holder, object) = object(&root, pointer)?;
    let entry = object.iter().find(|entry| entry.name == name);
    let edit = match (entry, value) {
        (Some(entry), Some(value)) => {
            if entry.value.scalar().is_none() {
                return Err(format!("{name} is {}, not a single value", entry.value.what()));
            }
            let old = &text[entry.value.span.clone()];
            Edit { span: entry.value.span.clone(), text: written(format, value, Some(old))? }
        }
        (None, Some(value)) => match format {
            DocumentFormat::Json => json::insert(text, holder, object, name, value),
            DocumentFormat::Toml => toml::insert(text, object, name, &toml::written(value)?)?,
            DocumentFormat::Yaml => yaml::insert(text, holder, object, name, value)?,
        },
        (Some(entry), None) => match format {
            DocumentFormat::Json => json::remove(holder, object, entry),
            DocumentFormat::Toml => line_of(text, entry)?,
            DocumentFormat::Yaml if object.len() == 1 => {
                return Err(format!("{name} is the only entry: without it no object is left"));
            }
            DocumentFormat::Yaml => line_of(text, entry)?,
        },
        (None, None) => return Ok(text.to_owned()),
    };
    let mut new = text.to_owned();
    new.replace_range(edit.span, &edit.text);
    let read = parse(&new, format).map_err(|_| unsafe_here(name))?;
    if same(&read, &changed(&root, pointer, name, value)) {
        Ok(new)
    } else {
        Err(unsafe_here(name))
    }
}

fn unsafe_here(name: &str) -> String {
    format!("{name} cannot be changed here without changing something else: edit the file by hand")
}

fn parse(text: &str, format: DocumentFormat) -> Result<Node, String> {
    match format {
        DocumentFormat::Json => json::parse(text),
        DocumentFormat::Toml => toml::parse(text),
        DocumentFormat::Yaml => yaml::parse(text),
    }
}

fn written(format: DocumentFormat, value: &Json, old: Option<&str>) -> Result<String, String> {
    match format {
        DocumentFormat::Json => Ok(value.to_string()),
        DocumentFormat::Toml => toml::written(value),
        DocumentFormat::Yaml => Ok(yaml::written(value, old)),
    }
}

/// The object that `pointer` leads to, with its entries. No object is made on the way, and none is chosen
/// among several of one name.
fn object<'a>(root: &'a Node, pointer: &str) -> Result<(&'a Node, &'a [Member]), String> {
    let mut node = root;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let next = match &node.kind {
            Kind::Object(entries) => {
                unique(entries)?;
                entries.iter().find(|entry| entry.name == part).map(|entry| &entry.value)
            }
            Kind::List(items) => part.parse().ok().and_then(|number: usize| items.get(number)),
            Kind::Other(what, _) => return Err(format!("the path to {pointer} contains {what}")),
            Kind::Scalar(_) => None,
        };
        node = next.ok_or_else(|| format!("there is no object at {pointer}: create it first"))?;
    }
    let Kind::Object(entries) = &node.kind else {
        let place = if pointer.is_empty() { "the whole" } else { pointer };
        return Err(format!("{place} is {}, not an object of flags", node.what()));
    };
    unique(entries)?;
    Ok((node, entries))
}

fn unique(entries: &[Member]) -> Result<(), String> {
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => {
            Err(format!("{:?} occurs twice: which one applies depends on the reader", twice[0]))
        }
        None => Ok(()),
    }
}

/// The tree as it shall be afterwards.
fn changed(root: &Node, pointer: &str, name: &str, value: Option<&Json>) -> Node {
    fn entries_at<'a>(
        node: &'a mut Node,
        mut parts: std::str::Split<'_, char>,
    ) -> Option<&'a mut Vec<Member>> {
        let Some(part) = parts.next() else {
            return match &mut node.kind {
                Kind::Object(entries) => Some(entries),
                _ => None,
            };
        };
        let part = part.replace("~1", "/").replace("~0", "~");
        let next = match &mut node.kind {
            Kind::Object(entries) => {
                &mut entries.iter_mut().find(|entry| entry.name == part)?.value
            }
            Kind::List(items) => items.get_mut(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
        entries_at(next, parts)
    }
    let mut root = root.clone();
    let mut parts = pointer.split('/');
    parts.next();
    if let Some(entries) = entries_at(&mut root, parts) {
        let value = value.map(|value| Node { span: 0..0, kind: Kind::Scalar(value.clone()) });
        let place = entries.iter().position(|entry| entry.name == name);
        match (place, value) {
            (Some(at), Some(value)) => entries[at].value = value,
            (Some(at), None) => drop(entries.remove(at)),
            (None, Some(value)) => {
                entries.push(Member { name: name.to_owned(), span: 0..0, value })
            }
            (None, None) => {}
        }
    }
    root
}

/// Whether two documents say the same, wherever it stands. The order of names matters to nobody.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.kind, &b.kind) {
        (Kind::Scalar(a), Kind::Scalar(b)) => a == b,
        (Kind::List(a), Kind::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Kind::Other(_, a), Kind::Other(_, b)) => a == b,
        (Kind::Object(a), Kind::Object(b)) => {
            let sorted = |entries: &[Member]| {
                let mut sorted = entries.to_vec();
                sorted.sort_by(|a, b| a.name.cmp(&b.name));
                sorted
            };
            let pairs = sorted(a).into_iter().zip(sorted(b));
            a.len() == b.len()
                && pairs.into_iter().all(|(a, b)| a.name == b.name && same(&a.value, &b.value))
        }
        _ => false,
    }
}

/// The line that an entry has to itself.
fn line_of(text: &str, entry: &Member) -> Result<Edit, String> {
    let begin = text[..entry.span.start].rfind('\n').map_or(0, |at| at + 1);
    let (before, behind) = (&text[begin..entry.span.start], &text[entry.value.span.end..]);
    let (rest, next) =
        behind.split_once('\n').map_or((behind, None), |(rest, next)| (rest, Some(next)));
    let alone = before.chars().all(|c| matches!(c, ' ' | '\t'))
        && (rest.trim().is_empty() || rest.trim_start().starts_with('#'));
    if !alone {
        return Err(format!("{} does not have its own line: remove it by hand", entry.name));
    }
    let end = text.len() - next.map_or(0, str::len);
    // The last line had no end: the one before it becomes such a line.
    let begin = if next.is_none() {
        text[..begin]
            .trim_end_matches('\n')
            .trim_end_matches('\r')
            .len()
            .max(begin.saturating_sub(2))
    } else {
        begin
    };
    Ok(Edit { span: begin..end, text: String::new() })
}

#[cfg(test)]
mod tests;
