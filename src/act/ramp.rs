//! `gitroll flags ramp`: a flag raised step by step. Each step is a run of its own; between them nobody is kept
//! from anything.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Caller, Notice};
use super::carry_out::{ChangeOptions, carry_out};
use super::failure::Failure;
use super::flags::{self, FlagRequest, FlagSetting, switched};
use super::outcome::Status;
use super::publication;
use super::session::Session;
use super::soak::{Heeds, Watch, Watched, patience, wait};
use super::statement::check_reason;
use crate::config::Flag;
use crate::engine::OnFailure;
use crate::model::{FlagName, FlagValue, HiddenFlags};
use crate::system::signals;
use crate::system::text::span;

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

/// To raise a flag step by step.
#[derive(Debug, Clone)]
pub struct RampRequest {
    /// The flag, or the component that declares it.
    pub flag: String,
    /// Percentages (1 % is 0.01, 100 % the value for on where that is declared) or values.
    pub steps: Vec<String>,
    /// How long each step is watched before the next.
    pub every: Duration,
    pub reason: Option<String>,
    /// Show the steps and stop.
    pub plan_only: bool,
}

/// How a ramp ended.
#[derive(Debug)]
pub enum RampOutcome {
    Planned(RampAnswer),
    Reached(RampAnswer),
    /// A step did not come to what was wanted: that was told as it happened.
    Ended(Status),
}

/// Between two steps: what a person is told who stops it.
const STOPPED: &str = "stopping; the flag keeps the value that was last seen";

/// Raises the flag step by step: each step is seen in the running app, and watched before the next.
///
/// # Errors
/// The first step that does not hold: the one before it is in place again, or a person is needed.
pub fn ramp(caller: &Caller, request: &RampRequest) -> Result<RampOutcome, Failure> {
    check_reason(request.reason.as_deref())?;
    let facts = Session::look(caller)?.facts()?;
    let config = &facts.accepted.config;
    let flag = switched(config, std::slice::from_ref(&request.flag), false)?.remove(0);
    let declared = config.components.iter().filter_map(|c| c.flag.as_ref());
    let declared = declared.clone().find(|declared| declared.name == flag.name);
    let steps: Vec<String> = request
        .steps
        .iter()
        .map(|step| value_of(step, declared))
        .collect::<Result<_, String>>()
        .map_err(|why| Failure::new(Status::Usage, why))?;
    let ramp = Ramp { caller, flag, every: request.every, reason: request.reason.clone() };
    let answer = |outcome: &str| RampAnswer {
        outcome: outcome.to_owned(),
        flag: ramp.flag.name.clone(),
        steps: steps.iter().map(|step| ramp.shown(step)).collect(),
        every_seconds: request.every.as_secs(),
    };
    if request.plan_only {
        return Ok(RampOutcome::Planned(answer("planned")));
    }
    let last = steps.len() - 1;
    for (number, step) in steps.iter().enumerate() {
        let status = match ramp.step(step, number == last) {
            // True of this step only: those before it were taken.
            Err(failure) if number > 0 && failure.status.unchanged() => {
                return Err(ramp.not_begun(step, failure));
            }
            ended => ended?,
        };
        if status != Status::Done {
            return Ok(RampOutcome::Ended(status));
        }
    }
    Ok(RampOutcome::Reached(answer("reached")))
}

struct Ramp<'a> {
    caller: &'a Caller,
    flag: FlagRequest,
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
    fn step(&self, step: &str, last: bool) -> Result<Status, Failure> {
        let name = &self.flag.name;
        let before = self.current()?;
        let to = FlagSetting::Text(step.to_owned());
        let (status, set) =
            self.set(to, HiddenFlags::default(), self.reason.clone(), OnFailure::Restore)?;
        if status != Status::Done {
            let now = self.now();
            self.caller.tell(Notice::Remark(format!("{name} is {now} now")));
            return Ok(status);
        }
        if last {
            return Ok(status);
        }
        let shown = set.plain();
        self.caller.info(format!("watching {name} = {shown} for {}", span(self.every)));
        let watch = Watch::begin(self.caller, Heeds::Flags, STOPPED);
        let mut watch = watch.map_err(|failure| {
            let stands = format!("{name} stays at {shown}, which was seen in the running app");
            self.ends(format!("the ramp ends here: {}", failure.message), stands)
        })?;
        let watched = watch.until(Instant::now() + self.every);
        // What someone wrote past gitroll counts as well.
        let is_set = self.current().ok().map(|now| now.shown == set);
        match watched {
            Watched::Failed(why) => self.back(&before, &shown, &why),
            Watched::Changed => Err(self.ends(
                "something else changed meanwhile: the ramp ends here".to_owned(),
                format!("{name} is {} now", self.now()),
            )),
            Watched::Silenced(_) => Err(self.ends(
                "services were stopped for maintenance: the ramp ends here".to_owned(),
                format!("{name} is {} now", self.now()),
            )),
            Watched::Held if is_set == Some(false) => Err(self.ends(
                format!("{name} was changed by someone else: the ramp ends here"),
                format!("{name} is {} now", self.now()),
            )),
            Watched::Stopped => {
                let stands = match is_set {
                    Some(true) => {
                        format!("{name} stays at {shown}, which was seen in the running app")
                    }
                    _ => format!("{name} is {} now", self.now()),
                };
                Err(self.ends("stopped: the remaining steps were not performed".to_owned(), stands))
            }
            Watched::Held => Ok(Status::Done),
        }
    }

    /// Puts the previous value the step back, and leaves it there however the app is with it: it failed with the
    /// one above.
    fn back(&self, before: &Value, step: &str, why: &str) -> Result<Status, Failure> {
        let name = &self.flag.name;
        self.caller.tell(Notice::Alarm(why.to_owned()));
        let reason = format!("{name} = {step} did not hold: {why}");
        let reason = crate::ledger::check_reason(&reason).is_ok().then_some(reason);
        let begun = Instant::now();
        let ended = loop {
            let to = FlagSetting::Recorded(before.shown.clone());
            let ended = signals::to_its_end(|| {
                self.set(to, before.hidden.clone(), reason.clone(), OnFailure::Stay)
            });
            match ended {
                // Whoever is working on it must not be the reason that it stays.
                Err(failure)
                    if failure.status == Status::Busy
                        && begun.elapsed() < patience(self.caller)
                        && wait(Duration::from_secs(1)) => {}
                ended => break ended,
            }
        };
        let now = self.now();
        let failed = format!("{name} = {step} did not hold");
        match ended {
            Ok((Status::Done | Status::Unrecorded, _)) => {
                let what = format!("{failed}; it is {now} again, its value before that step");
                Err(Failure::new(Status::Restored, what)
                    .detail(why.to_owned())
                    .next("gitroll log", "shows the steps"))
            }
            Ok((status, _)) => {
                // Told already, and there is a run open.
                self.caller.tell(Notice::Remark(format!("{failed}; it is {now} now")));
                Ok(if status == Status::RunOpen { status } else { Status::PersonNeeded })
            }
            Err(failure) => {
                let what = format!(
                    "{failed}, and the value before it could not be restored: it is {now} now"
                );
                let mut told = Failure::new(Status::PersonNeeded, what).detail(why.to_owned());
                told = told.detail(failure.message.clone());
                let failure = failure.of_a_part();
                told.details.extend(failure.details);
                told.next = failure.next;
                Err(told.next(format!("gitroll flags off {name}"), "switches it off"))
            }
        }
    }

    /// The ramp did not come to its end, and nothing is wrong with what serves: how it continues is for a person to
    /// say.
    fn ends(&self, what: String, stands: String) -> Failure {
        Failure::new(Status::PersonNeeded, what)
            .detail(stands)
            .next("gitroll flags", "shows its value")
            .next("gitroll back --level flags", "restores the values before the last change")
    }

    /// A later step could not be begun.
    fn not_begun(&self, step: &str, failure: Failure) -> Failure {
        let name = &self.flag.name;
        let what = format!("{name} = {} was not started: {}", self.shown(step), failure.message);
        let mut told = self.ends(what, format!("{name} is {} now", self.now()));
        let failure = failure.of_a_part();
        told.details.extend(failure.details);
        told.next.splice(0..0, failure.next);
        told
    }

    /// What it is now, in words.
    fn now(&self) -> String {
        self.current().map_or_else(|_| "not known".to_owned(), |now| now.shown.plain())
    }

    /// What it is now, as a run would put it back.
    fn current(&self) -> Result<Value, Failure> {
        let session = Session::look(self.caller)?;
        let facts = session.facts()?;
        let probe = flags::change(&session, &facts, vec![self.flag.clone()], None)?;
        let before = probe.flags.first().map(|change| change.before.clone());
        let shown = before.ok_or_else(|| Failure::unchanged("there is no such flag"))?;
        Ok(Value { shown, hidden: probe.hidden })
    }

    /// Sets it in a run of its own: how that ended, and what it was set to.
    fn set(
        &self,
        to: FlagSetting,
        hidden: HiddenFlags,
        reason: Option<String>,
        on_failure: OnFailure,
    ) -> Result<(Status, FlagValue), Failure> {
        let session = Session::change(self.caller, "flags")?;
        let facts = session.facts()?;
        let wanted = FlagRequest { to, ..self.flag.clone() };
        let mut change = flags::change(&session, &facts, vec![wanted], reason)?;
        change.hidden = change.hidden.and(hidden);
        let after = change.flags.first().map(|change| change.after.clone());
        let after = after.ok_or_else(|| Failure::unchanged("there is no such flag"))?;
        let options = ChangeOptions { flags_fail: on_failure, ..ChangeOptions::default() };
        let outcome = carry_out(&session, facts, change, &[], &options)?;
        drop(session);
        publication::finish(self.caller);
        Ok((outcome.status, after))
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
    let number: f64 = percent.trim().parse().map_err(|_| format!("{step} is not a percentage"))?;
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
