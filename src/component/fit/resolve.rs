//! From an import's specifier to the file it means, as node, TypeScript and bundlers find it.

use super::aliases::{ALIASED, Aliases};
use super::tree::Tree;
use crate::model::RepoPath;
use crate::system::git::GitError;

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

    /// The file that `specifier` means in the file `importer`; `None` where it means none of this tree.
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
        let json = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
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
/// meant. `None` where it leaves the repository.
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
