//! `gitroll stats`

use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use super::log::waited;
use super::reader::Reader;
use crate::config::{self, Rto};
use crate::ledger::{self, Entry};
use crate::report::statistics::{Act, Counts, Recovery, Statistics, statistics};
use crate::system::clock;
use crate::ui::{Ui, duration, span};

/// Show how often changes are made, how many fail, and how long it takes to recover
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll stats                  the last 90 days of this host
  gitroll stats --since 365d --json
  gitroll stats --writer web-2   another host's, as fetched

A change failed if it did not end serving, or if it was rolled back before the next one. A recovery is an act that began while what served was failing, and ended serving.")]
pub struct StatsArgs {
    /// How far to look back, e.g. 30d
    #[arg(long, value_name = "TIME", default_value = "90d")]
    since: String,
    /// Show another writer's records
    #[arg(long, value_name = "NAME")]
    writer: Option<String>,
    /// Show another environment's records
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

/// The answer of `stats`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatsAnswer {
    /// What was counted.
    #[serde(flatten)]
    pub statistics: Statistics,
    /// The times promised by `[rto]` of the last accepted configuration, in milliseconds: `flags`, `code`.
    pub promised_millis: [Option<u64>; 2],
}

/// Runs it.
///
/// # Errors
/// When the chain cannot be read.
pub fn run(globals: &Globals, ui: &Ui, args: &StatsArgs) -> Result<Exit, Failure> {
    let back = config::duration(&args.since)
        .map_err(|why| Failure::new(Status::Usage, format!("--since: {why}")))?;
    let reader = Reader::open(globals, ui, args.environment.as_deref())?;
    let chain = reader.chain(args.writer.as_deref())?;
    let until = clock::now();
    let since = until.saturating_sub(jiff::SignedDuration::try_from(back).unwrap_or_default());
    let acts: Vec<Act> = chain.entries.iter().filter_map(|entry| act(&reader, entry)).collect();
    let rto = chain.entries.last().and_then(|entry| {
        let text = ledger::config(&reader.git, entry).ok()?;
        Some(config::parse(&text, "gitroll.toml").ok()?.rto)
    });
    let rto: Rto = rto.unwrap_or_default();
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let answer = StatsAnswer {
        statistics: statistics(&acts, since.unwrap_or(until), until),
        promised_millis: [rto.flags.map(millis), rto.code.map(millis)],
    };
    print(ui, &answer, back);
    ui.document("stats", 0, &answer);
    Ok(Exit::Done)
}

fn act(reader: &Reader, entry: &Entry) -> Option<Act> {
    let record = &entry.record;
    let evidence = ledger::evidence(&reader.git, entry).ok()?;
    evidence.run.as_ref()?;
    Some(Act {
        at: evidence.finished,
        event: record.event.clone(),
        outcome: record.outcome,
        from: record.from.clone(),
        to: record.to.clone().or(record.subject.clone()),
        failing: !evidence.faults_before.is_empty()
            || evidence.baseline.iter().any(|check| check.failed()),
        took: Duration::from_millis(waited(&evidence)),
    })
}

fn print(ui: &Ui, answer: &StatsAnswer, back: Duration) {
    let found = &answer.statistics;
    let field = |name: &str, value: String| ui.line(&format!("  {name:<15} {value}"));
    ui.line(&format!("the last {}", span(back)));
    field("deploys", counts(&found.deploys));
    field("rollbacks", counts(&found.rollbacks));
    field(
        "failed changes",
        match found.change_failure_percent {
            Some(percent) => {
                format!("{percent} % ({} of {})", found.failed_changes, found.deploys.total)
            }
            None => "none were made".to_owned(),
        },
    );
    field("frequency", format!("{} deploys a week", found.deploys_per_week));
    for recovery in &found.recovery {
        let promised = answer.promised_millis[usize::from(recovery.level == "code")];
        field(&format!("recovery {}", recovery.level), times(recovery, promised));
    }
    if found.recovery.is_empty() {
        field("recovery", "nothing had to be recovered".to_owned());
    }
    let most = found.weeks.iter().map(|week| week.deployed + week.failed + week.rolled_back);
    let most = most.max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let (done, not, undone) = ("#", "x", "<");
    ui.line(&format!("  by week         {done} deployed  {not} failed  {undone} rolled back"));
    for week in &found.weeks {
        // A bar never grows wider than the line.
        let scaled = |count: usize| if most > WIDE { (count * WIDE).div_ceil(most) } else { count };
        let bar = [(done, week.deployed), (not, week.failed), (undone, week.rolled_back)]
            .map(|(sign, count)| sign.repeat(scaled(count)))
            .concat();
        let day = week.begin.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d");
        ui.line(format!("  {day}      {bar}").trim_end());
    }
}

const WIDE: usize = 50;

fn counts(counts: &Counts) -> String {
    let Counts { total, succeeded, restored, failed } = counts;
    match total {
        0 => "none".to_owned(),
        _ => format!("{total}: {succeeded} succeeded, {restored} restored, {failed} failed"),
    }
}

fn times(recovery: &Recovery, promised: Option<u64>) -> String {
    let told = |millis| duration(Duration::from_millis(millis));
    let promised = promised.map(|time| format!(" (rto {})", told(time))).unwrap_or_default();
    format!(
        "median {}, p95 {}, longest {} of {}{promised}",
        told(recovery.median_millis),
        told(recovery.p95_millis),
        told(recovery.longest_millis),
        recovery.count
    )
}
