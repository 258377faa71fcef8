//! Stopped anywhere, a run finishes or undoes itself: kills and errors at every named place, at every system
//! call that changes something, and what is left then.

mod calls;
mod candidates;
mod concurrency;
mod failpoints;
pub(crate) mod oracle;
mod repeat;
mod sweep;
mod tally;
pub(crate) mod world;
