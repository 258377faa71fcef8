//! A path inside the repository, as git stores it: bytes, not text.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::IdError;

/// A path relative to the top of the repository: not empty, `/`-separated, without `.`, `..`, `.git`
/// (in any case) or empty parts. May hold bytes that are not UTF-8; in JSON and on screen such bytes
/// and `%` are written `%XX`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RepoPath(Vec<u8>);

impl RepoPath {
    /// Checks `bytes` as a path git could hold in a tree.
    ///
    /// # Errors
    /// When the path is empty, absolute, or has a part that leaves the repository or enters `.git`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, IdError> {
        let bytes = bytes.into();
        let safe = !bytes.is_empty()
            && !bytes.contains(&0)
            && bytes.split(|b| *b == b'/').all(|part| {
                let trimmed = part.trim_ascii_end().to_ascii_lowercase();
                !part.is_empty() && part != b"." && part != b".." && trimmed != b".git"
            });
        if safe {
            Ok(Self(bytes))
        } else {
            Err(IdError {
                kind: "path",
                value: String::from_utf8_lossy(&bytes).into_owned(),
                problem: "relative to the repository, without `..`, `.git` or empty parts",
            })
        }
    }

    /// The raw bytes, as git stores them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for the file system, relative to the top of the work tree.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether this path is `ancestor` or is below it.
    pub fn starts_with(&self, ancestor: &RepoPath) -> bool {
        self.0 == ancestor.0
            || (self.0.starts_with(&ancestor.0) && self.0.get(ancestor.0.len()) == Some(&b'/'))
    }

    /// What tools leave for their own next run, and no version of an app reads: caches, and what package managers note
    /// of an installation. Told by names that tools have agreed on; a directory is also told by its `CACHEDIR.TAG`.
    pub fn is_cache(&self) -> bool {
        const TOOLS: [&[u8]; 13] = [
            b".turbo",
            b".nx",
            b".vite",
            b".vite-temp",
            b".swc",
            b".angular",
            b".gradle",
            b".npm",
            b".pnpm-store",
            b".wireit",
            b".nyc_output",
            b"__pycache__",
            b".husky",
        ];
        const NOTES: [&[u8]; 6] = [
            b".package-lock.json",
            b".modules.yaml",
            b".yarn-integrity",
            b".yarn-state.yml",
            b".pnpm-workspace-state.json",
            b".pnpm-workspace-state-v1.json",
        ];
        let mut parts = self.0.rsplit(|b| *b == b'/');
        let name = parts.next().unwrap_or_default();
        let above = parts.next();
        let hidden = name.starts_with(b".");
        TOOLS.contains(&name)
            || (hidden && name.to_ascii_lowercase().ends_with(b"cache"))
            || name.ends_with(b".tsbuildinfo")
            || name.ends_with(b".log")
            // `.next/cache`; what Yarn has there is what it installs.
            || (name == b"cache" && above.is_some_and(|above| above.starts_with(b".") && above != b".yarn"))
            || (above == Some(b"node_modules") && NOTES.contains(&name))
    }

    /// The directory that holds this path, `None` at the top.
    pub fn parent(&self) -> Option<RepoPath> {
        let cut = self.0.iter().rposition(|b| *b == b'/')?;
        Some(RepoPath(self.0[..cut].to_vec()))
    }

    /// This path and then `name` below it.
    ///
    /// # Errors
    /// When `name` is not a valid part.
    pub fn join(&self, name: &[u8]) -> Result<RepoPath, IdError> {
        RepoPath::new([&self.0, b"/".as_slice(), name].concat())
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '%' || c.is_control() {
                    let mut buffer = [0; 4];
                    for b in c.encode_utf8(&mut buffer).bytes() {
                        write!(f, "%{b:02X}")?;
                    }
                } else {
                    write!(f, "{c}")?;
                }
            }
            for b in chunk.invalid() {
                write!(f, "%{b:02X}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl TryFrom<String> for RepoPath {
    type Error = IdError;
    /// The inverse of `Display`: `%XX` stands for a byte.
    fn try_from(text: String) -> Result<Self, IdError> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&b, tail)) = rest.split_first() {
            let escaped = (b == b'%')
                .then(|| tail.get(..2))
                .flatten()
                .and_then(|hex| std::str::from_utf8(hex).ok())
                .and_then(|hex| u8::from_str_radix(hex, 16).ok());
            match escaped {
                Some(byte) => {
                    bytes.push(byte);
                    rest = &tail[2..];
                }
                None => {
                    bytes.push(b);
                    rest = tail;
                }
            }
        }
        RepoPath::new(bytes)
    }
}

impl From<RepoPath> for String {
    fn from(path: RepoPath) -> String {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_repository_are_refused() {
        for bad in ["", "/etc", "a//b", "../x", "a/../b", ".git/config", "a/.GIT/x", ".git ", "a/"]
        {
            assert!(RepoPath::new(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn bytes_that_are_not_text_survive_json() {
        let path = RepoPath::new(b"dir/\xff%\x07x".to_vec()).expect("a valid path");
        assert_eq!(path.to_string(), "dir/%FF%25%07x");
        assert_eq!(RepoPath::try_from(path.to_string()).ok(), Some(path));
    }
}
