//! Records that change nothing that serves.

use super::failure::Failure;
use super::outcome::Status;
use super::session::Session;
use crate::engine;
use crate::ledger::{self, Draft, Entry};
use crate::model::{Event, Evidence, Record};
use crate::plan::facts::Facts;
use crate::system::clock;

/// An empty record of this site: its position, digests and chain are filled in by the append.
pub fn statement(session: &Session, event: Event) -> Record {
    Record { clock: clock::since_boot(), ..Record::new(&session.site.line(), event) }
}

/// Appends a record that changes nothing that serves, with the accepted configuration.
///
/// # Errors
/// As the append.
pub fn state(session: &Session, facts: &Facts, record: Record) -> Result<Entry, Failure> {
    state_with(session, facts, record, |_| {})
}

/// As [`state`], with evidence of its own.
///
/// # Errors
/// As the append.
pub fn state_with(
    session: &Session,
    facts: &Facts,
    record: Record,
    more: impl FnOnce(&mut Evidence),
) -> Result<Entry, Failure> {
    let site = &session.site;
    let mut evidence = Evidence::at(facts.now, &site.actor);
    more(&mut evidence);
    evidence.name = match (&record.target, &record.subject) {
        (Some(target), _) => Some(target.short().to_owned()),
        (None, Some(commit)) => Some(facts.names.served(&site.git, commit, None)?.name),
        (None, None) => None,
    };
    let config = facts.accepted.text.clone();
    let draft = Draft { record, evidence, config, person: site.person() };
    let entry = engine::append(site, &draft)?;
    session.tell_unprojected();
    Ok(entry)
}

/// Refuses who may not do this, before anything is done.
///
/// # Errors
/// That the key of this host lacks the role, or cannot sign.
pub fn must_have_role(session: &Session, event: &Event) -> Result<(), Failure> {
    Ok(ledger::probe_signing(&session.site.git, &session.site.binding, Some(event))?)
}

/// Adds a reason to a record.
///
/// # Errors
/// When it cannot be written.
pub fn annotate(
    session: &Session,
    facts: &Facts,
    entry: &Entry,
    reason: &str,
) -> Result<Entry, Failure> {
    let mut record = statement(session, Event::Annotate);
    record.subject = entry.record.to.clone().or(entry.record.subject.clone());
    record.annotates = Some(entry.digest);
    record.reason = Some(reason.to_owned());
    record.sentence = format!(
        "{} {}: a reason for #{}",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        entry.record.seq,
    );
    state(session, facts, record)
}

/// Refuses a reason that could not be recorded, before anything is done.
///
/// # Errors
/// That it says nothing, or cannot stand in a record.
pub fn check_reason(reason: Option<&str>) -> Result<(), Failure> {
    match reason {
        Some("…" | "..." | "WHY") => Err(Failure::new(
            Status::Usage,
            "write the reason in your own words: it is signed and cannot be changed later",
        )),
        Some(reason) => Ok(crate::ledger::check_reason(reason)?),
        None => Ok(()),
    }
}
