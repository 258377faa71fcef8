//! Configuration outside the tree: what is declared, and how it differs from a point.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::point::{self, failed};
use super::session::Session;
use crate::config::{ApplySettings, Config, Settings};
use crate::data::{Host, StoredPoint, Writing};
use crate::model::{DataName, PointId, dotenv};
use crate::system::files;
use crate::system::text::nearest;

/// A file of settings is not larger: 16 MiB.
const MOST: u64 = 16 << 20;

/// One set of settings as it is declared.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SettingsView {
    /// The NAME of its section.
    pub name: DataName,
    /// Its files and directories.
    pub paths: Vec<SettingsPath>,
    /// The directory of the repository with its defaults.
    pub defaults: Option<String>,
    /// What makes the app read it again.
    pub apply: String,
    /// The newest point that holds it.
    pub newest: Option<PointId>,
}

/// A file or directory of settings.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SettingsPath {
    /// Where it is on this host.
    pub path: String,
    /// Whether it is there.
    pub exists: bool,
}

/// How one file of settings differs from a point.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SettingsDiff {
    /// The NAME of its section.
    pub name: DataName,
    /// Where it is on this host.
    pub path: String,
    /// `same`, `changed`, `only-here` or `only-in-point`.
    pub state: String,
    /// The keys that differ, where the file has keys: a dotenv file or JSON. Never their values.
    pub keys: Vec<KeyDiff>,
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct KeyDiff {
    /// The key; of JSON a pointer.
    pub key: String,
    /// `changed`, `only-here` or `only-in-point`.
    pub state: String,
}

/// What is declared.
///
/// # Errors
/// When the points cannot be read.
pub fn list(caller: &Caller) -> Result<Vec<SettingsView>, Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    let host = point::host(&session, config);
    let store = point::store(&session);
    let points = match store.exists() {
        true => store.read().and_then(|repository| repository.points()).map_err(failed)?,
        false => Vec::new(),
    };
    let view = |settings: &Settings| {
        let place = format!("settings/{}", settings.name);
        let holds =
            |point: &&StoredPoint| point.manifest.items.iter().any(|item| item.place == place);
        let paths = settings.paths.iter().map(|path| host.path(path)).map(|path| SettingsPath {
            path: path.display().to_string(),
            exists: path.symlink_metadata().is_ok(),
        });
        SettingsView {
            name: settings.name.clone(),
            paths: paths.collect(),
            defaults: settings.defaults.as_ref().map(ToString::to_string),
            apply: applied(&settings.apply),
            newest: points.iter().rev().find(holds).map(|point| point.manifest.id.clone()),
        }
    };
    Ok(config.settings.iter().map(view).collect())
}

fn applied(apply: &ApplySettings) -> String {
    match apply {
        ApplySettings::AllServices => "every service is reloaded".to_owned(),
        ApplySettings::Service(service) => format!("{service} is reloaded"),
        ApplySettings::Signal(service, signal) => format!("{service} gets {}", signal.name()),
        ApplySettings::Command(argv) => argv.join(" "),
    }
}

/// How settings differ from a point, the newest that holds them where none is named. The point is returned too.
///
/// # Errors
/// When there is no such section or no such point, or it cannot be read.
pub fn diff(
    caller: &Caller,
    name: Option<&str>,
    to: Option<&str>,
) -> Result<(PointId, Vec<SettingsDiff>), Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    let chosen = chosen(config, name)?;
    let repository = point::store(&session).read().map_err(failed)?;
    let holds = |point: &&StoredPoint| {
        let held = |settings: &&Settings| {
            let place = format!("settings/{}", settings.name);
            point.manifest.items.iter().any(|item| item.place == place)
        };
        chosen.iter().any(held)
    };
    let points = repository.points().map_err(failed)?;
    let mut newest = points.iter().rev().filter(holds);
    let found = match to {
        None => newest.next(),
        Some(id) => newest.find(|point| point.manifest.id.as_str() == id),
    };
    let found = found.ok_or_else(|| {
        Failure::unchanged("no such point holds these settings")
            .next("gitroll point list", "shows what each point holds")
    })?;
    let host = point::host(&session, config);
    let mut all = Vec::new();
    for settings in chosen {
        all.extend(differences(&repository, found, &host, settings)?);
    }
    Ok((found.manifest.id.clone(), all))
}

fn chosen<'c>(config: &'c Config, name: Option<&str>) -> Result<Vec<&'c Settings>, Failure> {
    let Some(name) = name else { return Ok(config.settings.iter().collect()) };
    let found: Vec<&Settings> =
        config.settings.iter().filter(|settings| settings.name.as_str() == name).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let known: Vec<String> = config.settings.iter().map(|one| one.name.to_string()).collect();
    let failure = Failure::unchanged(format!("there is no [settings.{name}]"));
    Err(match nearest(name, &known) {
        Some(near) => failure.detail(format!("the nearest name is {near}")),
        None => failure.next("gitroll settings list", "shows what is declared"),
    })
}

/// Each file of a set of settings, here and in a point.
fn differences(
    repository: &Writing,
    point: &StoredPoint,
    host: &Host,
    settings: &Settings,
) -> Result<Vec<SettingsDiff>, Failure> {
    let place = format!("settings/{}", settings.name);
    if !point.manifest.items.iter().any(|item| item.place == place) {
        return Ok(Vec::new());
    }
    let scratch = repository.scratch().map_err(failed)?;
    let compared = repository
        .restore(point, std::slice::from_ref(&place), &scratch)
        .map(|_| {
            let files = settings.paths.iter().flat_map(|path| {
                let (here, there) =
                    (host.path(path), scratch.join(&place).join(host.in_point(path)));
                below(&here, &there)
            });
            files.filter_map(|(here, there)| compared(&settings.name, &here, &there)).collect()
        })
        .map_err(failed);
    drop(std::fs::remove_dir_all(&scratch));
    compared
}

type Pair = (std::path::PathBuf, std::path::PathBuf);

/// The files at or below two paths, by their names below them.
fn below(here: &Path, there: &Path) -> Vec<Pair> {
    let mut names = BTreeSet::new();
    let mut left = vec![std::path::PathBuf::new()];
    while let Some(dir) = left.pop() {
        for top in [here, there] {
            for entry in std::fs::read_dir(top.join(&dir)).into_iter().flatten().flatten() {
                let name = dir.join(entry.file_name());
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && !left.contains(&name) => left.push(name),
                    Ok(kind) if kind.is_dir() => {}
                    _ => {
                        names.insert(name);
                    }
                }
            }
        }
    }
    if names.is_empty() {
        return vec![(here.to_owned(), there.to_owned())];
    }
    names.into_iter().map(|name| (here.join(&name), there.join(&name))).collect()
}

/// `None` where neither is there.
fn compared(name: &DataName, here: &Path, there: &Path) -> Option<SettingsDiff> {
    let read = |path: &Path| files::read_plain(path, MOST).ok();
    let (now, then) = (read(here), read(there));
    let state = match (&now, &then) {
        (None, None) => return None,
        (Some(_), None) => "only-here",
        (None, Some(_)) => "only-in-point",
        (Some(now), Some(then)) if now == then => "same",
        (Some(_), Some(_)) => "changed",
    };
    let keys = match (now, then) {
        (Some(now), Some(then)) if state == "changed" => differing(&keys(&now), &keys(&then)),
        _ => Vec::new(),
    };
    let path = here.display().to_string();
    Some(SettingsDiff { name: name.clone(), path, state: state.to_owned(), keys })
}

fn differing(now: &BTreeMap<String, String>, then: &BTreeMap<String, String>) -> Vec<KeyDiff> {
    let names: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    let diff = |key: &&String| {
        let state = match (now.get(*key), then.get(*key)) {
            (Some(now), Some(then)) if now == then => return None,
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "only-here",
            (None, _) => "only-in-point",
        };
        Some(KeyDiff { key: (*key).clone(), state: state.to_owned() })
    };
    names.iter().filter_map(diff).collect()
}

/// The keys of a file with their values, where it is JSON or a dotenv file.
fn keys(bytes: &[u8]) -> BTreeMap<String, String> {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(value) => {
            let mut found = BTreeMap::new();
            flatten("", &value, &mut found);
            found
        }
        Err(_) => dotenv::values(bytes),
    }
}

fn flatten(at: &str, value: &serde_json::Value, found: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                flatten(&format!("{at}/{key}"), value, found);
            }
        }
        other => {
            found.insert(at.to_owned(), other.to_string());
        }
    }
}
