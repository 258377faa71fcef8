//! `gitroll mark`

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::mark::{MarkRequest, mark};
use crate::act::outcome::RecordBrief;
use crate::ledger::Entry;
use crate::model::Judgement;
use crate::ui::Ui;

/// Mark a commit good or bad permanently
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll mark bad v1.3.0 --reason 'loses uploads'        never a target, and held
  gitroll mark good 7c1e0a4 --reason 'it was the disk'    lift the verdict and the hold")]
pub struct MarkArgs {
    /// Verdict
    verdict: Word,
    /// Tag, commit or record number
    rev: String,
    /// Reason, stored in the record
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Word {
    Good,
    Bad,
}

/// The answer of the verbs that only record: `mark`, `unhold`, `annotate`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatedAnswer {
    /// The record.
    pub record: RecordBrief,
    /// What it says.
    pub sentence: String,
}

/// # Errors
/// When the name names nothing, or the record cannot be written.
pub fn run(globals: &Globals, ui: &Ui, args: &MarkArgs) -> Result<Exit, Failure> {
    let judgement = match args.verdict {
        Word::Good => Judgement::Good,
        Word::Bad => Judgement::Bad,
    };
    let request =
        MarkRequest { judgement, revision: args.rev.clone(), reason: args.reason.clone() };
    print_record(ui, "mark", &mark(&globals.caller(ui), &request)?);
    Ok(Exit::Done)
}

/// Says what was recorded.
pub(super) fn print_record(ui: &Ui, verb: &str, entry: &Entry) {
    let sentence = entry.record.sentence.clone();
    ui.line(&format!("{} {sentence} (#{})", ui.out.ok(), entry.record.seq));
    let record = RecordBrief { seq: entry.record.seq, digest: entry.digest };
    ui.document(verb, 0, &StatedAnswer { record, sentence });
}
