//! What is said about points.

use std::time::Duration;

use crate::act::point::{PointTaken, PointView};
use crate::act::points::{PointDiff, PointShown, Pruned, RestoredInto, Trial};
use crate::cli::failure::print_next_steps;
use crate::data::Verified;
use crate::model::{Health, PointItem};
use crate::system::clock;
use crate::system::text::{bytes, clock_word, plural};
use crate::ui::{Table, Ui, escape, span};

/// How many differing files are shown to a person.
const SHOWN: usize = 40;

pub(super) fn taken(ui: &Ui, taken: &PointTaken) {
    let PointTaken { point, record, key_only_here } = taken;
    let manifest = &point.manifest;
    items(ui, &manifest.items);
    let added = point.added.map(|added| format!(", {} added", bytes(added))).unwrap_or_default();
    let what = format!("{}{added}, #{}", bytes(manifest.bytes()), record.seq);
    if point.sound {
        let then = match manifest.health {
            Health::Healthy => format!("{} was healthy", escape(&manifest.name)),
            Health::Failing => format!("{} was failing", escape(&manifest.name)),
            Health::Unknown => format!("nothing tells how {} was", escape(&manifest.name)),
        };
        ui.line(&format!("{} {}  {what}; {then}", ui.out.ok(), manifest.id));
    } else {
        ui.line(&format!(
            "{} {}  {what}: evidence only, a copy failed its checks [1]",
            ui.out.bad(),
            manifest.id
        ));
    }
    for fault in &manifest.faults {
        ui.line(&format!("    {}", escape(fault)));
    }
    let mut next = Vec::new();
    if *key_only_here {
        let what = "the password is on this host only: keep it elsewhere".to_owned();
        next.push(("gitroll point key export".to_owned(), what));
    }
    if point.sound {
        next.push((
            format!("gitroll point verify {} --restore", manifest.id),
            "restores it into a scratch place and checks it".to_owned(),
        ));
    }
    print_next_steps(ui, &next);
}

fn items(ui: &Ui, items: &[PointItem]) {
    for item in items {
        let sign = if item.problems.is_empty() { ui.out.ok() } else { ui.out.bad() };
        let took = span(Duration::from_millis(item.took_millis));
        ui.line(&format!(
            "  {sign} {:<16} {:>9}  {took}  {}",
            item.place,
            bytes(item.bytes),
            escape(&item.source)
        ));
        for problem in &item.problems {
            ui.line(&format!("      {}", escape(problem)));
        }
        for note in &item.notes {
            ui.line(&format!("      {}", ui.out.dim(&escape(note))));
        }
    }
}

pub(super) fn list(ui: &Ui, points: &[PointView]) {
    if points.is_empty() {
        ui.say("there are no points yet");
        let what = "copies what [data] and [settings] declare".to_owned();
        print_next_steps(ui, &[("gitroll point create".to_owned(), what)]);
        return;
    }
    let head = [
        "POINT", "WHEN", "KIND", "SERVED", "THEN", "HOLDS", "SIZE", "ADDED", "VERIFIED", "OFFSITE",
    ];
    let mut table = Table::with_head(&head).right(6).right(7);
    let now = clock::now();
    let dash = || ui.out.dash().to_owned();
    for point in points {
        let manifest = &point.manifest;
        let mut kind = manifest.kind.as_str().to_owned();
        if point.pinned {
            kind.push_str(", pinned");
        }
        let then = match point.sound {
            true => manifest.health.as_str(),
            false => "evidence only",
        };
        let holds: Vec<&str> = manifest.items.iter().map(|item| item.name.as_str()).collect();
        table.row(vec![
            manifest.id.to_string(),
            clock_word(manifest.taken, now),
            kind,
            escape(&manifest.name),
            then.to_owned(),
            holds.join(", "),
            bytes(manifest.bytes()),
            point.added.map_or_else(dash, bytes),
            point.verified.as_ref().map_or_else(dash, last_trial),
            point.offsite.map_or_else(dash, |at| clock_word(at, now)),
        ]);
    }
    for line in table.lines(&ui.out) {
        ui.line(&line);
    }
}

fn last_trial(verified: &Verified) -> String {
    let how = match (verified.problems.is_empty(), verified.restored) {
        (false, _) => "BAD",
        (true, true) => "restored",
        (true, false) => "read",
    };
    format!("{how} {}", clock_word(verified.at, clock::now()))
}

pub(super) fn show(ui: &Ui, shown: &PointShown) {
    let point = &shown.point;
    let manifest = &point.manifest;
    let line = |label: &str, text: &str| ui.line(&format!("  {label:<9} {text}"));
    let pinned = if point.pinned { ", pinned" } else { "" };
    ui.line(&format!(
        "{} {}  {}{pinned}, {}",
        manifest.id,
        clock_word(manifest.taken, clock::now()),
        manifest.kind.as_str(),
        manifest.health.as_str()
    ));
    line("served", &format!("{} ({})", escape(&manifest.name), manifest.commit.short()));
    if let Some(reason) = &manifest.reason {
        line("reason", &escape(reason));
    }
    for (key, value) in &manifest.labels {
        line("label", &escape(&format!("{key}={value}")));
    }
    for fault in &manifest.faults {
        line("fault", &escape(fault));
    }
    match (&shown.record, shown.as_recorded) {
        (Some(record), Some(true)) => line("record", &format!("#{}, as stored", record.seq)),
        (Some(record), _) => {
            line("record", &format!("#{} states something else: do not trust it", record.seq));
        }
        (None, _) => line("record", "none on this host"),
    }
    if let Some(at) = point.offsite {
        line("offsite", &clock_word(at, clock::now()));
    }
    match &point.verified {
        Some(verified) => {
            line("verified", &last_trial(verified));
            for problem in &verified.problems {
                ui.line(&format!("            {}", escape(problem)));
            }
        }
        None => line("verified", "never"),
    }
    line("snapshot", &point.snapshot);
    items(ui, &manifest.items);
    for (path, size) in &shown.files {
        ui.line(&format!("    {:>9}  {}", bytes(*size), escape(path)));
    }
}

pub(super) fn diff(ui: &Ui, diff: &PointDiff) {
    if diff.files.is_empty() {
        ui.line(&format!("{} and {} hold the same files", diff.before, diff.after));
        return;
    }
    for file in diff.files.iter().take(SHOWN) {
        let what = match (file.before, file.after) {
            (None, Some(after)) => format!("+ {:>19}", bytes(after)),
            (Some(before), None) => format!("- {:>19}", bytes(before)),
            (before, after) => {
                let size = |size: Option<u64>| bytes(size.unwrap_or(0));
                format!("  {:>9} {:>9}", size(before), size(after))
            }
        };
        ui.line(&format!("{what}  {}", escape(&file.path)));
    }
    if diff.files.len() > SHOWN {
        ui.line(&plural(diff.files.len() - SHOWN, "more file"));
    }
}

pub(super) fn trial(ui: &Ui, trial: &Trial) {
    let took = span(Duration::from_millis(trial.took_millis));
    let how = if trial.restored { "restored and checked" } else { "every stored byte read" };
    if trial.problems.is_empty() {
        ui.line(&format!("{} {}  {how}  {took}", ui.out.ok(), trial.id));
    } else {
        ui.line(&format!("{} {}  is not good [1]", ui.out.bad(), trial.id));
    }
    for problem in &trial.problems {
        ui.line(&format!("    {}", escape(problem)));
    }
    for note in &trial.notes {
        ui.line(&format!("    {}", ui.out.dim(&escape(note))));
    }
}

pub(super) fn restored(ui: &Ui, restored: &RestoredInto) {
    let files = usize::try_from(restored.files).unwrap_or(usize::MAX);
    ui.line(&format!(
        "{} {}  {}, {} in {}",
        ui.out.ok(),
        restored.id,
        plural(files, "file"),
        bytes(restored.bytes),
        escape(&restored.into.display().to_string())
    ));
}

pub(super) fn pruned(ui: &Ui, pruned: &Pruned, plan: bool) {
    for kept in &pruned.kept {
        ui.line(&format!("  keep    {:<6} {}", kept.id, kept.why));
    }
    for id in &pruned.removed {
        ui.line(&format!("  remove  {id}"));
    }
    let count = plural(pruned.removed.len(), "point");
    let freed = bytes(pruned.freed);
    match plan {
        true => ui.line(&format!("would remove {count} and free {freed}")),
        false => ui.line(&format!("{} removed {count}, freed {freed}", ui.out.ok())),
    }
}
