//! A search over bytes: which files can speak of a file that would be gone, and which name it in full.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

use super::lexer::is_word;
use super::tree::Tree;
use crate::model::RepoPath;

/// What to search for.
pub(super) struct Needles {
    /// Something of this stands in every file that imports one that is gone. `None`: cannot be searched,
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
