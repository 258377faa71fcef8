//! What differs between two commits as people look at it: renames, line counts, the patch. Git counts;
//! external diff programs and text conversions are off, whoever configured them.

use std::collections::BTreeMap;

use crate::model::{Oid, RepoPath, TreeEntry, TreeMode};

use super::command::Call;
use super::repository::{Git, GitError};
use super::tree::TreeChange;

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
    pub files: Vec<FileDiff>,
    /// Why renames and lines were not examined, where they were not.
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
                "{} paths differ: renames and lines are only counted up to {MOST_COUNTED}",
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
                    problem: "its output cannot be parsed".to_owned(),
                })
            });
        Ok(match counted {
            Ok(files) => TreeDiff { files, uncounted: None },
            Err(error) => TreeDiff { files: plain(changes), uncounted: Some(error.to_string()) },
        })
    }

    /// The patch from one commit to another, of these paths or of all if there are none.
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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::super::testing::{Repo, path};

    #[test]
    fn a_renamed_and_edited_file_is_one_file_with_its_lines() {
        let repo = Repo::new();
        let text: String = (0..50).map(|n| format!("line {n}\n")).collect();
        repo.write("old name.txt", &text);
        repo.write("picture.bin", b"\0\x01\x02");
        repo.write("tool", "x\n");
        let from = repo.commit("before");
        fs::remove_file(repo.top.join("old name.txt")).unwrap();
        repo.write("dir/new\nname.txt", text.replace("line 7\n", "line seven\n"));
        repo.write("picture.bin", b"\0\x01\x03");
        repo.git(&["update-index", "--chmod=+x", "tool"]);
        repo.write("added.txt", "a\nb\n");
        fs::remove_file(repo.top.join("a.txt")).unwrap();
        let to = repo.commit("after");

        let diff = repo.open().diff(&from, &to).unwrap();
        assert_eq!(diff.uncounted, None);
        let found = |name: &str| diff.files.iter().find(|f| f.path == path(name)).unwrap();
        assert_eq!(diff.files.len(), 4, "{:?}", diff.files);
        let (was, similar) = found("dir/new\nname.txt").renamed.clone().unwrap();
        assert_eq!(was, path("old name.txt"));
        assert!((90..100).contains(&similar), "{similar}");
        assert_eq!(found("dir/new\nname.txt").lines, Some((1, 1)));
        assert_eq!(found("picture.bin").lines, None);
        assert_eq!(found("added.txt").lines, Some((2, 0)));
        assert_eq!(found("a.txt").after, None);
        assert_eq!(found("a.txt").lines, Some((0, 1)));
    }

    #[test]
    fn where_a_files_content_is_missing_the_paths_are_still_told() {
        let repo = Repo::new();
        let from = repo.id("HEAD");
        repo.write("b.txt", "two\n");
        let to = repo.commit("second");
        let blob = repo.git(&["rev-parse", "HEAD:b.txt"]);
        fs::remove_file(repo.top.join(format!(".git/objects/{}/{}", &blob[..2], &blob[2..])))
            .unwrap();
        let git = repo.open();
        let diff = git.diff(&from, &to).unwrap();
        assert_eq!(diff.files.len(), 1);
        assert!(diff.uncounted.is_some(), "{diff:?}");
        assert!(git.patch(&from, &to, &[]).is_err());
    }

    #[test]
    fn the_patch_holds_the_named_paths_alone_and_their_names_are_no_patterns() {
        let repo = Repo::new();
        let from = repo.id("HEAD");
        repo.write("*.txt", "star\n");
        repo.write("b.txt", "two\n");
        let to = repo.commit("second");
        let patch = repo.open().patch(&from, &to, &[path("*.txt")]).unwrap();
        let patch = String::from_utf8(patch).unwrap();
        assert!(patch.contains("+star"), "{patch}");
        assert!(!patch.contains("+two"), "{patch}");
    }

    #[test]
    fn the_pager_is_the_users_and_never_the_repositorys() {
        let repo = Repo::new();
        repo.git(&["config", "core.pager", "evil"]);
        assert_ne!(repo.open().user_pager().as_deref(), Some("evil"));
        repo.git(&["config", "--global", "core.pager", "mine -R"]);
        assert_eq!(repo.open().user_pager().as_deref(), Some("mine -R"));
        repo.git(&["config", "--global", "core.pager", "cat"]);
        assert_eq!(repo.open().user_pager(), None);
    }
}
