//! `gitroll advise`

mod choose;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::session::Session;
use crate::act::{diagnosis, flags};
use crate::check::{self, Symptom};
use crate::config::{Rule, RuleAction};
use crate::diagnosis::{Diagnosis, Health};
use crate::engine;
use crate::model::{ComponentId, Served};
use crate::plan::candidates;
use crate::plan::facts::Facts;
use crate::site::expectation_of_rules;
use crate::target::Request;
use crate::ui::{Table, Ui, escape, plural};
use choose::{Advice, Standing, choose};

/// Evaluate every [[rule]] and suggest a command, with the reason
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll advise                                  show the symptoms, and the command for the worst
  gitroll advise --json | jq -r .result.advice.command

Of the rules whose symptom is present, the highest severity wins. If several have it, the smallest \
action wins: a flag, then the code, then everything; a fix forward comes last. advise exits 0 if at \
least one probe could run, and 1 if none could.")]
pub struct AdviseArgs {}

/// The answer of `advise`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AdviseAnswer {
    /// What serves.
    pub serving: Served,
    /// Every rule, in the order of the file.
    pub rules: Vec<RuleLine>,
    /// Action; absent where no symptom shows.
    pub advice: Option<Advice>,
    /// Why it is not well, and what to type, if there is no rule to say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
}

/// One rule and the result of its probe.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RuleLine {
    /// The symptom.
    pub symptom: String,
    /// `P0` to `P3`.
    pub severity: String,
    /// `flags:ID`, `code`, `full` or `fix-forward`.
    pub action: String,
    /// By when, as written.
    pub timeline: Option<String>,
    /// The same in milliseconds, where it is a duration.
    pub within_millis: Option<u64>,
    /// Why this is the action.
    pub why: Option<String>,
    /// `shows`, `absent`, or `unknown` if the probe could not run.
    pub seen: String,
    /// What the answer was, or why there is none.
    pub answer: String,
}

/// Runs it. Exits 1 when nothing could be asked.
///
/// # Errors
/// When the repository or the own chain cannot be read, or there is no rule.
pub fn run(globals: &Globals, ui: &Ui, _args: &AdviseArgs) -> Result<Exit, Failure> {
    let session = Session::look(globals, ui)?;
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    session.warn_of_other_config(&facts);
    if config.rules.is_empty() {
        return without_rules(&session, &facts);
    }
    let deployment = facts.deployment(&session.site);
    let expectation = expectation_of_rules(&session.site, config, &facts.serving, &deployment);
    let probes: Vec<_> = config.rules.iter().map(|rule| &rule.probe).collect();
    let seen = check::symptoms(&probes, &expectation);
    let showing: Vec<(&Rule, &str)> = config
        .rules
        .iter()
        .zip(&seen)
        .filter_map(|(rule, seen)| match seen {
            Symptom::Shows(answer) => Some((rule, answer.as_str())),
            _ => None,
        })
        .collect();
    let advice = match showing.as_slice() {
        [] => None,
        showing => choose(showing, &standing(&session, &facts, showing)?),
    };
    let answer = AdviseAnswer {
        serving: facts.serving.clone(),
        rules: config.rules.iter().zip(&seen).map(|(rule, seen)| line(rule, seen)).collect(),
        advice,
        diagnosis: None,
    };
    let asked = seen.iter().any(|seen| !matches!(seen, Symptom::Unknown(_)));
    let exit = if asked { Exit::Done } else { Exit::Unchanged };
    tell(&session, &answer, asked);
    ui.document("advise", exit.code(), &answer);
    Ok(exit)
}

/// No rule says what to do: what was observed does.
fn without_rules(session: &Session, facts: &Facts) -> Result<Exit, Failure> {
    let ui = &session.ui;
    let diagnosis = diagnosis::look(session)?;
    let seq = facts.accepted.seq;
    ui.say(&format!("{}    serving {}", session.place(), diagnosis.serving));
    ui.say(&format!("no [[rule]] is set up (gitroll.toml of #{seq}); what is observed now:"));
    ui.line(&match diagnosis.health {
        Health::Well => format!("{} observed serving, healthy", ui.out.ok()),
        Health::Doubtful => format!("{} not proven", ui.out.yellow("!")),
        Health::Failing => format!("{} it answers, but is not healthy", ui.out.bad()),
        Health::Down => format!("{} nothing answers", ui.out.bad()),
    });
    super::diagnosis::tell(ui, &diagnosis, facts.now);
    let answer = AdviseAnswer {
        serving: diagnosis.serving.clone(),
        rules: Vec::new(),
        advice: None,
        diagnosis: Some(diagnosis),
    };
    ui.document("advise", Exit::Done.code(), &answer);
    Ok(Exit::Done)
}

/// What the advice depends on besides the symptoms.
fn standing(
    session: &Session,
    facts: &Facts,
    showing: &[(&Rule, &str)],
) -> Result<Standing, Failure> {
    let good = candidates::gather(&session.site, facts).resolve(&Request::LastGood)?.ok();
    let good = good.and_then(|found| {
        let commit = found.chosen.commit?;
        Some(Served { name: found.chosen.name, version: None, commit })
    });
    let mut standing = Standing {
        good,
        declared: !facts.accepted.config.data.is_empty()
            || !facts.accepted.config.settings.is_empty(),
        open_run: !engine::open_runs(&session.site)?.is_empty(),
        ..Standing::default()
    };
    for (rule, _) in showing {
        let RuleAction::Flags(ids) = &rule.action else { continue };
        for id in ids {
            if let Err(why) = look_at_flag(session, facts, id, &mut standing) {
                standing.unread.insert(id.clone(), why.message);
            }
        }
    }
    Ok(standing)
}

fn look_at_flag(
    session: &Session,
    facts: &Facts,
    id: &ComponentId,
    standing: &mut Standing,
) -> Result<(), Failure> {
    let components = &facts.accepted.config.components;
    let Some(component) = components.iter().find(|component| component.id == *id) else {
        return Ok(());
    };
    let Some(flag) = &component.flag else { return Ok(()) };
    let sources = facts.accepted.config.flags.as_ref();
    if sources.and_then(|flags| flags.source(flag.source.as_ref())).is_none() {
        return Err(Failure::unchanged("[flags] does not say where it is stored"));
    }
    if !flags::is_on(session, facts, component)? {
        standing.off.insert(id.clone(), format!("{} is {}", flag.name, flag.off));
    }
    Ok(())
}

fn line(rule: &Rule, seen: &Symptom) -> RuleLine {
    let (word, answer) = match seen {
        Symptom::Shows(answer) => ("shows", answer),
        Symptom::Absent(answer) => ("absent", answer),
        Symptom::Unknown(why) => ("unknown", why),
    };
    let within = rule.timeline.as_ref().and_then(|timeline| timeline.within);
    RuleLine {
        symptom: rule.symptom.clone(),
        severity: rule.severity.to_string(),
        action: rule.action.to_string(),
        timeline: rule.timeline.as_ref().map(|timeline| timeline.text.clone()),
        within_millis: within.and_then(|time| u64::try_from(time.as_millis()).ok()),
        why: rule.why.clone(),
        seen: word.to_owned(),
        answer: answer.clone(),
    }
}

fn tell(session: &Session, answer: &AdviseAnswer, asked: bool) {
    let ui = &session.ui;
    ui.say(&format!("{}    serving {}", session.place(), answer.serving));
    let of =
        |seen: &'static str| answer.rules.iter().filter(move |rule| rule.seen == seen).cloned();
    let unknown: Vec<RuleLine> = of("unknown").collect();
    let absent = of("absent").count();
    if let Some(advice) = &answer.advice {
        table(ui, advice, of("shows").collect());
    }
    for rule in &unknown {
        let (symptom, why) = (escape(&rule.symptom), escape(&rule.answer));
        ui.line(&format!("{} not run    {} {symptom}: {why}", ui.out.bad(), rule.severity));
    }
    match &answer.advice {
        Some(advice) => recommend(ui, advice),
        None if !asked => ui.cry(&format!("{} no probe could run", ui.err.bad())),
        None => {
            let left = match unknown.len() {
                0 => String::new(),
                count => format!("; {} could not run", plural(count, "rule")),
            };
            ui.line(&format!(
                "{} no symptom of {} is present{left}",
                ui.out.ok(),
                plural(absent, "rule")
            ));
        }
    }
    if answer.advice.is_none() {
        ui.line("  next     gitroll status    shows the overall state");
    }
}

fn table(ui: &Ui, advice: &Advice, mut rules: Vec<RuleLine>) {
    rules.sort_by(|a, b| a.severity.cmp(&b.severity));
    let mut table = Table::with_head(&[" ", "SEV", "SYMPTOM", "SEEN", "ACTION", "WHEN"]);
    for rule in rules {
        let decides = advice.symptoms.contains(&rule.symptom) && advice.severity == rule.severity;
        table.row(vec![
            if decides { ui.out.next() } else { " ".to_owned() },
            rule.severity,
            escape(&rule.symptom),
            escape(&rule.answer),
            rule.action,
            rule.timeline.as_deref().map_or_else(|| ui.out.dash().to_owned(), escape),
        ]);
    }
    for line in table.lines(&ui.out) {
        ui.line(&line);
    }
}

fn recommend(ui: &Ui, advice: &Advice) {
    let field = |name: &str, value: &str| ui.line(&format!("  {name:<8} {}", escape(value)));
    let when = advice.timeline.as_ref().map(|when| format!(", {when}")).unwrap_or_default();
    ui.line(&format!(
        "{} {}{}: {}",
        ui.out.next(),
        advice.severity,
        escape(&when),
        escape(&advice.what)
    ));
    for why in &advice.why {
        field("why", why);
    }
    for note in &advice.notes {
        field("note", note);
    }
    let own = advice.command.iter().map(|command| (command.as_str(), ""));
    let further = advice.further.iter().map(|step| (step.command.as_str(), step.what.as_str()));
    for (index, (command, what)) in own.chain(further).enumerate() {
        let label = if index == 0 { "next" } else { "" };
        let what = if what.is_empty() { String::new() } else { format!("    {what}") };
        field(label, &format!("{command}{what}"));
    }
}
