//! One sample of a number, held against its bounds.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;

use crate::config::{HttpCheck, MetricCheck, MetricSource};

use super::format::{shown, shown_value};
use super::http;
use super::judgement::Judgement;
use super::prometheus;

/// A number that is asked for many times.
#[derive(Debug)]
pub(super) struct MetricAsker {
    check: MetricCheck,
    page: http::HttpAsker,
    /// The sample before, for a rate.
    before: Mutex<Option<(Instant, f64)>>,
}

impl MetricAsker {
    pub(super) fn new(check: &MetricCheck) -> Self {
        let (MetricSource::Prometheus { url, .. } | MetricSource::Json { url, .. }) = &check.source;
        let page = http::HttpAsker::new(&HttpCheck {
            url: url.clone(),
            status: 200,
            headers: BTreeMap::new(),
            body: None,
            json: BTreeMap::new(),
            redirects: 0,
            request_timeout: check.request_timeout,
            max_bytes: check.max_bytes,
        });
        Self { check: check.clone(), page, before: Mutex::new(None) }
    }

    /// Takes a sample; for a rate also the one before, where there is none yet.
    pub(super) async fn ask(&self) -> Judgement {
        match self.number().await {
            // A number that nobody tells is not out of bounds either.
            Err(why) => Judgement::unaskable(why),
            // No measurement: an infinity would keep to any bound on its other side.
            Ok(number) if !number.is_finite() => {
                Judgement::unaskable(format!("{} is {number}, no measurement", self.name()))
            }
            Ok(number) if self.check.bounds.hold(number) => Judgement::fine(self.told(number)),
            Ok(number) => {
                let (name, told) = (self.name(), self.told(number));
                Judgement::failed(format!("{name} is {told}, not {}", self.check.bounds))
            }
        }
    }

    async fn number(&self) -> Result<f64, String> {
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
        // A counter that is smaller than before began anew, from nothing.
        let grown = if new < old { new } else { new - old };
        Ok(grown / now.duration_since(then).as_secs_f64().max(f64::EPSILON))
    }

    async fn sample(&self) -> Result<f64, String> {
        let answer = self.page.fetch().await?;
        if answer.status != 200 {
            return Err(answer.status.to_string());
        }
        match &self.check.source {
            MetricSource::Prometheus { name, labels, sum, .. } => {
                let page = String::from_utf8_lossy(&answer.body);
                let found = prometheus::series(&page, name, labels)?;
                match found[..] {
                    [] => Err(format!("there is no {}", self.name())),
                    [number] => Ok(number),
                    _ if *sum => Ok(found.iter().sum()),
                    _ => {
                        let count = found.len();
                        let name = self.name();
                        Err(format!("{count} series are {name}: name their labels, or say sum"))
                    }
                }
            }
            MetricSource::Json { pointer, .. } => {
                let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
                    return Err("not JSON".to_owned());
                };
                match document.pointer(pointer) {
                    None => Err(format!("{} is missing", shown(pointer))),
                    Some(found) => found.as_f64().ok_or_else(|| {
                        format!("{} is {}, no number", shown(pointer), shown_value(found))
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
