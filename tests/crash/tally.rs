//! Points, worked through by several hosts at once, and what came of them.

// What was measured is printed for who runs the sweep with `--nocapture`.
#![allow(clippy::print_stderr)]

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::oracle::Found;
use super::world::{Act, World};
use crate::support::rotation::{share, turn};
use crate::support::*;

/// Whether everything is swept, not the share that belongs to every run of the tests.
pub fn full() -> bool {
    std::env::var_os("GITROLL_CRASH_FULL").is_some()
}

/// About `each` of `all`, evenly spread, other ones with the next [`turn`]; all of them in a full sweep. So what a
/// run of the tests takes does not grow with what there is to sweep. What was taken is said too.
pub fn part<T>(all: Vec<T>, each: usize) -> (Vec<T>, String) {
    if full() {
        let said = format!("all {} points", all.len());
        return (all, said);
    }
    let (count, turn) = (all.len(), turn());
    let shares = count.div_ceil(each);
    let taken = share(all, shares, turn);
    let said = format!(
        "{} of {count} points (share {} of {shares})",
        taken.len(),
        turn % shares as u64 + 1
    );
    (taken, said)
}

/// What came of a point.
pub struct Came {
    /// What was found.
    pub found: Found,
    /// Whether the fault was really there.
    pub fired: bool,
    /// Whether it was there at another moment than was meant.
    pub beside: bool,
}

/// Works through about `each` of the points on a host (in a full sweep on several at once), which `arm` makes
/// ready. Prints what came of them, and fails if one of them failed or its fault did not fire.
pub fn sweep<P: Sync + Send + std::fmt::Debug>(
    name: &str,
    acts: &[Act],
    arm: fn(&TestEnvironment),
    each: usize,
    points: impl FnOnce(&World<'_>) -> Vec<P>,
    run: impl Fn(&World<'_>, &P) -> Came + Sync,
) {
    let begun = Instant::now();
    let host = TestEnvironment::new();
    arm(&host);
    let world = World::prepare(&host, acts);
    let all = points(&world);
    assert!(all.len() >= each, "{name}: too few points: {}", all.len());
    let (points, swept) = part(all, each);
    let queue: VecDeque<P> = points.into();
    let tally = Tally { swept, ..Tally::default() };
    let (queue, tally) = (Mutex::new(queue), Mutex::new(tally));
    let next = || queue.lock().expect("nobody panics holding it").pop_front();
    let work = |world: &World<'_>| {
        while let Some(point) = next() {
            let at = Instant::now();
            let came = catch_unwind(AssertUnwindSafe(|| run(world, &point)));
            let mut tally = tally.lock().expect("nobody panics holding it");
            tally.took = tally.took.max(at.elapsed());
            match came {
                Ok(Came { found, fired, beside }) => {
                    tally.beside += usize::from(beside);
                    *tally.found.entry(found).or_default() += 1;
                    tally.fired += usize::from(fired);
                    if !fired {
                        tally.failures.push(format!("{point:?}: the fault did not fire"));
                    }
                }
                Err(panic) => tally.failures.push(format!("{point:?}: {}", message(&*panic))),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers() {
            scope.spawn(|| {
                let host = TestEnvironment::new();
                arm(&host);
                work(&World::prepare(&host, acts));
            });
        }
        work(&world);
    });
    let tally = tally.into_inner().expect("nobody panics holding it");
    tally.print(name, begun.elapsed());
    let failures = tally.failures;
    assert!(failures.is_empty(), "{} failed:\n\n{}", failures.len(), failures.join("\n\n"));
}

#[derive(Debug, Default)]
struct Tally {
    swept: String,
    fired: usize,
    beside: usize,
    found: BTreeMap<Found, usize>,
    took: Duration,
    failures: Vec<String>,
}

impl Tally {
    fn print(&self, name: &str, took: Duration) {
        let found = |what| self.found.get(&what).copied().unwrap_or_default();
        eprintln!(
            "{name}: {}, {} faults fired ({} at another call), found old {}, new {}, failed {}; {:.0?}, the slowest {:.1?}",
            self.swept,
            self.fired,
            self.beside,
            found(Found::Old),
            found(Found::New),
            self.failures.len(),
            took,
            self.took,
        );
    }
}

/// How many hosts. Each has to be made ready, which a share does not pay for: there are other tests beside it.
fn workers() -> usize {
    let wanted = std::env::var("GITROLL_CRASH_WORKERS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(if full() { 2 } else { 1 })
}

/// What a panic said.
pub fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

#[test]
fn each_point_is_swept_once_in_a_rotation() {
    for (points, shares) in [(880, 45), (45, 45), (406, 41), (96, 7), (14, 3), (7, 1)] {
        let turns = 1_000..1_000 + shares as u64;
        let taken = turns.map(|turn| share((0..points).collect(), shares, turn));
        let taken: Vec<Vec<usize>> = taken.collect();
        assert!(taken.iter().all(|share| share.len().abs_diff(points / shares) <= 1));
        let mut swept = taken.concat();
        swept.sort_unstable();
        assert_eq!(swept, (0..points).collect::<Vec<_>>());
    }
}
