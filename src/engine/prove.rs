//! Proving a state with the checks and services of a configuration.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::error::StepError;
use super::flags::question_name;
use super::run::Run;
use crate::check::{self, Expectation, LogPositions, Proof, Surroundings};
use crate::config::{Check, CheckKind, Config, HttpCheck, LogSource, Selection, Service};
use crate::model::{
    Activation, CheckEvidence, CheckName, Digest, Event, FullLevel, Narration, Narrator, Plan,
    RepoPath, RunId, Served, Step, Witnessed,
};
use crate::service::{self, ServiceState};
use crate::site::{
    Observed, Site, all_unread, expectation, held_files, observe_services, surroundings, witness,
};
use crate::system::files;
use crate::system::procs::Ticks;
use crate::system::signals::Until;

/// Proves what is intended. Of a service that the plan does not reload only being up is wanted.
pub(super) fn prove(
    site: &Site,
    config: &Config,
    plan: &Plan,
    expectation: &Expectation,
    narrator: &mut Narrator<'_>,
) -> Proof {
    let only = if plan.critical_only { Selection::Critical } else { expectation.only };
    let expectation = &Expectation { only, ..expectation.clone() };
    let mut all_up = false;
    let (checks, silent) = awaited(config, plan);
    let proof = check::prove(
        &checks,
        expectation,
        &mut || {
            let mut look =
                observe_services(site, config, &expectation.served, &expectation.deployment);
            for (name, state) in &mut look {
                if let Ok(state) = state {
                    state.untouched |= !reloads(plan, name);
                }
            }
            all_up = look.iter().all(|(_, state)| state.as_ref().is_ok_and(|state| state.up));
            look
        },
        &mut |text| narrator(Narration::Progress { text: text.to_owned() }),
    );
    let checks = proof.checks.into_iter().chain(silent).collect();
    let proof = Proof { checks, ..proof };
    if proof.proven || !all_up {
        return proof;
    }
    let host = site.host(&expectation.served, &expectation.deployment);
    let mut lines = proof.lines;
    for service in &config.services {
        let said = service::last_lines(&host, service);
        lines.extend(said.into_iter().map(|line| (service.name.to_string(), line)));
    }
    Proof { lines, ..proof }
}

/// Someone may have checked something else out meanwhile: then that is what the next start loads.
pub(super) fn head_moved(site: &Site, run: &Run) -> Option<StepError> {
    let head = site.git.head().ok()?;
    let proven = run.plan.to.clone();
    let found = head.commit.short().to_string();
    (head.commit != proven.commit).then_some(StepError::HeadMoved { found, proven })
}

/// The tracked files that are not as in the target, without those that are to be so.
pub(super) fn edited(site: &Site, run: &Run, config: &Config) -> Vec<RepoPath> {
    let plan = &run.plan;
    let mut edited = site.git.edited(&plan.to.commit).unwrap_or_default();
    let kept = |path: &RepoPath| plan.activation.kept.iter().any(|keep| keep.path == *path);
    let local = site.local(config);
    edited.retain(|path| !local.matches(path) && !kept(path));
    edited
}

/// Whether, while it was proven, someone moved HEAD or wrote other bytes into the tree than what was proven has. Files
/// that a service itself holds open for writing are the app's own.
pub(super) fn moved_meanwhile(
    site: &Site,
    run: &Run,
    config: &Config,
    before: &[RepoPath],
) -> Option<StepError> {
    if let Some(error) = head_moved(site, run) {
        return Some(error);
    }
    let plan = &run.plan;
    // Where only a part changes, what was edited elsewhere serves on; and a person may fix what is still.
    let code_stays = plan.full.as_ref().is_some_and(|full| full.level != FullLevel::Full);
    let only_a_part = matches!(plan.event, Event::Flags | Event::Migrate)
        || code_stays
        || (plan.event != Event::Deploy && !plan.recorded.components.is_empty());
    let stays = run.was_resumed() || only_a_part;
    let files = edited(site, run, config).into_iter();
    let files = files.filter(|path| !stays || !before.contains(path));
    let artifacts = site.store.changed(site.top(), &plan.artifacts).unwrap_or_default();
    let mut written: Vec<RepoPath> = files.chain(artifacts).collect();
    if written.is_empty() {
        return None;
    }
    let services = observe_services(site, config, &plan.to, run.id.as_str());
    let held = held_files(site, &Observed { checks: Vec::new(), services, strangers: Vec::new() });
    written.retain(|path| !held.iter().any(|held| held.path == *path));
    (!written.is_empty())
        .then(|| StepError::Written { files: list(&written), proven: plan.to.clone() })
}

/// The first few paths in words.
pub(super) fn list(paths: &[RepoPath]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> = paths.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = paths.len().saturating_sub(SHOWN);
    if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
}

/// What served as it was proven: what was reloaded, and of the rest what was proven before.
pub(super) fn witnessed(
    site: &Site,
    run: &Run,
    config: &Config,
    served: &Served,
    proof: &Proof,
) -> Option<Witnessed> {
    let touched = run.plan.to == *served || run.reload_was_announced();
    // What the run stopped runs by the run's own start.
    let reloaded = |name: &str| touched && reloads(&run.plan, name) || run.was_stopped(name);
    let vouched = run.journal.begun().map(|begun| begun.vouched.clone()).unwrap_or_default();
    let look: Vec<_> = proof
        .last_look
        .iter()
        .map(|(name, state)| (name.clone(), Ok(as_observed(state))))
        .collect();
    witness(site, config, &served.commit, &look, reloaded, &vouched)
        .inspect_err(|error| tracing::warn!("what serves could not be noted: {error}"))
        .ok()
}

/// That a run does not reload a service makes its process no other.
fn as_observed(state: &ServiceState) -> ServiceState {
    ServiceState { untouched: state.untouched && state.processes.is_empty(), ..state.clone() }
}

/// The checks, without the lines that must come from services which this plan does not reload: they say nothing again.
/// What shows a flag is awaited anyway. A check that has nothing else to ask is told as skipped.
fn awaited(config: &Config, plan: &Plan) -> (Vec<Check>, Vec<CheckEvidence>) {
    let flags: Vec<CheckName> = plan.flags().map(|change| question_name(&change.name)).collect();
    let (mut checks, mut silent) = (Vec::new(), Vec::new());
    for check in &config.checks {
        let mut check = check.clone();
        if let CheckKind::Log(log) = &mut check.kind
            && log.must.is_some()
            && !flags.contains(&check.name)
            && !speaks_anew(config, plan, &log.source)
        {
            if log.must_not.is_none() {
                let why = "nothing is reloaded that could report it";
                silent.push(CheckEvidence::skipped(check.name, why.to_owned()));
                continue;
            }
            log.must = None;
        }
        checks.push(check);
    }
    (checks, silent)
}

/// Whether what writes a log is reloaded. Whose a file is nobody knows: where only flags change, all must be.
fn speaks_anew(config: &Config, plan: &Plan, source: &LogSource) -> bool {
    let reloaded = |service: &Service| reloads(plan, service.name.as_str());
    match source {
        LogSource::Service(name) => reloads(plan, name.as_str()),
        LogSource::File(_) if plan.event == Event::Flags => {
            !config.services.is_empty() && config.services.iter().all(reloaded)
        }
        LogSource::File(_) => config.services.is_empty() || config.services.iter().any(reloaded),
    }
}

/// What is to be proven of `served` by this run, and not to be taken for `not`.
pub(super) fn intended(
    site: &Site,
    config: &Config,
    served: &Served,
    run: &RunId,
    not: Option<&Served>,
    fresh_since: Option<Ticks>,
    until: Until,
) -> Expectation {
    let not = not.cloned();
    Expectation { not, until, ..expectation(site, config, served, run.as_str(), fresh_since) }
}

/// Whether this run puts files in place that may be served, and reloads nothing: then nothing but an answer can show
/// which of the two states serves.
pub(super) fn changes_unseen(site: &Site, plan: &Plan) -> bool {
    let Activation { changes, artifacts, .. } = &plan.activation;
    let reload = |step: &Step| matches!(step, Step::Reload { .. });
    if plan.steps.iter().any(reload) || (changes.is_empty() && artifacts.is_empty()) {
        return false;
    }
    let paths = changes.iter().map(|change| &change.path);
    !artifacts.is_empty() || !all_unread(site, &plan.to.commit, paths).unwrap_or(false)
}

/// The files that answers to checks must be, as they were in the target, once the state before it is back. One that
/// cannot be read any more counts as the same in both: its answer shows nothing.
pub(super) fn files_of_target(
    site: &Site,
    config: &Config,
    plan: &Plan,
) -> BTreeMap<CheckName, Digest> {
    let mut files = check::served_files(&config.checks, site.top());
    for check in &config.checks {
        let CheckKind::Http(HttpCheck { file: Some(path), max_bytes, .. }) = &check.kind else {
            continue;
        };
        let in_target = match in_target(site, plan, path, *max_bytes) {
            Ok(InTarget::Same) | Err(_) => continue,
            Ok(InTarget::Absent) => None,
            Ok(InTarget::Other(bytes)) => Some(Digest::of(&bytes)),
        };
        match in_target {
            Some(digest) => drop(files.insert(check.name.clone(), digest)),
            None => drop(files.remove(&check.name)),
        }
    }
    files
}

/// A file in the target of a run, compared with the state before.
enum InTarget {
    Same,
    Absent,
    Other(Vec<u8>),
}

fn in_target(site: &Site, plan: &Plan, path: &RepoPath, most: u64) -> io::Result<InTarget> {
    let activation = &plan.activation;
    if let Some(moved) = activation.artifacts.iter().find(|moved| path.starts_with(&moved.output)) {
        let Some(key) = &moved.incoming else { return Ok(InTarget::Absent) };
        let inside = path.as_path().strip_prefix(moved.output.as_path()).unwrap_or(Path::new(""));
        let place = site.store.place(key, &moved.output);
        let file = if inside.as_os_str().is_empty() { place } else { place.join(inside) };
        return match files::read_plain(&file, most) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && site.store.has(key, &moved.output) =>
            {
                Ok(InTarget::Absent)
            }
            read => read.map(InTarget::Other),
        };
    }
    if !activation.changes.iter().any(|change| change.path == *path) {
        return Ok(InTarget::Same);
    }
    let file = site.git.file(&plan.to.commit, path).map_err(io::Error::other)?;
    Ok(file.map_or(InTarget::Absent, InTarget::Other))
}

/// Where the logs end now that a configuration's checks read; `None` if none does.
pub(super) fn log_window(
    site: &Site,
    config: &Config,
    served: &Served,
    run: &RunId,
) -> Option<LogPositions> {
    config.checks.iter().find(|check| matches!(check.kind, CheckKind::Log(_)))?;
    let around = surroundings(site, config, served, run.as_str());
    Some(check::log_positions(&config.checks, &around))
}

fn reloads(plan: &Plan, name: &str) -> bool {
    let reload = |step: &Step| matches!(step, Step::Reload { service } if service.as_str() == name);
    plan.steps.iter().any(reload)
}

/// What is asked on the way back, without the logs that cannot be read and could not be before the run either: that is
/// no fault of what serves again.
pub(super) fn readable(
    config: &Config,
    run: &Run,
    around: &Surroundings,
) -> (Config, Vec<CheckEvidence>) {
    let unread = |check: &Check| {
        let CheckKind::Log(log) = &check.kind else { return None };
        let no = around.unreadable(log)?;
        let before = run.logs_before().is_some_and(|logs| logs.unread(check.name.as_str()));
        let why = format!("{}, as before the run", no.why);
        before.then(|| CheckEvidence::skipped(check.name.clone(), why))
    };
    let unread: Vec<CheckEvidence> = config.checks.iter().filter_map(unread).collect();
    let mut config = config.clone();
    config.checks.retain(|check| unread.iter().all(|left| left.check != check.name));
    (config, unread)
}
