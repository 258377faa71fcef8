//! Built directories change places with the live ones, in one `RENAME_EXCHANGE` each, or in two renames where the
//! file system knows none.

use std::io;

use super::baseline::{ArtifactIds, Baseline};
use super::entry::{AtPath as _, LayoutError, RunPlaces, put_later, refused};
use super::rights;
use crate::build::{self, Store};
use crate::model::{Activation, ArtifactMove, BuildKey, RepoPath};
use crate::system::failpoint;
use crate::system::files::{self, Beneath, DirEntryAt, FileIdentity, PlaceAccess};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Forward,
    Back,
}

/// One artifact move on its way, forward or back.
///
/// An artifact is found by its identity, wherever an earlier try left it: in the live tree, in the
/// store under either key (an exchange puts what was live where the other came from), or beside the live
/// directory: there copies are made when the store is on another file system, and there what was live is saved
/// where two renames do the work of an exchange. What is live is made right first, then what left goes home.
pub(super) struct Swap<'a> {
    pub(super) top: &'a Beneath,
    pub(super) store: &'a Store,
    pub(super) places: &'a RunPlaces,
    pub(super) baseline: &'a mut Baseline,
    pub(super) change: &'a ArtifactMove,
    pub(super) goal: Goal,
}

/// The two artifacts of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Incoming,
    Outgoing,
}

/// Where an artifact can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Live,
    /// Beside the live one: a copy from another file system.
    Beside,
    /// Beside the live one, and live until it was renamed: this side, whatever its inode is called by now.
    Aside(Side),
    /// In the store, under the key of a side.
    Kept(Side),
}

impl Swap<'_> {
    /// Makes the live directory the wanted one and keeps the other in the store. Doing it twice, or after
    /// a kill at any point, is harmless.
    pub(super) fn settle(mut self) -> Result<(), LayoutError> {
        if self.change.incoming == self.change.outgoing {
            return Ok(());
        }
        self.remove_unfinished_copy()?;
        self.clear_stranger()?;
        self.bring()?;
        self.take_home()?;
        self.remove_surplus_copy()?;
        let output = &self.change.output;
        for key in [&self.change.incoming, &self.change.outgoing].into_iter().flatten() {
            self.store.tidy(key, output).at(self.store.place(key, output))?;
        }
        // Edited by someone, it is no longer what its key stands for.
        let changed = self.goal == Goal::Back && self.is_changed()?;
        let key = self.key(self.wanted()).filter(|_| !changed);
        self.store.note_live(self.top.path(), output, key).at(&self.store.dir)
    }

    /// Whether someone edited what this move wants live since it was built, wherever an earlier try left it.
    pub(super) fn is_changed(&self) -> Result<bool, LayoutError> {
        let side = self.wanted();
        let places = [
            Place::Live,
            Place::Beside,
            Place::Aside(side),
            Place::Kept(side),
            Place::Kept(self.leaving()),
        ];
        match (self.key(side), self.find(side, &places)?) {
            (Some(key), Some((_, spot))) => {
                self.store.is_changed(key, &self.change.output, &spot).at(spot.path())
            }
            _ => Ok(false),
        }
    }

    fn wanted(&self) -> Side {
        match self.goal {
            Goal::Forward => Side::Incoming,
            Goal::Back => Side::Outgoing,
        }
    }

    fn leaving(&self) -> Side {
        match self.goal {
            Goal::Forward => Side::Outgoing,
            Goal::Back => Side::Incoming,
        }
    }

    fn key(&self, side: Side) -> Option<&BuildKey> {
        match side {
            Side::Incoming => self.change.incoming.as_ref(),
            Side::Outgoing => self.change.outgoing.as_ref(),
        }
    }

    fn ids(&self) -> Option<&ArtifactIds> {
        self.baseline.artifacts.iter().find(|a| a.output == self.change.output)
    }

    fn is(&self, side: Side, identity: FileIdentity) -> bool {
        self.ids().is_some_and(|ids| match side {
            Side::Incoming => ids.incoming.contains(&identity),
            Side::Outgoing => ids.outgoing.contains(&identity),
        })
    }

    /// Whether this side was there at all when the run began.
    fn exists(&self, side: Side) -> bool {
        self.ids().is_some_and(|ids| match side {
            Side::Incoming => !ids.incoming.is_empty(),
            Side::Outgoing => !ids.outgoing.is_empty(),
        })
    }

    /// Written down before the copy takes part in anything.
    fn remember(&mut self, side: Side, identity: FileIdentity) -> Result<(), LayoutError> {
        let output = &self.change.output;
        if let Some(ids) = self.baseline.artifacts.iter_mut().find(|a| a.output == *output) {
            match side {
                Side::Incoming => ids.incoming.push(identity),
                Side::Outgoing => ids.outgoing.push(identity),
            }
        }
        self.baseline.write(self.places)
    }

    fn spot(&self, place: Place) -> Result<Option<DirEntryAt>, LayoutError> {
        let output = &self.change.output;
        match place {
            Place::Live => self.top.entry(output).at(output.as_path()),
            Place::Beside => self.beside(&self.copy_name()),
            Place::Aside(side) => self.beside(&self.name_aside(side)),
            Place::Kept(side) => match self.key(side) {
                Some(key) => {
                    let spot = self.store.spot(key, output);
                    Ok(Some(spot.at(self.store.place(key, output))?))
                }
                None => Ok(None),
            },
        }
    }

    fn beside(&self, name: &str) -> Result<Option<DirEntryAt>, LayoutError> {
        let output = &self.change.output;
        match self.top.entry(output).at(output.as_path())? {
            Some(live) => Ok(Some(live.beside(name).at(live.path())?)),
            None => Ok(None),
        }
    }

    fn identity(&self, place: Place) -> Result<Option<FileIdentity>, LayoutError> {
        match self.spot(place)? {
            Some(spot) => Ok(spot.find().at(spot.path())?.map(|found| found.identity)),
            None => Ok(None),
        }
    }

    /// The first of `places` where this side is.
    fn find(
        &self,
        side: Side,
        places: &[Place],
    ) -> Result<Option<(Place, DirEntryAt)>, LayoutError> {
        for &place in places {
            let there = self.identity(place)?;
            if there.is_some_and(|id| place == Place::Aside(side) || self.is(side, id))
                && let Some(spot) = self.spot(place)?
            {
                return Ok(Some((place, spot)));
            }
        }
        Ok(None)
    }

    fn copy_name(&self) -> String {
        let name = self.change.output.as_path().file_name().unwrap_or_default();
        format!(".gitroll-{}-{}", self.places.run, name.to_string_lossy())
    }

    fn name_aside(&self, side: Side) -> String {
        let which = match side {
            Side::Incoming => "new",
            Side::Outgoing => "old",
        };
        let name = self.change.output.as_path().file_name().unwrap_or_default();
        // No copy of another output is called so.
        format!(".gitroll-{}.{which}-{}", self.places.run, name.to_string_lossy())
    }

    /// What is live but neither side: on the way forward the plan no longer fits, on the way back it came
    /// after activation and is put where it is not lost.
    fn clear_stranger(&self) -> Result<(), LayoutError> {
        let Some(live) = self.identity(Place::Live)? else {
            return Ok(());
        };
        if self.is(Side::Incoming, live) || self.is(Side::Outgoing, live) {
            return Ok(());
        }
        let gone_already = self.find(self.leaving(), &[Place::Kept(self.leaving())])?.is_some();
        if !self.exists(self.wanted()) && (gone_already || !self.exists(self.leaving())) {
            // Something else has been made in the freed place; it is not in anyone's way.
            return Ok(());
        }
        match self.goal {
            Goal::Forward => {
                Err(refused(&self.change.output, "changed since the plan was made; plan again"))
            }
            Goal::Back => put_later(self.top, self.places, &self.change.output),
        }
    }

    fn bring(&mut self) -> Result<(), LayoutError> {
        let side = self.wanted();
        let Some(key) = self.key(side).filter(|_| self.exists(side)) else {
            return Ok(());
        };
        let key = key.to_string();
        if self.find(side, &[Place::Live])?.is_some() {
            return Ok(());
        }
        let elsewhere = [
            Place::Beside,
            Place::Aside(side),
            Place::Kept(Side::Incoming),
            Place::Kept(Side::Outgoing),
        ];
        let Some((_, from)) = self.find(side, &elsewhere)? else {
            return Err(LayoutError::ArtifactGone(key));
        };
        let output = &self.change.output;
        let live = self.top.entry_with_parents(output).at(output.as_path())?;
        match self.put_in(&from, &live) {
            Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                let copy = self.copy_beside(&from, &live)?;
                if self.goal == Goal::Forward
                    && let Some(place) = place_of(self.top, output, &copy)?
                {
                    // The other file system may not know all of it.
                    build::fit(&copy, &place).at(copy.path())?;
                }
                let identity = copy.find().at(copy.path())?.map(|found| found.identity);
                self.seal_copy(side, &from, &copy)?;
                if let Some(identity) = identity {
                    self.remember(side, identity)?;
                }
                self.put_in(&copy, &live).at(live.path())
            }
            put => put.at(live.path()),
        }
    }

    /// Puts what is at `from` in the live place, and what is live there. Where that takes two renames, what
    /// was live is aside in between, and found there by whoever continues after a kill.
    fn put_in(&self, from: &DirEntryAt, live: &DirEntryAt) -> io::Result<()> {
        if live.find()?.is_none() {
            return from.rename_to_free(live);
        }
        match from.exchange(live) {
            Err(error) if files::knows_no_exchange(&error) => {}
            exchanged => return exchanged,
        }
        let aside = live.beside(self.name_aside(self.leaving()))?;
        live.rename_to_free(&aside)?;
        failpoint::pass("between renames")?;
        from.rename_to_free(live)
    }

    fn copy_beside(&self, from: &DirEntryAt, live: &DirEntryAt) -> Result<DirEntryAt, LayoutError> {
        let part = live.beside(format!("{}-part", self.copy_name())).at(live.path())?;
        part.remove_tree().at(part.path())?;
        from.copy(&part).at(part.path())?;
        // Whole on its disk before it is written down, on another disk, that it is whole.
        part.sync_file_system().at(part.path())?;
        let copy = live.beside(self.copy_name()).at(live.path())?;
        copy.remove_tree().at(copy.path())?;
        part.rename_to_free(&copy).at(copy.path())?;
        Ok(copy)
    }

    fn take_home(&mut self) -> Result<(), LayoutError> {
        let side = self.leaving();
        let home = Place::Kept(side);
        let Some(to) = self.spot(home)? else {
            return Ok(());
        };
        let nothing_comes = !self.exists(self.wanted());
        if self.find(side, &[home])?.is_some() {
            if nothing_comes && let Some((_, live)) = self.find(side, &[Place::Live])? {
                // The live one is a copy made from another file system; out of the way at once, then removed.
                let aside = live.beside(self.copy_name()).at(live.path())?;
                aside.remove_tree().at(aside.path())?;
                live.rename_to_free(&aside).at(live.path())?;
            }
            return Ok(());
        }
        let mut elsewhere = vec![Place::Aside(side), Place::Beside, Place::Kept(self.wanted())];
        if nothing_comes {
            elsewhere.push(Place::Live);
        }
        let Some((_, from)) = self.find(side, &elsewhere)? else {
            return Ok(());
        };
        // What was kept under the same key is a copy of what served; the one that served is kept.
        if let Some(key) = self.key(side) {
            self.store.put_aside(key, &self.change.output).at(&self.store.dir)?;
        }
        match from.rename_to_free(&to) {
            Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                self.copy_home(side, &from, &to)
            }
            renamed => renamed.at(to.path()),
        }
    }

    fn copy_home(
        &mut self,
        side: Side,
        from: &DirEntryAt,
        to: &DirEntryAt,
    ) -> Result<(), LayoutError> {
        let part = to.beside(format!("{}-part", self.copy_name())).at(to.path())?;
        part.remove_tree().at(part.path())?;
        from.copy(&part).at(part.path())?;
        files::sync_file_system(&self.store.dir).at(&self.store.dir)?;
        self.seal_copy(side, from, &part)?;
        part.rename_to_free(to).at(to.path())?;
        if let Some(found) = to.find().at(to.path())? {
            self.remember(side, found.identity)?;
        }
        from.remove_tree().at(from.path())
    }

    fn seal_copy(
        &self,
        side: Side,
        from: &DirEntryAt,
        copy: &DirEntryAt,
    ) -> Result<(), LayoutError> {
        match self.key(side) {
            Some(key) => {
                self.store.seal_copy(key, &self.change.output, from, copy).at(&self.store.dir)
            }
            None => Ok(()),
        }
    }

    /// A copy nobody wrote down was not finished.
    fn remove_unfinished_copy(&self) -> Result<(), LayoutError> {
        let Some(copy) = self.spot(Place::Beside)? else {
            return Ok(());
        };
        let part = copy.beside(format!("{}-part", self.copy_name())).at(copy.path())?;
        part.remove_tree().at(part.path())?;
        let found = copy.find().at(copy.path())?.map(|found| found.identity);
        if found.is_some_and(|id| !self.is(Side::Incoming, id) && !self.is(Side::Outgoing, id)) {
            copy.remove_tree().at(copy.path())?;
        }
        Ok(())
    }

    /// Both artifacts are where they belong now; what is of one of them beside the live directory is one too
    /// many.
    fn remove_surplus_copy(&self) -> Result<(), LayoutError> {
        if let Some(copy) = self.spot(Place::Beside)? {
            copy.remove_tree().at(copy.path())?;
        }
        let side = self.leaving();
        let is_home = self.find(side, &[Place::Kept(side)])?.is_some();
        if is_home && let Some(aside) = self.spot(Place::Aside(side))? {
            aside.remove_tree().at(aside.path())?;
        }
        Ok(())
    }
}

/// Makes the artifacts that come in what they would be had they been built in their places.
pub(super) fn fit_incoming(
    top: &Beneath,
    store: &Store,
    activation: &Activation,
) -> Result<(), LayoutError> {
    for change in activation.artifacts.iter().filter(|a| a.incoming != a.outgoing) {
        let (Some(key), output) = (&change.incoming, &change.output) else { continue };
        if !store.has(key, output) {
            continue;
        }
        store.seal_kept(key, output).at(&store.dir)?;
        let kept = store.spot(key, output).at(store.place(key, output))?;
        if let Some(place) = place_of(top, output, &kept)? {
            store.fit(key, output, &kept, &place).at(kept.path())?;
        }
    }
    Ok(())
}

/// Who may do what at the place of an output that `incoming` comes to.
fn place_of(
    top: &Beneath,
    output: &RepoPath,
    incoming: &DirEntryAt,
) -> Result<Option<PlaceAccess>, LayoutError> {
    let live = match top.entry(output) {
        Err(error) if files::is_symbolic_link_error(&error) => return Ok(None),
        spot => spot.at(output.as_path())?,
    };
    let kind = |spot: &DirEntryAt| -> Result<_, LayoutError> {
        Ok(spot.find().at(spot.path())?.map(|found| found.kind))
    };
    if let Some(live) = live
        && kind(&live)? == kind(incoming)?
        && let Some(access) = live.access().at(live.path())?
    {
        return Ok(Some(PlaceAccess::Of(access)));
    }
    Ok(Some(PlaceAccess::New(rights::Directories::of(top).above(output)?)))
}
