//! The git command, run so that nothing the repository's configuration names is ever executed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::config;
use super::locks::{self, LocksTaken, RunningCommand};
use super::repository::{Git, GitError};
use crate::system::{orphans, process, signals};

/// How long a command that only touches this disk may take.
const LOCAL_LIMIT: Duration = Duration::from_secs(300);

/// Output beyond this is dropped: no command used here says more.
const MOST_OUTPUT: usize = 256 << 20;

/// Settings under which no git command executes, follows or rewrites what the repository names. They go in
/// by the environment and not by `-c`, so that a section name may hold any byte.
const CALM: [(&str, &str); 21] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.trustctime", "true"),
    ("core.checkStat", "default"),
    ("core.autocrlf", "false"),
    ("core.safecrlf", "false"),
    ("core.eol", "lf"),
    ("core.fileMode", "true"),
    ("core.symlinks", "true"),
    ("core.alternateRefsCommand", "true"),
    ("core.attributesFile", "/dev/null"),
    ("core.askPass", ""),
    ("core.pager", "cat"),
    ("core.editor", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("protocol.ext.allow", "never"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("push.recurseSubmodules", "no"),
    ("push.gpgSign", "false"),
];

/// One git command to run.
pub(super) struct Call<'a> {
    git: &'a Git,
    verb: &'static str,
    args: Vec<OsString>,
    input: Vec<u8>,
    env: BTreeMap<OsString, OsString>,
    config: Vec<(OsString, OsString)>,
    limit: Duration,
    calm: bool,
    takes: LocksTaken,
}

/// What a command answered.
pub(super) struct Answer {
    /// The exit code; `None` when a signal ended it.
    pub(super) code: Option<i32>,
    /// Standard output.
    pub(super) stdout: Vec<u8>,
    /// Standard error, as text.
    pub(super) stderr: String,
}

impl Git {
    /// `git VERB`, calmed.
    pub(super) fn call(&self, verb: &'static str) -> Call<'_> {
        Call {
            git: self,
            verb,
            args: Vec::new(),
            input: Vec::new(),
            env: BTreeMap::new(),
            config: Vec::new(),
            limit: LOCAL_LIMIT,
            calm: true,
            takes: LocksTaken::default(),
        }
    }

    /// The configuration, read once.
    pub(super) fn settings(&self) -> Result<&config::Settings, GitError> {
        if self.settings.get().is_none() {
            let listed = Call::listing(self).run_ok()?;
            let _ = self.settings.set(config::parse(&listed));
        }
        self.settings.get().ok_or_else(|| GitError::Command {
            verb: "config".to_owned(),
            problem: "its answer could not be kept".to_owned(),
        })
    }

    /// The version of the git command, as it says it: `2.47.3`.
    ///
    /// # Errors
    /// `Command` when it cannot be run.
    pub fn version(&self) -> Result<String, GitError> {
        let said = String::from_utf8_lossy(&Call::version(self).run_ok()?).into_owned();
        Ok(said.trim().trim_start_matches("git version ").to_owned())
    }
}

impl<'a> Call<'a> {
    /// `git config --list`, from which the calming of all others is made.
    pub(super) fn listing(git: &'a Git) -> Self {
        let mut call = git.call("config").args(["--list", "--show-scope", "-z"]);
        call.calm = false;
        call
    }

    /// `git version`, which also a git answers that is too old to list its settings.
    pub(super) fn version(git: &'a Git) -> Self {
        let mut call = git.call("version");
        call.calm = false;
        call
    }

    pub(super) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn args<I>(mut self, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Bytes for standard input.
    pub(super) fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = bytes;
        self
    }

    /// One more variable.
    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.into(), value.as_ref().to_owned());
        self
    }

    /// More variables.
    pub(super) fn envs(mut self, variables: BTreeMap<OsString, OsString>) -> Self {
        self.env.extend(variables);
        self
    }

    /// One more setting; wins over every file.
    pub(super) fn config(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.config.push((key.into(), value.into()));
        self
    }

    /// Writes reach the disk before git says done (but never the directories: those are ours to sync).
    pub(super) fn durable(self) -> Self {
        self.config("core.fsync", "all").config("core.fsyncMethod", "fsync")
    }

    /// The locks it takes, so that they are known for ours where it is killed.
    pub(super) fn takes(mut self, takes: LocksTaken) -> Self {
        self.takes = takes;
        self
    }

    pub(super) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it and takes its standard output; a failing exit is an error with its telling lines.
    pub(super) fn run_ok(self) -> Result<Vec<u8>, GitError> {
        let verb = self.verb;
        let answer = self.run()?;
        match answer.code {
            Some(0) => Ok(answer.stdout),
            _ => Err(GitError::Command { verb: verb.to_owned(), problem: answer.problem() }),
        }
    }

    /// Runs it to its end, whatever it answers.
    pub(super) fn run(self) -> Result<Answer, GitError> {
        let failed = |problem: String| GitError::Command { verb: self.verb.to_owned(), problem };
        let mut command = self.command()?;
        let mut running = RunningCommand::begin(self.git, self.verb, &self.takes);
        let mut child = command.spawn().map_err(|e| {
            failed(match e.kind() {
                std::io::ErrorKind::NotFound => {
                    format!("the program {} was not found", self.git.program.display())
                }
                _ => format!("the program {} cannot start: {e}", self.git.program.display()),
            })
        })?;
        // Threads, because a child that fills one pipe while we read another would wait for ever.
        if let Some(mut pipe) = child.stdin.take() {
            let input = self.input;
            let written = thread::Builder::new().spawn(move || {
                // A child that does not read its input says why on standard error.
                let _ = pipe.write_all(&input);
            });
            if let Err(error) = written {
                end(&mut child);
                return Err(failed(error.to_string()));
            }
        }
        let stdout = child.stdout.take().map(Stream::of).transpose();
        let stderr = child.stderr.take().map(Stream::of).transpose();
        let (Ok(stdout), Ok(stderr)) = (stdout, stderr) else {
            end(&mut child);
            return Err(failed("its output cannot be read: no thread is to be had".to_owned()));
        };
        let code =
            wait(&mut child, self.limit, running.as_mut()).map_err(|e| failed(e.to_string()))?;
        if code.is_none() {
            end(&mut child);
        }
        let killed = matches!(code, None | Some(None));
        if killed {
            locks::note_killed();
        }
        match running {
            Some(noted) if killed => noted.was_killed(),
            Some(noted) => noted.came_to_its_end(),
            None => {}
        }
        let stdout = stdout.map(Stream::take).unwrap_or_default();
        let stderr = stderr.map(Stream::take).unwrap_or_default();
        match code {
            None if signals::leave_asked() => Err(failed("it was ended".to_owned())),
            None => Err(GitError::TimedOut {
                verb: self.verb.to_owned(),
                seconds: self.limit.as_secs(),
            }),
            Some(code) => {
                Ok(Answer { code, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
            }
        }
    }

    fn command(&self) -> Result<Command, GitError> {
        let git = self.git;
        let mut command = Command::new(&git.program);
        command
            .arg("--no-pager")
            .arg("--no-replace-objects")
            .arg(self.verb)
            .args(&self.args)
            .current_dir(&git.top)
            .env_clear()
            .envs(git.environment.for_git())
            .env("LANG", "C.UTF-8")
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_DIR", &git.git_dir)
            .env("GIT_WORK_TREE", &git.top)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_ATTR_SOURCE", empty_tree(git))
            .env("GIT_PROXY_COMMAND", "")
            .env("GIT_ALLOW_PROTOCOL", "file:http:https:ssh:git")
            .env("GIT_ADVICE", "0")
            .env(orphans::CALL_VARIABLE, orphans::call_id());
        let mut config = git.environment.configuration();
        if self.calm {
            config.extend(calming(git)?);
        }
        config.extend(self.config.iter().cloned());
        command.env("GIT_CONFIG_COUNT", config.len().to_string());
        for (n, (key, value)) in config.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{n}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        command
            .envs(&self.env)
            .stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own group, so that a time limit ends ssh and other children too.
            .process_group(0);
        process::end_with_us(&mut command);
        Ok(command)
    }
}

impl Answer {
    /// The last telling lines of standard error.
    pub(super) fn problem(&self) -> String {
        let lines: Vec<&str> = self
            .stderr
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
            .collect();
        let telling = lines.iter().filter(|line| {
            ["fatal:", "error:", "!", "remote:"].iter().any(|word| line.starts_with(word))
        });
        let mut chosen: Vec<&str> = telling.copied().collect();
        if chosen.is_empty() {
            chosen = lines;
        }
        let from = chosen.len().saturating_sub(4);
        match (chosen[from..].join("; "), self.code) {
            (text, Some(code)) if text.is_empty() => {
                format!("it exited with {code} and said nothing")
            }
            (text, None) if text.is_empty() => "a signal ended it".to_owned(),
            (text, _) => text.replace("fatal: ", "").replace("error: ", ""),
        }
    }
}

/// [`CALM`] and, for every filter and configured hook that any file declares, its disarming.
fn calming(git: &Git) -> Result<Vec<(OsString, OsString)>, GitError> {
    let settings = git.settings()?;
    let mut config: Vec<(OsString, OsString)> =
        CALM.iter().map(|(key, value)| (key.into(), value.into())).collect();
    let disarmed = [
        ("filter", "clean", ""),
        ("filter", "smudge", ""),
        ("filter", "process", ""),
        ("filter", "required", "false"),
        ("hook", "event", ""),
        ("hook", "enabled", "false"),
        ("hook", "command", "true"),
    ];
    for section in ["filter", "hook"] {
        for name in settings.subsections(section) {
            for (_, variable, value) in disarmed.iter().filter(|(of, ..)| *of == section) {
                let key = [section.as_bytes(), b".", &name, b".", variable.as_bytes()].concat();
                config.push((OsString::from_vec(key), value.into()));
            }
        }
    }
    Ok(config)
}

/// The id of the empty tree: attributes are taken from there, so from nowhere.
fn empty_tree(git: &Git) -> String {
    gix::ObjectId::empty_tree(git.repo.object_hash()).to_string()
}

/// Output that a thread is still taking in.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Stream {
    fn of(mut pipe: impl Read + Send + 'static) -> std::io::Result<Self> {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, ended) = mpsc::channel();
        let taken = Arc::clone(&bytes);
        thread::Builder::new().spawn(move || {
            let mut chunk = vec![0; 64 << 10];
            while let Ok(n) = pipe.read(&mut chunk) {
                if n == 0 {
                    break;
                }
                if let Ok(mut taken) = taken.lock()
                    && taken.len() < MOST_OUTPUT
                {
                    taken.extend_from_slice(&chunk[..n]);
                }
            }
            let _ = sender.send(());
        })?;
        Ok(Self { bytes, ended })
    }

    /// What was said. A process that git left behind (a shared ssh connection) may hold the pipe open: it
    /// is not waited for.
    fn take(self) -> Vec<u8> {
        let _ = self.ended.recv_timeout(Duration::from_secs(1));
        self.bytes.lock().map(|mut bytes| std::mem::take(&mut *bytes)).unwrap_or_default()
    }
}

/// Waits for the end: `Some(code)`, or `None` when the limit, or a person who wants out, came first.
fn wait(
    child: &mut Child,
    limit: Duration,
    mut running: Option<&mut RunningCommand>,
) -> std::io::Result<Option<Option<i32>>> {
    let begun = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.code()));
        }
        if begun.elapsed() >= limit || signals::leave_asked() {
            return Ok(None);
        }
        if let Some(noted) = running.as_deref_mut() {
            noted.beat();
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Ends a child and its group: TERM lets git remove its lock files, KILL comes 2 s later.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let signal = |signal| {
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    };
    signal(rustix::process::Signal::TERM);
    let begun = Instant::now();
    while !matches!(child.try_wait(), Ok(Some(_))) && begun.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(10));
    }
    signal(rustix::process::Signal::KILL);
    let _ = child.wait();
}
