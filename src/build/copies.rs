//! A second copy of what serves, made while it serves: an install by hand in the tree destroys the live one only.

use std::io;
use std::path::{Path, PathBuf};

use super::store::COPY;
use super::take::{LEFT_FREE, PER_ENTRY};
use super::{Depth, LiveArtifact, Store, TakeOutcome};
use crate::system::files::{self, Beneath, FileKind};
use crate::system::procs::ProcessId;

/// A whole copy of a live artifact that does not count yet: [`Store::keep`] gives it its place.
#[derive(Debug)]
pub struct CopyAside {
    dir: PathBuf,
}

impl Store {
    /// Copies what serves at an output into a directory of its own in the store, by reflink where the file system
    /// can, never by hard link. Needs no lock: nothing takes it for an artifact. Only what gitroll put in place
    /// itself is copied, and only where as much room as another build takes is left afterwards.
    ///
    /// `same` is asked afterwards whether nothing was deployed meanwhile; where something was, or the live one was
    /// changed, the copy may be half of one and half of another, and is removed.
    ///
    /// # Errors
    /// Any I/O error; what was copied so far is removed.
    pub fn copy_aside(
        &self,
        top: &Path,
        artifact: &LiveArtifact,
        same: impl FnOnce() -> bool,
    ) -> io::Result<Result<CopyAside, TakeOutcome>> {
        let LiveArtifact { output, key, .. } = artifact;
        if self.has(key, output) {
            return Ok(Err(TakeOutcome::Kept));
        }
        if !artifact.known || artifact.changed {
            return Ok(Err(TakeOutcome::Not("it was changed after it was put in place")));
        }
        let (Some(live), Some(own)) =
            (Beneath::open(top)?.entry(output)?, ProcessId::of(std::process::id()))
        else {
            return Ok(Err(TakeOutcome::Not("it is gone")));
        };
        if !matches!(
            live.find()?.map(|found| found.kind),
            Some(FileKind::Directory | FileKind::File)
        ) {
            return Ok(Err(TakeOutcome::Not("it is neither a directory nor a file")));
        }
        let (bytes, entries) = files::size_of_tree(&live.real_path());
        let needed = bytes.saturating_add(entries.saturating_mul(PER_ENTRY));
        let space = files::free_space(&self.dir)?;
        let few = space.inodes.is_some_and(|inodes| inodes / 2 < entries);
        if space.bytes < needed.saturating_mul(2).saturating_add(LEFT_FREE) || few {
            return Ok(Err(TakeOutcome::NoRoom { needed, free: space.bytes }));
        }
        let dir = self.dir.join(format!("{COPY}{}-{}", own.pid, own.start_ticks));
        let copy = CopyAside { dir };
        copy.remove()?;
        files::make_private_dir(&copy.dir)?;
        let copied = (|| {
            live.copy(&Beneath::open(&copy.dir)?.entry_with_parents(output)?)?;
            files::sync_file_system(&self.dir)?;
            let now = self.live(top, std::slice::from_ref(output), Depth::Deep)?;
            Ok(same() && now.first().is_some_and(|now| now.known && now.key == *key))
        })();
        match copied {
            Ok(true) => Ok(Ok(copy)),
            Ok(false) => {
                copy.remove()?;
                Ok(Err(TakeOutcome::Not("it changed while it was copied")))
            }
            Err(error) => {
                // What cannot be removed now is removed by the next sweep.
                let _ = copy.remove();
                Err(error)
            }
        }
    }

    /// Gives a copy its place, sealed. Only for who holds the lock, and quick.
    ///
    /// # Errors
    /// Any I/O error; it may be in place anyway.
    pub fn keep(&self, artifact: &LiveArtifact, copy: CopyAside) -> io::Result<()> {
        let LiveArtifact { output, key, .. } = artifact;
        if self.has(key, output) {
            return copy.remove();
        }
        self.accept(key, &copy.dir, [output])
    }
}

impl CopyAside {
    /// Removes it.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::build::store::is_dead_copy;
    use crate::model::{BuildKey, RepoPath};

    struct Tree {
        _dir: tempfile::TempDir,
        top: PathBuf,
        store: Store,
        output: RepoPath,
    }

    impl Tree {
        /// `node_modules` serves, as gitroll put it in place.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let top = dir.path().join("top");
            std::fs::create_dir_all(top.join("node_modules/a")).unwrap();
            std::fs::write(top.join("node_modules/a/index.js"), "one").unwrap();
            let store = Store { dir: dir.path().join("state/store") };
            let output = RepoPath::new("node_modules").unwrap();
            let key: BuildKey = "0123456789abcdef".repeat(4).parse().unwrap();
            store.note_live(&top, &output, Some(&key)).unwrap();
            store.seal_live(&top, &output, &key).unwrap();
            Self { top, store, output, _dir: dir }
        }

        fn live(&self) -> LiveArtifact {
            let output = std::slice::from_ref(&self.output);
            self.store.live(&self.top, output, Depth::Deep).unwrap().remove(0)
        }

        fn copies(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.store.dir).unwrap();
            let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.starts_with(COPY)).collect()
        }
    }

    #[test]
    fn a_copy_counts_only_when_it_has_its_place_and_an_install_by_hand_does_not_reach_it() {
        let tree = Tree::new();
        let live = tree.live();
        assert!(live.known);
        let copy = tree.store.copy_aside(&tree.top, &live, || true).unwrap().unwrap();
        assert!(!tree.store.has(&live.key, &tree.output));
        // Another command tidies up meanwhile.
        tree.store.sweep().unwrap();
        tree.store.keep(&live, copy).unwrap();
        assert!(tree.store.keeps(&live.key, &tree.output, Depth::Deep).unwrap());
        assert_eq!(tree.live(), live, "what serves is as it was");
        let file = tree.top.join("node_modules/a/index.js");
        let kept = tree.store.place(&live.key, &tree.output).join("a/index.js");
        assert_eq!((kept.metadata().unwrap().nlink(), file.metadata().unwrap().nlink()), (1, 1));
        std::fs::write(&file, "two").unwrap();
        std::fs::remove_dir_all(tree.top.join("node_modules")).unwrap();
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "one");
        assert!(tree.store.keeps(&live.key, &tree.output, Depth::Deep).unwrap());
        assert!(tree.copies().is_empty());
        assert_eq!(
            tree.store.copy_aside(&tree.top, &live, || true).unwrap().unwrap_err(),
            TakeOutcome::Kept
        );
    }

    #[test]
    fn what_changes_while_it_is_copied_is_not_kept() {
        let tree = Tree::new();
        let live = tree.live();
        let edit = || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            std::fs::write(tree.top.join("node_modules/a/index.js"), "three").unwrap();
            true
        };
        let swapped = tree.store.copy_aside(&tree.top, &live, || false).unwrap();
        assert!(matches!(swapped, Err(TakeOutcome::Not(_))));
        edit();
        let edited = tree.store.copy_aside(&tree.top, &live, || true).unwrap();
        assert!(matches!(edited, Err(TakeOutcome::Not(_))));
        let changed = tree.store.copy_aside(&tree.top, &tree.live(), || true).unwrap();
        assert!(matches!(changed, Err(TakeOutcome::Not(_))));
        assert!(tree.copies().is_empty() && !tree.store.has(&live.key, &tree.output));
    }

    #[test]
    fn what_a_killed_copy_left_goes_with_the_next_sweep() {
        let tree = Tree::new();
        let dead = tree.store.dir.join(format!("{COPY}{}-1", std::process::id()));
        std::fs::create_dir_all(dead.join("node_modules/a")).unwrap();
        assert!(is_dead_copy(".copy-999999999-1") && is_dead_copy(".copy-x-1"));
        assert!(!is_dead_copy("0123456789abcdef"));
        tree.store.sweep().unwrap();
        assert!(!dead.exists());
    }
}
