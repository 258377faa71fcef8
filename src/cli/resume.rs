//! `gitroll resume`

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::resume;
use crate::engine::Repeat;
use crate::ui::Ui;

/// Continue a run that was interrupted or that needs a person
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll resume           after you fix what `gitroll status` shows
  gitroll resume --done    the interrupted command did finish

If the run is already going back (its deploy failed, was stopped or was aborted), resume finishes \
going back. If the target was already observed serving, resume only writes the record.")]
pub struct ResumeArgs {
    /// Confirm that the interrupted command shown by `gitroll status` finished, or that you finished it yourself
    #[arg(long, conflicts_with = "redo")]
    done: bool,
    /// Run the interrupted command again, and commands of the run that were already done
    #[arg(long)]
    redo: bool,
    /// Accepted for scripts; flags ask nothing
    #[arg(long, short, hide = true)]
    yes: bool,
    /// A try of the guard that knows itself by this
    #[arg(long, hide = true, value_name = "TOKEN")]
    watchdog: Option<String>,
}

pub fn run(globals: &Globals, ui: &Ui, args: &ResumeArgs) -> Result<Exit, Failure> {
    let repeat = match args {
        ResumeArgs { done: true, .. } => Repeat::Done,
        ResumeArgs { redo: true, .. } => Repeat::Redo,
        _ => Repeat::None,
    };
    let outcome = resume::resume(&globals.caller(ui), repeat, args.watchdog.as_deref())?;
    Ok(outcome.status.into())
}
