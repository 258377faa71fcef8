//! Candidates for going back, from the history, the tags and what is kept.

use super::facts::Facts;
use super::names::stable_matcher;
use super::{PlanError, compose, holds, left};
use crate::ledger::{self, Pinned};
use crate::model::{Oid, Seq, TargetRef};
use crate::site::Site;
use crate::system::git::{Tag, TagKind};
use crate::target::{Candidate, Needed, Rank, Reason, ServedHere, Standing, safe_name, version_of};

/// What could be gone back to.
#[derive(Debug, Clone)]
pub struct Candidates {
    /// States that served here, the most recent first, one per commit; adopted tags last.
    pub deployments: Vec<Candidate>,
    /// Tags that match the stable pattern, with their ranks.
    pub stable: Vec<(Rank, Candidate)>,
}

/// Looks at every state that served here and every stable tag.
///
/// # Errors
/// When the repository cannot be read.
pub fn gather(site: &Site, facts: &Facts) -> Result<Candidates, PlanError> {
    let mut deployments = Vec::new();
    for commit in served_commits(site, facts) {
        let served = served_here(facts, &commit);
        let name = facts.names.served(&site.git, &commit, None)?.name;
        let seq = facts.last_record_of(site, &commit).map(|e| e.record.seq);
        let mut candidate = blank(facts, name, Some(commit.clone()), None, seq, served);
        candidate.standing = judge(site, facts, &commit, served, None)?;
        need(site, facts, &mut candidate)?;
        deployments.push(candidate);
    }
    let mut stable = Vec::new();
    let pattern = &facts.accepted.config.stable.pattern;
    let matcher = stable_matcher(pattern);
    for tag in &facts.tags {
        let short = tag.target.short();
        if matcher.as_ref().is_some_and(|m| m.is_match(short)) {
            let mut candidate = of_tag(site, facts, tag)?;
            // Thousands of tags may never have served here: what they need matters once one is named.
            if candidate.standing != Standing::Skipped(Reason::NeverServed) {
                need(site, facts, &mut candidate)?;
            }
            let rank = Rank {
                version: version_of(short, pattern),
                last: candidate.served.map(|s| s.last),
            };
            stable.push((rank, candidate));
        }
    }
    deployments.extend(served_before(facts, &deployments, &stable));
    Ok(Candidates { deployments, stable })
}

/// Adopted tags whose state no record put in place: they served here before gitroll came, so before all of
/// its deployments; the last to serve first.
fn served_before(
    facts: &Facts,
    deployments: &[Candidate],
    stable: &[(Rank, Candidate)],
) -> Vec<Candidate> {
    let adopted = |candidate: &Candidate| {
        candidate.tag.as_ref().is_some_and(|tag| {
            facts.history.pinned(&tag.name).is_some_and(|pin| pin.tag.target == *tag)
        })
    };
    let mut before: Vec<&(Rank, Candidate)> = stable
        .iter()
        .filter(|(_, candidate)| adopted(candidate))
        .filter(|(_, candidate)| deployments.iter().all(|d| d.commit != candidate.commit))
        .collect();
    // A reflog knows no more than seconds: of two in the same one the higher version came later.
    let last = |candidate: &Candidate| candidate.served.map(|served| served.last);
    before
        .sort_by(|(a_rank, a), (b_rank, b)| last(b).cmp(&last(a)).then_with(|| b_rank.cmp(a_rank)));
    before.into_iter().map(|(_, candidate)| candidate.clone()).collect()
}

/// The candidate a person named: a record's position, a tag (with the scrutiny of any tag) or any other
/// name of a commit.
///
/// # Errors
/// When the name names nothing, or several things.
pub fn named(site: &Site, facts: &Facts, name: &str) -> Result<Candidate, PlanError> {
    let short = name.strip_prefix("refs/tags/").unwrap_or(name);
    // Whoever says origin/main means the remote's branch, whatever a tag is called.
    let of_remote = site.git.find_ref(&format!("refs/remotes/{name}"))?.is_some();
    let tag = facts.tags.iter().find(|tag| !of_remote && tag.target.short() == short);
    let mut candidate = match tag {
        Some(tag) => of_tag(site, facts, tag)?,
        None => of_commit(site, facts, &facts.resolve(site, name)?)?,
    };
    need(site, facts, &mut candidate)?;
    Ok(candidate)
}

/// The candidate that a record put in place.
///
/// # Errors
/// When git cannot be read.
pub fn of_seq(site: &Site, facts: &Facts, seq: Seq) -> Result<Option<Candidate>, PlanError> {
    let found = facts.own(site).iter().find(|entry| entry.record.seq == seq);
    let Some(commit) = found.and_then(|entry| entry.record.to.clone()) else { return Ok(None) };
    let mut candidate = of_commit(site, facts, &commit)?;
    candidate.seq = Some(seq);
    need(site, facts, &mut candidate)?;
    Ok(Some(candidate))
}

fn of_commit(site: &Site, facts: &Facts, commit: &Oid) -> Result<Candidate, PlanError> {
    let served = served_here(facts, commit);
    let name = facts.names.served(&site.git, commit, None)?.name;
    let seq = facts.last_record_of(site, commit).map(|e| e.record.seq);
    let mut candidate = blank(facts, name, Some(commit.clone()), None, seq, served);
    candidate.standing = judge(site, facts, commit, served, None)?;
    Ok(candidate)
}

fn of_tag(site: &Site, facts: &Facts, tag: &Tag) -> Result<Candidate, PlanError> {
    let name = tag.target.short().to_owned();
    let commit = match &tag.kind {
        TagKind::Lightweight(commit) | TagKind::Annotated { commit, .. } => Some(commit.clone()),
        TagKind::Unusable(_) => None,
    };
    let served = commit.as_ref().and_then(|c| served_here(facts, c));
    let served = adopted(facts, tag).map(|pin| with_time_before(served, pin)).or(served);
    let seq =
        commit.as_ref().and_then(|c| facts.last_record_of(site, c)).map(|entry| entry.record.seq);
    let target = Some(tag.target.clone());
    let mut candidate = blank(facts, name, commit.clone(), target, seq, served);
    candidate.standing = match (unsafe_tag(facts, tag), commit) {
        (Some(reason), _) => Standing::Skipped(reason),
        (None, Some(commit)) => judge(site, facts, &commit, served, Some(tag))?,
        (None, None) => Standing::Skipped(Reason::Unusable { why: "names no commit".into() }),
    };
    Ok(candidate)
}

/// The adoption of a tag that still points to what it was pinned to.
fn adopted<'a>(facts: &'a Facts, tag: &Tag) -> Option<&'a Pinned> {
    facts.history.pinned(&tag.target.name).filter(|pin| pin.tag.target == tag.target)
}

/// Whether an adopted tag points elsewhere since, and not to what a promotion gave its name to.
fn moved(facts: &Facts, tag: &Tag, commit: &Oid) -> Option<Reason> {
    let pin = facts.history.pinned(&tag.target.name)?;
    let stands =
        pin.tag.target == tag.target || facts.history.promoted(commit).contains(&tag.target);
    (!stands).then(|| Reason::Moved { by: format!("#{}", pin.seq) })
}

/// What a commit's records say, and before them HEAD's reflog.
fn with_time_before(served: Option<ServedHere>, pin: &Pinned) -> ServedHere {
    ServedHere {
        seconds: served.map_or(0, |s| s.seconds).saturating_add(pin.tag.seconds),
        and_unknown: served.is_some_and(|s| s.and_unknown),
        last: served.map_or(pin.tag.since, |s| s.last),
        proven: served.is_some_and(|s| s.proven),
        adopted: true,
        ran: served.is_some_and(|s| s.ran),
        reflog: true,
    }
}

/// What can be said of a tag without asking who signed it.
fn unsafe_tag(facts: &Facts, tag: &Tag) -> Option<Reason> {
    let name = tag.target.short();
    if !safe_name(name) {
        return Some(Reason::UnsafeName);
    }
    match &tag.kind {
        TagKind::Unusable(why) => Some(Reason::Unusable { why: why.clone() }),
        TagKind::Lightweight(commit) | TagKind::Annotated { commit, .. }
            if facts.history.pinned(&tag.target.name).is_some() =>
        {
            moved(facts, tag, commit)
        }
        TagKind::Lightweight(_) => Some(Reason::Lightweight),
        TagKind::Annotated { own_name, .. } if own_name != name => {
            Some(Reason::OtherName { says: own_name.clone() })
        }
        TagKind::Annotated { .. } => None,
    }
}

fn judge(
    site: &Site,
    facts: &Facts,
    commit: &Oid,
    served: Option<ServedHere>,
    tag: Option<&Tag>,
) -> Result<Standing, PlanError> {
    if *commit == facts.serving.commit {
        return Ok(Standing::Serving);
    }
    if site.git.commit(commit)?.tree == site.git.commit(&facts.serving.commit)?.tree {
        return Ok(Standing::Skipped(Reason::SameFiles));
    }
    if let Some(reason) = holds::against(site, facts, commit)? {
        return Ok(Standing::Skipped(reason));
    }
    let Some(served) = served else { return Ok(Standing::Skipped(Reason::NeverServed)) };
    if !served.proven && !served.adopted && !served.ran {
        return Ok(Standing::Skipped(Reason::NotProven));
    }
    // By the reflog it was checked out here once: a clone begins at the newest commit.
    let put_here = facts.history.deployments().iter().any(|span| span.commit == *commit);
    if !put_here && site.git.contains(commit, &facts.serving.commit)? {
        return Ok(Standing::Skipped(Reason::Ahead));
    }
    if let Some(by) = tag.and_then(|tag| facts.history.demoted(&tag.target)) {
        return Ok(Standing::Skipped(Reason::Demoted { by: format!("#{by}") }));
    }
    if let Some(tag) = tag
        && let Some(reason) = unsigned(site, facts, commit, tag)
    {
        return Ok(Standing::Skipped(reason));
    }
    if let Some(reason) = left::against(site, facts, commit)? {
        return Ok(Standing::Skipped(reason));
    }
    let wanted = facts.accepted.config.stable.min_served;
    let promoted = !facts.history.promoted(commit).is_empty();
    if tag.is_none() && !promoted && !served.adopted && served.total() < wanted {
        let (seconds, wanted) = (served.seconds, wanted.as_secs());
        return Ok(Standing::Skipped(match served.and_unknown {
            true => Reason::TimeUnknown { wanted },
            false => Reason::TooShort { seconds, wanted },
        }));
    }
    Ok(Standing::Usable)
}

/// Whether nobody trusted stands for a tag: neither a trusted record that pins its name to this very
/// object, nor a signature by a trusted key.
fn unsigned(site: &Site, facts: &Facts, commit: &Oid, tag: &Tag) -> Option<Reason> {
    let promoted = facts.history.promoted(commit).contains(&tag.target);
    if promoted || adopted(facts, tag).is_some() {
        return None;
    }
    if matches!(tag.kind, TagKind::Annotated { signed: false, .. }) {
        return Some(Reason::Unsigned);
    }
    match ledger::verify_tag(&site.git, &site.binding, &tag.target.id) {
        Ok(_) => None,
        Err(ledger::LedgerError::Untrusted { problem, .. }) => {
            Some(Reason::Untrusted { why: problem })
        }
        Err(error) => Some(Reason::Untrusted { why: error.to_string() }),
    }
}

/// Fills in what it takes to restore a candidate that could be taken.
fn need(site: &Site, facts: &Facts, candidate: &mut Candidate) -> Result<(), PlanError> {
    let doubtful = matches!(
        candidate.standing,
        Standing::Usable
            | Standing::Skipped(
                Reason::NeverServed
                    | Reason::Ahead
                    | Reason::NotProven
                    | Reason::FailedWhenLeft { .. }
                    | Reason::Reverted { .. }
                    | Reason::TooShort { .. }
                    | Reason::TimeUnknown { .. },
            )
    );
    let Some(commit) = candidate.commit.clone().filter(|_| doubtful) else { return Ok(()) };
    (candidate.build, candidate.unfit) = compose::needed(site, facts, &commit)?;
    if let Needed::Impossible(why) = &candidate.build {
        candidate.standing = Standing::Skipped(Reason::Impossible { why: why.clone() });
    }
    Ok(())
}

/// What served here, the most recent first; then what was checked out by hand and left, whether it served or not.
fn served_commits(site: &Site, facts: &Facts) -> Vec<Oid> {
    let mut commits: Vec<Oid> = Vec::new();
    for span in facts.history.deployments().iter().rev() {
        if !commits.contains(&span.commit) {
            commits.push(span.commit.clone());
        }
    }
    let mut left: Vec<_> = facts.history.moved_from().iter().collect();
    left.sort_by_key(|(_, seq)| std::cmp::Reverse(**seq));
    let unserved = left.into_iter().map(|(commit, _)| commit);
    commits.extend(
        unserved.filter(|c| !commits.contains(c) && site.git.has(c)).cloned().collect::<Vec<_>>(),
    );
    commits
}

fn served_here(facts: &Facts, commit: &Oid) -> Option<ServedHere> {
    let last = facts.history.deployments().iter().rfind(|span| span.commit == *commit)?;
    let total = facts.history.served_total(commit, &facts.moment);
    Some(ServedHere {
        seconds: total.known.as_secs(),
        and_unknown: total.and_unknown,
        last: last.since,
        proven: facts.history.proven_here(commit),
        adopted: facts.history.adopted(commit),
        ran: facts.history.ran_here(commit),
        reflog: false,
    })
}

fn blank(
    facts: &Facts,
    name: String,
    commit: Option<Oid>,
    tag: Option<TargetRef>,
    seq: Option<Seq>,
    served: Option<ServedHere>,
) -> Candidate {
    let (build, standing) = (Needed::Nothing, Standing::Usable);
    let moved = commit.as_ref().and_then(|commit| facts.history.moved_from().get(commit));
    let moved = moved.map(|seq| format!("#{seq}"));
    Candidate { name, commit, tag, seq, served, moved, build, unfit: None, standing }
}
