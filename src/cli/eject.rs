//! `gitroll eject`

use std::path::Path;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use super::session::{self, Session, held};
use crate::config::{Binding, BindingError, Manager};
use crate::doctor::quoted;
use crate::engine::{self, EjectError, Ejection};
use crate::ledger;
use crate::model::{Oid, Served};
use crate::plan::facts::Facts;
use crate::plan::names::Names;
use crate::service;
use crate::system::user;
use crate::target::safe_name;
use crate::ui::{Ui, confirm, escape, plural};

/// Turn the checkout back into plain git; services keep running
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll eject --plan              show what is removed and what stays
  gitroll eject --yes               skip the prompt
  gitroll eject --branch release    use this branch, or create it

eject puts HEAD on a branch at what serves, and removes gitroll's own files and the binding. It moves \
no branch and touches no service. The records stay in git. If eject is interrupted, run it again. To \
use gitroll again, run gitroll init.")]
pub struct EjectArgs {
    /// Branch for HEAD [default: a branch at what serves, else a new branch gitroll-ejected]
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Also remove the files that gitroll saved, including local edits
    #[arg(long)]
    discard_saved: bool,
    /// Show the plan and stop
    #[arg(long)]
    pub(super) plan: bool,
    /// Skip the confirmation prompt
    #[arg(long, short)]
    yes: bool,
}

/// The answer of `eject`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EjectAnswer {
    /// `planned`, `ejected`, or `nothing` where the checkout is not bound.
    pub outcome: String,
    /// What serves, as before.
    pub serving: Option<Served>,
    /// The branch HEAD is on.
    pub branch: Option<String>,
    /// Whether that branch is new.
    pub new_branch: bool,
    /// Files and directories that are removed.
    pub removed: Vec<String>,
    /// What stays, and why.
    pub kept: Vec<Kept>,
    /// The services, which continue.
    pub services: Vec<LeftAlone>,
    /// The command that removes the records from git.
    pub delete_records: Option<String>,
}

/// Something that stays.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Kept {
    /// What: a path, or names of refs.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A service that continues.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LeftAlone {
    /// Its name.
    pub service: String,
    /// Its processes.
    pub pids: Vec<u32>,
    /// Who restarts it from now on.
    pub then: String,
}

/// Removes every ref of gitroll's making. Stable tags are the team's own.
const DELETE_RECORDS: &str = "git for-each-ref --format='delete %(refname)' refs/gitroll refs/tags/gitroll \
                              refs/notes/gitroll | git update-ref --stdin";

/// Runs it.
///
/// # Errors
/// When a run is open, records wait to be signed, the branch cannot be used, or it was not confirmed.
pub fn run(globals: &Globals, ui: &Ui, args: &EjectArgs) -> Result<Exit, Failure> {
    if let Some(name) = args.branch.as_deref().filter(|name| !safe_name(name) || *name == "HEAD") {
        return Err(Failure::new(Status::Usage, format!("{name:?} is not a valid branch name")));
    }
    let (git, binding) = session::open(globals, ui)?;
    if let Err(BindingError::Unbound { .. }) = binding {
        engine::finish_eject(&git.state_dir(), &held("eject", &user::actor()))?;
        ui.line(&format!("{} this checkout is already plain git: not bound", ui.out.ok()));
        ui.document("eject", 0, &EjectAnswer::nothing());
        return Ok(Exit::Done);
    }
    drop(git);
    let session = Session::change(globals, ui, "eject")?;
    let site = &session.site;
    let waiting = engine::queued(site).len();
    if waiting > 0 {
        let what = format!("{} would be lost: not signed yet", plural(waiting, "record"));
        return Err(Failure::unchanged(what)
            .nothing_changed()
            .next("gitroll doctor", "shows why they cannot be signed"));
    }
    // The way out must also work where the records cannot be read any more.
    let facts = Facts::gather(site).ok();
    let usual = facts.as_ref().and_then(|f| f.accepted.config.deploy.upstream.as_ref());
    let usual = usual.map(|upstream| upstream.branch.as_str());
    let ejection = engine::eject_plan(site, args.branch.as_deref(), usual, args.discard_saved)?;
    let mut answer = answer(&session, facts.as_ref(), &ejection)?;
    ui.say(&session.place());
    tell(&session, &ejection, &answer);
    if args.plan {
        ui.document("eject", 0, &answer);
        return Ok(Exit::Done);
    }
    if !args.yes && !confirm(ui, "Eject?", false)? {
        return Err(Failure::unchanged("not confirmed").and_nothing_changed());
    }
    engine::eject(site, &ejection).map_err(|error| failure(error, args, &ejection))?;
    answer.outcome = "ejected".to_owned();
    let branch = ejection.branch.short();
    ui.line(&format!(
        "{} HEAD is on {}; this checkout is plain git now",
        ui.out.ok(),
        escape(branch)
    ));
    ui.line("  next     git status      clean, apart from local edits");
    ui.line("           gitroll init    binds this checkout again, with a chain of its own");
    ui.document("eject", 0, &answer);
    Ok(Exit::Done)
}

fn answer(
    session: &Session,
    facts: Option<&Facts>,
    ejection: &Ejection,
) -> Result<EjectAnswer, Failure> {
    let site = &session.site;
    let serving = match facts {
        Some(facts) => facts.serving.clone(),
        None => Names::default().served(&site.git, &ejection.commit, None)?,
    };
    let branch = ejection.branch.short().to_owned();
    Ok(EjectAnswer {
        outcome: "planned".to_owned(),
        new_branch: matches!(ejection.branch, engine::Branch::New(_)),
        branch: Some(branch),
        removed: ejection.removes.iter().map(|path| path.display().to_string()).collect(),
        kept: kept(&site.binding, ejection).into_iter().chain(published(session, facts)).collect(),
        services: facts.map(|facts| left_alone(session, facts)).unwrap_or_default(),
        serving: Some(serving),
        delete_records: Some(DELETE_RECORDS.to_owned()),
    })
}

fn kept(binding: &Binding, ejection: &Ejection) -> Vec<Kept> {
    let kept = |what: &Path, why: &str| Kept { what: what.display().to_string(), why: why.into() };
    let mut all = Vec::new();
    if let Some(saved) = &ejection.saved {
        all.push(kept(saved, "saved files, which are yours (--discard-saved removes them)"));
    }
    all.extend(ejection.logs.iter().map(|log| kept(log, "a log that may still be in use")));
    let key = Path::new(&binding.signing.key);
    let own = key.parent() == Some(&binding.dir) && key.exists();
    if binding.trust_file().exists() {
        all.push(kept(&binding.trust_file(), "verifies the records"));
    }
    if own {
        all.push(kept(key, "this host's key: gitroll init uses it again"));
    }
    all.push(Kept {
        what: format!("refs/gitroll/{0}, tags and notes gitroll/{0}", binding.environment),
        why: "the records: git log --notes and git verify-tag read them".to_owned(),
    });
    all
}

/// What was pushed stays where it was pushed to.
fn published(session: &Session, facts: Option<&Facts>) -> Option<Kept> {
    let site = &session.site;
    engine::published_head(site)?;
    let remote = &facts?.accepted.config.remote.name;
    let chain = ledger::chain_ref(&site.binding.environment, &site.binding.writer);
    Some(Kept {
        what: format!("this host's records on {remote}, and stable tags"),
        why: format!("git push {remote} --delete {chain} removes the records there"),
    })
}

fn left_alone(session: &Session, facts: &Facts) -> Vec<LeftAlone> {
    let site = &session.site;
    let host = site.host(&facts.serving, &facts.deployment(site));
    let config = &facts.accepted.config;
    let services = config.services.iter().map(|one| {
        let state = service::observe(&host, one).ok();
        let pids: Vec<u32> =
            state.iter().flat_map(|state| &state.processes).map(|process| process.pid).collect();
        let then = match &one.manager {
            Manager::Process { .. } => {
                let log = service::log_file(&host, one);
                let log = log.map(|log| format!(", log {}", log.display())).unwrap_or_default();
                format!("nothing restarts it now{log}; gitroll init finds it again")
            }
            Manager::Pm2 { app, .. } => format!("pm2 manages it, as {app}"),
            Manager::Systemd { unit, .. } => format!("systemd manages it, as {unit}"),
            Manager::Command { .. } => "managed by whoever started it".to_owned(),
        };
        LeftAlone { service: one.name.to_string(), pids, then }
    });
    services.collect()
}

fn tell(session: &Session, ejection: &Ejection, answer: &EjectAnswer) {
    let ui = &session.ui;
    let field = |name: &str, text: &str| ui.line(&format!("  {name:<8} {}", escape(text)));
    if let Some(serving) = &answer.serving {
        field("serving", &format!("{serving}, stays as it is"));
    }
    let branch = ejection.branch.short();
    field(
        "branch",
        &match &ejection.branch {
            engine::Branch::Already(_) => format!("HEAD is already on {branch}"),
            engine::Branch::Found(_) => format!("HEAD moves to {branch}, which is at what serves"),
            engine::Branch::New(_) => {
                format!("HEAD moves to {branch}, a new branch at what serves")
            }
        },
    );
    if let Some(other) = &ejection.other {
        let at = session.site.git.find_ref(&format!("refs/heads/{other}")).ok().flatten();
        let at = at.as_ref().map(Oid::short).unwrap_or_default();
        let command =
            quoted(other).map(|name| format!(": git switch {name} changes the files that serve"));
        field("", &format!("{other} is at {at}{}", command.unwrap_or_default()));
    }
    for one in &answer.services {
        let pids: Vec<String> = one.pids.iter().map(u32::to_string).collect();
        let pids =
            if pids.is_empty() { "not running".into() } else { format!("pid {}", pids.join(" ")) };
        field("service", &format!("{} ({pids}): {}", one.service, one.then));
    }
    let below = format!("{}/", session.site.top().display());
    let short = |path: &str| path.strip_prefix(&below).unwrap_or(path).to_owned();
    for path in &answer.removed {
        field("removes", &short(path));
    }
    for kept in &answer.kept {
        field("keeps", &format!("{}  {}", short(&kept.what), kept.why));
    }
    field("delete", DELETE_RECORDS);
}

impl EjectAnswer {
    fn nothing() -> Self {
        Self {
            outcome: "nothing".to_owned(),
            serving: None,
            branch: None,
            new_branch: false,
            removed: Vec::new(),
            kept: Vec::new(),
            services: Vec::new(),
            delete_records: None,
        }
    }
}

/// What is left, and the command that finishes it.
fn failure(error: EjectError, args: &EjectArgs, ejection: &Ejection) -> Failure {
    let EjectError::Unfinished { left, .. } = &error else { return error.into() };
    let mut failure = Failure::new(Status::RunOpen, error.to_string())
        .detail("what serves was not changed; these remain to be removed:");
    for path in left {
        failure = failure.detail(format!("  {}", path.display()));
    }
    let mut command = "gitroll eject --yes".to_owned();
    if matches!(ejection.branch, engine::Branch::New(_)) {
        command.push_str(&format!(" --branch {}", ejection.branch.short()));
    }
    if args.discard_saved {
        command.push_str(" --discard-saved");
    }
    failure.next(command, "finishes, after you fix the problem above")
}

impl From<EjectError> for Failure {
    fn from(error: EjectError) -> Self {
        let failure = match error {
            EjectError::Git(error) => return error.into(),
            other => Failure::unchanged(other.to_string()),
        };
        failure
            .next("gitroll eject --branch NAME", "uses another name")
            .next("gitroll eject --yes", "finishes, after you fix the problem above")
    }
}
