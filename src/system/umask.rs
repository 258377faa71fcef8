//! The mask for new files. It is the host's and never the caller's: what a cron job with 077 or a shell with
//! 000 puts in place must be as readable, and no more writable, than what anyone else does.

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::Mode;

/// Where the host says nothing: as on any Debian system.
pub const USUAL: u32 = 0o022;

static MASK: AtomicU32 = AtomicU32::new(USUAL);

/// Makes `mask` that of this process, and of every process that it starts from now on.
pub fn set(mask: u32) {
    MASK.store(mask & 0o777, Ordering::Relaxed);
    rustix::process::umask(Mode::from_raw_mode(mask & 0o777));
}

/// The mask that was set last.
pub fn current() -> u32 {
    MASK.load(Ordering::Relaxed)
}
