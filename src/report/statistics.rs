//! How often changes were made, how many failed, and how long it took to recover: from the records, and nothing else.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Event, Oid, Outcome};

/// One act as the records have it.
#[derive(Debug, Clone)]
pub struct Act {
    /// When it ended.
    pub at: Timestamp,
    /// What it was.
    pub event: Event,
    /// How it ended.
    pub outcome: Outcome,
    /// What served before.
    pub from: Option<Oid>,
    /// What serves since.
    pub to: Option<Oid>,
    /// What served was failing when it began.
    pub failing: bool,
    /// How long the person waited.
    pub took: Duration,
}

/// The statistics of a time.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Statistics {
    /// From when on.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Until when.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// The deployments.
    pub deploys: Counts,
    /// The rollbacks: `back`, of components, of flags to what they were.
    pub rollbacks: Counts,
    /// Of the deployments, those that did not end serving or were rolled back later.
    pub failed_changes: usize,
    /// The same as a share of all deployments, in percent; absent without any.
    pub change_failure_percent: Option<f64>,
    /// Succeeded deployments a week.
    pub deploys_per_week: f64,
    /// How long it took to recover, by level: `flags`, `code`.
    pub recovery: Vec<Recovery>,
    /// Each week, the oldest first.
    pub weeks: Vec<Week>,
}

/// How acts ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// What was asked for was observed serving.
    pub succeeded: usize,
    /// What served before was restored.
    pub restored: usize,
    /// Nothing healthy served.
    pub failed: usize,
}

/// The times to recover of one level: of acts that began while what served was failing, and ended serving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Recovery {
    /// `flags`, `code`.
    pub level: String,
    /// How many.
    pub count: usize,
    /// Half of them took at most so many milliseconds.
    pub median_millis: u64,
    /// 95 in 100 took at most so many.
    pub p95_millis: u64,
    /// The longest.
    pub longest_millis: u64,
}

/// One week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Week {
    /// Its begin.
    #[schemars(with = "String")]
    pub begin: Timestamp,
    /// Deployments that succeeded.
    pub deployed: usize,
    /// Deployments that did not.
    pub failed: usize,
    /// Rollbacks.
    pub rolled_back: usize,
}

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Counts the acts from `since` to `until`, which are in order.
pub fn statistics(acts: &[Act], since: Timestamp, until: Timestamp) -> Statistics {
    let inside: Vec<&Act> = acts.iter().filter(|act| act.at >= since && act.at <= until).collect();
    let deploys: Vec<&Act> = of(&inside, |event| *event == Event::Deploy);
    let rollbacks = of(&inside, is_rollback);
    // Before anything was ever served there was nothing to recover.
    let first = acts.iter().position(|act| act.outcome == Outcome::Succeeded);
    let later = acts.iter().skip(first.map_or(acts.len(), |first| first + 1));
    let after: Vec<&Act> = later.filter(|act| act.at >= since && act.at <= until).collect();
    let failed_changes = deploys.iter().filter(|act| failed_later(act, acts)).count();
    let succeeded = count(&deploys).succeeded;
    // A history that is younger than what is asked for is no quiet time.
    let begin = acts.first().map_or(since, |act| act.at.max(since));
    let weeks = until.duration_since(begin).as_secs_f64() / WEEK.as_secs_f64();
    Statistics {
        since,
        until,
        deploys: count(&deploys),
        rollbacks: count(&rollbacks),
        failed_changes,
        change_failure_percent: share(failed_changes, deploys.len()),
        deploys_per_week: if weeks > 0.0 { tenth(number(succeeded) / weeks) } else { 0.0 },
        recovery: ["flags", "code"]
            .into_iter()
            .filter_map(|level| recovery(level, &after))
            .collect(),
        weeks: by_week(&inside, begin, until),
    }
}

fn of<'a>(acts: &[&'a Act], wanted: impl Fn(&Event) -> bool) -> Vec<&'a Act> {
    acts.iter().copied().filter(|act| wanted(&act.event)).collect()
}

fn is_rollback(event: &Event) -> bool {
    matches!(event, Event::Back | Event::Component)
}

fn count(acts: &[&Act]) -> Counts {
    let ended = |outcome| acts.iter().filter(|act| act.outcome == outcome).count();
    Counts {
        total: acts.len(),
        succeeded: ended(Outcome::Succeeded),
        restored: ended(Outcome::Restored),
        failed: ended(Outcome::Failed),
    }
}

/// Whether a deployment did not end serving, or was left by a rollback before another deployment replaced it.
fn failed_later(deploy: &Act, all: &[Act]) -> bool {
    if deploy.outcome != Outcome::Succeeded {
        return true;
    }
    // By their order: two acts may end in the same second.
    let later = all.iter().skip_while(|act| !std::ptr::eq(*act, deploy)).skip(1);
    let later = later.filter(|act| act.outcome == Outcome::Succeeded);
    let mut changes = later.filter(|act| act.event == Event::Deploy || is_rollback(&act.event));
    changes.next().is_some_and(|next| is_rollback(&next.event) && next.from == deploy.to)
}

fn recovery(level: &str, acts: &[&Act]) -> Option<Recovery> {
    let fits = |act: &&&Act| match act.event {
        Event::Flags => level == "flags",
        Event::Back | Event::Component | Event::Deploy => level == "code",
        _ => false,
    };
    let helped = acts.iter().filter(fits);
    let helped = helped.filter(|act| act.failing && act.outcome == Outcome::Succeeded);
    let millis = |act: &&Act| u64::try_from(act.took.as_millis()).unwrap_or(u64::MAX);
    let mut times: Vec<u64> = helped.map(millis).collect();
    times.sort_unstable();
    Some(Recovery {
        level: level.to_owned(),
        count: times.len(),
        median_millis: percentile(&times, 50)?,
        p95_millis: percentile(&times, 95)?,
        longest_millis: *times.last()?,
    })
}

/// The smallest of the sorted times that so many in 100 do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn by_week(acts: &[&Act], since: Timestamp, until: Timestamp) -> Vec<Week> {
    let mut weeks = Vec::new();
    let mut begin = since;
    while begin < until && weeks.len() < 1000 {
        let end = begin.saturating_add(WEEK).unwrap_or(until);
        let inside = acts.iter().filter(|act| act.at >= begin && (act.at < end || end >= until));
        let mut week = Week { begin, deployed: 0, failed: 0, rolled_back: 0 };
        for act in inside {
            match (&act.event, act.outcome) {
                (Event::Deploy, Outcome::Succeeded) => week.deployed += 1,
                (Event::Deploy, _) => week.failed += 1,
                (event, _) if is_rollback(event) => week.rolled_back += 1,
                _ => {}
            }
        }
        weeks.push(week);
        begin = end;
    }
    weeks
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| tenth(number(part) * 100.0 / number(whole)))
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

// As precise as it is shown.
#[allow(clippy::cast_precision_loss)]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        begin.saturating_add(SignedDuration::from_hours(24 * day)).unwrap()
    }

    fn oid(digit: char) -> Oid {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn act(day: i64, event: Event, outcome: Outcome, (from, to): (char, char)) -> Act {
        let (from, to) = (Some(oid(from)), Some(oid(to)));
        let took = Duration::from_secs(u64::try_from(day).unwrap());
        Act { at: at(day), failing: event == Event::Back, event, outcome, from, to, took }
    }

    #[test]
    fn a_deploy_that_was_rolled_back_is_a_failed_change_and_a_later_one_is_not() {
        let acts = [
            act(1, Event::Deploy, Outcome::Succeeded, ('1', '2')),
            act(2, Event::Deploy, Outcome::Succeeded, ('2', '3')),
            // In the same second, as a quick test or a quick person does it.
            act(2, Event::Back, Outcome::Succeeded, ('3', '2')),
            act(4, Event::Deploy, Outcome::Restored, ('2', '4')),
            act(9, Event::Deploy, Outcome::Succeeded, ('2', '5')),
            act(10, Event::Back, Outcome::Failed, ('5', '2')),
            act(40, Event::Deploy, Outcome::Succeeded, ('5', '6')),
        ];
        let found = statistics(&acts, at(0), at(14));
        let counts =
            |total, succeeded, restored, failed| Counts { total, succeeded, restored, failed };
        assert_eq!(found.deploys, counts(4, 3, 1, 0));
        assert_eq!(found.rollbacks, counts(2, 1, 0, 1));
        assert_eq!((found.failed_changes, found.change_failure_percent), (2, Some(50.0)));
        assert!((found.deploys_per_week - 1.6).abs() < 0.01);
        let recovery = &found.recovery[0];
        assert_eq!(
            (recovery.level.as_str(), recovery.count, recovery.p95_millis),
            ("code", 1, 2000)
        );
        assert_eq!(found.weeks.len(), 2);
        assert_eq!((found.weeks[0].deployed, found.weeks[0].failed), (2, 1));
        assert_eq!((found.weeks[1].deployed, found.weeks[1].rolled_back), (1, 1));
        assert_eq!(statistics(&[], at(0), at(7)).change_failure_percent, None);
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<u64> = (1..=20).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 95)), (Some(10), Some(19)));
        assert_eq!((percentile(&[7], 50), percentile(&[7], 95)), (Some(7), Some(7)));
        assert_eq!(percentile(&[], 50), None);
    }
}
