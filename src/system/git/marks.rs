//! Files that the index is told to look away from: `git update-index --skip-worktree` and
//! `--assume-unchanged`. Whoever sets such a mark says that the file of this host is to stay.
//!
//! The index loses a mark with the entry: on every reset, and where a version does not track the file. So the
//! marks are kept in `<state>/marks.json`, too, and set again as soon as the file is tracked.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use super::repository::{Git, GitError};
use crate::model::{Oid, RepoPath};
use crate::system::files;

/// How the index looks away from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct IndexMark {
    #[serde(default)]
    skip_worktree: bool,
    #[serde(default)]
    assume_unchanged: bool,
}

pub(super) type Marks = BTreeMap<RepoPath, IndexMark>;

/// The file that keeps them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct KeptMarks {
    /// The index is about to be created again, or was and has not got its marks back: what it says does not count.
    #[serde(default)]
    resetting: bool,
    #[serde(default)]
    files: Marks,
}

impl Git {
    /// The files that bear a mark, or bore one when they were last tracked. Where the index cannot be read,
    /// those that are remembered.
    pub fn marked_files(&self) -> Vec<RepoPath> {
        self.marks().into_keys().collect()
    }

    /// The marks that hold. One that a person took away since is gone: its file is in the index without it.
    pub(super) fn marks(&self) -> Marks {
        let kept = self.kept_marks();
        let listed = match self.listed_marks() {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!("the marks of the index cannot be read: {error}");
                return kept.files;
            }
        };
        let mut marks = kept.files;
        if !kept.resetting {
            marks.retain(|path, _| !listed.contains_key(path));
        }
        let marked = listed.into_iter().filter_map(|(path, mark)| Some((path, mark?)));
        marks.extend(marked);
        marks
    }

    /// Writes down all marks, before the index is created again.
    pub(super) fn keep_marks(&self, marks: &Marks) -> Result<(), GitError> {
        let kept = self.kept_marks();
        if marks.is_empty() && kept.files.is_empty() {
            return Ok(());
        }
        self.write_marks(&KeptMarks { resetting: true, files: marks.clone() })
    }

    /// Gives the index of `commit` its marks back.
    pub(super) fn set_marks(&self, marks: &Marks, commit: &Oid) -> Result<(), GitError> {
        if marks.is_empty() {
            return Ok(());
        }
        let mut tracked = Vec::new();
        for (path, mark) in marks {
            if self.entry(commit, path)?.is_some() {
                tracked.push((path, mark));
            }
        }
        let set = |option: &str, which: fn(&IndexMark) -> bool| {
            let marked = tracked.iter().filter(|(_, mark)| which(mark));
            let input: Vec<u8> =
                marked.flat_map(|(path, _)| [path.as_bytes(), b"\0"].concat()).collect();
            if input.is_empty() {
                return Ok(());
            }
            let call = self.call("update-index").args([option, "-z", "--stdin"]).input(input);
            call.durable().takes(self.index_lock()).run_ok().map(drop)
        };
        set("--skip-worktree", |mark| mark.skip_worktree)?;
        set("--assume-unchanged", |mark| mark.assume_unchanged)?;
        self.write_marks(&KeptMarks { resetting: false, files: marks.clone() })
    }

    /// All paths of the index; `None` for those without a mark.
    fn listed_marks(&self) -> Result<BTreeMap<RepoPath, Option<IndexMark>>, GitError> {
        let listed = self.call("ls-files").args(["-v", "-z"]).run_ok()?;
        Ok(listed.split(|b| *b == 0).filter_map(parse).collect())
    }

    fn kept_marks(&self) -> KeptMarks {
        let bytes = crate::system::files::read_state(&self.state_dir().join("marks.json"))
            .unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn write_marks(&self, kept: &KeptMarks) -> Result<(), GitError> {
        let state = self.state_dir();
        let path = state.join("marks.json");
        let write = || {
            files::make_private_dir(&state)?;
            let text = serde_json::to_vec_pretty(kept).map_err(io::Error::other)?;
            files::write_durably(&path, &text, 0o600)
        };
        write().map_err(|source| GitError::Io { path: path.clone(), source })
    }
}

/// One path as `git ls-files -v` prints it: `S` and `s` say skip-worktree, small letters assume-unchanged.
fn parse(line: &[u8]) -> Option<(RepoPath, Option<IndexMark>)> {
    let (tag, path) = line.split_first()?;
    let path = RepoPath::new(path.strip_prefix(b" ")?).ok()?;
    let mark = IndexMark {
        skip_worktree: matches!(tag, b'S' | b's'),
        assume_unchanged: tag.is_ascii_lowercase(),
    };
    Some((path, Some(mark).filter(|mark| *mark != IndexMark::default())))
}
