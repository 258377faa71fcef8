//! The work tree against a commit, byte for byte.
//!
//! No filter, attribute or index of the repository has a say: the files themselves are hashed as they are.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use gix::objs::Kind;

use crate::model::{Oid, RepoPath, TreeEntry, TreeMode};

use super::object::{oid, told};
use super::repository::{Git, GitError};
use super::stat_cache::{Marks, StatCache, link_bytes, make_state_dir, second_at};

impl Git {
    /// Tracked paths of `commit` whose file in the work tree is missing or has other bytes, type or
    /// executable bit, sorted. Compares bytes with all filters off; does not trust the repository's index.
    /// Of a submodule that is checked out, its own path if it is at another commit, otherwise the files that
    /// were edited in it.
    ///
    /// # Errors
    /// `Object`; `Io` for a file that cannot be read.
    pub fn edited(&self, commit: &Oid) -> Result<Vec<RepoPath>, GitError> {
        let entries = self.entries(commit)?;
        let state = self.state_dir();
        let cache_path = state.join("seen");
        let clock = make_state_dir(&state).and_then(|()| second_at(&state));
        // Where nothing may be written there is nothing to remember either, and every file is read.
        let look = clock.as_ref().copied().unwrap_or(i64::MIN);
        let mut cache = StatCache::load(&cache_path);
        let mut directories = Directories::of(&self.top);
        let mut edited = Vec::new();
        for (path, entry) in entries {
            if entry.mode == TreeMode::Submodule {
                edited.extend(self.edited_submodule(path, &entry.id)?);
            } else if !self.as_committed(&path, &entry, &mut cache, &mut directories, look)? {
                edited.push(path);
            }
        }
        if clock.is_ok() {
            // Only costs time when it fails.
            let _ = cache.save(&cache_path);
        }
        Ok(edited)
    }

    /// What of a submodule is not as `commit` has it. One that is not checked out here, or that gitroll cannot read,
    /// is nobody's edit.
    fn edited_submodule(&self, path: RepoPath, commit: &Oid) -> Result<Vec<RepoPath>, GitError> {
        let Ok(Some(found)) = self.submodule(&path) else { return Ok(Vec::new()) };
        if found.head().is_ok_and(|head| head.commit != *commit) {
            return Ok(vec![path]);
        }
        let mut edited = found.edited(commit)?;
        if !edited.is_empty() {
            let converted = found.converted_files(commit)?;
            edited.retain(|inner| converted.iter().all(|file| file.path != *inner));
        }
        Ok(edited.iter().filter_map(|inner| path.join(inner.as_bytes()).ok()).collect())
    }

    /// Which of `paths` the ignore rules cover, whether tracked or not.
    ///
    /// # Errors
    /// `Command`.
    pub fn ignored(&self, paths: &[RepoPath]) -> Result<Vec<RepoPath>, GitError> {
        let mut directories = Directories::of(&self.top);
        let mut asked = Vec::new();
        // git refuses to answer for a path that leads through a symbolic link.
        for path in paths.iter().filter(|path| directories.real_above(path)) {
            // With `./` before it, a name that begins with `:` is not a pathspec magic.
            asked.extend_from_slice(&[b"./", path.as_bytes(), b"\0"].concat());
        }
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let answer =
            self.call("check-ignore").args(["--stdin", "-z", "--no-index"]).input(asked).run()?;
        if !matches!(answer.code, Some(0 | 1)) {
            return Err(GitError::Command {
                verb: "check-ignore".to_owned(),
                problem: answer.problem(),
            });
        }
        let covered: std::collections::HashSet<&[u8]> =
            answer.stdout.split(|b| *b == 0).filter_map(|line| line.strip_prefix(b"./")).collect();
        Ok(paths.iter().filter(|path| covered.contains(path.as_bytes())).cloned().collect())
    }

    /// What is in the work tree and the ignore rules cover; of a directory of which they cover all only its own
    /// path.
    ///
    /// # Errors
    /// `Command`.
    pub fn ignored_there(&self) -> Result<Vec<RepoPath>, GitError> {
        let listed = ["-o", "-i", "--exclude-standard", "--directory", "-z"];
        let answer = self.call("ls-files").args(listed).run()?;
        if answer.code != Some(0) {
            return Err(GitError::Command {
                verb: "ls-files".to_owned(),
                problem: answer.problem(),
            });
        }
        let names =
            answer.stdout.split(|b| *b == 0).map(|name| name.strip_suffix(b"/").unwrap_or(name));
        Ok(names.filter_map(|name| RepoPath::new(name).ok()).collect())
    }

    fn as_committed(
        &self,
        path: &RepoPath,
        entry: &TreeEntry,
        cache: &mut StatCache,
        directories: &mut Directories<'_>,
        look: i64,
    ) -> Result<bool, GitError> {
        if !directories.real_above(path) {
            return Ok(false);
        }
        let file = self.top.join(path.as_path());
        let failed = |source| GitError::Io { path: file.clone(), source };
        let meta = match fs::symlink_metadata(&file) {
            Ok(meta) => meta,
            Err(e) if gone(&e) => return Ok(false),
            Err(e) => return Err(failed(e)),
        };
        let kind = meta.file_type();
        let executable = meta.permissions().mode() & 0o100 != 0;
        match entry.mode {
            TreeMode::Symlink if kind.is_symlink() => {
                let bytes = link_bytes(&file).map_err(failed)?;
                return Ok(self.hash(&bytes)? == entry.id);
            }
            TreeMode::File if kind.is_file() && !executable => {}
            TreeMode::Executable if kind.is_file() && executable => {}
            _ => return Ok(false),
        }
        let marks = Marks::of(&meta);
        if let Some(id) = cache.content(path.as_bytes(), &marks) {
            return Ok(*id == entry.id);
        }
        match self.hash_file(&file) {
            Ok((before, after, id)) => {
                if before == marks && after == marks {
                    cache.remember(path.as_bytes(), marks, id.clone(), look);
                }
                Ok(id == entry.id)
            }
            Err(e) if gone(&e) => Ok(false),
            Err(e) => Err(failed(e)),
        }
    }

    fn hash(&self, bytes: &[u8]) -> Result<Oid, GitError> {
        gix::objs::compute_hash(self.repo.object_hash(), Kind::Blob, bytes)
            .map(oid)
            .map_err(|e| GitError::Object { id: "of a file".to_owned(), problem: told(&e) })
    }

    /// The blob id of a file's bytes, with its marks before and after they were read.
    fn hash_file(&self, path: &Path) -> io::Result<(Marks, Marks, Oid)> {
        use rustix::fs::{Mode, OFlags};
        // Neither a link nor a pipe that was put there since we looked.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let meta = file.metadata()?;
        let mut hasher = gix::hash::hasher(self.repo.object_hash());
        hasher.update(&gix::objs::encode::loose_header(Kind::Blob, meta.len()));
        let mut chunk = vec![0; 128 << 10];
        loop {
            let n = file.read(&mut chunk)?;
            if n == 0 {
                break;
            }
            hasher.update(&chunk[..n]);
        }
        let id = hasher.try_finalize().map_err(io::Error::other)?;
        Ok((Marks::of(&meta), Marks::of(&file.metadata()?), oid(id)))
    }
}

/// Which directories of the work tree are directories, and not links to some.
struct Directories<'a> {
    top: &'a Path,
    known: HashMap<RepoPath, bool>,
}

impl<'a> Directories<'a> {
    fn of(top: &'a Path) -> Self {
        Self { top, known: HashMap::new() }
    }

    /// Whether everything above `path` is a real directory.
    fn real_above(&mut self, path: &RepoPath) -> bool {
        path.parent().is_none_or(|parent| self.real(parent))
    }

    fn real(&mut self, dir: RepoPath) -> bool {
        if let Some(real) = self.known.get(&dir) {
            return *real;
        }
        let real = self.real_above(&dir)
            && fs::symlink_metadata(self.top.join(dir.as_path())).is_ok_and(|meta| meta.is_dir());
        self.known.insert(dir, real);
        real
    }
}

fn gone(e: &io::Error) -> bool {
    // ELOOP: a link took the file's place while we looked.
    let link = rustix::io::Errno::LOOP.raw_os_error();
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || e.raw_os_error() == Some(link)
}

#[cfg(test)]
mod tests;
