//! What to do next about an open run, in the same words wherever they are named: what `resume` and `abort` will
//! really do with it.

use std::time::Duration;

use crate::config;
pub use crate::diagnosis::NextStep;
use crate::diagnosis::{same_failure, says_the_same};
use crate::engine::{Course, Lying, Run, Side};
use crate::flag::{self, Value};
use crate::model::{Event, FlagChange, Plan};
use crate::site::Site;
use crate::system::text::{ago, clock_word, span};

/// The ways on from a run that is not over, the likelier first.
pub fn of(run: &Run) -> Vec<NextStep> {
    let way = |command: &str, what: String| (command.to_owned(), what);
    let (from, to) = (&run.plan.from, &run.plan.to);
    // What was failing is not offered as if it were good.
    let from = &match run.faults() {
        [] => from.to_string(),
        faults => format!("{from}, which was failing: {}", faults.join(", ")),
    };
    if run.unsettled().is_some() {
        return vec![
            way("gitroll resume --done", "it finished, or you finished it: continues".to_owned()),
            way("gitroll resume --redo", "runs it again".to_owned()),
            match run.course() {
                Course::Preparing => way(
                    "gitroll abort",
                    format!("discards what was prepared; {from} continues to serve"),
                ),
                _ => way("gitroll abort", format!("restores {from}")),
            },
        ];
    }
    match run.course() {
        Course::Preparing => vec![
            way("gitroll resume", format!("continues to {to}")),
            way("gitroll abort", format!("removes what was prepared; {from} still serves")),
        ],
        Course::Forward => vec![
            way("gitroll resume", format!("continues to {to}")),
            way("gitroll abort", format!("restores {from}")),
        ],
        Course::Back => vec![
            way("gitroll resume", format!("finishes restoring {from}")),
            way(
                "gitroll abort",
                "does the same: this run cannot continue to its target".to_owned(),
            ),
        ],
        Course::Proven => {
            let leaves = after_the_proof(run);
            vec![way(
                "gitroll resume",
                format!("finishes it: {to} serves; then {leaves} leaves it"),
            )]
        }
        Course::Stuck(side) => stuck(side),
    }
}

/// What leads back from a run that it is too late to abort, once that is on record; until then it is refused.
fn after_the_proof(run: &Run) -> &'static str {
    match run.plan.event {
        Event::Back | Event::Component => "gitroll back --undo",
        _ => "gitroll back",
    }
}

/// The ways on from a run that needs a person.
pub fn stuck(side: Side) -> Vec<NextStep> {
    let given_up = match side {
        Side::Target => "restores what served before, which was failing",
        Side::Before => "tries again; if that fails, closes the run as it is",
    };
    vec![
        (
            "gitroll resume".to_owned(),
            "after you fix the problem: reloads and proves again".to_owned(),
        ),
        ("gitroll abort".to_owned(), given_up.to_owned()),
    ]
}

/// What a person has to know who is needed: which tree is there, why, what was not used.
pub fn explain_stuck(site: &Site, run: &Run, side: Side, why: &str) -> Vec<(&'static str, String)> {
    let plan = &run.plan;
    if plan.event == Event::Flags {
        let flags = flags_now(site, plan).into_iter().map(|line| ("flags", line));
        return flags.chain([("why", why.to_owned())]).collect();
    }
    let (there, other, why_not) = match side {
        Side::Target => (&plan.to, &plan.from, "it was failing too"),
        Side::Before => (&plan.from, &plan.to, "the run to it failed"),
    };
    [
        match run.lying() {
            Lying::Between => ("tree", format!("partly {}: not everything was restored", plan.to)),
            Lying::Before | Lying::Target => ("tree", format!("{there} and its artifacts")),
        },
        ("why", why.to_owned()),
        ("not used", format!("{other}: {why_not}")),
    ]
    .into_iter()
    .chain(same_before(site, run, why).map(|text| ("note", text)))
    .collect()
}

/// Where a candidate before it failed in the same way, the code is not likely the cause.
fn same_before(site: &Site, run: &Run, why: &str) -> Option<String> {
    let before = run.follows().iter().filter_map(|id| Run::open(site, id).ok());
    let same = before.filter(|before| same_failure(&before.last_failure(), why)).last();
    let left = || run.said_before().any(|said| says_the_same(why, said)).then_some(&run.plan.from);
    let same = same.map(|same| same.plan.to.clone()).or_else(|| left().cloned())?;
    Some(format!("the same error as with {same}: probably not the code"))
}

/// What the flags that a plan changes are set to now, a line each: `A is true in file, as before`.
pub fn flags_now(site: &Site, plan: &Plan) -> Vec<String> {
    let config = config::parse(&plan.config_before, "gitroll.toml").ok();
    let flags = config.and_then(|config| config.flags);
    let host = site.host(&plan.from, "status");
    let now = |change: &FlagChange| {
        let (name, at) = (&change.name, &change.source);
        let Some(source) = flags.as_ref().and_then(|flags| flags.source(Some(at))) else {
            return format!("{name}: [flags] has no source {at}");
        };
        let value = match flag::read(&host, source, std::slice::from_ref(name)) {
            Ok(mut found) => found.remove(name).unwrap_or(Value::Absent).shown(name),
            Err(error) => return format!("{name} cannot be read: {error}"),
        };
        let which = if value == change.before {
            "as before"
        } else if value == change.after {
            "set by the run"
        } else {
            "which is neither the previous value nor that of the run"
        };
        format!("{name} is {} in {at}, {which}", value.plain())
    };
    plan.flags().map(now).collect()
}

/// `deploy to v1.3.0 (7c1e0a4)`
pub fn what(run: &Run) -> String {
    format!("{} to {}", run.plan.event, run.plan.to)
}

/// `today 16:51 (3 min ago)`
pub fn since(then: jiff::Timestamp, now: jiff::Timestamp) -> String {
    let age: Duration = ago(then, now);
    format!("{} ({} ago)", clock_word(then, now), span(age))
}
