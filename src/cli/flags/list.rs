//! `gitroll flags` without a subcommand: how the declared flags stand.

use schemars::JsonSchema;
use serde::Serialize;

use crate::act::flags::{Running, running};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::cli::session::Session;
use crate::config::{Component, Flag};
use crate::flag::{self, Value};
use crate::model::{ComponentId, Digest, FlagName, FlagSourceName, FlagValue};
use crate::plan::facts::Facts;
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
    /// Whether the source has a value for it; null where it cannot be read.
    pub set: Option<bool>,
    /// The value in the source; null if there is none, if it is a secret, or if it cannot be read.
    pub value: Option<serde_json::Value>,
    /// In place of a secret: the hash of its JSON.
    pub hidden: Option<Digest>,
    /// Whether the running app has the same.
    pub running: Running,
    /// What showed something else in the running app, or why nothing shows it.
    pub reason: Option<String>,
    /// Why the source could not be read.
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
    // A value that looks secret is told nowhere, though it is declared for all who can read the repository.
    let shown = |text: &String| FlagValue::shown(&flag.name, text.as_str().into()).plain();
    let mut line = FlagLine {
        flag: flag.name.clone(),
        component: component.id.clone(),
        source: None,
        off: shown(&flag.off),
        on: flag.on.as_ref().map(shown),
        set: None,
        value: None,
        hidden: None,
        running: Running::Unknown,
        reason: None,
        problem: None,
    };
    let Some(source) = config.flags.as_ref().and_then(|all| all.source(flag.source.as_ref()))
    else {
        line.problem = Some("[flags] does not say where it is stored".to_owned());
        return line;
    };
    line.source = Some(source.name.clone());
    let host = session.site.host(&facts.serving, &facts.deployment(&session.site));
    let found = match flag::read(&host, source, std::slice::from_ref(&flag.name)) {
        Ok(found) => found.get(&flag.name).cloned().unwrap_or(Value::Absent),
        Err(error) => {
            // What a command printed may be anything.
            line.problem = Some(session.site.redactor(config).text(&error.to_string()));
            return line;
        }
    };
    line.set = Some(found != Value::Absent);
    match found.shown(&flag.name) {
        FlagValue::Absent => {}
        FlagValue::Known(value) => line.value = Some(value),
        FlagValue::Hidden(digest) => line.hidden = Some(digest),
    }
    (line.running, line.reason) = running(session, facts, source, &flag.name, &found);
    line
}

fn tell(ui: &Ui, answer: &FlagsAnswer) {
    if answer.flags.is_empty() {
        ui.say("gitroll.toml declares no flag");
        ui.say("  next     flag = { name = \"…\", off = \"…\" } in a [component.ID], then gitroll init");
        return;
    }
    let dash = || ui.out.dash().to_owned();
    let mut table =
        Table::with_head(&["FLAG", "COMPONENT", "DECLARED", "STORED IN", "VALUE", "RUNNING APP"]);
    for line in &answer.flags {
        let on = line.on.as_ref().map(|on| format!(", on={on}")).unwrap_or_default();
        table.row(vec![
            line.flag.to_string(),
            line.component.to_string(),
            escape(&format!("off={}{on}", line.off)),
            line.source.as_ref().map_or_else(dash, ToString::to_string),
            value_in_words(line).map_or_else(dash, |value| escape(&value)),
            match (line.running, &line.reason) {
                (Running::Yes, _) => "yes".to_owned(),
                (Running::No, Some(reason)) => format!("no: {}", escape(reason)),
                (Running::No, None) => "no".to_owned(),
                (Running::Unknown, _) => dash(),
            },
        ]);
    }
    for line in table.lines(&ui.out) {
        ui.line(&line);
    }
    for line in &answer.flags {
        if let Some(problem) = &line.problem {
            ui.say(&format!("{}: {}", line.flag, escape(problem)));
        }
    }
}

fn value_in_words(line: &FlagLine) -> Option<String> {
    match (line.set?, &line.hidden, &line.value) {
        (false, ..) => Some("not set".to_owned()),
        (true, Some(digest), _) => Some(digest.to_string()),
        (true, None, value) => Some(FlagValue::Known(value.clone().unwrap_or_default()).plain()),
    }
}
