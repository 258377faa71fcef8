//! A run on disk: its directory, plan and journal.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::DateTime;

use super::entry::{Begun, Entry};
use super::journal::{Journal, JournalError};
use super::{cleanup, watchdog};
use crate::config::Retention;
use crate::layout;
use crate::model::{CheckedPlan, Digest, Plan, RunId, Step};
use crate::site::Site;
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
}

impl Run {
    /// Begins a run: directory, plan, the journal's first line, all durable.
    ///
    /// # Errors
    /// When the state directory cannot be written. What was made of the run is removed again then.
    pub fn begin(site: &Site, checked: &CheckedPlan, begun: Begun) -> Result<Self, JournalError> {
        let id = new_id(run_ids(site)?.last());
        let dir = site.run_dir(&id);
        Self::make(site, id, &dir, checked, begun).inspect_err(|_| {
            let _ = fs::remove_dir_all(&dir);
        })
    }

    fn make(
        site: &Site,
        id: RunId,
        dir: &Path,
        checked: &CheckedPlan,
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
        super::flags::keep_hidden(dir, checked.hidden()).map_err(io)?;
        failpoint::pass("run plan written").map_err(io)?;
        let mut journal = Journal::create(dir)?;
        journal.write(Entry::Begun(begun), clock::now())?;
        Ok(Self { id, plan, journal, by_watchdog: false })
    }

    /// Opens a run to look at it or to go on with it.
    ///
    /// # Errors
    /// When its journal is damaged, or its plan cannot be read or is not the one that the journal names.
    pub fn open(site: &Site, id: &RunId) -> Result<Self, JournalError> {
        let dir = site.run_dir(id);
        let journal = Journal::open(&dir)?;
        let path = dir.join("plan.json");
        let text = fs::read(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => JournalError::Lost { path: path.clone() },
            _ => JournalError::Io { path: path.clone(), source },
        })?;
        let begun = journal.begun().map(|begun| begun.plan.as_str());
        let plan = read_plan(&text, begun).map_err(|(line, problem)| JournalError::Damaged {
            path,
            line,
            problem,
        })?;
        Ok(Self { id: id.clone(), plan, journal, by_watchdog: false })
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
        return Err((1, format!("its version {version} needs another gitroll")));
    }
    // Of what was written: a field that came later is not in it.
    let digest = Digest::of(value.to_string().as_bytes()).to_string();
    if wanted.is_some_and(|wanted| wanted != digest) {
        return Err((1, "it is not the plan that the run began with".to_owned()));
    }
    serde_json::from_slice(text).map_err(malformed)
}

/// Runs that are not over, oldest first: one, or those of one act, of which the last is the one to go on with or to
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

/// Removes what dead runs left behind: directories without a first journal line, stages, guards of runs that
/// are over. Called under the lock, when no run is open.
pub fn tidy(site: &Site) {
    let Ok(ids) = run_ids(site) else { return };
    for id in &ids {
        watchdog::disarm(site, id);
        // The stage first: it is found by its run.
        let _ = layout::remove_stage(&site.stage(id));
        super::reserve::release(site, id);
    }
    remove_dead_runs(site);
    // A command that came to its end may have failed to remove one of its own.
    cleanup::own_files(site);
}

/// Removes plans and journals of all but the latest runs, and what older ones put aside once that is old
/// enough. An open run and what it saved always stay. Called under the lock.
pub fn forget(site: &Site, retention: &Retention) {
    let (Ok(ids), Ok(open)) = (run_ids(site), open_runs(site)) else { return };
    let old = ids.len().saturating_sub(retention.runs);
    let (old, kept) = ids.split_at(old);
    let is_open = |id: &RunId| open.iter().any(|run| run.id == *id);
    for id in old.iter().filter(|id| !is_open(id)) {
        let _ = fs::remove_dir_all(site.run_dir(id));
    }
    let now = clock::now();
    for entry in fs::read_dir(site.state().join("saved")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let Ok(id) = name.strip_suffix("-later").unwrap_or(name).parse::<RunId>() else { continue };
        // Of the future, or of no time at all: not old.
        let age = begun_at(&id).and_then(|at| Duration::try_from(now.duration_since(at)).ok());
        let young = age.is_none_or(|age| age < retention.saved);
        if !young && !kept.contains(&id) && !is_open(&id) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The moment that a run's id says.
fn begun_at(id: &RunId) -> Option<jiff::Timestamp> {
    let stamp = id.as_str().get(..15)?;
    let time = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", stamp).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Removes what runs left that were killed before their first journal line: nothing was changed by then.
/// Says how many there were.
pub(super) fn remove_dead_runs(site: &Site) -> usize {
    let dead = |id: &RunId| {
        let dir = site.run_dir(id);
        match Journal::open(&dir) {
            Ok(journal) => journal.lines().is_empty(),
            Err(JournalError::Io { source, .. }) => source.kind() == ErrorKind::NotFound,
            Err(_) => false,
        }
    };
    let ids = run_ids(site).unwrap_or_default();
    ids.iter().filter(|id| dead(id) && fs::remove_dir_all(site.run_dir(id)).is_ok()).count()
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

fn run_ids(site: &Site) -> Result<Vec<RunId>, JournalError> {
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
