//! Watching what serves after it was proven: `deploy --soak`, and between the steps of `flags ramp`.

use std::time::{Duration, Instant};

use super::Globals;
use super::back::{self, BackArgs};
use super::exit::Exit;
use super::failure::Failure;
use super::session::Session;
use crate::model::{Oid, Seq, Served};
use crate::plan::facts::Facts;
use crate::site::Observed;
use crate::system::signals;
use crate::ui::{Ui, escape, span};

/// How long at most from one look to the next.
const LOOK: Duration = Duration::from_secs(10);

/// After how long a bad answer is asked about once more.
const AGAIN: Duration = Duration::from_secs(1);

/// What came of watching.
pub enum Watched {
    /// It held for all that time.
    Held,
    /// A person stopped the watching.
    Stopped,
    /// Somebody put something else in place meanwhile.
    Changed,
    /// What did not hold.
    Failed(String),
}

/// Looks at services and checks again and again for so long. Nobody is kept from anything meanwhile. One bad answer is
/// asked about once more before it counts.
///
/// # Errors
/// When the repository cannot be looked at.
pub fn watch(globals: &Globals, ui: &Ui, time: Duration) -> Result<Watched, Failure> {
    let end = Instant::now() + time;
    let (began, _) = look(globals, ui)?;
    while Instant::now() < end {
        if !wait(LOOK.min(end.saturating_duration_since(Instant::now()))) {
            return Ok(Watched::Stopped);
        }
        let (mut serving, mut faults) = look(globals, ui)?;
        if !faults.is_empty() {
            if !wait(AGAIN) {
                return Ok(Watched::Stopped);
            }
            (serving, faults) = look(globals, ui)?;
        }
        if serving != began {
            return Ok(Watched::Changed);
        }
        if !faults.is_empty() {
            return Ok(Watched::Failed(faults.join(", ")));
        }
    }
    Ok(Watched::Held)
}

/// Watches what was just deployed, and goes back to `before` by itself where it does not hold.
///
/// # Errors
/// When going back ends without `before` observed serving.
pub fn after_deploy(
    globals: &Globals,
    ui: &Ui,
    before: &Served,
    time: Duration,
) -> Result<Exit, Failure> {
    ui.say(&format!("  watched for {}; {before} comes back where a check fails", span(time)));
    match watch(globals, ui, time)? {
        Watched::Held => {
            ui.say(&format!("  {} it held for {}", ui.err.ok(), span(time)));
            Ok(Exit::Done)
        }
        Watched::Stopped => {
            ui.say("  it is not watched any more; it serves on");
            Ok(Exit::Done)
        }
        Watched::Changed => {
            ui.say("  something else was put in place meanwhile: it is not watched any more");
            Ok(Exit::Done)
        }
        Watched::Failed(why) => {
            ui.cry(&format!("  {} {}", ui.err.bad(), escape(&why)));
            let reason = format!("it did not hold while it was watched: {why}");
            let reason = crate::ledger::check_reason(&reason).is_ok().then_some(reason);
            match back::run(globals, ui, &BackArgs::to(&before.commit, reason))? {
                Exit::Done => {
                    let bad = ui.err.bad();
                    ui.cry(&format!("{bad} It did not hold. {before} restored. [20]"));
                    Ok(Exit::Restored)
                }
                exit => Ok(exit),
            }
        }
    }
}

/// Waits; whether nobody asked to stop.
fn wait(time: Duration) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if signals::stop_asked().is_some() {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        std::thread::sleep(Duration::from_millis(200).min(left));
    }
    signals::stop_asked().is_none()
}

/// The last record about what serves, and HEAD.
type Serving = (Option<Seq>, Oid);

/// What serves by the chain's word and by HEAD, and what is wrong with it.
fn look(globals: &Globals, ui: &Ui) -> Result<(Serving, Vec<String>), Failure> {
    let session = Session::look(globals, ui)?;
    let facts: Facts = session.facts()?;
    let deployment = facts.deployment(&session.site);
    let config = &facts.accepted.config;
    let faults = Observed::now(&session.site, config, &facts.serving, &deployment).faults();
    let seq = facts.standing.as_ref().map(|standing| standing.seq);
    Ok(((seq, facts.head.commit.clone()), faults))
}
