//! Which file imports which, and the circles among them.
//!
//! A path (`crate::x::Name`, `super::Name`, a child module's `x::name`, an alias of one) counts as an import of the file that
//! *defines* what it names: re-exports on the way are followed. A `mod` declaration is no import. A `pub use` is one, like
//! any other `use`: so a child that takes from its `mod.rs` what is defined there, and is re-exported by it, is a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::source::File;

/// From file to file, the names that the first takes from the second.
type Imports = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Files that import each other, directly or over others, each arrow with its names.
pub struct Circle {
    /// Their paths below `src/`.
    pub files: BTreeSet<String>,
    arrows: Vec<String>,
}

impl Circle {
    /// The circle for people.
    pub fn told(&self) -> String {
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        format!(
            "a circle of {} files: {}\n  {}",
            files.len(),
            files.join(", "),
            self.arrows.join("\n  ")
        )
    }
}

/// Every circle among the files.
pub fn circles(files: &[File]) -> Vec<Circle> {
    let imports = Modules::of(files).imports();
    let mut left: BTreeSet<&String> = imports.keys().collect();
    let mut found = Vec::new();
    while let Some(first) = left.pop_first() {
        let below = reached(&imports, first);
        if !below.contains(first) {
            continue;
        }
        let files: BTreeSet<String> =
            below.into_iter().filter(|file| reached(&imports, file).contains(first)).collect();
        left.retain(|file| !files.contains(*file));
        let between = files.iter().flat_map(|from| {
            let tied = imports[from].iter().filter(|(to, _)| files.contains(*to));
            tied.map(move |(to, names)| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("{from} -> {to}: {}", names.join(", "))
            })
        });
        let arrows = between.collect();
        found.push(Circle { arrows, files });
    }
    found
}

/// All that a file imports, directly or over others.
fn reached(imports: &Imports, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![from.to_owned()];
    while let Some(file) = left.pop() {
        for to in imports.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(to.clone()) {
                left.push(to.clone());
            }
        }
    }
    found
}

/// The crate's modules by path, the crate itself as the empty one.
struct Modules<'f> {
    by_path: BTreeMap<Vec<String>, Module<'f>>,
}

struct Module<'f> {
    file: &'f File,
    /// What a `use` brings in or re-exports: name → path as written; `*` with each path in `globs`.
    used: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    defined: BTreeSet<String>,
}

impl<'f> Modules<'f> {
    fn of(files: &'f [File]) -> Self {
        let shipped = files.iter().filter(|file| !file.code().is_empty());
        let by_path = shipped.map(|file| (module_path(&file.path), Module::of(file))).collect();
        Self { by_path }
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (path, module) in &self.by_path {
            let from = imports.entry(module.file.path.clone()).or_default();
            for written in module.paths() {
                if let Some((to, name)) = self.definer(path, &written, 0)
                    && to != module.file.path
                {
                    from.entry(to).or_default().insert(name);
                }
            }
        }
        imports
    }

    /// The file that defines what a path names, as written in the module at `from`, and its name there.
    fn definer(
        &self,
        from: &[String],
        written: &[String],
        depth: usize,
    ) -> Option<(String, String)> {
        let mut rest = written;
        let mut at = match rest.first()?.as_str() {
            "crate" => {
                rest = &rest[1..];
                Vec::new()
            }
            "self" => {
                rest = &rest[1..];
                from.to_vec()
            }
            "super" => from.to_vec(),
            first => {
                let child = [from, &[first.to_owned()]].concat();
                if !self.by_path.contains_key(&child) {
                    let alias = self.by_path.get(from)?.used.get(first)?;
                    // An alias of something else by the same name would go round.
                    let whole = [alias, &rest[1..]].concat();
                    return (depth < 8 && whole != written)
                        .then(|| self.definer(from, &whole, depth + 1))?;
                }
                from.to_vec()
            }
        };
        while rest.first().is_some_and(|part| part == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        while let Some(next) = rest.first() {
            let child = [&at[..], std::slice::from_ref(next)].concat();
            if !self.by_path.contains_key(&child) {
                break;
            }
            at = child;
            rest = &rest[1..];
        }
        let module = self.by_path.get(&at)?;
        let Some(name) = rest.first().filter(|name| *name != "*") else {
            return Some((module.file.path.clone(), at.last().cloned().unwrap_or_default()));
        };
        if !module.defined.contains(name) && depth < 8 {
            if let Some(path) = module.used.get(name) {
                let whole = [path, &rest[1..]].concat();
                return self.definer(&at, &whole, depth + 1);
            }
            for glob in &module.globs {
                let whole = [&glob[..glob.len() - 1], rest].concat();
                if let Some((file, name)) = self.definer(&at, &whole, depth + 1)
                    && file != module.file.path
                {
                    return Some((file, name));
                }
            }
        }
        Some((module.file.path.clone(), name.clone()))
    }
}

impl<'f> Module<'f> {
    fn of(file: &'f File) -> Self {
        let mut module =
            Self { file, used: BTreeMap::new(), globs: Vec::new(), defined: BTreeSet::new() };
        for statement in file.code().lines().filter_map(|line| line.trim().strip_suffix(';')) {
            let Some(at) = statement.find("use ") else { continue };
            let (path, alias) = match statement[at + 4..].split_once(" as ") {
                Some((path, alias)) => (path, Some(alias.trim().to_owned())),
                None => (&statement[at + 4..], None),
            };
            let mut parts: Vec<String> =
                path.trim().split("::").map(|p| p.trim().to_owned()).collect();
            if parts.last().is_some_and(|last| last == "self") {
                parts.pop();
            }
            match parts.last() {
                Some(last) if last == "*" => module.globs.push(parts),
                Some(last) => {
                    module.used.insert(alias.unwrap_or_else(|| last.clone()), parts);
                }
                None => {}
            }
        }
        const KINDS: [&str; 9] =
            ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules!"];
        let mut words =
            file.code().split(|c: char| c.is_whitespace() || matches!(c, '(' | '<' | ':' | '{'));
        while let Some(word) = words.next() {
            if KINDS.contains(&word)
                && let Some(name) = words.find(|next| !next.is_empty())
            {
                module.defined.insert(name.trim_end_matches([';', '=']).to_owned());
            }
        }
        module
    }

    /// The paths it says, as written, each cut where what follows is no name. A module that is only the beginning of
    /// longer paths is not one of them: what counts is what is taken from it.
    fn paths(&self) -> BTreeSet<Vec<String>> {
        let code = self.file.code();
        let mut found = BTreeSet::new();
        let mut taken_from = BTreeSet::new();
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let mut at = 0;
        while let Some(next) = code[at..].find(word) {
            let begin = at + next;
            let mut parts = Vec::new();
            let mut end = begin;
            loop {
                let length = code[end..].find(|c| !word(c)).unwrap_or(code.len() - end);
                parts.push(code[end..end + length].to_owned());
                end += length;
                match code[end..].strip_prefix("::") {
                    Some(rest) if rest.starts_with(word) => end += 2,
                    Some(rest) if rest.starts_with('*') => {
                        parts.push("*".to_owned());
                        break;
                    }
                    _ => break,
                }
            }
            at = end;
            if parts.len() > 1 && !code[..begin].ends_with("::") {
                if self.used.contains_key(&parts[0]) {
                    taken_from.insert(parts[0].clone());
                }
                found.insert(parts);
            }
        }
        for name in taken_from {
            let path = &self.used[&name];
            let is_module = path.last().is_some_and(|last| last.starts_with(char::is_lowercase));
            if is_module {
                found.remove(path);
            }
        }
        found
    }
}

/// `cli/back.rs` and `cli/back/mod.rs` are `cli::back`.
fn module_path(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" => Vec::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}
