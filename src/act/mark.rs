//! Judging a commit good or bad.

use super::caller::Caller;
use super::failure::Failure;
use super::session::Session;
use super::statement::{check_reason, must_have_role, state, statement};
use super::target::resolve_commit;
use crate::engine;
use crate::ledger::Entry;
use crate::model::{Digest, Event, Hold, Judgement, Verdict};

/// What is judged, how, and why.
#[derive(Debug, Clone)]
pub struct MarkRequest {
    pub judgement: Judgement,
    /// Tag, commit or record number.
    pub revision: String,
    pub reason: String,
}

/// Records the verdict. A bad one holds the commit; a good one lifts what is against it.
///
/// # Errors
/// When the name names nothing, or the record cannot be written.
pub fn mark(caller: &Caller, request: &MarkRequest) -> Result<Entry, Failure> {
    check_reason(Some(&request.reason))?;
    let session = Session::change(caller, "mark")?;
    let facts = session.facts()?;
    must_have_role(&session, &Event::Mark)?;
    let commit = resolve_commit(&session, &facts, &request.revision)?;
    let name = facts.names.served(&session.site.git, &commit, None)?.name;
    let judgement = request.judgement;
    let mut record = statement(&session, Event::Mark);
    record.subject = Some(commit.clone());
    record.verdict = Some(Verdict { judgement, provisional: false });
    record.reason = Some(request.reason.clone());
    let mut against: Vec<Digest> =
        facts.history.verdicts(&commit).iter().map(|judged| judged.digest).collect();
    against.extend(
        facts.history.holds().iter().filter(|held| held.subject == commit).map(|held| held.digest),
    );
    against.sort_unstable();
    against.dedup();
    let word = match judgement {
        Judgement::Good => {
            record.lifts = against;
            "good"
        }
        Judgement::Bad => {
            record.hold = Some(Hold::Commit);
            "bad"
        }
    };
    record.sentence = format!(
        "{} {}: marked {name} {word}",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
    );
    state(&session, &facts, record)
}
