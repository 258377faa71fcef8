//! `gitroll watch`, `gitroll silence`, `gitroll incident`

use std::time::Duration;

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::incident::{self, IncidentAnswer, SilenceAnswer, WatchAnswer};
use crate::act::watch;
use crate::config;
use crate::system::clock;
use crate::ui::{Table, Ui, ago, clock_word, escape, span};
use crate::watch::{Incident, Looking, RuleSeen, Silence};

/// Ask the rules again and again, tell people what lasts, and act where a rule says `auto`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll watch              watch in the foreground, until Ctrl-C
  gitroll watch status       what each rule saw last, and what was done automatically
  gitroll watch ack          after an automatic act: let it act again
  gitroll silence 1h         do nothing and tell nobody for an hour

Only a rule with `auto = true` acts, only on flags or code, only after a change that [watch] within \
covers, only if a [[check]] fails too, and once for each change. Everything else is told.")]
pub struct WatchArgs {
    #[command(subcommand)]
    action: Option<WatchAction>,
}

#[derive(Debug, Subcommand)]
enum WatchAction {
    /// Show what each rule saw last, and what was done automatically
    Status,
    /// Let it act again, after you looked at what it did
    Ack,
}

impl WatchArgs {
    /// Whether it changes nothing.
    pub fn only_looks(&self) -> bool {
        matches!(self.action, Some(WatchAction::Status))
    }
}

/// # Errors
/// When the checkout cannot be watched, or there is nothing to acknowledge.
pub fn run(globals: &Globals, ui: &Ui, args: &WatchArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    let answer = match args.action {
        None => {
            watch::watch(&caller)?;
            incident::status(&caller)?
        }
        Some(WatchAction::Status) => {
            let answer = incident::status(&caller)?;
            tell(ui, &answer);
            answer
        }
        Some(WatchAction::Ack) => {
            let answer = incident::acknowledge(&caller)?;
            ui.say(&format!("{} it may act again", ui.err.ok()));
            answer
        }
    };
    ui.document("watch", Exit::Done.code(), &answer);
    Ok(Exit::Done)
}

fn tell(ui: &Ui, answer: &WatchAnswer) {
    for (label, text) in lines(ui, answer) {
        ui.line(&format!("  {label:<9} {text}"));
    }
    if let Some(looking) = &answer.watcher {
        let mut table = Table::with_head(&[" ", "SEV", "SYMPTOM", "SEEN", "AUTO"]);
        for rule in &looking.rules {
            let sign = match rule.seen.as_deref() {
                Some("shows") => ui.out.bad(),
                Some("absent") => ui.out.ok(),
                _ => ui.out.dash().to_owned(),
            };
            let auto = if rule.auto { "yes" } else { "no" };
            table.row(vec![
                sign,
                rule.severity.clone(),
                escape(&rule.symptom),
                escape(&seen(rule)),
                auto.to_owned(),
            ]);
        }
        for line in table.lines(&ui.out) {
            ui.line(&line);
        }
    }
    if answer.watcher.is_none() {
        ui.line("  next      gitroll watch    watches in the foreground");
    }
}

/// What a rule saw, and how close it is.
fn seen(rule: &RuleSeen) -> String {
    let mut text = rule.answer.clone();
    let showing = Duration::from_secs(rule.showing_seconds);
    match (rule.seen.as_deref(), rule.fires) {
        (Some("shows"), true) => text.push_str(&format!(", for {}", span(showing))),
        (Some("shows"), false) => {
            let needed = Duration::from_secs(rule.for_seconds);
            text.push_str(&format!(", {} of {}", span(showing), span(needed)));
            if rule.attempts > 1 {
                text.push_str(&format!(", {} of {} times", rule.times, rule.attempts));
            }
        }
        (Some("unknown"), _) => text.push_str(" (unknown)"),
        (None, _) => text.push_str("not asked yet"),
        _ => {}
    }
    text
}

/// How watching stands, a line each, as `status` shows it, too.
pub fn lines(ui: &Ui, answer: &WatchAnswer) -> Vec<(&'static str, String)> {
    let now = clock::moment();
    let mut lines = Vec::new();
    if let Some(watcher) = &answer.watcher {
        lines.push(("watch", watching(ui, watcher)));
    } else if answer.stopped.is_some() || answer.soak.is_some() {
        lines.push(("watch", format!("{} not running", ui.out.bad())));
    }
    if let Some(stopped) = &answer.stopped {
        let next = "gitroll watch ack lets it act again";
        lines.push(("", format!("does nothing automatically: {}; {next}", escape(stopped))));
    }
    if let Some(soak) = &answer.soak {
        let left = span(soak.left(&now));
        lines.push(("soak", format!("{} is watched for {left} more", escape(&soak.name))));
    }
    if let Some(silence) = &answer.silence {
        lines.push(("silence", silence_words(silence)));
    }
    for (index, incident) in answer.incidents.iter().enumerate() {
        lines.push((if index == 0 { "incident" } else { "" }, incident_words(incident)));
    }
    lines
}

fn watching(ui: &Ui, looking: &Looking) -> String {
    let now = clock::now();
    let fires = looking.rules.iter().filter(|rule| rule.fires).count();
    let shows = looking.rules.iter().filter(|rule| rule.seen.as_deref() == Some("shows")).count();
    let sign = if shows > 0 { ui.out.bad() } else { ui.out.ok() };
    let rules = crate::ui::plural(looking.rules.len(), "rule");
    let what = match (fires, shows, looking.phase.as_str()) {
        (_, _, "announced") => "an act is announced".to_owned(),
        (_, _, "clearing") => "waiting for the symptom to clear".to_owned(),
        (0, 0, "soaking") => "watching what was restored".to_owned(),
        (0, 0, _) => "no symptom".to_owned(),
        (0, shows, _) => format!("{shows} of them show, not long enough yet"),
        (fires, ..) => format!("{fires} of them fire"),
    };
    format!("{sign} {rules}, {what} (looked {} ago)", span(ago(looking.at, now)))
}

fn silence_words(silence: &Silence) -> String {
    let now = clock::moment();
    let until = clock_word(silence.until(&now), now.time);
    let left = span(silence.left(&now));
    let reason = silence.reason.as_ref().map(|reason| format!(": {}", escape(reason)));
    format!("until {until} ({left}), by {}{}", escape(&silence.by), reason.unwrap_or_default())
}

fn incident_words(incident: &Incident) -> String {
    let severity = incident.severity.as_ref().map(|s| format!("{s} ")).unwrap_or_default();
    let opened = clock_word(incident.opened, clock::now());
    let what = escape(&incident.what);
    format!("{} {severity}{what}  since {opened}, by {}", incident.id, escape(&incident.by))
}

/// Do nothing automatically and tell nobody what the rules see, for a while
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll silence 2h --reason 'moving the database'
  gitroll silence            show the silence
  gitroll silence --end      end it now

A silence also stops an act that was announced. It ends by itself.")]
pub struct SilenceArgs {
    /// For how long, at most 30d
    #[arg(value_name = "DURATION", value_parser = silence_time)]
    time: Option<Duration>,
    /// Reason, shown by status
    #[arg(long, value_name = "TEXT", requires = "time")]
    reason: Option<String>,
    /// End the silence
    #[arg(long, conflicts_with = "time")]
    end: bool,
}

impl SilenceArgs {
    /// Whether it changes nothing.
    pub fn only_looks(&self) -> bool {
        self.time.is_none() && !self.end
    }
}

fn silence_time(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    match config::duration(text)? {
        time if (LEAST..=MOST).contains(&time) => Ok(time),
        _ => Err("must be between 1s and 30d".to_owned()),
    }
}

/// # Errors
/// When it cannot be noted.
pub fn silence(globals: &Globals, ui: &Ui, args: &SilenceArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    let answer = match (args.time, args.end) {
        (Some(time), _) => incident::be_silent(&caller, time, args.reason.as_deref())?,
        (None, true) => incident::end_silence(&caller)?,
        (None, false) => incident::silence(&caller)?,
    };
    tell_silence(ui, &answer, args.end);
    ui.document("silence", Exit::Done.code(), &answer);
    Ok(Exit::Done)
}

fn tell_silence(ui: &Ui, answer: &SilenceAnswer, end: bool) {
    match (&answer.silence, &answer.ended) {
        (Some(silence), _) => {
            ui.line(&format!("{} silent {}", ui.out.ok(), silence_words(silence)));
            ui.line("  next     gitroll silence --end    ends it");
        }
        (None, Some(_)) => ui.line(&format!("{} the silence has ended", ui.out.ok())),
        (None, None) if end => ui.line("there was no silence"),
        (None, None) => ui.line("no silence"),
    }
    if !answer.watched {
        ui.say("no gitroll watch runs for this checkout");
    }
}

/// Open, close and list incidents, whose id is in messages and records
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll incident                                the open incidents
  gitroll incident open 'checkout slow' --severity P1
  gitroll incident close INC-8 --reason 'disk replaced'
  gitroll incident list                           all of them

gitroll watch opens one when a rule fires, and closes it when what it restored stays healthy.")]
pub struct IncidentArgs {
    #[command(subcommand)]
    action: Option<IncidentAction>,
}

#[derive(Debug, Subcommand)]
enum IncidentAction {
    /// Open an incident
    Open {
        /// What is wrong, in one line
        what: String,
        /// How bad it is
        #[arg(long, value_name = "P0..P3", value_parser = ["P0", "P1", "P2", "P3"])]
        severity: Option<String>,
    },
    /// Close an incident
    Close {
        /// Its id; may be left out if only one is open
        id: Option<String>,
        /// Why it is over
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// List all incidents
    List,
}

impl IncidentArgs {
    /// Whether it changes nothing.
    pub fn only_looks(&self) -> bool {
        matches!(self.action, None | Some(IncidentAction::List))
    }
}

/// # Errors
/// When there is no such incident, or it cannot be noted.
pub fn incident(globals: &Globals, ui: &Ui, args: &IncidentArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    let answer = match &args.action {
        Some(IncidentAction::Open { what, severity }) => {
            incident::open_incident(&caller, what, severity.clone())?
        }
        Some(IncidentAction::Close { id, reason }) => {
            incident::close_incident(&caller, id.as_deref(), reason.as_deref())?
        }
        Some(IncidentAction::List) => incident::incidents(&caller)?,
        None => {
            let mut answer = incident::incidents(&caller)?;
            answer.incidents.retain(|incident| incident.closed.is_none());
            answer
        }
    };
    tell_incidents(ui, &answer, args.action.is_none());
    ui.document("incident", Exit::Done.code(), &answer);
    Ok(Exit::Done)
}

fn tell_incidents(ui: &Ui, answer: &IncidentAnswer, open: bool) {
    for incident in &answer.incidents {
        let (sign, end) = match incident.closed {
            None => (ui.out.bad(), String::new()),
            Some(closed) => {
                let outcome = incident.outcome.as_ref().map(|why| format!(": {}", escape(why)));
                let closed = clock_word(closed, clock::now());
                (ui.out.ok(), format!("; closed {closed}{}", outcome.unwrap_or_default()))
            }
        };
        ui.line(&format!("{sign} {}{end}", incident_words(incident)));
    }
    if answer.incidents.is_empty() {
        ui.line(if open { "no incident is open" } else { "there was no incident" });
    }
}
