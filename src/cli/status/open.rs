//! What `gitroll status` says of a run that is not over.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::session::Session;
use crate::cli::watchdog::Watching;
use crate::engine::{self, JournalError, Lock, Phase, Run, Unsettled};
use crate::model::RunId;
use crate::ui::escape;

/// A run that is not over.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OpenRun {
    /// Its id.
    pub id: RunId,
    /// What it does, e.g. `deploy to v1.3.0 (7c1e0a4)`.
    pub what: String,
    /// Where it stands.
    pub stands: String,
    /// A process is at work on it right now.
    pub at_work: bool,
    /// The steps that were done.
    pub done: Vec<String>,
    /// The steps that were not, an interrupted one first.
    pub left: Vec<String>,
    /// What finishes it if nobody does; absent where there is nothing.
    pub watchdog: Option<Watching>,
    /// A command of which nobody knows whether it ran to its end: `gitroll resume` asks about it.
    pub unsettled: Option<String>,
    /// Commands of the team's own that go on although the run was killed: process and words.
    pub outlived: Vec<(u32, String)>,
}

/// The runs that are not over.
pub(super) fn runs(session: &Session) -> Result<Vec<OpenRun>, JournalError> {
    let at_work = Lock::holder(&session.site.state()).is_some();
    let runs = engine::open_runs(&session.site)?;
    Ok(runs.into_iter().map(|run| OpenRun::of(session, run, at_work)).collect())
}

impl OpenRun {
    fn of(session: &Session, run: Run, at_work: bool) -> Self {
        let labels = run.plan.steps.iter().map(crate::model::Step::label);
        let (done, left): (Vec<_>, Vec<_>) =
            labels.enumerate().partition(|(index, _)| *index < steps_done(&run));
        let names = |steps: Vec<(usize, String)>| steps.into_iter().map(|(_, name)| name).collect();
        Self {
            what: format!("{} to {}", run.plan.event, run.plan.to),
            stands: stands(&run, at_work),
            at_work,
            done: names(done),
            left: names(left),
            unsettled: run.unsettled().map(|Unsettled { command, .. }| command),
            outlived: if at_work { Vec::new() } else { run.outlived(&session.site) },
            watchdog: Watching::over(&session.site, &run),
            id: run.id,
        }
    }

    /// `20261121-140200-k3f9: deploy to v1.3.0 (7c1e0a4): interrupted in reload web`
    pub(super) fn line(&self) -> String {
        format!("{}: {}: {}", self.id, escape(&self.what), escape(&self.stands))
    }

    /// What is done, what is not, and the ways on.
    pub(super) fn particulars(&self, now: jiff::Timestamp, field: &impl Fn(&str, &str)) {
        let list = |steps: &[String]| escape(&steps.join(", "));
        if !self.done.is_empty() {
            field("done", &list(&self.done));
        }
        if !self.left.is_empty() {
            field("not done", &list(&self.left));
        }
        if let Some(watching) = &self.watchdog {
            field("watchdog", &watching.words(now));
        }
        for (process, words) in &self.outlived {
            let words = escape(words);
            field(
                "running",
                &format!("`{words}` goes on (process {process}); resume and abort wait"),
            );
        }
        if self.at_work {
            return;
        }
        match &self.unsettled {
            None => field("next", "gitroll resume    goes on"),
            Some(command) => {
                field("question", &format!("did `{}` run to its end?", escape(command)));
                field("next", "gitroll resume --done    it did, or you have seen to it: goes on");
                field("", "gitroll resume --redo    runs it again");
            }
        }
        field("", "gitroll abort     puts back what served before");
    }
}

/// How many of the plan's steps are in effect.
fn steps_done(run: &Run) -> usize {
    match run.journal.phase() {
        Phase::Forward { next, .. } => *next,
        // What is left is its record.
        Phase::Proven | Phase::Closed(_) => run.plan.steps.len().saturating_sub(1),
        Phase::Stuck(engine::Side::Target) => run.plan.steps.len().saturating_sub(2),
        _ => 0,
    }
}

fn stands(run: &Run, at_work: bool) -> String {
    let step = |index: usize| run.plan.steps.get(index).map(|s| s.label()).unwrap_or_default();
    match run.journal.phase() {
        Phase::Forward { next, .. } if at_work => format!("at work on {}", step(*next)),
        Phase::Restoring { .. } if at_work => format!("{} is being restored", run.plan.from),
        Phase::Fresh => "nothing was done".to_owned(),
        Phase::Forward { next, announced: true } if run.has_failed() => {
            format!("failed in {}, the next candidate was to be tried", step(*next))
        }
        Phase::Forward { next, announced: true } => format!("interrupted in {}", step(*next)),
        Phase::Forward { next, announced: false } => format!("interrupted before {}", step(*next)),
        Phase::Proven => format!("{} was observed serving, not recorded yet", run.plan.to),
        Phase::Restoring { .. } => format!("interrupted while {} was restored", run.plan.from),
        Phase::Restored => format!("{} was restored, not recorded yet", run.plan.from),
        Phase::Stuck(_) => "a person is needed".to_owned(),
        Phase::Closed(_) => "over".to_owned(),
    }
}
