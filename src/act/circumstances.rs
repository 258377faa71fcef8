//! Gathers what [`may_act`](crate::watch::may_act) decides by, and what would be done.

use std::collections::BTreeMap;
use std::time::Duration;

use super::back::{BackRequest, back};
use super::caller::Caller;
use super::diagnosis;
use super::failure::Failure;
use super::flags::{self, FlagsRequest, WhichFlags, change_flags};
use super::outcome::ChangeOutcome;
use super::session::Session;
use crate::check::{self, Symptom};
use crate::config::{CheckKind, Config, Rule, RuleAction, SymptomProbe, WatchSettings, When};
use crate::engine::{self, Lock};
use crate::ledger::{self, Entry};
use crate::model::{
    ApprovalOptions, BootClock, CheckEvidence, ComponentId, Event, Moment, Outcome, Served,
};
use crate::plan::candidates;
use crate::plan::deployed;
use crate::plan::facts::Facts;
use crate::service::{ServiceError, ServiceState};
use crate::site::{
    Observed, Site, changed_since, expectation, expectation_of_rules, maintenance, observe_services,
};
use crate::system::clock;
use crate::system::procs::Ticks;
use crate::system::text::{clock_word, escape, plural};
use crate::target::{Needed, Request};
use crate::watch::{Act, Began, Change, Circumstances, Look, Notes};

/// Between two questions of the second witness.
const AGAIN: Duration = Duration::from_secs(1);

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Back to this.
    Code(Served),
    /// The flags of these components go off.
    Flags(Vec<ComponentId>),
}

impl Remedy {
    /// Carries it out, as a person would.
    ///
    /// # Errors
    /// Everything that ends without its target observed serving.
    pub fn carry_out(
        &self,
        caller: &Caller,
        reason: Option<String>,
    ) -> Result<ChangeOutcome, Failure> {
        match self {
            Remedy::Code(target) => {
                let to = Some(target.commit.to_string());
                back(caller, &BackRequest { to, reason, yes: true, ..BackRequest::default() })
            }
            Remedy::Flags(ids) => {
                let names = ids.iter().map(ToString::to_string).collect();
                let flags = WhichFlags::Off(names);
                let approval = ApprovalOptions::default();
                change_flags(caller, &FlagsRequest { flags, reason, plan_only: false, approval })
            }
        }
    }

    /// What is done, in words.
    pub fn doing(&self) -> String {
        match self {
            Remedy::Code(target) => format!("rolling back to {}", target.name),
            Remedy::Flags(ids) => format!("switching off {}", list(ids)),
        }
    }

    /// What was done, in words.
    pub fn done(&self) -> String {
        match self {
            Remedy::Code(target) => format!("the rollback to {}", target.name),
            Remedy::Flags(ids) => format!("switching off {}", list(ids)),
        }
    }
}

/// Components, as a command line names them.
pub fn list(ids: &[ComponentId]) -> String {
    let ids: Vec<&str> = ids.iter().map(ComponentId::as_str).collect();
    ids.join(" ")
}

/// What is known about one rule that fires.
pub struct Known {
    pub remedy: Result<Remedy, String>,
    pub change: Option<Change>,
    began: Option<Began>,
    gap: Duration,
    by_hand: bool,
    open_run: Option<String>,
    person: Option<String>,
    outside: Vec<String>,
    pub witnesses: Vec<String>,
}

impl Known {
    /// Looks, and asks the second witness.
    ///
    /// # Errors
    /// When the repository or the records cannot be read.
    pub fn of(
        session: &Session,
        facts: &Facts,
        rule: &Rule,
        (began, gap): (Option<Began>, Duration),
    ) -> Result<Self, Failure> {
        let site = &session.site;
        let seen = witnesses(session, facts);
        let change = last_change(session, facts)?;
        let open = engine::open_runs(site)?;
        let open_run = open.last().map(|run| format!("{} to {}", run.plan.event, run.plan.to));
        let remedy = match open_run.is_some() {
            true => Err("a run is open".to_owned()),
            false => remedy(session, facts, rule, change.as_ref())?,
        };
        let person = began.as_ref().and_then(|began| person(session, facts, &began.shows));
        Ok(Self {
            remedy,
            change: change.map(|(change, _)| change),
            by_hand: facts.by_hand(),
            open_run,
            person: person.or(seen.stopped),
            outside: match rule.action {
                RuleAction::Code => outside(session, facts)?,
                _ => Vec::new(),
            },
            witnesses: seen.wrong,
            began,
            gap,
        })
    }

    /// As the decision wants it.
    pub fn circumstances<'a>(
        &self,
        session: &Session,
        settings: &'a WatchSettings,
        acts: &'a [Act],
        now: Moment,
    ) -> Circumstances<'a> {
        let notes = Notes::of(&session.site.state());
        Circumstances {
            settings,
            up: Ticks::now().up(),
            silence: silent(&session.site, &notes, &now),
            busy: busy(session),
            now,
            open_run: self.open_run.clone(),
            stopped: notes.notebook().stopped,
            by_hand: self.by_hand,
            person: self.person.clone(),
            change: self.change.clone(),
            began: self.began.clone(),
            gap: self.gap,
            outside: self.outside.clone(),
            witnesses: self.witnesses.clone(),
            obstacle: self.remedy.as_ref().err().cloned(),
            acts,
        }
    }
}

/// Asks rules, all at the same time.
pub fn look_at(site: &Site, facts: &Facts, config: &Config, rules: &[&Rule]) -> Vec<Look> {
    if rules.is_empty() {
        return Vec::new();
    }
    let asked: Vec<Rule> = rules.iter().map(|rule| (*rule).clone()).collect();
    let config = Config { rules: asked, ..config.clone() };
    let deployment = facts.deployment(site);
    let about = expectation_of_rules(site, &config, &facts.serving, &deployment);
    let probes: Vec<_> = rules.iter().map(|rule| &rule.probe).collect();
    let (asked, moment) = (Ticks::now().up(), clock::moment());
    let seen = check::symptoms(&probes, &about);
    let answered = Ticks::now().up();
    let look = |seen| Look { asked, answered, moment: moment.clone(), seen };
    seen.into_iter().map(look).collect()
}

/// Until when it is silent and why, in words. Maintenance lasts until the services are started again.
pub fn silent(site: &Site, notes: &Notes, now: &Moment) -> Option<String> {
    let Some(silence) = notes.silence(now) else {
        let found = maintenance(site)?;
        let since = clock_word(found.since, now.time);
        return Some(format!("since {since}, by {}: maintenance", escape(&found.by)));
    };
    let until = clock_word(silence.until(now), now.time);
    let reason = silence.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(format!("until {until}, by {}{reason}", silence.by))
}

/// Who holds the lock.
pub fn busy(session: &Session) -> Option<String> {
    let state = session.site.state();
    Lock::is_held(&state).then(|| match Lock::holder(&state) {
        Some(holder) => format!("gitroll {}", holder.command),
        None => "another command".to_owned(),
    })
}

fn moment(entry: &Entry) -> Moment {
    Moment { time: entry.tagger.time, boot: entry.record.clock.clone() }
}

/// The last record of something that was put in place, switched or configured, and of what kind it is.
pub fn last_change(session: &Session, facts: &Facts) -> Result<Option<(Change, Event)>, Failure> {
    let site = &session.site;
    let changes = |entry: &&Entry| {
        let record = &entry.record;
        let changes = record.event.serves() && !matches!(record.event, Event::Init | Event::Adopt);
        changes && record.outcome == Outcome::Succeeded
    };
    let Some(entry) = facts.own(site).iter().rev().find(changes) else { return Ok(None) };
    let record = &entry.record;
    let name = match &record.to {
        Some(commit) => facts.names.served(&site.git, commit, None)?.name,
        None => facts.serving.name.clone(),
    };
    let what = match record.event {
        Event::Deploy => format!("{name} deployed"),
        Event::Back => format!("rolled back to {name}"),
        Event::Predeploy => format!("{name} put in place by hand"),
        Event::Flags => "flags changed".to_owned(),
        Event::Migrate => "migrations reverted".to_owned(),
        _ => format!("{} changed to {name}", record.event),
    };
    // It was at work before its record was written, and its effect may have shown then.
    let evidence = ledger::evidence(&site.git, entry)?;
    let written = moment(entry);
    let took = written.time.duration_since(evidence.started).as_secs().max(0).unsigned_abs();
    let began = Moment {
        time: evidence.started,
        boot: written
            .boot
            .map(|clock| BootClock { seconds: clock.seconds.saturating_sub(took), ..clock }),
    };
    let change = Change { seq: record.seq, digest: entry.digest, what, began };
    Ok(Some((change, record.event.clone())))
}

/// What a person did about it since it began, by the records.
fn person(session: &Session, facts: &Facts, began: &Moment) -> Option<String> {
    let own = facts.own(&session.site).iter().rev();
    let judges = |event: &Event| {
        matches!(
            event,
            Event::Mark
                | Event::Hold
                | Event::Lift
                | Event::Annotate
                | Event::Promote
                | Event::Moved
        )
    };
    let since = |entry: &&Entry| began.until(&moment(entry)).is_some_and(|after| !after.is_zero());
    let tried =
        |entry: &Entry| entry.record.event.serves() && entry.record.outcome != Outcome::Succeeded;
    let found = own.take_while(since).find(|entry| judges(&entry.record.event) || tried(entry))?;
    Some(format!("{} #{} by {}", found.record.event, found.record.seq, found.tagger.name))
}

/// Files outside of git that changed since what serves was proven.
fn outside(session: &Session, facts: &Facts) -> Result<Vec<String>, Failure> {
    let site = &session.site;
    let proven = facts.proven_by(site)?;
    let before = proven.and_then(|proven| proven.evidence.witnessed?.outside);
    let Some(before) = before else { return Ok(Vec::new()) };
    let config = &facts.accepted.config;
    let changed = changed_since(site, config, &facts.serving.commit, &before)?;
    Ok(changed.into_iter().map(|file| file.path.to_string()).collect())
}

/// What the second witness says.
struct Witnessed {
    /// Checks that fail and services that are down, both times.
    wrong: Vec<String>,
    /// A service that someone stopped.
    stopped: Option<String>,
}

/// Asks every check and service, and once more what is wrong. A check that could not be asked is no witness.
fn witnesses(session: &Session, facts: &Facts) -> Witnessed {
    let (site, config, serving) = (&session.site, &facts.accepted.config, &facts.serving);
    let deployment = facts.deployment(site);
    let first = Observed::now(site, config, serving, &deployment);
    let stopped = |(name, state): &(String, Result<ServiceState, ServiceError>)| match state {
        Ok(state) if Observed::is_stopped(state) => Some(format!("{name} is {}", state.word)),
        _ => None,
    };
    let stopped = first.services.iter().find_map(stopped);
    let failed: Vec<_> = first
        .checks
        .iter()
        .filter(|check| check.failed())
        .filter_map(|failed: &CheckEvidence| {
            config.checks.iter().find(|check| check.name == failed.check)
        })
        // What a log says, it says of a time.
        .filter(|check| !matches!(check.kind, CheckKind::Log(_)))
        .collect();
    let down = down(&first.services);
    let mut wrong = Vec::new();
    if (failed.is_empty() && down.is_empty()) || !super::soak::wait(AGAIN) {
        return Witnessed { wrong, stopped };
    }
    let probes: Vec<SymptomProbe> = failed
        .iter()
        .map(|check| SymptomProbe {
            kind: check.kind.clone(),
            when: When::Fails,
            since: Duration::ZERO,
            samples: 1,
        })
        .collect();
    let about = expectation(site, config, serving, &deployment, None);
    let answers = check::symptoms(&probes.iter().collect::<Vec<_>>(), &about);
    for (check, answer) in failed.iter().zip(answers) {
        if let Symptom::Shows(answer) = answer {
            wrong.push(format!("{} {answer}", check.name));
        }
    }
    if !down.is_empty() {
        let again = self::down(&observe_services(site, config, serving, &deployment));
        wrong.extend(
            again
                .into_iter()
                .filter(|(name, _)| down.contains_key(name))
                .map(|(name, word)| format!("{name} {word}")),
        );
    }
    Witnessed { wrong, stopped }
}

/// The services that are down although nobody stopped them, and their managers' words.
fn down(services: &[(String, Result<ServiceState, ServiceError>)]) -> BTreeMap<String, String> {
    let known = services.iter().filter_map(|(name, state)| Some((name, state.as_ref().ok()?)));
    known
        .filter(|(_, state)| !state.up && !Observed::is_stopped(state))
        .map(|(name, state)| (name.clone(), state.word.clone()))
        .collect()
}

/// What would be done, or why it would not be quick and safe.
fn remedy(
    session: &Session,
    facts: &Facts,
    rule: &Rule,
    change: Option<&(Change, Event)>,
) -> Result<Result<Remedy, String>, Failure> {
    match (&rule.action, change) {
        (RuleAction::Flags(ids), _) => switch_off(session, facts, ids),
        // An earlier deploy is not to blame for what a person changed since.
        (RuleAction::Code, Some((change, event))) if *event != Event::Deploy => {
            Ok(Err(format!("the last change is no deploy: {} (#{})", change.what, change.seq)))
        }
        (RuleAction::Code, _) => go_back(session, facts),
        (RuleAction::Full | RuleAction::FixForward, _) => {
            Ok(Err(format!("a person decides about {}", rule.action)))
        }
    }
}

fn switch_off(
    session: &Session,
    facts: &Facts,
    ids: &[ComponentId],
) -> Result<Result<Remedy, String>, Failure> {
    let mut on = Vec::new();
    for component in &facts.accepted.config.components {
        if ids.contains(&component.id) && flags::is_on(session, facts, component)? {
            on.push(component.id.clone());
        }
    }
    Ok(match on.is_empty() {
        true => Err("the flags of its rule are off already".to_owned()),
        false => Ok(Remedy::Flags(on)),
    })
}

fn go_back(session: &Session, facts: &Facts) -> Result<Result<Remedy, String>, Failure> {
    let site = &session.site;
    let found = match candidates::gather(site, facts).resolve(&Request::LastGood)? {
        Ok(found) => found,
        Err(_) => {
            return Ok(Err(
                "there is no version to roll back to: gitroll targets shows why".to_owned()
            ));
        }
    };
    let Some(commit) = &found.chosen.commit else {
        return Ok(Err("the target does not name a commit".to_owned()));
    };
    let name = &found.chosen.name;
    if let Needed::Build(groups) = &found.chosen.build {
        return Ok(Err(format!("{name} must be built first ({})", groups.join(", "))));
    }
    if let Needed::Impossible(why) = &found.chosen.build {
        return Ok(Err(format!("{name}: {why}")));
    }
    let crossed = deployed::migrations(site, facts, &facts.serving.commit, commit)?;
    if !crossed.names.is_empty() && !crossed.seen && !crossed.old_code_ok {
        let count = plural(crossed.names.len(), "migration");
        return Ok(Err(format!("{count} between {name} and now: {}", crossed.names.join(", "))));
    }
    if let Some(doubted) = diagnosis::doubt_of_target(session, facts, &found)? {
        return Ok(Err(doubted.why));
    }
    let mut served = facts.names.served(&site.git, commit, None)?;
    served.name.clone_from(name);
    Ok(Ok(Remedy::Code(served)))
}
