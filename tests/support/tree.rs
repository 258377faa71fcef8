//! A directory as it is: for "nothing changed" and "exactly this changed".

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Every path below a directory with its mode and bytes (a link's target for a link, nothing for a
/// directory). Names that are not UTF-8 are shown escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Tree {
    /// The tree below `dir`.
    #[track_caller]
    pub fn of(dir: &Path) -> Self {
        let mut tree = Self { entries: BTreeMap::new() };
        tree.read(dir, dir);
        tree
    }

    /// Without `path` and what lies below it.
    pub fn without(mut self, path: &str) -> Self {
        let below = format!("{path}/");
        self.entries.retain(|name, _| name != path && !name.starts_with(&below));
        self
    }

    /// Adds something that is not a file, under a name no file has.
    pub fn insert(&mut self, name: &str, bytes: Vec<u8>) {
        self.entries.insert(name.to_owned(), (0, bytes));
    }

    /// The names.
    pub fn names(&self) -> BTreeSet<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    /// The bytes at a name.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.entries.get(name).map(|(_, bytes)| bytes.as_slice())
    }

    /// What differs in `after`: `+ added`, `- removed`, `~ changed`, one line each.
    pub fn changes(&self, after: &Tree) -> Vec<String> {
        let names: BTreeSet<&str> = self.names().union(&after.names()).copied().collect();
        names
            .into_iter()
            .filter_map(|name| match (self.entries.get(name), after.entries.get(name)) {
                (None, _) => Some(format!("+ {name}")),
                (_, None) => Some(format!("- {name}")),
                (Some(a), Some(b)) if a == b => None,
                (Some((mode, _)), Some((other, _))) if mode != other => {
                    Some(format!("~ {name} mode {mode:o} became {other:o}"))
                }
                (Some((_, a)), Some((_, b))) => Some(format!("~ {name}{}", first_difference(a, b))),
            })
            .collect()
    }

    /// `after` is the same.
    #[track_caller]
    pub fn assert_same(&self, after: &Tree) {
        let changes = self.changes(after);
        assert!(changes.is_empty(), "expected no change, but:\n{}", changes.join("\n"));
    }

    fn read(&mut self, top: &Path, dir: &Path) {
        let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        for entry in entries {
            let path = entry.expect("a directory can be listed").path();
            // Something that goes away while we look (a lock of git's) was not there.
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            let kind = metadata.file_type();
            let bytes = if kind.is_symlink() {
                fs::read_link(&path).map(|to| to.as_os_str().as_bytes().to_vec())
            } else if kind.is_file() {
                fs::read(&path)
            } else {
                Ok(Vec::new())
            };
            let relative = path.strip_prefix(top).expect("listed below the top");
            let name = relative.as_os_str().as_bytes().escape_ascii().to_string();
            let bytes = bytes.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            self.entries.insert(name, (metadata.permissions().mode(), bytes));
            if kind.is_dir() {
                self.read(top, &path);
            }
        }
    }
}

fn first_difference(a: &[u8], b: &[u8]) -> String {
    let (a, b) = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
    let (mut left, mut right) = (a.lines(), b.lines());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return String::new(),
            (x, y) if x == y => {}
            (x, y) => {
                return format!("\n    was {}\n    is  {}", x.unwrap_or("-"), y.unwrap_or("-"));
            }
        }
    }
}
