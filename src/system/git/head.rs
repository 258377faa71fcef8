//! HEAD and the index: moved after the work tree was changed, and HEAD's reflog.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;

use crate::model::Oid;

use super::command::Answer;
use super::locks::{LocksTaken, RunningCommand, in_the_way, lock_in_message};
use super::object::sync_dir;
use super::refs::ref_error;
use super::repository::{Git, GitError};
use crate::system::text::escape;

/// Only the end of a longer reflog is read.
const MOST_REFLOG: u64 = 16 << 20;

/// One line of HEAD's reflog: it came to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadMove {
    /// The commit; whether it is still here was not examined.
    pub commit: Oid,
    /// When, to the second, by the clock of that time.
    pub at: Timestamp,
    /// The name that was checked out, as it was typed, where the line says one; escape before printing.
    pub name: Option<String>,
}

/// One line of HEAD's reflog with both its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadStep {
    /// Where HEAD was; `None` in a line that begins a reflog.
    pub from: Option<Oid>,
    /// Where it came to.
    pub to: Oid,
    /// When, to the second, by the clock of that time.
    pub at: Timestamp,
    /// What git, or whoever moved it, wrote beside it, e.g. `pull: Fast-forward`.
    pub why: String,
}

impl Git {
    /// Makes the repository's index that of `commit` (stat data refreshed), work tree untouched. Files that
    /// the index looked away from keep their marks.
    ///
    /// # Errors
    /// `Command`, naming a lock file that is in the way.
    pub fn reset_index(&self, commit: &Oid) -> Result<(), GitError> {
        let marks = self.marks();
        self.keep_marks(&marks)?;
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
        self.set_marks(&marks, commit)?;
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
    /// `Ref` when HEAD is not at `from`, `Object` when `to` is not a commit here.
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

    /// Where HEAD of this work tree has been, oldest first; `None` when there is no reflog. Lines that are
    /// none are left out; of a very long reflog only the end is read.
    ///
    /// # Errors
    /// `Io`, also where the reflog is not a regular file.
    pub fn head_moves(&self) -> Result<Option<Vec<HeadMove>>, GitError> {
        Ok(self.reflog(parse_move)?.filter(|moves| !moves.is_empty()))
    }

    /// The steps HEAD of this work tree made, oldest first, as [`Git::head_moves`] reads them.
    ///
    /// # Errors
    /// As [`Git::head_moves`].
    pub fn head_steps(&self) -> Result<Vec<HeadStep>, GitError> {
        Ok(self.reflog(parse_step)?.unwrap_or_default())
    }

    /// Each line of HEAD's reflog that `parse` takes. Git leaves an empty file behind `reflog expire --all`.
    fn reflog<T>(
        &self,
        parse: impl Fn(&[u8], usize) -> Option<T>,
    ) -> Result<Option<Vec<T>>, GitError> {
        let path = self.git_dir.join("logs/HEAD");
        let failed = |source| GitError::Io { path: path.clone(), source };
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let opened =
            OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&path);
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        let begin = meta.len().saturating_sub(MOST_REFLOG);
        file.seek(SeekFrom::Start(begin)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(MOST_REFLOG).read_to_end(&mut bytes).map_err(failed)?;
        let mut lines = bytes.split(|b| *b == b'\n');
        if begin > 0 {
            // The line that was cut.
            lines.next();
        }
        let digits = self.repo.object_hash().len_in_hex();
        Ok(Some(lines.filter_map(|line| parse(line, digits)).collect()))
    }

    /// Writes HEAD as git does, by its lock file. `git symbolic-ref` never syncs what it writes: a power cut
    /// would leave an empty HEAD, and with it nothing that git takes for a repository.
    fn write_head(&self, bytes: &[u8]) -> Result<(), GitError> {
        let (path, lock) = (self.git_dir.join("HEAD"), self.git_dir.join("HEAD.lock"));
        let takes = LocksTaken { locks: vec![lock.clone()], fetches: false };
        let noted = RunningCommand::begin(self, "HEAD", &takes);
        let written = self.write_locked(&path, &lock, bytes);
        let (target, done) = (String::from_utf8_lossy(bytes), written.is_ok());
        tracing::debug!("HEAD is written: {}, done: {done}", escape(target.trim_end()));
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

    pub(super) fn index_lock(&self) -> LocksTaken {
        LocksTaken { locks: vec![self.git_dir.join("index.lock")], fetches: false }
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

fn index_error(verb: &str, answer: &Answer) -> GitError {
    let problem = match lock_in_message(&answer.stderr) {
        Some(lock) => in_the_way(lock),
        None => answer.problem(),
    };
    GitError::Command { verb: verb.to_owned(), problem }
}

/// `<old> <new> <name> <<mail>> <seconds> <zone>\t<message>`
fn parse_move(line: &[u8], digits: usize) -> Option<HeadMove> {
    let tab = line.iter().position(|b| *b == b'\t');
    let (head, message) = match tab {
        Some(tab) => (&line[..tab], &line[tab + 1..]),
        None => (line, &[][..]),
    };
    let head = String::from_utf8_lossy(head);
    let mut ids = head.splitn(3, ' ');
    let (_old, new, rest) = (ids.next()?, ids.next()?, ids.next()?);
    let commit: Oid = new.parse().ok().filter(|_| new.len() == digits)?;
    let (_, when) = rest.rsplit_once("> ")?;
    let seconds = when.split(' ').next()?;
    let plain = (1..=12).contains(&seconds.len()) && seconds.bytes().all(|b| b.is_ascii_digit());
    let at = Timestamp::from_second(seconds.parse().ok().filter(|_| plain)?).ok()?;
    let zero = commit.as_str().bytes().all(|b| b == b'0');
    (!zero).then(|| HeadMove { commit, at, name: name_in(message) })
}

fn parse_step(line: &[u8], digits: usize) -> Option<HeadStep> {
    let HeadMove { commit: to, at, .. } = parse_move(line, digits)?;
    let from: Oid = std::str::from_utf8(line.get(..digits)?).ok()?.parse().ok()?;
    let from = Some(from).filter(|from| from.as_str().bytes().any(|b| b != b'0'));
    let tab = line.iter().position(|b| *b == b'\t').map_or(line.len(), |tab| tab + 1);
    Some(HeadStep { from, to, at, why: String::from_utf8_lossy(&line[tab..]).into_owned() })
}

/// The name in `checkout: moving from main to v1.2.0`, or in `reset: moving to v1.2.0`.
fn name_in(message: &[u8]) -> Option<String> {
    let message = std::str::from_utf8(message).ok()?;
    let name = match message.strip_prefix("checkout: moving from ") {
        Some(moving) => moving.rsplit_once(" to ")?.1,
        None => message.strip_prefix("reset: moving to ")?,
    };
    (!name.is_empty() && name.len() <= 256).then(|| name.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::Repo;

    #[test]
    fn a_reflog_tells_where_head_has_been_and_by_which_name() {
        let repo = Repo::new();
        let first = repo.id("HEAD");
        repo.git(&["tag", "v1-stable"]);
        let second = repo.commit("second");
        repo.git(&["checkout", "-q", "v1-stable"]);
        repo.git(&["reset", "-q", "--hard", "main"]);
        let moves = repo.open().head_moves().unwrap().unwrap();
        let seen: Vec<_> = moves.iter().map(|m| (&m.commit, m.name.as_deref())).collect();
        assert_eq!(
            seen,
            [(&first, None), (&second, None), (&first, Some("v1-stable")), (&second, Some("main"))]
        );
        assert_eq!(moves[0].at, "2026-01-02T03:04:05Z".parse().unwrap());
    }

    #[test]
    fn no_reflog_and_an_empty_one_tell_nothing() {
        let repo = Repo::new();
        let log = repo.top.join(".git/logs/HEAD");
        std::fs::write(&log, "").unwrap();
        assert_eq!(repo.open().head_moves().unwrap(), None);
        std::fs::remove_file(&log).unwrap();
        assert_eq!(repo.open().head_moves().unwrap(), None);
    }

    #[test]
    fn lines_of_any_bytes_are_left_out_and_a_link_is_not_followed() {
        let repo = Repo::new();
        let log = repo.top.join(".git/logs/HEAD");
        let mut bytes = b"\xff\xfe\0 not a line\n\n".to_vec();
        let id = repo.id("HEAD");
        for line in [
            format!("{id} {id} A <a@b> 99999999999999999999 +0000\tcheckout: moving from a to b"),
            format!(
                "{id} {} A <a@b> 1767603600 +0000\tcheckout: moving from a to b",
                "0".repeat(40)
            ),
            format!("{id} {id} A <a@b> -5 +0000\tx"),
            format!("{id} {id} > <a@b> > 1767603600 +0000\tcheckout: moving from a to \u{1b}[2Jb"),
            format!("{id} short A <a@b> 1767603600 +0000"),
            format!("{id} {id} A <a@b> 1767603660 +0000"),
        ] {
            bytes.extend(line.into_bytes());
            bytes.push(b'\n');
        }
        std::fs::write(&log, bytes).unwrap();
        let moves = repo.open().head_moves().unwrap().unwrap();
        let seen: Vec<_> = moves.iter().map(|m| (m.at.as_second(), m.name.as_deref())).collect();
        assert_eq!(seen, [(1_767_603_600, Some("\u{1b}[2Jb")), (1_767_603_660, None)]);

        let elsewhere = repo.dir.path().join("elsewhere");
        std::fs::rename(&log, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &log).unwrap();
        assert!(repo.open().head_moves().is_err());
    }
}
