//! Imports that would dangle: of the component's files that come in, and of all files that stay.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

use super::finding::{ComponentChange, Dangling, Fit, FitWarning};
use super::imports::{Import, ImportKind, Imports, PackageUse};
use super::lexer::is_word;
use super::packages::is_lock;
use super::resolve::{MOST_BYTES, Resolver, Tree, Trees, is_plain, is_relative, join};
use crate::model::RepoPath;
use crate::system::git::GitError;

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
    let base = join(dir.as_ref().map_or(b"", |d| d.as_bytes()), specifier);
    let base = base.and_then(|base| RepoPath::new(base.trim_ascii_end()).ok());
    let Some(base) = base else { return false };
    change.config.build.iter().any(|group| {
        let within = || std::iter::successors(Some(base.clone()), RepoPath::parent);
        group.outputs.iter().chain(&group.optional).any(|output| base.starts_with(output))
            || group.output_globs.iter().any(|glob| within().any(|path| glob.is_match(&path)))
    })
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
    let lock = is_lock(path);
    (TEXT.contains(&ending(path)) || NAMES.contains(&name)) && !lock
}

fn is_vendored(path: &RepoPath) -> bool {
    path.as_bytes().split(|b| *b == b'/').any(|part| part == b"node_modules")
}

fn ending(path: &RepoPath) -> &str {
    path.as_path().extension().and_then(|ending| ending.to_str()).unwrap_or_default()
}

/// A search over bytes: which files can speak of a file that would be gone, and which name it in full.
struct Needles {
    /// Something of this is in every file that imports one that is gone. `None`: cannot be searched,
    /// so every file may.
    parts: Option<AhoCorasick>,
    /// The whole paths.
    whole: Option<AhoCorasick>,
    gone: Vec<RepoPath>,
}

impl Needles {
    /// For files that would be gone from the tree `before`, where `aliases` show nothing of a path.
    pub fn of(gone: &[&RepoPath], before: &Tree<'_>, aliases: Vec<String>) -> Self {
        let mut parts: BTreeSet<Vec<u8>> = aliases.into_iter().map(String::into_bytes).collect();
        for path in gone {
            parts.extend(parts_of(path, before));
        }
        let whole = gone.iter().map(|path| path.as_bytes());
        Self {
            parts: AhoCorasick::new(parts).ok(),
            whole: AhoCorasick::new(whole).ok(),
            gone: gone.iter().map(|path| (*path).clone()).collect(),
        }
    }

    /// Whether a program can import one of them.
    pub fn may_import(&self, text: &[u8]) -> bool {
        self.parts.as_ref().is_none_or(|parts| parts.is_match(text))
    }

    /// Where a file names one of them in full, with the line; in a program only as a whole string.
    pub fn mentioned(&self, text: &[u8], program: bool) -> Vec<(usize, RepoPath)> {
        let Some(whole) = &self.whole else { return Vec::new() };
        let mut found = Vec::new();
        let mut told = BTreeSet::new();
        let (mut at, mut line) = (0, 1);
        for hit in whole.find_overlapping_iter(text) {
            let fits = match program {
                true => is_whole_string(text, hit.start(), hit.end()),
                false => is_whole_path(text, hit.start(), hit.end()),
            };
            if fits && told.insert(hit.pattern()) {
                // Hits come by where they end, so that one may begin before the one before it.
                let from = hit.end();
                line += text[at..from].iter().filter(|b| **b == b'\n').count();
                at = from;
                found.push((line, self.gone[hit.pattern().as_usize()].clone()));
            }
        }
        found
    }
}

/// What an import of `path` has to say: the beginning of its name; for an index file, the name of its
/// directory or nothing but dots; for a package's main file, the name of the package's directory.
fn parts_of(path: &RepoPath, before: &Tree<'_>) -> Vec<Vec<u8>> {
    let name = last(path.as_bytes());
    let dots = name.iter().take_while(|b| **b == b'.').count();
    let stem =
        &name[..name[dots..].iter().position(|b| *b == b'.').map_or(name.len(), |at| at + dots)];
    let mut parts = vec![stem.to_vec()];
    let directory_file = stem == b"index" || name == b"package.json";
    let mut above = path.parent();
    let mut nearest = true;
    while let Some(dir) = above {
        let package = dir.join(b"package.json").is_ok_and(|file| before.entry(&file).is_some());
        if (nearest && directory_file) || package {
            parts.push(last(dir.as_bytes()).to_vec());
        }
        nearest = false;
        above = dir.parent();
    }
    if parts.len() > 1 || directory_file {
        for quote in ["'", "\"", "`"] {
            parts.extend([".", "./", "/"].map(|end| format!("{end}{quote}").into_bytes()));
        }
    }
    parts
}

fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

/// `"app/x.js"`, `'./app/x.js'`
fn is_whole_string(text: &[u8], begin: usize, end: usize) -> bool {
    let quote = |byte: Option<&u8>| matches!(byte, Some(b'"' | b'\'' | b'`'));
    let before = text[..begin].strip_suffix(b"./").unwrap_or(&text[..begin]);
    quote(before.last()) && before.last() == text.get(end)
}

/// `node app/x.js`, `src="/app/x.js"`, but not `lib/app/x.js` or `app/x.js.map`.
fn is_whole_path(text: &[u8], begin: usize, end: usize) -> bool {
    let before = &text[..begin];
    let before = before.strip_suffix(b"./").or(before.strip_suffix(b"/")).unwrap_or(before);
    let joins = |b: u8| is_word(b) || matches!(b, b'-' | b'/' | b'@');
    let begins = !before.last().is_some_and(|b| joins(*b) || *b == b'.');
    let ends = match &text[end..] {
        [b'.', next, ..] => !is_word(*next),
        [next, ..] => !joins(*next),
        [] => true,
    };
    begins && ends
}
