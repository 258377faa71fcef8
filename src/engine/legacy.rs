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

/// Texts that say word for word what lines and records were once told apart by, and more.
#[cfg(test)]
pub(super) const PHRASES: [&str; 7] = [
    "aborted by a person",
    "aborted by the watchdog",
    "interrupted by a signal",
    "interrupted by SIGINT",
    "prove: job: job was interrupted by SIGTERM",
    "reload web: interrupted by SIGTERM",
    "finished by the watchdog: nothing was changed",
];

#[cfg(test)]
mod tests {
    use super::*;

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
}
