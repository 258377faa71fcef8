//! How a change ended, and what is told of it on the way: data.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::next_steps::NextStep;
use crate::check::Proof;
use crate::diagnosis::Diagnosis;
use crate::model::{
    AppName, BroughtBack, CheckEvidence, Digest, EnvironmentName, MigrationEvidence, Plan, PointId,
    RepoPath, RunId, Seq, Served, ServiceEvidence,
};

/// How an act left things: what a caller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done; the intended version was observed serving.
    Done,
    /// Nothing changed: a configuration, repository or environment error.
    Unchanged,
    /// Nothing changed: it was not requested correctly, or a question was not answered.
    Usage,
    /// Refused by policy; nothing changed.
    Refused,
    /// An approval is missing; nothing changed.
    ApprovalMissing,
    /// Another command is at work; nothing changed.
    Busy,
    /// It failed; the previous state was restored and observed serving.
    Restored,
    /// A person is needed; the run stays open.
    PersonNeeded,
    /// A run is open, to be resumed or aborted.
    RunOpen,
    /// Serving and proven, but not recorded or not published as required.
    Unrecorded,
}

impl Status {
    /// Whether nothing was changed.
    pub fn unchanged(self) -> bool {
        match self {
            Status::Unchanged
            | Status::Usage
            | Status::Refused
            | Status::ApprovalMissing
            | Status::Busy => true,
            Status::Done
            | Status::Restored
            | Status::PersonNeeded
            | Status::RunOpen
            | Status::Unrecorded => false,
        }
    }
}

/// How an act that changes what serves ended, where it did not fail.
#[derive(Debug, Clone)]
pub struct ChangeOutcome {
    /// The command that it belongs to, e.g. `back`.
    pub command: String,
    pub status: Status,
    pub ending: Ending,
    pub answer: ChangeAnswer,
}

/// The particulars of an end.
#[derive(Debug, Clone)]
pub enum Ending {
    /// Only the plan was asked for.
    Planned(Box<Plan>),
    /// There was nothing to run, for this is as it was asked for already.
    NothingToDo {
        /// What was found, a sentence each.
        found: Vec<String>,
        /// What that means.
        note: Option<String>,
        /// What would make a difference.
        other: Option<NextStep>,
    },
    /// The plan's target was observed serving; with [`Status::Restored`] it is not the one that was asked for.
    Serving(Box<Plan>),
    /// What served before was restored and observed serving.
    Restored {
        plan: Box<Plan>,
        /// What failed.
        why: String,
        /// What is wrong with what serves again, where it is not well.
        found: Option<Box<Diagnosis>>,
        took: Duration,
        /// The step that took longest.
        slowest: Option<(String, Duration)>,
        /// That is on record and, where required, published.
        recorded: bool,
        /// Nothing served before, and nothing does again.
        nothing_served: bool,
        /// Why nothing could have told whether it answers, where that is so.
        weak: Option<String>,
    },
    /// What served before was restored, which is what was asked for.
    Aborted { plan: Box<Plan>, nothing_served: bool, weak: Option<String> },
    /// The run needs a person.
    PersonNeeded {
        /// How what serves stands.
        what: String,
        /// What a person has to know, each with its name.
        facts: Vec<(&'static str, String)>,
        next: Vec<NextStep>,
    },
    /// A person wanted the run left open.
    LeftOpen { run: RunId, next: Vec<NextStep> },
    /// What was put in place was watched: that was told as it happened.
    Watched,
}

impl ChangeOutcome {
    /// There was nothing to run.
    pub fn nothing_to_do(
        command: &str,
        word: &str,
        (from, to): (&Served, &Served),
        found: Vec<String>,
    ) -> Self {
        Self {
            command: command.to_owned(),
            status: Status::Done,
            ending: Ending::NothingToDo { found, note: None, other: None },
            answer: ChangeAnswer::of(word, from, to),
        }
    }
}

/// A plan that was seen serving, told before it is recorded.
#[derive(Debug)]
pub struct Proven<'a> {
    pub plan: &'a Plan,
    pub proof: &'a Proof,
    /// Processes of the tree that no service restarts, in words.
    pub strays: &'a [String],
    pub took: Duration,
    /// The step that took longest.
    pub slowest: Option<(String, Duration)>,
}

/// Where an act takes place.
#[derive(Debug, Clone)]
pub struct Place {
    pub app: AppName,
    pub environment: EnvironmentName,
    pub host: String,
}

/// What is going to be done.
#[derive(Debug)]
pub struct Preview {
    pub place: Place,
    pub from: Served,
    /// What is wrong with what serves now.
    pub faults: Vec<String>,
    /// What shall serve, how it is known and how far away it is.
    pub to: String,
    /// The parts of the plan, each with its name.
    pub parts: Vec<(String, String)>,
    /// Should it fail, then the next candidate is tried and not what serves now.
    pub tries_further: bool,
}

/// The result of `deploy --soak`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WatchedAnswer {
    /// `held`, `stopped` by a person, `superseded` by a newer deploy that contains it, `replaced` by something
    /// else, or `failed`.
    pub outcome: String,
    /// For how long it was to be watched, in seconds.
    pub seconds: u64,
    /// What failed, or what was deployed.
    pub why: Option<String>,
}

/// The answer of `deploy`, `back`, `component ID`, `resume` and `abort`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ChangeAnswer {
    /// `planned`, `serving`, `already-serving`, `nothing-to-do`, `restored`, `unchanged`,
    /// `left-open` or `person-needed`.
    pub outcome: String,
    /// What served before.
    pub from: Served,
    /// What was meant to serve.
    pub to: Served,
    /// The record of it.
    pub record: Option<RecordBrief>,
    /// The record is not signed yet, and why.
    pub unsigned: Option<String>,
    /// With `[remote] required = true`: whether the record is on the remote. Otherwise absent, because the record is
    /// published after this answer; `gitroll status` says how many are not published.
    pub published: Option<bool>,
    /// From the command's start to the proof, in milliseconds.
    pub took_millis: Option<u64>,
    /// The checks that proved it.
    pub checks: Vec<CheckEvidence>,
    /// The services that proved it.
    pub services: Vec<ServiceEvidence>,
    /// The migrations that were taken back, and what that lost.
    pub migration: Option<MigrationEvidence>,
    /// What a person should know of it, as in its record.
    pub warnings: Vec<String>,
    /// Why it failed.
    pub why: Option<String>,
    /// With `restored`: nothing served before, and nothing serves now.
    pub nothing_served_before: bool,
    /// Why what was restored is a weak proof: nothing could have told whether it answers.
    pub weak: Option<String>,
    /// Processes of the tree that no service restarts: they go on with the code they have. A sentence each.
    pub strays: Vec<String>,
    /// With `back --undo`: what the rollback had put aside and what lies where it was again.
    pub brought_back: Vec<RepoPath>,
    /// With `back --undo`: what stays aside, for something else lies there.
    pub still_aside: Vec<RepoPath>,
    /// What went back of data and settings, what that lost, and where what was there before is kept.
    pub data_back: Vec<BroughtBack>,
    /// The point of what was there before.
    pub copy_of_now: Option<PointId>,
    /// The run that stays open.
    pub open_run: Option<RunId>,
    /// The plan, where only that was asked for.
    pub plan: Option<Plan>,
    /// The result of the soak, if requested.
    pub watched: Option<WatchedAnswer>,
}

/// A record in short.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RecordBrief {
    /// Its position in the chain.
    pub seq: Seq,
    /// Its digest.
    pub digest: Digest,
}

impl ChangeAnswer {
    /// The answer of `--plan`.
    pub fn planned(plan: &Plan) -> Self {
        Self { plan: Some(plan.clone()), ..Self::about("planned", plan) }
    }

    pub fn about(outcome: &str, plan: &Plan) -> Self {
        Self::of(outcome, &plan.from, &plan.to)
    }

    /// An answer without particulars.
    pub fn of(outcome: &str, from: &Served, to: &Served) -> Self {
        Self {
            outcome: outcome.to_owned(),
            from: from.clone(),
            to: to.clone(),
            record: None,
            unsigned: None,
            published: None,
            took_millis: None,
            checks: Vec::new(),
            services: Vec::new(),
            migration: None,
            warnings: Vec::new(),
            why: None,
            nothing_served_before: false,
            weak: None,
            strays: Vec::new(),
            brought_back: Vec::new(),
            still_aside: Vec::new(),
            data_back: Vec::new(),
            copy_of_now: None,
            open_run: None,
            plan: None,
            watched: None,
        }
    }
}
