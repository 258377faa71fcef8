//! Feature flags where they are kept: real files with others at work on them, a real API, real commands, npm's
//! own reader of `.env` files.

mod api;
mod command;
mod files;
mod killed;
mod readers;
mod world;
