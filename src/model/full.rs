//! What a rollback brings back besides the code: data and settings from a rollback point.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BuildKey, DataName, Health, PointId, RepoPath, RunId};

/// The data and settings that a run brings back, and where from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FullPlan {
    /// How much goes back.
    pub level: FullLevel,
    /// The point that it comes from; absent where settings go back to their declared defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointUsed>,
    /// How the app is when the copy of now is taken; absent where none is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyOfNow>,
    /// What goes back, in this order.
    pub items: Vec<ItemBack>,
    /// What is declared and stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<Stays>,
    /// The most that each database may lose, where that was said in advance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<AcceptedLoss>,
    /// How long restoring took when the point was last tried, in milliseconds; absent where it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_millis: Option<u64>,
    /// A way that loses less, where there is one: a command, and what it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cheaper: Option<(String, String)>,
}

/// How much goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FullLevel {
    /// Code, artifacts, data and settings.
    Full,
    /// Only data, or data and settings: the code stays.
    Data,
    /// Only settings.
    Settings,
}

impl FullLevel {
    /// The level in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            FullLevel::Full => "full",
            FullLevel::Data => "data",
            FullLevel::Settings => "settings",
        }
    }
}

/// The point that data comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PointUsed {
    /// Its name.
    pub id: PointId,
    /// The digest of all that is in it.
    pub tree: String,
    /// When it was taken.
    #[schemars(with = "String")]
    pub taken: Timestamp,
    /// How the app was then.
    pub health: Health,
    /// When it was last restored into a scratch place and checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub verified: Option<Timestamp>,
    /// When it was copied away, where `[points] offsite` does that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub offsite: Option<Timestamp>,
}

/// What the manifest of the copy of now says, which the run itself cannot know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopyOfNow {
    /// How the app is.
    pub health: Health,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// The keys of the built directories that serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<BuildKey>,
    /// Numbers up to this one were given to points that may be gone by now.
    pub after: u32,
}

/// One database, one set of files or one set of settings that goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemBack {
    /// The NAME of its section.
    pub name: DataName,
    /// `data` or `settings`.
    pub section: ItemSection,
    /// `sqlite`, `postgres`, `files`, `command` or `settings`.
    pub engine: String,
    /// Where it is in the point: `data/NAME`, `settings/NAME`; or the directory of defaults in the tree.
    pub from: ItemSource,
    /// Bytes that are restored.
    pub bytes: u64,
    /// Files that are restored.
    pub files: u64,
    /// The rows that are lost, as counted when the plan was made; absent where nothing counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// How old the point is, in seconds: what was written since is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Which section declares an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ItemSection {
    /// `[data.NAME]`
    Data,
    /// `[settings.NAME]`
    Settings,
}

impl ItemSection {
    /// The section's name.
    pub fn as_str(self) -> &'static str {
        match self {
            ItemSection::Data => "data",
            ItemSection::Settings => "settings",
        }
    }
}

/// Where an item comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ItemSource {
    /// A place in the point.
    Point(String),
    /// The directory of defaults in the tree of the commit that will serve.
    Defaults(RepoPath),
    /// What an earlier run put aside.
    Kept(RunId),
}

/// What stays as it is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stays {
    /// The NAME of its section.
    pub name: DataName,
    /// Why.
    pub why: String,
}

/// The most that may be lost of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AcceptedLoss {
    /// The NAME of its section.
    pub name: DataName,
    /// The oldest that its point may be, in seconds.
    pub seconds: u64,
}

impl AcceptedLoss {
    /// The oldest that its point may be.
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// What went back of one item, as a run did it and its record states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BroughtBack {
    /// The NAME of its section.
    pub name: DataName,
    /// `data` or `settings`.
    pub section: ItemSection,
    /// The point that it came from; absent for declared defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointId>,
    /// The rows that were lost, counted while nothing wrote; absent where nothing counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_lost: Option<u64>,
    /// From when the point was taken to now, in seconds: what was written in between is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_lost: Option<u64>,
    /// Where what was there before is kept: files, or the name of a database.
    pub kept: Vec<String>,
}

/// The label that names the run which took a point.
pub const RUN_LABEL: &str = "run";

/// What a run calls the databases and files that it makes and puts aside: `20261130_k3f9`.
pub fn mark_of(run: &RunId) -> String {
    let text = run.as_str();
    let (day, suffix) = (text.get(..8).unwrap_or(text), text.rsplit('-').next().unwrap_or(text));
    format!("{day}_{suffix}")
}
