//! `gitroll flags ramp`: a flag raised step by step. Each step is a run of its own; between them nobody is kept
//! from anything.

use std::time::{Duration, Instant};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::wanted::{To, Wanted, intent, switched};
use crate::cli::Globals;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Status};
use crate::cli::flow::{Manner, carry_out_or};
use crate::cli::session::Session;
use crate::cli::soak::{Heeds, Watch, Watched, patience, wait};
use crate::config::{self, Flag};
use crate::engine::OnFailure;
use crate::model::{FlagName, FlagValue, HiddenFlags};
use crate::system::signals;
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

/// The answer of `flags ramp`, where it came to its end or only its plan was asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RampAnswer {
    /// `planned`, or `reached`: the last step was seen in the running app.
    pub outcome: String,
    /// The flag.
    pub flag: FlagName,
    /// Its value at each step, as far as it may be written down.
    pub steps: Vec<String>,
    /// How long each step but the last is watched, in seconds.
    pub every_seconds: u64,
}

/// Between two steps: what a person is told who stops it.
const STOPPED: &str = "stopping; the flag stays as it was seen last";

/// What a failure says that is true of one step only.
const UNCHANGED: &str = "nothing was changed";

/// Runs it.
///
/// # Errors
/// The first step that does not hold: the one before it is in place again, or a person is needed.
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
        .map_err(|why| Failure::new(Status::Usage, why))?;
    let ramp = Ramp { globals, ui, flag, every: args.every, reason: args.reason.clone() };
    let answer = |outcome: &str| {
        let answer = RampAnswer {
            outcome: outcome.to_owned(),
            flag: ramp.flag.name.clone(),
            steps: steps.iter().map(|step| ramp.shown(step)).collect(),
            every_seconds: args.every.as_secs(),
        };
        ui.document("flags", 0, &answer);
    };
    let last = steps.len() - 1;
    if args.plan {
        for (number, step) in steps.iter().enumerate() {
            let watched = format!(", watched for {}", span(args.every));
            let watched = if number == last { String::new() } else { watched };
            ui.line(&format!("{} = {}{watched}", ramp.flag.name, escape(&ramp.shown(step))));
        }
        answer("planned");
        return Ok(Exit::Done);
    }
    for (number, step) in steps.iter().enumerate() {
        let exit = match ramp.step(step, number == last) {
            // True of this step only: those before it were taken.
            Err(failure) if number > 0 && failure.status.unchanged() => {
                return Err(ramp.not_begun(step, failure));
            }
            ended => ended?,
        };
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    answer("reached");
    Ok(Exit::Done)
}

struct Ramp<'a> {
    globals: &'a Globals,
    ui: &'a Ui,
    flag: Wanted,
    every: Duration,
    reason: Option<String>,
}

/// What a flag is, with what is hidden of it.
struct Value {
    shown: FlagValue,
    hidden: HiddenFlags,
}

impl Ramp<'_> {
    /// Takes one step, and watches it where others follow.
    fn step(&self, step: &str, last: bool) -> Result<Exit, Failure> {
        let name = &self.flag.name;
        let before = self.current()?;
        let to = To::Text(step.to_owned());
        let (exit, set) =
            self.set(to, HiddenFlags::default(), self.reason.clone(), OnFailure::Restore)?;
        if exit != Exit::Done {
            let now = self.now();
            self.ui.cry(&format!("  {name} is {} now", escape(&now)));
            return Ok(exit);
        }
        if last {
            return Ok(exit);
        }
        let shown = set.plain();
        self.ui.say(&format!("{name} = {} is watched for {}", escape(&shown), span(self.every)));
        let watch = Watch::begin(self.globals, self.ui, Heeds::Flags, STOPPED);
        let mut watch = watch.map_err(|failure| {
            let stands = format!("{name} stays at {shown}, which was seen in the running app");
            self.ends(format!("the ramp ends here: {}", failure.message), stands)
        })?;
        let watched = watch.until(Instant::now() + self.every);
        // What somebody wrote past gitroll counts as well.
        let is_set = self.current().ok().map(|now| now.shown == set);
        match watched {
            Watched::Failed(why) => self.back(&before, &shown, &why),
            Watched::Changed => Err(self.ends(
                "something else was changed meanwhile: the ramp ends here".to_owned(),
                format!("{name} is {} now", self.now()),
            )),
            Watched::Held if is_set == Some(false) => Err(self.ends(
                format!("{name} was changed by somebody else: the ramp ends here"),
                format!("{name} is {} now", self.now()),
            )),
            Watched::Stopped => {
                let stands = match is_set {
                    Some(true) => {
                        format!("{name} stays at {shown}, which was seen in the running app")
                    }
                    _ => format!("{name} is {} now", self.now()),
                };
                Err(self.ends("stopped: the steps that follow were not taken".to_owned(), stands))
            }
            Watched::Held => Ok(Exit::Done),
        }
    }

    /// Puts the value of before the step back, and leaves it there however the app is with it: it failed with the
    /// one above.
    fn back(&self, before: &Value, step: &str, why: &str) -> Result<Exit, Failure> {
        let (ui, name) = (self.ui, &self.flag.name);
        ui.cry(&format!("  {} {}", ui.err.bad(), escape(why)));
        let reason = format!("{name} = {step} did not hold: {why}");
        let reason = crate::ledger::check_reason(&reason).is_ok().then_some(reason);
        let begun = Instant::now();
        let ended = loop {
            let to = To::Recorded(before.shown.clone());
            let ended = signals::to_its_end(|| {
                self.set(to, before.hidden.clone(), reason.clone(), OnFailure::Stay)
            });
            match ended {
                // Whoever is at it must not be the reason that it stays.
                Err(failure)
                    if failure.exit() == Exit::Busy
                        && begun.elapsed() < patience(self.globals)
                        && wait(Duration::from_secs(1)) => {}
                ended => break ended,
            }
        };
        let now = self.now();
        let failed = format!("{name} = {step} did not hold");
        match ended {
            Ok((Exit::Done | Exit::Unrecorded, _)) => {
                let what = format!("{failed}; it is {now} again, as before that step");
                Err(Failure::new(Status::Restored, what)
                    .detail(why.to_owned())
                    .next("gitroll log", "shows the steps"))
            }
            Ok((exit, _)) => {
                // Told already, and there is a run open.
                ui.cry(&format!("  {}", escape(&format!("{failed}; it is {now} now"))));
                Ok(if exit == Exit::RunOpen { exit } else { Exit::PersonNeeded })
            }
            Err(failure) => {
                let what = format!("{failed}, and could not be put back: it is {now} now");
                let mut told = Failure::new(Status::PersonNeeded, what).detail(why.to_owned());
                told = told.detail(failure.message);
                told.details.extend(failure.details.into_iter().filter(|d| d != UNCHANGED));
                told.next = failure.next;
                Err(told.next(format!("gitroll flags off {name}"), "switches it off"))
            }
        }
    }

    /// The ramp did not come to its end, and nothing is wrong with what serves: how it goes on is for a person to
    /// say.
    fn ends(&self, what: String, stands: String) -> Failure {
        Failure::new(Status::PersonNeeded, what)
            .detail(stands)
            .next("gitroll flags", "shows how it stands")
            .next("gitroll back --level flags", "puts the values before the last change back")
    }

    /// A later step could not be begun.
    fn not_begun(&self, step: &str, failure: Failure) -> Failure {
        let name = &self.flag.name;
        let what = format!("{name} = {} was not begun: {}", self.shown(step), failure.message);
        let mut told = self.ends(what, format!("{name} is {} now", self.now()));
        told.details.extend(failure.details.into_iter().filter(|line| line != UNCHANGED));
        told.next.splice(0..0, failure.next);
        told
    }

    /// What it is now, in words.
    fn now(&self) -> String {
        self.current().map_or_else(|_| "not known".to_owned(), |now| now.shown.plain())
    }

    /// What it is now, as a run would put it back.
    fn current(&self) -> Result<Value, Failure> {
        let session = Session::look(self.globals, self.ui)?;
        let facts = session.facts()?;
        let probe = intent(&session, &facts, vec![self.flag.clone()], None)?;
        let before = probe.flags.first().map(|change| change.before.clone());
        let shown = before.ok_or_else(|| Failure::unchanged("there is no such flag"))?;
        Ok(Value { shown, hidden: probe.hidden })
    }

    /// Sets it in a run of its own: how that ended, and what it was set to.
    fn set(
        &self,
        to: To,
        hidden: HiddenFlags,
        reason: Option<String>,
        on_failure: OnFailure,
    ) -> Result<(Exit, FlagValue), Failure> {
        let session = Session::change(self.globals, self.ui, "flags")?;
        let facts = session.facts()?;
        let wanted = Wanted { to, ..self.flag.clone() };
        let mut intent = intent(&session, &facts, vec![wanted], reason)?;
        intent.hidden = intent.hidden.and(hidden);
        let after = intent.flags.first().map(|change| change.after.clone());
        let after = after.ok_or_else(|| Failure::unchanged("there is no such flag"))?;
        let manner =
            Manner { plan_only: false, yes: true, asks: false, any_candidate: false, further: 1 };
        let exit = carry_out_or(&session, facts, intent, &[], manner, on_failure)?;
        Ok((exit, after))
    }

    fn shown(&self, step: &str) -> String {
        FlagValue::shown(&self.flag.name, step.into()).plain()
    }
}

/// `10%` as a fraction; 0 % and 100 % as declared, where they are. Anything else as it is.
fn value_of(step: &str, flag: Option<&Flag>) -> Result<String, String> {
    if step.trim().is_empty() {
        return Err("a step is empty: write percentages or values, as in 1%,50%,100%".to_owned());
    }
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
