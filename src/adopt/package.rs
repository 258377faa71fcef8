//! package.json: what installs, what builds and what starts an app of node or bun.

use std::collections::BTreeMap;

use serde_json::Value;

use super::builds::BuildFiles;
use super::recipe::Start;
use super::work_tree::{LockFile, WorkTree};
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
    /// What is called as the package manager, if that is not the program that the lock file names.
    pub caller: Vec<String>,
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
    /// Variables that installing needs, so that what it makes can be moved.
    pub install_env: BTreeMap<String, String>,
    /// A port in the start script.
    pub port: Option<u16>,
}

impl Package {
    /// Reads package.json; `None` and a warning where it is there and broken.
    pub(super) fn read(tree: &WorkTree<'_>, warnings: &mut Vec<String>) -> Option<Self> {
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
            package.files.built = awaited(tree, value);
            if package.files.built.is_empty() {
                package.files.built = guess(tree, build);
                package.guessed = !package.files.built.is_empty();
            }
        }
        package.caller = caller(tree, package.lock);
        if plug_and_play(tree, package.lock) {
            // Packages in a cache of the user's are named by the way to it from where they were installed.
            package.install_env.insert("YARN_ENABLE_GLOBAL_CACHE".to_owned(), "false".to_owned());
        }
        let script = |name: &'static str| {
            let script =
                word(&format!("/scripts/{name}")).filter(|script| !script.trim().is_empty());
            script.filter(|script| !is_for_development(script)).map(|script| (name, script))
        };
        let script = script("start:prod").or_else(|| script("start"));
        package.port = script.as_ref().and_then(|(_, script)| port(script));
        package.start = match script {
            Some((name, script)) => Some(package.started_by(tree, name, &script)),
            None => package.entry(tree, &word("/main").or_else(|| word("/module"))),
        };
        package.warn(tree, warnings);
        package
    }

    /// The package manager as it is called here.
    pub fn manager(&self) -> Vec<String> {
        let named = || vec![self.lock.map_or("npm", |lock| lock.install()[0]).to_owned()];
        if self.caller.is_empty() { named() } else { self.caller.clone() }
    }

    /// The script as an argument vector where it is `node …`, `bun …` or a program of the repository's own without
    /// anything a shell would interpret, else the package manager's call of it.
    fn started_by(&self, tree: &WorkTree<'_>, name: &str, script: &str) -> Start {
        let by_manager = || {
            let mut command = self.manager();
            // `bun start` is another command.
            let short = name == "start" && self.lock != Some(LockFile::Bun);
            if !short {
                command.push("run".to_owned());
            }
            command.push(name.to_owned());
            Start { command, env: BTreeMap::new() }
        };
        let Some(start) = plain(script) else { return by_manager() };
        match start.command.first().map(String::as_str) {
            // Without `node_modules` node finds packages only where Yarn starts it.
            Some("node") if plug_and_play(tree, self.lock) => {
                Start { command: [self.manager(), start.command].concat(), ..start }
            }
            Some("node" | "bun") => start,
            Some(program) if program.starts_with("./") => start,
            _ => by_manager(),
        }
    }

    /// What is started where no script says it: what npm itself runs, or a file that listens.
    fn entry(&self, tree: &WorkTree<'_>, main: &Option<String>) -> Option<Start> {
        let has = |name: &&str| tree.top.join(name).is_file();
        let listens = |name: &&str| {
            let text = tree.text(name).ok().flatten().unwrap_or_default();
            [".listen(", "Bun.serve", "createServer("].iter().any(|word| text.contains(word))
        };
        let bun = self.lock == Some(LockFile::Bun);
        let program = if bun { "bun" } else { "node" };
        let usual: &[&str] = if bun {
            &["index.ts", "server.ts", "src/index.ts", "index.js"]
        } else {
            &["index.js", "app.js"]
        };
        let own = main.as_deref().map(|main| main.trim_start_matches("./"));
        let found = Some("server.js").filter(has).or_else(|| {
            own.into_iter().chain(usual.iter().copied()).filter(|name| has(name)).find(listens)
        })?;
        let mut command = vec![program.to_owned(), found.to_owned()];
        if program == "node" && plug_and_play(tree, self.lock) {
            command.splice(0..0, self.manager());
        }
        Some(Start { command, env: BTreeMap::new() })
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
                Some(lock) if lock != LockFile::Npm && !(tree.has)(&self.manager()[0]) => {
                    let name = lock.install()[0];
                    warnings.push(format!(
                        "{name} was not found on this host, so nothing can be installed"
                    ));
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
        if runs_node && tree.tools.node.is_none() && self.lock != Some(LockFile::Bun) {
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

/// The directory that the build is told to write to, or that the start script or `main` needs, and that neither git nor
/// anyone else brings.
fn awaited(tree: &WorkTree<'_>, package: &Value) -> Vec<String> {
    let missing = |dir: &str| {
        let plain = dir.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let other = dir.is_empty() || dir.starts_with(['-', '.']) && dir != ".next";
        plain
            && !other
            && dir != "node_modules"
            && !tree.tracks(dir)
            && !tree.top.join(dir).exists()
    };
    let named = super::builds::named_in(package);
    let dirs = named.iter().filter_map(|path| match path.split_once('/') {
        Some((dir, _)) => Some(dir),
        None => (!path.contains('.')).then_some(path.as_str()),
    });
    dirs.filter(|dir| missing(dir)).map(str::to_owned).take(1).collect()
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

/// A script that is one command and holds nothing that a shell would interpret.
fn plain(script: &str) -> Option<Start> {
    let means_shell = |c: char| c.is_control() || "&|;<>$`\"'\\*?(){}[]~#!%".contains(c);
    if script.contains(means_shell) {
        return None;
    }
    let mut words = script.split_whitespace().map(str::to_owned).peekable();
    let mut env = BTreeMap::new();
    while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
        if !is_variable(name) {
            return None;
        }
        env.insert(name.to_owned(), value.to_owned());
        words.next();
    }
    let command: Vec<String> = words.collect();
    (!command.is_empty()).then_some(Start { command, env })
}

/// Whether a script starts a server that is meant for one's own desk: what it would serve is never built.
fn is_for_development(script: &str) -> bool {
    const SERVERS: [&[&str]; 12] = [
        &["react-scripts", "start"],
        &["craco", "start"],
        &["vue-cli-service", "serve"],
        &["ng", "serve"],
        &["webpack", "serve"],
        &["astro", "dev"],
        &["next", "dev"],
        &["nuxt", "dev"],
        &["nuxi", "dev"],
        &["gatsby", "develop"],
        &["vite", "dev"],
        &["vite", "serve"],
    ];
    let words: Vec<&str> =
        script.split_whitespace().skip_while(|word| word.contains('=')).collect();
    SERVERS.iter().any(|server| words.starts_with(server))
        || matches!(words.as_slice(), ["webpack-dev-server" | "parcel", ..] | ["vite"] | ["astro"])
        || words.first() == Some(&"vite") && words.get(1).is_some_and(|word| word.starts_with('-'))
}

/// Whether Yarn keeps packages elsewhere than in `node_modules`.
fn plug_and_play(tree: &WorkTree<'_>, lock: Option<LockFile>) -> bool {
    !super::builds::plug_and_play(tree, lock).is_empty()
}

/// What is called as the package manager, where the program itself is not on this host: the release of Yarn that the
/// repository holds, else node's own.
fn caller(tree: &WorkTree<'_>, lock: Option<LockFile>) -> Vec<String> {
    let Some(lock) = lock.filter(|lock| !matches!(lock, LockFile::Npm | LockFile::Bun)) else {
        return Vec::new();
    };
    let name = lock.install()[0];
    if (tree.has)(name) {
        return Vec::new();
    }
    let settings = tree.text(".yarnrc.yml").ok().flatten().unwrap_or_default();
    let release = settings.lines().find_map(|line| line.strip_prefix("yarnPath:"));
    let release = release.map(|path| path.trim().trim_matches(['"', '\'']).to_owned());
    match release.filter(|path| lock == LockFile::YarnBerry && tree.top.join(path).is_file()) {
        Some(path) => vec!["node".to_owned(), path],
        None if (tree.has)("corepack") => vec!["corepack".to_owned(), name.to_owned()],
        None => Vec::new(),
    }
}

/// The format of gitroll.toml allows these.
fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with("GITROLL_")
}

/// `PORT=3000`, `--port 3000`, `--port=3000` or `-p 3000`; else where the server that it starts listens.
fn port(script: &str) -> Option<u16> {
    const USUAL: [(&str, u16); 9] = [
        ("next", 3000),
        ("nuxt", 3000),
        (".output/server/index.mjs", 3000),
        ("remix-serve", 3000),
        ("react-router-serve", 3000),
        ("serve", 3000),
        ("http-server", 8080),
        ("vite", 4173),
        ("astro", 4321),
    ];
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
    let runs = |tool: &str| script.split_whitespace().any(|word| word == tool);
    USUAL.iter().find(|(tool, _)| runs(tool)).map(|(_, port)| *port)
}
