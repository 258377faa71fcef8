//! Taking what is in the live tree into the store, by copy: it continues serving.

use std::io;
use std::path::Path;

use super::{Depth, LiveArtifact, Store};
use crate::system::files::{self, Beneath, FileKind, FreeSpace};
use crate::system::removal;

/// Left free on the disk, whatever is taken.
pub(super) const LEFT_FREE: u64 = 256 * 1024 * 1024;
/// What an entry takes beside its bytes, estimated from above.
pub(super) const PER_ENTRY: u64 = 4096;

/// What came of taking a live artifact into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakeOutcome {
    /// It is kept: since now, or since earlier.
    Kept,
    /// There is not enough space for a copy, in bytes or in entries; nothing was written.
    NoRoom {
        /// Bytes that may be needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// It cannot be kept as it is, for the reason given; nothing is left behind.
    Not(&'static str),
}

impl Store {
    /// Copies what is live at an output into the store, under the key it has there, by reflink where the
    /// file system can. Never by hard link: a file that is then written in place, by the app or by a rebuild,
    /// would change the kept one too.
    ///
    /// May be killed anywhere and run again; only for who holds the lock, since what killed ones left
    /// is removed first.
    ///
    /// # Errors
    /// Any I/O error; what was copied so far is removed.
    pub fn take(&self, top: &Path, artifact: &LiveArtifact) -> io::Result<TakeOutcome> {
        let LiveArtifact { output, key, .. } = artifact;
        if self.keeps(key, output, Depth::Deep)? {
            return Ok(TakeOutcome::Kept);
        }
        self.sweep()?;
        let Some(live) = Beneath::open(top)?.entry(output)? else {
            return Ok(TakeOutcome::Not("it is gone"));
        };
        match live.find()?.map(|found| found.kind) {
            Some(FileKind::Directory | FileKind::File) => {}
            Some(FileKind::Symlink) => {
                return Ok(TakeOutcome::Not(
                    "it is a symbolic link: its target does not belong to the app",
                ));
            }
            Some(FileKind::Other) => {
                return Ok(TakeOutcome::Not("it is neither a directory nor a file"));
            }
            None => return Ok(TakeOutcome::Not("it is gone")),
        }
        files::make_private_dir(&self.dir)?;
        let (bytes, entries) = files::size_of_tree(&live.real_path());
        let needed = bytes.saturating_add(entries.saturating_mul(PER_ENTRY));
        let short = || -> io::Result<(bool, FreeSpace)> {
            let space = files::free_space(&self.dir)?;
            let few = space.inodes.is_some_and(|inodes| inodes < entries);
            Ok((space.bytes < needed.saturating_add(LEFT_FREE) || few, space))
        };
        if short()?.0 {
            removal::make_room();
        }
        let (short, space) = short()?;
        if short {
            return Ok(TakeOutcome::NoRoom { needed, free: space.bytes });
        }
        // What is live continues serving: an edit of it is told from what was taken.
        self.seal_live(top, output, key)?;
        let incoming = self.incoming(key)?;
        let copied = (|| {
            live.copy(&Beneath::open(&incoming)?.entry_with_parents(output)?)?;
            // An install that went on meanwhile is not what served.
            let now = self.live(top, std::slice::from_ref(output), Depth::Deep)?;
            Ok(now.first().is_some_and(|now| now.key == *key))
        })();
        match copied {
            Ok(true) => {
                self.accept(key, &incoming, [output])?;
                Ok(TakeOutcome::Kept)
            }
            Ok(false) => {
                std::fs::remove_dir_all(&incoming)?;
                Ok(TakeOutcome::Not("it changed while it was copied"))
            }
            Err(error) => {
                // What cannot be removed now is removed by the next sweep.
                let _ = std::fs::remove_dir_all(&incoming);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::model::RepoPath;

    struct Tree {
        _dir: tempfile::TempDir,
        top: std::path::PathBuf,
        store: Store,
    }

    impl Tree {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let top = dir.path().join("top");
            std::fs::create_dir_all(top.join("node_modules/a")).unwrap();
            std::fs::write(top.join("node_modules/a/index.js"), "one").unwrap();
            let store = Store { dir: dir.path().join("state/store") };
            Self { top, store, _dir: dir }
        }

        fn live(&self) -> LiveArtifact {
            let output = RepoPath::new("node_modules").unwrap();
            self.store.live(&self.top, &[output], Depth::Deep).unwrap().remove(0)
        }

        fn kept(&self, artifact: &LiveArtifact) -> std::path::PathBuf {
            self.store.place(&artifact.key, &artifact.output)
        }
    }

    #[test]
    fn what_is_taken_stays_as_it_was_whatever_becomes_of_the_live_one() {
        let tree = Tree::new();
        let live = tree.live();
        assert_eq!(tree.store.take(&tree.top, &live).unwrap(), TakeOutcome::Kept);
        assert_eq!(tree.live().key, live.key, "taking it changes nothing that is live");
        let file = tree.top.join("node_modules/a/index.js");
        // In place, as a rebuild writes.
        std::fs::write(&file, "two").unwrap();
        let kept = tree.kept(&live).join("a/index.js");
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "one");
        assert_eq!((kept.metadata().unwrap().nlink(), file.metadata().unwrap().nlink()), (1, 1));
        std::fs::remove_dir_all(tree.top.join("node_modules")).unwrap();
        assert!(tree.store.has(&live.key, &live.output));
    }

    #[test]
    fn what_was_taken_and_then_edited_is_another_artifact_and_the_taken_one_stays() {
        let tree = Tree::new();
        let live = tree.live();
        tree.store.take(&tree.top, &live).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        // In depth: the directory itself shows nothing of it.
        std::fs::write(tree.top.join("node_modules/a/index.js"), "two").unwrap();
        assert_ne!(tree.live().key, live.key);
        assert!(tree.store.keeps(&live.key, &live.output, Depth::Deep).unwrap());
    }

    #[test]
    fn one_that_was_killed_leaves_nothing_that_counts_and_the_next_one_takes_it_whole() {
        let tree = Tree::new();
        let live = tree.live();
        let half = tree.store.incoming(&live.key).unwrap();
        std::fs::create_dir_all(half.join("node_modules/a")).unwrap();
        // As another process left it.
        let other = tree.store.dir.join(format!("{}.tmp-1", live.key));
        std::fs::rename(&half, &other).unwrap();
        assert!(!tree.store.has(&live.key, &live.output));
        assert_eq!(tree.store.take(&tree.top, &live).unwrap(), TakeOutcome::Kept);
        assert!(tree.kept(&live).join("a/index.js").exists());
        assert!(!other.exists());
        assert_eq!(tree.store.take(&tree.top, &live).unwrap(), TakeOutcome::Kept);
    }

    #[test]
    fn a_link_is_not_taken_and_a_socket_inside_is_an_error_that_leaves_nothing() {
        let tree = Tree::new();
        let _socket =
            std::os::unix::net::UnixListener::bind(tree.top.join("node_modules/s")).unwrap();
        let live = tree.live();
        assert!(tree.store.take(&tree.top, &live).is_err());
        let left = std::fs::read_dir(&tree.store.dir).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["seals.json"]);

        std::fs::rename(tree.top.join("node_modules"), tree.top.join("shared")).unwrap();
        std::os::unix::fs::symlink("shared", tree.top.join("node_modules")).unwrap();
        let taken = tree.store.take(&tree.top, &tree.live()).unwrap();
        assert!(matches!(taken, TakeOutcome::Not(why) if why.contains("symbolic link")));
    }
}
