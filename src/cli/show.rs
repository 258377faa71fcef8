//! `gitroll show`

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::log::AttemptLine;
use super::reader::Reader;
use crate::engine::{self, Attempt};
use crate::ledger::{self, Entry};
use crate::model::{Digest, Event, Evidence, Oid, Person, Record, RunId, Seq};
use crate::site::Site;
use crate::system::clock;
use crate::system::git::Git;
use crate::ui::{Ui, clock_word, duration, escape};

/// Show one record: what happened, who signed it and what was observed
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll show                  the newest record
  gitroll show 44               record #44
  gitroll show v1.2.0-stable    the last record that deployed this tag
  gitroll show 4be21d9          the last record that deployed this commit
  gitroll show 44 --output      all that its builds wrote")]
pub struct ShowArgs {
    /// Record number, tag or commit; or a run that failed in its build
    what: Option<String>,
    /// Show all that the builds wrote, where this host keeps it
    #[arg(long)]
    output: bool,
    /// Show another writer's record
    #[arg(long, value_name = "NAME")]
    writer: Option<String>,
    /// Show another environment's record
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

/// The answer of `show`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShowAnswer {
    /// What it states.
    pub record: Record,
    /// Its digest.
    pub digest: Digest,
    /// Who signed it, and when.
    pub signer: Person,
    /// Whether the signature was verified against this host's trust file.
    pub verified: bool,
    /// The chain's commit that carries it.
    pub chain_commit: Oid,
    /// What was observed.
    pub evidence: Evidence,
    /// Reasons given afterwards, with who gave them.
    pub annotations: Vec<(String, String)>,
    /// All that the builds wrote, with `--output`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// The answer of `show` for a run that failed before anything was touched.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShowAttemptAnswer {
    /// The run, as in `log`.
    pub attempt: AttemptLine,
    /// Telling lines of what failed.
    pub lines: Vec<String>,
    /// All that the builds wrote, with `--output`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// Runs it.
///
/// # Errors
/// When there is no such record.
pub fn run(globals: &Globals, ui: &Ui, args: &ShowArgs) -> Result<Exit, Failure> {
    let reader = Reader::open(globals, ui, args.environment.as_deref())?;
    if let Some(attempt) = reader.attempts.iter().find(|one| args.names(one.run.id.as_str())) {
        return show_attempt(ui, args, &reader, attempt);
    }
    let chain = reader.chain(args.writer.as_deref())?;
    let entry = find(&reader, &chain.entries, args.what.as_deref())?;
    let evidence = ledger::evidence(&reader.git, entry)?;
    let annotations = chain
        .entries
        .iter()
        .filter(|e| e.record.annotates == Some(entry.digest))
        .filter_map(|e| Some((e.tagger.name.clone(), e.record.reason.clone()?)))
        .collect();
    let output = match &evidence.run {
        _ if !args.output => None,
        Some(run) => Some(output(&reader, run)?),
        None => return Err(Failure::unchanged(format!("#{} is not a run", entry.record.seq))),
    };
    let answer = ShowAnswer {
        output,
        record: entry.record.clone(),
        digest: entry.digest,
        signer: entry.tagger.clone(),
        verified: reader.binding.is_some(),
        chain_commit: entry.commit.clone(),
        evidence,
        annotations,
    };
    match &answer.output {
        Some(output) => print_output(ui, output),
        None => print(ui, &answer),
    }
    ui.document("show", 0, &answer);
    Ok(Exit::Done)
}

impl ShowArgs {
    fn names(&self, run: &str) -> bool {
        self.what.as_deref() == Some(run)
    }
}

fn show_attempt(
    ui: &Ui,
    args: &ShowArgs,
    reader: &Reader,
    attempt: &Attempt,
) -> Result<Exit, Failure> {
    let output = args.output.then(|| output(reader, &attempt.run.id)).transpose()?;
    let lines = attempt.lines.clone();
    let answer = ShowAttemptAnswer { attempt: AttemptLine::of(attempt), lines, output };
    let field = |name: &str, value: &str| ui.line(&format!("  {name:<9} {}", escape(value)));
    match &answer.output {
        Some(output) => print_output(ui, output),
        None => {
            let AttemptLine { act, to, at, actor, failure, took_millis, .. } = &answer.attempt;
            ui.line(&format!("{act} to {to} failed before the first change: no record"));
            field("when", &format!("{}  ({at})", clock_word(*at, clock::now())));
            field("who", actor);
            field("took", &duration(std::time::Duration::from_millis(*took_millis)));
            field("failure", failure);
            answer.lines.iter().for_each(|line| field("", line));
        }
    }
    ui.document("show", 0, &answer);
    Ok(Exit::Done)
}

/// What the builds of a run wrote.
fn output(reader: &Reader, run: &RunId) -> Result<String, Failure> {
    let nothing = || {
        Failure::unchanged("no output of its builds is kept")
            .detail("it built nothing, or ran on another host, or many runs ago ([retention] runs)")
    };
    let Some(binding) = reader.binding.clone() else { return Err(nothing()) };
    let git = Git::open(reader.git.top(), None).map_err(Failure::from)?;
    let site = Site::new(git, binding, String::new());
    let kept = engine::kept_output(&site, run);
    kept.map_err(|e| Failure::unchanged(e.to_string()))?.ok_or_else(nothing)
}

fn print_output(ui: &Ui, output: &str) {
    output.lines().for_each(|line| ui.line(&escape(line)));
}

fn find<'a>(
    reader: &Reader,
    entries: &'a [Entry],
    what: Option<&str>,
) -> Result<&'a Entry, Failure> {
    let missing = |what: &str| {
        Failure::unchanged(format!("no record of {what:?} here"))
            .next("gitroll log", "shows the records")
    };
    let Some(what) = what else {
        // What was said afterwards about a record is shown with it.
        let acts = entries.iter().rev().find(|entry| entry.record.annotates.is_none());
        return acts.ok_or_else(|| missing("anything"));
    };
    if let Some(seq) = Seq::typed(what)
        && let Some(entry) = entries.iter().find(|e| e.record.seq == seq)
    {
        return Ok(entry);
    }
    let commit = match reader.git.resolve(what) {
        Ok(commit) => commit,
        Err(_) => {
            let shown = reader.shown_as(entries, what);
            return shown.first().copied().ok_or_else(|| missing(what));
        }
    };
    let named = |entry: &&Entry| {
        let record = &entry.record;
        record.to.as_ref() == Some(&commit)
            || record.subject.as_ref() == Some(&commit)
            || entry.commit == commit
    };
    let placed = |entry: &&Entry| named(entry) && entry.record.event.serves();
    let acts = |entry: &&Entry| named(entry) && entry.record.event != Event::Promote;
    entries
        .iter()
        .rev()
        .find(placed)
        .or_else(|| entries.iter().rev().find(acts))
        .or_else(|| entries.iter().rev().find(named))
        .ok_or_else(|| missing(what))
}

fn print(ui: &Ui, answer: &ShowAnswer) {
    let record = &answer.record;
    let style = &ui.out;
    let field = |name: &str, value: &str| ui.line(&format!("  {name:<9} {}", escape(value)));
    ui.line(&format!("#{} {}", record.seq, escape(&record.sentence)));
    if let Some(reason) = &record.reason {
        for line in reason.lines() {
            field("reason", line);
        }
    }
    for (who, why) in &answer.annotations {
        field("added", &format!("{why} ({who})"));
    }
    let when = clock_word(answer.signer.time, clock::now());
    field("when", &format!("{when}  ({})", answer.signer.time));
    let signer = format!("{} <{}>", answer.signer.name, answer.signer.email);
    let trust = if answer.verified { "signature verified" } else { "signature not verified here" };
    field("who", &answer.evidence.actor);
    field("signed", &format!("by {signer}, {trust}"));
    field("act", &format!("{} {}", record.event, record.outcome.as_str()));
    for (name, commit) in [("from", &record.from), ("to", &record.to), ("subject", &record.subject)]
    {
        if let Some(commit) = commit {
            field(name, commit.as_str());
        }
    }
    if let Some(target) = &record.target {
        field("target", &format!("{} {}", target.name, target.id));
    }
    if let Some(verdict) = &record.verdict {
        field("verdict", &verdict.to_string());
    }
    if let Some(hold) = &record.hold {
        field("hold", &hold.to_string());
    }
    for lifted in &record.lifts {
        field("lifts", &lifted.to_string());
    }
    for (name, value) in &record.unknown {
        field("unknown", &format!("{name}: {value}"));
    }
    field("digest", &answer.digest.to_string());
    observed(ui, &answer.evidence);
    for step in &answer.evidence.steps {
        let sign = match step.result.as_str() {
            "done" => style.ok(),
            "failed" => style.bad(),
            _ => style.back(),
        };
        let took = duration(std::time::Duration::from_millis(step.millis));
        ui.line(&format!("  {sign} {:<14} {took}", escape(&step.step)));
        for line in &step.output {
            ui.line(&format!("      {}", escape(line)));
        }
    }
}

fn observed(ui: &Ui, evidence: &Evidence) {
    let field = |name: &str, value: &str| ui.line(&format!("  {name:<9} {}", escape(value)));
    if !evidence.faults_before.is_empty() {
        field("before", &format!("what served was failing: {}", evidence.faults_before.join("; ")));
    }
    for check in &evidence.checks {
        if let Some(why) = &check.skipped {
            field("check", &format!("{} not run: {why}", check.check));
            continue;
        }
        let told = if check.told_version { ", reports the version" } else { "" };
        field(
            "check",
            &format!(
                "{} {}/{}: {} in {} ms{told}",
                check.check, check.passes, check.wanted, check.last.answer, check.last.millis
            ),
        );
    }
    for service in &evidence.services {
        let pids: Vec<String> = service.pids.iter().map(u32::to_string).collect();
        field(
            "service",
            &format!(
                "{} {}: pids {}, {} fresh",
                service.service,
                service.state,
                pids.join(" "),
                service.fresh
            ),
        );
    }
    for artifact in &evidence.artifacts {
        let key = artifact.key.as_str();
        field("artifact", &format!("{} {}", artifact.output, &key[..key.len().min(16)]));
    }
    for saved in &evidence.saved {
        field("saved", &format!("{} in .git/{}", saved.path, saved.saved));
    }
    for skipped in &evidence.skipped {
        field("skipped", &format!("{}: {}", skipped.name, skipped.why));
    }
    if let Some(approvals) = &evidence.approvals {
        let given = approvals.given.iter().map(|given| format!("{} {}", given.role, given.name));
        match &approvals.overridden {
            Some(reason) => field("override", reason),
            None => field("approved", &given.collect::<Vec<_>>().join(", ")),
        }
    }
    if let Some(migration) = &evidence.migration {
        let names = migration.reverted.join(", ");
        field("migrated", &format!("{names} down, {}", migration.lost.in_words()));
        if let Some(kept) = &migration.kept {
            field("kept", &format!("the database as it was before: {kept}"));
        }
    }
    for decision in &evidence.decisions {
        field("decided", decision);
    }
    for warning in &evidence.warnings {
        field("warning", warning);
    }
    if let Some(weak) = &evidence.weak {
        field("weak", weak);
    }
    if let Some(failure) = &evidence.failure {
        field("failure", failure);
    }
}
