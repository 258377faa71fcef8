//! Seeing flags in the running app.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{hidden, source, value};
use crate::config::{
    Apply, Check, CheckGroup, CheckKind, Config, Filler, FlagSourceKind, LogSource, Verify,
    readers, takers, verify,
};
use crate::engine::StepError;
use crate::engine::run::Run;
use crate::flag::{self, Value};
use crate::model::{
    CheckEvidence, CheckName, FlagChange, FlagEvidence, FlagName, FlagValue, HiddenFlags, Plan,
    Served, ServiceName, Step,
};
use crate::service;
use crate::site::Site;
use crate::system::procs::Variable;

/// The questions that show in the running app what the run's flags are: asked with the checks.
pub(in crate::engine) fn questions(
    config: &Config,
    plan: &Plan,
    hidden: &HiddenFlags,
) -> Vec<Check> {
    plan.flags().filter_map(|change| question(config, change, hidden)).collect()
}

/// Of these questions those to a log that `service` writes as it starts with what it read of the flag. Whose a file is
/// nobody knows: it is taken for that of the first service that is reloaded.
pub(in crate::engine) fn questions_by_log(
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
        let check = question(config, change, hidden)?;
        writes(&change, &check).then_some(check)
    });
    asked.collect()
}

/// The questions that hold a secret, or are about one: their answers are not told.
pub(in crate::engine) fn untold(plan: &Plan) -> BTreeSet<CheckName> {
    let hides = |change: &&FlagChange| {
        [&change.before, &change.after].into_iter().any(|v| matches!(v, FlagValue::Hidden(_)))
    };
    plan.flags().filter(hides).map(|change| question_name(&change.name)).collect()
}

/// The question that shows in the running app that a flag is what it is changed to, where one is declared; asked
/// with the true value of a secret, for which `hidden` is needed. Of a flag that is taken away: that it is not any more
/// what it was, where an answer can tell that.
pub fn question(config: &Config, change: &FlagChange, hidden: &HiddenFlags) -> Option<Check> {
    let Verify::Ask { kind, timeout, tells_value } = verify(config, change)? else { return None };
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
pub(in crate::engine) fn look(
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
        let by = match verify(config, change) {
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
            Ok(format!("by the check {name}: it is not what it was set to any more"))
        }
        (true, _) => Ok(format!("by the check {name}")),
        (false, FlagValue::Absent) if !asked => {
            Ok("not looked for: nothing can tell that it is not set".to_owned())
        }
        (false, _) => Err(not_seen(change, "it was not asked")),
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

fn not_seen(change: &FlagChange, why: &str) -> StepError {
    StepError::Files(format!(
        "{} was not seen {} in the running app: {why}",
        change.name,
        change.after.plain()
    ))
}
