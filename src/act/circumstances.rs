//! Gathers what [`may_act`](crate::watch::may_act) decides by, and what would be done.

use std::time::Duration;

use super::diagnosis;
use super::failure::Failure;
use super::flags;
use super::session::Session;
use crate::config::{Rule, RuleAction, WatchSettings};
use crate::engine::{self, Lock};
use crate::ledger::{self, Entry};
use crate::model::{BootClock, ComponentId, Event, Moment, Outcome, Served};
use crate::plan::candidates;
use crate::plan::deployed;
use crate::plan::facts::Facts;
use crate::site::{Observed, changed_since};
use crate::system::procs::Ticks;
use crate::system::text::{clock_word, plural};
use crate::target::{Needed, Request};
use crate::watch::{Act, Change, Circumstances, Notes};

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

/// What is known about one rule that fires.
pub struct Known {
    pub remedy: Result<Remedy, String>,
    pub change: Option<Change>,
    pub began: Option<Moment>,
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
        began: Option<&Moment>,
    ) -> Result<Self, Failure> {
        let site = &session.site;
        let open = engine::open_runs(site)?;
        let open_run = open.last().map(|run| format!("{} to {}", run.plan.event, run.plan.to));
        let remedy = match open_run.is_some() {
            true => Err("a run is open".to_owned()),
            false => remedy(session, facts, rule)?,
        };
        Ok(Self {
            remedy,
            change: last_change(session, facts)?,
            by_hand: facts.by_hand(),
            open_run,
            person: began.and_then(|began| person(session, facts, began)),
            outside: match rule.action {
                RuleAction::Code => outside(session, facts)?,
                _ => Vec::new(),
            },
            witnesses: witnesses(session, facts),
            began: began.cloned(),
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
            silence: silent(&notes, &now),
            busy: busy(session),
            now,
            open_run: self.open_run.clone(),
            stopped: notes.notebook().stopped,
            by_hand: self.by_hand,
            person: self.person.clone(),
            change: self.change.clone(),
            began: self.began.clone(),
            outside: self.outside.clone(),
            witnesses: self.witnesses.clone(),
            obstacle: self.remedy.as_ref().err().cloned(),
            acts,
        }
    }
}

/// Until when it is silent and why, in words.
pub fn silent(notes: &Notes, now: &Moment) -> Option<String> {
    let silence = notes.silence(now)?;
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

/// The last record of something that was put in place, switched or configured.
fn last_change(session: &Session, facts: &Facts) -> Result<Option<Change>, Failure> {
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
        Event::Migrate => "migrations taken back".to_owned(),
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
    Ok(Some(Change { seq: record.seq, digest: entry.digest, what, began }))
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

/// What else is wrong, asked twice.
fn witnesses(session: &Session, facts: &Facts) -> Vec<String> {
    let site = &session.site;
    let deployment = facts.deployment(site);
    let look = || Observed::now(site, &facts.accepted.config, &facts.serving, &deployment).faults();
    let first = look();
    if first.is_empty() || !super::soak::wait(AGAIN) {
        return Vec::new();
    }
    look()
}

/// What would be done, or why it would not be quick and safe.
fn remedy(
    session: &Session,
    facts: &Facts,
    rule: &Rule,
) -> Result<Result<Remedy, String>, Failure> {
    match &rule.action {
        RuleAction::Flags(ids) => switch_off(session, facts, ids),
        RuleAction::Code => go_back(session, facts),
        RuleAction::Full | RuleAction::FixForward => {
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
