//! What `gitroll status` says of a run that is not over.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::act::next_steps::{self, NextStep};
use crate::act::watchdog::Watching;
use crate::cli::session::Session;
use crate::engine::{Course, Held, Lock, Lying, Phase, Run, Side, Unsettled};
use crate::ledger;
use crate::model::{RunId, Seq, Served};
use crate::plan::facts::Facts;
use crate::ui::{clock_word, escape};

/// A run that is open.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OpenRun {
    /// Its id.
    pub id: RunId,
    /// What it does, e.g. `deploy to v1.3.0 (7c1e0a4)`.
    pub what: String,
    /// What served before it.
    pub from: Served,
    /// What it was meant to deploy.
    pub to: Served,
    /// Which way it is on: `preparing` (the live tree was not changed), `forward`, `back`, `proven` (only its
    /// record is left) or `stuck` (a person is needed).
    pub course: String,
    /// What is in the tree: `before` (the previous version), `between` (some files of each) or `target`.
    pub tree: String,
    /// Who began it.
    pub by: Option<String>,
    /// When.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// The reason that was given.
    pub reason: Option<String>,
    /// Its state.
    pub stands: String,
    /// A process is working on it now.
    pub at_work: bool,
    /// Why it needs a person, where it does.
    pub why: Option<String>,
    /// The steps that were done; of a run on its way back those of that way.
    pub done: Vec<String>,
    /// The steps that were not, an interrupted one first; likewise.
    pub left: Vec<String>,
    /// Its record, if it was written although the run is open.
    pub record: Option<Seq>,
    /// What finishes it if nobody does; absent if there is nothing.
    pub watchdog: Option<Watching>,
    /// What the flags that it changes are set to now; empty where it changes none.
    pub flags: Vec<String>,
    /// A command that may or may not have finished: `gitroll resume` asks about it.
    pub unsettled: Option<String>,
    /// Commands of the team's own that continue although the run was killed: process and words.
    pub outlived: Vec<(u32, String)>,
    /// The commands that apply, each with what it will do.
    pub ways: Vec<NextStep>,
    #[serde(skip)]
    stuck: Option<Vec<(&'static str, String)>>,
}

impl OpenRun {
    /// Describes an open run.
    pub(super) fn of(session: &Session, facts: &Facts, run: &Run) -> Self {
        let holder = Lock::holder(&session.site.state());
        let record = recorded(session, facts, run);
        let (done, left) = run.progress(record.is_some());
        let course = run.course();
        let stuck = match course {
            Course::Stuck(side) => {
                Some(next_steps::explain_stuck(&session.site, run, side, &run.last_failure()))
            }
            _ => None,
        };
        Self {
            what: next_steps::what(run),
            from: run.plan.from.clone(),
            to: run.plan.to.clone(),
            course: course_word(course).to_owned(),
            tree: match run.lying() {
                Lying::Before => "before",
                Lying::Between => "between",
                Lying::Target => "target",
            }
            .to_owned(),
            by: run.began().map(|(actor, _)| actor.to_owned()),
            since: run.began().map(|(_, at)| at),
            reason: run.plan.recorded.reason.clone(),
            stands: stands(run, holder.as_ref(), record),
            at_work: holder.is_some(),
            why: stuck.is_some().then(|| run.last_failure()),
            done,
            left,
            record,
            flags: next_steps::flags_now(&session.site, &run.plan),
            unsettled: run.unsettled().map(|Unsettled { command, .. }| command),
            outlived: if holder.is_some() { Vec::new() } else { run.outlived(&session.site) },
            watchdog: Watching::over(&session.site, run),
            ways: next_steps::of(run),
            id: run.id.clone(),
            stuck,
        }
    }

    /// Whether it has begun to change what serves.
    pub(super) fn touches(&self) -> bool {
        self.course != "preparing"
    }

    /// How the target serves, where it does: not yet proven, or not yet recorded.
    pub(super) fn target_word(&self) -> &'static str {
        match self.course.as_str() {
            "proven" => "proven by the open run, not recorded yet",
            "back" => "by the open run, which is going back",
            _ => "by the open run, not proven yet",
        }
    }

    /// `20261121-140200-k3f9: deploy to v1.3.0 (7c1e0a4): interrupted in reload web`
    pub(super) fn line(&self) -> String {
        format!("{}: {}: {}", self.id, escape(&self.what), escape(&self.stands))
    }

    /// What it has put into the tree; `None` if that is what lay there before.
    pub(super) fn tree_words(&self, facts: &Facts) -> Option<String> {
        let (from, to) = (&self.from, &self.to);
        let words = match (self.tree.as_str(), self.course.as_str()) {
            _ if self.stuck.is_some() || !self.flags.is_empty() => None,
            ("target", _) => Some(format!("{to}, deployed by the open run")),
            ("between", "back") => Some(format!("still partly {to}: {from} is being restored")),
            ("between", _) => Some(format!("partly {to}, deployed by the open run")),
            (_, "back") => Some(format!("{from}, restored by the open run")),
            _ => None,
        };
        let head = &facts.head.commit;
        let moved = self.touches() && *head != from.commit && *head != to.commit;
        let by_hand = moved.then(|| format!("HEAD was moved to {} by hand", facts.serving));
        let words: Vec<String> = words.into_iter().chain(by_hand).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// What is done, what is not, and the ways on.
    pub(super) fn particulars(&self, now: Timestamp, field: &impl Fn(&str, &str)) {
        if let (Some(by), Some(since)) = (&self.by, self.since) {
            let why = self.reason.as_ref().map(|reason| format!(": {reason}"));
            let text = format!("{by}, {}{}", clock_word(since, now), why.unwrap_or_default());
            field("begun by", &escape(&text));
        }
        for (name, text) in self.stuck.iter().flatten() {
            field(name, &escape(text));
        }
        for line in self.flags.iter().filter(|_| self.stuck.is_none()) {
            field("flags", &escape(line));
        }
        let back = if self.course == "back" { "going back: " } else { "" };
        let list = |steps: &[String]| format!("{back}{}", escape(&steps.join(", ")));
        if !self.done.is_empty() {
            field("done", &list(&self.done));
        }
        if !self.left.is_empty() {
            field("not done", &list(&self.left));
        }
        match &self.watchdog {
            Some(watching) => field("watchdog", &watching.words(now)),
            None if self.stuck.is_some() || (self.at_work && !self.touches()) => {}
            None => field("watchdog", "none: you must finish this run yourself"),
        }
        for (process, words) in &self.outlived {
            let words = escape(words);
            field(
                "running",
                &format!(
                    "`{words}` is still running (process {process}); resume and abort wait for it"
                ),
            );
        }
        if self.at_work {
            return;
        }
        if let Some(command) = &self.unsettled {
            field("question", &format!("did `{}` finish?", escape(command)));
        }
        let width = self.ways.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
        for (index, (command, what)) in self.ways.iter().enumerate() {
            let name = if index == 0 { "next" } else { "" };
            field(name, &format!("{command:<width$}   {}", escape(what)));
        }
    }
}

/// The record that a run has written already, although it is not over.
fn recorded(session: &Session, facts: &Facts, run: &Run) -> Option<Seq> {
    let last = facts.own(&session.site).last()?;
    let evidence = ledger::evidence(&session.site.git, last).ok()?;
    (evidence.run.as_ref() == Some(&run.id)).then_some(last.record.seq)
}

fn course_word(course: Course) -> &'static str {
    match course {
        Course::Preparing => "preparing",
        Course::Forward => "forward",
        Course::Back => "back",
        Course::Proven => "proven",
        Course::Stuck(Side::Target | Side::Before) => "stuck",
    }
}

fn stands(run: &Run, holder: Option<&Held>, record: Option<Seq>) -> String {
    let step = |index: usize| run.plan.steps.get(index).map(|s| s.label()).unwrap_or_default();
    let who = holder
        .map(|held| if held.watchdog { "the watchdog is working" } else { "a command is working" });
    let (from, to) = (&run.plan.from, &run.plan.to);
    match (run.journal.phase(), who, record) {
        (Phase::Forward { next, .. }, Some(who), _) => format!("{who} on {}", step(*next)),
        (Phase::Restoring { .. }, Some(who), _) => format!("{who}: {from} is being restored"),
        (Phase::Fresh, _, _) => "nothing was done".to_owned(),
        (Phase::Forward { next, announced: true }, ..) if run.has_failed() => {
            format!("failed in {}, the next candidate was not tried yet", step(*next))
        }
        (Phase::Forward { next, announced: true }, ..) => format!("interrupted in {}", step(*next)),
        (Phase::Forward { next, .. }, ..) => format!("interrupted before {}", step(*next)),
        (Phase::Proven, _, Some(seq)) => {
            format!(
                "{to} was observed serving and is recorded (#{seq}); the run only has to be closed"
            )
        }
        (Phase::Proven, _, None) => format!("{to} was observed serving, not recorded yet"),
        (Phase::Restoring { .. }, ..) => format!("interrupted while {from} was restored"),
        (Phase::Restored, _, Some(seq)) => {
            format!("{from} was restored and is recorded (#{seq}); the run only has to be closed")
        }
        (Phase::Restored, _, None) => format!("{from} was restored, not recorded yet"),
        (Phase::Stuck(_), ..) => "a person is needed".to_owned(),
        (Phase::Closed(_), ..) => "over".to_owned(),
    }
}
