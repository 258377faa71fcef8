//! What the proof of the target is asked with.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Executor;
use crate::check::{LogPositions, LogWindow, Proof, log_positions};
use crate::config::{Config, Service};
use crate::engine::prove::{intended, log_window, prove};
use crate::engine::{flags, steps};
use crate::model::Step;
use crate::service;
use crate::site::surroundings;
use crate::system::procs::{self, ProcessId, Ticks};
use crate::system::signals::Until;

/// How often it is looked whether the processes of before have ended: a new one may speak soon after.
const LOOK: Duration = Duration::from_millis(1);

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

    /// Reloads a service by `perform` and notes in `logs` where the logs ended that show flags when all that ran before
    /// had ended: what an old process says last is not what the new one says of a flag. Nothing where no such log is
    /// asked, and where something of before goes on: then the window stays as it was.
    pub(super) fn noting_last_words<T>(
        &self,
        step: &Step,
        perform: impl FnOnce() -> T,
        logs: &mut Option<LogPositions>,
    ) -> T {
        let Some(service) = self.shows_flags_by_log(step) else { return perform() };
        let (site, run) = (self.site, &self.run);
        let checks = flags::questions_by_log(
            &self.config,
            &run.plan,
            &flags::hidden_of(site, &run.id),
            &service.name,
        );
        let host = site.host(&run.plan.from, run.id.as_str());
        let state = service::observe(&host, service).ok();
        let named = state.iter().flat_map(|state| &state.processes);
        let old: Vec<ProcessId> =
            named.flat_map(|p| procs::family(p.pid)).filter_map(ProcessId::of).collect();
        if old.is_empty() {
            return perform();
        }
        let asked = Config { checks, ..self.config.clone() };
        let around = surroundings(site, &asked, &run.plan.from, run.id.as_str());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let watching = scope.spawn(|| {
                loop {
                    let last = done.load(Ordering::SeqCst);
                    if !old.iter().any(ProcessId::alive) {
                        return Some(log_positions(&asked.checks, &around));
                    }
                    if last {
                        return None;
                    }
                    thread::sleep(LOOK);
                }
            });
            let performed = perform();
            done.store(true, Ordering::SeqCst);
            *logs = watching.join().ok().flatten();
            performed
        })
    }

    /// The service that a step reloads, where its log shows a flag that it reads as it starts.
    fn shows_flags_by_log(&self, step: &Step) -> Option<&Service> {
        let Step::Reload { service } = step else { return None };
        let hidden = flags::hidden_of(self.site, &self.run.id);
        let asked = flags::questions_by_log(&self.config, &self.run.plan, &hidden, service);
        let service = self.config.services.iter().find(|one| one.name == *service);
        service.filter(|_| !asked.is_empty())
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
        let logs = self.run.log_window();
        intent.around.window = logs.map(|logs| LogWindow { must: logs.clone(), must_not: logs });
        intent.around.untold = flags::untold(plan);
        intent.around.redactor = self.redactor();
        prove(self.site, &self.config, plan, &intent, self.narrator)
    }
}
