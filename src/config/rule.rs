//! `[[rule]]`, validated: a symptom, how it is seen, and what to do about it.

use std::fmt;
use std::time::Duration;

use super::CheckKind;
use crate::model::ComponentId;

/// `[[rule]]`
#[derive(Debug, Clone)]
pub struct Rule {
    /// `symptom`, for people: one line.
    pub symptom: String,
    /// `probe`: how it is seen.
    pub probe: SymptomProbe,
    /// `severity`
    pub severity: Severity,
    /// `action`
    pub action: RuleAction,
    /// `timeline`: by when.
    pub timeline: Option<Timeline>,
    /// `why` this is the action: one line.
    pub why: Option<String>,
    /// `for`: how long the symptom must show without a break before `gitroll watch` takes it for real, default 0.
    pub lasts: Duration,
    /// `attempts`: how often in a row it must show, default 1.
    pub attempts: u32,
    /// `every`: how often `gitroll watch` asks; `None` for that of `[watch]`.
    pub every: Option<Duration>,
    /// `auto`: `gitroll watch` may carry the action out by itself, default false.
    pub auto: bool,
}

/// `[watch]`: how `gitroll watch` goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSettings {
    /// `every`: how often the rules are asked, default 10 s.
    pub every: Duration,
    /// `within`: it acts only on what began so soon after a change, default 1 h.
    pub within: Duration,
    /// `start_grace`: after the boot of the machine it only looks for so long, default 3 min.
    pub start_grace: Duration,
    /// `announce`: how long before an act it is announced, default 1 min.
    pub announce: Duration,
    /// `clear`: how soon after an act its trigger must be gone, default 5 min.
    pub clear: Duration,
    /// `cooldown`: the least time between two acts, default 30 min.
    pub cooldown: Duration,
    /// `per_day`: the most acts in 24 h, default 2.
    pub per_day: u32,
}

/// `[soak]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Soak {
    /// `after_back`: how long what a rollback put in place is watched.
    pub after_back: Option<Duration>,
}

/// A question whose answer shows a symptom, or does not.
#[derive(Debug, Clone)]
pub struct SymptomProbe {
    /// The question.
    pub kind: CheckKind,
    /// `when`: which answer shows the symptom, default [`When::Holds`].
    pub when: When,
    /// `since`, of a log: lines that are older do not count, default 15 min.
    pub since: Duration,
    /// `samples` of a metric, each of which must show the symptom, default 1.
    pub samples: u32,
}

/// Which answer shows the symptom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The one that `expect` describes.
    Holds,
    /// Any other, and none where someone should have answered.
    Fails,
}

/// How bad a symptom is. P0 is the worst and the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// `P0`
    P0,
    /// `P1`
    P1,
    /// `P2`
    P2,
    /// `P3`
    P3,
}

/// What to do about a symptom, the shallowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleAction {
    /// `flags:ID` or `flags:ID,ID`: switch the components' flags off.
    Flags(Vec<ComponentId>),
    /// `code`: back to an earlier state.
    Code,
    /// `full`: with data and configuration.
    Full,
    /// `fix-forward`: nothing goes back.
    FixForward,
}

/// By when something is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// As written.
    pub text: String,
    /// Where that is a duration.
    pub within: Option<Duration>,
}

impl Severity {
    /// Its place in the order: 0 is the worst.
    pub fn rank(self) -> u8 {
        match self {
            Severity::P0 => 0,
            Severity::P1 => 1,
            Severity::P2 => 2,
            Severity::P3 => 3,
        }
    }
}

impl RuleAction {
    /// How deep it cuts: 0 is the shallowest. To change nothing comes last, since it ends no incident.
    pub fn depth(&self) -> u8 {
        match self {
            RuleAction::Flags(_) => 0,
            RuleAction::Code => 1,
            RuleAction::Full => 2,
            RuleAction::FixForward => 3,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{}", self.rank())
    }
}

impl fmt::Display for RuleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleAction::Flags(ids) => {
                let ids: Vec<&str> = ids.iter().map(ComponentId::as_str).collect();
                write!(f, "flags:{}", ids.join(","))
            }
            RuleAction::Code => f.write_str("code"),
            RuleAction::Full => f.write_str("full"),
            RuleAction::FixForward => f.write_str("fix-forward"),
        }
    }
}
