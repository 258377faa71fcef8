//! Watching what serves after it was proven: `deploy --soak`, and between the steps of `flags ramp`.

mod deployed;

pub use deployed::{WatchedAnswer, after_deploy};

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Globals;
use super::failure::Failure;
use super::session::Session;
use crate::check::LogsSince;
use crate::engine::Lock;
use crate::model::{Oid, Seq};
use crate::plan::facts::Facts;
use crate::site::{Observed, Site, expectation};
use crate::system::signals;
use crate::ui::{Ui, escape};

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
    /// Somebody put something else in place meanwhile.
    Changed,
    /// What did not hold.
    Failed(String),
}

/// What ends the watching when somebody changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heeds {
    /// The commit that serves. A flag that is switched is looked on at.
    Commit,
    /// Flags, too.
    Flags,
}

/// What serves, watched from one moment on. Nobody is kept from anything meanwhile.
pub struct Watch<'a> {
    globals: &'a Globals,
    ui: &'a Ui,
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
        globals: &'a Globals,
        ui: &'a Ui,
        heeds: Heeds,
        when_stopped: &'static str,
    ) -> Result<Self, Failure> {
        let session = Session::look(globals, ui)?;
        let facts = session.facts()?;
        session.heed_signals();
        session.caller.between_runs(Some(when_stopped));
        let config = &facts.accepted.config;
        let deployment = facts.deployment(&session.site);
        let about = expectation(&session.site, config, &facts.serving, &deployment, None);
        let mut watch = Self {
            globals,
            ui,
            heeds,
            began: serving(&facts),
            logs: LogsSince::now(&config.checks, &about),
            restarts: BTreeMap::new(),
            acts: facts.own(&session.site).len(),
            warned: false,
            site: session.into_site(),
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

    /// What is wrong now. Where the repository cannot be read any more, what was known is watched on.
    fn look(&mut self) -> Vec<String> {
        let found = Session::look(self.globals, self.ui)
            .and_then(|session| Ok((Facts::gather(&session.site)?, session.into_site())));
        match found {
            Ok((facts, site)) => (self.facts, self.site) = (facts, site),
            Err(failure) if !self.warned => {
                self.warned = true;
                let why = escape(&failure.message);
                self.ui.say(&format!("  warning: {why}; watched on as it was found before"));
            }
            Err(_) => {}
        }
        let acts = self.facts.own(&self.site).len();
        if acts != self.acts {
            // Another command reloaded services, or may have: that is no crash.
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

    /// Services that came down and were started anew by their manager since it is watched: it may look healthy
    /// at every look.
    fn restarted(&mut self, seen: &Observed) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, count) in counts(seen) {
            let before = self.restarts.entry(name.clone()).or_insert(count);
            // A manager that was started anew counts from nothing.
            *before = count.min(*before);
            match count - *before {
                0 => {}
                1 => faults.push(format!("{name} was restarted once while it was watched")),
                more => faults.push(format!("{name} was restarted {more} times while watched")),
            }
        }
        faults
    }

    fn counted(&self) -> BTreeMap<String, u64> {
        let config = &self.facts.accepted.config;
        let deployment = self.facts.deployment(&self.site);
        let seen =
            crate::site::observe_services(&self.site, config, &self.facts.serving, &deployment);
        counts(&Observed { checks: Vec::new(), services: seen }).collect()
    }

    fn changed(&self) -> bool {
        let (began, now) = (&self.began, serving(&self.facts));
        let flags = self.heeds == Heeds::Flags && began.record != now.record;
        flags || began.commit != now.commit || began.head != now.head
    }

    /// Waits until no other command is at work, at most for [`PATIENCE`]; whether nobody asked to stop.
    fn others_ended(&mut self) -> bool {
        let end = Instant::now() + patience(self.globals);
        let mut told = false;
        while Lock::is_held(&self.site.state()) && Instant::now() < end {
            if !std::mem::replace(&mut told, true) {
                let who = Lock::holder(&self.site.state()).map_or_else(
                    || "another command".to_owned(),
                    |holder| format!("gitroll {} by {}", holder.command, escape(&holder.who())),
                );
                self.ui.say(&format!("  waiting for {who}"));
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

fn counts(seen: &Observed) -> impl Iterator<Item = (String, u64)> {
    let known = seen.services.iter().filter_map(|(name, state)| Some((name, state.as_ref().ok()?)));
    known.map(|(name, state)| (name.clone(), state.restarts))
}

/// How long another command at work is waited for.
pub fn patience(globals: &Globals) -> Duration {
    globals.wait.unwrap_or(PATIENCE)
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
