//! Acts: what changes what serves, or records something about it. A file per act, from a request (plain data) to an
//! outcome (plain data); what happens meanwhile is told to the [`caller::Caller`], who also answers questions.
//!
//! Nothing here knows the arguments, the terminal or the exit codes: a person at the command line, a watcher and a
//! hook call the same act in the same way.

pub mod annotate;
pub mod approvals;
mod awaited;
pub mod back;
pub mod caller;
mod carry_out;
mod circumstances;
pub mod component;
mod conclude;
mod consent;
pub mod demote;
pub mod deploy;
pub mod diagnosis;
pub mod dispute;
pub mod failure;
pub mod flags;
pub mod fsck;
pub mod full;
pub mod guard;
pub mod hook;
pub mod incident;
pub mod keep;
pub mod levels;
pub mod logs;
pub mod loss;
pub mod mark;
pub mod migrate;
pub mod moved;
mod newest_point;
pub mod next_steps;
mod no_better;
pub mod notify;
pub mod outcome;
pub mod parts;
pub mod point;
pub mod points;
pub mod promote;
pub mod publication;
pub mod ramp;
pub mod receive;
pub mod report;
pub mod resume;
pub mod saved;
pub mod service;
pub mod session;
pub mod settings;
mod soak;
pub mod statement;
pub mod sync;
pub mod target;
pub mod trust;
pub mod unhold;
mod upstream;
pub mod watch;
pub mod watchdog;
