//! The order of stable tags: by semantic version, names that are no versions after all versions.

use std::cmp::Ordering;

use jiff::Timestamp;
use semver::Version;

/// A candidate's place among stable tags; greater is preferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rank {
    /// The version in the name, if it is one.
    pub version: Option<Version>,
    /// When it last served here.
    pub last: Option<Timestamp>,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.version, &other.version) {
            (Some(a), Some(b)) => a.cmp_precedence(b).then_with(|| self.last.cmp(&other.last)),
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

/// The semantic version in a tag's name, with the pattern's fixed suffix and prefix dropped and a leading
/// `v` ignored: `v1.10.0-stable` under `*-stable` is 1.10.0. `1.2` counts as 1.2.0.
pub fn version_of(name: &str, pattern: &str) -> Option<Version> {
    let (prefix, suffix) = match pattern.split_once('*') {
        Some((prefix, rest)) if !rest.contains('*') => (prefix, rest),
        _ => ("", ""),
    };
    let core = name.strip_suffix(suffix).unwrap_or(name);
    let core = core.strip_prefix(prefix).unwrap_or(core);
    let core = core.strip_prefix('v').unwrap_or(core);
    Version::parse(core).ok().or_else(|| {
        let numbers = core.split('.').count();
        (numbers < 3
            && core.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())))
        .then(|| format!("{core}{}", ".0".repeat(3 - numbers)))
        .and_then(|full| Version::parse(&full).ok())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    fn other_patterns_drop_what_is_fixed_in_them() {
        assert_eq!(version_of("stable/1.2.3", "stable/*"), Version::parse("1.2.3").ok());
        assert_eq!(
            version_of("release-v1.2.3-good", "release-*-good"),
            Version::parse("1.2.3").ok()
        );
        assert_eq!(
            version_of("v2.0.0-unstable", "*-stable"),
            Version::parse("2.0.0-unstable").ok()
        );
        assert_eq!(version_of("nightly-stable", "*-stable"), None);
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
