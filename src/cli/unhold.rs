//! `gitroll unhold`

use clap::Args;

use super::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::mark;
use super::session::Session;
use crate::act::statement::{state, statement};
use crate::engine;
use crate::ledger::Held;
use crate::model::{Event, Hold};
use crate::plan::facts::Facts;
use crate::ui::Ui;

/// Lift a hold, and the verdict that came with it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll unhold                                     the only thing that is held
  gitroll unhold 43                                  what record #43 holds
  gitroll unhold QW-001                              a component's content
  gitroll unhold v1.3.0 --reason 'it was the disk'")]
pub struct UnholdArgs {
    /// Record number, component, tag or commit; may be left out when one thing is held
    what: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Runs it.
///
/// # Errors
/// When nothing of that name is held, or the record cannot be written.
pub fn run(globals: &Globals, ui: &Ui, args: &UnholdArgs) -> Result<Exit, Failure> {
    super::check_reason(args.reason.as_deref())?;
    let session = Session::change(globals, ui, "unhold")?;
    let facts = session.facts()?;
    let lifted = chosen(&session, &facts, args.what.as_deref())?;
    let mut record = statement(&session, Event::Lift);
    record.subject = lifted.first().map(|held| held.subject.clone());
    record.lifts = lifted.iter().map(|held| held.digest).collect();
    record.reason.clone_from(&args.reason);
    let names: Vec<String> = lifted.iter().map(|held| format!("#{}", held.seq)).collect();
    record.sentence = format!(
        "{} {}: lifted the hold of {} on {}",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        names.join(", "),
        lifted.first().map(name).unwrap_or_default(),
    );
    let entry = state(&session, &facts, record)?;
    mark::told(ui, "unhold", &entry);
    Ok(Exit::Done)
}

/// What is held: a commit, or a component as it is in one.
fn name(held: &Held) -> String {
    match &held.hold {
        Hold::Component { id, .. } => format!("{id} of {}", held.subject.short()),
        Hold::Commit => held.subject.short().to_owned(),
    }
}

fn chosen(session: &Session, facts: &Facts, what: Option<&str>) -> Result<Vec<Held>, Failure> {
    let holds: Vec<Held> = facts.history.holds().to_vec();
    let none = |what: &str| {
        let mut failure = Failure::unchanged(format!("{what} is not held"));
        for held in &holds {
            failure = failure.detail(format!("held  {} by #{}", name(held), held.seq));
        }
        failure.next("gitroll status", "shows what is held")
    };
    let Some(what) = what else {
        return match holds.as_slice() {
            [only] => Ok(vec![only.clone()]),
            [] => Err(Failure::unchanged("nothing is held")),
            _ => Err(none("which hold is meant: nothing by that name")),
        };
    };
    let seq = what.strip_prefix('#').unwrap_or(what).parse().ok();
    if let Some(held) = holds.iter().find(|held| Some(held.seq) == seq) {
        return Ok(vec![held.clone()]);
    }
    let of_component =
        |held: &&Held| matches!(&held.hold, Hold::Component { id, .. } if id.as_str() == what);
    let found: Vec<Held> = holds.iter().filter(of_component).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let commit = super::resolve_commit(session, facts, what)?;
    let found: Vec<Held> = holds.iter().filter(|held| held.subject == commit).cloned().collect();
    if found.is_empty() { Err(none(what)) } else { Ok(found) }
}
