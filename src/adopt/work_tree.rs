//! The work tree that is looked at, and the files of package managers in it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use crate::config::Tools;
use crate::model::{Oid, RepoPath, dotenv};
use crate::service::{Pm2App, UnitApp};
use crate::system::files;

/// Where to look, and what is known already.
pub struct WorkTree<'a> {
    /// The top of the work tree.
    pub top: &'a Path,
    /// The commit checked out there, which a health answer may name.
    pub commit: Option<&'a Oid>,
    /// The tools of this host.
    pub tools: &'a Tools,
    /// The apps that run under pm2, wherever they run.
    pub pm2: &'a [Pm2App],
    /// The units of systemd that run from it, or would.
    pub units: &'a [UnitApp],
    /// Whether git tracks the path, or something below it.
    pub tracked: &'a dyn Fn(&RepoPath) -> bool,
    /// What git tracks, in order.
    pub files: &'a [RepoPath],
    /// What is there and git ignores, a directory by itself where all in it is.
    pub ignored: &'a [RepoPath],
    /// Whether a program of this name is found on this host.
    pub has: &'a dyn Fn(&str) -> bool,
}

impl WorkTree<'_> {
    /// The text of a regular file at the top, at most 1 MiB. A link is not followed.
    ///
    /// `Ok(None)` if there is none; a sentence where it cannot be read.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, String> {
        text(self.top, name)
    }

    /// Whether git tracks something of this name, or below it.
    pub(super) fn tracks(&self, path: &str) -> bool {
        RepoPath::new(path).is_ok_and(|path| (self.tracked)(&path))
    }

    /// Whether a regular file is there.
    pub(super) fn is_file(&self, path: &str) -> bool {
        self.top.join(path).is_file()
    }

    /// The text of a file that is there and can be read; empty otherwise.
    pub(super) fn said(&self, path: &str) -> String {
        self.text(path).ok().flatten().unwrap_or_default()
    }

    /// Looks at a directory of the tree as at a tree of its own.
    pub(super) fn below<T>(&self, dir: &str, look: impl FnOnce(&WorkTree<'_>) -> T) -> T {
        let inside = |paths: &[RepoPath]| -> Vec<RepoPath> {
            let prefix = format!("{dir}/").into_bytes();
            let rest =
                paths.iter().filter_map(|path| path.as_bytes().strip_prefix(prefix.as_slice()));
            rest.filter_map(|rest| RepoPath::new(rest).ok()).collect()
        };
        let (files, ignored) = (inside(self.files), inside(self.ignored));
        let tracked = |path: &RepoPath| {
            RepoPath::new(dir)
                .and_then(|dir| dir.join(path.as_bytes()))
                .is_ok_and(|path| (self.tracked)(&path))
        };
        let top = self.top.join(dir);
        look(&WorkTree { top: &top, tracked: &tracked, files: &files, ignored: &ignored, ..*self })
    }

    /// The variables of an untracked `.env`. Their values go no further than this module.
    pub(super) fn dotenv(&self) -> Option<BTreeMap<String, String>> {
        let path = RepoPath::new(".env").ok()?;
        let bytes = bytes(self.top, ".env").ok().flatten().filter(|_| !(self.tracked)(&path))?;
        Some(dotenv::values(&bytes))
    }
}

/// The kind of lock file, which names the package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockFile {
    /// `package-lock.json` or `npm-shrinkwrap.json`
    Npm,
    /// `yarn.lock` of yarn 1
    Yarn,
    /// `yarn.lock` of yarn 2 and later
    YarnBerry,
    /// `pnpm-lock.yaml`
    Pnpm,
    /// `bun.lock` or `bun.lockb`
    Bun,
}

impl LockFile {
    /// The command that installs exactly what the lock file says, or fails.
    pub fn install(self) -> &'static [&'static str] {
        match self {
            LockFile::Npm => &["npm", "ci"],
            LockFile::Yarn => &["yarn", "install", "--frozen-lockfile"],
            LockFile::YarnBerry => &["yarn", "install", "--immutable"],
            LockFile::Pnpm => &["pnpm", "install", "--frozen-lockfile"],
            LockFile::Bun => &["bun", "install", "--frozen-lockfile"],
        }
    }

    /// Its names.
    pub(super) fn files(self) -> &'static [&'static str] {
        match self {
            LockFile::Npm => &["package-lock.json", "npm-shrinkwrap.json"],
            LockFile::Yarn | LockFile::YarnBerry => &["yarn.lock"],
            LockFile::Pnpm => &["pnpm-lock.yaml"],
            LockFile::Bun => &["bun.lock", "bun.lockb"],
        }
    }
}

pub(super) fn text(top: &Path, name: &str) -> Result<Option<String>, String> {
    let text = bytes(top, name)?.map(String::from_utf8).transpose();
    text.map_err(|_| format!("{name} is not UTF-8"))
}

/// A regular file at the top, at most 1 MiB.
fn bytes(top: &Path, name: &str) -> Result<Option<Vec<u8>>, String> {
    const MOST: u64 = 1 << 20;
    let path = top.join(name);
    let Ok(found) = std::fs::symlink_metadata(&path) else { return Ok(None) };
    if !found.is_file() {
        return Err(format!("{name} is not a regular file and was not read"));
    }
    files::read_plain(&path, MOST).map(Some).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => format!("{name} is larger than 1 MiB and was not read"),
        _ => format!("{name} cannot be read: {error}"),
    })
}
