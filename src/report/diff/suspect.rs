//! Suspects: what to look at first, and why. The order is what experience says, the likeliest first.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::environment::EnvironmentChange;
use super::files::{Change, FileChange, Kind, Kinds, file_name};
use super::npm_lock::{Class, LockChange, PackageChange, Relation};
use crate::config::Component;
use crate::ledger::Held;
use crate::model::{Hold, Oid, RepoPath};
use crate::system::git::Git;

/// No answer lists more suspects.
const MOST_SUSPECTS: usize = 500;

/// No suspect lists more paths.
const MOST_PATHS: usize = 20;

/// No more package.json files are read: each has its build in every workspace.
const MOST_MANIFESTS: usize = 200;

/// One suspect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Suspect {
    /// Its kind.
    pub kind: SuspectKind,
    /// The package, file, variable or component.
    pub what: String,
    /// Its version before, where it has one.
    pub from: Option<String>,
    /// Its version since, where it has one.
    pub to: Option<String>,
    /// Why it is suspect.
    pub why: String,
    /// The files that a commit must touch to have changed it. At most 20.
    pub paths: Vec<RepoPath>,
    #[serde(skip)]
    weight: u8,
}

/// The kind of suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SuspectKind {
    /// Files of a held component.
    Held,
    /// A package, or a lock file that cannot be compared.
    Dependency,
    /// Variables in `.env`.
    Environment,
    /// A migration.
    Migration,
    /// `gitroll.toml`.
    Gitroll,
    /// A configuration file.
    Configuration,
    /// The file with the most changed lines in its component, or in the rest.
    Largest,
}

#[cfg(test)]
impl Suspect {
    /// One that only has to be shown.
    pub fn for_tests(kind: SuspectKind, text: &str) -> Self {
        let why = text.to_owned();
        Self {
            from: Some(why.clone()),
            to: Some(why.clone()),
            ..suspect(kind, 1, why.clone(), why)
        }
    }
}

impl SuspectKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            SuspectKind::Held => "held",
            SuspectKind::Dependency => "dependency",
            SuspectKind::Environment => "environment",
            SuspectKind::Migration => "migration",
            SuspectKind::Gitroll => "gitroll",
            SuspectKind::Configuration => "configuration",
            SuspectKind::Largest => "largest",
        }
    }
}

/// What suspicion is built on.
pub(super) struct Evidence<'a> {
    pub(super) files: &'a [FileChange],
    pub(super) locks: &'a [LockChange],
    pub(super) manifests: &'a [Manifest],
    pub(super) environment: Option<&'a EnvironmentChange>,
    pub(super) components: &'a [Component],
    pub(super) held: &'a [Held],
    pub(super) kinds: &'a Kinds,
}

/// A package.json that differs in more than its version.
pub(super) struct Manifest {
    path: RepoPath,
    /// The sections that differ; `None` if it is not JSON since.
    sections: Option<Vec<String>>,
}

/// Every suspect, the likeliest first.
pub(super) fn rank(evidence: &Evidence<'_>) -> Vec<Suspect> {
    let mut suspects = held(evidence);
    suspects.extend(evidence.locks.iter().flat_map(dependencies));
    suspects.extend(evidence.manifests.iter().filter_map(|m| manifest(m, evidence)));
    suspects.extend(evidence.environment.into_iter().flat_map(environment));
    suspects.extend(evidence.files.iter().filter_map(|file| of_kind(file, evidence.kinds)));
    suspects.extend(largest(evidence));
    suspects.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.what.cmp(&b.what)));
    suspects
}

/// Cuts the lists to what an answer may hold.
pub(super) fn shorten(suspects: &mut Vec<Suspect>) {
    suspects.truncate(MOST_SUSPECTS);
    suspects.iter_mut().for_each(|suspect| suspect.paths.truncate(MOST_PATHS));
}

fn suspect(kind: SuspectKind, weight: u8, what: String, why: impl Into<String>) -> Suspect {
    Suspect { kind, what, from: None, to: None, why: why.into(), paths: Vec::new(), weight }
}

fn held(evidence: &Evidence<'_>) -> Vec<Suspect> {
    let mut suspects: Vec<Suspect> = Vec::new();
    for held in evidence.held {
        let Hold::Component { id, .. } = &held.hold else { continue };
        let Some(component) = evidence.components.iter().find(|c| c.id == *id) else { continue };
        let files: Vec<&FileChange> =
            evidence.files.iter().filter(|file| file.is_of(component)).collect();
        if files.is_empty() || suspects.iter().any(|s| s.what == id.as_str()) {
            continue;
        }
        let why = format!("{} of it changed, and #{} holds it", count(files.len()), held.seq);
        let mut suspect = suspect(SuspectKind::Held, 100, id.to_string(), why);
        suspect.paths = files.into_iter().flat_map(FileChange::paths).cloned().collect();
        suspects.push(suspect);
    }
    suspects
}

fn count(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

fn dependencies(lock: &LockChange) -> Vec<Suspect> {
    let mut suspects = Vec::new();
    if let Some(summary) = &lock.summary {
        let weight = if lock.broken { 95 } else { 60 };
        suspects.push(suspect(
            SuspectKind::Dependency,
            weight,
            lock.path.to_string(),
            format!("changed, not compared by package: {summary}"),
        ));
    }
    let (direct, transitive): (Vec<_>, Vec<_>) =
        lock.packages.iter().partition(|change| change.relation == Relation::Direct);
    for change in direct {
        let weight = match (change.breaking(), change.class) {
            (true, _) => 80,
            (_, Class::Minor | Class::Prerelease) => 65,
            _ => 55,
        };
        let weight = if change.dev { weight / 2 } else { weight };
        let mut one =
            suspect(SuspectKind::Dependency, weight, change.package.clone(), describe(change));
        (one.from, one.to) = (change.from.clone(), change.to.clone());
        suspects.push(one);
    }
    suspects.extend(together(lock, &transitive));
    suspects.iter_mut().for_each(|suspect| suspect.paths = vec![lock.path.clone()]);
    suspects
}

/// `direct, major`, and what else is to be known of it.
fn describe(change: &PackageChange) -> String {
    let mut words = vec![match change.relation {
        Relation::Direct => "direct",
        Relation::Transitive => "transitive",
    }];
    words.push(change.class.as_str());
    if change.downgrade {
        words.push("downgraded");
    } else if change.class == Class::Minor && change.breaking() {
        words.push("below 1.0.0, so it may break");
    }
    if change.dev {
        words.push("only for development");
    }
    words.join(", ")
}

/// The packages that others asked for are one suspect: there may be hundreds, and the one that matters is
/// usually below a direct one.
fn together(lock: &LockChange, transitive: &[&PackageChange]) -> Option<Suspect> {
    const NAMED: usize = 3;
    let worst = transitive.first()?;
    if let [only] = transitive {
        let weight = if only.breaking() { 50 } else { 40 };
        let mut one =
            suspect(SuspectKind::Dependency, weight, only.package.clone(), describe(only));
        (one.from, one.to) = (only.from.clone(), only.to.clone());
        return Some(one);
    }
    let breaking = transitive.iter().filter(|change| change.breaking()).count();
    // The list of a huge lock file ends early; all of its direct packages come before.
    let listed_direct = lock.packages.len() - transitive.len();
    let number = lock.total - listed_direct;
    let names: Vec<&str> = transitive.iter().take(NAMED).map(|c| c.package.as_str()).collect();
    let more = if number > NAMED { ", …" } else { "" };
    let (weight, first) = match (breaking, worst.dev) {
        (0, _) => (40, "by their versions, none should break".to_owned()),
        (_, true) => (40, format!("{breaking} may break, only for development")),
        (_, false) => (50, format!("{breaking} may break")),
    };
    let why = format!("{first}: {}{more}", names.join(", "));
    let what = format!("{number} transitive packages");
    Some(suspect(SuspectKind::Dependency, weight, what, why))
}

fn environment(change: &EnvironmentChange) -> Vec<Suspect> {
    let what = |names: &[String]| {
        const NAMED: usize = 5;
        let more = if names.len() > NAMED { ", …" } else { "" };
        format!("{}{more}", names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "))
    };
    let mut suspects = Vec::new();
    if change.emptied && !change.removed.is_empty() {
        let why = ".env has no variables: it is missing, empty or not readable";
        suspects.push(suspect(SuspectKind::Environment, 98, what(&change.removed), why));
    } else if !change.removed.is_empty() {
        let why = "removed from .env since";
        suspects.push(suspect(SuspectKind::Environment, 90, what(&change.removed), why));
    }
    if !change.added.is_empty() {
        let why = "added to .env since";
        suspects.push(suspect(SuspectKind::Environment, 62, what(&change.added), why));
    }
    suspects
}

fn of_kind(file: &FileChange, kinds: &Kinds) -> Option<Suspect> {
    let kind = file.paths().find_map(|path| kinds.kind(path))?;
    let change = file.change.as_str();
    let (kind, weight, why) = match kind {
        // These have suspects of their own.
        Kind::NpmLock | Kind::Manifest => return None,
        Kind::OtherLock => (
            SuspectKind::Dependency,
            60,
            format!("{change}{}, not compared by package", lines(file)),
        ),
        Kind::Migration => {
            (SuspectKind::Migration, 85, format!("{change}; a rollback does not change the schema"))
        }
        Kind::Gitroll => {
            (SuspectKind::Gitroll, 75, format!("{change}{}: how it is deployed", lines(file)))
        }
        Kind::Configuration => (SuspectKind::Configuration, 70, format!("{change}{}", lines(file))),
    };
    let mut suspect = suspect(kind, weight, file.path.to_string(), why);
    suspect.paths = file.paths().cloned().collect();
    Some(suspect)
}

fn lines(file: &FileChange) -> String {
    match (file.change, file.added, file.deleted) {
        (Change::Modified | Change::Renamed, Some(added), Some(deleted)) => {
            format!(" (+{added} -{deleted})")
        }
        _ => String::new(),
    }
}

/// Every package.json among these files that differs in a section which matters.
pub(super) fn manifests(git: &Git, from: &Oid, to: &Oid, files: &[FileChange]) -> Vec<Manifest> {
    let changed = |file: &&FileChange| {
        file_name(&file.path) == b"package.json" && file.change == Change::Modified
    };
    let mut manifests = Vec::new();
    for file in files.iter().filter(changed).take(MOST_MANIFESTS) {
        let read = |commit| git.file(commit, &file.path).ok().flatten();
        let (Some(before), Some(after)) = (read(from), read(to)) else { continue };
        let before = serde_json::from_slice::<Value>(&before).unwrap_or_default();
        let sections = serde_json::from_slice(&after).ok().map(|after| sections(&before, &after));
        manifests.push(Manifest { path: file.path.clone(), sections });
    }
    manifests
}

/// The sections of a package.json that say how the app is built and started.
fn sections(before: &Value, after: &Value) -> Vec<String> {
    const SECTIONS: [&str; 14] = [
        "dependencies",
        "optionalDependencies",
        "peerDependencies",
        "devDependencies",
        "overrides",
        "resolutions",
        "scripts",
        "engines",
        "type",
        "main",
        "exports",
        "imports",
        "workspaces",
        "packageManager",
    ];
    let differs = |name: &&str| before.get(name) != after.get(name);
    SECTIONS.into_iter().filter(differs).map(str::to_owned).collect()
}

fn manifest(manifest: &Manifest, evidence: &Evidence<'_>) -> Option<Suspect> {
    let path = &manifest.path;
    let lock_changed = evidence.files.iter().any(|file| {
        let lock = evidence.kinds.kind(&file.path);
        matches!(lock, Some(Kind::NpmLock | Kind::OtherLock))
    });
    let of_dependencies = |name: &&String| name.to_ascii_lowercase().ends_with("dependencies");
    let (weight, why) = match &manifest.sections {
        None => (95, "it is no longer JSON".to_owned()),
        Some(sections) if !lock_changed && sections.iter().any(|name| of_dependencies(&name)) => {
            (82, format!("{} changed and no lock file did", sections.join(", ")))
        }
        Some(sections) => {
            let rest: Vec<&str> =
                sections.iter().filter(|n| !of_dependencies(n)).map(String::as_str).collect();
            if rest.is_empty() {
                return None;
            }
            (70, format!("{} changed", rest.join(", ")))
        }
    };
    let mut suspect = suspect(SuspectKind::Configuration, weight, path.to_string(), why);
    suspect.paths = vec![path.clone()];
    Some(suspect)
}

/// The file of each component, and of the rest, with the most changed lines, where it is not suspect for
/// another reason.
fn largest(evidence: &Evidence<'_>) -> Vec<Suspect> {
    let plain = |file: &&FileChange| {
        file.lines() > 0 && file.paths().all(|path| evidence.kinds.kind(path).is_none())
    };
    let components = evidence.components;
    let mut seen: BTreeSet<&RepoPath> = BTreeSet::new();
    let mut suspects = Vec::new();
    for component in components.iter().map(Some).chain([None]) {
        let of = |file: &&FileChange| match component {
            Some(component) => file.is_of(component),
            None => !components.iter().any(|c| file.is_of(c)),
        };
        let files = evidence.files.iter().filter(plain).filter(of);
        let Some(file) = files.max_by(|a, b| a.lines().cmp(&b.lines()).then(b.path.cmp(&a.path)))
        else {
            continue;
        };
        if !seen.insert(&file.path) {
            continue;
        }
        let place = component.map_or("the rest".to_owned(), |c| c.id.to_string());
        let (added, deleted) = (file.added.unwrap_or(0), file.deleted.unwrap_or(0));
        let why = format!("+{added} -{deleted}, the largest change in {place}");
        let mut suspect = suspect(SuspectKind::Largest, 30, file.path.to_string(), why);
        suspect.paths = file.paths().cloned().collect();
        suspects.push(suspect);
    }
    suspects
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;
    use crate::model::Digest;
    use crate::report::diff::npm_lock;

    fn file(path: &str, change: Change, added: u64) -> FileChange {
        let path = RepoPath::new(path).unwrap();
        let (added, deleted) = (Some(added), Some(0));
        FileChange { path, change, was: None, similarity: None, added, deleted }
    }

    fn config() -> Config {
        let text = "[app]\nname = \"shop\"\n[migrate]\npaths = [\"db/**\"]\n\
                [component.QW-001]\npaths = [\"up/**\"]\n[component.QW-002]\npaths = [\"down/**\"]\n";
        crate::config::parse(text, "gitroll.toml").unwrap()
    }

    fn hold(hold: Hold) -> Held {
        Held {
            subject: "a".repeat(40).parse().unwrap(),
            hold,
            digest: Digest::of(b"x"),
            writer: "web-1.k3f9".parse().unwrap(),
            seq: "7".parse().unwrap(),
            by: "ana".to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
            reason: None,
        }
    }

    fn told(files: &[FileChange], manifests: &[Manifest], held: &[Held]) -> Vec<(String, String)> {
        let config = config();
        let evidence = Evidence {
            files,
            locks: &[],
            manifests,
            environment: None,
            components: &config.components,
            held,
            kinds: &Kinds::of(Some(&config)),
        };
        rank(&evidence).into_iter().map(|s| (s.what, s.why)).collect()
    }

    #[test]
    fn files_of_a_component_under_hold_come_first() {
        let files = [
            file("db/1.sql", Change::Added, 5),
            file("up/a.js", Change::Modified, 9),
            file("down/a.js", Change::Modified, 1),
        ];
        let component =
            |id: &str| Hold::Component { id: id.parse().unwrap(), content: Digest::of(b"") };
        let held = [hold(component("QW-001")), hold(component("QW-009")), hold(Hold::Commit)];
        let told = told(&files, &[], &held);
        assert_eq!(told[0].0, "QW-001");
        assert_eq!(told[0].1, "1 file of it changed, and #7 holds it");
        let names: Vec<&str> = told.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(names, ["QW-001", "db/1.sql", "down/a.js", "up/a.js"]);
    }

    #[test]
    fn a_manifest_is_suspect_by_its_sections_and_where_no_lock_followed() {
        let before = json!({ "version": "1.0.0", "scripts": { "start": "a" }, "dependencies": {} });
        let only_version =
            json!({ "version": "2.0.0", "scripts": { "start": "a" }, "dependencies": {} });
        assert_eq!(sections(&before, &only_version), Vec::<String>::new());
        let more = json!({ "scripts": { "start": "b" }, "dependencies": { "x": "1" } });
        assert_eq!(sections(&before, &more), ["dependencies", "scripts"]);

        let path = RepoPath::new("package.json").unwrap();
        let manifest = [Manifest { path: path.clone(), sections: Some(sections(&before, &more)) }];
        let package = file("package.json", Change::Modified, 2);
        let alone = told(std::slice::from_ref(&package), &manifest, &[]);
        assert_eq!(alone[0].1, "dependencies, scripts changed and no lock file did");
        let with_lock = [package, file("yarn.lock", Change::Modified, 2)];
        let told = told(&with_lock, &manifest, &[]);
        assert!(
            told.contains(&("package.json".to_owned(), "scripts changed".to_owned())),
            "{told:?}"
        );
    }

    #[test]
    fn hundreds_of_transitive_packages_are_one_suspect_that_names_the_worst() {
        let lock = |version: &str, extra: &str| {
            let packages: Vec<String> = (0..300)
                .map(|n| format!("\"node_modules/p{n:03}\": {{ \"version\": \"{version}\" }}"))
                .collect();
            let text = format!(
                "{{ \"lockfileVersion\": 3, \"packages\": {{ {}, \"node_modules/z\": \
             {{ \"version\": \"{extra}\" }} }} }}",
                packages.join(", ")
            );
            npm_lock::parse(text.as_bytes(), None).unwrap()
        };
        let mut packages = npm_lock::changes(&lock("1.0.0", "1.0.0"), &lock("1.0.1", "2.0.0"));
        packages.sort_by_key(|change| !change.breaking());
        let path = RepoPath::new("package-lock.json").unwrap();
        let total = packages.len();
        let change = LockChange { path, summary: None, broken: false, total, packages };
        let suspects = dependencies(&change);
        assert_eq!(suspects.len(), 1);
        assert_eq!(suspects[0].what, "301 transitive packages");
        assert_eq!(suspects[0].why, "1 may break: z, p000, p001, …");
    }
}
