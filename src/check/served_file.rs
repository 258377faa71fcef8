//! A file of the live tree that an answer must be: what tells one release of a static site from another.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Check, CheckKind};
use crate::model::{CheckName, Digest, RepoPath};
use crate::system::files::Beneath;

use super::judgement::Judgement;

/// A file that answers are compared with.
#[derive(Debug, Clone)]
pub(super) struct ServedFile {
    top: PathBuf,
    path: RepoPath,
    most: u64,
    /// What it was before the run.
    before: Option<Digest>,
}

impl ServedFile {
    pub(super) fn new(top: &Path, path: &RepoPath, most: u64, before: Option<Digest>) -> Self {
        Self { top: top.to_owned(), path: path.clone(), most, before }
    }

    /// `judged`, unless the body is not the file. An answer that is the file shows the intended version where the run
    /// changed the file: one that did not change is answered by what served before, too.
    pub(super) fn judge(&self, body: &[u8], judged: Judgement) -> Judgement {
        if !judged.ok {
            return judged;
        }
        let path = &self.path;
        match read(&self.top, path, self.most) {
            Err(error) => Judgement::unaskable(format!("{path}: {error}")),
            Ok(bytes) if bytes != body => Judgement {
                wrong_version: true,
                ..Judgement::failed(format!("is not {path} of this tree"))
            },
            Ok(bytes) => {
                let changed = self.before.as_ref() != Some(&Digest::of(&bytes));
                Judgement { told: judged.told || changed, ..judged }
            }
        }
    }
}

/// The digests of the files that checks compare answers with, as they are now. What cannot be read is left out.
pub fn served_files(checks: &[Check], top: &Path) -> BTreeMap<CheckName, Digest> {
    let file = |check: &Check| {
        let CheckKind::Http(http) = &check.kind else { return None };
        let bytes = read(top, http.file.as_ref()?, http.max_bytes).ok()?;
        Some((check.name.clone(), Digest::of(&bytes)))
    };
    checks.iter().filter_map(file).collect()
}

fn read(top: &Path, path: &RepoPath, most: u64) -> io::Result<Vec<u8>> {
    Beneath::open(top)?.read_plain(path, most)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_a_witness_only_where_the_run_changed_it() {
        let top = tempfile::tempdir().unwrap();
        std::fs::write(top.path().join("index.html"), "two").unwrap();
        let path = RepoPath::new("index.html").unwrap();
        let judge = |before: Option<&[u8]>, body: &[u8]| {
            let file = ServedFile::new(top.path(), &path, 64, before.map(Digest::of));
            file.judge(body, Judgement::fine("200"))
        };
        let changed = judge(Some(b"one"), b"two");
        assert!(changed.ok && changed.told);
        let new = judge(None, b"two");
        assert!(new.ok && new.told);
        let unchanged = judge(Some(b"two"), b"two");
        assert!(unchanged.ok && !unchanged.told, "what served before answers so, too");
        let other = judge(Some(b"one"), b"one");
        assert!(!other.ok && other.wrong_version && !other.told);
        std::fs::write(top.path().join("index.html"), [b'x'; 65]).unwrap();
        assert!(!judge(None, &[b'x'; 65]).ok, "it is larger than a body may be");
    }
}
