//! The fold: what a ledger's records come to. Pure, and the same for every order in which chains are
//! read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::{Chain, Entry, Ledger};
use super::packed::{Packed, Packing};
use crate::model::{
    AdoptedTag, BootClock, CORRECTION, Digest, Event, Hold, Judgement, Moment, Oid, Outcome, Seq,
    TargetRef, Verdict, WriterId,
};

/// What the trusted chains of an environment say, folded once.
///
/// What serves and what served comes from the own chain alone. Verdicts, holds and promotions are the
/// union over all chains; each is until a succeeded record of any chain names its digest in
/// `lifts`, so the order between chains never matters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    serving: Option<ServingState>,
    deployments: Vec<ServedSpan>,
    moved_from: BTreeMap<Oid, Seq>,
    states: HashMap<Oid, OfCommit>,
    adopted: BTreeSet<Oid>,
    pinned: BTreeMap<String, Pinned>,
    judged: BTreeMap<Oid, Vec<JudgedBy>>,
    held: Vec<Held>,
    promoted: BTreeMap<Oid, Vec<TargetRef>>,
    promotions: Vec<Promotion>,
    reasons: BTreeMap<Digest, Vec<AddedReason>>,
}

/// What serves here by the own chain's word. To be checked against what is observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServingState {
    pub commit: Oid,
    /// The record that says so.
    pub seq: Seq,
    /// That record's digest.
    pub digest: Digest,
    /// What it recorded.
    pub event: Event,
    /// How that ended.
    pub outcome: Outcome,
    /// When it was recorded.
    pub since: Timestamp,
}

/// One time that a commit served here.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedSpan {
    /// The commit that served.
    pub commit: Oid,
    /// The record that began it.
    pub seq: Seq,
    /// That record's digest.
    pub digest: Digest,
    /// What it recorded.
    pub event: Event,
    /// How that ended.
    pub outcome: Outcome,
    /// What served before, as that record says.
    pub from: Option<Oid>,
    /// When it was recorded.
    pub since: Timestamp,
    /// When the next record about what serves ended it; `None` while it serves.
    pub until: Option<Timestamp>,
    /// It was observed serving by a run.
    pub proven: bool,
    /// A person accepted it: it served before gitroll came.
    pub adopted: bool,
    /// It came by hand, and processes ran it until HEAD was moved again.
    pub ran: bool,
    began: Moment,
    ended: Option<Moment>,
    /// The clock that can be set was wrong at its beginning, or at its end, as far as anyone can tell.
    doubtful: bool,
}

impl ServedSpan {
    /// How long it served, up to `now` where it still does; `None` if the clocks do not agree on it.
    pub fn duration(&self, now: &Moment) -> Option<Duration> {
        let ended = self.ended.as_ref().unwrap_or(now);
        let known = !self.doubtful || self.began.same_boot(ended);
        self.began.until(ended).filter(|_| known)
    }
}

/// Where a commit is found in the own chain, so that nobody has to search it.
#[derive(Debug, Clone, Default, PartialEq)]
struct OfCommit {
    /// Its times among the deployments, oldest first.
    spans: Vec<usize>,
    proven: bool,
    /// The place of the last record that put it in place, or found it there.
    recorded: Option<usize>,
    /// The place of the last record by whose word it serves, and of the one that tells how it was when it was left.
    last: Option<(usize, Option<usize>)>,
    /// The place of the last try to put it in place that failed, since it was last observed serving.
    tried: Option<usize>,
}

/// How long a state served in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeServed {
    /// What clocks agree on.
    pub known: Duration,
    /// It served at least once more, and for an unknown time.
    pub and_unknown: bool,
}

/// A tag from before gitroll that was adopted here, and by which record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pinned {
    /// What its name is pinned to.
    pub tag: AdoptedTag,
    /// The own record that says so; of several the last.
    pub seq: Seq,
}

/// A stable tag that a record gave a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promotion {
    /// What was promoted.
    pub commit: Oid,
    /// The tag, and the object it was then.
    pub tag: TargetRef,
    /// The record; a record that lifts this digest withdraws it.
    pub digest: Digest,
    pub seq: Seq,
    /// The record that withdrew it.
    pub withdrawn: Option<Seq>,
}

/// A verdict that stands, and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgedBy {
    pub verdict: Verdict,
    /// The record that gave it; a record that lifts this digest ends it.
    pub digest: Digest,
    pub writer: WriterId,
    pub seq: Seq,
    /// The person; escape before printing.
    pub by: String,
    pub at: Timestamp,
    pub reason: Option<String>,
}

/// A hold that stands, and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The commit that the record judges. For a hold on a commit: that which is held. For a component's
    /// content: where that content was found bad.
    pub subject: Oid,
    /// What is held.
    pub hold: Hold,
    /// The record that holds it; a record that lifts this digest ends it.
    pub digest: Digest,
    pub writer: WriterId,
    pub seq: Seq,
    /// The person; escape before printing.
    pub by: String,
    pub at: Timestamp,
    pub reason: Option<String>,
}

/// A reason that was added to a record afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddedReason {
    pub text: String,
    /// Who added it.
    pub writer: WriterId,
    /// In which record of its chain.
    pub seq: Seq,
    /// The person; escape before printing.
    pub by: String,
    pub at: Timestamp,
}

impl History {
    /// Folds a ledger. `own` is the writer of this checkout; without one nothing is known to serve here.
    pub fn of(ledger: &Ledger, own: Option<&WriterId>) -> Self {
        let mut history = History::default();
        if let Some(chain) = own.and_then(|own| ledger.chains.get(own)) {
            history.fold_own(chain);
        }
        let may = |entry: &&Entry| !ledger.without_role.contains_key(&entry.digest);
        let entries = || ledger.chains.values().flat_map(|chain| &chain.entries).filter(may);
        // An act that did not succeed settles nothing: the deploy that was to be the fix failed.
        let lifted: BTreeMap<Digest, Seq> = entries()
            .filter(|entry| entry.record.outcome == Outcome::Succeeded)
            .flat_map(|entry| entry.record.lifts.iter().map(|lifted| (*lifted, entry.record.seq)))
            .collect();
        for entry in entries() {
            history.fold_annotation(entry);
            history.fold_promotion(entry, lifted.get(&entry.digest).copied());
            if !lifted.contains_key(&entry.digest) {
                history.fold_standing(entry);
            }
        }
        history.judged.values_mut().for_each(|judged| judged.sort_by_key(weight));
        history.held.sort_by_key(|held| (held.at, held.writer.clone(), held.seq));
        history.reasons.values_mut().for_each(|added| {
            added.sort_by_key(|reason| (reason.at, reason.writer.clone(), reason.seq));
        });
        history
    }

    /// What serves here by the own chain's word: the last record about what serves that succeeded or
    /// restored, or found something serving.
    pub fn serving(&self) -> Option<&ServingState> {
        self.serving.as_ref()
    }

    /// Every time a commit served here, oldest first.
    pub fn deployments(&self) -> &[ServedSpan] {
        &self.deployments
    }

    /// The times a commit served here, oldest first.
    pub fn times(&self, commit: &Oid) -> impl DoubleEndedIterator<Item = &ServedSpan> {
        let spans = self.states.get(commit).map_or(&[][..], |state| &state.spans);
        spans.iter().filter_map(|at| self.deployments.get(*at))
    }

    /// The commits that served here, the last to be put in place first, each once.
    pub fn served_commits(&self) -> impl Iterator<Item = &Oid> {
        let last = |at: usize, span: &ServedSpan| {
            self.states.get(&span.commit).is_some_and(|state| state.spans.last() == Some(&at))
        };
        let spans = self.deployments.iter().enumerate().rev();
        spans.filter(move |(at, span)| last(*at, span)).map(|(_, span)| &span.commit)
    }

    /// The place in the own chain of the last record that put a commit in place, or found it there.
    pub fn last_record(&self, commit: &Oid) -> Option<usize> {
        self.states.get(commit)?.recorded
    }

    /// The place in the own chain of the record that tells how a commit was when it was left: after the last one by
    /// whose word it serves the last one that speaks of it, else the next one about what serves.
    pub fn left_by(&self, commit: &Oid) -> Option<usize> {
        self.states.get(commit)?.last?.1
    }

    /// The place in the own chain of the last try to put a commit in place that failed, where it was not observed
    /// serving since.
    pub fn tried_in_vain(&self, commit: &Oid) -> Option<usize> {
        self.states.get(commit)?.tried
    }

    /// Whether a commit was observed serving here by a run.
    pub fn proven_here(&self, commit: &Oid) -> bool {
        self.states.get(commit).is_some_and(|state| state.proven)
    }

    /// Whether a commit served here: a run observed it, or a person said so before gitroll came.
    pub fn served_here(&self, commit: &Oid) -> bool {
        self.proven_here(commit) || self.adopted(commit)
    }

    /// Whether a person accepted a commit as having served here before gitroll came.
    pub fn adopted(&self, commit: &Oid) -> bool {
        self.adopted.contains(commit)
    }

    /// What a tag (its full name) was pinned to when it was adopted here.
    pub fn pinned(&self, name: &str) -> Option<&Pinned> {
        self.pinned.get(name)
    }

    /// Whether processes ran a commit that came by hand, as they were seen when HEAD was moved again.
    pub fn ran_here(&self, commit: &Oid) -> bool {
        self.times(commit).any(|span| span.ran)
    }

    /// The commits that someone moved HEAD away from by hand, each with the last record that says so.
    pub fn moved_from(&self) -> &BTreeMap<Oid, Seq> {
        &self.moved_from
    }

    /// The full names of the tags that were adopted here.
    pub fn pins(&self) -> impl Iterator<Item = &str> {
        self.pinned.keys().map(String::as_str)
    }

    /// How long a commit served here in all, up to `now`.
    pub fn served_total(&self, commit: &Oid, now: &Moment) -> TimeServed {
        self.times(commit).fold(TimeServed::default(), |total, span| match span.duration(now) {
            Some(time) => TimeServed { known: total.known.saturating_add(time), ..total },
            None => TimeServed { and_unknown: true, ..total },
        })
    }

    /// The stable tags that promotions gave a commit, and that were not withdrawn.
    pub fn promoted(&self, commit: &Oid) -> &[TargetRef] {
        self.promoted.get(commit).map_or(&[], Vec::as_slice)
    }

    /// Every promotion that stands.
    pub fn promotions(&self) -> impl Iterator<Item = &Promotion> {
        self.promotions.iter().filter(|promotion| promotion.withdrawn.is_none())
    }

    /// The record that withdrew the last promotion of a tag, where none stands.
    pub fn demoted(&self, tag: &TargetRef) -> Option<Seq> {
        let of_tag = || self.promotions.iter().filter(|promotion| promotion.tag == *tag);
        match of_tag().any(|promotion| promotion.withdrawn.is_none()) {
            true => None,
            false => of_tag().filter_map(|promotion| promotion.withdrawn).max(),
        }
    }

    /// The verdict that is on a commit: bad wins over good, a person's over a provisional one, a
    /// later over an earlier one.
    pub fn verdict(&self, commit: &Oid) -> Option<&JudgedBy> {
        self.verdicts(commit).last()
    }

    /// Every verdict that is on a commit, the one that counts last.
    pub fn verdicts(&self, commit: &Oid) -> &[JudgedBy] {
        self.judged.get(commit).map_or(&[], Vec::as_slice)
    }

    /// Every hold that stands, oldest first.
    pub fn holds(&self) -> &[Held] {
        &self.held
    }

    /// The reasons that were added to a record afterwards, oldest first.
    pub fn added_reasons(&self, record: &Digest) -> &[AddedReason] {
        self.reasons.get(record).map_or(&[], Vec::as_slice)
    }

    /// What this host observed counts here whatever its key may do: a role that was taken away does not bar the way back.
    fn fold_own(&mut self, chain: &Chain) {
        let mut last: Option<Oid> = None;
        for (at, (entry, doubtful)) in
            chain.entries.iter().zip(doubtful(&chain.entries)).enumerate()
        {
            let record = &entry.record;
            if record.event == Event::Adopt && record.outcome == Outcome::Succeeded {
                // An adoption of what serves names it in To, one of an older state in Subject.
                self.adopted.extend(record.to.iter().chain(&record.subject).cloned());
                self.pinned.extend(record.adopts.iter().map(|tag| {
                    (tag.target.name.clone(), Pinned { tag: tag.clone(), seq: record.seq })
                }));
            }
            if record.event == Event::Moved {
                self.fold_moved(entry, doubtful);
            }
            if !record.event.serves() {
                continue;
            }
            // Of an act with several candidates the last one is recorded first: that record is not about what was left.
            if let Some(commit) = &last
                && let Some(state) = self.states.get_mut(commit)
                && let Some((_, leaving)) = &mut state.last
                && (leaving.is_none() || speaks_of(entry, commit))
            {
                *leaving = Some(at);
            }
            if let Some(commit) = tried(entry) {
                self.states.entry(commit.clone()).or_default().tried = Some(at);
            }
            if let Some(commit) = stated(entry) {
                let state = self.states.entry(commit.clone()).or_default();
                state.last = Some((at, None));
                state.tried = None;
                last = Some(commit.clone());
            }
            if let Some(commit) = found(entry) {
                self.states.entry(commit.clone()).or_default().recorded = Some(at);
            }
            match served(entry) {
                Some(commit) => self.begin(entry, commit.clone(), doubtful),
                // Nothing healthy was left serving, so the time of what served before ends here.
                None if record.outcome == Outcome::Failed => self.end(entry, doubtful),
                None => {}
            }
        }
    }

    /// What serves by the records is what it was. Where processes ran something else by then, that has its time.
    fn fold_moved(&mut self, entry: &Entry, doubtful: bool) {
        let record = &entry.record;
        let Some(from) = &record.from else { return };
        self.moved_from.insert(from.clone(), record.seq);
        let last = self.deployments.last();
        let (Some(began), false) =
            (ran_since(entry), last.is_some_and(|s| s.ended.is_none() && s.commit == *from))
        else {
            return;
        };
        if let Some(span) = self.deployments.last_mut()
            && span.ended.is_none()
        {
            span.until = Some(began.time);
            span.ended = Some(began.clone());
            span.doubtful |= doubtful;
        }
        let state = self.states.entry(from.clone()).or_default();
        state.spans.push(self.deployments.len());
        self.deployments.push(ServedSpan {
            commit: from.clone(),
            seq: record.seq,
            digest: entry.digest,
            event: record.event.clone(),
            outcome: record.outcome,
            from: None,
            since: began.time,
            until: Some(entry.tagger.time),
            proven: false,
            adopted: false,
            ran: true,
            began,
            ended: Some(moment(entry)),
            doubtful,
        });
    }

    fn begin(&mut self, entry: &Entry, commit: Oid, doubtful: bool) {
        self.end(entry, doubtful);
        let record = &entry.record;
        self.serving = Some(ServingState {
            commit: commit.clone(),
            seq: record.seq,
            digest: entry.digest,
            event: record.event.clone(),
            outcome: record.outcome,
            since: entry.tagger.time,
        });
        let proven = proven(entry).is_some();
        let state = self.states.entry(commit.clone()).or_default();
        state.spans.push(self.deployments.len());
        state.proven |= proven;
        self.deployments.push(ServedSpan {
            proven,
            adopted: record.event == Event::Adopt && record.outcome == Outcome::Succeeded,
            ran: false,
            commit,
            seq: record.seq,
            digest: entry.digest,
            event: record.event.clone(),
            outcome: record.outcome,
            from: record.from.clone(),
            since: entry.tagger.time,
            until: None,
            began: moment(entry),
            ended: None,
            doubtful,
        });
    }

    fn end(&mut self, entry: &Entry, doubtful: bool) {
        if let Some(span) = self.deployments.last_mut()
            && span.ended.is_none()
        {
            span.until = Some(entry.tagger.time);
            span.ended = Some(moment(entry));
            span.doubtful |= doubtful;
        }
    }

    fn fold_standing(&mut self, entry: &Entry) {
        let record = &entry.record;
        let subject = record.subject.as_ref().or(record.from.as_ref()).unwrap_or(&entry.object);
        let by = || entry.tagger.name.clone();
        if let Some(verdict) = record.verdict {
            self.judged.entry(subject.clone()).or_default().push(JudgedBy {
                verdict,
                digest: entry.digest,
                writer: record.writer.clone(),
                seq: record.seq,
                by: by(),
                at: entry.tagger.time,
                reason: record.reason.clone(),
            });
        }
        if let Some(hold) = &record.hold {
            self.held.push(Held {
                subject: subject.clone(),
                hold: hold.clone(),
                digest: entry.digest,
                writer: record.writer.clone(),
                seq: record.seq,
                by: by(),
                at: entry.tagger.time,
                reason: record.reason.clone(),
            });
        }
    }

    fn fold_promotion(&mut self, entry: &Entry, withdrawn: Option<Seq>) {
        let record = &entry.record;
        let promotes = record.event == Event::Promote && record.outcome == Outcome::Succeeded;
        let Some(tag) = record.target.as_ref().filter(|_| promotes) else { return };
        let commit = record.subject.as_ref().unwrap_or(&entry.object).clone();
        if withdrawn.is_none() {
            let tags = self.promoted.entry(commit.clone()).or_default();
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        let (tag, digest, seq) = (tag.clone(), entry.digest, record.seq);
        self.promotions.push(Promotion { commit, tag, digest, seq, withdrawn });
    }

    fn fold_annotation(&mut self, entry: &Entry) {
        let record = &entry.record;
        if let (Some(annotated), Some(text)) = (record.annotates, &record.reason) {
            self.reasons.entry(annotated).or_default().push(AddedReason {
                text: text.clone(),
                writer: record.writer.clone(),
                seq: record.seq,
                by: entry.tagger.name.clone(),
                at: entry.tagger.time,
            });
        }
    }
}

/// When the first of the processes was started that ran what HEAD was moved away from.
fn ran_since(entry: &Entry) -> Option<Moment> {
    let (now, began) = (entry.record.clock.as_ref()?, entry.record.ran_since.as_ref()?);
    let ago = now.seconds.checked_sub(began.seconds).filter(|_| now.boot == began.boot)?;
    let time = entry.tagger.time.as_second().checked_sub_unsigned(ago)?;
    Some(Moment { time: Timestamp::from_second(time).ok()?, boot: Some(began.clone()) })
}

fn moment(entry: &Entry) -> Moment {
    Moment { time: entry.tagger.time, boot: entry.record.clock.clone() }
}

/// For each record of a chain whether the clock that can be set may have been wrong when it was made: an earlier
/// record is later by it, a later one earlier, or it was set while the machine ran, between this record and one
/// beside it. Which of the two is the wrong one nobody can tell.
fn doubtful(entries: &[Entry]) -> Vec<bool> {
    let limit = CORRECTION.as_secs();
    let moments: Vec<Moment> = entries.iter().map(moment).collect();
    let mut doubtful = vec![false; moments.len()];
    let mut latest: Option<Timestamp> = None;
    for (doubt, at) in doubtful.iter_mut().zip(&moments) {
        *doubt |= latest.is_some_and(|latest| ahead(latest, at.time) > limit);
        latest = latest.max(Some(at.time));
    }
    let mut earliest: Option<Timestamp> = None;
    for (doubt, at) in doubtful.iter_mut().zip(&moments).rev() {
        *doubt |= earliest.is_some_and(|earliest| ahead(at.time, earliest) > limit);
        earliest = Some(earliest.map_or(at.time, |earliest| earliest.min(at.time)));
    }
    for (number, pair) in moments.windows(2).enumerate() {
        if let [before, after] = pair
            && before.set_before(after)
        {
            doubtful[number] = true;
            doubtful[number + 1] = true;
        }
    }
    doubtful
}

/// By how many seconds the first is later than the other.
fn ahead(first: Timestamp, other: Timestamp) -> u64 {
    u64::try_from(first.as_second().saturating_sub(other.as_second())).unwrap_or(0)
}

/// The commit that serves by the word of a record about what serves.
fn served(entry: &Entry) -> Option<&Oid> {
    let record = &entry.record;
    match record.outcome {
        Outcome::Succeeded => record.to.as_ref(),
        Outcome::Restored => record.to.as_ref().or(record.from.as_ref()),
        // Found serving, although its checks fail.
        Outcome::Failed if record.event == Event::Predeploy => record.to.as_ref(),
        Outcome::Failed => None,
    }
}

/// The commit that serves by the word of a record that says that it serves well.
fn stated(entry: &Entry) -> Option<&Oid> {
    match entry.record.outcome {
        Outcome::Failed => None,
        Outcome::Succeeded | Outcome::Restored => served(entry),
    }
}

/// Whether a record about what serves tells how a commit was, as what was left or found.
fn speaks_of(entry: &Entry, commit: &Oid) -> bool {
    let record = &entry.record;
    let found = record.event == Event::Predeploy && record.subject.as_ref() == Some(commit);
    record.from.as_ref() == Some(commit) || found
}

/// The commit that a record says was put in place without success.
fn tried(entry: &Entry) -> Option<&Oid> {
    let record = &entry.record;
    let placed = matches!(record.event, Event::Deploy | Event::Back | Event::Component);
    let other = record.subject.as_ref().filter(|subject| record.from.as_ref() != Some(subject));
    other.filter(|_| placed && record.outcome != Outcome::Succeeded)
}

/// The commit that a record about what serves put in place, or found there.
fn found(entry: &Entry) -> Option<&Oid> {
    let record = &entry.record;
    let there = (record.event == Event::Predeploy).then_some(record.subject.as_ref()).flatten();
    record.to.as_ref().or(there)
}

/// The commit that a record states to have been observed serving, its checks passing.
fn proven(entry: &Entry) -> Option<&Oid> {
    // Init and Adopt state what serves too, but did not look whether it serves well.
    let by_a_run = matches!(
        entry.record.event,
        Event::Predeploy
            | Event::Deploy
            | Event::Back
            | Event::Component
            | Event::Flags
            | Event::Migrate
    );
    served(entry).filter(|_| by_a_run && entry.record.outcome != Outcome::Failed)
}

/// The order of verdicts on one commit: the last counts.
fn weight(judged: &JudgedBy) -> (bool, bool, Timestamp, WriterId, Seq) {
    let Verdict { judgement, provisional } = judged.verdict;
    (judgement == Judgement::Bad, !provisional, judged.at, judged.writer.clone(), judged.seq)
}

/// All of a history but its long lists.
#[derive(Serialize, Deserialize)]
struct Rest {
    serving: Option<ServingState>,
    moved_from: BTreeMap<Oid, Seq>,
    adopted: BTreeSet<Oid>,
    pinned: BTreeMap<String, Pinned>,
    judged: BTreeMap<Oid, Vec<JudgedBy>>,
    held: Vec<Held>,
    promoted: BTreeMap<Oid, Vec<TargetRef>>,
    promotions: Vec<Promotion>,
    reasons: BTreeMap<Digest, Vec<AddedReason>>,
}

impl History {
    /// Packs it; `None` where it holds what would not be read back the same.
    pub(super) fn pack(&self, into: &mut Packing) -> Option<()> {
        let rest = Rest {
            serving: self.serving.clone(),
            moved_from: self.moved_from.clone(),
            adopted: self.adopted.clone(),
            pinned: self.pinned.clone(),
            judged: self.judged.clone(),
            held: self.held.clone(),
            promoted: self.promoted.clone(),
            promotions: self.promotions.clone(),
            reasons: self.reasons.clone(),
        };
        into.bytes(&serde_json::to_vec(&rest).ok()?);
        into.number(self.deployments.len() as u64);
        self.deployments.iter().try_for_each(|span| span.pack(into))?;
        into.number(self.states.len() as u64);
        for (commit, state) in &self.states {
            into.oid(commit);
            into.byte(u8::from(state.proven));
            into.optional(state.recorded, |into, at| into.number(at as u64));
            into.optional(state.last, |into, (at, next)| {
                into.number(at as u64);
                into.optional(next, |into, next| into.number(next as u64));
            });
            into.optional(state.tried, |into, at| into.number(at as u64));
            into.number(state.spans.len() as u64);
            state.spans.iter().for_each(|at| into.number(*at as u64));
        }
        Some(())
    }

    /// Reads it back.
    pub(super) fn unpack(from: &mut Packed<'_>) -> Option<Self> {
        let rest: Rest = serde_json::from_slice(from.bytes()?).ok()?;
        let spans = from.count()?;
        let deployments = (0..spans).map(|_| ServedSpan::unpack(from)).collect::<Option<_>>()?;
        let count = from.count()?;
        let mut states = HashMap::with_capacity(count);
        for _ in 0..count {
            let commit = from.oid()?;
            let proven = from.byte()? == 1;
            let recorded = from.optional(Packed::place)?;
            let last =
                from.optional(|from| Some((from.place()?, from.optional(Packed::place)?)))?;
            let tried = from.optional(Packed::place)?;
            let spans = (0..from.count()?).map(|_| from.place()).collect::<Option<_>>()?;
            states.insert(commit, OfCommit { spans, proven, recorded, last, tried });
        }
        let Rest { serving, moved_from, adopted, pinned, .. } = rest;
        let Rest { judged, held, promoted, promotions, reasons, .. } = rest;
        Some(Self {
            serving,
            deployments,
            moved_from,
            states,
            adopted,
            pinned,
            judged,
            held,
            promoted,
            promotions,
            reasons,
        })
    }
}

impl ServedSpan {
    fn pack(&self, into: &mut Packing) -> Option<()> {
        into.oid(&self.commit);
        into.number(self.seq.0);
        into.digest(&self.digest);
        into.text(self.event.as_str());
        into.text(self.outcome.as_str());
        into.optional(self.from.as_ref(), Packing::oid);
        pack_time(self.since, into)?;
        match self.until {
            None => into.byte(0),
            Some(until) => {
                into.byte(1);
                pack_time(until, into)?;
            }
        }
        for flag in [self.proven, self.adopted, self.ran, self.doubtful] {
            into.byte(u8::from(flag));
        }
        pack_moment(&self.began, into)?;
        match &self.ended {
            None => into.byte(0),
            Some(ended) => {
                into.byte(1);
                pack_moment(ended, into)?;
            }
        }
        Some(())
    }

    fn unpack(from: &mut Packed<'_>) -> Option<Self> {
        Some(Self {
            commit: from.oid()?,
            seq: Seq(from.number()?),
            digest: from.digest()?,
            event: Event::from(from.text()?.to_owned()),
            outcome: from.text()?.parse().ok()?,
            from: from.optional(Packed::oid)?,
            since: time(from)?,
            until: from.optional(time)?,
            proven: from.byte()? == 1,
            adopted: from.byte()? == 1,
            ran: from.byte()? == 1,
            doubtful: from.byte()? == 1,
            began: unpack_moment(from)?,
            ended: from.optional(unpack_moment)?,
        })
    }
}

/// A time of records: they carry seconds.
fn pack_time(time: Timestamp, into: &mut Packing) -> Option<()> {
    into.seconds(time.as_second());
    (time.subsec_nanosecond() == 0).then_some(())
}

fn time(from: &mut Packed<'_>) -> Option<Timestamp> {
    Timestamp::from_second(from.seconds()?).ok()
}

fn pack_moment(moment: &Moment, into: &mut Packing) -> Option<()> {
    pack_time(moment.time, into)?;
    into.optional(moment.boot.as_ref(), |into, clock| {
        into.text(&clock.boot);
        into.number(clock.seconds);
    });
    Some(())
}

fn unpack_moment(from: &mut Packed<'_>) -> Option<Moment> {
    let time = time(from)?;
    let clock = |from: &mut Packed<'_>| {
        Some(BootClock { boot: from.text()?.to_owned(), seconds: from.number()? })
    };
    Some(Moment { time, boot: from.optional(clock)? })
}

#[cfg(test)]
mod tests;
