//! The sections that stand by themselves: app, deploy, stable, build, migrate, hooks, remote, run,
//! retention, rto.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use globset::GlobBuilder;

use super::value;
use crate::config::app::{
    App, Approvals, Build, Deploy, DownWay, Hooks, Layout, Migrate, OutputGlob, PathTemplate,
    Prove, Remote, Retention, Rto, RunSettings, Stable, UpstreamBranch,
};
use crate::config::quote::quoted;
use crate::config::reader::{Item, Placed, Report, Table, all, or};
use crate::model::{ApprovalLevel, DataName, GroupName, HookMoment, RepoPath};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn app(root: &Table<'_>) -> Option<App> {
    let table = root.need("app")?.table("[app]")?;
    let name = table.need("name").and_then(|item| item.id());
    let layouts = [("in-place", Layout::InPlace), ("releases", Layout::Releases)];
    let layout = or(table.get("layout"), || Layout::InPlace, |item| item.word(&layouts));
    let local = or(table.get("local"), value::no_patterns, |item| value::patterns(&item));
    let version = or(table.get("version"), || None, |item| version(&item).map(Some));
    let strengths = [("strong", Prove::Strong), ("weak", Prove::Weak)];
    let prove = or(table.get("prove"), || Prove::Strong, |item| item.word(&strengths));
    table.finish();
    Some(App { name: name?, layout: layout?, local: local?, version: version?, prove: prove? })
}

fn version(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    if text.len() > 128 || text.contains(char::is_whitespace) {
        item.add("must be one word of at most 128 characters, such as \"1.2.0\"");
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn deploy(root: &Table<'_>) -> Option<Deploy> {
    let Some(item) = root.get("deploy") else { return Some(Deploy { upstream: None }) };
    let table = item.table("[deploy]")?;
    let upstream = or(table.get("ref"), || None, |item| upstream(&item).map(Some));
    table.finish();
    Some(Deploy { upstream: upstream? })
}

fn upstream(item: &Item<'_>) -> Option<UpstreamBranch> {
    let text = item.text()?;
    let parts = text
        .split_once('/')
        .filter(|(remote, branch)| is_ref_name(remote) && is_ref_name(branch) && *remote != "refs");
    let Some((remote, branch)) = parts else {
        item.add(format_args!(
            "{} is not a remote and branch: write for example \"origin/main\"",
            quoted(text)
        ));
        return None;
    };
    Some(UpstreamBranch { remote: remote.to_owned(), branch: branch.to_owned() })
}

/// The rules of `git check-ref-format`, and no leading `-`.
fn is_ref_name(name: &str) -> bool {
    let bad = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    !name.starts_with('-')
        && !name.contains(bad)
        && !name.contains("..")
        && !name.contains("@{")
        && name != "@"
        && !name.ends_with('.')
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

pub(super) fn stable(root: &Table<'_>) -> Option<Stable> {
    let pattern = || "*-stable".to_owned();
    let served = || 30 * MINUTE;
    let Some(item) = root.get("stable") else {
        return Some(Stable { pattern: pattern(), min_served: served() });
    };
    let table = item.table("[stable]")?;
    let pattern = or(table.get("pattern"), pattern, |item| tag_pattern(&item));
    let range = Duration::ZERO..=365 * DAY;
    let min_served = or(table.get("min_served"), served, |item| item.duration(range));
    table.finish();
    Some(Stable { pattern: pattern?, min_served: min_served? })
}

fn tag_pattern(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    // Only what could match a safe tag name; everything a glob may hold besides is left to globset.
    if text.len() > 256 || text.starts_with(['-', '/']) || text.contains(char::is_whitespace) {
        item.add(format_args!("{} matches no tag: write for example \"*-stable\"", quoted(text)));
        return None;
    }
    if let Err(error) = GlobBuilder::new(text).build() {
        item.add(format_args!("{} is not a valid glob: {}", quoted(text), error.kind()));
        return None;
    }
    Some(text.to_owned())
}

/// The groups in order; each is placed where its `outputs` stand.
pub(super) fn build_groups(root: &Table<'_>) -> Option<Vec<Placed<Build>>> {
    let Some(item) = root.get("build") else { return Some(Vec::new()) };
    let mut names = HashSet::new();
    let tables = item.tables()?;
    all(tables.iter().map(|table| build_group(table, &mut names)).collect::<Vec<_>>())
}

fn build_group(table: &Table<'_>, names: &mut HashSet<GroupName>) -> Option<Placed<Build>> {
    let name = table.need("name").and_then(|item| {
        let name: GroupName = item.id()?;
        if !names.insert(name.clone()) {
            item.add(format_args!("{:?} is also the name of an earlier [[build]]", name.as_str()));
            return None;
        }
        Some(name)
    });
    let run = table.need("run").and_then(|item| commands(&item));
    let inputs = or(table.get("inputs"), value::every_path, |item| value::some_patterns(&item));
    let outputs = table.need("outputs");
    let span = outputs.as_ref().map(Item::span);
    let optional = or(table.get("optional"), Default::default, |item| value::outputs(&item, true));
    let outputs = outputs.and_then(|item| {
        let (paths, globs) = value::outputs(&item, false)?;
        let (_, more) = &optional.clone()?;
        let none = paths.is_empty() && globs.is_empty() && more.is_empty();
        if none && optional.as_ref().is_some_and(|(paths, _)| paths.is_empty()) {
            item.add("is empty: list what the commands produce, or remove the group");
            return None;
        }
        Some((paths, globs))
    });
    let scratch = or(table.get("scratch"), value::no_patterns, |item| value::patterns(&item));
    let carry = or(table.get("carry"), Vec::new, |item| value::paths(&item));
    let env = or(table.get("env"), BTreeMap::new, |item| value::environment(&item));
    let range = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
    let timeout = || Duration::from_secs(15 * 60);
    let timeout = or(table.get("timeout"), timeout, |item| item.duration(range));
    table.finish();
    let ((mut outputs, globs), (optional, more)) = (outputs?, optional?);
    // Named in both, it may be absent.
    outputs.retain(|output| !optional.contains(output));
    let stays = |glob: &OutputGlob| more.iter().all(|other| other.text != glob.text);
    let output_globs = globs.into_iter().filter(stays).chain(more.iter().cloned()).collect();
    let build = Build {
        name: name?,
        run: run?,
        inputs: inputs?,
        outputs,
        optional,
        output_globs,
        scratch: scratch?,
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
        item.add("contains words, not commands: use double brackets, as in [[\"npm\", \"ci\"]]");
        return None;
    }
    all(elements.iter().map(value::command))
}

/// What a build makes replaces what is there, so nothing else may lie in it: no other output, no carried
/// file, none of `claimed`.
pub(super) fn check_outputs(
    report: &Report<'_>,
    groups: &[Placed<Build>],
    claimed: &[(RepoPath, String)],
) {
    let mut seen: Vec<(&RepoPath, &GroupName)> = Vec::new();
    for Placed { value: group, span } in groups {
        for output in group.outputs.iter().chain(&group.optional) {
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
    let carried = groups.iter().flat_map(|carrier| {
        let name = &carrier.value.name;
        carrier.value.carry.iter().map(move |path| (path, format!("carried by build {name}")))
    });
    let claimed = claimed.iter().map(|(path, what)| (path, what.clone()));
    for (path, what) in claimed.chain(carried) {
        for Placed { value: group, span } in groups {
            for glob in group.output_globs.iter().filter(|glob| holds(glob, path)) {
                let message = format!("outputs: {} overlaps {path}, {what}", quoted(&glob.text));
                report.add(span, message);
            }
        }
    }
}

/// Whether `path` may be, or lie in, what the glob means.
fn holds(glob: &OutputGlob, path: &RepoPath) -> bool {
    std::iter::successors(Some(path.clone()), RepoPath::parent).any(|path| glob.is_match(&path))
}

fn overlap(a: &RepoPath, b: &RepoPath) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

pub(super) fn migrate(root: &Table<'_>) -> Option<Migrate> {
    let Some(item) = root.get("migrate") else {
        let paths = value::no_patterns();
        return Some(Migrate { data: None, paths, down: None, old_code_ok: false });
    };
    let table = item.table("[migrate]")?;
    let data = or(table.get("data"), || None, |item| migrated(root, &item).map(Some));
    let paths = table.need("paths").and_then(|item| value::some_patterns(&item));
    let down = or(table.get("down"), || None, |item| way_down(&item).map(Some));
    let old_code_ok = or(table.get("old_code_ok"), || false, |item| item.boolean());
    if let (Some(None), Some(Some(DownWay::Script(_)))) = (&data, &down) {
        table.add("needs \"data\": the database that the scripts of \"down\" are run on");
    }
    table.finish();
    Some(Migrate { data: data?, paths: paths?, down: down?, old_code_ok: old_code_ok? })
}

/// A database among `[data]`.
fn migrated(root: &Table<'_>, item: &Item<'_>) -> Option<DataName> {
    let name: DataName = item.id()?;
    // What is wrong with the section itself is reported there.
    let data = root.get("data");
    let source = data.as_ref().and_then(|data| data.value().get(name.as_str()));
    let engine = source.and_then(|source| source.get_ref().get("engine"));
    match engine.and_then(|engine| engine.get_ref().as_str()) {
        Some("sqlite" | "postgres") => Some(name),
        Some(engine) => {
            item.add(format_args!(
                "[data.{name}] has engine {}: migrations need sqlite or postgres",
                quoted(engine)
            ));
            None
        }
        None => {
            item.add(format_args!("there is no [data.{name}]"));
            None
        }
    }
}

fn way_down(item: &Item<'_>) -> Option<DownWay> {
    if !item.value().is_str() {
        return value::command(item).map(DownWay::Command);
    }
    let text = item.text()?;
    let template = PathTemplate::new(text);
    if template.is_none() {
        item.add(format_args!(
            "{} must be a path in the repository with {{number}} or {{name}} of the migration, such as \
             \"migrations/rollback/{{number}}_rollback.sql\", or a command as an array",
            quoted(text)
        ));
    }
    template.map(DownWay::Script)
}

pub(super) fn approvals(root: &Table<'_>) -> Option<Approvals> {
    let usual = 60 * MINUTE;
    let Some(item) = root.get("approvals") else {
        return Some(Approvals { roles: BTreeMap::new(), valid: usual });
    };
    let table = item.table("[approvals]")?;
    let levels = ApprovalLevel::ALL.map(|(level, key)| {
        or(table.get(key), || None, |item| roles(&item).map(Some))
            .map(|roles| roles.map(|roles| (level, roles)))
    });
    let valid =
        or(table.get("valid"), || usual, |item| item.duration(Duration::from_secs(1)..=30 * DAY));
    table.finish();
    let roles = all(levels)?.into_iter().flatten().collect();
    Some(Approvals { roles, valid: valid? })
}

/// Roles of which each must approve; one that is named twice needs two people.
fn roles(item: &Item<'_>) -> Option<Vec<String>> {
    let elements = item.elements("an array of roles such as [\"manager\", \"dba\"]")?;
    if elements.is_empty() || elements.len() > 10 {
        item.add("must have from 1 to 10 roles");
        return None;
    }
    all(elements.iter().map(|element| {
        let word = element.line()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if word.is_empty() || word.len() > 64 || !word.chars().all(plain) {
            element.add(format_args!("{} is not the name of a role", quoted(word)));
            return None;
        }
        Some(word.to_owned())
    }))
}

pub(super) fn hooks(root: &Table<'_>) -> Option<Hooks> {
    let default = Hooks::default();
    let Some(item) = root.get("hooks") else { return Some(default) };
    let table = item.table("[hooks]")?;
    let moments = HookMoment::ALL.map(|moment| {
        or(table.get(moment.as_str()), || None, |item| commands(&item).map(Some))
            .map(|commands| commands.map(|commands| (moment, commands)))
    });
    let range = Duration::from_secs(1)..=DAY;
    let timeout = or(table.get("timeout"), || default.timeout, |item| item.duration(range));
    let idempotent = or(table.get("idempotent"), BTreeSet::new, |item| {
        let known = HookMoment::ALL.map(|moment| (moment.as_str(), moment));
        let elements = item.elements("an array of moments such as [\"after_activate\"]")?;
        let named = all(elements.iter().map(|element| element.word(&known)))?;
        Some(named.into_iter().collect::<BTreeSet<_>>())
    });
    table.finish();
    let commands: BTreeMap<_, _> = all(moments)?.into_iter().flatten().collect();
    let idempotent = idempotent?;
    if let Some(moment) = idempotent.iter().find(|moment| !commands.contains_key(moment)) {
        table.add(format!("idempotent: there is no {}", moment.as_str()));
        return None;
    }
    Some(Hooks { commands, timeout: timeout?, idempotent })
}

pub(super) fn remote(root: &Table<'_>) -> Option<Remote> {
    let name = || "origin".to_owned();
    let Some(item) = root.get("remote") else {
        return Some(Remote { name: name(), required: false, push_tags: false });
    };
    let table = item.table("[remote]")?;
    let name = or(table.get("name"), name, |item| {
        let text = item.text()?;
        if is_ref_name(text) {
            return Some(text.to_owned());
        }
        item.add(format_args!("{} is not the name of a remote", quoted(text)));
        None
    });
    let required = or(table.get("required"), || false, |item| item.boolean());
    let push_tags = or(table.get("push_tags"), || false, |item| item.boolean());
    table.finish();
    Some(Remote { name: name?, required: required?, push_tags: push_tags? })
}

pub(super) fn run(root: &Table<'_>) -> Option<RunSettings> {
    let usual = || Some(5 * MINUTE);
    let Some(item) = root.get("run") else { return Some(RunSettings { watchdog: usual() }) };
    let table = item.table("[run]")?;
    let watchdog = or(table.get("watchdog"), usual, |item| {
        if item.value().as_str() == Some("off") {
            return Some(None);
        }
        if item.value().as_bool() == Some(false) {
            item.add("write \"off\"");
            return None;
        }
        item.duration(Duration::from_secs(1)..=DAY).map(Some)
    });
    table.finish();
    Some(RunSettings { watchdog: watchdog? })
}

pub(super) fn retention(root: &Table<'_>) -> Option<Retention> {
    let default = Retention::default();
    let Some(item) = root.get("retention") else { return Some(default) };
    let table = item.table("[retention]")?;
    let count = |item: &Item<'_>| item.number(1..=10_000).and_then(|n| usize::try_from(n).ok());
    let runs = or(table.get("runs"), || default.runs, |item| count(&item));
    let saved = or(table.get("saved"), || default.saved, |item| item.duration(DAY..=3650 * DAY));
    let data = or(table.get("data"), || None, |item| item.duration(DAY..=3650 * DAY).map(Some));
    let artifacts = or(table.get("artifacts"), || default.artifacts, |item| count(&item));
    let copies = or(table.get("copies"), || default.copies, |item| item.boolean());
    table.finish();
    Some(Retention {
        runs: runs?,
        saved: saved?,
        data: data?,
        artifacts: artifacts?,
        copies: copies?,
    })
}

pub(super) fn rto(root: &Table<'_>) -> Option<Rto> {
    let Some(item) = root.get("rto") else { return Some(Rto::default()) };
    let table = item.table("[rto]")?;
    let range = || Duration::from_secs(1)..=30 * DAY;
    let [flags, code, full] = ["flags", "code", "full"]
        .map(|key| or(table.get(key), || None, |item| item.duration(range()).map(Some)));
    table.finish();
    Some(Rto { flags: flags?, code: code?, full: full? })
}
