//! Deploying a revision, and watching it for a while where that is asked for.

use std::time::Duration;

use super::caller::Caller;
use super::carry_out::{ChangeOptions, carry_out};
use super::component::{Consent, Kept, keep};
use super::failure::Failure;
use super::outcome::{ChangeOutcome, Status};
use super::session::Session;
use super::soak;
use super::statement::check_reason;
use super::target;
use super::upstream::{self, Upstream};
use crate::component;
use crate::config::{self, Prove};
use crate::engine;
use crate::ledger::{self, Held};
use crate::model::{Digest, Event, Hold, Oid, Outcome, Recorded, Seq, Served};
use crate::plan::compose::{Change, GroupsOf, file_of};
use crate::plan::facts::{Facts, HandMade};
use crate::plan::{candidates, holds};
use crate::site::Observed;
use crate::system::text::quoted;
use crate::target::{Candidate, Request, safe_name};

/// To put a revision in place.
#[derive(Debug, Clone, Default)]
pub struct DeployRequest {
    /// A tag, branch or commit. `None`: HEAD if it was moved by hand, else the newest of `[deploy] ref`.
    pub rev: Option<String>,
    pub reason: Option<String>,
    /// Records (`43`) and commits whose hold this deploy lifts, for it is the fix.
    pub fixes: Vec<String>,
    /// Components whose good files are kept instead of the revision's.
    pub keep_components: Vec<String>,
    /// Go on although imports would not find their file with the files that are kept.
    pub force: bool,
    /// Keep checking for so long after the proof, and go back by itself if that fails.
    pub soak: Option<Duration>,
    /// Take no point first, whatever `[points]` says.
    pub no_point: bool,
    /// Show what would be done and stop.
    pub plan_only: bool,
}

/// Puts the revision in place and proves that it serves.
///
/// # Errors
/// Everything that ends without the revision observed serving.
pub fn deploy(caller: &Caller, request: &DeployRequest) -> Result<ChangeOutcome, Failure> {
    check_reason(request.reason.as_deref())?;
    let upstream = upstream::ask(caller, request.rev.as_deref())?;
    let session = Session::change(caller, "deploy")?;
    let facts = session.undisputed_facts()?;
    let revision = revision(&session, &facts, request.rev.as_deref(), &upstream)?;
    let consent = Consent::of(request.plan_only, request.force, || {
        let keep = request.keep_components.iter().map(|id| format!(" --keep-component {id}"));
        format!("gitroll deploy {}{} --force", revision.short(), keep.collect::<String>())
    });
    let Kept { commit, components, warnings } =
        keep(&session, &facts, &revision, &request.keep_components, &consent)?;
    let (config_text, borrowed) = configuration(&session, &facts, &commit)?;
    let config = config::parse(&config_text, &format!("gitroll.toml of {}", commit.short()))?;
    let mut to = facts.names.served(&session.site.git, &commit, Some(&config))?;
    if let Some(version) = &to.version
        && !to.name.contains(version.as_str())
        && let Some(name) = facts.names.of_version(&session.site.git, version, &commit)
    {
        to.name = name;
    }
    fix_is_elsewhere(&session, &facts, &to, request)?;
    let doubt = match already_serving(&session, &facts, &to)? {
        Already::Serving(outcome) => {
            upstream.warnings.iter().for_each(|warning| caller.warn(warning));
            return match request.soak {
                Some(time) => {
                    drop(session);
                    soak::after_deploy(caller, &to, &to, time, *outcome)
                }
                None => Ok(*outcome),
            };
        }
        Already::Doubted(why) => Some(format!("{why}; reloading and proving it again")),
        Already::No => None,
    };
    not_failed_just_now(&session, &facts, &to, request)?;
    let Allowed { lifts, lift_nothing } = allowed(&session, &facts, &to, request)?;
    let from = left(&session, &facts, &revision)?;
    let mut recorded = Recorded { lifts, components, ..Recorded::default() };
    let rollback =
        if lifts_nothing(&recorded) { rollback(&session, &facts, &from, &to)? } else { None };
    let said = rollback.as_ref().map(|_| {
        format!(
            "{from} is failing and {} is older: {from} is marked bad and held, as with gitroll back",
            to.name
        )
    });
    if let Some(judged) = rollback {
        recorded = judged;
    }
    recorded.reason = request.reason.clone();
    let change = Change {
        from,
        config,
        config_text,
        groups: GroupsOf::Config,
        recorded,
        warnings: (upstream.warnings.iter().cloned())
            .chain(moved_by_hand(&session, &facts, request)?)
            .chain(warnings)
            .chain(borrowed)
            .chain(doubt)
            .chain(said)
            .chain(lift_nothing.iter().map(|fix| format!("--fixes {fix} lifts no hold of {to}")))
            .collect(),
        ..Change::new(&facts, Event::Deploy, to)
    };
    let (before, deployed) = (change.from.clone(), change.to.clone());
    let fallbacks = last_good(&session, &facts, &change)?;
    let options = ChangeOptions {
        plan_only: request.plan_only,
        point_first: !request.no_point,
        ..ChangeOptions::default()
    };
    let outcome = carry_out(&session, facts, change, &fallbacks, &options)?;
    match request.soak {
        Some(time) if outcome.status == Status::Done => {
            // Others may act meanwhile; then it is not watched any more.
            drop(session);
            soak::after_deploy(caller, &before, &deployed, time, outcome)
        }
        _ => Ok(outcome),
    }
}

/// The commit to deploy: what its remote says, else what it means here.
fn revision(
    session: &Session,
    facts: &Facts,
    rev: Option<&str>,
    upstream: &Upstream,
) -> Result<Oid, Failure> {
    match (&upstream.commit, rev) {
        (Some(commit), _) => Ok(commit.clone()),
        (None, Some(rev)) => target::resolve_commit(session, facts, rev),
        (None, None) => Ok(facts.head.commit.clone()),
    }
}

/// That someone moved HEAD back or aside, where it is deployed because nobody named a revision. What a pull brought is
/// what a deploy is for.
fn moved_by_hand(
    session: &Session,
    facts: &Facts,
    request: &DeployRequest,
) -> Result<Option<String>, Failure> {
    let Some(standing) = facts.standing.as_ref().filter(|_| request.rev.is_none()) else {
        return Ok(None);
    };
    let git = &session.site.git;
    if !facts.by_hand() || git.contains(&facts.head.commit, &standing.commit)? {
        return Ok(None);
    }
    let named = |commit: &Oid| facts.names.served(git, commit, None);
    let (before, now) = (named(&standing.commit)?, named(&facts.head.commit)?);
    let upstream = facts.accepted.config.deploy.upstream.as_ref();
    let instead = upstream.and_then(|one| quoted(&format!("{}/{}", one.remote, one.branch)));
    let instead = instead.map(|name| format!("; gitroll deploy {name} deploys that branch"));
    Ok(Some(format!(
        "HEAD was moved by hand from {before} to {now}, so this deploys {now}{}",
        instead.unwrap_or_default()
    )))
}

/// The revision's own `gitroll.toml`; the accepted one where it has none, with a warning.
fn configuration(
    session: &Session,
    facts: &Facts,
    commit: &Oid,
) -> Result<(String, Option<String>), Failure> {
    Ok(match file_of(&session.site, commit)? {
        Some(text) => (text, None),
        None => {
            let seq = facts.accepted.seq;
            let warning = format!(
                "{} has no gitroll.toml; using the one of record #{seq}: commit it",
                commit.short()
            );
            (facts.accepted.text.clone(), Some(warning))
        }
    })
}

/// What serves and is left: what truly runs, where someone checked out another version. If nobody can tell what runs
/// of the two, it is what the records say as long as that may answer.
fn left(session: &Session, facts: &Facts, revision: &Oid) -> Result<Served, Failure> {
    let site = &session.site;
    match (&facts.hand_made, &facts.standing) {
        (Some(HandMade::Unknown(_)), Some(standing)) if *revision == facts.head.commit => {
            let config = &facts.accepted.config;
            let before = facts.names.served(&site.git, &standing.commit, None)?;
            let look = |served| Observed::now(site, config, served, &facts.deployment(site));
            let seen = look(&before);
            // What a person stopped was not replaced, and what was never proven was only checked out first.
            let stands = seen.healthy() || seen.stopped() || facts.proven_by(site)?.is_none();
            let stands = stands || look(&facts.serving).healthy();
            Ok(if stands { before } else { facts.serving.clone() })
        }
        _ => Ok(facts.serving.clone()),
    }
}

/// The judgement of what is left, if it fails and `to` is older: then this is a rollback.
fn rollback(
    session: &Session,
    facts: &Facts,
    from: &Served,
    to: &Served,
) -> Result<Option<Recorded>, Failure> {
    let site = &session.site;
    if from.commit == to.commit || !target::older(session, facts, &to.commit, &from.commit)? {
        return Ok(None);
    }
    let observed = Observed::now(site, &facts.accepted.config, from, &facts.deployment(site));
    if observed.healthy() {
        return Ok(None);
    }
    let judged = holds::judged_with(site, facts, &from.commit, &to.commit)?;
    Ok(Some(target::provisional(&judged)))
}

/// Whether nothing is said of a fix, or of components whose files are kept: then it is known what is meant.
fn lifts_nothing(recorded: &Recorded) -> bool {
    recorded.lifts.is_empty() && recorded.components.is_empty()
}

/// Whether a revision serves already.
enum Already {
    /// It does, and is healthy.
    Serving(Box<ChangeOutcome>),
    /// It answers, but nobody saw what answers being started: why.
    Doubted(String),
    No,
}

/// When the revision serves already and is healthy: says so, having looked.
fn already_serving(session: &Session, facts: &Facts, to: &Served) -> Result<Already, Failure> {
    let serves = facts.standing.as_ref().is_some_and(|s| s.commit == to.commit);
    if !serves || facts.head.commit != to.commit {
        return Ok(Already::No);
    }
    let local = session.site.local(&facts.accepted.config);
    if session.site.git.edited(&to.commit)?.iter().any(|path| !local.matches(path)) {
        return Ok(Already::No);
    }
    // Edited by hand, it is not what was deployed: the plan says what becomes of it.
    if !facts.changed(&session.site, &to.commit)?.is_empty() {
        return Ok(Already::No);
    }
    let config = &facts.accepted.config;
    let observed = Observed::now(&session.site, config, to, &facts.deployment(&session.site));
    if !observed.healthy() || (observed.checks.is_empty() && observed.services.is_empty()) {
        return Ok(Already::No);
    }
    let weak = config.app.prove == Prove::Weak;
    let vouched = facts.vouched(&session.site, &observed.services)?;
    if let Some(why) = vouched.doubt(observed.told(), weak) {
        return Ok(Already::Doubted(why.to_owned()));
    }
    let seen = match facts.weakness(&session.site, observed.told())? {
        None => "observed".to_owned(),
        Some(why) => why,
    };
    let found = vec![format!("{to} already serves: {seen}, nothing reloaded")];
    let serving = (&facts.serving, to);
    let outcome = ChangeOutcome::nothing_to_do("deploy", "already-serving", serving, found);
    Ok(Already::Serving(Box::new(session.caller.ended(outcome))))
}

/// A pipeline that deploys whatever is newest must not try over and over what has just failed: each try is a
/// moment without service. A person who names the revision may; and one who stopped or aborted the last try
/// said nothing against the revision.
fn not_failed_just_now(
    session: &Session,
    facts: &Facts,
    to: &Served,
    request: &DeployRequest,
) -> Result<(), Failure> {
    let last = facts.own(&session.site).iter().rev().find(|entry| entry.record.event.serves());
    let failed = last.filter(|entry| {
        entry.record.outcome == Outcome::Restored
            && entry.record.event == Event::Deploy
            && entry.record.subject.as_ref() == Some(&to.commit)
    });
    let Some(entry) = failed.filter(|_| request.rev.is_none() && !request.plan_only) else {
        return Ok(());
    };
    let evidence = ledger::evidence(&session.site.git, entry)?;
    if engine::was_stopped(&evidence) {
        return Ok(());
    }
    let seq = entry.record.seq;
    let how = match engine::by_watchdog(&evidence) {
        true => "its deploy was killed and undone by the watchdog",
        false => "its deploy failed",
    };
    Err(Failure::refused(format!("{to} is the newest commit, and {how}: record #{seq}"))
        .next(format!("gitroll show {seq}"), "shows why")
        .next(format!("gitroll deploy {}", to.commit.short()), "tries it again"))
}

/// Refuses where a hold is said to be fixed, no revision is named, and what is found was deployed already and contains
/// nothing of what is held: the fix is somewhere else, and "already serves" would be no answer.
fn fix_is_elsewhere(
    session: &Session,
    facts: &Facts,
    to: &Served,
    request: &DeployRequest,
) -> Result<(), Failure> {
    let stands = facts.standing.as_ref().is_some_and(|standing| standing.commit == to.commit);
    if request.rev.is_some() || request.fixes.is_empty() || !stands {
        return Ok(());
    }
    let git = &session.site.git;
    let here = holds::stopping(&session.site, &facts.history, &to.commit)?.held;
    let mut elsewhere = None;
    for fix in &request.fixes {
        let fixed = Fixed::named(session, facts, fix)?;
        let mut holds = facts.history.holds().iter().filter(|held| held.hold == Hold::Commit);
        elsewhere = elsewhere.or(holds.find(|held| fixed.is(held) && !here.contains(held)));
    }
    let Some(held) = elsewhere else { return Ok(()) };
    let subject = &held.subject;
    let fixes: String = request.fixes.iter().map(|fix| format!(" --fixes {fix}")).collect();
    let mut failure = Failure::refused(format!(
        "{to} is already deployed and is not the fix: it does not contain {}",
        subject.short()
    ))
    .detail(format!("name the revision that contains the fix: gitroll deploy REVISION{fixes}"));
    for branch in git.refs("refs/heads/")? {
        let Some(name) = branch.name.strip_prefix("refs/heads/").filter(|name| safe_name(name))
        else {
            continue;
        };
        if branch.id != *subject && git.has(subject) && git.contains(&branch.id, subject)? {
            failure = failure.next(
                format!("gitroll deploy {name}{fixes}"),
                format!("deploys {}, which contains it", branch.id.short()),
            );
        }
    }
    Err(failure.next(format!("gitroll show {}", held.seq), "shows what is held, and why"))
}

/// What `--fixes` names.
struct Fixed {
    seq: Option<Seq>,
    /// The commits that the name means; none for the number of a record of another host.
    commits: Vec<Oid>,
}

impl Fixed {
    /// Of a record, also what it judged: what was tried in vain is no version that it left serving.
    fn named(session: &Session, facts: &Facts, fix: &str) -> Result<Self, Failure> {
        let seq = Seq::typed(fix);
        let record = seq.and_then(|seq| facts.own_record(&session.site, seq));
        let mut commits: Vec<Oid> =
            record.and_then(|entry| entry.record.subject.clone()).into_iter().collect();
        let held = facts.history.holds().iter().any(|held| Some(held.seq) == seq);
        match target::resolve_commit(session, facts, fix) {
            Ok(commit) => commits.push(commit),
            Err(_) if held || !commits.is_empty() => {}
            Err(failure) => return Err(failure),
        }
        Ok(Self { seq, commits })
    }

    fn is(&self, held: &Held) -> bool {
        Some(held.seq) == self.seq || self.commits.contains(&held.subject)
    }
}

/// A revision that may be deployed.
struct Allowed {
    /// The records that it lifts.
    lifts: Vec<Digest>,
    /// What `--fixes` names and what holds nothing of this revision.
    lift_nothing: Vec<String>,
}

/// Refuses a held revision, unless this deploy is said to be the fix.
fn allowed(
    session: &Session,
    facts: &Facts,
    to: &Served,
    request: &DeployRequest,
) -> Result<Allowed, Failure> {
    let git = &session.site.git;
    let holds::Stopping { held: mut holding, undecided } =
        holds::stopping(&session.site, &facts.history, &to.commit)?;
    let contents = component::held_in(git, &facts.held_contents, &to.commit)?;
    holding.extend(contents.into_iter().map(|content| content.held.clone()));
    holding.extend(
        undecided.iter().filter(|held| !holding.contains(held)).cloned().collect::<Vec<_>>(),
    );
    let mut lifts = Vec::new();
    let mut lift_nothing = Vec::new();
    for fix in &request.fixes {
        let seq = Seq::typed(fix);
        let by_number: Vec<&Held> = holding.iter().filter(|held| Some(held.seq) == seq).collect();
        let lifted = match by_number.as_slice() {
            [] => {
                let fixed = Fixed::named(session, facts, fix)?;
                holding.iter().filter(|held| fixed.is(held)).collect()
            }
            [..] => by_number,
        };
        if lifted.is_empty() {
            lift_nothing.push(fix.clone());
        }
        lifts.extend(lifted.into_iter().map(|held| held.digest));
    }
    let mut seen = std::collections::BTreeSet::new();
    lifts.retain(|digest| seen.insert(*digest));
    let left: Vec<&Held> = holding.iter().filter(|held| !lifts.contains(&held.digest)).collect();
    match left.as_slice() {
        [] => Ok(Allowed { lifts, lift_nothing }),
        [first, ..] => {
            let typed = typed(to, request);
            let failure = refusal(to, &typed, first, &holding, &left);
            let undo = target::last_rollback(session, facts)
                .filter(|entry| entry.digest == first.digest && !facts.by_hand());
            let failure = failure.next_first(
                undo.into_iter()
                    .map(|entry| {
                        let what = format!(
                            "#{} was a false alarm: returns to what it left",
                            entry.record.seq
                        );
                        ("gitroll back --undo".to_owned(), what)
                    })
                    .collect(),
            );
            Err(if undecided.contains(first) { cut_off(failure, to, first) } else { failure })
        }
    }
}

/// The command as typed, to be gone on with: the revision a person knows, and what is kept in it.
fn typed(to: &Served, request: &DeployRequest) -> String {
    let rev = match &request.rev {
        Some(rev) if safe_name(rev) => format!(" {rev}"),
        Some(_) => format!(" {}", to.commit.short()),
        None if request.keep_components.is_empty() => format!(" {}", to.commit.short()),
        None => String::new(),
    };
    let keep = request.keep_components.iter().map(|id| format!(" --keep-component {id}"));
    format!("gitroll deploy{rev}{}", keep.collect::<String>())
}

/// Says why `held` stops a deploy, and how to continue past all of `holding`, of which `left` are not lifted yet.
fn refusal(to: &Served, typed: &str, held: &Held, holding: &[Held], left: &[&Held]) -> Failure {
    let why = match &held.hold {
        Hold::Component { id, .. } => {
            format!("{to} contains {id} in a version that was marked bad")
        }
        Hold::Commit if held.subject == to.commit => format!("{to} is held"),
        Hold::Commit => {
            format!("{to} is or contains {}, which is held", held.subject.short())
        }
    };
    let mut failure = Failure::refused(why)
        .detail(format!("held by record #{} of {} ({})", held.seq, held.writer, held.by));
    if let Some(reason) = &held.reason {
        failure = failure.detail(format!("because: {reason}"));
    }
    for other in left.iter().skip(1) {
        let what = match &other.hold {
            Hold::Component { id, .. } => id.to_string(),
            Hold::Commit => other.subject.short().to_owned(),
        };
        failure = failure.detail(format!("{what} is also held, by record #{}", other.seq));
    }
    let keep: String = left
        .iter()
        .filter_map(|held| match &held.hold {
            Hold::Component { id, .. } => Some(format!(" --keep-component {id}")),
            Hold::Commit => None,
        })
        .collect();
    if !keep.is_empty() && left.iter().all(|held| held.hold != Hold::Commit) {
        failure = failure.next(format!("{typed}{keep}"), "deploys with the good files instead");
    }
    let fixes: String = holding.iter().map(|held| format!(" --fixes {}", held.seq)).collect();
    failure = failure.next(format!("{typed}{fixes}"), "deploys it as the fix");
    if held.hold == Hold::Commit {
        failure = failure.next(
            format!("git revert {} && git push", held.subject.short()),
            "in another clone: commits after the revert are not held",
        );
    }
    failure.next(format!("gitroll unhold {}", held.seq), "lifts the hold, if it was wrong")
}

/// The refusal where the history between is not here.
fn cut_off(refusal: Failure, to: &Served, held: &Held) -> Failure {
    let subject = held.subject.short();
    let cut = Failure::refused(format!(
        "cannot tell whether {to} contains {subject}, which is held: this clone is shallow"
    ))
    .details(refusal.details)
    .next("git fetch --unshallow", "fetches the history; then try again");
    refusal.next.into_iter().fold(cut, |cut, (command, what)| cut.next(command, what))
}

/// Where to go when both the target and what served before are failing: to neither of them. What served
/// before looks like any other candidate where HEAD was moved by hand to the target.
fn last_good(session: &Session, facts: &Facts, change: &Change) -> Result<Vec<Candidate>, Failure> {
    let all = candidates::gather(&session.site, facts);
    let failing = |c: &Candidate| {
        [&change.from.commit, &change.to.commit].into_iter().any(|f| c.commit.as_ref() == Some(f))
    };
    let found = match all.resolve(&Request::LastGood)? {
        Ok(found) => Some(found),
        Err(_) => all.however_short()?,
    };
    let all =
        found.into_iter().flat_map(|found| std::iter::once(found.chosen).chain(found.further));
    let mut all: Vec<Candidate> = all.filter(|candidate| !failing(candidate)).collect();
    // Who is put in place unattended is looked at anew.
    let commits: Vec<Oid> = all.iter().filter_map(|candidate| candidate.commit.clone()).collect();
    let stopped = holds::misremembered(&session.site, facts, &commits)?;
    all.retain(|candidate| candidate.commit.as_ref().is_none_or(|c| !stopped.contains(c)));
    Ok(all)
}
