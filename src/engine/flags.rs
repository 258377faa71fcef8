//! Changing flags as steps of a run, putting them back, and seeing them in the running app.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::StepError;
use super::run::Run;
use crate::config::{
    Apply, Check, CheckGroup, CheckKind, Config, Filled, FlagSource, FlagSourceKind, LogSource,
    Verify, declared, readers, takers, verify,
};
use crate::flag::{self, Value};
use crate::model::{
    FlagChange, FlagEvidence, FlagName, FlagSourceName, FlagStep, FlagValue, HiddenFlags, Plan,
    RunId, Served, ServiceName, Step,
};
use crate::service::{self, Host};
use crate::site::Site;
use crate::system::files;
use crate::system::procs::{ProcessId, Variable};

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
    flag::change(&host, source, &wanted, &undo).map_err(|e| failed(step, &e))
}

/// Puts the flags of every source back that the run changed or began to change.
///
/// # Errors
/// Every source that could not be put back; the others are.
pub(super) fn restore(site: &Site, run: &Run, config: &Config) -> Result<Vec<String>, StepError> {
    let (mut notes, mut failures) = (Vec::new(), Vec::new());
    for step in run.plan.steps.iter().rev() {
        let Step::Flags(step) = step else { continue };
        let undo = undo_dir(site, run, &step.source);
        if undo.exists() {
            let host = site.host(&run.plan.from, run.id.as_str());
            let restored = source(config, &step.source).and_then(|source| {
                flag::restore(&host, source, &undo).map_err(|e| failed(step, &e))
            });
            match restored {
                Ok(told) => notes.extend(told),
                Err(error) => failures.push(error),
            }
        }
    }
    StepError::all(failures).map_or(Ok(notes), Err)
}

/// Removes what was kept for the way back of a run that is over: it may hold secrets.
pub(super) fn forget(site: &Site, run: &Run, config: &Config) {
    for step in &run.plan.steps {
        let Step::Flags(step) = step else { continue };
        let undo = undo_dir(site, run, &step.source);
        if let Ok(source) = source(config, &step.source)
            && let Err(error) = flag::forget(source, &undo)
        {
            tracing::warn!("{}: {error}", undo.display());
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

/// The questions that show in the running app what the run's flags are: asked with the checks.
pub(super) fn questions(config: &Config, plan: &Plan) -> Vec<Check> {
    plan.flags().filter_map(|change| question(config, change)).collect()
}

/// Of these questions those to a log that `service` writes as it starts with what it read of the flag. Whose a file is
/// nobody knows: it is taken for that of the first service that is reloaded.
pub(super) fn questions_by_log(config: &Config, plan: &Plan, service: &ServiceName) -> Vec<Check> {
    let first = plan.steps.iter().find_map(|step| match step {
        Step::Reload { service } => Some(service),
        _ => None,
    });
    let writes = |change: &&FlagChange, check: &Check| {
        let at_start = source(config, &change.source).is_ok_and(|source| {
            matches!(source.apply, Apply::Reload | Apply::Environment)
                && readers(config, source).contains(service)
        });
        let CheckKind::Log(log) = &check.kind else { return false };
        at_start
            && match &log.source {
                LogSource::Service(name) => name == service,
                LogSource::File(_) => first == Some(service),
            }
    };
    let asked = plan.flags().filter_map(|change| {
        let check = question(config, change)?;
        writes(&change, &check).then_some(check)
    });
    asked.collect()
}

/// The question that shows in the running app that a flag is what it is changed to, where one is declared.
pub fn question(config: &Config, change: &FlagChange) -> Option<Check> {
    let Verify::Ask { kind, timeout, tells_value } = verify(config, change)? else { return None };
    // What is hidden must not turn up in an answer.
    if *tells_value && matches!(change.after, FlagValue::Hidden(_)) {
        return None;
    }
    let words = [
        ("{name}", Filled::Text(change.name.to_string())),
        ("{value}", value_filled(&change.after)),
    ];
    Some(Check {
        name: question_name(&change.name),
        kind: kind.filled(&words),
        critical: true,
        group: CheckGroup::Quick,
        passes: 1,
        settle: Duration::ZERO,
        timeout: *timeout,
    })
}

/// Looks where no question is asked: in the environment of processes, in the answer of an admin API. Says of
/// every flag what showed it.
///
/// # Errors
/// The first flag that does not show its value.
pub(super) fn look(
    site: &Site,
    run: &Run,
    config: &Config,
    served: &Served,
) -> Result<Vec<FlagEvidence>, StepError> {
    let hidden = hidden(site, run)?;
    let mut seen = Vec::new();
    for change in run.plan.flags() {
        let wanted = value(change, &hidden)?;
        let by = match verify(config, change) {
            Some(Verify::Ask { .. }) => format!("by the check {}", question_name(&change.name)),
            Some(Verify::Environ) => in_environment(site, run, config, served, change, &wanted)?,
            None => by_source(site, run, config, served, change, &wanted)?,
        };
        seen.push(FlagEvidence {
            source: change.source.clone(),
            flag: change.name.clone(),
            value: change.after.clone(),
            seen: by,
        });
    }
    Ok(seen)
}

/// An admin API is the app's own: what it answers is what the app has.
fn by_source(
    site: &Site,
    run: &Run,
    config: &Config,
    served: &Served,
    change: &FlagChange,
    wanted: &Value,
) -> Result<String, StepError> {
    let source = source(config, &change.source)?;
    if !matches!(source.kind, FlagSourceKind::Http(_)) {
        return Ok("not looked for: nothing shows it".to_owned());
    }
    let host = site.host(served, run.id.as_str());
    let found = flag::read(&host, source, std::slice::from_ref(&change.name))
        .map_err(|e| not_seen(change, &e.to_string()))?;
    let found = found.get(&change.name).cloned().unwrap_or(Value::Absent);
    if found.same(wanted) {
        return Ok(format!("{} answers so", change.source));
    }
    let found = found.shown(&change.name);
    Err(not_seen(change, &format!("{} answers {}", change.source, found.plain())))
}

fn in_environment(
    site: &Site,
    run: &Run,
    config: &Config,
    served: &Served,
    change: &FlagChange,
    wanted: &Value,
) -> Result<String, StepError> {
    let source = source(config, &change.source)?;
    let host = site.host(served, run.id.as_str());
    let mut processes = 0;
    for name in takers(config, source, &[&change.name]) {
        let Some(service) = config.services.iter().find(|s| s.name == name) else { continue };
        let state = service::observe(&host, service)
            .map_err(|source| StepError::Service { service: name.to_string(), source })?;
        let pids: Vec<u32> = state.processes.iter().map(|process| process.pid).collect();
        for (pid, found) in flag::in_processes(&pids, &change.name) {
            let found = match found {
                Variable::Set(text) => Value::text(text),
                Variable::Unset => Value::Absent,
                Variable::Unreadable(why) => {
                    let what = format!("the environment of {name} (process {pid}): {why}");
                    return Err(not_seen(change, &what));
                }
            };
            if found.plain() != wanted.plain() {
                let found = found.shown(&change.name);
                let what = format!("{name} (process {pid}) was started with {}", found.plain());
                return Err(not_seen(change, &what));
            }
            processes += 1;
        }
    }
    if processes == 0 {
        return Err(not_seen(change, "no process of a service could be looked at"));
    }
    let noun = if processes == 1 { "process" } else { "processes" };
    Ok(format!("in the environment of {processes} {noun}"))
}

/// The name of the question that shows a flag.
pub fn question_name(flag: &FlagName) -> crate::model::CheckName {
    let plain: String = flag
        .as_str()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' })
        .take(50)
        .collect();
    format!("flag-{plain}").parse().expect("letters, digits and dashes")
}

fn value_filled(value: &FlagValue) -> Filled {
    match value {
        FlagValue::Known(value) => Filled::Json(value.clone()),
        other => Filled::Text(other.plain()),
    }
}

fn not_seen(change: &FlagChange, why: &str) -> StepError {
    StepError::Files(format!(
        "{} was not seen {} in the running app: {why}",
        change.name,
        change.after.plain()
    ))
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
