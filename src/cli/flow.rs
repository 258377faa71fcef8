//! Carrying out a change: look, compose, check, describe, ask, execute, tell how it ended.

use std::time::Instant;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::further::{self, Going};
use super::outcome::ChangeAnswer;
use super::session::Session;
use crate::config::Selection;
use crate::engine::{self, Further, OnFailure, Terms};
use crate::ledger::{self, Draft};
use crate::model::{
    CheckedPlan, Event, Evidence, Judgement, Oid, Outcome, Plan, Record, Recorded, Served, Verdict,
};
use crate::plan::compose::{self, Intent};
use crate::plan::facts::Facts;
use crate::plan::preflight::preflight;
use crate::plan::{describe, estimate};
use crate::site::Observed;
use crate::target::Candidate;
use crate::ui::{Live, confirm, escape, plural, span};

/// What to do about questions and plans.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Show the plan and stop.
    pub plan_only: bool,
    /// Answer the question beforehand.
    pub yes: bool,
    /// Ask before acting (`back` does, `deploy` does not).
    pub asks: bool,
    /// A later candidate that serves is what was wanted too.
    pub any_candidate: bool,
    /// How many further candidates are tried when what served was failing before.
    pub further: usize,
}

/// Carries out `intent`; should it fail while what served was failing too, goes on with `further`.
///
/// # Errors
/// Everything that ends without the intended version observed serving.
pub fn carry_out(
    session: &Session,
    facts: Facts,
    intent: Intent,
    further: &[Candidate],
    manner: Manner,
) -> Result<Exit, Failure> {
    // The values of before are put back, however the app was with them.
    carry_out_or(session, facts, intent, further, manner, OnFailure::Restore)
}

/// As [`carry_out`]; a change of flags that fails is answered as `flags_fail` says.
///
/// # Errors
/// As [`carry_out`].
pub fn carry_out_or(
    session: &Session,
    facts: Facts,
    intent: Intent,
    further: &[Candidate],
    manner: Manner,
    flags_fail: OnFailure,
) -> Result<Exit, Failure> {
    let mut begin = Instant::now();
    let command = intent.event.clone();
    let further = named(further, manner);
    let ready = ready(session, &facts, intent)?;
    let plan = ready.checked.plan().clone();
    show(session, &plan, &ready.observed, &facts, !further.is_empty());
    if manner.plan_only {
        for line in describe::in_detail(&plan) {
            session.ui.line(&format!("  {line}"));
        }
        session.ui.line(&format!("  plan      {}", plan.digest()));
        session.ui.document(command.as_str(), 0, &ChangeAnswer::planned(&plan));
        return Ok(Exit::Done);
    }
    if manner.asks && !manner.yes {
        let asked = match (&command, plan.recorded.components.first()) {
            (Event::Back, _) => "Go back?".to_owned(),
            (Event::Flags, _) => format!("Switch {}?", flags_in_words(&plan)),
            (Event::Component, Some(id)) => format!("Put {id} back?"),
            _ => "Go on?".to_owned(),
        };
        let asking = Instant::now();
        if !confirm(&session.ui, &asked, true)? {
            return Err(Failure::new(Status::Unchanged, "not confirmed; nothing was changed"));
        }
        // How long a person thinks is no part of what is promised.
        begin += asking.elapsed();
    }
    unmoved(session, &facts, &plan)?;
    if facts.by_hand() && plan.from.commit == facts.head.commit {
        predeploy(session, &facts, &plan.from, &ready.observed)?;
    }
    let terms = Terms {
        on_failure: match command {
            Event::Flags => flags_fail,
            _ => policy(ready.observed.healthy(), !further.is_empty()),
        },
        baseline: ready.observed.checks,
        follows: Vec::new(),
        further,
        by_watchdog: false,
    };
    session.heed_signals();
    session.caller.between_runs(None);
    let mut live = Live::new(&session.ui);
    let ended = engine::execute(&session.site, &ready.checked, terms, &mut |narration| {
        live.tell(narration)
    })?;
    let going = Going { session, command: command.as_str(), watchdog: None, begin };
    let concluded = further::conclude(&going, plan, ended);
    session.caller.between_runs(Some("stopping; nothing more is begun"));
    concluded
}

/// A checked plan and what was observed for it.
pub(super) struct Ready {
    /// The plan.
    pub checked: CheckedPlan,
    /// How what serves stands.
    pub observed: Observed,
}

/// Observes, composes and checks what is intended.
///
/// # Errors
/// Everything that is in its way.
pub(super) fn ready(session: &Session, facts: &Facts, intent: Intent) -> Result<Ready, Failure> {
    let site = &session.site;
    let observed = observe(session, facts, &intent);
    let config = intent.config.clone();
    let composed = compose::compose(site, facts, intent)?;
    let checked = preflight(site, facts, composed, &config, &observed)?;
    Ok(Ready { checked, observed })
}

/// The candidates that are tried should the first fail.
fn named(further: &[Candidate], manner: Manner) -> Vec<Further> {
    let further = further.iter().take(manner.further).filter_map(|candidate| {
        Some(Further {
            name: candidate.name.clone(),
            commit: candidate.commit.clone()?,
            target: candidate.tag.clone(),
            asked: manner.any_candidate,
        })
    });
    further.collect()
}

/// `ENABLE_UPLOADS to false`.
fn flags_in_words(plan: &Plan) -> String {
    let words = plan.flags().map(|change| format!("{} to {}", change.name, change.after.plain()));
    escape(&words.collect::<Vec<_>>().join(", "))
}

/// How what serves stands before anything is changed. Where HEAD was moved by hand to the very target,
/// what runs may be the one or the other: the better answer counts.
fn observe(session: &Session, facts: &Facts, intent: &Intent) -> Observed {
    let site = &session.site;
    let deployment = facts.deployment(site);
    let accepted = &facts.accepted.config;
    // In an emergency what is not critical decides nothing: not whether there is something to return to either.
    let only = if intent.emergency { Selection::Critical } else { Selection::All };
    let observed = Observed::by(site, accepted, &intent.from, &deployment, only);
    if observed.healthy() || intent.from.commit == facts.serving.commit {
        return observed;
    }
    let other = Observed::by(site, accepted, &facts.serving, &deployment, only);
    if other.healthy() { other } else { observed }
}

fn policy(healthy: bool, more: bool) -> OnFailure {
    match (healthy, more) {
        (true, _) => OnFailure::Restore,
        (false, true) => OnFailure::Abandon,
        (false, false) => OnFailure::Stay,
    }
}

/// Says what is going to be done, and that there is `more` to be tried if it fails.
pub(super) fn show(session: &Session, plan: &Plan, observed: &Observed, facts: &Facts, more: bool) {
    let style = &session.ui.err;
    let state = if observed.healthy() {
        style.ok()
    } else {
        format!("{} {}", style.bad(), escape(&observed.faults().join(", ")))
    };
    session.ui.say(&format!("{}    serving {}  {state}", session.place(), plan.from));
    let mut to = plan.to.to_string();
    if let Some(since) = served_words(facts, plan) {
        to.push_str(&since);
    }
    let git = &session.site.git;
    if git.contains(&plan.from.commit, &plan.to.commit).is_ok_and(|earlier| earlier)
        && let Ok(distance) = git.distance(&plan.to.commit, &plan.from.commit)
        && distance > 0
    {
        to.push_str(&format!(", {} back", plural(distance, "commit")));
    } else if plan.event == Event::Back
        && let Ok(distance) = session.site.git.distance(&plan.from.commit, &plan.to.commit)
        && distance > 0
    {
        to.push_str(&format!(", {} forward", plural(distance, "commit")));
    }
    session.ui.say(&format!("  to       {to}"));
    let about = estimate::about(&session.site, facts, &describe::built_groups(plan));
    for (label, text) in describe::describe(plan, about) {
        session.ui.say(&format!("  {label:<8} {}", escape(&text)));
    }
    if more && !observed.healthy() {
        let from = &plan.from.name;
        session
            .ui
            .say(&format!("  else     the next that is usable, not {from}: it is failing already"));
    }
}

fn served_words(facts: &Facts, plan: &Plan) -> Option<String> {
    let commit = &plan.to.commit;
    let total = facts.history.served_total(commit, facts.now);
    let proven = facts.history.proven_here(commit);
    let word = if proven {
        "proven"
    } else if facts.history.adopted(commit) {
        "adopted"
    } else if let Some(pin) = plan.target.as_ref().and_then(|t| facts.history.pinned(&t.name)) {
        let before = std::time::Duration::from_secs(pin.tag.seconds);
        return Some(format!("  adopted, served {} (reflog)", span(total.saturating_add(before))));
    } else {
        return None;
    };
    Some(format!("  {word}, served {}", span(total)))
}

/// Nothing may have moved since the facts were gathered.
///
/// # Errors
/// Where something has.
pub(super) fn unmoved(session: &Session, facts: &Facts, plan: &Plan) -> Result<(), Failure> {
    let git = &session.site.git;
    if git.head()? != facts.head {
        return Err(Failure::refused("HEAD moved while this was planned; nothing was changed")
            .next("the same command", "plans again"));
    }
    if let Some(target) = &plan.target
        && git.find_ref(&target.name)?.as_ref() != Some(&target.id)
    {
        return Err(Failure::refused(format!(
            "{} moved while this was planned; nothing was changed",
            target.short()
        ))
        .next("gitroll targets", "shows where it points now"));
    }
    Ok(())
}

/// Records what somebody else put in place, before it is replaced.
fn predeploy(
    session: &Session,
    facts: &Facts,
    found: &Served,
    observed: &Observed,
) -> Result<(), Failure> {
    let site = &session.site;
    let binding = &site.binding;
    let healthy = observed.healthy();
    let mut evidence = Evidence::at(facts.now, &site.actor);
    evidence.name = Some(found.name.clone());
    evidence.version = found.version.clone();
    evidence.checks = observed.checks.clone();
    evidence.failure = (!healthy).then(|| observed.faults().join("; "));
    let outputs: Vec<_> =
        facts.accepted.config.build.iter().flat_map(|group| group.outputs.clone()).collect();
    evidence.artifacts =
        compose::artifacts_now(&facts.live(site, &outputs, crate::build::Depth::Deep)?);
    let host = engine::host_name(binding.writer.as_str());
    let mut record = statement(session, Event::Predeploy);
    record.outcome = if healthy { Outcome::Succeeded } else { Outcome::Failed };
    record.from = facts.standing.as_ref().map(|s| s.commit.clone());
    record.to = healthy.then(|| found.commit.clone());
    record.subject = (!healthy).then(|| found.commit.clone());
    record.sentence =
        format!("{} {host}: found {} in place, put there by hand", binding.environment, found.name);
    let draft =
        Draft { record, evidence, config: facts.accepted.text.clone(), person: site.person() };
    engine::append(site, &draft)?;
    Ok(())
}

/// An empty record of this site: its position, digests and chain are filled in by the append.
pub fn statement(session: &Session, event: Event) -> Record {
    Record::new(&session.site.line(), event)
}

/// Appends a record that changes nothing that serves, with the accepted configuration.
///
/// # Errors
/// As the append.
pub fn state(session: &Session, facts: &Facts, record: Record) -> Result<ledger::Entry, Failure> {
    let site = &session.site;
    let mut evidence = Evidence::at(facts.now, &site.actor);
    evidence.name = match (&record.target, &record.subject) {
        (Some(target), _) => Some(target.short().to_owned()),
        (None, Some(commit)) => Some(facts.names.served(&site.git, commit, None)?.name),
        (None, None) => None,
    };
    let config = facts.accepted.text.clone();
    let draft = Draft { record, evidence, config, person: site.person() };
    Ok(engine::append(site, &draft)?)
}

/// The judgement that leaving `from` for `to` implies: provisional, and only when going to an older state.
pub fn judgement(subject: &Oid, reason: Option<String>) -> Recorded {
    Recorded {
        reason,
        subject: Some(subject.clone()),
        verdict: Some(Verdict { judgement: Judgement::Bad, provisional: true }),
        hold: Some(crate::model::Hold::Commit),
        ..Recorded::default()
    }
}
