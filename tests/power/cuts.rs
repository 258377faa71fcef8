//! Cuts at the places that a run passes, and at random moments.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::disk::FileSystem;
use super::machine::{Came, Cut, Machine, Moment, on_a_machine};
use crate::crash::oracle::{Found, Way};
use crate::crash::world::Act;
use crate::support::kill_everything_below;
use crate::support::rotation::{share, turn};

#[test]
fn on_ext4() {
    on_a_machine(FileSystem::Ext4, &[Act::Deploy, Act::Back], |m| sweep(m, FileSystem::Ext4));
}

#[test]
fn on_xfs() {
    on_a_machine(FileSystem::Xfs, &[Act::Deploy, Act::Back], |m| sweep(m, FileSystem::Xfs));
}

const ACTS: [Act; 2] = [Act::Deploy, Act::Back];

/// Whether everything is swept, not the part that belongs to every run of the tests.
fn full() -> bool {
    std::env::var_os("GITROLL_POWER_FULL").is_some()
}

fn sweep(machine: &Machine<'_>, file_system: FileSystem) {
    machine.cut_after_init();
    machine.cut_after_a_fetch();
    let mut cuts = at_places(machine);
    cuts.extend(at_places_of_both_ways(machine));
    cuts.extend(at_random(machine));
    if let Ok(place) = std::env::var("GITROLL_POWER_PLACE") {
        // For who looks for one fault: with GITROLL_POWER_FULL, only this place, or this kind of cuts.
        let is = |cut: &Cut| matches!(&cut.moment, Moment::Place(name, _) if *name == place);
        cuts.retain(|cut| is(cut) || kind(cut) == place);
    }
    let begun = Instant::now();
    let mut failures = Vec::new();
    let mut came: Vec<(&Cut, Came)> = Vec::new();
    for cut in &cuts {
        match catch_unwind(AssertUnwindSafe(|| machine.cut(cut))) {
            Ok(one) => came.push((cut, one)),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                failures.push(format!("{cut:?}: {}", text.unwrap_or_default()));
                // Wherever it stopped, the next one finds the disk at work.
                kill_everything_below(&machine.disk.top());
                machine.boot();
            }
        }
    }
    tell(file_system, &came, failures.len(), begun.elapsed());
    assert!(failures.is_empty(), "{} failed:\n\n{}", failures.len(), failures.join("\n\n"));
}

fn at_places(machine: &Machine<'_>) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for act in ACTS {
        for (index, (place, n)) in machine.places(act).into_iter().enumerate() {
            for (number, way) in Way::BOTH.into_iter().enumerate() {
                let moment = Moment::Place(place.clone(), n);
                let neighbour = (index + number) % 2 == 0;
                cuts.push(Cut { act, moment, way, again: None, neighbour });
            }
        }
    }
    part(cuts, 55)
}

/// The first cut leaves the tree and HEAD of the new version and the service of the old one; the second
/// comes while that is finished or undone.
fn at_places_of_both_ways(machine: &Machine<'_>) -> Vec<Cut> {
    let act = Act::Deploy;
    let first = Moment::Place("head after".to_owned(), 1);
    let mut cuts = Vec::new();
    for way in Way::BOTH {
        let places = machine.places_of_way(act, &first, way);
        for (index, (place, n)) in places.into_iter().enumerate() {
            let (moment, again) = (first.clone(), Some(Moment::Place(place, n)));
            cuts.push(Cut { act, moment, way, again, neighbour: index % 2 == 0 });
        }
    }
    part(cuts, 24)
}

/// All in a full sweep, else one in `shares`, other ones with the next turn.
fn part(cuts: Vec<Cut>, shares: usize) -> Vec<Cut> {
    if full() { cuts } else { share(cuts, shares, turn()) }
}

fn at_random(machine: &Machine<'_>) -> Vec<Cut> {
    let (count, first) = if full() { (90, 0) } else { (1, turn() % 2) };
    let mut random = Random::seeded();
    let mut cuts = Vec::new();
    for act in ACTS {
        // On a machine that does other things too it was measured too long.
        let most = machine.duration(act).mul_f64(0.7);
        for number in 0..count {
            let moment = |random: &mut Random| Moment::After(most.mul_f64(random.next()));
            let way = Way::BOTH[(number + first as usize) % 2];
            // Every third is cut once more while it is ended, and the last of few.
            let again = (number % 3 == 2 || number + 1 == count).then(|| moment(&mut random));
            let (moment, neighbour) = (moment(&mut random), random.next() < 0.5);
            cuts.push(Cut { act, moment, way, again, neighbour });
        }
    }
    cuts
}

const AT_PLACES: &str = "at places";
const AT_PLACES_OF_WAYS: &str = "at a place, then at places of resume and abort";
const AT_RANDOM: &str = "at random moments";

fn kind(cut: &Cut) -> &'static str {
    match (&cut.moment, &cut.again) {
        (Moment::After(_), _) => AT_RANDOM,
        (Moment::Place(..), None) => AT_PLACES,
        (Moment::Place(..), Some(_)) => AT_PLACES_OF_WAYS,
    }
}

#[allow(clippy::print_stderr)]
fn tell(file_system: FileSystem, came: &[(&Cut, Came)], failed: usize, took: Duration) {
    for name in [AT_PLACES, AT_PLACES_OF_WAYS, AT_RANDOM] {
        let of = came.iter().filter(|(cut, _)| kind(cut) == name).map(|(_, came)| came);
        let of: Vec<&Came> = of.collect();
        let count = |wanted: &dyn Fn(&Came) -> bool| of.iter().filter(|came| wanted(came)).count();
        eprintln!(
            "{} {name}: {} cuts of power in {} runs; a run open after {}, over before the cut {}; found old {}, new {}",
            file_system.name(),
            of.iter().map(|came| came.cuts).sum::<usize>(),
            of.len(),
            count(&|came| came.open),
            count(&|came| came.late),
            count(&|came| came.found == Found::Old),
            count(&|came| came.found == Found::New),
        );
    }
    eprintln!("{}: {failed} failed; {took:.0?}", file_system.name());
}

/// The same moments again with the same seed.
struct Random(u64);

impl Random {
    #[allow(clippy::print_stderr)]
    fn seeded() -> Self {
        let given = std::env::var("GITROLL_POWER_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(turn);
        eprintln!("GITROLL_POWER_SEED={seed}");
        Self(seed)
    }

    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
