//! `gitroll watchdog`: the guard of a run, started by gitroll itself and never by a person.

use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use crate::act::watchdog;
use crate::model::RunId;
use crate::ui::Ui;

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

pub fn run(globals: &Globals, ui: &Ui, args: &WatchdogArgs) -> Result<Exit, Failure> {
    let after = Duration::from_millis(args.after);
    let id: RunId = args
        .run
        .parse()
        .map_err(|_| Failure::new(Status::Usage, format!("{:?} is not a run", args.run)))?;
    watchdog::guard(&globals.caller(ui), &id, &args.token, after)?;
    Ok(Exit::Done)
}
