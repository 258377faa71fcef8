//! What changed with which deployment: the last one that changed a component, the migrations that came since a state.

use std::ffi::OsStr;
use std::path::Path;

use super::error::PlanError;
use super::facts::Facts;
use crate::component::Content;
use crate::config::{Component, Config};
use crate::diagnosis::Migrations;
use crate::model::{Oid, RepoPath, Seq};
use crate::site::Site;
use crate::system::git::GitError;
use crate::system::text;

/// How many states are looked at: what is older changed nothing lately.
const MOST_STATES: usize = 200;

/// The deployment that last changed a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployedChange {
    /// The record.
    pub seq: Seq,
    /// What it put in place, as it is called.
    pub name: String,
}

/// For each component the deployment that brought it as it serves; `None` if every state known here has it so.
///
/// # Errors
/// When git cannot read a tree.
pub fn last_changes(
    site: &Site,
    facts: &Facts,
    components: &[Component],
) -> Result<Vec<Option<DeployedChange>>, PlanError> {
    let states = states_until(facts, &facts.serving.commit);
    let mut found = Vec::new();
    for component in components {
        let now = Content::of(&site.git, &facts.serving.commit, component)?;
        let mut since = states.last();
        let mut other = false;
        for state in states.iter().rev().skip(1).take(MOST_STATES) {
            if !site.git.has(&state.0) {
                break;
            }
            if Content::of(&site.git, &state.0, component)? != now {
                other = true;
                break;
            }
            since = Some(state);
        }
        found.push(match since.filter(|_| other) {
            Some((commit, seq)) => {
                let name = facts.names.served(&site.git, commit, None)?.name;
                Some(DeployedChange { seq: *seq, name })
            }
            None => None,
        });
    }
    Ok(found)
}

/// The states that served here before `serving` first did, and that one, in the order in which they first did.
fn states_until(facts: &Facts, serving: &Oid) -> Vec<(Oid, Seq)> {
    let mut states: Vec<(Oid, Seq)> = Vec::new();
    for span in facts.history.deployments() {
        if states.iter().any(|(commit, _)| *commit == span.commit) {
            continue;
        }
        states.push((span.commit.clone(), span.seq));
        if span.commit == *serving {
            break;
        }
    }
    states
}

/// The migrations that `from` has and `to` has not, as the accepted configuration knows them.
///
/// # Errors
/// When git cannot compare the trees.
pub fn migrations(
    site: &Site,
    facts: &Facts,
    from: &Oid,
    to: &Oid,
) -> Result<Migrations, GitError> {
    let paths = &facts.accepted.config.migrate.paths;
    if paths.is_empty() || from == to {
        return Ok(Migrations::default());
    }
    let changes = site.git.changes(from, to)?;
    let gone = changes.iter().filter(|change| change.after.is_none()).map(|change| &change.path);
    Ok(crossed(facts, &facts.accepted.config, gone.filter(|path| paths.matches(path)), (from, to)))
}

/// What crossing these migrations means.
pub fn crossed<'p>(
    facts: &Facts,
    config: &Config,
    paths: impl Iterator<Item = &'p RepoPath>,
    (from, to): (&Oid, &Oid),
) -> Migrations {
    let mut names: Vec<String> = Vec::new();
    for name in paths.map(|path| migration_of(path.as_path())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let spans = facts.history.deployments();
    let came = spans.iter().position(|span| span.commit == *from);
    let seen =
        came.is_some_and(|came| spans[came..].iter().any(|span| span.commit == *to && span.proven));
    let down = config.migrate.down.as_ref().or(facts.accepted.config.migrate.down.as_ref());
    let down = down.and_then(|argv| text::typed(argv));
    Migrations { names, seen, down }
}

/// The migration that a file is a part of: the way up and the way down are one, and so are the files in a directory of
/// its own (`0042_orders/migration.sql`).
fn migration_of(path: &Path) -> String {
    const PARTS: [&str; 6] = ["up", "down", "migration", "rollback", "revert", "verify"];
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let stem = text(path.file_stem());
    if PARTS.contains(&stem.to_lowercase().as_str())
        && let Some(dir) = path.parent().and_then(Path::file_name)
    {
        return text(Some(dir));
    }
    let cut = PARTS[..2].iter().find_map(|part| {
        let rest = stem.strip_suffix(part)?;
        rest.strip_suffix(['.', '_', '-'])
    });
    cut.map(str::to_owned).unwrap_or(stem)
}
