//! Carrying out a change: look, compose, check, describe, ask, execute; and if that fails while what served was
//! failing too, the same with the next candidate.

use std::time::{Duration, Instant};

use super::approvals;
use super::awaited;
use super::caller::Notice;
use super::conclude::{self, Conclusion};
use super::consent;
use super::diagnosis;
use super::failure::{Failure, SAME_COMMAND};
use super::keep;
use super::loss::{self, AcceptedRows};
use super::no_better::FailedCandidate;
use super::notify;
use super::outcome::{ChangeAnswer, ChangeOutcome, Ending, Preview, Status};
use super::parts::parts;
use super::point;
use super::session::Session;
use super::statement::statement;
use super::target::{older, provisional};
use crate::build::Depth;
use crate::check::Shown;
use crate::config::Selection;
use crate::engine::{self, Ended, EngineError, Further, OnFailure, Run, Terms};
use crate::ledger::{self, Draft};
use crate::model::{CheckedPlan, Event, Evidence, Narrator, Outcome, Plan, Recorded, Served};
use crate::plan::compose::{self, Change, UseKept};
use crate::plan::facts::{Facts, HandMade};
use crate::plan::preflight::preflight;
use crate::plan::{PlanError, describe, estimate, holds};
use crate::site::{Observed, Site, processes, witness};
use crate::system::text::{plural, span};
use crate::target::{Candidate, Needed};

/// What was looked at is still so after this long.
const MOMENT: Duration = Duration::from_secs(2);

/// What about plans, questions and failures.
#[derive(Debug, Clone, Copy)]
pub struct ChangeOptions {
    /// Show the plan and stop.
    pub plan_only: bool,
    /// Ask before acting.
    pub confirm: bool,
    /// A later candidate that serves is what was wanted too.
    pub any_candidate: bool,
    /// How many further candidates are tried when what served was failing before.
    pub fallbacks: usize,
    /// What answers a change of flags that fails.
    pub flags_fail: OnFailure,
    /// What is known of the fault says that this does not help: whoever only presses Enter does not want it.
    pub doubtful: bool,
    /// Take a point first, where `[points] before_deploy` says so.
    pub point_first: bool,
    /// The rows that migrations may lose.
    pub accepted: AcceptedRows,
    /// The target needs a build. Where that cannot be made, a later candidate that is kept is taken.
    pub builds: bool,
}

impl Default for ChangeOptions {
    fn default() -> Self {
        Self {
            plan_only: false,
            confirm: false,
            any_candidate: false,
            fallbacks: 1,
            // The values of before are restored, however the app was with them.
            flags_fail: OnFailure::Restore,
            doubtful: false,
            point_first: false,
            accepted: AcceptedRows::Ask,
            builds: false,
        }
    }
}

/// Carries out `change`; should it fail while what served was failing too, continues with `fallbacks`. How it ended is
/// told as well.
///
/// # Errors
/// What ends without an answer to what was asked: nothing was changed, or a person is needed.
pub fn carry_out(
    session: &Session,
    facts: Facts,
    change: Change,
    fallbacks: &[Candidate],
    options: &ChangeOptions,
) -> Result<ChangeOutcome, Failure> {
    let mut begin = session.caller.waits_since();
    session.be_at_work()?;
    let command = change.event.clone();
    let asked_for = change.clone();
    let further = named(fallbacks, options.fallbacks, options);
    let mut kept = kept(fallbacks, options);
    let (recorded, emergency) = (change.recorded.clone(), change.emergency);
    let mut wanted = change.to.clone();
    let mut prepared = prepare(session, &facts, change);
    while let (Err(failure), false) = (&prepared, kept.is_empty()) {
        let next = kept.remove(0);
        let why = failure.message.clone();
        session.caller.tell(Notice::Failed(format!("{}  {why}", wanted.name)));
        let before = Tried { to: &wanted, recorded: &recorded, emergency, left: None };
        let change = to_candidate(session, &facts, &before, &next, &why)?;
        wanted = change.to.clone();
        prepared = prepare(session, &facts, change);
    }
    let prepared = prepared?;
    let mut further: Vec<Further> =
        further.into_iter().filter(|next| next.commit != wanted.commit).collect();
    let plan = prepared.checked.plan().clone();
    let approvals = approvals::needed(&facts.accepted.config, &plan);
    if approvals.is_some() {
        // What is approved is this target, and no other.
        further.clear();
        kept.clear();
    }
    preview(session, &plan, &prepared.observed, &facts, !further.is_empty());
    if let Some((level, roles)) = &approvals {
        session.caller.info(format!("{level} needs approval by {}", roles.join(", ")));
    }
    if point::copies_first(&facts.accepted.config, &plan) {
        session.caller.info("a point is taken and copied away before anything stops");
    }
    if options.plan_only {
        let outcome = ChangeOutcome {
            command: command.as_str().to_owned(),
            status: Status::Done,
            answer: ChangeAnswer::planned(&plan),
            ending: Ending::Planned(Box::new(plan)),
        };
        return Ok(session.caller.ended(outcome));
    }
    let asks = options.confirm || asked_for.full.is_some() || asked_for.migrate.is_some();
    let asking_since = asks.then(Instant::now);
    let asking = Instant::now();
    let approvals =
        approvals::require(session, &facts, &plan, &prepared.observed, session.approval())?;
    begin += asking.elapsed();
    let asked = options.accepted == AcceptedRows::Ask && loss::is_asked_for(&plan);
    let asking = Instant::now();
    loss::agree(session, &plan, options.accepted)?;
    if let Some(full) = &plan.full {
        consent::agree(session, &facts.accepted.config, &plan, full, options.confirm && !asked)?;
    }
    begin += asking.elapsed();
    if options.confirm && !asked && plan.full.is_none() {
        let asking = Instant::now();
        let (question, default) = question(&plan, prepared.observed.healthy());
        let default = default && !options.doubtful;
        if !session.caller.prompt().confirm(&question, default)? {
            return Err(Failure::unchanged("not confirmed").and_nothing_changed());
        }
        // How long a person thinks is not a part of what is promised.
        begin += asking.elapsed();
    }
    check_unmoved(session, &facts, &plan)?;
    if approvals.is_some() || asking_since.is_some_and(|asked| asked.elapsed() > MOMENT) {
        awaited::check_same(session, &facts, &plan, &asked_for)?;
    }
    if options.point_first {
        point::before_deploy(session, &facts, &plan, &prepared.observed)?;
    }
    point::before_migrating(session, &facts, &plan, &prepared.observed)?;
    let replaced = match &facts.hand_made {
        Some(HandMade::NeverStarted(head)) => plan.to.commit != head.commit,
        Some(_) => plan.from.commit == facts.head.commit,
        None => false,
    };
    if replaced {
        let back = command == Event::Back;
        record_predeploy(session, &facts, &plan.from, &prepared.observed, back)?;
    }
    let nothing_served = nothing_served(&facts, &prepared.observed);
    let terms = Terms {
        shown: prepared.shown,
        on_failure: match command {
            Event::Flags => options.flags_fail,
            // The database and the code belong together.
            _ if plan.migrates().is_some() => OnFailure::Restore,
            // Data is never left half way, however what served was.
            _ if plan.full.is_some() => OnFailure::Restore,
            _ if nothing_served && further.is_empty() => OnFailure::Restore,
            _ => on_failure(prepared.observed.healthy(), !further.is_empty()),
        },
        nothing_served: nothing_served && further.is_empty(),
        waited: begin.elapsed(),
        approvals,
        faults: known_faults(session, &facts, &plan.from, &prepared.observed),
        vouched: facts.vouched_processes(&session.site, &prepared.observed.services)?,
        baseline: prepared.observed.checks,
        follows: Vec::new(),
        further: further.clone(),
        by_watchdog: false,
    };
    session.heed_signals();
    let caller = &session.caller;
    notify::begun(session, &plan);
    caller.between_runs(None);
    let ended = engine::execute(&session.site, &prepared.checked, terms, &mut caller.narrator());
    caller.tell(Notice::StepsEnd);
    let ended = ended?;
    if let (Ended::Untouched { why }, true) = (&ended, prepared.kept_instead)
        && plan.to.commit == asked_for.to.commit
        && !session.was_stopped()
    {
        caller.tell(Notice::Remark(format!("{why}: using what is kept instead")));
        let instead = Change { kept: UseKept::Unbuildable, ..asked_for };
        let options = ChangeOptions { confirm: false, ..*options };
        return carry_out(session, session.facts()?, instead, fallbacks, &options);
    }
    let attempt = Attempt { plan, ended, asked: true, further, kept };
    let pursuit = Pursuit { session, command: command.as_str(), watchdog: None, begin };
    let concluded = pursuit.conclude(attempt);
    caller.between_runs(Some("stopping; no further step is started"));
    concluded
}

/// A checked plan and what was observed for it.
struct Prepared {
    checked: CheckedPlan,
    /// How what serves stands.
    observed: Observed,
    /// What is known of both states.
    shown: Shown,
    /// See [`compose::Composed::kept_instead`].
    kept_instead: bool,
}

/// Observes, composes and checks what is wanted.
fn prepare(session: &Session, facts: &Facts, mut change: Change) -> Result<Prepared, Failure> {
    let site = &session.site;
    let observed = observe(session, facts, &change);
    if matches!(change.event, Event::Flags | Event::Component | Event::Migrate) {
        if let Some(HandMade::NeverStarted(head)) = &facts.hand_made {
            return Err(never_started(head, &facts.serving));
        }
        reload_what_was_not_proven(session, facts, &observed, &mut change)?;
    }
    let config = change.config.clone();
    let composed = compose::compose(site, facts, change)?;
    let kept_instead = composed.kept_instead;
    let checked = preflight(site, facts, composed, &config, &observed)?;
    let shown = facts.shown(site, checked.plan(), &config, &observed);
    Ok(Prepared { checked, observed, shown, kept_instead })
}

/// Only a part may change where the rest is what serves.
fn never_started(head: &Served, serving: &Served) -> Failure {
    Failure::unchanged(format!("{head} is checked out but was never started; {serving} serves"))
        .and_nothing_changed()
        .next(
            format!("gitroll deploy {}", serving.commit.short()),
            "restores the files of what serves",
        )
        .next(format!("gitroll deploy {}", head.commit.short()), "starts what is checked out")
}

/// What is not reloaded serves on: if nobody saw it being started, it is restarted.
fn reload_what_was_not_proven(
    session: &Session,
    facts: &Facts,
    observed: &Observed,
    change: &mut Change,
) -> Result<(), Failure> {
    if facts.hand_made.is_some() || facts.proven_by(&session.site)?.is_none() {
        return Ok(());
    }
    let vouched = facts.vouched_processes(&session.site, &observed.services)?;
    let serving = processes(&change.config, &observed.services);
    for process in serving.all.iter().filter(|process| !vouched.contains(process)) {
        let service = &process.service;
        if serving.outliving.contains(service) || !change.reload_too.insert(service.clone()) {
            continue;
        }
        let why = "its process was never proven";
        change.warnings.push(format!("{service} is also reloaded: {why}"));
    }
    Ok(())
}

/// The candidates that need no build, where the target needs one and another was wanted as well.
fn kept(fallbacks: &[Candidate], options: &ChangeOptions) -> Vec<Further> {
    if !(options.builds && options.any_candidate) {
        return Vec::new();
    }
    let kept = fallbacks.iter().filter(|candidate| candidate.build == Needed::Nothing);
    named(&kept.cloned().collect::<Vec<_>>(), usize::MAX, options)
}

/// The candidates that are tried should the first fail, at most so many.
fn named(fallbacks: &[Candidate], most: usize, options: &ChangeOptions) -> Vec<Further> {
    let further = fallbacks.iter().take(most).filter_map(|candidate| {
        Some(Further {
            name: candidate.name.clone(),
            commit: candidate.commit.clone()?,
            target: candidate.tag.clone(),
            asked: options.any_candidate,
        })
    });
    further.collect()
}

/// What is asked before a plan is carried out, and the answer where only Enter is pressed. Who goes back from what is
/// healthy is asked whether that is meant, and told what it does to what is left.
fn question(plan: &Plan, healthy: bool) -> (String, bool) {
    let undoes = !plan.recorded.lifts.is_empty();
    let question = match (&plan.event, plan.recorded.components.first()) {
        (Event::Back, _) if healthy && !undoes => {
            let from = &plan.from.name;
            let then = match (plan.recorded.verdict.is_some(), plan.recorded.hold.is_some()) {
                (true, true) => format!("{from} is healthy, and will be marked bad and held"),
                (true, false) => format!("{from} is healthy, and will be marked bad"),
                (false, _) => format!("{from} is healthy, and will not be marked bad or held"),
            };
            return (format!("{then}. Go back?"), false);
        }
        (Event::Back, _) => "Go back?".to_owned(),
        (Event::Flags, _) => {
            let to = |change: &crate::model::FlagChange| {
                format!("{} to {}", change.name, change.after.plain())
            };
            format!("Switch {}?", plan.flags().map(to).collect::<Vec<_>>().join(", "))
        }
        (Event::Migrate, _) => {
            let names = plan.migrates().map(|step| step.names().join(", ")).unwrap_or_default();
            format!("Take back {names}?")
        }
        (Event::Component, Some(id)) => format!("Restore {id}?"),
        _ => "Go on?".to_owned(),
    };
    (question, true)
}

/// How what serves is before anything is changed. Where HEAD was moved by hand to the very target,
/// what runs may be the one or the other: the better answer counts.
fn observe(session: &Session, facts: &Facts, change: &Change) -> Observed {
    let site = &session.site;
    let deployment = facts.deployment(site);
    let accepted = &facts.accepted.config;
    // In an emergency what is not critical decides nothing: not whether there is something to return to either.
    let only = if change.emergency { Selection::Critical } else { Selection::All };
    let observed = Observed::by(site, accepted, &change.from, &deployment, only);
    if observed.healthy() || change.from.commit == facts.serving.commit {
        return observed;
    }
    let other = Observed::by(site, accepted, &facts.serving, &deployment, only);
    if other.healthy() { other } else { observed }
}

/// Whether nothing has served here yet by the records, and nothing does: then there is nothing to return to.
fn nothing_served(facts: &Facts, observed: &Observed) -> bool {
    let served = facts.history.deployments().iter().any(|span| span.proven || span.adopted);
    !served && observed.nothing_answers(&facts.accepted.config)
}

fn on_failure(healthy: bool, more: bool) -> OnFailure {
    match (healthy, more) {
        (true, _) => OnFailure::Restore,
        (false, true) => OnFailure::Abandon,
        (false, false) => OnFailure::Stay,
    }
}

/// Tells what is going to be done, and that there is `more` to be tried if it fails.
fn preview(session: &Session, plan: &Plan, observed: &Observed, facts: &Facts, more: bool) {
    let git = &session.site.git;
    let mut to = plan.to.to_string();
    if let Some(since) = served_here(facts, plan) {
        to.push_str(&since);
    }
    if git.contains(&plan.from.commit, &plan.to.commit).is_ok_and(|earlier| earlier)
        && let Ok(distance) = git.distance(&plan.to.commit, &plan.from.commit)
        && distance > 0
    {
        to.push_str(&format!(", {} back", plural(distance, "commit")));
    } else if plan.event == Event::Back
        && let Ok(distance) = git.distance(&plan.from.commit, &plan.to.commit)
        && distance > 0
    {
        to.push_str(&format!(", {} forward", plural(distance, "commit")));
    }
    let about = estimate::about(&session.site, facts, &describe::built_groups(plan));
    let parts = describe::describe(plan, about).into_iter();
    let parts = parts.map(|(name, text)| (name.to_string(), text));
    let beside = beside(session, facts, plan).into_iter().map(|text| ("part".to_owned(), text));
    let healthy = observed.healthy();
    session.caller.tell(Notice::Preview(&Preview {
        place: session.place(),
        from: plan.from.clone(),
        faults: if healthy { Vec::new() } else { observed.faults() },
        to,
        parts: parts.chain(beside).collect(),
        tries_further: more && !healthy,
    }));
}

/// The components that are not as the release has them, and what becomes of that.
fn beside(session: &Session, facts: &Facts, plan: &Plan) -> Vec<String> {
    if !matches!(plan.event, Event::Deploy | Event::Back) || plan.to == plan.from {
        return Vec::new();
    }
    let to = &plan.to.name;
    let mut said = Vec::new();
    for part in parts(&session.site, facts).unwrap_or_default() {
        let id = &part.component;
        if let Some(release) = &part.not_as_in {
            said.push(format!(
                "{id} differs from {}; it changes to the files of {to}",
                release.name
            ));
        }
        if let (Some(true), Some(flag)) = (part.flag_off, &part.flag) {
            said.push(format!("{flag} of {id} is off, and stays off"));
        }
    }
    said
}

/// `  proven, served 3 d`
fn served_here(facts: &Facts, plan: &Plan) -> Option<String> {
    let commit = &plan.to.commit;
    let served = facts.history.served_total(commit, &facts.moment);
    let total = served.known;
    let word = if facts.history.proven_here(commit) {
        "proven"
    } else if facts.history.adopted(commit) {
        "adopted"
    } else if let Some(pin) = plan.target.as_ref().and_then(|t| facts.history.pinned(&t.name)) {
        let before = std::time::Duration::from_secs(pin.tag.seconds);
        return Some(format!("  adopted, served {} (reflog)", span(total.saturating_add(before))));
    } else {
        return None;
    };
    Some(match served.and_unknown {
        true => format!("  {word}, served for an unknown time (the clock was set)"),
        false => format!("  {word}, served {}", span(total)),
    })
}

/// Nothing may have moved since the facts were gathered.
fn check_unmoved(session: &Session, facts: &Facts, plan: &Plan) -> Result<(), Failure> {
    let git = &session.site.git;
    if git.head()? != facts.head {
        return Err(Failure::refused("HEAD moved during planning")
            .and_nothing_changed()
            .next(SAME_COMMAND, "plans again"));
    }
    if let Some(target) = &plan.target
        && git.find_ref(&target.name)?.as_ref() != Some(&target.id)
    {
        return Err(Failure::refused(format!("{} moved during planning", target.short()))
            .and_nothing_changed()
            .next("gitroll targets", "shows where it points now"));
    }
    Ok(())
}

/// Records what someone else put in place, before it is replaced; or what served all the while, where what was put in
/// place was never started. `found` is what serves. On the way back a record that cannot be signed is queued.
fn record_predeploy(
    session: &Session,
    facts: &Facts,
    found: &Served,
    observed: &Observed,
    back: bool,
) -> Result<(), Failure> {
    let site = &session.site;
    let binding = &site.binding;
    let config = &facts.accepted.config;
    let healthy = observed.healthy();
    let mut evidence = Evidence::at(facts.now, &site.actor);
    evidence.name = Some(found.name.clone());
    evidence.version = found.version.clone();
    evidence.checks = observed.checks.clone();
    evidence.failure = (!healthy).then(|| diagnosis::faults(session, facts, observed).join("; "));
    let host = engine::host_name(binding.writer.as_str());
    let place = format!("{} {host}", binding.environment);
    let mut record = statement(session, Event::Predeploy);
    record.from = facts.standing.as_ref().map(|s| s.commit.clone());
    let told = observed.told() && !served_with_the_same_version(session, facts, found)?;
    let doubt = facts.vouched(site, &observed.services)?;
    let doubt = doubt.doubt(told, false).filter(|_| healthy);
    if let Some(HandMade::NeverStarted(head)) = &facts.hand_made {
        evidence.never_started = Some(head.commit.clone());
        // What was built with it is what it was recorded with: what is there may be of the other.
        if let Some(entry) = facts.last_record_of(site, &found.commit) {
            evidence.artifacts = ledger::evidence(&site.git, entry)?.artifacts;
        }
        let head = &head.name;
        record.sentence = format!(
            "{place}: {} serves; {head} was checked out by hand and never started",
            found.name
        );
    } else {
        let outputs = facts.outputs(site, &config.build, &[&found.commit, &facts.head.commit])?;
        evidence.artifacts = compose::artifacts_now(&facts.live(site, &outputs, Depth::Deep)?);
        record.sentence = format!("{place}: found {}, checked out by hand", found.name);
    }
    let seen = healthy && doubt.is_none();
    record.outcome = if seen { Outcome::Succeeded } else { Outcome::Failed };
    // In place, but nothing shows that it was ever started.
    record.to = healthy.then(|| found.commit.clone());
    record.subject = (!healthy).then(|| found.commit.clone());
    if seen {
        let look = &observed.services;
        let mut witnessed =
            witness(site, config, &found.commit, look, |_| true, &[]).map_err(PlanError::from)?;
        witnessed.files = witnessed.files.filter(|_| evidence.never_started.is_none());
        evidence.witnessed = Some(witnessed);
    }
    evidence.warnings.extend(doubt.map(str::to_owned));
    let draft =
        Draft { record, evidence, config: facts.accepted.text.clone(), person: site.person() };
    if back {
        engine::append_or_queue(site, &draft)?;
    } else {
        engine::append(site, &draft)?;
    }
    Ok(())
}

/// What is wrong with what serves, or was tonight: where it was given up and passes now, nothing of it is proven.
fn known_faults(session: &Session, facts: &Facts, from: &Served, now: &Observed) -> Vec<String> {
    // What a person stopped says nothing against it.
    let faults = if now.stopped() { Vec::new() } else { diagnosis::faults(session, facts, now) };
    if !faults.is_empty() || now.stopped() || from.commit != facts.serving.commit {
        return faults;
    }
    diagnosis::failing_before(session, facts).into_iter().map(|(_, fault)| fault).collect()
}

/// What is wrong with what serves. What a person stopped says nothing against it.
fn seen_failing(observed: &Observed) -> Vec<String> {
    if observed.stopped() { Vec::new() } else { observed.faults() }
}

/// Whether what the records say served before declares the same version: then an answered version tells nothing.
fn served_with_the_same_version(
    session: &Session,
    facts: &Facts,
    found: &Served,
) -> Result<bool, Failure> {
    let Some(standing) = &facts.standing else { return Ok(false) };
    let before = facts.names.served(&session.site.git, &standing.commit, None)?;
    Ok(before.commit != found.commit && before.version == found.version)
}

/// A command that runs a plan, or continues with a run, until no other run waits for it.
pub(super) struct Pursuit<'a> {
    pub session: &'a Session,
    /// The command as it was typed.
    pub command: &'a str,
    /// The guard that this process is a try of.
    pub watchdog: Option<&'a str>,
    pub begin: Instant,
}

/// A run that ended, or stopped.
pub(super) struct Attempt {
    pub plan: Plan,
    pub ended: Ended,
    /// Serving its target is what was asked for.
    pub asked: bool,
    /// What is tried next if it fails.
    pub further: Vec<Further>,
    /// What is tried next if it cannot be built: what needs no build.
    pub kept: Vec<Further>,
}

/// A target that was tried.
struct Tried<'a> {
    to: &'a Served,
    /// What the record was to say.
    recorded: &'a Recorded,
    emergency: bool,
    /// What a deploy left.
    left: Option<&'a Served>,
}

impl<'a> Tried<'a> {
    fn of(plan: &'a Plan) -> Self {
        let left = Some(&plan.from).filter(|_| plan.event == Event::Deploy);
        Self { to: &plan.to, recorded: &plan.recorded, emergency: plan.critical_only, left }
    }
}

impl Pursuit<'_> {
    /// Goes on from how a run ended: with the next candidate where one was abandoned, and with the run beneath one
    /// that is over, until no other run waits or a person is needed. Tells how that was.
    ///
    /// # Errors
    /// As [`carry_out`].
    pub(super) fn conclude(&self, mut attempt: Attempt) -> Result<ChangeOutcome, Failure> {
        loop {
            let waiting = match &attempt.ended {
                Ended::Abandoned { .. } | Ended::Undone { .. } | Ended::Untouched { .. } => {
                    engine::open_runs(&self.session.site)?.pop()
                }
                _ => None,
            };
            let Some(mut run) = waiting else {
                if self.session.was_stopped() || attempt.kept.is_empty() {
                    return self.end(attempt);
                }
                attempt = self.take_kept(attempt)?;
                continue;
            };
            if let Some(token) = self.watchdog {
                run.left_to_watchdog(&self.session.site, token);
            }
            attempt = match attempt.ended {
                Ended::Abandoned { why } => {
                    self.tell_failed(&run.plan.to.name, &why);
                    self.fall_back(run, &why, attempt.further)?
                }
                Ended::Undone { why } => {
                    self.go_on(run, |site, run, narrator| engine::undo(site, run, why, narrator))?
                }
                Ended::Untouched { .. } if self.command == "abort" => {
                    self.go_on(run, engine::abort)?
                }
                Ended::Untouched { why } => {
                    self.tell_failed(&attempt.plan.to.name, &why);
                    self.fall_back(run, &why, attempt.further)?
                }
                _ => return self.end(attempt),
            };
        }
    }

    fn end(&self, attempt: Attempt) -> Result<ChangeOutcome, Failure> {
        let Attempt { plan, ended, asked, .. } = attempt;
        let (command, took) = (self.command, self.begin.elapsed());
        let done = matches!(ended, Ended::Serving { .. } | Ended::Restored { .. });
        let of = plan.clone();
        let conclusion = Conclusion { command, plan, took, asked };
        let concluded = conclude::conclude(self.session, conclusion, ended);
        if done {
            keep::begin(&self.session.site, &of);
        }
        concluded
    }

    /// Tries the next candidate on top of a run that is open. One that cannot be begun with is passed over. Where there
    /// is none left, the run is left to a person.
    fn fall_back(
        &self,
        run: Run,
        why: &str,
        mut further: Vec<Further>,
    ) -> Result<Attempt, Failure> {
        let failed = FailedCandidate::of(self.session, &run, why)?;
        while !further.is_empty() && !self.session.was_stopped() {
            let next = further.remove(0);
            if let Some(shared) = failed.shared_with(self.session, &next.commit)? {
                let line = format!("passes over {}: {shared}", next.name);
                self.session.caller.tell(Notice::Remark(line));
                if further.is_empty() {
                    further.extend(failed.another(self.session, &next)?);
                }
                continue;
            }
            let failure = match self.attempt(&run, &next, &further, why) {
                Err(failure) => failure,
                tried => return tried,
            };
            // Begun and out of hand: that one is open now, above this one.
            let last = engine::open_runs(&self.session.site)?.pop();
            if last.is_none_or(|last| last.id != run.id) {
                return Err(failure);
            }
            // True of the candidate only: the one before it is in place.
            let failure = failure.of_a_part();
            self.tell_failed(&next.name, &failure.message);
            for detail in &failure.details {
                self.session.caller.tell(Notice::Detail(format!("  {detail}")));
            }
        }
        self.go_on(run, engine::settle)
    }

    fn attempt(
        &self,
        failed: &Run,
        next: &Further,
        further: &[Further],
        why: &str,
    ) -> Result<Attempt, Failure> {
        let mut follows = failed.follows().to_vec();
        follows.push(failed.id.clone());
        let terms = |_: &Observed| Terms {
            // What failed before is never returned to.
            on_failure: on_failure(false, !further.is_empty()),
            faults: Vec::new(),
            vouched: Vec::new(),
            nothing_served: false,
            waited: Duration::ZERO,
            approvals: None,
            baseline: Vec::new(),
            shown: Shown::default(),
            follows: follows.clone(),
            further: further.to_vec(),
            by_watchdog: failed.by_watchdog,
        };
        self.execute(&Tried::of(&failed.plan), next, why, terms)
    }

    /// Takes a candidate that is kept instead of one that could not be built: the live tree was not changed.
    fn take_kept(&self, mut tried: Attempt) -> Result<Attempt, Failure> {
        let next = tried.kept.remove(0);
        let Ended::Untouched { why } = &tried.ended else { return Ok(tried) };
        self.tell_failed(&tried.plan.to.name, why);
        let left = |further: &[Further]| -> Vec<Further> {
            further.iter().filter(|other| other.commit != next.commit).cloned().collect()
        };
        let further = left(&tried.further);
        let terms = |observed: &Observed| Terms {
            on_failure: on_failure(observed.healthy(), !further.is_empty()),
            faults: Vec::new(),
            vouched: Vec::new(),
            nothing_served: false,
            waited: Duration::ZERO,
            approvals: None,
            baseline: Vec::new(),
            shown: Shown::default(),
            follows: Vec::new(),
            further: further.clone(),
            by_watchdog: false,
        };
        match self.execute(&Tried::of(&tried.plan), &next, why, terms) {
            Ok(attempt) => Ok(Attempt { kept: tried.kept, ..attempt }),
            Err(failure) if engine::open_runs(&self.session.site)?.is_empty() => {
                self.tell_failed(&next.name, &failure.message);
                Ok(tried)
            }
            Err(failure) => Err(failure),
        }
    }

    fn execute(
        &self,
        tried: &Tried<'_>,
        next: &Further,
        why: &str,
        terms: impl FnOnce(&Observed) -> Terms,
    ) -> Result<Attempt, Failure> {
        let session = self.session;
        let facts = session.facts()?;
        let change = to_candidate(session, &facts, tried, next, why)?;
        let Prepared { checked, observed, shown, .. } = prepare(session, &facts, change)?;
        let plan = checked.plan().clone();
        let mut terms = terms(&observed);
        let further = terms.further.clone();
        preview(session, &plan, &observed, &facts, !further.is_empty());
        check_unmoved(session, &facts, &plan)?;
        terms.faults = seen_failing(&observed);
        terms.vouched = facts.vouched_processes(&session.site, &observed.services)?;
        terms.baseline = observed.checks;
        terms.shown = shown;
        let caller = &session.caller;
        let ended = engine::execute(&session.site, &checked, terms, &mut caller.narrator());
        caller.tell(Notice::StepsEnd);
        Ok(Attempt { plan, ended: ended?, asked: next.asked, further, kept: Vec::new() })
    }

    /// Goes on with an open run one way or the other.
    ///
    /// # Errors
    /// As the way.
    pub(super) fn go_on(
        &self,
        run: Run,
        way: impl FnOnce(&Site, Run, &mut Narrator<'_>) -> Result<Ended, EngineError>,
    ) -> Result<Attempt, Failure> {
        let plan = run.plan.clone();
        let further = run.journal.begun().map(|begun| begun.further.clone()).unwrap_or_default();
        let caller = &self.session.caller;
        let ended = way(&self.session.site, run, &mut caller.narrator());
        caller.tell(Notice::StepsEnd);
        Ok(Attempt { plan, ended: ended?, asked: true, further, kept: Vec::new() })
    }

    fn tell_failed(&self, name: &str, why: &str) {
        self.session.caller.tell(Notice::Failed(format!("{name}  {why}")));
    }
}

/// The change to another candidate after one failed. What is judged stays what was left first.
fn to_candidate(
    session: &Session,
    facts: &Facts,
    tried: &Tried<'_>,
    next: &Further,
    why: &str,
) -> Result<Change, Failure> {
    let mut to = facts.names.served(&session.site.git, &next.commit, None)?;
    to.name.clone_from(&next.name);
    let mut recorded = tried.recorded.clone();
    if let Some(left) = tried.left
        && recorded.verdict.is_none()
        && recorded.lifts.is_empty()
        && older(session, facts, &next.commit, &left.commit)?
    {
        // What served was failing before: from here on it is a rollback of that.
        let judged = holds::judged_with(&session.site, facts, &left.commit, &next.commit)?;
        let Recorded { subject, verdict, hold, .. } = provisional(&judged);
        recorded = Recorded { subject, verdict, hold, ..recorded };
        recorded
            .decisions
            .push(format!("{left} was failing: marked bad, because an older version replaces it"));
    }
    recorded.decisions.push(format!("{} did not serve: {why}; trying {}", tried.to, next.name));
    let change =
        Change { target: next.target.clone(), recorded, ..Change::new(facts, Event::Back, to) };
    let change = change.asked_as_proven(&session.site, facts)?;
    Ok(if tried.emergency { change.in_emergency(None) } else { change })
}
