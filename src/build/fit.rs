//! An artifact on its way into place is made what it would be had it been built there: group, set-group-id bit,
//! ACLs, owner and label are those of its place. It was built elsewhere, in a directory of this user's own.

use std::io;

use super::Store;
use crate::model::{BuildKey, RepoPath};
use crate::system::files::{Access, DirEntryAt, FileKind, PlaceAccess};
use crate::system::{failpoint, umask};

impl Store {
    /// Gives the artifact at `spot` what its place has. Its seal is renewed, so that this is not an edit; one that was
    /// edited is left as it is. May be killed anywhere and run again.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn fit(
        &self,
        key: &BuildKey,
        output: &RepoPath,
        spot: &DirEntryAt,
        place: &PlaceAccess,
    ) -> io::Result<()> {
        let (Some(now), Some(found)) = (spot.access()?, spot.find()?) else { return Ok(()) };
        let wanted = now.fitted(place, umask::current(), found.kind == FileKind::Directory);
        let begun = self.is_being_fitted(key, output, spot)?;
        if (now.fits(&wanted) && !begun) || self.is_changed(key, output, spot)? {
            return Ok(());
        }
        self.begin_fitting(key, output, spot)?;
        fit(spot, place)?;
        failpoint::pass("artifact fitted")?;
        self.seal(key, output, spot, false)
    }
}

/// Gives what is at `spot`, and all below it, what its place has.
///
/// # Errors
/// Any I/O error.
pub fn fit(spot: &DirEntryAt, place: &PlaceAccess) -> io::Result<()> {
    let (Some(now), Some(found)) = (spot.access()?, spot.find()?) else { return Ok(()) };
    let directory = found.kind == FileKind::Directory;
    let wanted = now.fitted(place, umask::current(), directory);
    if directory {
        below(spot, &wanted)?;
    }
    // Last: where it is right, everything below is.
    if !now.fits(&wanted) {
        spot.give(&wanted)?;
    }
    Ok(())
}

fn below(dir: &DirEntryAt, access: &Access) -> io::Result<()> {
    for name in dir.names()? {
        let spot = dir.inside(&name)?;
        let Some(found) = spot.find()? else { continue };
        let Some(now) = spot.access()? else { continue };
        match found.kind {
            FileKind::Directory => {
                let wanted = now.made_in(access, umask::current(), true);
                below(&spot, &wanted)?;
                if !now.fits(&wanted) {
                    spot.give(&wanted)?;
                }
            }
            // One with several names is a package manager's too, and had its own access built in place as well.
            FileKind::File if found.links == 1 => {
                let wanted = now.made_in(access, umask::current(), false);
                if !now.fits(&wanted) {
                    spot.give(&wanted)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
