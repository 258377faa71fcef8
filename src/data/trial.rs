//! Trying a point out: each copy is restored into a scratch place and asked whether it is good.

use std::path::Path;

use super::copies::{DUMP, SQLITE};
use super::error::DataError;
use super::place::Host;
use super::postgres::{self, Address};
use super::store::{StoredPoint, Writing};
use super::{command, sqlite};
use crate::config::{Config, DataEngine};
use crate::model::PointItem;
use crate::system::signals;

/// What came of trying out a point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrialResult {
    /// What is wrong. Empty: everything was restored, and every check passed.
    pub problems: Vec<String>,
    /// What was not asked, and why.
    pub notes: Vec<String>,
}

/// Restores everything in a point into `scratch`, an empty directory, and runs the checks of each copy: its engine's own
/// and those that are declared now. A PostgreSQL dump is restored into a database of its own, which is removed again.
///
/// # Errors
/// When the repository cannot be opened or the scratch place not be written. What is damaged in the point is a problem of
/// the result.
pub fn try_out(
    repository: &Writing,
    point: &StoredPoint,
    host: &Host,
    config: &Config,
    scratch: &Path,
) -> Result<TrialResult, DataError> {
    let mut result = TrialResult::default();
    for item in &point.manifest.items {
        if signals::stop_asked().is_some() || signals::leave_asked() {
            return Err(DataError::Stopped);
        }
        match repository.restore(point, std::slice::from_ref(&item.place), scratch) {
            Ok((files, bytes)) if (files, bytes) != (item.files, item.bytes) => {
                result.problems.push(format!(
                    "{}: {files} files with {bytes} bytes were restored, and {} with {} were copied",
                    item.name, item.files, item.bytes
                ));
            }
            Ok(_) => ask(item, host, config, &scratch.join(&item.place), &mut result),
            Err(error @ (DataError::Repository { .. } | DataError::NoSuchPath { .. })) => {
                result.problems.push(format!("{}: {error}", item.name));
            }
            Err(error) => return Err(error),
        }
        // What the next one needs is not taken by this one.
        let restored = scratch.join(&item.place);
        std::fs::remove_dir_all(&restored).map_err(DataError::io(&restored))?;
    }
    Ok(result)
}

/// What is wrong with the databases that are live, by the checks of their engines and those that are declared. One that is
/// not there, or whose server does not answer, is not known to be corrupt.
pub fn live_faults(host: &Host, config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    for source in &config.data {
        let found = match &source.engine {
            DataEngine::Sqlite { path, verify } => {
                let path = host.plain_path(path).ok().filter(|path| path.is_file());
                path.map(|path| sqlite::live_faults(&path, verify)).unwrap_or_default()
            }
            DataEngine::Postgres { url, verify, .. } => {
                let address = Address::read(host, url).ok();
                let answers = |address: &Address| address.ask(host, "SELECT 1").is_ok();
                let address = address.filter(answers);
                address.map(|address| address.asked(host, verify)).unwrap_or_default()
            }
            DataEngine::Files { .. } | DataEngine::Command { .. } => Vec::new(),
        };
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", source.name)));
    }
    faults
}

fn ask(item: &PointItem, host: &Host, config: &Config, restored: &Path, result: &mut TrialResult) {
    let name = &item.name;
    let mut problem = |what: String| result.problems.push(format!("{name}: {what}"));
    let declared = config.data.iter().find(|source| source.name == *name);
    let declared = declared.map(|source| &source.engine);
    match item.engine.as_str() {
        "sqlite" => {
            let verify = match declared {
                Some(DataEngine::Sqlite { verify, .. }) => verify.as_slice(),
                _ => &[],
            };
            sqlite::faults(&restored.join(SQLITE), verify).problems.into_iter().for_each(problem);
        }
        "postgres" => {
            let dump = restored.join(DUMP);
            let Some(DataEngine::Postgres { url, admin_url, verify }) = declared else {
                if let Err(why) = postgres::list(host, &dump) {
                    problem(why);
                }
                result.notes.push(format!(
                    "{name}: gitroll.toml declares no such database any more: only the list of its dump was read"
                ));
                return;
            };
            let tried = || {
                let app = Address::read(host, url)?;
                let admin = Address::read(host, admin_url.as_ref().unwrap_or(url))?;
                admin.try_out(host, &app, (&dump, item.postgres.as_ref()), verify)
            };
            match tried() {
                Ok(problems) => problems.into_iter().for_each(problem),
                Err(why) => problem(why),
            }
        }
        "command" => match declared {
            Some(DataEngine::Command { verify: Some(verify), .. }) => {
                if let Err(why) = command::run(host, verify, restored) {
                    problem(why);
                }
            }
            _ => result.notes.push(format!("{name}: it has no `verify` command")),
        },
        "files" => {
            // Without a command, each byte was read and each file written: there is nothing else to ask.
            if let Some(DataEngine::Files { verify: Some(verify), .. }) = declared
                && let Err(why) = command::run(host, verify, restored)
            {
                problem(why);
            }
        }
        _ => {}
    }
}
