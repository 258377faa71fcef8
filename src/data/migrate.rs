//! Taking migrations back in a database: what that would lose, a copy from before, the scripts in one transaction, the
//! copy put back.
//!
//! The services are down meanwhile: nothing here waits for writers.

use std::fs;
use std::path::Path;

use super::copies::{DUMP, SQLITE};
use super::place::Host;
use super::postgres::{self, Address};
use super::schema::{AppliedTable, DownScript};
use super::sqlite;
use crate::config::{DataEngine, DataSource};
use crate::model::RowsLost;
use crate::system::{files, secrets};

/// What would be lost by the scripts: tried out in a copy, which is removed again. `scratch` is an empty directory.
///
/// # Errors
/// When a script fails there, or there can be no copy: in words.
pub fn rehearse(
    host: &Host,
    source: &DataSource,
    scratch: &Path,
    scripts: &[DownScript],
) -> Result<RowsLost, String> {
    match &source.engine {
        DataEngine::Sqlite { path, .. } => {
            let copy = scratch.join(SQLITE);
            sqlite::copy(&host.plain_path(path)?, &copy)?;
            sqlite::run_scripts(&copy, scripts)
        }
        DataEngine::Postgres { url, admin_url, .. } => {
            let address = Address::read(host, url)?;
            let admin = Address::read(host, admin_url.as_ref().unwrap_or(url))?;
            address.rehearse(host, &admin, scratch, scripts)
        }
        _ => Err(not_migrated(source)),
    }
}

/// Refuses scripts that could not be run in one transaction of the database, whatever is in it.
///
/// # Errors
/// Why.
pub fn refuse_unfit(source: &DataSource, scripts: &[DownScript]) -> Result<(), String> {
    match source.engine {
        DataEngine::Postgres { .. } => postgres::refuse_commands(scripts),
        _ => Ok(()),
    }
}

/// Whether a script that fails in a rehearsal would fail in the database as well: it is tried on the rows, too.
pub fn rehearses_in_full(source: &DataSource) -> bool {
    matches!(source.engine, DataEngine::Sqlite { .. })
}

/// The bytes that a copy of the database takes at most.
///
/// # Errors
/// When it cannot be asked.
pub fn size(host: &Host, source: &DataSource) -> Result<u64, String> {
    match &source.engine {
        DataEngine::Sqlite { path, .. } => Ok(sqlite::size(&host.plain_path(path)?)),
        DataEngine::Postgres { url, .. } => Ok(Address::read(host, url)?.describe(host)?.bytes),
        _ => Err(not_migrated(source)),
    }
}

/// Scripts that failed.
#[derive(Debug, Clone)]
pub struct ScriptsFailed {
    /// Why, as the database said it.
    pub why: String,
    /// The database is known to be as it was before them. Otherwise nobody knows what they did.
    pub undone: bool,
}

/// Keeps the database as it is now in `dir`, which belongs to this run, in place of an earlier copy.
///
/// # Errors
/// In words.
pub fn snapshot(host: &Host, source: &DataSource, dir: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    files::make_private_dir(dir).map_err(failed)?;
    let (name, partial) = (file(source), dir.join("partial"));
    if partial.exists() {
        fs::remove_file(&partial).map_err(failed)?;
    }
    match &source.engine {
        DataEngine::Sqlite { path, .. } => sqlite::copy(&host.plain_path(path)?, &partial)?,
        DataEngine::Postgres { url, .. } => Address::read(host, url)?.dump(host, &partial)?,
        _ => return Err(not_migrated(source)),
    }
    let synced = fs::File::open(&partial).and_then(|file| file.sync_all());
    synced.and_then(|()| fs::rename(&partial, dir.join(name))).map_err(failed)?;
    files::sync_dir(dir).map_err(failed)
}

/// Whether the copy of before is there, and whole.
pub fn has_snapshot(source: &DataSource, dir: &Path) -> bool {
    dir.join(file(source)).exists()
}

/// The file that holds the copy in its directory.
pub fn file(source: &DataSource) -> &'static str {
    match source.engine {
        DataEngine::Postgres { .. } => DUMP,
        _ => SQLITE,
    }
}

/// Runs the scripts, all in one transaction: all of them are done, or nothing is. What that lost.
///
/// # Errors
/// The first that fails. What came of a transaction whose end was not seen is looked up in the database.
pub fn run_scripts(
    host: &Host,
    source: &DataSource,
    scripts: &[DownScript],
    scratch: &Path,
) -> Result<RowsLost, ScriptsFailed> {
    // Nothing was done yet.
    let before = |why| ScriptsFailed { why, undone: true };
    match &source.engine {
        DataEngine::Sqlite { path, .. } => {
            let path = host.plain_path(path).map_err(before)?;
            let undone = !scripts.iter().any(may_end_transaction);
            sqlite::run_scripts(&path, scripts).map_err(|why| ScriptsFailed { why, undone })
        }
        DataEngine::Postgres { url, .. } => {
            let address = Address::read(host, url).map_err(before)?;
            address.run_scripts(host, scratch, scripts).map_err(|why| {
                let known = address.is_rolled_back(host, scratch);
                let undone = known && !scripts.iter().any(may_end_transaction);
                ScriptsFailed { why, undone }
            })
        }
        _ => Err(before(not_migrated(source))),
    }
}

/// Whether a script holds a word that could end the transaction it is run in: what it did is not known to be rolled back.
fn may_end_transaction(script: &DownScript) -> bool {
    let text = String::from_utf8_lossy(&script.text).to_lowercase();
    ["commit", "end", "rollback", "abort", "prepare"].iter().any(|word| text.contains(word))
}

/// Puts the copy of before back in the database. What is there until then is kept in `aside`, a directory. `scratch` is
/// where the scripts were run.
///
/// # Errors
/// In words; the database is then as it was before this call.
pub fn put_back(
    host: &Host,
    source: &DataSource,
    dir: &Path,
    (aside, scratch): (&Path, &Path),
) -> Result<(), String> {
    let copy = dir.join(file(source));
    if let DataEngine::Postgres { url, .. } = &source.engine {
        // The tool may have outlived the process that started it.
        Address::read(host, url)?.end_scripts(host, scratch)?;
    }
    snapshot(host, source, aside)?;
    match &source.engine {
        // Into the file that is there: a rename over a database that somebody has open would corrupt it.
        DataEngine::Sqlite { path, .. } => sqlite::copy(&copy, &host.plain_path(path)?),
        DataEngine::Postgres { url, .. } => Address::read(host, url)?.put_back(host, &copy, dir),
        _ => Err(not_migrated(source)),
    }
}

/// What the database says of its migrations, where a common tool notes them; `None` where none does.
///
/// # Errors
/// When it cannot be asked.
pub fn applied(host: &Host, source: &DataSource) -> Result<Option<AppliedTable>, String> {
    match &source.engine {
        DataEngine::Sqlite { path, .. } => sqlite::applied(&host.plain_path(path)?),
        DataEngine::Postgres { url, .. } => Address::read(host, url)?.applied(host),
        _ => Ok(None),
    }
}

/// Runs a command that takes one migration back, at the top of the tree.
///
/// # Errors
/// Why it failed, with its last line.
pub fn run_command(host: &Host, argv: &[String], migration: &str) -> Result<Vec<String>, String> {
    let args: Vec<&str> = argv.iter().skip(1).map(String::as_str).collect();
    let name = argv.first().map_or("", String::as_str);
    let mut tool = host.tool(name, &args);
    tool.env.insert("GITROLL_MIGRATION".into(), migration.into());
    let finished = tool.run().map_err(|error| error.to_string())?;
    let problem = finished.problem(tool.limit);
    let output = [finished.stdout, finished.stderr].concat();
    let said = String::from_utf8_lossy(&output);
    let lines: Vec<String> = said.lines().map(|line| secrets::masked(line.trim())).collect();
    match problem {
        None => Ok(lines),
        Some(problem) => Err(match lines.iter().rev().find(|line| !line.is_empty()) {
            Some(line) => format!("{name}: {problem}: {line}"),
            None => format!("{name}: {problem}"),
        }),
    }
}

fn not_migrated(source: &DataSource) -> String {
    format!("[data.{}] has engine {}: it has no migrations", source.name, source.engine.as_str())
}
