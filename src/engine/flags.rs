//! Changing flags as steps of a run, and putting them back.

mod seen;

pub(super) use seen::{look, questions, questions_by_log, untold};
pub use seen::{question, question_name};

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::StepError;
use super::entry::Entry;
use super::run::Run;
use crate::config::{Apply, Config, FlagSource, declared, readers};
use crate::flag::{self, Value};
use crate::model::{
    FlagChange, FlagName, FlagSourceName, FlagStep, FlagValue, HiddenFlags, RunId, Served,
    ServiceName, Step,
};
use crate::service::{self, Host};
use crate::site::Site;
use crate::system::files;
use crate::system::procs::ProcessId;

/// Where a run keeps the values that nobody may read in its plan.
const HIDDEN: &str = "hidden-flags.json";

/// Keeps the values that stand in the plan as digests, before the run begins.
pub(super) fn keep_hidden(dir: &std::path::Path, hidden: &HiddenFlags) -> std::io::Result<()> {
    if hidden.is_empty() {
        return Ok(());
    }
    files::write_durably(&dir.join(HIDDEN), &serde_json::to_vec(hidden)?, 0o600)
}

/// Changes the flags of one source.
pub(super) fn change(
    site: &Site,
    run: &Run,
    config: &Config,
    step: &FlagStep,
) -> Result<Vec<String>, StepError> {
    let source = source(config, &step.source)?;
    let hidden = hidden(site, run)?;
    let wanted = step
        .changes
        .iter()
        .map(|change| Ok((change.name.clone(), value(change, &hidden)?)))
        .collect::<Result<Vec<_>, StepError>>()?;
    let undo = undo_dir(site, run, &step.source);
    files::make_private_dir(&undo)
        .map_err(|e| StepError::Files(format!("{}: {e}", undo.display())))?;
    let host = site.host(&run.plan.to, run.id.as_str());
    let mut notes = replaced(&host, source, step).map_err(|e| failed(step, &e))?;
    notes.extend(flag::change(&host, source, &wanted, &undo).map_err(|e| failed(step, &e))?);
    Ok(notes)
}

/// What is said of flags that are neither what they were when the plan was made nor what it sets them to.
fn replaced(
    host: &Host<'_>,
    source: &FlagSource,
    step: &FlagStep,
) -> Result<Vec<String>, flag::FlagError> {
    let names: Vec<FlagName> = step.changes.iter().map(|change| change.name.clone()).collect();
    let now = flag::read(host, source, &names)?;
    let theirs = step.changes.iter().filter_map(|change| {
        let now = now.get(&change.name).unwrap_or(&Value::Absent).shown(&change.name);
        let known = now == change.before || now == change.after;
        let (name, now, after) = (&change.name, now.plain(), change.after.plain());
        (!known)
            .then(|| format!("flag {name} was set to {now} meanwhile; it is replaced by {after}"))
    });
    Ok(theirs.collect())
}

/// Puts the flags of every source back that the run changed or began to change. Returns what a person should know:
/// what is left as somebody set it meanwhile.
///
/// # Errors
/// Every source that could not be put back; the others are.
pub(super) fn restore(site: &Site, run: &Run, config: &Config) -> Result<Vec<String>, StepError> {
    let (mut notes, mut failures) = (Vec::new(), Vec::new());
    for (number, step) in run.plan.steps.iter().enumerate().rev() {
        let Step::Flags(step) = step else { continue };
        if began(run, number) {
            match restore_source(site, run, config, step) {
                Ok(told) => notes.extend(told),
                Err(error) => failures.push(error),
            }
        }
    }
    StepError::all(failures).map_or(Ok(notes), Err)
}

fn restore_source(
    site: &Site,
    run: &Run,
    config: &Config,
    step: &FlagStep,
) -> Result<Vec<String>, StepError> {
    let source = source(config, &step.source)?;
    let host = site.host(&run.plan.from, run.id.as_str());
    let undo = undo_dir(site, run, &step.source);
    match flag::restore(&host, source, &undo).map_err(|e| failed(step, &e))? {
        Some(told) => Ok(told),
        None => restore_from_plan(site, run, &host, source, step),
    }
}

/// Whether the step was announced: what it changed may stand there.
fn began(run: &Run, number: usize) -> bool {
    let announced = |entry: &Entry| matches!(entry, Entry::Intent { step, .. } if *step == number);
    run.journal.lines().iter().any(|line| announced(&line.entry))
}

/// Where nothing is kept: no change began, or somebody removed it. The plan knows what the flags were.
fn restore_from_plan(
    site: &Site,
    run: &Run,
    host: &Host<'_>,
    source: &FlagSource,
    step: &FlagStep,
) -> Result<Vec<String>, StepError> {
    let names: Vec<FlagName> = step.changes.iter().map(|change| change.name.clone()).collect();
    let now = flag::read(host, source, &names).map_err(|e| failed(step, &e))?;
    let hidden = hidden(site, run)?;
    let (mut wanted, mut notes) = (Vec::new(), Vec::new());
    for change in &step.changes {
        let now = now.get(&change.name).unwrap_or(&Value::Absent).shown(&change.name);
        if now == change.before {
            continue;
        }
        if now == change.after {
            wanted.push((change.name.clone(), value(&change.reversed(), &hidden)?));
        } else {
            notes.push(flag::left_alone(&change.name));
        }
    }
    if !wanted.is_empty() {
        // Not where a way back is looked for: from here there is none but this.
        let undo = again_dir(site, run, &step.source);
        notes.extend(flag::change(host, source, &wanted, &undo).map_err(|e| failed(step, &e))?);
    }
    Ok(notes)
}

/// Removes what was kept for the way back of a run that is over: it may hold secrets.
pub(super) fn forget(site: &Site, run: &Run, config: &Config) {
    for step in &run.plan.steps {
        let Step::Flags(step) = step else { continue };
        for undo in [undo_dir(site, run, &step.source), again_dir(site, run, &step.source)] {
            if let Ok(source) = source(config, &step.source)
                && let Err(error) = flag::forget(source, &undo)
            {
                tracing::warn!("{}: {error}", undo.display());
            }
        }
    }
}

/// The true values that a run changed flags to and from, where its records hold only digests.
pub fn hidden_of(site: &Site, run: &RunId) -> HiddenFlags {
    let bytes = fs::read(site.run_dir(run).join(HIDDEN)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Sends the signal that makes a service read its settings again.
pub(super) fn signal(
    site: &Site,
    run: &Run,
    config: &Config,
    served: &Served,
    name: &ServiceName,
    signal: &str,
) -> Result<(), StepError> {
    let failed = |source| StepError::Service { service: name.to_string(), source };
    let host = site.host(served, run.id.as_str());
    let service =
        config.services.iter().find(|service| service.name == *name).ok_or_else(|| {
            StepError::Files(format!("service {name} is not in the configuration"))
        })?;
    let signal = crate::config::Signal::named(signal)
        .ok_or_else(|| StepError::Files(format!("{signal} is no signal this version sends")))?;
    service::signal(&host, service, signal).map_err(failed)
}

/// Whether a process of a service is known that a signal could be sent to.
pub(super) fn is_there(site: &Site, run: &Run, config: &Config, name: &ServiceName) -> bool {
    let host = site.host(&run.plan.from, run.id.as_str());
    let service = config.services.iter().find(|service| service.name == *name);
    service
        .and_then(|service| service::observe(&host, service).ok())
        .is_some_and(|state| state.processes.iter().any(ProcessId::alive))
}

/// The declared flags that a service is handed in its environment, by what the sources hold now; `None` is one that
/// is not set.
///
/// # Errors
/// A source that cannot be read, in words.
pub fn environment(
    host: &Host<'_>,
    config: &Config,
    service: &ServiceName,
) -> Result<BTreeMap<String, Option<String>>, String> {
    let Some(flags) = &config.flags else { return Ok(BTreeMap::new()) };
    let mut variables = BTreeMap::new();
    for source in flags.sources.iter().filter(|source| source.apply == Apply::Environment) {
        if !readers(config, source).contains(service) {
            continue;
        }
        let names: Vec<FlagName> =
            declared(config, flags, source).map(|flag| flag.name.clone()).collect();
        let found = flag::read(host, source, &names)
            .map_err(|e| format!("flags of {}: {e}", source.name))?;
        variables.extend(found.into_iter().map(|(name, value)| (name.to_string(), value.plain())));
    }
    Ok(variables)
}

fn failed(step: &FlagStep, error: &flag::FlagError) -> StepError {
    StepError::Files(format!("{}: {error}", step.source))
}

fn source<'c>(config: &'c Config, name: &FlagSourceName) -> Result<&'c FlagSource, StepError> {
    let flags = config.flags.as_ref();
    flags
        .and_then(|flags| flags.source(Some(name)))
        .ok_or_else(|| StepError::Files(format!("[flags] has no source {name}")))
}

/// What a flag is changed to, in full.
fn value(change: &FlagChange, hidden: &HiddenFlags) -> Result<Value, StepError> {
    match &change.after {
        FlagValue::Absent => Ok(Value::Absent),
        FlagValue::Known(value) => Ok(Value::Known(value.clone())),
        FlagValue::Hidden(digest) => {
            let kept = hidden.value(digest).ok_or_else(|| {
                StepError::Files(format!("the value of {} is not known any more", change.name))
            })?;
            Ok(Value::Known(kept.clone()))
        }
    }
}

fn hidden(site: &Site, run: &Run) -> Result<HiddenFlags, StepError> {
    let path = site.run_dir(&run.id).join(HIDDEN);
    let problem =
        |error: &dyn std::fmt::Display| StepError::Files(format!("{}: {error}", path.display()));
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| problem(&e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(HiddenFlags::default()),
        Err(e) => Err(problem(&e)),
    }
}

fn undo_dir(site: &Site, run: &Run, source: &FlagSourceName) -> PathBuf {
    site.run_dir(&run.id).join("flags").join(source.as_str())
}

/// Where is kept what was put back by the plan.
fn again_dir(site: &Site, run: &Run, source: &FlagSourceName) -> PathBuf {
    site.run_dir(&run.id).join("flags-by-plan").join(source.as_str())
}
