//! A run on disk: its directory, plan and journal.

use std::fs;
use std::path::{Path, PathBuf};

use super::entry::{Begun, Entry};
use super::journal::{Journal, JournalError};
use super::watchdog;
use crate::model::{CheckedPlan, Plan, RunId, Step};
use crate::site::Site;
use crate::system::{clock, failpoint, files};

/// How many finished runs are kept for `show` and for a look at what was saved.
const KEPT: usize = 50;

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
        let id = new_id();
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
        failpoint::pass("run plan written").map_err(io)?;
        let mut journal = Journal::create(dir)?;
        journal.write(Entry::Begun(begun), clock::now())?;
        Ok(Self { id, plan, journal, by_watchdog: false })
    }

    /// Opens a run to look at it or to go on with it.
    ///
    /// # Errors
    /// When its journal is damaged or its plan cannot be read.
    pub fn open(site: &Site, id: &RunId) -> Result<Self, JournalError> {
        let dir = site.run_dir(id);
        let path = dir.join("plan.json");
        let io = |source| JournalError::Io { path: path.clone(), source };
        let journal = Journal::open(&dir)?;
        let text = fs::read(&path).map_err(io)?;
        let plan = serde_json::from_slice(&text).map_err(|e| io(e.into()))?;
        Ok(Self { id: id.clone(), plan, journal, by_watchdog: false })
    }
}

/// Runs that are not over, oldest first.
///
/// # Errors
/// When one of them has a damaged journal: nothing may be changed then.
pub fn open_runs(site: &Site) -> Result<Vec<Run>, JournalError> {
    let mut open = Vec::new();
    for id in run_ids(site)? {
        if !site.run_dir(&id).join("journal.jsonl").exists() {
            continue;
        }
        let run = Run::open(site, &id)?;
        if !run.journal.phase().is_closed() && !run.journal.lines().is_empty() {
            open.push(run);
        }
    }
    Ok(open)
}

/// Removes what dead runs left behind and finished runs beyond the newest: directories without a first
/// journal line, stages, old journals, guards of runs that are over. Called under the lock, when no run is open.
pub fn tidy(site: &Site) {
    let Ok(ids) = run_ids(site) else { return };
    let old = ids.len().saturating_sub(KEPT);
    for (index, id) in ids.iter().enumerate() {
        watchdog::disarm(site, id);
        // The stage first: it is found by its run.
        if site.stage(id).exists() {
            let _ = fs::remove_dir_all(site.stage(id));
        }
        if index < old {
            let _ = fs::remove_dir_all(site.run_dir(id));
        }
    }
    remove_dead_runs(site);
}

/// Removes what runs left that were killed before their first journal line: nothing was changed by then.
/// Says how many there were.
pub(super) fn remove_dead_runs(site: &Site) -> usize {
    let dead = |id: &RunId| {
        let dir = site.run_dir(id);
        !dir.join("journal.jsonl").exists()
            || Journal::open(&dir).is_ok_and(|journal| journal.lines().is_empty())
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
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(JournalError::Io { path: dir, source }),
    };
    let mut ids: Vec<RunId> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    ids.sort();
    Ok(ids)
}

/// Sorts by time, runs of one second too: the suffix begins with the millisecond.
fn new_id() -> RunId {
    let now = jiff::Timestamp::now();
    let stamp = now.strftime("%Y%m%d-%H%M%S");
    let millis = u32::try_from(now.subsec_millisecond()).unwrap_or_default();
    let digit = |n: u32| char::from_digit(n % 36, 36).unwrap_or('0');
    let chance = crate::system::random::suffix();
    let suffix: String =
        [digit(millis / 36), digit(millis)].into_iter().chain(chance.chars().take(2)).collect();
    format!("{stamp}-{suffix}").parse().expect("digits, letters and dashes")
}
