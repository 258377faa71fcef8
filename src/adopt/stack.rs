//! What kind of app is in a work tree and what runs it: what `gitroll init` needs to know.
//!
//! Detecting reads files and asks the running app over loopback. It changes nothing, and nothing it finds
//! is an error: what cannot be read is a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::recipe::{Group, Recipe, Run, Start, beneath, spelled};
use super::running::{self, ByHand, Site};
use super::sources::{Route, Sources};
use super::work_tree::text;
use super::{compiled, python, scripted};
use crate::check::{find_health, is_front_on};
use crate::model::{AppName, RepoPath};
use crate::service::{DeclaredApp, Pm2App, UnitApp};
use crate::system::procs::{self, Variable};
use crate::system::sockets;

pub use super::package::Package;
pub use super::work_tree::WorkTree;
pub use crate::check::Health;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stack {
    /// The name of the app, from package.json, else from the directory, made plain.
    pub name: Option<AppName>,
    /// package.json, where it can be read.
    pub package: Option<Package>,
    /// The directories with a package.json of their own.
    pub below: Vec<(String, Package)>,
    /// What other languages build, as commands of the top.
    pub groups: Vec<Group>,
    /// What gitroll itself would start, if nobody else runs the app.
    pub runs: Vec<Run>,
    /// Files that tell of another kind of app, such as `requirements.txt`.
    pub others: Vec<String>,
    /// The Procfile's process types with their command lines.
    pub procfile: Vec<(String, String)>,
    /// pm2 apps that run from this tree.
    pub pm2: Vec<Pm2App>,
    /// Units of systemd that run from this tree.
    pub units: Vec<UnitApp>,
    /// Processes that listen here and that nobody manages.
    pub by_hand: Vec<ByHand>,
    /// pm2's process file at the top, where pm2 runs none of its apps.
    pub ecosystem: Option<String>,
    /// An untracked `.env` is at the top, or in the only directory that has one.
    pub env_file: bool,
    /// That directory, where it is not the top.
    pub env_dir: Option<String>,
    /// Where the app listens on loopback, or will.
    pub port: Option<Port>,
    /// Where it answers 200, if it runs.
    pub health: Option<Health>,
    /// Where it will answer by its sources, if it does not.
    pub route: Option<Route>,
    /// That is a proxy's answer.
    pub fronted: bool,
    /// Where a proxy answers the same, if that is not.
    pub public: Option<String>,
    /// Where its processes listen now, a port of each.
    pub listens: Vec<SocketAddr>,
    /// Where those of them answer 200 that are not the app's first.
    pub healths: BTreeMap<u16, Health>,
    /// Files that a web server hands out, where no process of the app does.
    pub site: Option<Site>,
    /// The tracked directories of database migrations, as patterns.
    pub migrations: Vec<String>,
    /// What a person should know, a sentence each.
    pub warnings: Vec<String>,
}

/// A port and what told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The number, not 0.
    pub number: u16,
    /// `pm2`, `systemd`, `.env`, `package.json`, `listens` or `sources`.
    pub source: &'static str,
}

impl Stack {
    /// Looks at a work tree. Takes at most a few seconds, all of them waiting for the running app to answer.
    pub fn detect(tree: &WorkTree<'_>) -> Self {
        let mut stack = Self::default();
        let dirs = directories(tree);
        stack.procfile = procfile(tree.top);
        stack.pm2 = pm2_apps(tree);
        stack.units = tree.units.to_vec();
        // What does not run beside apps of pm2 is left from before them.
        stack.units.retain(|unit| unit.up || stack.pm2.is_empty());
        let managed = !stack.pm2.is_empty() || !stack.units.is_empty();
        if !managed {
            stack.by_hand = running::by_hand(tree.top);
        }
        let pids = stack.processes();
        let counts = |pid: u32| !managed || pids.contains(&pid) || running::is_of_pm2(pid);
        stack.listens = running::listening(tree.top, &counts);
        let program = running::program_of(tree.top, &pids);

        let mut runs = Vec::new();
        let mut names = Vec::new();
        let mut routes: Vec<(String, Route)> = Vec::new();
        for dir in std::iter::once(String::new()).chain(dirs.iter().cloned()) {
            let skip: &[String] = if dir.is_empty() { &dirs } else { &[] };
            let inside = match dir.is_empty() {
                true => Part::of(tree, skip, program.as_deref()),
                false => tree.below(&dir, |tree| {
                    let own = program.as_deref().and_then(|p| p.strip_prefix(&format!("{dir}/")));
                    Part::of(tree, skip, own)
                }),
            };
            if dir.is_empty() {
                stack.package = inside.package;
            } else {
                stack.below.extend(inside.package.map(|package| (dir.clone(), package)));
            }
            stack.warnings.extend(inside.warnings);
            stack.groups.extend(inside.groups.into_iter().map(|group| group.below(&dir)));
            if let Some(run) = inside.run {
                let mut run = run.below(&dir);
                // Two of a name would be one.
                while runs.iter().any(|other: &Run| other.name == run.name) {
                    run.name.push_str("-2");
                }
                runs.push(run);
            }
            let route =
                inside.route.map(|route| Route { file: beneath(&dir, &route.file), ..route });
            routes.extend(route.map(|route| (dir.clone(), route)));
            names.extend(inside.name.filter(|_| dir.is_empty()));
            if inside.env_file && (dir.is_empty() || !stack.env_file) {
                stack.env_file = true;
                stack.env_dir = Some(dir).filter(|dir| !dir.is_empty());
            }
        }
        stack.name = name(tree.top, stack.package.as_ref(), names.first().map(String::as_str));
        stack.others = OTHERS
            .into_iter()
            .filter(|name| tree.top.join(name).is_file())
            .map(str::to_owned)
            .collect();
        let dotenv = tree.dotenv();
        if !managed {
            stack.runs = stack.started(tree, runs, dotenv.as_ref());
        }
        stack.port = stack.find_port(dotenv.as_ref());
        stack.look(tree);
        if stack.health.is_none() && stack.listens.is_empty() {
            // Of several directories the one counts that the first port belongs to.
            let first = stack.runs.iter().find(|run| run.port.is_some());
            let script = first.map(|run| spelled(&run.start.command)).unwrap_or_default();
            let fits = |(dir, _): &&(String, Route)| {
                dir.is_empty() || script.contains(&format!("cd {dir} "))
            };
            let route = routes.iter().rev().find(fits).or_else(|| routes.first());
            stack.route = first.and(route).map(|(_, route)| route.clone());
        }
        if !managed && stack.runs.is_empty() {
            let made = stack.package.iter().flat_map(|package| package.files.built.clone());
            let below = stack.below.iter().flat_map(|(dir, package)| {
                package.files.built.iter().map(move |path| beneath(dir, path))
            });
            stack.site = running::site(tree, &made.chain(below).collect::<Vec<_>>());
        }
        stack.migrations = migrations(tree);
        stack
    }

    /// The processes that a manager runs, or someone by hand.
    fn processes(&self) -> Vec<u32> {
        let units = self.units.iter().flat_map(|unit| unit.processes.iter().copied());
        let by_hand = self.by_hand.iter().map(|process| process.pid);
        units.chain(by_hand).flat_map(procs::family).collect()
    }

    /// Asks where the app listens how it is.
    fn look(&mut self, tree: &WorkTree<'_>) {
        /// More services are not asked, each of which may be silent.
        const MOST: usize = 4;
        let version = self.package.as_ref().and_then(|package| package.version.clone());
        let ask = |port: u16| find_health(port, version.as_deref(), tree.commit);
        let Some(port) = self.port.as_ref().map(|port| port.number) else { return };
        self.health = ask(port);
        self.fronted = is_front_on(port);
        let direct = self.health.as_ref().filter(|_| !self.fronted);
        self.public = direct.and_then(|health| running::through_a_front(&health.url));
        let known = self.listens.iter().any(|at| at.port() == port);
        if !known && !self.fronted && !sockets::listeners(port).is_empty() {
            // A worker of pm2 has no socket of its own.
            self.listens.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        let others = self.listens.iter().map(SocketAddr::port).filter(|other| *other != port);
        let others: Vec<u16> = others.take(MOST).collect();
        self.healths = others.into_iter().filter_map(|other| Some((other, ask(other)?))).collect();
    }

    /// What gitroll itself would start: what the files for it name, else what runs, else what the sources show.
    fn started(
        &mut self,
        tree: &WorkTree<'_>,
        runs: Vec<Run>,
        dotenv: Option<&BTreeMap<String, String>>,
    ) -> Vec<Run> {
        let told =
            dotenv.and_then(|env| env.get("PORT")?.parse::<u16>().ok()).filter(|port| *port != 0);
        let first = runs.first().and_then(|run| run.port);
        let declared = of_procfile(
            &self.procfile,
            tree,
            told.or(first).unwrap_or(DEFAULT_PORT),
            dotenv.is_some(),
        );
        if !declared.is_empty() {
            return declared;
        }
        let node = tree.tools.node.as_deref();
        let ecosystem = node.and_then(|node| crate::service::declared_pm2_apps(node, tree.top));
        if let Some((file, apps)) = ecosystem {
            let declared: Vec<Run> =
                apps.iter().filter_map(|app| of_ecosystem(&file, app, tree.top)).collect();
            if !declared.is_empty() {
                self.ecosystem = Some(file);
                return declared;
            }
        }
        let mut found: Vec<Run> = Vec::new();
        for process in &self.by_hand {
            let since = process.since.map(|since| since.strftime("%F %H:%M UTC").to_string());
            let since = since.map(|since| format!(" since {since}")).unwrap_or_default();
            let notes = vec![format!(
                "Process {} runs this{since} and no process manager does: stop it (kill {}) just before the first deploy.",
                process.pid, process.pid
            )];
            let mut run = Run { notes, ..process.run.clone() };
            if found.iter().any(|other| other.name == run.name) {
                run.name = format!("web-{}", run.port.unwrap_or_default());
            }
            let port = run.port.map(|port| port.to_string()).unwrap_or_default();
            if !run.start.command.iter().any(|word| word.contains(&port)) {
                run.start.env.insert("PORT".to_owned(), port);
            }
            found.push(run);
        }
        if found.is_empty() { runs } else { found }
    }

    fn find_port(&self, dotenv: Option<&BTreeMap<String, String>>) -> Option<Port> {
        let port = |number: u16, source| (number != 0).then_some(Port { number, source });
        let unit = || {
            let pids = self.units.iter().flat_map(|unit| unit.processes.iter());
            pids.into_iter().find_map(|pid| match procs::variable_of(*pid, "PORT") {
                Variable::Set(port) => port.parse().ok(),
                _ => None,
            })
        };
        // What a file says does not count against what is seen.
        let seen = |found: &Port| {
            self.listens.is_empty() || self.listens.iter().any(|at| at.port() == found.number)
        };
        self.pm2
            .iter()
            .find_map(|app| port(app.port?, "pm2"))
            .or_else(|| port(unit()?, "systemd").filter(seen))
            .or_else(|| port(dotenv?.get("PORT")?.parse().ok()?, ".env").filter(seen))
            .or_else(|| port(self.package.as_ref()?.port?, "package.json").filter(seen))
            .or_else(|| port(self.listens.first()?.port(), "listens"))
            .or_else(|| port(self.runs.iter().find_map(|run| run.port)?, "sources"))
    }
}

/// What an app gets that asks for a port and says none.
const DEFAULT_PORT: u16 = 3000;

/// What is in one directory.
#[derive(Default)]
struct Part {
    package: Option<Package>,
    groups: Vec<Group>,
    run: Option<Run>,
    route: Option<Route>,
    name: Option<String>,
    env_file: bool,
    warnings: Vec<String>,
}

impl Part {
    /// `skip` are directories below it that are parts of their own.
    fn of(tree: &WorkTree<'_>, skip: &[String], running: Option<&str>) -> Self {
        let mut part = Self::default();
        part.package = Package::read(tree, &mut part.warnings);
        let sources = Sources::of(tree, skip);
        let dotenv = tree.dotenv();
        part.env_file = dotenv.is_some();
        let told =
            dotenv.and_then(|env| env.get("PORT")?.parse::<u16>().ok()).filter(|port| *port != 0);
        let recipes = [
            python::recipe(tree, &sources, told),
            compiled::go(tree, running),
            compiled::cargo(tree, running),
            scripted::bundler(tree, told),
            scripted::composer(tree, told),
        ];
        let mut other = None;
        for Recipe { groups, run, warnings } in recipes.into_iter().flatten() {
            part.groups.extend(groups);
            part.warnings.extend(warnings);
            other = other.or(run);
        }
        let node = part.package.as_ref().and_then(|package| {
            let start = package.start.clone()?;
            let notes = Vec::new();
            Some(Run { name: "web".to_owned(), notes, start, port: None })
        });
        // Where another language has a framework, package.json is there for what browsers load.
        let framework = ["manage.py", "artisan", "config.ru"].iter().any(|name| tree.is_file(name));
        let run = if framework { other.or(node) } else { node.or(other) };
        let script = part.package.as_ref().and_then(|package| package.port);
        part.run = run.map(|run| with_port(run, told.or(script), &sources));
        part.route = sources.route();
        part.name = declared_name(tree);
        part
    }
}

/// The name in pyproject.toml, Cargo.toml or go.mod.
fn declared_name(tree: &WorkTree<'_>) -> Option<String> {
    let text = |table: &toml::Table, keys: &[&str]| {
        let (last, above) = keys.split_last()?;
        let mut table = table;
        for key in above {
            table = table.get(*key)?.as_table()?;
        }
        table.get(*last)?.as_str().map(str::to_owned)
    };
    let python = tree.said("pyproject.toml").parse::<toml::Table>().unwrap_or_default();
    let rust = tree.said("Cargo.toml").parse::<toml::Table>().unwrap_or_default();
    let module = || {
        let text = tree.said("go.mod");
        let module = text.lines().find_map(|line| line.strip_prefix("module "))?.trim().to_owned();
        let version = module.rsplit_once("/v").filter(|(_, n)| n.parse::<u8>().is_ok());
        Some(version.map_or(module.clone(), |(above, _)| above.to_owned()))
    };
    text(&python, &["project", "name"])
        .or_else(|| text(&python, &["tool", "poetry", "name"]))
        .or_else(|| text(&rust, &["package", "name"]))
        .or_else(module)
}

/// Gives a service the port that its files tell, and the variable that tells it.
fn with_port(mut run: Run, told: Option<u16>, sources: &Sources) -> Run {
    // Its command says it.
    if run.port.is_some() {
        return run;
    }
    let env = run.start.env.get("PORT").and_then(|port| port.parse().ok());
    let usual = || sources.reads_port().then_some(DEFAULT_PORT);
    run.port = env.or(told).or_else(|| sources.port()).or_else(usual);
    if let Some(port) = run.port {
        run.start.env.entry("PORT".to_owned()).or_insert_with(|| port.to_string());
    }
    run
}

/// The process types that continue running. The first that listens is `web`.
fn of_procfile(
    lines: &[(String, String)],
    tree: &WorkTree<'_>,
    port: u16,
    env_file: bool,
) -> Vec<Run> {
    const ONCE: [&str; 3] = ["release", "postdeploy", "console"];
    let bins = [".venv/bin", "venv/bin", "node_modules/.bin"];
    let makes = |bin: &&&str| match bin.split('/').next() {
        Some("node_modules") => tree.is_file("package.json"),
        Some(dir) => python_environment(tree).as_deref() == Some(dir),
        None => false,
    };
    let path: Vec<String> = bins.iter().filter(makes).map(|bin| format!("$PWD/{bin}")).collect();
    let runs =
        lines.iter().filter(|(kind, _)| !ONCE.contains(&kind.as_str())).map(|(kind, line)| {
            let shell = line.chars().any(|c| "&|;<>$`\"'\\*?(){}[]~#!%=".contains(c));
            let own = line
                .split_whitespace()
                .next()
                .is_some_and(|word| word.contains('/') || word == "node");
            let command = if shell || !own || env_file {
                let mut script = String::new();
                if env_file {
                    script.push_str("set -a; . ./.env; set +a; ");
                }
                if !path.is_empty() {
                    script.push_str(&format!("PATH=\"{}:$PATH\"; ", path.join(":")));
                }
                let sets = line.split_whitespace().next().is_some_and(|word| word.contains('='));
                let several = line.contains(['&', ';', '|']) || sets;
                script.push_str(if several { "" } else { "exec " });
                script.push_str(line);
                vec!["sh".to_owned(), "-c".to_owned(), script]
            } else {
                line.split_whitespace().map(str::to_owned).collect()
            };
            let listens = kind == "web" || line.contains("$PORT") || line.contains("${PORT");
            let mut env = BTreeMap::new();
            if listens {
                env.insert("PORT".to_owned(), port.to_string());
            }
            let start = Start { command, env };
            Run {
                name: kind.clone(),
                notes: vec![format!("Procfile, {kind}")],
                start,
                port: listens.then_some(port),
            }
        });
    runs.collect()
}

/// The directory of Python's packages that a build makes.
fn python_environment(tree: &WorkTree<'_>) -> Option<String> {
    let there = python::MANIFESTS.iter().any(|name| tree.is_file(name));
    there.then(|| python::environment(tree))
}

/// What pm2 would run, as gitroll would start it.
fn of_ecosystem(file: &str, app: &DeclaredApp, top: &Path) -> Option<Run> {
    let top = top.canonicalize().ok()?;
    let cwd = top.join(&app.cwd);
    let dir = cwd.canonicalize().ok()?.strip_prefix(&top).ok()?.to_str()?.to_owned();
    let script = Path::new(&app.script);
    let script = script.strip_prefix(&cwd).unwrap_or(script).to_str()?.to_owned();
    let end = script.rsplit('.').next().unwrap_or_default().to_owned();
    let interpreter = match app.interpreter.as_deref() {
        Some("none") => None,
        Some(named) => Some(named.to_owned()),
        None => match end.as_str() {
            "js" | "cjs" | "mjs" => Some("node".to_owned()),
            "py" => Some("python3".to_owned()),
            "rb" => Some("ruby".to_owned()),
            "sh" => Some("bash".to_owned()),
            _ => None,
        },
    };
    let plain = !script.contains('/') && interpreter.is_none();
    let script = if plain && cwd.join(&script).is_file() { format!("./{script}") } else { script };
    let command = interpreter.into_iter().chain([script]).chain(app.args.iter().cloned()).collect();
    let port = app.env.get("PORT").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    let fits = |name: &str| {
        !name.is_empty()
            && !name.starts_with("GITROLL_")
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let env = app.env.iter().filter(|(name, _)| fits(name)).map(|(n, v)| (n.clone(), v.clone()));
    let start = Start { command, env: env.collect() };
    let run =
        Run { name: "web".to_owned(), notes: vec![format!("{file}, {}", app.name)], start, port };
    let mut run = run.below(&dir);
    run.name = app.name.clone();
    Some(run)
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

/// What makes a directory an app of its own.
const MANIFESTS: [&str; 10] = [
    "package.json",
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "poetry.lock",
    "uv.lock",
    "go.mod",
    "Cargo.toml",
    "composer.json",
    "Gemfile",
];

/// Directories that are built beside an app at the top.
const KNOWN: [&str; 16] = [
    "backend",
    "frontend",
    "server",
    "client",
    "api",
    "web",
    "app",
    "ui",
    "www",
    "site",
    "service",
    "worker",
    "admin",
    "dashboard",
    "webapp",
    "functions",
];

/// Directories that are never deployed.
const ASIDE: [&str; 14] = [
    "test",
    "tests",
    "e2e",
    "examples",
    "example",
    "docs",
    "doc",
    "scripts",
    "tools",
    "infra",
    "deploy",
    "terraform",
    "fixtures",
    "benchmarks",
];

/// The directories that are built by themselves: below a top that is not an app, or known by their names. Those that a
/// workspace of the top takes along are not.
fn directories(tree: &WorkTree<'_>) -> Vec<String> {
    const MOST: usize = 8;
    let is_app = |prefix: &str| {
        MANIFESTS.iter().any(|name| tree.is_file(&format!("{prefix}{name}")))
            || tree.is_file(&format!("{prefix}manage.py"))
    };
    let workspace = tree.said("package.json").contains("\"workspaces\"")
        || tree.is_file("pnpm-workspace.yaml")
        || tree.said("Cargo.toml").contains("[workspace]")
        || tree.is_file("go.work");
    if workspace {
        return Vec::new();
    }
    let alone = is_app("");
    let mut found = BTreeSet::new();
    for path in tree.files {
        let path = path.to_string();
        let Some((dir, name)) = path.rsplit_once('/') else { continue };
        let parts: Vec<&str> = dir.split('/').collect();
        let plain = |part: &&str| {
            part.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
                && !ASIDE.contains(part)
        };
        let deep = parts.len() == 2 && ["apps", "services", "packages"].contains(&parts[0]);
        let wanted = parts.iter().all(plain) && (parts.len() == 1 || deep && !alone);
        if wanted
            && (MANIFESTS.contains(&name) || name == "manage.py")
            && (!alone || KNOWN.contains(&parts[0]))
        {
            found.insert(dir.to_owned());
        }
    }
    found.into_iter().take(MOST).collect()
}

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

/// The first of the usual places that is tracked; all apps' of Django.
fn migrations(tree: &WorkTree<'_>) -> Vec<String> {
    let usual = MIGRATIONS.into_iter().filter(|dir| tree.top.join(dir).is_dir());
    if let Some(found) = usual.into_iter().find(|dir| tree.tracks(dir)) {
        return vec![found.to_owned()];
    }
    let of_django = |path: &RepoPath| path.to_string().contains("/migrations/0001_");
    let below =
        tree.files.iter().find(|path| of_django(path)).map(|_| "**/migrations/**".to_owned());
    let nested = tree.files.iter().map(ToString::to_string).find_map(|path| {
        let (dir, rest) = path.split_once('/')?;
        let place = MIGRATIONS.iter().find(|place| rest.starts_with(&format!("{place}/")))?;
        Some(format!("{dir}/{place}"))
    });
    below.or(nested).into_iter().collect()
}

/// The package's name without its scope, else what another manifest says, else the directory's, with other characters made `-`.
fn name(top: &Path, package: Option<&Package>, other: Option<&str>) -> Option<AppName> {
    let plain = |text: &str| {
        let text = text.rsplit('/').next().unwrap_or(text);
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let text: String = text.chars().map(|c| if fits(c) { c } else { '-' }).take(64).collect();
        text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).parse().ok()
    };
    let directory = || plain(&top.file_name()?.to_string_lossy());
    let named = package.and_then(|package| plain(package.name.as_deref()?));
    named.or_else(|| plain(other?)).or_else(directory)
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
fn pm2_apps(tree: &WorkTree<'_>) -> Vec<Pm2App> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let top = real(tree.top);
    tree.pm2.iter().filter(|app| real(&app.cwd).starts_with(&top)).cloned().collect()
}

#[cfg(test)]
mod tests;
