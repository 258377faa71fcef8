//! `gitroll log`

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::reader::Reader;
use crate::engine::{self, Attempt};
use crate::ledger::{self, Entry};
use crate::model::{Digest, Event, Evidence, Oid, Outcome, Person, Record, RunId, Served};
use crate::system::clock;
use crate::ui::{Style, Table, Ui, clock_word, duration, escape};

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
    /// What failed on this host before anything that serves was touched, a build most often: of that there is no record.
    pub attempts: Vec<AttemptLine>,
}

/// A run that failed before it touched anything.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttemptLine {
    /// The run, as `gitroll show` takes it.
    pub run: RunId,
    /// What was asked for: `deploy`, `back`.
    pub act: String,
    /// What was meant to serve.
    pub to: Served,
    /// When it began.
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
    /// Who acted.
    pub actor: String,
    /// How long the person waited, in milliseconds.
    pub took_millis: u64,
    /// Why it failed.
    pub failure: String,
}

impl AttemptLine {
    /// As it is told.
    pub(super) fn of(attempt: &Attempt) -> Self {
        let ran = u64::try_from(ago_exactly(attempt.at, attempt.ended).as_millis()).unwrap_or(0);
        Self {
            run: attempt.run.id.clone(),
            act: attempt.run.plan.event.as_str().to_owned(),
            to: attempt.run.plan.to.clone(),
            at: attempt.at,
            actor: attempt.actor.clone(),
            took_millis: attempt.waited_millis.saturating_add(ran),
            failure: attempt.why.clone(),
        }
    }
}

/// The time between two moments, to the millisecond.
fn ago_exactly(from: jiff::Timestamp, to: jiff::Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
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
    /// Why its proof is weak.
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
    let lines: Vec<LogLine> =
        chain.entries.iter().rev().take(args.n).map(|entry| line(&reader, entry)).collect();
    let mut lines = lines;
    let own = args.writer.is_none();
    let attempts = reader.attempts.iter().filter(|_| own).take(args.n).map(AttemptLine::of);
    let mut attempts: Vec<AttemptLine> = attempts.collect();
    newest(args.n, &mut lines, &mut attempts);
    for text in table(&lines, &attempts, &ui.out).lines(&ui.out) {
        ui.line(&text);
    }
    let answer = LogAnswer { verified: reader.binding.is_some(), records: lines, attempts };
    ui.document("log", 0, &answer);
    Ok(Exit::Done)
}

/// Leaves the newest of both together. What the chain alone holds is left in its own order, whatever the clock said.
fn newest(count: usize, lines: &mut Vec<LogLine>, attempts: &mut Vec<AttemptLine>) {
    let mut times: Vec<_> = lines.iter().map(|line| line.signer.time).collect();
    times.extend(attempts.iter().map(|attempt| attempt.at));
    times.sort_unstable_by(|a, b| b.cmp(a));
    let oldest = times.get(count.saturating_sub(1)).copied();
    let Some(oldest) = oldest.filter(|_| times.len() > count) else { return };
    attempts.retain(|attempt| attempt.at >= oldest);
    lines.truncate(count.saturating_sub(attempts.len()));
}

fn line(reader: &Reader, entry: &Entry) -> LogLine {
    let added = reader.history.added_reasons(&entry.digest).iter();
    let added = added.filter(|added| added.writer == entry.record.writer).max_by_key(|a| a.seq);
    let evidence: Option<Evidence> = ledger::evidence(&reader.git, entry).ok();
    let took = evidence.as_ref().filter(|e| e.run.is_some()).map(waited);
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
        added: added.map(|added| added.text.clone()),
    }
}

/// How long the person waited, in milliseconds: the plan was made before the run began.
pub(super) fn waited(evidence: &Evidence) -> u64 {
    let steps: u64 = evidence.steps.iter().map(|step| step.millis).sum();
    let ran = ago_exactly(evidence.started, evidence.finished);
    let ran = u64::try_from(ran.as_millis()).unwrap_or(0);
    steps.max(ran).saturating_add(evidence.waited_millis.unwrap_or(0))
}

fn table(lines: &[LogLine], attempts: &[AttemptLine], style: &Style) -> Table {
    let now = clock::now();
    let mut table =
        Table::with_head(&["#", "WHEN", "ACT", "SERVES", "RESULT", "TOOK", "WHO", "WHY"])
            .right(0)
            .right(5);
    let took = |millis| duration(Duration::from_millis(millis));
    let several = several_commits(lines);
    let mut attempts = attempts.iter().peekable();
    let mut attempted = |table: &mut Table, after: Option<jiff::Timestamp>| {
        while let Some(attempt) = attempts.next_if(|one| after.is_none_or(|after| one.at > after)) {
            table.row(vec![
                style.dash().to_owned(),
                clock_word(attempt.at, now),
                escape(&attempt.act),
                escape(&format!("({})", attempt.to.name)),
                format!("{} not begun", style.bad()),
                took(attempt.took_millis),
                escape(&attempt.actor),
                escape(&cut(&attempt.failure, roomy(style, 48))),
            ]);
        }
    };
    for line in lines {
        attempted(&mut table, Some(line.signer.time));
        let record = &line.record;
        let result = match (record.outcome, record.plan.is_some()) {
            (Outcome::Succeeded, _) if line.weak.is_some() => format!("{} weak", style.yellow("!")),
            (Outcome::Succeeded, true) => format!("{} proven", style.ok()),
            (Outcome::Succeeded, false) => format!("{} noted", style.ok()),
            (Outcome::Restored, _) => format!("{} restored", style.back()),
            (Outcome::Failed, _) => format!("{} failed", style.bad()),
        };
        table.row(vec![
            record.seq.to_string(),
            clock_word(line.signer.time, now),
            escape(act(record)),
            escape(&serves(line, &several)),
            result,
            line.took_millis.map(took).unwrap_or_default(),
            escape(&who(line)),
            escape(&why(line, style)),
        ]);
    }
    attempted(&mut table, None);
    table
}

/// The names that several commits of the list have: a version that was not raised tells nothing.
fn several_commits(lines: &[LogLine]) -> BTreeSet<&str> {
    let mut named: BTreeMap<&str, BTreeSet<&Oid>> = BTreeMap::new();
    for line in lines {
        named.entry(&line.serves).or_default().extend(commit(&line.record));
    }
    named.into_iter().filter(|(_, commits)| commits.len() > 1).map(|(name, _)| name).collect()
}

/// What a record's name is the name of.
fn commit(record: &Record) -> Option<&Oid> {
    record.to.as_ref().or(record.subject.as_ref())
}

/// How long a text may be: a terminal cuts it itself.
fn roomy(style: &Style, narrow: usize) -> usize {
    style.width.unwrap_or(narrow).max(narrow)
}

/// The first line of a text, at most so long.
fn cut(text: &str, width: usize) -> String {
    let first = text.lines().next().unwrap_or_default();
    if first.chars().count() > width {
        first.chars().take(width - 1).chain(['…']).collect()
    } else {
        first.to_owned()
    }
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
fn serves(line: &LogLine, several: &BTreeSet<&str>) -> String {
    let tags_alone = line.record.event == Event::Adopt && line.record.to.is_none();
    let name = match commit(&line.record) {
        Some(commit) if several.contains(line.serves.as_str()) => {
            format!("{} {}", line.serves, commit.short())
        }
        _ => line.serves.clone(),
    };
    if line.record.event.serves() && !tags_alone { name } else { format!("({name})") }
}

/// A failure with what was tried, where the record is named after what was restored.
fn tried(record: &Record, why: &str) -> String {
    match (&record.subject, record.outcome) {
        (Some(subject), Outcome::Restored) => format!("{}: {why}", subject.short()),
        _ => why.to_owned(),
    }
}

fn why(line: &LogLine, style: &Style) -> String {
    let record = &line.record;
    // A name and two values: cut off they would say the wrong thing.
    let width = roomy(style, if record.flags.is_empty() { 48 } else { 96 });
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
    cut(&text, width)
}
