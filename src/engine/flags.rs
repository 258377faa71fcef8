//! Changing flags as steps of a run, putting them back, and seeing them in the running app.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::StepError;
use super::run::Run;
use crate::check::{self, Intent};
use crate::config::{Apply, Check, CheckKind, Config, FlagSource, Verify};
use crate::flag::{self, Value};
use crate::model::{
    Digest, FlagChange, FlagEvidence, FlagName, FlagSourceName, FlagStep, FlagValue, HiddenFlags,
    Narration, Narrator, Served, ServiceName, Step,
};
use crate::plan::flags::{declared, readers, verify};
use crate::service;
use crate::site::Site;
use crate::system::files;

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
    flag::change(&host(site), source, &wanted, &undo).map_err(|e| failed(step, &e))
}

/// Puts the flags of every source back that the run changed or began to change.
pub(super) fn restore(site: &Site, run: &Run, config: &Config) -> Result<Vec<String>, StepError> {
    let mut notes = Vec::new();
    for step in run.plan.steps.iter().rev() {
        let Step::Flags(step) = step else { continue };
        let undo = undo_dir(site, run, &step.source);
        if undo.exists() {
            let source = source(config, &step.source)?;
            let told = flag::restore(&host(site), source, &undo).map_err(|e| failed(step, &e))?;
            notes.extend(told);
        }
    }
    Ok(notes)
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
    let service = config.services.iter().find(|service| service.name == *name).ok_or_else(|| {
        StepError::Files(format!("service {name} is not in the configuration"))
    })?;
    let signal = crate::config::Signal::named(signal)
        .ok_or_else(|| StepError::Files(format!("{signal} is no signal this version sends")))?;
    service::signal(&host, service, signal).map_err(failed)
}

/// The declared flags that a service is handed in its environment, by what the sources hold now.
pub fn environment(
    site: &Site,
    config: &Config,
    service: &ServiceName,
) -> Result<BTreeMap<String, String>, String> {
    let Some(flags) = &config.flags else { return Ok(BTreeMap::new()) };
    let mut variables = BTreeMap::new();
    for source in flags.sources.iter().filter(|source| source.apply == Apply::Environment) {
        if !readers(config, source).contains(service) {
            continue;
        }
        let names: Vec<FlagName> =
            declared(config, flags, source).map(|flag| flag.name.clone()).collect();
        let found = flag::read(&host(site), source, &names)
            .map_err(|e| format!("flags of {}: {e}", source.name))?;
        variables.extend(found.into_iter().filter_map(|(name, value)| match value {
            Value::Known(value) => Some((name.to_string(), FlagValue::Known(value).plain())),
            Value::Absent => None,
        }));
    }
    Ok(variables)
}

/// What is to be seen of a run's flags: as they shall be, or as they were.
pub(super) struct Look<'a> {
    pub(super) site: &'a Site,
    pub(super) run: &'a Run,
    pub(super) config: &'a Config,
    pub(super) intent: &'a Intent,
}

impl Look<'_> {
    /// Looks at each flag in the running app until it shows its value or its time is over.
    ///
    /// # Errors
    /// The first that does not.
    pub(super) fn all(
        &self,
        changes: &[FlagChange],
        narrator: &mut Narrator<'_>,
    ) -> Result<Vec<FlagEvidence>, StepError> {
        let hidden = hidden(self.site, self.run)?;
        let mut seen = Vec::new();
        for change in changes {
            let wanted = match value(change, &hidden)? {
                Value::Known(value) => FlagValue::Known(value),
                Value::Absent => FlagValue::Absent,
            };
            let by = match verify(self.config, change) {
                None => match self.by_source(change, &wanted)? {
                    Some(by) => by,
                    None => "not looked for: nothing shows it".to_owned(),
                },
                Some(Verify::Environ) => self.in_environment(change, &wanted)?,
                Some(Verify::Ask { kind, timeout, .. }) => {
                    let check = Check {
                        name: check_name(&change.name),
                        kind: filled(kind, &change.name, &wanted),
                        passes: 1,
                        settle: std::time::Duration::ZERO,
                        timeout: *timeout,
                    };
                    self.asked(change, check, narrator)?
                }
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

    /// An admin API is asked the way the app is: its answer is the app's own.
    fn by_source(&self, change: &FlagChange, wanted: &FlagValue) -> Result<Option<String>, StepError> {
        let source = source(self.config, &change.source)?;
        if !matches!(source.kind, crate::config::FlagSourceKind::Http(_)) {
            return Ok(None);
        }
        let found = flag::read(&host(self.site), source, std::slice::from_ref(&change.name))
            .map_err(|e| not_seen(change, &e.to_string()))?;
        let found = match found.get(&change.name) {
            Some(Value::Known(value)) => FlagValue::Known(value.clone()),
            _ => FlagValue::Absent,
        };
        if found.plain() == wanted.plain() {
            return Ok(Some(format!("{} answers so", change.source)));
        }
        Err(not_seen(change, &format!("{} answers {}", change.source, shown(change, &found))))
    }

    fn in_environment(&self, change: &FlagChange, wanted: &FlagValue) -> Result<String, StepError> {
        let source = source(self.config, &change.source)?;
        let host = self.site.host(&self.intent.served, &self.intent.deployment);
        let mut processes = 0;
        for name in readers(self.config, source) {
            let Some(service) = self.config.services.iter().find(|s| s.name == name) else {
                continue;
            };
            let state = service::observe(&host, service)
                .map_err(|source| StepError::Service { service: name.to_string(), source })?;
            let pids: Vec<u32> = state.processes.iter().map(|process| process.pid).collect();
            for (pid, found) in flag::in_processes(&pids, &change.name) {
                let found = found.map_or(FlagValue::Absent, |text| FlagValue::Known(text.into()));
                if found.plain() != wanted.plain() {
                    let found = shown(change, &found);
                    let text = format!("{name} (process {pid}) was started with {found}");
                    return Err(not_seen(change, &text));
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

    fn asked(
        &self,
        change: &FlagChange,
        check: Check,
        narrator: &mut Narrator<'_>,
    ) -> Result<String, StepError> {
        let intent = Intent { weak: true, fresh_since: None, not: None, ..self.intent.clone() };
        let proof = check::prove(&[check], &intent, &mut Vec::new, &mut |text| {
            narrator(Narration::Progress { text: text.to_owned() });
        });
        let answer = proof.checks.first().map(|check| check.last.answer.clone());
        let answer = answer.unwrap_or_default();
        if proof.proven { Ok(answer) } else { Err(not_seen(change, &answer)) }
    }
}

/// The changes that put the flags of a run back.
pub(super) fn reversed(run: &Run) -> Vec<FlagChange> {
    run.plan.flags().map(FlagChange::reversed).collect()
}

/// The name of the question that shows a flag.
pub(super) fn check_name(flag: &FlagName) -> crate::model::CheckName {
    let plain: String = flag
        .as_str()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' })
        .take(50)
        .collect();
    format!("flag-{plain}").parse().expect("letters, digits and dashes")
}

fn filled(kind: &CheckKind, _name: &FlagName, _value: &FlagValue) -> CheckKind {
    kind.clone()
}

fn shown(change: &FlagChange, found: &FlagValue) -> String {
    let hidden = [&change.before, &change.after].iter().any(|v| matches!(v, FlagValue::Hidden(_)));
    if hidden { "another value".to_owned() } else { found.plain() }
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

fn host(site: &Site) -> flag::Host<'_> {
    flag::Host { binding: &site.binding, top: site.top() }
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
    let problem = |error: &dyn std::fmt::Display| StepError::Files(format!("{}: {error}", path.display()));
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| problem(&e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(HiddenFlags::default()),
        Err(e) => Err(problem(&e)),
    }
}

fn undo_dir(site: &Site, run: &Run, source: &FlagSourceName) -> PathBuf {
    site.run_dir(&run.id).join("flags").join(source.as_str())
}
