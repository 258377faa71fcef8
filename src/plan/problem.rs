//! What is in the way of a plan.

/// One thing in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is and where.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The command that does it or shows more, where there is one.
    pub command: Option<String>,
    /// Refused by policy (exit code 10), not merely impossible (1).
    pub policy: bool,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), command: None, policy: false }
    }
}
