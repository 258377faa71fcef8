//! Giving a checkout back to plain git: HEAD on a branch at what serves, gitroll's own files gone.
//!
//! Services are not touched and no branch moves. What a person may still want stays: saved files, logs,
//! the trust file and key, the records in git. The binding goes after all the rest, so that a second run
//! finishes what a kill or an error left half done; after it only the lock, so that nobody else gets in before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lock::{Held, Lock, LockError};
use super::run::last_branch;
use crate::model::{Oid, RunId};
use crate::site::{Site, hooks};
use crate::system::git::{GitError, RefEdit};
use crate::system::{failpoint, files};

/// The branch that is made if none is at what serves.
pub const BRANCH: &str = "gitroll-ejected";

/// The line by which a git hook that gitroll installed is known.
pub const HOOK_MARK: &str = "# Installed by gitroll";

/// What is about to be done.
#[derive(Debug, Clone)]
pub struct Ejection {
    /// Where HEAD is, and stays.
    pub commit: Oid,
    /// The branch it is put on.
    pub branch: Branch,
    /// Files and directories that are removed.
    pub removes: Vec<PathBuf>,
    /// The directory of saved files, where there are any.
    pub saved: Option<PathBuf>,
    /// Logs of services, which may be written just now.
    pub logs: Vec<PathBuf>,
    /// A branch that people would switch to, and that is at another commit.
    pub other: Option<String>,
}

/// Which branch HEAD is put on, by its full name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Branch {
    /// HEAD is on it already.
    Already(String),
    /// It is there, at the very commit.
    Found(String),
    /// It is made.
    New(String),
}

impl Branch {
    /// Its full name.
    pub fn name(&self) -> &str {
        match self {
            Branch::Already(name) | Branch::Found(name) | Branch::New(name) => name,
        }
    }

    /// Its name as people say it.
    pub fn short(&self) -> &str {
        self.name().trim_start_matches("refs/heads/")
    }
}

/// Why a checkout was not given back.
#[derive(Debug, thiserror::Error)]
pub enum EjectError {
    /// The branch that was asked for is at another commit, or in use.
    #[error("{0}; gitroll does not move branches")]
    Branch(String),
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Something was changed, and then the rest could not be.
    #[error("eject is not finished: {problem}")]
    Unfinished {
        /// What was in the way.
        problem: String,
        /// What is still to be removed.
        left: Vec<PathBuf>,
    },
}

/// Decides what is done: `wanted` is the name of a branch, `usual` that of the one that is deployed from.
///
/// # Errors
/// When git cannot be read, or the wanted branch cannot be used.
pub fn plan(
    site: &Site,
    wanted: Option<&str>,
    usual: Option<&str>,
    discard_saved: bool,
) -> Result<Ejection, EjectError> {
    let head = site.git.head()?;
    let full = |name: &str| format!("refs/heads/{name}");
    let preferred: Vec<String> =
        last_branch(site).into_iter().chain(usual.map(full)).chain([full("main")]).collect();
    let branch = match (wanted, head.branch.clone()) {
        (None, Some(on)) => Branch::Already(on),
        (Some(name), Some(on)) if on == full(name) => Branch::Already(on),
        (Some(name), Some(on)) => {
            let on = on.trim_start_matches("refs/heads/");
            return Err(EjectError::Branch(format!("HEAD is already on {on}, not on {name}")));
        }
        (Some(name), None) => wanted_branch(site, &full(name), &head.commit)?,
        (None, None) => fitting_branch(site, &preferred, &head.commit)?,
    };
    let mut other = None;
    for name in preferred.iter().filter(|name| *name != branch.name()) {
        if site.git.find_ref(name)?.is_some_and(|at| at != head.commit) {
            other = Some(name.trim_start_matches("refs/heads/").to_owned());
            break;
        }
    }
    let state = site.state();
    let saved = Some(state.join("saved")).filter(|dir| dir.is_dir() && !discard_saved);
    let logs = names_in(&state.join("services"))
        .into_iter()
        .filter(|path| {
            let name = path.as_os_str().as_encoded_bytes();
            name.ends_with(b".log") || name.ends_with(b".log.1")
        })
        .collect::<Vec<_>>();
    Ok(Ejection {
        commit: head.commit,
        branch,
        removes: removed(site, saved.as_deref(), &logs),
        saved,
        logs,
        other,
    })
}

/// Does it. Every part may be done again.
///
/// # Errors
/// The first thing that could not be done; the same command continues from there.
pub fn carry_out(site: &Site, ejection: &Ejection) -> Result<(), EjectError> {
    put_head_on_branch(site, ejection)?;
    hooks::uninstall(site).map_err(|source| EjectError::Unfinished {
        problem: format!("the git hooks: {source}"),
        left: ejection.removes.clone(),
    })?;
    for (done, path) in ejection.removes.iter().enumerate() {
        failpoint::pass("eject removes").and_then(|()| remove(path)).map_err(|source| {
            EjectError::Unfinished {
                problem: format!("{}: {source}", path.display()),
                left: ejection.removes[done..].to_vec(),
            }
        })?;
    }
    // All only where nothing is left in them.
    let _ = fs::remove_dir(site.state().join("services"));
    let _ = fs::remove_dir(&site.binding.work_dir);
    let _ = fs::remove_dir(site.state());
    Ok(())
}

/// Removes the lock's file that an ejection left which ended between the binding and it.
///
/// # Errors
/// Someone holds the lock, or it cannot be removed.
pub fn finish(state: &Path, held: &Held) -> Result<(), LockError> {
    if !state.join("lock").exists() {
        return Ok(());
    }
    let lock = Lock::take(state, held, Duration::ZERO)?;
    lock.remove().map_err(|source| LockError::Io { path: state.join("lock"), source })
}

/// HEAD comes to be on the branch, at the very commit it is at.
fn put_head_on_branch(site: &Site, ejection: &Ejection) -> Result<(), EjectError> {
    let git = &site.git;
    let name = ejection.branch.name();
    let made = matches!(ejection.branch, Branch::New(_));
    let on_it = || git.head().is_ok_and(|head| head.branch.as_deref() == Some(name));
    let already = on_it();
    let failed = |error: GitError| {
        if made || !already && on_it() {
            let left = ejection.removes.clone();
            EjectError::Unfinished { problem: error.to_string(), left }
        } else {
            error.into()
        }
    };
    if let Branch::New(_) = ejection.branch {
        let edit = RefEdit { name: name.to_owned(), new: Some(ejection.commit.clone()), old: None };
        git.update_refs(&[edit], "gitroll eject: what serves")?;
    }
    git.attach_head(name, &ejection.commit).map_err(failed)?;
    let head = git.head().map_err(failed)?;
    if head.branch.as_deref() != Some(name) || head.commit != ejection.commit {
        return Err(EjectError::Branch("HEAD moved meanwhile; nothing was removed".into()));
    }
    Ok(())
}

/// Everything that goes, in this order: the binding after what only it leads to, then the lock.
fn removed(site: &Site, saved: Option<&Path>, logs: &[PathBuf]) -> Vec<PathBuf> {
    let state = site.state();
    let services = state.join("services");
    let stages = names_in(&site.binding.work_dir).into_iter().filter(|path| {
        let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix("stage-"));
        let id = name.and_then(|name| name.split('.').next());
        id.is_some_and(|id| id.parse::<RunId>().is_ok())
    });
    let lock = state.join("lock");
    let own = names_in(&state).into_iter().filter(|path| {
        let stays = Some(path.as_path()) == saved || !logs.is_empty() && *path == services;
        !stays && *path != lock
    });
    let of_services =
        names_in(&services).into_iter().filter(|path| !logs.is_empty() && !logs.contains(path));
    let hooks = names_in(&site.git.hooks_dir().0).into_iter().filter(|path| is_own_hook(path));
    let binding = [site.binding.file()].into_iter().filter(|path| path.exists());
    stages.chain(hooks).chain(of_services).chain(own).chain(binding).chain([lock.clone()]).collect()
}

fn wanted_branch(site: &Site, name: &str, commit: &Oid) -> Result<Branch, EjectError> {
    let short = name.trim_start_matches("refs/heads/");
    if site.git.branches_elsewhere().iter().any(|used| used == name) {
        return Err(EjectError::Branch(format!("{short} is checked out in another work tree")));
    }
    match site.git.find_ref(name)? {
        None => Ok(Branch::New(name.to_owned())),
        Some(at) if at == *commit => Ok(Branch::Found(name.to_owned())),
        Some(at) => Err(EjectError::Branch(format!("{short} is at {}, not here", at.short()))),
    }
}

/// A branch at the commit: the first of `preferred`, else any, else a new one.
fn fitting_branch(site: &Site, preferred: &[String], commit: &Oid) -> Result<Branch, EjectError> {
    let used = site.git.branches_elsewhere();
    let branches = site.git.refs("refs/heads/")?;
    let here: Vec<&str> = branches
        .iter()
        .filter(|branch| branch.id == *commit && !used.contains(&branch.name))
        .map(|branch| branch.name.as_str())
        .collect();
    let first = preferred.iter().map(String::as_str).find(|name| here.contains(name));
    if let Some(found) = first.or(here.first().copied()) {
        return Ok(Branch::Found(found.to_owned()));
    }
    let taken = |name: &str| branches.iter().any(|branch| branch.name == name);
    let names = (1..).map(|n| match n {
        1 => format!("refs/heads/{BRANCH}"),
        n => format!("refs/heads/{BRANCH}-{n}"),
    });
    let free = names.into_iter().find(|name| !taken(name));
    Ok(Branch::New(free.unwrap_or_else(|| format!("refs/heads/{BRANCH}"))))
}

fn is_own_hook(path: &Path) -> bool {
    const MOST_BYTES: u64 = 1 << 20;
    path.symlink_metadata().is_ok_and(|at| at.is_file())
        && files::read_plain(path, MOST_BYTES).is_ok_and(|bytes| {
            String::from_utf8_lossy(&bytes).lines().take(5).any(|line| line.trim() == HOOK_MARK)
        })
}

fn names_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Removes what is there; a link itself, never what it points to.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(at) if at.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => path.parent().map_or(Ok(()), files::sync_dir),
    }
}
