//! The guard of a run: what it does, its state, what it did.

use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::next_steps;
use super::session::Session;
use crate::engine::{self, Phase, Run, watchdog};
use crate::model::{Outcome, RunId, Served};
use crate::site::Site;
use crate::system::clock;
use crate::system::text::{ago, countdown, escape, time_of_day};

/// How long it is said that the watchdog finished a run.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Waits `after` long, then finishes the run if its process was killed. `token`: what this guard knows itself by.
///
/// # Errors
/// When the checkout cannot be opened by then.
pub fn guard(caller: &Caller, run: &RunId, token: &str, after: Duration) -> Result<(), Failure> {
    thread::sleep(after);
    let session = Session::look(caller)?;
    watchdog::keep_watch(&session.site, run, token, &mut |line| {
        caller.info(format!("{}  {line}", clock::now()));
    });
    Ok(())
}

/// What guards an open run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Watching {
    /// `armed`, `waiting` (its time has come, someone is still at the run), `acting`, `gave-up` or `gone`.
    pub state: String,
    /// When it acts, or would have.
    #[schemars(with = "String")]
    pub acts: Timestamp,
    /// Why it gave up.
    pub why: Option<String>,
}

impl Watching {
    /// Looks after the guard of an open run; `None` if none was armed.
    pub fn over(site: &Site, run: &Run) -> Option<Self> {
        let guard = watchdog::guard(site, run.guarded_as())?;
        let lives = guard.guards.as_ref().is_some_and(|process| process.alive());
        let state = if guard.gave_up.is_some() {
            "gave-up"
        } else if !guard.alive() {
            "gone"
        } else if clock::now() < guard.acts {
            "armed"
        } else if lives {
            "waiting"
        } else {
            "acting"
        };
        Some(Self { state: state.to_owned(), acts: guard.acts, why: guard.gave_up })
    }

    /// In words.
    pub fn words(&self, now: Timestamp) -> String {
        let left = self.acts.as_second().saturating_sub(now.as_second());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
        match self.state.as_str() {
            "armed" => format!("acts at {}, in {}", time_of_day(self.acts), countdown(left)),
            "waiting" => "waits for the end of the process that runs it".to_owned(),
            "acting" => {
                "is working: it continues the run, or restores what served before".to_owned()
            }
            "gave-up" => {
                let why = self.why.as_deref().unwrap_or_default();
                format!("gave up: {}", escape(why))
            }
            _ => "is gone, for example after a reboot".to_owned(),
        }
    }
}

/// A run that the watchdog finished, not a person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FinishedRun {
    /// Its id.
    pub id: RunId,
    /// What it did, e.g. `deploy to v1.3.0 (7c1e0a4)`.
    pub what: String,
    /// When it ended.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The result: `succeeded`, `restored`, `failed` or `untouched`.
    pub outcome: String,
    /// What serves since.
    pub serves: Option<Served>,
}

impl FinishedRun {
    /// The last run, where the watchdog finished it and that is not long ago.
    pub fn lately(site: &Site, now: Timestamp) -> Option<Self> {
        let run = engine::last_run(site)?;
        let at = run.journal.lines().last()?.at;
        let Phase::Closed(outcome) = *run.journal.phase() else { return None };
        if !run.in_hands_of_watchdog() || ago(at, now) > REMEMBERED {
            return None;
        }
        let serves = match outcome {
            Some(Outcome::Succeeded) => Some(run.plan.to.clone()),
            Some(Outcome::Failed) => None,
            Some(Outcome::Restored) | None => Some(run.plan.from.clone()),
        };
        let outcome = outcome.map_or("untouched", Outcome::as_str).to_owned();
        Some(Self { what: next_steps::what(&run), id: run.id, at, outcome, serves })
    }

    /// `finished deploy to v1.1.0 (a1fbc59) today 03:12 (14 min ago): v1.0.0 (0bb6822) restored`
    pub fn words(&self, now: Timestamp) -> String {
        let came = match (self.outcome.as_str(), &self.serves) {
            ("succeeded", Some(served)) => format!("{served} proven"),
            ("restored", Some(served)) => format!("{served} restored"),
            (_, Some(served)) => format!("{served} was not changed"),
            (_, None) => "nothing healthy served".to_owned(),
        };
        escape(&format!("finished {} {}: {came}", self.what, next_steps::since(self.at, now)))
    }
}
