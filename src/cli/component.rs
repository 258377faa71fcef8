//! `gitroll component`

mod list;

pub use list::ComponentsAnswer;

use clap::{Args, ValueEnum};

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::component::{self, ComponentRequest, Via};
use crate::ui::Ui;

/// Take one component back, by its feature flag or its files, and prove it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll component                           the components, and how they stand
  gitroll component QW-001                    its flag off; where that is not enough, its files back
  gitroll component QW-001 --plan             what would be done
  gitroll component QW-001 --to v1.2.0-stable --yes --reason 'uploads time out'
  gitroll back --undo                         it was a false alarm: return

Everything outside the component stays as it serves now. What is left is held: a deploy that brings the \
same files of the component back is refused, one that changes them is not.")]
pub struct ComponentArgs {
    /// The component; without it they are listed
    id: Option<String>,
    /// Whose files: last-good, last-stable, previous, a tag, commit or record number [default: last-good]
    #[arg(long, value_name = "TARGET", requires = "id")]
    to: Option<String>,
    /// By its flag or by its files [default: asked on a terminal; else the flag, then the files]
    #[arg(long, value_name = "WAY", requires = "id")]
    via: Option<ViaArg>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", requires = "id")]
    reason: Option<String>,
    /// Do not hold what is left
    #[arg(long, requires = "id")]
    no_verdict: bool,
    /// Go on although files that stay would import what disappears
    #[arg(long, requires = "id")]
    force: bool,
    /// Show what would be done and stop
    #[arg(long, requires = "id")]
    pub(super) plan: bool,
    /// Answer the question beforehand
    #[arg(long, short, requires = "id")]
    yes: bool,
}

/// How a component goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ViaArg {
    /// Its feature flag is switched off
    Flag,
    /// Its files are put back
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
        plan_only: args.plan,
        yes: args.yes,
    };
    Ok(component::take_back(&globals.caller(ui), &request)?.status.into())
}
