//! Which state is meant by what a person typed, and why there is none to go back to.

use std::collections::BTreeMap;

use super::failure::Failure;
use super::session::Session;
use crate::ledger::Entry;
use crate::model::{Event, Hold, Judgement, Oid, Outcome, Recorded, Seq, TargetRef, Verdict};
use crate::plan::PlanError;
use crate::plan::candidates::{self, Candidates};
use crate::plan::facts::Facts;
use crate::site::Observed;
use crate::system::git::GitError;
use crate::system::text::nearest;
use crate::target::{Candidate, Reach, Reason, Request, RequestError, Resolution, Standing};

/// The targets that are found, not named.
pub const FOUND: [&str; 3] = ["last-good", "last-stable", "previous"];

/// What `--to` asks for; the last good state if nothing was said.
pub fn request(to: Option<&str>) -> Request {
    let to = to.unwrap_or("last-good");
    to.parse().unwrap_or_else(|never: std::convert::Infallible| match never {})
}

/// The target of a request, or why there is none.
///
/// # Errors
/// When a name names nothing, or git cannot be read.
pub fn find(
    session: &Session,
    facts: &Facts,
    all: &Candidates<'_>,
    request: &Request,
    reach: Reach,
) -> Result<Result<Resolution, RequestError>, Failure> {
    let named = |name: &str| {
        candidates::named(&session.site, facts, name)
            .map_err(|error| unknown_name(session, name, &FOUND, error))
    };
    let named = match request {
        Request::Named(name) => Some(named(name)?),
        Request::Seq(seq) => candidates::of_seq(&session.site, facts, *seq)?,
        Request::Number(seq) => {
            match number(session, facts, *seq, |seq| put_in_place(session, facts, seq))? {
                Number::Record => candidates::of_seq(&session.site, facts, *seq)?,
                Number::Ref => {
                    let name = seq.to_string();
                    let named = Some(named(&name)?);
                    let request = Request::Named(name);
                    return Ok(all.resolve_named(&request, named, reach)?);
                }
            }
        }
        _ => None,
    };
    let found = all.resolve_named(request, named, reach)?;
    if let (Request::LastGood, Err(RequestError::Nothing { .. })) = (request, &found)
        && let Some(doubtful) = doubtful(all, reach)?
        && !Observed::now(
            &session.site,
            &facts.accepted.config,
            &facts.serving,
            &facts.deployment(&session.site),
        )
        .healthy()
    {
        return Ok(Ok(doubtful));
    }
    Ok(found)
}

/// What is better than what fails, where nothing else is left: what served too short, else what failed when it was tried.
fn doubtful(all: &Candidates<'_>, reach: Reach) -> Result<Option<Resolution>, Failure> {
    Ok(match all.however_short()? {
        None => all.even_tried(reach)?,
        short => short,
    })
}

/// What a bare number means.
enum Number {
    Record,
    /// A tag or branch.
    Ref,
}

/// Whether a bare number means a record or a ref of that name: CI numbers its tags, too. `of_record` is the commit
/// that the record stands for.
fn number(
    session: &Session,
    facts: &Facts,
    seq: Seq,
    of_record: impl Fn(Seq) -> Option<Oid>,
) -> Result<Number, Failure> {
    let git = &session.site.git;
    let mut full_name = None;
    for kind in ["tags", "heads"] {
        let name = format!("refs/{kind}/{seq}");
        if git.find_ref(&name)?.is_some() {
            full_name = Some(name);
            break;
        }
    }
    let Some(full_name) = full_name else { return Ok(Number::Record) };
    let Some(record) = of_record(seq) else { return Ok(Number::Ref) };
    let named = git.resolve(&full_name)?;
    if named == record {
        return Ok(Number::Record);
    }
    let shown =
        |commit: &Oid| facts.names.served(git, commit, None).map(|served| served.to_string());
    let kind = if full_name.starts_with("refs/tags/") { "a tag" } else { "a branch" };
    let failure = Failure::refused(format!("{seq} is both {kind} and a record"))
        .detail(format!("{full_name}  {}", shown(&named)?))
        .detail(format!("record @{seq}  {}", shown(&record)?))
        .nothing_changed();
    Err(match session.command().as_deref() {
        Some(command @ ("deploy" | "back")) => failure
            .next(format!("gitroll {command} {full_name}"), format!("means the {}", &kind[2..]))
            .next(
                format!("gitroll {command} @{seq}"),
                "means the version that the record deployed",
            ),
        _ => failure.detail(format!("use {full_name} or @{seq}")),
    })
}

/// What a record put in place.
fn put_in_place(session: &Session, facts: &Facts, seq: Seq) -> Option<Oid> {
    facts.own_record(&session.site, seq)?.record.to.clone()
}

/// Whether `target` is older than what is left: its ancestor, or, in unrelated histories, put in place
/// here before it.
pub fn older(session: &Session, facts: &Facts, target: &Oid, left: &Oid) -> Result<bool, Failure> {
    let git = &session.site.git;
    if git.contains(left, target)? {
        return Ok(true);
    }
    if git.contains(target, left)? {
        return Ok(false);
    }
    let first = |commit: &Oid| facts.history.times(commit).next().map(|span| span.seq);
    Ok(match (first(target), first(left)) {
        (Some(target), Some(left)) => target < left,
        (Some(_), None) => true,
        _ => false,
    })
}

/// The rollback of code that was the last thing done here, where one was.
pub fn last_rollback<'f>(session: &Session, facts: &'f Facts) -> Option<&'f Entry> {
    let mut own = facts.own(&session.site).iter().rev().filter(|entry| {
        // What failed and was taken back changed nothing that an undo would have to undo first.
        entry.record.outcome != Outcome::Restored
    });
    let last = own.find(|entry| entry.record.event.serves() && entry.record.to.is_some())?;
    // A deploy of an older version that judged what it left was a rollback, too.
    let went_back = matches!(last.record.event, Event::Back | Event::Component)
        || last.record.verdict.is_some();
    (went_back && last.record.outcome == Outcome::Succeeded).then_some(last)
}

/// The judgement that leaving a commit for an older one implies.
pub fn provisional(subject: &Oid) -> Recorded {
    Recorded {
        subject: Some(subject.clone()),
        verdict: Some(Verdict { judgement: Judgement::Bad, provisional: true }),
        hold: Some(Hold::Commit),
        ..Recorded::default()
    }
}

/// Resolves what a person typed to a commit, with the nearest names where it names nothing.
///
/// # Errors
/// When it names nothing, or several things.
pub fn resolve_commit(session: &Session, facts: &Facts, name: &str) -> Result<Oid, Failure> {
    let of_record = |seq: Seq| {
        let entry = facts.own_record(&session.site, seq)?;
        entry.record.to.clone().or(entry.record.subject.clone())
    };
    if let Some(seq) = Seq::typed(name)
        && let Some(commit) = of_record(seq)
        && (name.starts_with(['#', '@'])
            || matches!(number(session, facts, seq, of_record)?, Number::Record))
    {
        return Ok(commit);
    }
    let found = facts.resolve(&session.site, name);
    found.map_err(|e| unknown_name(session, name, &[], e.into()))
}

/// Says which known name, or which of `words`, is nearest to one that names nothing.
fn unknown_name(session: &Session, name: &str, words: &[&str], error: PlanError) -> Failure {
    let failure = Failure::from(error);
    let unknown = matches!(session.site.git.resolve(name), Err(GitError::Unknown { .. }));
    if !unknown {
        return failure;
    }
    let mut known: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    if let Ok(tags) = session.site.git.tag_refs(|_| true) {
        known.extend(tags.into_iter().map(|tag| tag.short));
    }
    if let Ok(branches) = session.site.git.refs("refs/heads/") {
        known.extend(
            branches.iter().filter_map(|r| r.name.strip_prefix("refs/heads/")).map(str::to_owned),
        );
    }
    let failure = match nearest(name, &known) {
        Some(near) => failure.detail(format!("the nearest name is {near}")),
        None => failure.next("gitroll targets", "shows the targets"),
    };
    // `deploy` has asked already.
    let remote = session.site.git.remotes().into_iter().next();
    match remote.filter(|_| session.command().as_deref() != Some("deploy")) {
        Some(remote) => failure
            .next(format!("git fetch --tags {remote}"), "fetches it, if it exists on the remote"),
        None => failure,
    }
}

/// Why there is no target, for a person who typed `gitroll COMMAND`.
pub fn refusal(session: &Session, facts: &Facts, error: RequestError, command: &str) -> Failure {
    let last = last_rollback(session, facts)
        .filter(|entry| entry.record.lifts.is_empty() && !facts.by_hand());
    let undo = last.filter(|last| match &error {
        RequestError::Nothing { .. } => true,
        RequestError::Refused { candidate, .. } => {
            candidate.commit.is_some() && candidate.commit == last.record.from
        }
        RequestError::NoStable { .. } | RequestError::NoSuchRecord(_) => false,
    });
    let undo = undo.map(|last| {
        let what = format!("if it was a false alarm: returns to what #{} left", last.record.seq);
        ("gitroll back --undo".to_owned(), what)
    });
    let failure = explained(error, command).next_first(undo.into_iter().collect());
    lost_tags(session, facts).into_iter().fold(failure, Failure::detail)
}

/// Stable tags that a record pins and that are no longer what it pinned: deleted or moved by someone.
pub fn lost_tags(session: &Session, facts: &Facts) -> Vec<String> {
    let pinned: BTreeMap<&str, (&TargetRef, Seq)> = facts
        .history
        .promotions()
        .map(|promotion| (promotion.tag.name.as_str(), (&promotion.tag, promotion.seq)))
        .collect();
    let lost = pinned.into_values().filter_map(|(tag, seq)| {
        let what = match session.site.git.find_ref(&tag.name) {
            Ok(Some(id)) if id == tag.id => return None,
            Ok(Some(_)) => "now points elsewhere",
            Ok(None) => "is gone",
            Err(_) => "cannot be read",
        };
        let restore = format!("git update-ref {} {}", tag.name, tag.id);
        Some(format!("{}, promoted by record #{seq}, {what}: {restore}", tag.short()))
    });
    lost.collect()
}

fn explained(error: RequestError, command: &str) -> Failure {
    let shown = |mut failure: Failure, skipped: &[Candidate]| {
        for candidate in skipped.iter().take(10) {
            if let Standing::Skipped(reason) = &candidate.standing {
                failure = failure.detail(format!("skipped  {}  {reason}", candidate.name));
            }
        }
        failure
    };
    match &error {
        RequestError::Nothing { skipped } => {
            let failure = shown(Failure::unchanged(error.to_string()), skipped)
                .detail("a version is a target once it was observed serving here, and was promoted or served long enough")
                .next("gitroll targets", "shows every version and why it is skipped");
            let named = |c: &&Candidate| match &c.standing {
                Standing::Skipped(reason) => reason.is_doubt() && *reason != Reason::SameFiles,
                _ => true,
            };
            let proven = |c: &&Candidate| c.served.is_some_and(|s| s.proven);
            match skipped.iter().filter(named).find(proven) {
                Some(near) => failure
                    .next(format!("gitroll {command} --to {}", short(near)), "uses it anyway"),
                None => failure,
            }
        }
        RequestError::NoStable { skipped } => shown(Failure::unchanged(error.to_string()), skipped)
            .next("gitroll promote", "creates a stable tag for what serves")
            .next("gitroll back", "rolls back to the last good deployment instead"),
        RequestError::NoSuchRecord(_) => {
            Failure::unchanged(error.to_string()).next("gitroll log", "shows the records")
        }
        RequestError::Refused { candidate, reason } => {
            let failure = Failure::refused(error.to_string());
            match reason {
                Reason::Bad { by } | Reason::Held { by, .. } | Reason::HeldComponent { by, .. } => {
                    let record = by.trim_start_matches('#');
                    failure.next(format!("gitroll unhold {record}"), "if that was wrong")
                }
                _ => match &candidate.commit {
                    Some(commit) => failure.next(
                        format!("gitroll {command} --to {}", commit.short()),
                        "uses the commit itself, even if the tag moves later",
                    ),
                    None => failure.next("gitroll targets", "shows the targets"),
                },
            }
        }
    }
}

fn short(candidate: &Candidate) -> String {
    match (&candidate.seq, &candidate.commit) {
        (Some(seq), _) => seq.to_string(),
        (None, Some(commit)) => commit.short().to_owned(),
        (None, None) => candidate.name.clone(),
    }
}
