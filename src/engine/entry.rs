//! What a journal's lines can say.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::legacy;
use crate::check::{LogPositions, Shown};
use crate::model::{
    ApprovalEvidence, BroughtBack, Cause, CheckEvidence, FlagEvidence, HookMoment, Oid, Outcome,
    PointId, RunId, ServiceEvidence, TargetRef, Witnessed, WitnessedProcess,
};
use crate::system::procs::{ProcessId, Ticks};

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Entry {
    /// The run began; what was observed before anything changed.
    Begun(Begun),
    /// A step is about to be done.
    Intent {
        /// Index into the plan's steps.
        step: usize,
        /// With the first step that touches what serves: where the logs ended that checks read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        logs: Option<LogPositions>,
    },
    /// A step was done.
    Done {
        /// Index into the plan's steps.
        step: usize,
        label: String,
        /// Its time.
        millis: u64,
        /// Telling lines of its output, secrets removed.
        output: Vec<String>,
        /// What a person was told of it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        /// For a reload: no serving process may be older.
        ticks: Option<Ticks>,
        /// For a reload: where the logs ended that show flags, when what ran before it had ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        logs: Option<LogPositions>,
        /// For the swap of an item: what went back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        brought_back: Option<Box<BroughtBack>>,
        /// For the copy of now: the point.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        point: Option<PointId>,
    },
    /// A step failed.
    Failed {
        label: String,
        /// Its time.
        millis: u64,
        /// What happened.
        why: String,
        /// The kind of `why`. Journals written before this field do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
        /// Lines that say more, each with its source.
        lines: Vec<(String, String)>,
    },
    /// The commit point: the intended version was observed serving.
    Proven {
        checks: Vec<CheckEvidence>,
        services: Vec<ServiceEvidence>,
        /// How long the proof took.
        millis: u64,
        /// The flags that were switched.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        flags: Vec<FlagEvidence>,
        /// Why nothing could have told whether the app answers, if so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weak: Option<String>,
        /// What served then. Journals written before this field do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        witnessed: Option<Witnessed>,
    },
    /// From here what served before is restored.
    Restoring {
        why: String,
        /// The kind of `why`. Journals written before this field do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    /// Tree, artifacts, index and HEAD are as before.
    TreeRestored {
        /// How long that took. Journals written at first do not say.
        #[serde(default)]
        millis: u64,
        /// Where the logs ended that checks read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        logs: Option<LogPositions>,
        /// What was not restored, and why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// What served before was observed serving.
    Restored {
        checks: Vec<CheckEvidence>,
        services: Vec<ServiceEvidence>,
        /// How long reload and proof took.
        millis: u64,
        /// The services that were reloaded, each with its time. Journals written at first do not say.
        #[serde(default)]
        reloads: Vec<(String, u64)>,
        /// Why nothing could have told whether the app answers, where that is so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weak: Option<String>,
        /// What served then. Journals written before this field do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        witnessed: Option<Witnessed>,
    },
    /// A person is needed.
    Stuck {
        /// Which tree is in place.
        side: Side,
        why: String,
    },
    /// A later process continues with this run.
    Resumed {
        /// The step it continues with.
        at: usize,
        /// Who.
        process: Option<ProcessId>,
        /// It was the watchdog, not a person.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        watchdog: bool,
        /// Who went on. Journals written before this field do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
    },
    /// A command of the team's own that comes at the end of the run is about to be run.
    HookBegun {
        moment: HookMoment,
        /// Its place among the commands of that moment, from 1.
        number: usize,
        result: RunResult,
    },
    /// It ended, or was interrupted and is not run again.
    HookEnded {
        moment: HookMoment,
        /// Its place among the commands of that moment, from 1.
        number: usize,
        result: RunResult,
        label: String,
        /// Its time.
        millis: u64,
        /// The command and the telling lines of its output, secrets removed.
        output: Vec<String>,
        /// That it failed and why, where it did.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// The act is in the chain.
    Recorded {
        /// Position.
        seq: u64,
        digest: String,
    },
    /// The act could not be signed and waits for the next command.
    Queued { why: String },
    /// The run is over. `None`: the live tree was not changed.
    Closed {
        /// How it ended.
        outcome: Option<Outcome>,
    },
}

impl Entry {
    #[cfg(test)]
    pub(crate) fn intent(step: usize) -> Self {
        Entry::Intent { step, logs: None }
    }

    /// The entry's kind, as in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Entry::Begun(_) => "begun",
            Entry::Intent { .. } => "intent",
            Entry::Done { .. } => "done",
            Entry::Failed { .. } => "failed",
            Entry::Proven { .. } => "proven",
            Entry::Restoring { .. } => "restoring",
            Entry::TreeRestored { .. } => "tree-restored",
            Entry::Restored { .. } => "restored",
            Entry::Stuck { .. } => "stuck",
            Entry::Resumed { .. } => "resumed",
            Entry::HookBegun { .. } => "hook-begun",
            Entry::HookEnded { .. } => "hook-ended",
            Entry::Recorded { .. } => "recorded",
            Entry::Queued { .. } => "queued",
            Entry::Closed { .. } => "closed",
        }
    }

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

/// How a run ended, as its hooks are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunResult {
    /// The target was observed serving.
    Proven,
    /// What served before was put back and observed serving.
    Restored,
    /// It failed before anything that serves was touched.
    Untouched,
    /// A person is needed; the run is open.
    Stuck,
    /// It is over, and nothing healthy serves.
    Failed,
}

impl RunResult {
    /// As in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            RunResult::Proven => "proven",
            RunResult::Restored => "restored",
            RunResult::Untouched => "untouched",
            RunResult::Stuck => "stuck",
            RunResult::Failed => "failed",
        }
    }

    /// Whether a record of it follows.
    pub fn is_recorded(self) -> bool {
        !matches!(self, RunResult::Untouched | RunResult::Stuck)
    }
}

/// Which state a stuck run is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The target's tree is in place.
    Target,
    /// The tree of before is in place.
    Before,
}

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

/// How a run is begun, besides its plan.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What to do if a step after activation fails.
    pub on_failure: OnFailure,
    /// The checks before anything changes.
    pub baseline: Vec<CheckEvidence>,
    /// The runs that failed before it in the same act, the first one first.
    pub follows: Vec<RunId>,
    /// What is tried next if it fails.
    pub further: Vec<Further>,
    /// What is known of both states.
    pub shown: Shown,
    /// The watchdog begins it, going on with what someone else began.
    pub by_watchdog: bool,
    /// What is wrong with what serves.
    pub faults: Vec<String>,
    /// The processes that were proven before.
    pub vouched: Vec<WitnessedProcess>,
    /// Nothing ever served here: there is nothing to prove on the way back.
    pub nothing_served: bool,
    /// What the person waited before it began, without thinking.
    pub waited: Duration,
    /// Who approved it, where somebody had to.
    pub approvals: Option<ApprovalEvidence>,
}

/// How a run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Version of the journal's format: 1.
    pub journal: u32,
    /// The plan's digest.
    pub plan: String,
    /// Who acts.
    pub actor: String,
    /// The process that runs it.
    pub process: Option<ProcessId>,
    /// What to do if a step after activation fails.
    pub on_failure: OnFailure,
    /// The checks before anything changed.
    pub baseline: Vec<CheckEvidence>,
    /// The runs that failed before it in the same act and are open beneath it, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follows: Vec<RunId>,
    /// What is tried next if it fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Further>,
    /// What was known of both states. Journals written before this field know nothing.
    #[serde(default, skip_serializing_if = "Shown::is_empty")]
    pub shown: Shown,
    /// What was wrong with what served before anything changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// The processes that were proven before: those that are not reloaded still are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouched: Vec<WitnessedProcess>,
    /// Nothing ever served here, and nothing was up: the way back stops what the run started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nothing_served: bool,
    /// What the person waited before it began, in milliseconds. Journals written before this field do not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited_millis: u64,
    /// Who approved it, where somebody had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<ApprovalEvidence>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Begun {
    /// The version of the format this program writes.
    pub const VERSION: u32 = 1;

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            journal: Self::VERSION,
            plan: String::new(),
            actor: "ana".into(),
            process: None,
            on_failure: OnFailure::Restore,
            baseline: Vec::new(),
            follows: Vec::new(),
            further: Vec::new(),
            shown: Shown::default(),
            faults: Vec::new(),
            vouched: Vec::new(),
            nothing_served: false,
            waited_millis: 0,
            approvals: None,
        }
    }
}

/// A candidate that is tried if the one before it fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Further {
    /// The name people know it by.
    pub name: String,
    pub commit: Oid,
    /// The tag that names it.
    pub target: Option<TargetRef>,
    /// Serving it is what was asked for, too.
    pub asked: bool,
}

/// What to do if a step after activation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Restored what served before: it was healthy.
    Restore,
    /// What served before was failing too, and another candidate is to be tried, by a run that follows.
    Abandon,
    /// What served before was failing too, and there is no other candidate.
    Stay,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_line_is_taken_for_a_cause() {
        for text in legacy::PHRASES {
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
    fn a_line_without_a_cause_is_read_by_its_words() {
        let cause = |line: &str| {
            let entry: Entry = serde_json::from_str(line).ok()?;
            entry.reason().or_else(|| entry.failure()).map(|reason| reason.cause)
        };
        let restoring = r#"{"what":"restoring","why":"aborted by a person"}"#;
        assert_eq!(cause(restoring), Some(Cause::Aborted));
        let failed = r#"{"what":"failed","label":"prove","millis":3,"why":"interrupted by SIGINT","lines":[]}"#;
        assert_eq!(cause(failed), Some(Cause::Interrupted));
    }

    #[test]
    fn a_line_with_a_field_of_a_later_version_is_read() {
        let later = r#"{"what":"restoring","why":"it rained","cause":"rain","drops":7}"#;
        let entry: Option<Entry> = serde_json::from_str(later).ok();
        let reason = entry.and_then(|entry| entry.reason());
        assert_eq!(reason, Some(Reason { cause: Cause::Failed, text: "it rained".to_owned() }));
    }
}
