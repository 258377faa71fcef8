//! The state of one proof: answers and looks go in, whether it is proven comes out. Pure; times are
//! counted from its start.

use std::time::Duration;

use crate::config::Check;
use crate::service::State;

use super::row::{Answered, Row};
use super::watch::{Look, Watch};
use super::witness::{Sockets, Witness, old_listener, weigh};
use super::words::seconds;
use super::{Intent, Proof};

/// How often services are looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// How long services must stay as they are where no check asks anything, and for how long that is tried.
const SERVICES_SETTLE: Duration = Duration::from_secs(5);
const SERVICES_TIMEOUT: Duration = Duration::from_secs(30);

/// How a proof stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    Proven,
    Failed,
}

/// One proof on its way.
#[derive(Debug, Clone)]
pub(super) struct Window<'a> {
    intent: &'a Intent,
    rows: Vec<Row>,
    watch: Watch,
    sockets: Sockets,
    /// When the last look began and ended.
    looked: Option<(Duration, Duration)>,
    deadline: Duration,
    settle: Duration,
}

impl<'a> Window<'a> {
    pub(super) fn new(checks: &[Check], intent: &'a Intent) -> Self {
        let rows: Vec<Row> = checks.iter().map(Row::new).collect();
        let deadline = rows.iter().map(Row::timeout).max().unwrap_or(SERVICES_TIMEOUT);
        let settle = rows.iter().map(Row::settle).max().unwrap_or(SERVICES_SETTLE);
        Self {
            intent,
            rows,
            watch: Watch::default(),
            sockets: Sockets::new(),
            looked: None,
            deadline,
            settle,
        }
    }

    /// Check number `check` was asked at `at`.
    pub(super) fn asked(&mut self, check: usize, at: Duration) {
        if let Some(row) = self.rows.get_mut(check) {
            row.asked(at);
        }
    }

    /// An answer to check number `check` has come.
    pub(super) fn answered(&mut self, check: usize, answer: Answered) {
        let deadline = self.deadline;
        if let Some(row) = self.rows.get_mut(check) {
            row.answered(answer, deadline);
        }
    }

    /// Services and sockets were looked at from `began` to `ended`.
    pub(super) fn seen(&mut self, look: Look, sockets: Sockets, began: Duration, ended: Duration) {
        let quiet = self.watch.seen(look, ended, self.intent.fresh_since);
        // What was answered before the first look may come from processes nobody has seen.
        if !quiet || self.looked.is_none() {
            self.rows.iter_mut().for_each(|row| row.restart(ended));
        }
        if let Some(since) = self.intent.fresh_since.filter(|_| !self.intent.weak) {
            for (row, listeners) in self.rows.iter_mut().zip(&sockets) {
                let listeners = listeners.as_deref().unwrap_or_default();
                row.socket(old_listener(listeners, since), ended);
            }
        }
        self.sockets = sockets;
        self.looked = Some((began, ended));
    }

    /// When services want to be looked at again. At once when every row holds and they have not been seen
    /// since: what was seen before a crash proves nothing.
    pub(super) fn next_look(&self) -> Duration {
        let Some((began, ended)) = self.looked else { return Duration::ZERO };
        match self.held_since() {
            Some(held) if began < held => held,
            _ => ended + BETWEEN_LOOKS,
        }
    }

    pub(super) fn standing(&self, now: Duration) -> Standing {
        if self.proven() {
            Standing::Proven
        } else if self.blind()
            || self.watch.hopeless()
            || self.rows.iter().any(|row| row.hopeless() || row.missed(now))
            || (now > self.deadline
                && self.rows.iter().all(|row| row.out_of_time(now, self.deadline)))
        {
            Standing::Failed
        } else {
            Standing::Open
        }
    }

    /// Whether nothing is asked and nothing is observed.
    fn blind(&self) -> bool {
        self.rows.is_empty() && self.looked.is_some() && self.watch.is_empty()
    }

    /// Since when all rows hold; `None` while one does not.
    fn held_since(&self) -> Option<Duration> {
        self.rows.iter().try_fold(Duration::ZERO, |held, row| Some(held.max(row.held_at()?)))
    }

    fn proven(&self) -> bool {
        let (Some((began, ended)), Some(held)) = (self.looked, self.held_since()) else {
            return false;
        };
        let observed = if self.rows.is_empty() {
            !self.watch.is_empty() && self.watch.clean_for(ended) >= self.settle
        } else {
            began >= held
        };
        observed && !self.watch.troubled() && self.witness().is_some()
    }

    fn witness(&self) -> Option<Witness> {
        let told = self.rows.iter().any(Row::told);
        let services: Vec<&State> = self.watch.states();
        let Intent { fresh_since, weak, .. } = *self.intent;
        weigh(told, &services, &self.sockets, fresh_since, weak)
    }

    /// `api 2/3, admin: 500`.
    pub(super) fn progress(&self) -> String {
        if self.rows.is_empty() {
            return self.watch.progress();
        }
        self.rows.iter().map(Row::progress).collect::<Vec<_>>().join(", ")
    }

    /// What came of it, at `now`.
    pub(super) fn proof(&self, now: Duration) -> Proof {
        let proven = self.proven();
        let failures = if proven { Vec::new() } else { self.failures(now) };
        let lines = if proven { Vec::new() } else { self.watch.lines(now, self.settle) };
        Proof {
            proven,
            checks: self.rows.iter().map(|row| row.evidence(now)).collect(),
            services: self.watch.evidence(self.intent.fresh_since),
            failures,
            lines,
        }
    }

    fn failures(&self, now: Duration) -> Vec<String> {
        if self.blind() {
            return vec!["there is no check and no service: nothing can be observed".to_owned()];
        }
        let (wrong, other): (Vec<&Row>, Vec<&Row>) =
            self.rows.iter().partition(|row| row.wrong_version());
        let services = self.watch.failures(now, self.settle);
        let disturbed = !services.is_empty();
        let mut failures: Vec<String> =
            wrong.into_iter().chain(other).filter_map(|row| row.failure(disturbed, now)).collect();
        failures.extend(services);
        let no_witness = self.held_since().is_some() && self.witness().is_none();
        if failures.is_empty() && no_witness {
            failures.push(format!(
                "nothing observed can tell {} from what served before",
                self.intent.served
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
