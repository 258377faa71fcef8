//! The artifact store: built directories by key, and what is known of those that serve.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
use serde::{Deserialize, Serialize};

use crate::model::{BuildKey, Digest, RepoPath};
use crate::system::files::{self, Beneath, Census, DirEntryAt, FileIdentity, FileKind, FileStat};
use crate::system::git::Git;
use crate::system::procs::ProcessId;
use crate::system::removal;

/// Built directories by key, in `<state>/store/<key>/<output>`, and what is known of those that serve.
///
/// An artifact is in one place only: in the live tree while it serves, else here. A group may therefore
/// be spread over both. What was noted of a live directory is in `live.json`, what was built is told from what
/// was changed since by `seals.json`.
#[derive(Debug, Clone)]
pub struct Store {
    /// `<git dir>/gitroll/store`
    pub dir: PathBuf,
}

/// How closely an artifact is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// At the top directory only: at once, and blind for an edit below it.
    Shallow,
    /// At every entry below it, against its seal: some microseconds for each.
    Deep,
}

/// A directory that is in the live tree at a group's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveArtifact {
    /// The output.
    pub output: RepoPath,
    /// The key it was put there under, if it is still the same directory as then (inode, change times of
    /// its top; after a close look also its seal); else a `seen-…` key made from what it is now.
    pub key: BuildKey,
    /// Whether it is what gitroll put there, unchanged: only then may it stand for its key.
    pub known: bool,
    /// Whether a close look found that it was changed since it was built.
    pub changed: bool,
}

/// A live directory as it was when it was put in place.
///
/// Its top's times tell when someone ran `npm install` by hand. They also change when the app itself
/// makes an entry in the top directory, e.g. `node_modules/.cache` on its first start: such a directory is
/// taken for changed too, and going back to it means a build. That errs on the safe side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LiveNote {
    pub(super) key: BuildKey,
    identity: FileIdentity,
    modified: (i64, u32),
    changed: (i64, u32),
}

impl LiveNote {
    fn of(key: &BuildKey, found: &FileStat) -> Self {
        Self {
            key: key.clone(),
            identity: found.identity,
            modified: found.modified,
            changed: found.changed,
        }
    }
}

impl Store {
    /// The store of a repository.
    pub fn of(git: &Git) -> Self {
        Self { dir: git.state_dir().join("store") }
    }

    /// Where an artifact is kept when it does not serve.
    pub fn place(&self, key: &BuildKey, output: &RepoPath) -> PathBuf {
        self.dir.join(key.as_str()).join(output.as_path())
    }

    /// Whether an artifact is kept here.
    pub fn has(&self, key: &BuildKey, output: &RepoPath) -> bool {
        self.find(key, output).is_ok_and(|found| found.is_some())
    }

    /// What is kept of an artifact here.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn find(&self, key: &BuildKey, output: &RepoPath) -> io::Result<Option<FileStat>> {
        if !self.dir.is_dir() {
            return Ok(None);
        }
        let found = Beneath::open(&self.dir)?.find(&below(key, output)?)?;
        Ok(found.filter(|f| matches!(f.kind, FileKind::Directory | FileKind::File)))
    }

    /// The place of an artifact here, with the directories above it made, and marked as used now.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn spot(&self, key: &BuildKey, output: &RepoPath) -> io::Result<DirEntryAt> {
        files::make_private_dir(&self.dir)?;
        let spot = Beneath::open(&self.dir)?.entry_with_parents(&below(key, output)?)?;
        self.touch(key)?;
        Ok(spot)
    }

    /// Removes the directory of a key when no artifact is left in it.
    ///
    /// # Errors
    /// Any I/O error but "not empty".
    pub fn tidy(&self, key: &BuildKey, output: &RepoPath) -> io::Result<()> {
        if !self.dir.is_dir() {
            return Ok(());
        }
        let beneath = Beneath::open(&self.dir)?;
        let mut above = below(key, output)?.parent();
        while let Some(dir) = above {
            let gone = match beneath.entry(&dir)? {
                Some(spot) => spot.remove_empty_dir()?,
                None => true,
            };
            if !gone {
                break;
            }
            above = dir.parent();
        }
        Ok(())
    }

    /// What is in the live tree at the outputs of these groups.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn live(
        &self,
        top: &Path,
        outputs: &[RepoPath],
        depth: Depth,
    ) -> io::Result<Vec<LiveArtifact>> {
        let noted = self.noted()?;
        let beneath = Beneath::open(top)?;
        let mut live = Vec::new();
        for output in outputs {
            let Some(spot) = beneath.entry(output)? else {
                continue;
            };
            let Some(found) = spot.find()? else {
                continue;
            };
            let same = noted.get(output).filter(|n| **n == LiveNote::of(&n.key, &found));
            let light = match same {
                Some(noted) => {
                    let (output, key) = (output.clone(), noted.key.clone());
                    LiveArtifact { output, key, known: true, changed: false }
                }
                None => {
                    let key = seen_key(&found, None);
                    LiveArtifact { output: output.clone(), key, known: false, changed: false }
                }
            };
            live.push(match depth {
                Depth::Shallow => light,
                Depth::Deep => self.closely(&spot, light)?,
            });
        }
        Ok(live)
    }

    /// The outputs at which something was put in place.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn places(&self) -> io::Result<Vec<RepoPath>> {
        Ok(self.noted()?.into_keys().collect())
    }

    /// Notes that the directory now at `output` in the live tree is the artifact `key`. Durable.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn note_live(
        &self,
        top: &Path,
        output: &RepoPath,
        key: Option<&BuildKey>,
    ) -> io::Result<()> {
        let mut noted = self.noted()?;
        let found = Beneath::open(top)?.find(output)?;
        let before = match (key, found) {
            (Some(key), Some(found)) => noted.insert(output.clone(), LiveNote::of(key, &found)),
            _ => noted.remove(output),
        };
        if before.as_ref() == noted.get(output) {
            return Ok(());
        }
        files::make_private_dir(&self.dir)?;
        let text = serde_json::to_vec_pretty(&noted).map_err(io::Error::other)?;
        files::write_durably(&self.live_file(), &text, 0o600)
    }

    /// Takes the least recently used keys that are not in `keep` away, until at most `most` keys are left
    /// (or only kept ones), and what killed builds left; [`removal`] removes them. Returns the keys.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn prune(&self, keep: &BTreeSet<BuildKey>, most: usize) -> io::Result<Vec<BuildKey>> {
        if !self.dir.is_dir() {
            return Ok(Vec::new());
        }
        self.sweep()?;
        let mut keys: Vec<(SystemTime, BuildKey)> = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            if let Ok(key) = entry.file_name().to_string_lossy().parse::<BuildKey>() {
                keys.push((entry.metadata()?.modified()?, key));
            }
        }
        keys.sort();
        // Removing one would remove what is mounted.
        let mounts = std::fs::canonicalize(&self.dir).and_then(|dir| files::mounts_below(&dir))?;
        let mut left = keys.len();
        let mut removed = Vec::new();
        for (_, key) in keys {
            if left <= most {
                break;
            }
            let mounted = mounts.iter().any(|mount| mount.starts_with(key.as_str()));
            if mounted || keep.contains(&key) {
                continue;
            }
            removal::set_aside(&self.dir.join(key.as_str()))?;
            left -= 1;
            removed.push(key);
        }
        let live = self.noted()?;
        self.forget_seals(&live)?;
        self.forget_made(keep, &live.into_values().map(|noted| noted.key).collect())?;
        Ok(removed)
    }

    /// Takes away what killed builds, takings and prunings left, for [`removal`] to remove. Only for who holds the
    /// lock.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn sweep(&self) -> io::Result<()> {
        if !self.dir.is_dir() {
            return Ok(());
        }
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if removal::is_aside(&name) {
                removal::later(entry.path());
            } else if entry.file_type()?.is_dir() && is_leftover(&name) {
                removal::set_aside(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Gives what is in an `incoming` directory, whole, its place under the key; durable.
    pub(super) fn accept<'a>(
        &self,
        key: &BuildKey,
        incoming: &Path,
        outputs: impl IntoIterator<Item = &'a RepoPath> + Clone,
    ) -> io::Result<()> {
        // Whole on the disk before it has its name.
        files::sync_file_system(&self.dir)?;
        let inside = Beneath::open(incoming)?;
        for output in outputs.clone() {
            if self.has(key, output) && !self.keeps(key, output, Depth::Deep)? {
                self.put_aside(key, output)?;
            }
            if let (false, Some(made)) = (self.has(key, output), inside.entry(output)?) {
                self.seal(key, output, &made, false)?;
            }
        }
        let place = self.dir.join(key.as_str());
        if place.symlink_metadata().is_err() {
            std::fs::rename(incoming, &place)?;
        } else {
            // Part of this key is kept or serves; what is missing is added.
            for output in outputs {
                if !self.has(key, output)
                    && let Some(from) = inside.entry(output)?
                {
                    from.rename_to_free(&self.spot(key, output)?)?;
                }
            }
            std::fs::remove_dir_all(incoming)?;
        }
        files::sync_dir(&self.dir)
    }

    /// A directory for outputs on their way into the store. Gone or unfinished ones are removed by
    /// [`Store::sweep`].
    pub(super) fn incoming(&self, key: &BuildKey) -> io::Result<PathBuf> {
        files::make_private_dir(&self.dir)?;
        let dir = self.dir.join(format!("{key}{UNFINISHED}{}", std::process::id()));
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        files::make_private_dir(&dir)?;
        Ok(dir)
    }

    /// Takes away what is at a place of an artifact here, for [`removal`] to remove.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn put_aside(&self, key: &BuildKey, output: &RepoPath) -> io::Result<()> {
        let Some(kept) = self.spot_kept(key, output)? else { return Ok(()) };
        if kept.find()?.is_none() {
            return Ok(());
        }
        let aside = removal::aside(&self.dir.join(key.as_str()));
        kept.rename_to_free(&DirEntryAt::try_from(aside.as_path())?)?;
        removal::later(aside);
        Ok(())
    }

    /// The place of an artifact here, as far as the directories above it are there.
    pub(super) fn spot_kept(
        &self,
        key: &BuildKey,
        output: &RepoPath,
    ) -> io::Result<Option<DirEntryAt>> {
        if !self.dir.is_dir() {
            return Ok(None);
        }
        Beneath::open(&self.dir)?.entry(&below(key, output)?)
    }

    fn touch(&self, key: &BuildKey) -> io::Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        match rustix::fs::utimensat(
            CWD,
            self.dir.join(key.as_str()),
            &times,
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn live_file(&self) -> PathBuf {
        self.dir.join("live.json")
    }

    /// A file that cannot be read as ours only means that nothing is known.
    fn noted(&self) -> io::Result<BTreeMap<RepoPath, LiveNote>> {
        match crate::system::files::read_state(&self.live_file()) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }
}

/// As earlier versions took artifacts away.
const GONE: &str = ".gone-";
/// What the directories of copies that are being made begin with; the process follows.
pub(super) const COPY: &str = ".copy-";
const UNFINISHED: &str = ".tmp-";

fn is_leftover(name: &str) -> bool {
    name.starts_with(GONE) || name.contains(UNFINISHED) || is_dead_copy(name)
}

/// Whether a directory of the store is a copy that a process was making which is not there any more.
pub(super) fn is_dead_copy(name: &str) -> bool {
    let Some((pid, ticks)) = name.strip_prefix(COPY).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    let (Ok(pid), Ok(ticks)) = (pid.parse(), ticks.parse::<u64>()) else { return true };
    ProcessId::of(pid).is_none_or(|process| process.start_ticks != ticks)
}

fn below(key: &BuildKey, output: &RepoPath) -> io::Result<RepoPath> {
    let path = [key.as_str().as_bytes(), b"/", output.as_bytes()].concat();
    RepoPath::new(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// A key for what is there, of which nobody knows how it was made. With a census two edits of one directory
/// have two keys.
pub(super) fn seen_key(found: &FileStat, census: Option<&Census>) -> BuildKey {
    let mut facts = format!("{:?}", (found.identity.ino, found.identity.born, found.modified));
    if let Some(census) = census {
        facts.push_str(&format!("{census:?}"));
    }
    let text = format!("seen-{}", &Digest::of(facts.as_bytes()).hex()[..16]);
    text.parse().expect("`seen-` and hex digits are a key")
}

#[cfg(test)]
mod tests;
