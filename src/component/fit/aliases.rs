//! Path aliases of tsconfig.json and jsconfig.json: `"@/*": ["./src/*"]` and `baseUrl`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::resolve::join;
use super::tree::Tree;
use crate::model::RepoPath;
use crate::system::git::GitError;

/// The files that hold aliases, the first goes before the second.
pub(super) const ALIASED: [&str; 2] = ["tsconfig.json", "jsconfig.json"];

/// No configuration extends more files than this, all told.
const MOST_EXTENDED: usize = 8;

/// The aliases of one tree, read when they are asked for.
pub(super) struct Aliases<'a> {
    tree: &'a Tree<'a>,
    /// By directory.
    known: RefCell<BTreeMap<Vec<u8>, Option<Rc<Paths>>>>,
}

/// `compilerOptions.baseUrl` and `paths` of one configuration.
#[derive(Debug, Default, Clone)]
struct Paths {
    /// Relative to the top.
    base: Option<Vec<u8>>,
    /// Each alias with what it stands for, relative to the top.
    aliases: Vec<(Alias, Vec<Alias>)>,
}

/// A pattern with at most one `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alias {
    before: String,
    after: Option<String>,
}

impl<'a> Aliases<'a> {
    pub fn new(tree: &'a Tree<'a>) -> Self {
        Self { tree, known: RefCell::default() }
    }

    /// The paths, relative to the top, that a specifier which is not relative may stand for, best first.
    pub fn targets(&self, importer: &RepoPath, specifier: &str) -> Result<Vec<Vec<u8>>, GitError> {
        let Some(paths) = self.nearest(importer)? else { return Ok(Vec::new()) };
        let mut targets = Vec::new();
        if let Some((star, stands_for)) = paths.best(specifier) {
            targets.extend(stands_for.iter().filter_map(|to| join(b"", &to.filled(star))));
        }
        if let Some(base) = paths.base.as_ref().filter(|_| !specifier.starts_with('/')) {
            targets.extend(join(base, specifier));
        }
        Ok(targets)
    }

    /// Whether an alias matches a specifier.
    pub fn covers(&self, importer: &RepoPath, specifier: &str) -> Result<bool, GitError> {
        // `*` alone says where to look for everything, packages among it.
        let named = |from: &str| !from.is_empty();
        Ok(self.nearest(importer)?.is_some_and(|paths| {
            let matching = paths.aliases.iter().filter(|(from, _)| from.star(specifier).is_some());
            matching.map(|(from, _)| from.before.as_str()).any(named)
        }))
    }

    /// What stands before the `*` of each alias, in force for a file, whose targets end in a name of their own:
    /// `"@db": ["src/database/main.ts"]`, `"@lib/*": ["libs/*/index.ts"]`.
    pub fn opaque(&self, file: &RepoPath) -> Result<Vec<String>, GitError> {
        let Some(paths) = self.nearest(file)? else { return Ok(Vec::new()) };
        let own_name = |to: &Alias| match &to.after {
            Some(after) => after.contains('/'),
            None => true,
        };
        let opaque = paths.aliases.iter().filter(|(_, to)| to.iter().any(own_name));
        Ok(opaque.map(|(from, _)| from.before.clone()).collect())
    }

    /// The configuration in the importer's directory, or the nearest one above.
    fn nearest(&self, importer: &RepoPath) -> Result<Option<Rc<Paths>>, GitError> {
        let mut dir = importer.parent();
        loop {
            let bytes = dir.as_ref().map_or_else(Vec::new, |d| d.as_bytes().to_vec());
            if let Some(paths) = self.in_dir(&bytes)? {
                return Ok(Some(paths));
            }
            match dir {
                Some(below) => dir = below.parent(),
                None => return Ok(None),
            }
        }
    }

    fn in_dir(&self, dir: &[u8]) -> Result<Option<Rc<Paths>>, GitError> {
        if let Some(known) = self.known.borrow().get(dir) {
            return Ok(known.clone());
        }
        let mut found = None;
        for name in ALIASED {
            let Some(path) = join(dir, name).and_then(|path| RepoPath::new(path).ok()) else {
                continue;
            };
            if let Some(paths) = self.read(&path, &mut { MOST_EXTENDED })? {
                found = Some(Rc::new(paths));
                break;
            }
        }
        self.known.borrow_mut().insert(dir.to_vec(), found.clone());
        Ok(found)
    }

    /// One configuration with what it extends by relative paths. A broken one has no aliases.
    fn read(&self, path: &RepoPath, left: &mut usize) -> Result<Option<Paths>, GitError> {
        let Some(bytes) = self.tree.read(path)? else { return Ok(None) };
        let Ok(json) = serde_json::from_slice::<Value>(&plain_json(&bytes)) else {
            return Ok(Some(Paths::default()));
        };
        let dir = path.parent().map_or_else(Vec::new, |dir| dir.as_bytes().to_vec());
        let mut paths = Paths::default();
        for parent in texts(json.get("extends")).filter(|text| text.starts_with('.')) {
            let ended = if parent.ends_with(".json") { "" } else { ".json" };
            let parent = join(&dir, &format!("{parent}{ended}"));
            let Some(parent) = parent.and_then(|parent| RepoPath::new(parent).ok()) else {
                continue;
            };
            let Some(fewer) = left.checked_sub(1) else { break };
            *left = fewer;
            if let Some(inherited) = self.read(&parent, left)? {
                paths.base = inherited.base.or(paths.base);
                if !inherited.aliases.is_empty() {
                    paths.aliases = inherited.aliases;
                }
            }
        }
        let Some(options) = json.get("compilerOptions") else { return Ok(Some(paths)) };
        if let Some(base) = options.get("baseUrl").and_then(Value::as_str) {
            paths.base = join(&dir, base);
        }
        if let Some(aliases) = options.get("paths").and_then(Value::as_object) {
            let base = paths.base.clone().unwrap_or(dir);
            let stands_for = |to: &Value| -> Vec<Alias> {
                let joined = texts(Some(to)).filter_map(|to| join(&base, to));
                joined
                    .filter_map(|to| String::from_utf8(to).ok().map(|to| Alias::of(&to)))
                    .collect()
            };
            paths.aliases =
                aliases.iter().map(|(from, to)| (Alias::of(from), stands_for(to))).collect();
        }
        Ok(Some(paths))
    }
}

impl Paths {
    /// The alias that fits best: exactly, else by the longest text before its `*`.
    fn best<'s>(&self, specifier: &'s str) -> Option<(&'s str, &[Alias])> {
        let fitting = self.aliases.iter().filter_map(|(from, to)| {
            Some((from.after.is_none(), from.before.len(), from.star(specifier)?, to.as_slice()))
        });
        let best = fitting.max_by_key(|(exact, length, ..)| (*exact, *length))?;
        Some((best.2, best.3))
    }
}

impl Alias {
    fn of(text: &str) -> Self {
        match text.split_once('*') {
            Some((before, after)) => Self { before: before.into(), after: Some(after.into()) },
            None => Self { before: text.into(), after: None },
        }
    }

    /// What stands in a specifier where the `*` is.
    fn star<'s>(&self, specifier: &'s str) -> Option<&'s str> {
        match &self.after {
            Some(after) => specifier.strip_prefix(&self.before)?.strip_suffix(after.as_str()),
            None => (specifier == self.before).then_some(""),
        }
    }

    fn filled(&self, star: &str) -> String {
        match &self.after {
            Some(after) => format!("{}{star}{after}", self.before),
            None => self.before.clone(),
        }
    }
}

/// A text, or every text of a list.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let one = value.and_then(Value::as_str);
    let many = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(many)
}

/// JSON as TypeScript reads it, made plain: without comments, commas at the end of lists and a byte order
/// mark.
fn plain_json(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut plain: Vec<u8> = Vec::with_capacity(text.len());
    let (mut at, mut quoted) = (0, false);
    while let Some(byte) = text.get(at) {
        let rest = &text[at..];
        match byte {
            b'\\' if quoted => {
                plain.extend(rest.iter().take(2));
                at += 2;
                continue;
            }
            b'"' => quoted = !quoted,
            b'/' if !quoted && rest.starts_with(b"//") => {
                at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                continue;
            }
            b'/' if !quoted && rest.starts_with(b"/*") => {
                let end = rest.windows(2).skip(2).position(|pair| pair == b"*/");
                at += end.map_or(rest.len(), |end| end + 4);
                continue;
            }
            b']' | b'}' if !quoted => {
                let kept = plain.trim_ascii_end().len();
                if plain[..kept].ends_with(b",") {
                    plain.truncate(kept - 1);
                }
            }
            _ => {}
        }
        plain.push(*byte);
        at += 1;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_last_commas_are_left_out() {
        for (written, plain) in [
            (r#"{"a": [1, 2, ], }"#, r#"{"a": [1, 2]}"#),
            ("{// no\n\"a\": 1}", "{\n\"a\": 1}"),
            (r#"{"a": /* , */ "//b,}" /**/}"#, r#"{"a":  "//b,}" }"#),
            (r#"{"a\"//": 1}"#, r#"{"a\"//": 1}"#),
            ("\u{feff}{}", "{}"),
            ("{/*", "{"),
        ] {
            assert_eq!(String::from_utf8_lossy(&plain_json(written.as_bytes())), plain);
        }
    }

    #[test]
    fn an_exact_alias_goes_before_the_longest_pattern() {
        let to = |text: &str| vec![Alias::of(text)];
        let aliases = vec![
            (Alias::of("*"), to("any/*")),
            (Alias::of("@/*"), to("src/*")),
            (Alias::of("@/lib/*"), to("lib/*")),
            (Alias::of("@/lib/x"), to("x.ts")),
        ];
        let paths = Paths { base: None, aliases };
        for (specifier, path) in
            [("@/lib/x", "x.ts"), ("@/lib/y", "lib/y"), ("@/z", "src/z"), ("w", "any/w")]
        {
            let (star, to) = paths.best(specifier).expect("one fits");
            assert_eq!(to[0].filled(star), path);
        }
    }
}
