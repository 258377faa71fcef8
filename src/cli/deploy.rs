//! `gitroll deploy`

use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::deploy::{self, DeployRequest};
use crate::config;
use crate::ui::Ui;

/// Deploy a revision and prove that it serves
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll deploy               HEAD if it was moved by hand, else the newest commit of [deploy] ref
  gitroll deploy v1.3.0        a tag, branch or commit
  gitroll deploy --plan        show the plan
  gitroll deploy --soak 10m    keep checking for 10 min, roll back on failure
  gitroll deploy --fixes 43    deploy the fix for what record #43 holds
  gitroll deploy --keep-component QW-001
                               keep the files that QW-001 has now

If a build fails or a problem is found before the first change, deploy exits 1 and changes nothing. \
If the new version cannot be proven, deploy restores what served before and exits 20.")]
pub struct DeployArgs {
    /// Tag, branch or commit
    rev: Option<String>,
    /// Reason, stored in the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Deploy this as the fix: lift the hold of a record (43) or commit
    #[arg(long, value_name = "RECORD|COMMIT")]
    fixes: Vec<String>,
    /// Keep the good files of this component instead of the revision's files
    #[arg(long, value_name = "ID")]
    keep_component: Vec<String>,
    /// Continue although the kept files break imports
    #[arg(long, requires = "keep_component")]
    force: bool,
    /// Keep checking for this long after the proof; roll back automatically on failure (20, or 21 if that fails)
    #[arg(long, value_name = "DURATION", value_parser = config::duration, conflicts_with = "plan")]
    soak: Option<Duration>,
    /// Do not take a point of data first, whatever [points] before_deploy says
    #[arg(long)]
    no_point: bool,
    /// Show the plan and stop
    #[arg(long)]
    pub(super) plan: bool,
    /// Skip the confirmation prompts
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
        no_point: args.no_point,
        plan_only: args.plan,
    };
    Ok(deploy::deploy(&globals.caller(ui), &request)?.status.into())
}
