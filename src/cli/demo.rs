//! `gitroll demo`

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::report::demo::{self, Release};
use crate::system::files;
use crate::system::process::{self, Finished, Invocation};
use crate::ui::{Ui, duration};

/// Watch a good release, a bad release and a rollback in a temporary app
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll demo           take a few seconds and leave nothing behind
  gitroll demo --keep    keep the app running, and print how to inspect and end it

demo needs git, ssh-keygen, and node or perl. It neither reads nor writes your configuration.")]
pub struct DemoArgs {
    /// Keep the directory and leave the service running
    #[arg(long)]
    keep: bool,
}

/// The answer of `demo`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DemoAnswer {
    /// How long all of it took, in milliseconds.
    pub took_millis: u64,
    /// How long the rollback took, from the command to its exit, in milliseconds.
    pub rollback_millis: u64,
    /// Where it is kept, with `--keep`.
    pub kept: Option<String>,
}

/// Runs it.
///
/// # Errors
/// When a tool is missing, or a command does not end as it must.
pub fn run(_globals: &Globals, ui: &Ui, args: &DemoArgs) -> Result<Exit, Failure> {
    let begin = Instant::now();
    let home = tempfile::Builder::new()
        .prefix("gitroll-demo-")
        .tempdir()
        .map_err(|e| Failure::unchanged(format!("no temporary directory: {e}")))?;
    let stage = Stage::set(home.path(), ui)?;
    let played = stage.play();
    if args.keep {
        let kept = home.keep();
        match &played {
            Ok(_) => stage.tell("Kept; 1.0.0 still serves. To look around, and to end it:"),
            Err(_) => stage.tell("Kept as it is. To look around, and to end it:"),
        }
        let gitroll = format!("{} -C {}", stage.gitroll.display(), stage.app.display());
        ui.line(&format!("  export GITROLL_HOME={}", kept.join("host").display()));
        ui.line(&format!("  {gitroll} status"));
        ui.line(&format!("  {gitroll} service stop && rm -r {}", kept.display()));
        answer(ui, begin.elapsed(), played?, Some(kept.display().to_string()));
        return Ok(Exit::Done);
    }
    stage.strike();
    let rollback = played?;
    stage.tell(&format!(
        "The rollback took {}, the whole demo {}. Nothing is left running.",
        duration(rollback),
        duration(begin.elapsed())
    ));
    ui.line("  next     cd YOUR-APP && gitroll init    does not reload or move anything");
    answer(ui, begin.elapsed(), rollback, None);
    Ok(Exit::Done)
}

fn answer(ui: &Ui, took: Duration, rollback: Duration, kept: Option<String>) {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let answer = DemoAnswer { took_millis: millis(took), rollback_millis: millis(rollback), kept };
    ui.document("demo", 0, &answer);
}

/// How long after its start the bad release begins to fail.
const FAILS_AFTER: Duration = Duration::from_secs(3);
/// How long its failing is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

struct Stage<'a> {
    ui: &'a Ui,
    gitroll: PathBuf,
    git: PathBuf,
    app: PathBuf,
    env: BTreeMap<OsString, OsString>,
    config: String,
    server: &'static str,
}

impl<'a> Stage<'a> {
    fn set(home: &Path, ui: &'a Ui) -> Result<Self, Failure> {
        let path = std::env::var("PATH").unwrap_or_default();
        let find = |name: &str| process::find_program(Path::new(name), &path);
        let git = find("git").ok_or_else(|| Failure::unchanged("git was not found"))?;
        let (interpreter, server) = match (find("node"), find("perl")) {
            (Some(node), _) => (node, demo::NODE_SERVER),
            (None, Some(perl)) => (perl, demo::PERL_SERVER),
            (None, None) => {
                return Err(Failure::unchanged("the demo's app needs node or perl")
                    .next("apt-get install perl-base", "is enough"));
            }
        };
        let gitroll = std::env::current_exe()
            .map_err(|e| Failure::unchanged(format!("where is gitroll? {e}")))?;
        let port = crate::check::free_loopback_port()
            .map_err(|e| Failure::unchanged(format!("no free port: {e}")))?;
        let app = home.join("app");
        for dir in ["app", "home"] {
            files::make_private_dir(&home.join(dir))
                .map_err(|e| Failure::unchanged(format!("{}: {e}", home.display())))?;
        }
        let config = demo::config(&interpreter.display().to_string(), server, port)
            .map_err(|e| Failure::unchanged(e.to_string()))?;
        let env = environment(home, &path);
        Ok(Self { ui, gitroll, git, app, env, config, server })
    }

    /// The story, from the first commit to the record. How long the rollback took.
    fn play(&self) -> Result<Duration, Failure> {
        self.tell("A temporary app with one commit, 1.0.0. Nothing runs yet. Bind it:");
        self.quietly(&["init", "-q", "-b", "main"])?;
        self.release("1.0.0", "0", "The good release")?;
        self.gitroll(&["init", "--yes", "--name", "web-1"])?;
        self.tell("Start 1.0.0, see it serve, and give it a stable tag:");
        self.gitroll(&["deploy"])?;
        self.gitroll(&["promote"])?;
        let seconds = FAILS_AFTER.as_secs();
        self.tell(&format!("Commit 1.1.0. It starts well, and begins to fail after {seconds} s:"));
        let fails = FAILS_AFTER.as_millis().to_string();
        self.release("1.1.0", &fails, "A release with a bug")?;
        self.gitroll(&["deploy"])?;
        self.until_it_fails()?;
        self.tell("It passed every check, and now it fails. What is the state?");
        self.gitroll(&["status"])?;
        self.tell("Roll back, with one command:");
        let begin = Instant::now();
        self.gitroll(&["back", "--yes", "--reason", "500s since the release"])?;
        let rollback = begin.elapsed();
        self.tell("What happened, and which targets remain? 1.1.0 is marked bad.");
        self.gitroll(&["log"])?;
        self.gitroll(&["targets"])?;
        self.plain_git()?;
        Ok(rollback)
    }

    /// The record, read and verified without gitroll.
    fn plain_git(&self) -> Result<(), Failure> {
        self.tell("Every record is a signed tag. Plain git shows the same, without gitroll:");
        let records = "refs/tags/gitroll/";
        let format = "--format=%(refname:lstrip=5)  %(contents:subject)";
        self.git_shown(&["for-each-ref", format, records])?;
        let last_back = format!("{records}production/*/*-back");
        let newest =
            self.run(&self.git, &["for-each-ref", "--format=%(refname:short)", &last_back])?;
        let newest = String::from_utf8_lossy(&newest.stdout).trim().to_owned();
        let setting = "gpg.ssh.allowedSignersFile=../host/trust";
        self.git_shown(&["-c", setting, "verify-tag", &newest])
    }

    fn until_it_fails(&self) -> Result<(), Failure> {
        let config = crate::config::parse(&self.config, "gitroll.toml")?;
        let begin = Instant::now();
        while crate::check::look(&config.checks, None).iter().all(|check| check.passed) {
            if begin.elapsed() > PATIENCE {
                return Err(Failure::unchanged("the release that should fail does not fail"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn release(&self, version: &str, fails_after: &str, message: &str) -> Result<(), Failure> {
        let release = Release { version, fails_after, server: self.server, config: &self.config };
        for (name, content) in release.files() {
            let path = self.app.join(name);
            std::fs::write(&path, content)
                .map_err(|e| Failure::unchanged(format!("{}: {e}", path.display())))?;
        }
        self.quietly(&["add", "-A"])?;
        let message = format!("{message}: {version}");
        self.quietly(&["commit", "-q", "-m", &message])
    }

    fn gitroll(&self, args: &[&str]) -> Result<(), Failure> {
        self.ui.line(&format!("$ gitroll {}", quoted(args)));
        self.shown(&self.gitroll, args)
    }

    fn git_shown(&self, args: &[&str]) -> Result<(), Failure> {
        self.ui.line(&format!("$ git {}", quoted(args)));
        self.shown(&self.git, args)
    }

    fn quietly(&self, args: &[&str]) -> Result<(), Failure> {
        let done = self.run(&self.git, args)?;
        if done.success() {
            return Ok(());
        }
        Err(Failure::unchanged(format!("git {} failed", args.join(" ")))
            .detail(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
    }

    fn shown(&self, program: &Path, args: &[&str]) -> Result<(), Failure> {
        let done = self.run(program, args)?;
        let said = [done.stderr.clone(), done.stdout.clone()].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        for line in said.lines() {
            self.ui.line(&format!("  {line}"));
        }
        if done.success() {
            return Ok(());
        }
        let code = done.code.map_or("a signal".to_owned(), |code| code.to_string());
        let failure = format!("the demo's `{}` ended with {code}", quoted(args));
        let failure = said.lines().fold(Failure::unchanged(failure), Failure::detail);
        Err(failure.next("gitroll demo --keep", "keeps everything for a look at it"))
    }

    fn run(&self, program: &Path, args: &[&str]) -> Result<Finished, Failure> {
        let mut run = Invocation::new(program, &self.app);
        run.args = args.iter().map(OsString::from).collect();
        run.env = self.env.clone();
        run.run().map_err(|e| Failure::unchanged(e.to_string()))
    }

    fn tell(&self, text: &str) {
        self.ui.line("");
        self.ui.line(&self.ui.out.bold(text));
    }

    /// Ends the app.
    fn strike(&self) {
        let _ = self.run(&self.gitroll, &["service", "stop"]);
    }
}

/// A host of its own: nothing of the person's configuration is read or written.
fn environment(home: &Path, path: &str) -> BTreeMap<OsString, OsString> {
    let own = |name: &str| home.join(name).into_os_string();
    let mut env: BTreeMap<OsString, OsString> = [
        ("PATH", path.into()),
        ("HOME", own("home")),
        ("GITROLL_HOME", own("host")),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_AUTHOR_NAME", "Ana".into()),
        ("GIT_AUTHOR_EMAIL", "ana@example.com".into()),
        ("GIT_COMMITTER_NAME", "Ana".into()),
        ("GIT_COMMITTER_EMAIL", "ana@example.com".into()),
        ("GITROLL_ACTOR", "ana".into()),
    ]
    .map(|(name, value): (&str, OsString)| (name.into(), value))
    .into();
    for name in ["LANG", "LC_ALL", "TZ"] {
        if let Some(value) = std::env::var_os(name) {
            env.insert(name.into(), value);
        }
    }
    env
}

fn quoted(args: &[&str]) -> String {
    let quote = |arg: &&str| {
        if !arg.contains([' ', '*', '(', '%']) {
            return (*arg).to_owned();
        }
        match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => format!("{name}='{value}'"),
            _ => format!("'{arg}'"),
        }
    };
    args.iter().map(quote).collect::<Vec<_>>().join(" ")
}
