//! How a change goes and ends, as lines and as JSON.

use std::time::Duration;

use super::diagnosis::fields;
use super::exit::Exit;
use super::failure::print_next_steps;
use crate::act::outcome::Status;
use crate::act::outcome::{ChangeOutcome, Ending, Place, Preview, Proven};
use crate::config::{Component, Config};
use crate::engine;
use crate::model::{
    BroughtBack, CheckEvidence, CheckName, Event, FullLevel, Hold, ItemSection, Plan,
    ServiceEvidence,
};
use crate::plan::describe;
use crate::plan::names::stable_matcher;
use crate::system::clock;
use crate::system::text::plural;
use crate::ui::{Ui, duration, escape, span};

/// `shop · production · web-1`.
pub fn place(ui: &Ui, place: &Place) -> String {
    let dot = ui.err.dot();
    format!("{} {dot} {} {dot} {}", place.app, place.environment, place.host)
}

/// Says what is going to be done.
pub fn preview(ui: &Ui, preview: &Preview) {
    let style = &ui.err;
    let state = if preview.faults.is_empty() {
        style.ok()
    } else {
        format!("{} {}", style.bad(), escape(&preview.faults.join(", ")))
    };
    let place = place(ui, &preview.place);
    ui.say(&format!("{place}    serving {}  {state}", preview.from));
    ui.say(&format!("  to       {}", preview.to));
    for (label, text) in &preview.parts {
        ui.say(&format!("  {label:<8} {}", escape(text)));
    }
    if preview.tries_further {
        let from = &preview.from.name;
        ui.say(&format!("  else     the next usable target, not {from}, which is already failing"));
    }
}

/// Says that the target was observed serving, and what follows from that.
pub fn proven(ui: &Ui, proven: &Proven<'_>) {
    let Proven { plan, proof, strays, took, slowest } = proven;
    // What shows flags is said by naming them.
    let asked: Vec<_> =
        proof.checks.iter().filter(|check| !shows_a_flag(plan, &check.check)).cloned().collect();
    let observed = witnesses(&asked, &proof.services);
    let (sign, word) = match &proof.weak {
        None => (ui.out.ok(), "observed serving"),
        Some(_) => (ui.out.yellow("!"), "weak proof"),
    };
    ui.line(&format!(
        "{sign} {}{} {word}: {observed}{}    {}{}",
        switched(plan),
        plan.to.name,
        match strays.len() {
            0 => String::new(),
            1 => "; 1 process of no service runs older code".to_owned(),
            many => format!("; {many} processes of no service run older code"),
        },
        duration(*took),
        promised(plan, *took),
    ));
    if let Some((step, time)) = slowest {
        ui.line(&format!("  slowest  {} {}", escape(step), duration(*time)));
    }
    consequences(ui, plan);
    for stray in *strays {
        ui.line(&format!("  older    {}", escape(stray)));
    }
    if let Some(why) = &proof.weak {
        ui.line(&format!("  weak     {}", escape(why)));
    }
}

/// Says how it ended; its answer is the document of the command, unless another change follows.
pub fn ended(ui: &Ui, outcome: &ChangeOutcome) {
    let bad = ui.err.bad();
    match &outcome.ending {
        Ending::Planned(plan) => {
            for line in describe::in_detail(plan) {
                ui.line(&format!("  {line}"));
            }
            ui.line(&format!("  plan      {}", plan.digest()));
        }
        Ending::NothingToDo { found, note, other } => {
            for line in found {
                ui.line(&format!("{} {}", ui.out.ok(), escape(line)));
            }
            if let Some(note) = note {
                ui.line(&format!("  {note}"));
            }
            if let Some((command, what)) = other {
                ui.line(&format!("  next     {command}"));
                ui.line(&format!("           {}", escape(what)));
            }
        }
        Ending::Serving(plan) if outcome.status == Status::Restored => {
            let to = &plan.to;
            ui.cry(&format!("{bad} Not the requested version: {to} serves instead. [20]"));
        }
        Ending::Serving(_) => {
            for brought in &outcome.answer.data_back {
                went_back(ui, brought);
            }
            if let Some(point) = &outcome.answer.copy_of_now {
                ui.line(&format!("  copy     of what was there before: {point}"));
            }
        }
        Ending::Watched => {}
        Ending::Restored { plan, why, found, took, slowest, recorded, nothing_served, weak } => {
            let what = if plan.event == Event::Deploy { "Not deployed" } else { "Not done" };
            if *nothing_served {
                ui.cry(&format!("{bad} {what}. Everything is as it was. [20]"));
                ui.cry("  observed nothing served before");
            } else {
                let seen = seen_again(weak.as_deref());
                ui.cry(&format!("{bad} {what}. {} restored, {seen}. [20]", plan.from));
            }
            ui.cry(&format!("  why      {}", escape(why)));
            let slowest = slowest.as_ref().map_or_else(String::new, |(step, time)| {
                format!(", slowest {} {}", escape(step), duration(*time))
            });
            let time = format!("{}{}{slowest}", duration(*took), promised(plan, *took));
            ui.cry(&format!("  took     {time}"));
            let mut next = Vec::new();
            if let Some(found) = found.as_ref().filter(|_| !nothing_served) {
                for (label, text) in fields(found, clock::now()) {
                    ui.cry(&format!("  {label:<8} {text}"));
                }
                next.clone_from(&found.next);
            }
            if let (Some(record), true) = (&outcome.answer.record, recorded) {
                let step = |command: String, what: &str| (command, what.to_owned());
                next.push(step(format!("gitroll show {}", record.seq), "what was observed"));
                next.push(match nothing_served {
                    true => {
                        step("gitroll deploy".to_owned(), "tries again, after you fix the problem")
                    }
                    false => step("gitroll diff".to_owned(), "what came with it, suspects first"),
                });
            }
            print_next_steps(ui, &next);
        }
        Ending::Aborted { nothing_served: true, .. } => {
            ui.line(&format!("{} unchanged: nothing served before", ui.out.ok()));
        }
        Ending::Aborted { plan, weak: Some(why), .. } => {
            let seen = seen_again(Some(why));
            ui.line(&format!("{} {} restored, {seen}", ui.out.yellow("!"), plan.from));
        }
        Ending::Aborted { plan, .. } => {
            ui.line(&format!("{} {} restored, observed serving", ui.out.ok(), plan.from));
        }
        Ending::PersonNeeded { what, facts, next } => {
            ui.cry(&format!("{bad} A PERSON IS NEEDED: {}. [21]", escape(what)));
            for (name, text) in facts {
                ui.cry(&format!("  {name:<8} {}", escape(text)));
            }
            print_next_steps(ui, next);
        }
        Ending::LeftOpen { run, next } => {
            ui.cry(&format!("{bad} Left as it is; run {run} is open. [22]"));
            print_next_steps(ui, next);
        }
    }
    let exit = Exit::from(outcome.status);
    ui.document(&outcome.command, exit.code(), &outcome.answer);
}

/// What went back, what that lost, and where what was there before is.
fn went_back(ui: &Ui, brought: &BroughtBack) {
    let name = &brought.name;
    if brought.section == ItemSection::Data {
        let rows = match brought.rows_lost {
            Some(rows) => plural(usize::try_from(rows).unwrap_or(usize::MAX), "row"),
            None => "unknown rows".to_owned(),
        };
        let age = span(Duration::from_secs(brought.seconds_lost.unwrap_or(0)));
        ui.line(&format!("  lost     {name}: {rows}, {age}"));
    }
    for place in &brought.kept {
        ui.line(&format!("  kept     {name}: {}", escape(place)));
    }
}

/// What is known of a state that was restored.
fn seen_again(weak: Option<&str>) -> String {
    match weak {
        None => "observed serving".to_owned(),
        Some(why) => format!("weak proof: {}", escape(why)),
    }
}

/// `ENABLE_UPLOADS false, seen in the running app; `
fn switched(plan: &Plan) -> String {
    let words = plan.flags().map(|c| format!("{} {}", c.name, escape(&c.after.plain())));
    let words: Vec<String> = words.collect();
    if words.is_empty() { String::new() } else { format!("{}; ", words.join(", ")) }
}

/// What the components that went back make one expect, as gitroll.toml says.
fn expected(ui: &Ui, plan: &Plan) {
    let Ok(config) = crate::config::parse(&plan.config, "gitroll.toml") else { return };
    // Returning to what they were is not what was described.
    if !plan.recorded.lifts.is_empty() || switched_on(&config, plan) {
        return;
    }
    let about = |c: &&Component| plan.recorded.components.contains(&c.id);
    for component in config.components.iter().filter(about) {
        if let Some(after) = &component.after {
            ui.line(&format!("  expect   {}: {}", component.id, escape(after)));
        }
        if !component.symptoms.is_empty() {
            let symptoms = escape(&component.symptoms.join(", "));
            ui.line(&format!("  watch    {symptoms}: if you see this, it did not help"));
        }
    }
}

fn switched_on(config: &Config, plan: &Plan) -> bool {
    plan.flags().any(|change| {
        let mut declared = config.components.iter().filter_map(|c| c.flag.as_ref());
        declared.any(|flag| flag.name == change.name && flag.off != change.after.plain())
    })
}

/// Whether a declared flag went to the value that is off.
fn switched_off(plan: &Plan) -> bool {
    let Ok(config) = crate::config::parse(&plan.config, "gitroll.toml") else { return false };
    plan.flags().any(|change| {
        let mut declared = config.components.iter().filter_map(|c| c.flag.as_ref());
        declared.any(|flag| flag.name == change.name && flag.off == change.after.plain())
    })
}

fn consequences(ui: &Ui, plan: &Plan) {
    expected(ui, plan);
    if plan.recorded.hold == Some(Hold::Commit)
        && let Some(subject) = &plan.recorded.subject
    {
        ui.line(&format!("  held     {} and every commit that contains it", subject.short()));
        ui.line(&format!(
            "  later    a fix on top of it goes out with gitroll deploy --fixes {}, a revert as usual",
            subject.short()
        ));
    }
    if let Some(Hold::Component { id, .. }) = &plan.recorded.hold {
        let name = escape(&plan.from.name);
        ui.line(&format!("  held     {id} as in {name}, in any commit"));
    }
    if let Some(step) = plan.migrates() {
        let names = escape(&step.names().join(", "));
        ui.line(&format!("  migrated {names} down, {}", escape(&step.loses.in_words())));
    }
    for save in &plan.activation.saves {
        ui.line(&format!("  saved    {} in .git/gitroll/saved", save.path));
    }
    match plan.event {
        Event::Back if plan.recorded.verdict.is_some() => after_a_rollback(ui, plan),
        Event::Back => {
            if !plan.recorded.lifts.is_empty() {
                let ids: Vec<_> = plan.recorded.components.iter().map(|id| id.as_str()).collect();
                let lifted = match ids.as_slice() {
                    [] => "the verdict and hold of that rollback".to_owned(),
                    ids => format!("the hold on {} of that rollback", ids.join(", ")),
                };
                ui.line(&format!("  lifted   {lifted}"));
            }
            let what = match &plan.full {
                None => format!("returns to {}", plan.from),
                Some(full) if full.copy.is_some() => "loses what is written from now on".to_owned(),
                Some(_) => "restores what was replaced".to_owned(),
            };
            ui.line(&format!("  next     gitroll back --undo      {what}"));
        }
        Event::Component => after_a_rollback(ui, plan),
        Event::Migrate => {
            ui.line("  next     gitroll back             rolls the code back as well")
        }
        // What was switched off tonight is not offered to be switched on again.
        Event::Flags if plan.recorded.lifts.is_empty() && switched_off(plan) => {
            ui.line("  undo     gitroll back --undo      if it was a false alarm");
        }
        Event::Flags if plan.recorded.lifts.is_empty() => {
            ui.line("  next     gitroll back --level flags    restores the previous values");
        }
        Event::Deploy if !is_stable(plan) => {
            ui.line("  next     gitroll promote          when you trust this version");
        }
        _ => {}
    }
}

/// Whether what serves has the name of a stable tag already.
fn is_stable(plan: &Plan) -> bool {
    let config = crate::config::parse(&plan.config, "gitroll.toml").ok();
    let matcher = config.and_then(|config| stable_matcher(&config.stable.pattern));
    matcher.is_some_and(|matcher| matcher.is_match(&plan.to.name))
}

fn after_a_rollback(ui: &Ui, plan: &Plan) {
    ui.line("  next     gitroll diff             suspects first");
    ui.line("           gitroll back --undo      if it was a false alarm");
    if plan.recorded.reason.is_none() {
        ui.line("           gitroll annotate --reason 'WHY'");
    }
}

/// `api 3/3, web 2/2 fresh`.
fn witnesses(checks: &[CheckEvidence], services: &[ServiceEvidence]) -> String {
    let checks = checks.iter().map(|c| match &c.skipped {
        None => format!("{} {}/{}", c.check, c.passes.min(c.wanted), c.wanted),
        Some(why) => format!("{} not run ({why})", c.check),
    });
    let services = services.iter().map(|s| {
        if s.pids.is_empty() {
            format!("{} {}", s.service, s.state)
        } else {
            format!("{} {}/{} fresh", s.service, s.fresh, s.pids.len())
        }
    });
    checks.chain(services).collect::<Vec<_>>().join(", ")
}

/// What was promised, and whether that was kept.
fn promised(plan: &Plan, took: Duration) -> String {
    let rto = crate::config::parse(&plan.config, "gitroll.toml").ok().map(|c| c.rto);
    let of_full = rto.as_ref().and_then(|rto| rto.full);
    let rto = rto.and_then(|rto| if plan.event == Event::Flags { rto.flags } else { rto.code });
    let full = plan.full.as_ref().filter(|full| full.level == FullLevel::Full);
    let rto = full.map_or(rto, |_| of_full);
    rto.map_or_else(String::new, |limit| {
        let late = if took > limit { "over the " } else { "" };
        format!(" ({late}rto {})", span(limit))
    })
}

fn shows_a_flag(plan: &Plan, check: &CheckName) -> bool {
    plan.flags().any(|change| engine::flag_question_name(&change.name) == *check)
}
