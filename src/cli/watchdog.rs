//! `gitroll watchdog`: the guard of a run, started by gitroll itself and never by a person; and what
//! `status` says of it.

use std::thread;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::Globals;
use super::exit::Exit;
use super::failure::{Failure, Status};
use super::session::Session;
use crate::engine::{Run, watchdog};
use crate::model::RunId;
use crate::site::Site;
use crate::system::clock;
use crate::ui::{Ui, countdown, escape, time_of_day};

/// Finish a run whose process was killed
#[derive(Debug, Args)]
pub struct WatchdogArgs {
    /// The run
    run: String,
    /// What this guard knows itself by
    token: String,
    /// Look after this many milliseconds
    #[arg(long, default_value_t = 0)]
    after: u64,
}

/// Runs it.
///
/// # Errors
/// When the checkout cannot be opened by then.
pub fn run(globals: &Globals, ui: &Ui, args: &WatchdogArgs) -> Result<Exit, Failure> {
    thread::sleep(Duration::from_millis(args.after));
    let id: RunId = args
        .run
        .parse()
        .map_err(|_| Failure::new(Status::Usage, format!("{:?} is no run", args.run)))?;
    let session = Session::look(globals, ui)?;
    watchdog::keep_watch(&session.site, &id, &args.token, &mut |line| {
        ui.say(&format!("{}  {}", clock::now(), escape(line)));
    });
    Ok(Exit::Done)
}

/// What stands over an open run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Watching {
    /// `armed`, `waiting` (its time has come, somebody is still at the run), `acting`, `gave-up` or `gone`.
    pub state: String,
    /// When it acts, or would have.
    #[schemars(with = "String")]
    pub acts: Timestamp,
    /// Why it gave up.
    pub why: Option<String>,
}

impl Watching {
    /// Looks after the guard of an open run; `None` where none was armed.
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
            "waiting" => "waits for the end of the process that is at it".to_owned(),
            "acting" => "is at it: goes on, or puts back what served before".to_owned(),
            "gave-up" => {
                let why = self.why.as_deref().unwrap_or_default();
                format!("gave up: {}", escape(why))
            }
            _ => "is gone: a reboot ends it, or somebody did".to_owned(),
        }
    }
}
