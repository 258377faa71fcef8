//! `[[rule]]`.

use std::ops::Range;
use std::time::Duration;

use super::{Placed, check};
use crate::config::quantity::{duration, show_duration};
use crate::config::reader::{Item, Report, Table, all, nearest, or, quoted};
use crate::config::{
    CheckKind, Component, Rule, RuleAction, Severity, SymptomProbe, Timeline, When,
};
use crate::model::ComponentId;

/// A rule and where its action stands.
pub(super) struct Read {
    pub(super) rule: Rule,
    action_at: Range<usize>,
}

/// The words of `action` and what begins those that name a component.
const WORDS: [&str; 3] = ["code", "full", "fix-forward"];
const FLAGS: &str = "flags:";

/// All samples of a metric together take no longer.
const MOST_SAMPLING: Duration = Duration::from_secs(10 * 60);

/// `services`: the names of all services.
pub(super) fn rules(root: &Table<'_>, services: &[&str]) -> Option<Vec<Read>> {
    let Some(item) = root.get("rule") else { return Some(Vec::new()) };
    let tables = item.tables()?;
    all(tables.iter().map(|table| rule(table, services)).collect::<Vec<_>>())
}

fn rule(table: &Table<'_>, services: &[&str]) -> Option<Read> {
    let symptom = table.need("symptom").and_then(|item| item.line().map(str::to_owned));
    let probe = table.need("probe").and_then(|item| probe(&item, services));
    let severities =
        [("P0", Severity::P0), ("P1", Severity::P1), ("P2", Severity::P2), ("P3", Severity::P3)];
    let severity = table.need("severity").and_then(|item| item.word(&severities));
    let action = table
        .need("action")
        .and_then(|item| Some(Placed { value: action(&item)?, span: item.span() }));
    let timeline = or(table.get("timeline"), || None, |item| timeline(&item).map(Some));
    let why = or(table.get("why"), || None, |item| Some(Some(item.line()?.to_owned())));
    table.finish();
    let Placed { value: action, span: action_at } = action?;
    let rule = Rule {
        symptom: symptom?,
        probe: probe?,
        severity: severity?,
        action,
        timeline: timeline?,
        why: why?,
    };
    Some(Read { rule, action_at })
}

/// Reports components that an action names and that nobody declares, or that have no flag.
pub(super) fn check_components<'c>(
    report: &Report<'_>,
    rules: &[Read],
    components: impl Iterator<Item = &'c Component> + Clone,
) {
    for Read { rule, action_at } in rules {
        let RuleAction::Flags(ids) = &rule.action else { continue };
        for id in ids {
            match components.clone().find(|component| component.id == *id) {
                None => {
                    let hint = nearest(id.as_str(), components.clone().map(|c| c.id.as_str()));
                    report.add(action_at, format!("action: there is no [component.{id}]{hint}"));
                }
                Some(component) if component.flag.is_none() => {
                    let message = format!("action: [component.{id}] has no flag to switch off");
                    report.add(action_at, message);
                }
                Some(_) => {}
            }
        }
    }
}

fn probe(item: &Item<'_>, services: &[&str]) -> Option<SymptomProbe> {
    let table = item.table("probe")?;
    let ways = [("holds", When::Holds), ("fails", When::Fails)];
    let when = or(table.get("when"), || When::Holds, |item| item.word(&ways));
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let range = Duration::from_secs(1)..=minutes(7 * 24 * 60);
    let since = or(table.get("since"), || minutes(15), |item| item.duration(range));
    let samples = or(table.get("samples"), || 1, |item| item.number(1..=1000));
    let kind = check::question(&table, None, services, &[]);
    let (when, kind, samples) = (when?, kind?, samples?);
    if let Some(item) = table.get("since").filter(|_| !matches!(kind, CheckKind::Log(_))) {
        item.add("only a log has lines of before");
    }
    match &kind {
        CheckKind::Http(_) | CheckKind::Tcp(_) if when == When::Holds && !table.has("expect") => {
            table.add(
                "probe: without expect an app that is well would be the symptom: say what shows it, \
                 or when = \"fails\"",
            );
            return None;
        }
        CheckKind::Metric(metric) => {
            let all = metric.every.saturating_mul(u32::try_from(samples).unwrap_or(u32::MAX));
            if all > MOST_SAMPLING {
                let most = show_duration(MOST_SAMPLING);
                table.add(format!("probe: {samples} samples take longer than {most}"));
                return None;
            }
        }
        _ => {
            if let Some(item) = table.get("samples") {
                item.add("only a metric has samples");
            }
        }
    }
    let samples = u32::try_from(samples).unwrap_or(u32::MAX);
    Some(SymptomProbe { kind, when, since: since?, samples })
}

fn action(item: &Item<'_>) -> Option<RuleAction> {
    let text = item.text()?;
    if let Some(ids) = text.strip_prefix(FLAGS) {
        let ids = ids.split(',').map(|id| item.id_of::<ComponentId>(id.trim()));
        return ids.collect::<Option<Vec<_>>>().map(RuleAction::Flags);
    }
    match text {
        "code" => Some(RuleAction::Code),
        "full" => Some(RuleAction::Full),
        "fix-forward" => Some(RuleAction::FixForward),
        "flags" => {
            item.add("says whose: \"flags:\" and the component, such as \"flags:QW-001\"");
            None
        }
        _ => {
            let hint = nearest(text, WORDS.into_iter().chain(["flags:ID"]));
            item.add(format_args!("{} is not known{hint}", quoted(text)));
            None
        }
    }
}

fn timeline(item: &Item<'_>) -> Option<Timeline> {
    let text = item.line()?.to_owned();
    let within = duration(&text).ok();
    Some(Timeline { text, within })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
