//! `[[build]]`.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::{Placed, value};
use crate::config::Build;
use crate::config::reader::{Item, Report, Table, all, or};
use crate::model::{GroupName, RepoPath};

/// The groups in order; each is placed where its `outputs` stand.
pub(super) fn groups(root: &Table<'_>) -> Option<Vec<Placed<Build>>> {
    let Some(item) = root.get("build") else { return Some(Vec::new()) };
    let mut names = HashSet::new();
    let tables = item.tables()?;
    all(tables.iter().map(|table| group(table, &mut names)).collect::<Vec<_>>())
}

fn group(table: &Table<'_>, names: &mut HashSet<GroupName>) -> Option<Placed<Build>> {
    let name = table.need("name").and_then(|item| {
        let name: GroupName = item.id()?;
        if !names.insert(name.clone()) {
            item.add(format_args!("{:?} names an earlier [[build]] too", name.as_str()));
            return None;
        }
        Some(name)
    });
    let run = table.need("run").and_then(|item| commands(&item));
    let inputs = or(table.get("inputs"), value::every_path, |item| value::some_patterns(&item));
    let outputs = table.need("outputs");
    let span = outputs.as_ref().map(Item::span);
    let outputs = outputs.and_then(|item| {
        let paths = value::paths(&item)?;
        if paths.is_empty() {
            item.add("names nothing: name what the commands make, or drop the group");
            return None;
        }
        Some(paths)
    });
    let carry = or(table.get("carry"), Vec::new, |item| value::paths(&item));
    let env = or(table.get("env"), BTreeMap::new, |item| value::environment(&item));
    let range = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
    let timeout = || Duration::from_secs(15 * 60);
    let timeout = or(table.get("timeout"), timeout, |item| item.duration(range));
    table.finish();
    let build = Build {
        name: name?,
        run: run?,
        inputs: inputs?,
        outputs: outputs?,
        carry: carry?,
        env: env?,
        timeout: timeout?,
    };
    Some(Placed { value: build, span: span? })
}

fn commands(item: &Item<'_>) -> Option<Vec<Vec<String>>> {
    let elements = item.elements("an array of commands such as [[\"npm\", \"ci\"]]")?;
    if elements.is_empty() {
        item.add("is empty: name at least one command");
        return None;
    }
    if elements.iter().all(|element| element.value().is_str()) {
        item.add("holds words, not commands: double the brackets, as in [[\"npm\", \"ci\"]]");
        return None;
    }
    all(elements.iter().map(value::command))
}

/// What a build makes replaces what lies there, so nothing else may lie in it: no other output, no carried
/// file, none of `claimed`.
pub(super) fn check_outputs(
    report: &Report<'_>,
    groups: &[Placed<Build>],
    claimed: &[(RepoPath, String)],
) {
    let mut seen: Vec<(&RepoPath, &GroupName)> = Vec::new();
    for Placed { value: group, span } in groups {
        for output in &group.outputs {
            for (other, owner) in &seen {
                if overlap(output, other) {
                    let message = format!("outputs: {output} overlaps {other} of build {owner}");
                    report.add(span, message);
                }
            }
            seen.push((output, &group.name));
        }
    }
    for (output, owner) in &seen {
        let span = groups.iter().find(|g| g.value.name == **owner).map(|g| g.span.clone());
        let span = span.unwrap_or_default();
        for (path, what) in claimed {
            if overlap(output, path) {
                report.add(&span, format!("outputs: {output} overlaps {path}, {what}"));
            }
        }
        for carrier in groups {
            for path in carrier.value.carry.iter().filter(|path| overlap(output, path)) {
                let name = &carrier.value.name;
                let message = format!("outputs: {output} overlaps {path}, carried by build {name}");
                report.add(&span, message);
            }
        }
    }
}

fn overlap(a: &RepoPath, b: &RepoPath) -> bool {
    a.starts_with(b) || b.starts_with(a)
}
