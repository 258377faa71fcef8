//! Whether the packages that are installed for what serves are those the component's files were written
//! for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::finding::{ComponentChange, Fit, FitWarning};
use super::imports::{ImportKind, PackageUse};
use super::resolve::{Tree, Trees};
use crate::model::{RepoPath, TreeEntry};
use crate::system::git::{GitError, TreeChange};

const MANIFEST: &[u8] = b"package.json";

const LOCKS: [&[u8]; 6] = [
    b"package-lock.json",
    b"npm-shrinkwrap.json",
    b"yarn.lock",
    b"pnpm-lock.yaml",
    b"bun.lock",
    b"bun.lockb",
];

/// The parts of package.json that decide what is installed and how it is loaded.
const SECTIONS: [&str; 5] = [
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "bundleDependencies",
];

const BESIDES: [&str; 6] = ["type", "engines", "overrides", "resolutions", "workspaces", "imports"];

/// No lock file that is parsed is larger.
const MOST_LOCK: u64 = 8 << 20;

/// Whether a file is a package manager's lock file.
pub(super) fn is_lock(path: &RepoPath) -> bool {
    LOCKS.contains(&name(path))
}

/// Compares package.json and lock files, and the packages imported with what is asked for.
pub(super) fn compare(
    change: &ComponentChange<'_>,
    trees: &Trees<'_>,
    between: &[TreeChange],
    used: &[PackageUse],
    fit: &mut Fit,
) -> Result<(), GitError> {
    let comes_in = change.changes.iter().any(|changed| changed.after.is_some());
    for differs in between.iter().filter(|differs| comes_in && concerns(change, differs)) {
        let path = &differs.path;
        // What comes along with the component fits it.
        if trees.after.entry(path) == trees.target.entry(path) {
            continue;
        }
        let mut packages = Vec::new();
        if name(path) == MANIFEST {
            let (live, target) = (manifest(&trees.after, path)?, manifest(&trees.target, path)?);
            if let (Some(live), Some(target)) = (&live, &target) {
                if same(live, target) {
                    continue;
                }
                packages = used
                    .iter()
                    .filter_map(|used| package(&used.import.specifier))
                    .filter(|package| asks(live, package) != asks(target, package))
                    .collect();
                packages.sort();
                packages.dedup();
            }
        } else if let (Some(live), Some(target)) =
            (lock(change, differs.before.as_ref())?, lock(change, differs.after.as_ref())?)
            && live == target
        {
            continue;
        }
        fit.warnings.push(FitWarning::PackagesDiffer {
            file: path.clone(),
            target: change.target.name.clone(),
            live: change.live.name.clone(),
            packages,
        });
    }
    missing(change, trees, used, fit)
}

/// Packages imported by files that come in and named by no package.json above them.
fn missing(
    change: &ComponentChange<'_>,
    trees: &Trees<'_>,
    used: &[PackageUse],
    fit: &mut Fit,
) -> Result<(), GitError> {
    let mut known: BTreeMap<RepoPath, Option<Value>> = BTreeMap::new();
    let mut told = BTreeSet::new();
    // What the live version of the file imports as well was found by node: hoisted, or another's dependency.
    // Types are gone before the program runs, and often come from a package of another name.
    for used in used.iter().filter(|used| !used.live_too && used.import.kind != ImportKind::Type) {
        let Some(package) = package(&used.import.specifier) else { continue };
        let mut named = false;
        for path in manifests_above(&used.importer) {
            if !known.contains_key(&path) {
                known.insert(path.clone(), manifest(&trees.after, &path)?);
            }
            // One that cannot be read may name everything.
            let unreadable = trees.after.entry(&path).is_some() && known[&path].is_none();
            named |= unreadable || known[&path].as_ref().is_some_and(|json| names(json, &package));
        }
        if !named && told.insert((used.importer.clone(), package.clone())) {
            fit.warnings.push(FitWarning::PackageMissing {
                importer: used.importer.clone(),
                line: used.import.line,
                package,
                live: change.live.name.clone(),
            });
        }
    }
    Ok(())
}

/// The package an import means; `None` for what node brings itself and what only a bundler knows.
fn package(specifier: &str) -> Option<String> {
    let begins = |c: char| c.is_ascii_alphanumeric() || c == '@';
    if specifier.contains(':') || !specifier.starts_with(begins) {
        return None;
    }
    let mut parts = specifier.split('/');
    let first = parts.next()?;
    let package = match first.strip_prefix('@') {
        Some("") => return None,
        Some(_) => format!("{first}/{}", parts.next().filter(|name| !name.is_empty())?),
        None => first.to_owned(),
    };
    (!BUILT_IN.contains(&package.as_str())).then_some(package)
}

/// Whether a file is a package.json or lock file in a directory above one that changes, and there was one
/// where the component's files come from.
fn concerns(change: &ComponentChange<'_>, differs: &TreeChange) -> bool {
    let path = &differs.path;
    (name(path) == MANIFEST || is_lock(path))
        && differs.after.is_some()
        && match path.parent() {
            None => true,
            Some(dir) => change.changes.iter().any(|changed| changed.path.starts_with(&dir)),
        }
}

fn manifests_above(path: &RepoPath) -> Vec<RepoPath> {
    let mut above = Vec::new();
    let mut dir = path.parent();
    while let Some(here) = dir {
        above.extend(here.join(MANIFEST));
        dir = here.parent();
    }
    above.extend(RepoPath::new(MANIFEST));
    above
}

fn manifest(tree: &Tree<'_>, path: &RepoPath) -> Result<Option<Value>, GitError> {
    Ok(tree.read(path)?.and_then(|bytes| {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        serde_json::from_slice::<Value>(bytes).ok().filter(Value::is_object)
    }))
}

/// npm's lock file without the app's own name and version, which every release changes; other lock files
/// have no such thing.
fn lock(
    change: &ComponentChange<'_>,
    entry: Option<&TreeEntry>,
) -> Result<Option<Value>, GitError> {
    let Some(entry) = entry else { return Ok(None) };
    let Some(bytes) = change.git.small_blob(&entry.id, MOST_LOCK)? else { return Ok(None) };
    let Ok(mut json) = serde_json::from_slice::<Value>(&bytes) else { return Ok(None) };
    for own in ["", "/packages/"] {
        if let Some(own) = json.pointer_mut(own).and_then(Value::as_object_mut) {
            own.remove("version");
            own.remove("name");
        }
    }
    Ok(Some(json))
}

fn same(live: &Value, target: &Value) -> bool {
    SECTIONS.iter().chain(&BESIDES).all(|section| live.get(section) == target.get(section))
}

/// What a package.json asks for under a package's name.
fn asks<'j>(json: &'j Value, package: &str) -> Vec<&'j Value> {
    SECTIONS.iter().filter_map(|section| json.get(section)?.get(package)).collect()
}

fn names(json: &Value, package: &str) -> bool {
    json.get("name").and_then(Value::as_str) == Some(package) || !asks(json, package).is_empty()
}

fn name(path: &RepoPath) -> &[u8] {
    path.as_bytes().rsplit(|b| *b == b'/').next().unwrap_or_default()
}

/// The modules of node that need no `node:` before their name.
const BUILT_IN: [&str; 44] = [
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "sys",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
    "bun",
    "electron",
];
