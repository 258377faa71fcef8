//! A moment by two clocks: the one that can be set, and the one that counts since the machine began.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::IdError;

/// A clock that nobody can set. Written `<boot id> <seconds>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BootClock {
    /// The id of this boot of the machine: 32 lower-case hexadecimal digits.
    pub boot: String,
    /// Seconds since that boot, sleep included.
    pub seconds: u64,
}

/// A moment as both clocks told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// To the second.
    pub time: Timestamp,
    /// `None` if only the other clock was noted: records of earlier versions.
    pub boot: Option<BootClock>,
}

/// How far apart two readings of a clock that is right may be: it is corrected by some seconds now and then.
pub const CORRECTION: Duration = Duration::from_secs(60);

impl Moment {
    /// How long it is from this moment to a later one; `None` if the clocks do not agree on it. Within one boot
    /// only the clock that nobody sets counts.
    pub fn until(&self, later: &Moment) -> Option<Duration> {
        if let (Some(from), Some(to)) = (&self.boot, &later.boot) {
            if from.boot == to.boot {
                return to.seconds.checked_sub(from.seconds).map(Duration::from_secs);
            }
            // The machine was started again in between, so not before this moment.
            let began = later.time.as_second().saturating_sub_unsigned(to.seconds);
            if began.saturating_add_unsigned(CORRECTION.as_secs()) < self.time.as_second() {
                return None;
            }
        }
        let seconds = later.time.as_second().saturating_sub(self.time.as_second());
        // A second is rounded, and the clock corrected.
        let seconds =
            if seconds.unsigned_abs() <= CORRECTION.as_secs() { seconds.max(0) } else { seconds };
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }

    /// Whether nobody sets the clock that tells how long it is from this moment to another.
    pub fn same_boot(&self, other: &Moment) -> bool {
        matches!((&self.boot, &other.boot), (Some(a), Some(b)) if a.boot == b.boot)
    }

    /// Whether the clock that can be set was set between this moment and a later one of the same boot.
    pub fn set_before(&self, later: &Moment) -> bool {
        let (Some(from), Some(to)) = (&self.boot, &later.boot) else { return false };
        let told = later.time.as_second().saturating_sub(self.time.as_second());
        let real = i64::try_from(to.seconds).unwrap_or(i64::MAX)
            - i64::try_from(from.seconds).unwrap_or(i64::MAX);
        from.boot == to.boot && told.abs_diff(real) > CORRECTION.as_secs()
    }
}

impl fmt::Display for BootClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.boot, self.seconds)
    }
}

impl FromStr for BootClock {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let problem = || IdError {
            kind: "clock",
            value: value.to_owned(),
            problem: "32 hexadecimal digits of a boot and the seconds since then",
        };
        let (boot, seconds) = value.split_once(' ').ok_or_else(problem)?;
        let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let number = seconds == "0"
            || (!seconds.starts_with('0')
                && (1..=12).contains(&seconds.len())
                && seconds.bytes().all(|b| b.is_ascii_digit()));
        if boot.len() != 32 || !boot.bytes().all(plain) || !number {
            return Err(problem());
        }
        let seconds = seconds.parse().map_err(|_| problem())?;
        Ok(Self { boot: boot.to_owned(), seconds })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn moment(time: i64, boot: Option<(char, u64)>) -> Moment {
        Moment {
            time: Timestamp::from_second(time).unwrap(),
            boot: boot.map(|(id, seconds)| BootClock { boot: id.to_string().repeat(32), seconds }),
        }
    }

    #[test]
    fn within_one_boot_the_clock_that_can_be_set_does_not_count() {
        let (a, b, none) = (|s| Some(('a', s)), |s| Some(('b', s)), None);
        // from, to, how long
        let table = [
            (moment(1000, none), moment(1600, none), Some(600)),
            (moment(1000, none), moment(900, none), None),
            (moment(1000, none), moment(1600, a(9)), Some(600)),
            (moment(1000, a(10)), moment(900_000, a(12)), Some(2)),
            (moment(1000, a(10)), moment(5, a(3610)), Some(3600)),
            (moment(1000, a(10)), moment(2000, a(5)), None),
            (moment(1000, a(10)), moment(2000, b(50)), Some(1000)),
            // Begun at 950 by its own clocks, while at 1000 the boot before went on.
            (moment(1000, a(10)), moment(1100, b(300)), None),
            (moment(1000, a(10)), moment(500, b(5)), None),
            (moment(1000, none), moment(998, none), Some(0)),
        ];
        for (from, to, wanted) in table {
            assert_eq!(from.until(&to), wanted.map(Duration::from_secs), "{from:?} {to:?}");
        }
        assert!(moment(1000, a(10)).set_before(&moment(9000, a(20))));
        assert!(moment(9000, a(10)).set_before(&moment(1000, a(20))));
        assert!(!moment(1000, a(10)).set_before(&moment(1040, a(20))));
        assert!(!moment(1000, a(10)).set_before(&moment(9000, b(20))));
    }

    #[test]
    fn a_clock_reads_back_and_nothing_else_does() {
        let good = format!("{} 12345", "0f".repeat(16));
        assert_eq!(good.parse::<BootClock>().map(|clock| clock.to_string()).ok(), Some(good));
        for bad in [
            "",
            "12",
            "zz 1",
            &format!("{} 01", "0f".repeat(16)),
            &format!("{} -1", "0f".repeat(16)),
        ] {
            assert!(bad.parse::<BootClock>().is_err(), "{bad} was read");
        }
    }
}
