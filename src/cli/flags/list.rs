//! `gitroll flags` without a subcommand: how the declared flags stand.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::check;
use crate::cli::Globals;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::config::{self, Component, Flag, FlagSource, FlagSourceKind, Verify};
use crate::engine;
use crate::flag::{self, Value};
use crate::model::{ComponentId, FlagChange, FlagName, FlagSourceName, FlagValue};
use crate::plan::facts::Facts;
use crate::service;
use crate::site;
use crate::system::procs::Variable;
use crate::ui::{Table, Ui, escape};

/// The answer of `flags`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FlagsAnswer {
    /// The declared flags, in the order of their components.
    pub flags: Vec<FlagLine>,
}

/// One declared flag.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FlagLine {
    /// Its name.
    pub flag: FlagName,
    /// The component that declares it.
    pub component: ComponentId,
    /// Where it is kept.
    pub source: Option<FlagSourceName>,
    /// The value that means off.
    pub off: String,
    /// The value that means on, where that is declared.
    pub on: Option<String>,
    /// What the source has; absent where it cannot be read.
    pub value: Option<FlagValue>,
    /// What the running app has: `yes` (the same), another value, or `unknown` where nothing shows it now.
    pub running: String,
    /// Why something is not known.
    pub problem: Option<String>,
}

/// Runs it.
pub(super) fn run(globals: &Globals, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::look(globals, ui)?;
    let facts = session.facts()?;
    let components = &facts.accepted.config.components;
    let declared = components.iter().filter_map(|c| Some((c, c.flag.as_ref()?)));
    let flags = declared.map(|(component, flag)| line(&session, &facts, component, flag)).collect();
    let answer = FlagsAnswer { flags };
    tell(ui, &answer);
    ui.document("flags", 0, &answer);
    Ok(Exit::Done)
}

fn line(session: &Session, facts: &Facts, component: &Component, flag: &Flag) -> FlagLine {
    let config = &facts.accepted.config;
    let mut line = FlagLine {
        flag: flag.name.clone(),
        component: component.id.clone(),
        source: None,
        off: flag.off.clone(),
        on: flag.on.clone(),
        value: None,
        running: "unknown".to_owned(),
        problem: None,
    };
    let Some(source) = config.flags.as_ref().and_then(|all| all.source(flag.source.as_ref()))
    else {
        line.problem = Some("[flags] does not say where it is kept".to_owned());
        return line;
    };
    line.source = Some(source.name.clone());
    let host = session.site.host(&facts.serving, &facts.deployment(&session.site));
    let found = match flag::read(&host, source, std::slice::from_ref(&flag.name)) {
        Ok(found) => found.get(&flag.name).cloned().unwrap_or(Value::Absent),
        Err(error) => {
            line.problem = Some(error.to_string());
            return line;
        }
    };
    line.value = Some(found.shown(&flag.name));
    line.running = running(session, facts, source, flag, &found);
    line
}

/// What the running app has, as far as something shows it at this moment. What it once wrote to a log is no
/// answer about now.
fn running(
    session: &Session,
    facts: &Facts,
    source: &FlagSource,
    flag: &Flag,
    found: &Value,
) -> String {
    let config = &facts.accepted.config;
    let shown = found.shown(&flag.name);
    let change = FlagChange {
        source: source.name.clone(),
        name: flag.name.clone(),
        before: shown.clone(),
        after: shown,
    };
    match config::verify(config, &change) {
        None if matches!(source.kind, FlagSourceKind::Http(_)) => "yes".to_owned(),
        Some(Verify::Ask { .. }) => {
            let Some(question) = engine::flag_question(config, &change) else {
                return "unknown".to_owned();
            };
            let deployment = facts.deployment(&session.site);
            let intent = site::intent(&session.site, config, &facts.serving, &deployment, None);
            match check::look(&[question], Some(&intent)).first() {
                Some(evidence) if evidence.passed => "yes".to_owned(),
                Some(evidence) if evidence.failed() => format!("no: {}", evidence.last.answer),
                _ => "unknown".to_owned(),
            }
        }
        Some(Verify::Environ) | None => in_environment(session, facts, source, flag, found),
    }
}

fn in_environment(
    session: &Session,
    facts: &Facts,
    source: &FlagSource,
    flag: &Flag,
    found: &Value,
) -> String {
    let config = &facts.accepted.config;
    let host = session.site.host(&facts.serving, &facts.deployment(&session.site));
    let mut values = BTreeSet::new();
    for name in config::takers(config, source, &[&flag.name]) {
        let service = config.services.iter().find(|service| service.name == name);
        let state = service.map(|service| service::observe(&host, service));
        let Some(Ok(state)) = state else { continue };
        let pids: Vec<u32> = state.processes.iter().map(|process| process.pid).collect();
        for (_, variable) in flag::in_processes(&pids, &flag.name) {
            if let Variable::Set(text) = variable {
                let same = Some(&text) == found.plain().as_ref();
                let other = || Value::text(text.clone()).shown(&flag.name).plain();
                values.insert(if same { "yes".to_owned() } else { other() });
            }
        }
    }
    if values.is_empty() {
        return "unknown".to_owned();
    }
    values.into_iter().collect::<Vec<_>>().join(", ")
}

fn tell(ui: &Ui, answer: &FlagsAnswer) {
    if answer.flags.is_empty() {
        ui.say("gitroll.toml declares no flag");
        ui.say("  next     flag = { name = \"…\", off = \"…\" } in a [component.ID], then gitroll init");
        return;
    }
    let dash = || ui.out.dash().to_owned();
    let mut table =
        Table::with_head(&["FLAG", "COMPONENT", "DECLARED", "KEPT IN", "VALUE", "RUNNING APP"]);
    for line in &answer.flags {
        let on = line.on.as_ref().map(|on| format!(", on={on}")).unwrap_or_default();
        table.row(vec![
            line.flag.to_string(),
            line.component.to_string(),
            escape(&format!("off={}{on}", line.off)),
            line.source.as_ref().map_or_else(dash, ToString::to_string),
            line.value.as_ref().map_or_else(dash, |value| escape(&value.plain())),
            if line.running == "unknown" { dash() } else { escape(&line.running) },
        ]);
    }
    for line in table.lines() {
        ui.line(&line);
    }
    for line in &answer.flags {
        if let Some(problem) = &line.problem {
            ui.say(&format!("{}: {}", line.flag, escape(problem)));
        }
    }
}
