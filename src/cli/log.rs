//! `gitroll log`

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use super::reader::Reader;
use crate::config;
use crate::engine::{self, Attempt};
use crate::ledger::{self, Chain, Entry};
use crate::model::{
    ComponentId, Digest, Event, Evidence, Oid, Outcome, Person, Record, RunId, Served,
};
use crate::system::clock;
use crate::ui::{JSON_VERSION, Style, Table, Ui, clock_word, duration, escape};

/// List the records, newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll log -n 4                       the four newest
  gitroll log --since 7d --event back    the rollbacks of a week
  gitroll log --component QW-001         what was done to a component
  gitroll log --writer web-2             another host's records, as fetched
  gitroll log --follow --json-lines      each new record as a line of JSON
  gitroll log --json                     all fields of the records

SERVES is in parentheses if the command did not change what serves.")]
pub struct LogArgs {
    /// Number of records [default: 20, with --since all]
    #[arg(short, value_name = "COUNT")]
    n: Option<usize>,
    /// Show records since then: 24h, 7d, 2026-11-30, '2026-11-30 14:00', or a time of RFC 3339
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Show only these events; several allowed
    #[arg(
        long,
        value_name = "EVENT",
        value_parser = PossibleValuesParser::new(Event::names()),
        hide_possible_values = true
    )]
    event: Vec<String>,
    /// Show only records about these components; several allowed
    #[arg(long, value_name = "ID")]
    component: Vec<ComponentId>,
    /// Continue with each new record, until you press Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Show another writer's records
    #[arg(long, value_name = "NAME")]
    writer: Option<String>,
    /// Show another environment's records
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

impl LogArgs {
    /// Whether a record is asked for.
    fn shows(&self, entry: &Entry) -> bool {
        let record = &entry.record;
        let event = self.event.is_empty() || self.event.iter().any(|e| e == record.event.as_str());
        let component = self.component.is_empty()
            || self.component.iter().any(|id| record.components.contains(id));
        event && component && self.since.is_none_or(|since| entry.tagger.time >= since)
    }

    /// As [`Self::shows`]. A run without a record changed nothing, so it is about no component.
    fn shows_attempt(&self, attempt: &Attempt) -> bool {
        let act = attempt.run.plan.event.as_str();
        self.component.is_empty()
            && (self.event.is_empty() || self.event.iter().any(|event| event == act))
            && self.since.is_none_or(|since| attempt.at >= since)
    }

    fn most(&self) -> usize {
        const USUAL: usize = 20;
        self.n.unwrap_or(if self.since.is_some() { usize::MAX } else { USUAL })
    }
}

/// A moment: so long ago, a day or a time of the local calendar, or an exact time.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(back) = config::duration(text) {
        let back = SignedDuration::try_from(back).map_err(|error| error.to_string())?;
        return clock::now().checked_sub(back).map_err(|error| error.to_string());
    }
    let local = |text: &str| {
        let time: civil::DateTime = text.parse().ok()?;
        Some(time.to_zoned(TimeZone::system()).ok()?.timestamp())
    };
    let exact = || text.parse().ok();
    exact().or_else(|| local(text)).ok_or_else(|| {
        "neither a duration like 7d, nor a day like 2026-11-30, nor a time".to_owned()
    })
}

/// A line of JSON, with `--follow --json-lines`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum RecordEvent {
    /// A record.
    Record {
        /// Version of the answers, as in them.
        gitroll: u32,
        #[serde(flatten)]
        line: Box<LogLine>,
    },
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
    if args.follow && ui.json && !ui.lines {
        return Err(Failure::new(Status::Usage, "--follow does not end, so it has no JSON answer")
            .next("gitroll log --follow --json-lines", "a line of JSON for each record"));
    }
    let reader = Reader::open(globals, ui, args.environment.as_deref())?;
    let chain = reader.chain(args.writer.as_deref())?;
    let asked = chain.entries.iter().rev().filter(|entry| args.shows(entry)).take(args.most());
    let mut lines: Vec<LogLine> = asked.map(|entry| line(&reader, entry)).collect();
    if args.follow {
        lines.reverse();
        return follow(globals, ui, args, reader, lines);
    }
    let own = args.writer.is_none();
    let attempts = reader.attempts.iter().filter(|one| own && args.shows_attempt(one));
    let mut attempts: Vec<AttemptLine> = attempts.take(args.most()).map(AttemptLine::of).collect();
    newest(args.most(), &mut lines, &mut attempts);
    for text in table(&lines, &attempts, &ui.out).lines(&ui.out) {
        ui.line(&text);
    }
    let answer = LogAnswer { verified: reader.binding.is_some(), records: lines, attempts };
    ui.document("log", 0, &answer);
    Ok(Exit::Done)
}

/// Shows the first lines, then each record that comes, the newest last, until nobody reads on.
fn follow(
    globals: &Globals,
    ui: &Ui,
    args: &LogArgs,
    mut reader: Reader,
    mut new: Vec<LogLine>,
) -> Result<Exit, Failure> {
    const LOOK: Duration = Duration::from_millis(500);
    // What it warns of was told when it was opened first.
    let quiet = Ui { quiet: true, ..ui.clone() };
    let newest = |chain: &Chain| chain.entries.last().map(|entry| entry.record.seq);
    let mut last = newest(reader.chain(args.writer.as_deref())?);
    // Nothing is known to be unchanged since the records were read, so that none is missed.
    let mut heads = Vec::new();
    let mut shown = Shown::default();
    loop {
        if !shown.more(ui, new) {
            return Ok(Exit::Done);
        }
        // Reading the records costs much more than seeing that there is no new one.
        let prefix = ledger::chain_prefix(&reader.environment);
        heads = loop {
            std::thread::sleep(LOOK);
            let now = reader.git.refs(&prefix)?;
            if now != heads {
                break now;
            }
        };
        reader = Reader::open(globals, &quiet, args.environment.as_deref())?;
        let chain = reader.chain(args.writer.as_deref())?;
        let later = chain.entries.iter().filter(|entry| Some(entry.record.seq) > last);
        new = later.filter(|entry| args.shows(entry)).map(|entry| line(&reader, entry)).collect();
        last = newest(chain).max(last);
    }
}

/// What `--follow` printed: the next lines are aligned with it.
#[derive(Default)]
struct Shown {
    lines: Vec<LogLine>,
    head: bool,
}

impl Shown {
    /// Prints further lines. Whether anyone reads on.
    fn more(&mut self, ui: &Ui, mut new: Vec<LogLine>) -> bool {
        const ALIGNED: usize = 50;
        if ui.lines {
            return new.into_iter().all(|line| {
                ui.event(&RecordEvent::Record { gitroll: JSON_VERSION, line: Box::new(line) })
            });
        }
        let known = self.lines.len() + usize::from(self.head);
        self.head = true;
        self.lines.append(&mut new);
        let lines = table(&self.lines, &[], &ui.out).lines(&ui.out);
        self.lines.drain(..self.lines.len().saturating_sub(ALIGNED));
        lines.iter().skip(known).all(|line| ui.line_of_stream(line))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_typed_in_several_ways() {
        let typed = |text: &str| since(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(typed("2026-11-30T14:00:00Z").to_string(), "2026-11-30T14:00:00Z");
        let local = |text: &str| typed(text).to_zoned(TimeZone::system()).datetime();
        assert_eq!(local("2026-11-30").to_string(), "2026-11-30T00:00:00");
        assert_eq!(local("2026-11-30 14:05").to_string(), "2026-11-30T14:05:00");
        let day = clock::now().duration_since(typed("24h"));
        assert!((86_399..86_402).contains(&day.as_secs()), "{day:?}");
        assert!(since("last week").is_err_and(|why| why.contains("nor a day")));
    }
}
