//! Why there is no target to go back to.

use std::collections::BTreeMap;

use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::model::Event;
use crate::plan::facts::Facts;
use crate::target::{Candidate, Reason, RequestError, Standing};

/// Why there is no target, for a person who typed `gitroll COMMAND`.
pub fn refusal(session: &Session, facts: &Facts, error: RequestError, command: &str) -> Failure {
    lost_tags(session, facts).into_iter().fold(explained(error, command), Failure::detail)
}

/// Stable tags that a record pins and that are no longer what it pinned: deleted or moved by somebody.
pub fn lost_tags(session: &Session, facts: &Facts) -> Vec<String> {
    let mut pinned = BTreeMap::new();
    for entry in facts.ledger.chains.values().flat_map(|chain| &chain.entries) {
        if let (Event::Promote, Some(tag)) = (&entry.record.event, &entry.record.target) {
            pinned.insert(tag.name.clone(), (tag, entry.record.seq));
        }
    }
    let lost = pinned.into_values().filter_map(|(tag, seq)| {
        let what = match session.site.git.find_ref(&tag.name) {
            Ok(Some(id)) if id == tag.id => return None,
            Ok(Some(_)) => "points elsewhere now",
            Ok(None) => "is gone",
            Err(_) => "cannot be read",
        };
        let restore = format!("git update-ref {} {}", tag.name, tag.id);
        Some(format!("{}, promoted by record #{seq}, {what}: {restore}", tag.short()))
    });
    lost.collect()
}

fn explained(error: RequestError, command: &str) -> Failure {
    let shown = |mut failure: Failure, skipped: &[Candidate]| {
        for candidate in skipped.iter().take(10) {
            if let Standing::Skipped(reason) = &candidate.standing {
                failure = failure.detail(format!("skipped  {}  {reason}", candidate.name));
            }
        }
        failure
    };
    match &error {
        RequestError::Nothing { skipped } => {
            let failure = shown(Failure::unchanged(error.to_string()), skipped)
                .detail("a state counts once it was observed serving here, and was promoted or served long enough")
                .next("gitroll targets", "shows every state and why not");
            match skipped.iter().find(|c| c.served.is_some_and(|s| s.proven)) {
                Some(near) => failure.next(
                    format!("gitroll {command} --to {}", short(near)),
                    "takes it all the same",
                ),
                None => failure,
            }
        }
        RequestError::NoStable { skipped } => shown(Failure::unchanged(error.to_string()), skipped)
            .next("gitroll promote", "makes a stable tag of what serves")
            .next("gitroll back", "goes to the last good deployment instead"),
        RequestError::NoSuchRecord(_) => {
            Failure::unchanged(error.to_string()).next("gitroll log", "shows the records")
        }
        RequestError::Refused { candidate, reason } => {
            let failure = Failure::refused(error.to_string());
            match reason {
                Reason::Bad { by } | Reason::Held { by, .. } | Reason::HeldComponent { by, .. } => {
                    let record = by.trim_start_matches('#');
                    failure.next(format!("gitroll unhold {record}"), "if that was wrong")
                }
                _ => match &candidate.commit {
                    Some(commit) => failure.next(
                        format!("gitroll {command} --to {}", commit.short()),
                        "takes the commit itself, whatever the tag says later",
                    ),
                    None => failure.next("gitroll targets", "shows what there is"),
                },
            }
        }
    }
}

fn short(candidate: &Candidate) -> String {
    match (&candidate.seq, &candidate.commit) {
        (Some(seq), _) => seq.to_string(),
        (None, Some(commit)) => commit.short().to_owned(),
        (None, None) => candidate.name.clone(),
    }
}
