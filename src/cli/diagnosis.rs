//! A diagnosis in lines: why what serves is not healthy, what changed, what to type.

use jiff::Timestamp;

use super::failure::print_next_steps;
use crate::diagnosis::{Changed, Diagnosis};
use crate::ui::{Ui, clock_word, escape};

/// What is to be told besides the commands, each with its label.
pub(super) fn fields(diagnosis: &Diagnosis, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    let mut add = |label: &'static str, lines: Vec<String>| {
        for (index, line) in lines.iter().enumerate() {
            fields.push((if index == 0 { label } else { "" }, escape(line)));
        }
    };
    add("why", diagnosis.why.clone());
    let changed = |changed: &Changed| {
        let when = changed.at.map(|at| format!(", {}", clock_word(at, now)));
        let when = when.unwrap_or_else(|| " is gone".to_owned());
        let since = diagnosis.last_well.as_ref().map(|proof| format!(", after #{}", proof.record));
        let names = match changed.names.as_slice() {
            [] => String::new(),
            names => format!(": {}", names.join(", ")),
        };
        format!("{}{when}{}{names}", changed.path, since.unwrap_or_default())
    };
    if let Some(since) = &diagnosis.failing_since {
        let word = if since.began { "since" } else { "since before" };
        let by = since.told_by.as_ref().map(|by| format!(" ({by})"));
        let when = clock_word(since.at, now);
        add("failing", vec![format!("{word} {when}{}", by.unwrap_or_default())]);
    }
    add("changed", diagnosis.changed.iter().map(changed).collect());
    if !diagnosis.why.is_empty() {
        let well = diagnosis.last_well.as_ref();
        let well = well.map(|proof| format!("{} (#{})", clock_word(proof.at, now), proof.record));
        add("last good", well.into_iter().collect());
    }
    add("note", diagnosis.notes.clone());
    fields
}

/// Tells it on standard error, as the end of a command that found something wrong.
pub(super) fn cry(ui: &Ui, diagnosis: &Diagnosis, now: Timestamp) {
    for (label, text) in fields(diagnosis, now) {
        ui.cry(&format!("  {label:<8} {text}"));
    }
    print_next_steps(ui, &diagnosis.next);
}

/// Tells it as a part of an answer.
pub(super) fn tell(ui: &Ui, diagnosis: &Diagnosis, now: Timestamp) {
    for (label, text) in fields(diagnosis, now) {
        ui.line(&format!("  {label:<9} {text}"));
    }
    tell_next(ui, diagnosis);
}

/// The commands, as a part of an answer.
pub(super) fn tell_next(ui: &Ui, diagnosis: &Diagnosis) {
    let next = diagnosis.next.iter().map(|(command, what)| (ui.typed_here(command), what));
    let next: Vec<(String, &String)> = next.collect();
    let width = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or_default();
    for (index, (command, what)) in next.iter().enumerate() {
        let label = if index == 0 { "next" } else { "" };
        let line = format!("  {label:<9} {:<width$}   {}", escape(command), escape(what));
        ui.line(line.trim_end());
    }
}
