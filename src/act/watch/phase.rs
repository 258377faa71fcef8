//! What the watcher does besides asking the rules.

use std::time::Duration;

use crate::act::circumstances::Remedy;
use crate::act::soak::Watch;
use crate::config::Rule;
use crate::model::{Digest, Seq};
use crate::watch::{Soaking, Trigger};

/// How often a rule was asked, and when it is asked again.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) trigger: Trigger,
    pub(super) due: Duration,
}

/// What it does besides asking the rules.
pub(super) enum Phase<'a> {
    Watching,
    Announced(Box<Announced>),
    Clearing(Box<Clearing>),
    Soaking(Box<SoakWatch<'a>>),
}

/// An act that people were told of.
pub(super) struct Announced {
    pub(super) rule: Rule,
    pub(super) remedy: Remedy,
    pub(super) change: Digest,
    pub(super) at: Duration,
    pub(super) incident: String,
}

/// An act that was carried out; whether it helped is not known yet.
pub(super) struct Clearing {
    pub(super) rule: Rule,
    pub(super) trigger: Trigger,
    pub(super) due: Duration,
    pub(super) until: Duration,
    pub(super) record: Option<(Seq, Digest)>,
    /// What serves now, or what was switched off.
    pub(super) put: String,
    /// What was left.
    pub(super) left: String,
    pub(super) incident: String,
}

pub(super) struct SoakWatch<'a> {
    pub(super) watch: Watch<'a>,
    pub(super) soak: Soaking,
    pub(super) due: Duration,
}

/// Whether a person is needed for a symptom that people were told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// What was announced was called off, and it is decided anew.
    Undecided,
    Person,
}

impl Phase<'_> {
    /// Its name, as it is shown.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Phase::Watching => "watching",
            Phase::Announced(_) => "announced",
            Phase::Clearing(_) => "clearing",
            Phase::Soaking(_) => "soaking",
        }
    }
}
