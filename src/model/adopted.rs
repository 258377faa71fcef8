//! Stable tags from before gitroll came.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{IdError, Oid, TargetRef};

/// A tag that a person accepted as naming a state that served here: its name pinned to the object and the
/// commit it had then. Written `refs/tags/… <object id> <commit> <since> <seconds>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct AdoptedTag {
    /// The tag, and the object its ref pointed to.
    pub target: TargetRef,
    /// The commit that the object is or names.
    pub commit: Oid,
    /// Since when HEAD stood there the last time, by its reflog; to the second.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// For how long HEAD stood there, altogether, in seconds.
    pub seconds: u64,
}

impl fmt::Display for AdoptedTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TargetRef { name, id } = &self.target;
        write!(f, "{name} {id} {} {} {}", self.commit, self.since.as_second(), self.seconds)
    }
}

impl FromStr for AdoptedTag {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let problem = || IdError {
            kind: "adopted tag",
            value: value.to_owned(),
            problem: "`refs/tags/…`, an object id, a commit, seconds since 1970 and seconds",
        };
        let parts: Vec<&str> = value.split(' ').collect();
        let [name, id, commit, since, seconds] = parts[..] else { return Err(problem()) };
        if name.strip_prefix("refs/tags/").is_none_or(str::is_empty) {
            return Err(problem());
        }
        let since = i64::try_from(number(since).ok_or_else(problem)?).map_err(|_| problem())?;
        Ok(Self {
            target: TargetRef { name: name.to_owned(), id: id.parse().map_err(|_| problem())? },
            commit: commit.parse().map_err(|_| problem())?,
            since: Timestamp::from_second(since).map_err(|_| problem())?,
            seconds: number(seconds).ok_or_else(problem)?,
        })
    }
}

/// Only one spelling of a number: a record must read back as it was written.
fn number(text: &str) -> Option<u64> {
    let plain = text == "0"
        || (!text.starts_with('0')
            && (1..=12).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit()));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adopted_tag_reads_back_and_nothing_else_does() {
        let (id, commit) = ("a".repeat(40), "b".repeat(40));
        let good = format!("refs/tags/v1.0.0-stable {id} {commit} 1767603600 60");
        assert_eq!(good.parse::<AdoptedTag>().map(|tag| tag.to_string()).ok(), Some(good));
        for bad in [
            format!("refs/tags/ {id} {commit} 1 2"),
            format!("refs/heads/v1 {id} {commit} 1 2"),
            format!("refs/tags/v1 {id} {commit} 01 2"),
            format!("refs/tags/v1 {id} {commit} -1 2"),
            format!("refs/tags/v1 {id} {commit} 1 +2"),
            format!("refs/tags/v1 {id} {commit} 999999999999 2"),
            format!("refs/tags/v1 {id} {commit} 1"),
            format!("refs/tags/v1 {id} {commit} 1 2 3"),
            format!("refs/tags/v1 {id} main 1 2"),
        ] {
            assert!(bad.parse::<AdoptedTag>().is_err(), "{bad} was read");
        }
    }
}
