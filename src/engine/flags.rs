//! Changing flags as steps of a run, and putting them back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::entry::Entry;
use super::error::{EnvironmentError, StepError};
use super::run::{Run, hidden_flags, read_hidden_flags};
use crate::check::{LogPositions, log_positions};
use crate::config::{
    Apply, Check, CheckGroup, CheckKind, Config, Filler, FlagSource, FlagSourceKind, LogSource,
    Service, Verify,
};
use crate::flag::{self, FlagError, Value};
use crate::model::{
    CheckEvidence, CheckName, FlagChange, FlagEvidence, FlagName, FlagSourceName, FlagStep,
    FlagValue, HiddenFlags, Plan, Served, ServiceName, Step,
};
use crate::service::{self, Host};
use crate::site::{Site, surroundings};
use crate::system::files;
use crate::system::procs::{self, ProcessId, Variable};

/// How often it is looked whether the processes of before have ended: a new one may speak soon after.
const LOOK: Duration = Duration::from_millis(1);

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
        .map_err(|source| StepError::Io { path: undo.clone(), source })?;
    let host = site.host(&run.plan.to, run.id.as_str());
    let mut notes = replaced(&host, source, step).map_err(|e| failed(step, e))?;
    notes.extend(flag::change(&host, source, &wanted, &undo).map_err(|e| failed(step, e))?);
    Ok(notes)
}

/// What is said of flags that are neither what they were when the plan was made nor what it sets them to.
fn replaced(
    host: &Host<'_>,
    source: &FlagSource,
    step: &FlagStep,
) -> Result<Vec<String>, FlagError> {
    let names: Vec<FlagName> = step.changes.iter().map(|change| change.name.clone()).collect();
    let now = flag::read(host, source, &names)?;
    let theirs = step.changes.iter().filter_map(|change| {
        let now = now.get(&change.name).unwrap_or(&Value::Absent).shown(&change.name);
        let known = now == change.before || now == change.after;
        let (name, now, after) = (&change.name, now.plain(), change.after.plain());
        (!known)
            .then(|| format!("flag {name} was set to {now} meanwhile; replacing it with {after}"))
    });
    Ok(theirs.collect())
}

/// Puts the flags of every source back that the run changed or began to change. Returns what a person should know:
/// what is left as someone set it meanwhile.
///
/// # Errors
/// Every source that could not be restored; the others are.
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
    match flag::restore(&host, source, &undo).map_err(|e| failed(step, e))? {
        Some(told) => Ok(told),
        None => restore_from_plan(site, run, &host, source, step),
    }
}

/// Whether the step was announced: what it changed may stand there.
fn began(run: &Run, number: usize) -> bool {
    let announced = |entry: &Entry| matches!(entry, Entry::Intent { step, .. } if *step == number);
    run.journal.lines().iter().any(|line| announced(&line.entry))
}

/// If nothing is kept: no change began, or someone removed it. The plan knows what the flags were.
fn restore_from_plan(
    site: &Site,
    run: &Run,
    host: &Host<'_>,
    source: &FlagSource,
    step: &FlagStep,
) -> Result<Vec<String>, StepError> {
    let names: Vec<FlagName> = step.changes.iter().map(|change| change.name.clone()).collect();
    let now = flag::read(host, source, &names).map_err(|e| failed(step, e))?;
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
        notes.extend(flag::change(host, source, &wanted, &undo).map_err(|e| failed(step, e))?);
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
    let service = config
        .services
        .iter()
        .find(|service| service.name == *name)
        .ok_or_else(|| StepError::NoService(name.to_string()))?;
    let signal = crate::config::Signal::named(signal)
        .ok_or_else(|| StepError::NoSignal(signal.to_owned()))?;
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
/// The first source that cannot be read.
pub fn environment(
    host: &Host<'_>,
    config: &Config,
    service: &ServiceName,
) -> Result<BTreeMap<String, Option<String>>, EnvironmentError> {
    let Some(flags) = &config.flags else { return Ok(BTreeMap::new()) };
    let mut variables = BTreeMap::new();
    for source in flags.sources.iter().filter(|source| source.apply == Apply::Environment) {
        if !config.flag_readers(source).contains(service) {
            continue;
        }
        let names: Vec<FlagName> =
            config.declared_flags(flags, source).map(|flag| flag.name.clone()).collect();
        let found = flag::read(host, source, &names)
            .map_err(|error| EnvironmentError { name: source.name.clone(), source: error })?;
        variables.extend(found.into_iter().map(|(name, value)| (name.to_string(), value.plain())));
    }
    Ok(variables)
}

fn failed(step: &FlagStep, source: FlagError) -> StepError {
    StepError::FlagSource { name: step.source.clone(), source }
}

fn source<'c>(config: &'c Config, name: &FlagSourceName) -> Result<&'c FlagSource, StepError> {
    let flags = config.flags.as_ref();
    flags
        .and_then(|flags| flags.source(Some(name)))
        .ok_or_else(|| StepError::NoFlagSource(name.clone()))
}

/// What a flag is changed to, in full.
fn value(change: &FlagChange, hidden: &HiddenFlags) -> Result<Value, StepError> {
    match &change.after {
        FlagValue::Absent => Ok(Value::Absent),
        FlagValue::Known(value) => Ok(Value::Known(value.clone())),
        FlagValue::Hidden(digest) => {
            let kept =
                hidden.value(digest).ok_or_else(|| StepError::ValueLost(change.name.clone()))?;
            Ok(Value::Known(kept.clone()))
        }
    }
}

fn undo_dir(site: &Site, run: &Run, source: &FlagSourceName) -> PathBuf {
    site.run_dir(&run.id).join("flags").join(source.as_str())
}

fn hidden(site: &Site, run: &Run) -> Result<HiddenFlags, StepError> {
    read_hidden_flags(site, &run.id).map_err(|(path, source)| StepError::Io { path, source })
}

/// Where is kept what was restored by the plan.
fn again_dir(site: &Site, run: &Run, source: &FlagSourceName) -> PathBuf {
    site.run_dir(&run.id).join("flags-by-plan").join(source.as_str())
}

/// The questions that show in the running app what the run's flags are: asked with the checks.
pub(super) fn questions(config: &Config, plan: &Plan, hidden: &HiddenFlags) -> Vec<Check> {
    plan.flags().filter_map(|change| question(config, change, hidden)).collect()
}

/// Of these questions those to a log that `service` writes as it starts with what it read of the flag. Whose a file is
/// nobody knows: it is taken for that of the first service that is reloaded.
pub(super) fn questions_by_log(
    config: &Config,
    plan: &Plan,
    hidden: &HiddenFlags,
    service: &ServiceName,
) -> Vec<Check> {
    let first = plan.steps.iter().find_map(|step| match step {
        Step::Reload { service } => Some(service),
        _ => None,
    });
    let writes = |change: &&FlagChange, check: &Check| {
        let at_start = source(config, &change.source).is_ok_and(|source| {
            matches!(source.apply, Apply::Reload | Apply::Environment)
                && config.flag_readers(source).contains(service)
        });
        let CheckKind::Log(log) = &check.kind else { return false };
        at_start
            && match &log.source {
                LogSource::Service(name) => name == service,
                LogSource::File(_) => first == Some(service),
            }
    };
    let asked = plan.flags().filter_map(|change| {
        let check = question(config, change, hidden)?;
        writes(&change, &check).then_some(check)
    });
    asked.collect()
}

/// The questions that hold a secret, or are about one: their answers are not told.
pub(super) fn untold(plan: &Plan) -> BTreeSet<CheckName> {
    let hides = |change: &&FlagChange| {
        [&change.before, &change.after].into_iter().any(|v| matches!(v, FlagValue::Hidden(_)))
    };
    plan.flags().filter(hides).map(|change| question_name(&change.name)).collect()
}

/// The question that shows in the running app that a flag is what it is changed to, where one is declared; asked
/// with the true value of a secret, for which `hidden` is needed. Of a flag that is taken away: that it is not any more
/// what it was, where an answer can tell that.
pub fn question(config: &Config, change: &FlagChange, hidden: &HiddenFlags) -> Option<Check> {
    let Verify::Ask { kind, timeout, tells_value } = config.flag_verify(change)? else {
        return None;
    };
    let value = match (&change.after, &change.before) {
        (FlagValue::Absent, set) | (set, _) if *tells_value => known(set, hidden)?,
        _ => serde_json::Value::Null,
    };
    let words =
        [("{name}", Filler::Text(change.name.to_string())), ("{value}", Filler::Json(value))];
    let kind = match change.after {
        FlagValue::Absent => kind.denied(&words, "{value}")?,
        FlagValue::Known(_) | FlagValue::Hidden(_) => kind.filled(&words),
    };
    Some(Check {
        name: question_name(&change.name),
        kind,
        critical: true,
        group: CheckGroup::Quick,
        passes: 1,
        settle: Duration::ZERO,
        timeout: *timeout,
    })
}

fn known(value: &FlagValue, hidden: &HiddenFlags) -> Option<serde_json::Value> {
    match value {
        FlagValue::Absent => None,
        FlagValue::Known(value) => Some(value.clone()),
        FlagValue::Hidden(digest) => hidden.value(digest).cloned(),
    }
}

/// What showed each flag: the question that was asked among `checks`; else it is looked for in the environment of
/// processes or in the answer of an admin API.
///
/// # Errors
/// The first flag that does not show its value.
pub(super) fn look(
    site: &Site,
    run: &Run,
    config: &Config,
    served: &Served,
    checks: &[CheckEvidence],
) -> Result<Vec<FlagEvidence>, StepError> {
    let hidden = hidden(site, run)?;
    let mut seen = Vec::new();
    for change in run.plan.flags() {
        let wanted = value(change, &hidden)?;
        let by = match config.flag_verify(change) {
            Some(Verify::Ask { .. }) => {
                let asked = question(config, change, &hidden).is_some();
                by_question(change, asked, checks)?
            }
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

/// Only what was asked and answered so shows anything.
fn by_question(
    change: &FlagChange,
    asked: bool,
    checks: &[CheckEvidence],
) -> Result<String, StepError> {
    let name = question_name(&change.name);
    let passed = |check: &CheckEvidence| check.check == name && check.passed;
    match (asked && checks.iter().any(passed), &change.after) {
        (true, FlagValue::Absent) => {
            Ok(format!("by the check {name}: it no longer has the value that was set"))
        }
        (true, _) => Ok(format!("by the check {name}")),
        (false, FlagValue::Absent) if !asked => {
            Ok("not looked for: no check can show that it is not set".to_owned())
        }
        (false, _) => Err(not_seen(change, "it was not run")),
    }
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
        return Ok("not verified: no check shows it".to_owned());
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
    for name in config.flag_takers(source, &[&change.name]) {
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
        return Err(not_seen(change, "no process of a service could be examined"));
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

fn not_seen(change: &FlagChange, why: &str) -> StepError {
    let (flag, wanted, why) = (change.name.clone(), change.after.plain(), why.to_owned());
    StepError::NotSeen { flag, wanted, why }
}

/// Reloads a service by `perform` and notes in `logs` where the logs ended that show flags when all that ran before
/// had ended: what an old process says last is not what the new one says of a flag. Nothing where no such log is
/// asked, and where something of before goes on: then the window stays as it was.
pub(super) fn noting_last_words<T>(
    site: &Site,
    run: &Run,
    config: &Config,
    step: &Step,
    perform: impl FnOnce() -> T,
    logs: &mut Option<LogPositions>,
) -> T {
    let Some(service) = shows_flags_by_log(site, run, config, step) else { return perform() };
    let hidden = hidden_flags(site, &run.id);
    let checks = questions_by_log(config, &run.plan, &hidden, &service.name);
    let host = site.host(&run.plan.from, run.id.as_str());
    let state = service::observe(&host, service).ok();
    let named = state.iter().flat_map(|state| &state.processes);
    let old: Vec<ProcessId> =
        named.flat_map(|p| procs::family(p.pid)).filter_map(ProcessId::of).collect();
    if old.is_empty() {
        return perform();
    }
    let asked = Config { checks, ..config.clone() };
    let around = surroundings(site, &asked, &run.plan.from, run.id.as_str());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            loop {
                let last = done.load(Ordering::SeqCst);
                if !old.iter().any(ProcessId::alive) {
                    return Some(log_positions(&asked.checks, &around));
                }
                if last {
                    return None;
                }
                thread::sleep(LOOK);
            }
        });
        let performed = perform();
        done.store(true, Ordering::SeqCst);
        *logs = watching.join().ok().flatten();
        performed
    })
}

/// The service that a step reloads, where its log shows a flag that it reads as it starts.
fn shows_flags_by_log<'c>(
    site: &Site,
    run: &Run,
    config: &'c Config,
    step: &Step,
) -> Option<&'c Service> {
    let Step::Reload { service } = step else { return None };
    let hidden = hidden_flags(site, &run.id);
    let asked = questions_by_log(config, &run.plan, &hidden, service);
    let service = config.services.iter().find(|one| one.name == *service);
    service.filter(|_| !asked.is_empty())
}
