//! What is in the way of going back and is not ours: put where it is not lost.

use std::io;
use std::path::PathBuf;

use super::content::{AtPath as _, refused};
use super::in_place::{LayoutError, RunPlaces};
use crate::model::RepoPath;
use crate::system::files::{self, Beneath};

/// Puts what lies at `path` where the way back found it into `saved/<run>-later`, so that it is neither in
/// the way nor lost.
pub(super) fn put_later(
    top: &Beneath,
    places: &RunPlaces,
    path: &RepoPath,
) -> Result<(), LayoutError> {
    let Some(spot) = top.entry(path).at(path.as_path())? else {
        return Ok(());
    };
    let dir = later(places);
    files::make_private_dir(&dir).at(&dir)?;
    let later = Beneath::open(&dir).at(&dir)?;
    for number in 0..1000_u32 {
        let name = match number {
            0 => path.as_bytes().to_vec(),
            _ => [path.as_bytes(), format!(".{number}").as_bytes()].concat(),
        };
        let Ok(name) = RepoPath::new(name) else {
            break;
        };
        let to = match later.entry_with_parents(&name) {
            Err(error) if is_in_the_way(&error) => continue,
            to => to.at(dir.join(name.as_path()))?,
        };
        match spot.rename_to_free(&to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                spot.copy(&to).at(to.path())?;
                files::sync_file_system(&dir).at(&dir)?;
                return spot.remove_tree().at(spot.path());
            }
            renamed => return renamed.at(spot.path()),
        }
    }
    Err(refused(path, "is in the way and could not be put aside"))
}

fn later(places: &RunPlaces) -> PathBuf {
    places.saved.with_file_name(format!("{}-later", places.run))
}

/// Whether something other than a directory stands where one is needed.
pub(super) fn is_in_the_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotADirectory || files::is_symbolic_link_error(error)
}
