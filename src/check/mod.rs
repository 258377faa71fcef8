//! Checks and proof: asks the app and what is around it, weighs witnesses. The only async code, on a
//! current-thread runtime it owns.

mod asker;
mod command;
mod expectation;
mod file;
mod health;
mod http;
mod judgement;
mod listeners;
mod log;
mod log_position;
mod metric;
mod prove;
mod recent_lines;
mod served_file;
mod streak;
mod takeover;
mod tcp;
mod template;
mod watch;
mod window;
mod witness;

pub use asker::{Symptom, symptoms};
pub use expectation::{
    Expectation, Listens, LogWindow, MustListen, NoLog, Proof, ServiceListens, Shown, Surroundings,
};
pub use health::{Health, find_health};
pub use http::{HttpReply, HttpRequest, ask};
pub use judgement::shown;
pub use listeners::{
    ObservedService, Stranger, asked_addresses, asked_ports, behind_fronts, is_front_on, listened,
    shows_its_socket, strangers, unnamed,
};
pub use log::{LogsSince, log_positions};
pub use log_position::{FilePosition, FileReader, LogPlace, LogPosition, LogPositions, LogReader};
pub use prove::{look, look_at_each, prove};
pub use recent_lines::{LinesBetween, lines_between};
pub use served_file::served_files;
pub use tcp::{accepts, free_loopback_port};
pub use witness::{asks_the_app, has_witness, names_version};
