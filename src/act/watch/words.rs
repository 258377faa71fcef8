//! What the watcher says of rules.

use crate::act::circumstances::list;
use crate::act::next_steps::NextStep;
use crate::check::Symptom;
use crate::config::{Rule, RuleAction, Severity};
use crate::system::text::span;
use crate::watch::{Needs, RuleSeen, Trigger};

/// How often in a row a symptom must be absent to be gone.
pub(super) fn gone_after(rule: &Rule) -> u32 {
    rule.attempts.clamp(2, 3)
}

pub(super) fn word(seen: &Symptom) -> (&'static str, &str) {
    match seen {
        Symptom::Shows(answer) => ("shows", answer),
        Symptom::Absent(answer) => ("absent", answer),
        Symptom::Unknown(why) => ("unknown", why),
    }
}

pub(super) fn shown_for(trigger: &Trigger) -> String {
    let times = match trigger.times() {
        0 | 1 => String::new(),
        times => format!(", {times} times in a row"),
    };
    format!("for {}{times}", span(trigger.showing()))
}

/// What a symptom that shows still needs.
pub(super) fn patience(rule: &Rule) -> String {
    let lasts = (!rule.lasts.is_zero()).then(|| format!("for {}", span(rule.lasts)));
    let attempts = (rule.attempts > 1).then(|| format!("{} times in a row", rule.attempts));
    let needs: Vec<String> = [lasts, attempts].into_iter().flatten().collect();
    match needs.is_empty() {
        true => String::new(),
        false => format!("   (taken for real {})", needs.join(" and ")),
    }
}

pub(super) fn severity(level: Severity) -> &'static str {
    if level.rank() <= Severity::P1.rank() { "critical" } else { "warning" }
}

pub(super) fn status() -> NextStep {
    ("gitroll status".to_owned(), "shows what serves".to_owned())
}

pub(super) fn acknowledge() -> NextStep {
    ("gitroll watch ack".to_owned(), "lets it act again".to_owned())
}

/// What its rule says, for a person to type.
pub(super) fn by_hand(rule: &Rule) -> NextStep {
    let (command, what) = match &rule.action {
        RuleAction::Flags(ids) => {
            (format!("gitroll flags off {}", list(ids)), "what its rule says")
        }
        RuleAction::Code => ("gitroll back".to_owned(), "what its rule says"),
        RuleAction::Full => ("gitroll back --level full --plan".to_owned(), "what its rule says"),
        RuleAction::FixForward => ("gitroll status".to_owned(), "shows what serves"),
    };
    (command, what.to_owned())
}

/// How its act is undone.
pub(super) fn undo(rule: &Rule) -> NextStep {
    let command = match &rule.action {
        RuleAction::Flags(ids) => format!("gitroll flags on {}", list(ids)),
        _ => "gitroll back --undo".to_owned(),
    };
    (command, "if it was a false alarm".to_owned())
}

/// A rule, as others see it.
pub(super) fn rule_seen(rule: &Rule, trigger: Option<&Trigger>, needs: Needs) -> RuleSeen {
    let last = trigger.and_then(|trigger| Some(word(&trigger.last()?.seen)));
    RuleSeen {
        symptom: rule.symptom.clone(),
        severity: rule.severity.to_string(),
        auto: rule.auto,
        seen: last.map(|(word, _)| word.to_owned()),
        answer: last.map(|(_, answer)| answer.to_owned()).unwrap_or_default(),
        showing_seconds: trigger.map_or(0, |trigger| trigger.showing().as_secs()),
        for_seconds: rule.lasts.as_secs(),
        times: trigger.map_or(0, Trigger::times),
        attempts: rule.attempts,
        fires: trigger.is_some_and(|trigger| trigger.fires(needs)),
    }
}
