//! A state considered as target, and why it is passed over where it is.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{ComponentId, Oid, Seq, TargetRef};

/// A state considered as target.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Candidate {
    /// A stable tag, or the name people know the state by.
    pub name: String,
    /// Its commit; `None` for a tag that names none.
    pub commit: Option<Oid>,
    /// The tag, where one names it.
    pub tag: Option<TargetRef>,
    /// The record that last put it in place here.
    pub seq: Option<Seq>,
    /// How it served here.
    pub served: Option<ServedHere>,
    /// The record of HEAD being moved away from it by hand, e.g. `#5`: the last, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<String>,
    /// What is needed to restore it.
    pub build: Needed,
    /// Why its stored artifacts do not run on this host, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfit: Option<String>,
    /// Usable, chosen, serving, or skipped and why.
    pub standing: Standing,
}

/// How a state served here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct ServedHere {
    /// For how long in total, in seconds, as far as the clocks agree.
    pub seconds: u64,
    /// At least once for an unknown time: the clock was set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub and_unknown: bool,
    /// Since when the last time.
    #[schemars(with = "String")]
    pub last: Timestamp,
    /// Observed serving by a run.
    pub proven: bool,
    /// Accepted by a person.
    pub adopted: bool,
    /// It came by hand, and processes ran it until HEAD was moved by hand again. Nobody proved it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ran: bool,
    /// A part of the time was before gitroll, as HEAD's reflog told when it was adopted.
    pub reflog: bool,
}

impl ServedHere {
    /// For how long, altogether.
    pub fn total(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// What is needed for a version's artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Needed {
    /// Nothing is built in this app, or everything is kept.
    Nothing,
    /// These groups must be built.
    Build(Vec<String>),
    /// It is not available.
    Impossible(String),
}

/// What is known about a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "is", content = "why")]
pub enum Standing {
    /// It is what serves.
    Serving,
    /// It is what `back` would use.
    Next,
    /// It could be taken.
    Usable,
    /// It is skipped.
    Skipped(Reason),
}

/// Why a candidate is skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It never served here.
    NeverServed,
    /// Its files are those that serve.
    SameFiles,
    /// It was found serving, checked out by hand, and never proven.
    NotProven,
    /// It served for less than `stable.min_served` and was not promoted.
    TooShort {
        /// How long it served, in seconds.
        seconds: u64,
        /// How long is wanted, in seconds.
        wanted: u64,
    },
    /// How long it served is unknown because the clock was set, and it was not promoted.
    TimeUnknown {
        /// How long is wanted, in seconds.
        wanted: u64,
    },
    /// It is newer than what serves, and no record deployed it here: not a rollback target.
    Ahead,
    /// Its promotion was withdrawn.
    Demoted {
        /// The record, e.g. `#43`.
        by: String,
    },
    /// It was failing when it was last left.
    FailedWhenLeft {
        /// The record of the act that saw it, e.g. `#43`.
        by: String,
    },
    /// The last try to put it in place failed, and it was not observed serving since.
    FailedWhenTried {
        /// The record of the try, e.g. `#43`.
        by: String,
    },
    /// What serves reverts a commit of it.
    Reverted {
        /// The commit that says so.
        by: Oid,
    },
    /// It is marked bad.
    Bad {
        /// The record, e.g. `#43`.
        by: String,
    },
    /// It has the same tree as, or contains, a commit that is held.
    Held {
        /// The held commit.
        commit: Oid,
        /// The record, e.g. `#43`.
        by: String,
    },
    /// It has the content of a component that is held.
    HeldComponent {
        /// The component.
        id: ComponentId,
        /// The record, e.g. `#43`.
        by: String,
    },
    /// The tag's name could be taken for something else.
    UnsafeName,
    /// The tag has no tag object.
    Lightweight,
    /// The tag's own name is another.
    OtherName {
        /// What it says.
        says: String,
    },
    /// The tag was adopted, but its ref points elsewhere now.
    Moved {
        /// The record that adopted it, e.g. `#2`.
        by: String,
    },
    /// The tag is not signed.
    Unsigned,
    /// The signer is not trusted.
    Untrusted {
        /// Why.
        why: String,
    },
    /// The tag names no commit, or is broken.
    Unusable {
        /// Why.
        why: String,
    },
    /// It can neither be restored from the store nor built.
    Impossible {
        /// Why.
        why: String,
    },
}

impl Reason {
    /// Whether it only makes one doubt: who names the state overrides it.
    pub fn is_doubt(&self) -> bool {
        matches!(
            self,
            Reason::NeverServed
                | Reason::Ahead
                | Reason::NotProven
                | Reason::SameFiles
                | Reason::FailedWhenLeft { .. }
                | Reason::FailedWhenTried { .. }
                | Reason::Reverted { .. }
                | Reason::TooShort { .. }
                | Reason::TimeUnknown { .. }
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NeverServed => f.write_str("never served here"),
            Reason::SameFiles => f.write_str("same files as what serves"),
            Reason::NotProven => f.write_str("checked out by hand, never proven"),
            Reason::TooShort { seconds, wanted } => {
                let [served, wanted] =
                    [*seconds, *wanted].map(|s| short_time(Duration::from_secs(s)));
                write!(f, "served only {served} (stable.min_served is {wanted}), not promoted")
            }
            Reason::TimeUnknown { wanted } => {
                let wanted = short_time(Duration::from_secs(*wanted));
                write!(
                    f,
                    "served for an unknown time, because the clock was set (stable.min_served is \
                     {wanted}), not promoted"
                )
            }
            Reason::Ahead => f.write_str("newer than what serves, and not deployed here since"),
            Reason::Demoted { by } => write!(f, "its promotion was withdrawn ({by})"),
            Reason::FailedWhenLeft { by } => write!(f, "was failing when it was left ({by})"),
            Reason::FailedWhenTried { by } => write!(f, "failed when it was tried ({by})"),
            Reason::Reverted { by } => write!(f, "reverted by {}", by.short()),
            Reason::Bad { by } => write!(f, "bad ({by})"),
            Reason::Held { commit, by } => {
                write!(f, "held: contains {} ({by})", commit.short())
            }
            Reason::HeldComponent { id, by } => {
                write!(f, "contains {id} in a version that was marked bad ({by})")
            }
            Reason::UnsafeName => f.write_str("unsafe name"),
            Reason::Lightweight => f.write_str("lightweight tag, not signed"),
            Reason::OtherName { says } => write!(f, "the tag object names itself {says}"),
            Reason::Moved { by } => write!(f, "moved since {by} adopted it"),
            Reason::Unsigned => f.write_str("unsigned"),
            Reason::Untrusted { why } | Reason::Unusable { why } | Reason::Impossible { why } => {
                f.write_str(why)
            }
        }
    }
}

fn short_time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// Whether a ref's short name is safe to print, to pass on and to type: letters, digits and `._/+-@`,
/// not beginning with `-`.
pub fn safe_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._/+-@".contains(c))
}
