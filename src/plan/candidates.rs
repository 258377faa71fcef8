//! Candidates for going back, from the history, the tags and what is kept: judged one after the other, the likeliest
//! first, as far as somebody wants to know.

use std::cell::{OnceCell, RefCell};

use super::facts::Facts;
use super::{PlanError, compose, holds, left};
use crate::ledger::{self, Pinned};
use crate::model::{Oid, Seq, TargetRef};
use crate::site::Site;
use crate::system::git::{Tag, TagKind};
use crate::target::{
    self, Candidate, Needed, Rank, Reach, Reason, Request, RequestError, Resolution, ServedHere,
    Standing, safe_name, version_of,
};

/// What could be rolled back to. Nothing is judged before it is asked for, and nothing twice.
pub struct Candidates<'f> {
    site: &'f Site,
    facts: &'f Facts,
    served: Vec<&'f Oid>,
    deployments: RefCell<Vec<Candidate>>,
    /// Adopted tags whose state no record put in place.
    before: OnceCell<Vec<Candidate>>,
    /// Places of the stable tags, the highest rank first.
    order: OnceCell<Vec<usize>>,
    stable: RefCell<Vec<Candidate>>,
}

/// Every state that served here and every stable tag, to be judged.
pub fn gather<'f>(site: &'f Site, facts: &'f Facts) -> Candidates<'f> {
    Candidates {
        site,
        facts,
        served: served_commits(site, facts),
        deployments: RefCell::default(),
        before: OnceCell::new(),
        order: OnceCell::new(),
        stable: RefCell::default(),
    }
}

impl Candidates<'_> {
    /// The states that served here, the most recent first, one per commit; adopted tags last.
    pub fn deployments(&self) -> impl Iterator<Item = Result<Candidate, PlanError>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            at += 1;
            self.deployment(at - 1).transpose()
        })
    }

    /// The stable tags, the highest rank first.
    pub fn stable(&self) -> impl Iterator<Item = Result<Candidate, PlanError>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            at += 1;
            self.stable_tag(at - 1).transpose()
        })
    }

    /// How many states served here, and how many stable tags there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.served.len(), self.facts.names.refs().len())
    }

    /// Chooses among them, judging no more than it takes.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn resolve(
        &self,
        request: &Request,
    ) -> Result<Result<Resolution, RequestError>, PlanError> {
        self.resolve_named(request, None, Reach::default())
    }

    /// [`Candidates::resolve`] with what a name was resolved to.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn resolve_named(
        &self,
        request: &Request,
        named: Option<Candidate>,
        reach: Reach,
    ) -> Result<Result<Resolution, RequestError>, PlanError> {
        let mut failed = Ok(());
        let found = match request {
            Request::LastStable => {
                target::resolve(request, until_failed(self.stable(), &mut failed), named, reach)
            }
            _ => target::resolve(
                request,
                until_failed(self.deployments(), &mut failed),
                named,
                reach,
            ),
        };
        failed.map(|()| found)
    }

    /// The last good state where none served long enough.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn however_short(&self) -> Result<Option<Resolution>, PlanError> {
        let mut failed = Ok(());
        let found = target::however_short(until_failed(self.deployments(), &mut failed));
        failed.map(|()| found)
    }

    /// The last good state of those that failed when they were tried.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn even_tried(&self, reach: Reach) -> Result<Option<Resolution>, PlanError> {
        let mut failed = Ok(());
        let found = target::even_tried(until_failed(self.deployments(), &mut failed), reach);
        failed.map(|()| found)
    }

    fn deployment(&self, at: usize) -> Result<Option<Candidate>, PlanError> {
        if let Some(known) = self.deployments.borrow().get(at) {
            return Ok(Some(known.clone()));
        }
        let Some(commit) = self.served.get(at) else {
            return Ok(self.before()?.get(at - self.served.len()).cloned());
        };
        // Twice as many with each time: who goes through all of them walks once through their history.
        let end = (at * 2).max(FIRST).min(self.served.len());
        let ahead: Vec<Oid> = self.served[at..end].iter().map(|commit| (*commit).clone()).collect();
        holds::look_ahead(self.site, self.facts, &ahead)?;
        let mut candidate = of_commit(self.site, self.facts, commit)?;
        need(self.site, self.facts, &mut candidate)?;
        self.deployments.borrow_mut().push(candidate.clone());
        Ok(Some(candidate))
    }

    /// Adopted tags whose state no record put in place: they served here before gitroll came, so before all of
    /// its deployments; the last to serve first.
    fn before(&self) -> Result<&[Candidate], PlanError> {
        if let Some(known) = self.before.get() {
            return Ok(known);
        }
        let (site, facts) = (self.site, self.facts);
        let mut found: Vec<(Rank, Candidate)> = Vec::new();
        for (at, tag) in facts.names.refs().iter().enumerate() {
            if facts.history.pinned(&format!("refs/tags/{}", tag.short)).is_none() {
                continue;
            }
            let Some(tag) = facts.names.tag(&site.git, at) else { continue };
            let by_record = |commit| facts.history.times(commit).next().is_some();
            if adopted(facts, tag).is_some() && !tag.kind.commit().is_some_and(by_record) {
                let candidate = self.of_stable(tag)?;
                found.push((self.rank(tag), candidate));
            }
        }
        // A reflog knows no more than seconds: of two in the same one the higher version came later.
        let last = |candidate: &Candidate| candidate.served.map(|served| served.last);
        found.sort_by(|(a_rank, a), (b_rank, b)| {
            last(b).cmp(&last(a)).then_with(|| b_rank.cmp(a_rank))
        });
        let found = found.into_iter().map(|(_, candidate)| candidate).collect();
        Ok(self.before.get_or_init(|| found))
    }

    fn stable_tag(&self, at: usize) -> Result<Option<Candidate>, PlanError> {
        if let Some(known) = self.stable.borrow().get(at) {
            return Ok(Some(known.clone()));
        }
        let tag = |at: usize| {
            let place = self.order().get(at)?;
            self.facts.names.tag(&self.site.git, *place)
        };
        let Some(found) = tag(at) else { return Ok(None) };
        let end = (at * 2).max(FIRST).min(self.order().len());
        let ahead: Vec<Oid> = (at..end).filter_map(|at| tag(at)?.kind.commit().cloned()).collect();
        holds::look_ahead(self.site, self.facts, &ahead)?;
        let candidate = self.of_stable(found)?;
        self.stable.borrow_mut().push(candidate.clone());
        Ok(Some(candidate))
    }

    fn of_stable(&self, tag: &Tag) -> Result<Candidate, PlanError> {
        let mut candidate = of_tag(self.site, self.facts, tag)?;
        // Thousands of tags may never have served here: what they need matters once one is named.
        if candidate.standing != Standing::Skipped(Reason::NeverServed) {
            need(self.site, self.facts, &mut candidate)?;
        }
        Ok(candidate)
    }

    fn order(&self) -> &[usize] {
        self.order.get_or_init(|| {
            let (names, pattern) = (&self.facts.names, &self.facts.accepted.config.stable.pattern);
            let tags = names.refs().iter().enumerate();
            let ranked = tags.map(|(at, tag)| (version_of(&tag.short, pattern), tag, at));
            // Only where the names do not decide the tags are opened.
            let last = |at: &usize| {
                let tag = names.tag(&self.site.git, *at)?;
                served_by_tag(self.facts, tag).map(|served| served.last)
            };
            target::by_rank(ranked.collect(), |tag| &tag.short, last)
        })
    }

    fn rank(&self, tag: &Tag) -> Rank {
        let pattern = &self.facts.accepted.config.stable.pattern;
        Rank {
            version: version_of(tag.target.short(), pattern),
            last: served_by_tag(self.facts, tag).map(|served| served.last),
        }
    }
}

/// How many are looked at together at first.
const FIRST: usize = 4;

/// The candidates up to the first that cannot be judged, and why it cannot.
fn until_failed<'e>(
    candidates: impl Iterator<Item = Result<Candidate, PlanError>> + 'e,
    failed: &'e mut Result<(), PlanError>,
) -> impl Iterator<Item = Candidate> + 'e {
    candidates.map_while(move |candidate| candidate.map_err(|error| *failed = Err(error)).ok())
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
    let tag = if of_remote { None } else { site.git.tag(short)? };
    let mut candidate = match &tag {
        Some(tag) => of_tag(site, facts, tag)?,
        None => of_commit(site, facts, &facts.resolve(site, name)?)?,
    };
    // Who names a tag overrides a doubt, not who signed it.
    if let (Some(tag), Standing::Skipped(doubt), Some(commit)) =
        (&tag, &candidate.standing, &candidate.commit)
        && doubt.is_doubt()
        && let Some(reason) = unsigned(site, facts, commit, tag)
    {
        candidate.standing = Standing::Skipped(reason);
    }
    need(site, facts, &mut candidate)?;
    Ok(candidate)
}

/// The candidate that a record put in place.
///
/// # Errors
/// When git cannot be read.
pub fn of_seq(site: &Site, facts: &Facts, seq: Seq) -> Result<Option<Candidate>, PlanError> {
    let found = facts.own_record(site, seq);
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
    let served = served_by_tag(facts, tag);
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

/// How what a tag names served here, and before gitroll, where it was adopted.
fn served_by_tag(facts: &Facts, tag: &Tag) -> Option<ServedHere> {
    let served = tag.kind.commit().and_then(|commit| served_here(facts, commit));
    adopted(facts, tag).map(|pin| with_time_before(served, pin)).or(served)
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
    let put_here = facts.history.times(commit).next().is_some();
    if !put_here && facts.contains(site, commit, &facts.serving.commit)? {
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
                    | Reason::FailedWhenTried { .. }
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
fn served_commits<'f>(site: &Site, facts: &'f Facts) -> Vec<&'f Oid> {
    let history = &facts.history;
    let mut left: Vec<_> = history.moved_from().iter().collect();
    left.sort_by_key(|(_, seq)| std::cmp::Reverse(**seq));
    let unserved = left.into_iter().map(|(commit, _)| commit);
    let unserved = unserved.filter(|c| history.times(c).next().is_none() && site.git.has(c));
    history.served_commits().chain(unserved).collect()
}

fn served_here(facts: &Facts, commit: &Oid) -> Option<ServedHere> {
    let last = facts.history.times(commit).next_back()?;
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
