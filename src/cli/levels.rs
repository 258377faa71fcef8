//! Levels of a rollback: flags before code. Each is a run of its own, proven or undone before the next.

use clap::ValueEnum;

use super::exit::Exit;
use super::failure::Failure;
use super::flags::{back_to_before, intent, switched, unreadable};
use super::flow::{Manner, carry_out};
use super::session::Session;
use crate::config::Component;
use crate::engine;
use crate::flag::{self, Value};
use crate::model::Oid;
use crate::plan::component::Content;
use crate::plan::compose::Intent;
use crate::plan::facts::Facts;
use crate::ui::escape;

/// How deep a rollback cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// The values that flags had before they were last changed
    Flags,
    /// The code
    Code,
    /// The flags of the suspect components off; where that does not help, the code
    Auto,
}

/// What came of a level.
pub enum Came {
    /// It helped, or nothing more can be tried: how it ended.
    Ended(Exit),
    /// It did not help, and what was before it is in place again.
    NotEnough,
}

/// Puts the values back that flags had before they were last changed here.
///
/// # Errors
/// When no flag was changed here; everything that ends without the app seen with them.
pub fn flags_before(
    session: &Session,
    facts: Facts,
    reason: Option<String>,
    manner: Manner,
) -> Result<Exit, Failure> {
    let Some((wanted, hidden, changed_by)) = back_to_before(session, &facts) else {
        return Err(Failure::unchanged("no flag was changed here that was not put back since")
            .next("gitroll flags", "shows how they stand")
            .next("gitroll flags off COMPONENT", "switches one off"));
    };
    let mut intent = intent(session, &facts, wanted, reason)?;
    intent.recorded.lifts = vec![changed_by];
    intent.hidden = intent.hidden.and(hidden);
    carry_out(session, facts, intent, &[], manner)
}

/// Switches the flags of the components off that differ from `good` and are not off yet. `None` where there is none.
///
/// # Errors
/// When a source or git cannot be read.
pub fn suspects_off(
    session: &Session,
    facts: &Facts,
    good: Option<&Oid>,
    reason: Option<&String>,
) -> Result<Option<Intent>, Failure> {
    let config = &facts.accepted.config;
    let mut suspects = Vec::new();
    for component in &config.components {
        if is_on(session, facts, component)? && differs(session, facts, component, good)? {
            suspects.push(component.id.to_string());
        }
    }
    if suspects.is_empty() {
        return Ok(None);
    }
    let wanted = switched(config, &suspects, false)?;
    intent(session, facts, wanted, reason.cloned()).map(Some)
}

/// Carries out a level that another one may follow.
///
/// # Errors
/// What leaves a run open, or what serves in doubt.
pub fn try_level(
    session: &Session,
    facts: Facts,
    intent: Intent,
    manner: Manner,
) -> Result<Came, Failure> {
    let refused = |failure: &Failure| failure.exit == Exit::Usage || failure.exit == Exit::Busy;
    let came = match carry_out(session, facts, intent, &[], manner) {
        Ok(Exit::Restored) => Came::NotEnough,
        Ok(exit) => Came::Ended(exit),
        // Back to what was failing before; or nothing could be changed at all.
        Err(failure) if !refused(&failure) && engine::open_runs(&session.site)?.is_empty() => {
            session.ui.say(&format!("  {} {}", session.ui.err.bad(), escape(&failure.message)));
            Came::NotEnough
        }
        Err(failure) => return Err(failure),
    };
    Ok(came)
}

/// Whether a component has a flag that its source does not have off.
///
/// # Errors
/// When the source cannot be read.
pub fn is_on(session: &Session, facts: &Facts, component: &Component) -> Result<bool, Failure> {
    let Some(flag) = &component.flag else { return Ok(false) };
    let sources = facts.accepted.config.flags.as_ref();
    let Some(source) = sources.and_then(|flags| flags.source(flag.source.as_ref())) else {
        return Ok(false);
    };
    let host = session.site.host(&facts.serving, "");
    let found = flag::read(&host, source, std::slice::from_ref(&flag.name))
        .map_err(|e| unreadable(session, &facts.accepted.config, source, &e))?;
    let found = found.get(&flag.name).cloned().unwrap_or(Value::Absent);
    Ok(found.plain().as_ref() != Some(&flag.off))
}

fn differs(
    session: &Session,
    facts: &Facts,
    component: &Component,
    good: Option<&Oid>,
) -> Result<bool, Failure> {
    // Without anything to compare with every component is suspect.
    let Some(good) = good else { return Ok(true) };
    let git = &session.site.git;
    let now = Content::of(git, &facts.serving.commit, component)?;
    Ok(Content::of(git, good, component)? != now)
}
