//! Whether an answer is the expected one, and how answers, times and sizes are put into words: what a server sent is
//! data, cut short and escaped. Pure: an answer and an expectation in, a judgement out.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::config::{Comparison, Expected, HttpCheck};
use crate::model::{Oid, Probe};
use crate::system::process::{is_error, telling_lines};
use crate::system::secrets;

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
    /// It names no version where one is asked for.
    pub(super) unsaid: bool,
    /// It is not, and no later answer can be.
    pub(super) hopeless: bool,
    /// Whether there was an answer at all.
    pub(super) reach: Reach,
    pub(super) no_listener: bool,
    /// Nothing was said over the connection, or there was none: `answer` holds no word of the other side.
    pub(super) nothing_said: bool,
    /// In a few words.
    pub(super) answer: String,
    /// What an answer that was not wanted says of its cause.
    pub(super) says: Option<String>,
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
        Self {
            ok: false,
            told: false,
            wrong_version: false,
            unsaid: false,
            hopeless: false,
            reach: Reach::Answered,
            no_listener: false,
            nothing_said: false,
            answer,
            says: None,
        }
    }

    pub(super) fn silent(why: impl Into<String>) -> Self {
        Self { reach: Reach::Silent, ..Self::failed(why) }
    }

    /// There is no answer over the network.
    pub(super) fn unanswered(why: Unanswered) -> Self {
        let (no_listener, nothing_said) = match &why {
            Unanswered::NoListener(_) => (true, true),
            Unanswered::NothingSaid(_) => (false, true),
            Unanswered::Refused(_) => (false, false),
        };
        Self { no_listener, nothing_said, ..Self::silent(why.to_string()) }
    }

    pub(super) fn unaskable(why: impl Into<String>) -> Self {
        Self { reach: Reach::Unaskable, ..Self::failed(why) }
    }

    /// What was wanted.
    pub(super) fn fine(answer: impl Into<String>) -> Self {
        Self { ok: true, ..Self::failed(answer) }
    }

    /// An answer as it is kept.
    pub(super) fn probe(&self, took: Duration) -> Probe {
        Probe {
            ok: self.ok,
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            answer: self.answer.clone(),
            says: self.says.clone().filter(|_| !self.ok),
        }
    }

    /// What several answers to one question come to: the first that is not as expected, else all of them.
    pub(super) fn of_all(judged: Vec<Self>) -> Self {
        let told = judged.iter().all(|judgement| judgement.told);
        let unsaid = judged.iter().any(|judgement| judgement.unsaid);
        let bad = judged.iter().position(|judgement| !judgement.ok).unwrap_or_default();
        match judged.into_iter().nth(bad) {
            Some(one) => Self { told: told && one.told, unsaid: unsaid || one.unsaid, ..one },
            None => Self::failed("not run"),
        }
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
                let told = findings.contains(&Finding::Told);
                let unsaid = findings.contains(&Finding::Unsaid);
                Judgement { told, unsaid, ..Judgement::fine(answer) }
            }
        }
    }
}

/// Why there is no answer over the network, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("{0}")]
    NoListener(String),
    /// No connection, or nothing came over it.
    #[error("{0}")]
    NothingSaid(String),
    /// Something came that is not taken for an answer, or it could not be asked; the words may quote it.
    #[error("{0}")]
    Refused(String),
}

/// What one expectation makes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// As expected; says nothing about the version.
    Met,
    /// As expected, and only the intended version answers so.
    Told,
    /// The answer names no version.
    Unsaid,
    /// The intended version is not known.
    CannotTell,
    OtherVersion(String),
    Wrong(String),
}

/// Weighs an answer with the status that was asked for against all other expectations of `check`.
pub(super) fn judge(check: &HttpCheck, answer: &HttpAnswer, subject: &Subject) -> Judgement {
    let says = cause_in(&answer.body);
    if answer.status != check.status {
        return Judgement { says, ..Judgement::failed(answer.status.to_string()) };
    }
    let judged = Judgement::of(&findings(check, answer, subject), answer.status.to_string());
    Judgement { says: says.filter(|_| !judged.ok), ..judged }
}

/// The fields in which apps say what went wrong, the likelier first.
const CAUSES: [&str; 8] =
    ["error", "message", "detail", "details", "reason", "cause", "exception", "title"];

/// What the body of an answer says of a cause: a field of JSON that names one, the text of an error page, a line that
/// speaks of an error. Nothing where it says none.
pub(super) fn cause_in(body: &[u8]) -> Option<String> {
    if let Ok(found) = serde_json::from_slice::<Value>(body) {
        return cause_in_json(&found, 0).map(|cause| said(&cause));
    }
    let text = String::from_utf8_lossy(body);
    let text = if text.trim_start().starts_with('<') { page(&text)? } else { text.into_owned() };
    let line = telling_lines(text.as_bytes(), 1).pop()?;
    is_error(&line).then(|| said(&line))
}

fn cause_in_json(found: &Value, depth: usize) -> Option<String> {
    const DEEPEST: usize = 3;
    let object = found.as_object().filter(|_| depth < DEEPEST)?;
    let named = CAUSES.iter().filter_map(|name| object.get(*name));
    let plain = named.clone().filter_map(Value::as_str).find(|text| !text.trim().is_empty());
    plain
        .map(str::to_owned)
        .or_else(|| named.chain(object.values()).find_map(|inner| cause_in_json(inner, depth + 1)))
}

/// The words of an error page: what is preformatted, else its title.
fn page(text: &str) -> Option<String> {
    let between = |tag: &str| {
        let begin = text.find(&format!("<{tag}>"))? + tag.len() + 2;
        let inner = &text[begin..];
        Some(&inner[..inner.find(&format!("</{tag}>")).unwrap_or(inner.len())])
    };
    let inner = between("pre").or_else(|| between("title"))?;
    let first = inner.split("<br>").next().unwrap_or(inner);
    let entities = [("&quot;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    Some(entities.iter().fold(first.to_owned(), |text, (from, to)| text.replace(from, to)))
}

/// A foreign text of one line, cut and without what would steer a terminal.
fn said(text: &str) -> String {
    const WIDTH: usize = 160;
    let line: Vec<&str> = text.split_whitespace().collect();
    let line: String =
        line.join(" ").chars().filter(|c| !c.is_control() && !invisible(*c)).collect();
    secrets::cut(&secrets::masked(&line), WIDTH)
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
        true => Finding::Wrong(format!("{} is still {}", shown(label), shown(value))),
        false => Finding::Met,
    }
}

/// Says the kinds where nothing but those differs: `"false"` and `false` are easily taken for the same.
fn other_kind(found: &Value, expected: &Value) -> String {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) | Value::Object(_) => "not a single value",
    };
    let (is, wanted) = (kind(found), kind(expected));
    match is != wanted && plain_text(found) == plain_text(expected) {
        true => format!(" ({is} instead of {wanted})"),
        false => String::new(),
    }
}

fn absent(label: &str, template: &Template<'_>) -> Finding {
    if template.names_version() {
        Finding::Unsaid
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

/// The most characters of an answer that are ever shown.
const SHOWN: usize = 60;

/// A foreign text fit for a screen: secrets masked, control, bidirectional and invisible characters escaped, at most 60
/// characters of the original, `…` where it was cut.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    let text = secrets::masked(text);
    let mut chars = text.chars();
    for c in chars.by_ref().take(SHOWN) {
        if c.is_control() || invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A JSON value fit for a screen.
pub(super) fn shown_value(value: &serde_json::Value) -> String {
    shown(&value.to_string())
}

/// `5 s`, `1.5 s`, `250 ms`.
pub(super) fn seconds(time: Duration) -> String {
    let millis = time.as_millis();
    if millis < 1000 {
        format!("{millis} ms")
    } else if millis.is_multiple_of(1000) {
        format!("{} s", millis / 1000)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// `1 MiB`, `64 KiB`, `500 bytes`.
pub(super) fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    match bytes {
        b if b >= KIB * KIB && b.is_multiple_of(KIB * KIB) => format!("{} MiB", b / (KIB * KIB)),
        b if b >= KIB && b.is_multiple_of(KIB) => format!("{} KiB", b / KIB),
        b => format!("{b} bytes"),
    }
}

/// `once`, `3 times`.
pub(super) fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::Comparison;
    use crate::model::Served;

    const COMMIT: &str = "4be21d9aaaabbbbccccddddeeeeffff000011112";

    fn subject() -> Subject {
        Subject {
            version: Some("1.0.0".to_owned()),
            commit: Some(COMMIT.parse().unwrap()),
            deployment: Some("42".to_owned()),
            before: Some(Served {
                commit: "7c1e0a4".repeat(6)[..40].parse().unwrap(),
                name: "v1.1.0".to_owned(),
                version: Some("1.1.0".to_owned()),
            }),
        }
    }

    fn check() -> HttpCheck {
        HttpCheck {
            url: "http://127.0.0.1:1/".to_owned(),
            status: 200,
            headers: BTreeMap::new(),
            body: None,
            json: BTreeMap::new(),
            file: None,
            own: true,
            redirects: 0,
            request_timeout: Duration::from_secs(1),
            max_bytes: 1 << 20,
        }
    }

    fn value(value: Value) -> Expected {
        Expected { value, comparison: Comparison::Filled }
    }

    fn with_json(pairs: &[(&str, Value)]) -> HttpCheck {
        let json = pairs.iter().map(|(p, v)| ((*p).to_owned(), value(v.clone()))).collect();
        HttpCheck { json, ..check() }
    }

    fn answer(body: &str) -> HttpAnswer {
        HttpAnswer { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn what_came_from_elsewhere_is_no_template_and_may_be_unwanted() {
        let taken = |taken, body: &str| {
            let mut check = check();
            let value = json!("{version}");
            check.json =
                BTreeMap::from([("/status".to_owned(), Expected { value, comparison: taken })]);
            judge(&check, &answer(body), &subject())
        };
        assert!(taken(Comparison::Literal, r#"{"status":"{version}"}"#).ok);
        assert!(!taken(Comparison::Literal, r#"{"status":"{version}"}"#).told);
        assert!(!taken(Comparison::Literal, r#"{"status":"1.0.0"}"#).ok);
        for body in ["{}", r#"{"status":null}"#, r#"{"status":"1.0.0"}"#] {
            assert!(taken(Comparison::NotLiteral, body).ok, "{body}");
        }
        let still = taken(Comparison::NotLiteral, r#"{"status":"{version}"}"#);
        assert_eq!((still.ok, still.answer.as_str()), (false, "/status is still \"{version}\""));
        assert!(!taken(Comparison::NotLiteral, "<html>").ok);
    }

    #[test]
    fn json_answers_are_put_into_words() {
        let healthy = with_json(&[("/status", json!("ok"))]);
        let judgement = judge(&healthy, &answer(r#"{"status":"ok"}"#), &subject());
        assert_eq!((judgement.ok, judgement.told, judgement.answer.as_str()), (true, false, "200"));
        assert!(judge(&check(), &answer("\u{1b}[2J"), &subject()).ok, "it has no expectation");
        let cases = [
            (
                json!("healthy"),
                r#"{"status":"degraded"}"#,
                "/status is \"degraded\", not \"healthy\"",
            ),
            (json!("healthy"), r#"{"status":null}"#, "/status is null, not \"healthy\""),
            (json!("healthy"), r"{}", "/status is missing"),
            (json!("healthy"), r"<html>", "not JSON"),
            (json!("healthy"), "", "not JSON"),
            (
                json!(true),
                r#"{"status":"true"}"#,
                "/status is \"true\", not true (a string instead of a boolean)",
            ),
            (
                json!("1"),
                r#"{"status":1}"#,
                "/status is 1, not \"1\" (a number instead of a string)",
            ),
            (json!(1), r#"{"status":2}"#, "/status is 2, not 1"),
            (json!("a"), "{\"status\":\"\\u001b[31m\"}", "/status is \"\\u001b[31m\", not \"a\""),
        ];
        for (wanted, body, words) in cases {
            let judgement = judge(&with_json(&[("/status", wanted)]), &answer(body), &subject());
            assert!(!judgement.ok && !judgement.wrong_version, "{body}");
            assert_eq!(judgement.answer, words);
        }
        let body = format!(r#"{{"status":"{}"}}"#, "x".repeat(100));
        let judgement = judge(&with_json(&[("/status", json!("a"))]), &answer(&body), &subject());
        assert_eq!(judgement.answer, format!("/status is \"{}…, not \"a\"", "x".repeat(59)));
    }

    #[test]
    fn a_version_is_told_missing_or_wrong() {
        // body, ok, told, wrong version, words
        let table = [
            (r#"{"version":"1.0.0"}"#, true, true, false, "200"),
            (r"{}", true, false, false, "200"),
            (r#"{"version":null}"#, true, false, false, "200"),
            (r#"{"version":""}"#, false, false, true, "version is , not 1.0.0"),
            (
                r#"{"version":"1.1.0"}"#,
                false,
                false,
                true,
                "version is 1.1.0, not 1.0.0 (what served before)",
            ),
            (r#"{"version":"0.9.0"}"#, false, false, true, "version is 0.9.0, not 1.0.0"),
            (r#"{"version":1}"#, false, false, true, "version is 1, not 1.0.0"),
            (r#"{"version":{"a":1}}"#, false, false, true, "version is {\"a\":1}, not 1.0.0"),
        ];
        let check = with_json(&[("/version", json!("{version}"))]);
        for (body, ok, told, wrong, words) in table {
            let judgement = judge(&check, &answer(body), &subject());
            assert_eq!(
                (judgement.ok, judgement.told, judgement.wrong_version),
                (ok, told, wrong),
                "{body}"
            );
            assert_eq!(judgement.answer, words);
        }
    }

    #[test]
    fn an_unknown_version_can_be_neither_told_nor_wrong() {
        let nobody = Subject { version: None, ..subject() };
        let check = with_json(&[("/version", json!("{version}")), ("/status", json!("ok"))]);
        let judgement = judge(&check, &answer(r#"{"version":"9","status":"ok"}"#), &nobody);
        assert!(judgement.ok && !judgement.told);
        assert!(!judge(&check, &answer(r#"{"version":"9","status":"no"}"#), &nobody).ok);
    }

    #[test]
    fn commits_deployments_and_mixed_texts_are_compared() {
        let table = [
            ("{commit}", json!(COMMIT), true, "200"),
            ("{commit}", json!("4be21d9"), true, "200"),
            ("{commit}", json!("4be21"), false, "commit is 4be21, not 4be21d9"),
            (
                "{commit}",
                json!("7c1e0a47c1e0a47c1e0a47c1e0a47c1e0a47c1e0"),
                false,
                "commit is 7c1e0a4, not 4be21d9 (what served before)",
            ),
            ("{deployment}", json!(42), true, "200"),
            ("{deployment}", json!("41"), false, "deployment is 41, not 42"),
            ("v{version}-{commit}", json!("v1.0.0-4be21d9aa"), true, "200"),
            ("v{version}", json!("v1.1.0"), false, "/build is \"v1.1.0\", not \"v1.0.0\""),
        ];
        for (wanted, found, ok, words) in table {
            let check = with_json(&[("/build", json!(wanted))]);
            let judgement =
                judge(&check, &answer(&json!({ "build": found }).to_string()), &subject());
            assert_eq!((judgement.ok, judgement.told), (ok, ok), "{wanted} {found}");
            assert_eq!(judgement.wrong_version, !ok);
            assert_eq!(judgement.answer, words);
        }
    }

    #[test]
    fn a_wrong_version_is_said_before_anything_else_that_is_wrong() {
        let check = with_json(&[("/a", json!(1)), ("/version", json!("{version}"))]);
        let judgement = judge(&check, &answer(r#"{"a":2,"version":"3"}"#), &subject());
        assert_eq!(judgement.answer, "version is 3, not 1.0.0");
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let mut check = check();
        check.headers.insert("X-Version".to_owned(), value(json!("{version}")));
        let mut found = answer("");
        let unsaid = Judgement { unsaid: true, ..Judgement::fine("200") };
        assert_eq!(judge(&check, &found, &subject()), unsaid);
        found.headers.push(("x-version".to_owned(), b"1.0.0".to_vec()));
        assert!(judge(&check, &found, &subject()).told);
        found.headers[0].1 = b"2\x1b\xff".to_vec();
        let judgement = judge(&check, &found, &subject());
        assert_eq!(judgement.answer, "version is 2\\u{1b}\u{fffd}, not 1.0.0");
        check.headers = [("X-Kind".to_owned(), value(json!("a")))].into();
        assert_eq!(judge(&check, &found, &subject()).answer, "X-Kind is missing");
        found.headers.push(("x-kind".to_owned(), b"b".to_vec()));
        assert_eq!(judge(&check, &found, &subject()).answer, "X-Kind is \"b\", not \"a\"");
    }

    #[test]
    fn a_body_contains_what_is_wanted_or_the_check_fails() {
        let body = |wanted: &str| HttpCheck { body: Some(value(json!(wanted))), ..check() };
        assert!(judge(&body("ok"), &answer("it is ok"), &subject()).ok);
        let judgement = judge(&body("ok"), &answer("no"), &subject());
        assert_eq!(judgement.answer, "body does not contain \"ok\"");
        assert!(judge(&body("v{version}"), &answer("shop v1.0.0"), &subject()).told);
        let judgement = judge(&body("{version}"), &answer("shop 11.0.0"), &subject());
        assert_eq!(judgement.answer, "body does not contain \"1.0.0\"");
    }

    #[test]
    fn another_status_is_the_whole_answer() {
        let found = HttpAnswer { status: 500, ..answer(r#"{"version":"1.0.0"}"#) };
        let check = with_json(&[("/version", json!("{version}"))]);
        assert_eq!(judge(&check, &found, &subject()), Judgement::failed("500"));
    }

    #[test]
    fn numbers_are_equal_by_value_and_large_ones_are_not_rounded() {
        let table = [
            (json!(1), json!(1.0), true),
            (json!(1.5), json!(1.5), true),
            (json!(1), json!(2), false),
            (json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64), false),
            (json!([1, { "a": 1.0 }]), json!([1.0, { "a": 1 }]), true),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 }), false),
            (json!(0), json!(false), false),
            (json!(null), json!(null), true),
        ];
        for (a, b, wanted) in table {
            assert_eq!(same(&a, &b), wanted, "{a} {b}");
            assert_eq!(same(&b, &a), wanted, "{b} {a}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_quoted_at_length_or_raw(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            text in "\\PC{0,200}|[\u{0}-\u{1f}\u{7f}-\u{9f}\u{202a}-\u{202e}]{0,80}",
        ) {
            let check = HttpCheck {
                headers: [("x".to_owned(), value(json!("y")))].into(),
                ..with_json(&[("/a", json!("{version}")), ("/b", json!(true))])
            };
            let documents = [
                body,
                json!({ "a": text }).to_string().into_bytes(),
                json!({ "b": [text.clone()] }).to_string().into_bytes(),
            ];
            for body in documents {
                let headers = vec![("x".to_owned(), text.clone().into_bytes())];
                let judgement = judge(&check, &HttpAnswer { status: 200, headers, body }, &subject());
                prop_assert!(!judgement.answer.chars().any(char::is_control));
                prop_assert!(judgement.answer.chars().count() < 60 * 10 + 40);
            }
        }
    }

    #[test]
    fn a_foreign_text_cannot_steer_the_terminal() {
        assert_eq!(shown("a\u{1b}[31mred\u{7}"), "a\\u{1b}[31mred\\u{7}");
        assert_eq!(shown("x\u{202e}y\u{200b}z\u{9b}"), "x\\u{202e}y\\u{200b}z\\u{9b}");
        assert_eq!(shown("näh ok"), "näh ok");
    }

    #[test]
    fn a_long_text_is_cut_at_60_characters() {
        let cut = shown(&"é".repeat(61));
        assert_eq!(cut.chars().count(), 61);
        assert!(cut.ends_with('…'));
        assert_eq!(shown(&"é".repeat(60)), "é".repeat(60));
    }

    #[test]
    fn times_and_sizes_have_their_unit() {
        assert_eq!(seconds(Duration::from_secs(5)), "5 s");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(seconds(Duration::from_millis(250)), "250 ms");
        assert_eq!(size(1 << 20), "1 MiB");
        assert_eq!(size(64 << 10), "64 KiB");
        assert_eq!(size(500), "500 bytes");
    }
}
