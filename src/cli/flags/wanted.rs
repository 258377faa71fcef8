//! From what a person typed to the changes of flags.

use crate::cli::failure::{Failure, Status};
use crate::cli::session::Session;
use crate::config::{Component, Config, Flag, FlagSource, Flags};
use crate::engine;
use crate::flag::{self, Value};
use crate::ledger::{self, Entry};
use crate::model::{
    ComponentId, Digest, Event, FlagChange, FlagName, FlagSourceName, FlagValue, HiddenFlags,
    Outcome, Recorded, Served,
};
use crate::plan::compose::{GroupsOf, Intent};
use crate::plan::facts::Facts;
use crate::plan::preflight::nearest;

/// One flag and what it shall be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where it is kept.
    pub source: FlagSourceName,
    /// The flag.
    pub name: FlagName,
    /// What it shall be.
    pub to: To,
    /// The component it is declared for.
    pub component: Option<ComponentId>,
    /// What the change left that is taken back: is it something else by now, that is said.
    pub left_at: Option<FlagValue>,
}

/// What a flag shall be.
#[derive(Debug, Clone)]
pub enum To {
    /// What a person typed, or the configuration declares.
    Text(String),
    /// A value as it was recorded.
    Recorded(FlagValue),
}

/// The declared flags of components, or of flags by name, off or on.
///
/// # Errors
/// An unknown name, with the nearest; one that declares no value for on.
pub fn switched(config: &Config, which: &[String], on: bool) -> Result<Vec<Wanted>, Failure> {
    which.iter().map(|name| one_switched(config, name, on)).collect()
}

fn one_switched(config: &Config, name: &str, on: bool) -> Result<Wanted, Failure> {
    let (component, flag) = declared(config, name)?;
    let source = source_of(config, flag)?;
    let to = match (on, &flag.on) {
        (false, _) => flag.off.clone(),
        (true, Some(value)) => value.clone(),
        (true, None) => {
            let what = format!("gitroll.toml does not say which value of {} means on", flag.name);
            return Err(Failure::unchanged(what)
                .next(format!("gitroll flags set {}=VALUE", flag.name), "sets any value")
                .next("on = \"…\" in the component's flag", "declares it"));
        }
    };
    Ok(Wanted {
        source: source.name.clone(),
        name: flag.name.clone(),
        to: To::Text(to),
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
) -> Result<Vec<Wanted>, Failure> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else {
            let what = format!("{setting}: write NAME=VALUE");
            return Err(Failure::new(Status::Usage, what)
                .next(format!("gitroll flags set {setting}=VALUE"), "sets it")
                .next("gitroll flags", "shows how the declared flags stand"));
        };
        let name: FlagName = name
            .parse()
            .map_err(|e: crate::model::IdError| Failure::new(Status::Usage, e.to_string()))?;
        if wanted.iter().any(|earlier| earlier.name == name) {
            let what = format!("{name} is set twice");
            return Err(Failure::new(Status::Usage, what));
        }
        let (source, component) = place(config, session, serving, &name, source)?;
        let to = To::Text(value.to_owned());
        let source = source.name.clone();
        wanted.push(Wanted { source, name, to, component, left_at: None });
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
    let failure =
        Failure::unchanged(format!("no source has a flag {name}, and nothing declares it"));
    Err(match nearest(name.as_str(), &known) {
        Some(near) => failure.detail(format!("the nearest name is {near}")),
        None => failure.next("gitroll flags", "shows them"),
    }
    .next("the same command with --source SOURCE", "adds it there"))
}

/// The intent to change flags, what they are now read from their sources.
///
/// # Errors
/// When a source cannot be read or does not take such a value.
pub fn intent(
    session: &Session,
    facts: &Facts,
    wanted: Vec<Wanted>,
    reason: Option<String>,
) -> Result<Intent, Failure> {
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
            To::Text(text) => {
                let value = flag::typed(source, &one.name, &found, &text);
                let value = value.map_err(|e| unreadable(session, config, source, &e))?;
                noted(&mut hidden, &one.name, value)
            }
            To::Recorded(value) => value,
        };
        let before = noted(&mut hidden, &one.name, found);
        if let Some(left) = one.left_at.filter(|left| *left != before) {
            warnings.push(format!(
                "{} is {} and not {}, which its last change left: somebody set it since",
                one.name,
                before.plain(),
                left.plain()
            ));
        }
        changes.push(FlagChange { source: one.source, before, after, name: one.name });
        components.extend(one.component.filter(|id| !components.contains(id)));
    }
    Ok(Intent {
        event: Event::Flags,
        from: facts.serving.clone(),
        to: facts.serving.clone(),
        target: None,
        config: config.clone(),
        config_text: facts.accepted.text.clone(),
        groups: GroupsOf::Target,
        recorded: Recorded { reason, components, ..Recorded::default() },
        skipped: Vec::new(),
        warnings,
        flags: changes,
        hidden,
        emergency: false,
    })
}

/// The values before the last change of flags here that was not put back since, and its record; `None` where there
/// is none.
pub fn back_to_before(
    session: &Session,
    facts: &Facts,
) -> Option<(Vec<Wanted>, HiddenFlags, Digest)> {
    let own = facts.own(&session.site);
    let last = own.iter().rev().find(|entry| {
        let record = &entry.record;
        record.event == Event::Flags
            && record.outcome == Outcome::Succeeded
            && record.lifts.is_empty()
            // What was only applied anew changed nothing that could go back.
            && record.flags.iter().any(|change| change.before != change.after)
            && !lifted(own, &entry.digest)
    })?;
    let component = last.record.components.first();
    let changed = last.record.flags.iter().rev().filter(|change| change.before != change.after);
    let wanted = changed.map(|change| Wanted {
        source: change.source.clone(),
        name: change.name.clone(),
        to: To::Recorded(change.before.clone()),
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
            .next(format!("gitroll component {name}"), "puts its files back"));
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
        Failure::unchanged(format!("[flags] does not say where {} is kept", flag.name))
    })
}

fn sources(config: &Config) -> Result<&Flags, Failure> {
    config.flags.as_ref().ok_or_else(|| {
        Failure::unchanged("gitroll.toml does not say where flags are kept")
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
        .next("the same command", "again, when that is mended")
}
