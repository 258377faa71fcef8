//! A run on disk: its directory, plan and journal.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use rustix::fs::FallocateFlags;

use super::entry::{Begun, Entry};
use super::journal::{Journal, JournalError};
use super::phase::Phase;
use crate::config::{self, Config, ConfigError};
use crate::model::{CheckedPlan, Digest, HiddenFlags, Plan, RunId, Step};
use crate::site::{Site, bytes_to_put_back};
use crate::system::{clock, failpoint, files};

/// One run: a plan and how far its execution came.
#[derive(Debug)]
pub struct Run {
    /// Its id; sorts by time.
    pub id: RunId,
    /// The plan that is executed.
    pub plan: Plan,
    /// What happened so far.
    pub journal: Journal,
    /// This process finishes it for the watchdog, not for a person.
    pub by_watchdog: bool,
    configs: Configs,
}

/// The configurations that a plan carries, parsed once. A run whose configurations no longer parse can still be
/// looked at, though neither finished nor undone.
#[derive(Debug, Clone)]
pub(super) struct Configs {
    target: Result<Config, UnreadableConfig>,
    before: Result<Config, UnreadableConfig>,
}

/// A configuration of a plan that does not parse: another version of gitroll made it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{source}: {}", .source.problems.first().map_or("", |first| first.message.as_str()))]
pub struct UnreadableConfig {
    #[from]
    source: ConfigError,
}

impl Configs {
    pub(super) fn of(plan: &Plan) -> Self {
        let parsed = |text: &str, file| config::parse(text, file).map_err(UnreadableConfig::from);
        Self {
            target: parsed(&plan.config, "gitroll.toml of the target"),
            before: parsed(&plan.config_before, "gitroll.toml of what served"),
        }
    }

    /// The target's and that of what served.
    pub(super) fn both(&self) -> Result<(&Config, &Config), UnreadableConfig> {
        let both = self.target.as_ref().and_then(|target| Ok((target, self.before.as_ref()?)));
        both.map_err(UnreadableConfig::clone)
    }
}

impl Run {
    /// Begins a run: directory, plan, the journal's first line, all durable.
    ///
    /// # Errors
    /// When the state directory cannot be written. What was made of the run is removed again then.
    pub(super) fn begin(
        site: &Site,
        checked: &CheckedPlan,
        configs: Configs,
        begun: Begun,
    ) -> Result<Self, JournalError> {
        let id = new_id(run_ids(site)?.last());
        let dir = site.run_dir(&id);
        Self::make(site, id, &dir, checked, configs, begun).inspect_err(|_| {
            let _ = fs::remove_dir_all(&dir);
        })
    }

    fn make(
        site: &Site,
        id: RunId,
        dir: &Path,
        checked: &CheckedPlan,
        configs: Configs,
        begun: Begun,
    ) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: dir.to_owned(), source };
        // What the plan names may have been fetched a moment ago.
        site.git.sync_objects().map_err(|e| io(std::io::Error::other(e)))?;
        files::make_private_dir(dir).map_err(io)?;
        failpoint::pass("run directory made").map_err(io)?;
        let plan = checked.plan().clone();
        let json = serde_json::to_vec_pretty(&plan).map_err(|e| io(e.into()))?;
        files::write_durably(&dir.join("plan.json"), &json, 0o600).map_err(io)?;
        keep_hidden(dir, checked.hidden()).map_err(io)?;
        failpoint::pass("run plan written").map_err(io)?;
        let mut journal = Journal::create(dir)?;
        journal.write(Entry::Begun(begun), clock::now())?;
        Ok(Self { id, plan, journal, by_watchdog: false, configs })
    }

    /// Opens a run to look at it or to continue with it.
    ///
    /// # Errors
    /// When its journal is damaged, or its plan cannot be read or is not the one that the journal names.
    pub fn open(site: &Site, id: &RunId) -> Result<Self, JournalError> {
        let dir = site.run_dir(id);
        let journal = Journal::open(&dir)?;
        let path = dir.join("plan.json");
        let text = files::read_state(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => JournalError::Lost { path: path.clone() },
            _ => JournalError::Io { path: path.clone(), source },
        })?;
        let begun = journal.begun().map(|begun| begun.plan.as_str());
        let plan = read_plan(&text, begun).map_err(|(line, problem)| JournalError::Damaged {
            path,
            line,
            problem,
        })?;
        let configs = Configs::of(&plan);
        Ok(Self { id: id.clone(), plan, journal, by_watchdog: false, configs })
    }
}

impl Run {
    /// The target's configuration, where it can be read.
    pub fn config(&self) -> Option<&Config> {
        self.configs.target.as_ref().ok()
    }

    /// The target's configuration and that of what served.
    pub(super) fn configs(&self) -> Result<(&Config, &Config), UnreadableConfig> {
        self.configs.both()
    }

    /// Lets the trace know what its journal is about to say.
    pub(super) fn trace(&self, entry: &Entry) {
        let run = &self.id;
        match entry {
            Entry::Intent { step, .. } => {
                let label = self.plan.steps.get(*step).map(Step::label).unwrap_or_default();
                tracing::debug!("run {run}: {label}: begins");
            }
            Entry::Done { label, millis, .. } => {
                tracing::debug!("run {run}: {label}: done, {millis} ms");
            }
            Entry::Failed { label, millis, why, .. } => {
                tracing::debug!("run {run}: {label}: failed, {millis} ms: {why}");
            }
            Entry::Proven { millis, .. } => tracing::debug!("run {run}: proven, {millis} ms"),
            Entry::TreeRestored { millis, .. } => {
                tracing::debug!("run {run}: tree restored, {millis} ms");
            }
            Entry::Restored { millis, .. } => tracing::debug!("run {run}: restored, {millis} ms"),
            other => tracing::debug!("run {run}: {}", other.kind()),
        }
    }

    /// The runs that failed before it in the same act, the first one first.
    pub fn follows(&self) -> &[RunId] {
        self.journal.begun().map_or(&[], |begun| &begun.follows)
    }

    /// Who began it, and when.
    pub fn began(&self) -> Option<(&str, jiff::Timestamp)> {
        Some((&self.journal.begun()?.actor, self.journal.lines().first()?.at))
    }

    /// The run whose guard is this one's too: the first of the act. One guard sees to all of them.
    pub fn guarded_as(&self) -> &RunId {
        self.follows().first().unwrap_or(&self.id)
    }
}

/// A plan from its file's bytes; `wanted` is the digest that the journal has of it. Else the line of the
/// problem, and the problem.
fn read_plan(text: &[u8], wanted: Option<&str>) -> Result<Plan, (usize, String)> {
    let malformed = |error: serde_json::Error| (error.line().max(1), error.to_string());
    let value: serde_json::Value = serde_json::from_slice(text).map_err(malformed)?;
    let version = value["plan"].as_u64();
    if version != Some(u64::from(Plan::VERSION)) {
        let version = version.map_or("of its format".to_owned(), |version| version.to_string());
        return Err((1, format!("its version {version} needs a different gitroll")));
    }
    // Of what was written: a field that came later is not in it.
    let digest = Digest::of(value.to_string().as_bytes()).to_string();
    if wanted.is_some_and(|wanted| wanted != digest) {
        return Err((1, "it is not the plan that the run started with".to_owned()));
    }
    serde_json::from_slice(text).map_err(malformed)
}

/// Runs that are not over, oldest first: one, or those of one act, of which the last is the one to continue with or to
/// undo. What is wrong with a run that is over is in nobody's way.
///
/// # Errors
/// When one that is not over, or may not be, has a damaged journal: nothing may be changed then.
pub fn open_runs(site: &Site) -> Result<Vec<Run>, JournalError> {
    let mut open = Vec::new();
    let mut doubtful = None;
    for id in run_ids(site)? {
        let dir = site.run_dir(&id);
        match Journal::open(&dir) {
            // It was killed before its journal was made.
            Err(JournalError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Ok(journal) => {
                if let Some(begun) = journal.begun() {
                    // No run begins before all others are over, but those that it follows.
                    doubtful = doubtful.filter(|(id, _)| begun.follows.contains(id));
                    if !journal.phase().is_closed() {
                        open.push(Run::open(site, &id)?);
                    }
                }
            }
            Err(_) if Journal::ends_closed(&dir) => {}
            Err(error) => doubtful = Some((id, error)),
        }
    }
    doubtful.map_or(Ok(open), |(_, error)| Err(error))
}

/// The runs that began after one, as far as they can be read.
pub(super) fn later_runs(site: &Site, id: &RunId) -> Vec<Run> {
    let ids = run_ids(site).unwrap_or_default();
    ids.iter().filter(|later| *later > id).filter_map(|later| Run::open(site, later).ok()).collect()
}

/// The run that began last, as far as it can be read.
pub fn last_run(site: &Site) -> Option<Run> {
    Run::open(site, run_ids(site).ok()?.last()?).ok()
}

/// A run that failed before anything that serves was touched, by its journal: there is no record of it.
#[derive(Debug)]
pub struct Attempt {
    pub run: Run,
    /// When it began.
    pub at: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Who acted.
    pub actor: String,
    /// What the person waited before it began, in milliseconds.
    pub waited_millis: u64,
    /// Why it failed.
    pub why: String,
    /// Telling lines of what failed.
    pub lines: Vec<String>,
}

/// The runs that failed before anything was touched, the latest first, as long as their journals are kept. One that a
/// person stopped did not fail.
pub fn attempts(site: &Site) -> Vec<Attempt> {
    let ids = run_ids(site).unwrap_or_default();
    ids.iter().rev().filter_map(|id| attempt(site, id)).collect()
}

fn attempt(site: &Site, id: &RunId) -> Option<Attempt> {
    // The plan is long, and read only where it is needed.
    let journal = Journal::open(&site.run_dir(id)).ok()?;
    if *journal.phase() != Phase::Closed(None) {
        return None;
    }
    let failed = journal.lines().iter().rev().find(|line| line.entry.failure().is_some())?;
    let reason = failed.entry.failure().filter(|reason| !reason.is_person())?;
    let lines = match &failed.entry {
        Entry::Failed { lines, .. } => lines.iter().map(|(_, line)| line.clone()).collect(),
        _ => Vec::new(),
    };
    let begun = journal.begun()?;
    Some(Attempt {
        at: journal.lines().first()?.at,
        ended: journal.lines().last()?.at,
        actor: begun.actor.clone(),
        waited_millis: begun.waited_millis,
        why: reason.text,
        lines,
        run: Run::open(site, id).ok()?,
    })
}

/// The branch that HEAD was on before the latest run that took it off one, as far as runs are kept.
pub(super) fn last_branch(site: &Site) -> Option<String> {
    let ids = run_ids(site).ok()?;
    ids.iter().rev().find_map(|id| {
        Run::open(site, id).ok()?.plan.steps.into_iter().find_map(|step| match step {
            Step::Head { branch, .. } => branch,
            _ => None,
        })
    })
}

/// Where a run keeps the values that nobody may read in its plan.
const HIDDEN_FLAGS: &str = "hidden-flags.json";

/// Keeps the values that stand in the plan as digests, before the run begins.
fn keep_hidden(dir: &Path, hidden: &HiddenFlags) -> io::Result<()> {
    if hidden.is_empty() {
        return Ok(());
    }
    files::write_durably(&dir.join(HIDDEN_FLAGS), &serde_json::to_vec(hidden)?, 0o600)
}

/// The true values that a run changed flags to and from, where its records hold only digests; none where they cannot
/// be read.
pub fn hidden_flags(site: &Site, run: &RunId) -> HiddenFlags {
    read_hidden_flags(site, run).unwrap_or_default()
}

/// As [`hidden_flags`], for who cannot do without them.
///
/// # Errors
/// They are there and cannot be read: the file, and why.
pub(super) fn read_hidden_flags(
    site: &Site,
    run: &RunId,
) -> Result<HiddenFlags, (PathBuf, io::Error)> {
    let path = site.run_dir(run).join(HIDDEN_FLAGS);
    let bytes = match files::read_state(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(HiddenFlags::default()),
        Err(e) => return Err((path, e)),
    };
    serde_json::from_slice(&bytes).map_err(|e| (path, io::Error::other(e)))
}

/// Holds room on the disk from before a run changes anything, so that the way back does not fail on a disk that fills
/// up meanwhile. Best effort: where a file system cannot, the run continues without.
pub(super) fn hold_room(site: &Site, run: &Run) {
    let path = site.run_dir(&run.id).join("reserve");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let held = file.map_err(|error| error.to_string()).and_then(|file| {
        let bytes = bytes_to_put_back(site, &run.plan);
        rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes).map_err(|e| e.to_string())
    });
    if let Err(error) = held {
        tracing::debug!("no disk space could be reserved: {error}");
        release_room(site, &run.id);
    }
}

/// Gives it back, to be used now.
pub(super) fn release_room(site: &Site, run: &RunId) {
    let _ = fs::remove_file(site.run_dir(run).join("reserve"));
}

pub(super) fn run_ids(site: &Site) -> Result<Vec<RunId>, JournalError> {
    let dir: PathBuf = site.state().join("runs");
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(JournalError::Io { path: dir, source }),
    };
    let mut ids: Vec<RunId> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    ids.sort();
    Ok(ids)
}

/// An id for what is no run, such as files that a person's command saves.
pub fn fresh_id() -> RunId {
    new_id(None)
}

/// An id that comes after all others, also where the clock was set back: which run began last is told by it.
fn new_id(last: Option<&RunId>) -> RunId {
    const STAMP: &str = "%Y%m%d-%H%M%S";
    let last = last.and_then(|id| DateTime::strptime(STAMP, id.as_str().get(..15)?).ok());
    let after = last.and_then(|last| last.checked_add(jiff::Span::new().seconds(1)).ok());
    let now = clock::now().to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let stamp = after.map_or(now, |after| now.max(after)).strftime(STAMP);
    let suffix = crate::system::random::suffix();
    format!("{stamp}-{suffix}").parse().expect("digits, letters and dashes")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_run_comes_after_all_others_also_when_the_clock_was_set_back() {
        let before = new_id(None);
        assert!(new_id(Some(&before)) > before);
        let wrong: RunId = "20991231-235959-zzzz".parse().unwrap();
        let next = new_id(Some(&wrong));
        assert!(next.as_str().starts_with("21000101-000000-"), "{next}");
    }
}
