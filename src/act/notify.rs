//! Telling people how runs go. A message is put into the outbox in a moment; a process beside this one sends it, so that
//! no channel delays or fails a run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::next_steps::NextStep;
use super::outcome::{ChangeOutcome, Ending, Status};
use super::session::{self, Session};
use crate::config::{self, Channel, Config, NotifyLevel};
use crate::engine::{self, watchdog};
use crate::model::{Event, Plan};
use crate::plan::facts::Facts;
use crate::site::Site;
use crate::system::text::{duration, span};
use crate::system::{clock, random, user};
use crate::tell::{ChannelState, Delivery, Link, Message, NextCommand, Outbox, Person, deliver};
use crate::watch::Notes;

/// The hidden verb that sends what waits.
const SENDING: &str = "tell";

/// A run is going to change what serves.
pub(super) fn begun(session: &Session, plan: &Plan) {
    let Ok(config) = config::parse(&plan.config_before, "gitroll.toml") else { return };
    if config.notify.is_empty() {
        return;
    }
    let what = format!("{} to {} begins; {} serves", plan.event, plan.to, plan.from);
    let told = Told { event: "started", severity: "info", what, ..Told::default() };
    let message = told.message(&session.site, &config, Some(plan));
    if put(&session.site, &config.notify, &message, level(plan), false) > 0 {
        start(&session.site);
    }
}

/// A run is over, or a person is needed for it.
pub(super) fn over(
    session: &Session,
    plan: &Plan,
    took: Duration,
    ended: &Result<ChangeOutcome, Failure>,
) {
    let Some(mut told) = Told::of(plan, took, ended) else { return };
    // What is not accepted yet gives no orders.
    let accepted = if told.accepted { &plan.config } else { &plan.config_before };
    let texts = [accepted, &plan.config_before];
    let parsed = texts.into_iter().filter_map(|text| config::parse(text, "gitroll.toml").ok());
    // Going back to a release from before the channels does not silence them.
    let Some(config) = parsed.into_iter().find(|config| !config.notify.is_empty()) else { return };
    told.took = Some(took);
    let message = told.message(&session.site, &config, Some(plan));
    put(&session.site, &config.notify, &message, level(plan), told.serves);
}

/// A person is needed, and no run says so.
pub(super) fn needed(site: &Site, facts: &Facts, failure: &Failure) {
    let config = &facts.accepted.config;
    if config.notify.is_empty() {
        return;
    }
    let told = Told::needing_person(&failure.message, &failure.details, &failure.next);
    let message = told.message(site, config, None);
    put(site, &config.notify, &message, NotifyLevel::Code, false);
}

/// What a watcher tells.
#[derive(Debug, Default)]
pub(super) struct Word {
    /// `announced`, `done`, `needs-person`.
    pub event: &'static str,
    /// `info`, `warning`, `critical`.
    pub severity: &'static str,
    pub what: String,
    pub why: Option<String>,
    pub notes: Vec<String>,
    pub next: Vec<NextStep>,
    /// Something healthy serves.
    pub serves: bool,
}

/// Tells what a watcher sees and does.
pub(super) fn watched(site: &Site, config: &Config, word: Word) {
    if config.notify.is_empty() {
        return;
    }
    let Word { event, severity, what, why, notes, next, serves } = word;
    let told = Told { event, severity, what, why, notes, next, serves, ..Told::default() };
    let message = told.message(site, config, None);
    put(site, &config.notify, &message, NotifyLevel::Code, serves);
}

/// How many channels it goes to. Where it cannot be put down nobody is told, and that is all.
fn put(
    site: &Site,
    channels: &[Channel],
    message: &Message,
    level: NotifyLevel,
    serves: bool,
) -> usize {
    let put = Outbox::of(&site.state()).put(channels, message, level, serves);
    if let Err(error) = &put {
        tracing::debug!("nobody is told: {error}");
    }
    let count = put.unwrap_or(0);
    if count > 0 {
        session::messages_wait(site);
    }
    count
}

fn level(plan: &Plan) -> NotifyLevel {
    if plan.event == Event::Flags { NotifyLevel::Flags } else { NotifyLevel::Code }
}

/// What is told, before it is a message.
#[derive(Debug, Default)]
struct Told {
    event: &'static str,
    severity: &'static str,
    what: String,
    why: Option<String>,
    notes: Vec<String>,
    next: Vec<NextStep>,
    record: Option<String>,
    took: Option<Duration>,
    /// Something healthy serves.
    serves: bool,
    /// The configuration of the target is the accepted one now.
    accepted: bool,
}

impl Told {
    fn of(plan: &Plan, took: Duration, ended: &Result<ChangeOutcome, Failure>) -> Option<Self> {
        let Plan { event, from, to, .. } = plan;
        let outcome = match ended {
            Ok(outcome) => outcome,
            Err(failure) if failure.status == Status::PersonNeeded => {
                let Failure { message, details, next, .. } = failure;
                return Some(Self::needing_person(message, details, next));
            }
            Err(failure) => {
                return Some(Self {
                    event: "failed",
                    severity: "warning",
                    what: format!("{event} to {to} failed; nothing was changed"),
                    why: Some(failure.message.clone()),
                    next: failure.next.clone(),
                    ..Self::default()
                });
            }
        };
        let record = outcome.answer.record.as_ref().map(|record| record.seq.to_string());
        let why = outcome.answer.why.clone();
        let failed = |what: String, serves: bool| Self {
            event: "failed",
            severity: "warning",
            what,
            why: why.clone(),
            record: record.clone(),
            serves,
            ..Self::default()
        };
        Some(match &outcome.ending {
            Ending::Serving(_) if outcome.status == Status::Restored => Self {
                accepted: true,
                ..failed(format!("not the requested version: {to} serves instead"), true)
            },
            Ending::Serving(_) => {
                let (what, took) = (format!("{to} observed serving"), duration(took));
                let what = format!("{what} after {event}, {took}");
                let unrecorded = (outcome.status == Status::Unrecorded)
                    .then(|| "its record is not signed or not published".to_owned());
                Self {
                    event: "done",
                    severity: "info",
                    what,
                    notes: unrecorded.into_iter().collect(),
                    record,
                    serves: true,
                    accepted: true,
                    ..Self::default()
                }
            }
            Ending::Restored { nothing_served: true, .. } => {
                failed(format!("{event} to {to} failed; as before, nothing serves"), false)
            }
            Ending::Restored { .. } => {
                let what = format!("{event} to {to} failed; {from} restored and observed serving");
                failed(what, true)
            }
            Ending::Aborted { nothing_served, .. } => {
                let what = format!("{event} to {to} was aborted; {from} is restored");
                failed(what, !nothing_served)
            }
            Ending::PersonNeeded { what, facts, next } => {
                let facts: Vec<String> =
                    facts.iter().map(|(label, text)| format!("{label}  {text}")).collect();
                Self::needing_person(what, &facts, next)
            }
            Ending::Planned(_)
            | Ending::NothingToDo { .. }
            | Ending::LeftOpen { .. }
            | Ending::Watched => return None,
        })
    }

    fn needing_person(what: &str, notes: &[String], next: &[NextStep]) -> Self {
        Self {
            event: "needs-person",
            severity: "critical",
            what: format!("A person is needed: {what}"),
            notes: notes.to_vec(),
            next: next.to_vec(),
            ..Self::default()
        }
    }

    /// The run, once it was begun.
    fn run_of(&self, site: &Site, plan: Option<&Plan>) -> Option<String> {
        let run = engine::last_run(site).filter(|run| plan == Some(&run.plan));
        run.filter(|_| self.event != "started").map(|run| run.id.to_string())
    }

    fn message(&self, site: &Site, config: &Config, plan: Option<&Plan>) -> Message {
        let redactor = site.redactor(config);
        let clean = |text: &str| redactor.text(text);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let next = self
            .next
            .iter()
            .map(|(command, what)| NextCommand { command: clean(command), what: clean(what) });
        let calls = self.event == "needs-person";
        let links = matches!(self.event, "needs-person" | "failed");
        let served = |name: fn(&Plan) -> String| plan.map(name).unwrap_or_default();
        Message {
            message: Message::VERSION,
            id: random::hex_id(),
            at: clock::now(),
            event: self.event.to_owned(),
            severity: self.severity.to_owned(),
            app: site.binding.app.to_string(),
            environment: site.binding.environment.to_string(),
            host: engine::host_name(site.binding.writer.as_str()).to_owned(),
            act: served(|plan| plan.event.to_string()),
            level: match plan.map_or(NotifyLevel::Code, level) {
                NotifyLevel::Flags => "flags",
                NotifyLevel::Code => "code",
                NotifyLevel::Full => "full",
            }
            .to_owned(),
            from: served(|plan| plan.from.to_string()),
            to: served(|plan| plan.to.to_string()),
            summary: clean(&self.what),
            why: self.why.as_deref().map(clean),
            notes: self.notes.iter().map(|note| clean(note)).collect(),
            reason: plan.and_then(|plan| plan.recorded.reason.as_deref()).map(clean),
            who: site.actor.clone(),
            incident: Notes::of(&site.state()).open_incident().map(|incident| incident.id),
            next: next.collect(),
            run: self.run_of(site, plan),
            record: self.record.clone(),
            took_millis: self.took.map(millis),
            contacts: if calls { persons(config) } else { Vec::new() },
            links: if links { pages(config) } else { Vec::new() },
            delayed_seconds: None,
        }
    }
}

fn persons(config: &Config) -> Vec<Person> {
    let person = |contact: &config::Contact| Person {
        role: contact.role.clone(),
        who: contact.who.clone(),
        within_seconds: contact.within.map(|time| time.as_secs()),
    };
    config.contacts.iter().map(person).collect()
}

fn pages(config: &Config) -> Vec<Link> {
    let link = |(name, url): (&String, &String)| Link { name: name.clone(), url: url.clone() };
    config.links.iter().map(link).collect()
}

/// Whom to call and which pages help, each with its label: what is said wherever a person is needed.
pub fn help(config: &Config) -> Vec<(&'static str, String)> {
    let contacts = config.contacts.iter().map(|contact| {
        let within = contact.within.map(|time| format!(" (within {})", span(time)));
        ("call", format!("{}: {}{}", contact.role, contact.who, within.unwrap_or_default()))
    });
    let links = config.links.iter().map(|(name, url)| ("page", format!("{name}: {url}")));
    contacts.chain(links).collect()
}

/// Starts what sends, where messages wait: at the end of a command, when its answer is told.
pub fn finish() {
    if let Some((git, binding, actor)) = session::take_waiting_messages() {
        start(&Site::new(git, binding, actor));
    }
}

/// Starts the process that sends. It is handed the variables that hold the secrets of the channels, and nothing else of
/// ours.
fn start(site: &Site) {
    let names = Outbox::of(&site.state()).variables();
    let handed: BTreeMap<OsString, OsString> = names
        .into_iter()
        .filter_map(|name| Some((OsString::from(&name), std::env::var_os(&name)?)))
        .collect();
    let log = site.state().join("tell.log");
    if let Err(why) = watchdog::start_beside_with(site, &[SENDING], handed, &log) {
        tracing::debug!("messages wait for the next command: {why}");
    }
}

/// Sends what waits.
///
/// # Errors
/// When the checkout cannot be opened, or the outbox cannot be read.
pub fn send(caller: &Caller) -> Result<(), Failure> {
    let session = Session::look(caller)?;
    let site = &session.site;
    let sent = Outbox::of(&site.state()).send(site.top(), &environment(site));
    // What is still there waits for the next command.
    session::take_waiting_messages();
    sent.map_err(|error| Failure::unchanged(format!("the outbox: {error}")))
}

/// What commands that are told get: the environment of services, and nothing of whoever called.
fn environment(site: &Site) -> BTreeMap<OsString, OsString> {
    let account = user::Account::named(&site.binding.run_as);
    let account = account.unwrap_or_else(user::Account::current);
    BTreeMap::from([
        ("PATH".into(), site.binding.path_variable.clone().into()),
        ("HOME".into(), account.home.into()),
        ("USER".into(), account.name.into()),
        ("LANG".into(), "C.UTF-8".into()),
    ])
}

/// The answer of `notify`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NotifyAnswer {
    /// Each channel.
    pub channels: Vec<ChannelLine>,
    /// How many messages wait to be sent.
    pub waiting: usize,
}

/// One channel.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChannelLine {
    /// Its name.
    pub channel: String,
    /// Its kind.
    pub kind: String,
    /// How it answered last; absent where it was never told anything.
    pub last: Option<ChannelState>,
    /// With `test`: how long that took, in milliseconds.
    pub millis: Option<u64>,
}

/// The channels, and how each answered last.
///
/// # Errors
/// When the repository or the own chain cannot be read.
pub fn list(caller: &Caller) -> Result<NotifyAnswer, Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    let outbox = Outbox::of(&session.site.state());
    let known = outbox.channels();
    let channels = facts.accepted.config.notify.iter().map(|channel| ChannelLine {
        channel: channel.name.clone(),
        kind: channel.kind.as_str().to_owned(),
        last: known.get(&channel.name).cloned(),
        millis: None,
    });
    Ok(NotifyAnswer { channels: channels.collect(), waiting: outbox.len() })
}

/// Sends a test message to one channel, or to each, now. A page is opened and closed again.
///
/// # Errors
/// When there is no such channel, or the repository cannot be read.
pub fn test(caller: &Caller, name: Option<&str>) -> Result<NotifyAnswer, Failure> {
    let session = Session::look(caller)?;
    session.must_be_owner()?;
    let facts = session.facts()?;
    let site = &session.site;
    let all = &facts.accepted.config.notify;
    let chosen: Vec<&Channel> =
        all.iter().filter(|channel| name.is_none_or(|name| channel.name == name)).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = all.iter().map(|channel| channel.name.as_str()).collect();
        let what = match (name, known.is_empty()) {
            (_, true) => "the accepted gitroll.toml has no [notify.NAME]".to_owned(),
            (Some(name), false) => format!("there is no channel {name:?}"),
            (None, false) => "there is no channel".to_owned(),
        };
        let failure = Failure::unchanged(what);
        return Err(match known.is_empty() {
            true => failure,
            false => failure.detail(format!("there are {}", known.join(", "))),
        });
    }
    let what = "test: this channel works".to_owned();
    let told = Told { event: "test", severity: "info", what, ..Told::default() };
    let mut message = told.message(site, &facts.accepted.config, None);
    // It is another alert than the one of a run.
    message.environment.push_str(" (test)");
    let (outbox, env) = (Outbox::of(&site.state()), environment(site));
    let lines = std::thread::scope(|scope| {
        let (message, env, outbox, top) = (&message, &env, &outbox, site.top());
        let sending: Vec<_> = chosen
            .iter()
            .map(|channel| {
                scope.spawn(move || {
                    let began = Instant::now();
                    let send = |delivery| deliver(channel, message, delivery, (top, env));
                    let answer = match channel.kind.pages() {
                        true => send(Delivery::Trigger).and_then(|_| send(Delivery::Resolve)),
                        false => send(Delivery::Message),
                    };
                    let millis = u64::try_from(began.elapsed().as_millis()).ok();
                    let taken = answer.is_ok();
                    let answer = answer.unwrap_or_else(|why| why);
                    outbox.note(&channel.name, taken, &answer);
                    ChannelLine {
                        channel: channel.name.clone(),
                        kind: channel.kind.as_str().to_owned(),
                        last: Some(ChannelState { at: clock::now(), taken, answer }),
                        millis,
                    }
                })
            })
            .collect();
        sending.into_iter().filter_map(|one| one.join().ok()).collect()
    });
    Ok(NotifyAnswer { channels: lines, waiting: outbox.len() })
}
