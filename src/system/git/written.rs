//! When the files of the work tree were put there, as far as the file system tells.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use jiff::Timestamp;

use crate::model::{Digest, Oid, RepoPath, TreeMode};

use super::repository::{Git, GitError};

impl Git {
    /// A digest of the marks of every tracked file of `commit` that `counts`: as long as it stays the same, nobody has
    /// written one of them, not even with the bytes that were there. Device numbers are left out, for they may change
    /// as the machine starts; a file that is missing is a mark, too.
    ///
    /// # Errors
    /// `Object`; `Io` for a file that cannot be looked at.
    pub fn stamps(
        &self,
        commit: &Oid,
        counts: impl Fn(&RepoPath) -> bool,
    ) -> Result<Digest, GitError> {
        let mut bytes = Vec::new();
        for path in self.files_here(commit)? {
            if !counts(&path) {
                continue;
            }
            let file = self.top().join(path.as_path());
            bytes.extend_from_slice(path.as_bytes());
            bytes.push(0);
            match fs::symlink_metadata(&file) {
                Ok(meta) => {
                    let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
                    let marks = (meta.ino(), meta.size(), meta.mode(), times);
                    bytes.extend_from_slice(format!("{marks:?}\n").as_bytes());
                }
                Err(e) if is_gone(&e) => bytes.extend_from_slice(b"none\n"),
                Err(source) => return Err(GitError::Io { path: file, source }),
            }
        }
        Ok(Digest::of(&bytes))
    }

    /// The tracked files of `commit`, those of the submodules that are checked out here among them: of each the ones of
    /// the commit that it is at.
    ///
    /// # Errors
    /// `Object`.
    pub fn files_here(&self, commit: &Oid) -> Result<Vec<RepoPath>, GitError> {
        let mut files = Vec::new();
        for (path, entry) in self.entries(commit)? {
            if entry.mode != TreeMode::Submodule {
                files.push(path);
                continue;
            }
            let Ok(Some(found)) = self.submodule(&path) else { continue };
            let Ok(head) = found.head() else { continue };
            let inner = found.files_here(&head.commit)?;
            files.extend(inner.iter().filter_map(|inner| path.join(inner.as_bytes()).ok()));
        }
        Ok(files)
    }

    /// The first of `paths` whose file was written, made or removed after `moment`; where the file system does not
    /// know when a file was made, a change of its permissions counts as well.
    pub fn written_since<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p RepoPath>,
        moment: Timestamp,
    ) -> Option<&'p RepoPath> {
        paths.into_iter().find(|path| {
            let meta = fs::symlink_metadata(self.top().join(path.as_path()));
            meta.map_or(true, |meta| written(&meta) > moment.as_nanosecond())
        })
    }

    /// When something was last added to HEAD's reflog; a clean-up by git counts, too.
    pub fn reflog_written(&self) -> Option<Timestamp> {
        let meta = fs::symlink_metadata(self.git_dir().join("logs/HEAD")).ok()?;
        Timestamp::from_nanosecond(nanoseconds(meta.mtime(), meta.mtime_nsec())).ok()
    }
}

/// The content's last change, and its birth, for a file that is moved here keeps its times.
fn written(meta: &Metadata) -> i128 {
    let modified = nanoseconds(meta.mtime(), meta.mtime_nsec());
    let born = meta.created().ok().and_then(|born| Timestamp::try_from(born).ok());
    let made = born.map(|born| born.as_nanosecond());
    modified.max(made.unwrap_or_else(|| nanoseconds(meta.ctime(), meta.ctime_nsec())))
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::Repo;
    use super::*;

    #[test]
    fn files_that_come_back_with_the_same_bytes_have_other_marks() {
        let repo = Repo::new();
        repo.write("a.txt", "one");
        let first = repo.commit("first");
        let git = repo.open();
        let before = git.stamps(&first, |_| true).unwrap();
        assert_eq!(git.stamps(&first, |_| true).unwrap(), before);
        repo.write("a.txt", "two");
        repo.commit("second");
        repo.git(&["checkout", "-q", first.as_str()]);
        assert_ne!(git.stamps(&first, |_| true).unwrap(), before);
        let only = |path: &RepoPath| path.as_bytes() != b"a.txt";
        assert_eq!(git.stamps(&first, only).unwrap(), git.stamps(&first, only).unwrap());
    }

    #[test]
    fn a_file_is_written_since_a_moment_or_gone() {
        let repo = Repo::new();
        repo.write("a.txt", "one");
        let git = repo.open();
        let [here, gone] = ["a.txt", "b.txt"].map(|name| RepoPath::new(name).unwrap());
        let later = Timestamp::now() + std::time::Duration::from_secs(60);
        assert_eq!(git.written_since([&here], Timestamp::UNIX_EPOCH), Some(&here));
        assert_eq!(git.written_since([&here], later), None);
        assert_eq!(git.written_since([&here, &gone], later), Some(&gone));
    }
}
