//! `gitroll back`

use clap::{Args, ValueEnum};

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::back::{self, BackRequest};
use crate::act::levels::Level;
use crate::ui::Ui;

/// Go back to an earlier state and prove that it serves
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll back                                to the last good state, after a question
  gitroll back --yes --reason 'errors 12 %'   without one, and why
  gitroll back --plan                         what would be done
  gitroll back last-stable                    the highest *-stable tag that served here
  gitroll back v1.2.0-stable                  a tag, a commit or a shown name
  gitroll back @43                            what record #43 put in place
  gitroll back --level auto                   flags of the suspects first, then the code
  gitroll back --level flags                  the values of before the last change of flags
  gitroll back --emergency                    no questions, only what is critical
  gitroll back --undo                         it was a false alarm: return")]
pub struct BackArgs {
    /// Where to, as --to
    #[arg(value_name = "TARGET", conflicts_with_all = ["to", "undo"])]
    target: Option<String>,
    /// last-good, last-stable, previous, a tag, a commit or a record number [default: last-good]
    #[arg(long, value_name = "TARGET", conflicts_with = "undo")]
    to: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How deep it cuts
    #[arg(long, value_name = "LEVEL", default_value = "code", conflicts_with = "undo")]
    level: LevelArg,
    /// Do not judge what is left as bad
    #[arg(long)]
    no_verdict: bool,
    /// Return to what the last `back`, `component` or change of flags left, and lift its verdict and hold
    #[arg(long)]
    undo: bool,
    /// No questions, only checks marked critical, nothing built that can be avoided; the reason is asked afterwards
    #[arg(long, conflicts_with_all = ["undo", "plan"])]
    emergency: bool,
    /// Go on to this many older candidates, each proven or undone before the next
    #[arg(long, value_name = "N", conflicts_with = "undo")]
    cascade: Option<usize>,
    /// Show what would be done and stop
    #[arg(long)]
    pub(super) plan: bool,
    /// Answer the question beforehand
    #[arg(long, short)]
    yes: bool,
}

/// How deep a rollback cuts.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "lowercase")]
enum LevelArg {
    /// The values that flags had before they were last changed
    Flags,
    /// The code
    Code,
    /// The flags of the suspect components off; where that does not help, the code
    Auto,
}

pub fn run(globals: &Globals, ui: &Ui, args: &BackArgs) -> Result<Exit, Failure> {
    let request = BackRequest {
        to: args.to.clone().or_else(|| args.target.clone()),
        reason: args.reason.clone(),
        level: match args.level {
            LevelArg::Flags => Level::Flags,
            LevelArg::Code => Level::Code,
            LevelArg::Auto => Level::Auto,
        },
        no_verdict: args.no_verdict,
        undo: args.undo,
        emergency: args.emergency,
        cascade: args.cascade,
        plan_only: args.plan,
        yes: args.yes,
    };
    Ok(back::back(&globals.caller(ui), &request)?.status.into())
}
