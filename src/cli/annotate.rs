//! `gitroll annotate`

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::mark::print_record;
use crate::act::annotate::{AnnotateRequest, annotate_record};
use crate::ui::Ui;

/// Add a reason to a record afterwards
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll annotate --reason 'the upload queue was full'      annotate the newest deployment
  gitroll annotate 43 --reason 'see incident 2026-11-20'")]
pub struct AnnotateArgs {
    /// Record number [default: the newest record that changed what serves]
    seq: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// # Errors
/// When there is no such record, or it cannot be written.
pub fn run(globals: &Globals, ui: &Ui, args: &AnnotateArgs) -> Result<Exit, Failure> {
    let request = AnnotateRequest { record: args.seq.clone(), reason: args.reason.clone() };
    print_record(ui, "annotate", &annotate_record(&globals.caller(ui), &request)?);
    Ok(Exit::Done)
}
