//! Pure data: the words of the project as types.
//!
//! Nothing here performs I/O, reads a clock or knows gix. Everything above and beside this module
//! speaks in these types; after [`crate::config`] and this module no stringly value travels.

mod approval;
pub(crate) mod dotenv;
mod evidence;
mod flag;
mod full;
mod ids;
mod intent;
mod migration;
mod moment;
#[cfg(test)]
pub(crate) mod mutated;
mod narration;
mod path;
mod plan;
mod point;
mod record;
mod redact;
mod revoked;

pub use approval::{ApprovalEvidence, ApprovalLevel, ApprovalOptions, GivenApproval};
pub use evidence::{
    ArtifactEvidence, Cause, CheckEvidence, Evidence, FlagEvidence, OutsideFile, OutsideFiles,
    PointEvidence, Probe, SavedFile, ServiceEvidence, SkippedTarget, StepEvidence, Witnessed,
    WitnessedProcess,
};
pub use flag::{FlagChange, FlagValue, HiddenFlags};
pub use full::{
    AcceptedLoss, BroughtBack, CopyOfNow, FullLevel, FullPlan, ItemBack, ItemSection, ItemSource,
    PointUsed, RUN_LABEL, Stays, mark_of,
};
pub use ids::{
    AppName, BuildKey, ChainId, CheckName, ComponentId, DataName, Digest, EnvironmentName,
    FlagName, FlagSourceName, GroupName, IdError, Oid, PointId, RunId, Seq, ServiceName, WriterId,
};
pub use intent::{ApprovalRequest, Intent};
pub use migration::{
    ColumnLoss, Down, DownMigration, MigrateStep, MigrationEvidence, RowsLost, TableLoss,
};
pub use moment::{BootClock, CORRECTION, Moment};
pub use narration::{Narration, Narrator};
pub use path::RepoPath;
pub use plan::{
    Activation, ArtifactMove, BuildStep, CheckedPlan, FlagStep, HookMoment, HookStep, Keep,
    OutputChoice, PathChange, Plan, Recorded, Save, Served, Step, TreeEntry, TreeMode,
};
pub use point::{Health, PointItem, PointKind, PointManifest, PostgresFacts};
pub use record::{
    AdoptedTag, Event, HistoryLine, Hold, Judgement, Outcome, Person, Record, Seen, TargetRef,
    Verdict,
};
pub use redact::{Earlier, Mask, REDACTED, Redactor, is_secret_value, looks_secret, mask_of};
pub use revoked::RevokedKey;
