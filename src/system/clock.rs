//! The clock.

use jiff::Timestamp;

use super::procs::{self, Ticks};
use crate::model::{BootClock, Moment};

/// Now, to the second: what records can carry.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// This moment by both clocks.
pub fn moment() -> Moment {
    Moment { time: now(), boot: since_boot() }
}

/// The clock that nobody sets; `None` if this machine does not tell.
pub fn since_boot() -> Option<BootClock> {
    let boot = procs::boot_id().replace('-', "").to_ascii_lowercase();
    let seconds = Ticks::now().since_boot();
    format!("{boot} {seconds}").parse().ok().filter(|clock: &BootClock| clock.seconds > 0)
}
