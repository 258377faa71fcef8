//! `gitroll mark`

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use super::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::session::Session;
use crate::act::outcome::RecordBrief;
use crate::act::statement::{state, statement};
use crate::engine;
use crate::ledger::Entry;
use crate::model::{Digest, Event, Hold, Judgement, Verdict};
use crate::ui::Ui;

/// Judge a commit good or bad, for good
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll mark bad v1.3.0 --reason 'loses uploads'        never a target, held
  gitroll mark good 7c1e0a4 --reason 'it was the disk'    lifts verdict and hold")]
pub struct MarkArgs {
    /// The verdict
    verdict: Word,
    /// Tag, commit or record number
    rev: String,
    /// Why, for the record
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

/// Runs it.
///
/// # Errors
/// When the name names nothing, or the record cannot be written.
pub fn run(globals: &Globals, ui: &Ui, args: &MarkArgs) -> Result<Exit, Failure> {
    super::check_reason(Some(&args.reason))?;
    let session = Session::change(globals, ui, "mark")?;
    let facts = session.facts()?;
    let commit = super::resolve_commit(&session, &facts, &args.rev)?;
    let name = facts.names.served(&session.site.git, &commit, None)?.name;
    let judgement = match args.verdict {
        Word::Good => Judgement::Good,
        Word::Bad => Judgement::Bad,
    };
    let mut record = statement(&session, Event::Mark);
    record.subject = Some(commit.clone());
    record.verdict = Some(Verdict { judgement, provisional: false });
    record.reason = Some(args.reason.clone());
    let mut standing: Vec<Digest> =
        facts.history.verdicts(&commit).iter().map(|judged| judged.digest).collect();
    standing.extend(
        facts.history.holds().iter().filter(|held| held.subject == commit).map(|held| held.digest),
    );
    standing.sort_unstable();
    standing.dedup();
    match args.verdict {
        Word::Good => record.lifts = standing,
        Word::Bad => record.hold = Some(Hold::Commit),
    }
    let word = if args.verdict == Word::Good { "good" } else { "bad" };
    record.sentence = format!(
        "{} {}: marked {name} {word}",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
    );
    let entry = state(&session, &facts, record)?;
    told(ui, "mark", &entry);
    Ok(Exit::Done)
}

/// Says what was recorded.
pub(super) fn told(ui: &Ui, verb: &str, entry: &Entry) {
    let sentence = entry.record.sentence.clone();
    ui.line(&format!("{} {sentence} (#{})", ui.out.ok(), entry.record.seq));
    let record = RecordBrief { seq: entry.record.seq, digest: entry.digest };
    ui.document(verb, 0, &StatedAnswer { record, sentence });
}
