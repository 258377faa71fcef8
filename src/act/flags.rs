//! Changing flags: from what was asked for to their values, and whether the running app has them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::carry_out::{ChangeOptions, carry_out};
use super::failure::{Failure, SAME_COMMAND};
use super::outcome::{ChangeOutcome, Ending, Status};
use super::session::Session;
use super::statement::check_reason;
use crate::check;
use crate::config::{Apply, Component, Config, Flag, FlagSource, FlagSourceKind, Flags, Verify};
use crate::engine;
use crate::flag::{self, Value};
use crate::ledger::{self, Entry};
use crate::model::{
    ApprovalOptions, ComponentId, Digest, Event, FlagChange, FlagName, FlagSourceName, FlagValue,
    HiddenFlags, Outcome, Recorded, Served,
};
use crate::plan::compose::Change;
use crate::plan::facts::Facts;
use crate::service;
use crate::site;
use crate::system::procs::Variable;
use crate::system::text::nearest;

/// To change flags.
#[derive(Debug, Clone)]
pub struct FlagsRequest {
    pub flags: WhichFlags,
    pub reason: Option<String>,
    /// What is said about approvals.
    pub approval: ApprovalOptions,
    /// Show the plan and stop.
    pub plan_only: bool,
}

/// Which flags shall be what.
#[derive(Debug, Clone)]
pub enum WhichFlags {
    /// `NAME=VALUE` each; where they are kept, when that is not known by their names.
    Set { settings: Vec<String>, source: Option<String> },
    /// Of components, or by name: off, as declared.
    Off(Vec<String>),
    /// On, as declared.
    On(Vec<String>),
}

/// Changes flags, and shows that the running app has them.
///
/// # Errors
/// Everything that ends without the app seen with the flags as wanted.
pub fn change_flags(caller: &Caller, request: &FlagsRequest) -> Result<ChangeOutcome, Failure> {
    check_reason(request.reason.as_deref())?;
    let session = Session::change(caller, "flags")?.with_approval(&request.approval);
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    let wanted = match &request.flags {
        WhichFlags::Set { settings, source } => {
            self::settings(config, &session, &facts.serving, settings, source.as_deref())?
        }
        WhichFlags::Off(which) => switched(config, which, false)?,
        WhichFlags::On(which) => switched(config, which, true)?,
    };
    let change = change(&session, &facts, wanted, request.reason.clone())?;
    if as_wanted(&session, &facts, &change) {
        return Ok(caller.ended(nothing_to_do(&facts, &change)));
    }
    let options = ChangeOptions { plan_only: request.plan_only, ..ChangeOptions::default() };
    carry_out(&session, facts, change, &[], &options)
}

/// Everything is as wanted: nothing is run, so that the way back leads where it led before.
fn nothing_to_do(facts: &Facts, change: &Change) -> ChangeOutcome {
    let found = change.flags.iter().map(|change| {
        let value = change.after.plain();
        format!("{} is already {value}, seen in the running app", change.name)
    });
    let serving = (&facts.serving, &facts.serving);
    let mut outcome =
        ChangeOutcome::nothing_to_do("flags", "nothing-to-do", serving, found.collect());
    if let Ending::NothingToDo { note, .. } = &mut outcome.ending {
        *note = Some("nothing was changed or recorded".to_owned());
    }
    outcome
}

/// One flag and what it shall be.
#[derive(Debug, Clone)]
pub struct FlagRequest {
    /// Where it is kept.
    pub source: FlagSourceName,
    pub name: FlagName,
    /// What it shall be.
    pub to: FlagSetting,
    /// The component it is declared for.
    pub component: Option<ComponentId>,
    /// What the change left that is taken back: is it something else by now, that is said.
    pub left_at: Option<FlagValue>,
}

/// What a flag shall be.
#[derive(Debug, Clone)]
pub enum FlagSetting {
    /// What a person typed, or the configuration declares.
    Text(String),
    /// A value as it was recorded.
    Recorded(FlagValue),
}

/// The declared flags of components, or of flags by name, off or on.
///
/// # Errors
/// An unknown name, with the nearest; one that declares no value for on.
pub fn switched(config: &Config, which: &[String], on: bool) -> Result<Vec<FlagRequest>, Failure> {
    which.iter().map(|name| one_switched(config, name, on)).collect()
}

fn one_switched(config: &Config, name: &str, on: bool) -> Result<FlagRequest, Failure> {
    let (component, flag) = declared(config, name)?;
    let source = source_of(config, flag)?;
    let to = match (on, &flag.on) {
        (false, _) => flag.off.clone(),
        (true, Some(value)) => value.clone(),
        (true, None) => {
            let what =
                format!("gitroll.toml does not declare the value of {} that means on", flag.name);
            return Err(Failure::unchanged(what)
                .next(format!("gitroll flags set {}=VALUE", flag.name), "sets any value")
                .next("on = \"…\" in the component's flag", "declares it"));
        }
    };
    Ok(FlagRequest {
        source: source.name.clone(),
        name: flag.name.clone(),
        to: FlagSetting::Text(to),
        component: Some(component.id.clone()),
        left_at: None,
    })
}

/// `NAME=VALUE` each.
///
/// # Errors
/// A setting that is none; a name that no source has and nothing declares.
pub fn settings(
    config: &Config,
    session: &Session,
    serving: &Served,
    settings: &[String],
    source: Option<&str>,
) -> Result<Vec<FlagRequest>, Failure> {
    let mut wanted: Vec<FlagRequest> = Vec::new();
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else {
            let what = format!("{setting} is not NAME=VALUE");
            return Err(Failure::new(Status::Usage, what)
                .next(format!("gitroll flags set {setting}=VALUE"), "sets it")
                .next("gitroll flags", "shows the declared flags"));
        };
        let name: FlagName = name
            .parse()
            .map_err(|e: crate::model::IdError| Failure::new(Status::Usage, e.to_string()))?;
        if wanted.iter().any(|earlier| earlier.name == name) {
            let what = format!("{name} is set more than once");
            return Err(Failure::new(Status::Usage, what));
        }
        let (source, component) = place(config, session, serving, &name, source)?;
        let to = FlagSetting::Text(value.to_owned());
        let source = source.name.clone();
        wanted.push(FlagRequest { source, name, to, component, left_at: None });
    }
    Ok(wanted)
}

/// Where a flag is kept: as declared, as named, where it is found, or in the only source.
fn place<'c>(
    config: &'c Config,
    session: &Session,
    serving: &Served,
    name: &FlagName,
    source: Option<&str>,
) -> Result<(&'c FlagSource, Option<ComponentId>), Failure> {
    let flags = sources(config)?;
    if let Some(wanted) = source {
        let found = flags.sources.iter().find(|source| source.name.as_str() == wanted);
        return found.map(|source| (source, None)).ok_or_else(|| {
            let known: Vec<String> = flags.sources.iter().map(|s| s.name.to_string()).collect();
            let failure = Failure::unchanged(format!("[flags] has no source {wanted}"));
            failure.detail(format!("it has {}", known.join(", ")))
        });
    }
    let of_name =
        |component: &&Component| component.flag.as_ref().is_some_and(|flag| flag.name == *name);
    if let Some(component) = config.components.iter().find(of_name)
        && let Some(flag) = &component.flag
    {
        return Ok((source_of(config, flag)?, Some(component.id.clone())));
    }
    let host = session.site.host(serving, "");
    let mut known: Vec<String> = Vec::new();
    for source in &flags.sources {
        let names =
            flag::list(&host, source).map_err(|e| unreadable(session, config, source, &e))?;
        if names.as_ref().is_some_and(|names| names.contains(name)) {
            return Ok((source, None));
        }
        known.extend(names.unwrap_or_default().iter().map(ToString::to_string));
    }
    known.extend(config.components.iter().filter_map(|c| Some(c.flag.as_ref()?.name.to_string())));
    let failure = Failure::unchanged(format!(
        "no source has a flag {name}, and gitroll.toml does not declare it"
    ));
    Err(match nearest(name.as_str(), &known) {
        Some(near) => failure.detail(format!("the nearest name is {near}")),
        None => failure.next("gitroll flags", "shows them"),
    }
    .next(format!("{SAME_COMMAND} --source SOURCE"), "adds it there"))
}

/// The change of flags, what they are now read from their sources.
///
/// # Errors
/// When a source cannot be read or does not take such a value.
pub fn change(
    session: &Session,
    facts: &Facts,
    wanted: Vec<FlagRequest>,
    reason: Option<String>,
) -> Result<Change, Failure> {
    let config = &facts.accepted.config;
    let flags = sources(config)?;
    let host = session.site.host(&facts.serving, &facts.deployment(&session.site));
    let mut hidden = HiddenFlags::default();
    let (mut changes, mut warnings) = (Vec::new(), Vec::new());
    let mut components: Vec<ComponentId> = Vec::new();
    for one in wanted {
        let source = flags
            .source(Some(&one.source))
            .ok_or_else(|| Failure::unchanged(format!("[flags] has no source {}", one.source)))?;
        let names = std::slice::from_ref(&one.name);
        let found = flag::read(&host, source, names)
            .map_err(|e| unreadable(session, config, source, &e))?;
        let found = found.get(&one.name).cloned().unwrap_or(Value::Absent);
        let after = match one.to {
            FlagSetting::Text(text) => {
                let value = flag::typed(source, &one.name, &found, &text);
                let value = value.map_err(|e| unreadable(session, config, source, &e))?;
                noted(&mut hidden, &one.name, value)
            }
            FlagSetting::Recorded(value) => value,
        };
        let before = noted(&mut hidden, &one.name, found);
        if let Some(left) = one.left_at.filter(|left| *left != before) {
            warnings.push(format!(
                "{} is {}, but its last change set it to {}: someone changed it since",
                one.name,
                before.plain(),
                left.plain()
            ));
        }
        changes.push(FlagChange { source: one.source, before, after, name: one.name });
        components.extend(one.component.filter(|id| !components.contains(id)));
    }
    Ok(Change {
        recorded: Recorded { reason, components, ..Recorded::default() },
        warnings,
        flags: changes,
        hidden,
        ..Change::new(facts, Event::Flags, facts.serving.clone())
    })
}

/// The values before the last change of flags here that was not restored since, and its record; `None` if there
/// is none.
pub fn back_to_before(
    session: &Session,
    facts: &Facts,
) -> Option<(Vec<FlagRequest>, HiddenFlags, Digest)> {
    let own = facts.own(&session.site);
    let last = own.iter().rev().find(|entry| {
        let record = &entry.record;
        record.event == Event::Flags
            && record.outcome == Outcome::Succeeded
            && record.lifts.is_empty()
            // What was only applied again changed nothing that could go back.
            && record.flags.iter().any(|change| change.before != change.after)
            && !lifted(own, &entry.digest)
    })?;
    let component = last.record.components.first();
    let changed = last.record.flags.iter().rev().filter(|change| change.before != change.after);
    let wanted = changed.map(|change| FlagRequest {
        source: change.source.clone(),
        name: change.name.clone(),
        to: FlagSetting::Recorded(change.before.clone()),
        component: component.cloned(),
        left_at: Some(change.after.clone()),
    });
    let run = ledger::evidence(&session.site.git, last).ok()?.run;
    let hidden = run.map(|run| engine::hidden_flags(&session.site, &run)).unwrap_or_default();
    Some((wanted.collect(), hidden, last.digest))
}

fn lifted(own: &[Entry], digest: &Digest) -> bool {
    let lifts = |entry: &Entry| {
        entry.record.outcome == Outcome::Succeeded && entry.record.lifts.contains(digest)
    };
    own.iter().any(lifts)
}

fn noted(hidden: &mut HiddenFlags, name: &FlagName, value: Value) -> FlagValue {
    match value {
        Value::Absent => FlagValue::Absent,
        Value::Known(value) => hidden.shown(name, value),
    }
}

fn declared<'c>(config: &'c Config, name: &str) -> Result<(&'c Component, &'c Flag), Failure> {
    let with_flag = || config.components.iter().filter_map(|c| Some((c, c.flag.as_ref()?)));
    let found = with_flag()
        .find(|(component, _)| component.id.as_str() == name)
        .or_else(|| with_flag().find(|(_, flag)| flag.name.as_str() == name));
    if let Some(found) = found {
        return Ok(found);
    }
    if config.components.iter().any(|component| component.id.as_str() == name) {
        return Err(Failure::unchanged(format!("{name} has no flag"))
            .next(format!("gitroll component {name}"), "restores its files"));
    }
    let known: Vec<String> =
        with_flag().flat_map(|(c, flag)| [c.id.to_string(), flag.name.to_string()]).collect();
    let failure = Failure::unchanged(format!("there is no component or declared flag {name}"));
    Err(match nearest(name, &known) {
        Some(near) => failure.detail(format!("the nearest name is {near}")),
        None => failure.next("gitroll flags", "shows them"),
    })
}

fn source_of<'c>(config: &'c Config, flag: &Flag) -> Result<&'c FlagSource, Failure> {
    sources(config)?.source(flag.source.as_ref()).ok_or_else(|| {
        Failure::unchanged(format!("[flags] does not say where {} is stored", flag.name))
    })
}

fn sources(config: &Config) -> Result<&Flags, Failure> {
    config.flags.as_ref().ok_or_else(|| {
        Failure::unchanged("gitroll.toml does not say where flags are stored")
            .next("[flags] with file = \".env\" in gitroll.toml", "says so")
            .next("gitroll init", "accepts the changed file")
    })
}

/// Why a source cannot be read or does not take a value, the app's secrets taken out: what a command printed may be
/// anything.
pub fn unreadable(
    session: &Session,
    config: &Config,
    source: &FlagSource,
    error: &flag::FlagError,
) -> Failure {
    let what = format!("flags of {}: {error}", source.name);
    Failure::unchanged(session.site.redactor(config).text(&what))
        .next("gitroll flags", "shows which flags can be read")
        .next(SAME_COMMAND, "tries again, after you fix that")
}

/// Puts the values back that flags had before they were last changed here.
///
/// # Errors
/// When no flag was changed here; everything that ends without the app seen with them.
pub fn flags_before(
    session: &Session,
    facts: Facts,
    reason: Option<String>,
    emergency: bool,
    options: &ChangeOptions,
) -> Result<ChangeOutcome, Failure> {
    let Some((wanted, hidden, changed_by)) = back_to_before(session, &facts) else {
        return Err(Failure::unchanged("there is no flag change to undo here")
            .next("gitroll flags", "shows the flags")
            .next("gitroll flags off COMPONENT", "switches one off"));
    };
    let mut change = change(session, &facts, wanted, reason)?;
    change.recorded.lifts = vec![changed_by];
    change.way_back = true;
    change.hidden = change.hidden.and(hidden);
    if emergency {
        change = change.in_emergency(None);
    }
    carry_out(session, facts, change, &[], options)
}

/// Sets flags again as they were before `last`, which had put them back.
///
/// # Errors
/// Everything that ends without the app seen with them.
pub fn flags_again(
    session: &Session,
    facts: Facts,
    last: &Entry,
    reason: Option<String>,
    options: &ChangeOptions,
) -> Result<ChangeOutcome, Failure> {
    let component = last.record.components.first();
    let wanted = last.record.flags.iter().rev().map(|change| FlagRequest {
        source: change.source.clone(),
        name: change.name.clone(),
        to: FlagSetting::Recorded(change.before.clone()),
        component: component.cloned(),
        left_at: Some(change.after.clone()),
    });
    let mut change = change(session, &facts, wanted.collect(), reason)?;
    change.way_back = true;
    let run = ledger::evidence(&session.site.git, last)?.run;
    if let Some(run) = run {
        change.hidden = change.hidden.and(engine::hidden_flags(&session.site, &run));
    }
    carry_out(session, facts, change, &[], options)
}

/// Whether a component has a flag that its source does not have off.
///
/// # Errors
/// When the source cannot be read.
pub fn is_on(session: &Session, facts: &Facts, component: &Component) -> Result<bool, Failure> {
    let Some(flag) = &component.flag else { return Ok(false) };
    let sources = facts.accepted.config.flags.as_ref();
    let Some(source) = sources.and_then(|flags| flags.source(flag.source.as_ref())) else {
        return Ok(false);
    };
    let host = session.site.host(&facts.serving, "");
    let found = flag::read(&host, source, std::slice::from_ref(&flag.name))
        .map_err(|e| unreadable(session, &facts.accepted.config, source, &e))?;
    let found = found.get(&flag.name).cloned().unwrap_or(Value::Absent);
    Ok(found.plain().as_ref() != Some(&flag.off))
}

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

/// Whether every flag of a change has its wanted value in its source already, and was seen with it in the running
/// app, asked once.
fn as_wanted(session: &Session, facts: &Facts, wanted: &Change) -> bool {
    wanted.flags.iter().all(|change| {
        let source = wanted.config.flags.as_ref().and_then(|all| all.source(Some(&change.source)));
        let found = found(&change.before, &wanted.hidden);
        let (Some(source), Some(found), true) = (source, found, change.before == change.after)
        else {
            return false;
        };
        let declared = wanted.config.flag_verify(change).is_some() || is_api(source);
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
/// once wrote to a log is not a answer about now.
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
    match config.flag_verify(&change) {
        // Its answer is where the value was found.
        None if is_api(source) => (Running::Yes, None),
        Some(Verify::Ask { .. }) => {
            let Some(question) = engine::flag_question(config, &change, &hidden) else {
                let why = "no check can show that it is not set";
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
    for name in config.flag_takers(source, &[flag]) {
        let service = config.services.iter().find(|service| service.name == name);
        let state = service.map(|service| service::observe(&host, service));
        let Some(Ok(state)) = state else {
            unread.insert(format!("{name} cannot be read"));
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
        (true, true, false) => (Running::Unknown, Some("no check shows it now".to_owned())),
    }
}
