//! Copying everything that `[data]` and `[settings]` declare, each with the checks of its own copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::command;
use super::error::DataError;
use super::place::{Host, in_point};
use super::postgres::{self, Address};
use super::source::{Root, Tree};
use super::sqlite::{self, Faults};
use crate::config::{Config, DataEngine, DataSource, FilePlace, Settings};
use crate::model::{DataName, PointItem, PostgresFacts};
use crate::system::text::bytes;
use crate::system::{files, signals};

/// The file of a SQLite database in its place of a point.
pub(super) const SQLITE: &str = "database.sqlite";
/// The dump of a PostgreSQL database.
pub(super) const DUMP: &str = "database.dump";
/// Its roles and tablespaces.
pub(super) const GLOBALS: &str = "globals.sql";

/// Left free on the disk of the points, whatever is copied: 64 MiB.
const MARGIN: u64 = 64 << 20;

/// Copies for one point, and where they are until the point is written.
#[derive(Debug, Clone, Default)]
pub struct Copies {
    /// What was copied.
    pub items: Vec<PointItem>,
    /// What goes into the point.
    pub roots: Vec<Root>,
}

/// What is copied, and where to.
#[derive(Debug)]
pub struct CopyJob<'a> {
    /// The host.
    pub host: &'a Host,
    /// What is declared.
    pub config: &'a Config,
    /// An empty directory of this user's, on the disk of the points.
    pub scratch: PathBuf,
    /// What is copied is about to be replaced: what cannot be copied as it should is copied as it lies there, as
    /// evidence, and forbids nothing.
    pub rescue: bool,
}

/// Copies everything that is declared. `told` is called with the name of each item before it is copied.
///
/// # Errors
/// When one cannot be copied: then there is no point. A copy that fails its own checks is no error but a problem of
/// its item.
pub fn copies(job: &CopyJob<'_>, mut told: impl FnMut(&DataName)) -> Result<Copies, DataError> {
    let mut all = Copies::default();
    check_space(job)?;
    for source in &job.config.data {
        stop_if_asked()?;
        told(&source.name);
        let begun = Instant::now();
        let mut copied = copy(job, source).or_else(|error| rescued(job, source, error))?;
        copied.item.took_millis = millis(begun);
        all.items.push(copied.item);
        all.roots.extend(copied.roots);
    }
    for settings in &job.config.settings {
        stop_if_asked()?;
        let begun = Instant::now();
        let copied = copy_settings(job, settings);
        let mut copied = copied.or_else(|error| settings_rescued(job, settings, error))?;
        copied.item.took_millis = millis(begun);
        all.items.push(copied.item);
        all.roots.extend(copied.roots);
    }
    Ok(all)
}

impl Copies {
    /// A copy of one database that was made elsewhere, with the same checks as one made here.
    ///
    /// # Errors
    /// When it is not such a copy, or files are imported for another engine.
    pub fn imported(
        job: &CopyJob<'_>,
        source: &DataSource,
        file: &Path,
    ) -> Result<Self, DataError> {
        let failed = |problem: String| DataError::item(&source.name, problem);
        let found = file.metadata().map_err(DataError::io(file))?;
        let dir = job.scratch.join(source.name.as_str());
        make(&dir)?;
        let shown = file.display().to_string();
        let mut item = item(&source.name, source.engine.as_str(), "data", shown);
        match &source.engine {
            DataEngine::Sqlite { verify, .. } => {
                let to = dir.join(SQLITE);
                sqlite::copy(file, &to).map_err(failed)?;
                note(&mut item, sqlite::faults(&to, verify));
            }
            DataEngine::Postgres { .. } => {
                postgres::list(job.host, file).map_err(failed)?;
                let to = dir.join(DUMP);
                fs::copy(file, &to).map_err(DataError::io(file))?;
            }
            DataEngine::Files { .. } | DataEngine::Command { .. } => {
                let what = format!(
                    "its engine is {}: only databases (sqlite, postgres) can be imported",
                    source.engine.as_str()
                );
                return Err(failed(what));
            }
        }
        item.bytes = found.len();
        item.files = 1;
        let at = PathBuf::from("data").join(source.name.as_str());
        Ok(Self { items: vec![item], roots: vec![Root { at, from: dir }] })
    }
}

struct Copied {
    item: PointItem,
    roots: Vec<Root>,
}

fn copy(job: &CopyJob<'_>, source: &DataSource) -> Result<Copied, DataError> {
    let failed = |problem: String| DataError::item(&source.name, problem);
    let host = job.host;
    let dir = job.scratch.join(source.name.as_str());
    let at = PathBuf::from("data").join(source.name.as_str());
    let engine = source.engine.as_str();
    let (mut item, roots) = match &source.engine {
        DataEngine::Sqlite { path, verify } => {
            let path = host.plain_path(path).map_err(failed)?;
            make(&dir)?;
            let to = dir.join(SQLITE);
            sqlite::copy(&path, &to).map_err(failed)?;
            take_over_mode(&path, &to)?;
            let mut item = item(&source.name, engine, "data", path.display().to_string());
            note(&mut item, sqlite::faults(&to, verify));
            (item, vec![Root { at, from: dir }])
        }
        DataEngine::Postgres { url, .. } => {
            let address = Address::read(host, url).map_err(failed)?;
            let database = address.describe(host).map_err(failed)?;
            make(&dir)?;
            address.dump(host, &dir.join(DUMP)).map_err(failed)?;
            let mut item = item(&source.name, engine, "data", address.shown());
            item.notes = address.globals(host, &dir.join(GLOBALS));
            item.postgres = Some(database.facts());
            (item, vec![Root { at, from: dir }])
        }
        DataEngine::Files { paths, .. } => {
            let roots = roots_of(host, &source.name, paths, &at)?;
            (item(&source.name, engine, "data", shown(host, paths)), roots)
        }
        DataEngine::Command { backup, .. } => {
            make(&dir)?;
            command::run(host, backup, &dir).map_err(failed)?;
            let source_name = backup.join(" ");
            (item(&source.name, engine, "data", source_name), vec![Root { at, from: dir }])
        }
    };
    (item.files, item.bytes) = Tree::weigh(&roots);
    if item.files == 0 && matches!(source.engine, DataEngine::Command { .. }) {
        return Err(failed("its backup command wrote nothing into GITROLL_DATA_DIR".to_owned()));
    }
    Ok(Copied { item, roots })
}

/// What can be had of an item that could not be copied as it should, where what is copied is about to be replaced.
fn rescued(job: &CopyJob<'_>, source: &DataSource, error: DataError) -> Result<Copied, DataError> {
    if !job.rescue || matches!(error, DataError::Stopped) {
        return Err(error);
    }
    let at = PathBuf::from("data").join(source.name.as_str());
    let dir = job.scratch.join(source.name.as_str());
    let mut shown = String::new();
    let mut roots = Vec::new();
    match &source.engine {
        DataEngine::Sqlite { path, .. } => {
            let path = job.host.path(path);
            shown = path.display().to_string();
            make(&dir)?;
            for end in ["", "-wal", "-journal"] {
                let beside = |path: &Path| {
                    let mut name = path.as_os_str().to_owned();
                    name.push(end);
                    PathBuf::from(name)
                };
                let (from, to) = (beside(&path), beside(&dir.join(SQLITE)));
                if from.is_file() {
                    fs::copy(&from, &to).map_err(DataError::io(&from))?;
                } else if end.is_empty() && to.exists() {
                    fs::remove_file(&to).map_err(DataError::io(&to))?;
                }
            }
            roots.push(Root { at, from: dir });
        }
        DataEngine::Files { paths, .. } => {
            shown = self::shown(job.host, paths);
            roots = roots_there(job.host, paths, &at);
        }
        DataEngine::Postgres { .. } | DataEngine::Command { .. } => {}
    }
    let mut item = item(&source.name, source.engine.as_str(), "data", shown);
    (item.files, item.bytes) = Tree::weigh(&roots);
    item.problems = vec![error.to_string()];
    Ok(Copied { item, roots })
}

fn settings_rescued(
    job: &CopyJob<'_>,
    settings: &Settings,
    error: DataError,
) -> Result<Copied, DataError> {
    if !job.rescue {
        return Err(error);
    }
    let at = PathBuf::from("settings").join(settings.name.as_str());
    let roots = roots_there(job.host, &settings.paths, &at);
    let shown = shown(job.host, &settings.paths);
    let mut item = item(&settings.name, "settings", "settings", shown);
    (item.files, item.bytes) = Tree::weigh(&roots);
    item.problems = vec![error.to_string()];
    Ok(Copied { item, roots })
}

fn roots_there(host: &Host, paths: &[FilePlace], at: &Path) -> Vec<Root> {
    let root = |place: &FilePlace| {
        let from = host.plain_path(place).ok()?;
        Some(Root { at: at.join(in_point(place)), from })
    };
    paths.iter().filter_map(root).collect()
}

fn copy_settings(job: &CopyJob<'_>, settings: &Settings) -> Result<Copied, DataError> {
    let at = PathBuf::from("settings").join(settings.name.as_str());
    let roots = roots_of(job.host, &settings.name, &settings.paths, &at)?;
    let shown = shown(job.host, &settings.paths);
    let mut item = item(&settings.name, "settings", "settings", shown);
    (item.files, item.bytes) = Tree::weigh(&roots);
    Ok(Copied { item, roots })
}

fn roots_of(
    host: &Host,
    name: &DataName,
    paths: &[FilePlace],
    at: &Path,
) -> Result<Vec<Root>, DataError> {
    let root = |place: &FilePlace| {
        let from = host.plain_path(place).map_err(|problem| DataError::item(name, problem))?;
        Ok(Root { at: at.join(in_point(place)), from })
    };
    paths.iter().map(root).collect()
}

fn shown(host: &Host, paths: &[FilePlace]) -> String {
    let all: Vec<String> = paths.iter().map(|p| host.path(p).display().to_string()).collect();
    all.join(", ")
}

fn item(name: &DataName, engine: &str, section: &str, source: String) -> PointItem {
    PointItem {
        name: name.clone(),
        engine: engine.to_owned(),
        place: format!("{section}/{name}"),
        source,
        bytes: 0,
        files: 0,
        took_millis: 0,
        problems: Vec::new(),
        notes: Vec::new(),
        postgres: None::<PostgresFacts>,
    }
}

fn note(item: &mut PointItem, faults: Faults) {
    item.problems = faults.problems;
    item.notes = faults.notes;
}

/// A copied database belongs to whom the database belongs to, as far as this user can say so.
fn take_over_mode(from: &Path, to: &Path) -> Result<(), DataError> {
    let found = from.metadata().map_err(DataError::io(from))?;
    fs::set_permissions(to, found.permissions()).map_err(DataError::io(to))
}

/// Copies of databases are made on the disk of the points before they go into the repository: both must fit.
fn check_space(job: &CopyJob<'_>) -> Result<(), DataError> {
    let mut needed = MARGIN;
    for source in &job.config.data {
        let failed = |problem: String| DataError::item(&source.name, problem);
        needed += match &source.engine {
            DataEngine::Sqlite { path, .. } => 2 * sqlite::size(&job.host.path(path)),
            DataEngine::Postgres { url, .. } => {
                let described = Address::read(job.host, url)
                    .and_then(|address| address.describe(job.host))
                    .map_err(failed);
                match described {
                    Ok(database) => 2 * database.bytes,
                    Err(_) if job.rescue => 0,
                    Err(error) => return Err(error),
                }
            }
            // What is stored of them already takes no more room, so what is free is only known when it is written.
            DataEngine::Files { .. } | DataEngine::Command { .. } => 0,
        };
    }
    let free = files::free_space(&job.scratch).map_err(DataError::io(&job.scratch))?.bytes;
    if free < needed {
        return Err(DataError::NoSpace {
            place: job.scratch.clone(),
            free: bytes(free),
            needed: bytes(needed),
        });
    }
    Ok(())
}

fn stop_if_asked() -> Result<(), DataError> {
    match signals::stop_asked().is_some() || signals::leave_asked() {
        true => Err(DataError::Stopped),
        false => Ok(()),
    }
}

fn make(dir: &Path) -> Result<(), DataError> {
    files::make_private_dir(dir).map_err(DataError::io(dir))
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}
