//! The service adapters against real programs: pm2, node, the process manager.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/pm2.rs"]
mod pm2;

#[path = "services/command.rs"]
mod command;
#[path = "services/pm2_apps.rs"]
mod pm2_apps;
#[path = "services/process.rs"]
mod process;
