//! `gitroll flags`

mod list;

pub use list::FlagsAnswer;

use std::time::Duration;

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::flags::{FlagsRequest, WhichFlags, change_flags};
use crate::act::ramp::{self, RampAnswer, RampOutcome, RampRequest};
use crate::config;
use crate::ui::{Ui, escape, span};

/// Feature flags: how they stand, and switching them without a deployment
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll flags                                  every flag: in its source and in the running app
  gitroll flags off QW-001                       the component's flag, by its declared value
  gitroll flags set ENABLE_UPLOADS=false --reason 'uploads time out'
  gitroll flags ramp USE_X 1%,10%,50%,100% --every 1h
  gitroll back --level flags                     the values before the last change

A flag counts as switched only when the running app was seen with its new value; otherwise the values of \
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
    Ramp(RampArgs),
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

#[derive(Debug, Args)]
struct RampArgs {
    /// The flag, or the component that declares it
    #[arg(value_name = "NAME")]
    flag: String,
    /// The steps: percentages (1 % is 0.01, 100 % the value for on where that is declared) or values
    #[arg(value_name = "STEPS", value_delimiter = ',', required = true)]
    steps: Vec<String>,
    /// How long each step is watched before the next
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    every: Duration,
    /// Why, for the records
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show the steps and stop
    #[arg(long)]
    plan: bool,
}

pub fn run(globals: &Globals, ui: &Ui, args: &FlagsArgs) -> Result<Exit, Failure> {
    let Some(act) = &args.act else { return list::run(globals, ui) };
    let (flags, common) = match act {
        Act::Set(args) => {
            let (settings, source) = (args.settings.clone(), args.source.clone());
            (WhichFlags::Set { settings, source }, &args.common)
        }
        Act::Off(args) => (WhichFlags::Off(args.which.clone()), &args.common),
        Act::On(args) => (WhichFlags::On(args.which.clone()), &args.common),
        Act::Ramp(args) => return raise(globals, ui, args),
    };
    let request = FlagsRequest { flags, reason: common.reason.clone(), plan_only: common.plan };
    Ok(change_flags(&globals.caller(ui), &request)?.status.into())
}

/// Runs `flags ramp`.
fn raise(globals: &Globals, ui: &Ui, args: &RampArgs) -> Result<Exit, Failure> {
    let request = RampRequest {
        flag: args.flag.clone(),
        steps: args.steps.clone(),
        every: args.every,
        reason: args.reason.clone(),
        plan_only: args.plan,
    };
    let answer = match ramp::ramp(&globals.caller(ui), &request)? {
        RampOutcome::Planned(answer) => {
            print_steps(ui, &answer, args.every);
            answer
        }
        RampOutcome::Reached(answer) => answer,
        RampOutcome::Ended(status) => return Ok(status.into()),
    };
    ui.document("flags", 0, &answer);
    Ok(Exit::Done)
}

fn print_steps(ui: &Ui, answer: &RampAnswer, every: Duration) {
    let last = answer.steps.len() - 1;
    for (number, step) in answer.steps.iter().enumerate() {
        let watched = format!(", watched for {}", span(every));
        let watched = if number == last { String::new() } else { watched };
        ui.line(&format!("{} = {}{watched}", answer.flag, escape(step)));
    }
}
