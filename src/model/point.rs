//! What a rollback point holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AppName, BuildKey, DataName, EnvironmentName, Oid, PointId, WriterId};

/// One rollback point: which code served, and the copies of data and settings taken with it. It is stored with
/// the copies, and beside the signed record. Unknown fields of a newer version are ignored when read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointManifest {
    /// Version of this format: 1.
    pub point: u32,
    /// Its name.
    pub id: PointId,
    /// Why it was taken.
    pub kind: PointKind,
    /// When it was begun.
    #[schemars(with = "String")]
    pub taken: Timestamp,
    /// Why, in a person's words.
    #[serde(default)]
    pub reason: Option<String>,
    /// `--label KEY=VALUE`
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The checkout that took it.
    pub writer: WriterId,
    /// The commit that served.
    pub commit: Oid,
    /// The name people know that commit by.
    pub name: String,
    /// The keys of the built directories that served. They stay kept as long as the point.
    #[serde(default)]
    pub artifacts: Vec<BuildKey>,
    /// How the app was when the point was taken.
    pub health: Health,
    /// What was wrong with the app then.
    #[serde(default)]
    pub faults: Vec<String>,
    /// What was copied.
    pub items: Vec<PointItem>,
}

impl PointManifest {
    /// The version of the format this program writes.
    pub const VERSION: u32 = 1;

    /// Whether every copy in it passed its own checks. Otherwise it is only evidence of what was wrong.
    pub fn is_sound(&self) -> bool {
        self.items.iter().all(|item| item.problems.is_empty())
    }

    /// The bytes of all copies.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }
}

/// Why a point was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PointKind {
    /// A person or a timer asked for it.
    Manual,
    /// A deploy took it first.
    BeforeDeploy,
    /// A rollback of data took it first, of what it replaced.
    BeforeBack,
    /// A copy that was made elsewhere.
    Imported,
}

impl PointKind {
    /// The kind in words.
    pub fn as_str(self) -> &'static str {
        match self {
            PointKind::Manual => "manual",
            PointKind::BeforeDeploy => "before-deploy",
            PointKind::BeforeBack => "before-back",
            PointKind::Imported => "imported",
        }
    }
}

/// How the app was when a point was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Every check passed and every service was up.
    Healthy,
    /// Something failed.
    Failing,
    /// Nothing could tell, or the version changed meanwhile.
    Unknown,
}

impl Health {
    /// The state in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Failing => "failing",
            Health::Unknown => "unknown",
        }
    }
}

/// One copy in a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PointItem {
    /// The NAME of its section.
    pub name: DataName,
    /// `sqlite`, `postgres`, `files`, `command`, or `settings`.
    pub engine: String,
    /// Where it is in the point: `data/NAME` or `settings/NAME`.
    pub place: String,
    /// Where it was copied from; an address without its password.
    pub source: String,
    /// Bytes as copied, before they are compressed.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// How long the copy took.
    pub took_millis: u64,
    /// What the copy's own checks found. Empty: it is sound.
    #[serde(default)]
    pub problems: Vec<String>,
    /// What is good to know and no fault.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What a restore needs to know of a PostgreSQL database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresFacts>,
}

/// What of a PostgreSQL database no dump restores by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostgresFacts {
    /// The name of the database.
    pub database: String,
    /// Its owner.
    pub owner: String,
    /// Its encoding, e.g. `UTF8`.
    pub encoding: String,
    /// `LC_COLLATE`
    pub collate: String,
    /// `LC_CTYPE`
    pub ctype: String,
    /// The server's version, e.g. `15.18`.
    pub server: String,
}
