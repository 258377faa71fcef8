//! `gitroll watch`: asks the rules again and again, tells people what lasts, and where a rule says so and nothing speaks
//! against it, acts: announced, once for each change, and only as deep as flags or code. It calls the same acts as a person.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::caller::{Caller, Notice};
use super::circumstances::{Known, Remedy, busy, last_change, look_at, silent};
use super::diagnosis;
use super::failure::Failure;
use super::next_steps::NextStep;
use super::notify::{self, Word};
use super::outcome::Status;
use super::publication;
use super::session::Session;
use super::soak::{Heeds, SeenOnce, Watch, wait};
use super::unhold::{UnholdRequest, unhold};
use crate::check::Symptom;
use crate::config::{Config, Rule, RuleAction, Severity};
use crate::ledger;
use crate::model::Digest;
use crate::plan::facts::Facts;
use crate::system::procs::Ticks;
use crate::system::text::{plural, span, time_to_second};
use crate::system::{clock, signals};
use crate::watch::{
    Act, ActEnd, Blocked, Look, Looking, Needs, Notes, Running, Soaking, Trigger, may_act, waits,
};

mod phase;
mod words;

use phase::{Announced, Asked, Clearing, Need, Phase, SoakWatch};
use words::{
    acknowledge, by_hand, gone_after, patience, rule_seen, severity, shown_for, status, undo, word,
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
        unread: None,
        asked: BTreeMap::new(),
        told: BTreeMap::new(),
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
    /// Why what serves cannot be read now: then nothing is done.
    unread: Option<String>,
    asked: BTreeMap<String, Asked>,
    /// The symptoms that people were told of, and whether a person is needed.
    told: BTreeMap<String, Need>,
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
        if notebook.soak.is_some() {
            // Nobody looked meanwhile.
            let now = clock::moment();
            let anew = self.notes.note(|notebook| {
                if let Some(soak) = &mut notebook.soak {
                    (soak.since, soak.boot) = (now.time, now.boot);
                }
            });
            if let Err(error) = anew {
                self.caller.warn(format!("gitroll's notes: {error}"));
            }
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
                self.unread = None;
            }
            Err(failure) if self.unread.is_none() => {
                self.caller
                    .warn(format!("{}; watching with what was read before", failure.message));
                self.unread = Some(failure.message);
            }
            Err(_) => {}
        }
    }

    /// Asks the rules that are due, all at the same time.
    fn ask(&mut self) {
        let rules = self.config.rules.clone();
        let known = |symptom: &String| rules.iter().any(|rule| rule.symptom == *symptom);
        self.asked.retain(|symptom, _| known(symptom));
        self.told.retain(|symptom, _| known(symptom));
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
        look_at(&self.session.site, &self.facts, &self.config, rules)
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
        let gone = asked.trigger.absent() >= gone_after(rule);
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
        if gone && self.told.remove(&rule.symptom).is_some() {
            let what = format!("{} {}: over", rule.severity, rule.symptom);
            let why = Some(format!("{answer}; nothing was done automatically"));
            self.tell(Word { why, ..self.good(what) });
        }
    }

    /// What is told where something went well.
    fn good(&self, what: String) -> Word {
        let serves = self.nothing_else();
        Word { event: "done", severity: "info", what, serves, ..Word::default() }
    }

    /// Whether people were told of nothing that lasts still.
    fn nothing_else(&self) -> bool {
        self.told.is_empty() && !matches!(self.phase, Phase::Announced(_) | Phase::Clearing(_))
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
        let (handled, why) = match &self.phase {
            Phase::Announced(announced) => {
                (Some(&announced.rule.symptom), announced.remedy.doing())
            }
            Phase::Clearing(clearing) => (Some(&clearing.rule.symptom), clearing.put.clone()),
            Phase::Soaking(soaking) => {
                (None, format!("{} is watched after a rollback", soaking.soak.name))
            }
            Phase::Watching => return,
        };
        if self.waits().is_err() {
            return;
        }
        let mut firing = self.firing();
        firing.retain(|rule| handled != Some(&rule.symptom));
        for rule in firing {
            self.page_rule(&rule, &why);
        }
    }

    /// Whether it is no time to tell or do anything, and why.
    fn waits(&self) -> Result<(), String> {
        let silence = silent(&self.session.site, &self.notes, &clock::moment());
        let busy = busy(&self.session);
        let up = Ticks::now().up();
        waits(&self.config.watch, up, silence.as_deref(), busy.as_deref())
    }

    fn known(&self, rule: &Rule) -> Result<Known, Failure> {
        if let Some(why) = &self.unread {
            return Err(Failure::unchanged(why.clone()));
        }
        let asked = self.asked.get(&rule.symptom);
        let began = asked.and_then(|asked| asked.trigger.began());
        Known::of(&self.session, &self.facts, rule, (began, self.needs(rule).gap))
    }

    fn may_act(&self, known: &Known) -> Result<(), Blocked> {
        let acts = self.notes.notebook().acts;
        let settings = &self.config.watch;
        may_act(&known.circumstances(&self.session, settings, &acts, clock::moment()))
    }

    fn decide(&mut self, rule: &Rule) -> Option<Phase<'a>> {
        if let Err(why) = self.waits() {
            self.say_once(rule, &format!("not told and not acting: {why}"));
            return None;
        }
        if !rule.auto {
            self.page_rule(rule, "its rule does not say auto");
            return None;
        }
        let known = match self.known(rule) {
            Ok(known) => known,
            Err(failure) => {
                self.page_rule(rule, &failure.message);
                return None;
            }
        };
        match self.may_act(&known) {
            Err(Blocked::Wait(why)) => {
                self.say_once(rule, &format!("not told and not acting: {why}"));
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
            remedy.doing(),
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
        if let Some(silence) = silent(&self.session.site, &self.notes, &clock::moment()) {
            return self.call_off(rule, &format!("silence {silence}"));
        }
        if !fires {
            return self.call_off(rule, "the symptom is gone, or nobody knows it any more");
        }
        if Ticks::now().up() < announced.at {
            return Phase::Announced(announced);
        }
        let known = match self.known(rule) {
            Ok(known) => known,
            Err(failure) => return self.leave(rule, &failure.message),
        };
        let change = known.change.as_ref().map(|change| change.digest);
        match self.may_act(&known) {
            Err(Blocked::Wait(why)) => self.call_off(rule, &why),
            Err(Blocked::Page(why)) => self.leave(rule, &why),
            Ok(()) if !self.says_so(rule) => {
                self.call_off(rule, "its rule has changed since it was announced")
            }
            Ok(())
                if known.remedy.as_ref() != Ok(&announced.remedy)
                    || change != Some(announced.change) =>
            {
                self.call_off(rule, "what would be done has changed since it was announced")
            }
            Ok(()) => self.act(*announced),
        }
    }

    /// Whether the accepted configuration says so still.
    fn says_so(&self, rule: &Rule) -> bool {
        let same = |now: &Rule| now.symptom == rule.symptom && now.action == rule.action;
        self.config.rules.iter().any(|now| same(now) && now.auto)
    }

    /// Says that what was announced is not done. Whatever still fires is decided anew at the next look.
    fn call_off(&mut self, rule: &Rule, why: &str) -> Phase<'a> {
        self.say(format!("{}: called off: {why}", rule.symptom));
        self.told.entry(rule.symptom.clone()).or_insert(Need::Undecided);
        let what = format!("{} {}: called off, nothing was changed", rule.severity, rule.symptom);
        self.tell(Word { why: Some(why.to_owned()), serves: false, ..self.good(what) });
        Phase::Watching
    }

    /// Does not do what was announced, and leaves it to a person.
    fn leave(&mut self, rule: &Rule, why: &str) -> Phase<'a> {
        self.page_rule(rule, &format!("called off: {why}"));
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
        let short = format!("automatic, {incident}: {}", rule.symptom);
        let long = format!("{short}: {}", self.evidence(&rule));
        let reason = [long, short].into_iter().find(|why| ledger::check_reason(why).is_ok());
        self.say(format!("{} ({incident})", remedy.doing()));
        self.caller.between_runs(None);
        let ended = signals::to_its_end(|| remedy.carry_out(self.caller, reason));
        self.caller.between_runs(Some(STOPPED));
        notify::finish();
        publication::finish(self.caller);
        self.refresh();
        match ended {
            Ok(ended) if matches!(ended.status, Status::Done | Status::Unrecorded) => {
                let record = ended.answer.record.as_ref();
                self.note(ActEnd::Clearing, record.map(|record| record.digest), None);
                // As long as it takes to look so often.
                let looks = self.every(&rule) * gone_after(&rule) + SOON;
                let clear = self.config.watch.clear.max(looks);
                self.say(format!("the symptom must be gone within {}", span(clear)));
                Phase::Clearing(Box::new(Clearing {
                    trigger: Trigger::default(),
                    due: Ticks::now().up(),
                    until: Ticks::now().up() + clear,
                    record: record.map(|record| (record.seq, record.digest)),
                    put: remedy.done(),
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
        let doing = remedy.doing();
        let what = format!("{doing} failed; nothing more is done automatically");
        self.note(ActEnd::Failed, None, Some(format!("{doing} failed: {why}")));
        self.told.insert(rule.symptom.clone(), Need::Person);
        if next.is_empty() {
            next.push(status());
        }
        next.push(acknowledge());
        self.page(&what, Some(why.to_owned()), rule.severity, Vec::new(), next);
        Phase::Watching
    }

    /// Asks whether the symptom is gone, until it is or the time is over. What is seen while another command is at work
    /// says nothing, and what someone else put in place meanwhile is that person's business.
    fn clearing(&mut self, mut clearing: Box<Clearing>) -> Phase<'a> {
        if busy(&self.session).is_some() {
            clearing.trigger = Trigger::default();
            return Phase::Clearing(clearing);
        }
        if self.replaced(&clearing) {
            self.note(ActEnd::TakenOver, None, None);
            let what = format!("someone changed what serves after {}", clearing.put);
            self.say(format!("{what}: not watched any more   {}", clearing.incident));
            return Phase::Watching;
        }
        if Ticks::now().up() >= clearing.due {
            let every = self.every(&clearing.rule);
            let needs = self.needs(&clearing.rule);
            for look in self.looks(&[&clearing.rule]) {
                clearing.due = look.asked + every;
                clearing.trigger.take(look, needs);
            }
        }
        let last = clearing.trigger.last().map(|last| last.seen.clone());
        if clearing.trigger.absent() >= gone_after(&clearing.rule) {
            let answer = last.as_ref().map(|seen| word(seen).1).unwrap_or_default();
            return self.cleared(&clearing, answer);
        }
        match last {
            _ if Ticks::now().up() < clearing.until => Phase::Clearing(clearing),
            Some(Symptom::Shows(answer)) => self.did_not_help(&clearing, &answer),
            // Gone since a moment ago: the next look tells.
            Some(Symptom::Absent(_)) | None => Phase::Clearing(clearing),
            Some(Symptom::Unknown(why)) => self.unknown_whether(&clearing, &why),
        }
    }

    /// Whether something else serves than what the act put in place.
    fn replaced(&self, clearing: &Clearing) -> bool {
        let Some((_, digest)) = clearing.record else { return false };
        let last = last_change(&self.session, &self.facts);
        last.is_ok_and(|last| last.is_none_or(|(change, _)| change.digest != digest))
    }

    /// No answer tells whether it helped: a person is needed, and what was judged stays so.
    fn unknown_whether(&mut self, clearing: &Clearing, why: &str) -> Phase<'a> {
        let Clearing { rule, put, incident, .. } = clearing;
        let what = format!(
            "{} {}: nobody knows whether {put} helped. Nothing more is done automatically",
            rule.severity, rule.symptom
        );
        let stopped = format!("nobody knows whether {put} helped ({incident})");
        self.note(ActEnd::Unknown, None, Some(stopped));
        self.told.insert(rule.symptom.clone(), Need::Person);
        let next = vec![status(), acknowledge()];
        self.page(&what, Some(why.to_owned()), rule.severity, Vec::new(), next);
        Phase::Watching
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
        self.told.remove(&rule.symptom);
        self.tell(Word { notes, ..self.good(what) });
        self.begin_soak()
    }

    /// The change was not the cause: its verdict and hold are withdrawn, and a person takes over.
    fn did_not_help(&mut self, clearing: &Clearing, answer: &str) -> Phase<'a> {
        let Clearing { rule, put, left, record, incident, .. } = clearing;
        let mut notes = Vec::new();
        let code = matches!(rule.action, RuleAction::Code);
        if let (true, Some((seq, _))) = (code, record) {
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
        self.told.insert(rule.symptom.clone(), Need::Person);
        self.page(
            &what,
            Some(answer.to_owned()),
            rule.severity,
            notes,
            vec![status(), undo(rule), acknowledge()],
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
                self.forget_soak();
                let what = format!("{} cannot be watched after the rollback", soak.name);
                let why = Some(failure.message);
                self.page(&what, why, Severity::P1, Vec::new(), vec![status()]);
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
        if silent(&self.session.site, &self.notes, &clock::moment()).is_some() {
            return Phase::Soaking(soaking);
        }
        let faults = match soaking.watch.once() {
            SeenOnce::Faults(faults) => faults,
            SeenOnce::Busy => return Phase::Soaking(soaking),
            SeenOnce::Changed => {
                self.say(format!("{name} no longer serves: not watched any more"));
                self.forget_soak();
                return Phase::Watching;
            }
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
        self.tell(Word { next, ..self.good(what) });
        Phase::Watching
    }

    /// A person is told of a symptom, once until it is gone.
    fn page_rule(&mut self, rule: &Rule, why: &str) {
        if self.told.insert(rule.symptom.clone(), Need::Person) == Some(Need::Person) {
            return self.say_once(rule, &format!("not acting: {why}"));
        }
        let incident = self.incident(rule);
        let mut notes = vec![format!("not done automatically: {why}")];
        notes.extend(rule.why.clone());
        let what = format!("{} {}", rule.severity, rule.symptom);
        self.detail(&incident);
        self.page(
            &what,
            Some(self.evidence(rule)),
            rule.severity,
            notes,
            vec![by_hand(rule), status()],
        );
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
            let trigger = self.asked.get(&rule.symptom).map(|asked| &asked.trigger);
            rule_seen(rule, trigger, self.needs(rule))
        };
        let looking = Looking {
            pid: std::process::id(),
            since: self.since,
            at: clock::now(),
            phase: self.phase.word().to_owned(),
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
