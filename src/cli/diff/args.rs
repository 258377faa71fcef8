//! What `gitroll diff` takes.

use clap::Args;

/// Show the differences between two deployed versions, suspects first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll diff                           what may have broken it, most likely first
  gitroll diff --since-good --markdown   at most 20 lines, to paste into a chat
  gitroll diff 41 43                     between the versions of two records
  gitroll diff v1.2.0-stable HEAD        between any two tags or commits
  gitroll diff --component QW-001        the files of one component
  gitroll diff --patch                   the changed lines, in git's pager

A defaults to the last good version, and B to what serves. After a rollback \
or a failed deploy, diff compares what serves with the version that was left or tried.")]
pub struct DiffArgs {
    /// The older version: record number, tag or commit
    pub(super) a: Option<String>,
    /// The newer version
    pub(super) b: Option<String>,
    /// Summarize the changes since the last good version in at most 20 lines
    #[arg(long, conflicts_with_all = ["a", "patch"])]
    pub(super) since_good: bool,
    /// Show only this component's files
    #[arg(long, value_name = "ID")]
    pub(super) component: Option<String>,
    /// Show the changed lines
    #[arg(long, conflicts_with = "markdown")]
    pub(super) patch: bool,
    /// Print Markdown
    #[arg(long)]
    pub(super) markdown: bool,
    /// Show another writer's records
    #[arg(long, value_name = "NAME")]
    pub(super) writer: Option<String>,
    /// Show another environment's records
    #[arg(long, value_name = "NAME")]
    pub(super) environment: Option<String>,
}
