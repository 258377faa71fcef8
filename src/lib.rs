//! gitroll: git-native deployment and rollback.
//!
//! > **Exit 0 means the intended version was observed serving.**
//!
//! The parts of the crate, from the top down. Each part may use those below it, none uses one above it, and no file
//! imports a file that imports it:
//!
//! ```text
//! cli        one file per verb: arguments → request, outcome → text or JSON, prompts, exit code
//! ui         the only place that prints: text or JSON, prompts, progress
//! act        one file per act: request → plan → run → outcome; knows neither arguments nor terminal
//! adopt      what gitroll finds on a host: stacks, old tags, leftovers; starter files
//! doctor     what would make a rollback fail, and the command that fixes it
//! report     reports for people: the diff of two versions, an act, statistics, the demo
//! plan       facts by observing → candidates → a frozen plan → preflight
//! diagnosis  what serves, why it fails, what fixes it (pure)
//! target     which version to roll back to, and why others are skipped (pure)
//! engine     executes a checked plan: lock, journal, steps, undo, compensate, record
//! site       one bound checkout on this host, and its state
//! component  the files of a component; whether its older files fit what serves
//! data       rollback points: copies of databases, files and settings, outside the app
//! ledger     chains of signed records in git: codec, trust, append, projections, fold
//! layout     changes the tree to the target: stage, converge
//! build      groups, keys, the store of artifacts
//! watch      rules over time; whether something may be done without a person; silence, incidents
//! tell       messages to people: what they say, their channels, the outbox
//! flag       sources of feature flags: files, an API, commands
//! check      queries the app and its surroundings, weighs witnesses, proves
//! service    pm2, systemd, the built-in process manager, commands
//! config     gitroll.toml and host.toml: raw text → validated types
//! system     the lowest floor: git, processes, files, users, the clock
//! model      ids, Record, Plan, Step, Evidence: pure data
//! ```
//!
//! `docs/architecture.md` follows one rollback through these modules.

pub(crate) mod act;
pub(crate) mod adopt;
pub mod build;
pub mod check;
pub mod cli;
pub(crate) mod component;
pub mod config;
pub(crate) mod data;
pub(crate) mod diagnosis;
pub(crate) mod doctor;
pub(crate) mod engine;
pub mod flag;
pub(crate) mod layout;
pub(crate) mod ledger;
pub mod model;
pub(crate) mod plan;
pub(crate) mod report;
pub mod service;
pub(crate) mod site;
pub mod system;
pub(crate) mod target;
pub(crate) mod tell;
pub(crate) mod ui;
pub(crate) mod watch;

use std::panic;
use std::process::ExitCode;

/// Runs `main`; a panic becomes exit code 70 and a request for a report.
pub fn start(main: impl FnOnce() -> cli::Exit + panic::UnwindSafe) -> ExitCode {
    // Until the host's own is known: never the caller's.
    system::umask::set(system::umask::USUAL);
    // Where this fails, such a limit ends gitroll as it ends any program, and the run is finished afterwards.
    drop(system::signals::take_size_limits_as_errors());
    let result = panic::catch_unwind(main);
    let exit = result.unwrap_or_else(|_| {
        ui::confess();
        cli::Exit::Bug
    });
    ExitCode::from(exit.code())
}
