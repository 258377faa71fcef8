//! Source files as the lint sees them: without comments, texts and unit tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One file below `src/`.
pub struct File {
    /// Its path below `src/`.
    pub path: String,
    /// The part of the map it belongs to: its first directory, or its own name at the top.
    pub part: String,
    /// Lines, without the unit tests at its end; none for a module of tests.
    pub lines: usize,
    /// Its code, `use` groups written out.
    code: String,
}

/// Every file below `src/`.
pub fn files() -> Vec<File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = BTreeMap::new();
    let mut dirs: Vec<PathBuf> = vec![top.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("source is UTF-8");
                let below = path.strip_prefix(&top).expect("listed below src");
                texts.insert(below.to_string_lossy().into_owned(), text);
            }
        }
    }
    assert!(texts.len() > 20, "src was not found");
    let tests: Vec<String> =
        texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test = |path: &str| tests.iter().any(|module| path.starts_with(module));
    let shipped =
        |(path, text): (&String, &String)| File::read(path, if is_test(path) { "" } else { text });
    texts.iter().map(shipped).collect()
}

/// The modules a file declares for tests only, as `dir/name.` and `dir/name/`.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let own = path.strip_suffix("mod.rs").map(str::to_owned);
    let dir = own.unwrap_or_else(|| path.trim_end_matches(".rs").to_owned() + "/");
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.trim().starts_with("#[allow(")).collect();
    let declared = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    let names = declared.filter_map(|pair| pair[1].strip_suffix(';')?.split("mod ").nth(1));
    names.flat_map(|name| [format!("{dir}{name}."), format!("{dir}{name}/")]).collect()
}

impl File {
    /// The file at `path` below `src/`.
    pub fn read(path: &str, text: &str) -> Self {
        let part = path.split('/').next().unwrap_or(path).trim_end_matches(".rs").to_owned();
        let text = without_unit_tests(text);
        let code = spelled_out(&without_comments_and_texts(&text));
        Self { path: path.to_owned(), part, lines: text.lines().count(), code }
    }

    /// Its code without comments and texts, each `use` a line of its own. Empty for a module of tests.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether the code says `name`, as whole words.
    pub fn names(&self, name: &str) -> bool {
        self.names_except(name, &[])
    }

    /// Whether the code says `name` other than as the beginning of one of `except`.
    pub fn names_except(&self, name: &str, except: &[&str]) -> bool {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        self.code.match_indices(name).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let rest = &self.code[at..];
            let after = &rest[name.len()..];
            // `io::stdout` is said in full, too; other names begin a path or are only part of one.
            let begins = name.starts_with("io::") || !before.is_some_and(|c| word(c) || c == ':');
            let ends = name.ends_with('!') || !after.starts_with(word);
            // A crate's name matters as the root of a path, not as a word.
            let path = name.contains([':', '!']) || after.starts_with("::");
            begins && ends && path && !except.iter().any(|e| rest.starts_with(e))
        })
    }

    /// The parts of the crate this file names, by `crate::` or by `super::` beyond its own part.
    pub fn parts_used(&self) -> BTreeSet<String> {
        let depth = self.path.matches('/').count() - usize::from(self.path.ends_with("/mod.rs"));
        let root = "super::".repeat(depth + 1);
        let mut used = BTreeSet::new();
        for prefix in ["crate::", root.as_str()] {
            for (at, _) in self.code.match_indices(prefix) {
                let glued = self.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                let longer = self.code[..at].ends_with("::");
                let name = first_word(&self.code[at + prefix.len()..]);
                if !glued && !longer && !name.is_empty() && name != "super" {
                    used.insert(name);
                }
            }
        }
        used
    }

    /// The words its path is made of.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.path.trim_end_matches(".rs").split(['/', '_'])
    }
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Everything before the unit tests, which stand last in a file by convention.
fn without_unit_tests(text: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let marked = line.trim_end() == "#[cfg(test)]";
        let begins = |l: &&str| l.starts_with("mod ") && l.contains('{') || l.starts_with("#[");
        if marked && lines.peek().is_some_and(begins) {
            break;
        }
        kept.push(line);
    }
    kept.join("\n")
}

/// `use a::{b, c::{d}};` as `a::b ; a::c::d`, so that a path can be found as a text.
fn spelled_out(code: &str) -> String {
    let mut spelled = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let boundary = rest[..at].ends_with(|c: char| c.is_whitespace() || c == ';') || at == 0;
        let Some(end) = rest[at..].find(';').filter(|_| boundary) else {
            spelled.push_str(&rest[..at + 4]);
            rest = &rest[at + 4..];
            continue;
        };
        spelled.push_str(&rest[..at]);
        for path in branches("", &rest[at + 4..at + end]) {
            spelled.push_str(&format!("use {path};\n"));
        }
        rest = &rest[at + end + 1..];
    }
    spelled + rest
}

fn branches(prefix: &str, tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        return vec![format!("{prefix}{tree}")];
    };
    let prefix = format!("{prefix}{}", head.trim());
    let group = group.trim_end().trim_end_matches('}');
    let mut depth = 0_i32;
    let mut found = Vec::new();
    let mut from = 0;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(branches(&prefix, &closed(&group[from..at])));
                from = at + 1;
            }
            _ => {}
        }
    }
    if !group[from..].trim().is_empty() {
        found.extend(branches(&prefix, &closed(&group[from..])));
    }
    found
}

/// A branch with as many closing braces as it opens: the last one's were trimmed with its parent's.
fn closed(branch: &str) -> String {
    let missing = branch.matches('{').count().saturating_sub(branch.matches('}').count());
    branch.to_owned() + &"}".repeat(missing)
}

/// The code alone: comments gone, texts empty.
fn without_comments_and_texts(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word_before = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let hashes =
            rest.strip_prefix('r').map_or(0, |r| r.len() - r.trim_start_matches('#').len());
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if !word_before && first == 'r' && rest[1 + hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let from = hashes + 2;
            rest[from..].find(&close).map_or(rest.len(), |at| from + at + close.len())
        } else if first == '"' {
            end_of_text(rest)
        } else if let Some(length) = character_literal(rest) {
            length
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        rest = &rest[end..];
    }
    code
}

fn end_of_text(text: &str) -> usize {
    let mut escaped = true;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `'x'` or `'\x'`; `None` for a lifetime.
fn character_literal(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        return inside[2..].find('\'').map(|at| 1 + 2 + at + 1);
    }
    let length = inside.chars().next()?.len_utf8();
    inside[length..].starts_with('\'').then_some(length + 2)
}
