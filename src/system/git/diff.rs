//! What differs between two commits as people look at it: renames, line counts, the patch. Git counts;
//! external diff programs and text conversions are off, whoever configured them.

use std::collections::BTreeMap;

use crate::model::{Oid, RepoPath, TreeEntry, TreeMode};

use super::command::Call;
use super::{Git, GitError, TreeChange};

/// More changed paths than this are listed without renames and line counts, which would take minutes.
const MOST_COUNTED: usize = 10_000;

/// More added and deleted paths than this are not searched for renames of edited files: it is quadratic.
const MOST_RENAMES: usize = 1_000;

/// Larger files are binary to a diff: nobody reads their lines.
const LARGEST_TEXT: &str = "16m";

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// Its path, in the second commit where it is there.
    pub path: RepoPath,
    /// Where it was in the first commit, where it was renamed, and how similar it stayed, in percent.
    pub renamed: Option<(RepoPath, u8)>,
    /// In the first commit.
    pub before: Option<TreeEntry>,
    /// In the second.
    pub after: Option<TreeEntry>,
    /// Lines added and deleted; `None` for what has no lines and where they were not counted.
    pub lines: Option<(u64, u64)>,
}

/// All files that differ, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeDiff {
    /// The files.
    pub files: Vec<FileDiff>,
    /// Why renames and lines were not looked at, where they were not.
    pub uncounted: Option<String>,
}

impl Git {
    /// What differs between two commits, with renames and line counts. Where there is too much of it, or
    /// files' contents are missing, the paths alone and why.
    ///
    /// # Errors
    /// `Object` when a commit or its directories cannot be read.
    pub fn diff(&self, from: &Oid, to: &Oid) -> Result<TreeDiff, GitError> {
        let changes = self.changes(from, to)?;
        if changes.is_empty() {
            return Ok(TreeDiff { files: Vec::new(), uncounted: None });
        }
        if changes.len() > MOST_COUNTED {
            let why = format!(
                "{} paths differ: renames and lines are counted up to {MOST_COUNTED}",
                changes.len()
            );
            return Ok(TreeDiff { files: plain(changes), uncounted: Some(why) });
        }
        let counted = self
            .compared(from, to)
            .args(["--raw", "--numstat", "-z", "--abbrev=64"])
            .run_ok()
            .and_then(|output| {
                parse(&output).ok_or_else(|| GitError::Command {
                    verb: "diff-tree".to_owned(),
                    problem: "its answer cannot be understood".to_owned(),
                })
            });
        Ok(match counted {
            Ok(files) => TreeDiff { files, uncounted: None },
            Err(error) => TreeDiff { files: plain(changes), uncounted: Some(error.to_string()) },
        })
    }

    /// The patch from one commit to another, of these paths or of all where there are none.
    ///
    /// # Errors
    /// `Command` when git cannot make it, as where contents are missing.
    pub fn patch(&self, from: &Oid, to: &Oid, paths: &[RepoPath]) -> Result<Vec<u8>, GitError> {
        let names = paths.iter().map(|path| path.as_path().as_os_str().to_owned());
        self.compared(from, to)
            .args(["-p", "--submodule=short", "--no-color", "--"])
            .args(names)
            .env("GIT_LITERAL_PATHSPECS", "1")
            .run_ok()
    }

    /// The user's pager, a line for the shell, chosen as git chooses it but never by the repository: `None`
    /// where there is none or it is `cat`.
    pub fn user_pager(&self) -> Option<String> {
        let named = self.environment.text("GIT_PAGER").map(str::to_owned);
        let named = named
            .or_else(|| self.user_setting("core.pager"))
            .or_else(|| self.environment.text("PAGER").map(str::to_owned));
        let pager = named.or_else(|| {
            let path = self.environment.text("PATH").unwrap_or_default();
            crate::system::process::find_program("less".as_ref(), path).map(|_| "less".to_owned())
        })?;
        (!pager.trim().is_empty() && pager.trim() != "cat").then_some(pager)
    }

    /// `git diff-tree`, which asks the configuration for nothing that is about appearance.
    fn compared(&self, from: &Oid, to: &Oid) -> Call<'_> {
        self.call("diff-tree")
            .config("core.bigFileThreshold", LARGEST_TEXT)
            .config("diff.orderFile", "/dev/null")
            // Without an index git takes contents from objects alone, never from the live tree.
            .env("GIT_INDEX_FILE", self.state_dir().join("no-index"))
            .args(["-r", "-M", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none"])
            .arg(format!("-l{MOST_RENAMES}"))
            .args([from.as_str(), to.as_str()])
    }
}

fn plain(changes: Vec<TreeChange>) -> Vec<FileDiff> {
    let file = |TreeChange { path, before, after }| FileDiff {
        path,
        renamed: None,
        before,
        after,
        lines: None,
    };
    changes.into_iter().map(file).collect()
}

/// Reads `--raw --numstat -z`: first `:MODE MODE ID ID STATUS` with one path (two for a rename), then
/// `ADDED TAB DELETED TAB PATH`, where a rename has an empty path and two of its own.
fn parse(output: &[u8]) -> Option<Vec<FileDiff>> {
    let mut fields = output.split(|b| *b == 0).filter(|field| !field.is_empty()).peekable();
    let mut files: BTreeMap<RepoPath, FileDiff> = BTreeMap::new();
    while let Some(raw) = fields.next_if(|field| field.starts_with(b":")) {
        let words: Vec<&str> = std::str::from_utf8(&raw[1..]).ok()?.split(' ').collect();
        let [mode_before, mode_after, id_before, id_after, status] = words[..] else { return None };
        let first = RepoPath::new(fields.next()?).ok()?;
        let similarity = status.strip_prefix('R').and_then(|percent| percent.parse().ok());
        let (path, renamed) = match similarity {
            Some(percent) => (RepoPath::new(fields.next()?).ok()?, Some((first, percent))),
            None => (first, None),
        };
        let (before, after) = (entry(mode_before, id_before), entry(mode_after, id_after));
        files.insert(path.clone(), FileDiff { path, renamed, before, after, lines: None });
    }
    while let Some(counts) = fields.next() {
        let mut parts = counts.splitn(3, |b| *b == b'\t');
        let (added, deleted, name) = (parts.next()?, parts.next()?, parts.next()?);
        let name = match name {
            b"" => fields.next().and_then(|_| fields.next())?,
            name => name,
        };
        let file = files.get_mut(&RepoPath::new(name).ok()?)?;
        // A dash stands for what has no lines.
        file.lines = number(added).zip(number(deleted));
    }
    Some(files.into_values().collect())
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn entry(mode: &str, id: &str) -> Option<TreeEntry> {
    let mode = match mode {
        "100644" | "100664" => TreeMode::File,
        "100755" => TreeMode::Executable,
        "120000" => TreeMode::Symlink,
        "160000" => TreeMode::Submodule,
        _ => return None,
    };
    Some(TreeEntry { mode, id: id.parse().ok()? })
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
