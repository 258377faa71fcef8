//! `gitroll deploy`

use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::deploy::{self, DeployRequest};
use crate::config;
use crate::ui::Ui;

/// Put a revision in place and prove that it serves
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll deploy               HEAD if it was moved by hand, else the newest of [deploy] ref
  gitroll deploy v1.3.0        a tag, branch or commit
  gitroll deploy --plan        what would be done
  gitroll deploy --soak 10m    checked for 10 min more, and taken back where that fails
  gitroll deploy --fixes 43    this is the fix for what record #43 holds
  gitroll deploy --keep-component QW-001
                               with the files QW-001 has now, not the revision's

A failing build or a problem found beforehand exits 1 and touches nothing that serves. A version \
that cannot be proven is taken back: 20.")]
pub struct DeployArgs {
    /// Tag, branch or commit
    rev: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// This deploy is the fix: lifts the hold of a record (43) or commit
    #[arg(long, value_name = "RECORD|COMMIT")]
    fixes: Vec<String>,
    /// Keep the good files of this component instead of the revision's
    #[arg(long, value_name = "ID")]
    keep_component: Vec<String>,
    /// Go on although imports would not find their file with the files that are kept
    #[arg(long, requires = "keep_component")]
    force: bool,
    /// Keep checking for so long after the proof, and go back by itself where that fails: 20, or 21 where it cannot
    #[arg(long, value_name = "DURATION", value_parser = config::duration, conflicts_with = "plan")]
    soak: Option<Duration>,
    /// Show what would be done and stop
    #[arg(long)]
    pub(super) plan: bool,
    /// Answer questions beforehand
    #[arg(long, short)]
    yes: bool,
}

pub fn run(globals: &Globals, ui: &Ui, args: &DeployArgs) -> Result<Exit, Failure> {
    let request = DeployRequest {
        rev: args.rev.clone(),
        reason: args.reason.clone(),
        fixes: args.fixes.clone(),
        keep_components: args.keep_component.clone(),
        force: args.force,
        soak: args.soak,
        plan_only: args.plan,
    };
    Ok(deploy::deploy(&globals.caller(ui), &request)?.status.into())
}
