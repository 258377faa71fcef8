//! A type for every id, each checked where it enters the program.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why a text is not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?}: {problem}")]
pub struct IdError {
    /// What was being read, in the glossary's words.
    pub kind: &'static str,
    /// The offending text.
    pub value: String,
    /// What a valid value looks like.
    pub problem: &'static str,
}

fn plain_name(value: &str, extra: &str) -> bool {
    let mut bytes = value.bytes();
    let Some(first) = bytes.next() else {
        return false;
    };
    value.len() <= 64
        && first.is_ascii_alphanumeric()
        && bytes.all(|b| b.is_ascii_alphanumeric() || extra.as_bytes().contains(&b))
        && !value.ends_with('.')
        && !value.contains("..")
        && !value.ends_with(".lock")
}

fn is_flag_name(value: &str) -> bool {
    let mut bytes = value.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b))
        && value.len() <= 200
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $problem:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(value: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(value) {
                    Ok(Self(value.to_owned()))
                } else {
                    Err(IdError { kind: $kind, value: value.to_owned(), problem: $problem })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(value: String) -> Result<Self, IdError> {
                value.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The name of the app, e.g. `shop`.
    AppName, "app name", "letters, digits, `-`, `_` and `.`, at most 64", |v| plain_name(v, "-_.")
);
text_id!(
    /// A named line of history, e.g. `production`.
    EnvironmentName, "environment", "letters, digits, `-` and `_`, at most 64", |v| plain_name(v, "-_")
);
text_id!(
    /// One checkout that writes history: a name and a random suffix, e.g. `web-1.k3f9`.
    WriterId, "writer", "letters, digits, `-`, `_` and `.`, at most 64", |v| plain_name(v, "-_.")
);
text_id!(
    /// The random id of a chain, made by its first record: 32 lower-case hex digits.
    ChainId, "chain id", "32 lower-case hex digits", |v| is_hex(v, &[32])
);
text_id!(
    /// One execution of a plan, e.g. `20261120-031205-k3f9`.
    RunId, "run id", "letters, digits and `-`", |v| plain_name(v, "-")
);
text_id!(
    /// A component's id, e.g. `QW-001`.
    ComponentId, "component id", "letters, digits, `-`, `_` and `.`, at most 64", |v| plain_name(v, "-_.")
);
text_id!(
    /// The name of a `[service.NAME]`.
    ServiceName, "service name", "letters, digits, `-`, `_` and `.`, at most 64", |v| plain_name(v, "-_.")
);
text_id!(
    /// The name of a `[[check]]`.
    CheckName, "check name", "letters, digits, `-`, `_` and `.`, at most 64", |v| plain_name(v, "-_.")
);
text_id!(
    /// The name of a `[flags.source.NAME]`; `file` for `[flags]` itself.
    FlagSourceName, "flag source name", "letters, digits, `-`, `_` and `.`, at most 64", |v| plain_name(v, "-_.")
);
text_id!(
    /// The name of a feature flag, e.g. `ENABLE_UPLOADS`.
    FlagName, "flag name", "letters, digits, `_`, `-`, `.`, `:` and `/`, at most 200, the first a letter or `_`", is_flag_name
);
text_id!(
    /// The name of a `[data.NAME]` or `[settings.NAME]`.
    DataName, "data name", "letters, digits, `-` and `_`, at most 64", |v| plain_name(v, "-_")
);
text_id!(
    /// A rollback point, e.g. `p118`.
    PointId, "point", "`p` and a number, e.g. `p118`", |v| v.strip_prefix('p').is_some_and(|n| {
        !n.is_empty() && n.len() <= 9 && !n.starts_with('0') && n.bytes().all(|b| b.is_ascii_digit())
    })
);
text_id!(
    /// The name of a `[[build]]` group.
    GroupName, "build group name", "letters, digits, `-`, `_` and `.`, at most 64", |v| plain_name(v, "-_.")
);
text_id!(
    /// The key under which an artifact is kept: a hash over everything its build depends on, or
    /// `seen-…` for a directory that was found serving and not built by gitroll.
    BuildKey, "build key", "64 hex digits, or `seen-` and letters, digits, `-`",
    |v| is_hex(v, &[64]) || v.strip_prefix("seen-").is_some_and(|rest| plain_name(rest, "-"))
);

text_id!(
    /// A full git object id: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits.
    Oid, "object id", "40 or 64 lower-case hex digits", |v| is_hex(v, &[40, 64])
);

impl PointId {
    /// The point of this number.
    pub fn of(number: u32) -> Self {
        Self(format!("p{number}"))
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.0[1..].parse().unwrap_or(0)
    }
}

fn is_hex(value: &str, lengths: &[usize]) -> bool {
    lengths.contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl Oid {
    /// The first seven digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }

    /// The id of 20 (SHA-1) or 32 (SHA-256) bytes.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        if !matches!(bytes.len(), 20 | 32) {
            return None;
        }
        let mut digits = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            digits.push(DIGITS[usize::from(byte >> 4)].into());
            digits.push(DIGITS[usize::from(byte & 15)].into());
        }
        Some(Self(digits))
    }

    /// The id that git gives to what is not there: forty zeros.
    pub fn nothing() -> Self {
        Self("0".repeat(40))
    }
}

/// The position of a record in its chain, counted from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The position of a chain's first record.
    pub const FIRST: Seq = Seq(1);

    /// A position as a person types it: `43`, `#43`, or `@43` where a shell would take that for a comment.
    pub fn typed(text: &str) -> Option<Seq> {
        text.strip_prefix(['#', '@']).unwrap_or(text).parse().ok()
    }

    /// The position after this one.
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Seq {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let problem = || IdError {
            kind: "sequence number",
            value: value.to_owned(),
            problem: "a decimal number from 1 to 999999999, without sign or leading zero",
        };
        let plain = !value.is_empty()
            && value.len() <= 9
            && !value.starts_with('0')
            && value.bytes().all(|b| b.is_ascii_digit());
        if !plain {
            return Err(problem());
        }
        value.parse().map(Seq).map_err(|_| problem())
    }
}

/// A SHA-256 digest, written `sha256:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 64 hex digits without the `sha256:` prefix.
    pub fn hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let problem = || IdError {
            kind: "digest",
            value: value.to_owned(),
            problem: "`sha256:` and 64 lower-case hex digits",
        };
        let hex = value.strip_prefix("sha256:").filter(|h| is_hex(h, &[64])).ok_or_else(problem)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| problem())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| problem())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = IdError;
    fn try_from(value: String) -> Result<Self, IdError> {
        value.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_place_are_refused() {
        for bad in ["", "-x", "a/b", "a b", "..", "a..b", "x.lock", "a\n", "é", "a."] {
            assert!(bad.parse::<WriterId>().is_err(), "{bad:?} was accepted");
        }
        assert!("web-1.k3f9".parse::<WriterId>().is_ok());
    }

    #[test]
    fn sequence_numbers_are_plain_and_bounded() {
        for bad in ["0", "01", "+1", "-1", "1 ", "", "99999999999999999999"] {
            assert!(bad.parse::<Seq>().is_err(), "{bad:?} was accepted");
        }
        assert_eq!("42".parse::<Seq>().ok(), Some(Seq(42)));
    }

    #[test]
    fn a_digest_survives_the_way_through_text() {
        let digest = Digest::of(b"gitroll");
        assert_eq!(digest.to_string().parse::<Digest>().ok(), Some(digest));
        assert!("sha256:AB".parse::<Digest>().is_err());
    }
}
