//! From an import's specifier to the file it means in a tree, as node, TypeScript and bundlers find it: by
//! relative paths, by the aliases of tsconfig.json and jsconfig.json (`"@/*": ["./src/*"]`, `baseUrl`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use crate::model::{RepoPath, TreeEntry, TreeMode};
use crate::system::git::{Git, GitError, TreeChange};

/// The trees an import is looked up in.
pub(super) struct Trees<'a> {
    /// What serves.
    pub before: Tree<'a>,
    /// Where the component's files come from.
    pub target: Tree<'a>,
    /// What would serve.
    pub after: Tree<'a>,
}

/// Endings tried after a specifier without one, in TypeScript's order.
const ENDINGS: [&str; 12] = [
    ".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json", ".node", ".vue",
    ".svelte",
];

/// Endings that name what TypeScript compiles to, and the source they are compiled from.
const COMPILED: [(&str, &[&str]); 4] =
    [(".js", &[".ts", ".tsx"]), (".jsx", &[".tsx"]), (".mjs", &[".mts"]), (".cjs", &[".cts"])];

/// Finds files in one tree.
pub(super) struct Resolver<'a> {
    tree: &'a Tree<'a>,
    aliases: Aliases<'a>,
}

impl<'a> Resolver<'a> {
    pub fn new(tree: &'a Tree<'a>) -> Self {
        Self { tree, aliases: Aliases::new(tree) }
    }

    /// The file that `specifier` means in the file `importer`; `None` if it means none of this tree.
    /// `types`: a declaration file will do.
    ///
    /// # Errors
    /// When git cannot read the files that say so.
    pub fn resolve(
        &self,
        importer: &RepoPath,
        specifier: &str,
        types: bool,
    ) -> Result<Option<RepoPath>, GitError> {
        if let Some(found) = self.written(importer, specifier, types)? {
            return Ok(Some(found));
        }
        // Bundlers take what follows as a question to a plugin: `./logo.svg?url`.
        match specifier.find(['?', '#']).filter(|at| *at > 0) {
            Some(cut) => self.written(importer, &specifier[..cut], types),
            None => Ok(None),
        }
    }

    /// Whether an alias covers a specifier, be there such a file or not.
    pub fn is_alias(&self, importer: &RepoPath, specifier: &str) -> Result<bool, GitError> {
        self.aliases.covers(importer, specifier)
    }

    /// Of the aliases that the configurations among `paths` make: those behind which a file can stand
    /// whose name the specifier does not say.
    pub fn opaque_aliases<'p>(
        &self,
        paths: impl Iterator<Item = &'p RepoPath>,
    ) -> Result<Vec<String>, GitError> {
        let configurations = paths
            .filter(|path| ALIASED.iter().any(|name| path.as_bytes().ends_with(name.as_bytes())));
        let mut opaque = Vec::new();
        for configuration in configurations {
            opaque.extend(self.aliases.opaque(configuration)?);
        }
        Ok(opaque)
    }

    fn written(
        &self,
        importer: &RepoPath,
        specifier: &str,
        types: bool,
    ) -> Result<Option<RepoPath>, GitError> {
        if is_relative(specifier) {
            let dir = importer.parent();
            let base = join(dir.as_ref().map_or(b"", |d| d.as_bytes()), specifier);
            return base.map_or(Ok(None), |base| self.file_or_dir(&base, types));
        }
        for base in self.aliases.targets(importer, specifier)? {
            if let Some(found) = self.file_or_dir(&base, types)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn file_or_dir(&self, base: &[u8], types: bool) -> Result<Option<RepoPath>, GitError> {
        let dir = base.strip_suffix(b"/").unwrap_or(base);
        if dir.len() == base.len()
            && let Some(found) = self.file(base, types)
        {
            return Ok(Some(found));
        }
        let below = |name: &[u8]| match dir {
            b"" => name.to_vec(),
            dir => [dir, b"/", name].concat(),
        };
        if let Some(main) = self.main(dir, &below(b"package.json"))? {
            let index = [main.as_slice(), b"/index"].concat();
            if let Some(found) = self.file(&main, types).or_else(|| self.file(&index, types)) {
                return Ok(Some(found));
            }
        }
        Ok(self.file(&below(b"index"), types))
    }

    /// `main` of a directory's package.json.
    fn main(&self, dir: &[u8], manifest: &[u8]) -> Result<Option<Vec<u8>>, GitError> {
        let Ok(path) = RepoPath::new(manifest) else { return Ok(None) };
        let Some(bytes) = self.tree.read(&path)? else { return Ok(None) };
        let json = serde_json::from_slice::<Value>(&bytes).ok();
        let main = json.as_ref().and_then(|json| json.get("main")?.as_str());
        let main = main.and_then(|main| join(dir, main));
        Ok(main.map(|main| main.strip_suffix(b"/").unwrap_or(&main).to_vec()))
    }

    /// The file at `base`: exactly, with another ending, or the source it is compiled from.
    fn file(&self, base: &[u8], types: bool) -> Option<RepoPath> {
        let there =
            |path: Vec<u8>| RepoPath::new(path).ok().filter(|path| self.tree.entry(path).is_some());
        let ended = |stem: &[u8], ending: &str| there([stem, ending.as_bytes()].concat());
        let declared = types.then_some(".d.ts").into_iter();
        there(base.to_vec())
            .or_else(|| ENDINGS.into_iter().find_map(|ending| ended(base, ending)))
            .or_else(|| {
                let (stem, sources) = COMPILED.iter().find_map(|(compiled, sources)| {
                    Some((base.strip_suffix(compiled.as_bytes())?, *sources))
                })?;
                sources.iter().copied().chain(declared.clone()).find_map(|e| ended(stem, e))
            })
            .or_else(|| declared.clone().find_map(|ending| ended(base, ending)))
    }
}

/// `./x`, `../x`, `.` or `..`.
pub(super) fn is_relative(specifier: &str) -> bool {
    specifier == "."
        || specifier == ".."
        || specifier.starts_with("./")
        || specifier.starts_with("../")
}

/// `path` seen from the directory `dir`, without `.` and `..`; ends with `/` where only a directory is
/// meant. `None` if it leaves the repository.
pub(super) fn join(dir: &[u8], path: &str) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = dir.split(|b| *b == b'/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part.as_bytes()),
        }
    }
    let mut joined = parts.join(&b'/');
    if !joined.is_empty() && path.rsplit('/').next().is_some_and(|p| matches!(p, "" | "." | "..")) {
        joined.push(b'/');
    }
    Some(joined)
}

/// No file that is looked into is larger.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// One of the trees compared. Made from the one that is known whole, so that none is listed twice.
pub(super) struct Tree<'a> {
    git: &'a Git,
    base: &'a BTreeMap<RepoPath, TreeEntry>,
    over: BTreeMap<&'a RepoPath, Option<&'a TreeEntry>>,
}

impl<'a> Tree<'a> {
    /// The tree that is known whole.
    pub fn whole(git: &'a Git, base: &'a BTreeMap<RepoPath, TreeEntry>) -> Self {
        Self { git, base, over: BTreeMap::new() }
    }

    /// This tree before the changes that led to it.
    pub fn before(&self, changes: &'a [TreeChange]) -> Self {
        self.with(changes.iter().map(|change| (&change.path, change.before.as_ref())))
    }

    /// This tree after more changes.
    pub fn after(&self, changes: &'a [TreeChange]) -> Self {
        self.with(changes.iter().map(|change| (&change.path, change.after.as_ref())))
    }

    /// The file or link at a path.
    pub fn entry(&self, path: &RepoPath) -> Option<&'a TreeEntry> {
        let entry = match self.over.get(path) {
            Some(entry) => *entry,
            None => self.base.get(path),
        };
        entry.filter(|entry| entry.mode != TreeMode::Submodule)
    }

    /// A regular file's content; `None` if there is none, or a larger one than is looked into.
    ///
    /// # Errors
    /// When git cannot read it.
    pub fn read(&self, path: &RepoPath) -> Result<Option<Vec<u8>>, GitError> {
        match self.entry(path) {
            Some(entry) if is_plain(entry) => self.git.small_blob(&entry.id, MOST_BYTES),
            _ => Ok(None),
        }
    }

    fn with(
        &self,
        changes: impl Iterator<Item = (&'a RepoPath, Option<&'a TreeEntry>)>,
    ) -> Tree<'a> {
        let mut over = self.over.clone();
        over.extend(changes);
        Tree { git: self.git, base: self.base, over }
    }
}

/// Whether an entry is a file with content of its own.
pub(super) fn is_plain(entry: &TreeEntry) -> bool {
    matches!(entry.mode, TreeMode::File | TreeMode::Executable)
}

/// The files that hold aliases, the first goes before the second.
const ALIASED: [&str; 2] = ["tsconfig.json", "jsconfig.json"];

/// No configuration extends more files than this, all told.
const MOST_EXTENDED: usize = 8;

/// The aliases of one tree, read when they are asked for.
struct Aliases<'a> {
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

    /// What is before the `*` of each alias, in force for a file, whose targets end in a name of their own:
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

    /// What is in a specifier where the `*` is.
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
