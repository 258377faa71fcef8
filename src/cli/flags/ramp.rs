//! `gitroll flags ramp`: a flag raised step by step. Each step is a run of its own; between them nobody is kept
//! from anything.

use std::time::Duration;

use clap::Args;

use super::wanted::{To, Wanted, intent, switched};
use crate::cli::Globals;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::flow::{Manner, carry_out};
use crate::cli::session::Session;
use crate::cli::soak::{Watched, watch};
use crate::config::{self, Flag};
use crate::plan::facts::Facts;
use crate::ui::{Ui, escape, span};

#[derive(Debug, Args)]
pub(super) struct RampArgs {
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
    pub(super) plan: bool,
}

/// Runs it.
///
/// # Errors
/// The first step that does not hold: the one before it is in place again.
pub(super) fn run(globals: &Globals, ui: &Ui, args: &RampArgs) -> Result<Exit, Failure> {
    crate::cli::check_reason(args.reason.as_deref())?;
    let facts = Session::look(globals, ui)?.facts()?;
    let config = &facts.accepted.config;
    let flag = switched(config, std::slice::from_ref(&args.flag), false)?.remove(0);
    let declared = config.components.iter().filter_map(|c| c.flag.as_ref());
    let declared = declared.clone().find(|declared| declared.name == flag.name);
    let steps: Vec<String> = args
        .steps
        .iter()
        .map(|step| value_of(step, declared))
        .collect::<Result<_, String>>()
        .map_err(|why| Failure::new(Exit::Usage, why))?;
    if args.plan {
        for step in &steps {
            ui.line(&format!("{} = {}, watched for {}", flag.name, escape(step), span(args.every)));
        }
        return Ok(Exit::Done);
    }
    let last = steps.len() - 1;
    for (number, step) in steps.iter().enumerate() {
        let before = current(globals, ui, &flag)?;
        let exit = set(globals, ui, &flag, To::Text(step.clone()), args.reason.clone())?;
        if exit != Exit::Done || number == last {
            return Ok(exit);
        }
        ui.say(&format!("{} = {} is watched for {}", flag.name, escape(step), span(args.every)));
        match watch(globals, ui, args.every)? {
            Watched::Held => {}
            Watched::Changed => {
                return Err(Failure::unchanged("something else was changed meanwhile")
                    .detail(format!("{} stays at {}, proven", flag.name, escape(step)))
                    .next("gitroll flags", "shows how it stands"));
            }
            Watched::Stopped => {
                return Err(Failure::new(
                    Exit::Restored,
                    format!("stopped: {} stays at {}, proven", flag.name, escape(step)),
                )
                .next("gitroll back --level flags", "puts the value before it back"));
            }
            Watched::Failed(why) => {
                ui.cry(&format!("  {} {}", ui.err.bad(), escape(&why)));
                let reason = format!("{} = {step} did not hold: {why}", flag.name);
                let reason = crate::ledger::check_reason(&reason).is_ok().then_some(reason);
                let exit = set(globals, ui, &flag, before, reason)?;
                let failure = Failure::new(
                    if exit == Exit::Done { Exit::Restored } else { exit },
                    format!("{} = {} did not hold; the step before it is back", flag.name, step),
                );
                return Err(failure.detail(why));
            }
        }
    }
    Ok(Exit::Done)
}

/// `10%` as a fraction; 0 % and 100 % as declared, where they are. Anything else as it is.
fn value_of(step: &str, flag: Option<&Flag>) -> Result<String, String> {
    let Some(percent) = step.strip_suffix('%') else { return Ok(step.to_owned()) };
    let number: f64 = percent.trim().parse().map_err(|_| format!("{step} is no percentage"))?;
    if !(0.0..=100.0).contains(&number) {
        return Err(format!("{step} is not between 0 % and 100 %"));
    }
    let declared = match (number, flag) {
        (0.0, Some(flag)) => Some(flag.off.clone()),
        (100.0, Some(flag)) => flag.on.clone(),
        _ => None,
    };
    Ok(declared.unwrap_or_else(|| (number / 100.0).to_string()))
}

/// What it is now, as a run would put it back.
fn current(globals: &Globals, ui: &Ui, flag: &Wanted) -> Result<To, Failure> {
    let session = Session::look(globals, ui)?;
    let facts = session.facts()?;
    let probe = intent(&session, &facts, vec![flag.clone()], None)?;
    let before = probe.flags.first().map(|change| change.before.clone());
    before.map(To::Recorded).ok_or_else(|| Failure::unchanged("there is no such flag"))
}

fn set(
    globals: &Globals,
    ui: &Ui,
    flag: &Wanted,
    to: To,
    reason: Option<String>,
) -> Result<Exit, Failure> {
    let session = Session::change(globals, ui, "flags")?;
    let facts: Facts = session.facts()?;
    let wanted = Wanted { to, ..flag.clone() };
    let intent = intent(&session, &facts, vec![wanted], reason)?;
    let manner =
        Manner { plan_only: false, yes: true, asks: false, any_candidate: false, further: 1 };
    carry_out(&session, facts, intent, &[], manner)
}
