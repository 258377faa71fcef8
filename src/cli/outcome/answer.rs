//! The answer of a change, for programs.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::soak::WatchedAnswer;
use crate::model::{CheckEvidence, Digest, Plan, RunId, Seq, Served, ServiceEvidence};

/// The answer of `deploy`, `back`, `component ID`, `resume` and `abort`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangeAnswer {
    /// `planned`, `serving`, `already-serving`, `nothing-to-do`, `restored`, `unchanged`,
    /// `left-open` or `person-needed`.
    pub outcome: String,
    /// What served before.
    pub from: Served,
    /// What was to serve.
    pub to: Served,
    /// The record of it.
    pub record: Option<RecordBrief>,
    /// The record waits to be signed, and why.
    pub unsigned: Option<String>,
    /// Whether the record is on the remote; absent without a remote.
    pub published: Option<bool>,
    /// From the command's start to the proof, in milliseconds.
    pub took_millis: Option<u64>,
    /// The checks that proved it.
    pub checks: Vec<CheckEvidence>,
    /// The services that proved it.
    pub services: Vec<ServiceEvidence>,
    /// What a person should know of it, as in its record.
    pub warnings: Vec<String>,
    /// Why it failed.
    pub why: Option<String>,
    /// The run that stays open.
    pub open_run: Option<RunId>,
    /// The plan, where only that was asked for.
    pub plan: Option<Plan>,
    /// What came of watching it afterwards, where that was asked for.
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

    pub(super) fn about(outcome: &str, plan: &Plan) -> Self {
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
            warnings: Vec::new(),
            why: None,
            open_run: None,
            plan: None,
            watched: None,
        }
    }
}
