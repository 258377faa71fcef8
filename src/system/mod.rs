//! The ground floor: git, processes, files, the clock. Only this module (and [`crate::check`], for
//! sockets) touches them.

pub(crate) mod clock;
pub(crate) mod environment;
pub(crate) mod exec;
pub(crate) mod failpoint;
pub(crate) mod files;
pub(crate) mod git;
pub(crate) mod open_files;
pub(crate) mod orphans;
pub(crate) mod process;
pub mod procs;
pub(crate) mod random;
pub(crate) mod removal;
pub(crate) mod secrets;
pub mod signals;
pub mod sockets;
pub(crate) mod text;
pub(crate) mod umask;
pub mod user;
