//! What an emergency does otherwise: asks last, avoids builds, says what it left out.

use crate::cli::annotate;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::plan::facts::Facts;
use crate::target::{Candidate, Needed, Resolution};
use crate::ui::{can_ask, escape, question};

/// In an emergency the reason comes last, from who is still there to be asked. Whatever becomes of it, what was done
/// is done.
pub fn why_afterwards(session: &Session, ended: &Result<Exit, Failure>) {
    if !matches!(ended, Ok(Exit::Done | Exit::Restored)) || !can_ask(&session.ui) {
        return;
    }
    if let Err(failure) = ask_why(session) {
        session.ui.cry(&format!("  the reason is not recorded: {}", escape(&failure.message)));
        session.ui.say("  next     gitroll annotate --reason 'WHY'");
    }
}

fn ask_why(session: &Session) -> Result<(), Failure> {
    const LATER: &str = "say it later";
    let reason = question(&session.ui, "Why was it needed?", LATER)?;
    if reason == LATER {
        session.ui.say("  next     gitroll annotate --reason 'WHY'");
        return Ok(());
    }
    crate::cli::check_reason(Some(&reason))?;
    annotate::last(session, &session.facts()?, &reason).map(drop)
}

/// Of the candidates that qualify the first that needs no build, if the chosen one does; says who is passed over.
pub fn without_a_build(found: &mut Resolution) -> Option<String> {
    let builds = |candidate: &Candidate| candidate.build != Needed::Nothing;
    if !builds(&found.chosen) {
        return None;
    }
    let place = found.further.iter().position(|candidate| !builds(candidate))?;
    let passed = found.chosen.name.clone();
    found.chosen = found.further.remove(place);
    found.further.drain(..place);
    Some(passed)
}

/// What an emergency leaves out, for the record.
pub fn left_out(facts: &Facts, passed_over: Option<String>) -> Vec<String> {
    let mut left = vec!["emergency: nothing was asked beforehand".to_owned()];
    let checks = facts.accepted.config.checks.iter().filter(|check| !check.critical);
    let checks: Vec<&str> = checks.map(|check| check.name.as_str()).collect();
    if !checks.is_empty() {
        left.push(format!("emergency: not critical, not asked: {}", checks.join(", ")));
    }
    left.extend(passed_over.map(|name| format!("emergency: {name} passed over: it needs a build")));
    left
}
