//! `[data.NAME]`, `[settings.NAME]` and `[points]`: what a rollback point holds besides the code.

use std::time::Duration;

use super::check::FilePlace;
use super::flags::Signal;
use crate::model::{DataName, RepoPath, ServiceName};

/// `[data.NAME]`: a database, or files that the app writes.
#[derive(Debug, Clone)]
pub struct DataSource {
    /// The NAME.
    pub name: DataName,
    /// `engine` and what belongs to it.
    pub engine: DataEngine,
    /// `services`: those that are stopped while it is replaced; all where empty.
    pub services: Vec<ServiceName>,
    /// `back`, default `ask`.
    pub back: BackRule,
    /// `lost_rows`: how many rows were written since `:since`.
    pub lost_rows: Option<String>,
}

/// Whether a rollback may replace data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackRule {
    /// It always stays.
    Never,
    /// Only if a person types its name, or a script accepts its loss.
    Ask,
    /// It goes back with the rest of a full rollback: whoever confirms that confirms this.
    WithFull,
}

/// What keeps the data.
#[derive(Debug, Clone)]
pub enum DataEngine {
    /// One SQLite database.
    Sqlite {
        /// `path` of its file.
        path: FilePlace,
        /// `verify`: queries that answer true on a good copy.
        verify: Vec<String>,
    },
    /// One database of a PostgreSQL server.
    Postgres {
        /// `url`: as whom it is dumped.
        url: UrlSource,
        /// `admin_url`: who may create the database that a point is tried in; `url` where absent.
        admin_url: Option<UrlSource>,
        /// `verify`: queries that answer true on a good copy.
        verify: Vec<String>,
    },
    /// Files and directories.
    Files {
        /// `paths`
        paths: Vec<FilePlace>,
        /// `verify`: exits 0 if the restored files in `GITROLL_DATA_DIR` are good.
        verify: Option<Vec<String>>,
    },
    /// Commands of the team's own.
    Command {
        /// `backup`: writes into the directory `GITROLL_DATA_DIR`.
        backup: Vec<String>,
        /// `restore`: puts back what is in `GITROLL_DATA_DIR`; where absent it cannot be put back by gitroll.
        restore: Option<Vec<String>>,
        /// `verify`: exits 0 if what is in `GITROLL_DATA_DIR` is good.
        verify: Option<Vec<String>>,
    },
}

impl DataEngine {
    /// The `engine` as it is written.
    pub fn as_str(&self) -> &'static str {
        match self {
            DataEngine::Sqlite { .. } => "sqlite",
            DataEngine::Postgres { .. } => "postgres",
            DataEngine::Files { .. } => "files",
            DataEngine::Command { .. } => "command",
        }
    }
}

/// Where the address of a database is written, with its password: never in `gitroll.toml` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlSource {
    /// `file`: a dotenv file where `env` names the variable, else a file that holds only the address.
    pub file: Option<FilePlace>,
    /// `env`: the variable, of the file or of the environment of gitroll.
    pub env: Option<String>,
}

/// `[settings.NAME]`: configuration files that are in no commit.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The NAME.
    pub name: DataName,
    /// `paths`
    pub paths: Vec<FilePlace>,
    /// `defaults`: a directory of the repository with a file of the same name for each path.
    pub defaults: Option<RepoPath>,
    /// `apply`, default: every service is reloaded.
    pub apply: ApplySettings,
}

/// What makes the app read its settings again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplySettings {
    /// Each service is reloaded.
    AllServices,
    /// `{ service = "web" }`: one service is reloaded.
    Service(ServiceName),
    /// `{ service = "web", signal = "HUP" }`: one service gets a signal.
    Signal(ServiceName, Signal),
    /// `{ command = [..] }`
    Command(Vec<String>),
}

/// `[points]`
#[derive(Debug, Clone)]
pub struct Points {
    /// `before_deploy`, default `migrations`.
    pub before_deploy: BeforeDeploy,
    /// `max_time` of one command that copies or restores, default 1 h.
    pub max_time: Duration,
    /// `keep`
    pub keep: KeepPoints,
    /// `offsite`: commands that copy the points elsewhere; `{points}` is their repository.
    pub offsite: Vec<Vec<String>>,
}

impl Default for Points {
    fn default() -> Self {
        Self {
            before_deploy: BeforeDeploy::Migrations,
            max_time: Duration::from_secs(60 * 60),
            keep: KeepPoints::default(),
            offsite: Vec::new(),
        }
    }
}

/// When a deploy takes a point first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeDeploy {
    /// Each time.
    Always,
    /// When it crosses a migration.
    Migrations,
    /// Not by itself.
    Never,
}

/// `[points] keep`: which points a prune keeps, besides pinned ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepPoints {
    /// The newest ones, default 10.
    pub last: u32,
    /// The newest of each of the latest days that have one, default 7.
    pub daily: u32,
    /// The same by weeks, default 4.
    pub weekly: u32,
    /// The same by months, default 6.
    pub monthly: u32,
    /// All that are younger, default 30 d.
    pub within: Duration,
}

impl Default for KeepPoints {
    fn default() -> Self {
        let within = Duration::from_secs(30 * 24 * 60 * 60);
        Self { last: 10, daily: 7, weekly: 4, monthly: 6, within }
    }
}
