//! Failing on purpose: tests make the n-th change of the file system fail, as a kill would end it there.

use std::cell::Cell;
use std::io;

thread_local! {
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Lets this thread make `changes` more changes, then fails every further one until disarmed.
pub(crate) fn arm(changes: usize) {
    LEFT.set(Some(changes));
}

/// No more failures; says whether one was met.
pub(crate) fn disarm() -> bool {
    LEFT.replace(None) == Some(0)
}

/// Called before each change.
pub(crate) fn point() -> io::Result<()> {
    match LEFT.get() {
        None => Ok(()),
        Some(0) => Err(io::Error::other("interrupted on purpose")),
        Some(left) => {
            LEFT.set(Some(left - 1));
            Ok(())
        }
    }
}
