//! What was observed while acting. Kept as JSON beside each record in the chain.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ApprovalEvidence, BroughtBack, BuildKey, CheckName, Digest, FlagName, FlagSourceName,
    FlagValue, GroupName, MigrationEvidence, Oid, PointId, PointManifest, RepoPath, RunId,
    ServiceName,
};

/// What was observed during one act. Unknown fields of a newer version are ignored when read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Version of this format: 1.
    pub evidence: u32,
    /// The run, where the act was one.
    #[serde(default)]
    pub run: Option<RunId>,
    /// The person who acted: the login behind `sudo`, or the git identity.
    #[serde(default)]
    pub actor: String,
    /// When the act began.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// When it ended.
    #[schemars(with = "String")]
    pub finished: Timestamp,
    /// The name people know the served state by, e.g. `v1.2.0`.
    #[serde(default)]
    pub name: Option<String>,
    /// The version the served commit declares, without a leading `v`.
    #[serde(default)]
    pub version: Option<String>,
    /// The checks that proved it, with their last answers.
    #[serde(default)]
    pub checks: Vec<CheckEvidence>,
    /// The checks as they stood before anything was changed.
    #[serde(default)]
    pub baseline: Vec<CheckEvidence>,
    /// The services that were reloaded, and what their processes were afterwards.
    #[serde(default)]
    pub services: Vec<ServiceEvidence>,
    /// Every step with its time.
    #[serde(default)]
    pub steps: Vec<StepEvidence>,
    /// The built directories that serve.
    #[serde(default)]
    pub artifacts: Vec<ArtifactEvidence>,
    /// The built directories that lay in the live tree before the act and that it took out of it. Records before
    /// this field do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<ArtifactEvidence>,
    /// The names (never the values) of the variables in the app's environment files.
    #[serde(default)]
    pub environment_keys: Vec<String>,
    /// Files that were in the way and where they were put.
    #[serde(default)]
    pub saved: Vec<SavedFile>,
    /// Candidates that were skipped, and why.
    #[serde(default)]
    pub skipped: Vec<SkippedTarget>,
    /// The decisions that led to it, in order: which level and candidate was used or skipped, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<String>,
    /// The flags that were switched, and what showed them in the running app.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<FlagEvidence>,
    /// Why it failed, where it did.
    #[serde(default)]
    pub failure: Option<String>,
    /// What ended it, where it failed. Records written before this field do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Whether the watchdog finished it, not the process that began it. Records written before this field do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<bool>,
    /// What the person waited before it began, in milliseconds. Records written before this field do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_millis: Option<u64>,
    /// Why the proof is weak: nothing could show whether the app answers, or in which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weak: Option<String>,
    /// Further notes for people.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The processes that served, for a later look to compare with. Records written before this field do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<Witnessed>,
    /// What was wrong with what was left, before anything was changed. Records written before this field do not say,
    /// but for the checks in `baseline`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults_before: Vec<String>,
    /// What was checked out by hand, while what serves by this record had never been restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub never_started: Option<Oid>,
    /// The migrations that were taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationEvidence>,
    /// Who approved it, where somebody had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<ApprovalEvidence>,
    /// The rollback point, where the record is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointEvidence>,
    /// The data and settings that went back, each with what was lost and where what was there before is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brought_back: Vec<BroughtBack>,
    /// The point of what was there before they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of_now: Option<PointId>,
}

/// A rollback point as its record states it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointEvidence {
    /// What it holds.
    pub manifest: PointManifest,
    /// The digest of all that is stored in it: the id of its snapshot's tree.
    pub tree: String,
}

impl Evidence {
    /// The version of the format this program writes.
    pub const VERSION: u32 = 1;

    /// Evidence of an act that observed nothing but its own moment.
    pub fn at(started: Timestamp, actor: &str) -> Self {
        Self {
            evidence: Self::VERSION,
            run: None,
            actor: actor.to_owned(),
            started,
            finished: started,
            name: None,
            version: None,
            checks: Vec::new(),
            baseline: Vec::new(),
            services: Vec::new(),
            steps: Vec::new(),
            artifacts: Vec::new(),
            left: Vec::new(),
            environment_keys: Vec::new(),
            saved: Vec::new(),
            skipped: Vec::new(),
            decisions: Vec::new(),
            flags: Vec::new(),
            failure: None,
            cause: None,
            watchdog: None,
            waited_millis: None,
            weak: None,
            warnings: Vec::new(),
            witnessed: None,
            faults_before: Vec::new(),
            never_started: None,
            migration: None,
            approvals: None,
            point: None,
            brought_back: Vec::new(),
            copy_of_now: None,
        }
    }
}

/// The processes that served at one moment, and the files at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Witnessed {
    /// The moment, by the clock.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The same moment, in clock ticks since boot.
    pub ticks: u64,
    /// The boot from which this time and the processes' start times count.
    pub boot: String,
    /// Every process that served, those that services started included.
    #[serde(default)]
    pub processes: Vec<WitnessedProcess>,
    /// Of the marks (inode, size, mode, times) of all tracked files but those declared `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Digest>,
    /// Marks of the files that the app reads and no commit has. Records written before this field do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideFiles>,
}

/// Marks of the files that the app reads and no commit has: `.env`, what builds carry, the files of flags, tracked
/// files that are declared `local`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutsideFiles {
    /// Which key the marks are made with. It stays on the host; with another one nothing can be compared.
    pub key: String,
    /// The files, by path.
    pub files: Vec<OutsideFile>,
}

/// A file that the app reads and no commit has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutsideFile {
    /// Where it is.
    pub path: RepoPath,
    /// A keyed digest of what it holds: who has not the key cannot try values.
    pub mark: String,
    /// The same of each of its variables by name, where it is a file of variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// A process that served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WitnessedProcess {
    /// Whose it is.
    pub service: ServiceName,
    /// Its number.
    pub pid: u32,
    /// Its start, in clock ticks since boot.
    pub started: u64,
}

/// Why an act did not deploy its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A person closed it.
    Aborted,
    /// A person stopped it by a signal.
    Interrupted,
    /// The watchdog could not finish it.
    AbortedByWatchdog,
    /// One of its steps failed; or a later version has a name for it that this one does not know.
    #[serde(other)]
    Failed,
}

impl Cause {
    /// Whether it was a person who ended the act, and nothing is wrong with its target as far as anyone knows.
    pub fn is_person(self) -> bool {
        matches!(self, Cause::Aborted | Cause::Interrupted)
    }
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckEvidence {
    /// The check's name.
    pub check: CheckName,
    /// Whether it lasted long enough.
    pub passed: bool,
    /// The longest row of passes at the end.
    pub passes: u32,
    /// How many passes were wanted.
    pub wanted: u32,
    /// The last answer, or why there was none.
    pub last: Probe,
    /// The check can distinguish the intended version from others, and did.
    #[serde(default)]
    pub told_version: bool,
    /// It did not run, and why: `not critical`, `group full`. Then it neither passed nor failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl CheckEvidence {
    /// A check that is not asked.
    pub fn skipped(check: CheckName, why: impl Into<String>) -> Self {
        let last = Probe { ok: false, millis: 0, answer: "not run".to_owned(), says: None };
        let skipped = Some(why.into());
        Self { check, passed: false, passes: 0, wanted: 0, last, told_version: false, skipped }
    }

    /// Whether it was asked and did not hold.
    pub fn failed(&self) -> bool {
        !self.passed && self.skipped.is_none()
    }
}

/// A flag that was switched, and what showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlagEvidence {
    /// Where it is kept.
    pub source: FlagSourceName,
    /// The flag.
    pub flag: FlagName,
    /// Its value.
    pub value: FlagValue,
    /// What showed it in the running app.
    pub seen: String,
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Whether the answer was the expected one.
    pub ok: bool,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// In a few words: `200`, `500`, `no listener on :3000`, `version is 1.1.0, not 1.0.0`.
    pub answer: String,
    /// What an answer that was not expected says of its cause, secrets removed. Records before this field do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

impl Probe {
    /// `500 "no such column: guest"`
    pub fn told(&self) -> String {
        match &self.says {
            Some(says) => format!("{} \"{says}\"", self.answer),
            None => self.answer.clone(),
        }
    }
}

/// One service after its reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceEvidence {
    /// The service's name.
    pub service: ServiceName,
    /// Processes found serving.
    pub pids: Vec<u32>,
    /// How many of them were started after activation.
    pub fresh: u32,
    /// The manager's own word for the state, e.g. `online`.
    pub state: String,
    /// Where its processes listen: `127.0.0.1:3000`, `unix:/run/app.sock`. Absent if this user may not see it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listens: Vec<String>,
}

/// One step and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepEvidence {
    /// The step, e.g. `build deps`, `reload web`, `prove`.
    pub step: String,
    /// Its time, in milliseconds.
    pub millis: u64,
    /// `done`, `failed`, `undone`, `restored`.
    pub result: String,
    /// The last lines of output that matter, secrets removed.
    #[serde(default)]
    pub output: Vec<String>,
}

/// A built directory that serves, and the key it is kept under when it no longer does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactEvidence {
    /// The group that built it; `None` for a directory found in place.
    pub group: Option<GroupName>,
    /// Its path in the tree.
    pub output: RepoPath,
    /// The key.
    pub key: BuildKey,
}

/// A file that was in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedFile {
    /// Where it was.
    pub path: RepoPath,
    /// Where it is now, below the repository's git directory.
    pub saved: String,
}

/// A candidate that was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkippedTarget {
    /// Tag, version or commit, as shown.
    pub name: String,
    /// Its commit, where it has one.
    pub commit: Option<Oid>,
    /// Why it was skipped.
    pub why: String,
}
