//! What activation would have to change, saved and leave alone. Only looks.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{AtPath as _, LayoutError, above, is_entry, refused};
use crate::config::Patterns;
use crate::model::{
    Activation, ArtifactMove, Keep, Oid, PathChange, RepoPath, Save, TreeEntry, TreeMode,
};
use crate::system::files::{self, Beneath, DirEntryAt, FileKind, FileStat};
use crate::system::git::Git;

/// What was observed of an activation to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedActivation {
    /// What has to change. A path that is right already is not among the changes.
    pub activation: Activation,
    /// Submodules that differ: to be refused.
    pub submodules: Vec<RepoPath>,
    /// Submodules that someone moved, and files that someone edited in one, with its path.
    pub edited_submodules: Vec<(RepoPath, RepoPath)>,
    /// What a person should know before saying yes.
    pub warnings: Vec<String>,
}

/// The tracked files that stay as they are on this host: declared `local`, or marked in the index
/// (`skip-worktree`, `assume-unchanged`).
#[derive(Debug)]
pub struct LocalFiles<'a> {
    declared: &'a Patterns,
    marked: BTreeSet<RepoPath>,
}

impl<'a> LocalFiles<'a> {
    /// Those that `declared` names, and those that are marked now.
    pub fn of(git: &Git, declared: &'a Patterns) -> Self {
        Self { declared, marked: git.marked_files().into_iter().collect() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.declared.is_empty() && self.marked.is_empty()
    }

    /// Whether a file is one of them.
    pub fn matches(&self, path: &RepoPath) -> bool {
        self.declared.matches(path) || self.marked.contains(path)
    }
}

/// The commits of an activation.
#[derive(Debug, Clone, Copy)]
pub struct Commits<'a> {
    /// What is left, and rolled back to should it fail.
    pub from: &'a Oid,
    /// What shall be there.
    pub to: &'a Oid,
    /// What is checked out: `from`, or what someone checked out since by hand.
    pub head: &'a Oid,
}

/// Observes what it takes to bring the work tree from commit `from` to commit `to`.
///
/// `edited` are the tracked paths of what is checked out
/// whose file differs ([`Git::edited`]), `local` those that stay as they
/// are on this host, `environment_files` the app's `.env` and what builds carry. In the changes,
/// `before` is `None` if the tracked file is missing from the work tree: going back leaves it missing.
///
/// # Errors
/// `Unsafe` where a symbolic link stands for a directory the target needs, or a file that is kept would be
/// in the way; files and objects that cannot be read.
pub fn observe_activation(
    git: &Git,
    commits: Commits<'_>,
    edited: &[RepoPath],
    local: &LocalFiles<'_>,
    environment_files: &[RepoPath],
    artifacts: Vec<ArtifactMove>,
) -> Result<ObservedActivation, LayoutError> {
    let Commits { from, to, head } = commits;
    let top = Beneath::open(git.top()).at(git.top())?;
    let mut differing: BTreeMap<RepoPath, (Option<TreeEntry>, Option<TreeEntry>)> =
        git.changes(from, to)?.into_iter().map(|c| (c.path, (c.before, c.after))).collect();
    // What someone checked out besides may have files that neither of them has so.
    for change in if head == from { Vec::new() } else { git.changes(head, to)? } {
        let before = git.entry(from, &change.path)?;
        differing.entry(change.path).or_insert((before, change.after));
    }
    let edited: BTreeSet<&RepoPath> = edited.iter().collect();
    let mut edited_submodules = Vec::new();
    for path in edited.iter().filter(|path| !local.matches(path)) {
        if let Some(module) = submodule_of(git, head, path)? {
            edited_submodules.push((module, (*path).clone()));
        }
    }
    for path in &edited {
        if !differing.contains_key(*path)
            && let Some(entry) = git.entry(from, path)?
            && entry.mode != TreeMode::Submodule
        {
            differing.insert((*path).clone(), (Some(entry.clone()), Some(entry)));
        }
    }
    let leaving = artifacts
        .iter()
        .filter(|a| a.incoming.is_none() && a.outgoing.is_some())
        .map(|a| a.output.clone())
        .collect();
    let leaves = differing
        .iter()
        .filter(|(_, (before, after))| before.is_some() && after.is_none())
        .map(|(path, _)| path.clone())
        .collect();
    let mut observer = Observer {
        git,
        top,
        head: Some(head).filter(|head| *head != from),
        edited,
        local,
        environment: environment_files,
        leaving,
        leaves,
        changes: Vec::new(),
        saves: BTreeMap::new(),
        kept: Vec::new(),
        submodules: Vec::new(),
        warnings: Vec::new(),
    };
    for (path, (before, after)) in differing {
        observer.path(path, before, after)?;
    }
    observer.directories_in_the_way()?;
    observer.kept_in_the_way()?;
    let saves = observer.named_saves()?;
    Ok(ObservedActivation {
        activation: Activation { changes: observer.changes, artifacts, saves, kept: observer.kept },
        submodules: observer.submodules,
        edited_submodules,
        warnings: observer.warnings,
    })
}

/// The submodule of a commit that is at a path or above it.
fn submodule_of(git: &Git, commit: &Oid, path: &RepoPath) -> Result<Option<RepoPath>, LayoutError> {
    for place in std::iter::once(path.clone()).chain(above(path)) {
        if let Some(entry) = git.entry(commit, &place)? {
            return Ok(Some(place).filter(|_| entry.mode == TreeMode::Submodule));
        }
    }
    Ok(None)
}

/// Which of `outputs` a commit tracks, itself or something in it, or has a file or link above: an artifact
/// there would fight with the tree.
///
/// # Errors
/// When the tree cannot be read.
pub fn tracked_outputs(
    git: &Git,
    commit: &Oid,
    outputs: &[RepoPath],
) -> Result<Vec<RepoPath>, LayoutError> {
    let entries = git.entries(commit)?;
    Ok(outputs
        .iter()
        .filter(|output| {
            entries.iter().any(|(path, _)| path.starts_with(output) || output.starts_with(path))
        })
        .cloned()
        .collect())
}

struct Observer<'a> {
    git: &'a Git,
    top: Beneath,
    /// What HEAD is, where someone moved it away from what is left.
    head: Option<&'a Oid>,
    edited: BTreeSet<&'a RepoPath>,
    local: &'a LocalFiles<'a>,
    environment: &'a [RepoPath],
    /// Artifacts that only leave: what is in them is not in the way.
    leaving: Vec<RepoPath>,
    /// Tracked paths that the target lacks.
    leaves: BTreeSet<RepoPath>,
    changes: Vec<PathChange>,
    /// What is saved; whether it is tracked.
    saves: BTreeMap<RepoPath, bool>,
    kept: Vec<Keep>,
    submodules: Vec<RepoPath>,
    warnings: Vec<String>,
}

impl Observer<'_> {
    fn path(
        &mut self,
        path: RepoPath,
        before: Option<TreeEntry>,
        after: Option<TreeEntry>,
    ) -> Result<(), LayoutError> {
        let module =
            |e: &Option<TreeEntry>| e.as_ref().map(|e| e.mode) == Some(TreeMode::Submodule);
        if module(&before) || module(&after) {
            self.submodules.push(path);
            return Ok(());
        }
        let lying = self.look(&path)?;
        let right = match (&lying, &after) {
            (Some((spot, found)), Some(after)) => is_entry(self.git, spot, found, after)?,
            // A directory in the place of a file that goes: the file is gone already.
            (Some((_, found)), None) => found.kind == FileKind::Directory,
            (None, after) => after.is_none(),
        };
        if right {
            // Right already because someone moved HEAD there by hand: the way back still leads to `from`.
            let moved = self
                .head
                .is_some_and(|head| self.git.entry(head, &path).is_ok_and(|entry| entry == after));
            if moved && !self.edited.contains(&path) && before != after {
                self.changes.push(PathChange { path, before, after, lying: None });
            }
            return Ok(());
        }
        let edited = self.edited.contains(&path);
        let in_head = |head| self.git.entry(head, &path).is_ok_and(|entry| entry.is_some());
        let tracked = before.is_some() || self.head.is_some_and(in_head);
        if self.local.matches(&path) && (edited || (!tracked && lying.is_some())) {
            self.kept.push(Keep { path, why: "local".to_owned() });
            return Ok(());
        }
        if lying.is_some() && self.stays_as_environment(&path, tracked, edited, after.is_some()) {
            self.warnings.push(match after {
                Some(_) => format!("the target tracks {path}: the file on this host stays"),
                None => format!("the target no longer tracks {path}: the file on this host stays"),
            });
            self.kept.push(Keep { path, why: "environment".to_owned() });
            return Ok(());
        }
        let Some((spot, found)) = lying else {
            self.changes.push(PathChange { path, before: None, after, lying: None });
            return Ok(());
        };
        let in_the_way = match found.kind {
            FileKind::Directory => self.holds_more_than_leaves(&path, &spot)?,
            _ => edited || !tracked,
        };
        if in_the_way {
            self.saves.insert(path.clone(), tracked);
        }
        let lying = self.head.and_then(|head| self.git.entry(head, &path).ok().flatten());
        let lying = lying.filter(|lying| !in_the_way && Some(lying) != before.as_ref());
        self.changes.push(PathChange { path, before, after, lying });
        Ok(())
    }

    /// The live environment file is never replaced or removed by a tree that disagrees about tracking it.
    fn stays_as_environment(
        &self,
        path: &RepoPath,
        tracked: bool,
        edited: bool,
        comes: bool,
    ) -> bool {
        let name = path.as_path().file_name().unwrap_or_default().as_encoded_bytes();
        let declared = self.environment.contains(path);
        if !tracked {
            return declared || name == b".env" || name.starts_with(b".env.");
        }
        if comes { declared && edited } else { declared || name == b".env" }
    }

    /// Whether a directory, where the target has a file, holds anything but tracked files that go.
    fn holds_more_than_leaves(
        &self,
        path: &RepoPath,
        spot: &DirEntryAt,
    ) -> Result<bool, LayoutError> {
        let names = spot.names().at(spot.path())?;
        if names.is_empty() {
            return Ok(true);
        }
        for name in names {
            let Ok(inner) = path.join(&name) else {
                return Ok(true);
            };
            let Some((spot, found)) = self.look(&inner)? else {
                continue;
            };
            let more = match found.kind {
                FileKind::Directory => self.holds_more_than_leaves(&inner, &spot)?,
                _ => !self.leaves.contains(&inner),
            };
            if more {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Files that lie where the target needs a directory are saved; links there are refused.
    fn directories_in_the_way(&mut self) -> Result<(), LayoutError> {
        let needed: BTreeSet<RepoPath> = self
            .changes
            .iter()
            .filter(|c| c.after.is_some())
            .flat_map(|c| above(&c.path))
            .collect();
        for dir in needed {
            let Some((_, found)) = self.look(&dir)? else {
                continue;
            };
            if found.kind == FileKind::Directory || self.leaves.contains(&dir) {
                continue;
            }
            if found.kind == FileKind::Symlink {
                return Err(refused(
                    &dir,
                    "is a symbolic link where the target has a directory; gitroll does not follow \
                     it (list it under `local` in [app] to keep it and ignore the target's files below it)",
                ));
            }
            self.saves.insert(dir, false);
        }
        Ok(())
    }

    /// A file that is kept cannot lie below or above one that comes.
    fn kept_in_the_way(&self) -> Result<(), LayoutError> {
        let clash = self.kept.iter().map(|k| &k.path).find(|kept| {
            let comes = |path: &RepoPath| path.starts_with(kept) || kept.starts_with(path);
            self.changes.iter().any(|c| c.after.is_some() && comes(&c.path))
        });
        match clash {
            Some(kept) => Err(refused(kept, "is local, but the target needs its path")),
            None => Ok(()),
        }
    }

    /// The saves with their kind, none below another.
    fn named_saves(&self) -> Result<Vec<Save>, LayoutError> {
        let outermost: Vec<(&RepoPath, bool)> = self
            .saves
            .iter()
            .filter(|(path, _)| !above(path).iter().any(|dir| self.saves.contains_key(dir)))
            .map(|(path, tracked)| (path, *tracked))
            .collect();
        let untracked: Vec<RepoPath> =
            outermost.iter().filter(|(_, tracked)| !tracked).map(|(p, _)| (*p).clone()).collect();
        let ignored = if untracked.is_empty() {
            BTreeSet::new()
        } else {
            self.git.ignored(&untracked)?.into_iter().collect()
        };
        let what = |path: &RepoPath, tracked: bool| match tracked {
            true => "edited",
            false if ignored.contains(path) => "ignored",
            false => "untracked",
        };
        Ok(outermost
            .into_iter()
            .map(|(path, tracked)| Save {
                path: path.clone(),
                what: what(path, tracked).to_owned(),
            })
            .collect())
    }

    /// What is at `path` itself; nothing where it is below a link or in an artifact that leaves.
    fn look(&self, path: &RepoPath) -> Result<Option<(DirEntryAt, FileStat)>, LayoutError> {
        if self.leaving.iter().any(|output| path.starts_with(output)) {
            return Ok(None);
        }
        let spot = match self.top.entry(path) {
            Err(error) if files::is_symbolic_link_error(&error) => return Ok(None),
            spot => spot.at(path.as_path())?,
        };
        let Some(spot) = spot else {
            return Ok(None);
        };
        Ok(spot.find().at(spot.path())?.map(|found| (spot, found)))
    }
}
