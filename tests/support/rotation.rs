//! Which share of a long sweep belongs to this run of the tests.

use std::process::Command;

/// Whose turn it is: `GITROLL_TEST_TURN`, else a number made from the commit that is checked out, so that each
/// commit has shares of its own and the same commit always the same ones. 0 where there is no git.
pub fn turn() -> u64 {
    let given = std::env::var("GITROLL_TEST_TURN").ok();
    given.map_or_else(turn_of_commit, |text| text.parse().expect("GITROLL_TEST_TURN is a number"))
}

fn turn_of_commit() -> u64 {
    let head = Command::new("git")
        .args(["rev-parse", "--verify", "--quiet", "HEAD"])
        .current_dir(super::project())
        .output();
    let commit = head.map(|output| output.stdout).unwrap_or_default();
    let start = commit.get(..15).map(String::from_utf8_lossy);
    start.and_then(|digits| u64::from_str_radix(&digits, 16).ok()).unwrap_or_default()
}

/// One of `all` in `shares`: with `shares` turns that follow each other every one is taken once.
pub fn share<T>(all: Vec<T>, shares: usize, turn: u64) -> Vec<T> {
    let first = usize::try_from(turn % shares as u64).expect("it is less than the shares");
    all.into_iter().skip(first).step_by(shares).collect()
}
