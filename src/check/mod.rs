//! Checks and proof: asks the app and what is around it, weighs witnesses. The only async code, on a
//! current-thread runtime it owns.

mod asker;
mod command;
mod expectation;
mod file;
mod http;
mod judgement;
mod log;
mod log_position;
mod metric;
mod prove;
mod recent_lines;
mod streak;
mod tcp;
mod template;
mod watch;
mod window;
mod witness;

pub use asker::{Symptom, symptoms};
pub use expectation::{Expectation, LogWindow, NoLog, Proof, Surroundings};
pub use http::{Health, HttpReply, HttpRequest, ask, find_health};
pub use judgement::shown;
pub use log::{LogsSince, log_positions};
pub use log_position::{FilePosition, FileReader, LogPlace, LogPosition, LogPositions, LogReader};
pub use prove::{look, prove, strangers};
pub use tcp::free_loopback_port;
pub use witness::has_witness;
