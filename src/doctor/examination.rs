//! Findings, and the commands that fix them: each can be pasted into a shell as it stands.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::Served;
pub use crate::system::text::quoted;

/// What is run to find this host's tools and to trust its key again. Asks nothing, loses nothing.
pub(super) const INIT: &str = "gitroll init --yes";

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It is as it should be.
    Fine,
    /// A person should know; `back` still works.
    Warning,
    /// `back` would fail, or could not be trusted.
    Problem,
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was examined: `binding`, `signing`, `target` …
    pub subject: &'static str,
    /// What was found and where.
    pub what: String,
    /// The command that fixes it, to be typed in the checkout; absent if there is none.
    pub fix: Option<String>,
}

/// What came of looking at everything.
#[derive(Debug, Clone, Default)]
pub struct Examination {
    /// The findings, in the order in which they are to be fixed.
    pub findings: Vec<Finding>,
    /// What `gitroll back` would take.
    pub back_to: Option<Served>,
}

impl Examination {
    /// Whether nothing found would make `back` fail.
    pub fn ready(&self) -> bool {
        self.problems().next().is_none()
    }

    /// What would make `back` fail.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Problem)
    }

    pub(super) fn problem(
        &mut self,
        subject: &'static str,
        what: impl Into<String>,
        fix: Option<String>,
    ) {
        self.add(Level::Problem, subject, what.into(), fix);
    }

    pub(super) fn warning(
        &mut self,
        subject: &'static str,
        what: impl Into<String>,
        fix: Option<String>,
    ) {
        self.add(Level::Warning, subject, what.into(), fix);
    }

    /// Says that a subject is fine, where nothing else was said of it.
    pub(super) fn fine(&mut self, subject: &'static str, what: impl Into<String>) {
        if !self.findings.iter().any(|finding| finding.subject == subject) {
            self.add(Level::Fine, subject, what.into(), None);
        }
    }

    pub(super) fn add(
        &mut self,
        level: Level,
        subject: &'static str,
        what: String,
        fix: Option<String>,
    ) {
        self.findings.push(Finding { level, subject, what, fix });
    }
}

/// A command on one path, where the path can be typed.
pub(super) fn on_path(command: &str, path: &Path) -> Option<String> {
    Some(format!("{command} {}", quoted(&path.display().to_string())?))
}
