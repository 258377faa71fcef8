//! `gitroll back`

use clap::{Args, ValueEnum};

use super::approve::ApprovalArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::migrate;
use crate::act::back::{self, BackRequest};
use crate::act::levels::Level;
use crate::act::loss::AcceptedRows;
use crate::ui::Ui;

/// Roll back to an earlier version and prove that it serves
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll back                                to the last good version, with a prompt
  gitroll back --yes --reason 'errors 12 %'   without a prompt, with a reason
  gitroll back --plan                         show the plan
  gitroll back last-stable                    the highest *-stable tag that served here
  gitroll back v1.2.0-stable                  a tag, a commit or a listed name
  gitroll back @43                            what record #43 deployed
  gitroll back --level auto                   suspect flags first, then the code
  gitroll back --level flags                  the values before the last flag change
  gitroll back --migrate-down                 the schema too, in the same run
  gitroll back --emergency                    no questions, only critical checks
  gitroll back --undo                         return after a false alarm")]
pub struct BackArgs {
    /// Target, same as --to
    #[arg(value_name = "TARGET", conflicts_with_all = ["to", "undo"])]
    target: Option<String>,
    /// last-good, last-stable, previous, a tag, a commit or a record number [default: last-good]
    #[arg(long, value_name = "TARGET", conflicts_with = "undo")]
    to: Option<String>,
    /// Reason, stored in the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Roll back to a version that served here although its tag is not trusted now; the reason is recorded
    #[arg(long, value_name = "REASON", conflicts_with = "undo")]
    break_glass: Option<String>,
    /// What to roll back
    #[arg(long, value_name = "LEVEL", default_value = "code", conflicts_with = "undo")]
    level: LevelArg,
    /// Do not mark the version being left as bad
    #[arg(long)]
    no_verdict: bool,
    /// Undo the last `back`, `component` or flag change, and lift its verdict and hold
    #[arg(long)]
    undo: bool,
    /// Take back the migrations that the target does not have, in the same run
    #[arg(long, conflicts_with_all = ["undo", "emergency", "cascade"])]
    migrate_down: bool,
    /// With --migrate-down: accept the loss of up to this many rows, or `any`
    #[arg(long, value_name = "ROWS", requires = "migrate_down", value_parser = migrate::rows)]
    accept_loss: Option<AcceptedRows>,
    /// Skip questions and non-critical checks, avoid builds, and ask for the reason afterwards
    #[arg(long, conflicts_with_all = ["undo", "plan"])]
    emergency: bool,
    /// Try up to this many older candidates; each is proven or undone before the next
    #[arg(long, value_name = "N", conflicts_with = "undo")]
    cascade: Option<usize>,
    #[command(flatten)]
    approvals: ApprovalArgs,
    /// Show the plan and stop
    #[arg(long)]
    pub(super) plan: bool,
    /// Skip the confirmation prompt
    #[arg(long, short)]
    yes: bool,
}

/// How deep a rollback cuts.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "lowercase")]
enum LevelArg {
    /// Flags: restore the values from before their last change
    Flags,
    /// The code
    Code,
    /// Switch off the flags of suspect components first; if that does not help, the code
    Auto,
}

pub fn run(globals: &Globals, ui: &Ui, args: &BackArgs) -> Result<Exit, Failure> {
    let request = BackRequest {
        to: args.to.clone().or_else(|| args.target.clone()),
        reason: args.reason.clone(),
        break_glass: args.break_glass.clone(),
        level: match args.level {
            LevelArg::Flags => Level::Flags,
            LevelArg::Code => Level::Code,
            LevelArg::Auto => Level::Auto,
        },
        no_verdict: args.no_verdict,
        undo: args.undo,
        emergency: args.emergency,
        cascade: args.cascade,
        migrate_down: args.migrate_down,
        approval: args.approvals.options(),
        accepted: args.accept_loss.unwrap_or_default(),
        plan_only: args.plan,
        yes: args.yes,
    };
    Ok(back::back(&globals.caller(ui), &request)?.status.into())
}
