//! Feature flags where they are kept: reading, changing, restoring. What a flag does to the running app is
//! the business of others; here a file, an API or a command is asked and told.

mod api;
mod command;
mod document;
mod each;
mod error;
mod fill;
mod place;
mod text;
mod undo;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::{FlagSource, FlagSourceKind};
use crate::model::FlagName;
use crate::service::Host;
use crate::system::procs::{self, Variable};

use each::PerFlagSource;
use text::FlagFile;
use undo::UndoStore;

pub use error::FlagError;
pub use undo::left_alone;
pub use value::Value;

/// What flags are set to in a source. A source that has no place for a flag says `Absent`.
///
/// # Errors
/// When the source cannot be read, or holds something else than single values under these names.
pub fn read(
    host: &Host<'_>,
    source: &FlagSource,
    names: &[FlagName],
) -> Result<BTreeMap<FlagName, Value>, FlagError> {
    match FlagFile::of(host, &source.kind)? {
        Some(file) => file.read(names),
        None => PerFlagSource { host, kind: &source.kind }.read(names),
    }
}

/// Every flag that a source holds, where it can tell: the names in a dotenv file, the single values of a
/// document's object. `None` for an API and commands.
///
/// # Errors
/// As [`read`].
pub fn list(host: &Host<'_>, source: &FlagSource) -> Result<Option<Vec<FlagName>>, FlagError> {
    FlagFile::of(host, &source.kind)?.map(|file| file.list()).transpose()
}

/// What the source would hold for the `text` that a person typed, where it now holds `found`.
///
/// Dotenv files and commands hold texts. Elsewhere a text stays a text (`"true"` becomes `"false"`), and
/// what is something else becomes what JSON calls the text.
///
/// # Errors
/// Where that would make a text of a boolean, a number or null: most programs take the text `off` for true.
pub fn typed(
    source: &FlagSource,
    name: &FlagName,
    found: &Value,
    text: &str,
) -> Result<Value, FlagError> {
    match &source.kind {
        FlagSourceKind::Dotenv(_) | FlagSourceKind::Command { .. } => Ok(Value::text(text)),
        FlagSourceKind::Document { .. } | FlagSourceKind::Http(_) => value::typed(found, text)
            .map(Value::Known)
            .map_err(|problem| FlagError::flag(name, problem)),
    }
}

/// Sets flags. Looks first: one that has its value already is not touched.
///
/// `undo` is a private directory of the run for this source alone. What the way back needs, true values of secrets included, is
/// there durably before anything changes. May be called again after a kill, and for further changes in the
/// same run: the way back always leads to where the run began.
///
/// Returns what a person should know.
///
/// # Errors
/// When it cannot be done, or what was set does not read back. Files are then as they were; of several flags
/// of an API or of commands those before the failing one are changed, and [`restore`] puts them back.
pub fn change(
    host: &Host<'_>,
    source: &FlagSource,
    wanted: &[(FlagName, Value)],
    undo: &Path,
) -> Result<Vec<String>, FlagError> {
    let kept = UndoStore::new(undo, &source.name);
    match FlagFile::of(host, &source.kind)? {
        Some(file) => file.change(wanted, &kept),
        None => PerFlagSource { host, kind: &source.kind }.change(wanted, &kept),
    }
}

/// Restores what [`change`] changed, after a kill anywhere too; `None` if nothing was kept for that. A file that is
/// byte for byte what was written gets its old bytes, or goes if it was not there. In one that was edited
/// since, only the flags go back. A flag that someone set to a third value is left, and the returned notes
/// say so.
///
/// # Errors
/// As [`change`].
pub fn restore(
    host: &Host<'_>,
    source: &FlagSource,
    undo: &Path,
) -> Result<Option<Vec<String>>, FlagError> {
    let kept = UndoStore::new(undo, &source.name);
    let Some(undo) = kept.load()? else { return Ok(None) };
    let notes = match FlagFile::of(host, &source.kind)? {
        Some(file) => file.restore(&undo, &kept),
        None => PerFlagSource { host, kind: &source.kind }.restore(&undo),
    };
    notes.map(Some)
}

/// Removes what [`change`] kept for the way back, the directory `undo` itself: secrets need not outlive the run that may go back.
///
/// # Errors
/// Any I/O error.
pub fn forget(source: &FlagSource, undo: &Path) -> Result<(), FlagError> {
    UndoStore::new(undo, &source.name).remove()
}

/// The variable `name` in the environment that each process was started with. What a program sets later in
/// its own environment is not seen, but what pm2 puts there before it runs a worker of its cluster.
pub fn in_processes(pids: &[u32], name: &FlagName) -> Vec<(u32, Variable)> {
    pids.iter().map(|pid| (*pid, in_process(*pid, name.as_str()))).collect()
}

fn in_process(pid: u32, name: &str) -> Variable {
    // All the variables of a worker come in this one, as JSON, and win over those of the daemon that forked it.
    if let Variable::Set(text) = procs::variable_of(pid, "pm2_env")
        && let Ok(serde_json::Value::Object(variables)) = serde_json::from_str(&text)
        && let Some(value) = variables.get(name)
    {
        return Variable::Set(match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
    }
    procs::variable_of(pid, name)
}
