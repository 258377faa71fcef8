//! Going back to an earlier state, by its code or by flags.

use super::caller::{Caller, Notice};
use super::carry_out::{ChangeOptions, carry_out};
use super::diagnosis::{self, DoubtedTarget};
use super::failure::Failure;
use super::flags;
use super::full::{self, FullRequest, What};
use super::levels::{self, Decisions, Level, LevelResult};
use super::loss::AcceptedRows;
use super::migrate;
use super::outcome::{ChangeOutcome, Status};
use super::saved;
use super::session::Session;
use super::statement::{annotate, check_reason};
use super::target::{self, lost_tags, older, refusal};
use crate::config::{self, Prove, Selection, Service};
use crate::ledger;
use crate::model::{AcceptedLoss, ApprovalOptions, Event, Oid, Outcome, Recorded};
use crate::plan::candidates::{self, Candidates};
use crate::plan::compose::{Change, file_of};
use crate::plan::facts::Facts;
use crate::plan::holds;
use crate::site::Observed;
use crate::system::text::{ago, plural, quoted, span};
use crate::target::{
    Candidate, Needed, Reach, Reason, Request, RequestError, Resolution, Standing,
};

/// To go back.
#[derive(Debug, Clone, Default)]
pub struct BackRequest {
    /// `last-good`, `last-stable`, `previous`, a tag, a commit or a record number; `last-good` where left out.
    pub to: Option<String>,
    pub reason: Option<String>,
    /// Why a target that served here is taken although the trust file lets nobody believe its tag.
    pub break_glass: Option<String>,
    pub level: Level,
    /// Do not judge what is left as bad.
    pub no_verdict: bool,
    /// Return to what the last rollback or change of flags left.
    pub undo: bool,
    /// No questions, only checks marked critical, nothing built that can be avoided; the reason is asked afterwards.
    pub emergency: bool,
    /// Go on to this many older candidates, each proven or undone before the next.
    pub cascade: Option<usize>,
    /// Take the migrations back that the target does not know, in the same run.
    pub migrate_down: bool,
    /// What is said about approvals.
    pub approval: ApprovalOptions,
    /// The rows that this may lose.
    pub accepted: AcceptedRows,
    /// Show what would be done and stop.
    pub plan_only: bool,
    /// The question is answered in advance; never that of data.
    pub yes: bool,
    /// `data`, `settings` or NAMEs of their sections: only these go back, and the code stays.
    pub only: Vec<String>,
    /// The most that may be lost of each database that goes back to a point.
    pub accepted_age: Vec<AcceptedLoss>,
}

impl BackRequest {
    fn full(&self) -> FullRequest {
        let what = match self.only.as_slice() {
            [] => What::Everything,
            names => What::Only(names.to_vec()),
        };
        FullRequest {
            to: self.to.clone(),
            what,
            defaults: false,
            accepted: self.accepted_age.clone(),
            reason: self.reason(),
            no_verdict: self.no_verdict,
            emergency: self.emergency,
        }
    }

    /// Why, in the words that are recorded.
    fn reason(&self) -> Option<String> {
        self.reason.clone().or_else(|| self.break_glass.clone())
    }
}

/// Goes back and proves that the target serves.
///
/// # Errors
/// Everything that ends without the target observed serving.
pub fn back(caller: &Caller, request: &BackRequest) -> Result<ChangeOutcome, Failure> {
    check_reason(request.reason.as_deref())?;
    check_reason(request.break_glass.as_deref())?;
    let session = Session::change(caller, "back")?.going_by_what_was_seen();
    let session = session.with_approval(&request.approval);
    let facts = session.facts()?;
    let named = request.to.as_deref().is_some_and(|to| !target::FOUND.contains(&to));
    let options = ChangeOptions {
        plan_only: request.plan_only,
        confirm: !request.yes && !request.emergency,
        fallbacks: request.cascade.unwrap_or(1),
        any_candidate: !named,
        accepted: request.accepted,
        ..ChangeOptions::default()
    };
    if request.undo {
        return undo(&session, facts, request, &options);
    }
    let ended = match request.level {
        Level::Full => full::full(&session, facts, &request.full(), &options),
        _ if !request.only.is_empty() => full::full(&session, facts, &request.full(), &options),
        Level::Flags if request.to.is_some() => Err(Failure::new(
            Status::Usage,
            "--to selects a version of the code; --level flags restores the flag values from before their last change",
        )),
        Level::Flags => {
            let reason = request.reason.clone();
            flags::flags_before(&session, facts, reason, request.emergency, &options)
        }
        Level::Code => {
            let ended = code(&session, facts, request, &options, &mut Decisions::default());
            levels::name_flags_still_on(&session, ended)
        }
        Level::Auto => {
            let ended = auto(&session, facts, request, &options);
            full::offer(&session, &ended);
            levels::name_flags_still_on(&session, ended)
        }
    };
    if request.emergency && request.reason().is_none() {
        ask_reason_afterwards(&session, &ended);
    }
    ended
}

/// To put settings back.
#[derive(Debug, Clone, Default)]
pub struct SettingsRequest {
    /// The NAME of a section; all where left out.
    pub name: Option<String>,
    /// A point; the newest good one where left out.
    pub to: Option<String>,
    /// To the declared defaults, not to a point.
    pub defaults: bool,
    pub reason: Option<String>,
    /// What is said about approvals.
    pub approval: ApprovalOptions,
    /// Show what would be done and stop.
    pub plan_only: bool,
    /// The question is answered in advance.
    pub yes: bool,
}

/// Puts settings back to a point or to their defaults, and proves that the app serves with them.
///
/// # Errors
/// Everything that ends without the app observed serving.
pub fn settings(caller: &Caller, request: &SettingsRequest) -> Result<ChangeOutcome, Failure> {
    check_reason(request.reason.as_deref())?;
    let session = Session::change(caller, "back")?.going_by_what_was_seen();
    let session = session.with_approval(&request.approval);
    let facts = session.facts()?;
    let declared = &facts.accepted.config.settings;
    let name = match &request.name {
        Some(name) if !declared.iter().any(|settings| settings.name.as_str() == name) => {
            return Err(Failure::unchanged(format!("there is no [settings.{name}]"))
                .next("gitroll settings list", "shows what is declared"));
        }
        Some(name) => format!("settings/{name}"),
        None => "settings".to_owned(),
    };
    let full = FullRequest {
        to: request.to.clone(),
        what: What::Only(vec![name]),
        defaults: request.defaults,
        accepted: Vec::new(),
        reason: request.reason.clone(),
        no_verdict: true,
        emergency: false,
    };
    let options = ChangeOptions {
        plan_only: request.plan_only,
        confirm: !request.yes,
        ..ChangeOptions::default()
    };
    full::full(&session, facts, &full, &options)
}

fn code(
    session: &Session,
    facts: Facts,
    request: &BackRequest,
    options: &ChangeOptions,
    decisions: &mut Decisions,
) -> Result<ChangeOutcome, Failure> {
    let wanted = target::request(request.to.as_deref());
    let all = candidates::gather(&session.site, &facts);
    let reach = Reach {
        further: request.cascade.unwrap_or(0).max(Reach::default().further),
        until_kept: request.emergency && request.to.is_none(),
    };
    let glass = request.break_glass.as_deref();
    let mut found = choose(session, &facts, &all, &wanted, reach, glass)?;
    let passed_over =
        if request.emergency && request.to.is_none() { without_a_build(&mut found) } else { None };
    if !options.plan_only && remembered_wrongly(session, &facts, &mut found)? {
        return code(session, session.facts()?, request, options, decisions);
    }
    if let Some(outcome) = already_there(session, &facts, &found.chosen, request.emergency)? {
        return Ok(outcome);
    }
    let left = found.chosen.seq.map(|seq| saved::runs_since(&session.site, &facts, seq));
    let mut change = to_candidate(session, &facts, &all, request, &found)?;
    let mut doubtful = false;
    if wanted == Request::LastGood {
        let doubted = diagnosis::doubt_of_target(session, &facts, &found)?;
        if let Some(DoubtedTarget { why, instead: Some(older) }) = &doubted
            && options.confirm
            && !options.plan_only
            && session.caller.prompt().is_there()
        {
            session.caller.warn(why.clone());
            let question = format!("Go back to {older} instead of {}?", found.chosen.name);
            if session.caller.prompt().confirm(&question, true)? {
                let request = BackRequest { to: Some(older.clone()), ..request.clone() };
                return code(session, facts, &request, options, decisions);
            }
        }
        doubtful = doubted.is_some();
        change.warnings.extend(doubted.map(|doubted| doubted.why));
    }
    if request.emergency {
        change = change.in_emergency(passed_over);
    }
    change.recorded.decisions = decisions.lines();
    if request.migrate_down {
        let to = change.to.commit.clone();
        change.migrate = migrate::step_to(session, &facts, &to, request.accepted)?;
        // The database fits one version: no other is tried on it.
        found.further.clear();
    }
    if let Some(why) = &request.break_glass {
        change.recorded.decisions.push(format!("break glass: {why}"));
    }
    let mut tried = found.chosen.name.clone();
    let builds = found.chosen.build != Needed::Nothing;
    let options = &ChangeOptions { builds, doubtful, ..*options };
    let newest: Vec<Candidate> = match options.plan_only {
        true => Vec::new(),
        false => all.deployments().take(NEWEST).filter_map(Result::ok).collect(),
    };
    let mut ended = carry_out(session, facts, change, &found.further, options);
    if ended.as_ref().is_ok_and(|ended| ended.status == Status::Done) && !options.plan_only {
        name_passed(session, &newest, &found.chosen, ended.as_ref().ok());
        if let Some(left) = left {
            saved::name_free(session, &left);
        }
    }
    // What served was healthy: each was undone before the next.
    for older in found.further.iter().take(request.cascade.unwrap_or(0)) {
        let restored = ended.as_ref().is_ok_and(|ended| ended.status == Status::Restored);
        if !restored || session.was_stopped() {
            break;
        }
        let line = format!("cascade: trying {}, because {tried} was tried and undone", older.name);
        decisions.tell(session, &line);
        tried.clone_from(&older.name);
        let facts = session.facts()?;
        let all = candidates::gather(&session.site, &facts);
        let found = Resolution { chosen: older.clone(), ..found.clone() };
        let mut next = to_candidate(session, &facts, &all, request, &found)?;
        if request.emergency {
            next = next.in_emergency(None);
        }
        next.recorded.decisions = decisions.lines();
        let options = ChangeOptions { confirm: false, builds: false, ..*options };
        ended = carry_out(session, facts, next, &[], &options);
    }
    ended
}

/// So many of the newest states are looked through for what was passed.
const NEWEST: usize = 20;

/// What would be taken before the target the next time, although it was tried without success, or someone went past it.
fn name_passed(
    session: &Session,
    newest: &[Candidate],
    chosen: &Candidate,
    ended: Option<&ChangeOutcome>,
) {
    const MOST: usize = 2;
    let serves = ended.map(|ended| &ended.answer.to.commit);
    let place = newest.iter().position(|one| one.commit.as_ref() == serves);
    // What served here before all of these is older than they are.
    let deeper = if chosen.seq.is_some() { newest.len() } else { 0 };
    let newer = newest.iter().take(place.unwrap_or(deeper));
    let usable = |one: &&Candidate| matches!(one.standing, Standing::Usable | Standing::Next);
    for one in newer.filter(usable).take(MOST) {
        let tried = one.commit == chosen.commit;
        let (reason, what) = match tried {
            true => ("failed when it was tried", "so that back skips it"),
            false => ("passed over", "if it is bad too: so that back skips it"),
        };
        let Some(name) = quoted(&one.name) else { continue };
        let command = format!("gitroll mark bad {name} --reason '{reason}'");
        session.caller.tell(Notice::MoreNext(command, what.to_owned()));
    }
}

fn choose(
    session: &Session,
    facts: &Facts,
    all: &Candidates<'_>,
    request: &Request,
    reach: Reach,
    break_glass: Option<&str>,
) -> Result<Resolution, Failure> {
    let error = match target::find(session, facts, all, request, reach)? {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    if let RequestError::Refused { candidate, reason: Reason::Untrusted { .. } } = &error
        && candidate.commit.as_ref().is_some_and(|commit| facts.history.served_here(commit))
    {
        if break_glass.is_some() {
            let chosen = (**candidate).clone();
            return Ok(Resolution { chosen, skipped: Vec::new(), further: Vec::new() });
        }
        let command = format!("gitroll back {} --break-glass 'WHY'", candidate.name);
        let what = "uses it anyway, because it served here";
        return Err(refusal(session, facts, error, "back").next(command, what));
    }
    Err(refusal(session, facts, error, "back"))
}

/// Looks anew whether a hold stops what is about to be put in place: what is remembered of that is for looking only.
/// Others that would be tried are left out where one does; whether the chosen one has to be chosen anew.
fn remembered_wrongly(
    session: &Session,
    facts: &Facts,
    found: &mut Resolution,
) -> Result<bool, Failure> {
    let site = &session.site;
    let all = std::iter::once(&found.chosen).chain(&found.further);
    let commits: Vec<Oid> = all.filter_map(|candidate| candidate.commit.clone()).collect();
    let stopped = holds::misremembered(site, facts, &commits)?;
    let is_stopped =
        |candidate: &Candidate| candidate.commit.as_ref().is_some_and(|c| stopped.contains(c));
    if stopped.is_empty() {
        return Ok(false);
    }
    facts.lineage(site)?.forget();
    found.further.retain(|candidate| !is_stopped(candidate));
    // What serves is only looked at.
    Ok(is_stopped(&found.chosen) && found.chosen.standing != Standing::Serving)
}

fn already_there(
    session: &Session,
    facts: &Facts,
    chosen: &Candidate,
    emergency: bool,
) -> Result<Option<ChangeOutcome>, Failure> {
    if chosen.standing != Standing::Serving {
        return Ok(None);
    }
    if !facts.changed(&session.site, &facts.serving.commit)?.is_empty() {
        return Ok(None);
    }
    let config = &facts.accepted.config;
    let deployment = facts.deployment(&session.site);
    let only = if emergency { Selection::Critical } else { Selection::All };
    let observed = Observed::by(&session.site, config, &facts.serving, &deployment, only);
    let edited = session.site.git.edited(&facts.serving.commit)?;
    let local = session.site.local(config);
    if !observed.healthy() || edited.iter().any(|path| !local.matches(path)) {
        return Ok(None);
    }
    let vouched = facts.vouched(&session.site, &observed.services)?;
    if vouched.doubt(observed.told(), config.app.prove == Prove::Weak).is_some() {
        return Ok(None);
    }
    let found = vec![format!("{} already serves: observed", facts.serving)];
    let serving = (&facts.serving, &facts.serving);
    let outcome = ChangeOutcome::nothing_to_do("back", "already-serving", serving, found);
    Ok(Some(session.caller.ended(outcome)))
}

fn to_candidate(
    session: &Session,
    facts: &Facts,
    all: &Candidates<'_>,
    request: &BackRequest,
    found: &Resolution,
) -> Result<Change, Failure> {
    let chosen = &found.chosen;
    let commit = chosen
        .commit
        .clone()
        .ok_or_else(|| Failure::unchanged("the target does not name a commit"))?;
    let mut to = facts.names.served(&session.site.git, &commit, None)?;
    if chosen.tag.is_some() {
        to.name = chosen.name.clone();
    }
    let left = &facts.serving.commit;
    let judged = !request.no_verdict && commit != *left && older(session, facts, &commit, left)?;
    let recorded = if judged {
        // What a component's files were put into is left together with the commit that has them.
        let judged = holds::judged_with(&session.site, facts, left, &commit)?;
        Recorded { reason: request.reason(), ..target::provisional(&judged) }
    } else {
        Recorded { reason: request.reason(), ..Recorded::default() }
    };
    let mut warnings = Vec::new();
    if let Standing::Skipped(doubt) = &chosen.standing {
        let why = match target::request(request.to.as_deref()) {
            Request::LastGood => "what serves is failing, and no better version was proven here",
            _ => "it was named explicitly",
        };
        warnings.push(format!("{} {doubt}; used because {why}", to.name));
    }
    warnings.extend(untold(session, facts, &commit, &to.name)?);
    warnings.extend(other_choice(session, all, &target::request(request.to.as_deref()), &commit));
    warnings.extend(lost_tags(session, facts));
    warnings.extend(not_started(session, facts, &commit, &to.name)?);
    let change = Change {
        target: chosen.tag.clone(),
        recorded,
        skipped: found.skipped.clone(),
        warnings,
        ..Change::new(facts, Event::Back, to)
    };
    Ok(change.asked_as_proven(&session.site, facts)?)
}

/// Services that the target had and the accepted configuration has no more: going back starts none of them.
fn not_started(
    session: &Session,
    facts: &Facts,
    commit: &Oid,
    name: &str,
) -> Result<Vec<String>, Failure> {
    let text = file_of(&session.site, commit)?.unwrap_or_default();
    let Ok(own) = config::parse(&text, "gitroll.toml") else { return Ok(Vec::new()) };
    let lost = config::dropped(&own, &facts.accepted.config);
    let warning = |service: &Service| {
        let service = &service.name;
        format!(
            "{service} was a service of {name} but is not in the accepted gitroll.toml: not started; gitroll \
             deploy {name} uses the gitroll.toml of that version"
        )
    };
    Ok(lost.iter().map(warning).collect())
}

/// Held commits of which nobody can tell whether the target contains them. What served here is no reason to stay with
/// what fails.
fn untold(
    session: &Session,
    facts: &Facts,
    commit: &Oid,
    name: &str,
) -> Result<Vec<String>, Failure> {
    let site = &session.site;
    if !site.git.is_shallow() {
        return Ok(Vec::new());
    }
    let undecided = holds::stopping(site, &facts.history, commit)?.undecided;
    let warning = |held: &ledger::Held| {
        format!(
            "whether {name} contains {}, which is held, cannot be told: this clone is shallow, and \
             git fetch --unshallow brings the history",
            held.subject.short()
        )
    };
    Ok(undecided.iter().map(warning).collect())
}

/// When last-good and last-stable differ, the other one is shown with its distance and age.
fn other_choice(
    session: &Session,
    all: &Candidates<'_>,
    request: &Request,
    taken: &Oid,
) -> Option<String> {
    let (other, name) = match request {
        Request::LastGood => (Request::LastStable, "last-stable"),
        Request::LastStable => (Request::LastGood, "last-good"),
        _ => return None,
    };
    let found = all.resolve(&other).ok()?.ok()?.chosen;
    let commit = found.commit.filter(|commit| commit != taken)?;
    let git = &session.site.git;
    let apart = git
        .distance(&commit, taken)
        .ok()
        .into_iter()
        .chain(git.distance(taken, &commit).ok())
        .max()
        .unwrap_or(0);
    let age = found.served.map(|s| {
        let ago = ago(s.last, crate::system::clock::now());
        format!(", served here {} ago", span(ago))
    });
    Some(format!(
        "{name} is {} ({}), {} apart{}",
        found.name,
        commit.short(),
        plural(apart, "commit"),
        age.unwrap_or_default()
    ))
}

/// Returns to what the last rollback or change of flags left.
fn undo(
    session: &Session,
    facts: Facts,
    request: &BackRequest,
    options: &ChangeOptions,
) -> Result<ChangeOutcome, Failure> {
    let own = facts.own(&session.site).iter().rev();
    let mut done = own.filter(|entry| entry.record.outcome == Outcome::Succeeded);
    let last = done.find(|entry| entry.record.event.serves()).cloned();
    if let Some(last) = last.as_ref().filter(|entry| entry.record.event == Event::Migrate) {
        return Err(migrated_last(session, last));
    }
    if let Some(entry) = last.as_ref().filter(|entry| entry.record.event == Event::Back)
        && !ledger::evidence(&session.site.git, entry)?.brought_back.is_empty()
    {
        return full::undo(session, facts, entry, &request.full(), options);
    }
    match last.filter(|entry| entry.record.event == Event::Flags) {
        Some(last) if last.record.lifts.is_empty() => {
            flags::flags_before(session, facts, request.reason.clone(), false, options)
        }
        Some(last) => flags::flags_again(session, facts, &last, request.reason.clone(), options),
        None => {
            let change = to_what_was_left(session, &facts, request)?;
            carry_out(session, facts, change, &[], options)
        }
    }
}

/// What was taken back of the schema is not put back by a return of the code.
fn migrated_last(session: &Session, last: &ledger::Entry) -> Failure {
    let seq = last.record.seq;
    let evidence = ledger::evidence(&session.site.git, last).ok();
    let migration = evidence.and_then(|evidence| evidence.migration);
    let names = migration.as_ref().map(|done| done.reverted.join(", ")).unwrap_or_default();
    let failure = Failure::unchanged(format!("the last command here took back {names} (#{seq})"))
        .detail("run the migrations of the version that has them again, as its deploy does")
        .nothing_changed();
    match migration.and_then(|done| done.kept) {
        Some(kept) => failure.detail(format!("the database as it was before is kept in {kept}")),
        None => failure,
    }
}

/// The change that returns to what the last rollback left.
fn to_what_was_left(
    session: &Session,
    facts: &Facts,
    request: &BackRequest,
) -> Result<Change, Failure> {
    let Some(entry) = target::last_rollback(session, facts) else {
        return Err(Failure::unchanged("the last command here was not a rollback")
            .next("gitroll log", "shows what was done")
            .next("gitroll targets", "shows every version and why it is skipped"));
    };
    if facts.by_hand() {
        return Err(Failure::unchanged(format!(
            "HEAD was moved by hand since record #{}",
            entry.record.seq
        ))
        .next("gitroll targets", "shows every version and why it is skipped"));
    }
    let left = entry.record.from.clone().ok_or_else(|| {
        Failure::unchanged(format!(
            "record #{} does not say which version it left",
            entry.record.seq
        ))
    })?;
    let to = facts.names.served(&session.site.git, &left, None)?;
    let judged = entry.record.verdict.is_some() || entry.record.hold.is_some();
    let recorded = Recorded {
        reason: request.reason.clone(),
        lifts: if judged { vec![entry.digest] } else { Vec::new() },
        components: entry.record.components.clone(),
        ..Recorded::default()
    };
    let undoes = ledger::evidence(&session.site.git, entry).ok().and_then(|evidence| evidence.run);
    let failing = diagnosis::last_rollback(session, facts).filter(|last| !last.faults.is_empty());
    let warnings = failing.map(|last| {
        let faults = last.faults.join(", ");
        format!("{} was failing when #{} left it: {faults}", to.name, last.record)
    });
    let warnings = warnings.into_iter().collect();
    let change = Change { recorded, undoes, warnings, ..Change::new(facts, Event::Back, to) };
    Ok(change.asked_as_proven(&session.site, facts)?)
}

/// Carries out one level after the other.
///
/// # Errors
/// As of the level that was the last one.
fn auto(
    session: &Session,
    facts: Facts,
    request: &BackRequest,
    options: &ChangeOptions,
) -> Result<ChangeOutcome, Failure> {
    let all = candidates::gather(&session.site, &facts);
    let wanted = target::request(request.to.as_deref());
    let found = target::find(session, &facts, &all, &wanted, Reach::default())?.ok();
    // What the code level might come to, the most likely first.
    let mut states: Vec<Candidate> = Vec::new();
    if let Some(found) = found {
        let further = found.further.into_iter().take(request.cascade.unwrap_or(1).max(1));
        states = std::iter::once(found.chosen).chain(further).collect();
    }
    let mut decisions = Decisions::default();
    let reason = request.reason.as_ref();
    let mut tried = None;
    if let Some(mut change) =
        levels::suspects_off(session, &facts, &states, reason, &mut decisions)?
    {
        if request.emergency {
            change = change.in_emergency(None);
        }
        let told = match levels::try_level(session, facts, change, options)? {
            LevelResult::Ended(outcome) => return Ok(*outcome),
            LevelResult::NotEnough(status) => {
                tried = Some(status);
                "flags: did not help, restored".to_owned()
            }
            LevelResult::Refused(why) => format!("flags: not changed: {why}"),
        };
        decisions.tell(session, &format!("level {told}"));
    }
    decisions.tell(session, "level code: rolling back to an earlier version");
    levels::after(tried, code(session, session.facts()?, request, options, &mut decisions))
}

/// In an emergency the reason comes last, from who is still there to be asked. Whatever becomes of it, what was done
/// is done.
fn ask_reason_afterwards(session: &Session, ended: &Result<ChangeOutcome, Failure>) {
    let Ok(ended) = ended else { return };
    let done = matches!(ended.status, Status::Done | Status::Restored);
    if !done || !session.caller.prompt().is_there() {
        return;
    }
    if let Err(failure) = ask_reason(session) {
        let caller = &session.caller;
        caller.tell(Notice::Remark(format!("the reason is not recorded: {}", failure.message)));
        caller.tell(Notice::Next("gitroll annotate --reason 'WHY'", ""));
    }
}

fn ask_reason(session: &Session) -> Result<(), Failure> {
    const LATER: &str = "say it later";
    let reason = session.caller.prompt().text("Why was the rollback needed?", LATER)?;
    if reason == LATER {
        session.caller.tell(Notice::Next("gitroll annotate --reason 'WHY'", ""));
        return Ok(());
    }
    check_reason(Some(&reason))?;
    let facts = session.facts()?;
    let own = facts.own(&session.site);
    let last = own.iter().rev().find(|entry| entry.record.event.serves());
    let last = last.ok_or_else(|| Failure::unchanged("there is no record to add the reason to"))?;
    annotate(session, &facts, last, &reason).map(drop)
}

/// Of the candidates that qualify the first that needs no build, if the chosen one does; says who is passed over.
fn without_a_build(found: &mut Resolution) -> Option<String> {
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
