//! Imports that would dangle: of the component's files that come in, and of all files that stay.

use std::collections::BTreeSet;

use super::imports::{Import, ImportKind, Imports};
use super::mentions::Needles;
use super::resolve::{Resolver, is_relative};
use super::tree::{MOST_BYTES, is_plain};
use super::{ComponentChange, Dangling, Fit, FitWarning, Trees};
use crate::model::RepoPath;
use crate::system::git::GitError;

/// A package that a file of the component imports.
pub(super) struct PackageUse {
    pub importer: RepoPath,
    pub import: Import,
    /// The live version of the same file imports it as well.
    pub live_too: bool,
}

/// Looks at the imports of the files that come in; what they import by name is handed back.
pub(super) fn incoming(
    change: &ComponentChange<'_>,
    trees: &Trees<'_>,
    fit: &mut Fit,
) -> Result<Vec<PackageUse>, GitError> {
    let (after, target) = (Resolver::new(&trees.after), Resolver::new(&trees.target));
    let mut named = Vec::new();
    let mut large = Vec::new();
    for path in change.changes.iter().map(|c| &c.path).filter(|path| is_code(path)) {
        let Some(entry) = trees.after.entry(path).filter(|entry| is_plain(entry)) else { continue };
        let Some(text) = change.git.small_blob(&entry.id, MOST_BYTES)? else {
            large.push(path.clone());
            continue;
        };
        let imports = Imports::of(&text, is_markup(path));
        if !imports.complete {
            by_text(path, &text, [&target, &after], &mut BTreeSet::new(), fit)?;
        }
        let before = trees.before.read(path)?;
        let before = before.map(|text| Imports::of(&text, is_markup(path)).found);
        let live_too = |import: &Import| {
            before.iter().flatten().any(|known| known.specifier == import.specifier)
        };
        for import in imports.found {
            let types = import.kind == ImportKind::Type;
            if after.resolve(path, &import.specifier, types)?.is_some() {
                continue;
            }
            if let Some(missing) = target.resolve(path, &import.specifier, types)? {
                let version = Some(change.target.name.clone());
                dangle(dangling(path, import, missing, version), fit);
            } else if !is_relative(&import.specifier) {
                if !after.is_alias(path, &import.specifier)? {
                    let live_too = live_too(&import);
                    named.push(PackageUse { importer: path.clone(), import, live_too });
                }
            } else if !live_too(&import) && !types && !is_built(change, path, &import.specifier) {
                fit.warnings.push(FitWarning::Unfound {
                    importer: path.clone(),
                    line: import.line,
                    specifier: import.specifier,
                });
            }
        }
    }
    if !large.is_empty() {
        fit.warnings.push(FitWarning::TooLarge { paths: large });
    }
    Ok(named)
}

/// Looks for what stays and needs a file that would be gone.
pub(super) fn outside(
    change: &ComponentChange<'_>,
    trees: &Trees<'_>,
    fit: &mut Fit,
) -> Result<(), GitError> {
    let gone: Vec<&RepoPath> = change
        .changes
        .iter()
        .map(|c| &c.path)
        .filter(|path| trees.before.entry(path).is_some() && trees.after.entry(path).is_none())
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    let changed: BTreeSet<&RepoPath> = change.changes.iter().map(|c| &c.path).collect();
    let (before, after) = (Resolver::new(&trees.before), Resolver::new(&trees.after));
    let aliases = before.opaque_aliases(change.after.keys().chain(gone.iter().copied()))?;
    let needles = Needles::of(&gone, &trees.before, aliases);
    let mut large = Vec::new();
    for (path, entry) in change.after {
        let code = is_code(path);
        if !(code || is_text(path)) || !is_plain(entry) || is_vendored(path) {
            continue;
        }
        // What comes in was looked at, but it may be the first to speak of a file, too.
        let stays = !changed.contains(path);
        let Some(text) = change.git.small_blob(&entry.id, MOST_BYTES)? else {
            // Large programs are bundles, large texts are data: only the first would be missed.
            if stays && code {
                large.push(path.clone());
            }
            continue;
        };
        let mut told = BTreeSet::new();
        if code && stays && needles.may_import(&text) {
            let imports = Imports::of(&text, is_markup(path));
            for import in imports.found {
                let types = import.kind == ImportKind::Type;
                let Some(missing) = before.resolve(path, &import.specifier, types)? else {
                    continue;
                };
                if after.resolve(path, &import.specifier, types)?.is_none() {
                    told.insert(missing.clone());
                    dangle(dangling(path, import, missing, None), fit);
                }
            }
            if !imports.complete {
                by_text(path, &text, [&before, &after], &mut told, fit)?;
            }
        }
        for (line, missing) in needles.mentioned(&text, code) {
            if told.insert(missing.clone()) {
                fit.warnings.push(FitWarning::Mentions { path: path.clone(), line, missing });
            }
        }
    }
    if !large.is_empty() {
        fit.warnings.push(FitWarning::TooLarge { paths: large });
    }
    Ok(())
}

/// A file that is not understood: what reads like a relative path and leads to a file in the first tree and
/// to none in the second.
fn by_text(
    path: &RepoPath,
    text: &[u8],
    [from, to]: [&Resolver<'_>; 2],
    told: &mut BTreeSet<RepoPath>,
    fit: &mut Fit,
) -> Result<(), GitError> {
    fit.warnings.push(FitWarning::NotUnderstood { path: path.clone() });
    for Import { specifier, line, .. } in Imports::by_text(text) {
        let Some(missing) = from.resolve(path, &specifier, true)? else { continue };
        if to.resolve(path, &specifier, true)?.is_none() && told.insert(missing.clone()) {
            fit.warnings.push(FitWarning::Mentions { path: path.clone(), line, missing });
        }
    }
    Ok(())
}

fn dangling(
    importer: &RepoPath,
    import: Import,
    missing: RepoPath,
    incoming: Option<String>,
) -> Dangling {
    let Import { specifier, kind, line } = import;
    Dangling { importer: importer.clone(), line, kind, specifier, missing, incoming }
}

fn dangle(import: Dangling, fit: &mut Fit) {
    match import.kind {
        ImportKind::Type => fit.warnings.push(FitWarning::TypesDangle { import }),
        _ => fit.unresolvable.push(import),
    }
}

/// Whether a relative import leads into what a build makes.
fn is_built(change: &ComponentChange<'_>, importer: &RepoPath, specifier: &str) -> bool {
    let dir = importer.parent();
    let base = super::resolve::join(dir.as_ref().map_or(b"", |d| d.as_bytes()), specifier);
    let base = base.and_then(|base| RepoPath::new(base.trim_ascii_end()).ok());
    let outputs = change.config.build.iter().flat_map(|group| &group.outputs);
    base.is_some_and(|base| outputs.into_iter().any(|output| base.starts_with(output)))
}

fn is_code(path: &RepoPath) -> bool {
    const CODE: [&str; 8] = ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx"];
    CODE.contains(&ending(path)) && !is_vendored(path) || is_markup(path)
}

/// Scripts inside of markup.
fn is_markup(path: &RepoPath) -> bool {
    matches!(ending(path), "vue" | "svelte") && !is_vendored(path)
}

/// Files that are no JavaScript and may name a file that is run or served. Not gitroll.toml, which names
/// the component's own; not lock files, which name packages.
fn is_text(path: &RepoPath) -> bool {
    const TEXT: [&str; 9] = ["html", "htm", "json", "yaml", "yml", "sh", "bash", "service", "conf"];
    const NAMES: [&str; 4] = ["Dockerfile", "Makefile", "Procfile", "justfile"];
    let name = path.as_path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let lock = super::packages::is_lock(path);
    (TEXT.contains(&ending(path)) || NAMES.contains(&name)) && !lock
}

fn is_vendored(path: &RepoPath) -> bool {
    path.as_bytes().split(|b| *b == b'/').any(|part| part == b"node_modules")
}

fn ending(path: &RepoPath) -> &str {
    path.as_path().extension().and_then(|ending| ending.to_str()).unwrap_or_default()
}
