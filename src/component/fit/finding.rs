//! What is asked about a component's change, what may be found, and how each is said in one line.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use schemars::JsonSchema;
use serde::Serialize;

use super::imports::ImportKind;
use crate::config::{Component, Config};
use crate::model::{ComponentId, RepoPath, Served, TreeEntry};
use crate::system::git::{Git, TreeChange};

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

/// So many of a list are named.
const SHOWN: usize = 3;

impl Display for Dangling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { importer, line, kind, specifier, missing, incoming } = self;
        let verb = kind.verb();
        match incoming {
            Some(version) => write!(
                f,
                "{importer}:{line} of {version} {verb} '{specifier}': {missing} is not in what serves"
            ),
            None => write!(f, "{importer}:{line} {verb} '{specifier}': {missing} would be gone"),
        }
    }
}

impl Display for FitWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PackagesDiffer { file, target, live, packages } => {
                write!(
                    f,
                    "{file} changed between {target} and {live}: the component's files may need different \
                     packages"
                )?;
                match packages.is_empty() {
                    true => Ok(()),
                    false => write!(f, " (they import {})", some(packages)),
                }
            }
            Self::PackageMissing { importer, line, package, live } => {
                write!(f, "{importer}:{line} imports {package}, not in package.json of {live}")
            }
            Self::Shared { component, paths } => {
                write!(f, "{component} has the same files: {}", some(paths))
            }
            Self::MigrationsMoved { paths } => write!(
                f,
                "{} {} of the component's own files, the schema is not rolled back: {}",
                counted(paths.len(), "migration"),
                if paths.len() == 1 { "is one" } else { "are" },
                some(paths)
            ),
            Self::MigrationsBetween { paths, target, live } => write!(
                f,
                "{} between {target} and {live}, schema and files are not rolled back: {}",
                counted(paths.len(), "migration"),
                some(paths)
            ),
            Self::TypesDangle { import } => write!(f, "{import} (types only: a build may fail)"),
            Self::Unfound { importer, line, specifier } => write!(
                f,
                "{importer}:{line} imports '{specifier}', a file in neither version: does a build create it?"
            ),
            Self::Mentions { path, line, missing } => {
                write!(f, "{path}:{line} mentions {missing}, which would be missing")
            }
            Self::NotUnderstood { path } => {
                write!(f, "{path} cannot be parsed as JavaScript: searched as text only")
            }
            Self::TooLarge { paths } => write!(
                f,
                "{} larger than 1 MiB not examined: {}",
                counted(paths.len(), "file"),
                some(paths)
            ),
        }
    }
}

fn some<T: Display>(list: &[T]) -> String {
    let shown = list.iter().take(SHOWN).map(T::to_string).collect::<Vec<_>>().join(", ");
    match list.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
