//! What changed with which deployment: the last one that changed a component, the migrations that came since a state.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use super::error::PlanError;
use super::facts::Facts;
use crate::component::Content;
use crate::config::{self, Component, DownWay, Migrate, migration_number};
use crate::diagnosis::Migrations;
use crate::ledger;
use crate::model::{Down, Event, Oid, Outcome, RepoPath, Seq, TreeMode};
use crate::site::Site;
use crate::system::git::GitError;

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
    let migrate = &facts.accepted.config.migrate;
    if migrate.paths.is_empty() || from == to {
        return Ok(Migrations::default());
    }
    let changes = site.git.changes(from, to)?;
    let gone = changes.iter().filter(|change| change.after.is_none()).map(|change| &change.path);
    crossed(site, facts, migrate, gone.filter(|path| is_migration(migrate, path)), (from, to))
}

/// What crossing these migrations means.
///
/// # Errors
/// When git cannot read the tree that has them.
pub fn crossed<'p>(
    site: &Site,
    facts: &Facts,
    migrate: &Migrate,
    paths: impl Iterator<Item = &'p RepoPath>,
    (from, to): (&Oid, &Oid),
) -> Result<Migrations, GitError> {
    let mut names = names_of(paths);
    if !names.is_empty() {
        let reverted = reverted(site, facts);
        names.retain(|name| !reverted.contains(name));
    }
    let spans = facts.history.deployments();
    let came = spans.iter().position(|span| span.commit == *from);
    let seen =
        came.is_some_and(|came| spans[came..].iter().any(|span| span.commit == *to && span.proven));
    let mut stay = Vec::new();
    for name in &names {
        if way_of(site, migrate, from, name)?.is_none() {
            stay.push(name.clone());
        }
    }
    Ok(Migrations { names, seen, old_code_ok: migrate.old_code_ok, stay, point: None })
}

/// The migrations that were taken back here since the last deploy. What a deploy brings is applied with it.
pub fn reverted(site: &Site, facts: &Facts) -> BTreeSet<String> {
    let own = facts.own(site).iter().rev();
    let since = own.take_while(|entry| {
        let record = &entry.record;
        record.event != Event::Deploy || record.outcome != Outcome::Succeeded
    });
    let acts = since.filter(|entry| {
        let record = &entry.record;
        matches!(record.event, Event::Migrate | Event::Back) && record.outcome != Outcome::Restored
    });
    let evidence = acts.filter_map(|entry| ledger::evidence(&site.git, entry).ok()?.migration);
    evidence.flat_map(|migration| migration.reverted).collect()
}

/// Whether a file is a part of a migration; a script that takes one back is not.
pub fn is_migration(migrate: &Migrate, path: &RepoPath) -> bool {
    let down = matches!(&migrate.down, Some(DownWay::Script(script)) if script.matches(path));
    migrate.paths.matches(path) && !down
}

/// The migrations that files are parts of, each once.
pub fn names_of<'p>(paths: impl Iterator<Item = &'p RepoPath>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in paths.map(|path| migration_of(path.as_path())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The migrations in a commit, by name.
///
/// # Errors
/// When git cannot read its tree.
pub fn migrations_in(
    site: &Site,
    migrate: &Migrate,
    commit: &Oid,
) -> Result<Vec<String>, GitError> {
    if migrate.paths.is_empty() {
        return Ok(Vec::new());
    }
    let entries = site.git.entries(commit)?;
    let paths = entries.iter().map(|(path, _)| path).filter(|path| is_migration(migrate, path));
    Ok(names_of(paths))
}

/// How a migration is taken back, by the tree that has it; `None` where it has no way back.
///
/// # Errors
/// When git cannot read the tree.
pub fn way_of(
    site: &Site,
    migrate: &Migrate,
    commit: &Oid,
    name: &str,
) -> Result<Option<Down>, GitError> {
    match &migrate.down {
        None => Ok(None),
        Some(DownWay::Command(run)) => {
            let fill = |word: &String| {
                word.replace(config::NUMBER, migration_number(name)).replace(config::NAME, name)
            };
            Ok(Some(Down::Command { run: run.iter().map(fill).collect() }))
        }
        Some(DownWay::Script(template)) => {
            let Some(path) = template.of(name) else { return Ok(None) };
            let entry = site.git.entry(commit, &path)?;
            let file =
                entry.filter(|entry| matches!(entry.mode, TreeMode::File | TreeMode::Executable));
            Ok(file.map(|entry| Down::Script { path, blob: entry.id }))
        }
    }
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
