//! Passes in a row: when a check has held for as long as it must. Pure; times are given from outside,
//! counted from the start of the proof.

use std::time::Duration;

use crate::config::Check;
use crate::model::{CheckEvidence, CheckName, Probe};

use super::judgement::{Judgement, seconds};

/// One answer and when it was asked for and had.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    pub(super) began: Duration,
    pub(super) ended: Duration,
    /// From the question to the answer.
    pub(super) took: Duration,
    pub(super) judgement: Judgement,
}

/// The passes of one check.
#[derive(Debug, Clone)]
pub(super) struct Streak {
    name: CheckName,
    wanted: u32,
    settle: Duration,
    timeout: Duration,
    answer_limit: Duration,
    passes: u32,
    /// When the first and the last pass of the streak were answered.
    span: (Duration, Duration),
    told: bool,
    /// Answers to what was asked before this moment are no passes.
    not_before: Duration,
    held_at: Option<Duration>,
    ever_held: bool,
    ever_passed: bool,
    /// When the first question was put.
    asked: Option<Duration>,
    last: Option<Answered>,
    last_failure: Option<String>,
    /// Some answers named the version and some did not.
    mixed: bool,
    /// The process that answers although it is older than it may be.
    old: Option<u32>,
    /// Who names no version is not the release that is to be proven.
    tells: bool,
}

impl Streak {
    /// `tells`: the release names its version in each answer.
    pub(super) fn new(check: &Check, tells: bool) -> Self {
        Self {
            name: check.name.clone(),
            wanted: check.passes.max(1),
            settle: check.settle,
            timeout: check.timeout,
            answer_limit: check.answer_limit(),
            passes: 0,
            span: (Duration::ZERO, Duration::ZERO),
            told: false,
            not_before: Duration::ZERO,
            held_at: None,
            ever_held: false,
            ever_passed: false,
            asked: None,
            last: None,
            last_failure: None,
            mixed: false,
            old: None,
            tells,
        }
    }

    /// A question was put at `at`.
    pub(super) fn asked(&mut self, at: Duration) {
        self.asked.get_or_insert(at);
    }

    /// An answer has come. Answers after `deadline` no longer count.
    pub(super) fn answered(&mut self, mut answer: Answered, deadline: Duration) {
        if self.tells && answer.judgement.ok && answer.judgement.unsaid {
            answer.judgement =
                Judgement::failed("does not contain a version, but this release reports one");
        }
        let (began, ended) = (answer.began, answer.ended);
        let Judgement { ok, told, .. } = answer.judgement;
        if !ok {
            self.last_failure = Some(answer.judgement.answer.clone());
            self.clear();
        } else if began >= self.not_before && ended <= deadline {
            if self.passes > 0 && self.told != told {
                // Two kinds of answers come from two versions: neither has held.
                self.mixed = true;
                self.clear();
            }
            if self.passes == 0 {
                self.span.0 = ended;
                self.told = told;
            }
            self.passes = self.passes.saturating_add(1);
            self.ever_passed = true;
            self.span.1 = ended;
            if self.held_at.is_none() && self.passes >= self.wanted && self.stood() >= self.settle {
                self.held_at = Some(ended);
                self.ever_held = true;
            }
        }
        self.last = Some(answer);
    }

    /// Something happened at `at` that makes what was answered until then worthless.
    pub(super) fn restart(&mut self, at: Duration) {
        self.not_before = self.not_before.max(at);
        self.clear();
    }

    /// The process that owns the socket was looked at: `old` is one that may not serve any more. What
    /// tells its version need not be believed by its process.
    pub(super) fn socket(&mut self, old: Option<u32>, at: Duration) {
        self.old = old.filter(|_| !self.told());
        if self.old.is_some() {
            self.restart(at);
        }
    }

    fn clear(&mut self) {
        self.passes = 0;
        self.told = false;
        self.held_at = None;
    }

    fn stood(&self) -> Duration {
        if self.passes == 0 { Duration::ZERO } else { self.span.1.saturating_sub(self.span.0) }
    }

    /// Since when it holds.
    pub(super) fn held_at(&self) -> Option<Duration> {
        self.held_at
    }

    /// Every answer of the streak came from the intended version and from no other.
    pub(super) fn told(&self) -> bool {
        self.passes > 0 && self.told
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn settle(&self) -> Duration {
        self.settle
    }

    /// Whether it can no longer hold in time. A first answer that is still awaited is waited for, so that
    /// there is something to say.
    pub(super) fn missed(&self, now: Duration) -> bool {
        !self.ever_held && self.out_of_time(now, self.timeout)
    }

    pub(super) fn out_of_time(&self, now: Duration, deadline: Duration) -> bool {
        now > deadline && (self.last.is_some() || now > deadline + self.answer_limit)
    }

    /// No later answer can be the expected one.
    pub(super) fn hopeless(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.judgement.hopeless)
    }

    /// The last answer names another version.
    pub(super) fn wrong_version(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.judgement.wrong_version)
    }

    /// `api 2/3`, or `api: no listener on :3000`.
    pub(super) fn progress(&self) -> String {
        match &self.last {
            Some(last) if !last.judgement.ok => format!("{}: {}", self.name, last.judgement.answer),
            _ => format!("{} {}/{}", self.name, self.passes.min(self.wanted), self.wanted),
        }
    }

    /// Why it does not hold; `None` when it does, or when its answers are good and it was `disturbed` by a
    /// service. `end` is when it was given up, from the start.
    pub(super) fn failure(&self, disturbed: bool, end: Duration) -> Option<String> {
        // Whole seconds where it is many: the exact time says nothing.
        let whole = Duration::from_secs(end.as_secs());
        let waited = if whole.as_secs() >= 2 { whole } else { end };
        let within = format!("within {}", seconds(waited.min(self.timeout)));
        let Some(last) = &self.last else {
            let what = self.asked.map_or("not run", |_| "no answer");
            return Some(format!("{}: {what} {within}", self.name));
        };
        if !last.judgement.ok {
            let answer = last.judgement.probe(last.took).told();
            let waited = !self.ever_passed && last.judgement.no_listener;
            let within = if waited { format!(" {within}") } else { String::new() };
            return Some(format!("{}: {answer}{within}", self.name));
        }
        if let Some(pid) = self.old {
            return Some(format!(
                "{}: answered by process {pid}, which started before the reload",
                self.name
            ));
        }
        if self.held_at.is_some() || disturbed {
            return None;
        }
        if self.mixed {
            return Some(format!(
                "{}: some answers contain the version and some do not",
                self.name
            ));
        }
        let before = self.last_failure.as_ref();
        let before = before.map(|why| format!(", before that: {why}")).unwrap_or_default();
        Some(format!(
            "{}: passed {} in a row over {}, not {} over {} {within}{before}",
            self.name,
            self.passes,
            seconds(self.stood()),
            self.wanted,
            seconds(self.settle)
        ))
    }

    /// What is known of it at `end`.
    pub(super) fn evidence(&self, end: Duration) -> CheckEvidence {
        CheckEvidence {
            check: self.name.clone(),
            passed: self.held_at.is_some(),
            passes: self.passes.min(self.wanted),
            wanted: self.wanted,
            last: self.last.as_ref().map_or_else(
                || {
                    let waited = self.asked.map_or(Duration::ZERO, |at| end.saturating_sub(at));
                    let millis = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                    let answer = self.asked.map_or("not run", |_| "no answer yet");
                    Probe { ok: false, millis, answer: answer.to_owned(), says: None }
                },
                |last| last.judgement.probe(last.took),
            ),
            told_version: self.told(),
            skipped: None,
        }
    }
}
