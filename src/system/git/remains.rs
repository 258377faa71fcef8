//! What a git that was killed leaves in the repository: lock files and half-written objects.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Git;
use super::write::OWN_OBJECT;
use crate::system::{open_files, procs};

/// The locks of files directly in a git directory that a fetch takes, and what else git refuses to write over.
const TOP: [&str; 3] = ["packed-refs.lock", "packed-refs.new", "shallow.lock"];

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
    /// The lock files that lie in this repository, of all kinds that a fetch takes.
    pub(super) fn lock_files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for dir in [&self.git_dir, &self.common_dir] {
            found.extend(TOP.iter().map(|name| dir.join(name)).filter(|path| is_file(path)));
        }
        locks_below(&self.common_dir.join("refs"), 8, &mut found);
        found
    }

    /// The locks that lie in the way of a run at this moment, which writes index, HEAD and the ref `chain`.
    pub fn locks_in_the_way(&self, chain: &str) -> Vec<PathBuf> {
        let names = ["index", "HEAD", "packed-refs", chain];
        let paths = names.map(|name| self.git_dir.join(format!("{name}.lock")));
        paths.into_iter().filter(|path| path.exists()).collect()
    }

    /// What git commands of ours left that were noted as running and did not come to their end: what such a
    /// command takes, made while it ran, of this user, open in no process. While any git command works in this
    /// repository all of it is in doubt. Looks, and changes nothing.
    pub fn remains(&self) -> GitRemains {
        let (mut locks, mut objects) = (BTreeSet::new(), BTreeSet::new());
        for ended in self.ended_in_flight() {
            let made = |path: &PathBuf| is_ours(path) && ended.can_have_made(path);
            locks.extend(ended.takes.locks.iter().filter(|path| made(path)).cloned());
            if ended.takes.fetches {
                locks.extend(self.lock_files().into_iter().filter(made));
                objects.extend(self.temporary_objects().into_iter().filter(made));
            }
        }
        // Nobody else gives them such a name.
        objects.extend(self.temporary_objects().into_iter().filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            is_ours(path) && name.is_some_and(|name| name.starts_with(OWN_OBJECT))
        }));
        let (mut locks, mut objects): (Vec<_>, Vec<_>) =
            (locks.into_iter().collect(), objects.into_iter().collect());
        if locks.is_empty() && objects.is_empty() {
            return GitRemains::default();
        }
        let all: Vec<PathBuf> = locks.iter().chain(&objects).cloned().collect();
        if procs::works_in("git", &[&self.top, &self.git_dir, &self.common_dir]) {
            return GitRemains { in_doubt: locks, ..GitRemains::default() };
        }
        let open = open_files::open_anywhere(&all);
        let in_doubt = locks.iter().filter(|path| open.contains(*path)).cloned().collect();
        for list in [&mut locks, &mut objects] {
            list.retain(|path| !open.contains(path));
        }
        GitRemains { locks, objects, in_doubt }
    }

    /// Files of git that become objects and packs when they are whole.
    fn temporary_objects(&self) -> Vec<PathBuf> {
        let top = self.common_dir.join("objects");
        let mut found = Vec::new();
        for (name, path) in entries(&top) {
            if name.starts_with("tmp_obj_") {
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

fn is_ours(path: &Path) -> bool {
    let us = rustix::process::geteuid().as_raw();
    path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.uid() == us)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::in_flight::{InFlight, Takes};
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

    fn takes(repo: &Repo, names: &[&str], fetches: bool) -> Takes {
        Takes {
            locks: names.iter().map(|name| repo.top.join(".git").join(name)).collect(),
            fetches,
        }
    }

    fn bound(repo: &Repo) -> Git {
        let git = repo.open();
        fs::create_dir(git.state_dir()).unwrap();
        git
    }

    #[test]
    fn only_what_a_killed_command_takes_and_made_while_it_ran_is_told() {
        let repo = Repo::new();
        repo.commit("one");
        let git = bound(&repo);
        lie(&repo, &["index.lock"]);
        let names = ["index.lock", "HEAD.lock", "refs/gitroll/a/b.lock"];
        let noted = InFlight::begin(&git, "update-ref", &takes(&repo, &names, false)).unwrap();
        let ours = lie(&repo, &["HEAD.lock"]);
        lie(&repo, &["refs/heads/foo.lock", "objects/pack/tmp_pack_x"]);
        noted.was_killed();
        // Longer than it can have gone on.
        std::thread::sleep(std::time::Duration::from_millis(600));
        let later = lie(&repo, &["refs/gitroll/a/b.lock"]);
        assert_eq!(git.remains(), GitRemains { locks: ours.clone(), ..GitRemains::default() });
        fs::remove_file(&ours[0]).unwrap();
        lie(&repo, &["HEAD.lock"]);
        assert_eq!(git.remains(), GitRemains::default(), "it was made again by somebody");
        git.forget_in_flight();
        assert!(later[0].exists() && fs::read_dir(git.state_dir()).unwrap().next().is_none());
    }

    #[test]
    fn a_command_that_came_to_its_end_left_nothing() {
        let repo = Repo::new();
        repo.commit("one");
        let git = bound(&repo);
        InFlight::begin(&git, "read-tree", &takes(&repo, &["index.lock"], false))
            .unwrap()
            .came_to_its_end();
        lie(&repo, &["index.lock"]);
        assert_eq!(git.remains(), GitRemains::default());
    }

    #[test]
    fn a_fetch_takes_what_only_the_remote_can_name() {
        let repo = Repo::new();
        repo.commit("one");
        let git = bound(&repo);
        let before = lie(&repo, &["refs/tags/v1.lock"]);
        let noted = InFlight::begin(&git, "fetch", &takes(&repo, &[], true)).unwrap();
        let locks = lie(&repo, &["packed-refs.lock", "refs/remotes/origin/main.lock"]);
        let objects = lie(&repo, &["objects/ab/tmp_obj_x1", "objects/pack/tmp_pack_x"]);
        lie(&repo, &["objects/pack/pack-1.keep", "index.lock"]);
        noted.was_killed();
        let own = lie(&repo, &["objects/tmp_obj_gitroll-Ab12Cd"]);
        let found = git.remains();
        assert_eq!(found.locks, locks);
        assert_eq!(found.objects, [objects, own].concat());
        assert!(before[0].exists());
    }

    #[test]
    fn what_a_process_holds_open_is_in_doubt() {
        let repo = Repo::new();
        repo.commit("one");
        let git = bound(&repo);
        let noted = InFlight::begin(&git, "HEAD", &takes(&repo, &["HEAD.lock"], false)).unwrap();
        let lock = lie(&repo, &["HEAD.lock"]).remove(0);
        noted.was_killed();
        let open = fs::File::open(&lock).unwrap();
        assert_eq!(git.remains().in_doubt, std::slice::from_ref(&lock));
        drop(open);
        assert_eq!(git.remains().locks, [lock]);
    }
}
