//! Everything that would make tonight's `back` fail, found on a good day: findings, each with the command
//! that mends it. Looks and changes nothing.

mod fix;
mod flags;
mod host;
mod records;
mod serving;
mod way_back;

pub use fix::quoted;

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::{Binding, BindingError};
use crate::model::Served;
use crate::site::{Observed, Site};
use crate::system::git::Git;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It is as it should be.
    Fine,
    /// A person should know; `back` works all the same.
    Warning,
    /// `back` would fail, or could not be trusted.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was looked at: `binding`, `signing`, `target` …
    pub subject: &'static str,
    /// What was found and where.
    pub what: String,
    /// The command that mends it, to be typed in the checkout; absent where only a person can.
    pub fix: Option<String>,
}

/// What came of looking at everything.
#[derive(Debug, Clone, Default)]
pub struct Examination {
    /// The findings, in the order in which they are to be mended.
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

    fn problem(&mut self, subject: &'static str, what: impl Into<String>, fix: Option<String>) {
        self.add(Level::Problem, subject, what.into(), fix);
    }

    fn warning(&mut self, subject: &'static str, what: impl Into<String>, fix: Option<String>) {
        self.add(Level::Warning, subject, what.into(), fix);
    }

    /// Says that a subject is fine, where nothing else was said of it.
    fn fine(&mut self, subject: &'static str, what: impl Into<String>) {
        if !self.findings.iter().any(|finding| finding.subject == subject) {
            self.add(Level::Fine, subject, what.into(), None);
        }
    }

    fn add(&mut self, level: Level, subject: &'static str, what: String, fix: Option<String>) {
        self.findings.push(Finding { level, subject, what, fix });
    }
}

/// Looks at a checkout and its host. Where one thing hides the next (no binding, no records), it ends with
/// what can be said until then.
pub fn examine(git: Git, binding: Result<Binding, BindingError>, actor: String) -> Examination {
    let mut found = Examination::default();
    host::hooks(&git, &mut found);
    let binding = match binding {
        Ok(binding) => binding,
        Err(error) => {
            host::no_binding(&git, &error, &mut found);
            return in_order(found);
        }
    };
    let bound = host::binding(&binding, &mut found);
    if !bound {
        return in_order(found);
    }
    let site = Site::new(git, binding, actor);
    host::git(&site, &mut found);
    host::state(&site, &mut found);
    records::signing(&site, &mut found);
    records::locks(&site, &mut found);
    records::runs(&site, &mut found);
    let Some(facts) = records::chains(&site, &mut found) else { return in_order(found) };
    records::clock(&site, &facts, &mut found);
    records::remote(&site, &facts, &mut found);
    let config = &facts.accepted.config;
    let observed = Observed::now(&site, config, &facts.serving, &facts.deployment(&site));
    serving::configuration(&site, &facts, &mut found);
    serving::tree(&site, &facts, &mut found);
    serving::services(&site, config, &facts.serving, &observed, &mut found);
    way_back::examine(&site, &facts, &mut found);
    serving::logs(&site, config, &facts.serving, &observed, &mut found);
    serving::checks(config, &observed, &mut found);
    flags::examine(&site, &facts, &mut found);
    in_order(found)
}

/// The order in which things are mended: what stands first may be why the next is wrong.
fn in_order(mut found: Examination) -> Examination {
    const ORDER: [&str; 19] = [
        "binding", "tools", "git", "identity", "state", "trust", "signing", "locks", "runs",
        "records", "clock", "config", "services", "checks", "flags", "tree", "target", "stable",
        "disk",
    ];
    let place = |finding: &Finding| {
        ORDER.iter().position(|subject| *subject == finding.subject).unwrap_or(ORDER.len())
    };
    found.findings.sort_by_key(place);
    found
}

/// A command on one path, where the path can be typed.
fn on_path(command: &str, path: &Path) -> Option<String> {
    Some(format!("{command} {}", quoted(&path.display().to_string())?))
}
