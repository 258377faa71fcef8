//! What serves and what was observed, in a line each.

use crate::cli::status::StatusAnswer;
use crate::model::Seq;
use crate::ui::{Ui, ago, clock_word, escape, plural, span};

/// What serves, since when, and by whose word.
pub(super) fn serving_words(ui: &Ui, answer: &StatusAnswer, now: jiff::Timestamp) -> String {
    let style = &ui.out;
    let open = answer.open_runs.last().filter(|run| run.touches());
    let proof = match (answer.told, answer.record, open) {
        (false, ..) if answer.healthy => {
            return "not known: the checks do not tell the one from the other".to_owned();
        }
        (false, ..) if !answer.checks.is_empty() && answer.checks.iter().all(|c| c.passed) => {
            let down = answer.services.iter().filter(|service| !service.up);
            let down: Vec<&str> = down.map(|service| service.service.as_str()).collect();
            let down = down.join(", ");
            return format!("{} not known: the checks pass, not seen up: {down}", style.bad());
        }
        (false, ..) => return format!("{} nothing healthy", style.bad()),
        (_, Some(seq), _) if answer.proven => proven_words(ui, answer, seq),
        (_, Some(seq), _) => format!("not proven by a run, #{seq}"),
        (_, None, Some(run)) if answer.serving.commit == run.to.commit => {
            let sign = if answer.proven { style.ok() } else { style.yellow("!") };
            format!("{sign} {}", run.target_word())
        }
        (_, None, None) if answer.unsigned > 0 => {
            format!("{} its record waits to be signed", style.yellow("!"))
        }
        (_, None, _) => format!("{} put there by hand, not recorded", style.yellow("!")),
    };
    let since = answer
        .since
        .map(|since| format!("  since {} ({})", clock_word(since, now), span(ago(since, now))));
    format!("{}{}  {proof}", answer.serving, since.unwrap_or_default())
}

/// That it was proven, and whether it still is as it was then.
fn proven_words(ui: &Ui, answer: &StatusAnswer, seq: Seq) -> String {
    let style = &ui.out;
    let down = answer.services.iter().filter(|service| !service.up);
    let down: Vec<&str> = down.map(|service| service.service.as_str()).collect();
    if !down.is_empty() {
        return format!("{} proven #{seq}, but not up now: {}", style.bad(), down.join(", "));
    }
    let failing = answer.checks.iter().filter(|check| check.failed());
    let failing: Vec<&str> = failing.map(|check| check.check.as_str()).collect();
    if !failing.is_empty() {
        return format!("{} proven #{seq}, but failing now: {}", style.bad(), failing.join(", "));
    }
    format!("{} proven #{seq}", style.ok())
}

/// Checks, services and the tree.
pub(super) fn observed_words(ui: &Ui, answer: &StatusAnswer) -> String {
    let style = &ui.out;
    let mut words: Vec<String> = Vec::new();
    for check in &answer.checks {
        if check.skipped.is_some() {
            continue;
        }
        words.push(if check.passed {
            format!("{} {} {} ms", check.check, style.ok(), check.last.millis)
        } else {
            format!("{} {} {}", check.check, style.bad(), escape(&check.last.answer))
        });
    }
    for service in &answer.services {
        words.push(if service.up {
            format!(
                "{} {} ({})",
                service.service,
                service.state,
                plural(service.pids.len(), "process").replace("processs", "processes")
            )
        } else {
            format!("{} {} {}", service.service, style.bad(), escape(&service.state))
        });
    }
    words.push(match answer.edited.as_slice() {
        [] => "tree clean".to_owned(),
        [only] => format!("{only} edited"),
        many => format!("{} files edited", many.len()),
    });
    words.join(&format!(" {} ", style.dot()))
}
