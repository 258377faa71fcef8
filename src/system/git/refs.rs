//! Refs and HEAD. They are read from their files: none is skipped because it is broken.
//!
//! git and gix pass over an empty ref file (the shape a power cut leaves) or only warn; what falls out of
//! sight that way is the newest stable tag. So the files are walked here, and `packed-refs` is read by gix.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice;

use crate::model::Oid;

use super::locks::{LocksTaken, in_the_way, lock_in_message};
use super::object::{oid, sync_dir, told};
use super::repository::{Git, GitError};
use crate::system::files;
use crate::system::text::escape;

/// How many symbolic refs may follow one another, as in git.
const MOST_HOPS: usize = 5;

/// Where HEAD is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub commit: Oid,
    /// The branch (`refs/heads/…`) it is on; `None` when detached.
    pub branch: Option<String>,
}

/// A ref as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// Full name; may hold bytes that are not safe to print.
    pub name: String,
    /// The object it points to, unpeeled.
    pub id: Oid,
}

/// One ref to change, with what it must be before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefEdit {
    /// Full name.
    pub name: String,
    /// The new object; `None` deletes.
    pub new: Option<Oid>,
    /// What it must be now; `None` means it must not exist.
    pub old: Option<Oid>,
}

/// What a ref says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Object(Oid),
    /// Another ref.
    Symbolic(String),
    /// Nothing usable, and why.
    Broken(String),
}

/// Refs by their names in bytes, with the commit that `packed-refs` says is behind a tag object.
type Peeled = BTreeMap<Vec<u8>, (Target, Option<Oid>)>;

/// One of them.
type PackedRef = (Vec<u8>, (Target, Option<Oid>));

/// Whether a ref or a directory of refs is asked for, by its full name.
type Asked<'a> = &'a dyn Fn(&[u8]) -> bool;

impl Git {
    /// Where HEAD is. `Unknown` when there is no commit yet.
    ///
    /// # Errors
    /// `Unknown`; `Ref` when HEAD or its branch is broken.
    pub fn head(&self) -> Result<Head, GitError> {
        let unborn = || GitError::Unknown { name: "HEAD".to_owned() };
        let target = self.raw_ref("HEAD")?.ok_or_else(|| ref_error("HEAD", "it is missing"))?;
        let branch = match &target {
            Target::Symbolic(name) => Some(name.clone()),
            _ => None,
        };
        let commit = self.follow("HEAD", target)?.ok_or_else(unborn)?;
        Ok(Head { commit, branch })
    }

    /// Refs whose full name starts with `prefix` (which ends in `/`), sorted by name. A ref file that is
    /// empty or broken is an error naming it, never left out.
    ///
    /// # Errors
    /// `Ref` for a broken one, `Io`.
    pub fn refs(&self, prefix: &str) -> Result<Vec<Ref>, GitError> {
        let mut refs = Vec::new();
        for (name, target) in self.raw_refs(prefix)? {
            let shown = String::from_utf8_lossy(&name).into_owned();
            match self.follow(&shown, target) {
                Ok(Some(id)) => refs.push(Ref { name: shown, id }),
                // `origin/HEAD` outlives the branch it named: harmless, and git's own making.
                Ok(None) if shown.starts_with("refs/remotes/") => {}
                Ok(None) => {
                    return Err(ref_error(&shown, "it points to a ref that does not exist"));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(refs)
    }

    /// One ref by its full name (`refs/…`, or `HEAD`); symbolic refs are followed.
    ///
    /// # Errors
    /// `Ref` when it is there but broken, `Io`.
    pub fn find_ref(&self, name: &str) -> Result<Option<Oid>, GitError> {
        match self.raw_ref(name)? {
            Some(target) => self.follow(name, target),
            None => Ok(None),
        }
    }

    /// The branches that other work trees of this repository are on: none may be taken here as well.
    pub fn branches_elsewhere(&self) -> Vec<String> {
        let linked =
            fs::read_dir(self.common_dir.join("worktrees")).into_iter().flatten().flatten();
        linked
            .map(|entry| entry.path())
            .chain([self.common_dir.clone()])
            .filter(|dir| *dir != self.git_dir)
            .filter_map(|dir| files::read_state(&dir.join("HEAD")).ok())
            .filter_map(|bytes| String::from_utf8(bytes).ok())
            .filter_map(|text| Some(text.strip_prefix("ref:")?.trim().to_owned()))
            .collect()
    }

    /// Changes refs all together or not at all, each only from its expected value; fsynced with their
    /// directories.
    ///
    /// # Errors
    /// `Ref` with the name of the first that is not as expected, or whose lock file is in the way.
    pub fn update_refs(&self, edits: &[RefEdit], why: &str) -> Result<(), GitError> {
        if edits.is_empty() {
            return Ok(());
        }
        let zero = "0".repeat(self.repo.object_hash().len_in_hex());
        let mut orders = b"start\0".to_vec();
        for edit in edits {
            if !edit.name.starts_with("refs/") {
                return Err(ref_error(&edit.name, "its name does not begin with refs/"));
            }
            let old = edit.old.as_ref().map_or(zero.as_str(), Oid::as_str);
            let order = match (&edit.new, &edit.old) {
                (Some(new), _) => format!("update {}\0{new}\0{old}\0", edit.name),
                (None, Some(_)) => format!("delete {}\0{old}\0", edit.name),
                (None, None) => format!("verify {}\0{old}\0", edit.name),
            };
            orders.extend(order.into_bytes());
        }
        orders.extend(b"prepare\0commit\0");
        let names: Vec<&str> = edits.iter().map(|edit| edit.name.as_str()).collect();
        self.transact(orders, why, &names)?;
        let mut dirs = BTreeSet::new();
        edits.iter().for_each(|edit| dirs.extend(self.dirs_of_ref(&edit.name)));
        dirs.iter().try_for_each(|dir| sync_if_there(dir))
    }

    /// Runs one ref transaction on these refs; the first is named where git names none.
    pub(super) fn transact(
        &self,
        orders: Vec<u8>,
        why: &str,
        names: &[&str],
    ) -> Result<(), GitError> {
        let locked = |path: PathBuf| {
            let mut lock = path.into_os_string();
            lock.push(".lock");
            PathBuf::from(lock)
        };
        // HEAD too, where it is on one of them; packed ones where one is deleted.
        let also = ["HEAD.lock"].map(|name| self.git_dir.join(name));
        let packed = ["packed-refs.lock", "packed-refs.new"].map(|name| self.common_dir.join(name));
        let locks = names.iter().map(|name| locked(self.ref_path(name))).chain(also).chain(packed);
        let takes = LocksTaken { locks: locks.collect(), fetches: false };
        let first = names.first().copied().unwrap_or_default();
        let told = escape(&String::from_utf8_lossy(&orders).replace('\0', " "));
        let who = self.identity(crate::system::clock::now());
        let answer = self
            .call("update-ref")
            .arg("-m")
            .arg(why)
            .args(["--stdin", "-z"])
            .input(orders)
            .durable()
            .takes(takes)
            .env("GIT_COMMITTER_NAME", &who.name)
            .env("GIT_COMMITTER_EMAIL", &who.email)
            .run()?;
        if answer.code == Some(0) {
            tracing::debug!("ref transaction ({}): {told}", escape(why));
            return Ok(());
        }
        let problem = answer.problem();
        tracing::debug!("ref transaction ({}) refused: {told}: {}", escape(why), escape(&problem));
        let name = problem
            .split_once("ref '")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map_or(first, |(name, _)| name)
            .to_owned();
        let problem = lock_in_message(&answer.stderr).map_or(problem, in_the_way);
        Err(GitError::Ref { name, problem })
    }

    /// fsync of the directories in which a ref may have come, gone, or moved to `packed-refs`.
    pub(super) fn sync_ref_dirs(&self, name: &str) -> Result<(), GitError> {
        self.dirs_of_ref(name).iter().try_for_each(|dir| sync_if_there(dir))
    }

    /// The directories above a ref's file, within the repository.
    fn dirs_of_ref(&self, name: &str) -> Vec<PathBuf> {
        let path = self.ref_path(name);
        let top = if path.starts_with(&self.common_dir) { &self.common_dir } else { &self.git_dir };
        let above = path.ancestors().skip(1);
        above.take_while(|at| at.starts_with(top)).map(Path::to_owned).collect()
    }

    /// One ref as it stands, symbolic or not.
    pub(super) fn raw_ref(&self, name: &str) -> Result<Option<Target>, GitError> {
        if !plausible(name) {
            return Ok(None);
        }
        let path = self.ref_path(name);
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => None,
            Ok(meta) => Some(meta),
            Err(e) if absent(&e) => None,
            Err(source) => return Err(GitError::Io { path, source }),
        };
        if meta.is_some() {
            match self.read_loose(&path) {
                Ok(target) => return Ok(Some(target)),
                // Packed or deleted since we looked: packed-refs has the answer.
                Err(GitError::Io { source, .. }) if absent(&source) => {}
                Err(e) => return Err(e),
            }
        }
        let Some(packed) = self.packed()? else { return Ok(None) };
        let full = gix::refs::FullName::try_from(name).map_err(|e| ref_error(name, &e))?;
        // `refs/heads/x` is tried as it is first, but then below other directories as well: only the very
        // name counts.
        match packed.try_find(full.as_ref()) {
            Ok(Some(found)) if found.name == full.as_ref() => {
                Ok(Some(Target::Object(oid(found.target()))))
            }
            Ok(_) => Ok(None),
            Err(e) => Err(ref_error(name, &format!("packed-refs: {}", told(&e)))),
        }
    }

    /// Every ref below `prefix`, by its name in bytes, broken ones included.
    pub(super) fn raw_refs(&self, prefix: &str) -> Result<BTreeMap<Vec<u8>, Target>, GitError> {
        let found = self.refs_with_peeled(prefix, &|_| true)?;
        Ok(found.into_iter().map(|(name, (target, _))| (name, target)).collect())
    }

    /// The refs below `prefix` that are `asked` for (as are directories, by names that end in `/`), with the commit
    /// that `packed-refs` says is behind a tag object.
    pub(super) fn refs_with_peeled(
        &self,
        prefix: &str,
        asked: Asked<'_>,
    ) -> Result<Peeled, GitError> {
        let mut found = BTreeMap::new();
        // Loose files first: a ref that is packed while we read is then seen in packed-refs.
        let mut loose = BTreeMap::new();
        if prefix.starts_with("refs/")
            && prefix.ends_with('/')
            && plausible(&prefix[..prefix.len() - 1])
        {
            let below = prefix.as_bytes().to_vec();
            self.walk(&self.common_dir.join(prefix), &below, asked, &mut loose)?;
        }
        self.packed_below(prefix, asked, &mut found)?;
        found.extend(loose.into_iter().map(|(name, target)| (name, (target, None))));
        Ok(found)
    }

    fn packed_below(
        &self,
        prefix: &str,
        asked: Asked<'_>,
        found: &mut Peeled,
    ) -> Result<(), GitError> {
        // A hundred thousand tags: each line is looked at once, and only those that are asked for are read.
        let bytes = fs::read(self.common_dir.join("packed-refs")).unwrap_or_default();
        let digits = self.repo.object_hash().len_in_hex();
        if let Some(plain) = plainly_packed(&bytes, digits, prefix.as_bytes(), asked) {
            found.extend(plain);
            return Ok(());
        }
        let Some(packed) = self.packed()? else { return Ok(()) };
        let listed =
            packed.iter_prefixed(prefix.into()).map_err(|e| ref_error("packed-refs", &told(&e)))?;
        for entry in listed {
            let entry = entry.map_err(|e| ref_error("packed-refs", &told(&e)))?;
            let name = entry.name.as_bstr();
            if asked(name) {
                let peeled = entry.object.map(|_| oid(entry.object()));
                let target = Target::Object(oid(entry.target()));
                found.insert(name.to_vec(), (target, peeled));
            }
        }
        Ok(())
    }

    /// Follows symbolic refs to an object; `None` if the last of them names a ref that is not there.
    pub(super) fn follow(&self, name: &str, target: Target) -> Result<Option<Oid>, GitError> {
        let mut target = target;
        for _ in 0..MOST_HOPS {
            match target {
                Target::Object(id) => return Ok(Some(id)),
                Target::Broken(problem) => return Err(ref_error(name, &problem)),
                Target::Symbolic(next) => match self.raw_ref(&next)? {
                    Some(Target::Broken(problem)) => return Err(ref_error(&next, &problem)),
                    Some(found) => target = found,
                    None => return Ok(None),
                },
            }
        }
        Err(ref_error(name, "its symbolic refs form a cycle"))
    }

    /// The file of a ref. `HEAD` and its like belong to the work tree, all others to the repository.
    pub(super) fn ref_path(&self, name: &str) -> PathBuf {
        let own = ["refs/bisect/", "refs/worktree/", "refs/rewritten/"];
        if !name.starts_with("refs/") || own.iter().any(|prefix| name.starts_with(prefix)) {
            self.git_dir.join(name)
        } else {
            self.common_dir.join(name)
        }
    }

    /// `packed-refs`, opened again each time: gix's own cache goes by the file's time, which two quick
    /// changes may share.
    pub(super) fn packed(&self) -> Result<Option<gix::refs::packed::Buffer>, GitError> {
        let path = self.common_dir.join("packed-refs");
        match fs::metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(GitError::Io { path, source }),
            Ok(meta) if meta.len() == 0 => return Ok(None),
            Ok(_) => {}
        }
        gix::refs::packed::Buffer::open(path, 32 * 1024, self.repo.object_hash())
            .map(Some)
            .map_err(|e| ref_error("packed-refs", &told(&e)))
    }

    fn walk(
        &self,
        dir: &Path,
        prefix: &[u8],
        asked: Asked<'_>,
        found: &mut BTreeMap<Vec<u8>, Target>,
    ) -> Result<(), GitError> {
        let failed = |source| GitError::Io { path: dir.to_owned(), source };
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if absent(&e) => return Ok(()),
            Err(source) => return Err(failed(source)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let file_name = entry.file_name();
            let mut name = [prefix, file_name.as_bytes()].concat();
            // A writer's lock is not a ref.
            if name.ends_with(b".lock") {
                continue;
            }
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                name.push(b'/');
                if asked(&name) {
                    self.walk(&entry.path(), &name, asked, found)?;
                }
                continue;
            }
            if !asked(&name) {
                continue;
            }
            let target = if gix::refs::FullName::try_from(name.as_bstr()).is_err() {
                Target::Broken("git does not allow this name".to_owned())
            } else {
                match self.read_loose(&entry.path()) {
                    Ok(target) => target,
                    Err(GitError::Io { source, .. }) if absent(&source) => continue,
                    Err(e) => Target::Broken(e.to_string()),
                }
            };
            found.insert(name, target);
        }
        Ok(())
    }

    fn read_loose(&self, path: &Path) -> Result<Target, GitError> {
        let failed = |source| GitError::Io { path: path.to_owned(), source };
        let kind = fs::symlink_metadata(path).map_err(failed)?.file_type();
        if !kind.is_file() {
            return Ok(Target::Broken("its file is not a regular file".to_owned()));
        }
        let bytes = files::read_state(path).map_err(failed)?;
        Ok(parse(&bytes, self.repo.object_hash().len_in_hex()))
    }
}

/// The refs of `packed-refs` below a prefix that are asked for. `None` where the file is not as git writes it since it
/// sorts the refs and peels all of them, or names one that no ref may have.
fn plainly_packed(
    bytes: &[u8],
    digits: usize,
    prefix: &[u8],
    asked: Asked<'_>,
) -> Option<Vec<PackedRef>> {
    let id = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<Oid>().ok();
    let mut found: Vec<PackedRef> = Vec::new();
    // Whether the line before this one names a ref, and one that was asked for.
    let mut before = None;
    let mut lines = bytes.strip_suffix(b"\n")?.split_str(b"\n");
    let head = lines.next()?.strip_prefix(b"# pack-refs with:")?;
    let has = |word: &[u8]| head.split_str(b" ").any(|found| found == word);
    if !has(b"fully-peeled") || !has(b"sorted") {
        return None;
    }
    for line in lines {
        if let Some(peeled) = line.strip_prefix(b"^") {
            if before.take()? {
                found.last_mut()?.1.1 = Some(id(peeled).filter(|_| peeled.len() == digits)?);
            }
            continue;
        }
        let (object, name) = line.split_at_checked(digits)?;
        let name = name.strip_prefix(b" ")?;
        let wanted = name.starts_with(prefix) && asked(name);
        if wanted {
            gix::refs::FullName::try_from(name.as_bstr()).ok()?;
            found.push((name.to_vec(), (Target::Object(id(object)?), None)));
        }
        before = Some(wanted);
    }
    Some(found)
}

/// Reads a ref file's content.
fn parse(bytes: &[u8], digits: usize) -> Target {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Target::Broken("its file is empty, for example after a power cut".to_owned());
    }
    if let Some(name) = bytes.strip_prefix(b"ref:") {
        return match std::str::from_utf8(name.trim()) {
            Ok(name) if plausible(name) => Target::Symbolic(name.to_owned()),
            _ => Target::Broken("it points to a name that git does not allow".to_owned()),
        };
    }
    let line = bytes.split(|b| b.is_ascii_whitespace()).next().unwrap_or_default();
    let id = std::str::from_utf8(line).ok().filter(|text| text.len() == digits);
    match id.and_then(|text| text.to_ascii_lowercase().parse::<Oid>().ok()) {
        Some(id) if id.as_str().bytes().all(|b| b == b'0') => {
            Target::Broken("its file holds only zeros".to_owned())
        }
        Some(id) => Target::Object(id),
        None => Target::Broken("its file holds no object id".to_owned()),
    }
}

/// Whether a name can be looked for at all: it may not leave the git directory.
fn plausible(name: &str) -> bool {
    let pseudo = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    pseudo
        || (name.starts_with("refs/")
            && (name.len() > 5 || name == "refs/")
            && gix::refs::FullName::try_from(name).is_ok())
        || name == "refs"
}

fn absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// git removes directories that a deletion empties.
fn sync_if_there(dir: &Path) -> Result<(), GitError> {
    match sync_dir(dir) {
        Err(GitError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn ref_error(name: &str, problem: &(impl std::fmt::Display + ?Sized)) -> GitError {
    GitError::Ref { name: name.to_owned(), problem: problem.to_string() }
}
