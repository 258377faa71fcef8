//! The clock.

use jiff::Timestamp;

/// Now, to the second: what records can carry.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
