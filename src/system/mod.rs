//! The ground floor: git, processes, files, the clock. Only this module (and [`crate::check`], for
//! sockets) touches them.

pub mod call;
pub mod clock;
pub mod failpoint;
pub mod files;
pub mod git;
pub mod pager;
pub mod process;
pub mod procs;
pub mod random;
pub mod signals;
pub mod switch;
pub mod text;
pub mod user;
