//! `gitroll unhold`

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::mark::print_record;
use crate::act::unhold::{UnholdRequest, unhold};
use crate::ui::Ui;

/// Lift a hold and the verdict that came with it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll unhold                                     lift the only hold
  gitroll unhold 43                                  lift the hold of record #43
  gitroll unhold QW-001                              lift the hold on a component
  gitroll unhold v1.3.0 --reason 'it was the disk'")]
pub struct UnholdArgs {
    /// Record number, component, tag or commit; optional if only one thing is held
    what: Option<String>,
    /// Reason, stored in the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// # Errors
/// When nothing of that name is held, or the record cannot be written.
pub fn run(globals: &Globals, ui: &Ui, args: &UnholdArgs) -> Result<Exit, Failure> {
    let request = UnholdRequest { what: args.what.clone(), reason: args.reason.clone() };
    print_record(ui, "unhold", &unhold(&globals.caller(ui), &request)?);
    Ok(Exit::Done)
}
