//! How an app was started: enough to start it again when pm2 no longer knows it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::super::ServiceError;
use super::handing::Handing;
use super::listing::{Instance, resolved, runs_a_program};

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
    /// The definition behind the instances of one app; `None` where there are none, or where a path
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
            Err(_) if self.is_program() => Some((self.script.clone(), top.to_owned())),
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
                    "pm2 ran {}, and there is no such script in {}",
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
    pub(super) fn handed(mut self, handing: &Handing) -> Self {
        let mut env = self.variables().cloned().unwrap_or_default();
        handing.apply(&mut env);
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
        resolved(&self.cwd).starts_with(&top)
            && script.exists()
            && (self.is_program() || script.starts_with(&top))
    }

    fn is_program(&self) -> bool {
        runs_a_program(self.app.get("interpreter"), &self.script)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::listing::parse;
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
        assert_eq!(moved(&new, &new.join("server.js"), None).unwrap(), top, "it lies right");
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
}
