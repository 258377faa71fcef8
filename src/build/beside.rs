//! What a build writes beside its outputs: such files are not put in place, so where the live tree has others, the
//! app would serve with those of another version. The same goes for files of the commit that it writes anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::BuildError;
use super::outputs::is_packages;
use crate::config::{self, Patterns};
use crate::model::{BuildStep, Digest, RepoPath, TreeEntry, TreeMode};
use crate::system::files::{self, Beneath, Census, DirEntryAt, FileKind, FileStat};
use crate::system::git::Git;
use crate::system::removal;

/// More files than this are not noted one by one.
const NOTED: usize = 1000;
/// Larger files are not noted.
const LARGE: u64 = 8 << 20;

/// What is in the stage and is neither of the commit nor declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Beside {
    /// What the live tree has in another version, each as it would have to be declared.
    pub(super) differing: Vec<RepoPath>,
    /// What the live tree does not have.
    pub(super) missing: Vec<RepoPath>,
    /// All files with their contents, unless there are too many.
    pub(super) files: BTreeMap<RepoPath, Digest>,
}

type At<T> = Result<T, (PathBuf, io::Error)>;

/// Looks at what the commands of `step` left in the stage; `tracked` are the commit's paths, sorted.
pub(super) fn look(
    step: &BuildStep,
    tracked: &[(RepoPath, TreeEntry)],
    stage: &Beneath,
    live: &Path,
) -> At<Beside> {
    let live_top = Beneath::open(live).map_err(|e| (live.to_owned(), e))?;
    let declared = step.all_outputs().chain(&step.of_others).chain(&step.carry).collect();
    let scratch = config::patterns(&step.scratch);
    let walk = Walk { stage, tracked, declared, scratch };
    let mut roots = Vec::new();
    walk.directory(None, &mut roots)?;
    let mut beside = Beside::default();
    let mut noted = 0;
    for root in &roots {
        let mut leaves = Vec::new();
        walk.leaves(root, &mut leaves)?;
        if leaves.is_empty() {
            continue;
        }
        let (taken, rest): (Vec<RepoPath>, Vec<RepoPath>) = leaves
            .iter()
            .cloned()
            .partition(|leaf| step.leaving.iter().any(|output| leaf.starts_with(output)));
        if !taken.is_empty() {
            let outputs = step.leaving.iter();
            let named = outputs.filter(|o| taken.iter().any(|leaf| leaf.starts_with(o)));
            beside.differing.extend(named.cloned());
        }
        if rest.is_empty() {
            continue;
        }
        let leaves = rest;
        match compare(stage, &live_top, root, &leaves)? {
            Compared::Same => {}
            Compared::Missing => beside.missing.push(root.clone()),
            Compared::Differing(paths) => beside.differing.extend(paths),
        }
        noted += leaves.len();
        for leaf in leaves.iter().filter(|_| noted <= NOTED) {
            if let Some(digest) = digest(stage, leaf)? {
                beside.files.insert(leaf.clone(), digest);
            }
        }
    }
    Ok(beside)
}

/// Whether the live tree has `files` as they were then, as far as it has them at all and none of `besides` brings them.
pub(super) fn is_unchanged(
    files: &BTreeMap<RepoPath, Digest>,
    live: &Path,
    besides: &[RepoPath],
) -> At<bool> {
    if files.is_empty() {
        return Ok(true);
    }
    let top = Beneath::open(live).map_err(|e| (live.to_owned(), e))?;
    let stays = |path: &RepoPath| !besides.iter().any(|other| path.starts_with(other));
    for (path, then) in files.iter().filter(|(path, _)| stays(path)) {
        if digest(&top, path)?.is_some_and(|now| now != *then) {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Walk<'a> {
    stage: &'a Beneath,
    tracked: &'a [(RepoPath, TreeEntry)],
    declared: BTreeSet<&'a RepoPath>,
    scratch: Patterns,
}

impl Walk<'_> {
    /// The outermost paths below a directory of the commit that are not the commit's.
    fn directory(&self, dir: Option<&RepoPath>, roots: &mut Vec<RepoPath>) -> At<()> {
        for path in self.below(dir)? {
            if self.tracked.binary_search_by(|(tracked, _)| tracked.cmp(&path)).is_ok() {
                continue;
            }
            if self.holds_tracked(&path) {
                self.directory(Some(&path), roots)?;
            } else {
                roots.push(path);
            }
        }
        Ok(())
    }

    /// The files and links at or below a path that count.
    fn leaves(&self, path: &RepoPath, leaves: &mut Vec<RepoPath>) -> At<()> {
        match find(self.stage, path)?.map(|found| found.kind) {
            Some(FileKind::Directory) => {
                for inner in self.below(Some(path))? {
                    self.leaves(&inner, leaves)?;
                }
            }
            Some(FileKind::File | FileKind::Symlink) => leaves.push(path.clone()),
            Some(FileKind::Other) | None => {}
        }
        Ok(())
    }

    /// What is in a directory, without what is declared and what is not a part of any version.
    fn below(&self, dir: Option<&RepoPath>) -> At<Vec<RepoPath>> {
        let names = match dir {
            Some(dir) => match self.stage.entry(dir).map_err(|e| (at(self.stage, dir), e))? {
                Some(spot) => spot.names().map_err(|e| (spot.path().to_owned(), e))?,
                None => Vec::new(),
            },
            None => names_of_top(self.stage)?,
        };
        let mut paths = Vec::new();
        let marked = dir.is_some() && names.iter().any(|name| name == b"CACHEDIR.TAG");
        for name in names.into_iter().filter(|_| !marked) {
            let path = match dir {
                Some(dir) => dir.join(&name),
                None => RepoPath::new(name.clone()),
            };
            // What git itself could not hold, its own directory among it, is not a part of the app.
            let Ok(path) = path else { continue };
            let passed_over =
                path.is_cache() || self.declared.contains(&path) || self.scratch.covers(&path);
            if !passed_over {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn holds_tracked(&self, dir: &RepoPath) -> bool {
        let prefix = [dir.as_bytes(), b"/"].concat();
        let first = self.tracked.partition_point(|(path, _)| path.as_bytes() < prefix.as_slice());
        self.tracked.get(first).is_some_and(|(path, _)| path.as_bytes().starts_with(&prefix))
    }
}

/// What tells that nobody wrote a file: where it is, its size, the times of its content and of itself.
type Mark = (u64, u64, (i64, i64), (i64, i64));

/// The files of the commit in the stage as they are before a build's commands run.
pub(super) struct Before<'a> {
    tracked: &'a [(RepoPath, TreeEntry)],
    marks: Vec<Option<Mark>>,
}

impl<'a> Before<'a> {
    pub(super) fn of(stage: &Beneath, tracked: &'a [(RepoPath, TreeEntry)]) -> Self {
        let marks = tracked.iter().map(|(path, _)| mark(stage, path)).collect();
        Self { tracked, marks }
    }

    /// Those that the commands of `step` wrote other bytes into and that the app may read: it would read the
    /// committed ones.
    pub(super) fn rewritten(
        &self,
        step: &BuildStep,
        git: &Git,
        stage: &Beneath,
    ) -> Result<Vec<RepoPath>, BuildError> {
        let scratch = config::patterns(&step.scratch);
        let carried = |path: &RepoPath| step.carry.contains(path);
        let mut rewritten = Vec::new();
        for ((path, entry), before) in self.tracked.iter().zip(&self.marks) {
            let is_file = matches!(entry.mode, TreeMode::File | TreeMode::Executable);
            let now = if is_file { mark(stage, path) } else { None };
            // One that is gone is in nobody's way in the live tree.
            if now.is_none() || now == *before || is_of_tools(path) || carried(path) {
                continue;
            }
            if scratch.covers(path) {
                continue;
            }
            let committed = git.small_blob(&entry.id, LARGE)?;
            let written = match stage.read_plain(path, LARGE) {
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => None,
                // No file any more.
                Err(_) => continue,
                Ok(bytes) => Some(bytes),
            };
            if committed.is_none() || committed != written {
                rewritten.push(path.clone());
            }
        }
        Ok(rewritten)
    }
}

fn mark(stage: &Beneath, path: &RepoPath) -> Option<Mark> {
    let found = stage.path().join(path.as_path()).symlink_metadata().ok()?;
    let modified = (found.mtime(), found.mtime_nsec());
    found
        .is_file()
        .then(|| (found.ino(), found.size(), modified, (found.ctime(), found.ctime_nsec())))
}

/// Whether tools write a file anew on the way, and no app reads it at run time: lock files, settings and declarations
/// of compilers, documents.
fn is_of_tools(path: &RepoPath) -> bool {
    const NAMES: [&str; 17] = [
        "package-lock.json",
        "npm-shrinkwrap.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "bun.lock",
        "bun.lockb",
        "Cargo.lock",
        "composer.lock",
        "Gemfile.lock",
        "poetry.lock",
        "pdm.lock",
        "uv.lock",
        "Pipfile.lock",
        "go.mod",
        "go.sum",
        "tsconfig.json",
        ".gitignore",
    ];
    const ENDS: [&str; 4] = [".d.ts", ".tsbuildinfo", ".md", ".log"];
    let name = path.as_path().file_name().unwrap_or_default().to_string_lossy();
    path.is_cache() || NAMES.contains(&&*name) || ENDS.iter().any(|end| name.ends_with(end))
}

/// What lies in the directory for builds and is not gitroll's own, before a build's commands run.
pub(super) struct Around {
    dir: PathBuf,
    names: BTreeSet<String>,
    since: (i64, u32),
}

impl Around {
    /// `None` where the directory is not for this user alone: others may write there.
    pub(super) fn of(stage: &Path) -> io::Result<Option<Self>> {
        let Some(dir) = stage.parent() else { return Ok(None) };
        if dir.metadata()?.mode() & 0o077 != 0 {
            return Ok(None);
        }
        // The clock of files goes a little after.
        let since = (jiff::Timestamp::now().as_second() - 1, 0);
        Ok(Some(Self { dir: dir.to_owned(), names: strangers(dir)?, since }))
    }

    /// Takes away what the commands put there meanwhile, beside the stage as they would beside the app.
    pub(super) fn take_away(&self) -> io::Result<Vec<String>> {
        let mut written = Vec::new();
        for name in strangers(&self.dir)? {
            let path = self.dir.join(&name);
            let spot = DirEntryAt::try_from(path.as_path())?;
            let latest = Census::of(&spot)?.map(|census| census.latest);
            if self.names.contains(&name) && latest.is_none_or(|latest| latest < self.since) {
                continue;
            }
            removal::set_aside(&path)?;
            written.push(name);
        }
        Ok(written)
    }
}

fn strangers(dir: &Path) -> io::Result<BTreeSet<String>> {
    const OWN: [&str; 3] = ["stage-", "rehearsal-", "points"];
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(dir)? {
        // A name that is no text is left alone.
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if !removal::is_aside(&name) && !OWN.iter().any(|own| name.starts_with(own)) {
            names.insert(name);
        }
    }
    Ok(names)
}

enum Compared {
    Same,
    /// The live tree has nothing of it, or a link of its own to somewhere else.
    Missing,
    Differing(Vec<RepoPath>),
}

/// Compares what is at `root` in the stage with the live tree. What only the live tree has below it is no matter.
fn compare(stage: &Beneath, live: &Beneath, root: &RepoPath, leaves: &[RepoPath]) -> At<Compared> {
    const SHOWN: usize = 5;
    match live.find(root) {
        Ok(Some(found)) => {
            let is_directory = find(stage, root)?.is_some_and(|f| f.kind == FileKind::Directory);
            if found.kind == FileKind::Symlink && is_directory {
                return Ok(Compared::Missing);
            }
        }
        Ok(None) => return Ok(Compared::Missing),
        Err(error) if files::is_symbolic_link_error(&error) => return Ok(Compared::Missing),
        Err(error) => return Err((at(live, root), error)),
    }
    let mut differing = Vec::new();
    for leaf in leaves {
        if !is_same(stage, live, leaf)? {
            differing.push(leaf.clone());
            if is_packages(root) || differing.len() == SHOWN {
                break;
            }
        }
    }
    if differing.is_empty() {
        return Ok(Compared::Same);
    }
    // Declared as a whole it is replaced as a whole: not where the live tree keeps files of its own there.
    let whole = is_packages(root) || !holds_more(live, root, leaves)?;
    Ok(Compared::Differing(if whole { vec![root.clone()] } else { differing }))
}

/// Whether the live tree has a file below `root` that is not among `leaves`, caches aside.
fn holds_more(live: &Beneath, root: &RepoPath, leaves: &[RepoPath]) -> At<bool> {
    let Some(spot) = live.entry(root).map_err(|e| (at(live, root), e))? else { return Ok(false) };
    match spot.find().map_err(|e| (spot.path().to_owned(), e))?.map(|found| found.kind) {
        Some(FileKind::Directory) => {
            for name in spot.names().map_err(|e| (spot.path().to_owned(), e))? {
                let Ok(inner) = root.join(&name) else { return Ok(true) };
                if !inner.is_cache() && holds_more(live, &inner, leaves)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Some(_) => Ok(leaves.binary_search(root).is_err()),
        None => Ok(false),
    }
}

fn is_same(stage: &Beneath, live: &Beneath, path: &RepoPath) -> At<bool> {
    let Some((a, b)) = entry(stage, path)?.zip(entry(live, path)?) else { return Ok(false) };
    let ((a, made), (b, there)) = (a, b);
    if made.kind != there.kind {
        return Ok(false);
    }
    let at = |error| (b.path().to_owned(), error);
    if made.kind == FileKind::Symlink {
        let (made, there) = (a.read_link().map_err(at)?, b.read_link().map_err(at)?);
        // A full path into the stage means the same place of the live tree.
        let inside = made.strip_prefix(stage.path().as_os_str().as_encoded_bytes());
        let moved = inside.map(|rest| [live.path().as_os_str().as_encoded_bytes(), rest].concat());
        return Ok(made == there || moved == Some(there));
    }
    if made.size != there.size || (made.mode ^ there.mode) & 0o100 != 0 {
        return Ok(false);
    }
    let ((a, _), (b, _)) = (a.open_file().map_err(at)?, b.open_file().map_err(at)?);
    same_bytes(a, b).map_err(|error| (self::at(live, path), error))
}

fn same_bytes(mut a: File, mut b: File) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let read = a.read(&mut left)?;
        let Some(wanted) = left.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(b.read(&mut right)? == 0);
        };
        let Some(there) = right.get_mut(..read) else { return Ok(false) };
        match b.read_exact(there) {
            Ok(()) if there == wanted => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Of a regular file that is not large.
fn digest(top: &Beneath, path: &RepoPath) -> At<Option<Digest>> {
    match entry(top, path)? {
        Some((spot, found)) if found.kind == FileKind::File && found.size <= LARGE => {
            let bytes = spot.read().map_err(|e| (spot.path().to_owned(), e))?;
            Ok(Some(Digest::of(&bytes)))
        }
        _ => Ok(None),
    }
}

fn entry(top: &Beneath, path: &RepoPath) -> At<Option<(DirEntryAt, FileStat)>> {
    let spot = match top.entry(path) {
        Err(error) if files::is_symbolic_link_error(&error) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        spot => spot.map_err(|e| (at(top, path), e))?,
    };
    let Some(spot) = spot else { return Ok(None) };
    let found = spot.find().map_err(|e| (spot.path().to_owned(), e))?;
    Ok(found.map(|found| (spot, found)))
}

fn find(top: &Beneath, path: &RepoPath) -> At<Option<FileStat>> {
    Ok(entry(top, path)?.map(|(_, found)| found))
}

fn names_of_top(top: &Beneath) -> At<Vec<Vec<u8>>> {
    use std::os::unix::ffi::OsStringExt as _;
    let failed = |error| (top.path().to_owned(), error);
    let entries = std::fs::read_dir(top.path()).map_err(failed)?;
    entries.map(|entry| Ok(entry.map_err(failed)?.file_name().into_vec())).collect()
}

fn at(top: &Beneath, path: &RepoPath) -> PathBuf {
    top.path().join(path.as_path())
}
