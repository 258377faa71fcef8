//! Whether a component's files of another version fit what serves: what they need and would not find,
//! what needs a file that would be gone. Nothing found here refuses anything.
//!
//! JavaScript and TypeScript are read by a lexical scan ([`lexer`]) that knows comments, strings, template
//! literals and regular expressions, and imports are resolved as node, TypeScript and bundlers do. Names
//! computed at run time (`require(x)`), `exports` and `imports` of package.json and escapes within
//! specifiers are not seen. What is tracked below `node_modules` is not examined.

mod dangling;
mod finding;
mod imports;
mod lexer;
mod packages;
mod resolve;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use self::resolve::{Tree, Trees};
use crate::model::RepoPath;
use crate::system::git::{GitError, TreeChange};

pub use self::finding::{ComponentChange, Dangling, Fit, FitWarning};

/// Looks at all of it.
///
/// # Errors
/// When git cannot read the trees or a file.
pub fn examine(change: &ComponentChange<'_>) -> Result<Fit, GitError> {
    let between = change.git.changes(&change.live.commit, &change.target.commit)?;
    let after = Tree::whole(change.git, change.after);
    let before = after.before(change.changes);
    let target = before.after(&between);
    let trees = Trees { before, target, after };

    let mut fit = Fit { warnings: shared(change), unresolvable: Vec::new() };
    fit.warnings.extend(migrations(change, &between));
    let incoming = dangling::incoming(change, &trees, &mut fit)?;
    packages::compare(change, &trees, &between, &incoming, &mut fit)?;
    dangling::outside(change, &trees, &mut fit)?;
    fit.unresolvable.sort();
    fit.unresolvable.dedup();
    Ok(fit)
}

fn shared(change: &ComponentChange<'_>) -> Vec<FitWarning> {
    let others = change.config.components.iter().filter(|other| other.id != change.component.id);
    let shared = others.map(|other| FitWarning::Shared {
        component: other.id.clone(),
        paths: paths(change.changes, |path| other.paths.matches(path)),
    });
    shared
        .filter(|warning| !matches!(warning, FitWarning::Shared { paths, .. } if paths.is_empty()))
        .collect()
}

fn migrations(change: &ComponentChange<'_>, between: &[TreeChange]) -> Vec<FitWarning> {
    let migration = |path: &RepoPath| change.config.migrate.paths.matches(path);
    let moved = paths(change.changes, migration);
    let left = paths(between, |path| migration(path) && !moved.contains(path));
    let (target, live) = (change.target.name.clone(), change.live.name.clone());
    let mut warnings = Vec::new();
    if !moved.is_empty() {
        warnings.push(FitWarning::MigrationsMoved { paths: moved });
    }
    if !left.is_empty() {
        warnings.push(FitWarning::MigrationsBetween { paths: left, target, live });
    }
    warnings
}

fn paths(changes: &[TreeChange], fits: impl Fn(&RepoPath) -> bool) -> Vec<RepoPath> {
    changes.iter().map(|change| &change.path).filter(|path| fits(path)).cloned().collect()
}
