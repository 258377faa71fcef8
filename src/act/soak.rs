//! Watching what serves after it was proven: `deploy --soak`, and between the steps of `flags ramp`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::back::{BackRequest, back};
use super::caller::{Caller, Notice};
use super::failure::{Failure, SAME_COMMAND};
use super::notify;
use super::outcome::{ChangeAnswer, ChangeOutcome, Ending, Status, WatchedAnswer};
use super::publication;
use super::session::Session;
use crate::check::LogsSince;
use crate::engine::Lock;
use crate::model::{Event, Oid, Outcome, Seq, Served};
use crate::plan::facts::Facts;
use crate::service::{ServiceError, ServiceState};
use crate::site::{Maintenance, Observed, Site, expectation, maintenance};
use crate::system::signals;
use crate::system::text::span;

/// How long at most from one look to the next; what is watched for a short time is looked at ten times in it.
const LOOK: Duration = Duration::from_secs(10);

/// After how long a bad answer is asked about once more, and it is looked whether another command has ended.
const AGAIN: Duration = Duration::from_secs(1);

/// How long another command at work is waited for, where `--wait` says nothing: what fails meanwhile may be its
/// doing, or cured by it.
const PATIENCE: Duration = Duration::from_secs(600);

/// What came of watching.
pub enum Watched {
    /// It held for all that time.
    Held,
    /// A person stopped the watching.
    Stopped,
    /// Someone put something else in place meanwhile.
    Changed,
    /// Someone stopped services for maintenance: nothing automatic acts.
    Silenced(Maintenance),
    /// What did not hold.
    Failed(String),
}

/// What one look came to.
pub(super) enum SeenOnce {
    /// Another command is at work, or it was asked to stop: it says nothing.
    Busy,
    /// Someone put something else in place.
    Changed,
    /// What is wrong; nothing where it is well.
    Faults(Vec<String>),
}

/// What ends the watching when someone changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heeds {
    /// The commit that serves. A flag that is switched is looked on at.
    Commit,
    /// Flags, too.
    Flags,
}

/// What serves, watched from one moment on. Nobody is kept from anything meanwhile.
pub struct Watch<'a> {
    caller: &'a Caller,
    heeds: Heeds,
    /// As it was found the last time that it could be.
    site: Site,
    facts: Facts,
    began: Serving,
    logs: LogsSince,
    restarts: BTreeMap<String, u64>,
    /// How many records there were when `restarts` was taken.
    acts: usize,
    warned: bool,
}

/// What serves by the chain's word, and by HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Serving {
    commit: Option<Oid>,
    head: Oid,
    record: Option<Seq>,
}

impl<'a> Watch<'a> {
    /// Begins: what logs say and what managers count is judged from this moment on.
    ///
    /// # Errors
    /// When the repository cannot be looked at.
    pub fn begin(
        caller: &'a Caller,
        heeds: Heeds,
        when_stopped: &'static str,
    ) -> Result<Self, Failure> {
        let session = Session::look(caller)?;
        let facts = session.facts()?;
        session.heed_signals();
        caller.between_runs(Some(when_stopped));
        let config = &facts.accepted.config;
        let deployment = facts.deployment(&session.site);
        let about = expectation(&session.site, config, &facts.serving, &deployment, None);
        let mut watch = Self {
            caller,
            heeds,
            began: serving(&facts),
            logs: LogsSince::now(&config.checks, &about),
            restarts: BTreeMap::new(),
            acts: facts.own(&session.site).len(),
            warned: false,
            site: session.site,
            facts,
        };
        watch.restarts = watch.counted();
        Ok(watch)
    }

    /// Looks at services, checks and logs again and again until `end`, and then once more. A bad answer is asked
    /// about again before it counts. What is seen while another command is at work is that command's business.
    pub fn until(&mut self, end: Instant) -> Watched {
        let tenth = end.saturating_duration_since(Instant::now()) / 10;
        let pace = tenth.clamp(AGAIN, LOOK);
        if !self.others_ended() {
            return Watched::Stopped;
        }
        loop {
            let mut faults = self.look();
            if !faults.is_empty() {
                if !wait(AGAIN) || !self.others_ended() {
                    return Watched::Stopped;
                }
                faults = self.look();
            }
            if self.changed() {
                return Watched::Changed;
            }
            if let Some(maintenance) = maintenance(&self.site) {
                return Watched::Silenced(maintenance);
            }
            if !faults.is_empty() {
                return Watched::Failed(faults.join(", "));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Watched::Held;
            }
            if !wait(pace.min(left)) || !self.others_ended() {
                return Watched::Stopped;
            }
        }
    }

    /// Looks once. A bad answer is asked about again before it counts, and what is seen while another command is at work
    /// is that command's business.
    pub(super) fn once(&mut self) -> SeenOnce {
        if Lock::is_held(&self.site.state()) {
            return SeenOnce::Busy;
        }
        let mut faults = self.look();
        if !faults.is_empty() && wait(AGAIN) && !Lock::is_held(&self.site.state()) {
            faults = self.look();
        }
        if Lock::is_held(&self.site.state()) || signals::stop_asked().is_some() {
            return SeenOnce::Busy;
        }
        match self.changed() {
            true => SeenOnce::Changed,
            false => SeenOnce::Faults(faults),
        }
    }

    /// What is wrong now. Where the repository cannot be read any more, what was known is watched on.
    fn look(&mut self) -> Vec<String> {
        let found = Session::look(self.caller)
            .and_then(|session| Ok((Facts::gather(&session.site)?, session.site)));
        match found {
            Ok((facts, site)) => (self.facts, self.site) = (facts, site),
            Err(failure) if !self.warned => {
                self.warned = true;
                let why = failure.message;
                let text = format!("warning: {why}; still watching with the places found before");
                self.caller.tell(Notice::Detail(text));
            }
            Err(_) => {}
        }
        let acts = self.facts.own(&self.site).len();
        if acts != self.acts {
            // Another command reloaded services, or may have: that is not a crash.
            self.acts = acts;
            self.restarts.clear();
        }
        let config = &self.facts.accepted.config;
        let deployment = self.facts.deployment(&self.site);
        let seen = Observed::now(&self.site, config, &self.facts.serving, &deployment);
        let mut faults = seen.faults();
        faults.extend(self.restarted(&seen));
        faults.extend(self.logs.faults());
        faults
    }

    /// Services that came down and were restarted by their manager since it is watched: it may look healthy
    /// at every look.
    fn restarted(&mut self, seen: &Observed) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, count) in counts(&seen.services) {
            let before = self.restarts.entry(name.clone()).or_insert(count);
            // A manager that was restarted counts from nothing.
            *before = count.min(*before);
            match count - *before {
                0 => {}
                1 => faults.push(format!("{name} was restarted once during the soak")),
                more => faults.push(format!("{name} was restarted {more} times during the soak")),
            }
        }
        faults
    }

    fn counted(&self) -> BTreeMap<String, u64> {
        let config = &self.facts.accepted.config;
        let deployment = self.facts.deployment(&self.site);
        let seen =
            crate::site::observe_services(&self.site, config, &self.facts.serving, &deployment);
        counts(&seen).collect()
    }

    fn changed(&self) -> bool {
        let (began, now) = (&self.began, serving(&self.facts));
        let flags = self.heeds == Heeds::Flags && began.record != now.record;
        flags || began.commit != now.commit || began.head != now.head
    }

    /// Waits until no other command is at work, at most for [`PATIENCE`]; whether nobody asked to stop.
    fn others_ended(&mut self) -> bool {
        let end = Instant::now() + patience(self.caller);
        let mut told = false;
        while Lock::is_held(&self.site.state()) && Instant::now() < end {
            if !std::mem::replace(&mut told, true) {
                let who = Lock::holder(&self.site.state()).map_or_else(
                    || "another command".to_owned(),
                    |holder| format!("gitroll {} by {}", holder.command, holder.who()),
                );
                self.caller.tell(Notice::Detail(format!("waiting for {who}")));
            }
            if !wait(AGAIN) {
                return false;
            }
        }
        signals::stop_asked().is_none()
    }
}

fn serving(facts: &Facts) -> Serving {
    let standing = facts.standing.as_ref();
    Serving {
        commit: standing.map(|standing| standing.commit.clone()),
        head: facts.head.commit.clone(),
        record: standing.map(|standing| standing.seq),
    }
}

fn counts(
    services: &[(String, Result<ServiceState, ServiceError>)],
) -> impl Iterator<Item = (String, u64)> {
    let known = services.iter().filter_map(|(name, state)| Some((name, state.as_ref().ok()?)));
    known.map(|(name, state)| (name.clone(), state.restarts))
}

/// How long another command at work is waited for.
pub fn patience(caller: &Caller) -> Duration {
    caller.wait.unwrap_or(PATIENCE)
}

/// Waits; whether nobody asked to stop.
pub fn wait(time: Duration) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if signals::stop_asked().is_some() {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        std::thread::sleep(Duration::from_millis(200).min(left));
    }
    signals::stop_asked().is_none()
}

struct Soak<'a> {
    caller: &'a Caller,
    /// What served before, where that is something else.
    before: Option<&'a Served>,
    deployed: &'a Served,
    time: Duration,
    /// How the deploy itself ended.
    outcome: ChangeOutcome,
}

/// Watches `deployed`, which was just proven, and goes back to `before` by itself where it does not hold. Where
/// nothing else served before, a person is needed then.
///
/// # Errors
/// When it does not hold, and going back ends without `before` observed serving.
pub fn after_deploy(
    caller: &Caller,
    before: &Served,
    deployed: &Served,
    time: Duration,
    outcome: ChangeOutcome,
) -> Result<ChangeOutcome, Failure> {
    let before = Some(before).filter(|before| before.commit != deployed.commit);
    let then = match before {
        Some(before) => format!("if a check fails, {before} is restored"),
        None => "there is no earlier version to restore".to_owned(),
    };
    let soak = Soak { caller, before, deployed, time, outcome };
    // Whoever reads the records elsewhere does not wait for the end of the watch.
    publication::finish(caller);
    notify::finish();
    let begun = Watch::begin(
        caller,
        Heeds::Commit,
        "no longer watching; the proven version stays deployed",
    );
    let mut watch = begun.map_err(|why| {
        soak.needed(format!("{deployed} was proven, but cannot be watched: {}", why.message))
    })?;
    // Only now is it true.
    caller.tell(Notice::Detail(format!("watching for {}; {then}", span(time))));
    let end = Instant::now() + time;
    let mut busy = None;
    loop {
        match watch.until(end) {
            Watched::Held => {
                caller.tell(Notice::Held(time));
                return Ok(soak.ended(Status::Done, "held", None, None));
            }
            Watched::Stopped => return soak.stopped(&mut watch),
            Watched::Changed => return soak.replaced(&mut watch),
            Watched::Silenced(maintenance) => return Err(soak.silenced(&maintenance)),
            Watched::Failed(why) => {
                caller.tell(Notice::Alarm(why.clone()));
                let since = *busy.get_or_insert_with(Instant::now);
                match soak.go_back(&watch, &why) {
                    // Whoever is working on it may be curing it.
                    Err(failure)
                        if failure.status == Status::Busy && since.elapsed() < patience(caller) =>
                    {
                        if Lock::is_held(&watch.site.state()) || wait(AGAIN) {
                            continue;
                        }
                        return soak.stopped(&mut watch);
                    }
                    Err(failure) => return Err(soak.not_back(failure, &why)),
                    Ok(outcome) => return Ok(outcome),
                }
            }
        }
    }
}

impl Soak<'_> {
    /// A person stopped the watching: says its state at this moment.
    fn stopped(&self, watch: &mut Watch<'_>) -> Result<ChangeOutcome, Failure> {
        let faults = watch.look();
        if watch.changed() {
            return self.replaced(watch);
        }
        let deployed = self.deployed;
        if !faults.is_empty() {
            let what = format!("no longer watching: {deployed} was proven, but fails now");
            return Err(self.needed(what).detail(faults.join(", ")));
        }
        let line = format!("no longer watching: {deployed} was proven and serves");
        self.caller.tell(Notice::Detail(line));
        Ok(self.ended(Status::Done, "stopped", None, None))
    }

    /// A person stopped it: nothing is judged, and nothing goes back by itself.
    fn silenced(&self, maintenance: &Maintenance) -> Failure {
        let (deployed, by) = (self.deployed, &maintenance.by);
        let what = format!("no longer watching: {deployed} was proven, and {by} stopped it");
        Failure::new(Status::PersonNeeded, what)
            .detail("maintenance: nothing automatic acts")
            .next("gitroll service start", "starts it and ends the maintenance")
    }

    /// Another commit is in place. A newer deploy that contains what was asked for is the next chapter; anything
    /// else means that what was asked for does not serve.
    fn replaced(&self, watch: &mut Watch<'_>) -> Result<ChangeOutcome, Failure> {
        let faults = watch.look();
        let (facts, deployed) = (&watch.facts, self.deployed);
        let now = &facts.serving;
        let last = facts
            .own(&watch.site)
            .iter()
            .rev()
            .map(|entry| &entry.record)
            .find(|record| record.event.serves() && record.outcome == Outcome::Succeeded);
        let by = match last {
            Some(record) if !facts.by_hand() => format!("by gitroll {}", record.event),
            _ => "by hand".to_owned(),
        };
        let what = format!("{now} was deployed meanwhile {by}");
        if !faults.is_empty() {
            let failure = self.needed(format!("{what}, and is not healthy"));
            return Err(failure.detail(faults.join(", ")));
        }
        let deploys = last.is_some_and(|record| record.event == Event::Deploy) || facts.by_hand();
        let git = &watch.site.git;
        let contains = git.contains(&now.commit, &deployed.commit).is_ok_and(|contains| contains);
        if deploys && contains {
            let line = format!("{deployed} was proven; {what}: no longer watching");
            self.caller.tell(Notice::Detail(line));
            return Ok(self.ended(Status::Done, "superseded", Some(what), None));
        }
        self.caller.tell(Notice::Verdict(
            Status::Restored,
            format!("{what}: {deployed} no longer serves."),
        ));
        Ok(self.ended(Status::Restored, "replaced", Some(what), None))
    }

    fn go_back(&self, watch: &Watch<'_>, why: &str) -> Result<ChangeOutcome, Failure> {
        let Some(before) = self.before else {
            let what = format!("{} was proven, but failed during the soak", self.deployed);
            let failure = self.needed(what).detail(why.to_owned());
            notify::needed(&watch.site, &watch.facts, &failure);
            return Err(failure);
        };
        let reason = format!("it failed during the soak: {why}");
        let reason = crate::ledger::check_reason(&reason).is_ok().then_some(reason);
        self.caller.between_runs(None);
        let to = Some(before.commit.to_string());
        let request = BackRequest { to, reason, yes: true, ..BackRequest::default() };
        let outcome = signals::to_its_end(|| back(self.caller, &request))?;
        let serves = |served: &Served| {
            let facts = Facts::gather(&watch.site);
            facts.is_ok_and(|facts| facts.serving.commit == served.commit)
        };
        let why = Some(why.to_owned());
        match outcome.status {
            Status::Done | Status::Unrecorded => {
                let what = format!("Failed during the soak. {before} restored.");
                self.caller.tell(Notice::Verdict(Status::Restored, what));
                Ok(self.ended(Status::Restored, "failed", why, Some(outcome.answer)))
            }
            // Healthy at that moment, it was what the way back was taken back to.
            Status::Restored if serves(self.deployed) => Err(self.needed(format!(
                "{} is deployed again: it failed during the soak, and {before} could not be restored",
                self.deployed
            ))),
            status => Ok(self.ended(status, "failed", why, Some(outcome.answer))),
        }
    }

    /// It did not hold, and could not be taken back.
    fn not_back(&self, failure: Failure, why: &str) -> Failure {
        if matches!(failure.status, Status::PersonNeeded | Status::RunOpen) {
            return failure.detail(format!("it failed during the soak: {why}"));
        }
        // True of the way back only: what fails is in place.
        let failure = failure.of_a_part();
        let what = match self.before {
            Some(before) => {
                format!("{} failed during the soak, and {before} is not restored", self.deployed)
            }
            None => format!("{} did not hold", self.deployed),
        };
        let mut told = self.needed(what).detail(why.to_owned()).detail(failure.message);
        told.details.extend(failure.details);
        let others = failure.next.into_iter().filter(|(next, _)| next != SAME_COMMAND);
        told.next.splice(0..0, others);
        told
    }

    fn needed(&self, what: String) -> Failure {
        Failure::new(Status::PersonNeeded, what)
            .next("gitroll status", "shows what serves")
            .next("gitroll back", "rolls back to the last good version")
    }

    /// The one answer of the deploy and of what came `after` it.
    fn ended(
        &self,
        status: Status,
        outcome: &str,
        why: Option<String>,
        after: Option<ChangeAnswer>,
    ) -> ChangeOutcome {
        let mut answer = self.outcome.answer.clone();
        let word = match status {
            Status::Done => None,
            Status::Restored => Some("restored"),
            Status::RunOpen => Some("left-open"),
            _ => Some("person-needed"),
        };
        if let Some(word) = word {
            answer.outcome = word.to_owned();
            answer.why.clone_from(&why);
        }
        if let Some(after) = after {
            answer.record = after.record;
            answer.unsigned = after.unsigned;
            answer.published = after.published;
            answer.open_run = after.open_run;
        }
        let seconds = self.time.as_secs();
        answer.watched = Some(WatchedAnswer { outcome: outcome.to_owned(), seconds, why });
        let command = self.outcome.command.clone();
        self.caller.ended(ChangeOutcome { command, status, ending: Ending::Watched, answer })
    }
}
