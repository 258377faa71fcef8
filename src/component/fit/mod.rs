//! Whether a component's files of another version fit what serves: what they need and would not find,
//! what needs a file that would be gone. Nothing found here refuses anything.
//!
//! JavaScript and TypeScript are read by a lexical scan ([`lexer`]) that knows comments, strings, template
//! literals and regular expressions, and imports are resolved as node, TypeScript and bundlers do. Names
//! computed at run time (`require(x)`), `exports` and `imports` of package.json and escapes within
//! specifiers are not seen. What is tracked below `node_modules` is not looked at.

mod aliases;
mod code;
mod imports;
mod lexer;
mod mentions;
mod packages;
mod resolve;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod tree;
mod words;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

pub use self::imports::ImportKind;
use self::tree::Tree;
use crate::config::{Component, Config};
use crate::model::{ComponentId, RepoPath, Served, TreeEntry};
use crate::system::git::{Git, GitError, TreeChange};

/// A component's change, as it would be carried out.
#[derive(Clone, Copy)]
pub struct ComponentChange<'a> {
    /// Reads the blobs.
    pub git: &'a Git,
    /// What serves now.
    pub live: &'a Served,
    /// Where the component's files come from.
    pub target: &'a Served,
    /// The whole tree that would serve.
    pub after: &'a BTreeMap<RepoPath, TreeEntry>,
    /// What differs in it from what serves.
    pub changes: &'a [TreeChange],
    /// The component.
    pub component: &'a Component,
    /// The accepted configuration: the other components, migrations, build outputs.
    pub config: &'a Config,
}

/// What may not fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fit {
    /// What a person should know.
    pub warnings: Vec<FitWarning>,
    /// Imports inside the tree that find their file now and would not.
    pub unresolvable: Vec<Dangling>,
}

/// An import whose file would not be there. Shown in one line; its texts come from the repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Dangling {
    /// The importing file.
    pub importer: RepoPath,
    /// The line of it, from 1.
    pub line: usize,
    /// How it imports.
    pub kind: ImportKind,
    /// What it imports, as written.
    pub specifier: String,
    /// The file that this means, and that would be missing.
    pub missing: RepoPath,
    /// The importer comes in with the component, from this version. Otherwise it stays, and the component
    /// takes the missing file away.
    pub incoming: Option<String>,
}

/// Something a person should know before a component goes back. Shown in one line; its texts come from
/// the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum FitWarning {
    /// A package.json or lock file is another one where the component's files come from.
    PackagesDiffer {
        /// The file, which stays as it is.
        file: RepoPath,
        /// Where the component's files come from.
        target: String,
        /// What serves.
        live: String,
        /// Packages that the component's files import and that package.json asks for differently.
        packages: Vec<String>,
    },
    /// A file of the component imports a package that package.json does not name.
    PackageMissing {
        /// The file.
        importer: RepoPath,
        /// The line of it, from 1.
        line: usize,
        /// The package.
        package: String,
        /// What serves.
        live: String,
    },
    /// Another component has some of the same files.
    Shared {
        /// The other component.
        component: ComponentId,
        /// The files.
        paths: Vec<RepoPath>,
    },
    /// Migrations are among the component's files.
    MigrationsMoved {
        /// The migrations.
        paths: Vec<RepoPath>,
    },
    /// Migrations lie between the two versions; the database stays as it is.
    MigrationsBetween {
        /// The migrations.
        paths: Vec<RepoPath>,
        /// Where the component's files come from.
        target: String,
        /// What serves.
        live: String,
    },
    /// A type-only import would dangle: that is gone before the program runs, but a build may fail.
    TypesDangle {
        /// The import.
        import: Dangling,
    },
    /// A file of the component imports one that is in neither version: perhaps a build makes it.
    Unfound {
        /// The file.
        importer: RepoPath,
        /// The line of it, from 1.
        line: usize,
        /// What it imports, as written.
        specifier: String,
    },
    /// A file speaks of one that would not be there.
    Mentions {
        /// The file.
        path: RepoPath,
        /// The line of it, from 1.
        line: usize,
        /// The file that would not be there.
        missing: RepoPath,
    },
    /// A file is not understood as JavaScript and was searched as text.
    NotUnderstood {
        /// The file.
        path: RepoPath,
    },
    /// Files are too large to be looked into.
    TooLarge {
        /// The files.
        paths: Vec<RepoPath>,
    },
}

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
    let incoming = code::incoming(change, &trees, &mut fit)?;
    packages::compare(change, &trees, &between, &incoming, &mut fit)?;
    code::outside(change, &trees, &mut fit)?;
    fit.unresolvable.sort();
    fit.unresolvable.dedup();
    Ok(fit)
}

/// The trees an import is looked up in.
struct Trees<'a> {
    /// What serves.
    before: Tree<'a>,
    /// Where the component's files come from.
    target: Tree<'a>,
    /// What would serve.
    after: Tree<'a>,
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
