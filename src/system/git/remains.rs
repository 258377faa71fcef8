//! What a git that was killed leaves in the repository: lock files and half-written objects.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Git;
use crate::system::procs;

/// The locks of files directly in a git directory that gitroll's own git commands take, and what else they
/// refuse to write over.
const TOP: [&str; 6] = [
    "HEAD.lock",
    "index.lock",
    "packed-refs.lock",
    "packed-refs.new",
    "config.lock",
    "shallow.lock",
];

/// How coarse the times of a file system may be.
const COARSE: std::time::Duration = std::time::Duration::from_secs(2);

/// What may be told of things that a killed command could have left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitRemains {
    /// Lock files that only a killed command of ours can have left.
    pub locks: Vec<PathBuf>,
    /// Half-written objects and packs, likewise.
    pub objects: Vec<PathBuf>,
    /// What may be of use to somebody at this moment: a git command works in this repository.
    pub in_doubt: Vec<PathBuf>,
}

impl Git {
    /// The lock files that lie in this repository, of all kinds that gitroll's git commands take.
    pub fn lock_files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for dir in [&self.git_dir, &self.common_dir] {
            found.extend(TOP.iter().map(|name| dir.join(name)).filter(|path| is_file(path)));
        }
        locks_below(&self.common_dir.join("refs"), 8, &mut found);
        found
    }

    /// What a command of ours that began at `since`, when the locks in `before` lay here already, can have
    /// left when it was killed: of this user, not older than it, open in no process. While any git command
    /// works in this repository all of it is in doubt. Looks, and changes nothing.
    pub fn remains(&self, before: &BTreeSet<PathBuf>, since: SystemTime) -> GitRemains {
        let since = since.checked_sub(COARSE).unwrap_or(since);
        let mut locks: Vec<PathBuf> =
            self.lock_files().into_iter().filter(|path| !before.contains(path)).collect();
        let mut objects = self.temporary_objects();
        for list in [&mut locks, &mut objects] {
            list.retain(|path| is_ours(path, since));
        }
        if locks.is_empty() && objects.is_empty() {
            return GitRemains::default();
        }
        let all: Vec<PathBuf> = locks.iter().chain(&objects).cloned().collect();
        if procs::works_in("git", &[&self.top, &self.git_dir, &self.common_dir]) {
            return GitRemains { in_doubt: locks, ..GitRemains::default() };
        }
        let open = procs::open_anywhere(&all);
        let in_doubt = locks.iter().filter(|path| open.contains(*path)).cloned().collect();
        for list in [&mut locks, &mut objects] {
            list.retain(|path| !open.contains(path));
        }
        GitRemains { locks, objects, in_doubt }
    }

    /// Files of git and gix that become objects and packs when they are whole.
    fn temporary_objects(&self) -> Vec<PathBuf> {
        let top = self.common_dir.join("objects");
        let mut found = Vec::new();
        for (name, path) in entries(&top) {
            if is_temporary_of_gix(&name) || name.starts_with("tmp_obj_") {
                found.push(path);
            } else if name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
                let below = entries(&path).into_iter();
                found.extend(below.filter(|(name, _)| name.starts_with("tmp_obj_")).map(|e| e.1));
            } else if name == "pack" {
                let below = entries(&path).into_iter();
                found.extend(below.filter(|(name, _)| name.starts_with("tmp_")).map(|e| e.1));
            }
        }
        found.retain(|path| is_file(path));
        found
    }
}

/// gix writes an object to `.tmp` and six letters or digits, then renames it.
fn is_temporary_of_gix(name: &str) -> bool {
    name.strip_prefix(".tmp")
        .is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn locks_below(dir: &Path, depth: u8, found: &mut BTreeSet<PathBuf>) {
    for (name, path) in entries(dir) {
        if name.ends_with(".lock") && is_file(&path) {
            found.insert(path);
        } else if depth > 0 && path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            locks_below(&path, depth - 1, found);
        }
    }
}

fn entries(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| Some((e.file_name().into_string().ok()?, e.path()))).collect()
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

fn is_ours(path: &Path, since: SystemTime) -> bool {
    path.symlink_metadata().is_ok_and(|meta| {
        meta.is_file()
            && meta.uid() == rustix::process::geteuid().as_raw()
            && meta.modified().is_ok_and(|at| at >= since)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::Repo;
    use super::*;

    fn lie(repo: &Repo, names: &[&str]) -> Vec<PathBuf> {
        let made = names.iter().map(|name| {
            let path = repo.top.join(".git").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        });
        made.collect()
    }

    #[test]
    fn only_what_was_left_since_then_is_told() {
        let repo = Repo::new();
        repo.commit("one");
        let git = repo.open();
        let begin = SystemTime::now();
        let earlier = lie(&repo, &["index.lock", "refs/tags/v1.lock"]);
        let before = git.lock_files();
        assert_eq!(before, earlier.into_iter().collect());
        let locks = lie(&repo, &["HEAD.lock", "packed-refs.new", "refs/gitroll/a/b.lock"]);
        let names = ["objects/.tmpAb12Cd", "objects/ab/tmp_obj_x1", "objects/pack/tmp_pack_x"];
        let objects = lie(&repo, &names);
        lie(&repo, &["objects/.tmp-keep-this", "objects/pack/pack-1.keep", "next-index-1.lock"]);
        let found = git.remains(&before, begin);
        let sorted = |list: &[PathBuf]| list.iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!(sorted(&found.locks), sorted(&locks));
        assert_eq!(sorted(&found.objects), sorted(&objects));
        assert_eq!(found.in_doubt, Vec::<PathBuf>::new());
        let later = begin + std::time::Duration::from_secs(60);
        assert_eq!(git.remains(&before, later), GitRemains::default());
    }

    #[test]
    fn what_a_process_holds_open_is_in_doubt() {
        let repo = Repo::new();
        repo.commit("one");
        let git = repo.open();
        let begin = SystemTime::now();
        let lock = lie(&repo, &["HEAD.lock"]).remove(0);
        let open = fs::File::open(&lock).unwrap();
        assert_eq!(git.remains(&BTreeSet::new(), begin).in_doubt, std::slice::from_ref(&lock));
        drop(open);
        assert_eq!(git.remains(&BTreeSet::new(), begin).locks, [lock]);
    }
}
