//! The state of one proof: answers and looks go in, whether it is proven comes out. Pure; times are
//! counted from its start.

use std::time::Duration;

use crate::config::Check;
use crate::service::ServiceState;

use super::format::seconds;
use super::streak::{Answered, Streak};
use super::watch::{Observation, ServiceWatch};
use super::witness::{Sockets, Witness, old_listener, weigh};
use super::{Expectation, Proof};

/// How often services are looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// How long services must stay as they are where no check asks anything, and for how long that is tried.
const SERVICES_SETTLE: Duration = Duration::from_secs(5);
const SERVICES_TIMEOUT: Duration = Duration::from_secs(30);

/// How a proof stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProofState {
    Open,
    Proven,
    Failed,
}

/// One proof on its way.
#[derive(Debug, Clone)]
pub(super) struct Window<'a> {
    expectation: &'a Expectation,
    streaks: Vec<Streak>,
    watch: ServiceWatch,
    sockets: Sockets,
    /// When the last look began and ended.
    looked: Option<(Duration, Duration)>,
    deadline: Duration,
    settle: Duration,
}

impl<'a> Window<'a> {
    pub(super) fn new(checks: &[Check], expectation: &'a Expectation) -> Self {
        let streaks: Vec<Streak> = checks.iter().map(Streak::new).collect();
        let deadline = streaks.iter().map(Streak::timeout).max().unwrap_or(SERVICES_TIMEOUT);
        let settle = streaks.iter().map(Streak::settle).max().unwrap_or(SERVICES_SETTLE);
        Self {
            expectation,
            streaks,
            watch: ServiceWatch::default(),
            sockets: Sockets::new(),
            looked: None,
            deadline,
            settle,
        }
    }

    /// Check number `check` was asked at `at`.
    pub(super) fn asked(&mut self, check: usize, at: Duration) {
        if let Some(streak) = self.streaks.get_mut(check) {
            streak.asked(at);
        }
    }

    /// An answer to check number `check` has come.
    pub(super) fn answered(&mut self, check: usize, answer: Answered) {
        let deadline = self.deadline;
        if let Some(streak) = self.streaks.get_mut(check) {
            streak.answered(answer, deadline);
        }
    }

    /// Services and sockets were looked at from `began` to `ended`.
    pub(super) fn seen(
        &mut self,
        look: Observation,
        sockets: Sockets,
        began: Duration,
        ended: Duration,
    ) {
        let quiet = self.watch.seen(look, ended, self.expectation.fresh_since);
        // What was answered before the first look may come from processes nobody has seen.
        if !quiet || self.looked.is_none() {
            self.streaks.iter_mut().for_each(|streak| streak.restart(ended));
        }
        if let Some(since) = self.expectation.fresh_since.filter(|_| !self.expectation.weak) {
            for (streak, listeners) in self.streaks.iter_mut().zip(&sockets) {
                let listeners = listeners.as_deref().unwrap_or_default();
                streak.socket(old_listener(listeners, since), ended);
            }
        }
        self.sockets = sockets;
        self.looked = Some((began, ended));
    }

    /// When services want to be looked at again. At once when every streak holds and they have not been seen
    /// since: what was seen before a crash proves nothing.
    pub(super) fn next_look(&self) -> Duration {
        let Some((began, ended)) = self.looked else { return Duration::ZERO };
        match self.held_since() {
            Some(held) if began < held => held,
            _ => ended + BETWEEN_LOOKS,
        }
    }

    pub(super) fn state(&self, now: Duration) -> ProofState {
        if self.proven() {
            ProofState::Proven
        } else if self.blind()
            || self.watch.hopeless()
            || self.streaks.iter().any(|streak| streak.hopeless() || streak.missed(now))
            || (now > self.deadline
                && self.streaks.iter().all(|streak| streak.out_of_time(now, self.deadline)))
        {
            ProofState::Failed
        } else {
            ProofState::Open
        }
    }

    /// Whether nothing is asked and nothing is observed.
    fn blind(&self) -> bool {
        self.streaks.is_empty() && self.looked.is_some() && self.watch.is_empty()
    }

    /// Since when all streaks hold; `None` while one does not.
    fn held_since(&self) -> Option<Duration> {
        self.streaks
            .iter()
            .try_fold(Duration::ZERO, |held, streak| Some(held.max(streak.held_at()?)))
    }

    fn proven(&self) -> bool {
        let (Some((began, ended)), Some(held)) = (self.looked, self.held_since()) else {
            return false;
        };
        let observed = if self.streaks.is_empty() {
            !self.watch.is_empty() && self.watch.clean_for(ended) >= self.settle
        } else {
            began >= held
        };
        observed && !self.watch.troubled() && self.witness().is_some()
    }

    fn witness(&self) -> Option<Witness> {
        let told = self.streaks.iter().any(Streak::told);
        let services: Vec<&ServiceState> = self.watch.states();
        let Expectation { fresh_since, weak, .. } = *self.expectation;
        weigh(told, &services, &self.sockets, fresh_since, weak)
    }

    /// `api 2/3, admin: 500`.
    pub(super) fn progress(&self) -> String {
        if self.streaks.is_empty() {
            return self.watch.progress();
        }
        self.streaks.iter().map(Streak::progress).collect::<Vec<_>>().join(", ")
    }

    /// What came of it, at `now`.
    pub(super) fn proof(&self, now: Duration) -> Proof {
        let proven = self.proven();
        let failures = if proven { Vec::new() } else { self.failures(now) };
        let lines = if proven { Vec::new() } else { self.watch.lines(now, self.settle) };
        Proof {
            proven,
            checks: self.streaks.iter().map(|streak| streak.evidence(now)).collect(),
            services: self.watch.evidence(self.expectation.fresh_since),
            failures,
            lines,
        }
    }

    fn failures(&self, now: Duration) -> Vec<String> {
        if self.blind() {
            return vec!["there is no check and no service: nothing can be observed".to_owned()];
        }
        let (wrong, other): (Vec<&Streak>, Vec<&Streak>) =
            self.streaks.iter().partition(|streak| streak.wrong_version());
        let services = self.watch.failures(now, self.settle);
        let disturbed = !services.is_empty();
        let mut failures: Vec<String> = wrong
            .into_iter()
            .chain(other)
            .filter_map(|streak| streak.failure(disturbed, now))
            .collect();
        failures.extend(services);
        let no_witness = self.held_since().is_some() && self.witness().is_none();
        if failures.is_empty() && no_witness {
            failures.push(format!(
                "nothing observed can tell {} from what served before",
                self.expectation.served
            ));
        }
        if failures.is_empty() {
            failures.push(format!("it did not stay so for {}", seconds(self.settle)));
        }
        failures
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
