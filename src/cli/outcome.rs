//! How a change ended: the lines a person reads first, the JSON a program reads, the exit code.

mod answer;

pub use answer::{ChangeAnswer, RecordBrief};

use std::time::Duration;

use super::exit::Exit;
use super::failure::{Failure, Status, print_next_steps};
use super::session::Session;
use crate::act::next_steps;
use crate::config::{Component, Config};
use crate::engine::{self, Ended, Reason, Run};
use crate::ledger;
use crate::model::{CheckEvidence, CheckName, Event, Hold, Plan, ServiceEvidence};
use crate::system::git::Pushed;
use crate::system::signals;
use crate::ui::{Ui, duration, escape};

mod person;

/// Tells how a run ended, as the answer of `command`. `intended`: serving this target is what was asked
/// for.
///
/// # Errors
/// Everything but a proven, recorded and, where required, published target.
pub fn tell(
    session: &Session,
    command: &str,
    plan: &Plan,
    ended: Ended,
    took: Duration,
    intended: bool,
) -> Result<Exit, Failure> {
    let mut answer = ChangeAnswer::about("serving", plan);
    answer.took_millis = u64::try_from(took.as_millis()).ok();
    match ended {
        Ended::Serving { proof, record } => {
            // What shows flags is said by naming them.
            let (_, asked): (Vec<_>, Vec<_>) =
                proof.checks.iter().cloned().partition(|check| shows_a_flag(plan, &check.check));
            let observed = witnesses(&asked, &proof.services);
            session.ui.line(&format!(
                "{} {}{} observed serving: {observed}    {}{}",
                session.ui.out.ok(),
                switched(plan),
                plan.to.name,
                duration(took),
                promised(plan, took),
            ));
            if let Some(step) = slowest(session, &record) {
                session.ui.line(&format!("  slowest  {step}"));
            }
            (answer.checks, answer.services) = (proof.checks, proof.services);
            consequences(session, plan);
            let exit = recorded(session, plan, &mut answer, record);
            let exit = if intended { exit } else { Exit::Restored };
            session.ui.document(command, exit.code(), &answer);
            if exit == Exit::Restored {
                session.ui.cry(&format!(
                    "{} Not what was asked for: {} serves instead. [20]",
                    session.ui.err.bad(),
                    plan.to
                ));
            }
            Ok(exit)
        }
        Ended::NoLonger { why, lines } => {
            let what = if plan.event == Event::Flags {
                "the flags were seen as they were to be, and are not any more".to_owned()
            } else {
                format!("{} was observed serving, and does not serve any more", plan.to)
            };
            let failure = Failure::new(Status::PersonNeeded, what).detail(why);
            let failure = lines.into_iter().fold(failure, |failure, (source, line)| {
                failure.detail(format!("{source} log  {line}"))
            });
            Err(failure
                .detail("the run is over and recorded")
                .next("gitroll status", "shows what serves")
                .next("gitroll check", "asks again, when what is named above is mended")
                .next("gitroll back", "goes back"))
        }
        Ended::Untouched { why } => {
            let what = format!("{} was not put in place: {}", plan.to.name, escape(&why));
            let (typed, again) = match signals::stop_asked() {
                Some(_) => (as_typed(plan, true), "begins anew"),
                None => (as_typed(plan, false), "again, when what is named above is mended"),
            };
            Err(Failure::unchanged(what)
                .detail(format!("{} serves as before; nothing was changed", plan.from))
                .next(typed, again))
        }
        Ended::Restored { why, record } => {
            answer.outcome = "restored".into();
            answer.why = Some(why.clone());
            if command == "abort" {
                // Undoing is what was asked for: done is done.
                let exit = recorded(session, plan, &mut answer, record);
                let (ok, from) = (session.ui.out.ok(), &plan.from);
                session.ui.line(&format!("{ok} {from} restored, observed serving"));
                session.ui.document(command, exit.code(), &answer);
                return Ok(exit);
            }
            let what = if plan.event == Event::Deploy { "Not deployed" } else { "Not done" };
            let slowest = slowest(session, &record);
            let slowest = slowest.map_or_else(String::new, |step| format!(", slowest {step}"));
            let time = format!("{}{}{slowest}", duration(took), promised(plan, took));
            let exit = recorded(session, plan, &mut answer, record);
            session.ui.document(command, Exit::Restored.code(), &answer);
            let mut lines = vec![format!(
                "{} {what}. {} restored, observed serving. [20]",
                session.ui.err.bad(),
                plan.from
            )];
            lines.push(format!("  took     {time}"));
            if let (Some(record), true) = (&answer.record, exit == Exit::Done) {
                lines.push(format!("  next     gitroll show {}", record.seq));
                lines.push(
                    "           gitroll diff      what came with it, suspects first".to_owned(),
                );
            }
            for line in lines {
                session.ui.cry(&line);
            }
            Ok(Exit::Restored)
        }
        Ended::PutBack { why } => Err(Failure::new(
            Status::PersonNeeded,
            format!("{} is in place again, failing as it was before", plan.from),
        )
        .detail(why)
        .details(next_steps::flags_now(&session.site, plan))
        .detail("the run is over")
        .next("gitroll deploy REV", "puts any revision in place")
        .next("gitroll back", "goes to an earlier state")),
        Ended::GivenUp { why } => Err(Failure::new(
            Status::PersonNeeded,
            format!("{} could not be restored; the run is over as it stands", plan.from),
        )
        .detail(why)
        .details(next_steps::flags_now(&session.site, plan))
        .next("gitroll status", "shows what serves")
        .next("gitroll deploy REV", "puts any revision in place")),
        Ended::Stuck { side, why, run } => {
            answer.outcome = "person-needed".into();
            answer.why = Some(why.clone());
            answer.open_run = Some(run.clone());
            session.ui.document(command, Exit::PersonNeeded.code(), &answer);
            person::needed(session, plan, &run, side, &why);
            Ok(Exit::PersonNeeded)
        }
        Ended::Left { run } => {
            answer.outcome = "left-open".into();
            answer.open_run = Some(run.clone());
            let exit = Exit::RunOpen;
            session.ui.document(command, exit.code(), &answer);
            let bad = session.ui.err.bad();
            session.ui.cry(&format!("{bad} Left as it stands; the run {run} is open. [22]"));
            let status =
                ("gitroll status".to_owned(), "shows what is done and what is not".to_owned());
            let ways = Run::open(&session.site, &run).map(|run| next_steps::of(&run));
            let ways: Vec<_> = std::iter::once(status).chain(ways.unwrap_or_default()).collect();
            print_next_steps(&session.ui, &ways);
            Ok(exit)
        }
        // Only where the run beneath it is gone.
        Ended::Abandoned { why } | Ended::Undone { why: Reason { text: why, .. } } => {
            Err(Failure::new(Status::PersonNeeded, why))
        }
    }
}

/// The command that makes this plan again: the run is over, so it is not `resume`. `same`: nothing was wrong
/// with the revision.
fn as_typed(plan: &Plan, same: bool) -> String {
    match (&plan.event, plan.recorded.components.first()) {
        (Event::Component, Some(id)) => format!("gitroll component {id}"),
        (Event::Deploy, _) if same => format!("gitroll deploy {}", plan.to.commit.short()),
        (event, _) => format!("gitroll {event}"),
    }
}

fn recorded(
    session: &Session,
    plan: &Plan,
    answer: &mut ChangeAnswer,
    record: Result<Box<ledger::Entry>, String>,
) -> Exit {
    let ui = &session.ui;
    let entry = match record {
        Ok(entry) => entry,
        Err(why) => {
            ui.cry(&format!("  {} it could not be signed: {}", ui.err.bad(), escape(&why)));
            ui.cry("  next     mend the key; the next gitroll command signs and publishes it [30]");
            answer.unsigned = Some(why);
            return Exit::Unrecorded;
        }
    };
    let evidence = ledger::evidence(&session.site.git, &entry);
    answer.warnings = evidence.map(|evidence| evidence.warnings).unwrap_or_default();
    answer.record = Some(RecordBrief { seq: entry.record.seq, digest: entry.digest });
    let remote = crate::config::parse(&plan.config, "gitroll.toml").ok().map(|c| c.remote);
    let Some(remote) = remote else { return Exit::Done };
    let mut more = Vec::new();
    if remote.push_tags && entry.record.event.serves() {
        more.push(ledger::record_tag(
            &entry.record.environment,
            &entry.record.writer,
            entry.record.seq,
            entry.record.event.as_str(),
        ));
    }
    let problem = match engine::publish(&session.site, &remote.name, &more) {
        None if remote.required => format!("there is no remote {}", remote.name),
        None => return Exit::Done,
        Some(Pushed::Done) => {
            answer.published = Some(true);
            return Exit::Done;
        }
        Some(Pushed::Rejected(why)) => {
            format!("the remote has another history of this writer, a copied checkout? {why}")
        }
        Some(Pushed::Failed(why)) => why,
    };
    answer.published = Some(false);
    ui.cry(&format!(
        "  warning  record #{} is not published: {}",
        entry.record.seq,
        escape(&problem)
    ));
    if remote.required { Exit::Unrecorded } else { Exit::Done }
}

/// `ENABLE_UPLOADS false, seen in the running app; `
fn switched(plan: &Plan) -> String {
    let words = plan.flags().map(|c| format!("{} {}", c.name, escape(&c.after.plain())));
    let words: Vec<String> = words.collect();
    if words.is_empty() { String::new() } else { format!("{}; ", words.join(", ")) }
}

/// What the components that went back make one expect, as gitroll.toml says.
fn expected(ui: &Ui, plan: &Plan) {
    let Ok(config) = crate::config::parse(&plan.config, "gitroll.toml") else { return };
    // Returning to what they were is not what was described.
    if !plan.recorded.lifts.is_empty() || switched_on(&config, plan) {
        return;
    }
    let about = |c: &&Component| plan.recorded.components.contains(&c.id);
    for component in config.components.iter().filter(about) {
        if let Some(after) = &component.after {
            ui.line(&format!("  expect   {}: {}", component.id, escape(after)));
        }
        if !component.symptoms.is_empty() {
            let symptoms = escape(&component.symptoms.join(", "));
            ui.line(&format!("  watch    {symptoms}: would mean that it did not help"));
        }
    }
}

fn switched_on(config: &Config, plan: &Plan) -> bool {
    plan.flags().any(|change| {
        let mut declared = config.components.iter().filter_map(|c| c.flag.as_ref());
        declared.any(|flag| flag.name == change.name && flag.off != change.after.plain())
    })
}

fn consequences(session: &Session, plan: &Plan) {
    let ui = &session.ui;
    expected(ui, plan);
    if plan.recorded.hold == Some(Hold::Commit)
        && let Some(subject) = &plan.recorded.subject
    {
        ui.line(&format!("  held     {} and what contains it", subject.short()));
    }
    if let Some(Hold::Component { id, .. }) = &plan.recorded.hold {
        let name = escape(&plan.from.name);
        ui.line(&format!("  held     {id} as in {name}, whatever brings it back"));
    }
    for save in &plan.activation.saves {
        ui.line(&format!("  saved    {} in .git/gitroll/saved", save.path));
    }
    match plan.event {
        Event::Back if plan.recorded.verdict.is_some() => after_a_rollback(ui, plan),
        Event::Back => {
            if !plan.recorded.lifts.is_empty() {
                let ids: Vec<_> = plan.recorded.components.iter().map(|id| id.as_str()).collect();
                let lifted = match ids.as_slice() {
                    [] => "the verdict and hold by that rollback".to_owned(),
                    ids => format!("the hold on {} by that rollback", ids.join(", ")),
                };
                ui.line(&format!("  lifted   {lifted}"));
            }
            ui.line(&format!("  next     gitroll back --undo      returns to {}", plan.from));
        }
        Event::Component => after_a_rollback(ui, plan),
        Event::Flags if plan.recorded.lifts.is_empty() => {
            ui.line("  next     gitroll back --level flags    puts the values of before back");
        }
        Event::Deploy => ui.line("  next     gitroll promote          when it has proven itself"),
        _ => {}
    }
}

fn after_a_rollback(ui: &Ui, plan: &Plan) {
    ui.line("  next     gitroll diff             suspects first");
    ui.line("           gitroll back --undo      if it was a false alarm");
    if plan.recorded.reason.is_none() {
        ui.line("           gitroll annotate --reason 'WHY'");
    }
}

/// `api 3/3, web 2/2 fresh`.
fn witnesses(checks: &[CheckEvidence], services: &[ServiceEvidence]) -> String {
    let checks = checks.iter().map(|c| match &c.skipped {
        None => format!("{} {}/{}", c.check, c.passes.min(c.wanted), c.wanted),
        Some(why) => format!("{} not asked ({why})", c.check),
    });
    let services = services.iter().map(|s| {
        if s.pids.is_empty() {
            format!("{} {}", s.service, s.state)
        } else {
            format!("{} {}/{} fresh", s.service, s.fresh, s.pids.len())
        }
    });
    checks.chain(services).collect::<Vec<_>>().join(", ")
}

/// What was promised, and whether that was kept.
fn promised(plan: &Plan, took: Duration) -> String {
    let rto = crate::config::parse(&plan.config, "gitroll.toml").ok().map(|c| c.rto);
    let rto = rto.and_then(|rto| if plan.event == Event::Flags { rto.flags } else { rto.code });
    rto.map_or_else(String::new, |limit| {
        let late = if took > limit { "over the " } else { "" };
        format!(" ({late}rto {})", crate::ui::span(limit))
    })
}

/// The step that took longest, and how long.
fn slowest(session: &Session, record: &Result<Box<ledger::Entry>, String>) -> Option<String> {
    let evidence = ledger::evidence(&session.site.git, record.as_ref().ok()?).ok()?;
    let slowest = evidence.steps.into_iter().max_by_key(|step| step.millis)?;
    let time = duration(Duration::from_millis(slowest.millis));
    Some(format!("{} {time}", escape(&slowest.step)))
}

fn shows_a_flag(plan: &Plan, check: &CheckName) -> bool {
    plan.flags().any(|change| engine::flag_question_name(&change.name) == *check)
}
