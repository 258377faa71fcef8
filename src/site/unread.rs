//! Files of the tree that no service reads: what changes them alone leaves a process what it was.

use std::collections::BTreeSet;

use super::bound::Site;
use crate::model::{Oid, RepoPath, TreeMode};
use crate::system::git::GitError;

/// Beyond this size a file is not searched.
const MOST: u64 = 1 << 20;

const DOCUMENTS: [&str; 4] = ["md", "markdown", "rst", "adoc"];

/// Whether a file is there for gitroll, git or a forge alone.
pub fn of_tools(path: &RepoPath) -> bool {
    let bytes = path.as_bytes();
    let names: [&[u8]; 4] = [b"gitroll.toml", b".gitignore", b".gitattributes", b".gitlab-ci.yml"];
    names.contains(&bytes) || bytes.starts_with(b".github/")
}

/// Whether none of these files of `commit` is read by a service. Beside files of tools those are documents, where no
/// other file of the tree says the ending of their names: what never asks for such a file does not read one.
///
/// # Errors
/// When the tree cannot be read.
pub fn all_unread<'p>(
    site: &Site,
    commit: &Oid,
    paths: impl IntoIterator<Item = &'p RepoPath>,
) -> Result<bool, GitError> {
    let mut endings = BTreeSet::new();
    for path in paths.into_iter().filter(|path| !of_tools(path)) {
        match ending(path) {
            Some(ending) => endings.insert(format!(".{ending}").into_bytes()),
            None => return Ok(false),
        };
    }
    if endings.is_empty() {
        return Ok(true);
    }
    for (path, entry) in site.git.entries(commit)? {
        if of_tools(&path) || ending(&path).is_some() {
            continue;
        }
        if !matches!(entry.mode, TreeMode::File | TreeMode::Executable) {
            return Ok(false);
        }
        let Some(bytes) = site.git.small_blob(&entry.id, MOST)? else { return Ok(false) };
        let says = |ending: &Vec<u8>| bytes.windows(ending.len()).any(|part| part == ending);
        if endings.iter().any(says) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The ending of a document's name, where documents about the app are: in other directories an app may well read all
/// files that it finds, its pages say, without naming their ending.
fn ending(path: &RepoPath) -> Option<&'static str> {
    let about = ["docs", "doc", ".github"].iter().any(|dir| path.as_path().starts_with(dir));
    if !about && path.as_path().components().count() > 1 {
        return None;
    }
    let ending = path.as_path().extension()?.to_str()?.to_ascii_lowercase();
    DOCUMENTS.into_iter().find(|document| *document == ending)
}
