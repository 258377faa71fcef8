//! Finishing an open run: going on with it, or undoing it.

use std::time::Instant;

use super::caller::{Caller, Notice};
use super::carry_out::Pursuit;
use super::failure::Failure;
use super::outcome::{ChangeOutcome, Status};
use super::saved;
use super::session::Session;
use super::watchdog::FinishedRun;
use crate::engine::{self, Ended, EngineError, Repeat, Run, Unsettled};
use crate::model::Narrator;
use crate::site::Site;
use crate::system::clock;

/// Goes on with the open run, and proves again. `watchdog`: the guard that this is a try of.
///
/// # Errors
/// When no run is open, or it still cannot be proven.
pub fn resume(
    caller: &Caller,
    repeat: Repeat,
    watchdog: Option<&str>,
) -> Result<ChangeOutcome, Failure> {
    let settled = |run: &Run| settled(run, repeat);
    go_on(caller, "resume", watchdog, settled, |site, run, narrator| {
        engine::resume(site, run, repeat, narrator)
    })
}

/// Undoes the open run: restores what served before, and proves it.
///
/// # Errors
/// When no run is open, it is past its commit point, or what served before cannot be proven.
pub fn abort(caller: &Caller, watchdog: Option<&str>) -> Result<ChangeOutcome, Failure> {
    go_on(caller, "abort", watchdog, |_| Ok(()), engine::abort)
}

/// Whether it is known what became of every command: else a person has to say.
fn settled(run: &Run, repeat: Repeat) -> Result<(), Failure> {
    match (run.unsettled(), repeat) {
        (None, Repeat::Done) => Err(Failure::new(
            Status::Usage,
            "--done does not apply: no command of this run was interrupted",
        )
        .next("gitroll status", "shows the state of the run")
        .next("gitroll resume", "continues it")),
        (Some(Unsettled { label, command, declared_by, .. }), Repeat::None) => {
            let what = format!("{label} was interrupted: did its command finish?");
            let failure = Failure::new(Status::RunOpen, what)
                .detail(format!("command  {command}"))
                .detail(format!(
                    "it is not marked `{declared_by}`, so gitroll does not run it again by itself"
                ));
            Err(failure.next_steps(run))
        }
        _ => Ok(()),
    }
}

/// Opens the open run and continues with it one way or the other, unless `settled` has something against it; for
/// the watchdog only the run it guards.
fn go_on(
    caller: &Caller,
    command: &str,
    watchdog: Option<&str>,
    settled: impl FnOnce(&Run) -> Result<(), Failure>,
    way: impl FnOnce(&Site, Run, &mut Narrator<'_>) -> Result<Ended, EngineError>,
) -> Result<ChangeOutcome, Failure> {
    let session =
        Session::change_beside_run(caller, command, watchdog.is_some())?.going_by_what_was_seen();
    // Of the runs of one act the last: those beneath it come after it.
    let Some(mut run) = engine::open_runs(&session.site)?.pop() else {
        let failure = Failure::unchanged("no run is open");
        let failure = match FinishedRun::lately(&session.site, clock::now()) {
            Some(finished) => {
                failure.detail(format!("the watchdog {}", finished.words(clock::now())))
            }
            None => failure,
        };
        let left = session
            .facts()
            .ok()
            .and_then(|facts| saved::not_brought_back(&session.site, &facts.serving.commit));
        let failure = left.iter().fold(failure, |failure, left| {
            let (command, what) = saved::bring_back_step(left);
            failure.next(command, what)
        });
        return Err(failure.next("gitroll status", "shows what serves"));
    };
    if let Some(token) = watchdog
        && !run.left_to_watchdog(&session.site, token)
    {
        return Err(Failure::unchanged("this guard is no longer valid"));
    }
    for (process, words) in run.outlived(&session.site) {
        caller.info(format!("waiting for `{words}` (process {process}), which is still running"));
    }
    run.wait_for_outlived(&session.site).map_err(|why| Failure::new(Status::RunOpen, why))?;
    settled(&run)?;
    let what = format!("{command} of {}", run.id);
    caller.tell(Notice::Resumed(&session.place(), what));
    if watchdog.is_none()
        && let Some(cut) = run.cut_off()
    {
        caller.tell(Notice::Detail(cut));
    }
    session.heed_signals();
    let pursuit = Pursuit { session: &session, command, watchdog, begin: Instant::now() };
    let attempt = pursuit.go_on(run, way)?;
    pursuit.conclude(attempt)
}
