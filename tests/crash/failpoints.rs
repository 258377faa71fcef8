//! KILL, and an I/O error, at every named place that a run passes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::oracle::Way;
use crate::support::*;
use crate::tally::{Came, part, sweep};
use crate::world::{Act, LIMIT, World};

/// A place, at its `n`-th passing.
#[derive(Debug, Clone)]
struct Place {
    name: String,
    n: usize,
}

impl Place {
    fn armed(&self, action: &str) -> String {
        format!("{}#{}={action}", self.name, self.n)
    }
}

/// Where the named places are written down.
fn log(world: &World<'_>) -> PathBuf {
    world.host.path("fail.log")
}

/// Runs gitroll with a place armed.
fn run(world: &World<'_>, mut command: std::process::Command, armed: &str) -> Answer {
    let log = log(world);
    fs::remove_file(&log).ok();
    command.env("GITROLL_FAIL_LOG", &log).env("GITROLL_FAIL_AT", armed);
    Answer::of(command, LIMIT)
}

fn fired(world: &World<'_>) -> bool {
    let text = fs::read_to_string(log(world)).unwrap_or_default();
    text.lines().any(|line| line.starts_with("fired "))
}

/// The places that were passed, each passing by itself.
fn passed(world: &World<'_>) -> Vec<Place> {
    let text = fs::read_to_string(log(world)).expect("places were passed");
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    text.lines()
        .filter(|line| !line.starts_with("fired "))
        .map(|line| {
            let n = times.entry(line.to_owned()).or_default();
            *n += 1;
            Place { name: line.to_owned(), n: *n }
        })
        .collect()
}

/// Every place with every way on.
fn both_ways(places: Vec<Place>) -> Vec<(Place, Way)> {
    let both = |place: Place| Way::BOTH.map(|way| (place.clone(), way));
    places.into_iter().flat_map(both).collect()
}

fn killed_at_every_place(act: Act) {
    sweep(
        &format!("kill at every place of {}", act.name()),
        &[act],
        |world| {
            world.reset(act);
            run(world, world.act(act), "nowhere=kill").exit(0);
            part(both_ways(passed(world)), 3)
        },
        |world, (place, way)| {
            world.reset(act);
            let answer = run(world, world.act(act), &place.armed("kill"));
            assert_eq!(answer.code, None, "{}", answer.transcript());
            Came { found: world.judge(act, None, *way), fired: fired(world) }
        },
    );
}

#[test]
fn a_deploy_killed_anywhere_is_finished_or_undone() {
    killed_at_every_place(Act::Deploy);
}

#[test]
fn a_rollback_killed_anywhere_is_finished_or_undone() {
    killed_at_every_place(Act::Back);
}

#[test]
fn a_component_rollback_killed_anywhere_is_finished_or_undone() {
    killed_at_every_place(Act::Component);
}
