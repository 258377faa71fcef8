//! Feature flags where they are kept: real files with others at work on them, a real API, real commands, npm's
//! own reader of `.env` files.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/bench.rs"]
#[allow(dead_code)]
mod bench;

#[path = "flag_sources/api.rs"]
mod api;
#[path = "flag_sources/command.rs"]
mod command;
#[path = "flag_sources/files.rs"]
mod files;
#[path = "flag_sources/killed.rs"]
mod killed;
#[path = "flag_sources/readers.rs"]
mod readers;
#[path = "flag_sources/world.rs"]
mod world;
