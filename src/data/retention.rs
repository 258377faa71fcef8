//! Which points a prune keeps, and why.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::config::KeepPoints;
use crate::model::PointId;

/// What a prune has to know of one point.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// Its name.
    pub id: PointId,
    /// When it was taken.
    pub taken: Timestamp,
    /// It is never removed.
    pub pinned: bool,
}

/// What becomes of one point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// Its name.
    pub id: PointId,
    /// Why it stays; `None` if it goes.
    pub kept: Option<String>,
}

/// Rules on all points, the newest first.
pub fn rule(points: &[Keeping], keep: &KeepPoints, now: Timestamp, zone: &TimeZone) -> Vec<Ruling> {
    let mut newest_first: Vec<&Keeping> = points.iter().collect();
    newest_first.sort_by_key(|point| std::cmp::Reverse((point.taken, point.id.number())));
    let mut days = Periods::new(keep.daily, "the newest of its day");
    let mut weeks = Periods::new(keep.weekly, "the newest of its week");
    let mut months = Periods::new(keep.monthly, "the newest of its month");
    let last = usize::try_from(keep.last).unwrap_or(usize::MAX);
    let rule = |(at, point): (usize, &Keeping)| {
        let local = point.taken.to_zoned(zone.clone());
        let week = local.date().iso_week_date();
        let day = local.date().to_string();
        // Each period is counted, whatever else keeps the point.
        let by_period = [
            days.take(day),
            weeks.take(format!("{}-{}", week.year(), week.week())),
            months.take(format!("{}-{}", local.year(), local.month())),
        ];
        let age = now.duration_since(point.taken);
        let young = age.unsigned_abs() < keep.within || age.is_negative();
        let why = if point.pinned {
            Some("pinned")
        } else if at < last {
            Some("among the newest")
        } else if young {
            Some("young")
        } else {
            by_period.into_iter().flatten().next()
        };
        Ruling { id: point.id.clone(), kept: why.map(str::to_owned) }
    };
    newest_first.into_iter().enumerate().map(rule).collect()
}

/// The latest so many periods that have a point.
struct Periods {
    most: usize,
    seen: BTreeSet<String>,
    why: &'static str,
}

impl Periods {
    fn new(most: u32, why: &'static str) -> Self {
        Self { most: usize::try_from(most).unwrap_or(usize::MAX), seen: BTreeSet::new(), why }
    }

    /// Why the point is kept that comes first in this period.
    fn take(&mut self, period: String) -> Option<&'static str> {
        (self.seen.len() < self.most && self.seen.insert(period)).then_some(self.why)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_newest_the_young_the_pinned_and_one_of_each_period_stay() {
        let point = |number, taken: &str, pinned| Keeping {
            id: PointId::of(number),
            taken: taken.parse().unwrap(),
            pinned,
        };
        let points = [
            point(1, "2026-01-05T10:00:00Z", true),
            point(2, "2026-08-03T10:00:00Z", false),
            point(3, "2026-08-20T10:00:00Z", false),
            point(4, "2026-11-20T09:00:00Z", false),
            point(5, "2026-11-20T10:00:00Z", false),
            point(6, "2026-11-28T10:00:00Z", false),
            point(7, "2026-11-30T10:00:00Z", false),
        ];
        let keep = KeepPoints {
            last: 1,
            daily: 2,
            weekly: 0,
            monthly: 2,
            within: Duration::from_secs(24 * 60 * 60),
        };
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let ruled = rule(&points, &keep, now, &TimeZone::UTC);
        let told: Vec<(String, Option<&str>)> =
            ruled.iter().map(|r| (r.id.to_string(), r.kept.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("p7".to_owned(), Some("among the newest")),
                ("p6".to_owned(), Some("the newest of its day")),
                ("p5".to_owned(), None),
                ("p4".to_owned(), None),
                ("p3".to_owned(), Some("the newest of its month")),
                ("p2".to_owned(), None),
                ("p1".to_owned(), Some("pinned")),
            ]
        );
    }
}
