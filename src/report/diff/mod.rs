//! What differs between two states that were deployed, for finding the cause: suspects first.

mod commits;
mod environment;
mod files;
mod npm_lock;
mod suspect;

pub use commits::{CommitLine, Commits};
pub use environment::{EnvironmentChange, live_keys};
#[cfg(test)]
pub use files::Change;
pub use files::{FileChange, Part, Totals};
pub use npm_lock::LockChange;
pub use suspect::Suspect;
#[cfg(test)]
pub use suspect::SuspectKind;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::{Component, Config};
use crate::ledger::Held;
use crate::model::{Oid, Seq};
use crate::system::git::{Git, GitError};

use files::Kinds;

/// A state that is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct State {
    /// Its commit.
    pub commit: Oid,
    /// The name people know it by.
    pub name: String,
    /// The record that put it in place, or tried to.
    pub seq: Option<Seq>,
    /// Why it is compared, e.g. `last good`; `named` where a person named it.
    pub role: String,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The older version.
    pub from: State,
    /// The newer version.
    pub to: State,
    /// The configuration that says what is a migration and a component.
    pub config: Option<&'a Config>,
    /// The component that alone is looked at.
    pub component: Option<&'a Component>,
    /// The holds that stand.
    pub held: &'a [Held],
    /// The names of the variables in `.env` then and since, where they are known.
    pub keys: Option<(Vec<String>, Vec<String>)>,
}

/// What differs. Long lists hold their first entries; the totals count everything.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Diff {
    /// The older version.
    pub from: State,
    /// The newer version.
    pub to: State,
    /// Nothing differs: neither tree nor environment.
    pub same: bool,
    /// All files.
    pub totals: Totals,
    /// What is seen wrong with what serves, where that is compared on its host: the cause, and where it comes from. It may
    /// lie in what the versions share.
    pub seen_now: Vec<String>,
    /// The suspects, most likely first. At most 500.
    pub suspects: Vec<Suspect>,
    /// Lock files.
    pub locks: Vec<LockChange>,
    /// The names of variables in `.env`, never their values; `null` where they are not known.
    pub environment: Option<EnvironmentChange>,
    /// Files by component, then the rest.
    pub parts: Vec<Part>,
    /// The commits between.
    pub commits: Commits,
    /// What could not be examined.
    pub warnings: Vec<String>,
}

/// Compares two states.
///
/// # Errors
/// When their trees cannot be read. What else cannot be read becomes a warning.
pub fn compare(git: &Git, question: Question<'_>) -> Result<Diff, GitError> {
    let Question { from, to, config, component, held, keys } = question;
    let found = git.diff(&from.commit, &to.commit)?;
    let mut warnings: Vec<String> = found.uncounted.into_iter().collect();
    let mut all: Vec<FileChange> = found.files.iter().map(FileChange::of).collect();
    if let Some(component) = component {
        all.retain(|file| file.is_of(component));
    }
    let kinds = Kinds::of(config);
    let locks = npm_lock::lock_changes(git, &from.commit, &to.commit, &all);
    let mut environment = keys.map(|(before, after)| environment::change(&before, &after));
    if let (Some(component), Some(change)) = (component, &mut environment) {
        // Which variables a component reads is not known, but for its flag.
        change.keep(component.flag.as_ref().map(|flag| flag.name.as_str()));
    }
    let components = match (component, config) {
        (Some(component), _) => std::slice::from_ref(component),
        (None, Some(config)) => &config.components[..],
        (None, None) => &[],
    };
    let manifests = suspect::manifests(git, &from.commit, &to.commit, &all);
    let evidence = suspect::Evidence {
        files: &all,
        locks: &locks,
        manifests: &manifests,
        environment: environment.as_ref(),
        components,
        held,
        kinds: &kinds,
    };
    let mut suspects = suspect::rank(&evidence);
    let between = commits::Between {
        from: &from.commit,
        to: &to.commit,
        component,
        suspects: &suspects,
        held,
    };
    let commits = between.look(git).unwrap_or_else(|error| {
        warnings.push(format!("the commits between cannot be listed: {error}"));
        Commits::default()
    });
    suspect::shorten(&mut suspects);
    let same = all.is_empty() && environment.as_ref().is_none_or(EnvironmentChange::is_empty);
    let (totals, parts) = (Totals::of(&all), files::parts(&all, components));
    Ok(Diff {
        from,
        to,
        same,
        totals,
        seen_now: Vec::new(),
        suspects,
        locks,
        environment,
        parts,
        commits,
        warnings,
    })
}
