//! Every test of the program as a whole, in one binary: linked once, and `mod support` compiled once.
//!
//! A file here is a subject; its tests are `subject::name`, so `tests/run subject::` runs one file's.

#![allow(clippy::unwrap_used)]

mod adoption;
mod advise;
mod bad_input;
mod check_kinds;
mod check_kinds_app;
mod checks;
mod components;
mod crash;
mod demo;
mod diff;
mod doctor;
mod earlier_states;
mod earlier_versions;
mod edited_artifacts;
mod eject;
mod emergency;
mod escalation;
mod failure_flows;
mod field_notes_npm;
mod field_notes_target;
mod flag_sources;
mod flags;
mod guides;
mod held_files;
mod help;
mod hostile;
mod interrupted_ends;
mod killed_acts;
mod leftovers;
mod levels;
mod licences;
mod logging;
mod moving_in;
mod open_runs;
mod open_runs_told;
mod pm2_flags;
mod pm2_rollback;
mod power;
mod put_back;
mod ramp;
mod remains;
mod renamed_services;
mod resources;
mod retention;
mod rollback;
mod runbooks;
mod schemas;
mod services;
mod signals;
mod soak;
mod support;
mod support_itself;
mod systemd;
mod two_candidates;
mod watchdog;
