//! What journals and records say in words only that were written before they named a cause. Nothing that names one
//! is read by this.

use crate::model::Cause;

/// By the `why` of a journal's line `restoring`.
pub(super) fn cause_of_restoration(why: &str) -> Cause {
    match why {
        "aborted by a person" => Cause::Aborted,
        "interrupted by a signal" => Cause::Interrupted,
        "aborted by the watchdog" => Cause::AbortedByWatchdog,
        _ => Cause::Failed,
    }
}

/// By the `failure` of a record's evidence, or a journal's line `failed` as `LABEL: WHY`.
pub(super) fn cause_of_failure(failure: &str) -> Cause {
    match cause_of_restoration(failure) {
        Cause::Failed if failure.ends_with("interrupted by SIGINT") => Cause::Interrupted,
        Cause::Failed if failure.ends_with("interrupted by SIGTERM") => Cause::Interrupted,
        cause => cause,
    }
}

/// By the warnings of a record's evidence.
pub(super) fn by_watchdog(warnings: &[String]) -> bool {
    warnings.iter().any(|warning| warning.starts_with("finished by the watchdog"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::entry::Entry;
    use crate::model::Evidence;

    #[test]
    fn what_was_written_in_words_is_read_as_before() {
        for (failure, wanted) in [
            ("aborted by a person", Cause::Aborted),
            ("prove: interrupted by SIGINT", Cause::Interrupted),
            ("reload web: interrupted by SIGTERM", Cause::Interrupted),
            ("aborted by the watchdog", Cause::AbortedByWatchdog),
            ("prove: health answers 500", Cause::Failed),
            ("prove: interrupted by SIGTERM, then 500", Cause::Failed),
        ] {
            assert_eq!(cause_of_failure(failure), wanted, "{failure}");
        }
        for (why, wanted) in [
            ("aborted by a person", Cause::Aborted),
            ("interrupted by a signal", Cause::Interrupted),
            ("aborted by the watchdog", Cause::AbortedByWatchdog),
            ("prove: interrupted by SIGTERM", Cause::Failed),
        ] {
            assert_eq!(cause_of_restoration(why), wanted, "{why}");
        }
        assert!(by_watchdog(&["finished by the watchdog: the process …".to_owned()]));
        assert!(!by_watchdog(&["edited here: finished by the watchdog".to_owned()]));
    }

    #[test]
    fn lines_and_evidence_without_a_cause_are_read_by_their_words() {
        let line = r#"{"what":"restoring","why":"aborted by a person"}"#;
        let entry: Option<Entry> = serde_json::from_str(line).ok();
        assert_eq!(
            entry.and_then(|entry| entry.reason()).map(|reason| reason.cause),
            Some(Cause::Aborted)
        );
        let line = r#"{"what":"failed","label":"prove","millis":3,"why":"interrupted by SIGINT","lines":[]}"#;
        let entry: Option<Entry> = serde_json::from_str(line).ok();
        assert_eq!(
            entry.and_then(|entry| entry.failure()).map(|failure| failure.cause),
            Some(Cause::Interrupted)
        );
        let text = r#"{"evidence":1,"run":"20261120-031204-k3f9","started":"2026-11-20T03:12:04Z",
            "finished":"2026-11-20T03:12:09Z","failure":"prove: interrupted by SIGTERM",
            "warnings":["finished by the watchdog: the process ana began it with was killed"]}"#;
        let evidence: Option<Evidence> = serde_json::from_str(text).ok();
        assert!(evidence.as_ref().is_some_and(crate::engine::was_stopped));
        assert!(evidence.as_ref().is_some_and(crate::engine::by_watchdog));
    }
}
