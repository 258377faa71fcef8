//! What runs saved: what of it there is, and back to where it was as far as nothing else is there.

use std::io;
use std::path::{Path, PathBuf};

use super::entry::{AtPath as _, LayoutError};
use crate::model::{RepoPath, RunId};
use crate::system::files::{self, Beneath, DirEntryAt, FileKind};
use crate::system::random;

/// What one run saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSet {
    /// The name of its directory: the run, with `-later` behind it for what the way back of that run found.
    pub id: String,
    pub run: RunId,
    pub dir: PathBuf,
}

/// One thing of a set: a file, a link, or a directory that is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedEntry {
    pub path: RepoPath,
    pub bytes: u64,
    pub place: PlaceNow,
}

/// What is by now where something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceNow {
    Free,
    /// A file with the very same bytes.
    Same,
    Taken,
}

/// What became of a set, or of the parts that were named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BroughtBack {
    /// Back where they were; of a directory that came back whole only its own path.
    pub restored: Vec<RepoPath>,
    /// They lie there already, byte for byte.
    pub there: Vec<RepoPath>,
    /// Something else is there.
    pub taken: Vec<RepoPath>,
}

/// All sets below gitroll's directory `state`, the oldest first.
///
/// # Errors
/// Any I/O error.
pub fn saved_sets(state: &Path) -> Result<Vec<SavedSet>, LayoutError> {
    let parent = state.join("saved");
    let entries = match std::fs::read_dir(&parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at(&parent)?,
    };
    let mut sets = Vec::new();
    for entry in entries {
        let entry = entry.at(&parent)?;
        let name = entry.file_name();
        let Some(id) = name.to_str() else { continue };
        let Ok(run) = id.strip_suffix("-later").unwrap_or(id).parse() else { continue };
        sets.push(SavedSet { id: id.to_owned(), run, dir: entry.path() });
    }
    sets.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(sets)
}

impl SavedSet {
    /// Everything in it, sorted by path; `top` is the live tree.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn entries(&self, top: &Path) -> Result<Vec<SavedEntry>, LayoutError> {
        let (saved, top) = (Beneath::open(&self.dir).at(&self.dir)?, Beneath::open(top).at(top)?);
        let mut found = Vec::new();
        for path in names(&self.dir)? {
            list(&saved, &top, &path, &mut found)?;
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Brings everything in it back below `top`, or, where `only` names any, what is at or below those paths. What
    /// is there by now stays; or, where `aside` names a directory, it is moved there. Each thing is moved at once, so a kill
    /// leaves it here or there.
    ///
    /// # Errors
    /// Any I/O error; what was brought back until then is.
    pub fn bring_back(
        &self,
        top: &Path,
        only: &[RepoPath],
        aside: Option<&Path>,
    ) -> Result<BroughtBack, LayoutError> {
        let live = Beneath::open(top).at(top)?;
        let aside = aside.map(|dir| Beneath::open(dir).at(dir)).transpose()?;
        let saved = Beneath::open(&self.dir).at(&self.dir)?;
        let mut brought = BroughtBack::default();
        let roots = if only.is_empty() { names(&self.dir)? } else { only.to_vec() };
        for path in &roots {
            bring(&saved, &live, aside.as_ref(), path, &mut brought)?;
        }
        files::sync_file_system(top).at(top)?;
        files::remove_empty_directories(&self.dir).at(&self.dir)?;
        Ok(brought)
    }
}

/// What is at the top of a set. Nothing has a name there that no work tree may have.
fn names(dir: &Path) -> Result<Vec<RepoPath>, LayoutError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).at(dir)? {
        let name = entry.at(dir)?.file_name();
        names.extend(RepoPath::new(name.as_encoded_bytes().to_vec()));
    }
    names.sort();
    Ok(names)
}

fn list(
    saved: &Beneath,
    top: &Beneath,
    path: &RepoPath,
    found: &mut Vec<SavedEntry>,
) -> Result<(), LayoutError> {
    let Some((spot, stat)) = lies_at(saved, path)? else { return Ok(()) };
    if stat == FileKind::Directory {
        let inside = children(&spot, path)?;
        for child in &inside {
            list(saved, top, child, found)?;
        }
        if !inside.is_empty() {
            return Ok(());
        }
    }
    let place = match top.entry(path) {
        Ok(Some(there)) if stat == FileKind::Directory => {
            // It is empty: a directory there is all that it was.
            match there.find().at(there.path())?.map(|there| there.kind) {
                None => PlaceNow::Free,
                Some(FileKind::Directory) => PlaceNow::Same,
                Some(_) => PlaceNow::Taken,
            }
        }
        Ok(Some(there)) => place_now(&spot, &there)?,
        Ok(None) => PlaceNow::Free,
        // A link or a file is where a directory was.
        Err(_) => PlaceNow::Taken,
    };
    let bytes = spot.find().at(spot.path())?.map_or(0, |stat| stat.size);
    found.push(SavedEntry { path: path.clone(), bytes, place });
    Ok(())
}

fn bring(
    saved: &Beneath,
    top: &Beneath,
    aside: Option<&Beneath>,
    path: &RepoPath,
    brought: &mut BroughtBack,
) -> Result<(), LayoutError> {
    let Some((spot, kind)) = lies_at(saved, path)? else { return Ok(()) };
    let there = match top.entry_with_parents(path) {
        Ok(there) => there,
        Err(_) => {
            brought.taken.push(path.clone());
            return Ok(());
        }
    };
    match place_now(&spot, &there)? {
        PlaceNow::Free => {
            move_to(&spot, &there).at(there.path())?;
            brought.restored.push(path.clone());
        }
        PlaceNow::Same => {
            spot.remove_file().at(spot.path())?;
            brought.there.push(path.clone());
        }
        PlaceNow::Taken => {
            let under = there.find().at(there.path())?.map(|stat| stat.kind);
            if (kind, under) == (FileKind::Directory, Some(FileKind::Directory)) {
                for child in children(&spot, path)? {
                    bring(saved, top, aside, &child, brought)?;
                }
            } else if let Some(aside) = aside {
                let aside = aside.entry_with_parents(path).at(path.as_path())?;
                take_place(&spot, &there, &aside).at(there.path())?;
                brought.restored.push(path.clone());
            } else {
                brought.taken.push(path.clone());
            }
        }
    }
    Ok(())
}

/// Puts what is saved where something else is, which goes to `aside`. The place is never empty where the file system can
/// swap; a kill in between leaves what was there in the set that is restored.
fn take_place(saved: &DirEntryAt, there: &DirEntryAt, aside: &DirEntryAt) -> io::Result<()> {
    use io::ErrorKind::{CrossesDevices, InvalidInput, Unsupported};
    match saved.exchange(there) {
        Ok(()) => move_to(saved, aside),
        Err(error) if matches!(error.kind(), CrossesDevices | InvalidInput | Unsupported) => {
            move_to(there, aside)?;
            move_to(saved, there)
        }
        Err(error) => Err(error),
    }
}

/// Renames, or copies where the git directory is on another file system.
fn move_to(from: &DirEntryAt, to: &DirEntryAt) -> io::Result<()> {
    match from.rename_to_free(to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let part = to.beside(format!(".gitroll-restore-{}", random::suffix()))?;
            from.copy(&part)?;
            part.sync_file_system()?;
            part.rename_to_free(to)?;
            from.remove_tree()
        }
        renamed => renamed,
    }
}

fn place_now(saved: &DirEntryAt, there: &DirEntryAt) -> Result<PlaceNow, LayoutError> {
    let Some(found) = there.find().at(there.path())? else { return Ok(PlaceNow::Free) };
    let Some(kept) = saved.find().at(saved.path())? else { return Ok(PlaceNow::Taken) };
    let alike = match (kept.kind, found.kind) {
        (FileKind::File, FileKind::File) => {
            kept.size == found.size
                && saved.read().at(saved.path())? == there.read().at(there.path())?
        }
        (FileKind::Symlink, FileKind::Symlink) => {
            saved.read_link().at(saved.path())? == there.read_link().at(there.path())?
        }
        _ => false,
    };
    Ok(if alike { PlaceNow::Same } else { PlaceNow::Taken })
}

fn lies_at(
    saved: &Beneath,
    path: &RepoPath,
) -> Result<Option<(DirEntryAt, FileKind)>, LayoutError> {
    let Some(spot) = saved.entry(path).at(path.as_path())? else { return Ok(None) };
    let found = spot.find().at(spot.path())?;
    Ok(found.map(|found| (spot, found.kind)))
}

fn children(spot: &DirEntryAt, path: &RepoPath) -> Result<Vec<RepoPath>, LayoutError> {
    let mut inside: Vec<RepoPath> = spot
        .names()
        .at(spot.path())?
        .into_iter()
        .filter_map(|name| RepoPath::new([path.as_bytes(), b"/", &name].concat()).ok())
        .collect();
    inside.sort();
    Ok(inside)
}
