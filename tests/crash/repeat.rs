//! Everything a run does, and everything it does to undo it, may be done twice: a kill between an effect and
//! its line in the journal has it done again.

use std::collections::BTreeSet;

use super::failpoints::{FIRST, fired, passed, run};
use super::oracle::{State, Way};
use super::tally::{Came, sweep};
use super::world::{Act, World};
use crate::support::*;

/// What a step may have changed, the services aside: they are started anew each time.
fn effects(world: &World<'_>, act: Act) -> Tree {
    let mut effects = State::of(world, act).everything();
    for place in [".app.gitroll", "app/.git/gitroll/store"] {
        let place = world.host.path(place);
        if place.is_dir() {
            let tree = Tree::of(&place);
            // What was set aside goes with the next command; an index has the times of the files.
            let passing = |name: &str| {
                ["live.json", "seals.json"].contains(&name)
                    || name.contains(".gone-")
                    || name.ends_with(".git/.git/index")
            };
            for name in tree.names().into_iter().filter(|name| !passing(name)) {
                let bytes = tree.bytes(name).unwrap_or_default().to_vec();
                effects.insert(&format!("({}) {name}", place.display()), bytes);
            }
        }
    }
    effects
}

/// Kills a command at `place`, which it must pass.
fn killed_at(world: &World<'_>, command: std::process::Command, place: &str) {
    let answer = run(world, command, &format!("{place}=kill"));
    assert_eq!(answer.code, None, "{}", answer.transcript());
    assert!(fired(world), "{place} did not fire");
}

/// Every step of the act is done twice before its line is written.
fn done_twice(act: Act) {
    sweep(
        &format!("every step of {} done twice", act.name()),
        &[act],
        |_| {},
        3,
        |world| {
            world.reset(act);
            run(world, world.act(act), "nowhere=kill").exit(0);
            let steps: BTreeSet<String> = passed(world).into_iter().map(|p| p.name).collect();
            let step = |name: &String| !name.starts_with("journal") && name.ends_with(" after");
            let before = ["journal proven before", "record objects written", "chain moved"];
            steps.into_iter().filter(step).chain(before.map(str::to_owned)).collect()
        },
        |world, place| {
            world.reset(act);
            killed_at(world, world.act(act), place);
            let once = effects(world, act);
            // A record that is in the chain is found there and not written again.
            if place != "chain moved" {
                killed_at(world, world.host.gitroll_command(&["resume"]), place);
                once.assert_same(&effects(world, act));
            }
            let found = world.judge(act, act.name(), None, Way::Resume);
            Came { found, fired: true, beside: false }
        },
    );
}

/// Everything that undoes the act is done twice before its line is written.
fn undone_twice(act: Act) {
    let undo = ["restore tree after", "compensate after", "record objects written"];
    sweep(
        &format!("{} undone twice", act.name()),
        &[act],
        |_| {},
        3,
        |_| FIRST[1..].iter().flat_map(|first| undo.map(|place| (*first, place))).collect(),
        |world, (first, place)| {
            world.reset(act);
            killed_at(world, world.act(act), first);
            let abort = || world.host.gitroll_command(&["abort"]);
            killed_at(world, abort(), place);
            let once = effects(world, act);
            killed_at(world, abort(), place);
            once.assert_same(&effects(world, act));
            let found = world.judge(act, act.name(), None, Way::Abort);
            Came { found, fired: true, beside: false }
        },
    );
}

#[test]
fn what_a_deploy_does_may_be_done_twice() {
    done_twice(Act::Deploy);
}

#[test]
fn what_a_rollback_does_may_be_done_twice() {
    done_twice(Act::Back);
}

#[test]
fn what_undoes_a_deploy_may_be_done_twice() {
    undone_twice(Act::Deploy);
}

#[test]
fn what_undoes_a_rollback_may_be_done_twice() {
    undone_twice(Act::Back);
}
