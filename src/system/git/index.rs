//! The repository's own index and HEAD, after the work tree was changed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::model::Oid;

use super::command::stale_lock;
use super::in_flight::{InFlight, Takes};
use super::refs::ref_error;
use super::write::sync_dir;
use super::{Git, GitError};

impl Git {
    /// Makes the repository's index that of `commit` (stat data refreshed), work tree untouched.
    ///
    /// # Errors
    /// `Command`, naming a lock file that is in the way.
    pub fn reset_index(&self, commit: &Oid) -> Result<(), GitError> {
        if let Err(first) = self.read_tree(commit) {
            // A damaged index (a power cut leaves one) holds nothing that the commit does not. One that says
            // skip-worktree or assume-unchanged of a file holds back what that file is by now.
            let index = self.git_dir.join("index");
            let useless = matches!(&first, GitError::Command { problem, .. }
                if ["index file", "bad index", "not uptodate"].iter().any(|why| problem.contains(why)));
            if !useless || fs::remove_file(&index).is_err() {
                return Err(first);
            }
            self.read_tree(commit)?;
        }
        // Exits with 1 where the work tree has other content: that is not for the index to judge.
        let refresh = self.call("update-index").args(["-q", "--refresh"]).durable();
        let answer = refresh.takes(self.index_lock()).run()?;
        if !matches!(answer.code, Some(0 | 1)) {
            return Err(index_error("update-index", &answer));
        }
        sync_dir(&self.git_dir)
    }

    /// Detaches HEAD at `to` if it is at `from`, with a reflog line; durable. No branch moves.
    ///
    /// # Errors
    /// `Ref` when HEAD is not at `from`, `Object` when `to` is no commit here.
    pub fn move_head(&self, from: &Oid, to: &Oid, why: &str) -> Result<(), GitError> {
        self.tree_of(to)?;
        let found = self.head()?.commit;
        if found != *from {
            return Err(ref_error("HEAD", &format!("it is at {found}, not at {from}")));
        }
        let orders =
            format!("start\0option no-deref\0update HEAD\0{to}\0{from}\0prepare\0commit\0");
        self.transact(orders.into_bytes(), why, &["HEAD"])?;
        self.sync_ref_dirs("HEAD")
    }

    /// Puts a detached HEAD back on `branch` (`refs/heads/…`) where both are at `commit`; durable. Leaves it
    /// detached where the branch is elsewhere by now.
    ///
    /// # Errors
    /// `Ref` when HEAD cannot be written.
    pub fn attach_head(&self, branch: &str, commit: &Oid) -> Result<(), GitError> {
        let head = self.head()?;
        if head.branch.is_some() || head.commit != *commit {
            return Ok(());
        }
        if self.find_ref(branch)?.as_ref() != Some(commit) {
            return Ok(());
        }
        self.write_head(format!("ref: {branch}\n").as_bytes())
    }

    /// Writes HEAD as git does, by its lock file. `git symbolic-ref` never syncs what it writes: a power cut
    /// would leave an empty HEAD, and with it nothing that git takes for a repository.
    fn write_head(&self, bytes: &[u8]) -> Result<(), GitError> {
        let (path, lock) = (self.git_dir.join("HEAD"), self.git_dir.join("HEAD.lock"));
        let takes = Takes { locks: vec![lock.clone()], fetches: false };
        let noted = InFlight::begin(self, "HEAD", &takes);
        let written = self.write_locked(&path, &lock, bytes);
        if let Some(noted) = noted {
            noted.came_to_its_end();
        }
        written
    }

    fn write_locked(&self, path: &Path, lock: &Path, bytes: &[u8]) -> Result<(), GitError> {
        let io = |source| GitError::Io { path: path.to_owned(), source };
        let mut file = match File::create_new(lock) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(ref_error("HEAD", &in_the_way(lock)));
            }
            file => file.map_err(io)?,
        };
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(lock, path));
        if written.is_err() {
            let _ = fs::remove_file(lock);
        }
        written.map_err(io)?;
        sync_dir(&self.git_dir)
    }

    fn index_lock(&self) -> Takes {
        Takes { locks: vec![self.git_dir.join("index.lock")], fetches: false }
    }

    fn read_tree(&self, commit: &Oid) -> Result<(), GitError> {
        let answer = self
            .call("read-tree")
            .args(["--reset", "--no-recurse-submodules"])
            .arg(commit.as_str())
            .durable()
            .takes(self.index_lock())
            .run()?;
        match answer.code {
            Some(0) => Ok(()),
            _ => Err(index_error("read-tree", &answer)),
        }
    }
}

fn in_the_way(lock: &Path) -> String {
    let lock = lock.display();
    format!(
        "{lock} is in the way; if no git command is running here, one was killed: remove that file"
    )
}

fn index_error(verb: &str, answer: &super::command::Answer) -> GitError {
    let problem = match stale_lock(&answer.stderr) {
        Some(lock) => in_the_way(lock),
        None => answer.problem(),
    };
    GitError::Command { verb: verb.to_owned(), problem }
}
