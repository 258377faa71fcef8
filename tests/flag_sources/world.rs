//! A live tree with sources of flags, and this very test program as a process of its own to change them in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use gitroll::config::{Apply, DocumentFormat, FilePlace, FlagSource, FlagSourceKind};
use gitroll::flag::{self, FlagError, Value};
use gitroll::model::{FlagName, RepoPath};
use serde_json::Value as Json;

use crate::support::bench::Bench;

pub struct World {
    pub bench: Bench,
    pub undo: PathBuf,
    dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::new(dir.path());
        Self { bench, undo: dir.path().join("undo"), dir }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.bench.top.join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The value of A as it is read.
    pub fn value(&self, source: &FlagSource) -> Result<Value, FlagError> {
        let name = name("A");
        Ok(flag::read(&self.bench.host(), source, std::slice::from_ref(&name))?
            .remove(&name)
            .unwrap())
    }

    pub fn set(
        &self,
        source: &FlagSource,
        value: impl Into<Json>,
    ) -> Result<Vec<String>, FlagError> {
        self.change(source, &[("A", Value::Known(value.into()))])
    }

    pub fn change(
        &self,
        source: &FlagSource,
        wanted: &[(&str, Value)],
    ) -> Result<Vec<String>, FlagError> {
        let wanted: Vec<_> =
            wanted.iter().map(|(flag, value)| (name(flag), value.clone())).collect();
        flag::change(&self.bench.host(), source, &wanted, &self.undo)
    }

    pub fn restore(&self, source: &FlagSource) -> Result<Vec<String>, FlagError> {
        Ok(flag::restore(&self.bench.host(), source, &self.undo)?.unwrap_or_default())
    }

    /// What lies in the tree beside the app's own files.
    pub fn beside(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.bench.top)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["server.js", "VERSION"].contains(&name.as_str()))
            .collect();
        names.sort();
        names
    }

    /// A process that sets A to `false` (or restores) in the file `name` of the tree, with a failpoint.
    pub fn process(&self, name: &str, restore: bool, fail_at: &str) -> Command {
        let here = module_path!().split_once("::").map_or("", |(_, module)| module);
        let test = format!("{here}::in_a_process_of_its_own");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([test.as_str(), "--exact", "--nocapture"])
            .env("FLAGS_DIR", self.root())
            .env("FLAGS_FILE", name)
            .env("FLAGS_RESTORE", if restore { "1" } else { "" })
            .env("GITROLL_FAIL_AT", fail_at)
            .env("GITROLL_FAIL_LOG", self.root().join("places"));
        command
    }
}

/// Does nothing, unless [`World::process`] started it.
#[test]
fn in_a_process_of_its_own() {
    let Some(dir) = std::env::var_os("FLAGS_DIR").map(PathBuf::from) else { return };
    let file = std::env::var("FLAGS_FILE").unwrap();
    let source = in_tree(&file);
    let bench = Bench::over(&dir);
    let done = if std::env::var("FLAGS_RESTORE").unwrap().is_empty() {
        let value = match source.kind {
            FlagSourceKind::Dotenv(_) => Value::text("false"),
            _ => Value::Known(false.into()),
        };
        flag::change(&bench.host(), &source, &[(name("A"), value)], &dir.join("undo"))
    } else {
        flag::restore(&bench.host(), &source, &dir.join("undo")).map(Option::unwrap_or_default)
    };
    if let Err(error) = done {
        panic!("told: {error}");
    }
}

pub fn name(text: &str) -> FlagName {
    text.parse().unwrap()
}

pub fn source(kind: FlagSourceKind) -> FlagSource {
    FlagSource {
        name: "file".parse().unwrap(),
        kind,
        apply: Apply::None,
        services: Vec::new(),
        verify: None,
    }
}

/// The file `path` below the top, `/f` being where documents hold their flags.
pub fn in_tree(path: &str) -> FlagSource {
    file(path, FilePlace::Tree(RepoPath::new(path).unwrap()))
}

pub fn on_host(path: &Path) -> FlagSource {
    file(path.to_str().unwrap(), FilePlace::Host(path.to_owned()))
}

fn file(path: &str, file: FilePlace) -> FlagSource {
    let formats = BTreeMap::from([
        ("json", DocumentFormat::Json),
        ("toml", DocumentFormat::Toml),
        ("yaml", DocumentFormat::Yaml),
    ]);
    source(match formats.get(path.rsplit('.').next().unwrap()) {
        Some(format) => {
            FlagSourceKind::Document { file, format: *format, pointer: "/f".to_owned() }
        }
        None => FlagSourceKind::Dotenv(file),
    })
}

/// What an error says, whoever's it is.
#[track_caller]
pub fn said<T: std::fmt::Debug>(result: Result<T, FlagError>) -> String {
    let error = result.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
    error.to_string()
}
