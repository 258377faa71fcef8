//! What is approved: an act by its objects, without counts of the moment, estimates or prose.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AppName, ApprovalLevel, BootClock, DataName, Digest, Down, EnvironmentName, Event, FlagChange,
    FullLevel, ItemSection, ItemSource, Oid, Plan, PointId, PointUsed, WriterId,
};

/// What an approval is about. The same act on the same objects has the same digest, whenever it is planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Intent {
    /// Version of this format: 1.
    pub intent: u32,
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The writer that acts.
    pub writer: WriterId,
    /// How deep it cuts.
    pub level: ApprovalLevel,
    /// What serves.
    pub from: Oid,
    /// What will serve.
    pub to: Oid,
    /// The points that data and settings are restored from, each with the digest of what is stored in it.
    pub points: Vec<(PointId, String)>,
    /// The migrations that are taken back, each with the blob of its script or its command.
    pub migrations: Vec<(String, String)>,
    /// The data that changes.
    pub data: Vec<DataName>,
    /// The flags that change, with their values before and after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<FlagChange>,
    /// The settings that are replaced, each with what they come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<(DataName, String)>,
    /// The rows that may be lost at most; `None`: any number.
    pub most_rows: Option<u64>,
    /// How old the restored data may be at most, in seconds.
    pub most_seconds: Option<u64>,
}

impl Intent {
    /// The version of the format this program writes.
    pub const VERSION: u32 = 1;

    /// For what a plan may need approval; `None` for what is no rollback.
    pub fn level(plan: &Plan) -> Option<ApprovalLevel> {
        let data = plan.full.as_ref().is_some_and(|full| full.level != FullLevel::Settings);
        match &plan.event {
            _ if data => Some(ApprovalLevel::Full),
            _ if plan.migrates().is_some() => Some(ApprovalLevel::Migrate),
            Event::Back | Event::Component => Some(ApprovalLevel::Code),
            Event::Flags => Some(ApprovalLevel::Flags),
            _ => None,
        }
    }

    /// What a plan means to do.
    pub fn of(plan: &Plan, level: ApprovalLevel) -> Self {
        let step = plan.migrates();
        let migrations = step.iter().flat_map(|step| &step.migrations).map(|migration| {
            let how = match &migration.down {
                Down::Script { blob, .. } => blob.to_string(),
                Down::Command { run } => run.join(" "),
            };
            (migration.name.clone(), how)
        });
        let full = plan.full.as_ref();
        let point = |point: &PointUsed| (point.id.clone(), point.tree.clone());
        let items = full.iter().flat_map(|full| &full.items);
        let restored = items.filter(|item| item.section == ItemSection::Data);
        let restored = restored.map(|item| item.name.clone());
        let migrated = step.and_then(|step| step.data.clone());
        let mut data: Vec<DataName> = restored.chain(migrated).collect();
        data.sort();
        data.dedup();
        let settings = full.iter().flat_map(|full| &full.items);
        let settings = settings.filter(|item| item.section == ItemSection::Settings).map(|item| {
            let from = match &item.from {
                ItemSource::Point(place) => place.clone(),
                ItemSource::Defaults(dir) => format!("defaults in {dir}"),
                ItemSource::Kept(run) => format!("what {run} saved"),
            };
            (item.name.clone(), from)
        });
        let accepted = full.iter().flat_map(|full| &full.accepted).map(|accepted| accepted.seconds);
        Self {
            intent: Self::VERSION,
            app: plan.app.clone(),
            environment: plan.environment.clone(),
            writer: plan.writer.clone(),
            level,
            from: plan.from.commit.clone(),
            to: plan.to.commit.clone(),
            points: full.and_then(|full| full.point.as_ref()).map(point).into_iter().collect(),
            migrations: migrations.collect(),
            data,
            flags: plan.flags().cloned().collect(),
            settings: settings.collect(),
            most_rows: step.and_then(|step| step.most_rows),
            most_seconds: accepted.max(),
        }
    }

    /// SHA-256 over its JSON.
    pub fn digest(&self) -> Digest {
        let bytes = serde_json::to_vec(self).expect("an intent has only text keys");
        Digest::of(&bytes)
    }
}

/// A request for approvals, as its writer signs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalRequest {
    /// Version of this format: 1.
    pub request: u32,
    /// What is asked for.
    pub intent: Intent,
    /// The roles of which each must approve, one person each.
    pub roles: Vec<String>,
    /// For how long it is open, in seconds.
    pub valid_seconds: u64,
    /// When it was opened, by the clock of its writer.
    #[schemars(with = "String")]
    pub opened: Timestamp,
    /// The same by the clock that nobody can set.
    pub clock: Option<BootClock>,
    /// Who asks: name and address.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// What serves and what will serve, by name.
    pub names: (String, String),
    /// What is lost, in words.
    pub loses: Option<String>,
}

impl ApprovalRequest {
    /// The version of the format this program writes.
    pub const VERSION: u32 = 1;
}
