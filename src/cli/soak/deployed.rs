//! `deploy --soak`: what was deployed is watched, and what served before comes back by itself.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Heeds, Watch, Watched, patience, wait};
use crate::cli::Globals;
use crate::cli::back::{self, BackArgs};
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Status};
use crate::engine::Lock;
use crate::model::{Event, Outcome, Served};
use crate::system::signals;
use crate::ui::{Ui, escape, span};

/// What came of `deploy --soak`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WatchedAnswer {
    /// `held`, `stopped` by a person, `superseded` by a newer deploy that contains it, `replaced` by something
    /// else, or `failed`.
    pub outcome: String,
    /// For how long it was to be watched, in seconds.
    pub seconds: u64,
    /// What did not hold, or what was put in place.
    pub why: Option<String>,
}

struct Soak<'a> {
    globals: &'a Globals,
    ui: &'a Ui,
    /// What served before, where that is something else.
    before: Option<&'a Served>,
    deployed: &'a Served,
    time: Duration,
    /// The answer of the deploy itself.
    document: Option<Value>,
}

/// Watches `deployed`, which was just proven, and goes back to `before` by itself where it does not hold. Where
/// nothing else served before, a person is needed then.
///
/// # Errors
/// When it does not hold, and going back ends without `before` observed serving.
pub fn after_deploy(
    globals: &Globals,
    ui: &Ui,
    before: &Served,
    deployed: &Served,
    time: Duration,
) -> Result<Exit, Failure> {
    let before = Some(before).filter(|before| before.commit != deployed.commit);
    let then = match before {
        Some(before) => format!("{before} comes back where a check fails"),
        None => "nothing else served before that could come back".to_owned(),
    };
    let document = ui.take_document();
    let soak = Soak { globals, ui, before, deployed, time, document };
    let begun = Watch::begin(
        globals,
        ui,
        Heeds::Commit,
        "not watching any more; what was proven serves on, as far as it does now",
    );
    let mut watch = begun.map_err(|why| {
        soak.needed(format!("{deployed} was proven, and cannot be watched: {}", why.message))
    })?;
    // Only now is it true.
    ui.say(&format!("  watched for {}; {then}", span(time)));
    let end = Instant::now() + time;
    let mut busy = None;
    loop {
        match watch.until(end) {
            Watched::Held => {
                ui.say(&format!("  {} it held for {}", ui.err.ok(), span(time)));
                return Ok(soak.ended(Exit::Done, "held", None));
            }
            Watched::Stopped => return soak.stopped(&mut watch),
            Watched::Changed => return soak.replaced(&mut watch),
            Watched::Failed(why) => {
                ui.cry(&format!("  {} {}", ui.err.bad(), escape(&why)));
                let since = *busy.get_or_insert_with(Instant::now);
                match soak.go_back(&watch, &why) {
                    // Whoever is at it may be curing it.
                    Err(failure)
                        if failure.exit() == Exit::Busy && since.elapsed() < patience(globals) =>
                    {
                        if Lock::is_held(&watch.site.state()) || wait(super::AGAIN) {
                            continue;
                        }
                        return soak.stopped(&mut watch);
                    }
                    Err(failure) => return Err(soak.not_back(failure, &why)),
                    Ok(exit) => return Ok(exit),
                }
            }
        }
    }
}

impl Soak<'_> {
    /// A person stopped the watching: says how it stands at this moment.
    fn stopped(&self, watch: &mut Watch<'_>) -> Result<Exit, Failure> {
        let faults = watch.look();
        if watch.changed() {
            return self.replaced(watch);
        }
        let deployed = self.deployed;
        if !faults.is_empty() {
            let what = format!("not watched any more: {deployed} was proven, and does not hold");
            return Err(self.needed(what).detail(faults.join(", ")));
        }
        let line = format!("not watched any more: {deployed} was proven and serves");
        self.ui.say(&format!("  {line}"));
        Ok(self.ended(Exit::Done, "stopped", None))
    }

    /// Another commit is in place. A newer deploy that contains what was asked for is the next chapter; anything
    /// else means that what was asked for does not serve.
    fn replaced(&self, watch: &mut Watch<'_>) -> Result<Exit, Failure> {
        let faults = watch.look();
        let (facts, deployed) = (&watch.facts, self.deployed);
        let now = &facts.serving;
        let last = facts
            .own(&watch.site)
            .iter()
            .rev()
            .map(|entry| &entry.record)
            .find(|record| record.event.serves() && record.outcome == Outcome::Succeeded);
        let by = match last {
            Some(record) if !facts.by_hand() => format!("by gitroll {}", record.event),
            _ => "by hand".to_owned(),
        };
        let what = format!("{now} was put in place meanwhile {by}");
        if !faults.is_empty() {
            let failure = self.needed(format!("{what}, and does not serve as it should"));
            return Err(failure.detail(faults.join(", ")));
        }
        let deploys = last.is_some_and(|record| record.event == Event::Deploy) || facts.by_hand();
        let git = &watch.site.git;
        let contains = git.contains(&now.commit, &deployed.commit).is_ok_and(|contains| contains);
        if deploys && contains {
            self.ui.say(&format!("  {deployed} was proven; {what}: not watched any more"));
            return Ok(self.ended(Exit::Done, "superseded", Some(what)));
        }
        let bad = self.ui.err.bad();
        self.ui.cry(&format!("{bad} {what}: {deployed} does not serve any more. [20]"));
        Ok(self.ended(Exit::Restored, "replaced", Some(what)))
    }

    fn go_back(&self, watch: &Watch<'_>, why: &str) -> Result<Exit, Failure> {
        let Some(before) = self.before else {
            let what =
                format!("{} was proven, and did not hold while it was watched", self.deployed);
            return Err(self.needed(what));
        };
        let reason = format!("it did not hold while it was watched: {why}");
        let reason = crate::ledger::check_reason(&reason).is_ok().then_some(reason);
        self.globals.caller(self.ui).between_runs(None);
        let to = BackArgs::to(&before.commit, reason);
        let exit = signals::to_its_end(|| back::run(self.globals, self.ui, &to))?;
        let serves = |served: &Served| {
            let facts = crate::plan::facts::Facts::gather(&watch.site);
            facts.is_ok_and(|facts| facts.serving.commit == served.commit)
        };
        let bad = self.ui.err.bad();
        match exit {
            Exit::Done | Exit::Unrecorded => {
                self.ui.cry(&format!("{bad} It did not hold. {before} restored. [20]"));
                Ok(self.ended(Exit::Restored, "failed", Some(why.to_owned())))
            }
            // Healthy at that moment, it was what the way back was taken back to.
            Exit::Restored if serves(self.deployed) => Err(self.needed(format!(
                "{} is in place again: it did not hold, and {before} could not be put back",
                self.deployed
            ))),
            exit => Ok(self.ended(exit, "failed", Some(why.to_owned()))),
        }
    }

    /// It did not hold, and could not be taken back.
    fn not_back(&self, failure: Failure, why: &str) -> Failure {
        if matches!(failure.exit(), Exit::PersonNeeded | Exit::RunOpen) {
            return failure.detail(format!("it did not hold: {why}"));
        }
        // True of the way back only: what fails is in place.
        const UNCHANGED: &str = "nothing was changed";
        let because = failure.message.trim_end_matches(UNCHANGED).trim_end_matches("; ");
        let what = match self.before {
            Some(before) => format!("{} did not hold, and {before} is not back", self.deployed),
            None => format!("{} did not hold", self.deployed),
        };
        let mut told = self.needed(what).detail(why.to_owned()).detail(because.to_owned());
        told.details.extend(failure.details.into_iter().filter(|line| line != UNCHANGED));
        let others = failure.next.into_iter().filter(|(next, _)| next != "the same command");
        told.next.splice(0..0, others);
        told
    }

    fn needed(&self, what: String) -> Failure {
        Failure::new(Status::PersonNeeded, what)
            .next("gitroll status", "shows what serves")
            .next("gitroll back", "goes to the last good state")
    }

    /// The one answer of the deploy and of what came after it.
    fn ended(&self, exit: Exit, outcome: &str, why: Option<String>) -> Exit {
        let after = self.ui.take_document();
        let Some(mut document) = self.document.clone() else { return exit };
        let result = &mut document["result"];
        let word = match exit {
            Exit::Done => None,
            Exit::Restored => Some("restored"),
            Exit::RunOpen => Some("left-open"),
            _ => Some("person-needed"),
        };
        if let Some(word) = word {
            result["outcome"] = word.into();
            result["why"] = why.clone().into();
        }
        for field in ["record", "unsigned", "published", "open_run"] {
            if let Some(value) = after.as_ref().and_then(|after| after["result"].get(field)) {
                result[field] = value.clone();
            }
        }
        let seconds = self.time.as_secs();
        let watched = WatchedAnswer { outcome: outcome.to_owned(), seconds, why };
        result["watched"] = serde_json::to_value(watched).unwrap_or_default();
        self.ui.answer(document);
        exit
    }
}
