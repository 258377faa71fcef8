//! `gitroll resume`

use std::time::Instant;

use clap::Args;

use super::Globals;
use super::exit::Exit;
use super::failure::{Failure, Status};
use super::further::{self, Going};
use super::session::Session;
use super::status::FinishedRun;
use crate::engine::{self, Ended, EngineError, Repeat, Run, Unsettled};
use crate::model::Narrator;
use crate::site::Site;
use crate::system::clock;
use crate::ui::{Live, Ui, escape};

/// Go on with a run that was interrupted or needs a person, and prove again
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll resume           after mending what `gitroll status` names
  gitroll resume --done    the command it asks about did run to its end

A run that is going back already (its deploy failed, was stopped or aborted) is finished going back:
it does not turn round. What was observed serving is only recorded.")]
pub struct ResumeArgs {
    /// The interrupted command that `gitroll status` asks about ran to its end, or you have seen to it
    #[arg(long, conflicts_with = "redo")]
    done: bool,
    /// Run it again, and commands of the run that were done already
    #[arg(long)]
    redo: bool,
    /// Nothing is asked: taken so that scripts may say it everywhere
    #[arg(long, short, hide = true)]
    yes: bool,
    /// A try of the guard that knows itself by this
    #[arg(long, hide = true, value_name = "TOKEN")]
    watchdog: Option<String>,
}

/// Runs it.
///
/// # Errors
/// When no run is open, or it still cannot be proven.
pub fn run(globals: &Globals, ui: &Ui, args: &ResumeArgs) -> Result<Exit, Failure> {
    let repeat = match args {
        ResumeArgs { done: true, .. } => Repeat::Done,
        ResumeArgs { redo: true, .. } => Repeat::Redo,
        _ => Repeat::None,
    };
    let settled = |run: &Run| settled(run, repeat);
    go_on(globals, ui, "resume", args.watchdog.as_deref(), settled, |site, run, narrator| {
        engine::resume(site, run, repeat, narrator)
    })
}

/// Whether it is known what became of every command: else a person has to say.
fn settled(run: &Run, repeat: Repeat) -> Result<(), Failure> {
    match (run.unsettled(), repeat) {
        (None, Repeat::Done) => {
            Err(Failure::new(Status::Usage, "--done answers a question that this run does not ask")
                .next("gitroll status", "shows where it stands")
                .next("gitroll resume", "goes on with it"))
        }
        (Some(Unsettled { label, command, .. }), Repeat::None) => {
            let what = format!("{label} was interrupted: did its command run to its end?");
            let failure = Failure::new(Status::RunOpen, what)
                .detail(format!("command  {command}"))
                .detail("it does not say `idempotent = true`, so it is not simply run again");
            Err(failure.next_steps(run))
        }
        _ => Ok(()),
    }
}

/// Opens the open run and goes on with it one way or the other, unless `settled` has something against it; for
/// the watchdog only the run it guards.
pub(super) fn go_on(
    globals: &Globals,
    ui: &Ui,
    command: &str,
    watchdog: Option<&str>,
    settled: impl FnOnce(&Run) -> Result<(), Failure>,
    way: impl FnOnce(&Site, Run, &mut Narrator<'_>) -> Result<Ended, EngineError>,
) -> Result<Exit, Failure> {
    let session = Session::change_beside_run(globals, ui, command, watchdog.is_some())?;
    // Of the runs of one act the last: those beneath it come after it.
    let Some(mut run) = engine::open_runs(&session.site)?.pop() else {
        let failure = Failure::unchanged("no run is open");
        let failure = match FinishedRun::lately(&session, clock::now()) {
            Some(finished) => {
                failure.detail(format!("the watchdog {}", finished.words(clock::now())))
            }
            None => failure,
        };
        return Err(failure.next("gitroll status", "shows what serves"));
    };
    if let Some(token) = watchdog
        && !run.left_to_watchdog(&session.site, token)
    {
        return Err(Failure::unchanged("this guard does not count any more"));
    }
    for (process, words) in run.outlived(&session.site) {
        ui.say(&format!("waiting for `{}` (process {process}): it goes on", escape(&words)));
    }
    run.wait_for_outlived(&session.site).map_err(|why| Failure::new(Status::RunOpen, why))?;
    settled(&run)?;
    let plan = run.plan.clone();
    ui.say(&format!("{}    {} of {}", session.place(), command, run.id));
    let begin = Instant::now();
    session.heed_signals();
    let mut live = Live::new(ui);
    let ended = way(&session.site, run, &mut |narration| live.tell(narration))?;
    further::conclude(&Going { session: &session, command, watchdog, begin }, plan, ended)
}
