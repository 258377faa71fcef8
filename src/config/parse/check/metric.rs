//! `metric = { .. }`: a number that must keep within bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use super::expected::is_pointer;
use super::http::url;
use super::tcp::own;
use super::{HOUR, Rhythm, limit, most_bytes};
use crate::config::quantity::show_duration;
use crate::config::reader::{Item, Table, all, or, quoted};
use crate::config::{Bounds, MetricCheck, MetricSource};

pub(super) fn metric(table: &Table<'_>, timeout: Option<Duration>) -> Option<MetricCheck> {
    let source = table.need("metric").and_then(|item| source(&item));
    let bounds = table.need("expect").and_then(|item| bounds(&item));
    let request_timeout = limit(table, "request_timeout", Duration::from_secs(5), timeout);
    let max_bytes = most_bytes(table, 1 << 20);
    let own = own(table);
    let (source, rate) = source?;
    Some(MetricCheck {
        source,
        bounds: bounds?,
        rate,
        own: own?,
        every: every(table)?,
        request_timeout: request_timeout?,
        max_bytes: max_bytes?,
    })
}

/// `samples` and `every`, which stand for `passes` and `settle`.
pub(super) fn samples(table: &Table<'_>) -> Option<Rhythm> {
    let mut fine = true;
    for (key, instead) in [("passes", "samples"), ("settle", "every")] {
        if let Some(item) = table.get(key) {
            item.add(format_args!("a metric has {instead} instead"));
            fine = false;
        }
    }
    let samples = or(table.get("samples"), || 5, |item| item.number(1..=1000));
    let every = every(table);
    let samples = u32::try_from(samples?).unwrap_or(u32::MAX);
    let settle = every?.saturating_mul(samples - 1);
    // A rate needs one sample more, and each takes its time to be answered.
    let least = every?.saturating_mul(samples);
    let usual = Duration::from_secs(30).max(least.saturating_add(Duration::from_secs(10)));
    let range = Duration::from_millis(100)..=HOUR;
    let timeout = or(table.get("timeout"), || usual, |item| item.duration(range));
    if let (Some(item), Some(whole)) = (table.get("timeout"), timeout)
        && whole < least
    {
        item.add(format_args!(
            "{} is shorter than {samples} samples every {} take",
            show_duration(whole),
            show_duration(every?)
        ));
        fine = false;
    }
    if usual > HOUR && !table.has("timeout") {
        table.add("its samples take more than an hour");
        fine = false;
    }
    let timeout = timeout?;
    fine.then_some(Rhythm { passes: samples, settle, timeout })
}

fn every(table: &Table<'_>) -> Option<Duration> {
    let second = || Duration::from_secs(1);
    let range = Duration::from_millis(100)..=HOUR;
    or(table.get("every"), second, |item| item.duration(range))
}

fn source(item: &Item<'_>) -> Option<(MetricSource, bool)> {
    let table = item.table("metric")?;
    let rate = or(table.get("rate"), || false, |item| item.boolean());
    let source = match (table.has("prometheus"), table.has("http")) {
        (true, false) => {
            let url = table.get("prometheus").and_then(|item| url(&item));
            let name = table.need("name").and_then(|item| name(&item));
            let labels = or(table.get("labels"), BTreeMap::new, |item| labels(&item));
            let sum = or(table.get("sum"), || false, |item| item.boolean());
            table.finish();
            MetricSource::Prometheus { url: url?, name: name?, labels: labels?, sum: sum? }
        }
        (false, true) => {
            let url = table.get("http").and_then(|item| url(&item));
            let pointer = table.need("pointer").and_then(|item| {
                let text = item.text()?;
                if !is_pointer(text) {
                    item.add("is no JSON pointer: it begins with `/`, such as \"/p95\"");
                    return None;
                }
                Some(text.to_owned())
            });
            table.finish();
            MetricSource::Json { url: url?, pointer: pointer? }
        }
        _ => {
            table.add("metric needs either \"prometheus\" or \"http\", the URL of the numbers");
            return None;
        }
    };
    Some((source, rate?))
}

fn name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if !is_name(text, ":") {
        item.add(format_args!("{} is no name of a metric", quoted(text)));
        return None;
    }
    Some(text.to_owned())
}

fn labels(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let labels = item.table("labels")?.named().into_iter().map(|(name, value)| {
        if !is_name(name, "") {
            value.add("is no name of a label");
            return None;
        }
        Some((name.to_owned(), value.text()?.to_owned()))
    });
    all(labels.collect::<Vec<_>>()).map(|labels| labels.into_iter().collect())
}

fn is_name(text: &str, more: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
    !text.is_empty()
        && text.len() <= 256
        && text.chars().all(part)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn bounds(item: &Item<'_>) -> Option<Bounds> {
    let table = item.table("expect")?;
    let bound = |key| or(table.get(key), || None, |item| number(&item).map(Some));
    let [above, below, at_least, at_most] = ["above", "below", "at_least", "at_most"].map(bound);
    table.finish();
    let bounds = Bounds { above: above?, below: below?, at_least: at_least?, at_most: at_most? };
    if bounds == Bounds::default() {
        table.add("expect needs \"above\", \"below\", \"at_least\" or \"at_most\"");
        return None;
    }
    let low = bounds.above.into_iter().chain(bounds.at_least).reduce(f64::max);
    let high = bounds.below.into_iter().chain(bounds.at_most).reduce(f64::min);
    if low.zip(high).is_some_and(|(low, high)| low > high) {
        table.add(format!("expect: no number is {bounds}"));
        return None;
    }
    Some(bounds)
}

fn number(item: &Item<'_>) -> Option<f64> {
    let text = match item.value() {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        DeValue::Float(float) => float.as_str(),
        _ => return item.wanted("a number"),
    };
    let number: Option<f64> = text.replace('_', "").parse().ok();
    let number = number.filter(|number| number.is_finite());
    if number.is_none() {
        item.add("must be a finite number");
    }
    number
}
