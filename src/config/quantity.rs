//! Durations and sizes as people write them.

use std::time::Duration;

const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("B", 1),
];

/// Reads a duration: whole numbers with the units `d h m s ms`, largest first, each at most once, such as
/// `1h30m` or `250ms`.
///
/// # Errors
/// A sentence that says what a duration looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    read_millis(text).map(Duration::from_millis).ok_or_else(|| {
        let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let shown = super::quote::quoted(text);
        if bare {
            format!(
                "{shown} has no unit: write {:?} or {:?}",
                format!("{text}s"),
                format!("{text}m")
            )
        } else {
            format!(
                "{shown} is not a duration: write whole numbers with d, h, m, s or ms, largest first, \
                 such as \"30s\" or \"1h30m\""
            )
        }
    })
}

fn read_millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut allowed = &UNITS[..];
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let at = allowed.iter().position(|(unit, _)| *unit == &rest[..letters])?;
        total = total.checked_add(number.checked_mul(allowed[at].1)?)?;
        allowed = &allowed[at + 1..];
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total)
}

/// Reads a size: a whole number with the unit `B`, `kB`, `MB`, `GB` (powers of 1000) or `KiB`, `MiB`,
/// `GiB` (powers of 1024).
///
/// # Errors
/// A sentence that says what a size looks like.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = text[digits..].trim_start_matches(' ');
    let number: Option<u64> = text[..digits].parse().ok();
    let factor = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor)).ok_or_else(|| {
        format!(
            "{} is not a size: write a whole number with B, kB, MB, GB, KiB, MiB or GiB, such as \"64KiB\"",
            super::quote::quoted(text)
        )
    })
}

/// A duration as it would be written in the file.
pub fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in UNITS {
        if rest >= factor {
            text += &format!("{}{unit}", rest / factor);
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A size as it would be written in the file.
pub fn show_size(bytes: u64) -> String {
    let whole = |factor: u64| bytes >= factor && bytes.is_multiple_of(factor);
    let unit = ["GiB", "MiB", "KiB"]
        .into_iter()
        .find_map(|unit| SIZES.iter().find(|(name, factor)| *name == unit && whole(*factor)));
    match unit {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("30m", 1_800_000),
            ("5s", 5000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1d", 86_400_000),
            ("1m500ms", 60_500),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5x",
            "-5s",
            "5 s",
            "1.5s",
            "5s5s",
            "5s1m",
            "5sm",
            "5S",
            "٣s",
            "99999999999999999999s",
            "999999999999999999d",
            "5s ",
            "1m-",
        ] {
            assert!(duration(text).is_err(), "{text:?} was accepted");
        }
        assert!(duration("5").unwrap_err().contains("\"5s\" or \"5m\""));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1 MB"), Ok(1_000_000));
        for text in ["", "64", "KiB", "64kib", "-1B", "1.5MB", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn a_shown_duration_reads_back(millis in 0..10_000_000_000u64) {
            let value = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(value)), Ok(value));
        }

        #[test]
        fn a_shown_size_reads_back(bytes: u64) {
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_them_panic(text in "\\PC{0,20}") {
            let _ = (duration(&text), size(&text));
        }
    }
}
