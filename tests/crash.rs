//! Stopped anywhere, a run finishes or undoes itself: kills and errors at every named place, at every system
//! call that changes something, and what is left then.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod candidates;
mod concurrency;
mod failpoints;
mod oracle;
mod repeat;
mod sweep;
mod tally;
mod world;
