//! Approvals: for what they may be needed, what is said of them as an act begins, and what a record states.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Oid, WriterId};

/// What an environment may ask approvals for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalLevel {
    /// Feature flags.
    Flags,
    /// The code.
    Code,
    /// Migrations of the database.
    Migrate,
    /// Code, data and settings.
    Full,
}

impl ApprovalLevel {
    /// All of them, as `[approvals]` names them.
    pub const ALL: [(ApprovalLevel, &'static str); 4] = [
        (ApprovalLevel::Flags, "flags"),
        (ApprovalLevel::Code, "code"),
        (ApprovalLevel::Migrate, "migrate"),
        (ApprovalLevel::Full, "full"),
    ];
}

impl fmt::Display for ApprovalLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(level, _)| level == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}

/// The approvals of an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalEvidence {
    /// For what they were needed.
    pub level: ApprovalLevel,
    /// The roles that had to approve.
    pub roles: Vec<String>,
    /// The blob of the request.
    pub request: Option<Oid>,
    /// Who approved, for which role.
    pub given: Vec<GivenApproval>,
    /// Why it was done without.
    pub overridden: Option<String>,
}

/// One approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GivenApproval {
    /// For which role.
    pub role: String,
    /// Who, as git has it; escape before printing.
    pub name: String,
    /// Their address, as git has it.
    pub email: String,
    /// Whose chain it is in.
    pub writer: WriterId,
    /// The key that signed it.
    pub key: String,
}

/// What a person says about approvals as the act is begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalOptions {
    /// Lines that `gitroll approve` printed elsewhere.
    pub lines: Vec<String>,
    /// Why it goes on without.
    pub overriding: Option<String>,
}
