//! KILL, and an I/O error, at every named place that a run passes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::oracle::Way;
use super::tally::{Came, sweep};
use super::world::{Act, LIMIT, World};
use crate::support::*;

/// A place, at its `n`-th passing.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name.
    pub name: String,
    n: usize,
}

impl Place {
    /// As `GITROLL_FAIL_AT` says it.
    pub fn armed(&self, action: &str) -> String {
        format!("{}#{}={action}", self.name, self.n)
    }
}

/// Where the named places are written down.
fn log(world: &World<'_>) -> PathBuf {
    world.host.path("fail.log")
}

/// Runs gitroll with a place armed.
pub fn run(world: &World<'_>, mut command: std::process::Command, armed: &str) -> Answer {
    let log = log(world);
    fs::remove_file(&log).ok();
    command.env("GITROLL_FAIL_LOG", &log).env("GITROLL_FAIL_AT", armed);
    Answer::of(command, LIMIT)
}

/// Whether the fault that was armed was there.
pub fn fired(world: &World<'_>) -> bool {
    let text = fs::read_to_string(log(world)).unwrap_or_default();
    text.lines().any(|line| line.starts_with("fired "))
}

/// The places that were passed, each passing by itself.
pub fn passed(world: &World<'_>) -> Vec<Place> {
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
        &format!("kill at every place of {}", act.title()),
        &[act],
        |_| {},
        6,
        |world| {
            world.reset(act);
            run(world, world.act(act), "nowhere=kill").exit(0);
            both_ways(passed(world))
        },
        |world, (place, way)| {
            world.reset(act);
            let answer = run(world, world.act(act), &place.armed("kill"));
            assert_eq!(answer.code, None, "{}", answer.transcript());
            Came {
                found: world.judge(act, act.name(), None, *way),
                fired: fired(world),
                beside: false,
            }
        },
    );
}

fn failed_at_every_place(act: Act) {
    sweep(
        &format!("error at every place of {}", act.title()),
        &[act],
        |_| {},
        5,
        |world| {
            world.reset(act);
            run(world, world.act(act), "nowhere=kill").exit(0);
            both_ways(passed(world))
        },
        |world, (place, way)| {
            world.reset(act);
            let answer = run(world, world.act(act), &place.armed("error"));
            let fired = fired(world);
            Came { found: world.judge(act, act.name(), answer.code, *way), fired, beside: false }
        },
    );
}

/// Where the act is killed first, each time another part of it being left to do.
pub const FIRST: [&str; 3] = ["journal intent after#2", "activate after", "reload web after"];

/// Kills the act, kills the way on from there at every place, and goes on either way.
fn ended_at_every_place(act: Act, way: Way, action: &str) {
    let begin = |world: &World<'_>, first: &str| {
        world.reset(act);
        let answer = run(world, world.act(act), &format!("{first}=kill"));
        assert_eq!(answer.code, None, "{}", answer.transcript());
        world.host.gitroll_command(&[way.name()])
    };
    sweep(
        &format!("{action} at every place of {} of {}", way.name(), act.title()),
        &[act],
        |_| {},
        5,
        |world| {
            let mut points = Vec::new();
            for first in FIRST {
                let command = begin(world, first);
                run(world, command, "nowhere=kill").exit(0);
                points.extend(both_ways(passed(world)).into_iter().map(|point| (first, point)));
            }
            points
        },
        |world, (first, (place, then))| {
            let command = begin(world, first);
            let answer = run(world, command, &place.armed(action));
            assert!(action != "kill" || answer.code.is_none(), "{}", answer.transcript());
            let fired = fired(world);
            Came { found: world.judge(act, way.name(), answer.code, *then), fired, beside: false }
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

#[test]
fn a_change_of_flags_killed_anywhere_is_finished_or_undone() {
    killed_at_every_place(Act::Flags);
}

#[test]
fn a_deploy_with_a_quiesced_service_killed_anywhere_is_finished_or_undone() {
    killed_at_every_place(Act::DeployQuiesced);
}

#[test]
fn a_change_of_flags_that_fails_anywhere_is_finished_or_undone() {
    failed_at_every_place(Act::Flags);
}

#[test]
fn a_deploy_with_a_quiesced_service_that_fails_anywhere_is_finished_or_undone() {
    failed_at_every_place(Act::DeployQuiesced);
}

#[test]
fn a_deploy_that_fails_anywhere_is_finished_or_undone() {
    failed_at_every_place(Act::Deploy);
}

#[test]
fn a_rollback_that_fails_anywhere_is_finished_or_undone() {
    failed_at_every_place(Act::Back);
}

#[test]
fn a_resume_killed_anywhere_can_be_run_again_or_aborted() {
    ended_at_every_place(Act::Deploy, Way::Resume, "kill");
}

#[test]
fn an_abort_killed_anywhere_can_be_run_again_or_resumed() {
    ended_at_every_place(Act::Deploy, Way::Abort, "kill");
}

#[test]
fn a_resume_that_fails_anywhere_is_finished_or_undone() {
    ended_at_every_place(Act::Back, Way::Resume, "error");
}

#[test]
fn an_abort_that_fails_anywhere_is_finished_or_undone() {
    ended_at_every_place(Act::Back, Way::Abort, "error");
}
