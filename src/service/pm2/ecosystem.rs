//! Process files of the app (`ecosystem.config.js`, `pm2.json`): what they say of an app is a part of the release.
//!
//! pm2 reads such a file once and keeps what it read; a reload by name or number never looks at it again. So what the
//! file said when the app was last proven is noted beside the definition that ran then. Where the file says something
//! else now, that difference, and nothing more, goes into the definition that pm2 runs: what a person gave the app by
//! hand stays. The way back is the noted definition itself, to the letter.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::state::{Host, ServiceError};
use super::app::{Definition, in_text, resolved, works_for};
use super::client::Client;
use super::identity::App;
use crate::config::{EcosystemFile, Manager, Service};
use crate::system::files;
use crate::system::process::{Invocation, find_program, telling_lines};
use crate::system::random;

/// How long reading a file may take.
const LIMIT: Duration = Duration::from_secs(20);

/// How many states are kept; the oldest goes first.
const KEPT: usize = 8;

/// What ran at one moment, and what the files said of it then.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Moment {
    /// The run that noted it before it changed anything; empty after a proof.
    run: String,
    /// What served.
    commit: String,
    /// By file, below the tree: what it says of the app, or why it could not be read. Files that say nothing of it
    /// are not here.
    files: BTreeMap<String, Said>,
    /// The file that the app was started from, as far as can be told.
    from: Option<String>,
    /// The definition that pm2 ran.
    definition: Value,
}

/// What a file says of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    App(Declared),
    Unreadable(String),
}

/// An app as declared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Declared {
    app: Map<String, Value>,
    /// `env_production` and its like, by the word behind `env_`.
    variants: BTreeMap<String, Map<String, Value>>,
}

/// An app that a process file declares and that pm2 does not run, for `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredApp {
    /// Its name.
    pub name: String,
    /// What pm2 would run: a file, a program or a line for a shell.
    pub script: String,
    /// What it is told.
    pub args: Vec<String>,
    /// What reads the script; `None` if its name tells that.
    pub interpreter: Option<String>,
    /// Where it would run, from where the file is.
    pub cwd: String,
    /// Its variables, those for production over the others.
    pub env: BTreeMap<String, String>,
}

/// The process file at the top of a tree and the apps in it. Node reads it, as pm2 would; nothing is started.
pub fn declared(node: &Path, top: &Path) -> Option<(String, Vec<DeclaredApp>)> {
    let entries = std::fs::read_dir(top).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| is_process_file(path) && path.is_file() && !path.is_symlink());
    files.sort();
    let file = files.into_iter().next()?;
    let named = file.file_name()?.to_str()?.to_owned();
    let client = Client::outside(node, Path::new("/"));
    let mut env = client.environment();
    env.remove(std::ffi::OsStr::new("PM2_HOME"));
    let apps = read_by(node, top, (&file, None), &Value::Null, env, None).ok()?;
    let apps = apps.into_iter().flatten().filter_map(|said| {
        let text = |key: &str| said.app.get(key).and_then(Value::as_str).map(str::to_owned);
        let args = match said.app.get("args") {
            Some(Value::String(line)) => line.split_whitespace().map(str::to_owned).collect(),
            Some(Value::Array(all)) => all.iter().map(in_text).collect(),
            _ => Vec::new(),
        };
        let declared = said.app.get("env").and_then(Value::as_object).into_iter().flatten();
        let production = said.variants.get("production").into_iter().flatten();
        let env = declared.chain(production).map(|(name, value)| (name.clone(), in_text(value)));
        Some(DeclaredApp {
            name: text("name")?,
            script: text("script")?,
            args,
            interpreter: text("interpreter"),
            cwd: text("cwd").unwrap_or_default(),
            env: env.collect(),
        })
    });
    Some((named, apps.collect()))
}

/// Notes what runs and what the files say, before a run changes either. Nothing where this run did so already: a run
/// that was cut off finds half of another tree.
///
/// # Errors
/// Files.
pub(super) fn note_before(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    running: &Definition,
) -> Result<(), ServiceError> {
    let mut moments = moments(host, service);
    let run = run_of(host);
    if moments.iter().any(|moment| moment.run == run) {
        return Ok(());
    }
    let last = moments.last().filter(|last| last.definition == running.value());
    // The tree may have been moved by hand since, without a reload: what was noted at the proof still holds, and
    // belongs to the tree of then.
    let moment = match last {
        Some(last) => Moment { run, ..last.clone() },
        None => {
            Moment::now(host, service, client, running, run).or_as_said_by(moments.last(), running)
        }
    };
    moments.push(moment);
    write(host, service, moments)
}

/// Notes the same after a proof. Whether the definition is another one than before the run.
///
/// # Errors
/// Files.
pub(super) fn note_proven(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    running: &Definition,
) -> Result<bool, ServiceError> {
    let mut moments = moments(host, service);
    let run = run_of(host);
    let changed = moments.iter().any(|m| m.run == run && m.definition != running.value());
    for moment in &mut moments {
        moment.run.clear();
    }
    moments.push(Moment::now(host, service, client, running, String::new()));
    write(host, service, moments)?;
    Ok(changed)
}

/// The definition that belongs to the tree that is there; `None` if the one that pm2 has is right. `runs` says
/// whether pm2 has a definition now.
///
/// # Errors
/// `Failed` where the file cannot be read or does not name the app any more, and where what it changes was changed by
/// hand.
pub(super) fn intended(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    runs: &dyn Fn(&Definition) -> bool,
) -> Result<Option<Definition>, ServiceError> {
    let moments = moments(host, service);
    let Some(last) = moments.last() else { return Ok(None) };
    let (run, commit) = (run_of(host), commit_of(host));
    let before = moments.iter().find(|m| !run.is_empty() && m.run == run && m.commit == commit);
    if let Some(before) = before {
        return Ok(Definition::from_value(&before.definition));
    }
    let Some(definition) = Definition::from_value(&last.definition) else { return Ok(None) };
    // Outside of a run nothing was noted before: what a person did to the app since stays.
    if moments.iter().all(|moment| moment.run != run) && !runs(&definition) {
        return Ok(None);
    }
    let now = said(host, service, client, &definition);
    if now == last.files {
        return Ok(Some(definition));
    }
    let failed =
        |file: &str, problem: String| ServiceError::Failed { command: file.to_owned(), problem };
    let Some((file, said)) = governing(last, &now)
        .map_err(|files| failed(&files.join(", "), several(service, &definition)))?
    else {
        let older = moments.iter().rev().find(|m| m.commit == commit);
        return match &last.from {
            Some(from) if host.top.join(from).is_file() => {
                Err(failed(from, format!("no longer names {}", definition.name())))
            }
            _ => Ok(older.and_then(|m| Definition::from_value(&m.definition)).or(Some(definition))),
        };
    };
    let declared = match said {
        Said::App(declared) => declared,
        Said::Unreadable(why) => {
            return Err(failed(file, format!("pm2 could not read it: {why}")));
        }
    };
    let (before, variant) = last.said_by(file, &definition);
    let flags: BTreeSet<&String> = host.flags.keys().collect();
    definition
        .with_changes(
            &before.whole(variant.as_deref()),
            &declared.whole(variant.as_deref()),
            |name| flags.contains(&name.to_owned()),
        )
        .and_then(|changed| placed(host, changed))
        .map(Some)
        .map_err(|problem| failed(file, problem))
}

/// Whether the process file of a version that is not in place yet can be applied to what runs. `changed` gives the
/// bytes of a file below the tree, where that version has others. Only a file that reads no other is judged: what that
/// one will say is not known before it is there.
///
/// Answers which apps that file names, now and in that version.
///
/// # Errors
/// `Unusable`, with why not.
pub(super) fn foreseen(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    running: &Definition,
    changed: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Option<Named>, ServiceError> {
    let moments = moments(host, service);
    let last = moments.last().filter(|last| last.definition == running.value()).cloned();
    let last = last.unwrap_or_else(|| {
        let now = Moment::now(host, service, client, running, String::new());
        now.or_as_said_by(moments.last(), running)
    });
    let Some(file) = &last.from else { return Ok(None) };
    let Some(text) = changed(file).and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return Ok(None);
    };
    let problem = |why: String| ServiceError::Unusable {
        problem: format!("{file}: {why}"),
        hint: format!("fix {file}, or set ecosystem = false under [service.{}]", service.name),
        command: None,
    };
    let apps = read(host, client, &host.top.join(file), Some(&text), running)
        .map_err(|why| problem(format!("pm2 could not read it: {why}")))?;
    let Some(apps) = apps else { return Ok(None) };
    let app = App::of(host, service);
    let names = |apps: &[Declared]| -> Vec<String> {
        let name = |one: &Declared| one.app.get("name").and_then(Value::as_str).map(str::to_owned);
        apps.iter().filter_map(name).collect()
    };
    let after = names(&apps);
    let declared = apps.into_iter().find(|declared| app.is_declared(&declared.app));
    let declared =
        declared.ok_or_else(|| problem(format!("no longer names {}", running.name())))?;
    let (before, variant) = last.said_by(file, running);
    let flags: BTreeSet<&String> = host.flags.keys().collect();
    running
        .with_changes(
            &before.whole(variant.as_deref()),
            &declared.whole(variant.as_deref()),
            |name| flags.contains(&name.to_owned()),
        )
        .map_err(problem)?;
    // Where it cannot be read now, none of them is new.
    let before = read(host, client, &host.top.join(file), None, running).ok().flatten();
    let before = before.map_or_else(|| after.clone(), |apps| names(&apps));
    Ok(Some(Named { file: file.clone(), before, after }))
}

/// The apps that a process file names.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) file: String,
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
}

/// The file whose word counts now: the one that the app was started from, else the only one that names it.
fn governing<'m>(
    last: &Moment,
    now: &'m BTreeMap<String, Said>,
) -> Result<Option<(&'m String, &'m Said)>, Vec<String>> {
    if let Some(from) = &last.from
        && let Some(found) = now.get_key_value(from)
    {
        return Ok(Some(found));
    }
    let changed: Vec<_> =
        now.iter().filter(|(file, said)| last.files.get(*file) != Some(*said)).collect();
    match changed.as_slice() {
        [] => Ok(None),
        [one] if last.from.is_some() || now.len() == 1 => Ok(Some(*one)),
        _ => Err(now.keys().cloned().collect()),
    }
}

fn several(service: &Service, definition: &Definition) -> String {
    format!(
        "more than one file defines {}, and none matches what pm2 runs: set ecosystem = \"FILE\" under [service.{}] \
         in gitroll.toml",
        definition.name(),
        service.name
    )
}

impl Moment {
    fn now(
        host: &Host<'_>,
        service: &Service,
        client: &Client,
        running: &Definition,
        run: String,
    ) -> Self {
        let files = said(host, service, client, running);
        let fits = |said: &Said| match said {
            Said::App(declared) => declared.fits(running),
            Said::Unreadable(_) => false,
        };
        let mut fitting = files.iter().filter(|(_, said)| fits(said)).map(|(file, _)| file);
        let from = match (fitting.next(), fitting.next()) {
            (Some(one), None) => Some(one.clone()),
            // Whatever a person changed by hand since, there is no other it could have been started from.
            _ if files.len() == 1 => files.keys().next().cloned(),
            _ => None,
        };
        Self { run, commit: commit_of(host), files, from, definition: running.value() }
    }
}

impl Moment {
    /// The same definition, with what the files said when another one was noted: where the tree was moved by hand and
    /// the app was not started from the file since, that is what the definition goes back to.
    fn or_as_said_by(self, last: Option<&Moment>, running: &Definition) -> Self {
        let Some(last) = last else { return self };
        if self.fits(running) && !last.fits(running) {
            return self;
        }
        Self { definition: self.definition, run: self.run, ..last.clone() }
    }

    /// What the file of then said of the app, and the variant that it was started with. `file` counts where nobody
    /// knows which one that was.
    fn said_by(&self, file: &str, running: &Definition) -> (Declared, Option<String>) {
        let before = self.from.as_ref().and_then(|from| self.files.get(from));
        match before.or_else(|| self.files.get(file)) {
            Some(Said::App(before)) => (before.clone(), before.variant(running)),
            Some(Said::Unreadable(_)) | None => (Declared::default(), None),
        }
    }

    fn fits(&self, running: &Definition) -> bool {
        let said = self.from.as_ref().and_then(|from| self.files.get(from));
        matches!(said, Some(Said::App(declared)) if declared.fits(running))
    }
}

impl Declared {
    /// The app with the variables of a variant (`pm2 start FILE --env production`).
    fn whole(&self, variant: Option<&str>) -> Map<String, Value> {
        let mut app = self.app.clone();
        let mut env = app.get("env").and_then(Value::as_object).cloned().unwrap_or_default();
        let more = variant.and_then(|variant| self.variants.get(variant));
        env.extend(more.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        app.insert("env".to_owned(), env.into());
        app
    }

    fn env(&self, variant: Option<&str>) -> Map<String, Value> {
        let whole = self.whole(variant);
        whole.get("env").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// The variant that the app was started with: all that makes it another one than without is there. The rest may have
    /// been changed by hand since.
    fn variant(&self, running: &Definition) -> Option<String> {
        let plain = self.env(None);
        let fitting = self.variants.keys().filter(|variant| {
            let mut own = self.env(Some(variant));
            own.retain(|name, value| plain.get(name) != Some(value));
            !own.is_empty() && running.has_all(&own)
        });
        fitting.max_by_key(|variant| self.env(Some(variant)).len()).cloned()
    }

    fn fits(&self, running: &Definition) -> bool {
        let variant = self.variant(running);
        running.has_all(&self.env(None)) || running.has_all(&self.env(variant.as_deref()))
    }
}

impl Definition {
    fn has_all(&self, env: &Map<String, Value>) -> bool {
        let own = self.variables();
        env.iter().all(|(name, value)| {
            own.and_then(|own| own.get(name)).map(in_text) == Some(in_text(value))
        })
    }

    /// This one, with what differs between two declarations of the app. A variable that has another value here than
    /// declared before was set by hand: no release can know what is right then.
    fn with_changes(
        &self,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        is_flag: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, String> {
        let mut app = self.app().clone();
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let differing = |key: &str| before.get(key) != after.get(key);
        for key in keys {
            if matches!(key.as_str(), "name" | "namespace" | "env") || !differing(key) {
                continue;
            }
            match after.get(key) {
                Some(value) => drop(app.insert(key.clone(), value.clone())),
                None => drop(app.remove(key)),
            }
        }
        // pm2 derives these from the others if nothing is said.
        let derived = [("exec_mode", "instances"), ("interpreter", "script")];
        for (key, source) in derived {
            if !after.contains_key(key) && (differing(key) || differing(source)) {
                app.remove(key);
            }
        }
        if differing("script") && !after.contains_key("cwd") && !differing("cwd") {
            // Relative to where the app runs.
            app.entry("cwd".to_owned()).or_insert_with(|| json!(self.cwd()));
        }
        let variables = |app: &Map<String, Value>| {
            app.get("env").and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let (declared, wanted, mut env) = (variables(before), variables(after), variables(&app));
        for name in declared.keys().chain(wanted.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (declared.get(name).map(in_text), wanted.get(name).map(in_text));
            let here = env.get(name).map(in_text);
            if old == new || here == new || is_flag(name) {
                continue;
            }
            if old.is_some() && here != old {
                return Err(format!(
                    "it changes {name}, but pm2 runs {} with a different value than the file had: start it once \
                     from the file, or set ecosystem = false for this service in gitroll.toml",
                    self.name()
                ));
            }
            match new {
                Some(value) => drop(env.insert(name.clone(), value.into())),
                None => drop(env.remove(name)),
            }
        }
        app.insert("env".to_owned(), env.into());
        Ok(app)
    }
}

/// With paths as pm2 resolves them, all of them in the tree.
fn placed(host: &Host<'_>, mut app: Map<String, Value>) -> Result<Definition, String> {
    let text = |app: &Map<String, Value>, key: &str| {
        app.get(key).and_then(Value::as_str).map(PathBuf::from)
    };
    let cwd = host.top.join(text(&app, "cwd").unwrap_or_default());
    let script = text(&app, "script").ok_or("it has no script")?;
    let there = cwd.join(&script);
    let script = if there.exists() {
        there
    } else {
        let path = &host.binding.path_variable;
        let bare = script.components().count() == 1;
        find_program(&script, path)
            .filter(|_| bare)
            .ok_or_else(|| format!("there is no script {}", there.display()))?
    };
    if !works_for(&cwd, &script, &resolved(&host.top)) {
        return Err(format!("its cwd = {} is not in this tree", cwd.display()));
    }
    for (key, path) in [("cwd", cwd), ("script", script)] {
        app.insert(key.to_owned(), json!(path));
    }
    Definition::from_value(&Value::Object(app)).ok_or_else(|| "it is not an app definition".into())
}

/// What each file says of the app of `definition`.
fn said(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    definition: &Definition,
) -> BTreeMap<String, Said> {
    let app = App::of(host, service);
    let mut all = BTreeMap::new();
    for file in candidates(host, service, definition) {
        let Ok(below) = file.strip_prefix(&host.top) else { continue };
        let said = match read(host, client, &file, None, definition) {
            // A file of another kind that speaks of the same things.
            Err(_) if !is_process_file(&file) && !is_named(service) => None,
            Err(why) => Some(Said::Unreadable(why)),
            Ok(apps) => apps
                .into_iter()
                .flatten()
                .find(|declared| app.is_declared(&declared.app))
                .map(Said::App),
        };
        all.extend(said.map(|said| (below.display().to_string(), said)));
    }
    all
}

/// Files that pm2 would read by their names, and that are named for it or have what makes a process file: in the tree,
/// and where the app runs.
fn candidates(host: &Host<'_>, service: &Service, definition: &Definition) -> BTreeSet<PathBuf> {
    let named = match &service.manager {
        Manager::Pm2 { ecosystem, .. } => ecosystem,
        _ => return BTreeSet::new(),
    };
    match named {
        EcosystemFile::Ignored => return BTreeSet::new(),
        EcosystemFile::Named(path) => return BTreeSet::from([host.top.join(path.as_path())]),
        EcosystemFile::Found => {}
    }
    let mut files = in_reach(&host.top, DEPTH);
    if definition.cwd().starts_with(&host.top) {
        files.extend(in_reach(definition.cwd(), 0));
    }
    let may_be = |path: &PathBuf| {
        path.is_file() && (is_process_file(path) || declares(path, definition.name()))
    };
    files.into_iter().filter(may_be).collect()
}

/// How far below the top of a tree a process file is looked for.
const DEPTH: usize = 3;

/// The files with an ending that pm2 reads in a directory and in those below it, `depth` levels down. Not where packages
/// are, and through no link.
fn in_reach(dir: &Path, depth: usize) -> Vec<PathBuf> {
    const OF_OTHERS: [&str; 6] = [".git", "node_modules", "vendor", "venv", ".venv", "target"];
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && depth > 0 && !OF_OTHERS.contains(&name.as_str()) {
            found.extend(in_reach(&entry.path(), depth - 1));
        } else if !is_dir && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            found.push(entry.path());
        }
    }
    found
}

fn is_named(service: &Service) -> bool {
    let Manager::Pm2 { ecosystem, .. } = &service.manager else { return false };
    matches!(ecosystem, EcosystemFile::Named(_))
}

/// Whether a file that is not named for pm2 has what makes a process file, by its words: pm2 takes any name that ends so.
fn declares(path: &Path, app: &str) -> bool {
    const MOST: u64 = 256 << 10;
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let text = files::read_plain(path, MOST).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let key = |key: &str| {
        ["{}:", "{} :", "\"{}\"", "'{}'"].iter().any(|form| text.contains(&form.replace("{}", key)))
    };
    // A list of apps may be the whole file, and the name of an app be computed; a package has a name of its own.
    let apps = key("apps") || name == "package.json" && key("pm2");
    match name.as_str() {
        "package-lock.json" => false,
        "package.json" => apps && key("script") && text.contains(app),
        _ if name.ends_with("js") => key("script") && (apps || text.contains(app)),
        _ => key("script") && text.contains(app),
    }
}

const ENDINGS: [&str; 6] = [".json", ".yml", ".yaml", ".config.js", ".config.cjs", ".config.mjs"];

fn is_process_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let for_pm2 =
        name.contains("ecosystem") || name.contains("pm2") || name.starts_with("process.");
    for_pm2 && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The apps that a file declares, or will with `text`, if that reads no other file; in few words why that cannot be
/// told.
fn read(
    host: &Host<'_>,
    client: &Client,
    file: &Path,
    text: Option<&str>,
    definition: &Definition,
) -> Result<Option<Vec<Declared>>, String> {
    let dir = Some(definition.cwd()).filter(|dir| dir.is_dir()).unwrap_or(&host.top);
    let own: BTreeMap<&String, String> = definition
        .variables()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name, in_text(value)))
        .collect();
    let own = json!(own);
    let node = host.binding.tools.node.clone().unwrap_or_else(|| "node".into());
    read_by(&node, dir, (file, text), &own, client.environment(), client.package())
}

/// Has node read a file as pm2 does. `own` are the app's variables.
fn read_by(
    node: &Path,
    dir: &Path,
    (file, text): (&Path, Option<&str>),
    own: &Value,
    env: BTreeMap<OsString, OsString>,
    pm2: Option<PathBuf>,
) -> Result<Option<Vec<Declared>>, String> {
    let mark = random::hex_id();
    let own = if own.is_null() { json!({}) } else { own.clone() };
    let input = json!({ "file": file, "text": text, "own": own, "pm2": pm2, "mark": mark });
    let invocation = Invocation {
        args: vec!["-e".into(), include_str!("../../../templates/read-ecosystem.js").into()],
        env,
        input: Some(input.to_string().into_bytes()),
        limit: LIMIT,
        ..Invocation::new(node, dir)
    };
    let finished = invocation.run().map_err(|error| error.to_string())?;
    let output = String::from_utf8_lossy(&finished.stdout);
    let line = output.lines().find_map(|line| line.strip_prefix(&mark));
    if let Some(apps) = line.and_then(|line| serde_json::from_str(line).ok()) {
        return Ok(apps);
    }
    if finished.timed_out {
        return Err(format!("it was not read within {} s", LIMIT.as_secs()));
    }
    let lines = telling_lines(&finished.stderr, 1);
    Err(lines.first().cloned().unwrap_or_else(|| "node printed nothing".to_owned()))
}

fn run_of(host: &Host<'_>) -> String {
    host.extra.get("GITROLL_RUN").cloned().unwrap_or_default()
}

fn commit_of(host: &Host<'_>) -> String {
    host.extra.get("GITROLL_COMMIT").cloned().unwrap_or_default()
}

fn moments(host: &Host<'_>, service: &Service) -> Vec<Moment> {
    let path = host.state.join("services").join(format!("{}.declared.json", service.name));
    let text = files::read_state(&path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn write(host: &Host<'_>, service: &Service, mut moments: Vec<Moment>) -> Result<(), ServiceError> {
    let many = moments.len().saturating_sub(KEPT);
    moments.drain(..many);
    let path = host.file(service, ".declared.json")?;
    let text = serde_json::to_vec_pretty(&moments).unwrap_or_default();
    // The environment of an app holds its secrets.
    files::write_durably(&path, &text, 0o600).map_err(ServiceError::at(&path))
}
