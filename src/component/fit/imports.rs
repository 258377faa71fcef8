//! What a JavaScript or TypeScript file imports, by its tokens.

use schemars::JsonSchema;
use serde::Serialize;

use super::lexer::{Token, What, tokens};
use crate::model::RepoPath;

/// How a file names another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportKind {
    /// `import x from`, `import 'x'`
    Import,
    /// `import type … from`, `export type … from`: gone before the program runs.
    Type,
    /// `export … from`
    Export,
    /// `import('x')`
    Dynamic,
    /// `require('x')`, `require.resolve('x')`
    Require,
    /// `new URL('x', import.meta.url)`, `import.meta.resolve('x')`
    Reference,
}

impl ImportKind {
    /// As a verb: `requires`.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Import => "imports",
            Self::Type => "imports the types of",
            Self::Export => "re-exports",
            Self::Dynamic => "imports (at run time)",
            Self::Require => "requires",
            Self::Reference => "refers to",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// What is imported, as written: printable, not empty.
    pub specifier: String,
    /// How.
    pub kind: ImportKind,
    /// The line, from 1.
    pub line: usize,
}

/// A package that a file of the component imports.
pub(super) struct PackageUse {
    pub importer: RepoPath,
    pub import: Import,
    /// The live version of the same file imports it as well.
    pub live_too: bool,
}

/// What a file imports, in order.
#[derive(Debug, Default)]
pub(super) struct Imports {
    /// All found.
    pub found: Vec<Import>,
    /// The file ended where it should. Otherwise it is not JavaScript, or none that is understood.
    pub complete: bool,
}

impl Imports {
    /// Reads a file; of a Vue or Svelte file (`markup`) its `<script>` parts.
    pub fn of(text: &[u8], markup: bool) -> Self {
        if !markup {
            return Self::of_script(text);
        }
        let scripts = only_scripts(text);
        Self::of_script(&scripts)
    }

    /// Everything between quotes that begins like a relative path, for a text that is not understood.
    pub fn by_text(text: &[u8]) -> Vec<Import> {
        let mut lines = Lines::of(text);
        let relative = |at: usize| {
            let quote = text[at];
            let rest = &text[at + 1..text.len().min(at + 1 + MOST_SPECIFIER)];
            let end = rest.iter().position(|b| *b == quote)?;
            let text = rest[..end].starts_with(b".").then(|| specifier(&rest[..end]))??;
            Some((at, text))
        };
        let quotes = (0..text.len()).filter(|at| matches!(text[*at], b'"' | b'\'' | b'`'));
        quotes
            .filter_map(relative)
            .map(|(at, specifier)| Import {
                specifier,
                kind: ImportKind::Reference,
                line: lines.line(at),
            })
            .take(MOST_IMPORTS)
            .collect()
    }

    fn of_script(text: &[u8]) -> Self {
        let (tokens, complete) = tokens(text);
        let mut lines = Lines::of(text);
        let found = (0..tokens.len()).filter_map(|at| import_at(&tokens, at));
        let found: Vec<Import> = found
            .filter_map(|(token, kind)| {
                let What::Text(written) = token.what else { return None };
                let specifier = specifier(written)?;
                Some(Import { specifier, kind, line: lines.line(token.at) })
            })
            .take(MOST_IMPORTS)
            .collect();
        let complete = complete && found.len() < MOST_IMPORTS;
        Self { found, complete }
    }
}

/// No path is longer.
const MOST_SPECIFIER: usize = 1_024;

/// No file that people write imports more; what is beyond is not examined.
const MOST_IMPORTS: usize = 10_000;

/// The import that begins at a token: the token with its specifier.
fn import_at<'a>(tokens: &[Token<'a>], at: usize) -> Option<(Token<'a>, ImportKind)> {
    let What::Word(word) = tokens[at].what else { return None };
    let rest = &tokens[at + 1..];
    let in_parens = |rest: &[Token<'a>], kind| match rest {
        [open, text, close, ..]
            if open.what == What::Mark(b'(')
                && matches!(text.what, What::Text(_))
                && matches!(close.what, What::Mark(b')' | b',')) =>
        {
            Some((*text, kind))
        }
        _ => None,
    };
    match word {
        b"import" if !is_member(tokens, at) => match rest.first()?.what {
            What::Text(_) => Some((rest[0], ImportKind::Import)),
            What::Mark(b'(') => in_parens(rest, ImportKind::Dynamic),
            What::Mark(b'.') => {
                let resolves = says(rest, &[b".", b"meta", b".", b"resolve"]);
                resolves.then(|| in_parens(&rest[4..], ImportKind::Reference)).flatten()
            }
            _ => clause(rest, ImportKind::Import),
        },
        b"export" if !is_member(tokens, at) => match rest.first()?.what {
            What::Mark(b'*' | b'{') | What::Word(b"type") => clause(rest, ImportKind::Export),
            _ => None,
        },
        b"require" if !is_member(tokens, at) || is_module_require(tokens, at) => {
            let rest = if says(rest, &[b".", b"resolve"]) { &rest[2..] } else { rest };
            in_parens(rest, ImportKind::Require)
        }
        b"URL" if at > 0 && tokens[at - 1].what == What::Word(b"new") => {
            let relative_to_file = rest.len() > 5 && says(&rest[3..], &[b"import", b".", b"meta"]);
            relative_to_file.then(|| in_parens(rest, ImportKind::Reference)).flatten()
        }
        _ => None,
    }
}

/// `x, { y as z } from 'w'`: what is between `import` or `export` and the specifier.
fn clause<'a>(tokens: &[Token<'a>], kind: ImportKind) -> Option<(Token<'a>, ImportKind)> {
    let what = |at: usize| tokens.get(at).map(|token| token.what);
    let from = What::Word(b"from");
    let types = what(0)? == What::Word(b"type")
        && match what(1)? {
            What::Mark(b'{' | b'*') => true,
            What::Word(_) => what(1)? != from || what(2)? == from,
            _ => false,
        };
    let kind = if types { ImportKind::Type } else { kind };
    for (at, token) in tokens.iter().enumerate() {
        match token.what {
            What::Word(b"from") => {
                if let Some(text @ Token { what: What::Text(_), .. }) = tokens.get(at + 1) {
                    return Some((*text, kind));
                }
            }
            // Nothing after these belongs to the clause; a name may still be called `from`.
            What::Word(b"import" | b"export" | b"const" | b"function" | b"class") => return None,
            What::Word(_) | What::Text(_) | What::Mark(b'{' | b',' | b'*') => {}
            What::Mark(b'}') if what(at + 1)? == from => {}
            _ => return None,
        }
    }
    None
}

/// Whether a word is someone's property: `x.import`, but not `...require`.
fn is_member(tokens: &[Token<'_>], at: usize) -> bool {
    let dot = |back: usize| at >= back && tokens[at - back].what == What::Mark(b'.');
    dot(1) && !dot(2)
}

fn is_module_require(tokens: &[Token<'_>], at: usize) -> bool {
    at >= 2 && tokens[at - 2].what == What::Word(b"module")
}

fn says(tokens: &[Token<'_>], words: &[&[u8]]) -> bool {
    tokens.len() >= words.len()
        && tokens.iter().zip(words).all(|(token, word)| match token.what {
            What::Word(said) => said == *word,
            What::Mark(mark) => *word == [mark],
            _ => false,
        })
}

/// A specifier as written between its quotes; `None` if it can be none.
fn specifier(written: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(written).ok()?;
    let plain = !text.is_empty()
        && text.len() <= MOST_SPECIFIER
        && !text.contains(|c: char| c.is_control() || c == '\\');
    plain.then(|| text.to_owned())
}

/// The text with everything outside of `<script>` blanked, line feeds apart.
fn only_scripts(text: &[u8]) -> Vec<u8> {
    let mut blank: Vec<u8> = text.iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }).collect();
    let lower = text.to_ascii_lowercase();
    let find = |from: usize, what: &[u8]| {
        lower.get(from..)?.windows(what.len()).position(|w| w == what).map(|at| from + at)
    };
    let mut at = 0;
    while let Some(open) = find(at, b"<script") {
        let Some(begin) = find(open, b">").map(|end| end + 1) else { break };
        let end = find(begin, b"</script").unwrap_or(text.len());
        blank[begin..end].copy_from_slice(&text[begin..end]);
        // Between two scripts ends whatever the first one left open.
        if let Some(last) = blank.get_mut(end) {
            *last = b';';
        }
        at = end;
    }
    blank
}

/// Line numbers of positions asked for in rising order.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { text, at: 0, line: 1 }
    }

    fn line(&mut self, at: usize) -> usize {
        let from = if at < self.at { 0 } else { self.at };
        if from == 0 {
            self.line = 1;
        }
        self.line += self.text[from..at].iter().filter(|b| **b == b'\n').count();
        self.at = at;
        self.line
    }
}
