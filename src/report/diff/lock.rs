//! Lock files that differ.

use schemars::JsonSchema;
use serde::Serialize;

use super::files::{Change, FileChange};
use super::kind::is_npm_lock;
use super::npm_lock::{self, Lock, LockError, PackageChange};
use crate::model::{Oid, RepoPath};
use crate::system::git::Git;

/// No answer lists more packages of one lock file.
const MOST_PACKAGES: usize = 1_000;

/// A lock file of npm that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LockChange {
    /// Its path.
    pub path: RepoPath,
    /// Why its packages are not compared, where they are not.
    pub summary: Option<String>,
    /// npm refuses it as it is since.
    pub broken: bool,
    /// How many packages differ.
    pub total: usize,
    /// The packages: direct ones first, what may break before what should not. At most 1000.
    pub packages: Vec<PackageChange>,
}

/// Every lock file of npm among these files.
pub(super) fn changes(git: &Git, from: &Oid, to: &Oid, files: &[FileChange]) -> Vec<LockChange> {
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
                change.packages = npm_lock::changes(&before, &after);
                if change.packages.is_empty() && before.version != after.version {
                    let (old, new) = (before.version, after.version);
                    change.summary = Some(format!("format {old} is {new} now, packages the same"));
                }
            }
        },
    }
    change.packages.sort_by(|a, b| order(a).cmp(&order(b)));
    change.total = change.packages.len();
    change.packages.truncate(MOST_PACKAGES);
    change
}

fn order(change: &PackageChange) -> (npm_lock::Relation, bool, bool, npm_lock::Class, &str) {
    (change.relation, change.dev, !change.breaking(), change.class, &change.package)
}

struct Problem {
    text: String,
    broken: bool,
}

fn read(git: &Git, commit: &Oid, path: &RepoPath) -> Result<Lock, Problem> {
    let unreadable = |text: String| Problem { text, broken: false };
    let text = git.file(commit, path).map_err(|e| unreadable(format!("not read: {e}")))?;
    let text = text.ok_or_else(|| unreadable("it is no file".to_owned()))?;
    let beside = match path.parent() {
        Some(dir) => dir.join(b"package.json"),
        None => RepoPath::new("package.json"),
    };
    let package = beside.ok().and_then(|path| git.file(commit, &path).ok().flatten());
    npm_lock::parse(&text, package.as_deref()).map_err(|error| Problem {
        broken: matches!(error, LockError::Broken(_)),
        text: error.to_string(),
    })
}
