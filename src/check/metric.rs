//! One sample of a number, held against its bounds, from JSON or from Prometheus' text format.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;

use crate::config::{HttpCheck, MetricCheck, MetricSource};

use super::http::HttpAsker;
use super::judgement::{Judgement, Reach, Unanswered, shown, shown_value};

/// A number that is asked for many times.
#[derive(Debug)]
pub(super) struct MetricAsker {
    check: MetricCheck,
    page: HttpAsker,
    /// The sample before, for a rate.
    before: Mutex<Option<(Instant, f64)>>,
}

impl MetricAsker {
    pub(super) fn new(check: &MetricCheck) -> Self {
        let (MetricSource::Prometheus { url, .. } | MetricSource::Json { url, .. }) = &check.source;
        let page = HttpCheck {
            url: url.clone(),
            status: 200,
            headers: BTreeMap::new(),
            body: None,
            json: BTreeMap::new(),
            file: None,
            own: true,
            redirects: 0,
            request_timeout: check.request_timeout,
            max_bytes: check.max_bytes,
        };
        let page = HttpAsker::new(&page, None);
        Self { check: check.clone(), page, before: Mutex::new(None) }
    }

    /// Takes a sample; for a rate also the one before, if there is none yet.
    pub(super) async fn ask(&self) -> Judgement {
        match self.number().await {
            // A number that nobody tells is not out of bounds either.
            Err(why) => Judgement { reach: Reach::Unaskable, ..Judgement::unanswered(why) },
            // No measurement: an infinity would keep to any bound on its other side.
            Ok(number) if !number.is_finite() => {
                Judgement::unaskable(format!("{} is {number}, not a measurement", self.name()))
            }
            Ok(number) if self.check.bounds.hold(number) => Judgement::fine(self.told(number)),
            Ok(number) => {
                let (name, told) = (self.name(), self.told(number));
                Judgement::failed(format!("{name} is {told}, not {}", self.check.bounds))
            }
        }
    }

    async fn number(&self) -> Result<f64, Unanswered> {
        if !self.check.rate {
            return self.sample().await;
        }
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (then, old) = match before {
            Some(before) => before,
            None => {
                let first = (Instant::now(), self.sample().await?);
                tokio::time::sleep(self.check.every).await;
                first
            }
        };
        let (now, new) = (Instant::now(), self.sample().await?);
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, new));
        // A counter that is smaller than before began again, from nothing.
        let grown = if new < old { new } else { new - old };
        Ok(grown / now.duration_since(then).as_secs_f64().max(f64::EPSILON))
    }

    async fn sample(&self) -> Result<f64, Unanswered> {
        let answer = self.page.fetch().await?;
        if answer.status != 200 {
            return refused(answer.status.to_string());
        }
        match &self.check.source {
            MetricSource::Prometheus { name, labels, sum, .. } => {
                let page = String::from_utf8_lossy(&answer.body);
                let found = series(&page, name, labels).map_err(Unanswered::Refused)?;
                match found[..] {
                    [] => refused(format!("there is no {}", self.name())),
                    [number] => Ok(number),
                    _ if *sum => Ok(found.iter().sum()),
                    _ => {
                        let count = found.len();
                        let name = self.name();
                        refused(format!("{count} series match {name}: add labels, or set sum"))
                    }
                }
            }
            MetricSource::Json { pointer, .. } => {
                let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
                    return refused("not JSON".to_owned());
                };
                match document.pointer(pointer) {
                    None => refused(format!("{} is missing", shown(pointer))),
                    Some(found) => found.as_f64().ok_or_else(|| {
                        let is = shown_value(found);
                        Unanswered::Refused(format!("{} is {is}, not a number", shown(pointer)))
                    }),
                }
            }
        }
    }

    fn name(&self) -> String {
        match &self.check.source {
            MetricSource::Json { pointer, .. } => shown(pointer),
            MetricSource::Prometheus { name, labels, .. } if labels.is_empty() => shown(name),
            MetricSource::Prometheus { name, labels, .. } => {
                let labels: Vec<String> =
                    labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                format!("{}{{{}}}", shown(name), shown(&labels.join(",")))
            }
        }
    }

    /// `12`, `0.333`, `3.5/s`.
    fn told(&self, number: f64) -> String {
        let rounded = (number * 1000.0).round() / 1000.0;
        let number = if rounded.is_finite() { rounded } else { number };
        if self.check.rate { format!("{number}/s") } else { number.to_string() }
    }
}

fn refused(why: String) -> Result<f64, Unanswered> {
    Err(Unanswered::Refused(why))
}

/// The values of all series of this name that have these labels, and maybe more.
///
/// # Errors
/// A line of this name that is not in the format, in words.
fn series(page: &str, name: &str, labels: &BTreeMap<String, String>) -> Result<Vec<f64>, String> {
    let mut found = Vec::new();
    for line in page.lines().map(str::trim) {
        let Some(rest) = line.strip_prefix(name) else { continue };
        if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || "_:".contains(c)) {
            continue;
        }
        let Some((has, value)) = value_of(rest.trim_start()) else {
            return Err(format!("a line of {name} cannot be parsed"));
        };
        if labels.iter().all(|(name, value)| has.get(name) == Some(value)) {
            found.push(value);
        }
    }
    Ok(found)
}

/// What follows the name: labels, a value, maybe a time.
fn value_of(rest: &str) -> Option<(BTreeMap<String, String>, f64)> {
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels_of(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((labels, value))
}

/// `a="x",b="y"}` and what follows.
fn labels_of(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start().trim_start_matches(',').trim_start();
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        labels.insert(name.trim().to_owned(), value);
        rest = after;
    }
}

/// A text up to its closing quote, and what follows.
fn quoted(rest: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, &rest[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            c => text.push(c),
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = r#"
# HELP http_errors_total Errors.
# TYPE http_errors_total counter
http_errors_total{code="500",path="/a\"b,}"} 3 1395066363000
http_errors_total{code="502", path="/"} 4e0
http_errors_total_more 9
queue_length 7
 spaced 1.5
weird NaN
top +Inf
broken{a="b 1
"#;

    #[test]
    fn a_metric_is_found_by_its_whole_name_and_its_labels() {
        let none = BTreeMap::new();
        let label = |name: &str, value: &str| BTreeMap::from([(name.into(), value.into())]);
        let of = |name: &str| series(PAGE, name, &none).unwrap();
        assert_eq!(of("http_errors_total"), [3.0, 4.0]);
        assert_eq!(series(PAGE, "http_errors_total", &label("code", "502")).unwrap(), [4.0]);
        assert_eq!(series(PAGE, "http_errors_total", &label("path", "/a\"b,}")).unwrap(), [3.0]);
        assert!(series(PAGE, "http_errors_total", &label("code", "404")).unwrap().is_empty());
        assert_eq!(of("queue_length"), [7.0]);
        assert_eq!(of("spaced"), [1.5]);
        assert!(of("weird")[0].is_nan());
        assert_eq!(of("top"), [f64::INFINITY]);
        assert!(of("http_errors").is_empty());
        assert!(series(PAGE, "broken", &none).is_err());
    }

    proptest! {
        #[test]
        fn no_page_makes_reading_fail_badly(page in "(x|[ -~é\n]){0,80}") {
            let _ = series(&page, "x", &BTreeMap::new());
        }
    }
}
