//! npm's lock file, versions 1 to 3, and what differs between two of them.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::files::{Change, FileChange, is_npm_lock};
use crate::model::{Oid, RepoPath};
use crate::system::git::Git;

/// What one lock file installs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// Its `lockfileVersion`.
    pub version: u64,
    installed: BTreeMap<String, Installed>,
    direct: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Installed {
    version: String,
    content: Option<String>,
    dev: bool,
}

/// Why a lock file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// It is not what npm writes; npm refuses it too.
    #[error("broken: {0}")]
    Broken(String),
    /// npm has a newer format.
    #[error("lock file version {0} is not known")]
    Unknown(u64),
}

/// A package that was added, removed, or installed in a different version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PackageChange {
    /// The package, as it is required.
    pub package: String,
    /// Its version before; `None` if it is new.
    pub from: Option<String>,
    /// Its version since; `None` if it is gone.
    pub to: Option<String>,
    /// Required by the app itself, or by another package.
    pub relation: Relation,
    /// Which part of the version changed.
    pub class: Class,
    /// The new version is the lower one.
    pub downgrade: bool,
    /// Only development needs it.
    pub dev: bool,
}

/// Who asked for a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// The app's package.json, or a workspace's.
    Direct,
    /// Another package.
    Transitive,
}

/// Which part of two versions differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The first number changed.
    Major,
    /// The same version has another content: nobody republishes on the registry of npm.
    Content,
    /// One of them is not a version: a link, a git commit.
    Other,
    /// The package is gone.
    Removed,
    /// The package is new.
    Added,
    /// The second number changed.
    Minor,
    /// Only what follows the dash changed.
    Prerelease,
    /// The third number changed.
    Patch,
}

impl PackageChange {
    /// Whether it may break what uses it, by the rules of semantic versions: below 1.0.0 the second number
    /// is the one that says so.
    pub fn breaking(&self) -> bool {
        let below_one = |version: &Option<String>| {
            version.as_ref().is_some_and(|v| v.parse().is_ok_and(|v: Version| v.major == 0))
        };
        match self.class {
            Class::Major | Class::Content | Class::Other | Class::Removed => true,
            Class::Minor => below_one(&self.from),
            Class::Added | Class::Prerelease | Class::Patch => self.downgrade,
        }
    }
}

impl Class {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Major => "major",
            Class::Content => "same version, different content",
            Class::Other => "no version to compare",
            Class::Removed => "removed",
            Class::Added => "added",
            Class::Minor => "minor",
            Class::Prerelease => "prerelease",
            Class::Patch => "patch",
        }
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "lockfileVersion")]
    version: Option<u64>,
    packages: Option<BTreeMap<String, RawPackage>>,
    dependencies: Option<BTreeMap<String, RawDependency>>,
}

/// An entry of versions 2 and 3, by where it is installed.
#[derive(Deserialize)]
struct RawPackage {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    dev: bool,
    #[serde(flatten)]
    wants: Wants,
}

/// An entry of version 1, by its name, with what is installed below it.
#[derive(Deserialize)]
struct RawDependency {
    version: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    dependencies: BTreeMap<String, RawDependency>,
}

/// What a package.json asks for.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wants {
    dependencies: BTreeMap<String, serde_json::Value>,
    dev_dependencies: BTreeMap<String, serde_json::Value>,
    optional_dependencies: BTreeMap<String, serde_json::Value>,
    peer_dependencies: BTreeMap<String, serde_json::Value>,
}

impl Wants {
    fn names(&self) -> impl Iterator<Item = &String> {
        let both = self.dependencies.keys().chain(self.dev_dependencies.keys());
        both.chain(self.optional_dependencies.keys()).chain(self.peer_dependencies.keys())
    }
}

/// Reads a lock file. `package` is the package.json beside it: version 1 does not say what is direct.
///
/// # Errors
/// See [`LockError`].
pub fn parse(text: &[u8], package: Option<&[u8]>) -> Result<Lock, LockError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let raw: Raw = serde_json::from_slice(text).map_err(|e| LockError::Broken(e.to_string()))?;
    match (raw.version, raw.packages, raw.dependencies) {
        (Some(version @ 2..=3), Some(packages), _) => Ok(of_packages(version, packages)),
        // npm shrinkwrap wrote none at first.
        (Some(version @ 1..=2), _, Some(dependencies)) => {
            Ok(of_dependencies(version, &dependencies, package))
        }
        (None, None, Some(dependencies)) => Ok(of_dependencies(1, &dependencies, package)),
        (Some(version @ 1..=3), ..) => Ok(Lock { version, ..Lock::default() }),
        (Some(version), ..) => Err(LockError::Unknown(version)),
        (None, ..) => Err(LockError::Broken("it has no lockfileVersion".to_owned())),
    }
}

fn of_packages(version: u64, packages: BTreeMap<String, RawPackage>) -> Lock {
    let mut lock = Lock { version, ..Lock::default() };
    for (place, package) in packages {
        let Some(name) = name_of(&place).map(str::to_owned) else {
            // The app itself, or a workspace: what they want is direct, their own code is in the tree.
            lock.direct.extend(package.wants.names().cloned());
            continue;
        };
        if package.link {
            continue;
        }
        let from_registry =
            package.resolved.as_deref().is_none_or(|r| r.contains("://") && !is_git(r));
        let told = match (&package.version, &package.resolved) {
            (Some(version), _) if from_registry => version.clone(),
            (_, Some(resolved)) => without_password(resolved),
            (version, None) => version.clone().unwrap_or_default(),
        };
        let version = match package.name.filter(|real| *real != name) {
            Some(real) => format!("{real}@{told}"),
            None => told,
        };
        lock.installed
            .insert(place, Installed { version, content: package.integrity, dev: package.dev });
    }
    lock
}

fn of_dependencies(
    version: u64,
    dependencies: &BTreeMap<String, RawDependency>,
    package: Option<&[u8]>,
) -> Lock {
    let wants = package.and_then(|text| serde_json::from_slice::<Wants>(text).ok());
    let direct = wants.map(|wants| wants.names().cloned().collect()).unwrap_or_default();
    let mut lock = Lock { version, installed: BTreeMap::new(), direct };
    install(&mut lock.installed, "", dependencies);
    lock
}

fn install(
    installed: &mut BTreeMap<String, Installed>,
    below: &str,
    dependencies: &BTreeMap<String, RawDependency>,
) {
    for (name, dependency) in dependencies {
        let place = format!("{below}node_modules/{name}");
        install(installed, &format!("{place}/"), &dependency.dependencies);
        let version = without_password(dependency.version.as_deref().unwrap_or_default());
        let content = dependency.integrity.clone();
        installed.insert(place, Installed { version, content, dev: dependency.dev });
    }
}

/// The package installed at a place; `None` for the app and its workspaces.
fn name_of(place: &str) -> Option<&str> {
    let (before, name) = place.rsplit_once("node_modules/")?;
    (before.is_empty() || before.ends_with('/')).then_some(name).filter(|name| !name.is_empty())
}

fn is_git(resolved: &str) -> bool {
    resolved.starts_with("git") || resolved.starts_with("file:")
}

/// A URL without the user and password that some teams put into it.
fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.find('/').unwrap_or(rest.len());
            let from = rest[..host].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[from..])
        }
        None => url.to_owned(),
    }
}

/// What differs, by name: where a package is installed several times, the versions that went are paired
/// with those that came, the one at the top first. Where it is does not matter otherwise.
pub fn changes(before: &Lock, after: &Lock) -> Vec<PackageChange> {
    let (old, new) = (by_name(before), by_name(after));
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let none = Package::default();
    let mut changes = Vec::new();
    for name in names {
        let (old, new) = (old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none));
        let direct = before.direct.contains(name) || after.direct.contains(name);
        let relation = if direct { Relation::Direct } else { Relation::Transitive };
        for (from, to) in pairs(old, new) {
            let (class, downgrade) = class(from, to);
            let dev = if new.versions.is_empty() { old.dev } else { new.dev };
            let (from, to) = (from.map(str::to_owned), to.map(str::to_owned));
            let package = name.to_owned();
            changes.push(PackageChange { package, from, to, relation, class, downgrade, dev });
        }
    }
    changes
}

/// One package, wherever it is installed.
#[derive(Default)]
struct Package<'a> {
    top: Option<&'a str>,
    versions: BTreeMap<&'a str, BTreeSet<&'a str>>,
    dev: bool,
}

fn by_name(lock: &Lock) -> BTreeMap<&str, Package<'_>> {
    let mut packages: BTreeMap<&str, Package<'_>> = BTreeMap::new();
    for (place, installed) in &lock.installed {
        let Some(name) = name_of(place) else { continue };
        let first = !packages.contains_key(name);
        let package = packages.entry(name).or_default();
        package.dev = installed.dev && (first || package.dev);
        package
            .versions
            .entry(&installed.version)
            .or_default()
            .extend(installed.content.as_deref());
        if place.len() == "node_modules/".len() + name.len() {
            package.top = Some(&installed.version);
        }
    }
    packages
}

type Pair<'a> = (Option<&'a str>, Option<&'a str>);

fn pairs<'a>(old: &Package<'a>, new: &Package<'a>) -> Vec<Pair<'a>> {
    let went = |version: &&str| !new.versions.contains_key(version);
    let came = |version: &&str| !old.versions.contains_key(version);
    let mut gone: Vec<&str> = old.versions.keys().copied().filter(went).collect();
    let mut added: Vec<&str> = new.versions.keys().copied().filter(came).collect();
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    // What the app itself finds when it requires the package.
    if let (Some(from), Some(to)) = (old.top, new.top)
        && from != to
    {
        gone.retain(|version| *version != from);
        added.retain(|version| *version != to);
        pairs.push((Some(from), Some(to)));
    }
    let longer = gone.len().max(added.len());
    pairs.extend((0..longer).map(|n| (gone.get(n).copied(), added.get(n).copied())));
    let republished = old.versions.iter().filter(|(version, content)| {
        let now = new.versions.get(*version);
        now.is_some_and(|now| !now.is_empty() && !content.is_empty() && now.is_disjoint(content))
    });
    pairs.extend(republished.map(|(version, _)| (Some(*version), Some(*version))));
    pairs
}

fn class(from: Option<&str>, to: Option<&str>) -> (Class, bool) {
    let (from, to) = match (from, to) {
        (None, _) => return (Class::Added, false),
        (_, None) => return (Class::Removed, false),
        (Some(from), Some(to)) if from == to => return (Class::Content, false),
        (Some(from), Some(to)) => (from, to),
    };
    let (Ok(from), Ok(to)) = (from.parse::<Version>(), to.parse::<Version>()) else {
        return (Class::Other, false);
    };
    let class = if from.major != to.major {
        Class::Major
    } else if from.minor != to.minor {
        Class::Minor
    } else if from.patch != to.patch {
        Class::Patch
    } else {
        Class::Prerelease
    };
    (class, to < from)
}

/// No answer lists more packages of one lock file.
const MOST_PACKAGES: usize = 1_000;

/// A lock file of npm that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LockChange {
    /// Its path.
    pub path: RepoPath,
    /// Why its packages are not compared.
    pub summary: Option<String>,
    /// npm refuses its current form.
    pub broken: bool,
    /// How many packages differ.
    pub total: usize,
    /// The packages: direct ones first, what may break before what should not. At most 1000.
    pub packages: Vec<PackageChange>,
}

/// Every lock file of npm among these files.
pub(super) fn lock_changes(
    git: &Git,
    from: &Oid,
    to: &Oid,
    files: &[FileChange],
) -> Vec<LockChange> {
    let locks = files.iter().filter(|file| is_npm_lock(&file.path));
    locks.map(|file| change(git, from, to, file)).collect()
}

fn change(git: &Git, from: &Oid, to: &Oid, file: &FileChange) -> LockChange {
    let mut change = LockChange {
        path: file.path.clone(),
        summary: None,
        broken: false,
        total: 0,
        packages: Vec::new(),
    };
    let was = file.was.as_ref().unwrap_or(&file.path);
    match file.change {
        Change::Added => change.summary = Some("there was none before".to_owned()),
        Change::Deleted => change.summary = Some("it is gone".to_owned()),
        _ => match (read(git, from, was), read(git, to, &file.path)) {
            (_, Err(problem)) => {
                change.broken = problem.broken;
                change.summary = Some(problem.text);
            }
            (Err(problem), _) => change.summary = Some(format!("before: {}", problem.text)),
            (Ok(before), Ok(after)) => {
                change.packages = changes(&before, &after);
                if change.packages.is_empty() && before.version != after.version {
                    let (old, new) = (before.version, after.version);
                    change.summary = Some(format!("format {old} is now {new}, same packages"));
                }
            }
        },
    }
    change.packages.sort_by(|a, b| order(a).cmp(&order(b)));
    change.total = change.packages.len();
    change.packages.truncate(MOST_PACKAGES);
    change
}

fn order(change: &PackageChange) -> (Relation, bool, bool, Class, &str) {
    (change.relation, change.dev, !change.breaking(), change.class, &change.package)
}

struct Problem {
    text: String,
    broken: bool,
}

fn read(git: &Git, commit: &Oid, path: &RepoPath) -> Result<Lock, Problem> {
    let unreadable = |text: String| Problem { text, broken: false };
    let text = git.file(commit, path).map_err(|e| unreadable(format!("not read: {e}")))?;
    let text = text.ok_or_else(|| unreadable("it is not a file".to_owned()))?;
    let beside = match path.parent() {
        Some(dir) => dir.join(b"package.json"),
        None => RepoPath::new("package.json"),
    };
    let package = beside.ok().and_then(|path| git.file(commit, &path).ok().flatten());
    parse(&text, package.as_deref()).map_err(|error| Problem {
        broken: matches!(error, LockError::Broken(_)),
        text: error.to_string(),
    })
}

#[cfg(test)]
#[path = "npm_lock_tests.rs"]
mod tests;
