//! The mask for new files that a tree shows: the one under which most of its tracked files seem to be made.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::model::{Oid, TreeMode};
use crate::system::git::Git;
use crate::system::umask;

/// More files say nothing more.
const MOST: usize = 2000;

/// The mask for new files in the tree at `commit`; the usual one where no file says anything.
pub fn tree_mask(git: &Git, commit: &Oid) -> u32 {
    let entries = git.entries(commit).unwrap_or_default();
    let plain = entries.iter().filter(|(_, entry)| entry.mode == TreeMode::File).take(MOST);
    let mut files = Counts::default();
    let mut directories = Counts::default();
    directories.count(git.top());
    let mut last = None;
    for (path, _) in plain {
        files.count(&git.top().join(path.as_path()));
        let dir = path.parent();
        if dir != last
            && let Some(dir) = &dir
        {
            directories.count(&git.top().join(dir.as_path()));
        }
        last = dir;
    }
    mask(files.most(), directories.most())
}

/// How often each mode was met.
#[derive(Default)]
struct Counts(BTreeMap<u32, usize>);

impl Counts {
    fn count(&mut self, path: &Path) {
        if let Ok(meta) = path.symlink_metadata()
            && !meta.is_symlink()
        {
            *self.0.entry(meta.permissions().mode() & 0o777).or_default() += 1;
        }
    }

    fn most(&self) -> Option<u32> {
        self.0.iter().max_by_key(|(_, count)| **count).map(|(mode, _)| *mode)
    }
}

/// Reading and writing as files show it, entering as directories do. Others never write, whatever is found.
fn mask(files: Option<u32>, directories: Option<u32>) -> u32 {
    let Some(files) = files else { return umask::USUAL };
    let enter = directories.map_or(0, |mode| !mode & 0o011);
    (!files & 0o066) | enter | 0o002
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn a_tree_shows_the_mask_that_it_was_made_under() {
        for (files, directories, wanted) in [
            (Some(0o644), Some(0o755), 0o022),
            (Some(0o664), Some(0o775), 0o002),
            (Some(0o640), Some(0o750), 0o027),
            (Some(0o600), Some(0o700), 0o077),
            (Some(0o444), Some(0o755), 0o022),
            (Some(0o666), Some(0o777), 0o002),
            (None, Some(0o700), 0o022),
        ] {
            assert_eq!(mask(files, directories), wanted, "{files:?} {directories:?}");
        }
    }
}
