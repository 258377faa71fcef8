//! `gitroll component`

mod list;

pub use list::ComponentsAnswer;

use clap::{Args, ValueEnum};

use super::approve::ApprovalArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::component::{self, ComponentRequest, Via};
use crate::ui::Ui;

/// Roll back one component, by its feature flag or its files, and prove it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll component                           list the components and their state
  gitroll component QW-001                    switch its flag off; if not enough, restore its files
  gitroll component QW-001 --plan             show the plan
  gitroll component QW-001 --to v1.2.0-stable --yes --reason 'uploads time out'
  gitroll back --undo                         return after a false alarm

Everything outside the component stays as it is. The files being left are held: a deploy that contains \
the same files is refused, a deploy that changes them is not.")]
pub struct ComponentArgs {
    /// Component id; without it, list the components
    id: Option<String>,
    /// Version to take the files from: last-good, last-stable, previous, a tag, commit or record number [default: last-good]
    #[arg(long, value_name = "TARGET", requires = "id")]
    to: Option<String>,
    /// Use its flag or its files [default: ask on a terminal, else the flag, then the files]
    #[arg(long, value_name = "WAY", requires = "id")]
    via: Option<ViaArg>,
    /// Reason, stored in the record
    #[arg(long, value_name = "TEXT", requires = "id")]
    reason: Option<String>,
    /// Do not hold the files being left
    #[arg(long, requires = "id")]
    no_verdict: bool,
    /// Continue although other files import what disappears
    #[arg(long, requires = "id")]
    force: bool,
    /// Show the plan and stop
    #[arg(long, requires = "id")]
    pub(super) plan: bool,
    /// Skip the confirmation prompt
    #[arg(long, short, requires = "id")]
    yes: bool,
    #[command(flatten)]
    approvals: ApprovalArgs,
}

/// How a component goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ViaArg {
    /// Switch its feature flag off
    Flag,
    /// Restore its files
    Files,
}

impl ComponentArgs {
    /// Whether it changes nothing.
    pub fn only_looks(&self) -> bool {
        self.plan || self.id.is_none()
    }
}

pub fn run(globals: &Globals, ui: &Ui, args: &ComponentArgs) -> Result<Exit, Failure> {
    let Some(id) = &args.id else { return list::run(globals, ui) };
    let request = ComponentRequest {
        id: id.clone(),
        to: args.to.clone(),
        via: args.via.map(|via| match via {
            ViaArg::Flag => Via::Flag,
            ViaArg::Files => Via::Files,
        }),
        reason: args.reason.clone(),
        no_verdict: args.no_verdict,
        force: args.force,
        approval: args.approvals.options(),
        plan_only: args.plan,
        yes: args.yes,
    };
    Ok(component::take_back(&globals.caller(ui), &request)?.status.into())
}
