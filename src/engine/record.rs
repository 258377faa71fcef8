//! From a run to its record: draft, append, the queue of unsigned ones, publishing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entry::{Entry, Reason};
use super::error::EngineError;
use super::journal::Line;
use super::run::Run;
use super::{data, legacy, migrate};
use crate::ledger::{self, Draft, Ledger, LedgerError, Projecting};
use crate::model::{
    ArtifactEvidence, Cause, CheckEvidence, Digest, Event, Evidence, FlagEvidence, FullLevel,
    FullPlan, ItemSection, Oid, Outcome, Plan, Record, SavedFile, ServiceEvidence, Step,
    StepEvidence, dotenv,
};
use crate::site::Site;
use crate::system::git::{GitError, Pushed};
use crate::system::{clock, failpoint, files};

/// How long a remote may say nothing where nobody needs to wait for it: the record stays in its chain, and the next
/// command that publishes takes it along.
pub const SHORT_WAIT: Duration = Duration::from_secs(3);

/// The same where a person asked for it, or `[remote] required` makes the exit code depend on it.
pub const LONG_WAIT: Duration = Duration::from_secs(20);

/// How often a lost race for the chain's ref is tried again.
const TRIES: usize = 20;

/// Below the state directory: what [`unprojected`] says.
const UNPROJECTED: &str = "unprojected";

const MOST_UNPROJECTED: u64 = 1 << 20;

/// Appends the record of a run, or queues it where it cannot be signed or written now (`Err` with why): what
/// serves was proven, and no full disk or foreign file in `.git` makes that untrue. Its tag and note come with
/// [`project_all`], once the answer is told.
pub(super) fn record(
    site: &Site,
    run: &Run,
    outcome: Outcome,
) -> Result<Result<ledger::Entry, String>, EngineError> {
    if let Some(entry) = already_recorded(site, run)? {
        return Ok(Ok(entry));
    }
    let draft = draft(site, run, outcome);
    match append_alone(site, &draft) {
        Ok(entry) => Ok(Ok(entry)),
        Err(error) => {
            queue(site, run, &draft)?;
            Ok(Err(match error {
                LedgerError::Sign(why) | LedgerError::Untrusted { problem: why, .. } => why,
                other => other.to_string(),
            }))
        }
    }
}

/// Appends a draft to the site's own chain and rebuilds the projections.
///
/// # Errors
/// As [`ledger::append`].
pub fn append(site: &Site, draft: &Draft) -> Result<ledger::Entry, LedgerError> {
    let entry = append_alone(site, draft)?;
    let ledger = site.ledger()?;
    project(site, &ledger, Projecting::Onward);
    Ok(entry)
}

/// [`append`] without tags and notes.
fn append_alone(site: &Site, draft: &Draft) -> Result<ledger::Entry, LedgerError> {
    let mut tries = 0;
    loop {
        let before = site.ledger()?;
        match ledger::append(&site.git, &site.binding, &before, draft.clone()) {
            Err(LedgerError::Raced) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// Rebuilds the tags and notes of all records, as they are now.
pub fn project_all(site: &Site) {
    match site.ledger() {
        Ok(ledger) => project(site, &ledger, Projecting::Onward),
        Err(error) => tracing::warn!("tags and notes of records are not written: {error}"),
    }
}

/// Rebuilds the tags and notes of the records. What cannot be made is noted for [`unprojected`]: the records themselves
/// are in their chains.
pub fn project(site: &Site, ledger: &Ledger, how: Projecting) {
    let missing = match ledger::project(&site.git, &site.binding.environment, ledger, how) {
        Ok(taken) => taken.iter().map(ToString::to_string).collect(),
        Err(error) => vec![format!("tags and notes of records cannot be written: {error}")],
    };
    let path = site.state().join(UNPROJECTED);
    let noted = match (missing.is_empty(), path.exists()) {
        (true, false) => Ok(()),
        (true, true) => fs::remove_file(&path),
        (false, _) => files::write_durably(&path, missing.join("\n").as_bytes(), 0o600),
    };
    if let Err(error) = noted {
        tracing::warn!("{}: {error}", path.display());
    }
}

/// What the last rebuilding of tags and notes could not make, a line each.
pub fn unprojected(site: &Site) -> Vec<String> {
    let text = files::read_plain(&site.state().join(UNPROJECTED), MOST_UNPROJECTED);
    let text = String::from_utf8(text.unwrap_or_default()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Records that wait to be signed, oldest first.
pub fn queued(site: &Site) -> Vec<PathBuf> {
    ledger::queued(&site.git)
}

fn queue_dir(site: &Site) -> PathBuf {
    ledger::queue_dir(&site.git)
}

/// Signs and appends what is queued; says how many records that were.
///
/// # Errors
/// The first that still cannot be signed; the queue is left as it is from there on.
pub fn sign_queued(site: &Site) -> Result<usize, LedgerError> {
    let mut signed = 0;
    for path in queued(site) {
        let unreadable =
            |problem: String| LedgerError::Malformed { name: path.display().to_string(), problem };
        let bytes = files::read_state(&path).map_err(|e| unreadable(e.to_string()))?;
        let draft: Draft = serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
        let known = ledger::recorded(&site.git, &*site.ledger()?, &draft)?;
        let entry = known.map_or_else(|| append(site, &draft), Ok)?;
        // Before it is gone: what comes after it may lift it by the name that it had until now.
        rename_in_queue(site, &path, draft.provisional_digest(), entry.digest)
            .map_err(|e| unreadable(e.to_string()))?;
        // Durably: it would be signed a second time once others have followed.
        let removed = fs::remove_file(&path).and_then(|()| files::sync_dir(&queue_dir(site)));
        removed.map_err(|e| unreadable(e.to_string()))?;
        signed += 1;
    }
    Ok(signed)
}

/// Pushes the own chain (and record tags and stable tags where wanted) to the remote, if that answers within
/// `patience`. `None` when there is no remote of that name.
pub fn publish(site: &Site, remote: &str, more: &[String], patience: Duration) -> Option<Pushed> {
    if !site.git.remotes().iter().any(|name| name == remote) {
        return None;
    }
    let chain = ledger::chain_ref(&site.binding.environment, &site.binding.writer);
    // A push says nothing while it is at work; whether anybody is there, the remote says at once.
    match site.git.remote_ref(remote, &chain, patience) {
        Ok(_) => {}
        Err(GitError::TimedOut { .. }) => {
            let seconds = patience.as_secs();
            return Some(Pushed::Failed(format!("{remote} did not answer within {seconds} s")));
        }
        Err(GitError::Command { problem, .. }) => return Some(Pushed::Failed(problem)),
        Err(error) => return Some(Pushed::Failed(error.to_string())),
    }
    let mut refs = vec![chain.clone()];
    refs.extend(more.iter().cloned());
    let mut pushed =
        site.git.push(remote, &refs).unwrap_or_else(|error| Pushed::Failed(error.to_string()));
    if let Pushed::Rejected(why) = &mut pushed
        && let Ok(Some(there)) = site.git.remote_ref(remote, &chain, patience)
        && let Some(told) = other_records(site, remote, &there)
    {
        *why = told;
    }
    if pushed == Pushed::Done
        && let Ok(Some(head)) = site.git.find_ref(&chain)
    {
        let path = site.state().join("published");
        let _ = files::write_durably(&path, head.as_str().as_bytes(), 0o600);
    }
    Some(pushed)
}

/// What happened where a remote's head of the own chain is not among the records here; `None` where it is.
pub fn other_records(site: &Site, remote: &str, there: &Oid) -> Option<String> {
    let chain = ledger::chain_ref(&site.binding.environment, &site.binding.writer);
    let here = site.git.find_ref(&chain).ok().flatten();
    let git = &site.git;
    let within = |outer: &Oid, inner: &Oid| {
        outer == inner || git.has(inner) && git.contains(outer, inner).unwrap_or(false)
    };
    if here.as_ref().is_some_and(|here| within(here, there)) {
        return None;
    }
    let _ = git.fetch_objects(remote, &chain);
    Some(match here.is_some_and(|here| git.has(there) && within(there, &here)) {
        true => format!(
            "{remote} has later records of this host than are here: this checkout or machine was restored from an older \
             copy. gitroll init --new-writer begins a chain of its own"
        ),
        false => format!(
            "{remote} has other records of this host ({}) than are here: this checkout was copied, or restored from an \
             older copy. gitroll init --new-writer begins a chain of its own",
            there.short()
        ),
    })
}

/// The chain's head as it was last pushed.
pub fn published_head(site: &Site) -> Option<Oid> {
    let text = files::read_state(&site.state().join("published")).ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

fn already_recorded(site: &Site, run: &Run) -> Result<Option<ledger::Entry>, EngineError> {
    // What was recorded is recorded, whether it is believed now or not.
    let ledger = site.ledger_as_seen()?;
    let Some(entry) = ledger.chains.get(&site.binding.writer).and_then(|c| c.entries.last()) else {
        return Ok(None);
    };
    let evidence = ledger::evidence(&site.git, entry)?;
    Ok((evidence.run.as_ref() == Some(&run.id)).then(|| entry.clone()))
}

/// Gives a record that was signed its own digest in those that wait and name it.
fn rename_in_queue(site: &Site, signed: &Path, from: Digest, to: Digest) -> io::Result<()> {
    for path in queued(site).into_iter().filter(|path| path != signed) {
        let bytes = files::read_state(&path)?;
        let Ok(mut draft) = serde_json::from_slice::<Draft>(&bytes) else { continue };
        let named = draft.record.lifts.iter_mut().filter(|lifted| **lifted == from);
        if named.map(|lifted| *lifted = to).count() > 0 {
            files::write_durably(&path, &serde_json::to_vec_pretty(&draft)?, 0o600)?;
        }
    }
    Ok(())
}

/// Appends the draft of a statement that no run made, or queues it where it cannot be signed or written now
/// (`Ok(None)`).
///
/// # Errors
/// When it cannot be queued either.
pub fn append_or_queue(site: &Site, draft: &Draft) -> Result<Option<ledger::Entry>, EngineError> {
    match append(site, draft) {
        Ok(entry) => Ok(Some(entry)),
        Err(error) => {
            tracing::warn!("the record is not signed yet: {error}");
            // Behind those of runs that began in the same second, and in the order they were made.
            let time = draft.person.time.strftime("%Y%m%d-%H%M%S");
            let name = format!("{time}-zz{:03}", queued(site).len());
            queue_as(site, &name, draft)?;
            Ok(None)
        }
    }
}

/// The drafts that wait to be signed, oldest first; what cannot be read is left out.
pub fn queued_drafts(site: &Site) -> Vec<Draft> {
    ledger::queued_drafts(&site.git)
}

fn queue(site: &Site, run: &Run, draft: &Draft) -> Result<(), EngineError> {
    queue_as(site, run.id.as_str(), draft)
}

fn queue_as(site: &Site, name: &str, draft: &Draft) -> Result<(), EngineError> {
    let dir = queue_dir(site);
    let path = dir.join(format!("{name}.json"));
    let io = |source| super::JournalError::Io { path: path.clone(), source };
    files::make_private_dir(&dir).map_err(io)?;
    failpoint::pass("queue before").map_err(io)?;
    let json = serde_json::to_vec_pretty(draft).map_err(|e| io(e.into()))?;
    files::write_durably(&path, &json, 0o600).map_err(io)?;
    Ok(())
}

fn draft(site: &Site, run: &Run, outcome: Outcome) -> Draft {
    let plan = &run.plan;
    let succeeded = outcome == Outcome::Succeeded;
    let served = match outcome {
        Outcome::Succeeded => Some(&plan.to),
        Outcome::Restored => Some(&plan.from),
        Outcome::Failed => None,
    };
    let attempted = (!succeeded).then(|| plan.to.commit.clone());
    let mut record = Record::new(&site.line(), plan.event.clone());
    record.clock = clock::since_boot();
    record.outcome = outcome;
    // What was left is what served when the act began, not a candidate of it that failed.
    let first = run.follows().first().and_then(|first| Run::open(site, first).ok());
    record.from = Some(
        first
            .filter(|_| succeeded)
            .map_or_else(|| plan.from.commit.clone(), |first| first.plan.from.commit),
    );
    record.to = served.map(|s| s.commit.clone());
    record.target.clone_from(&plan.target);
    record.subject = if succeeded { plan.recorded.subject.clone() } else { attempted };
    record.components.clone_from(&plan.recorded.components);
    if succeeded {
        record.flags = plan.flags().cloned().collect();
    }
    if succeeded {
        record.verdict = plan.recorded.verdict;
        record.hold.clone_from(&plan.recorded.hold);
        record.lifts.clone_from(&plan.recorded.lifts);
    }
    record.plan = Some(plan.digest());
    let evidence = evidence(site, run, outcome);
    let noted =
        |line: &Line| matches!(&line.entry, Entry::TreeRestored { notes, .. } if !notes.is_empty());
    // Not all flags were restored, or nobody knows.
    let doubt = run.journal.lines().iter().any(noted);
    let how = How {
        stopped: was_stopped(&evidence),
        doubt,
        nothing_served: run.nothing_served(),
        migrated: evidence.migration.is_some(),
    };
    record.sentence = sentence(plan, outcome, how);
    let overridden = evidence.approvals.as_ref().and_then(|given| given.overridden.as_deref());
    if let Some(reason) = overridden {
        let reason = reason.lines().next().unwrap_or_default();
        record.sentence = format!("WITHOUT APPROVAL ({reason}): {}", record.sentence);
    }
    record.reason.clone_from(&plan.recorded.reason);
    let config = if succeeded { &plan.config } else { &plan.config_before };
    Draft { record, evidence, config: config.clone(), person: site.person() }
}

/// What a record's sentence says besides the outcome.
#[derive(Debug, Clone, Copy)]
struct How {
    /// By a person.
    stopped: bool,
    /// Nobody knows whether all flags were restored.
    doubt: bool,
    /// Before the run.
    nothing_served: bool,
    /// Migrations are taken back.
    migrated: bool,
}

fn sentence(plan: &Plan, outcome: Outcome, how: How) -> String {
    let How { stopped, doubt, nothing_served, .. } = how;
    let place = format!("{} {}", plan.environment, host_name(plan.writer.as_str()));
    if plan.event == Event::Flags {
        return format!("{place}: {}", flags_sentence(plan, outcome, doubt));
    }
    if plan.event == Event::Migrate {
        return format!("{place}: {}", migrate_sentence(plan, outcome, how));
    }
    if let Some(full) = &plan.full {
        return format!("{place}: {}", full_sentence(plan, full, outcome, stopped));
    }
    let (from, to) = (&plan.from.name, &plan.to.name);
    if nothing_served && outcome == Outcome::Failed {
        let how = if stopped { "was stopped" } else { "failed" };
        return format!("{place}: deploy to {to} {how}, nothing served before");
    }
    let act = match plan.event {
        Event::Back => "rollback",
        Event::Component => "component rollback",
        _ => "deploy",
    };
    match (outcome, &plan.event) {
        (Outcome::Succeeded, Event::Back) if !plan.recorded.lifts.is_empty() => {
            format!("{place}: returned from {from} to {to}")
        }
        (Outcome::Succeeded, Event::Back) => {
            format!("{place}: rolled back from {from} to {to}")
        }
        (Outcome::Succeeded, Event::Component) => {
            let ids: Vec<&str> = plan.recorded.components.iter().map(|id| id.as_str()).collect();
            format!("{place}: put {} back: {to}, was {from}", ids.join(", "))
        }
        (Outcome::Succeeded, _) if plan.from.commit == plan.to.commit => {
            format!("{place}: deployed {to}")
        }
        (Outcome::Succeeded, _) => format!("{place}: deployed {to}, was {from}"),
        (Outcome::Restored, _) if stopped => {
            format!("{place}: {act} to {to} was stopped, {from} restored")
        }
        (Outcome::Restored, _) => format!("{place}: {act} to {to} failed, {from} restored"),
        (Outcome::Failed, _) => format!("{place}: {act} to {to} failed, nothing healthy serves"),
    }
}

/// What became of migrations.
fn migrate_sentence(plan: &Plan, outcome: Outcome, how: How) -> String {
    const SHOWN: usize = 4;
    let names = plan.migrates().map(crate::model::MigrateStep::names).unwrap_or_default();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let (names, from) = (format!("{shown}{more}"), &plan.from.name);
    match outcome {
        Outcome::Succeeded => format!("took back {names}, {from} serves"),
        Outcome::Failed if how.migrated => format!("took back {names}, {from} fails as before"),
        Outcome::Restored if how.stopped => {
            format!("taking back {names} was stopped, database restored")
        }
        Outcome::Restored => format!("taking back {names} failed, database restored"),
        Outcome::Failed => format!("taking back {names} failed, nothing healthy serves"),
    }
}

/// What became of data and settings, and of the code where it went along.
fn full_sentence(plan: &Plan, full: &FullPlan, outcome: Outcome, stopped: bool) -> String {
    let (from, to) = (&plan.from.name, &plan.to.name);
    let names: Vec<String> = full
        .items
        .iter()
        .map(|item| match item.section {
            ItemSection::Data => item.name.to_string(),
            ItemSection::Settings => format!("settings {}", item.name),
        })
        .collect();
    let target = full.point.as_ref().map_or("their defaults".to_owned(), |p| p.id.to_string());
    let data = format!("{} to {target}", names.join(", "));
    let what = match full.level {
        FullLevel::Full if from != to => format!("{from} to {to}, with {data}"),
        _ => data,
    };
    match outcome {
        Outcome::Succeeded => format!("rolled back {what}"),
        Outcome::Restored if stopped => format!("rollback of {what} was stopped, {from} restored"),
        Outcome::Restored => format!("rollback of {what} failed, {from} restored"),
        Outcome::Failed => format!("rollback of {what} failed, nothing healthy serves"),
    }
}

/// What became of flags, values included where they are few and short.
fn flags_sentence(plan: &Plan, outcome: Outcome, doubt: bool) -> String {
    const SHOWN: usize = 4;
    const MOST: usize = 600;
    let changes: Vec<String> = plan
        .flags()
        .map(|change| {
            let (after, before) = (change.after.plain(), change.before.plain());
            format!("{} to {after}, was {before}", change.name)
        })
        .collect();
    let whole = changes.join("; ");
    let names = plan.flags().map(|change| change.name.as_str()).take(SHOWN).collect::<Vec<_>>();
    let many = changes.len() > SHOWN || whole.len() > MOST || whole.contains(char::is_control);
    let more = if changes.len() > SHOWN { ", …" } else { "" };
    let short = format!("{} of {}{more}", changes.len(), names.join(", "));
    match outcome {
        Outcome::Succeeded if many => format!("set flags: {short}"),
        Outcome::Succeeded => format!("set {whole}"),
        Outcome::Restored => {
            let values =
                if doubt { "with a warning about what is there now" } else { "values restored" };
            format!("setting flags {} failed, {values}", names.join(", "))
        }
        Outcome::Failed => format!("setting flags {} failed", names.join(", ")),
    }
}

/// Whether a person ended the act that this is the evidence of, by `abort` or by a signal: nothing is wrong with
/// what it was to put in place, as far as anyone knows.
pub fn was_stopped(evidence: &Evidence) -> bool {
    let said = || evidence.run.as_ref().and(evidence.failure.as_deref());
    evidence.cause.or_else(|| said().map(legacy::cause_of_failure)).is_some_and(Cause::is_person)
}

/// Whether the watchdog finished the act that this is the evidence of.
pub fn by_watchdog(evidence: &Evidence) -> bool {
    evidence.watchdog.unwrap_or_else(|| legacy::by_watchdog(&evidence.warnings))
}

/// The writer's name without its random suffix.
pub fn host_name(writer: &str) -> &str {
    writer.rsplit_once('.').map_or(writer, |(name, _)| name)
}

fn evidence(site: &Site, run: &Run, outcome: Outcome) -> Evidence {
    let plan = &run.plan;
    let lines = run.journal.lines();
    let mut evidence = Evidence::at(lines.first().map_or_else(clock::now, |l| l.at), &site.actor);
    evidence.finished = clock::now();
    evidence.run = Some(run.id.clone());
    let (served, artifacts): (_, &[ArtifactEvidence]) = match outcome {
        Outcome::Succeeded => (Some(&plan.to), &plan.artifacts),
        Outcome::Restored => (Some(&plan.from), &plan.artifacts_before),
        Outcome::Failed => (None, &plan.artifacts),
    };
    evidence.name = served.map(|s| s.name.clone());
    evidence.version = served.and_then(|s| s.version.clone());
    // What a build could have made and did not is not an artifact.
    let made = |a: &&ArtifactEvidence| !site.store.was_absent(&a.key, &a.output).unwrap_or(false);
    evidence.artifacts = artifacts.iter().filter(made).cloned().collect();
    let taken_out = plan.activation.artifacts.iter().filter(|_| outcome == Outcome::Succeeded);
    evidence.left = taken_out
        .filter_map(|change| {
            let (output, key) = (change.output.clone(), change.outgoing.clone()?);
            Some(ArtifactEvidence { group: None, output, key })
        })
        .collect();
    evidence.baseline = run.journal.begun().map(|b| b.baseline.clone()).unwrap_or_default();
    (evidence.checks, evidence.services) = observed(lines);
    evidence.witnessed = lines.iter().rev().find_map(|line| match &line.entry {
        Entry::Proven { witnessed, .. } | Entry::Restored { witnessed, .. } => witnessed.clone(),
        _ => None,
    });
    evidence.faults_before = run.journal.begun().map(|b| b.faults.clone()).unwrap_or_default();
    evidence.flags =
        lines.iter().rev().find_map(|line| shown_flags(&line.entry)).unwrap_or_default();
    evidence.steps = lines.iter().flat_map(steps).collect();
    evidence.skipped = plan.skipped.clone();
    evidence.warnings = plan.warnings.clone();
    evidence.warnings.extend(lines.iter().flat_map(|line| said(plan, line)).cloned());
    evidence.decisions = plan.recorded.decisions.clone();
    evidence.watchdog = Some(run.by_watchdog);
    if run.by_watchdog {
        let began = run.journal.begun().map_or("somebody", |begun| &begun.actor);
        let text =
            format!("finished by the watchdog: the process that {began} began it with was killed");
        evidence.warnings.push(text);
    }
    evidence.waited_millis = run.journal.begun().map(|begun| begun.waited_millis);
    evidence.warnings.extend(run.interruptions());
    // A person who gives a run up began its end, even where what is restored fails after that.
    let why = lines.iter().find_map(|line| line.entry.failure().or_else(|| line.entry.reason()));
    if let Some(Reason { cause, text }) = why.filter(|_| outcome != Outcome::Succeeded) {
        (evidence.failure, evidence.cause) = (Some(text), Some(cause));
    }
    if outcome == Outcome::Succeeded {
        evidence.saved = plan
            .activation
            .saves
            .iter()
            .map(|save| SavedFile {
                path: save.path.clone(),
                saved: format!("gitroll/saved/{}/{}", run.id, save.path),
            })
            .collect();
    }
    if outcome == Outcome::Succeeded {
        evidence.brought_back = data::brought_back(run).0;
    }
    evidence.copy_of_now = data::brought_back(run).1;
    evidence.weak = run.weakness().filter(|_| outcome != Outcome::Failed);
    evidence.environment_keys = environment_keys(site);
    evidence.approvals = run.journal.begun().and_then(|begun| begun.approvals.clone());
    evidence.migration = (outcome != Outcome::Restored && !run.is_restoring())
        .then(|| migrate::evidence(site, run))
        .flatten();
    evidence
}

fn observed(lines: &[Line]) -> (Vec<CheckEvidence>, Vec<ServiceEvidence>) {
    lines
        .iter()
        .rev()
        .find_map(|line| match &line.entry {
            Entry::Proven { checks, services, .. } | Entry::Restored { checks, services, .. } => {
                Some((checks.clone(), services.clone()))
            }
            _ => None,
        })
        .unwrap_or_default()
}

/// What a person was told while it ran: of flags that someone set meanwhile, of what a build made, of processes that
/// no service restarts.
fn said<'l>(plan: &Plan, line: &'l Line) -> &'l [String] {
    match &line.entry {
        Entry::TreeRestored { notes, .. } => notes,
        Entry::HookEnded { warnings, .. } => warnings,
        Entry::Done { step, output, warnings, .. } => match plan.steps.get(*step) {
            // Written before there were warnings, too.
            Some(Step::Flags(_)) => output,
            _ => warnings,
        },
        _ => &[],
    }
}

fn shown_flags(entry: &Entry) -> Option<Vec<FlagEvidence>> {
    match entry {
        Entry::Proven { flags, .. } => Some(flags.clone()),
        _ => None,
    }
}

fn steps(line: &Line) -> Vec<StepEvidence> {
    let of = |step: &str, millis: u64, result: &str, output: Vec<String>| StepEvidence {
        step: step.to_owned(),
        millis,
        result: result.to_owned(),
        output,
    };
    let one = |step: &str, millis: u64, result: &str, output: Vec<String>| {
        vec![of(step, millis, result, output)]
    };
    match &line.entry {
        Entry::Done { label, millis, output, .. } => one(label, *millis, "done", output.clone()),
        Entry::Failed { label, millis, why, lines, .. } => {
            let mut output = vec![why.clone()];
            output.extend(lines.iter().map(|(source, text)| format!("{source}: {text}")));
            one(label, *millis, "failed", output)
        }
        Entry::HookEnded { label, millis, output, warnings, .. } => {
            let result = if warnings.is_empty() { "done" } else { "failed" };
            one(label, *millis, result, output.iter().chain(warnings).cloned().collect())
        }
        Entry::Proven { millis, .. } => one("prove", *millis, "done", Vec::new()),
        Entry::TreeRestored { millis, .. } => one("activate", *millis, "restored", Vec::new()),
        Entry::Restored { millis, reloads, .. } => {
            let reloads = reloads.iter().map(|(service, millis)| {
                of(&format!("reload {service}"), *millis, "restored", Vec::new())
            });
            reloads.chain([of("prove", *millis, "restored", Vec::new())]).collect()
        }
        _ => Vec::new(),
    }
}

/// The names of the variables in the live `.env`; never their values.
fn environment_keys(site: &Site) -> Vec<String> {
    let bytes = files::read_plain(&site.top().join(".env"), dotenv::MOST_BYTES);
    bytes.map(|bytes| dotenv::names(&bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(failure: &str, cause: Option<Cause>) -> Evidence {
        let mut evidence = Evidence::at(jiff::Timestamp::UNIX_EPOCH, "ana");
        evidence.run = "20261120-031204-k3f9".parse().ok();
        evidence.failure = Some(failure.to_owned());
        evidence.cause = cause;
        evidence
    }

    #[test]
    fn no_text_of_a_record_is_taken_for_a_cause() {
        for text in legacy::PHRASES {
            assert!(!was_stopped(&evidence(text, Some(Cause::Failed))), "{text}");
            assert!(!was_stopped(&evidence(text, Some(Cause::AbortedByWatchdog))), "{text}");
            assert!(was_stopped(&evidence(text, Some(Cause::Aborted))), "{text}");
            assert!(was_stopped(&evidence(text, Some(Cause::Interrupted))), "{text}");
            let mut finished = evidence(text, Some(Cause::Failed));
            finished.warnings.push(text.to_owned());
            finished.watchdog = Some(false);
            assert!(!by_watchdog(&finished), "{text}");
        }
    }

    #[test]
    fn what_was_no_run_was_not_stopped() {
        let mut found = evidence("health: interrupted by SIGTERM", None);
        found.run = None;
        assert!(!was_stopped(&found));
    }

    #[test]
    fn a_cause_of_a_later_version_is_a_failure() {
        let cause: Result<Cause, _> = serde_json::from_str("\"struck-by-lightning\"");
        assert_eq!(cause.ok(), Some(Cause::Failed));
        let known = serde_json::to_string(&Cause::AbortedByWatchdog).ok();
        assert_eq!(known.as_deref(), Some("\"aborted-by-watchdog\""));
    }

    #[test]
    fn evidence_without_a_cause_is_read_by_its_words() {
        let text = r#"{"evidence":1,"run":"20261120-031204-k3f9","started":"2026-11-20T03:12:04Z",
            "finished":"2026-11-20T03:12:09Z","failure":"prove: interrupted by SIGTERM",
            "warnings":["finished by the watchdog: the process ana began it with was killed"]}"#;
        let evidence: Option<Evidence> = serde_json::from_str(text).ok();
        assert!(evidence.as_ref().is_some_and(was_stopped));
        assert!(evidence.as_ref().is_some_and(by_watchdog));
    }
}
