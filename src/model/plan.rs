//! The frozen list of steps of one run, every name resolved to an object id.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AppName, ArtifactEvidence, BuildKey, ComponentId, DataName, Digest, EnvironmentName, Event,
    FlagChange, FlagSourceName, FullPlan, GroupName, HiddenFlags, Hold, ItemSection, MigrateStep,
    Oid, RepoPath, RunId, ServiceName, SkippedTarget, TargetRef, Verdict, WriterId,
};

/// Everything one run will do. Pure data: printed by `--plan`, stored as `plan.json`, executed as is.
///
/// Its digest leaves out run id, time and ledger heads, so the same intent on the same state has the
/// same digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Version of this format: 1.
    pub plan: u32,
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The writer that will record it.
    pub writer: WriterId,
    /// What is done.
    pub event: Event,
    /// What serves now, as observed.
    pub from: Served,
    /// What will serve.
    pub to: Served,
    /// The tag that named the target, where one did.
    pub target: Option<TargetRef>,
    /// What the record will say besides.
    pub recorded: Recorded,
    /// The bytes of the `gitroll.toml` that is used for the target.
    pub config: String,
    /// The bytes of the `gitroll.toml` accepted with what serves now: used to restore it.
    pub config_before: String,
    /// The built directories that will serve.
    pub artifacts: Vec<ArtifactEvidence>,
    /// The built directories that serve now.
    pub artifacts_before: Vec<ArtifactEvidence>,
    /// What changes in the tree.
    pub activation: Activation,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What a person should know before saying yes.
    pub warnings: Vec<String>,
    /// Candidates that were skipped before this target.
    pub skipped: Vec<SkippedTarget>,
    /// Only the checks marked critical prove it: an emergency.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub critical_only: bool,
    /// Services that the serving version does not have and that do not run yet: going back stops them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<ServiceName>,
    /// How the checks that prove it are not those of the accepted configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// The run that this one undoes: the files that it saved come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<RunId>,
    /// The data and settings that go back with it, where some do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<Box<FullPlan>>,
}

impl Plan {
    /// The version of the format this program writes.
    pub const VERSION: u32 = 1;

    /// Every flag that is changed.
    pub fn flags(&self) -> impl Iterator<Item = &FlagChange> {
        self.steps.iter().flat_map(|step| match step {
            Step::Flags(flags) => flags.changes.as_slice(),
            _ => &[],
        })
    }

    /// The migrations that it takes back, if any.
    pub fn migrates(&self) -> Option<&MigrateStep> {
        self.steps.iter().find_map(|step| match step {
            Step::Migrate(step) => Some(&**step),
            _ => None,
        })
    }

    /// SHA-256 over the plan's JSON.
    pub fn digest(&self) -> Digest {
        let bytes = serde_json::to_vec(self).expect("a plan has only text keys");
        Digest::of(&bytes)
    }
}

/// A plan that passed preflight: the only thing the executor takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedPlan {
    plan: Plan,
    hidden: HiddenFlags,
}

impl CheckedPlan {
    /// Marks a plan as checked. Called by preflight and by nobody else.
    pub fn after_preflight(plan: Plan, hidden: HiddenFlags) -> Self {
        Self { plan, hidden }
    }

    /// The values of flags that stand in the plan as digests.
    pub fn hidden(&self) -> &HiddenFlags {
        &self.hidden
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// A state that serves, served or will serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Served {
    /// The commit.
    pub commit: Oid,
    /// The name people know it by: a tag, `v` and its version, or the short commit.
    pub name: String,
    /// The version the commit declares, without a leading `v`.
    pub version: Option<String>,
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name == self.commit.short() {
            f.write_str(&self.name)
        } else {
            write!(f, "{} ({})", self.name, self.commit.short())
        }
    }
}

/// What the record of a run says beside from and to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    /// Why, in a person's words.
    pub reason: Option<String>,
    /// The commit that the verdict is about.
    pub subject: Option<Oid>,
    /// Its verdict.
    pub verdict: Option<Verdict>,
    /// What may not be deployed afterwards.
    pub hold: Option<Hold>,
    /// Records whose verdict and hold end.
    pub lifts: Vec<Digest>,
    /// The components this is about.
    pub components: Vec<ComponentId>,
    /// The decisions that led to this plan, in order: levels, candidates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<String>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum Step {
    /// Check the target out whole, in a directory of its own.
    Stage {
        /// The commit.
        commit: Oid,
    },
    /// Run one build group there and keep its outputs.
    Build(Box<BuildStep>),
    /// Stop a service that must be down while files change. Its reload starts it.
    Quiesce {
        /// The service.
        service: ServiceName,
    },
    /// Take a point of what is there now, before any of it is replaced.
    Copy,
    /// Restore one item beside what is live, and check it there.
    Restore {
        /// Which section declares it.
        section: ItemSection,
        /// The NAME of its section.
        name: DataName,
    },
    /// Exchange what is live for what was restored beside it, which is kept.
    Swap {
        /// Which section declares it.
        section: ItemSection,
        /// The NAME of its section.
        name: DataName,
    },
    /// Run the command that makes the app read its settings again.
    Apply {
        /// The NAME of the settings.
        name: DataName,
    },
    /// Stop a service that the target no longer has.
    Stop {
        /// Its name in the configuration before.
        service: ServiceName,
    },
    /// Take migrations back.
    Migrate(Box<MigrateStep>),
    /// Change the app's tree and artifacts to the target's.
    Activate,
    /// Change the index and HEAD to the target.
    Head {
        /// What HEAD is now.
        from: Oid,
        /// What HEAD will be, detached.
        to: Oid,
        /// The branch HEAD is on, for the way back; `None` when it is detached.
        branch: Option<String>,
    },
    /// Run one command of the team's own.
    Hook(Box<HookStep>),
    /// Change flags in one source.
    Flags(FlagStep),
    /// Make a service use the changes: the new tree, the flags.
    Reload {
        /// The service.
        service: ServiceName,
    },
    /// Ask a service's processes to read their settings again.
    Signal {
        /// The service.
        service: ServiceName,
        /// The signal without `SIG`, e.g. `HUP`.
        signal: String,
    },
    /// Observe the intended version serving.
    Prove,
    /// Append the record, rebuild its projections, publish.
    Record,
}

impl Step {
    /// The step's name on screen and in the journal.
    pub fn label(&self) -> String {
        match self {
            Step::Stage { .. } => "stage".to_owned(),
            Step::Build(build) => format!("build {}", build.group),
            Step::Quiesce { service } => format!("quiesce {service}"),
            Step::Copy => "copy of now".to_owned(),
            Step::Restore { section, name } => format!("restore {}{name}", of(*section)),
            Step::Swap { section, name } => format!("swap {}{name}", of(*section)),
            Step::Apply { name } => format!("apply settings {name}"),
            Step::Stop { service } => format!("stop {service}"),
            Step::Migrate(_) => "migrate down".to_owned(),
            Step::Activate => "activate".to_owned(),
            Step::Head { .. } => "head".to_owned(),
            Step::Hook(hook) => hook.label(),
            Step::Flags(flags) => format!("flags {}", flags.source),
            Step::Signal { service, signal } => format!("{signal} {service}"),
            Step::Reload { service } => format!("reload {service}"),
            Step::Prove => "prove".to_owned(),
            Step::Record => "record".to_owned(),
        }
    }
}

/// What stands before the name of an item: databases are named alone.
fn of(section: ItemSection) -> &'static str {
    match section {
        ItemSection::Data => "",
        ItemSection::Settings => "settings ",
    }
}

/// A moment of a run at which commands of the team's own are run. Ordered as they come.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum HookMoment {
    /// Everything is built and nothing that serves was touched.
    BeforeDeploy,
    /// The tree is the target's; services run what was there before.
    AfterActivate,
    /// The target was observed serving, by whatever act.
    AfterProven,
    /// The same, by a rollback.
    AfterBack,
    /// A run ended otherwise.
    OnFailed,
}

impl HookMoment {
    /// All of them.
    pub const ALL: [HookMoment; 5] = [
        HookMoment::BeforeDeploy,
        HookMoment::AfterActivate,
        HookMoment::AfterProven,
        HookMoment::AfterBack,
        HookMoment::OnFailed,
    ];

    /// As in `[hooks]` of gitroll.toml.
    pub fn as_str(self) -> &'static str {
        match self {
            HookMoment::BeforeDeploy => "before_deploy",
            HookMoment::AfterActivate => "after_activate",
            HookMoment::AfterProven => "after_proven",
            HookMoment::AfterBack => "after_back",
            HookMoment::OnFailed => "on_failed",
        }
    }
}

/// One command of the team's own, of those that are run at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookStep {
    /// When it is run.
    pub moment: HookMoment,
    /// Its place among the commands of that moment, from 1.
    pub number: usize,
    /// How many commands that moment has.
    pub of: usize,
    /// The command, an argument vector.
    pub run: Vec<String>,
    /// How long it may take, in seconds.
    pub limit_seconds: u64,
    /// It may simply be run again where it was interrupted.
    pub idempotent: bool,
}

impl HookStep {
    /// `before_deploy`, or `before_deploy 2/3` where the moment has several.
    pub fn label(&self) -> String {
        match self.of {
            1 => self.moment.as_str().to_owned(),
            of => format!("{} {}/{of}", self.moment.as_str(), self.number),
        }
    }

    /// How long it may take.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.limit_seconds)
    }
}

/// Flags that change together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlagStep {
    /// Where they are kept.
    pub source: FlagSourceName,
    /// Each with its value before and after.
    pub changes: Vec<FlagChange>,
}

/// One build group, with everything that makes its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildStep {
    /// The group.
    pub group: GroupName,
    /// The key its outputs are kept under.
    pub key: BuildKey,
    /// The commands, each an argument vector.
    pub run: Vec<Vec<String>>,
    /// The directories it makes.
    pub outputs: Vec<RepoPath>,
    /// Additional outputs, any of which may be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<RepoPath>,
    /// Globs of which each must have at least one among `optional`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_least_one: Vec<OutputChoice>,
    /// Outputs and carried files of other groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of_others: Vec<RepoPath>,
    /// What this change removes from the tree and would be missing if the commands create it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<RepoPath>,
    /// Globs of files that the commands write and the running app does not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scratch: Vec<String>,
    /// Continue if the commands write an undeclared file that differs from the one in the live tree.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undeclared: bool,
    /// Untracked files of the live tree that it reads.
    pub carry: Vec<RepoPath>,
    /// Its declared environment.
    pub env: BTreeMap<String, String>,
    /// How long each command may take, in seconds.
    pub limit_seconds: u64,
    /// Outputs of earlier groups that must be in the stage, by key.
    pub needs: Vec<(RepoPath, BuildKey)>,
}

/// What a glob among a group's outputs may stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputChoice {
    /// As written.
    pub glob: String,
    /// The paths it could be, by the directories of the commit.
    pub paths: Vec<RepoPath>,
}

impl BuildStep {
    /// All outputs, also those that may be absent.
    pub fn all_outputs(&self) -> impl Iterator<Item = &RepoPath> {
        self.outputs.iter().chain(&self.optional)
    }

    /// How long each command may take.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.limit_seconds)
    }
}

/// What activation changes. Paths not named here are never touched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Activation {
    /// Tracked paths whose content must change, sorted by path.
    pub changes: Vec<PathChange>,
    /// Built directories that come in or go out.
    pub artifacts: Vec<ArtifactMove>,
    /// Files that are in the way and are saved.
    pub saves: Vec<Save>,
    /// Files that are left as they are although the target has others.
    pub kept: Vec<Keep>,
}

/// One tracked path, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathChange {
    /// The path.
    pub path: RepoPath,
    /// What the commit that serves has there.
    pub before: Option<TreeEntry>,
    /// What the target has there.
    pub after: Option<TreeEntry>,
    /// What someone checked out there since, where it is neither of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lying: Option<TreeEntry>,
}

/// A file or symbolic link in a git tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TreeEntry {
    /// What kind of file.
    pub mode: TreeMode,
    /// The blob (for a submodule, the commit).
    pub id: Oid,
}

/// The file modes git knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TreeMode {
    /// A regular file, 100644.
    File,
    /// An executable file, 100755.
    Executable,
    /// A symbolic link, 120000.
    Symlink,
    /// A submodule, 160000.
    Submodule,
}

/// A built directory that is swapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactMove {
    /// Its path in the tree.
    pub output: RepoPath,
    /// What comes in; `None` when the target has none.
    pub incoming: Option<BuildKey>,
    /// What goes out, and the key it is kept under; `None` when nothing is there.
    pub outgoing: Option<BuildKey>,
}

/// A file saved before activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Save {
    /// The path.
    pub path: RepoPath,
    /// `edited` (tracked, with local edits), `untracked` or `ignored`.
    pub what: String,
}

/// A file that is left unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Keep {
    /// The path.
    pub path: RepoPath,
    /// `local` (declared in the configuration), `environment` (the live `.env` is never replaced) or `open`
    /// (it leaves git while a service holds it open for writing).
    pub why: String,
}
