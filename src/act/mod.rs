//! Acts: what changes what serves, or records something about it. A file per act, from a request (plain data) to an
//! outcome (plain data); what happens meanwhile is told to the [`caller::Caller`], who also answers questions.
//!
//! Nothing here knows the arguments, the terminal or the exit codes: a person at the command line, a watcher and a
//! hook call the same act in the same way.

// Until the first acts have come down from the command line.
#![allow(dead_code)]

pub mod caller;
pub mod failure;
pub mod next_steps;
pub mod session;
