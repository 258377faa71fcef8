//! `gitroll log`

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::reader::Reader;
use crate::engine;
use crate::ledger::{self, Entry};
use crate::model::{Digest, Event, Evidence, Outcome, Person, Record};
use crate::system::clock;
use crate::ui::{Style, Table, Ui, ago, clock_word, duration, escape};

/// List the records, newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll log -n 4              the four newest
  gitroll log --writer web-2    another host's records, as fetched
  gitroll log --json            all fields of the records

SERVES is in parentheses if the command did not change what serves.")]
pub struct LogArgs {
    /// Number of records
    #[arg(short, value_name = "COUNT", default_value_t = 20)]
    n: usize,
    /// Show another writer's records
    #[arg(long, value_name = "NAME")]
    writer: Option<String>,
    /// Show another environment's records
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

/// The answer of `log`: records, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogAnswer {
    /// Whether signatures were verified against this host's trust file.
    pub verified: bool,
    /// The records.
    pub records: Vec<LogLine>,
}

/// One record.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogLine {
    /// What it states.
    pub record: Record,
    /// Its digest.
    pub digest: Digest,
    /// Who signed it, and when.
    pub signer: Person,
    /// The person who acted.
    pub actor: Option<String>,
    /// The watchdog finished what the person began: the process had been killed.
    pub by_watchdog: bool,
    /// The name of what serves since.
    pub serves: String,
    /// How long it took, in milliseconds.
    pub took_millis: Option<u64>,
    /// Why its proof is a weak one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weak: Option<String>,
    /// Why it failed.
    pub failure: Option<String>,
    /// A reason given afterwards; it is a record of its own in this list.
    #[serde(skip)]
    added: Option<String>,
}

/// Runs it.
///
/// # Errors
/// When the chain cannot be read.
pub fn run(globals: &Globals, ui: &Ui, args: &LogArgs) -> Result<Exit, Failure> {
    let reader = Reader::open(globals, ui, args.environment.as_deref())?;
    let chain = reader.chain(args.writer.as_deref())?;
    let lines: Vec<LogLine> = chain
        .entries
        .iter()
        .rev()
        .take(args.n)
        .map(|entry| line(&reader, &chain.entries, entry))
        .collect();
    for text in table(&lines, &ui.out).lines() {
        ui.line(&text);
    }
    let answer = LogAnswer { verified: reader.binding.is_some(), records: lines };
    ui.document("log", 0, &answer);
    Ok(Exit::Done)
}

fn line(reader: &Reader, entries: &[Entry], entry: &Entry) -> LogLine {
    let added = entries.iter().rev().find(|e| e.record.annotates == Some(entry.digest));
    let evidence: Option<Evidence> = ledger::evidence(&reader.git, entry).ok();
    let took = evidence.as_ref().filter(|e| e.run.is_some()).map(|e| {
        let steps: u64 = e.steps.iter().map(|s| s.millis).sum();
        steps.max(u64::try_from(ago(e.started, e.finished).as_millis()).unwrap_or(0))
    });
    LogLine {
        record: entry.record.clone(),
        digest: entry.digest,
        signer: entry.tagger.clone(),
        actor: evidence.as_ref().map(|e| e.actor.clone()).filter(|a| !a.is_empty()),
        by_watchdog: evidence.as_ref().is_some_and(engine::by_watchdog),
        serves: reader.name_served(entry),
        took_millis: took,
        weak: evidence.as_ref().and_then(|e| e.weak.clone()),
        failure: evidence.and_then(|e| e.failure),
        added: added.and_then(|e| e.record.reason.clone()),
    }
}

fn table(lines: &[LogLine], style: &Style) -> Table {
    let now = clock::now();
    let mut table =
        Table::with_head(&["#", "WHEN", "ACT", "SERVES", "RESULT", "TOOK", "WHO", "WHY"])
            .right(0)
            .right(5);
    for line in lines {
        let record = &line.record;
        let result = match (record.outcome, record.plan.is_some()) {
            (Outcome::Succeeded, _) if line.weak.is_some() => format!("{} weak", style.yellow("!")),
            (Outcome::Succeeded, true) => format!("{} proven", style.ok()),
            (Outcome::Succeeded, false) => format!("{} noted", style.ok()),
            (Outcome::Restored, _) => format!("{} restored", style.back()),
            (Outcome::Failed, _) => format!("{} failed", style.bad()),
        };
        let took = line.took_millis.map(|m| duration(std::time::Duration::from_millis(m)));
        table.row(vec![
            record.seq.to_string(),
            clock_word(line.signer.time, now),
            escape(act(record)),
            escape(&serves(line)),
            result,
            took.unwrap_or_default(),
            escape(&who(line)),
            escape(&why(line)),
        ]);
    }
    table
}

/// What was done. Putting flags back is told from setting them.
fn act(record: &Record) -> &str {
    let put_back = record.event == Event::Flags && !record.lifts.is_empty();
    if put_back { "flags back" } else { record.event.as_str() }
}

/// `ENABLE_UPLOADS false, was true`; values that are secret by their names as digests.
fn flags(record: &Record) -> Option<String> {
    let words = record.flags.iter().map(|change| {
        let [after, before] = [&change.after, &change.before].map(|value| short(&value.plain()));
        format!("{} {after}, was {before}", change.name)
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// A digest needs no more than its beginning to be told from another.
fn short(value: &str) -> String {
    match value.strip_prefix("sha256:") {
        Some(digest) => format!("sha256:{}…", digest.chars().take(7).collect::<String>()),
        None => value.to_owned(),
    }
}

/// The person who acted, and the watchdog where it had to finish that.
fn who(line: &LogLine) -> String {
    let person = line.actor.as_deref().unwrap_or(&line.signer.name);
    if line.by_watchdog { format!("{person}, watchdog") } else { person.to_owned() }
}

/// What serves since. In parentheses what an act is about that changed nothing that serves.
fn serves(line: &LogLine) -> String {
    let tags_alone = line.record.event == Event::Adopt && line.record.to.is_none();
    if line.record.event.serves() && !tags_alone {
        line.serves.clone()
    } else {
        format!("({})", line.serves)
    }
}

/// A failure with what was tried, where the record is named after what was restored.
fn tried(record: &Record, why: &str) -> String {
    match (&record.subject, record.outcome) {
        (Some(subject), Outcome::Restored) => format!("{}: {why}", subject.short()),
        _ => why.to_owned(),
    }
}

fn why(line: &LogLine) -> String {
    let record = &line.record;
    // A name and two values: cut off they would say the wrong thing.
    let width = if record.flags.is_empty() { 48 } else { 96 };
    let text = record
        .reason
        .as_deref()
        .or(line.added.as_deref())
        .map(str::to_owned)
        .or_else(|| line.failure.as_deref().map(|why| tried(record, why)))
        .or_else(|| record.verdict.map(|v| format!("{v}, no reason given")))
        .unwrap_or_default();
    // What was set says more than why, and both may have room.
    let text = match flags(record) {
        Some(flags) if text.is_empty() => flags,
        Some(flags) => format!("{flags}: {text}"),
        None => text,
    };
    let first = text.lines().next().unwrap_or_default();
    if first.chars().count() > width {
        first.chars().take(width - 1).chain(['…']).collect()
    } else {
        first.to_owned()
    }
}
