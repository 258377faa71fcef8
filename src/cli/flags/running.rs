//! Whether the running app has a flag as its source has it, at this moment.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::check;
use crate::cli::session::Session;
use crate::config::{self, Apply, FlagSource, FlagSourceKind, Verify};
use crate::engine;
use crate::flag::{self, Value};
use crate::model::{FlagChange, FlagName, FlagValue, HiddenFlags};
use crate::plan::compose::Intent;
use crate::plan::facts::Facts;
use crate::service;
use crate::site;
use crate::system::procs::Variable;

/// Whether the running app has the value that the source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Running {
    /// It was seen with it.
    Yes,
    /// It was seen with something else.
    No,
    /// Nothing shows it at this moment.
    Unknown,
}

/// Whether every flag of an intent has its wanted value in its source already, and was seen with it in the running
/// app, asked once.
pub fn as_wanted(session: &Session, facts: &Facts, intent: &Intent) -> bool {
    intent.flags.iter().all(|change| {
        let source = intent.config.flags.as_ref().and_then(|all| all.source(Some(&change.source)));
        let found = found(&change.before, &intent.hidden);
        let (Some(source), Some(found), true) = (source, found, change.before == change.after)
        else {
            return false;
        };
        let declared = config::verify(&intent.config, change).is_some() || is_api(source);
        declared && running(session, facts, source, &change.name, &found).0 == Running::Yes
    })
}

fn found(value: &FlagValue, hidden: &HiddenFlags) -> Option<Value> {
    match value {
        FlagValue::Absent => Some(Value::Absent),
        FlagValue::Known(value) => Some(Value::Known(value.clone())),
        FlagValue::Hidden(digest) => hidden.value(digest).cloned().map(Value::Known),
    }
}

/// What the running app has, where its source has `found`, and what showed that or why nothing does. What the app
/// once wrote to a log is no answer about now.
pub fn running(
    session: &Session,
    facts: &Facts,
    source: &FlagSource,
    flag: &FlagName,
    found: &Value,
) -> (Running, Option<String>) {
    let config = &facts.accepted.config;
    let mut hidden = HiddenFlags::default();
    let shown = match found {
        Value::Absent => FlagValue::Absent,
        Value::Known(value) => hidden.shown(flag, value.clone()),
    };
    let change = FlagChange {
        source: source.name.clone(),
        name: flag.clone(),
        before: shown.clone(),
        after: shown,
    };
    match config::verify(config, &change) {
        // Its answer is where the value was found.
        None if is_api(source) => (Running::Yes, None),
        Some(Verify::Ask { .. }) => {
            let Some(question) = engine::flag_question(config, &change, &hidden) else {
                let why = "nothing can tell that it is not set";
                return (Running::Unknown, Some(why.to_owned()));
            };
            let deployment = facts.deployment(&session.site);
            let mut expectation =
                site::expectation(&session.site, config, &facts.serving, &deployment, None);
            if !hidden.is_empty() {
                expectation.around.untold.insert(question.name.clone());
                expectation.around.redactor = expectation.around.redactor.and(hidden.redactor());
            }
            match check::look(&[question], Some(&expectation)).into_iter().next() {
                Some(evidence) if evidence.passed => (Running::Yes, None),
                Some(evidence) if evidence.failed() => (Running::No, Some(evidence.last.answer)),
                Some(evidence) => (Running::Unknown, evidence.skipped),
                None => (Running::Unknown, None),
            }
        }
        Some(Verify::Environ) => in_environment(session, facts, source, flag, found, true),
        None => {
            let handed = source.apply == Apply::Environment;
            in_environment(session, facts, source, flag, found, handed)
        }
    }
}

fn is_api(source: &FlagSource) -> bool {
    matches!(source.kind, FlagSourceKind::Http(_))
}

/// `handed`: the app has it from there, so that a variable that is not set tells something.
fn in_environment(
    session: &Session,
    facts: &Facts,
    source: &FlagSource,
    flag: &FlagName,
    found: &Value,
    handed: bool,
) -> (Running, Option<String>) {
    let config = &facts.accepted.config;
    let host = session.site.host(&facts.serving, &facts.deployment(&session.site));
    let mut others: BTreeSet<String> = BTreeSet::new();
    let mut unread: BTreeSet<String> = BTreeSet::new();
    let mut same = false;
    for name in config::takers(config, source, &[flag]) {
        let service = config.services.iter().find(|service| service.name == name);
        let state = service.map(|service| service::observe(&host, service));
        let Some(Ok(state)) = state else {
            unread.insert(format!("{name} cannot be asked"));
            continue;
        };
        let pids: Vec<u32> = state.processes.iter().map(|process| process.pid).collect();
        for (_, variable) in flag::in_processes(&pids, flag) {
            let variable = match variable {
                Variable::Set(text) => Value::text(text),
                Variable::Unset if handed => Value::Absent,
                Variable::Unset => continue,
                Variable::Unreadable(why) => {
                    unread.insert(format!("the environment of {name}: {why}"));
                    continue;
                }
            };
            if variable.plain() == found.plain() {
                same = true;
            } else {
                let has = match &variable {
                    Value::Absent => "without it".to_owned(),
                    Value::Known(_) => format!("with {}", variable.shown(flag).plain()),
                };
                others.insert(format!("{name} was started {has}"));
            }
        }
    }
    let told = |all: BTreeSet<String>| Some(all.into_iter().collect::<Vec<_>>().join(", "));
    match (others.is_empty(), unread.is_empty(), same) {
        (false, ..) => (Running::No, told(others)),
        (true, false, _) => (Running::Unknown, told(unread)),
        (true, true, true) => (Running::Yes, None),
        (true, true, false) => (Running::Unknown, Some("nothing shows it now".to_owned())),
    }
}
