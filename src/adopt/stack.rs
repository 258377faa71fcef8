//! What kind of app lies in a work tree and what runs it: what `gitroll init` needs to know.
//!
//! Detecting reads files and asks the running app over loopback. It changes nothing, and nothing it finds
//! is an error: what cannot be read is a warning.

mod package;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::check::find_health;
use crate::config::Tools;
use crate::model::{AppName, Oid, RepoPath, dotenv};
use crate::service::Pm2App;

pub use crate::check::Health;
#[cfg(test)]
pub use package::Start;
pub use package::{LockFile, Package};

/// Where to look, and what is known already.
pub struct Surroundings<'a> {
    /// The top of the work tree.
    pub top: &'a Path,
    /// The commit checked out there, which a health answer may name.
    pub commit: Option<&'a Oid>,
    /// The tools of this host.
    pub tools: &'a Tools,
    /// The apps that run under pm2, wherever they run.
    pub pm2: &'a [Pm2App],
    /// Whether git tracks the path, or something below it.
    pub tracked: &'a dyn Fn(&RepoPath) -> bool,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stack {
    /// The name of the app, from package.json, else from the directory, made plain.
    pub name: Option<AppName>,
    /// package.json, where it can be read.
    pub package: Option<Package>,
    /// Files that tell of another kind of app, such as `requirements.txt`.
    pub others: Vec<String>,
    /// The Procfile's process types with their command lines.
    pub procfile: Vec<(String, String)>,
    /// pm2 apps that run from this tree.
    pub pm2: Vec<Pm2App>,
    /// An untracked `.env` lies at the top.
    pub env_file: bool,
    /// Where the app listens on loopback.
    pub port: Option<Port>,
    /// Where it answers 200, if it runs.
    pub health: Option<Health>,
    /// A tracked directory of database migrations.
    pub migrations: Option<RepoPath>,
    /// What a person should know, a sentence each.
    pub warnings: Vec<String>,
}

/// A port and what told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The number, not 0.
    pub number: u16,
    /// `pm2`, `.env` or `package.json`.
    pub source: &'static str,
}

impl Stack {
    /// Looks at a work tree. Takes at most a few seconds, all of them waiting for the running app to answer.
    pub fn detect(around: &Surroundings<'_>) -> Self {
        let mut stack = Self::default();
        stack.package = Package::read(around, &mut stack.warnings);
        stack.name = name(around.top, stack.package.as_ref());
        stack.others = OTHERS
            .into_iter()
            .filter(|name| around.top.join(name).is_file())
            .map(str::to_owned)
            .collect();
        stack.procfile = procfile(around.top);
        stack.pm2 = pm2_apps(around);
        let dotenv = around.dotenv();
        stack.env_file = dotenv.is_some();
        stack.port = stack.find_port(dotenv.as_ref());
        stack.health = stack.port.as_ref().and_then(|port| {
            let version = stack.package.as_ref().and_then(|package| package.version.as_deref());
            find_health(port.number, version, around.commit)
        });
        stack.migrations = MIGRATIONS
            .into_iter()
            .filter(|dir| around.top.join(dir).is_dir())
            .filter_map(|dir| RepoPath::new(dir).ok())
            .find(|dir| (around.tracked)(dir));
        stack
    }

    fn find_port(&self, dotenv: Option<&BTreeMap<String, String>>) -> Option<Port> {
        let port = |number: u16, source| (number != 0).then_some(Port { number, source });
        self.pm2
            .iter()
            .find_map(|app| port(app.port?, "pm2"))
            .or_else(|| port(dotenv?.get("PORT")?.parse().ok()?, ".env"))
            .or_else(|| port(self.package.as_ref()?.port?, "package.json"))
    }
}

impl Surroundings<'_> {
    /// The text of a plain file at the top, at most 1 MiB. A link is not followed.
    ///
    /// `Ok(None)` where there is none; a sentence where it cannot be read.
    fn text(&self, name: &str) -> Result<Option<String>, String> {
        text(self.top, name)
    }

    /// The variables of an untracked `.env`. Their values go no further than this module.
    fn dotenv(&self) -> Option<BTreeMap<String, String>> {
        let path = RepoPath::new(".env").ok()?;
        let bytes = bytes(self.top, ".env").ok().flatten().filter(|_| !(self.tracked)(&path))?;
        Some(dotenv::values(&bytes))
    }
}

const OTHERS: [&str; 9] = [
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "Gemfile",
    "composer.json",
    "go.mod",
    "Cargo.toml",
    "pom.xml",
    "mix.exs",
];

const MIGRATIONS: [&str; 8] = [
    "migrations",
    "db/migrations",
    "db/migrate",
    "database/migrations",
    "prisma/migrations",
    "src/migrations",
    "drizzle",
    "alembic/versions",
];

fn text(top: &Path, name: &str) -> Result<Option<String>, String> {
    let text = bytes(top, name)?.map(String::from_utf8).transpose();
    text.map_err(|_| format!("{name} is not UTF-8"))
}

/// A plain file at the top, at most 1 MiB.
fn bytes(top: &Path, name: &str) -> Result<Option<Vec<u8>>, String> {
    const MOST: u64 = 1 << 20;
    let path = top.join(name);
    let Ok(found) = std::fs::symlink_metadata(&path) else { return Ok(None) };
    if !found.is_file() {
        return Err(format!("{name} is no plain file and was not read"));
    }
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("{name} cannot be read: {error}"))?;
    if bytes.len() as u64 > MOST {
        return Err(format!("{name} is larger than 1 MiB and was not read"));
    }
    Ok(Some(bytes))
}

/// The package's name without its scope, else the directory's, with other characters made `-`.
fn name(top: &Path, package: Option<&Package>) -> Option<AppName> {
    let plain = |text: &str| {
        let text = text.rsplit('/').next().unwrap_or(text);
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let text: String = text.chars().map(|c| if fits(c) { c } else { '-' }).take(64).collect();
        text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).parse().ok()
    };
    let directory = || plain(&top.file_name()?.to_string_lossy());
    package.and_then(|package| plain(package.name.as_deref()?)).or_else(directory)
}

/// `web: node server.js` lines.
fn procfile(top: &Path) -> Vec<(String, String)> {
    let text = text(top, "Procfile").ok().flatten().unwrap_or_default();
    let line = |line: &str| {
        let (kind, command) = line.split_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let command = command.trim();
        let fits = !kind.is_empty() && kind.chars().all(plain) && !command.is_empty();
        fits.then(|| (kind.to_owned(), command.to_owned()))
    };
    text.lines().filter_map(line).take(20).collect()
}

/// Those that run in the tree or below it, whatever links their paths go through.
fn pm2_apps(around: &Surroundings<'_>) -> Vec<Pm2App> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let top = real(around.top);
    around.pm2.iter().filter(|app| real(&app.cwd).starts_with(&top)).cloned().collect()
}

#[cfg(test)]
mod tests;
