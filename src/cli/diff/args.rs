//! What `gitroll diff` takes.

use clap::Args;

/// Show what differs between two deployed states, suspects first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll diff                           what may have broken it, the likeliest first
  gitroll diff --since-good --markdown   20 lines at most, to paste into the channel
  gitroll diff 41 43                     between what two records put in place
  gitroll diff v1.2.0-stable HEAD        between any two tags or commits
  gitroll diff --component QW-001        the files of one component
  gitroll diff --patch                   the lines themselves, in git's pager

Without A it compares from the last good state; without B, to what serves. \
After a rollback or a failed deploy: what serves, with what was left or tried.")]
pub struct DiffArgs {
    /// The state before: record number, tag or commit
    pub(super) a: Option<String>,
    /// The state since
    pub(super) b: Option<String>,
    /// At most 20 lines, from the last good state
    #[arg(long, conflicts_with_all = ["a", "patch"])]
    pub(super) since_good: bool,
    /// Only this component's files
    #[arg(long, value_name = "ID")]
    pub(super) component: Option<String>,
    /// The changed lines
    #[arg(long, conflicts_with = "markdown")]
    pub(super) patch: bool,
    /// Markdown
    #[arg(long)]
    pub(super) markdown: bool,
    /// Another writer's records
    #[arg(long, value_name = "NAME")]
    pub(super) writer: Option<String>,
    /// Another environment's records
    #[arg(long, value_name = "NAME")]
    pub(super) environment: Option<String>,
}
