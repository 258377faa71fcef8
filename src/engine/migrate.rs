//! Taking migrations back as a step of a run, and putting the database back as it was before.
//!
//! The services are down by then. What is kept from before lies in the run's directory.

use std::fs;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::error::StepError;
use super::run::Run;
use crate::config::{Config, DataSource};
use crate::data::{DownScript, Host, migrate};
use crate::model::{Down, MigrateStep, MigrationEvidence, RowsLost, Step, TableLoss};
use crate::site::Site;
use crate::system::files;
use crate::system::git::ObjectKind;
use crate::system::signals::Until;

/// The most bytes that a script may have.
const MOST_SCRIPT: u64 = 64 << 20;

/// The copy of before is put back as long as this file is there: something may have been changed.
const BEGAN: &str = "began";
/// What was lost, as JSON, once it is done.
const LOST: &str = "lost.json";

/// Keeps the database as it is, and takes the migrations back. What a process that was killed did of that is undone
/// first: whether it came to its end nobody knows. What is to be told of it.
pub(super) fn down(
    site: &Site,
    run: &Run,
    config: &Config,
    step: &MigrateStep,
) -> Result<Vec<String>, StepError> {
    let host = host(site, config, Until::Stopped);
    let dir = dir(site, run);
    files::make_private_dir(&dir).map_err(|source| StepError::Io { path: dir.clone(), source })?;
    let source = source(config, step)?;
    let (began, before) = (dir.join(BEGAN), dir.join("before"));
    if let Some(source) = source {
        let interrupted = began.exists();
        put_back_in(&Host { until: Until::Left, ..host.clone() }, source, &dir)?;
        // One that was made before an interruption lacks what was written since.
        if !interrupted || !migrate::has_snapshot(source, &before) {
            migrate::snapshot(&host, source, &before).map_err(StepError::Migration)?;
        }
    }
    files::write_durably(&began, b"", 0o600)
        .map_err(|source| StepError::Io { path: began.clone(), source })?;
    let mut output = Vec::new();
    let mut lost = step.loses.clone();
    if step.in_transaction() {
        let source = source.ok_or_else(|| no_database(step))?;
        let scripts = scripts(site, step)?;
        match migrate::run_scripts(&host, source, &scripts, &dir) {
            Ok(counted) => {
                if let (Some(most), Some(rows)) = (step.most_rows, counted.rows)
                    && rows > most
                {
                    let why = format!("{rows} rows were lost, and {most} are accepted");
                    return Err(StepError::Migration(why));
                }
                lost = with_columns(counted, &step.loses);
            }
            Err(failed) => {
                if failed.undone {
                    remove(&began)?;
                }
                return Err(StepError::Migration(failed.why));
            }
        }
    } else {
        for migration in &step.migrations {
            let Down::Command { run } = &migration.down else { continue };
            let lines = migrate::run_command(&host, run, &migration.name)
                .map_err(|why| StepError::Migration(format!("{}: {why}", migration.name)))?;
            output.extend(lines);
        }
    }
    output.extend(step.migrations.iter().map(|migration| format!("took back {}", migration.name)));
    output.push(lost.in_words());
    let path = dir.join(LOST);
    let json = serde_json::to_vec(&lost).map_err(std::io::Error::from);
    json.and_then(|json| files::write_durably(&path, &json, 0o600))
        .map_err(|source| StepError::Io { path, source })?;
    Ok(output)
}

/// Whether anything of the database may have been changed and is not put back.
pub(super) fn began(site: &Site, run: &Run) -> bool {
    dir(site, run).join(BEGAN).exists()
}

/// Puts the database back as it was before the run, if anything of it may have been changed.
///
/// # Errors
/// When it could not be put back: nothing may be started on it.
pub(super) fn restore(site: &Site, run: &Run, config: &Config) -> Result<(), StepError> {
    let Some(step) = run.plan.migrates() else { return Ok(()) };
    let dir = dir(site, run);
    match source(config, step)? {
        // Who stops a run wants exactly this: it goes to its end.
        Some(source) => put_back_in(&host(site, config, Until::Left), source, &dir),
        None if dir.join(BEGAN).exists() => Err(StepError::Migration(format!(
            "what the command did to the database is not undone: [migrate] names no data; {} has the \
             migrations, which have to be run again",
            run.plan.from
        ))),
        None => Ok(()),
    }
}

/// What a run that took migrations back did, for its record.
pub(super) fn evidence(site: &Site, run: &Run) -> Option<MigrationEvidence> {
    let number = run.plan.steps.iter().position(|step| matches!(step, Step::Migrate(_)))?;
    let step = run.plan.migrates()?;
    let done = |entry: &Entry| matches!(entry, Entry::Done { step, .. } if *step == number);
    if !run.journal.lines().iter().any(|line| done(&line.entry)) {
        return None;
    }
    let dir = dir(site, run);
    let lost = files::read_state(&dir.join(LOST)).ok();
    let lost: Option<RowsLost> = lost.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let kept = run.configs().ok().and_then(|(_, config)| {
        let source = source(config, step).ok()??;
        let file = dir.join("before").join(migrate::file(source));
        file.exists().then(|| file.display().to_string())
    });
    Some(MigrationEvidence {
        data: step.data.clone(),
        commit: step.commit.clone(),
        reverted: step.names(),
        lost: lost.unwrap_or_else(|| step.loses.clone()),
        kept,
    })
}

fn put_back_in(host: &Host, source: &DataSource, dir: &Path) -> Result<(), StepError> {
    let (began, before) = (dir.join(BEGAN), dir.join("before"));
    if !began.exists() {
        return Ok(());
    }
    let aside = (1..).map(|number| dir.join(format!("aside-{number}"))).find(|dir| !dir.exists());
    let aside = aside.unwrap_or_else(|| dir.join("aside"));
    migrate::put_back(host, source, &before, (&aside, dir)).map_err(|why| {
        StepError::Migration(format!(
            "the database {} was not restored: {why}; as it was before, it is kept in {}",
            source.name,
            before.join(migrate::file(source)).display()
        ))
    })?;
    // What is written from here on is not put back a second time.
    remove(&began)
}

fn remove(path: &Path) -> Result<(), StepError> {
    let removed =
        fs::remove_file(path).and_then(|()| path.parent().map_or(Ok(()), files::sync_dir));
    removed.map_err(|source| StepError::Io { path: path.to_owned(), source })
}

/// The rows as they were counted in the transaction, with the values of columns as the plan counted them.
fn with_columns(mut counted: RowsLost, planned: &RowsLost) -> RowsLost {
    for table in &planned.tables {
        match counted.tables.iter_mut().find(|other| other.table == table.table) {
            Some(other) if other.columns.is_empty() => other.columns.clone_from(&table.columns),
            Some(_) => {}
            None if !table.columns.is_empty() => {
                counted.tables.push(TableLoss { rows: 0, ..table.clone() });
            }
            None => {}
        }
    }
    counted
}

/// The scripts, as git has them.
fn scripts(site: &Site, step: &MigrateStep) -> Result<Vec<DownScript>, StepError> {
    let mut scripts = Vec::new();
    for migration in &step.migrations {
        let Down::Script { path, blob } = &migration.down else { continue };
        let text = site.git.object(blob, ObjectKind::Blob, MOST_SCRIPT)?;
        scripts.push(DownScript { path: path.to_string(), text });
    }
    Ok(scripts)
}

fn source<'c>(config: &'c Config, step: &MigrateStep) -> Result<Option<&'c DataSource>, StepError> {
    let Some(name) = &step.data else { return Ok(None) };
    let source = config.data.iter().find(|source| source.name == *name);
    source.map(Some).ok_or_else(|| no_database(step))
}

fn no_database(step: &MigrateStep) -> StepError {
    let name = step.data.as_ref().map_or("", |name| name.as_str());
    StepError::Migration(format!("[data.{name}] is not in the configuration"))
}

fn host(site: &Site, config: &Config, until: Until) -> Host {
    Host { until, ..Host::of(&site.binding, site.top(), config.points.max_time) }
}

fn dir(site: &Site, run: &Run) -> PathBuf {
    site.run_dir(&run.id).join("data")
}
