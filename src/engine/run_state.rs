//! What a run's journal says of it.

use super::cause::Reason;
use super::entry::{Entry, OnFailure};
use super::phase::{Phase, Side};
use super::prove::parsed;
use super::run::Run;
use crate::check::{LogPositions, Proof};
use crate::config::{Manager, Service};
use crate::model::{Cause, CheckEvidence, ServiceName, Step};
use crate::service::{self, Host};
use crate::site::Site;
use crate::system::procs::Ticks;

/// A command of the team's own that was interrupted and does not say that it may simply be run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The step's index in the plan.
    pub step: usize,
    /// The step's label, e.g. `reload web`.
    pub label: String,
    /// The command as it was started.
    pub command: String,
    /// The service it belongs to.
    pub service: ServiceName,
}

impl Run {
    /// The command of which nobody knows whether it ran to its end, where the run stopped in one.
    pub fn unsettled(&self) -> Option<Unsettled> {
        let Phase::Forward { next, announced: true } = *self.journal.phase() else { return None };
        let command = self.command_once(next)?;
        let Step::Reload { service } = &self.plan.steps[next] else { return None };
        let (label, service) = (self.plan.steps[next].label(), service.clone());
        Some(Unsettled { step: next, label, command, service })
    }

    /// The commands of the team's own that this run started and that go on although it was killed: process,
    /// words.
    pub fn outlived(&self, site: &Site) -> Vec<(u32, String)> {
        let found = |(host, service): (Host<'_>, Service)| {
            service::outlived(&host, &service).map(|(process, words)| (process.pid, words))
        };
        self.services(site).into_iter().filter_map(found).collect()
    }

    /// Waits until they have ended. One that takes longer than it may is ended.
    ///
    /// # Errors
    /// The one that does not end, in words.
    pub fn wait_for_outlived(&self, site: &Site) -> Result<(), String> {
        for (host, service) in self.services(site) {
            service::wait_for_outlived(&host, &service).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn services<'s>(&self, site: &'s Site) -> Vec<(Host<'s>, Service)> {
        let config = parsed(&self.plan.config, "gitroll.toml").ok();
        let services = config.into_iter().flat_map(|config| config.services);
        services.map(|one| (site.host(&self.plan.to, self.id.as_str()), one)).collect()
    }

    /// The command of a reload that must not simply be repeated.
    pub(super) fn command_once(&self, step: usize) -> Option<String> {
        let Step::Reload { service } = self.plan.steps.get(step)? else { return None };
        let config = parsed(&self.plan.config, "gitroll.toml").ok()?;
        let service = config.services.into_iter().find(|s| s.name == *service)?;
        match service.manager {
            Manager::Command { idempotent: false, reload, stop, start, .. } => {
                let both = || format!("{} && {}", stop.join(" "), start.join(" "));
                Some(reload.map_or_else(both, |words| words.join(" ")))
            }
            _ => None,
        }
    }

    /// When a step was done in this run, by the ticks it left: the outer `None` where it was not.
    pub(super) fn done_before(&self, wanted: usize) -> Option<Option<Ticks>> {
        self.journal.lines().iter().rev().find_map(|line| match line.entry {
            Entry::Done { step, ticks, .. } if step == wanted => Some(ticks),
            _ => None,
        })
    }

    pub(super) fn aborted(&self) -> bool {
        self.restoring().is_some_and(|reason| reason.is_person())
    }

    /// Why it is restored.
    pub(super) fn why_restored(&self) -> Reason {
        self.restoring().unwrap_or_else(|| Reason::of(Cause::Aborted))
    }

    pub(super) fn restoring(&self) -> Option<Reason> {
        self.journal.lines().iter().rev().find_map(|line| line.entry.reason())
    }

    /// Whether it was stuck on its way back before.
    pub(super) fn was_stuck_before(&self) -> bool {
        self.journal
            .lines()
            .iter()
            .any(|line| matches!(line.entry, Entry::Stuck { side: Side::Before, .. }))
    }

    /// Whether what served before the run was failing then.
    pub(super) fn was_failing(&self) -> bool {
        // The last of several candidates is left for the one before it, which had failed as well.
        self.baseline().iter().any(CheckEvidence::failed)
            || self.journal.begun().is_some_and(|b| b.on_failure != OnFailure::Restore)
    }

    /// Where the logs ended before what is to be proven now was put in place. A person who has mended what was
    /// stuck begins a window of its own, and so does the way back.
    pub(super) fn log_window(&self) -> Option<LogPositions> {
        self.journal.lines().iter().fold(None, |window, line| match &line.entry {
            Entry::Intent { logs: Some(logs), .. } => Some(logs.clone()),
            Entry::Done { logs: Some(later), .. } => window.map(|logs| logs.with(later.clone())),
            Entry::TreeRestored { logs, .. } => logs.clone(),
            Entry::Restoring { .. } | Entry::Stuck { .. } => None,
            _ => window,
        })
    }

    /// Where the logs ended before the run touched what serves.
    pub(super) fn logs_before(&self) -> Option<&LogPositions> {
        self.journal.lines().iter().find_map(|line| match &line.entry {
            Entry::Intent { logs, .. } => logs.as_ref(),
            _ => None,
        })
    }

    /// Whether the last thing that was done was a step that failed: the next candidate is to be tried.
    pub fn has_failed(&self) -> bool {
        self.journal.lines().last().is_some_and(|line| matches!(line.entry, Entry::Failed { .. }))
    }

    /// Whether a later process goes on with it.
    pub(super) fn was_resumed(&self) -> bool {
        self.journal.lines().iter().any(|line| matches!(line.entry, Entry::Resumed { .. }))
    }

    pub(super) fn baseline(&self) -> &[CheckEvidence] {
        self.journal.begun().map_or(&[], |b| &b.baseline)
    }

    /// The earliest reload since the run last began to go forward.
    pub(super) fn fresh_since(&self) -> Option<Ticks> {
        let lines = self.journal.lines();
        let from =
            lines.iter().rposition(|line| matches!(line.entry, Entry::Resumed { .. })).unwrap_or(0);
        lines[from..]
            .iter()
            .filter_map(|line| match line.entry {
                Entry::Done { ticks, .. } => ticks,
                _ => None,
            })
            .min()
    }

    pub(super) fn reload_was_announced(&self) -> bool {
        self.journal.lines().iter().any(|line| match line.entry {
            Entry::Intent { step, .. } => {
                matches!(self.plan.steps.get(step), Some(Step::Reload { .. }))
            }
            _ => false,
        })
    }

    pub(super) fn first_failure(&self) -> String {
        let mut restored = self.journal.lines().iter().filter_map(|line| line.entry.reason());
        let reason = self.failures().next().or_else(|| restored.next());
        reason.unwrap_or_else(|| Reason::of(Cause::Aborted)).text
    }

    /// Why its last step failed.
    pub fn last_failure(&self) -> String {
        self.failures().last().map_or_else(|| "it was interrupted".to_owned(), |last| last.text)
    }

    pub(super) fn failures(&self) -> impl Iterator<Item = Reason> {
        self.journal.lines().iter().filter_map(|line| line.entry.failure())
    }

    pub(super) fn proof(&self) -> Proof {
        let found = self.journal.lines().iter().find_map(|line| match &line.entry {
            Entry::Proven { checks, services, .. } => Some((checks.clone(), services.clone())),
            _ => None,
        });
        let (checks, services) = found.unwrap_or_default();
        Proof { proven: true, checks, services, failures: Vec::new(), lines: Vec::new() }
    }
}
