//! What is found, in one line each.

use std::fmt;
use std::fmt::Display;

use super::{Dangling, FitWarning};

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
                    "{file} changed between {target} and {live}: the component's files may need other \
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
                "{} {} of the component's own files, the schema stays: {}",
                counted(paths.len(), "migration"),
                if paths.len() == 1 { "is one" } else { "are" },
                some(paths)
            ),
            Self::MigrationsBetween { paths, target, live } => write!(
                f,
                "{} between {target} and {live}, schema and files stay: {}",
                counted(paths.len(), "migration"),
                some(paths)
            ),
            Self::TypesDangle { import } => write!(f, "{import} (types only: a build may fail)"),
            Self::Unfound { importer, line, specifier } => write!(
                f,
                "{importer}:{line} imports '{specifier}', a file in neither version: does a build make it?"
            ),
            Self::Mentions { path, line, missing } => {
                write!(f, "{path}:{line} mentions {missing}, which would not be there")
            }
            Self::NotUnderstood { path } => {
                write!(f, "{path} is not understood as JavaScript: searched as text only")
            }
            Self::TooLarge { paths } => write!(
                f,
                "{} larger than 1 MiB not looked into: {}",
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
