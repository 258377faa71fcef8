//! Where feature flags are kept, and how it shows which value the running app has.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::model::{FlagName, FlagSourceName, RepoPath, ServiceName};

use super::{CheckKind, FilePlace, SecretSource};

/// `[flags]` and `[flags.source.NAME]`.
#[derive(Debug, Clone)]
pub struct Flags {
    /// Every source: the one of `[flags]` itself, called `file`, first; then in the order of the file.
    pub sources: Vec<FlagSource>,
}

/// One place that flags are kept in.
#[derive(Debug, Clone)]
pub struct FlagSource {
    /// The NAME; `file` for the keys of `[flags]` itself.
    pub name: FlagSourceName,
    /// What kind of place.
    pub kind: FlagSourceKind,
    /// `apply`: how the app is made to take a changed value.
    pub apply: Apply,
    /// `services` that read it; all where empty.
    pub services: Vec<ServiceName>,
    /// `verify`: what shows the value in the running app, for flags that say nothing of their own.
    pub verify: Option<Verify>,
}

/// What kind of place flags are kept in.
#[derive(Debug, Clone)]
pub enum FlagSourceKind {
    /// `file` in the dotenv format: `.env`, `.env.local`, `app.env`.
    Dotenv(FilePlace),
    /// `file` in JSON, TOML or YAML, told by its suffix.
    Document {
        /// The file.
        file: FilePlace,
        /// Its format.
        format: DocumentFormat,
        /// `pointer` to the object that holds the flags, e.g. `/featureFlags`; empty for the whole document.
        pointer: String,
    },
    /// `http`: an admin API.
    Http(FlagApi),
    /// `get` and `set`: commands of the team's own.
    Command {
        /// Prints the value of `{name}`; exit 0.
        get: Vec<String>,
        /// Sets `{name}` to `{value}`.
        set: Vec<String>,
        /// `timeout` of each, default 30 s.
        timeout: Duration,
    },
}

/// The formats of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentFormat {
    /// `.json`
    Json,
    /// `.toml`
    Toml,
    /// `.yaml`, `.yml`
    Yaml,
}

/// An admin API for flags.
#[derive(Debug, Clone)]
pub struct FlagApi {
    /// `http`: where a change is sent; `{name}` is filled in, percent-encoded.
    pub url: String,
    /// `method` of a change, default POST.
    pub method: Method,
    /// `body` of a change: `{name}` (as the inside of a JSON text) and `{value}` (as JSON) are filled in.
    pub body: String,
    /// `headers` of both requests.
    pub headers: BTreeMap<String, String>,
    /// `read`: where the values are asked, default `http`; `{name}` is filled in.
    pub read: String,
    /// `pointer` to the value in that answer, default `/{name}`.
    pub pointer: String,
    /// `token`, sent as `Authorization: Bearer …`.
    pub token: Option<SecretSource>,
    /// `request_timeout` of one request, default 5 s.
    pub request_timeout: Duration,
}

/// What a change is sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
}

/// How the app is made to take a changed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    /// `reload`: its services are reloaded and read the source as they start.
    Reload,
    /// `environment`: they are reloaded, and handed the declared flags in their environment.
    Environment,
    /// `{ signal = "HUP" }`: their processes get this signal.
    Signal(Signal),
    /// `none`: it sees the change by itself.
    None,
}

/// The signals that ask a program to read its settings again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// HUP
    Hup,
    /// USR1
    Usr1,
    /// USR2
    Usr2,
}

/// What shows a flag's value in the running app.
#[derive(Debug, Clone)]
pub enum Verify {
    /// `environ`: the variable in the environment that the processes of the services were started with.
    Environ,
    /// A question as in `[[check]]`, `{name}` and `{value}` filled in.
    Ask {
        /// The question.
        kind: Box<CheckKind>,
        /// `timeout`, within which it must be answered as wanted, default 30 s.
        timeout: Duration,
        /// It holds `{value}`, so that it can tell every value; else it is about one value only.
        tells_value: bool,
    },
}

/// `flag` of a component.
#[derive(Debug, Clone)]
pub struct Flag {
    /// `name`
    pub name: FlagName,
    /// `off`: the value that means off.
    pub off: String,
    /// `on`: the value that means on.
    pub on: Option<String>,
    /// `source`, where there are several.
    pub source: Option<FlagSourceName>,
    /// `verify`: what shows that it is off, or, with `{value}`, which value it has.
    pub verify: Option<Verify>,
    /// `verify_on`: what shows that it is on.
    pub verify_on: Option<Verify>,
}

impl Signal {
    /// Its name without `SIG`.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Hup => "HUP",
            Signal::Usr1 => "USR1",
            Signal::Usr2 => "USR2",
        }
    }

    /// The signal of a name without `SIG`.
    pub fn named(name: &str) -> Option<Self> {
        [Signal::Hup, Signal::Usr1, Signal::Usr2].into_iter().find(|signal| signal.name() == name)
    }
}

impl Flags {
    /// The source of a name; the only one if none is named.
    pub fn source(&self, name: Option<&FlagSourceName>) -> Option<&FlagSource> {
        match name {
            Some(name) => self.sources.iter().find(|source| source.name == *name),
            None => self.sources.first(),
        }
    }

    /// The dotenv files among the sources; relative ones to the top of the live tree.
    pub fn dotenv_files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|source| match &source.kind {
            FlagSourceKind::Dotenv(FilePlace::Tree(path)) => Some(path.as_path()),
            FlagSourceKind::Dotenv(FilePlace::Host(path)) => Some(path.as_path()),
            _ => None,
        })
    }

    /// The files of the live tree that hold flags.
    pub fn files(&self) -> impl Iterator<Item = &RepoPath> {
        self.sources.iter().filter_map(|source| match &source.kind {
            FlagSourceKind::Dotenv(FilePlace::Tree(path))
            | FlagSourceKind::Document { file: FilePlace::Tree(path), .. } => Some(path),
            _ => None,
        })
    }
}
