//! `gitroll flags`

mod list;
mod ramp;
mod running;
mod wanted;

pub use list::FlagsAnswer;
pub use ramp::RampAnswer;
pub use wanted::{To, Wanted, back_to_before, intent, switched, unreadable};

use clap::{Args, Subcommand};

use super::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::flow::{Manner, carry_out};
use super::outcome::ChangeAnswer;
use super::session::Session;
use crate::plan::compose::Intent;
use crate::plan::facts::Facts;
use crate::ui::{Ui, escape};

/// Feature flags: how they stand, and switching them without a deployment
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll flags                                  every flag: in its source and in the running app
  gitroll flags off QW-001                       the component's flag, by its declared value
  gitroll flags set ENABLE_UPLOADS=false --reason 'uploads time out'
  gitroll flags ramp USE_X 1%,10%,50%,100% --every 1h
  gitroll back --level flags                     the values before the last change

A flag counts as switched only when the running app was seen with its new value; otherwise the values of
before are put back [20].")]
pub struct FlagsArgs {
    #[command(subcommand)]
    act: Option<Act>,
}

impl FlagsArgs {
    /// Whether it changes nothing.
    pub fn only_looks(&self) -> bool {
        match &self.act {
            None => true,
            Some(Act::Set(args)) => args.common.plan,
            Some(Act::Off(args) | Act::On(args)) => args.common.plan,
            Some(Act::Ramp(args)) => args.plan,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Set flags to values
    Set(SetArgs),
    /// Switch flags off, by their declared values
    Off(SwitchArgs),
    /// Switch flags on, by their declared values
    On(SwitchArgs),
    /// Raise a flag step by step, with checks between
    Ramp(ramp::RampArgs),
}

#[derive(Debug, Args)]
struct SetArgs {
    /// NAME=VALUE, several allowed
    #[arg(required = true, value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Where it is kept, when that is not known by its name
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct SwitchArgs {
    /// Components or names of flags
    #[arg(required = true, value_name = "COMPONENT|NAME")]
    which: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// What every change of flags can be told.
#[derive(Debug, Args)]
struct Common {
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show what would be done and stop
    #[arg(long)]
    plan: bool,
    /// Nothing is asked: taken so that scripts may say it everywhere
    #[arg(long, short, hide = true)]
    yes: bool,
}

/// Runs it.
///
/// # Errors
/// Everything that ends without the app seen with the flags as wanted.
pub fn run(globals: &Globals, ui: &Ui, args: &FlagsArgs) -> Result<Exit, Failure> {
    let Some(act) = &args.act else { return list::run(globals, ui) };
    let common = match act {
        Act::Set(args) => &args.common,
        Act::Off(args) | Act::On(args) => &args.common,
        Act::Ramp(args) => return ramp::run(globals, ui, args),
    };
    super::check_reason(common.reason.as_deref())?;
    let session = Session::change(globals, ui, "flags")?;
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    let wanted = match act {
        Act::Set(args) => {
            let source = args.source.as_deref();
            wanted::settings(config, &session, &facts.serving, &args.settings, source)?
        }
        Act::Off(args) => switched(config, &args.which, false)?,
        Act::On(args) => switched(config, &args.which, true)?,
        Act::Ramp(_) => Vec::new(),
    };
    let intent = intent(&session, &facts, wanted, common.reason.clone())?;
    if running::as_wanted(&session, &facts, &intent) {
        return Ok(nothing_to_do(&session, &facts, &intent));
    }
    let manner =
        Manner { plan_only: common.plan, yes: true, asks: false, any_candidate: false, further: 1 };
    carry_out(&session, facts, intent, &[], manner)
}

/// Says that everything is as wanted: nothing is run, so that the way back leads where it led before.
fn nothing_to_do(session: &Session, facts: &Facts, intent: &Intent) -> Exit {
    let ui = &session.ui;
    let words = intent.flags.iter().map(|change| {
        let value = escape(&change.after.plain());
        format!("{} {} already, seen in the running app", change.name, value)
    });
    for line in words {
        ui.line(&format!("{} {line}", ui.out.ok()));
    }
    ui.line("  nothing was changed or recorded");
    let answer = ChangeAnswer::of("nothing-to-do", &facts.serving, &facts.serving);
    ui.document("flags", 0, &answer);
    Exit::Done
}
