//! Levels of a rollback: flags before code. Each is a run of its own, proven or undone before the next.

use clap::ValueEnum;

use super::back::left_out;
use super::exit::Exit;
use super::failure::{Failure, Status};
use super::flags::{To, Wanted, back_to_before, intent, switched, unreadable};
use super::flow::{Manner, carry_out};
use super::session::Session;
use crate::component::Content;
use crate::config::Component;
use crate::engine;
use crate::flag::{self, Value};
use crate::ledger::{self, Entry};
use crate::model::Oid;
use crate::plan::compose::Intent;
use crate::plan::facts::Facts;
use crate::target::Candidate;
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
        session.ui.say(&escape(line));
        self.0.push(line.to_owned());
    }

    /// All of them.
    pub fn lines(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// Puts the values back that flags had before they were last changed here.
///
/// # Errors
/// When no flag was changed here; everything that ends without the app seen with them.
pub fn flags_before(
    session: &Session,
    facts: Facts,
    reason: Option<String>,
    emergency: bool,
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
    if emergency {
        intent.emergency = true;
        intent.warnings.extend(left_out(&facts, None));
    }
    carry_out(session, facts, intent, &[], manner)
}

/// Sets flags again as they were before `last`, which had put them back.
///
/// # Errors
/// Everything that ends without the app seen with them.
pub fn flags_again(
    session: &Session,
    facts: Facts,
    last: &Entry,
    reason: Option<String>,
    manner: Manner,
) -> Result<Exit, Failure> {
    let component = last.record.components.first();
    let wanted = last.record.flags.iter().rev().map(|change| Wanted {
        source: change.source.clone(),
        name: change.name.clone(),
        to: To::Recorded(change.before.clone()),
        component: component.cloned(),
        left_at: Some(change.after.clone()),
    });
    let mut intent = intent(session, &facts, wanted.collect(), reason)?;
    let run = ledger::evidence(&session.site.git, last)?.run;
    if let Some(run) = run {
        intent.hidden = intent.hidden.and(engine::hidden_flags(&session.site, &run));
    }
    carry_out(session, facts, intent, &[], manner)
}

/// Switches the flags of the suspect components off: of those that are on. Suspect is what differs between what
/// serves and the first of `states`, which the code level would come to; where none of that has a flag that is on,
/// what differs from any of `states`, or from any deployment back to the last promoted one. `None` where there is
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
) -> Result<Option<Intent>, Failure> {
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
                let line = format!("level flags: {flag} of {id} passed over: {why}");
                decisions.tell(session, &line);
            }
        }
    }
    let suspects = suspected(session, facts, states, &on)?;
    if suspects.is_empty() {
        let what = if on.is_empty() { "" } else { " that changed since the last promoted state" };
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
        .and_then(|wanted| intent(session, facts, wanted, reason.cloned()));
    match composed {
        Ok(mut intent) => {
            intent.recorded.decisions = decisions.lines();
            Ok(Some(intent))
        }
        Err(failure) => {
            let why = &failure.message;
            decisions.tell(session, &format!("level flags: passed over: {why}"));
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
        return Ok(on.iter().map(|c| (*c, "for nothing is known to be good".to_owned())).collect());
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
                let why = format!("which is the same in {name} and differs from {older}");
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
    intent: Intent,
    manner: Manner,
) -> Result<Came, Failure> {
    let refused = |failure: &Failure| matches!(failure.status, Status::Usage | Status::Busy);
    match carry_out(session, facts, intent, &[], manner) {
        // Who stopped this level did not ask for the next one.
        Ok(Exit::Restored) if !session.was_stopped() => Ok(Came::NotEnough(Status::Restored)),
        Ok(exit) => Ok(Came::Ended(exit)),
        Err(failure) if session.was_stopped() || refused(&failure) => Err(failure),
        Err(failure) if failure.status.unchanged() => Ok(Came::Refused(failure.message)),
        // Back to what was failing before.
        Err(failure) if engine::open_runs(&session.site)?.is_empty() => {
            session.ui.say(&format!("  {} {}", session.ui.err.bad(), escape(&failure.message)));
            Ok(Came::NotEnough(failure.status))
        }
        Err(failure) => Err(failure),
    }
}

/// How it ended where a level was tried before that ended with `tried`: a level that changes nothing does not undo
/// that something was changed.
pub fn after(tried: Option<Status>, ended: Result<Exit, Failure>) -> Result<Exit, Failure> {
    match (tried, ended) {
        (Some(tried), Err(mut failure)) if failure.status.unchanged() => {
            failure.status = tried;
            Err(failure.detail("the flag was switched before that, did not help and was put back"))
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
    ended: Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let needed = match &ended {
        Ok(exit) => *exit,
        Err(failure) => failure.exit(),
    };
    let Ok(facts) = Facts::gather(&session.site) else { return ended };
    if needed != Exit::PersonNeeded {
        return ended;
    }
    let components = &facts.accepted.config.components;
    let on = components.iter().filter(|c| is_on(session, &facts, c).is_ok_and(|on| on));
    let ways: Vec<(String, String)> = on
        .map(|c| (format!("gitroll flags off {}", c.id), format!("{} is on still", flag_of(c))))
        .collect();
    match ended {
        Err(mut failure) => {
            failure.next.extend(ways);
            Err(failure)
        }
        Ok(exit) => {
            for (command, what) in ways {
                let when = "once no run is open";
                session.ui.cry(&format!("           {command}   {}, {when}", escape(&what)));
            }
            Ok(exit)
        }
    }
}

fn flag_of(component: &Component) -> String {
    component.flag.as_ref().map(|flag| flag.name.to_string()).unwrap_or_default()
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
    good: &Oid,
) -> Result<bool, Failure> {
    let git = &session.site.git;
    let now = Content::of(git, &facts.serving.commit, component)?;
    Ok(Content::of(git, good, component)? != now)
}
