//! Faults at every system call of a run that changes something: in gitroll, and in the git it starts.

use super::calls::{Call, Fault, Program, calls, hit, watch_git};
use super::oracle::Way;
use super::tally::{Came, sweep};
use super::world::Act;

/// A fault at a call, and how what it leaves is ended.
#[derive(Debug)]
struct Point {
    call: Call,
    fault: Fault,
    way: Way,
}

fn swept(act: Act, name: &str, each: usize, points: impl FnOnce(Vec<Call>) -> Vec<Point>) {
    sweep(
        &format!("{name} at every call of {}", act.name()),
        &[act],
        watch_git,
        each,
        |world| points(calls(world, act)),
        |world, point| {
            let hit = hit(world, &point.call, point.fault, |world| {
                world.reset(act);
                world.act(act)
            });
            let kills = match point.call.program {
                Program::Gitroll => point.fault == Fault::Kill,
                Program::Git(_) => point.fault == Fault::KillBoth,
            };
            assert!(!kills || !hit.fired || hit.code.is_none(), "it was not killed: {}", hit.said);
            let judged =
                std::panic::AssertUnwindSafe(|| world.judge(act, act.name(), hit.code, point.way));
            match std::panic::catch_unwind(judged) {
                Ok(found) => Came { found, fired: hit.fired, beside: hit.beside },
                Err(panic) => {
                    panic!("{}\nafter this:\n{}", super::tally::message(&*panic), hit.said)
                }
            }
        },
    );
}

/// gitroll killed at each of its own calls; git killed at each of its, alone and with gitroll.
fn killed(calls: Vec<Call>) -> Vec<Point> {
    let of = |call: Call| {
        let faults: &[Fault] = match call.program {
            Program::Gitroll => &[Fault::Kill],
            Program::Git(_) => &[Fault::Kill, Fault::KillBoth],
        };
        let point = |fault, way| Point { call: call.clone(), fault, way };
        let both = |fault: &Fault| Way::BOTH.map(|way| point(*fault, way));
        faults.iter().flat_map(both).collect::<Vec<_>>()
    };
    calls.into_iter().flat_map(of).collect()
}

/// Each call fails; what stays open goes the one way and the other in turn.
fn failing(fault: Fault) -> impl FnOnce(Vec<Call>) -> Vec<Point> {
    let ways = Way::BOTH.into_iter().cycle();
    move |calls| calls.into_iter().zip(ways).map(|(call, way)| Point { call, fault, way }).collect()
}

#[test]
fn a_deploy_killed_at_any_call_is_finished_or_undone() {
    swept(Act::Deploy, "kill", 12, killed);
}

#[test]
fn a_rollback_killed_at_any_call_is_finished_or_undone() {
    swept(Act::Back, "kill", 12, killed);
}

#[test]
fn a_change_of_flags_killed_at_any_call_is_finished_or_undone() {
    swept(Act::Flags, "kill", 12, killed);
}

#[test]
fn a_change_of_flags_on_a_full_disk_is_finished_or_undone() {
    swept(Act::Flags, "no space left", 6, failing(Fault::Full));
}

#[test]
fn a_deploy_on_a_full_disk_is_finished_or_undone() {
    swept(Act::Deploy, "no space left", 6, failing(Fault::Full));
}

#[test]
fn a_rollback_on_a_full_disk_is_finished_or_undone() {
    swept(Act::Back, "no space left", 6, failing(Fault::Full));
}

#[test]
fn a_deploy_on_a_broken_disk_is_finished_or_undone() {
    swept(Act::Deploy, "I/O error", 6, failing(Fault::Broken));
}

#[test]
fn a_rollback_on_a_broken_disk_is_finished_or_undone() {
    swept(Act::Back, "I/O error", 6, failing(Fault::Broken));
}
