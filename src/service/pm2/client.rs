//! Asking pm2's daemon, calling the pm2 command, and seeing whether its daemon lives without calling it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::system::files;
use crate::system::process::{Finished, Invocation, find_program, telling_lines};
use crate::system::procs::{self, ProcessId};

use super::super::state::{Host, ServiceError};
use super::app::{self, Definition, FlagVariables, Instance};
use super::identity::{App, Found};
use super::rpc;

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(20);

/// A Unix socket's path must fit into 108 bytes; pm2 hangs or fails strangely beyond that.
const LONGEST_SOCKET: usize = 100;

/// What pm2 notes is never larger.
const MOST_BYTES: u64 = 64 << 20;

/// The command `pm2` for one `PM2_HOME`.
pub(super) struct Client {
    program: PathBuf,
    home: PathBuf,
    dir: PathBuf,
    env: BTreeMap<OsString, OsString>,
    /// Where node is: pm2 is a script of it, whose first line looks it up.
    node: Option<PathBuf>,
}

impl Client {
    /// pm2 as the binding has it.
    pub(super) fn new(host: &Host<'_>) -> Result<Self, ServiceError> {
        let home = match &host.binding.pm2_home {
            Some(home) => home.clone(),
            None => host.account().home.join(".pm2"),
        };
        let longest = home.join("rpc.sock").as_os_str().len();
        if longest > LONGEST_SOCKET {
            return Err(ServiceError::Unsupported(format!(
                "PM2_HOME {} is too long: pm2's socket in it would have {longest} bytes, \
                 and at most {LONGEST_SOCKET} work; choose a shorter one",
                home.display()
            )));
        }
        let mut env = host.environment();
        let node = host.binding.tools.node.as_deref().and_then(Path::parent).map(Path::to_owned);
        if let Some(dir) = &node {
            extend_path(&mut env, dir);
        }
        let program = host.binding.tools.pm2.clone().unwrap_or_else(|| "pm2".into());
        Ok(Self { node, ..Self::with(program, home, host.top.clone(), env) })
    }

    /// pm2 before there is a binding: with the caller's `PATH` and home.
    pub(super) fn outside(program: &Path, home: &Path) -> Self {
        let mut env: BTreeMap<OsString, OsString> = ["PATH", "HOME", "USER"]
            .into_iter()
            .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
            .collect();
        if let Some(dir) = program.parent() {
            extend_path(&mut env, dir);
        }
        Self::with(program.to_owned(), home.to_owned(), "/".into(), env)
    }

    fn with(
        program: PathBuf,
        home: PathBuf,
        dir: PathBuf,
        mut env: BTreeMap<OsString, OsString>,
    ) -> Self {
        env.insert("PM2_HOME".into(), home.clone().into());
        // No more than needed: what is set here enters the environment of an app that pm2 starts.
        env.insert("PM2_DISABLE_VERSION_CHECK".into(), "true".into());
        Self { program, home, dir, env, node: None }
    }

    /// That there is a pm2 to call.
    ///
    /// # Errors
    /// `NoTool`.
    pub(super) fn find(&self) -> Result<(), ServiceError> {
        let path = self.env.get(OsStr::new("PATH")).map(|path| path.to_string_lossy());
        find_program(&self.program, &path.unwrap_or_default())
            .map(drop)
            .ok_or_else(|| ServiceError::NoTool(self.program.display().to_string()))
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// The environment that pm2 is called with.
    pub(super) fn environment(&self) -> BTreeMap<OsString, OsString> {
        self.with_node(self.env.clone())
    }

    /// Where pm2's own package is, where that is to be seen: its `pm2` is a link, or a script that names it.
    pub(super) fn package(&self) -> Option<PathBuf> {
        let path = self.env.get(OsStr::new("PATH")).map(|path| path.to_string_lossy());
        let program = find_program(&self.program, &path.unwrap_or_default())?;
        let real = program.canonicalize().ok()?;
        let script = files::read_plain(&real, 4096).ok();
        let script = script.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let named = script.unwrap_or_default();
        let named = named.split([' ', '\'', '"', '\n']).filter(|word| word.starts_with('/'));
        let named = named.filter_map(|word| Path::new(word).canonicalize().ok());
        std::iter::once(real.clone()).chain(named).find_map(|path| {
            let package = path.ancestors().find(|dir| dir.ends_with("node_modules/pm2"))?;
            Some(package.to_owned())
        })
    }

    /// Where the daemon notes what it does.
    pub(super) fn own_log(&self) -> PathBuf {
        self.home.join("pm2.log")
    }

    /// pm2's daemon, if it lives. Looks at its pid file and at /proc, and calls nothing: any pm2 command
    /// would start a daemon if there is none.
    pub(super) fn daemon(&self) -> Option<ProcessId> {
        let noted = files::read_plain(&self.home.join("pm2.pid"), MOST_BYTES)
            .ok()
            .and_then(|text| String::from_utf8_lossy(&text).trim().parse().ok())
            .filter(|pid| self.is_daemon(*pid));
        // A daemon whose pid file was removed still answers.
        let pid =
            noted.or_else(|| procs::running().into_iter().find(|pid| self.is_daemon(*pid)))?;
        ProcessId::of(pid)
    }

    fn is_daemon(&self, pid: u32) -> bool {
        let Some(title) = title(pid) else { return false };
        let title = title.as_bytes();
        let holds = |part: &[u8]| title.windows(part.len()).any(|window| window == part);
        // It gives itself this title once it is up; before, it is node running this file.
        let titled = holds(b"God Daemon (")
            && holds(&[b"(", self.home.as_os_str().as_bytes(), b")"].concat());
        let starting = holds(b"/pm2/lib/Daemon.js")
            && procs::has_variable(pid, "PM2_HOME", self.home.as_os_str());
        titled || starting
    }

    /// All instances of all apps: as the daemon answers by its socket, else as `pm2 jlist` says.
    pub(super) fn list(&self) -> Result<Vec<Instance>, ServiceError> {
        if let Some(instances) = self.list_by_socket() {
            return Ok(instances);
        }
        let finished = self.call(&["jlist"], QUESTION)?;
        app::parse(&finished.stdout).ok_or_else(|| failed("pm2 jlist", &finished, QUESTION))
    }

    /// `None` where anything about the daemon, its socket or its answer is not as it is known.
    fn list_by_socket(&self) -> Option<Vec<Instance>> {
        // pm2 takes this for the socket's path.
        if self.env.contains_key(OsStr::new("PM2_DAEMON_RPC_PORT")) {
            return None;
        }
        let daemon = title(self.daemon()?.pid)?;
        if !rpc::is_known(&daemon.to_string_lossy()) {
            return None;
        }
        let began = Instant::now();
        let entries = rpc::monitor_data(&self.home);
        let entries = entries.inspect_err(|error| tracing::debug!("pm2's socket: {error}")).ok()?;
        tracing::debug!("pm2's socket: {} processes in {:.1?}", entries.len(), began.elapsed());
        app::instances(&entries)
    }

    /// One app.
    pub(super) fn found(&self, app: &App<'_>) -> Result<Found, ServiceError> {
        app.among(self.list()?)
    }

    /// An app as `pm2 save` kept it.
    pub(super) fn saved(&self, app: &App<'_>) -> Option<Definition> {
        let text = files::read_plain(&self.home.join("dump.pm2"), MOST_BYTES).ok()?;
        Definition::of(&app.saved(app::parse_saved(&text)?))
    }

    /// Puts the app, as it runs, into what `pm2 save` kept, where it is there in another form. The entries of other apps
    /// stay as they are: a save of all would keep whatever state those happen to be in.
    pub(super) fn save_again(&self, app: &App<'_>, now: &[Instance]) -> Result<(), String> {
        let path = self.home.join("dump.pm2");
        let Ok(text) = files::read_plain(&path, MOST_BYTES) else { return Ok(()) };
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        let entries: Vec<Value> = serde_json::from_slice(&text)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let own = |entry: &Value| {
            let saved = app::parse_saved(Value::from(vec![entry.clone()]).to_string().as_bytes());
            saved.is_some_and(|saved| !app.saved(saved).is_empty())
        };
        let Some(first) = entries.iter().position(own) else { return Ok(()) };
        let mut saved: Vec<Value> = entries.iter().filter(|entry| !own(entry)).cloned().collect();
        for instance in now.iter().rev() {
            let mut settings = instance.settings.clone();
            // As pm2 itself leaves out.
            settings.remove("instances");
            settings.remove("pm_id");
            saved.insert(first.min(saved.len()), Value::Object(settings));
        }
        let mode = std::fs::metadata(&path).map_err(told)?.permissions().mode() & 0o777;
        let text = Value::from(saved).to_string();
        files::write_durably(&path, text.as_bytes(), mode).map_err(told)
    }

    /// Has pm2 change something. Its exit code is not trusted; what it says of a failure is returned.
    pub(super) fn change(
        &self,
        args: &[impl AsRef<OsStr>],
        limit: Duration,
    ) -> Result<Option<String>, ServiceError> {
        self.change_with_flags(args, limit, &FlagVariables::default(), None)
    }

    /// The same, flags variables over to the app.
    pub(super) fn change_with_flags(
        &self,
        args: &[impl AsRef<OsStr>],
        limit: Duration,
        flags: &FlagVariables,
        app: Option<&Instance>,
    ) -> Result<Option<String>, ServiceError> {
        let env = app.map_or_else(|| self.env.clone(), |app| flags.variables(&self.env, app));
        let env = self.with_node(env);
        let finished = self.call_in(args, limit, env)?;
        if finished.timed_out {
            return Err(failed(&spelled(args), &finished, limit));
        }
        if finished.success() {
            return Ok(None);
        }
        let lines = telling_lines(&[finished.stderr, finished.stdout].concat(), 3);
        Ok(Some(lines.join(" · ")).filter(|lines| !lines.is_empty()))
    }

    fn with_node(&self, mut env: BTreeMap<OsString, OsString>) -> BTreeMap<OsString, OsString> {
        if let Some(dir) = &self.node {
            extend_path(&mut env, dir);
        }
        env
    }

    fn call(&self, args: &[impl AsRef<OsStr>], limit: Duration) -> Result<Finished, ServiceError> {
        self.call_in(args, limit, self.env.clone())
    }

    fn call_in(
        &self,
        args: &[impl AsRef<OsStr>],
        limit: Duration,
        env: BTreeMap<OsString, OsString>,
    ) -> Result<Finished, ServiceError> {
        let invocation = Invocation {
            args: args.iter().map(|arg| arg.as_ref().to_owned()).collect(),
            env,
            limit,
            ..Invocation::new(&self.program, &self.dir)
        };
        invocation.run().map_err(|error| ServiceError::not_run(&spelled(args), error))
    }
}

/// What a process calls itself.
fn title(pid: u32) -> Option<OsString> {
    procs::command_line(pid).map(|words| words.join(OsStr::new(" ")))
}

fn failed(command: &str, finished: &Finished, limit: Duration) -> ServiceError {
    let lines = telling_lines(&[&finished.stderr[..], &finished.stdout[..]].concat(), 3);
    let problem = if finished.timed_out {
        format!("did not end within {} s", limit.as_secs())
    } else if lines.is_empty() {
        "gave no answer that could be read".to_owned()
    } else {
        lines.join(" · ")
    };
    ServiceError::Failed { command: command.to_owned(), problem }
}

fn spelled(args: &[impl AsRef<OsStr>]) -> String {
    let words: Vec<String> = args.iter().map(|arg| arg.as_ref().display().to_string()).collect();
    format!("pm2 {}", words.join(" "))
}

/// Adds `dir` behind the directories of `PATH`.
fn extend_path(env: &mut BTreeMap<OsString, OsString>, dir: &Path) {
    let path = env.entry("PATH".into()).or_default();
    if !std::env::split_paths(path).any(|known| known == dir) {
        if !path.is_empty() {
            path.push(":");
        }
        path.push(dir);
    }
}
