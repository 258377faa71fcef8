//! `gitroll back`

use clap::{Args, ValueEnum};

use super::approve::ApprovalArgs;
use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use super::migrate;
use crate::act::back::{self, BackRequest};
use crate::act::levels::Level;
use crate::act::loss::AcceptedRows;
use crate::config;
use crate::model::AcceptedLoss;
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
  gitroll back --level full --plan            code, data and settings from a point: what that loses
  gitroll back --only data --to p118          only the data, from one point
  gitroll back --emergency                    no questions, only critical checks
  gitroll back --undo                         return after a false alarm")]
pub struct BackArgs {
    /// Target, same as --to
    #[arg(value_name = "TARGET", conflicts_with_all = ["to", "undo"])]
    target: Option<String>,
    /// last-good, last-stable, previous, a tag, a commit or a record number; a point with --level full and --only
    /// [default: last-good]
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
    /// Roll back only `data`, `settings`, or the NAME of one of their sections; the code stays
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["level", "undo", "cascade", "break_glass"])]
    only: Vec<String>,
    /// Do not mark the version being left as bad
    #[arg(long)]
    no_verdict: bool,
    /// Undo the last `back`, `component` or flag change, and lift its verdict and hold
    #[arg(long)]
    undo: bool,
    /// Revert the migrations that the target does not have, in the same run
    #[arg(long, conflicts_with_all = ["undo", "emergency", "cascade"])]
    migrate_down: bool,
    /// Accept a loss instead of typing a name: app=41m if the point of that data is at most this old; with
    /// --migrate-down a number of rows, or `any`
    #[arg(long, value_name = "LOSS", value_parser = accepted)]
    accept_loss: Vec<Accepted>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
enum LevelArg {
    /// Flags: restore the values from before their last change
    Flags,
    /// The code
    Code,
    /// Switch off the flags of suspect components first; if that does not help, the code
    Auto,
    /// Code, data and settings from a point
    Full,
}

/// A loss that is accepted in advance.
#[derive(Debug, Clone)]
enum Accepted {
    /// Of data that goes back to a point.
    Age(AcceptedLoss),
    /// Of migrations that are reverted.
    Rows(AcceptedRows),
}

/// `app=41m`, `12`, `any`
fn accepted(text: &str) -> Result<Accepted, String> {
    let Some((name, age)) = text.split_once('=') else {
        return migrate::rows(text).map(Accepted::Rows);
    };
    let name = name.parse().map_err(|error| format!("{error}"))?;
    let age = config::duration(age).map_err(|error| error.to_string())?;
    Ok(Accepted::Age(AcceptedLoss { name, seconds: age.as_secs() }))
}

pub fn run(globals: &Globals, ui: &Ui, args: &BackArgs) -> Result<Exit, Failure> {
    let rows = args.accept_loss.iter().rev().find_map(|accepted| match accepted {
        Accepted::Rows(rows) => Some(*rows),
        Accepted::Age(_) => None,
    });
    if rows.is_some() && !args.migrate_down {
        let what = "--accept-loss with a number of rows belongs to --migrate-down; for data write NAME=AGE";
        return Err(Failure::new(Status::Usage, what));
    }
    let ages = args.accept_loss.iter().filter_map(|accepted| match accepted {
        Accepted::Age(age) => Some(age.clone()),
        Accepted::Rows(_) => None,
    });
    let request = BackRequest {
        to: args.to.clone().or_else(|| args.target.clone()),
        reason: args.reason.clone(),
        break_glass: args.break_glass.clone(),
        level: match args.level {
            LevelArg::Flags => Level::Flags,
            LevelArg::Code => Level::Code,
            LevelArg::Auto => Level::Auto,
            LevelArg::Full => Level::Full,
        },
        no_verdict: args.no_verdict,
        undo: args.undo,
        emergency: args.emergency,
        cascade: args.cascade,
        migrate_down: args.migrate_down,
        approval: args.approvals.options(),
        accepted: rows.unwrap_or_default(),
        plan_only: args.plan,
        yes: args.yes,
        only: args.only.clone(),
        accepted_age: ages.collect(),
    };
    if args.level == LevelArg::Full && (args.cascade.is_some() || args.break_glass.is_some()) {
        return Err(Failure::new(
            Status::Usage,
            "--level full goes back to one point: neither --cascade nor --break-glass fits it",
        ));
    }
    Ok(back::back(&globals.caller(ui), &request)?.status.into())
}
