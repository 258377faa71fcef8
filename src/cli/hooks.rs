//! `gitroll hooks`, and `gitroll hook`, which the hooks themselves call.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::session::Session;
use crate::act::failure::SAME_COMMAND;
use crate::act::receive::Begun;
use crate::act::{guard, hook, receive};
use crate::config::Roles;
use crate::ledger::key::Offered;
use crate::site::hooks::{
    self, HookState, POST_RECEIVE, PRE_PUSH, PRE_RECEIVE, Receive, Server, ServerHooks, UPDATE,
};
use crate::ui::{Ui, escape};

/// Let git notify gitroll when HEAD is moved by hand
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll hooks install      before the first `git pull` by hand
  gitroll hooks status       which hooks are there, and what else they run
  gitroll hooks uninstall    restore each hook, byte for byte
  gitroll hooks install --server --trust allowed_signers
                             on the server: guard what people push

When somebody moves HEAD (git pull, checkout, merge, rebase), the state before is recorded and tagged, and \
`gitroll targets` shows it. A hook never asks, never makes git fail, and does nothing while gitroll itself runs git.

With --server, in the bare repository that people push to: people can only add stable tags and records, and with --deploy \
what is pushed is deployed.")]
pub struct HooksArgs {
    #[command(subcommand)]
    verb: HooksVerb,
}

#[derive(Debug, Subcommand)]
enum HooksVerb {
    /// Add gitroll's lines to the hooks; existing content runs after them
    Install(InstallArgs),
    /// Show the hooks and whether gitroll's lines are in them
    Status(ServerArgs),
    /// Remove gitroll's lines
    Uninstall(ServerArgs),
}

#[derive(Debug, Args)]
struct ServerArgs {
    /// Install in the bare repository that people push to
    #[arg(long)]
    server: bool,
}

#[derive(Debug, Args)]
struct InstallArgs {
    #[command(flatten)]
    of: ServerArgs,
    /// File with trusted keys, in ssh's allowed_signers format
    #[arg(long, value_name = "FILE", requires = "server")]
    trust: Option<PathBuf>,
    /// File that says which key may do what, as roles.toml does
    #[arg(long, value_name = "FILE", requires = "server")]
    roles: Option<PathBuf>,
    /// Pattern of stable tags
    #[arg(long, value_name = "PATTERN", default_value = guard::USUAL, requires = "server")]
    stable: String,
    /// Judge each ref by itself, in git's update hook: what is refused keeps nothing else out
    #[arg(long, requires = "server")]
    each_ref: bool,
    /// Deploy pushes to BRANCH in this checkout
    #[arg(long, value_name = "DIR", requires = "server")]
    deploy: Option<PathBuf>,
    /// Branch to deploy
    #[arg(long, default_value = "main", requires = "deploy")]
    branch: String,
    /// Directory of the server's hooks in the repository, e.g. custom_hooks; default: where git looks
    #[arg(long, value_name = "DIR", requires = "server")]
    hooks_dir: Option<PathBuf>,
}

impl HooksArgs {
    fn server(&self) -> bool {
        match &self.verb {
            HooksVerb::Install(install) => install.of.server,
            HooksVerb::Status(of) | HooksVerb::Uninstall(of) => of.server,
        }
    }

    pub(super) fn only_looks(&self) -> bool {
        matches!(self.verb, HooksVerb::Status(_))
    }
}

/// The answer of `hooks`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HooksAnswer {
    /// Whether any are installed.
    pub installed: bool,
    /// Every hook with gitroll's lines, or that had them.
    pub hooks: Vec<Hook>,
    /// Hooks that were changed since they were installed: only gitroll's lines were taken out.
    pub changed: Vec<PathBuf>,
}

/// One hook.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Hook {
    /// As git calls it.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// its state.
    pub state: HookState,
}

/// Runs it.
///
/// # Errors
/// When the checkout is not bound, or a hook cannot be read or written.
pub fn run(globals: &Globals, ui: &Ui, args: &HooksArgs) -> Result<Exit, Failure> {
    let io = |error: std::io::Error| Failure::unchanged(format!("the hooks: {error}"));
    let mut changed = Vec::new();
    if args.server() {
        return on_server(globals, ui, args);
    }
    let session = match args.verb {
        HooksVerb::Status(_) => Session::look(globals, ui)?,
        HooksVerb::Install(_) => {
            let session = Session::change(globals, ui, "hooks install")?;
            hooks::install(&session.site).map_err(io)?;
            session
        }
        HooksVerb::Uninstall(_) => {
            let session = Session::change(globals, ui, "hooks uninstall")?;
            changed = hooks::uninstall(&session.site).map_err(io)?;
            session
        }
    };
    let state = session.site.state();
    answer(ui, args, &state, session.site.top(), changed)
}

/// As [`run`], in a bare repository.
fn on_server(globals: &Globals, ui: &Ui, args: &HooksArgs) -> Result<Exit, Failure> {
    let io = |error: std::io::Error| Failure::unchanged(format!("the hooks: {error}"));
    let dir = globals.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let dir = dir.canonicalize().map_err(io)?;
    if !(dir.join("HEAD").is_file() && dir.join("objects").is_dir() && dir.join("refs").is_dir()) {
        let what = format!("{} is not a bare repository", dir.display());
        return Err(Failure::unchanged(what).next("gitroll hooks install", "is for a checkout"));
    }
    let state = dir.join("gitroll");
    let mut changed = Vec::new();
    match &args.verb {
        HooksVerb::Status(_) => {}
        HooksVerb::Install(install) => {
            let trust = install.trust.as_ref().map(|path| keys_of(path)).transpose()?;
            let roles = install.roles.as_ref().map(|path| roles_of(path)).transpose()?;
            let server = Server { dir: state.clone(), stable: install.stable.clone() };
            let receive = install.deploy.as_ref().map(|checkout| -> std::io::Result<Receive> {
                let (checkout, branch) = (checkout.canonicalize()?, install.branch.clone());
                Ok(Receive { branch, checkout, remote: "origin".to_owned() })
            });
            let receive = receive.transpose().map_err(io)?;
            if trust.is_none() && receive.is_none() && !server.trust_file().exists() {
                let what = "a guard without a trust file would refuse every stable tag and record";
                return Err(Failure::unchanged(what).nothing_changed().next(
                    "gitroll hooks install --server --trust FILE",
                    "reads the keys from a file in ssh's allowed_signers format",
                ));
            }
            let hooks = match &install.hooks_dir {
                Some(given) => dir.join(given),
                None => own_hooks(&server, &dir)?,
            };
            let wanted = ServerHooks {
                trust: trust.as_deref(),
                roles: roles.as_deref(),
                receive: receive.as_ref(),
                each_ref: install.each_ref,
                hooks: &hooks,
            };
            server.install(&wanted).map_err(io)?;
            if let Some(owner) = receive.as_ref().and_then(Receive::other_owner) {
                let queue = server.queue_file();
                ui.say(&format!(
                    "pushes are not deployed by this account: {owner} owns {}; they wait in {}, and a unit of {owner} \
                     deploys them (docs/guides/hooks.md)",
                    install.deploy.as_deref().unwrap_or(&dir).display(),
                    queue.display()
                ));
            }
        }
        HooksVerb::Uninstall(_) => changed = hooks::uninstall_of(&state).map_err(io)?,
    }
    answer(ui, args, &state, &dir, changed)
}

/// The keys that a server trusts, looked at before they are.
fn keys_of(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let failed = |why: String| Failure::unchanged(format!("{shown}: {why}")).nothing_changed();
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match lines.clone().find(|line| Offered::parse(line).is_none()) {
        Some(line) => {
            let line: String = line.chars().take(60).collect();
            Err(failed(format!("{line:?} is no line of ssh's allowed_signers format")))
        }
        None if lines.next().is_none() => Err(failed("it lists no key".to_owned())),
        None => Ok(bytes),
    }
}

fn roles_of(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let failed = |why: String| Failure::unchanged(format!("{shown}: {why}")).nothing_changed();
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    Roles::parse(&String::from_utf8_lossy(&bytes)).map_err(failed)?;
    Ok(bytes)
}

/// Where git looks for hooks of this repository alone.
fn own_hooks(server: &Server, dir: &Path) -> Result<PathBuf, Failure> {
    let hooks = server.hooks_dir().map_err(|error| {
        Failure::unchanged(format!("git does not say where its hooks are: {error}"))
    })?;
    if hooks.starts_with(dir) {
        return Ok(hooks);
    }
    let what = format!(
        "git looks for this repository's hooks in {} (core.hooksPath), which other repositories share",
        hooks.display()
    );
    Err(Failure::unchanged(what)
        .nothing_changed()
        .next("git config core.hooksPath hooks", "gives this repository its own hooks")
        .next(format!("{SAME_COMMAND} --hooks-dir DIR"), "if the server calls hooks in DIR"))
}

fn answer(
    ui: &Ui,
    args: &HooksArgs,
    state: &Path,
    top: &Path,
    changed: Vec<PathBuf>,
) -> Result<Exit, Failure> {
    let installed = hooks::installed(state);
    let all: Vec<Hook> = installed
        .iter()
        .flat_map(hooks::Installed::hooks)
        .map(|file| Hook { name: file.name.clone(), path: file.path.clone(), state: file.state() })
        .collect();
    tell(ui, top, &all, &changed);
    let lost = all.iter().any(|hook| hook.state == HookState::Lost);
    let exit = if lost && args.only_looks() { Exit::Unchanged } else { Exit::Done };
    let answer = HooksAnswer { installed: installed.is_some(), hooks: all, changed };
    ui.document("hooks", exit.code(), &answer);
    Ok(exit)
}

fn tell(ui: &Ui, top: &Path, all: &[Hook], changed: &[PathBuf]) {
    let shown =
        |path: &PathBuf| escape(&path.strip_prefix(top).unwrap_or(path).display().to_string());
    for Hook { name, path, state } in all {
        let (sign, what) = match state {
            HookState::Alone => (ui.out.ok(), ""),
            HookState::Chained => (ui.out.ok(), ", the previous content runs after it"),
            HookState::Lost => (ui.out.bad(), " was rewritten by another program"),
        };
        ui.line(&format!("{sign} {name:<14} {}{what}", shown(path)));
    }
    for path in changed {
        ui.line(&format!("  {}: changed since; only gitroll's lines were removed", shown(path)));
    }
    if all.is_empty() {
        ui.line("no hooks of gitroll are installed here");
    }
    if all.iter().any(|hook| hook.state == HookState::Lost) {
        ui.say("next  gitroll hooks install    restores them");
    }
}

/// Look at what a git hook tells of
#[derive(Debug, Args)]
pub struct HookArgs {
    /// The hook's name; `record` for what a hook starts
    name: String,
    /// What git gives the hook
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs it. Whatever goes wrong is not a reason for git to fail: it is logged, and the next command finds the move.
pub fn run_one(globals: &Globals, ui: &Ui, args: &HookArgs) -> Exit {
    let caller = globals.caller(ui);
    if args.name == hook::RECORD {
        if let Err(failure) = hook::record(&caller) {
            failure.print(ui, "hook");
            return failure.exit();
        }
        return Exit::Done;
    }
    tracing::debug!("hook {} {:?}", args.name, args.args);
    let say = |line: &str| ui.cry(&format!("gitroll: {}", escape(line)));
    match args.name.as_str() {
        PRE_PUSH => {
            let verdict = input().map(|lines| guard::before_push(&caller, &lines));
            let Some(Ok(verdict)) = verdict else { return Exit::Done };
            verdict.refused.iter().chain(&verdict.warning).for_each(|line| say(line));
            return if verdict.refused.is_empty() { Exit::Done } else { Exit::Refused };
        }
        PRE_RECEIVE => {
            let nothing = || Err("what is pushed cannot be read".to_owned());
            let judged = input().map_or_else(nothing, |lines| guard::receive(&caller.dir, &lines));
            return told(judged, &say);
        }
        UPDATE => {
            let judged = match args.args.as_slice() {
                [name, old, new] => guard::receive(&caller.dir, &format!("{old} {new} {name}\n")),
                _ => Err("git does not say which ref is pushed".to_owned()),
            };
            return told(judged, &say);
        }
        POST_RECEIVE => {
            let say = |line: &str| ui.cry(&escape(line));
            match input().map_or(Ok(None), |lines| receive::begin(&caller.dir, &lines)) {
                Ok(Some(Begun::UnderWay(under_way))) => under_way.follow(&mut |line| say(line)),
                Ok(Some(Begun::Queued(line))) => say(&line),
                Ok(None) => {}
                Err(why) => say(&format!("NOT DEPLOYED: {why}")),
            }
            return Exit::Done;
        }
        receive::RECEIVED => {
            let commit = args.args.first().map(String::as_str).unwrap_or_default();
            receive::deploy(&caller.dir, commit, &mut |line| ui.line(line));
            return Exit::Done;
        }
        _ => {}
    }
    match hook::moved(&caller) {
        Ok(Some(line)) => ui.cry(&format!("gitroll: {}", escape(&line))),
        Ok(None) => {}
        Err(failure) => tracing::debug!("hook {}: {}", args.name, failure.message),
    }
    Exit::Done
}

/// Says what the guard of a server refuses.
fn told(judged: Result<Vec<String>, String>, say: &dyn Fn(&str)) -> Exit {
    let refused = judged.unwrap_or_else(|why| vec![format!("the push is refused: {why}")]);
    refused.iter().for_each(|line| say(line));
    if refused.is_empty() { Exit::Done } else { Exit::Refused }
}

/// What git says to a hook, whole: a part of it would leave refs out. No honest push is larger.
fn input() -> Option<String> {
    const MOST: u64 = 64 << 20;
    let mut text = String::new();
    std::io::stdin().lock().take(MOST + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= MOST).then_some(text)
}
