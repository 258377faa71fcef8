//! Lifting a hold, and the verdict that came with it.

use super::caller::Caller;
use super::failure::Failure;
use super::session::Session;
use super::statement::{check_reason, must_have_role, state, statement};
use super::target::resolve_commit;
use crate::engine;
use crate::ledger::{Entry, Held};
use crate::model::{Event, Hold};
use crate::plan::facts::Facts;

#[derive(Debug, Clone)]
pub struct UnholdRequest {
    /// Record number, component, tag or commit; may be left out where one thing is held.
    pub what: Option<String>,
    pub reason: Option<String>,
}

/// # Errors
/// When nothing of that name is held, or the record cannot be written.
pub fn unhold(caller: &Caller, request: &UnholdRequest) -> Result<Entry, Failure> {
    check_reason(request.reason.as_deref())?;
    let session = Session::change(caller, "unhold")?;
    let facts = session.facts()?;
    must_have_role(&session, &Event::Lift)?;
    let lifted = chosen(&session, &facts, request.what.as_deref())?;
    let mut record = statement(&session, Event::Lift);
    record.subject = lifted.first().map(|held| held.subject.clone());
    record.lifts = lifted.iter().map(|held| held.digest).collect();
    record.reason.clone_from(&request.reason);
    let names: Vec<String> = lifted.iter().map(|held| format!("#{}", held.seq)).collect();
    record.sentence = format!(
        "{} {}: lifted the hold of {} on {}",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        names.join(", "),
        lifted.first().map(name).unwrap_or_default(),
    );
    state(&session, &facts, record)
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
    let seq = crate::model::Seq::typed(what);
    if let Some(held) = holds.iter().find(|held| Some(held.seq) == seq) {
        return Ok(vec![held.clone()]);
    }
    let of_component =
        |held: &&Held| matches!(&held.hold, Hold::Component { id, .. } if id.as_str() == what);
    let found: Vec<Held> = holds.iter().filter(of_component).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let commit = resolve_commit(session, facts, what)?;
    let found: Vec<Held> = holds.iter().filter(|held| held.subject == commit).cloned().collect();
    if found.is_empty() { Err(none(what)) } else { Ok(found) }
}
