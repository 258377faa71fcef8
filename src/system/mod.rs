//! The ground floor: git, processes, files, the clock. Only this module (and [`crate::check`], for
//! sockets) touches them.

pub mod clock;
pub mod exec;
pub mod failpoint;
pub mod files;
pub mod git;
pub mod open_files;
pub mod orphans;
pub mod process;
pub mod procs;
pub mod random;
pub mod secrets;
pub mod signals;
pub mod text;
pub mod user;
