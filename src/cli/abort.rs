//! `gitroll abort`

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::resume;
use crate::ui::Ui;

/// Cancel an open run: restore what served before, and prove it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll abort     to go back instead of continuing an interrupted run

After the target was observed serving it is too late to abort (22): use `gitroll resume` \
to record it, then `gitroll back`. To see what abort does for a run that needs a person (21), run \
`gitroll status`.")]
pub struct AbortArgs {
    /// Accepted for scripts; this command asks nothing
    #[arg(long, short, hide = true)]
    yes: bool,
    /// A try of the guard that knows itself by this
    #[arg(long, hide = true, value_name = "TOKEN")]
    watchdog: Option<String>,
}

pub fn run(globals: &Globals, ui: &Ui, args: &AbortArgs) -> Result<Exit, Failure> {
    Ok(resume::abort(&globals.caller(ui), args.watchdog.as_deref())?.status.into())
}
