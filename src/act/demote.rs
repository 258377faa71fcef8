//! Withdrawing a promotion.

use super::caller::Caller;
use super::failure::Failure;
use super::session::Session;
use super::statement::{check_reason, must_have_role, state, statement};
use super::target::resolve_commit;
use crate::engine;
use crate::ledger::{Entry, Promotion};
use crate::model::Event;
use crate::plan::facts::Facts;
use crate::system::git::Pushed;

#[derive(Debug, Clone, Default)]
pub struct DemoteRequest {
    /// Stable tag, commit, or the number of the record that promoted it; what serves where left out.
    pub what: Option<String>,
    pub reason: Option<String>,
}

#[derive(Debug)]
pub struct Demoted {
    pub entry: Entry,
    /// The short names of the tags.
    pub tags: Vec<String>,
    /// `None` without a remote.
    pub published: Option<Pushed>,
}

/// Records that a promotion no longer counts. The tag stays: other checkouts have it too, and what it names is on
/// record.
///
/// # Errors
/// When nothing of that name is promoted, or the record cannot be written.
pub fn demote(caller: &Caller, request: &DemoteRequest) -> Result<Demoted, Failure> {
    check_reason(request.reason.as_deref())?;
    let session = Session::change(caller, "demote")?;
    let facts = session.facts()?;
    must_have_role(&session, &Event::Lift)?;
    let promotions = promotions(&session, &facts, request.what.as_deref())?;
    let mut tags: Vec<String> = promotions.iter().map(|p| p.tag.short().to_owned()).collect();
    tags.dedup();
    let mut record = statement(&session, Event::Lift);
    record.subject = promotions.first().map(|promotion| promotion.commit.clone());
    record.target = promotions.first().map(|promotion| promotion.tag.clone());
    record.lifts = promotions.iter().map(|promotion| promotion.digest).collect();
    record.reason.clone_from(&request.reason);
    record.sentence = format!(
        "{} {}: withdrew the promotion of {}",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        tags.join(", "),
    );
    let entry = state(&session, &facts, record)?;
    let published =
        engine::publish(&session.site, &facts.accepted.config.remote.name, &[], engine::LONG_WAIT);
    Ok(Demoted { entry, tags, published })
}

fn promotions(
    session: &Session,
    facts: &Facts,
    what: Option<&str>,
) -> Result<Vec<Promotion>, Failure> {
    let all: Vec<&Promotion> = facts.history.promotions().collect();
    let found = |fits: &dyn Fn(&Promotion) -> bool| -> Vec<Promotion> {
        all.iter().filter(|promotion| fits(promotion)).map(|&promotion| promotion.clone()).collect()
    };
    let named = match what {
        None => found(&|promotion| promotion.commit == facts.head.commit),
        Some(what) => {
            let short = what.strip_prefix("refs/tags/").unwrap_or(what);
            let seq = what.trim_start_matches(['#', '@']).parse().ok();
            let mut named = found(&|promotion| promotion.tag.short() == short);
            if named.is_empty() {
                named = found(&|promotion| Some(promotion.seq) == seq);
            }
            if named.is_empty() {
                let commit = resolve_commit(session, facts, what)?;
                named = found(&|promotion| promotion.commit == commit);
            }
            named
        }
    };
    if !named.is_empty() {
        return Ok(named);
    }
    let what = what.map_or_else(|| facts.serving.to_string(), str::to_owned);
    let mut failure = Failure::unchanged(format!("{what} is not promoted"));
    for promotion in &all {
        failure =
            failure.detail(format!("promoted  {} by #{}", promotion.tag.short(), promotion.seq));
    }
    Err(failure.next("gitroll targets", "shows the stable tags"))
}
