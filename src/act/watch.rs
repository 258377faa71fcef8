//! `gitroll watch`: asks the rules again and again, tells people what lasts, and where a rule says so and nothing speaks
//! against it, acts: announced, once for each change, and only as deep as flags or code. It calls the same acts as a person.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::back::{BackRequest, back};
use super::caller::{Caller, Notice};
use super::circumstances::{Known, Remedy, busy, silent};
use super::diagnosis;
use super::failure::Failure;
use super::flags::{FlagsRequest, WhichFlags, change_flags};
use super::next_steps::NextStep;
use super::notify::{self, Word};
use super::outcome::{ChangeOutcome, Status};
use super::publication;
use super::session::Session;
use super::soak::{Heeds, Watch, wait};
use super::unhold::{UnholdRequest, unhold};
use crate::check::{self, Symptom};
use crate::config::{Config, Rule, RuleAction, Severity};
use crate::ledger;
use crate::model::{ComponentId, Digest, Seq};
use crate::plan::facts::Facts;
use crate::site::expectation_of_rules;
use crate::system::procs::Ticks;
use crate::system::text::{plural, span, time_to_second};
use crate::system::{clock, signals};
use crate::watch::{
    Act, ActEnd, Blocked, Look, Looking, Needs, Notes, RuleSeen, Running, Soaking, Trigger, may_act,
};

/// How often it is looked whether a person stopped what was announced.
const SOON: Duration = Duration::from_secs(1);

/// How long what an automatic act put in place is watched, where `[soak]` says nothing.
const USUAL_SOAK: Duration = Duration::from_secs(15 * 60);

/// How often messages that no channel took are tried again.
const RETRY: Duration = Duration::from_secs(60);

const BY: &str = "gitroll watch";

const STOPPED: &str = "stopped watching; nothing was changed";

/// Watches until a signal ends it.
///
/// # Errors
/// When the checkout cannot be watched, or another process watches it.
pub fn watch(caller: &Caller) -> Result<(), Failure> {
    let session = Session::look(caller)?;
    session.must_be_owner()?;
    let facts = session.facts()?;
    let notes = Notes::of(&session.site.state());
    let running = notes.become_watcher().map_err(|error| {
        Failure::unchanged(format!("{}: {error}", session.site.state().join("watch").display()))
    })?;
    let Some(running) = running else {
        let pid = notes.looking().map(|looking| format!(" (pid {})", looking.pid));
        let what = format!("this checkout is watched already{}", pid.unwrap_or_default());
        return Err(
            Failure::new(Status::Busy, what).next("gitroll watch status", "shows what it sees")
        );
    };
    session.heed_signals();
    caller.between_runs(Some(STOPPED));
    let config = facts.accepted.config.clone();
    let mut watcher = Watcher {
        caller,
        notes,
        _running: running,
        channels: config.clone(),
        config,
        session,
        facts,
        unread: false,
        asked: BTreeMap::new(),
        paged: BTreeMap::new(),
        said: BTreeMap::new(),
        phase: Phase::Watching,
        since: clock::now(),
        tried: Duration::ZERO,
    };
    watcher.begin();
    while signals::stop_asked().is_none() {
        watcher.tick();
        wait(watcher.pause());
    }
    Ok(())
}

/// How often a rule was asked, and when it is asked again.
#[derive(Debug, Default)]
struct Asked {
    trigger: Trigger,
    due: Duration,
}

/// What it does besides asking the rules.
enum Phase<'a> {
    Watching,
    Announced(Box<Announced>),
    Clearing(Box<Clearing>),
    Soaking(Box<SoakWatch<'a>>),
}

/// An act that people were told of.
struct Announced {
    rule: Rule,
    remedy: Remedy,
    change: Digest,
    at: Duration,
    incident: String,
}

/// An act that was carried out; whether it helped is not known yet.
struct Clearing {
    rule: Rule,
    trigger: Trigger,
    due: Duration,
    until: Duration,
    record: Option<Seq>,
    /// What serves now, or what was switched off.
    put: String,
    /// What was left.
    left: String,
    incident: String,
}

struct SoakWatch<'a> {
    watch: Watch<'a>,
    soak: Soaking,
    due: Duration,
}

struct Watcher<'a> {
    caller: &'a Caller,
    notes: Notes,
    _running: Running,
    session: Session,
    facts: Facts,
    /// The accepted configuration, as it was read the last time that it could be.
    config: Config,
    /// The last one that had channels: going back to a release from before them does not silence them.
    channels: Config,
    unread: bool,
    asked: BTreeMap<String, Asked>,
    /// The symptoms that a person was told of, and why nothing was done.
    paged: BTreeMap<String, String>,
    /// What was said last of each symptom on the terminal.
    said: BTreeMap<String, String>,
    phase: Phase<'a>,
    since: Timestamp,
    tried: Duration,
}

impl<'a> Watcher<'a> {
    fn begin(&mut self) {
        let place = self.session.place();
        let rules = &self.config.rules;
        let auto = rules.iter().filter(|rule| rule.auto).count();
        let every = span(self.config.watch.every);
        self.caller.info(format!(
            "{} · {} · {}    serving {}",
            place.app, place.environment, place.host, self.facts.serving
        ));
        self.say(match rules.len() {
            0 => "the accepted gitroll.toml has no [[rule]]: nothing is watched until one is \
                  deployed"
                .to_owned(),
            count => format!("watching {}, {auto} may act, every {every}", plural(count, "rule")),
        });
        let undecided =
            |act: &&Act| matches!(act.ended, ActEnd::Acting | ActEnd::Clearing) && !act.acked;
        let notebook = self.notes.notebook();
        if let Some(act) = notebook.acts.last().filter(|act| undecided(act)) {
            let why = format!(
                "the watcher ended before it saw whether its act helped ({})",
                act.incident
            );
            self.note(ActEnd::Failed, None, Some(why.clone()));
            self.page("A person is needed", Some(why), Severity::P1, Vec::new(), vec![status()]);
        }
        if let Some(stopped) = self.notes.notebook().stopped {
            self.say(format!("nothing is done automatically: {stopped}"));
            self.caller.tell(Notice::Next("gitroll watch ack", "lets it act again"));
        }
    }

    /// How long it may sleep.
    fn pause(&self) -> Duration {
        let now = Ticks::now().up();
        let rules = self.asked.values().map(|asked| asked.due);
        let (phase, most) = match &self.phase {
            Phase::Watching => (None, self.config.watch.every),
            Phase::Announced(announced) => (Some(announced.at), SOON),
            Phase::Clearing(clearing) => (Some(clearing.due.min(clearing.until)), SOON),
            Phase::Soaking(soaking) => (Some(soaking.due), self.config.watch.every),
        };
        let next = rules.chain(phase).min();
        let left = next.map_or(most, |next| next.saturating_sub(now));
        left.min(most).max(Duration::from_millis(50))
    }

    fn tick(&mut self) {
        self.refresh();
        self.ask();
        self.proceed();
        self.show();
        let now = Ticks::now().up();
        if now.saturating_sub(self.tried) >= RETRY {
            self.tried = now;
            notify::finish();
            publication::finish(self.caller);
        }
    }

    /// Reads again what serves and what is accepted. Where that cannot be read, what was known is watched on.
    fn refresh(&mut self) {
        let read = Session::look(self.caller).and_then(|session| Ok((session.facts()?, session)));
        match read {
            Ok((facts, session)) => {
                (self.facts, self.session) = (facts, session);
                self.config = self.facts.accepted.config.clone();
                if !self.config.notify.is_empty() {
                    self.channels = self.config.clone();
                }
                self.unread = false;
            }
            Err(failure) if !self.unread => {
                self.unread = true;
                self.caller
                    .warn(format!("{}; watching with what was read before", failure.message));
            }
            Err(_) => {}
        }
    }

    /// Asks the rules that are due, all at the same time.
    fn ask(&mut self) {
        let rules = self.config.rules.clone();
        let known = |symptom: &String| rules.iter().any(|rule| rule.symptom == *symptom);
        self.asked.retain(|symptom, _| known(symptom));
        self.paged.retain(|symptom, _| known(symptom));
        let now = Ticks::now().up();
        let due: Vec<&Rule> = rules
            .iter()
            .filter(|rule| self.asked.entry(rule.symptom.clone()).or_default().due <= now)
            .collect();
        for (rule, look) in due.iter().zip(self.looks(&due)) {
            let needs = self.needs(rule);
            let every = self.every(rule);
            let asked = self.asked.entry(rule.symptom.clone()).or_default();
            asked.due = look.asked + every;
            asked.trigger.take(look, needs);
            self.tell_change(rule);
        }
    }

    fn looks(&self, rules: &[&Rule]) -> Vec<Look> {
        if rules.is_empty() {
            return Vec::new();
        }
        let site = &self.session.site;
        let config = Config {
            rules: rules.iter().map(|rule| (*rule).clone()).collect(),
            ..self.config.clone()
        };
        let deployment = self.facts.deployment(site);
        let about = expectation_of_rules(site, &config, &self.facts.serving, &deployment);
        let probes: Vec<_> = rules.iter().map(|rule| &rule.probe).collect();
        let (asked, moment) = (Ticks::now().up(), clock::moment());
        let seen = check::symptoms(&probes, &about);
        let answered = Ticks::now().up();
        let look = |seen| Look { asked, answered, moment: moment.clone(), seen };
        seen.into_iter().map(look).collect()
    }

    fn every(&self, rule: &Rule) -> Duration {
        rule.every.unwrap_or(self.config.watch.every)
    }

    fn needs(&self, rule: &Rule) -> Needs {
        // As long as one look that is missed, and some time for whatever else is done.
        let gap = self.every(rule) * 2 + Duration::from_secs(5);
        Needs { lasts: rule.lasts, attempts: rule.attempts, gap }
    }

    /// Says on the terminal what changed about a rule, and tells whoever was paged that it is over.
    fn tell_change(&mut self, rule: &Rule) {
        let Some(asked) = self.asked.get(&rule.symptom) else { return };
        let Some(last) = asked.trigger.last() else { return };
        let (word, answer) = word(&last.seen);
        let fires = asked.trigger.fires(self.needs(rule));
        let gone = asked.trigger.absent() >= rule.attempts.max(2);
        let state = if fires { "fires" } else { word };
        if self.said.get(&rule.symptom).is_none_or(|said| said != state) {
            self.said.insert(rule.symptom.clone(), state.to_owned());
            let text = format!("{} {}: {answer}", rule.severity, rule.symptom);
            match state {
                "fires" => self.cry(format!("{text}, {}", shown_for(&asked.trigger))),
                "shows" => self.cry(format!("{text}{}", patience(rule))),
                "unknown" => self.say(format!("{text} (unknown, which is never a trigger)")),
                _ => self.say(format!("{} {}: absent, {answer}", rule.severity, rule.symptom)),
            }
        }
        if gone && self.paged.remove(&rule.symptom).is_some() {
            let what = format!("{} {}: over", rule.severity, rule.symptom);
            let why = Some(format!("{answer}; nothing was done automatically"));
            self.tell(Word {
                event: "done",
                severity: "info",
                what,
                why,
                serves: true,
                ..Word::default()
            });
        }
    }

    fn proceed(&mut self) {
        let phase = std::mem::replace(&mut self.phase, Phase::Watching);
        self.phase = match phase {
            Phase::Watching => self.watching(),
            Phase::Announced(announced) => self.announced(announced),
            Phase::Clearing(clearing) => self.clearing(clearing),
            Phase::Soaking(soaking) => self.soaking(soaking),
        };
        if !matches!(self.phase, Phase::Watching) {
            self.page_others();
        }
    }

    /// The rules that fire, the worst first, of those the shallowest.
    fn firing(&self) -> Vec<Rule> {
        let fires = |rule: &&Rule| {
            let asked = self.asked.get(&rule.symptom);
            asked.is_some_and(|asked| asked.trigger.fires(self.needs(rule)))
        };
        let mut firing: Vec<Rule> = self.config.rules.iter().filter(fires).cloned().collect();
        firing.sort_by_key(|rule| (rule.severity.rank(), rule.action.depth()));
        firing
    }

    fn watching(&mut self) -> Phase<'a> {
        for rule in self.firing() {
            if let Some(announced) = self.decide(&rule) {
                return announced;
            }
        }
        self.begin_soak()
    }

    /// What fires while something else is being done is told, and nothing more.
    fn page_others(&mut self) {
        let handled = match &self.phase {
            Phase::Announced(announced) => Some(announced.rule.symptom.clone()),
            Phase::Clearing(clearing) => Some(clearing.rule.symptom.clone()),
            Phase::Watching | Phase::Soaking(_) => None,
        };
        let now = clock::moment();
        if silent(&self.notes, &now).is_some() || busy(&self.session).is_some() {
            return;
        }
        for rule in self.firing().into_iter().filter(|rule| handled.as_ref() != Some(&rule.symptom))
        {
            self.page_rule(&rule, "something else is being done");
        }
    }

    fn decide(&mut self, rule: &Rule) -> Option<Phase<'a>> {
        let asked = self.asked.get(&rule.symptom)?;
        let began = asked.trigger.began().cloned();
        let known = match Known::of(&self.session, &self.facts, rule, began.as_ref()) {
            Ok(known) => known,
            Err(failure) => {
                self.page_rule(rule, &failure.message);
                return None;
            }
        };
        let acts = self.notes.notebook().acts;
        let (settings, now) = (self.config.watch.clone(), clock::moment());
        let all = known.circumstances(&self.session, &settings, &acts, now);
        match may_act(&all) {
            Err(Blocked::Wait(why)) => {
                self.say_once(rule, &format!("not told and not acting: {why}"));
                None
            }
            _ if !rule.auto => {
                self.page_rule(rule, "its rule does not say auto");
                None
            }
            Err(Blocked::Page(why)) => {
                self.page_rule(rule, &why);
                None
            }
            Ok(()) => Some(self.announce(rule, known)),
        }
    }

    fn announce(&mut self, rule: &Rule, known: Known) -> Phase<'a> {
        let (Ok(remedy), Some(change)) = (known.remedy, known.change) else {
            return Phase::Watching;
        };
        let incident = self.incident(rule);
        let wait = self.config.watch.announce;
        let at = clock::now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        let what = format!(
            "{} {}: {} at {}",
            rule.severity,
            rule.symptom,
            doing(&remedy),
            time_to_second(at)
        );
        let why = format!("{}; confirmed by {}", self.evidence(rule), known.witnesses.join(", "));
        let stop: NextStep = ("gitroll silence 1h --reason '…'".to_owned(), "stops it".to_owned());
        self.cry(format!("{what}   {incident}"));
        self.detail(&why);
        self.caller.tell(Notice::Next("gitroll silence 1h --reason '…'", "stops it"));
        self.tell(Word {
            event: "announced",
            severity: severity(rule.severity),
            what,
            why: Some(why),
            notes: vec![format!("{} (#{})", change.what, change.seq)],
            next: vec![stop],
            serves: false,
        });
        Phase::Announced(Box::new(Announced {
            rule: rule.clone(),
            remedy,
            change: change.digest,
            at: Ticks::now().up() + wait,
            incident,
        }))
    }

    /// Waits for its time, and whether a person stops it or it is over by itself. At its time everything is decided anew.
    fn announced(&mut self, announced: Box<Announced>) -> Phase<'a> {
        let rule = &announced.rule;
        let fires = self
            .asked
            .get(&rule.symptom)
            .is_some_and(|asked| asked.trigger.fires(self.needs(rule)));
        if let Some(silence) = silent(&self.notes, &clock::moment()) {
            return self.call_off(rule, &format!("silence {silence}"));
        }
        if !fires {
            return self.call_off(rule, "the symptom is gone, or nobody knows it any more");
        }
        if Ticks::now().up() < announced.at {
            return Phase::Announced(announced);
        }
        let began = self.asked.get(&rule.symptom).and_then(|asked| asked.trigger.began().cloned());
        let known = match Known::of(&self.session, &self.facts, rule, began.as_ref()) {
            Ok(known) => known,
            Err(failure) => return self.call_off(rule, &failure.message),
        };
        let acts = self.notes.notebook().acts;
        let (settings, now) = (self.config.watch.clone(), clock::moment());
        let decision = may_act(&known.circumstances(&self.session, &settings, &acts, now));
        match decision {
            Err(Blocked::Wait(why) | Blocked::Page(why)) => self.call_off(rule, &why),
            Ok(()) if known.remedy.as_ref() != Ok(&announced.remedy) => {
                self.call_off(rule, "what would be done has changed since it was announced")
            }
            Ok(()) => self.act(*announced),
        }
    }

    /// Says that what was announced is not done. Whatever still fires is decided anew at the next look.
    fn call_off(&mut self, rule: &Rule, why: &str) -> Phase<'a> {
        self.say(format!("{}: called off: {why}", rule.symptom));
        self.paged.insert(rule.symptom.clone(), why.to_owned());
        self.tell(Word {
            event: "done",
            severity: "info",
            what: format!("{} {}: called off, nothing was changed", rule.severity, rule.symptom),
            why: Some(why.to_owned()),
            ..Word::default()
        });
        Phase::Watching
    }

    fn act(&mut self, announced: Announced) -> Phase<'a> {
        let Announced { rule, remedy, change, incident, .. } = announced;
        let now = clock::moment();
        let act = Act {
            at: now.time,
            boot: now.boot,
            rule: rule.symptom.clone(),
            change,
            record: None,
            incident: incident.clone(),
            ended: ActEnd::Acting,
            acked: false,
        };
        // Before it acts, so that being killed meanwhile is no way to act twice.
        if let Err(error) = self.notes.note(|notebook| notebook.acts.push(act)) {
            let why = format!("gitroll's notes cannot be written: {error}");
            self.page_rule(&rule, &why);
            return Phase::Watching;
        }
        let left = self.facts.serving.to_string();
        let reason = format!("automatic, {incident}: {}: {}", rule.symptom, self.evidence(&rule));
        let reason = ledger::check_reason(&reason).is_ok().then_some(reason);
        self.say(format!("{} ({incident})", doing(&remedy)));
        self.caller.between_runs(None);
        let ended = signals::to_its_end(|| carry_out(self.caller, &remedy, reason));
        self.caller.between_runs(Some(STOPPED));
        notify::finish();
        publication::finish(self.caller);
        self.refresh();
        match ended {
            Ok(ended) if matches!(ended.status, Status::Done | Status::Unrecorded) => {
                let record = ended.answer.record.as_ref();
                self.note(ActEnd::Clearing, record.map(|record| record.digest), None);
                let clear = self.config.watch.clear;
                self.say(format!("the symptom must be gone within {}", span(clear)));
                Phase::Clearing(Box::new(Clearing {
                    trigger: Trigger::default(),
                    due: Ticks::now().up(),
                    until: Ticks::now().up() + clear,
                    record: record.map(|record| record.seq),
                    put: put(&remedy),
                    left,
                    incident,
                    rule,
                }))
            }
            Err(failure) if failure.status == Status::Busy => {
                // Nothing was done, and a person is at it.
                let undone = self.notes.note(|notebook| drop(notebook.acts.pop()));
                if let Err(error) = undone {
                    self.caller.warn(format!("gitroll's notes: {error}"));
                }
                self.call_off(&rule, &failure.message)
            }
            Ok(ended) => {
                let why = ended.answer.why.clone().unwrap_or_else(|| ended.answer.outcome.clone());
                self.not_done(&rule, &remedy, &why, Vec::new())
            }
            Err(failure) => {
                let next = failure.next.clone();
                self.not_done(&rule, &remedy, &failure.message, next)
            }
        }
    }

    /// It could not be carried out: a person is needed, and nothing more is done.
    fn not_done(
        &mut self,
        rule: &Rule,
        remedy: &Remedy,
        why: &str,
        mut next: Vec<NextStep>,
    ) -> Phase<'a> {
        let what = format!("{} failed; nothing more is done automatically", doing(remedy));
        self.note(ActEnd::Failed, None, Some(format!("{} failed: {why}", doing(remedy))));
        self.paged.insert(rule.symptom.clone(), what.clone());
        if next.is_empty() {
            next.push(status());
        }
        next.push(acknowledge());
        self.page(&what, Some(why.to_owned()), rule.severity, Vec::new(), next);
        Phase::Watching
    }

    /// Asks whether the symptom is gone, until it is or the time is over.
    fn clearing(&mut self, mut clearing: Box<Clearing>) -> Phase<'a> {
        let now = Ticks::now().up();
        if now >= clearing.due {
            let every = self.every(&clearing.rule);
            let needs = self.needs(&clearing.rule);
            for look in self.looks(&[&clearing.rule]) {
                clearing.due = look.asked + every;
                clearing.trigger.take(look, needs);
            }
        }
        let answer = clearing.trigger.last().map(|last| word(&last.seen).1.to_owned());
        let answer = answer.unwrap_or_default();
        if clearing.trigger.absent() >= clearing.rule.attempts.max(2) {
            return self.cleared(&clearing, &answer);
        }
        if Ticks::now().up() >= clearing.until {
            return self.did_not_help(&clearing, &answer);
        }
        Phase::Clearing(clearing)
    }

    fn cleared(&mut self, clearing: &Clearing, answer: &str) -> Phase<'a> {
        let Clearing { rule, put, incident, .. } = clearing;
        self.note(ActEnd::Cleared, None, None);
        let time = self.config.soak.after_back.unwrap_or(USUAL_SOAK);
        let now = clock::moment();
        let serving = &self.facts.serving;
        let soak = Soaking {
            commit: serving.commit.clone(),
            name: serving.name.clone(),
            since: now.time,
            boot: now.boot,
            seconds: time.as_secs(),
        };
        if let Err(error) = self.notes.note(|notebook| notebook.soak = Some(soak)) {
            self.caller.warn(format!("gitroll's notes: {error}"));
        }
        let what = format!("{}: cleared after {put}: {answer}", rule.symptom);
        self.say(format!("{what}   {incident}"));
        let notes = vec![format!("watched for {} more", span(time))];
        self.tell(Word {
            event: "done",
            severity: "info",
            what,
            notes,
            serves: true,
            ..Word::default()
        });
        self.begin_soak()
    }

    /// The change was not the cause: its verdict and hold are withdrawn, and a person takes over.
    fn did_not_help(&mut self, clearing: &Clearing, answer: &str) -> Phase<'a> {
        let Clearing { rule, put, left, record, incident, .. } = clearing;
        let mut notes = Vec::new();
        let code = matches!(rule.action, RuleAction::Code);
        if let (true, Some(seq)) = (code, record) {
            let request = UnholdRequest {
                what: Some(seq.to_string()),
                reason: Some(format!("the automatic rollback did not help ({incident})")),
            };
            self.caller.between_runs(None);
            let lifted = signals::to_its_end(|| unhold(self.caller, &request));
            self.caller.between_runs(Some(STOPPED));
            notes.push(match lifted {
                Ok(entry) => {
                    format!("verdict and hold of {left} withdrawn (#{})", entry.record.seq)
                }
                Err(failure) => {
                    format!("verdict and hold of {left} are not withdrawn: {}", failure.message)
                }
            });
        }
        self.refresh();
        if let Ok(found) = diagnosis::look(&self.session) {
            notes.extend(found.why.iter().map(|why| format!("why   {why}")));
        }
        let what = format!(
            "{} {}: {put} did not help, probably not the {}. Nothing more is done automatically",
            rule.severity,
            rule.symptom,
            if code { "code" } else { "flag" }
        );
        let stopped = format!("{put} did not help ({incident})");
        self.note(ActEnd::NoHelp, None, Some(stopped));
        self.paged.insert(rule.symptom.clone(), what.clone());
        let undo = match &rule.action {
            RuleAction::Flags(ids) => {
                (format!("gitroll flags on {}", list(ids)), "if it was a false alarm")
            }
            _ => ("gitroll back --undo".to_owned(), "if it was a false alarm"),
        };
        let undo = (undo.0, undo.1.to_owned());
        self.page(
            &what,
            Some(answer.to_owned()),
            rule.severity,
            notes,
            vec![status(), undo, acknowledge()],
        );
        Phase::Watching
    }

    /// Goes on with what is to be watched after a rollback.
    fn begin_soak(&mut self) -> Phase<'a> {
        let Some(soak) = self.notes.notebook().soak else { return Phase::Watching };
        let left = soak.left(&clock::moment());
        if left.is_zero() || soak.commit != self.facts.serving.commit {
            self.forget_soak();
            return Phase::Watching;
        }
        match Watch::begin(self.caller, Heeds::Commit, STOPPED) {
            Ok(watch) => {
                self.say(format!("watching {} for {}", soak.name, span(left)));
                Phase::Soaking(Box::new(SoakWatch { watch, soak, due: Ticks::now().up() }))
            }
            Err(failure) => {
                self.caller.warn(format!("{} cannot be watched: {}", soak.name, failure.message));
                Phase::Watching
            }
        }
    }

    fn forget_soak(&self) {
        if let Err(error) = self.notes.note(|notebook| notebook.soak = None) {
            self.caller.warn(format!("gitroll's notes: {error}"));
        }
    }

    /// Looks whether what was put in place holds. It never acts: what does not hold is for a person.
    fn soaking(&mut self, mut soaking: Box<SoakWatch<'a>>) -> Phase<'a> {
        let now = Ticks::now().up();
        if now < soaking.due {
            return Phase::Soaking(soaking);
        }
        soaking.due = now + self.config.watch.every;
        let name = soaking.soak.name.clone();
        let Some(faults) = soaking.watch.once() else {
            self.say(format!("{name} no longer serves: not watched any more"));
            self.forget_soak();
            return Phase::Watching;
        };
        if !faults.is_empty() {
            self.forget_soak();
            let what = format!("{name} failed while it was watched after the rollback");
            self.page(&what, Some(faults.join(", ")), Severity::P1, Vec::new(), vec![status()]);
            return Phase::Watching;
        }
        if !soaking.soak.left(&clock::moment()).is_zero() || !self.firing().is_empty() {
            return Phase::Soaking(soaking);
        }
        self.forget_soak();
        let time = span(Duration::from_secs(soaking.soak.seconds));
        let mut what = format!("{name} was healthy for {time}");
        if let Some(incident) = self.notes.open_incident() {
            match self.notes.close_incident(&incident.id, Some(&what)) {
                Ok(_) => what.push_str(&format!(": {} is closed", incident.id)),
                Err(error) => self.caller.warn(format!("gitroll's notes: {error}")),
            }
        }
        self.say(what.clone());
        let next = ("gitroll report --last".to_owned(), "the report of it".to_owned());
        let next = vec![next];
        self.tell(Word {
            event: "done",
            severity: "info",
            what,
            next,
            serves: true,
            ..Word::default()
        });
        Phase::Watching
    }

    /// A person is told of a symptom, once until it is gone.
    fn page_rule(&mut self, rule: &Rule, why: &str) {
        if self.paged.contains_key(&rule.symptom) {
            return self.say_once(rule, &format!("not acting: {why}"));
        }
        self.paged.insert(rule.symptom.clone(), why.to_owned());
        let incident = self.incident(rule);
        let mut notes = vec![format!("not done automatically: {why}")];
        notes.extend(rule.why.clone());
        let what = format!("{} {}", rule.severity, rule.symptom);
        let next = match &rule.action {
            RuleAction::Flags(ids) => {
                (format!("gitroll flags off {}", list(ids)), "what its rule says")
            }
            RuleAction::Code => ("gitroll back".to_owned(), "what its rule says"),
            RuleAction::Full => {
                ("gitroll back --level full --plan".to_owned(), "what its rule says")
            }
            RuleAction::FixForward => ("gitroll status".to_owned(), "shows what serves"),
        };
        let next = vec![(next.0, next.1.to_owned()), status()];
        self.detail(&incident);
        self.page(&what, Some(self.evidence(rule)), rule.severity, notes, next);
    }

    fn page(
        &mut self,
        what: &str,
        why: Option<String>,
        level: Severity,
        notes: Vec<String>,
        next: Vec<NextStep>,
    ) {
        self.cry(what.to_owned());
        if let Some(why) = &why {
            self.detail(why);
        }
        notes.iter().for_each(|note| self.detail(note));
        for (command, what) in &next {
            self.caller.tell(Notice::Next(command, what));
        }
        let (event, severity, what) = ("needs-person", severity(level), what.to_owned());
        self.tell(Word { event, severity, what, why, notes, next, serves: false });
    }

    /// The incident of a symptom: the one that is open, else a new one.
    fn incident(&self, rule: &Rule) -> String {
        let joined = self.notes.join_incident(&rule.symptom, Some(rule.severity.to_string()), BY);
        joined.map_or_else(|error| format!("no incident: {error}"), |incident| incident.id)
    }

    /// What was seen of a rule, in words.
    fn evidence(&self, rule: &Rule) -> String {
        let Some(asked) = self.asked.get(&rule.symptom) else { return String::new() };
        let answer = asked.trigger.last().map(|last| word(&last.seen).1).unwrap_or_default();
        format!("{answer}, {}", shown_for(&asked.trigger))
    }

    /// Notes what came of the last act.
    fn note(&self, ended: ActEnd, record: Option<Digest>, stopped: Option<String>) {
        let noted = self.notes.note(|notebook| {
            if let Some(act) = notebook.acts.last_mut() {
                act.ended = ended;
                act.record = record.or(act.record);
            }
            if stopped.is_some() {
                notebook.stopped = stopped;
            }
        });
        if let Err(error) = noted {
            self.caller.warn(format!("gitroll's notes: {error}"));
        }
    }

    fn tell(&self, word: Word) {
        notify::watched(&self.session.site, &self.channels, word);
        notify::finish();
    }

    fn show(&self) {
        let seen = |rule: &Rule| {
            let asked = self.asked.get(&rule.symptom);
            let trigger = asked.map(|asked| &asked.trigger);
            let last = trigger.and_then(|trigger| Some(word(&trigger.last()?.seen)));
            RuleSeen {
                symptom: rule.symptom.clone(),
                severity: rule.severity.to_string(),
                auto: rule.auto,
                seen: last.map(|(word, _)| word.to_owned()),
                answer: last.map(|(_, answer)| answer.to_owned()).unwrap_or_default(),
                showing_seconds: trigger.map_or(0, |trigger| trigger.showing().as_secs()),
                for_seconds: rule.lasts.as_secs(),
                times: trigger.map_or(0, Trigger::times),
                attempts: rule.attempts,
                fires: trigger.is_some_and(|trigger| trigger.fires(self.needs(rule))),
            }
        };
        let phase = match &self.phase {
            Phase::Watching => "watching",
            Phase::Announced(_) => "announced",
            Phase::Clearing(_) => "clearing",
            Phase::Soaking(_) => "soaking",
        };
        let looking = Looking {
            pid: std::process::id(),
            since: self.since,
            at: clock::now(),
            phase: phase.to_owned(),
            rules: self.config.rules.iter().map(seen).collect(),
        };
        if let Err(error) = self.notes.look(&looking) {
            tracing::debug!("gitroll's notes: {error}");
        }
    }

    fn say(&self, text: String) {
        self.caller.info(format!("{}  {text}", time_to_second(clock::now())));
    }

    fn cry(&self, text: String) {
        self.caller.tell(Notice::Alarm(format!("{}  {text}", time_to_second(clock::now()))));
    }

    fn detail(&self, text: &str) {
        self.caller.tell(Notice::Detail(format!("        {text}")));
    }

    fn say_once(&mut self, rule: &Rule, text: &str) {
        let key = format!("{}\n", rule.symptom);
        if self.said.get(&key).is_none_or(|said| said != text) {
            self.said.insert(key, text.to_owned());
            self.say(format!("{}: {text}", rule.symptom));
        }
    }
}

fn carry_out(
    caller: &Caller,
    remedy: &Remedy,
    reason: Option<String>,
) -> Result<ChangeOutcome, Failure> {
    match remedy {
        Remedy::Code(target) => {
            let to = Some(target.commit.to_string());
            back(caller, &BackRequest { to, reason, yes: true, ..BackRequest::default() })
        }
        Remedy::Flags(ids) => {
            let names = ids.iter().map(ToString::to_string).collect();
            let flags = WhichFlags::Off(names);
            change_flags(caller, &FlagsRequest { flags, reason, plan_only: false })
        }
    }
}

fn doing(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Code(target) => format!("rolling back to {}", target.name),
        Remedy::Flags(ids) => format!("switching off {}", list(ids)),
    }
}

fn put(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Code(target) => format!("the rollback to {}", target.name),
        Remedy::Flags(ids) => format!("switching off {}", list(ids)),
    }
}

fn list(ids: &[ComponentId]) -> String {
    let ids: Vec<&str> = ids.iter().map(ComponentId::as_str).collect();
    ids.join(" ")
}

fn word(seen: &Symptom) -> (&'static str, &str) {
    match seen {
        Symptom::Shows(answer) => ("shows", answer),
        Symptom::Absent(answer) => ("absent", answer),
        Symptom::Unknown(why) => ("unknown", why),
    }
}

fn shown_for(trigger: &Trigger) -> String {
    let times = match trigger.times() {
        0 | 1 => String::new(),
        times => format!(", {times} times in a row"),
    };
    format!("for {}{times}", span(trigger.showing()))
}

/// What a symptom that shows still needs.
fn patience(rule: &Rule) -> String {
    let lasts = (!rule.lasts.is_zero()).then(|| format!("for {}", span(rule.lasts)));
    let attempts = (rule.attempts > 1).then(|| format!("{} times in a row", rule.attempts));
    let needs: Vec<String> = [lasts, attempts].into_iter().flatten().collect();
    match needs.is_empty() {
        true => String::new(),
        false => format!("   (taken for real {})", needs.join(" and ")),
    }
}

fn severity(level: Severity) -> &'static str {
    if level.rank() <= Severity::P1.rank() { "critical" } else { "warning" }
}

fn status() -> NextStep {
    ("gitroll status".to_owned(), "shows what serves".to_owned())
}

fn acknowledge() -> NextStep {
    ("gitroll watch ack".to_owned(), "lets it act again".to_owned())
}
