//! `gitroll flags`

mod list;

pub use list::FlagsAnswer;

use std::time::Duration;

use clap::{Args, Subcommand};

use super::approve::ApprovalArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::flags::{FlagsRequest, WhichFlags, change_flags};
use crate::act::ramp::{self, RampAnswer, RampOutcome, RampRequest};
use crate::config;
use crate::ui::{Ui, escape, span};

/// Show feature flags, or change them without a deployment
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll flags                                  list every flag: in its source and in the running app
  gitroll flags off QW-001                       switch off the component's flag
  gitroll flags set ENABLE_UPLOADS=false --reason 'uploads time out'
  gitroll flags ramp USE_X 1%,10%,50%,100% --every 1h
  gitroll back --level flags                     restore the values before the last change

A change succeeds only when the running app is seen with the new value. Otherwise the previous values are \
restored [20].")]
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
    /// Switch flags off, using their declared values
    Off(SwitchArgs),
    /// Switch flags on, using their declared values
    On(SwitchArgs),
    /// Raise a flag step by step, with checks after each step
    Ramp(RampArgs),
}

#[derive(Debug, Args)]
struct SetArgs {
    /// NAME=VALUE, several allowed
    #[arg(required = true, value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Source that stores the flag, if its name does not tell
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
    /// Reason, stored in the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show the plan and stop
    #[arg(long)]
    plan: bool,
    /// Accepted for scripts; this command asks nothing
    #[arg(long, short, hide = true)]
    yes: bool,
    #[command(flatten)]
    approvals: ApprovalArgs,
}

#[derive(Debug, Args)]
struct RampArgs {
    /// The flag, or the component that declares it
    #[arg(value_name = "NAME")]
    flag: String,
    /// Steps: percentages (1 % is 0.01; 100 % is the declared value for on) or values
    #[arg(value_name = "STEPS", value_delimiter = ',', required = true)]
    steps: Vec<String>,
    /// How long to watch each step before the next
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    every: Duration,
    /// Reason, stored in the records
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
    let request = FlagsRequest {
        flags,
        reason: common.reason.clone(),
        approval: common.approvals.options(),
        plan_only: common.plan,
    };
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
