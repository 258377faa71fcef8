//! package.json and the lock file beside it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Surroundings;
use crate::model::RepoPath;

/// What package.json says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// `name`
    pub name: Option<String>,
    /// `version`
    pub version: Option<String>,
    /// The lock file beside it.
    pub lock: Option<LockFile>,
    /// Files beside it that installing depends on, the lock file among them.
    pub inputs: Vec<String>,
    /// It has dependencies to install.
    pub dependencies: bool,
    /// `node_modules` is tracked by git, so that there is nothing to install.
    pub vendored: bool,
    /// `scripts.build`
    pub build: Option<String>,
    /// What the build script makes: untracked directories that are there, else a guess by the script.
    pub outputs: Vec<RepoPath>,
    /// `outputs` is a guess.
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

/// The kind of lock file, which names the package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockFile {
    /// `package-lock.json` or `npm-shrinkwrap.json`
    Npm,
    /// `yarn.lock` of yarn 1
    Yarn,
    /// `yarn.lock` of yarn 2 and later
    YarnBerry,
    /// `pnpm-lock.yaml`
    Pnpm,
}

impl LockFile {
    /// The command that installs exactly what the lock file says, or fails.
    pub fn install(self) -> &'static [&'static str] {
        match self {
            LockFile::Npm => &["npm", "ci"],
            LockFile::Yarn => &["yarn", "install", "--frozen-lockfile"],
            LockFile::YarnBerry => &["yarn", "install", "--immutable"],
            LockFile::Pnpm => &["pnpm", "install", "--frozen-lockfile"],
        }
    }
}

impl Package {
    /// Reads package.json; `None` and a warning where it is there and broken.
    pub(super) fn read(around: &Surroundings<'_>, warnings: &mut Vec<String>) -> Option<Self> {
        let text = match around.text("package.json") {
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
                    "package.json is broken at line {}, column {}: mend it, then run `gitroll init` again",
                    error.line(),
                    error.column()
                ));
                return None;
            }
        };
        let Value::Object(_) = &value else {
            warnings.push("package.json holds no object, so it was not used".to_owned());
            return None;
        };
        Some(Self::from_value(around, &value, warnings))
    }

    fn from_value(around: &Surroundings<'_>, value: &Value, warnings: &mut Vec<String>) -> Self {
        let word = |pointer: &str| value.pointer(pointer)?.as_str().map(str::to_owned);
        let has = |name: &str| around.top.join(name).is_file();
        let tracked = |path: &str| RepoPath::new(path).is_ok_and(|path| (around.tracked)(&path));
        let filled =
            |key: &str| value.get(key).and_then(Value::as_object).is_some_and(|d| !d.is_empty());
        let mut package = Self {
            name: word("/name"),
            version: word("/version").filter(|version| !version.trim().is_empty()),
            lock: lock(&has),
            dependencies: ["dependencies", "devDependencies", "optionalDependencies"]
                .into_iter()
                .any(filled),
            vendored: tracked("node_modules"),
            build: word("/scripts/build").filter(|script| !script.trim().is_empty()),
            ..Self::default()
        };
        package.inputs = INPUTS.into_iter().filter(|name| has(name)).map(str::to_owned).collect();
        if let Some(build) = &package.build {
            (package.outputs, package.guessed) = outputs(around, build);
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
        package.warn(around, warnings);
        package
    }

    fn warn(&self, around: &Surroundings<'_>, warnings: &mut Vec<String>) {
        if self.dependencies && !self.vendored {
            match self.lock {
                None => warnings.push(
                    "there is no lock file: without one two builds of a commit may differ. \
                     Make one with `npm install --package-lock-only` and commit it"
                        .to_owned(),
                ),
                Some(LockFile::Npm) if around.tools.npm.is_none() => {
                    warnings.push(
                        "npm was not found on this host, so nothing can be installed".to_owned(),
                    );
                }
                Some(_) => {}
            }
        }
        let runs_node = self.dependencies || self.start.is_some();
        if runs_node && around.tools.node.is_none() {
            warnings.push("node was not found on this host".to_owned());
        }
    }
}

const INPUTS: [&str; 8] = [
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    ".npmrc",
    ".yarnrc.yml",
];

fn lock(has: &impl Fn(&str) -> bool) -> Option<LockFile> {
    if has("package-lock.json") || has("npm-shrinkwrap.json") {
        Some(LockFile::Npm)
    } else if has("pnpm-lock.yaml") {
        Some(LockFile::Pnpm)
    } else if has("yarn.lock") {
        Some(if has(".yarnrc.yml") { LockFile::YarnBerry } else { LockFile::Yarn })
    } else {
        None
    }
}

/// The untracked build directories that are there, else what the script's tool usually makes.
fn outputs(around: &Surroundings<'_>, script: &str) -> (Vec<RepoPath>, bool) {
    const USUAL: [&str; 6] = ["dist", "build", ".next", "out", "public/build", ".output"];
    const BY_TOOL: [(&str, &str); 9] = [
        ("next", ".next"),
        ("nuxt", ".output"),
        ("react-scripts", "build"),
        ("remix", "build"),
        ("vite", "dist"),
        ("webpack", "dist"),
        ("rollup", "dist"),
        ("tsc", "dist"),
        ("esbuild", "dist"),
    ];
    let untracked = |dir: &&str| RepoPath::new(*dir).is_ok_and(|path| !(around.tracked)(&path));
    // A link would lead the build out of the tree.
    let there = |dir: &&str| {
        std::fs::symlink_metadata(around.top.join(dir)).is_ok_and(|found| found.is_dir())
    };
    let found: Vec<RepoPath> = USUAL
        .iter()
        .copied()
        .filter(there)
        .filter(untracked)
        .filter_map(|dir| RepoPath::new(dir).ok())
        .collect();
    if !found.is_empty() {
        return (found, false);
    }
    let runs =
        |tool: &str| script.split(|c: char| !c.is_alphanumeric() && c != '-').any(|w| w == tool);
    let guess = BY_TOOL.iter().find(|(tool, _)| runs(tool)).map(|(_, dir)| *dir);
    let guess: Vec<RepoPath> = guess
        .filter(|dir| untracked(dir))
        .and_then(|dir| RepoPath::new(dir).ok())
        .into_iter()
        .collect();
    let guessed = !guess.is_empty();
    (guess, guessed)
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
