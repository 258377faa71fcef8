//! `gitroll targets`

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::session::Session;
use crate::act::{diagnosis, next_steps};
use crate::engine;
use crate::model::Oid;
use crate::plan::candidates;
use crate::target::{Candidate, Needed, Reason, Request, Standing};
use crate::ui::{Style, Table, Ui, escape, plural, span};

/// List the versions that `back` can return to, and why others are skipped
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll targets           stable tags first, highest version on top
  gitroll targets --all     including the oldest versions
  gitroll targets --json    all reasons in full

● serves now. → is the target of `gitroll back`.")]
pub struct TargetsArgs {
    /// Show this many stable tags and this many other versions
    #[arg(short, value_name = "COUNT", default_value_t = 20)]
    n: usize,
    /// Show all of them
    #[arg(long, conflicts_with = "n")]
    all: bool,
}

/// The answer of `targets`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TargetsAnswer {
    /// What `gitroll back` would take, as a commit.
    pub last_good: Option<Oid>,
    /// What `gitroll back --to last-stable` would take, as a commit.
    pub last_stable: Option<Oid>,
    /// Stable tags, the highest version first, then states without one, the most recent first.
    pub targets: Vec<Candidate>,
    /// How many stable tags were not looked at: `--all` does.
    pub more_tags: usize,
    /// How many states that served here, the oldest ones, were not looked at.
    pub more_deployments: usize,
}

/// Runs it.
///
/// # Errors
/// When the repository or the own chain cannot be read.
pub fn run(globals: &Globals, ui: &Ui, args: &TargetsArgs) -> Result<Exit, Failure> {
    let session = Session::glance(globals, ui)?;
    let open = super::reader::mention_open_run(&session.site, ui).is_some();
    let facts = session.facts()?;
    let all = candidates::gather(&session.site, &facts);
    let most = if args.all { usize::MAX } else { args.n };
    let (good, stable) =
        (all.resolve(&Request::LastGood)?.ok(), all.resolve(&Request::LastStable)?.ok());
    let mut targets: Vec<Candidate> = all.stable().take(most).collect::<Result<_, _>>()?;
    let shown = targets.len();
    let named = |targets: &[Candidate], commit: &Option<Oid>| {
        commit.is_some() && targets.iter().any(|target| target.commit == *commit)
    };
    let (mut looked_at, mut rest) = (0, Vec::new());
    for deployment in all.deployments() {
        if rest.len() >= most {
            break;
        }
        let deployment = deployment?;
        looked_at += 1;
        if !named(&targets, &deployment.commit) {
            rest.push(deployment);
        }
    }
    targets.extend(rest);
    // However far down they are, these are what one looks for.
    for found in stable.iter().chain(&good) {
        if !named(&targets, &found.chosen.commit) {
            targets.push(found.chosen.clone());
        }
    }
    let (deployments, tags) = all.counts();
    let more = (tags.saturating_sub(shown), deployments.saturating_sub(looked_at));
    let (last_good, last_stable) =
        (good.and_then(|found| found.chosen.commit), stable.and_then(|found| found.chosen.commit));
    let mut marked = false;
    for target in &mut targets {
        // While a run is open `back` is refused.
        let next =
            !open && !marked && target.standing == Standing::Usable && target.commit == last_good;
        if next {
            target.standing = Standing::Next;
            marked = true;
        }
    }
    for line in table(&targets, &ui.out).lines(&ui.out) {
        ui.line(&line);
    }
    if more != (0, 0) {
        let (tags, states) = (plural(more.0, "stable tag"), plural(more.1, "state"));
        ui.line(&format!("{tags} and {states} more: gitroll targets --all"));
    }
    if last_good.is_none() {
        ui.say("there is no other version to roll back to: see WHY");
    }
    if open {
        let run = engine::open_runs(&session.site).ok().and_then(|mut open| open.pop());
        let steps = run.as_ref().map(next_steps::of).unwrap_or_default();
        for (at, (command, what)) in steps.iter().enumerate() {
            let label = if at == 0 { "next" } else { "" };
            ui.say(&format!("  {label:<8} {command}    {}", escape(what)));
        }
    } else if let Some(rollback) = diagnosis::last_rollback(&session, &facts).filter(|r| !r.flags) {
        let left = escape(&rollback.left);
        ui.say(&format!(
            "  next     gitroll back --undo    if #{} was a false alarm: returns to {left}",
            rollback.record
        ));
    }
    let (more_tags, more_deployments) = more;
    let answer = TargetsAnswer { last_good, last_stable, targets, more_tags, more_deployments };
    ui.document("targets", 0, &answer);
    Ok(Exit::Done)
}

fn table(targets: &[Candidate], style: &Style) -> Table {
    let mut table =
        Table::with_head(&[" ", "TARGET", "COMMIT", "SERVED HERE", "PROOF", "BUILD", "WHY"]);
    for target in targets {
        let (sign, why) = match &target.standing {
            Standing::Serving => (style.serving(), "serving".to_owned()),
            Standing::Next => (style.next(), "next".to_owned()),
            Standing::Usable => (" ".to_owned(), "usable".to_owned()),
            Standing::Skipped(reason) => (" ".to_owned(), format!("skip: {reason}")),
        };
        let dash = style.dash().to_owned();
        let commit = target.commit.as_ref().map_or(dash.clone(), |c| c.short().to_owned());
        let served = match (&target.served, &target.standing) {
            (_, Standing::Serving) => "now".to_owned(),
            (Some(served), _) if served.and_unknown => "unknown".to_owned(),
            (Some(served), _) if served.reflog => format!("{} (reflog)", span(served.total())),
            (Some(served), _) => span(served.total()),
            (None, _) => "never".to_owned(),
        };
        let proof = match &target.served {
            Some(served) if served.proven => "proven".to_owned(),
            Some(served) if served.adopted => "adopted".to_owned(),
            Some(served) if served.ran => "ran".to_owned(),
            _ => dash.clone(),
        };
        let build = match (&target.build, &target.standing) {
            (Needed::Build(groups), _) => groups.join(", "),
            (Needed::Impossible(_), _) => "impossible".to_owned(),
            (Needed::Nothing, Standing::Skipped(reason)) if unlooked(reason) => dash,
            (Needed::Nothing, _) => "kept".to_owned(),
        };
        let why = match &target.unfit {
            Some(unfit) => format!("{why}; {unfit}"),
            None => why,
        };
        let why = match &target.moved {
            Some(by) => format!("{why}; moved by hand ({by})"),
            None => why,
        };
        table.row(vec![sign, escape(&target.name), commit, served, proof, build, escape(&why)]);
    }
    table
}

/// Whether what is needed was not even looked at.
fn unlooked(reason: &Reason) -> bool {
    !matches!(reason, Reason::NotProven | Reason::TooShort { .. } | Reason::TimeUnknown { .. })
}
