//! The order of stable tags: by the numbers in their names, names without a version after all versions.

use std::cmp::{Ordering, Reverse};

use jiff::Timestamp;
use semver::Prerelease;

/// A candidate's place among stable tags; greater is preferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rank {
    /// The version in the name, if it is one.
    pub version: Option<ReleaseVersion>,
    /// When it last served here.
    pub last: Option<Timestamp>,
}

/// A version as the name of a tag has it: `1.10.0`, `1.2`, `2024.11.05`, `2024-11-05`, `1.2.3.4`, `2.0.0-rc.1`.
///
/// Of two semantic versions the one with the higher precedence is greater. Missing numbers are zeros, so `1.2` equals
/// `1.2.0`.
#[derive(Debug, Clone)]
pub struct ReleaseVersion {
    /// Without zeros at the end.
    numbers: Vec<u64>,
    pre: Prerelease,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.version, &other.version) {
            (Some(a), Some(b)) => a.cmp(b).then_with(|| self.last.cmp(&other.last)),
            (Some(_), None) => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
            (None, None) => self.last.cmp(&other.last),
        }
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ReleaseVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without zeros at the end the longer one of two equal beginnings is greater.
        self.numbers.cmp(&other.numbers).then_with(|| self.pre.cmp(&other.pre))
    }
}

impl PartialOrd for ReleaseVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ReleaseVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ReleaseVersion {}

impl ReleaseVersion {
    /// Reads a version without prefix and suffix. What follows a `+` has no part in it.
    ///
    /// Numbers after the `-` of a calendar version count on (`2024.11.05-2` is a second release of that day); after
    /// that of any other they name a pre-release, as in semantic versions.
    fn parse(text: &str) -> Option<Self> {
        let text = text.split_once('+').map_or(text, |(before, _)| before);
        let (core, tail) = match text.split_once('-') {
            Some((core, tail)) => (core, Some(tail)),
            None => (text, None),
        };
        let mut numbers = numbers_of(core, &['.'])?;
        let calendar = (1970..2200).contains(numbers.first()?);
        let pre = match tail {
            None => Prerelease::EMPTY,
            Some(tail) => match numbers_of(tail, &['.', '-']) {
                Some(more) if calendar => {
                    numbers.extend(more);
                    Prerelease::EMPTY
                }
                _ => Prerelease::new(&without_leading_zeros(tail)).ok()?,
            },
        };
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(Self { numbers, pre })
    }
}

impl ReleaseVersion {
    /// The next one that a person would probably choose: the last of at least three numbers counts on.
    pub fn following(&self) -> String {
        let mut numbers = self.numbers.clone();
        numbers.resize(numbers.len().max(3), 0);
        if self.pre.is_empty()
            && let Some(last) = numbers.last_mut()
        {
            *last = last.saturating_add(1);
        }
        numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
    }
}

fn numbers_of(text: &str, separators: &[char]) -> Option<Vec<u64>> {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    };
    text.split(separators).map(number).collect()
}

/// Numbers as semantic versions write them: `rc.01` is `rc.1`.
fn without_leading_zeros(tail: &str) -> String {
    let part = |part: &str| match part.parse::<u64>() {
        Ok(number) if part.bytes().all(|b| b.is_ascii_digit()) => number.to_string(),
        _ => part.to_owned(),
    };
    tail.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// The places of tags, the highest rank first and of equal ones by name. `last` says when one last served here: it is
/// asked only where the versions do not decide.
pub fn by_rank<T>(
    mut tags: Vec<(Option<ReleaseVersion>, T, usize)>,
    name: impl Fn(&T) -> &str,
    last: impl Fn(&usize) -> Option<Timestamp>,
) -> Vec<usize> {
    tags.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| name(&a.1).cmp(name(&b.1))));
    for equal in tags.chunk_by_mut(|a, b| a.0 == b.0).filter(|equal| equal.len() > 1) {
        equal.sort_by_cached_key(|(_, _, at)| Reverse(last(at)));
    }
    tags.into_iter().map(|(_, _, at)| at).collect()
}

/// The version in a tag's name, with the pattern's fixed suffix and prefix dropped and a leading
/// `v` ignored: `v1.10.0-stable` under `*-stable` is 1.10.0.
pub fn version_of(name: &str, pattern: &str) -> Option<ReleaseVersion> {
    let (prefix, suffix) = match pattern.split_once('*') {
        Some((prefix, rest)) if !rest.contains('*') => (prefix, rest),
        _ => ("", ""),
    };
    let core = name.strip_suffix(suffix).unwrap_or(name);
    let core = core.strip_prefix(prefix).unwrap_or(core);
    ReleaseVersion::parse(core.strip_prefix('v').unwrap_or(core))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use semver::Version;

    fn rank(name: &str) -> Rank {
        Rank { version: version_of(name, "*-stable"), last: None }
    }

    #[test]
    fn ten_comes_after_nine_and_a_release_after_its_candidates() {
        let ordered = [
            "zzz-stable",
            "v0.9.0-stable",
            "v1.0.0-rc.1-stable",
            "v1.0.0-stable",
            "v1.9.0-stable",
            "v1.10.0-stable",
            "2-stable",
        ];
        for pair in ordered.windows(2) {
            assert!(rank(pair[0]) < rank(pair[1]), "{} is not below {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn calendar_versions_are_ordered_by_their_numbers_however_they_are_written() {
        for ordered in [
            &["2024.10.12-stable", "2024.11.05-stable", "2024.11.15-stable", "2025.01.02-stable"][..],
            &["v24.04-stable", "v24.04.1-stable", "v24.10-stable"],
            &["2024-09-30-stable", "2024-10-12-stable", "2024.11.05-stable", "2024-11-15-stable"],
            &[
                "2024.11.05-rc.01-stable",
                "2024.11.05-stable",
                "2024.11.05-2-stable",
                "2024.11.5.10-stable",
            ],
            &["20240930-stable", "20241105-stable"],
            &["1.2.3-stable", "1.2.3.4-stable", "1.2.4-stable"],
        ] {
            for pair in ordered.windows(2) {
                assert!(rank(pair[0]) < rank(pair[1]), "{} is not below {}", pair[0], pair[1]);
            }
        }
        assert_eq!(rank("2024.11.05-stable").cmp(&rank("2024.11.5-stable")), Ordering::Equal);
        assert_eq!(rank("2024.1.0-stable").cmp(&rank("2024.01-stable")), Ordering::Equal);
    }

    #[test]
    fn the_next_version_counts_on() {
        for (version, next) in
            [("1.2.3", "1.2.4"), ("1.2", "1.2.1"), ("2.0.0", "2.0.1"), ("1.0.0-rc.1", "1.0.0")]
        {
            assert_eq!(ReleaseVersion::parse(version).unwrap().following(), next);
        }
    }

    #[test]
    fn other_patterns_drop_what_is_fixed_in_them() {
        let version = ReleaseVersion::parse;
        assert_eq!(version_of("stable/1.2.3", "stable/*"), version("1.2.3"));
        assert_eq!(version_of("release-v1.2.3-good", "release-*-good"), version("1.2.3"));
        assert_eq!(version_of("v2.0.0-unstable", "*-stable"), version("2.0.0-unstable"));
        for none in ["nightly-stable", "-stable", "1..2-stable", "1.2.x-stable", "1.0a-stable"] {
            assert_eq!(version_of(none, "*-stable"), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn the_order_agrees_with_semver(
            a in (0u64..20, 0u64..20, 0u64..20, proptest::option::of("[a-z]{1,4}(\\.[0-9]{1,2})?")),
            b in (0u64..20, 0u64..20, 0u64..20, proptest::option::of("[a-z]{1,4}(\\.[0-9]{1,2})?")),
        ) {
            let text = |v: &(u64, u64, u64, Option<String>)| {
                let pre = v.3.as_ref().map(|p| format!("-{p}")).unwrap_or_default();
                format!("{}.{}.{}{pre}", v.0, v.1, v.2)
            };
            let (a, b) = (text(&a), text(&b));
            prop_assume!(Version::parse(&a).is_ok() && Version::parse(&b).is_ok());
            let wanted = Version::parse(&a).unwrap().cmp_precedence(&Version::parse(&b).unwrap());
            let tag = |v: &str| rank(&format!("v{v}-stable"));
            prop_assert_eq!(tag(&a).cmp(&tag(&b)), wanted);
        }
    }
}
