//! The git command, run so that nothing the repository's configuration names is ever executed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use super::config;
use super::locks::{self, LocksTaken, RunningCommand};
use super::repository::{Git, GitError};
use crate::system::orphans;
use crate::system::process::{Hold, Invocation, ProcessError};
use crate::system::signals::Until;

/// How long a command that only touches this disk may take.
const LOCAL_LIMIT: Duration = Duration::from_secs(300);

/// No command used here says more. TERM lets git remove its lock files and go when gitroll ends before it; what
/// git leaves (a shared ssh connection, a credential cache) continues.
const HOLD: Hold = Hold { most_output: 256 << 20, ends_with_us: true, leaves_group: true };

/// The same for every command.
const FIXED: [(&str, &str); 9] = [
    ("LANG", "C.UTF-8"),
    ("LC_ALL", "C.UTF-8"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_PROXY_COMMAND", ""),
    ("GIT_ALLOW_PROTOCOL", "file:http:https:ssh:git"),
    ("GIT_ADVICE", "0"),
];

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
    until: Until,
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
            until: Until::default(),
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
            problem: "its output could not be stored".to_owned(),
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

    /// What ends it early.
    pub(super) fn until(mut self, until: Until) -> Self {
        self.until = until;
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
        let invocation = self.invocation()?;
        let mut running = RunningCommand::begin(self.git, self.verb, &self.takes);
        let ended = invocation.run_held(HOLD, || {
            if let Some(command) = &mut running {
                command.beat();
            }
        });
        let killed = ended.as_ref().is_ok_and(|ended| !ended.by_itself());
        if killed {
            locks::note_killed();
        }
        match running {
            Some(command) if killed => command.was_killed(),
            Some(command) => command.came_to_its_end(),
            None => {}
        }
        let ended = ended.map_err(|error| {
            let program = self.git.program.display();
            failed(match error {
                ProcessError::NotFound { .. } => format!("the program {program} was not found"),
                ProcessError::Start { source, .. } => {
                    format!("the program {program} cannot start: {source}")
                }
            })
        })?;
        if ended.interrupted {
            return Err(failed("it was ended".to_owned()));
        }
        if ended.timed_out {
            let seconds = self.limit.as_secs();
            return Err(GitError::TimedOut { verb: self.verb.to_owned(), seconds });
        }
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        Ok(Answer { code: ended.code, stdout: ended.stdout, stderr })
    }

    fn invocation(&self) -> Result<Invocation, GitError> {
        let git = self.git;
        let mut env = git.environment.for_git();
        let mut set = |name: &str, value: &OsStr| env.insert(name.into(), value.to_owned());
        for (name, value) in FIXED {
            set(name, value.as_ref());
        }
        set("GIT_DIR", git.git_dir.as_ref());
        set("GIT_WORK_TREE", git.top.as_ref());
        set("GIT_ATTR_SOURCE", empty_tree(git).as_ref());
        set(orphans::CALL_VARIABLE, orphans::call_id().as_ref());
        let mut config = git.environment.configuration();
        if self.calm {
            config.extend(calming(git)?);
        }
        config.extend(self.config.iter().cloned());
        config::hand_over(config, &mut env);
        env.extend(self.env.clone());
        let global = ["--no-pager", "--no-replace-objects", self.verb].map(OsString::from);
        Ok(Invocation {
            args: global.into_iter().chain(self.args.iter().cloned()).collect(),
            env,
            input: (!self.input.is_empty()).then(|| self.input.clone()),
            limit: self.limit,
            until: self.until,
            ..Invocation::new(&git.program, &git.top)
        })
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
                format!("it exited with {code} and printed nothing")
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
