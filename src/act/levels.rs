//! Levels of a rollback: flags before code. Each is a run of its own, proven or undone before the next.

use super::caller::Notice;
use super::carry_out::{ChangeOptions, carry_out};
use super::failure::Failure;
use super::flags::{self, is_on, switched};
use super::outcome::{ChangeOutcome, Status};
use super::session::Session;
use crate::component::Content;
use crate::config::Component;
use crate::engine;
use crate::model::Oid;
use crate::plan::compose::Change;
use crate::plan::facts::Facts;
use crate::target::Candidate;

/// How deep a rollback cuts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// The values that flags had before they were last changed
    Flags,
    #[default]
    Code,
    /// The flags of the suspect components off; where that does not help, the code
    Auto,
    /// Code, data and settings from a point
    Full,
}

/// What came of a level.
pub enum LevelResult {
    /// It helped, or nothing more can be tried: how it ended.
    Ended(Box<ChangeOutcome>),
    /// It did not help, and what was before it is in place again: how that ended.
    NotEnough(Status),
    /// It could not be begun: why. Nothing was changed.
    Refused(String),
}

/// What was decided on the way, in order: told as it is decided, and recorded with the runs that follow from it.
#[derive(Debug, Default)]
pub struct Decisions(Vec<String>);

impl Decisions {
    /// Decides.
    pub fn tell(&mut self, session: &Session, line: &str) {
        session.caller.info(line);
        self.0.push(line.to_owned());
    }

    /// All of them.
    pub fn lines(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// Switches the flags of the suspect components off: of those that are on. Suspect is what differs between what
/// serves and the first of `states`, which the code level would come to; if none of that has a flag that is on,
/// what differs from any of `states`, or from any deployment back to the last promoted one. `None` if there is
/// none, or where the flags cannot be had: the reason is told.
///
/// # Errors
/// When git cannot be read.
pub fn suspects_off(
    session: &Session,
    facts: &Facts,
    states: &[Candidate],
    reason: Option<&String>,
    decisions: &mut Decisions,
) -> Result<Option<Change>, Failure> {
    let config = &facts.accepted.config;
    let mut on: Vec<&Component> = Vec::new();
    for component in &config.components {
        match is_on(session, facts, component) {
            Ok(true) => on.push(component),
            Ok(false) => {}
            // The app that has it may be the one that is down.
            Err(failure) => {
                let (flag, id) = (flag_of(component), &component.id);
                let why = &failure.message;
                let line = format!("level flags: {flag} of {id} skipped: {why}");
                decisions.tell(session, &line);
            }
        }
    }
    let suspects = suspected(session, facts, states, &on)?;
    if suspects.is_empty() {
        let what = if on.is_empty() { "" } else { " that changed since the last promoted version" };
        let other = if decisions.0.is_empty() { "" } else { " other" };
        let line = format!("level flags: no{other} component{what} has a flag that is on");
        decisions.tell(session, &line);
        return Ok(None);
    }
    let told: Vec<String> = suspects
        .iter()
        .map(|(component, why)| format!("{} of {}, {why}", flag_of(component), component.id))
        .collect();
    decisions.tell(session, &format!("level flags: {}", told.join("; ")));
    let ids: Vec<String> = suspects.iter().map(|(c, _)| c.id.to_string()).collect();
    let composed = switched(config, &ids, false)
        .and_then(|wanted| flags::change(session, facts, wanted, reason.cloned()));
    match composed {
        Ok(mut change) => {
            change.recorded.decisions = decisions.lines();
            change.way_back = true;
            Ok(Some(change))
        }
        Err(failure) => {
            let why = &failure.message;
            decisions.tell(session, &format!("level flags: skipped: {why}"));
            Ok(None)
        }
    }
}

/// Which of `on` are suspect, each with why.
fn suspected<'c>(
    session: &Session,
    facts: &Facts,
    states: &[Candidate],
    on: &[&'c Component],
) -> Result<Vec<(&'c Component, String)>, Failure> {
    let named = states.iter().filter_map(|state| Some((state.commit.clone()?, state.name.clone())));
    let mut older: Vec<(Oid, String)> = named.collect();
    let Some((first, name)) = older.first().cloned() else {
        // Without anything to compare with every component is suspect.
        return Ok(on
            .iter()
            .map(|c| (*c, "because no version is known to be good".to_owned()))
            .collect());
    };
    let mut found = Vec::new();
    for component in on {
        if differs(session, facts, component, &first)? {
            found.push((*component, format!("which differs from {name}")));
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    for span in facts.history.deployments().iter().rev() {
        if span.commit != facts.serving.commit && older.iter().all(|(c, _)| *c != span.commit) {
            let served = facts.names.served(&session.site.git, &span.commit, None)?;
            older.push((span.commit.clone(), served.name));
        }
        if !facts.history.promoted(&span.commit).is_empty() && span.commit != facts.serving.commit {
            break;
        }
    }
    for component in on {
        for (state, older) in older.iter().skip(1) {
            if differs(session, facts, component, state)? {
                let why = format!("which is the same in {name} but differs from {older}");
                found.push((*component, why));
                break;
            }
        }
    }
    Ok(found)
}

/// Carries out a level that another one may follow.
///
/// # Errors
/// What leaves a run open, or what serves in doubt; a person who stopped it.
pub fn try_level(
    session: &Session,
    facts: Facts,
    change: Change,
    options: &ChangeOptions,
) -> Result<LevelResult, Failure> {
    let refused = |failure: &Failure| matches!(failure.status, Status::Usage | Status::Busy);
    match carry_out(session, facts, change, &[], options) {
        // Who stopped this level did not ask for the next one.
        Ok(ended) if ended.status == Status::Restored && !session.was_stopped() => {
            Ok(LevelResult::NotEnough(Status::Restored))
        }
        Ok(ended) => Ok(LevelResult::Ended(Box::new(ended))),
        Err(failure) if session.was_stopped() || refused(&failure) => Err(failure),
        Err(failure) if failure.status.unchanged() => Ok(LevelResult::Refused(failure.message)),
        // Back to what was failing before.
        Err(failure) if engine::open_runs(&session.site)?.is_empty() => {
            session.caller.tell(Notice::Failed(failure.message));
            Ok(LevelResult::NotEnough(failure.status))
        }
        Err(failure) => Err(failure),
    }
}

/// How it ended where a level was tried before that ended with `tried`: a level that changes nothing does not undo
/// that something was changed.
pub fn after(
    tried: Option<Status>,
    ended: Result<ChangeOutcome, Failure>,
) -> Result<ChangeOutcome, Failure> {
    match (tried, ended) {
        (Some(tried), Err(mut failure)) if failure.status.unchanged() => {
            failure.status = tried;
            Err(failure.detail("the flag was switched off first, did not help and was restored"))
        }
        (_, ended) => ended,
    }
}

/// Where a rollback of code ended with a person being needed: adds the flags that are on still, for they are what
/// can be tried next.
///
/// # Errors
/// What `ended` says.
pub fn name_flags_still_on(
    session: &Session,
    ended: Result<ChangeOutcome, Failure>,
) -> Result<ChangeOutcome, Failure> {
    let status = match &ended {
        Ok(outcome) => outcome.status,
        Err(failure) => failure.status,
    };
    let Ok(facts) = Facts::gather(&session.site) else { return ended };
    if status != Status::PersonNeeded {
        return ended;
    }
    let components = &facts.accepted.config.components;
    let on = components.iter().filter(|c| is_on(session, &facts, c).is_ok_and(|on| on));
    let steps =
        on.map(|c| (format!("gitroll flags off {}", c.id), format!("{} is still on", flag_of(c))));
    match ended {
        Err(mut failure) => {
            failure.next.extend(steps);
            Err(failure)
        }
        Ok(outcome) => {
            for (command, what) in steps {
                let what = format!("{what}, after the open run is finished");
                session.caller.tell(Notice::MoreNext(command, what));
            }
            Ok(outcome)
        }
    }
}

fn flag_of(component: &Component) -> String {
    component.flag.as_ref().map(|flag| flag.name.to_string()).unwrap_or_default()
}

fn differs(
    session: &Session,
    facts: &Facts,
    component: &Component,
    good: &Oid,
) -> Result<bool, Failure> {
    let git = &session.site.git;
    let now = Content::of(git, &facts.serving.commit, component)?;
    Ok(Content::of(git, good, component)? != now)
}
