//! `gitroll resume`

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::resume;
use crate::engine::Repeat;
use crate::ui::Ui;

/// Go on with a run that was interrupted or needs a person, and prove again
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll resume           after mending what `gitroll status` names
  gitroll resume --done    the command it asks about did run to its end

A run that is going back already (its deploy failed, was stopped or aborted) is finished going back: \
it does not turn round. What was observed serving is only recorded.")]
pub struct ResumeArgs {
    /// The interrupted command that `gitroll status` asks about ran to its end, or you have seen to it
    #[arg(long, conflicts_with = "redo")]
    done: bool,
    /// Run it again, and commands of the run that were done already
    #[arg(long)]
    redo: bool,
    /// Nothing is asked: taken so that scripts may say it everywhere
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
