//! After a run: going on with the next candidate where one was abandoned, and with the run beneath one that is over.

use std::time::Instant;

use super::back::left_out;
use super::exit::Exit;
use super::failure::Failure;
use super::flow::{self, Ready};
use super::outcome::{self, ChangeAnswer};
use super::session::Session;
use crate::engine::{self, Ended, Further, OnFailure, Run, Terms};
use crate::model::{Event, Plan};
use crate::plan::compose::{GroupsOf, Intent};
use crate::plan::facts::Facts;
use crate::plan::retention;
use crate::ui::{Live, escape};

/// A command that runs a plan or goes on with one.
pub(super) struct Going<'a> {
    /// The opened checkout.
    pub session: &'a Session,
    /// The command as it was typed.
    pub command: &'a str,
    /// The guard that this process is a try of.
    pub watchdog: Option<&'a str>,
    /// When it began.
    pub begin: Instant,
}

/// A run that ended, or stopped.
struct Stopped {
    plan: Plan,
    ended: Ended,
    /// Serving its target is what was asked for.
    asked: bool,
}

/// Goes on from how a run ended until no other run waits for it, or a person is needed; tells how that was.
///
/// # Errors
/// Everything that ends without the intended version observed serving.
pub(super) fn conclude(going: &Going<'_>, plan: Plan, ended: Ended) -> Result<Exit, Failure> {
    let mut stopped = Stopped { plan, ended, asked: true };
    loop {
        let waiting = match &stopped.ended {
            Ended::Abandoned { .. } | Ended::Undone { .. } | Ended::Untouched { .. } => {
                engine::open_runs(&going.session.site)?.pop()
            }
            _ => None,
        };
        let Some(mut run) = waiting else { return tell(going, stopped) };
        if let Some(token) = going.watchdog {
            run.left_to_watchdog(&going.session.site, token);
        }
        stopped = match stopped.ended {
            Ended::Abandoned { why } => abandoned(going, run, &why)?,
            Ended::Undone { why } => {
                going.on(run, |site, run, narrator| engine::undo(site, run, why, narrator))?
            }
            Ended::Untouched { .. } if going.command == "abort" => going.on(run, engine::abort)?,
            Ended::Untouched { why } => {
                going.say_failed(&stopped.plan.to.name, &why);
                going.on(run, engine::settle)?
            }
            _ => return tell(going, stopped),
        };
    }
}

/// Tries the next candidate. Where there is none, or it cannot be begun with, the run is left to a person.
fn abandoned(going: &Going<'_>, run: Run, why: &str) -> Result<Stopped, Failure> {
    going.say_failed(&run.plan.to.name, why);
    let next = run.journal.begun().and_then(|begun| begun.further.first()).cloned();
    let Some(next) = next.filter(|_| !going.session.was_stopped()) else {
        return going.on(run, engine::settle);
    };
    let failure = match attempt(going, &run, &next, why) {
        Err(failure) => failure,
        tried => return tried,
    };
    // Begun and out of hand: that one is open now, above this one.
    let last = engine::open_runs(&going.session.site)?.pop();
    if last.is_none_or(|last| last.id != run.id) {
        return Err(failure);
    }
    // True of the candidate only: the one before it is in place.
    const UNCHANGED: &str = "nothing was changed";
    let message = failure.message.trim_end_matches(UNCHANGED).trim_end_matches("; ");
    going.say_failed(&next.name, message);
    for detail in failure.details.iter().filter(|detail| *detail != UNCHANGED) {
        going.session.ui.say(&format!("    {}", escape(detail)));
    }
    going.on(run, engine::settle)
}

fn attempt(going: &Going<'_>, failed: &Run, next: &Further, why: &str) -> Result<Stopped, Failure> {
    let session = going.session;
    let facts = session.facts()?;
    let intent = intent(session, &facts, failed, next, why)?;
    let Ready { checked, observed } = flow::ready(session, &facts, intent)?;
    let plan = checked.plan().clone();
    flow::show(session, &plan, &observed, &facts, false);
    flow::unmoved(session, &facts, &plan)?;
    let mut follows = failed.follows().to_vec();
    follows.push(failed.id.clone());
    let terms = Terms {
        // What failed before is never returned to.
        on_failure: OnFailure::Stay,
        baseline: observed.checks,
        follows,
        further: Vec::new(),
        by_watchdog: failed.by_watchdog,
    };
    let mut live = Live::new(&session.ui);
    let ended =
        engine::execute(&session.site, &checked, terms, &mut |narration| live.tell(narration))?;
    Ok(Stopped { plan, ended, asked: next.asked })
}

/// The intent to go back to another candidate after one failed. What is judged stays what was left first.
fn intent(
    session: &Session,
    facts: &Facts,
    failed: &Run,
    next: &Further,
    why: &str,
) -> Result<Intent, Failure> {
    let mut recorded = failed.plan.recorded.clone();
    recorded
        .decisions
        .push(format!("{} did not serve: {why}; on to {}", failed.plan.to, next.name));
    let emergency = failed.plan.critical_only;
    let mut to = facts.names.served(&session.site.git, &next.commit, None)?;
    to.name.clone_from(&next.name);
    Ok(Intent {
        event: Event::Back,
        from: facts.serving.clone(),
        to,
        target: next.target.clone(),
        config: facts.accepted.config.clone(),
        config_text: facts.accepted.text.clone(),
        groups: GroupsOf::Target,
        recorded,
        skipped: Vec::new(),
        warnings: if emergency { left_out(facts, None) } else { Vec::new() },
        flags: Vec::new(),
        hidden: Default::default(),
        emergency,
    })
}

impl Going<'_> {
    /// Goes on with the run beneath one that is over, one way or the other.
    fn on(
        &self,
        run: Run,
        way: impl FnOnce(
            &crate::site::Site,
            Run,
            &mut crate::model::Narrator<'_>,
        ) -> Result<Ended, engine::EngineError>,
    ) -> Result<Stopped, Failure> {
        let plan = run.plan.clone();
        let mut live = Live::new(&self.session.ui);
        let ended = way(&self.session.site, run, &mut |narration| live.tell(narration))?;
        Ok(Stopped { plan, ended, asked: true })
    }

    fn say_failed(&self, name: &str, why: &str) {
        let ui = &self.session.ui;
        ui.say(&format!("  {} {}  {}", ui.err.bad(), escape(name), escape(why)));
    }
}

fn tell(going: &Going<'_>, stopped: Stopped) -> Result<Exit, Failure> {
    let (session, command) = (going.session, going.command);
    let Stopped { plan, ended, asked } = stopped;
    let site = &session.site;
    if let ("abort", Ended::Untouched { .. }) = (command, &ended) {
        let ui = &session.ui;
        let line = "serves as before; nothing that serves was touched";
        ui.line(&format!("{} {} {line}", ui.out.ok(), plan.from));
        ui.document(command, 0, &ChangeAnswer::of("unchanged", &plan.from, &plan.to));
        return Ok(Exit::Done);
    }
    if let (Ended::Serving { .. }, Ok(facts)) = (&ended, Facts::gather(site)) {
        retention::prune(site, &facts);
    }
    if let Ok(config) = crate::config::parse(&plan.config, "gitroll.toml") {
        engine::forget(site, &config.retention);
    }
    outcome::tell(session, command, &plan, ended, going.begin.elapsed(), asked)
}
