//! Why runs are restored: for programs a [`Cause`], for people a text.

use super::entry::Entry;
use super::legacy;
use crate::model::{Cause, Evidence};

/// Why a run is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub cause: Cause,
    pub text: String,
}

impl Reason {
    /// The reason of a cause that says everything by itself.
    pub(super) fn of(cause: Cause) -> Self {
        let text = match cause {
            Cause::Aborted => "aborted by a person",
            Cause::Interrupted => "interrupted by a signal",
            Cause::AbortedByWatchdog => "aborted by the watchdog",
            Cause::Failed => "a step failed",
        };
        Self { cause, text: text.to_owned() }
    }

    /// A person wanted what was there before back.
    pub(super) fn is_person(&self) -> bool {
        self.cause.is_person()
    }
}

impl Cause {
    /// Whether it was a person who ended the act, and nothing is wrong with its target as far as anybody knows.
    pub(super) fn is_person(self) -> bool {
        matches!(self, Cause::Aborted | Cause::Interrupted)
    }
}

impl Entry {
    pub(super) fn restoring(reason: Reason) -> Self {
        Entry::Restoring { why: reason.text, cause: Some(reason.cause) }
    }

    /// Why this line begins a restoration, if it does.
    pub(super) fn reason(&self) -> Option<Reason> {
        let Entry::Restoring { why, cause } = self else { return None };
        let cause = cause.unwrap_or_else(|| legacy::cause_of_restoration(why));
        Some(Reason { cause, text: why.clone() })
    }

    /// The failure that this line tells, if it does.
    pub(super) fn failure(&self) -> Option<Reason> {
        let Entry::Failed { label, why, cause, .. } = self else { return None };
        let text = format!("{label}: {why}");
        let cause = cause.unwrap_or_else(|| legacy::cause_of_failure(&text));
        Some(Reason { cause, text })
    }
}

/// Whether a person ended the act that this is the evidence of, by `abort` or by a signal: nothing is wrong with
/// what it was to put in place, as far as anybody knows.
pub fn was_stopped(evidence: &Evidence) -> bool {
    let said = || evidence.run.as_ref().and(evidence.failure.as_deref());
    evidence.cause.or_else(|| said().map(legacy::cause_of_failure)).is_some_and(Cause::is_person)
}

/// Whether the watchdog finished the act that this is the evidence of.
pub fn by_watchdog(evidence: &Evidence) -> bool {
    evidence.watchdog.unwrap_or_else(|| legacy::by_watchdog(&evidence.warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that say word for word what older versions were told apart by, and more.
    const IMITATIONS: [&str; 7] = [
        "aborted by a person",
        "aborted by the watchdog",
        "interrupted by a signal",
        "interrupted by SIGINT",
        "prove: job: job was interrupted by SIGTERM",
        "reload web: interrupted by SIGTERM",
        "finished by the watchdog: nothing was changed",
    ];

    fn evidence(failure: &str, cause: Option<Cause>) -> Evidence {
        let mut evidence = Evidence::at(jiff::Timestamp::UNIX_EPOCH, "ana");
        evidence.run = "20261120-031204-k3f9".parse().ok();
        evidence.failure = Some(failure.to_owned());
        evidence.cause = cause;
        evidence
    }

    #[test]
    fn no_text_is_taken_for_a_cause() {
        for text in IMITATIONS {
            assert!(!was_stopped(&evidence(text, Some(Cause::Failed))), "{text}");
            assert!(!was_stopped(&evidence(text, Some(Cause::AbortedByWatchdog))), "{text}");
            assert!(was_stopped(&evidence(text, Some(Cause::Aborted))), "{text}");
            assert!(was_stopped(&evidence(text, Some(Cause::Interrupted))), "{text}");
            let mut finished = evidence(text, Some(Cause::Failed));
            finished.warnings.push(text.to_owned());
            finished.watchdog = Some(false);
            assert!(!by_watchdog(&finished), "{text}");
            let restoring =
                Entry::restoring(Reason { cause: Cause::Failed, text: text.to_owned() });
            assert_eq!(
                restoring.reason().map(|reason| reason.cause),
                Some(Cause::Failed),
                "{text}"
            );
            let failed = Entry::Failed {
                label: "prove".to_owned(),
                millis: 1,
                why: text.to_owned(),
                cause: Some(Cause::Failed),
                lines: Vec::new(),
            };
            assert_eq!(
                failed.failure().map(|failure| failure.cause),
                Some(Cause::Failed),
                "{text}"
            );
        }
    }

    #[test]
    fn what_was_no_run_was_not_stopped() {
        let mut found = evidence("health: interrupted by SIGTERM", None);
        found.run = None;
        assert!(!was_stopped(&found));
    }

    #[test]
    fn a_cause_of_a_later_version_is_a_failure() {
        let cause: Result<Cause, _> = serde_json::from_str("\"struck-by-lightning\"");
        assert_eq!(cause.ok(), Some(Cause::Failed));
        let known = serde_json::to_string(&Cause::AbortedByWatchdog).ok();
        assert_eq!(known.as_deref(), Some("\"aborted-by-watchdog\""));
    }
}
