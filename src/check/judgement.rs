//! Whether an answer is the expected one. Pure: an answer and an expectation in, a judgement out.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{Comparison, Expected, HttpCheck};
use crate::model::Oid;

use super::format::{shown, shown_value};
use super::template::{Piece, Subject, Template};

/// An answer as it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct HttpAnswer {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

/// What an answer is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    /// It is the expected one, as far as it tells.
    pub(super) ok: bool,
    /// It comes from the intended version and from no other.
    pub(super) told: bool,
    /// It comes from another version.
    pub(super) wrong_version: bool,
    /// It is not, and no later answer can be.
    pub(super) hopeless: bool,
    /// Whether there was an answer at all.
    pub(super) reach: Reach,
    /// In a few words.
    pub(super) answer: String,
}

/// How far a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// There was an answer, wanted or not.
    Answered,
    /// Who should have answered did not.
    Silent,
    /// It could not be put, or the answer says nothing about what was asked.
    Unaskable,
}

impl Judgement {
    /// No answer, or none that was wanted.
    pub(super) fn failed(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        let reach = Reach::Answered;
        Self { ok: false, told: false, wrong_version: false, hopeless: false, reach, answer }
    }

    /// Nobody answered.
    pub(super) fn silent(why: impl Into<String>) -> Self {
        Self { reach: Reach::Silent, ..Self::failed(why) }
    }

    /// It could not be asked.
    pub(super) fn unaskable(why: impl Into<String>) -> Self {
        Self { reach: Reach::Unaskable, ..Self::failed(why) }
    }

    /// What was wanted.
    pub(super) fn fine(answer: impl Into<String>) -> Self {
        Self { ok: true, ..Self::failed(answer) }
    }

    /// What expectations make of an answer, which is told as `answer` where all are met.
    pub(super) fn of(findings: &[Finding], answer: impl Into<String>) -> Self {
        let other = findings.iter().find_map(|f| match f {
            Finding::OtherVersion(why) => Some(why.clone()),
            _ => None,
        });
        let wrong = findings.iter().find_map(|f| match f {
            Finding::Wrong(why) => Some(why.clone()),
            _ => None,
        });
        let wrong_version = other.is_some();
        match other.or(wrong) {
            Some(why) => Judgement { wrong_version, ..Judgement::failed(why) },
            None => {
                Judgement { told: findings.contains(&Finding::Told), ..Judgement::fine(answer) }
            }
        }
    }
}

/// What one expectation makes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// As expected; says nothing about the version.
    Met,
    /// As expected, and only the intended version answers so.
    Told,
    /// The answer names no version, or the intended one is not known.
    CannotTell,
    /// Another version answers.
    OtherVersion(String),
    Wrong(String),
}

/// Weighs an answer with the status that was asked for against all other expectations of `check`.
pub(super) fn judge(check: &HttpCheck, answer: &HttpAnswer, subject: &Subject) -> Judgement {
    if answer.status != check.status {
        return Judgement::failed(answer.status.to_string());
    }
    Judgement::of(&findings(check, answer, subject), answer.status.to_string())
}

fn findings(check: &HttpCheck, answer: &HttpAnswer, subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, expected) in &check.headers {
        findings.push(header(name, expected, answer, subject));
    }
    if !check.json.is_empty() {
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(found) => findings.extend(document(&check.json, &found, subject)),
            Err(_) => findings.push(Finding::Wrong("not JSON".to_owned())),
        }
    }
    if let Some(expected) = &check.body {
        findings.push(contains("body", expected, &answer.body, subject));
    }
    findings
}

/// What the expectations at JSON pointers make of a document.
pub(super) fn document<'a>(
    expected: &'a BTreeMap<String, Expected>,
    found: &'a Value,
    subject: &'a Subject,
) -> impl Iterator<Item = Finding> + 'a {
    expected
        .iter()
        .map(|(pointer, expected)| json(pointer, found.pointer(pointer), expected, subject))
}

fn header(name: &str, expected: &Expected, answer: &HttpAnswer, subject: &Subject) -> Finding {
    let wanted = plain_text(&expected.value);
    let template = Template::of(expected, &wanted);
    let values: Vec<String> = answer
        .headers
        .iter()
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect();
    if expected.comparison == Comparison::NotLiteral {
        return unlike(name, values.contains(&wanted), &wanted);
    }
    let Some(first) = values.first() else {
        return absent(name, &template);
    };
    if !template.known(subject) {
        Finding::CannotTell
    } else if values.iter().any(|value| template.matches(subject, value)) {
        met(&template, subject)
    } else {
        differs(name, first, &format!("\"{}\"", shown(first)), &template, subject)
    }
}

fn json(pointer: &str, found: Option<&Value>, expected: &Expected, subject: &Subject) -> Finding {
    let label = if pointer.is_empty() { "the answer" } else { pointer };
    if expected.comparison == Comparison::NotLiteral {
        let still = found.is_some_and(|found| same(found, &expected.value));
        return unlike(label, still, &expected.value.to_string());
    }
    let text = expected.value.as_str().filter(|t| Template::of(expected, t).names_version());
    let Some(text) = text else {
        return match found {
            None => absent(label, &Template::new("")),
            Some(found) if same(found, &expected.value) => Finding::Met,
            Some(found) => Finding::Wrong(format!(
                "{} is {}, not {}{}",
                shown(label),
                shown_value(found),
                shown_value(&expected.value),
                other_kind(found, &expected.value)
            )),
        };
    };
    let template = Template::new(text);
    // `null` is how an unset variable is answered: it names no version either.
    let Some(found) = found.filter(|value| !value.is_null()) else {
        return absent(label, &template);
    };
    if !template.known(subject) {
        return Finding::CannotTell;
    }
    let plain = plain_text(found);
    let comparable = found.is_string() || found.is_number();
    if comparable && template.matches(subject, &plain) {
        met(&template, subject)
    } else {
        differs(label, &plain, &shown_value(found), &template, subject)
    }
}

/// Whether `bytes`, which are called `what`, contain the expected text.
pub(super) fn contains(
    what: &str,
    expected: &Expected,
    bytes: &[u8],
    subject: &Subject,
) -> Finding {
    let wanted = plain_text(&expected.value);
    let template = Template::of(expected, &wanted);
    let there = || String::from_utf8_lossy(bytes).contains(&wanted);
    if expected.comparison == Comparison::NotLiteral {
        unlike(what, there(), &wanted)
    } else if !template.known(subject) {
        Finding::CannotTell
    } else if template.occurs_in(subject, &String::from_utf8_lossy(bytes)) {
        met(&template, subject)
    } else {
        Finding::Wrong(format!("{what} does not contain \"{}\"", shown(&template.wanted(subject))))
    }
}

fn met(template: &Template<'_>, subject: &Subject) -> Finding {
    if template.tells(subject) { Finding::Told } else { Finding::Met }
}

/// What is expected to be anything but `value`.
fn unlike(label: &str, still: bool, value: &str) -> Finding {
    match still {
        true => Finding::Wrong(format!("{} is {} still", shown(label), shown(value))),
        false => Finding::Met,
    }
}

/// Says the kinds where nothing but those differs: `"false"` and `false` are easily taken for the same.
fn other_kind(found: &Value, expected: &Value) -> String {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) | Value::Object(_) => "no single value",
    };
    let (is, wanted) = (kind(found), kind(expected));
    match is != wanted && plain_text(found) == plain_text(expected) {
        true => format!(" ({is} where {wanted} is wanted)"),
        false => String::new(),
    }
}

fn absent(label: &str, template: &Template<'_>) -> Finding {
    if template.names_version() {
        Finding::CannotTell
    } else {
        Finding::Wrong(format!("{} is missing", shown(label)))
    }
}

fn differs(
    label: &str,
    plain: &str,
    quoted: &str,
    template: &Template<'_>,
    subject: &Subject,
) -> Finding {
    let wanted = shown(&template.wanted(subject));
    let before = subject.before.as_ref();
    let (what, found, was_before) = match template.only() {
        Some(Piece::Version) => {
            ("version", shown(plain), before.is_some_and(|b| b.version.as_deref() == Some(plain)))
        }
        Some(Piece::Commit) => (
            "commit",
            plain.parse::<Oid>().map_or_else(|_| shown(plain), |id| id.short().to_owned()),
            before.is_some_and(|b| plain.len() >= 7 && b.commit.as_str().starts_with(plain)),
        ),
        Some(Piece::Deployment) => ("deployment", shown(plain), false),
        _ => {
            let why = format!("{} is {quoted}, not \"{wanted}\"", shown(label));
            return if template.names_version() {
                Finding::OtherVersion(why)
            } else {
                Finding::Wrong(why)
            };
        }
    };
    let before = if was_before { " (what served before)" } else { "" };
    Finding::OtherVersion(format!("{what} is {found}, not {wanted}{before}"))
}

/// A value as a header or a body would spell it.
fn plain_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Equality of JSON values in which `1` and `1.0` are the same number.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.as_f64() == b.as_f64() && inexact(a, b))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Whole numbers beyond 2^53 must not be compared as floating point numbers.
fn inexact(a: &serde_json::Number, b: &serde_json::Number) -> bool {
    a.is_f64() || b.is_f64()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
