//! The values that several sections share: paths, patterns, commands, environments.

use std::collections::BTreeMap;
use std::path::PathBuf;

use globset::{GlobBuilder, GlobSetBuilder};

use crate::config::app::{OutputGlob, Patterns};
use crate::config::check::FilePlace;
use crate::config::notify::SecretSource;
use crate::config::quote::quoted;
use crate::config::reader::{Item, all};
use crate::model::RepoPath;

/// A path inside the repository. A leading `./` and a trailing `/` mean nothing.
pub(super) fn path(item: &Item<'_>) -> Option<RepoPath> {
    let text = item.text()?;
    let plain = text.strip_prefix("./").unwrap_or(text);
    let plain = plain.strip_suffix('/').filter(|p| !p.is_empty()).unwrap_or(plain);
    match RepoPath::new(plain) {
        Ok(path) => Some(path),
        Err(problem) => {
            item.add(format_args!("{}: a path must be {}", quoted(text), problem.problem));
            None
        }
    }
}

/// A path inside the repository, or a full one.
pub(super) fn file_place(item: &Item<'_>) -> Option<FilePlace> {
    if item.line()?.starts_with('/') {
        host_file(item).map(FilePlace::Host)
    } else {
        path(item).map(FilePlace::Tree)
    }
}

/// A file of the host, named in full.
pub(super) fn host_file(item: &Item<'_>) -> Option<PathBuf> {
    let text = item.line()?;
    let plain = text.strip_prefix('/').is_some_and(|text| {
        !text.is_empty() && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
    });
    if !plain {
        item.add("write the full path of a file on the host, without `.`, `..` or empty parts");
        return None;
    }
    Some(PathBuf::from(text))
}

/// An array of paths.
pub(super) fn paths(item: &Item<'_>) -> Option<Vec<RepoPath>> {
    let elements = item.elements("an array of paths")?;
    if elements.len() > 100 {
        item.add("has more than 100 paths");
        return None;
    }
    all(elements.iter().map(path))
}

/// What a build makes: plain paths, and globs whose last part is plain.
pub(super) fn outputs(item: &Item<'_>, optional: bool) -> Option<(Vec<RepoPath>, Vec<OutputGlob>)> {
    let elements =
        item.elements("an array of paths or globs such as [\"dist\", \"packages/*/dist\"]")?;
    if elements.len() > 100 {
        item.add("has more than 100 paths");
        return None;
    }
    let (mut paths, mut globs) = (Vec::new(), Vec::new());
    let mut fine = true;
    for element in &elements {
        let Some(text) = element.text() else {
            fine = false;
            continue;
        };
        if text.contains(GLOB) {
            match output_glob(text, optional) {
                Ok(glob) => globs.push(glob),
                Err(problem) => {
                    element.add(problem);
                    fine = false;
                }
            }
        } else {
            match path(element) {
                Some(path) => paths.push(path),
                None => fine = false,
            }
        }
    }
    fine.then_some((paths, globs))
}

fn output_glob(text: &str, optional: bool) -> Result<OutputGlob, String> {
    let shown = quoted(text);
    compile(text)?;
    let plain = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
    let Some((directories, name)) = plain.rsplit_once('/').filter(|(_, n)| !n.contains(GLOB))
    else {
        return Err(format!("{shown}: the last part must be a name, as in \"packages/*/dist\""));
    };
    if directories.contains("**") {
        return Err(format!(
            "{shown}: write one `*` for each directory, as in \"packages/*/{name}\""
        ));
    }
    let matcher = GlobBuilder::new(directories).literal_separator(true).build();
    let matcher =
        matcher.map_err(|error| format!("{shown} is not a valid glob: {}", error.kind()))?;
    Ok(OutputGlob::new(text.to_owned(), optional, matcher.compile_matcher(), name.to_owned()))
}

/// What makes a name a glob.
const GLOB: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

/// An array of globs over paths, at least one.
pub(super) fn some_patterns(item: &Item<'_>) -> Option<Patterns> {
    let patterns = patterns(item)?;
    if patterns.is_empty() {
        item.add("is empty: list at least one path");
        return None;
    }
    Some(patterns)
}

/// An array of globs over paths.
///
/// `*` stays within one directory, `**` does not. A pattern whose last part is plain may name a directory
/// and then means everything below it too.
pub(super) fn patterns(item: &Item<'_>) -> Option<Patterns> {
    let elements = item.elements("an array of paths or globs such as [\"app/api/**\"]")?;
    let mut set = GlobSetBuilder::new();
    let globs = all(elements.iter().map(|element| {
        let text = element.text()?;
        for glob in compile(text).map_err(|problem| element.add(problem)).ok()? {
            set.add(glob);
        }
        Some(text.to_owned())
    }))?;
    match set.build() {
        Ok(set) => Some(Patterns::new(globs, set)),
        Err(_) => {
            item.add("these patterns are too large together");
            None
        }
    }
}

/// No patterns.
pub(super) fn no_patterns() -> Patterns {
    Patterns::new(Vec::new(), globset::GlobSet::empty())
}

/// The pattern that matches every path.
pub(super) fn every_path() -> Patterns {
    patterns_of(&["**".to_owned()])
}

/// These globs; what is none is left out.
pub(super) fn patterns_of(globs: &[String]) -> Patterns {
    let mut set = GlobSetBuilder::new();
    for glob in globs.iter().filter_map(|text| compile(text).ok()).flatten() {
        set.add(glob);
    }
    Patterns::new(globs.to_vec(), set.build().unwrap_or_else(|_| globset::GlobSet::empty()))
}

fn compile(text: &str) -> Result<Vec<globset::Glob>, String> {
    const MOST: usize = 1024;
    let shown = quoted(text);
    if text.len() > MOST {
        return Err(format!("{shown} is longer than {MOST} bytes"));
    }
    if let Some(rest) = text.strip_prefix('!') {
        return Err(format!(
            "{shown} would exclude {}: exclusions are not supported",
            quoted(rest)
        ));
    }
    let pattern = text.strip_prefix("./").unwrap_or(text);
    let directory = pattern.ends_with('/');
    let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
    // Alternatives are looked at part by part too: `{a,../b}` must not leave the repository either.
    let parts = || pattern.split(['/', ',', '{', '}']);
    let leaves = pattern.is_empty()
        || pattern.split('/').any(str::is_empty)
        || parts().any(|part| {
            let name = part.trim_end().to_ascii_lowercase();
            part == "." || part == ".." || name == ".git"
        });
    if leaves {
        return Err(format!(
            "{shown}: a pattern must be relative to the repository, without `..`, `.git` or empty parts"
        ));
    }
    let build = |pattern: &str| {
        GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map_err(|error| format!("{shown} is not a valid glob: {}", error.kind()))
    };
    let last = pattern.rsplit('/').next().unwrap_or(pattern);
    let plain = !last.contains(GLOB);
    let mut globs = Vec::new();
    if !directory {
        globs.push(build(pattern)?);
    }
    if plain || directory {
        globs.push(build(&format!("{pattern}/**"))?);
    }
    Ok(globs)
}

/// A command as an argument vector.
pub(super) fn command(item: &Item<'_>) -> Option<Vec<String>> {
    let wanted = "an array of arguments such as [\"npm\", \"ci\"] (no shell reads it)";
    let elements = item.elements(wanted)?;
    let words = all(elements.iter().map(|word| word.text().map(str::to_owned)))?;
    match words.first() {
        None => item.add("is empty: name the program to run"),
        Some(program) if program.trim().is_empty() => item.add("does not name a program"),
        Some(program) if words.len() == 1 && program.contains(' ') => item.add(format_args!(
            "{} is one string with spaces: write each argument as its own string, because no shell splits them",
            quoted(program)
        )),
        Some(_) => return Some(words),
    }
    None
}

/// Where a secret is found.
pub(super) fn secret_source(item: &Item<'_>) -> Option<SecretSource> {
    let name = item.label().to_owned();
    let table = item.table(name.as_str())?;
    let found = match (table.get("env"), table.get("file")) {
        (Some(item), None) => item.line().map(|name| SecretSource::Env(name.to_owned())),
        (None, Some(item)) => host_file(&item).map(SecretSource::File),
        _ => {
            table.add(format!(
                "{name}: must be {{ env = \"NAME\" }} or {{ file = \"/full/path\" }}"
            ));
            None
        }
    };
    table.finish();
    found
}

/// A table of environment variables.
pub(super) fn environment(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let table = item.table(String::new())?;
    let variables = table.named().into_iter().map(|(name, value)| {
        let text = value.text();
        if !is_variable(name) {
            value.add(
                "is not a variable name: use letters, digits and `_`, not beginning with a digit",
            );
            return None;
        }
        if name.starts_with("GITROLL_") {
            value.add("variables that begin with GITROLL_ are set by gitroll");
            return None;
        }
        Some((name.to_owned(), text?.to_owned()))
    });
    all(variables.collect::<Vec<_>>()).map(|variables| variables.into_iter().collect())
}

/// Whether a text can be the name of a variable.
pub(super) fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.len() <= 256
}
