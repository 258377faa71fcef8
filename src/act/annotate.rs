//! Adding a reason to a record afterwards.

use super::caller::Caller;
use super::failure::Failure;
use super::outcome::Status;
use super::session::Session;
use super::statement::{annotate, check_reason};
use crate::ledger::Entry;
use crate::model::Seq;

#[derive(Debug, Clone)]
pub struct AnnotateRequest {
    /// The number of a record; the newest that changed what serves where left out.
    pub record: Option<String>,
    pub reason: String,
}

/// # Errors
/// When there is no such record, or it cannot be written.
pub fn annotate_record(caller: &Caller, request: &AnnotateRequest) -> Result<Entry, Failure> {
    check_reason(Some(&request.reason))?;
    let seq = request
        .record
        .as_deref()
        .map(|text| text.strip_prefix(['#', '@']).unwrap_or(text).parse::<Seq>())
        .transpose()
        .map_err(|e| Failure::new(Status::Usage, e.to_string()))?;
    let session = Session::change(caller, "annotate")?;
    let facts = session.facts()?;
    let own = facts.own(&session.site);
    let found = match seq {
        Some(seq) => own.iter().find(|entry| entry.record.seq == seq),
        None => own.iter().rev().find(|entry| entry.record.event.serves()),
    };
    let entry = found.ok_or_else(|| {
        Failure::unchanged("there is no such record").next("gitroll log", "shows the records")
    })?;
    annotate(&session, &facts, entry, &request.reason)
}
