//! A key that counts only up to some record.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, WriterId};

/// A revoked key, and the last record of a chain that it signed before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevokedKey {
    /// `SHA256:…`
    pub fingerprint: String,
    /// Whose chain it is.
    pub writer: WriterId,
    /// The last position whose signature by it counts; 0 if none does.
    pub last: u64,
    /// The record there: a chain with another one is not believed.
    pub digest: Option<Digest>,
}

impl fmt::Display for RevokedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.fingerprint, self.writer, self.last)?;
        self.digest.map_or(Ok(()), |digest| write!(f, " {digest}"))
    }
}

impl FromStr for RevokedKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem =
            || format!("{text:?} is not a fingerprint, a writer, a position and a digest");
        let words: Vec<&str> = text.split(' ').collect();
        let (fingerprint, writer, last, digest) = match words.as_slice() {
            [fingerprint, writer, last] => (fingerprint, writer, last, None),
            [fingerprint, writer, last, digest] => (fingerprint, writer, last, Some(digest)),
            _ => return Err(problem()),
        };
        let plain = !last.is_empty() && last.len() <= 9 && last.bytes().all(|b| b.is_ascii_digit());
        if !fingerprint.starts_with("SHA256:") || !plain {
            return Err(problem());
        }
        Ok(Self {
            fingerprint: (*fingerprint).to_owned(),
            writer: writer.parse().map_err(|_| problem())?,
            last: last.parse().map_err(|_| problem())?,
            digest: digest.map(|digest| digest.parse()).transpose().map_err(|_| problem())?,
        })
    }
}
