//! `gitroll` without a command: the app here, else every app of this host; and `--app NAME`, which chooses one of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use super::{session, status};
use crate::config::{Binding, BindingPlaces};
use crate::system::process::{Invocation, own_program};
use crate::system::text::nearest;
use crate::ui::{Table, Ui, escape};

/// How long one app may take to say how it is: a service that hangs must not hide the others.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer of `gitroll` outside any checkout.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AppsAnswer {
    /// Every app that is bound on this host, as far as this user may know.
    pub apps: Vec<AppLine>,
}

/// One app.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AppLine {
    /// Its name; the directory of its binding where that cannot be read.
    pub app: String,
    /// Its environment.
    pub environment: Option<String>,
    /// The checkout.
    pub path: Option<PathBuf>,
    /// The directory of its binding.
    pub binding: PathBuf,
    /// The name of what serves.
    pub serving: Option<String>,
    /// Its commit.
    pub commit: Option<String>,
    /// Whether all checks pass and all services are up.
    pub healthy: Option<bool>,
    /// Whether a run is open.
    pub open_run: bool,
    /// What is wrong, in a few words.
    pub fault: Option<String>,
}

/// Shows the app here, or lists them all.
///
/// # Errors
/// Where no app is bound; where a checkout was named and cannot be looked at.
pub(super) fn run(globals: &Globals, ui: &Ui) -> Result<Exit, Failure> {
    let here = session::open(globals, ui).is_ok_and(|(_, binding)| binding.is_ok());
    if here || globals.dir.is_some() {
        return status::run(globals, ui, &status::StatusArgs::default());
    }
    let all = bound();
    if all.is_empty() {
        return Err(Failure::new(Status::Usage, "no command, and no app is bound on this host")
            .next("gitroll init", "in the app's checkout: binds it")
            .next("gitroll demo", "shows a rollback in a throw-away app")
            .next("gitroll --help", "shows all commands"));
    }
    let apps = thread::scope(|scope| {
        let asked: Vec<_> = all.iter().map(|one| scope.spawn(|| look(one))).collect();
        asked.into_iter().filter_map(|line| line.join().ok()).collect()
    });
    let answer = AppsAnswer { apps };
    tell(ui, &answer);
    ui.document("apps", 0, &answer);
    Ok(Exit::Done)
}

/// Makes the checkout of `--app` the one that is worked on, and looks whether `-C` names something that is there.
///
/// # Errors
/// Where there is no such app, or no such directory.
pub(super) fn look_up(globals: &mut Globals) -> Result<(), Failure> {
    if let Some(name) = &globals.app {
        globals.dir = Some(chosen(name)?);
    }
    let Some(dir) = globals.dir.as_deref().filter(|dir| !dir.is_dir()) else { return Ok(()) };
    let shown = dir.display();
    if dir.exists() {
        return Err(Failure::unchanged(format!("{shown} is not a directory")));
    }
    let there = dir.ancestors().skip(1).find(|above| above.is_dir());
    let failure = Failure::unchanged(format!("{shown} does not exist"));
    let failure = match there.filter(|above| !above.as_os_str().is_empty()) {
        Some(above) => failure.next(format!("ls {}", above.display()), "shows what is there"),
        None => failure,
    };
    Err(failure.next("gitroll", "lists the apps of this host"))
}

/// A binding of this host, or why it cannot be read.
struct Bound {
    dir: PathBuf,
    binding: Result<Binding, String>,
}

/// Every binding that this user may know of, each checkout once: the first one counts, as where it is looked for.
fn bound() -> Vec<Bound> {
    let mut seen = BTreeSet::new();
    let places = BindingPlaces::of_this_host().into_iter();
    let all = places.flat_map(|(places, me)| places.all(me)).filter(|(_, binding)| {
        binding.as_ref().map_or(true, |binding| seen.insert(binding.path.clone()))
    });
    all.map(|(dir, binding)| Bound { dir, binding: binding.map_err(|e| e.to_string()) }).collect()
}

/// The commands that show the apps of this host, for whoever stands somewhere else.
pub(super) fn elsewhere() -> Vec<(String, String)> {
    const MOST: usize = 3;
    let all: Vec<Binding> = bound().into_iter().filter_map(|one| one.binding.ok()).collect();
    let here = std::env::current_dir().unwrap_or_default();
    let other = |binding: &&Binding| binding.path.is_dir() && !here.starts_with(&binding.path);
    let there = all.iter().filter(other).take(MOST);
    there
        .map(|binding| {
            let alone = all.iter().filter(|other| other.app == binding.app).count() == 1;
            let name = match alone {
                true => binding.app.to_string(),
                false => format!("{}/{}", binding.app, binding.environment),
            };
            (
                format!("gitroll --app {name} status"),
                format!("the app in {}", binding.path.display()),
            )
        })
        .collect()
}

/// The apps of this host, as `--app` takes them, each with its checkout.
pub(super) fn names() -> Vec<(String, String)> {
    let all: Vec<Binding> = bound().into_iter().filter_map(|one| one.binding.ok()).collect();
    let named = |binding: &Binding| {
        let alone = all.iter().filter(|other| other.app == binding.app).count() == 1;
        let name = match alone {
            true => binding.app.to_string(),
            false => format!("{}/{}", binding.app, binding.environment),
        };
        (name, binding.path.display().to_string())
    };
    all.iter().map(named).collect()
}

/// The checkout of the app that a person named: `shop`, or `shop/staging` where a host has several.
///
/// # Errors
/// Where there is none of that name, or several.
pub(super) fn chosen(name: &str) -> Result<PathBuf, Failure> {
    let all: Vec<Binding> = bound().into_iter().filter_map(|one| one.binding.ok()).collect();
    let whole = |binding: &Binding| format!("{}/{}", binding.app, binding.environment);
    let named = |binding: &&Binding| binding.app.as_str() == name || whole(binding) == name;
    let found: Vec<&Binding> = all.iter().filter(named).collect();
    // A checkout that is gone is no choice where another is there.
    let there: Vec<&Binding> = found.iter().copied().filter(|one| one.path.is_dir()).collect();
    let found = if there.is_empty() { found } else { there };
    match found.as_slice() {
        [only] => Ok(only.path.clone()),
        [] => {
            let known: Vec<String> = all.iter().map(|one| one.app.to_string()).collect();
            let failure = Failure::unchanged(format!("no app {name:?} is bound on this host"));
            Err(match nearest(name, &known) {
                Some(near) => failure.next(format!("gitroll --app {near} …"), "the nearest name"),
                None => failure.next("gitroll", "lists the apps of this host"),
            })
        }
        several => {
            let what = format!("{name} is bound {} times on this host", several.len());
            let mut failure = Failure::new(Status::Usage, what);
            for one in several {
                let (whole, path) = (whole(one), one.path.display());
                failure = match several.iter().filter(|other| self::same(one, other)).count() {
                    1 => failure.next(format!("gitroll --app {whole} …"), path.to_string()),
                    _ => failure.next(format!("gitroll -C {path} …"), whole),
                };
            }
            Err(failure)
        }
    }
}

fn same(one: &Binding, other: &Binding) -> bool {
    one.app == other.app && one.environment == other.environment
}

/// Asks one app how it is: by a process of its own, which becomes the owner of the checkout where that is needed.
fn look(one: &Bound) -> AppLine {
    let mut line = AppLine {
        app: one.dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        environment: None,
        path: None,
        binding: one.dir.clone(),
        serving: None,
        commit: None,
        healthy: None,
        open_run: false,
        fault: None,
    };
    let binding = match &one.binding {
        Ok(binding) => binding,
        Err(why) => return AppLine { fault: Some(why.clone()), ..line },
    };
    line.app = binding.app.to_string();
    line.environment = Some(binding.environment.to_string());
    line.path = Some(binding.path.clone());
    if !binding.path.join(".git").exists() {
        return AppLine { fault: Some("the checkout is gone".to_owned()), ..line };
    }
    match status_of(&binding.path) {
        Err(why) => AppLine { fault: Some(why), ..line },
        Ok(answer) => {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            line.serving = text(&answer["serving"]["name"]);
            line.commit = text(&answer["serving"]["commit"]);
            line.healthy = answer["healthy"].as_bool();
            line.open_run = answer["open_runs"].as_array().is_some_and(|runs| !runs.is_empty());
            line.fault = fault(&answer);
            line
        }
    }
}

/// The first thing that is wrong by a `status`.
fn fault(answer: &Value) -> Option<String> {
    if answer["healthy"] == true {
        return None;
    }
    let all = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let check = all("checks")
        .into_iter()
        .find(|check| check["passed"] == false && check["skipped"].is_null());
    let check = check.map(|check| (check["check"].clone(), check["last"]["answer"].clone()));
    let service = all("services").into_iter().find(|service| service["up"] == false);
    let service = service.map(|service| (service["service"].clone(), service["state"].clone()));
    let (what, how) = check.or(service)?;
    Some(format!("{} {}", what.as_str()?, how.as_str()?))
}

fn status_of(path: &Path) -> Result<Value, String> {
    let mut command = Invocation::new(own_program(), Path::new("/"));
    command.args = vec!["-C".into(), path.into(), "status".into(), "--json".into()];
    command.env = std::env::vars_os().collect();
    command.limit = PATIENCE;
    let finished = command.run().map_err(|error| error.to_string())?;
    if finished.timed_out {
        return Err(format!("no answer within {} s", PATIENCE.as_secs()));
    }
    let document: Value = serde_json::from_slice(&finished.stdout)
        .map_err(|_| "gitroll status could not look at it".to_owned())?;
    match document["error"]["message"].as_str() {
        Some(message) => Err(message.to_owned()),
        None => Ok(document["result"].clone()),
    }
}

fn tell(ui: &Ui, answer: &AppsAnswer) {
    let style = &ui.out;
    let dash = || style.dash().to_owned();
    let mut table = Table::with_head(&["APP", "ENVIRONMENT", "SERVES", "STATE", "CHECKOUT"]);
    for line in &answer.apps {
        let commit = line.commit.as_deref().and_then(|commit| commit.get(..7));
        let serves = line.serving.as_ref().map(|name| match commit {
            Some(commit) => format!("{} ({commit})", escape(name)),
            None => escape(name),
        });
        let state = match (&line.fault, line.open_run) {
            (Some(fault), _) => format!("{} {}", style.bad(), escape(fault)),
            (None, true) => format!("{} a run is open", style.yellow("!")),
            (None, false) => format!("{} healthy", style.ok()),
        };
        let path = line.path.as_ref().map(|path| escape(&path.display().to_string()));
        table.row(vec![
            escape(&line.app),
            line.environment.as_deref().map_or_else(dash, escape),
            serves.unwrap_or_else(dash),
            state,
            path.unwrap_or_else(|| escape(&line.binding.display().to_string())),
        ]);
    }
    for line in table.lines(style) {
        ui.line(&line);
    }
    for line in answer.apps.iter().filter(|line| line.serving.is_none()) {
        let gone = line.path.as_ref().is_some_and(|path| !path.join(".git").exists());
        if gone {
            let (app, dir) = (escape(&line.app), escape(&line.binding.display().to_string()));
            ui.line(&format!(
                "{app}: if it was moved, gitroll init in its new place binds it there;"
            ));
            ui.line(&format!("  else rm -r {dir} removes the binding"));
        }
    }
    let ill = |line: &&AppLine| line.healthy == Some(false) || line.open_run;
    let readable = || answer.apps.iter().filter(|line| line.environment.is_some());
    if let Some(line) = readable().find(ill).or_else(|| readable().next()) {
        let environment = line.environment.as_deref().unwrap_or_default();
        let alone = readable().filter(|other| other.app == line.app).count() == 1;
        let name = if alone { line.app.clone() } else { format!("{}/{environment}", line.app) };
        ui.line(&format!("  next     gitroll --app {name} status"));
    }
}
