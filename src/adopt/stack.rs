//! What kind of app lies in a work tree and what runs it: what `gitroll init` needs to know.
//!
//! Detecting reads files and asks the running app over loopback. It changes nothing, and nothing it finds
//! is an error: what cannot be read is a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::Value;

use super::work_tree::text;
use crate::check::{self, find_health, is_front_on};
use crate::model::{AppName, RepoPath};
use crate::service::Pm2App;
use crate::system::procs;
use crate::system::sockets::{self, Place};

pub use super::builds::BuildFiles;
pub use super::work_tree::{LockFile, WorkTree};
pub use crate::check::Health;

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
    /// That is a proxy's answer.
    pub fronted: bool,
    /// Where its processes listen now, a port of each.
    pub listens: Vec<SocketAddr>,
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
    /// `pm2`, `.env`, `package.json` or `listens`.
    pub source: &'static str,
}

impl Stack {
    /// Looks at a work tree. Takes at most a few seconds, all of them waiting for the running app to answer.
    pub fn detect(tree: &WorkTree<'_>) -> Self {
        let mut stack = Self::default();
        stack.package = Package::read(tree, &mut stack.warnings);
        stack.name = name(tree.top, stack.package.as_ref());
        stack.others = OTHERS
            .into_iter()
            .filter(|name| tree.top.join(name).is_file())
            .map(str::to_owned)
            .collect();
        stack.procfile = procfile(tree.top);
        stack.pm2 = pm2_apps(tree);
        let dotenv = tree.dotenv();
        stack.env_file = dotenv.is_some();
        stack.listens = listening(tree.top, !stack.pm2.is_empty());
        stack.port = stack.find_port(dotenv.as_ref());
        stack.health = stack.port.as_ref().and_then(|port| {
            let version = stack.package.as_ref().and_then(|package| package.version.as_deref());
            find_health(port.number, version, tree.commit)
        });
        if let Some(port) = &stack.port {
            stack.fronted = is_front_on(port.number);
            let known = stack.listens.iter().any(|at| at.port() == port.number);
            if !known && !stack.fronted && !sockets::listeners(port.number).is_empty() {
                // A worker of pm2 has no socket of its own.
                stack.listens.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port.number)));
            }
        }
        stack.migrations = MIGRATIONS
            .into_iter()
            .filter(|dir| tree.top.join(dir).is_dir())
            .filter_map(|dir| RepoPath::new(dir).ok())
            .find(|dir| (tree.tracked)(dir));
        stack
    }

    fn find_port(&self, dotenv: Option<&BTreeMap<String, String>>) -> Option<Port> {
        let port = |number: u16, source| (number != 0).then_some(Port { number, source });
        self.pm2
            .iter()
            .find_map(|app| port(app.port?, "pm2"))
            .or_else(|| port(dotenv?.get("PORT")?.parse().ok()?, ".env"))
            .or_else(|| port(self.package.as_ref()?.port?, "package.json"))
            .or_else(|| port(self.listens.first()?.port(), "listens"))
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

/// Where processes that work in the tree or below it listen, and what they started; only those that pm2 runs, where
/// it runs the app. Each port once.
fn listening(top: &Path, by_pm2: bool) -> Vec<SocketAddr> {
    let Ok(top) = top.canonicalize() else { return Vec::new() };
    let runs = |pid: &u32| {
        let here = procs::working_directory(*pid).is_some_and(|dir| dir.starts_with(&top));
        let pm2 =
            || procs::environment(*pid).is_some_and(|env| env.contains_key(OsStr::new("pm_id")));
        here && (!by_pm2 || pm2())
    };
    let running: Vec<u32> = procs::running().into_iter().filter(runs).collect();
    let held: BTreeSet<u64> = running
        .iter()
        .flat_map(|pid| procs::family(*pid))
        .flat_map(|pid| sockets::held_by(pid).unwrap_or_default())
        .collect();
    let mut found: BTreeMap<u16, SocketAddr> = BTreeMap::new();
    for socket in sockets::listening().into_iter().filter(|socket| held.contains(&socket.inode)) {
        if let Place::Tcp(at) = socket.place
            && !DEBUGGER.contains(&at.port())
        {
            found.entry(at.port()).or_insert(at);
        }
    }
    found.into_values().map(reachable).collect()
}

/// The ports of node's debugger.
const DEBUGGER: RangeInclusive<u16> = 9229..=9239;

/// Where a socket is reached from this host.
fn reachable(at: SocketAddr) -> SocketAddr {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, at.port()));
    match at.ip() {
        ip if !ip.is_unspecified() => at,
        IpAddr::V6(_) if !check::accepts(v4) => SocketAddr::from((Ipv6Addr::LOCALHOST, at.port())),
        _ => v4,
    }
}

/// Those that run in the tree or below it, whatever links their paths go through.
fn pm2_apps(tree: &WorkTree<'_>) -> Vec<Pm2App> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let top = real(tree.top);
    tree.pm2.iter().filter(|app| real(&app.cwd).starts_with(&top)).cloned().collect()
}

/// What package.json says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// `name`
    pub name: Option<String>,
    /// `version`
    pub version: Option<String>,
    /// The lock file beside it.
    pub lock: Option<LockFile>,
    /// It has dependencies to install, or its workspaces may have.
    pub dependencies: bool,
    /// `node_modules` is tracked by git, so that there is nothing to install.
    pub vendored: bool,
    /// `scripts.build`
    pub build: Option<String>,
    /// What installing and building read and make.
    pub files: BuildFiles,
    /// What the build makes is a guess.
    pub guessed: bool,
    /// How the app is started.
    pub start: Option<Start>,
    /// A port in the start script.
    pub port: Option<u16>,
}

/// A start command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The argument vector.
    pub command: Vec<String>,
    /// Variables the script sets before it.
    pub env: BTreeMap<String, String>,
}

impl Package {
    /// Reads package.json; `None` and a warning where it is there and broken.
    fn read(tree: &WorkTree<'_>, warnings: &mut Vec<String>) -> Option<Self> {
        let text = match tree.text("package.json") {
            Ok(text) => text?,
            Err(problem) => {
                warnings.push(problem);
                return None;
            }
        };
        let value: Value = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(value) => value,
            Err(error) => {
                warnings.push(format!(
                    "package.json is not valid JSON at line {}, column {}: fix it, then run `gitroll init` again",
                    error.line(),
                    error.column()
                ));
                return None;
            }
        };
        let Value::Object(_) = &value else {
            warnings.push("package.json does not contain an object and was not used".to_owned());
            return None;
        };
        Some(Self::from_value(tree, &value, warnings))
    }

    fn from_value(tree: &WorkTree<'_>, value: &Value, warnings: &mut Vec<String>) -> Self {
        let word = |pointer: &str| value.pointer(pointer)?.as_str().map(str::to_owned);
        let has = |name: &str| tree.top.join(name).is_file();
        let tracked = |path: &str| RepoPath::new(path).is_ok_and(|path| (tree.tracked)(&path));
        let filled =
            |key: &str| value.get(key).and_then(Value::as_object).is_some_and(|d| !d.is_empty());
        let mut package = Self {
            name: word("/name"),
            version: word("/version").filter(|version| !version.trim().is_empty()),
            lock: lock(tree, word("/packageManager").as_deref(), warnings),
            dependencies: ["dependencies", "devDependencies", "optionalDependencies"]
                .into_iter()
                .any(filled),
            vendored: tracked("node_modules"),
            build: word("/scripts/build").filter(|script| !script.trim().is_empty()),
            ..Self::default()
        };
        package.files = BuildFiles::of(tree, value, package.lock);
        package.dependencies |= !package.files.workspaces.is_empty() && package.lock.is_some();
        if let Some(build) = package.build.as_ref().filter(|_| package.files.built.is_empty()) {
            package.files.built = guess(tree, build);
            package.guessed = !package.files.built.is_empty();
        }
        let script = word("/scripts/start").filter(|script| !script.trim().is_empty());
        package.port = script.as_deref().and_then(port);
        package.start = match script {
            Some(script) => Some(start(&script)),
            // What npm itself runs where no script says otherwise.
            None if has("server.js") => Some(Start {
                command: vec!["node".to_owned(), "server.js".to_owned()],
                env: BTreeMap::new(),
            }),
            None => None,
        };
        package.warn(tree, warnings);
        package
    }

    fn warn(&self, tree: &WorkTree<'_>, warnings: &mut Vec<String>) {
        if self.dependencies && !self.vendored {
            match self.lock {
                None => warnings.push(
                    "there is no lock file, so two builds of one commit may differ. Create \
                     one with `npm install --package-lock-only` and commit it"
                        .to_owned(),
                ),
                Some(LockFile::Npm) if tree.tools.npm.is_none() => {
                    warnings.push(
                        "npm was not found on this host, so nothing can be installed".to_owned(),
                    );
                }
                Some(_) => {}
            }
        }
        if let (true, Some(_)) = (self.files.carry.is_empty(), &self.build)
            && tree.dotenv().is_some()
        {
            warnings.push(
                "the build does not seem to read .env, so it does not get it: if it does, set carry = [\".env\"] \
                 in its [[build]]"
                    .to_owned(),
            );
        }
        let runs_node = self.dependencies || self.start.is_some();
        if runs_node && tree.tools.node.is_none() {
            warnings.push("node was not found on this host".to_owned());
        }
    }
}

/// The lock file of the package manager that package.json names, else the one that is there.
fn lock(tree: &WorkTree<'_>, named: Option<&str>, warnings: &mut Vec<String>) -> Option<LockFile> {
    let has = |name: &str| tree.top.join(name).is_file();
    let berry = has(".yarnrc.yml")
        || named.is_some_and(|named| named.starts_with("yarn@") && !named.starts_with("yarn@1."))
        || tree.text("yarn.lock").ok().flatten().is_some_and(|text| text.contains("__metadata:"));
    let yarn = if berry { LockFile::YarnBerry } else { LockFile::Yarn };
    let all = [LockFile::Npm, LockFile::Pnpm, yarn, LockFile::Bun];
    let there: Vec<LockFile> =
        all.into_iter().filter(|lock| lock.files().iter().any(|name| has(name))).collect();
    let manager = named.map(|named| named.split('@').next().unwrap_or(named));
    let wanted = manager.map(|name| all.into_iter().find(|lock| lock.install()[0] == name));
    if let (Some(None), Some(name)) = (wanted, manager) {
        warnings.push(format!(
            "packageManager in package.json names {name}, which gitroll does not know: write its install \
             command into [[build]]"
        ));
    }
    let lock = wanted.flatten().filter(|lock| there.contains(lock)).or(there.first().copied());
    if let Some(lock) = lock.filter(|_| there.len() > 1) {
        let others = there.iter().filter(|other| **other != lock);
        let others: Vec<&str> = others.map(|other| other.files()[0]).collect();
        let (file, others) = (lock.files()[0], others.join(", "));
        warnings.push(format!(
            "using {file}; {others} also exists: remove the file that you do not use"
        ));
    }
    lock
}

/// What the script's tool usually makes.
fn guess(tree: &WorkTree<'_>, script: &str) -> Vec<String> {
    const BY_TOOL: [(&str, &str); 10] = [
        ("next", ".next"),
        ("nuxt", ".output"),
        ("react-scripts", "build"),
        ("remix", "build"),
        ("astro", "dist"),
        ("vite", "dist"),
        ("webpack", "dist"),
        ("rollup", "dist"),
        ("tsc", "dist"),
        ("esbuild", "dist"),
    ];
    let untracked = |dir: &&str| RepoPath::new(*dir).is_ok_and(|path| !(tree.tracked)(&path));
    let runs =
        |tool: &str| script.split(|c: char| !c.is_alphanumeric() && c != '-').any(|w| w == tool);
    let guess = BY_TOOL.iter().find(|(tool, _)| runs(tool)).map(|(_, dir)| *dir);
    guess.filter(untracked).map(str::to_owned).into_iter().collect()
}

/// The script as an argument vector where it is `node …` or a program of the repository's own without
/// anything a shell would interpret, else `npm start`.
fn start(script: &str) -> Start {
    let npm =
        || Start { command: vec!["npm".to_owned(), "start".to_owned()], env: BTreeMap::new() };
    let means_shell = |c: char| c.is_control() || "&|;<>$`\"'\\*?(){}[]~#!%".contains(c);
    if script.contains(means_shell) {
        return npm();
    }
    let mut words = script.split_whitespace().map(str::to_owned).peekable();
    let mut env = BTreeMap::new();
    while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
        if !is_variable(name) {
            return npm();
        }
        env.insert(name.to_owned(), value.to_owned());
        words.next();
    }
    let command: Vec<String> = words.collect();
    match command.first() {
        Some(program) if program == "node" || program.starts_with("./") => Start { command, env },
        _ => npm(),
    }
}

/// The format of gitroll.toml allows these.
fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with("GITROLL_")
}

/// `PORT=3000`, `--port 3000`, `--port=3000` or `-p 3000`.
fn port(script: &str) -> Option<u16> {
    let mut words = script.split_whitespace();
    while let Some(word) = words.next() {
        let value = match word {
            "--port" | "-p" => words.next(),
            _ => word.strip_prefix("PORT=").or_else(|| word.strip_prefix("--port=")),
        };
        if let Some(port) = value.and_then(|value| value.parse().ok()).filter(|port| *port != 0) {
            return Some(port);
        }
    }
    None
}

#[cfg(test)]
mod tests;
