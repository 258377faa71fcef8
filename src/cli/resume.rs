//! `gitroll resume`

use std::time::Instant;

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::session::Session;
use super::{Globals, outcome};
use crate::engine::{self, Ended, Run};
use crate::ui::{Live, Ui};

/// Go on with a run that was interrupted or needs a person, and prove again
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll resume    after mending what `gitroll status` names")]
pub struct ResumeArgs {
    /// Nothing is asked: taken so that scripts may say it everywhere
    #[arg(long, short, hide = true)]
    yes: bool,
}

/// Runs it.
///
/// # Errors
/// When no run is open, or it still cannot be proven.
pub fn run(globals: &Globals, ui: &Ui, _args: &ResumeArgs) -> Result<Exit, Failure> {
    go_on(globals, ui, "resume", engine::resume)
}

type Continue = fn(
    &crate::site::Site,
    Run,
    &mut crate::model::Narrator<'_>,
) -> Result<Ended, engine::EngineError>;

/// Opens the open run and goes on with it one way or the other.
pub(super) fn go_on(
    globals: &Globals,
    ui: &Ui,
    command: &str,
    way: Continue,
) -> Result<Exit, Failure> {
    let session = Session::change_beside_run(globals, ui, command)?;
    let mut open = engine::open_runs(&session.site)?;
    if open.is_empty() {
        return Err(
            Failure::unchanged("no run is open").next("gitroll status", "shows what serves")
        );
    }
    let run = open.remove(0);
    let plan = run.plan.clone();
    ui.say(&format!("{}    {} of {}", session.place(), command, run.id));
    let begin = Instant::now();
    let mut live = Live::new(ui);
    let ended = way(&session.site, run, &mut |narration| live.tell(narration))?;
    if let ("abort", Ended::Untouched { .. }) = (command, &ended) {
        ui.line(&format!(
            "{} {} serves as before; nothing that serves was touched",
            ui.out.ok(),
            plan.from
        ));
        ui.document(command, 0, &outcome::ChangeAnswer::of("unchanged", &plan.from, &plan.to));
        return Ok(Exit::Done);
    }
    outcome::tell(&session, command, &plan, ended, begin.elapsed(), true)
}
