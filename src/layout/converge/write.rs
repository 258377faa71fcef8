//! Tracked files come in by rename, and only when the bytes of all of them are on the disk.

use std::io;

use super::super::content::{AtPath as _, is_entry, make_entry, refused};
use super::super::in_place::LayoutError;
use super::super::later::{is_in_the_way, put_later};
use super::{CHANGED, Converge, Goal};
use crate::model::{PathChange, TreeEntry};
use crate::system::failpoint;
use crate::system::files::{self, DirEntryAt, FileKind};

impl<'a> Converge<'a> {
    /// Writes what `wanted` says of each change. The bytes of all of them are on the disk before the first gets
    /// its name: after a power cut a tracked path still holds what was before, what comes after, or nothing.
    pub(super) fn write_all(
        &self,
        goal: Goal,
        wanted: impl Fn(&'a PathChange) -> Option<&'a TreeEntry>,
    ) -> Result<(), LayoutError> {
        let mut missing = Vec::new();
        for (number, change) in self.changes().enumerate() {
            if let Some(entry) = wanted(change)
                && !self.is_in_place(change, entry)?
            {
                self.make_temporary(number, entry)?;
                missing.push((number, change, entry));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        files::sync_file_system(&self.places.temporary).at(&self.places.temporary)?;
        failpoint::pass("tree staged").at(&self.places.temporary)?;
        for (number, change, entry) in missing {
            let other = match goal {
                Goal::Forward => change.before.as_ref(),
                Goal::Back => change.after.as_ref(),
            };
            self.write(number, change, entry, other, goal)?;
        }
        failpoint::pass("tree written").at(&self.places.temporary)
    }

    fn is_in_place(&self, change: &PathChange, wanted: &TreeEntry) -> Result<bool, LayoutError> {
        match self.look(&change.path)? {
            Some((spot, found)) => is_entry(self.git, &spot, &found, wanted),
            None => Ok(false),
        }
    }

    fn temporary(&self, number: usize) -> Result<DirEntryAt, LayoutError> {
        let path = self.places.temporary.join(format!("file-{number}"));
        DirEntryAt::try_from(path.as_path()).at(&path)
    }

    fn make_temporary(&self, number: usize, wanted: &TreeEntry) -> Result<(), LayoutError> {
        let temporary = self.temporary(number)?;
        temporary.remove_file().at(temporary.path())?;
        make_entry(self.git, &temporary, wanted)
    }

    fn write(
        &self,
        number: usize,
        change: &PathChange,
        wanted: &TreeEntry,
        other: Option<&TreeEntry>,
        goal: Goal,
    ) -> Result<(), LayoutError> {
        let path = &change.path;
        let spot = match (goal, self.top.entry_with_parents(path)) {
            (Goal::Back, Err(error)) if is_in_the_way(&error) => self.made_by_force(path)?,
            (Goal::Forward, Err(error)) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(refused(path, "lies below something that is no directory"));
            }
            (_, spot) => spot.at(self.git.top().join(path.as_path()))?,
        };
        if let Some(found) = spot.find().at(spot.path())? {
            let ours = match other {
                Some(other) => is_entry(self.git, &spot, &found, other)?,
                None => false,
            };
            let gone =
                found.kind == FileKind::Directory && spot.remove_empty_dir().at(spot.path())?;
            if !ours && !gone {
                match goal {
                    Goal::Forward => return Err(refused(path, CHANGED)),
                    Goal::Back => put_later(&self.top, self.places, path)?,
                }
            }
        }
        self.rename_in(number, &spot, wanted)
    }

    fn rename_in(
        &self,
        number: usize,
        spot: &DirEntryAt,
        wanted: &TreeEntry,
    ) -> Result<(), LayoutError> {
        let temporary = self.temporary(number)?;
        match temporary.rename(spot) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
            renamed => return renamed.at(spot.path()),
        }
        // The tree, or this part of it, is on another file system.
        temporary.remove_file().at(temporary.path())?;
        let temporary = self.temporary_beside(spot, &number.to_string())?;
        make_entry(self.git, &temporary, wanted)?;
        temporary.sync_file().at(temporary.path())?;
        temporary.rename(spot).at(spot.path())
    }
}
