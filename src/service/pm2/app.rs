//! An app as pm2 has it: what `pm2 jlist` says of its processes, the definition it can be started from again, and the
//! flags that it is handed in its environment.
//!
//! pm2 keeps the variables an app was started with and adds to them what it is handed later; it never takes one
//! away. What was handed over is noted, so that a flag that is not set any more gives way to what the app had
//! before, and the app's own variables are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::state::{Host, ServiceError};
use crate::config::Service;
use crate::system::files;
pub(super) use crate::system::files::resolved;
use crate::system::procs::ProcessId;

/// One process that pm2 runs or ran.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    /// The app's name; several instances share it.
    pub(super) name: String,
    /// pm2's number for it.
    pub(super) id: Option<u64>,
    /// The process; `None` when it does not run.
    pub(super) pid: Option<u32>,
    /// pm2's word: `online`, `errored`, `stopped`, `launching`, `waiting restart`.
    pub(super) status: String,
    /// How often pm2 started it again.
    pub(super) restarts: u64,
    pub(super) cwd: PathBuf,
    pub(super) script: PathBuf,
    /// The user it runs as.
    pub(super) user: Option<String>,
    /// Where its standard error goes.
    pub(super) error_log: Option<PathBuf>,
    /// Where its standard output goes.
    pub(super) output_log: Option<PathBuf>,
    /// Everything that pm2 keeps about it.
    pub(super) settings: Map<String, Value>,
}

/// Reads the output of `pm2 jlist`, which may have lines of noise before (and after) the list.
pub(super) fn parse(output: &[u8]) -> Option<Vec<Instance>> {
    let text = String::from_utf8_lossy(output);
    let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    line_starts.filter(|at| text[*at..].starts_with('[')).find_map(|at| {
        // Noise such as `[PM2] Spawning daemon` begins like a list too.
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        let Ok(Value::Array(entries)) = values.next()? else {
            return None;
        };
        instances(&entries)
    })
}

/// The processes of pm2's list; `None` where an entry is not one.
pub(super) fn instances(entries: &[Value]) -> Option<Vec<Instance>> {
    let instance = |entry: &Value| {
        let settings = entry.get("pm2_env")?.as_object()?.clone();
        Instance::new(settings, entry.get("pid").and_then(Value::as_u64))
    };
    entries.iter().map(instance).collect()
}

/// Reads what `pm2 save` wrote: the settings alone.
pub(super) fn parse_saved(text: &[u8]) -> Option<Vec<Instance>> {
    let entries: Vec<Map<String, Value>> = serde_json::from_slice(text).ok()?;
    Some(entries.into_iter().filter_map(|settings| Instance::new(settings, None)).collect())
}

impl Instance {
    fn new(settings: Map<String, Value>, pid: Option<u64>) -> Option<Self> {
        let text = |name: &str| settings.get(name).and_then(Value::as_str).map(str::to_owned);
        let path = |name: &str| text(name).filter(|path| path != "/dev/null").map(PathBuf::from);
        Some(Self {
            name: text("name")?,
            id: settings.get("pm_id").and_then(Value::as_u64),
            pid: pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
            status: text("status").unwrap_or_else(|| "unknown".to_owned()),
            restarts: settings.get("restart_time").and_then(Value::as_u64).unwrap_or(0),
            cwd: path("pm_cwd")?,
            script: path("pm_exec_path")?,
            user: text("username"),
            error_log: path("pm_err_log_path"),
            output_log: path("pm_out_log_path"),
            settings,
        })
    }

    /// A log path as declared: pm2 puts each instance's number before the extension unless the
    /// instances share one file.
    pub(super) fn unnumbered(&self, log: &str) -> String {
        let shared = self.settings.get("merge_logs").is_some_and(|merge| merge == true);
        let number = self.id.filter(|_| !shared).map(|id| format!("-{id}"));
        let (stem, extension) = match log.rsplit_once('.') {
            Some((stem, extension)) if !extension.contains('/') => (stem, format!(".{extension}")),
            _ => (log, String::new()),
        };
        let stem = number.and_then(|number| stem.strip_suffix(&number)).unwrap_or(stem);
        format!("{stem}{extension}")
    }

    /// `default` where nothing else was said.
    pub(super) fn namespace(&self) -> &str {
        self.settings.get("namespace").and_then(Value::as_str).unwrap_or("default")
    }

    pub(super) fn is_online(&self) -> bool {
        self.status == "online"
    }

    /// Its process, if it runs.
    pub(super) fn process(&self) -> Option<ProcessId> {
        self.pid.and_then(ProcessId::of)
    }

    /// `PORT` in its environment.
    pub(super) fn port(&self) -> Option<u16> {
        match self.settings.get("env")?.get("PORT")? {
            Value::String(text) => text.trim().parse().ok(),
            number => number.as_u64().and_then(|port| u16::try_from(port).ok()),
        }
    }

    /// Where it would run from after a reload, if that is not the live tree at `top`.
    ///
    /// pm2 keeps the real path when it was started inside of a symbolic link, and then continues to serve
    /// the old release although every reload succeeds. A program outside of the tree (npm, a global
    /// tool) is not a sign of that as long as its working directory is inside.
    pub(super) fn stale(&self, top: &Path) -> Option<String> {
        let top = resolved(top);
        if !works_for(&self.cwd, &self.script, &top) {
            return Some(format!("runs in {}, not in {}", self.cwd.display(), top.display()));
        }
        let program = runs_a_program(self.settings.get("exec_interpreter"), &self.script, &top);
        if !program && !resolved(&self.script).starts_with(&top) {
            return Some(format!("runs {}, not in {}", self.script.display(), top.display()));
        }
        None
    }

    /// How long pm2 waits for it when it reloads: to listen, and to end.
    pub(super) fn patience(&self) -> Duration {
        let millis = |name: &str, default: u64| match self.settings.get(name) {
            Some(Value::String(text)) => text.trim().parse().unwrap_or(default),
            Some(number) => number.as_u64().unwrap_or(default),
            None => default,
        };
        Duration::from_millis(
            millis("listen_timeout", 8000).saturating_add(millis("kill_timeout", 8000)),
        )
    }
}

/// Whether a working directory is one of an app of the tree: in it, or elsewhere where the app has its data. Elsewhere may
/// be a copy of the tree as well, such as an earlier release.
pub(super) fn works_for(cwd: &Path, script: &Path, top: &Path) -> bool {
    let (cwd, script) = (resolved(cwd), resolved(script));
    let Ok(below) = script.strip_prefix(top) else { return cwd.starts_with(top) };
    cwd.starts_with(top)
        || cwd.is_dir()
            && !cwd.ancestors().any(|dir| dir.join(below).exists() || dir.join(".git").exists())
}

/// Whether what pm2 executes is an installed program rather than a script of the app: npm, yarn, bun, tsx, a shell.
/// Those that come with node are links, so it is judged by where the link leads, too.
pub(super) fn runs_a_program(interpreter: Option<&Value>, script: &Path, top: &Path) -> bool {
    let real = resolved(script);
    let paths = [script, &real];
    // A directory with a package.json is an app's, and its modules are those of a release.
    let installed = |path: &&Path| {
        let modules = path.ancestors().find(|dir| dir.ends_with("node_modules"));
        let modules = modules.and_then(|dir| {
            dir.ancestors().filter(|dir| dir.ends_with("node_modules")).last()?.parent()
        });
        modules.is_some_and(|owner| !owner.join("package.json").is_file())
    };
    if paths.iter().any(installed) {
        return true;
    }
    if suffixes(script).skip(1).any(|suffix| top.join(suffix).is_file()) {
        return false;
    }
    let in_modules =
        |path: &&Path| path.components().any(|part| part.as_os_str() == "node_modules");
    let of_commands = |path: &&Path| {
        let dir = path.parent().and_then(Path::file_name);
        dir.is_some_and(|dir| dir == "bin" || dir == "sbin" || dir == "shims")
    };
    interpreter.is_some_and(|interpreter| interpreter == "none")
        || paths.iter().any(in_modules)
        || paths.iter().any(of_commands)
}

/// What pm2's ecosystem file calls these and its list calls the same.
const SAME_NAME: [&str; 33] = [
    "namespace",
    "args",
    "node_args",
    "exec_mode",
    "wait_ready",
    "listen_timeout",
    "kill_timeout",
    "kill_retry_time",
    "max_restarts",
    "min_uptime",
    "autorestart",
    "autostart",
    "merge_logs",
    "log_type",
    "log_date_format",
    "max_memory_restart",
    "restart_delay",
    "exp_backoff_restart_delay",
    "source_map_support",
    "disable_source_map_support",
    "cron_restart",
    "vizion",
    "stop_exit_codes",
    "watch",
    "watch_delay",
    "watch_options",
    "ignore_watch",
    "force",
    "increment_var",
    "instance_var",
    "pmx",
    "automation",
    "treekill",
];

/// Variables that pm2 or the shell put into an app's environment: recorded with it, but not its own.
const NOT_ITS_OWN: [&str; 22] = [
    "PM2_HOME",
    "PM2_USAGE",
    "PM2_INTERACTOR_PROCESSING",
    "PM2_JSON_PROCESSING",
    "PM2_PROGRAMMATIC",
    "PM2_DISABLE_VERSION_CHECK",
    "PM2_SILENT",
    "SILENT",
    "NODE_APP_INSTANCE",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "unique_id",
    "pm2_env",
    "pm_id",
    "km_link",
    "vizion_running",
    "windowsHide",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
];

/// One app in the form of pm2's ecosystem file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition {
    app: Map<String, Value>,
    name: String,
    cwd: PathBuf,
    script: PathBuf,
}

impl Definition {
    /// The definition behind the instances of one app; `None` if there are none, or where a path
    /// cannot be written in JSON.
    pub(super) fn of(instances: &[Instance]) -> Option<Self> {
        // The instances of an app differ in their numbers only.
        let first = instances.first()?;
        let settings = &first.settings;
        let mut app = Map::new();
        for name in SAME_NAME {
            if let Some(value) = settings.get(name).filter(|value| !value.is_null()) {
                app.insert(name.to_owned(), value.clone());
            }
        }
        app.insert("name".to_owned(), first.name.clone().into());
        app.insert("cwd".to_owned(), first.cwd.to_str()?.into());
        app.insert("script".to_owned(), first.script.to_str()?.into());
        app.insert("instances".to_owned(), instances.len().into());
        if let Some(interpreter) = settings.get("exec_interpreter") {
            app.insert("interpreter".to_owned(), interpreter.clone());
        }
        for (theirs, ours) in [("pm_out_log_path", "out_file"), ("pm_err_log_path", "error_file")] {
            if let Some(path) = settings.get(theirs).and_then(Value::as_str) {
                app.insert(ours.to_owned(), first.unnumbered(path).into());
            }
        }
        app.insert("env".to_owned(), own_variables(first).into());
        Self::from_app(app)
    }

    /// Reads what [`Definition::text`] wrote.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        Self::from_app(value.get("apps")?.get(0)?.as_object()?.clone())
    }

    fn from_app(app: Map<String, Value>) -> Option<Self> {
        let text = |name: &str| app.get(name).and_then(Value::as_str).map(str::to_owned);
        let (name, cwd, script) = (text("name")?, text("cwd")?.into(), text("script")?.into());
        Some(Self { app, name, cwd, script })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// As pm2's ecosystem file has it.
    pub(super) fn app(&self) -> &Map<String, Value> {
        &self.app
    }

    /// To be kept with others.
    pub(super) fn value(&self) -> Value {
        Value::Object(self.app.clone())
    }

    /// Reads what [`Definition::value`] made; paths must be whole.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        Self::from_app(value.as_object()?.clone())
    }

    /// The log files it declares, standard error first.
    pub(super) fn logs(&self) -> Vec<PathBuf> {
        let path = |name: &str| self.app.get(name).and_then(Value::as_str).map(PathBuf::from);
        ["error_file", "out_file"].into_iter().filter_map(path).collect()
    }

    /// An ecosystem file with this app alone.
    pub(super) fn text(&self) -> String {
        format!("{:#}\n", json!({ "apps": [self.app] }))
    }

    /// The same app, running from the live tree at `top`. Unchanged where it does already; else as in
    /// `hint` (the definition it was last proven with), else by looking for its script in the tree.
    pub(super) fn moved_to(
        &self,
        top: &Path,
        hint: Option<&Definition>,
    ) -> Result<Self, ServiceError> {
        if self.lies_in(top) {
            return Ok(self.clone());
        }
        if let Some(hint) = hint.filter(|hint| hint.lies_in(top)) {
            return self.at(&hint.cwd, &hint.script);
        }
        let found = match self.script.strip_prefix(&self.cwd) {
            Ok(script) => {
                let dirs = suffixes(&self.cwd).map(|suffix| top.join(suffix));
                dirs.map(|dir| (dir.join(script), dir)).find(|(script, _)| script.is_file())
            }
            Err(_) if self.is_program(top) => Some((self.script.clone(), top.to_owned())),
            Err(_) => suffixes(&self.script)
                .skip(1)
                .map(|suffix| top.join(suffix))
                .find(|script| script.is_file())
                .map(|script| (script, top.to_owned())),
        };
        match found {
            Some((script, cwd)) => self.at(&cwd, &script),
            None => Err(ServiceError::Failed {
                command: format!("pm2 start {}", self.name),
                problem: format!(
                    "pm2 ran {}, but there is no such script in {}",
                    self.script.display(),
                    top.display()
                ),
            }),
        }
    }

    /// The variables it declares.
    pub(super) fn variables(&self) -> Option<&Map<String, Value>> {
        self.app.get("env").and_then(Value::as_object)
    }

    /// The same app, with these flags.
    pub(super) fn with_flags(mut self, flags: &FlagVariables) -> Self {
        let mut env = self.variables().cloned().unwrap_or_default();
        flags.apply(&mut env);
        self.app.insert("env".to_owned(), env.into());
        self
    }

    fn at(&self, cwd: &Path, script: &Path) -> Result<Self, ServiceError> {
        let mut app = self.app.clone();
        for (name, path) in [("cwd", cwd), ("script", script)] {
            let Some(text) = path.to_str() else {
                return Err(ServiceError::Unsupported(format!(
                    "pm2 cannot run {}: the path is not UTF-8",
                    path.display()
                )));
            };
            app.insert(name.to_owned(), text.into());
        }
        Ok(Self { app, name: self.name.clone(), cwd: cwd.to_owned(), script: script.to_owned() })
    }

    fn lies_in(&self, top: &Path) -> bool {
        let top = resolved(top);
        let script = resolved(&self.script);
        works_for(&self.cwd, &script, &top)
            && script.exists()
            && (self.is_program(&top) || script.starts_with(&top))
    }

    fn is_program(&self, top: &Path) -> bool {
        runs_a_program(self.app.get("interpreter"), &self.script, top)
    }
}

/// The app's variables as recorded, without what pm2 added to them.
fn own_variables(instance: &Instance) -> Map<String, Value> {
    let recorded = instance.settings.get("env").and_then(Value::as_object);
    let own = |name: &str, value: &Value| {
        // pm2 adds a variable with the app's name that holds its module configuration.
        let module = name == instance.name && value == "{}";
        !module
            && !NOT_ITS_OWN.contains(&name)
            && !name.starts_with("pm_")
            && !name.starts_with("axm_")
    };
    recorded
        .into_iter()
        .flatten()
        .filter(|(name, value)| own(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The ends of a path by whole parts, the shortest first: `` `c` `b/c` `a/b/c`.
fn suffixes(path: &Path) -> impl Iterator<Item = PathBuf> {
    let parts: Vec<_> = path.components().filter(|part| part.as_os_str() != "/").collect();
    (0..=parts.len()).rev().map(move |from| parts[from..].iter().collect())
}

/// What the variables of an app have to become.
#[derive(Debug, Default)]
pub(super) struct FlagVariables {
    /// Those to be handed over.
    pub(super) set: BTreeMap<String, String>,
    /// Those that it must not have any more.
    pub(super) unset: Vec<String>,
}

/// One variable that was handed over.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    /// The app's own value; none where it had none.
    own: Option<String>,
    /// Every value that was handed over: any of them may be there, after a kill.
    handed: BTreeSet<String>,
}

impl FlagVariables {
    /// What the host's flags mean for an app with the variables `env`; noted before anything changes.
    ///
    /// # Errors
    /// Files.
    pub(super) fn over(
        host: &Host<'_>,
        service: &Service,
        env: Option<&Map<String, Value>>,
    ) -> Result<Self, ServiceError> {
        if host.flags.is_empty() {
            return Ok(Self::default());
        }
        let path = host.file(service, ".handed.json")?;
        let mut notes: BTreeMap<String, Noted> = crate::system::files::read_state(&path)
            .ok()
            .and_then(|t| serde_json::from_slice(&t).ok())
            .unwrap_or_default();
        let mut flags = Self::default();
        for (name, wanted) in &host.flags {
            let now = env.and_then(|env| env.get(name)).map(in_text);
            let ours = |noted: &Noted| now.as_ref().is_some_and(|now| noted.handed.contains(now));
            match (wanted, notes.get_mut(name)) {
                (Some(value), noted) => {
                    let known = noted.filter(|noted| ours(noted) || now == noted.own);
                    if let Some(noted) = known {
                        noted.handed.insert(value.clone());
                    } else {
                        let handed = BTreeSet::from([value.clone()]);
                        notes.insert(name.clone(), Noted { own: now, handed });
                    }
                    flags.set.insert(name.clone(), value.clone());
                }
                (None, Some(noted)) if ours(noted) => match &noted.own {
                    Some(own) => drop(flags.set.insert(name.clone(), own.clone())),
                    None => flags.unset.push(name.clone()),
                },
                // It never was handed over, or someone gave the app another value since.
                (None, _) => {}
            }
        }
        let text = serde_json::to_vec_pretty(&notes).unwrap_or_default();
        // Flags may be secrets.
        files::write_durably(&path, &text, 0o600).map_err(ServiceError::at(&path))?;
        Ok(flags)
    }

    /// Words of a command that makes pm2 take the variables it is called with.
    pub(super) fn words<'w>(&self, command: &[&'w str]) -> Vec<&'w str> {
        let more = (!self.set.is_empty()).then_some("--update-env");
        command.iter().copied().chain(more).collect()
    }

    /// The variables to call pm2 with: it gives all that it is called with to the app, so whatever the app has of
    /// its own among the host's stays the app's.
    pub(super) fn variables(
        &self,
        host: &BTreeMap<OsString, OsString>,
        app: &Instance,
    ) -> BTreeMap<OsString, OsString> {
        let mut variables = host.clone();
        if self.set.is_empty() {
            return variables;
        }
        let own = app.settings.get("env").and_then(Value::as_object);
        for name in ["PATH", "HOME", "USER", "LANG"] {
            match own.and_then(|own| own.get(name)).map(in_text) {
                Some(value) => drop(variables.insert(name.into(), value.into())),
                None if name == "PATH" || name == "HOME" => {}
                None => drop(variables.remove(std::ffi::OsStr::new(name))),
            }
        }
        variables.extend(self.set.iter().map(|(name, value)| (name.into(), value.into())));
        variables
    }

    /// The same for a definition that the app is started from.
    pub(super) fn apply(&self, env: &mut Map<String, Value>) {
        for name in &self.unset {
            env.remove(name);
        }
        env.extend(self.set.iter().map(|(name, value)| (name.clone(), value.clone().into())));
    }
}

/// A value as a process finds it in its environment.
pub(super) fn in_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn listed(cwd: &Path, script: &Path) -> Vec<Instance> {
        let entry = json!({ "pid": 1, "pm2_env": {
            "name": "web", "pm_id": 3, "pm_cwd": cwd, "pm_exec_path": script, "status": "online",
            "exec_interpreter": "node", "exec_mode": "cluster_mode", "args": ["--a", "b"],
            "kill_timeout": 4000, "instance_var": "NODE_APP_INSTANCE",
            "pm_out_log_path": "/l/web-out-3.log", "pm_err_log_path": "/l/web-error-3.log",
            "env": { "PORT": "3000", "SECRET": "s", "PM2_HOME": "/h", "PM2_USAGE": "CLI", "web": "{}",
                     "unique_id": "u", "PWD": "/old", "NODE_APP_INSTANCE": 0 }
        }});
        parse(json!([entry, entry]).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_definition_holds_the_apps_own_variables_and_not_pm2s() {
        let definition =
            Definition::of(&listed(Path::new("/a"), Path::new("/a/server.js"))).unwrap();
        assert_eq!(definition.app["env"], json!({ "PORT": "3000", "SECRET": "s" }));
        assert_eq!(definition.app["instances"], 2);
        assert_eq!(definition.app["args"], json!(["--a", "b"]));
        assert_eq!(definition.app["kill_timeout"], 4000);
        assert_eq!(definition.app["error_file"], "/l/web-error.log");
        assert_eq!(Definition::read(definition.text().as_bytes()), Some(definition));
    }

    #[test]
    fn an_app_moves_to_the_live_tree_with_its_relative_script() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        for tree in [&old, &new] {
            std::fs::create_dir_all(tree.join("api")).unwrap();
            std::fs::write(tree.join("api/index.js"), "").unwrap();
            std::fs::write(tree.join("server.js"), "").unwrap();
        }
        let moved = |cwd: &Path, script: &Path, hint: Option<&Definition>| {
            let definition = Definition::of(&listed(cwd, script)).unwrap();
            definition.moved_to(&new, hint).map(|moved| (moved.cwd, moved.script))
        };
        let top = (new.clone(), new.join("server.js"));
        assert_eq!(moved(&old, &old.join("server.js"), None).unwrap(), top);
        assert_eq!(
            moved(&new, &new.join("server.js"), None).unwrap(),
            top,
            "it is in the right place"
        );
        assert_eq!(moved(&new, &old.join("server.js"), None).unwrap(), top);
        let api = (new.join("api"), new.join("api/index.js"));
        assert_eq!(moved(&old.join("api"), &old.join("api/index.js"), None).unwrap(), api);
        let hint = Definition::of(&listed(&new, &new.join("api/index.js"))).unwrap();
        assert_eq!(
            moved(&old, &old.join("server.js"), Some(&hint)).unwrap(),
            (new.clone(), new.join("api/index.js"))
        );
        let error = moved(&old, &old.join("missing.js"), None).unwrap_err().to_string();
        assert!(error.contains("no such script"), "{error}");
    }

    #[test]
    fn a_program_of_the_host_is_no_script_of_an_old_release() {
        let dir = tempfile::tempdir().unwrap();
        let path = |text: &str| dir.path().join(text);
        let write = |text: &str| {
            std::fs::create_dir_all(path(text).parent().unwrap()).unwrap();
            std::fs::write(path(text), "").unwrap();
            path(text)
        };
        let top = path("top");
        for file in ["server.js", "bin/www", "package.json", "node_modules/tsx/cli.mjs"] {
            write(&format!("top/{file}"));
        }
        let runs = |interpreter: &str, script: &Path| {
            runs_a_program(Some(&json!(interpreter)), script, &top)
        };
        // nvm's npm is a link into lib/node_modules.
        let cli = write("nvm/v20/lib/node_modules/npm/bin/npm-cli.js");
        std::fs::create_dir_all(path("nvm/v20/links")).unwrap();
        std::os::unix::fs::symlink(&cli, path("nvm/v20/links/npm")).unwrap();
        assert!(runs("node", &path("nvm/v20/links/npm")));
        assert!(runs("node", &write("home/.yarn/bin/yarn.js")));
        assert!(runs("none", &write("home/.bun/bun")));
        assert!(
            runs("node", &write("usr/lib/node_modules/tsx/cli.mjs")),
            "the host's, not the app's"
        );
        write("old/package.json");
        for script in ["server.js", "bin/www", "node_modules/tsx/cli.mjs"] {
            assert!(!runs("node", &write(&format!("old/{script}"))), "{script}");
            assert!(!runs("none", &path(&format!("old/{script}"))), "{script}");
        }
    }

    const ENTRY: &str = r#"{"pid":7,"name":"a","pm_id":0,"pm2_env":{"name":"a","status":"online",
        "pm_cwd":"/srv/a","pm_exec_path":"/srv/a/x.js","restart_time":3,"env":{"PORT":"80"}}}"#;

    #[test]
    fn noise_around_the_list_is_skipped() {
        let output =
            format!("\u{1b}[32m[PM2] Spawning\n[PM2] PM2 Successfully\n>>> notice\n[{ENTRY}]\nbye");
        let found = parse(output.as_bytes()).expect("a list");
        assert_eq!((found[0].name.as_str(), found[0].pid, found[0].restarts), ("a", Some(7), 3));
        assert_eq!(found[0].port(), Some(80));
        assert_eq!(parse(b"[]\n").map(|list| list.len()), Some(0));
    }

    #[test]
    fn what_is_no_list_is_not_taken_for_an_empty_one() {
        for output in ["", "[PM2] error\n", "[{\"pid\":1}]", "[{\"pid\":1,", "{}", "[1]"] {
            assert!(parse(output.as_bytes()).is_none(), "{output:?}");
        }
    }
}
