//! What it costs to see whether an artifact is still what was built, over plain `find`: `cargo bench --bench seal`.
//!
//! 44,000 files in 8,800 directories, about a `node_modules` of a web app. Both ask for the times of every entry and
//! read no file; taken in turns, so that a busy machine slows both sides alike.

#![allow(clippy::print_stdout)]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gitroll::build::{Depth, Store};
use gitroll::model::{BuildKey, RepoPath};

const ROUNDS: usize = 9;

fn main() {
    // `cargo test --benches` calls this too, to see that it runs.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let store = Store { dir: place.path().join("store") };
    let key: BuildKey = "a".repeat(64).parse().expect("64 hex digits");
    let output = RepoPath::new("node_modules").expect("a plain name");
    let kept = store.place(&key, &output);
    for package in 0..4400 {
        let dir = kept.join(format!("package-{package}/lib"));
        fs::create_dir_all(&dir).expect("a directory can be made");
        for file in 0..10 {
            fs::write(dir.join(file.to_string()), "x").expect("a file can be written");
        }
    }
    store.seal_kept(&key, &output).expect("it can be sealed");
    let (mut looks, mut finds) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        looks.push(timed(|| {
            assert!(store.keeps(&key, &output, Depth::Deep).expect("it can be looked at"));
        }));
        finds.push(timed(|| {
            let mut find = Command::new("find");
            find.arg(&kept).args(["-printf", "%C@ %s %p\\n"]).stdout(Stdio::null());
            assert!(find.status().expect("find is on this machine").success());
        }));
    }
    let (look, find) = (median(looks), median(finds));
    let ratio = look.as_secs_f64() / find.as_secs_f64();
    println!("a close look {look:?}, find -printf {find:?}: {ratio:.1} times, median of {ROUNDS}");
}

fn timed(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
