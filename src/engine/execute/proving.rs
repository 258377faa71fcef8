//! What the proof of the target is asked with.

use super::Executor;
use crate::check::{LogPositions, LogWindow, Proof};
use crate::engine::prove::{intended, log_window, prove};
use crate::engine::{flags, steps};
use crate::model::Step;
use crate::system::procs::Ticks;
use crate::system::signals::Until;

impl Executor<'_, '_> {
    /// Where the logs end, before the first step that touches what serves: from there on they speak of what is put
    /// in place. A run that goes on keeps to what it said first.
    pub(super) fn window_opened(&self, next: usize) -> Option<LogPositions> {
        let run = &self.run;
        let activation = steps::activation(&run.plan);
        let nothing = run.plan.steps.get(activation) == Some(&Step::Prove);
        if next < activation || nothing || run.log_window().is_some() {
            return None;
        }
        log_window(self.site, &self.config, &run.plan.from, &run.id)
    }

    /// Somebody may have checked something else out meanwhile: then that is what the next start loads.
    pub(in crate::engine) fn head_moved(&self) -> Option<String> {
        let head = self.site.git.head().ok()?;
        let (found, to) = (head.commit.short(), &self.run.plan.to);
        let moved = head.commit != to.commit;
        moved.then(|| format!("HEAD was moved to {found} while {to} was proven"))
    }

    pub(in crate::engine) fn prove_target(&mut self, since: Option<Ticks>) -> Proof {
        let plan = &self.run.plan;
        let not = Some(&plan.from).filter(|from| from.commit != plan.to.commit);
        let (run, until) = (&self.run.id, Until::Stopped);
        let mut intent = intended(self.site, &self.config, &plan.to, run, not, since, until);
        let logs = self.run.log_window().cloned();
        intent.around.window = logs.map(|logs| LogWindow { must: logs.clone(), must_not: logs });
        intent.around.untold = flags::untold(plan);
        intent.around.redactor = self.redactor();
        prove(self.site, &self.config, plan, &intent, self.narrator)
    }
}
