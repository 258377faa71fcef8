//! This very call of gitroll, by a name that the git commands and builds it starts carry: when it was killed,
//! they are found by it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::random;

/// The variable that holds the name.
pub const VARIABLE: &str = "GITROLL_CALL";

static GIT_WAS_KILLED: AtomicBool = AtomicBool::new(false);

/// The name of this call: 32 random hex digits, the same for as long as this process lives.
pub fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(random::hex_id)
}

/// Whether a git command of this call was ended by a signal: it may have left its lock files.
pub fn git_was_killed() -> bool {
    GIT_WAS_KILLED.load(Ordering::Relaxed)
}

/// Notes that a git command of this call was ended by a signal.
pub(super) fn note_killed_git() {
    GIT_WAS_KILLED.store(true, Ordering::Relaxed);
}
