//! The files that the app reads and no commit has: `.env`, what builds carry, the files of flags, tracked files that
//! stay as they are on this host. A mark of each is kept with a proof, so that a later look can name what changed. No
//! mark tells what a file holds: it is keyed with random bytes that never leave this host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;

use super::bound::{Site, environment_files};
use super::host_key::{key, read_key};
use crate::config::Config;
use crate::model::{Digest, Oid, OutsideFile, OutsideFiles, RepoPath, dotenv};
use crate::system::files;
use crate::system::git::GitError;

/// What is longer is not read: no file of settings.
const MOST_BYTES: u64 = 1 << 20;

/// A file that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    pub path: RepoPath,
    /// When it was written last; `None` if it is gone.
    pub at: Option<Timestamp>,
    /// The variables that were changed, added or removed, where it is a file of variables.
    pub names: Vec<String>,
}

/// The marks of these files as they lie there now; `None` if this host can keep no key to make them with.
///
/// # Errors
/// When the tree of `commit` cannot be read.
pub fn outside_files(
    site: &Site,
    config: &Config,
    commit: &Oid,
) -> Result<Option<OutsideFiles>, GitError> {
    key(&site.state()).ok().map(|key| marked(site, config, commit, &key)).transpose()
}

/// The files that changed since `before` was noted. Nothing where this host's key is another one by now: nobody can tell.
///
/// # Errors
/// As [`outside_files`].
pub fn changed_since(
    site: &Site,
    config: &Config,
    commit: &Oid,
    before: &OutsideFiles,
) -> Result<Vec<ChangedFile>, GitError> {
    let Ok(key) = read_key(&site.state()) else { return Ok(Vec::new()) };
    if before.key != key_id(&key) {
        return Ok(Vec::new());
    }
    let now = marked(site, config, commit, &key)?;
    let find = |list: &[OutsideFile], path: &RepoPath| {
        list.iter().find(|file| file.path == *path).cloned()
    };
    let all = before.files.iter().chain(&now.files).map(|file| file.path.clone());
    let all: BTreeSet<RepoPath> = all.collect();
    let changed = all.into_iter().filter_map(|path| {
        let (was, is) = (find(&before.files, &path), find(&now.files, &path));
        if was.as_ref().map(|file| &file.mark) == is.as_ref().map(|file| &file.mark) {
            return None;
        }
        let variables = |file: &Option<OutsideFile>| {
            file.as_ref().map(|file| file.variables.clone()).unwrap_or_default()
        };
        let (was, is) = (variables(&was), variables(&is));
        let names: BTreeSet<String> = was.keys().chain(is.keys()).cloned().collect();
        let names = names.into_iter().filter(|name| was.get(name) != is.get(name)).collect();
        let written = site.top().join(path.as_path()).metadata().and_then(|file| file.modified());
        let at = written.ok().and_then(|at| Timestamp::try_from(at).ok());
        Some(ChangedFile { path, at, names })
    });
    Ok(changed.collect())
}

fn marked(site: &Site, config: &Config, commit: &Oid, key: &str) -> Result<OutsideFiles, GitError> {
    let local = site.local(config);
    let tracked = if local.is_empty() { Vec::new() } else { site.git.entries(commit)? };
    let kept = tracked.iter().map(|(path, _)| path).filter(|path| local.matches(path));
    let plain = kept.filter_map(|path| mark(site, path, key, false));
    let environment = environment_files(config).into_iter();
    let environment = environment.filter_map(path_of).collect::<Vec<_>>();
    let variables = environment.iter().filter_map(|path| mark(site, path, key, true));
    let mut found: BTreeMap<RepoPath, OutsideFile> = BTreeMap::new();
    for file in plain.chain(variables) {
        found.insert(file.path.clone(), file);
    }
    Ok(OutsideFiles { key: key_id(key), files: found.into_values().collect() })
}

/// `None` if there is none, or none that holds settings.
fn mark(site: &Site, path: &RepoPath, key: &str, of_variables: bool) -> Option<OutsideFile> {
    let bytes = files::read_plain(&site.top().join(path.as_path()), MOST_BYTES).ok()?;
    if bytes.contains(&0) {
        return None;
    }
    let keyed = |what: &str, bytes: &[u8]| {
        let begin = format!("{key}\0{path}\0{what}\0");
        let inner = Digest::of(&[begin.as_bytes(), bytes].concat()).hex();
        Digest::of(format!("{key}\0{inner}").as_bytes()).hex()[..16].to_owned()
    };
    let pairs = if of_variables { dotenv::values(&bytes) } else { BTreeMap::new() };
    let variables =
        pairs.iter().map(|(name, value)| (name.clone(), keyed(name, value.as_bytes()))).collect();
    Some(OutsideFile { path: path.clone(), mark: keyed("", &bytes), variables })
}

fn path_of(path: &Path) -> Option<RepoPath> {
    use std::os::unix::ffi::OsStrExt as _;
    RepoPath::new(path.as_os_str().as_bytes()).ok()
}

/// What tells one key from another and tells nothing of it.
fn key_id(key: &str) -> String {
    Digest::of(format!("{key}\0which").as_bytes()).hex()[..16].to_owned()
}
