//! Who may do what with the files that are put in place: what a file replaces decides, else its directory and
//! the host's mask. Never who runs the command.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::entry::{AtPath as _, LayoutError, above};
use crate::model::{Activation, PathChange, RepoPath, TreeEntry, TreeMode};
use crate::system::files::{self, Access, Beneath, DirEntryAt, FileKind};
use crate::system::git::Git;
use crate::system::{umask, user};

/// The access to one tracked path, before and after; `None` if no regular file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AccessChange {
    pub(super) before: Option<Access>,
    pub(super) after: Option<Access>,
}

/// The access to every path that an activation changes.
pub(super) fn observe(
    top: &Beneath,
    activation: &Activation,
) -> Result<BTreeMap<RepoPath, AccessChange>, LayoutError> {
    let kept: BTreeSet<&RepoPath> = activation.kept.iter().map(|keep| &keep.path).collect();
    let mut directories = Directories::of(top);
    let mut all = BTreeMap::new();
    for change in activation.changes.iter().filter(|change| !kept.contains(&change.path)) {
        let before = of_file(top, &change.path)?;
        let after = match (&change.after, &before) {
            (Some(after), Some(before)) => executable(after).map(|x| before.of_replacement(x)),
            (Some(after), None) => {
                let Some(executable) = executable(after) else { continue };
                let dir = directories.above(&change.path)?;
                Some(dir.of_new_file(umask::current(), executable))
            }
            (None, _) => None,
        };
        if before.is_some() || after.is_some() {
            all.insert(change.path.clone(), AccessChange { before, after });
        }
    }
    Ok(all)
}

/// The access that a file gets of which nothing was written down: an earlier version began the run.
pub(super) fn now(
    top: &Beneath,
    path: &RepoPath,
    entry: &TreeEntry,
) -> Result<Option<Access>, LayoutError> {
    let Some(executable) = executable(entry) else { return Ok(None) };
    if let Some(there) = of_file(top, path)? {
        return Ok(Some(there.of_replacement(executable)));
    }
    let dir = Directories::of(top).above(path)?;
    Ok(Some(dir.of_new_file(umask::current(), executable)))
}

/// Files that would come into another group than the one they replace, and could not be read or written as
/// that one: its number. For this user may not give them away, and their directory does not either.
///
/// # Errors
/// When the tree cannot be read.
pub fn lost_groups(
    git: &Git,
    activation: &Activation,
) -> Result<Vec<(RepoPath, u32)>, LayoutError> {
    let mut lost = Vec::new();
    let Some(own) = user::groups_to_give() else { return Ok(lost) };
    let top = Beneath::open(git.top()).at(git.top())?;
    let kept: BTreeSet<&RepoPath> = activation.kept.iter().map(|keep| &keep.path).collect();
    let replaced =
        |change: &&PathChange| change.after.as_ref().is_some_and(|e| executable(e).is_some());
    for change in activation.changes.iter().filter(replaced) {
        if kept.contains(&change.path) {
            continue;
        }
        let Some(access) = of_file(&top, &change.path)? else { continue };
        if own.contains(&access.gid) || !access.group_matters() {
            continue;
        }
        let dir = Directories::of(&top).above(&change.path)?;
        if dir.of_new_file(umask::current(), false).gid != access.gid {
            lost.push((change.path.clone(), access.gid));
        }
    }
    for output in activation.artifacts.iter().filter(|a| a.incoming.is_some()).map(|a| &a.output) {
        let spot = top.entry(output).ok().flatten();
        let Some(access) = spot.and_then(|spot| spot.access().ok().flatten()) else { continue };
        if !own.contains(&access.gid) && access.group_matters() {
            lost.push((output.clone(), access.gid));
        }
    }
    Ok(lost)
}

fn executable(entry: &TreeEntry) -> Option<bool> {
    match entry.mode {
        TreeMode::File => Some(false),
        TreeMode::Executable => Some(true),
        TreeMode::Symlink | TreeMode::Submodule => None,
    }
}

fn of_file(top: &Beneath, path: &RepoPath) -> Result<Option<Access>, LayoutError> {
    match look(top, path, FileKind::File)? {
        Some(spot) => spot.access().at(spot.path()),
        None => Ok(None),
    }
}

/// The place of `path` where that is of this kind and no link is on the way.
fn look(top: &Beneath, path: &RepoPath, kind: FileKind) -> Result<Option<DirEntryAt>, LayoutError> {
    let spot = match top.entry(path) {
        Err(error) if files::is_symbolic_link_error(&error) => return Ok(None),
        spot => spot.at(path.as_path())?,
    };
    let Some(spot) = spot else { return Ok(None) };
    let found = spot.find().at(spot.path())?;
    Ok(found.filter(|found| found.kind == kind).map(|_| spot))
}

/// The access to directories of the tree, each looked at once.
pub(super) struct Directories<'a> {
    top: &'a Beneath,
    known: BTreeMap<RepoPath, Access>,
}

impl<'a> Directories<'a> {
    pub(super) fn of(top: &'a Beneath) -> Self {
        Self { top, known: BTreeMap::new() }
    }

    /// That of the nearest directory above `path` that is there; what is made below it has the same.
    pub(super) fn above(&mut self, path: &RepoPath) -> Result<Access, LayoutError> {
        for dir in above(path) {
            if let Some(access) = self.known.get(&dir) {
                return Ok(access.clone());
            }
            if let Some(spot) = look(self.top, &dir, FileKind::Directory)?
                && let Some(access) = spot.access().at(spot.path())?
            {
                self.known.insert(dir, access.clone());
                return Ok(access);
            }
        }
        self.top.access().at(self.top.path())
    }
}
