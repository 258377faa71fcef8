//! What `gitroll status` answers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::open::OpenRun;
use crate::act::incident::WatchAnswer;
use crate::act::parts::Part;
use crate::act::watchdog::FinishedRun;
use crate::diagnosis::Diagnosis;
use crate::model::{CheckEvidence, CheckName, ComponentId, Oid, RepoPath, Seq, Served};
use crate::site::Maintenance;

/// The answer of `status`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusAnswer {
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The writer.
    pub writer: String,
    /// What serves: HEAD; while a run is open what the checks say, and HEAD where they cannot tell.
    pub serving: Served,
    /// The record that put it in place; absent when someone else moved HEAD, or an open run did.
    pub record: Option<Seq>,
    /// Since when, where a record put it in place.
    #[schemars(with = "Option<String>")]
    pub since: Option<jiff::Timestamp>,
    /// Whether it is known that this serves; false if a run is open and neither version answers as expected.
    pub told: bool,
    /// Whether a run observed it serving, and what runs now is what it observed.
    pub proven: bool,
    /// Why the run that put it in place could prove it only weakly; absent if it was observed serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weak: Option<String>,
    /// Why it is not known that the answering version is the one in the records or HEAD; absent if it is known.
    pub doubt: Option<String>,
    /// What is checked out by hand, where no process was ever started on it.
    pub never_started: Option<Served>,
    /// Whether all checks pass and all services are up, now.
    pub healthy: bool,
    /// Each check, asked once.
    pub checks: Vec<CheckEvidence>,
    /// What each check over HTTP or TCP asks.
    pub asked: BTreeMap<CheckName, String>,
    /// Each service's state word.
    pub services: Vec<ServiceLine>,
    /// What listens where the app should but does not belong to a service, a sentence each.
    pub strangers: Vec<String>,
    /// Tracked files with local edits, and build outputs that were changed since they were built.
    pub edited: Vec<RepoPath>,
    /// Components beside the release that serves: whose files are another's, or whose flag is off.
    pub parts: Vec<Part>,
    /// What `gitroll back` would take; absent while a run is open, for it waits then.
    pub back_to: Option<BackTo>,
    /// Commits that are held.
    pub held: Vec<HeldLine>,
    /// The state of the upstream branch, as last fetched.
    pub upstream: Option<Upstream>,
    /// Runs that are open.
    pub open_runs: Vec<OpenRun>,
    /// The last run, where the watchdog finished it within a day.
    pub finished_by_watchdog: Option<FinishedRun>,
    /// What is wrong with a run whose state is unknown; a person is needed then.
    pub damaged_run: Option<String>,
    /// The command that was killed, whose leftovers the next changing command removes.
    pub killed: Option<KilledCommand>,
    /// Records not on the remote; absent without a remote.
    pub unpublished: Option<u64>,
    /// Records that are not signed yet.
    pub unsigned: usize,
    /// How watching stands.
    pub watch: WatchAnswer,
    /// The maintenance that is in force: nothing automatic acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// Why it is not well, and what to type.
    pub diagnosis: Diagnosis,
    /// While it is not well or a run is open: whom to call and which pages help, a sentence each.
    pub help: Vec<String>,
}

/// One service.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServiceLine {
    /// Its name.
    pub service: String,
    /// The manager's word, or why it could not be asked.
    pub state: String,
    /// Whether it is up.
    pub up: bool,
    /// Its processes.
    pub pids: Vec<u32>,
}

/// Where `back` would go.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BackTo {
    /// Its name.
    pub name: String,
    /// Its commit.
    pub commit: Oid,
    /// What must be built; empty when all is kept.
    pub build: Vec<String>,
    /// About how long it will take, in milliseconds, from earlier runs.
    pub about_millis: Option<u64>,
    /// The versions that it passes over, in order.
    pub skipped: Vec<SkippedTarget>,
}

/// A version that `back` passes over.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SkippedTarget {
    /// Its name.
    pub name: String,
    /// Why, in one line.
    pub why: String,
}

/// A held commit.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HeldLine {
    /// The commit.
    pub commit: Oid,
    /// Its name.
    pub name: String,
    /// The component whose content is held, if it is not the whole commit.
    pub component: Option<ComponentId>,
    /// The record.
    pub seq: Seq,
    /// Who.
    pub by: String,
    /// When.
    #[schemars(with = "String")]
    pub at: jiff::Timestamp,
    /// Why, in the words of the record or those that were added to it; absent where nobody said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The state of upstream.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Upstream {
    /// `origin/main`
    pub name: String,
    /// Commits there that do not serve.
    pub ahead: usize,
    /// A held commit that it contains.
    pub holds: Option<Oid>,
    /// Components that are there in a version that was marked bad.
    pub held_components: Vec<String>,
}

/// A command that did not finish.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KilledCommand {
    /// What it did, e.g. `deploy`.
    pub command: String,
    /// When it began.
    #[schemars(with = "String")]
    pub since: jiff::Timestamp,
    /// Whether it left something behind; otherwise it was interrupted before it changed anything.
    pub leftovers: bool,
    /// It finished but could not remove its leftovers.
    pub ended: bool,
}
