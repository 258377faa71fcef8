//! Making the tree what it should be, forward and back, from whatever state an earlier try left.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::artifacts::{Goal, Swap, fit_incoming};
use super::baseline::Baseline;
use super::entry::{
    AtPath as _, LayoutError, RunPlaces, above, is_entry, is_in_the_way, make_entry_with,
    put_later, refused,
};
use super::rights;
use crate::build::Store;
use crate::model::{Activation, ArtifactMove, PathChange, RepoPath, TreeEntry};
use crate::system::failpoint;
use crate::system::files::{self, Access, Beneath, DirEntryAt, FileKind, FileStat};
use crate::system::git::Git;

/// Makes the work tree and artifacts those of the target ("after"). Paths not named in `activation` are
/// never touched; what is right already is not written; may be killed anywhere and run again.
///
/// Order: artifacts that only leave, saved what is in the way, delete, write, swap artifacts, one
/// `syncfs`.
///
/// # Errors
/// The first failure; nothing is undone here.
pub fn converge_forward(
    git: &Git,
    store: &Store,
    places: &RunPlaces,
    activation: &Activation,
) -> Result<(), LayoutError> {
    let mut converge = Converge::begin(git, store, places, activation)?;
    if let Some(output) = converge.changed(Goal::Forward)?.first() {
        return Err(refused(output, "was changed since it was built"));
    }
    // What only leaves goes first, what comes in last: tracked files may take or free its place.
    converge.settle(Goal::Forward, |a| a.incoming.is_none())?;
    for save in &activation.saves {
        converge.put_aside(&save.path)?;
    }
    for change in converge.changes().rev().filter(|c| c.after.is_none()) {
        converge.delete(change)?;
    }
    converge.remove_deserted_directories()?;
    converge.write_all(Goal::Forward, |change| change.after.as_ref())?;
    converge.settle(Goal::Forward, |a| a.incoming.is_some())?;
    converge.finish()
}

/// Makes the work tree and artifacts those before: the inverse of [`converge_forward`], from wherever it
/// stopped, local edits and untracked files back in place. May be killed anywhere and run again.
///
/// What someone else put in the way since (the new version's own data, say) is not lost: it is moved to
/// `<state>/saved/<run>-later`.
///
/// Returns the artifacts that someone edited since they were built: they go back as they are, and no longer
/// stand for their keys.
///
/// # Errors
/// The first failure.
pub fn converge_back(
    git: &Git,
    store: &Store,
    places: &RunPlaces,
    activation: &Activation,
) -> Result<Vec<RepoPath>, LayoutError> {
    match Converge::begun(git, store, places, activation)? {
        Some(converge) => converge.back(),
        // Nothing was changed; the place for temporary files may be there already.
        None => match std::fs::remove_dir_all(&places.temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).at(&places.temporary)
            }
            _ => Ok(Vec::new()),
        },
    }
}

/// One activation on its way.
///
/// Every change looks first at what is there. A tracked path can only hold what was before, what comes
/// after, or nothing, since files come in by rename. Anything else was put there by someone else: on the
/// way forward that ends the run, on the way back it is saved, so that the way back always gets through.
struct Converge<'a> {
    git: &'a Git,
    store: &'a Store,
    places: &'a RunPlaces,
    activation: &'a Activation,
    top: Beneath,
    baseline: Baseline,
}

impl<'a> Converge<'a> {
    /// Writes down how things lie, if no earlier try did.
    fn begin(
        git: &'a Git,
        store: &'a Store,
        places: &'a RunPlaces,
        activation: &'a Activation,
    ) -> Result<Self, LayoutError> {
        files::make_private_dir(&places.temporary).at(&places.temporary)?;
        let top = Beneath::open(git.top()).at(git.top())?;
        let baseline = match Baseline::read(places)? {
            Some(baseline) => baseline,
            None => {
                fit_incoming(&top, store, activation)?;
                let baseline = Baseline::observe(&top, store, activation)?;
                baseline.write(places)?;
                baseline
            }
        };
        Ok(Self::with(git, store, places, activation, top, baseline))
    }

    /// What an earlier try began; `None` if none changed anything.
    fn begun(
        git: &'a Git,
        store: &'a Store,
        places: &'a RunPlaces,
        activation: &'a Activation,
    ) -> Result<Option<Self>, LayoutError> {
        let Some(baseline) = Baseline::read(places)? else {
            return Ok(None);
        };
        files::make_private_dir(&places.temporary).at(&places.temporary)?;
        let top = Beneath::open(git.top()).at(git.top())?;
        Ok(Some(Self::with(git, store, places, activation, top, baseline)))
    }

    fn with(
        git: &'a Git,
        store: &'a Store,
        places: &'a RunPlaces,
        activation: &'a Activation,
        top: Beneath,
        baseline: Baseline,
    ) -> Self {
        Self { git, store, places, activation, top, baseline }
    }

    fn back(mut self) -> Result<Vec<RepoPath>, LayoutError> {
        let activation = self.activation;
        let changed = self.changed(Goal::Back)?;
        self.sweep()?;
        self.settle(Goal::Back, |a| a.incoming.is_some())?;
        for change in self.changes().rev().filter(|c| c.after.is_some()) {
            if self.must_clear(change)? {
                self.clear(change)?;
            }
        }
        for dir in self.baseline.made.iter().rev() {
            // One that is a link or a file again holds nothing of ours.
            if let Ok(Some(spot)) = self.top.entry(dir) {
                spot.remove_empty_dir().at(spot.path())?;
            }
        }
        for save in &activation.saves {
            self.restore(&save.path)?;
        }
        self.write_all(Goal::Back, |change| {
            change.before.as_ref().filter(|_| self.covering_save(&change.path).is_none())
        })?;
        self.settle(Goal::Back, |a| a.incoming.is_none())?;
        self.finish()?;
        files::remove_empty_directories(&self.places.saved).at(&self.places.saved)?;
        Ok(changed)
    }

    fn changes(&self) -> impl DoubleEndedIterator<Item = &'a PathChange> + use<'a> {
        let kept: BTreeSet<&RepoPath> = self.activation.kept.iter().map(|k| &k.path).collect();
        self.activation.changes.iter().filter(move |c| !kept.contains(&c.path))
    }

    fn settle(
        &mut self,
        goal: Goal,
        which: impl Fn(&ArtifactMove) -> bool,
    ) -> Result<(), LayoutError> {
        for change in self.activation.artifacts.iter().filter(|a| which(a)) {
            self.swap(change, goal).settle()?;
        }
        Ok(())
    }

    /// The artifacts that shall be live and that someone edited since they were built.
    fn changed(&mut self, goal: Goal) -> Result<Vec<RepoPath>, LayoutError> {
        let mut changed = Vec::new();
        for change in &self.activation.artifacts {
            if self.swap(change, goal).is_changed()? {
                changed.push(change.output.clone());
            }
        }
        Ok(changed)
    }

    fn swap<'s>(&'s mut self, change: &'s ArtifactMove, goal: Goal) -> Swap<'s> {
        let (top, store, places) = (&self.top, self.store, self.places);
        Swap { top, store, places, baseline: &mut self.baseline, change, goal }
    }

    // ---- forward

    /// Renames what is at `path` to the saved files, if it is what lay there when the run began.
    fn put_aside(&self, path: &RepoPath) -> Result<(), LayoutError> {
        let planned = self.baseline.saves.iter().find(|(p, _)| p == path).map(|(_, id)| *id);
        let Some((spot, found)) = self.look(path)? else {
            return Ok(());
        };
        if planned != Some(found.identity) {
            return Ok(());
        }
        let saved =
            self.saved()?.entry_with_parents(path).at(self.places.saved.join(path.as_path()))?;
        if saved.find().at(saved.path())?.is_none() {
            match spot.rename_to_free(&saved) {
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
                renamed => return renamed.at(spot.path()),
            }
            self.copy(&spot, &saved)?;
        }
        // Another file system: the copy is whole and durable, else it would not have its name. Its name is
        // made durable too, before the last other copy goes.
        saved.sync_file_system().at(saved.path())?;
        spot.remove_tree().at(spot.path())
    }

    fn delete(&self, change: &PathChange) -> Result<(), LayoutError> {
        let path = &change.path;
        let Some((spot, found)) = self.look(path)? else {
            return Ok(());
        };
        if found.kind == FileKind::Directory {
            // Not the tracked file: that is gone already.
            return Ok(());
        }
        for known in change.before.iter().chain(&change.lying) {
            if is_entry(self.git, &spot, &found, known)? {
                return spot.remove_file().at(spot.path());
            }
        }
        Err(refused(path, CHANGED))
    }

    /// Directories that lost their last file go, as git does it, unless something comes into them.
    fn remove_deserted_directories(&self) -> Result<(), LayoutError> {
        let mut needed: BTreeSet<RepoPath> = BTreeSet::new();
        let kept = self.activation.kept.iter().map(|k| &k.path);
        for path in self.changes().filter(|c| c.after.is_some()).map(|c| &c.path).chain(kept) {
            needed.extend(above(path));
        }
        for artifact in &self.activation.artifacts {
            needed.insert(artifact.output.clone());
            needed.extend(above(&artifact.output));
        }
        let deserted: BTreeSet<RepoPath> = self
            .changes()
            .filter(|c| c.after.is_none())
            .flat_map(|c| above(&c.path))
            .filter(|dir| !needed.contains(dir))
            .collect();
        for dir in deserted.iter().rev() {
            if let Some((spot, found)) = self.look(dir)?
                && found.kind == FileKind::Directory
            {
                spot.remove_empty_dir().at(spot.path())?;
            }
        }
        Ok(())
    }

    // ---- back

    /// Whether what this change put in place must go before the saved file comes back or because nothing
    /// was there.
    fn must_clear(&self, change: &PathChange) -> Result<bool, LayoutError> {
        match self.covering_save(&change.path) {
            // Not in the saved files: never saved, or already back where it was.
            Some(save) => Ok(self.saved_spot(save)?.is_some()),
            None => Ok(change.before.is_none()),
        }
    }

    fn clear(&self, change: &PathChange) -> Result<(), LayoutError> {
        let Some((spot, found)) = self.look(&change.path)? else {
            return Ok(());
        };
        match &change.after {
            Some(after) if is_entry(self.git, &spot, &found, after)? => {
                spot.remove_file().at(spot.path())
            }
            _ if found.kind == FileKind::Directory => Ok(()),
            _ => put_later(&self.top, self.places, &change.path),
        }
    }

    /// Renames a saved file back to where it was.
    fn restore(&self, path: &RepoPath) -> Result<(), LayoutError> {
        let Some(saved) = self.saved_spot(path)? else {
            return Ok(());
        };
        let spot = self.made_by_force(path)?;
        if let Some(found) = spot.find().at(spot.path())? {
            let kept = saved.find().at(saved.path())?;
            if same_plain_file(&spot, &found, &saved, kept.as_ref()).at(spot.path())? {
                // Copied back by an earlier try, from another file system.
                return saved.remove_file().at(saved.path());
            }
            put_later(&self.top, self.places, path)?;
        }
        match saved.rename_to_free(&spot) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let part = self.temporary_beside(&spot, "restore")?;
                saved.copy(&part).at(part.path())?;
                part.sync_file_system().at(part.path())?;
                part.rename_to_free(&spot).at(spot.path())?;
                spot.sync_file_system().at(spot.path())?;
                saved.remove_tree().at(saved.path())
            }
            renamed => renamed.at(spot.path()),
        }
    }

    fn covering_save(&self, path: &RepoPath) -> Option<&RepoPath> {
        self.activation.saves.iter().map(|s| &s.path).find(|save| path.starts_with(save))
    }

    /// The place of `path`; whatever is in the way of a directory there is saved.
    fn made_by_force(&self, path: &RepoPath) -> Result<DirEntryAt, LayoutError> {
        for dir in above(path).into_iter().rev() {
            if let Some(found) = self.top.find(&dir).at(dir.as_path())?
                && found.kind != FileKind::Directory
            {
                put_later(&self.top, self.places, &dir)?;
            }
        }
        self.top.entry_with_parents(path).at(path.as_path())
    }

    // ---- both

    /// A free name beside `spot`; what an earlier try left there is removed.
    fn temporary_beside(&self, spot: &DirEntryAt, name: &str) -> Result<DirEntryAt, LayoutError> {
        let name = format!(".gitroll-{}-{name}", self.places.run);
        let temporary = spot.beside(&name).at(spot.path())?;
        temporary.remove_tree().at(temporary.path())?;
        Ok(temporary)
    }

    /// Copies what is at `from` to `to`, which gets its name only when all of it is durable.
    fn copy(&self, from: &DirEntryAt, to: &DirEntryAt) -> Result<(), LayoutError> {
        let part = self.places.temporary.join("save");
        let part = DirEntryAt::try_from(part.as_path()).at(&part)?;
        part.remove_tree().at(part.path())?;
        from.copy(&part).at(from.path())?;
        files::sync_file_system(&self.places.temporary).at(&self.places.temporary)?;
        part.rename_to_free(to).at(to.path())
    }

    /// What is at `path`; nothing where a directory on the way is a link, for then the tracked path
    /// itself is not there.
    fn look(&self, path: &RepoPath) -> Result<Option<(DirEntryAt, FileStat)>, LayoutError> {
        let spot = match self.top.entry(path) {
            Err(error) if files::is_symbolic_link_error(&error) => return Ok(None),
            spot => spot.at(path.as_path())?,
        };
        let Some(spot) = spot else {
            return Ok(None);
        };
        Ok(spot.find().at(spot.path())?.map(|found| (spot, found)))
    }

    fn saved(&self) -> Result<Beneath, LayoutError> {
        let saved = &self.places.saved;
        files::make_private_dir(saved).at(saved)?;
        Beneath::open(saved).at(saved)
    }

    /// The place of a saved file, where there is one.
    fn saved_spot(&self, path: &RepoPath) -> Result<Option<DirEntryAt>, LayoutError> {
        if !self.places.saved.is_dir() {
            return Ok(None);
        }
        let Some(spot) = self.saved()?.entry(path).at(&self.places.saved)? else {
            return Ok(None);
        };
        Ok(spot.find().at(spot.path())?.map(|_| spot))
    }

    /// Removes the temporary files that a killed try left in the tree.
    fn sweep(&self) -> Result<(), LayoutError> {
        for (number, change) in self.changes().enumerate() {
            let spot = match self.top.entry(&change.path) {
                Err(error) if files::is_symbolic_link_error(&error) => None,
                spot => spot.at(change.path.as_path())?,
            };
            if let Some(spot) = spot {
                self.temporary_beside(&spot, &number.to_string())?;
            }
        }
        Ok(())
    }

    /// Leaves no temporary files and makes everything durable.
    fn finish(&self) -> Result<(), LayoutError> {
        self.sweep()?;
        let temporary = &self.places.temporary;
        std::fs::remove_dir_all(temporary).at(temporary)?;
        let (top, state) = (self.git.top(), self.places.temporary.parent().unwrap_or(temporary));
        files::sync_file_system(top).at(top)?;
        if top.metadata().at(top)?.dev() != state.metadata().at(state)?.dev() {
            files::sync_file_system(state).at(state)?;
        }
        Ok(())
    }
}

/// Tracked files come in by rename, and only when the bytes of all of them are on the disk.
impl<'a> Converge<'a> {
    /// Writes what `wanted` says of each change. The bytes of all of them are on the disk before the first gets
    /// its name: after a power cut a tracked path still holds what was before, what comes after, or nothing.
    fn write_all(
        &self,
        goal: Goal,
        wanted: impl Fn(&'a PathChange) -> Option<&'a TreeEntry>,
    ) -> Result<(), LayoutError> {
        let mut missing = Vec::new();
        for (number, change) in self.changes().enumerate() {
            let Some(entry) = wanted(change) else { continue };
            let access = self.access(change, entry, goal)?;
            if self.is_in_place(change, entry, access.as_ref())? {
                continue;
            }
            let mut one = Incoming { number, change, entry, access, own_group: true };
            self.make_temporary(&mut one)?;
            missing.push(one);
        }
        if missing.is_empty() {
            return Ok(());
        }
        files::sync_file_system(&self.places.temporary).at(&self.places.temporary)?;
        failpoint::pass("tree staged").at(&self.places.temporary)?;
        for one in &missing {
            self.write(one, goal)?;
        }
        failpoint::pass("tree written").at(&self.places.temporary)
    }

    /// Who may do what with a file that is put in place.
    fn access(
        &self,
        change: &PathChange,
        entry: &TreeEntry,
        goal: Goal,
    ) -> Result<Option<Access>, LayoutError> {
        match (self.baseline.access.get(&change.path), goal) {
            (Some(known), Goal::Forward) => Ok(known.after.clone()),
            (Some(known), Goal::Back) => Ok(known.before.clone()),
            (None, _) => rights::now(&self.top, &change.path, entry),
        }
    }

    /// Whether the right bytes lie there. Who may do what with them is put right on the spot.
    fn is_in_place(
        &self,
        change: &PathChange,
        wanted: &TreeEntry,
        access: Option<&Access>,
    ) -> Result<bool, LayoutError> {
        let Some((spot, found)) = self.look(&change.path)? else { return Ok(false) };
        if !is_entry(self.git, &spot, &found, wanted)? {
            return Ok(false);
        }
        if let Some(access) = access {
            spot.give(access).at(spot.path())?;
        }
        Ok(true)
    }

    fn temporary(&self, number: usize) -> Result<DirEntryAt, LayoutError> {
        let path = self.places.temporary.join(format!("file-{number}"));
        DirEntryAt::try_from(path.as_path()).at(&path)
    }

    fn make_temporary(&self, one: &mut Incoming<'_>) -> Result<(), LayoutError> {
        let temporary = self.temporary(one.number)?;
        temporary.remove_file().at(temporary.path())?;
        one.own_group = make_entry_with(self.git, &temporary, one.entry, one.access.as_ref())?;
        Ok(())
    }

    fn write(&self, one: &Incoming<'_>, goal: Goal) -> Result<(), LayoutError> {
        let path = &one.change.path;
        let other = match goal {
            Goal::Forward => one.change.before.as_ref(),
            Goal::Back => one.change.after.as_ref(),
        };
        let others = [other, one.change.lying.as_ref()];
        let spot = match (goal, self.top.entry_with_parents(path)) {
            (Goal::Back, Err(error)) if is_in_the_way(&error) => self.made_by_force(path)?,
            (Goal::Forward, Err(error)) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(refused(path, "is below something that is not a directory"));
            }
            (_, spot) => spot.at(self.git.top().join(path.as_path()))?,
        };
        if let Some(found) = spot.find().at(spot.path())? {
            let mut ours = false;
            for other in others.into_iter().flatten() {
                ours |= is_entry(self.git, &spot, &found, other)?;
            }
            let gone =
                found.kind == FileKind::Directory && spot.remove_empty_dir().at(spot.path())?;
            if !ours && !gone {
                match goal {
                    Goal::Forward => return Err(refused(path, CHANGED)),
                    Goal::Back => put_later(&self.top, self.places, path)?,
                }
            }
        }
        self.rename_in(one, &spot)
    }

    fn rename_in(&self, one: &Incoming<'_>, spot: &DirEntryAt) -> Result<(), LayoutError> {
        let temporary = self.temporary(one.number)?;
        if one.own_group {
            match temporary.rename(spot) {
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
                renamed => return renamed.at(spot.path()),
            }
        }
        // The tree, or this part of it, is on another file system; or the file shall be in a group that this
        // user cannot give it, and the directory can.
        temporary.remove_file().at(temporary.path())?;
        let temporary = self.temporary_beside(spot, &one.number.to_string())?;
        make_entry_with(self.git, &temporary, one.entry, one.access.as_ref())?;
        temporary.sync_file().at(temporary.path())?;
        temporary.rename(spot).at(spot.path())
    }
}

/// One tracked file on its way into the tree.
struct Incoming<'a> {
    number: usize,
    change: &'a PathChange,
    entry: &'a TreeEntry,
    access: Option<Access>,
    /// Whether the temporary file is in the group that it shall be in.
    own_group: bool,
}

const CHANGED: &str = "changed since the plan was made; plan again";

fn same_plain_file(
    a: &DirEntryAt,
    found: &FileStat,
    b: &DirEntryAt,
    other: Option<&FileStat>,
) -> io::Result<bool> {
    let plain = other.is_some_and(|other| {
        (other.kind, found.kind) == (FileKind::File, FileKind::File)
            && (other.mode, other.size) == (found.mode, found.size)
    });
    Ok(plain && a.read()? == b.read()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
