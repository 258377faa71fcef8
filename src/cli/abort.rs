//! `gitroll abort`

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::resume;
use crate::ui::Ui;

/// Undo an open run: put back what served before, and prove it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll abort     when going on with an interrupted run is not wanted

Too late (22) once the target was observed serving: `gitroll resume` records it, then \
`gitroll back` leaves it. A run that needs a person (21) is given up: see `gitroll status`.")]
pub struct AbortArgs {
    /// Nothing is asked: taken so that scripts may say it everywhere
    #[arg(long, short, hide = true)]
    yes: bool,
    /// A try of the guard that knows itself by this
    #[arg(long, hide = true, value_name = "TOKEN")]
    watchdog: Option<String>,
}

pub fn run(globals: &Globals, ui: &Ui, args: &AbortArgs) -> Result<Exit, Failure> {
    Ok(resume::abort(&globals.caller(ui), args.watchdog.as_deref())?.status.into())
}
