//! `gitroll annotate`

use clap::Args;

use super::Globals;
use super::exit::Exit;
use super::failure::{Failure, Status};
use super::mark;
use super::session::Session;
use crate::act::statement::annotate;
use crate::model::Seq;
use crate::ui::Ui;

/// Add a reason to a record, after service is restored
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll annotate --reason 'the upload queue was full'      the newest deployment
  gitroll annotate 43 --reason 'see incident 2026-11-20'")]
pub struct AnnotateArgs {
    /// Record number; the newest that changed what serves where left out
    seq: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Runs it.
///
/// # Errors
/// When there is no such record, or it cannot be written.
pub fn run(globals: &Globals, ui: &Ui, args: &AnnotateArgs) -> Result<Exit, Failure> {
    super::check_reason(Some(&args.reason))?;
    let seq = args
        .seq
        .as_deref()
        .map(|text| text.strip_prefix('#').unwrap_or(text).parse::<Seq>())
        .transpose()
        .map_err(|e| Failure::new(Status::Usage, e.to_string()))?;
    let session = Session::change(globals, ui, "annotate")?;
    let facts = session.facts()?;
    let own = facts.own(&session.site);
    let found = match seq {
        Some(seq) => own.iter().find(|entry| entry.record.seq == seq),
        None => own.iter().rev().find(|entry| entry.record.event.serves()),
    };
    let entry = found.ok_or_else(|| {
        Failure::unchanged("there is no such record").next("gitroll log", "shows the records")
    })?;
    let stated = annotate(&session, &facts, entry, &args.reason)?;
    mark::told(ui, "annotate", &stated);
    Ok(Exit::Done)
}
