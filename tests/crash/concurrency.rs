//! Many at once on one checkout: one is served at a time, and nothing that was told is lost.

// What was measured is printed for who runs it with `--nocapture`.
#![allow(clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::tally::full;
use super::world::{Act, LIMIT, World};
use crate::support::*;

/// How many at once.
const PROCESSES: usize = 8;

/// Every exit code of the table in `docs/exit-codes.md` but 70: that one is a bug.
const CODES: [i32; 9] = [0, 1, 2, 10, 11, 12, 20, 21, 22];

/// What all of them were told.
#[derive(Debug, Default)]
struct Told {
    /// How often each exit code.
    codes: BTreeMap<i32, usize>,
    /// The records, each with its digest.
    records: Vec<(u64, String)>,
}

#[test]
fn eight_at_once_lose_no_record_and_leave_a_whole_state() {
    let host = TestEnvironment::new();
    let world = World::prepare(&host, &[Act::Deploy]);
    world.reset(Act::Deploy);
    let before = world.log().len();
    let (first, second) = (world.app.head(), world.second.clone());
    let commands: Vec<Vec<String>> = [
        vec!["deploy", &second],
        vec!["back"],
        vec!["deploy", &first],
        vec!["back", "--undo"],
        vec!["component", "QW-001"],
        vec!["promote"],
        vec!["mark", "bad", &second, "--reason", "loses uploads"],
        vec!["mark", "good", &second, "--reason", "it was the disk"],
        vec!["mark", "good", &first, "--reason", "it serves"],
    ]
    .into_iter()
    .map(|words| words.into_iter().map(str::to_owned).collect())
    .collect();
    let time = Duration::from_secs(if full() { 60 } else { 10 });
    let told = Mutex::new(Told::default());
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        for process in 0..PROCESSES {
            // The host counts its variables in a cell: each thread has commands of its own.
            // Most of them wait for the lock, two are sent away.
            let wait = if process < 6 { "10" } else { "0" };
            let many = |words: &Vec<String>| many(&world, words, wait);
            let all: Vec<Vec<Command>> = commands.iter().map(many).collect();
            let told = &told;
            scope.spawn(move || hammer(process, all, end, told));
        }
    });
    let Told { codes, records: told } = told.into_inner().expect("nobody panics holding it");
    let acts: usize = codes.values().sum();
    eprintln!(
        "{PROCESSES} at once for {time:?}: {acts} commands, {} records, {codes:?}",
        told.len()
    );
    let unknown: Vec<&i32> = codes.keys().filter(|code| !CODES.contains(code)).collect();
    assert!(unknown.is_empty(), "exit codes {unknown:?}");
    assert!(codes.contains_key(&12), "nobody had to wait: {codes:?}");
    assert!(told.len() >= 5, "hardly anything was done: {codes:?}");

    let log = world.log();
    let there: BTreeMap<u64, &str> = log
        .iter()
        .map(|line| (&line["record"]["seq"], &line["digest"]))
        .filter_map(|(seq, digest)| Some((seq.as_u64()?, digest.as_str()?)))
        .collect();
    for (seq, digest) in &told {
        assert_eq!(
            there.get(seq),
            Some(&digest.as_str()),
            "record {seq} was told and is not there"
        );
    }
    let distinct: BTreeSet<u64> = told.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(distinct.len(), told.len(), "two commands were told the same record");
    assert_eq!(log.len(), before + told.len(), "records that nobody was told of");
    assert!(!world.run_is_open(), "a run is open");
    world.gitroll(&["check"]).exit(0);
    assert_eq!(world.app.git(&["diff-index", "--name-status", "HEAD"]), "");
    world.gitroll(&["mark", "good", &second, "--reason", "once more"]).exit(0);
    // Whether the component is held depends on who came last.
    world.gitroll(&["unhold", "QW-001", "--reason", "once more"]);
    world.gitroll(&["deploy", &second, "--yes"]).exit(0);
    wait_for_version(&world.app.health(), "1.1.0");
    world.chain_is_linear();
    world.nothing_is_left();
}

/// More of one command than can be run in the time.
fn many(world: &World<'_>, words: &[String], wait: &str) -> Vec<Command> {
    let one = || {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = world.host.gitroll_command(&words);
        command.args(["--json", "--wait", wait]);
        if words[0] != "mark" {
            command.arg("--yes");
        }
        command
    };
    std::iter::repeat_with(one).take(1000).collect()
}

/// Runs one command after the other, in an order of this process's own, and notes what was told.
fn hammer(process: usize, mut commands: Vec<Vec<Command>>, end: Instant, told: &Mutex<Told>) {
    let mut turn = process;
    while Instant::now() < end {
        turn += 1 + process % 5;
        let kind = turn % commands.len();
        let Some(command) = commands[kind].pop() else { return };
        let answer = Answer::of(command, LIMIT);
        let code = answer.code.expect("nothing ends it but itself");
        let record = serde_json::from_str::<Value>(&answer.stdout)
            .ok()
            .map(|json| json["result"]["record"].clone())
            .and_then(|record| {
                Some((record["seq"].as_u64()?, record["digest"].as_str()?.to_owned()))
            });
        let mut told = told.lock().expect("nobody panics holding it");
        *told.codes.entry(code).or_default() += 1;
        assert!(
            record.is_some() == matches!(code, 0 | 20 | 30) || code == 0,
            "told {record:?}: {}",
            answer.transcript()
        );
        told.records.extend(record);
    }
}
