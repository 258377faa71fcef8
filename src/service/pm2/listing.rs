//! What `pm2 jlist` says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

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
    /// Its working directory.
    pub(super) cwd: PathBuf,
    /// The script.
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
        let settings = |entry: &Value| -> Option<Instance> {
            let settings = entry.get("pm2_env")?.as_object()?.clone();
            Instance::new(settings, entry.get("pid").and_then(Value::as_u64))
        };
        entries.iter().map(settings).collect()
    })
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
    /// pm2 keeps the real path when it was started inside of a symbolic link, and then goes on to serve
    /// the old release although every reload succeeds. A program outside of the tree (npm, a global
    /// tool) is no sign of that as long as its working directory is inside.
    pub(super) fn stale(&self, top: &Path) -> Option<String> {
        let top = resolved(top);
        if !resolved(&self.cwd).starts_with(&top) {
            return Some(format!("runs in {}, not in {}", self.cwd.display(), top.display()));
        }
        let program = runs_a_program(self.settings.get("exec_interpreter"), &self.script);
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

/// A path without symbolic links, as far as it exists.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let existing =
        path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    let Some((ancestor, real)) = existing else {
        return path.to_owned();
    };
    match path.strip_prefix(ancestor) {
        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
        _ => real,
    }
}

/// Whether what pm2 executes is an installed program rather than a script of the app.
pub(super) fn runs_a_program(interpreter: Option<&Value>, script: &Path) -> bool {
    interpreter.is_some_and(|interpreter| interpreter == "none")
        || script.components().any(|part| part.as_os_str() == "node_modules")
}

#[cfg(test)]
mod tests {
    use super::*;

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
