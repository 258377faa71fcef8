//! A plan in lines for a person.

use std::time::Duration;

use crate::config;
use crate::model::{
    Down, Event, FlagChange, HookMoment, HookStep, MigrateStep, PathChange, Plan, Step,
};

/// What a plan does, a short label and a text each: the lines above the question. `about` is how long it
/// will take, where that is known.
pub fn describe(plan: &Plan, about: Option<Duration>) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for flag in plan.flags() {
        lines.push(line("flag", change(flag)));
    }
    if !plan.recorded.components.is_empty() && plan.event != Event::Flags {
        lines.push(line("files", files(plan)));
    }
    for skipped in &plan.skipped {
        lines.push(line("skipped", format!("{}  {}", skipped.name, skipped.why)));
    }
    for warning in &plan.warnings {
        lines.push(line("warning", warning.clone()));
    }
    for check in &plan.checks {
        lines.push(line("checks", check.clone()));
    }
    for save in &plan.activation.saves {
        lines.push(line(
            "saved",
            format!("{} ({}) moves to .git/gitroll/saved", save.path, save.what),
        ));
    }
    for keep in &plan.activation.kept {
        lines.push(line("kept", format!("{} stays as it is ({})", keep.path, keep.why)));
    }
    if let Some(step) = plan.migrates() {
        lines.extend(migrations(step));
    }
    let quiet: Vec<&str> = quiesced(plan).collect();
    if !quiet.is_empty() {
        let what = if plan.migrates().is_some() { "the database changes" } else { "files change" };
        lines.push(line("down", format!("{} while {what}", quiet.join(", "))));
    }
    let hooks = hooks(plan);
    if !hooks.is_empty() {
        lines.push(line("hooks", hooks.join(", ")));
    }
    let about = about.map(|time| format!("    about {} s", time.as_secs().max(1)));
    if matches!(plan.event, Event::Flags | Event::Migrate) {
        return lines;
    }
    lines.push(line("build", format!("{}{}", builds(plan), about.unwrap_or_default())));
    lines
}

/// What the plan does to the tree, step by step: for `--plan`.
pub fn in_detail(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &plan.steps {
        lines.push(match step {
            Step::Stage { commit } => format!("stage     {} outside the app", commit.short()),
            Step::Build(build) => {
                let run: Vec<String> = build.run.iter().map(|argv| argv.join(" ")).collect();
                format!("build     {}: {}", build.group, run.join("; "))
            }
            Step::Hook(step) => hook(step),
            Step::Migrate(step) => {
                format!("migrate   {} down, {}", how(step), step.loses.in_words())
            }
            Step::Activate => format!(
                "activate  {} of files, {} of artifacts",
                count(plan.activation.changes.len(), "change"),
                count(plan.activation.artifacts.len(), "swap")
            ),
            Step::Head { from, to, .. } => {
                format!("head      {} to {}, detached", from.short(), to.short())
            }
            Step::Flags(flags) => {
                let words: Vec<String> = flags.changes.iter().map(change).collect();
                format!("flags     {}: {}", flags.source, words.join(", "))
            }
            Step::Signal { service, signal } => format!("signal    {signal} to {service}"),
            Step::Quiesce { service } => format!("quiesce   {service} is stopped"),
            Step::Stop { service } => format!("stop      {service}, no longer a service of it"),
            Step::Reload { service } => format!("reload    {service}"),
            Step::Prove => format!("prove     {} serves", plan.to),
            Step::Record => "record    sign, append, publish".to_owned(),
        });
        if *step == Step::Prove {
            lines.extend(later_hooks(plan).iter().map(hook));
        }
    }
    lines
}

/// Which migrations are taken back, by what, and what that loses.
fn migrations(step: &MigrateStep) -> Vec<(String, String)> {
    let mut lines: Vec<_> = step
        .migrations
        .iter()
        .map(|migration| {
            let how = match &migration.down {
                Down::Script { path, .. } => format!("{path} of {}", step.commit.short()),
                Down::Command { run } => run.join(" "),
            };
            line("migrate", format!("{} down    {how}", migration.name))
        })
        .collect();
    lines.push(line("loses", step.loses.in_words()));
    let kept = match &step.data {
        Some(data) => format!("{data} is copied first, and restored if the run fails"),
        None => "nothing: without [migrate] data the database cannot be restored".to_owned(),
    };
    lines.push(line("kept", kept));
    lines
}

fn how(step: &MigrateStep) -> String {
    step.names().join(", ")
}

fn hook(hook: &HookStep) -> String {
    format!("hook      {}: {}", hook.label(), hook.run.join(" "))
}

/// The commands that come when the plan's target was proven.
fn later_hooks(plan: &Plan) -> Vec<HookStep> {
    let Ok(accepted) = config::parse(&plan.config_before, "gitroll.toml") else {
        return Vec::new();
    };
    let back = (plan.event == Event::Back).then_some(HookMoment::AfterBack);
    let moments = [HookMoment::AfterProven].into_iter().chain(back);
    moments.flat_map(|moment| accepted.hooks.at(moment)).collect()
}

/// The moments at which commands of the team's own are run, should all go well.
fn hooks(plan: &Plan) -> Vec<&'static str> {
    let steps = plan.steps.iter().filter_map(|step| match step {
        Step::Hook(hook) => Some(hook.moment),
        _ => None,
    });
    let later = later_hooks(plan);
    let mut moments: Vec<HookMoment> = steps.chain(later.iter().map(|hook| hook.moment)).collect();
    moments.dedup();
    moments.into_iter().map(HookMoment::as_str).collect()
}

/// A flag before and after: `ENABLE_UPLOADS true → false`.
pub fn change(change: &FlagChange) -> String {
    format!("{} {} → {}", change.name, change.before.plain(), change.after.plain())
}

/// The groups a plan builds.
pub fn built_groups(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::Build(build) => Some(build.group.to_string()),
            _ => None,
        })
        .collect()
}

fn quiesced(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.steps.iter().filter_map(|step| match step {
        Step::Quiesce { service } => Some(service.as_str()),
        _ => None,
    })
}

/// `2 changed, 1 removed, 1 restored`.
fn files(plan: &Plan) -> String {
    let count = |wanted: (bool, bool)| {
        let here =
            |change: &&PathChange| (change.before.is_some(), change.after.is_some()) == wanted;
        plan.activation.changes.iter().filter(here).count()
    };
    let parts = [
        (count((true, true)), "changed"),
        (count((true, false)), "removed"),
        (count((false, true)), "restored"),
    ];
    let parts = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn builds(plan: &Plan) -> String {
    let groups = built_groups(plan);
    match (groups.is_empty(), plan.artifacts.is_empty()) {
        (true, true) => "none".to_owned(),
        (true, false) => "none (kept)".to_owned(),
        (false, _) => groups.join(", "),
    }
}

fn line(label: &str, text: String) -> (String, String) {
    (label.to_owned(), text)
}

fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}
