//! `gitroll targets`

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::session::Session;
use crate::act::diagnosis;
use crate::model::Oid;
use crate::plan::candidates;
use crate::target::{Candidate, Needed, Reason, Request, Standing, resolve};
use crate::ui::{Style, Table, Ui, escape, span};

/// List the versions that `back` can return to, and why others are skipped
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll targets           stable tags first, highest version on top
  gitroll targets --json    all reasons in full

● serves now. → is the target of `gitroll back`.")]
pub struct TargetsArgs {}

/// The answer of `targets`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TargetsAnswer {
    /// What `gitroll back` would take, as a commit.
    pub last_good: Option<Oid>,
    /// What `gitroll back --to last-stable` would take, as a commit.
    pub last_stable: Option<Oid>,
    /// Stable tags, the highest version first, then states without one, the most recent first.
    pub targets: Vec<Candidate>,
}

/// Runs it.
///
/// # Errors
/// When the repository or the own chain cannot be read.
pub fn run(globals: &Globals, ui: &Ui, _args: &TargetsArgs) -> Result<Exit, Failure> {
    let session = Session::look(globals, ui)?;
    super::reader::mention_open_run(&session.site, ui);
    let facts = session.facts()?;
    let all = candidates::gather(&session.site, &facts)?;
    let taken = |request| {
        resolve(&request, &all.deployments, &all.stable, None).ok().and_then(|r| r.chosen.commit)
    };
    let (last_good, last_stable) = (taken(Request::LastGood), taken(Request::LastStable));
    let mut tags = all.stable;
    tags.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
    let mut targets: Vec<Candidate> = tags.into_iter().map(|(_, candidate)| candidate).collect();
    let rest: Vec<Candidate> = all
        .deployments
        .into_iter()
        .filter(|d| targets.iter().all(|t| t.commit != d.commit || d.commit.is_none()))
        .collect();
    targets.extend(rest);
    let mut marked = false;
    for target in &mut targets {
        let next = !marked && target.standing == Standing::Usable && target.commit == last_good;
        if next {
            target.standing = Standing::Next;
            marked = true;
        }
    }
    for line in table(&targets, &ui.out).lines(&ui.out) {
        ui.line(&line);
    }
    if last_good.is_none() {
        ui.say("there is no other version to roll back to: see WHY");
    }
    if let Some(rollback) = diagnosis::last_rollback(&session, &facts).filter(|r| !r.flags) {
        let left = escape(&rollback.left);
        ui.say(&format!(
            "  next     gitroll back --undo    if #{} was a false alarm: returns to {left}",
            rollback.record
        ));
    }
    ui.document("targets", 0, &TargetsAnswer { last_good, last_stable, targets });
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
