//! The service adapters against real programs: pm2, node, the process manager.

mod command;
mod pm2_apps;
mod process;
