//! What came of a run: published, put into an outcome, told.

use std::time::Duration;

use super::caller::Notice;
use super::diagnosis;
use super::failure::Failure;
use super::next_steps;
use super::notify;
use super::outcome::{ChangeAnswer, ChangeOutcome, Ending, Proven, RecordBrief, Status};
use super::publication::Publication;
use super::saved;
use super::service;
use super::session::Session;
use crate::check;
use crate::config;
use crate::diagnosis::{self as conclusions, Health};
use crate::engine::{self, Attempt, Ended, Lying, Reason, Run, Side};
use crate::ledger;
use crate::model::{Event, FullLevel, Plan, RunId, Served};
use crate::plan::deployed;
use crate::plan::facts::Facts;
use crate::plan::retention;
use crate::site::Observed;
use crate::system::signals;
use crate::system::text::{duration, escape, plural};

/// A run that is over, and what it was for.
pub(super) struct Conclusion<'a> {
    /// The command as it was typed.
    pub command: &'a str,
    pub plan: Plan,
    /// From the command's start.
    pub took: Duration,
    /// Serving this target is what was asked for.
    pub asked: bool,
}

/// Tells how a run ended; once that is told, makes what plain git shows of its record, and removes what no way
/// back needs. It is published when the command's answer is told ([`super::publication::finish`]).
///
/// # Errors
/// What ends without an answer to what was asked.
pub(super) fn conclude(
    session: &Session,
    conclusion: Conclusion<'_>,
    ended: Ended,
) -> Result<ChangeOutcome, Failure> {
    let served = matches!(ended, Ended::Serving { .. });
    let proven = served || matches!(ended, Ended::Restored { .. });
    let (plan, took) = (conclusion.plan.clone(), conclusion.took);
    let told = tell(session, conclusion, ended).map_err(|failure| with_help(failure, &plan));
    notify::over(session, &plan, took, &told);
    engine::project_all(&session.site);
    session.tell_unprojected();
    let facts = proven.then(|| Facts::gather(&session.site).ok()).flatten();
    if let Some(facts) = &facts {
        service::end_silence(session, &facts.accepted.config, facts);
        if served && facts.ledger.dispute.is_none() {
            retention::prune(&session.site, facts);
        }
    }
    told
}

/// Where a person is needed: whom to call and which pages help, by what is accepted.
fn help(plan: &Plan) -> Vec<(&'static str, String)> {
    config::parse(&plan.config_before, "gitroll.toml")
        .map(|config| notify::help(&config))
        .unwrap_or_default()
}

fn with_help(failure: Failure, plan: &Plan) -> Failure {
    if failure.status != Status::PersonNeeded {
        return failure;
    }
    let lines = help(plan).into_iter().map(|(label, text)| format!("{label:<8} {text}"));
    failure.details(lines)
}

fn tell(
    session: &Session,
    conclusion: Conclusion<'_>,
    ended: Ended,
) -> Result<ChangeOutcome, Failure> {
    let Conclusion { command, plan, took, asked } = conclusion;
    let site = &session.site;
    let caller = &session.caller;
    if let ("abort", Ended::Untouched { .. }) = (command, &ended) {
        let what = as_before(session, &plan.from, "the live tree was not changed");
        let between = (&plan.from, &plan.to);
        let outcome = ChangeOutcome::nothing_to_do(command, "unchanged", between, vec![what]);
        return Ok(caller.ended(outcome));
    }
    if let Ok(config) = config::parse(&plan.config, "gitroll.toml") {
        for id in engine::forget(site, &config.retention) {
            let what = format!("old saved files will be removed soon: {id}");
            caller.warn(what);
            caller.tell(Notice::MoreNext(
                format!("gitroll saved restore {id}"),
                "restores them; gitroll saved lists them".to_owned(),
            ));
        }
    }
    let mut answer = ChangeAnswer::about("serving", &plan);
    answer.took_millis = u64::try_from(took.as_millis()).ok();
    let (status, ending) = match ended {
        Ended::Serving { proof, strays, record } => {
            let slowest = slowest(session, &record);
            let proven = Proven { plan: &plan, proof: &proof, strays: &strays, took, slowest };
            caller.tell(Notice::Proven(&proven));
            answer.strays = strays;
            if let Some(run) = plan.undoes.as_ref().filter(|_| asked) {
                (answer.brought_back, answer.still_aside) = saved::bring_back_of(session, run);
            }
            if let Some(run) = engine::last_run(site).filter(|_| plan.full.is_some()) {
                (answer.data_back, answer.copy_of_now) = engine::brought_back(&run);
            }
            (answer.checks, answer.services) = (proof.checks, proof.services);
            let status = recorded(session, &plan, &mut answer, record);
            let status = if asked { status } else { Status::Restored };
            (status, Ending::Serving(Box::new(plan)))
        }
        Ended::Restored { why, record, nothing_served, weak } => {
            answer.outcome = "restored".into();
            answer.weak.clone_from(&weak);
            answer.why = Some(why.clone());
            answer.nothing_served_before = nothing_served;
            let slowest = slowest(session, &record);
            let status = recorded(session, &plan, &mut answer, record);
            let plan = Box::new(plan);
            if command == "abort" {
                // Undoing is what was asked for: done is done.
                (status, Ending::Aborted { plan, nothing_served, weak })
            } else {
                let recorded = status == Status::Done;
                let found = diagnosis::look(session).ok().filter(|found| !found.is_well());
                let ending = Ending::Restored {
                    plan,
                    why,
                    found: found.map(Box::new),
                    took,
                    slowest,
                    recorded,
                    nothing_served,
                    weak,
                };
                (Status::Restored, ending)
            }
        }
        Ended::Stuck { side, why, run } => {
            answer.outcome = "person-needed".into();
            answer.open_run = Some(run.clone());
            let ending = person_needed(session, &plan, &run, side, &why);
            answer.why = Some(why);
            (Status::PersonNeeded, ending)
        }
        Ended::Left { run } => {
            answer.outcome = "left-open".into();
            answer.open_run = Some(run.clone());
            let status =
                ("gitroll status".to_owned(), "shows what is done and what is left".to_owned());
            let steps = Run::open(site, &run).map(|run| next_steps::of(&run)).unwrap_or_default();
            let next = std::iter::once(status).chain(steps).collect();
            (Status::RunOpen, Ending::LeftOpen { run, next })
        }
        Ended::NoLonger { why, lines } => return Err(no_longer(session, &plan, why, lines)),
        Ended::Untouched { why } => {
            let failed = engine::attempts(site).into_iter().next();
            let failed = failed.filter(|attempt| {
                attempt.run.plan == plan
                    && engine::kept_output(site, &attempt.run.id).is_ok_and(|o| o.is_some())
            });
            let failure = untouched(session, &plan, &why);
            return Err(match failed {
                Some(Attempt { run, .. }) => {
                    let all = format!("gitroll show {} --output", run.id);
                    failure.next(all, "shows all output of the build")
                }
                None => failure,
            });
        }
        Ended::Migrated { why, record } => {
            recorded(session, &plan, &mut answer, record);
            return Err(migrated(session, &plan, why));
        }
        Ended::PutBack { why, passed } => return Err(put_back(session, &plan, why, passed)),
        Ended::GivenUp { why } => return Err(given_up(session, &plan, why)),
        // Only where the run beneath it is gone.
        Ended::Abandoned { why } | Ended::Undone { why: Reason { text: why, .. } } => {
            return Err(Failure::new(Status::PersonNeeded, why));
        }
    };
    Ok(caller.ended(ChangeOutcome { command: command.to_owned(), status, ending, answer }))
}

fn no_longer(session: &Session, plan: &Plan, why: String, lines: Vec<(String, String)>) -> Failure {
    let what = if plan.event == Event::Flags {
        "the flags had their new values, but have different values now".to_owned()
    } else {
        format!("{} was observed serving, but no longer serves", plan.to)
    };
    let lines = lines.into_iter().map(|(source, line)| format!("{source} log  {line}"));
    let failure = Failure::new(Status::PersonNeeded, what)
        .detail(why)
        .details(lines)
        .detail("the run is over and recorded")
        .next("gitroll check", "checks again, after you fix the problem above");
    diagnosis::explain(session, failure)
}

/// How what served before stands, as observed now.
fn as_before(session: &Session, from: &Served, but: &str) -> String {
    match diagnosis::look(session).map(|found| found.health) {
        Ok(Health::Failing) => format!("{from} still answers, but is not healthy; {but}"),
        Ok(Health::Down) => format!("{from} still does not serve; {but}"),
        _ => format!("{from} still serves; {but}"),
    }
}

fn untouched(session: &Session, plan: &Plan, why: &str) -> Failure {
    let what = format!("{} was not deployed: {}", plan.to.name, escape(why));
    let (typed, again) = match signals::stop_asked() {
        Some(_) => (as_typed(plan, true), "starts again"),
        None => (as_typed(plan, false), "tries again, after you fix the problem above"),
    };
    let failure = Failure::unchanged(what)
        .detail(as_before(session, &plan.from, "nothing was changed"))
        .next(typed, again);
    match diagnosis::look(session).map(|found| found.health) {
        Ok(Health::Failing | Health::Down) => diagnosis::explain(session, failure),
        _ => failure,
    }
}

fn put_back(
    session: &Session,
    plan: &Plan,
    why: String,
    passed: Option<(usize, Duration)>,
) -> Failure {
    let from = &plan.from;
    let what = match passed {
        None => format!("{from} is restored and fails as it did before"),
        Some((checks, time)) => {
            let passed = format!("passed {} in {}", plural(checks, "check"), duration(time));
            format!("{from} is restored; it was failing before, {passed}: watch it")
        }
    };
    let why = if passed.is_some() { format!("before   {why}") } else { why };
    let failure = Failure::new(Status::PersonNeeded, what)
        .detail(why)
        .details(next_steps::flags_now(&session.site, plan))
        .detail("the run is over");
    diagnosis::explain(session, failure)
}

/// The schema is as it was wanted, and what serves fails as it did before.
fn migrated(session: &Session, plan: &Plan, why: String) -> Failure {
    let names = plan.migrates().map(|step| step.names().join(", ")).unwrap_or_default();
    let what = format!("took back {names}; {} fails as before", plan.from);
    let failure =
        Failure::new(Status::PersonNeeded, what).detail(why).detail("the run is over and recorded");
    diagnosis::explain(session, failure)
}

fn given_up(session: &Session, plan: &Plan, why: String) -> Failure {
    let what = format!("{} could not be restored; the run is closed as it is", plan.from);
    let failure = Failure::new(Status::PersonNeeded, what)
        .detail(why)
        .details(next_steps::flags_now(&session.site, plan));
    diagnosis::explain(session, failure)
}

/// The command that makes this plan again: the run is over, so it is not `resume`. `same`: nothing was wrong
/// with the revision.
fn as_typed(plan: &Plan, same: bool) -> String {
    match (&plan.event, plan.recorded.components.first()) {
        _ if plan.full.is_some() => as_typed_of_data(plan),
        (Event::Component, Some(id)) => format!("gitroll component {id}"),
        (Event::Deploy, _) if same => format!("gitroll deploy {}", plan.to.commit.short()),
        (event, _) => format!("gitroll {event}"),
    }
}

fn as_typed_of_data(plan: &Plan) -> String {
    let Some(full) = &plan.full else { return String::new() };
    let to = full.point.as_ref().map(|point| format!(" --to {}", point.id)).unwrap_or_default();
    if full.level == FullLevel::Full {
        return format!("gitroll back --level full{to}");
    }
    let names: Vec<&str> = full.items.iter().map(|item| item.name.as_str()).collect();
    format!("gitroll back --only {}{to}", names.join(" --only "))
}

/// Notes in the answer what became of the record. What must be published is published now, because the exit code
/// says whether it was; everything else when the answer is told.
fn recorded(
    session: &Session,
    plan: &Plan,
    answer: &mut ChangeAnswer,
    record: Result<Box<ledger::Entry>, String>,
) -> Status {
    let entry = match record {
        Ok(entry) => entry,
        Err(why) => {
            session.caller.tell(Notice::Unsigned(&why));
            answer.unsigned = Some(why);
            return Status::Unrecorded;
        }
    };
    if let Ok(evidence) = ledger::evidence(&session.site.git, &entry) {
        answer.warnings = evidence.warnings;
        answer.migration = evidence.migration;
    }
    answer.record = Some(RecordBrief { seq: entry.record.seq, digest: entry.digest });
    let Some(publication) = Publication::of(plan, &entry) else { return Status::Done };
    if !publication.required() {
        publication.wait(&session.site);
        return Status::Done;
    }
    // Its tag may have to go along.
    engine::project_all(&session.site);
    let published = publication.publish(session);
    answer.published = Some(published);
    if published { Status::Done } else { Status::Unrecorded }
}

/// The step that took longest, and how long.
fn slowest(
    session: &Session,
    record: &Result<Box<ledger::Entry>, String>,
) -> Option<(String, Duration)> {
    let evidence = ledger::evidence(&session.site.git, record.as_ref().ok()?).ok()?;
    let slowest = evidence.steps.into_iter().max_by_key(|step| step.millis)?;
    Some((slowest.step, Duration::from_millis(slowest.millis)))
}

/// What serves, why the run could not be ended, and the ways on.
fn person_needed(session: &Session, plan: &Plan, run: &RunId, side: Side, why: &str) -> Ending {
    let host = session.place().host;
    let run = Run::open(&session.site, run);
    let answers = answering(session, plan);
    let what = match (&run, answers) {
        (Ok(run), answers) if side == Side::Before && run.lying() == Lying::Between => {
            let what = match plan.event {
                Event::Flags => "the flags".to_owned(),
                _ => plan.from.to_string(),
            };
            let answers = match answers {
                Answering::Healthy(served) => format!("; {served} answers"),
                Answering::Partly(what) => format!("; {what}"),
                Answering::Nothing => String::new(),
            };
            format!("{what} could not be restored on {host}{answers}")
        }
        (_, Answering::Healthy(served)) => {
            format!("{served} answers on {host}, but the run could not be closed")
        }
        (_, Answering::Partly(what)) => format!("on {host} {what}"),
        (_, Answering::Nothing) => format!("nothing healthy serves on {host}"),
    };
    let mut facts = match &run {
        Ok(run) => next_steps::explain_stuck(&session.site, run, side, why),
        Err(_) => vec![("why", why.to_owned())],
    };
    facts.extend(schema(session, plan, side).map(|text| ("schema", text)));
    let changed = diagnosis::look(session).ok().and_then(|found| diagnosis::changed_files(&found));
    facts.extend(changed.map(|files| ("changed", format!("{files}, since the last proof"))));
    facts.extend(help(plan));
    Ending::PersonNeeded { what, facts, next: next_steps::stuck(side) }
}

/// What is to be said where the older version is there and was never seen on the schema that it found.
fn schema(session: &Session, plan: &Plan, side: Side) -> Option<String> {
    let facts = Facts::gather(&session.site).ok().filter(|_| side == Side::Target)?;
    let (from, to) = (&plan.from.commit, &plan.to.commit);
    let crossed = deployed::migrations(&session.site, &facts, from, to).ok()?;
    if crossed.names.is_empty() || crossed.seen || crossed.old_code_ok {
        return None;
    }
    let what = conclusions::crossing(&crossed, &plan.to.name);
    Some(match conclusions::way_down(&crossed) {
        Some((command, _)) => format!("{what}: run gitroll abort, then {command}"),
        None => what,
    })
}

/// How a host answers.
enum Answering<'p> {
    /// As it should with this state, in all.
    Healthy(&'p Served),
    /// The checks pass, but a service is not seen to be up.
    Partly(String),
    Nothing,
}

/// Which of the two states of a plan answers as it should, where one does.
fn answering<'p>(session: &Session, plan: &'p Plan) -> Answering<'p> {
    let mut partly = Answering::Nothing;
    for (served, config) in [(&plan.from, &plan.config_before), (&plan.to, &plan.config)] {
        let Ok(config) = config::parse(config, "gitroll.toml") else { continue };
        // Without a check that names the version nobody knows which of them it is.
        if !check::has_witness(&config.checks, &[]) {
            continue;
        }
        let observed = Observed::now(&session.site, &config, served, "");
        if observed.healthy() {
            return Answering::Healthy(served);
        }
        let pass = !observed.checks.is_empty() && observed.checks.iter().all(|c| c.passed);
        if pass && matches!(partly, Answering::Nothing) {
            let faults = observed.faults().join(", ");
            partly = Answering::Partly(format!("{served} answers, but {faults}"));
        }
    }
    partly
}
