//! A plan in lines for a person.

use std::time::Duration;

use crate::config;
use crate::model::{
    Down, Event, FlagChange, FullLevel, HookMoment, HookStep, ItemBack, ItemSection, ItemSource,
    MigrateStep, PathChange, Plan, Step,
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
    lines.extend(full(plan));
    let quiet: Vec<&str> = quiesced(plan).collect();
    if !quiet.is_empty() {
        let what = match (plan.full.is_some(), plan.migrates().is_some()) {
            (true, _) => "data and files change",
            (false, true) => "the database changes",
            (false, false) => "files change",
        };
        lines.push(line("down", format!("{} while {what}", quiet.join(", "))));
    }
    let hooks = hooks(plan);
    if !hooks.is_empty() {
        lines.push(line("hooks", hooks.join(", ")));
    }
    let about = about.map(|time| format!("    about {} s", time.as_secs().max(1)));
    let only_data = plan.full.as_ref().is_some_and(|full| full.level != FullLevel::Full);
    if matches!(plan.event, Event::Flags | Event::Migrate) || only_data {
        return lines;
    }
    lines.push(line("build", format!("{}{}", builds(plan), about.unwrap_or_default())));
    lines
}

/// What goes back besides the code, what that loses, how long it takes, and which way loses less.
fn full(plan: &Plan) -> Vec<(String, String)> {
    let Some(full) = &plan.full else { return Vec::new() };
    let mut lines = Vec::new();
    if let Some(point) = &full.point {
        let verified = match point.verified {
            Some(at) => format!("verified {}", at.strftime("%Y-%m-%d %H:%M UTC")),
            None => "never restored for a trial".to_owned(),
        };
        let taken = point.taken.strftime("%Y-%m-%d %H:%M UTC");
        let health = point.health.as_str();
        let offsite =
            point.offsite.map(|at| format!(", offsite {}", at.strftime("%Y-%m-%d %H:%M UTC")));
        let offsite = offsite.unwrap_or_default();
        let text = format!("{}, {taken}, {health} then, {verified}{offsite}", point.id);
        lines.push(line("point", text));
    }
    for item in &full.items {
        let label = format!("{} {}", item.section.as_str(), item.name);
        lines.push((label, going_back(item)));
    }
    if full.items.iter().any(|item| item.section == ItemSection::Data) {
        let what = "what is replaced, until a person removes it: gitroll saved";
        lines.push(line("kept", what.to_owned()));
    }
    for stays in &full.stays {
        lines.push(line("stays", format!("{} ({})", stays.name, stays.why)));
    }
    let time = match full.restore_millis {
        _ if full.point.is_none() => None,
        Some(millis) => Some(format!(
            "restoring and checking took {} when it was last verified",
            span(millis.div_ceil(1000))
        )),
        None => Some("unknown: gitroll point verify --restore measures it".to_owned()),
    };
    lines.extend(time.map(|time| line("time", time)));
    if let Some((command, what)) = &full.cheaper {
        lines.push(line("cheaper", format!("{command}: {what}")));
    }
    lines
}

/// What becomes of one item, and what that loses.
fn going_back(item: &ItemBack) -> String {
    let from = match &item.from {
        ItemSource::Point(_) => "from the point".to_owned(),
        ItemSource::Defaults(dir) => format!("to the defaults in {dir}"),
        ItemSource::Kept(run) => format!("to what run {run} replaced"),
    };
    if item.section == ItemSection::Settings {
        return format!("{from}; the files of now are kept");
    }
    let rows = match item.rows {
        Some(rows) => {
            format!("LOSES {}", count(usize::try_from(rows).unwrap_or(usize::MAX), "row"))
        }
        None => "loss unknown (no lost_rows)".to_owned(),
    };
    let age = span(item.seconds.unwrap_or(0));
    format!("{from}; {rows}, {age}")
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
            Step::Copy => "copy      a point of what is there now".to_owned(),
            Step::Restore { section, name } => {
                format!("restore   {} {name} beside what is live, and check it", section.as_str())
            }
            Step::Swap { section, name } => {
                format!("swap      {} {name}; what was live is kept", section.as_str())
            }
            Step::Apply { name } => format!("apply     the command of settings {name}"),
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

/// A time as people say it.
fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn line(label: &str, text: String) -> (String, String) {
    (label.to_owned(), text)
}

fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}
