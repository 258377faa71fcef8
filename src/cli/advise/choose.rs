//! Which of the rules whose symptom shows decides, and what it comes to as things stand. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::{CheckKind, Rule, RuleAction};
use crate::ledger;
use crate::model::{ComponentId, Served};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Advice {
    /// `P0` to `P3`.
    pub severity: String,
    /// The symptoms that decided.
    pub symptoms: Vec<String>,
    /// The rule's action: `flags`, `code`, `full` or `fix-forward`.
    pub asked: String,
    /// What is advised, as things stand: one of these words.
    pub level: String,
    /// In words.
    pub what: String,
    /// Why: the symptoms as they were seen, and what their rules say.
    pub why: Vec<String>,
    /// What is in the way of the rule's own action, and what to know besides.
    pub notes: Vec<String>,
    /// By when, as written.
    pub timeline: Option<String>,
    /// The command; absent if there is none.
    pub command: Option<String>,
    /// Other commands.
    pub further: Vec<Further>,
}

/// Another command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Further {
    /// The command.
    pub command: String,
    /// When, or what it does.
    pub what: String,
}

/// What an advice depends on besides the symptoms.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// What `gitroll back` would take.
    pub good: Option<Served>,
    /// Data or settings are declared, so that they can be rolled back.
    pub declared: bool,
    /// A run is open.
    pub open_run: bool,
    /// The components whose flag is off already, with which it is: `USE_X is false`.
    pub off: BTreeMap<ComponentId, String>,
    /// The components of whose flag nobody knows, with why.
    pub unread: BTreeMap<ComponentId, String>,
}

/// Chooses among rules whose symptom shows, each with what was seen: the highest severity, then the shallowest
/// action; of several flags all. `None` if there is no rule.
pub fn choose(showing: &[(&Rule, &str)], standing: &Standing) -> Option<Advice> {
    let order = |rule: &Rule| (rule.severity.rank(), rule.action.depth());
    let first = showing.iter().map(|(rule, _)| order(rule)).min()?;
    let deciding: Vec<&(&Rule, &str)> =
        showing.iter().filter(|(rule, _)| order(rule) == first).collect();
    let (rule, _) = deciding.first()?;
    let mut advice = Advice {
        severity: rule.severity.to_string(),
        symptoms: once(deciding.iter().map(|(rule, _)| rule.symptom.clone())),
        asked: String::new(),
        level: String::new(),
        what: String::new(),
        why: once(deciding.iter().flat_map(|(rule, seen)| why(rule, seen))),
        notes: Vec::new(),
        timeline: soonest(&deciding),
        command: None,
        further: Vec::new(),
    };
    let reason = reason(&deciding);
    match &rule.action {
        RuleAction::Flags(_) => flags(&mut advice, &deciding, standing, &reason),
        RuleAction::Code => code(&mut advice, standing, &reason),
        RuleAction::Full => full(&mut advice, standing, &reason),
        RuleAction::FixForward => fix_forward(&mut advice),
    }
    let asked = match &rule.action {
        RuleAction::Flags(_) => "flags",
        RuleAction::Code => "code",
        RuleAction::Full => "full",
        RuleAction::FixForward => "fix-forward",
    };
    asked.clone_into(&mut advice.asked);
    if standing.open_run {
        advice.notes.push("a run is open: finish it first".to_owned());
        let own = advice.command.replace("gitroll resume".to_owned());
        let own = own.map(|command| Further { command, what: "after that".to_owned() });
        advice.further.splice(0..0, own);
    }
    Some(advice)
}

/// The same symptom may stand in several rules.
fn once(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    texts.for_each(|text| {
        if !all.contains(&text) {
            all.push(text);
        }
    });
    all
}

fn why(rule: &Rule, seen: &str) -> Vec<String> {
    let shown = format!("{}: {seen}", rule.symptom);
    [Some(shown), rule.why.clone()].into_iter().flatten().collect()
}

/// Of durations the shortest; a text, which nobody can compare, goes first.
fn soonest(deciding: &[&(&Rule, &str)]) -> Option<String> {
    let all = deciding.iter().filter_map(|(rule, _)| rule.timeline.as_ref());
    all.min_by_key(|timeline| timeline.within).map(|timeline| timeline.text.clone())
}

fn flags(advice: &mut Advice, deciding: &[&(&Rule, &str)], standing: &Standing, reason: &str) {
    let (mut on, mut off): (Vec<&ComponentId>, Vec<&ComponentId>) = Default::default();
    let named = deciding.iter().flat_map(|(rule, _)| match &rule.action {
        RuleAction::Flags(ids) => ids.as_slice(),
        _ => &[],
    });
    for id in named {
        if on.contains(&id) || off.contains(&id) {
            continue;
        }
        if let Some(flag) = standing.off.get(id) {
            off.push(id);
            advice.notes.push(format!("{id}: {flag} already, but the symptom is still present"));
        } else {
            on.push(id);
        }
        if let Some(why) = standing.unread.get(id) {
            advice.notes.push(format!("{id}: cannot tell whether its flag is on: {why}"));
        }
    }
    if on.is_empty() {
        code(advice, standing, reason);
        for id in off.into_iter().filter(|_| standing.good.is_some()) {
            advice.further.push(Further {
                command: format!("gitroll component {id} --via files{reason}"),
                what: "only its files, if everything else is healthy".to_owned(),
            });
        }
        return;
    }
    let ids: Vec<&str> = on.iter().map(|id| id.as_str()).collect();
    advice.level = "flags".to_owned();
    advice.what = match ids.as_slice() {
        [one] => format!("switch the flag of {one} off"),
        all => format!("switch the flags of {} off", all.join(" and ")),
    };
    advice.command = Some(format!("gitroll flags off {}{reason}", ids.join(" ")));
    if standing.good.is_some() {
        advice.further.push(Further {
            command: format!("gitroll back --level auto{reason}"),
            what: "if that does not help".to_owned(),
        });
    }
}

fn code(advice: &mut Advice, standing: &Standing, reason: &str) {
    let Some(good) = &standing.good else {
        advice
            .notes
            .push("there is no version to roll back to: gitroll targets shows why".to_owned());
        return full(advice, standing, reason);
    };
    advice.level = "code".to_owned();
    advice.what = format!("roll back to {} ({})", good.name, good.commit.short());
    advice.command = Some(format!("gitroll back{reason}"));
}

fn full(advice: &mut Advice, standing: &Standing, reason: &str) {
    advice.level = "full".to_owned();
    advice.what = "data and configuration must be rolled back too".to_owned();
    if standing.declared {
        advice.command = Some(format!("gitroll back --level full{reason}"));
        advice.further.push(Further {
            command: "gitroll back --level full --plan".to_owned(),
            what: "shows what that loses".to_owned(),
        });
    } else {
        advice.notes.push(
            "gitroll.toml declares no [data.NAME] and no [settings.NAME]: restore data and \
             configuration with your own runbook"
                .to_owned(),
        );
    }
    if let Some(good) = &standing.good {
        advice.further.push(Further {
            command: format!("gitroll back{reason}"),
            what: format!("only the code to {}; data is unchanged", good.name),
        });
    } else {
        advice.further.push(Further {
            command: "gitroll targets".to_owned(),
            what: "lists every version and why it is skipped".to_owned(),
        });
    }
}

fn fix_forward(advice: &mut Advice) {
    advice.level = "fix-forward".to_owned();
    advice.what = "do not roll back: fix the problem and deploy".to_owned();
    advice.further.push(Further {
        command: "gitroll deploy".to_owned(),
        what: "after the fix is committed".to_owned(),
    });
}

/// ` --reason '…'` for a shell; nothing where it could not be recorded. A number is worth recording, too.
fn reason(deciding: &[&(&Rule, &str)]) -> String {
    let said = deciding.iter().map(|(rule, seen)| match rule.probe.kind {
        CheckKind::Metric(_) => format!("{}: {seen}", rule.symptom),
        _ => rule.symptom.clone(),
    });
    let text = once(said).join("; ");
    match ledger::check_reason(&text) {
        Ok(()) => format!(" --reason '{}'", text.replace('\'', r"'\''")),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
