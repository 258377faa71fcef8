//! Notes, in the very layout of `git notes`.

use std::collections::BTreeMap;
use std::io::Read;
use std::thread;
use std::time::Duration;

use gix::bstr::ByteSlice;
use gix::note::plumbing::State;
use gix::objs::{Data, Find, Kind, Write};

use crate::model::{Oid, Person, TreeMode};

use super::object::{ObjectKind, gix_id, object_error, oid, told};
use super::refs::RefEdit;
use super::repository::{Git, GitError};

/// How often a write is tried again after another writer was quicker.
const TRIES: u64 = 40;

const MOST_BYTES: u64 = 16 << 20;

impl Git {
    /// Sets the notes of objects in the notes ref, all in one commit (compare and swap, retried).
    ///
    /// # Errors
    /// `Ref` when the notes ref cannot be moved, `Object`, `Io`.
    pub fn set_notes(
        &self,
        notes_ref: &str,
        notes: &[(&Oid, String)],
        person: &Person,
    ) -> Result<(), GitError> {
        let texts: Vec<Vec<u8>> = notes.iter().map(|(_, text)| text.as_bytes().to_vec()).collect();
        let blobs = self.write_objects(ObjectKind::Blob, &texts)?;
        let notes: Vec<(&Oid, &Oid)> =
            notes.iter().zip(&blobs).map(|((object, _), blob)| (*object, blob)).collect();
        let mut tries = 0;
        loop {
            let old = self.find_ref(notes_ref)?;
            let edit = match self.with_notes(old.as_ref(), &notes, person)? {
                Some(new) => {
                    RefEdit { name: notes_ref.to_owned(), new: Some(new), old: old.clone() }
                }
                None => return Ok(()),
            };
            match self.update_refs(&[edit], "note") {
                Err(GitError::Ref { .. }) if tries < TRIES && self.find_ref(notes_ref)? != old => {
                    tries += 1;
                    thread::sleep(Duration::from_millis(tries));
                }
                other => return other,
            }
        }
    }

    /// The blob of each note in the notes ref, by the object that it is about.
    ///
    /// # Errors
    /// `Ref`, `Object`.
    pub fn notes(&self, notes_ref: &str) -> Result<BTreeMap<Oid, Oid>, GitError> {
        let Some(tip) = self.find_ref(notes_ref)? else { return Ok(BTreeMap::new()) };
        let mut notes = BTreeMap::new();
        for (path, entry) in self.entries(&tip)? {
            // Whoever writes notes by hand may put something else beside them.
            let about = String::from_utf8_lossy(path.as_bytes()).replace('/', "").parse();
            if let (Ok(about), TreeMode::File) = (about, entry.mode) {
                notes.insert(about, entry.id);
            }
        }
        Ok(notes)
    }

    /// The note of `object` in the notes ref.
    ///
    /// # Errors
    /// `Ref`, `Object`.
    pub fn note(&self, notes_ref: &str, object: &Oid) -> Result<Option<String>, GitError> {
        let Some(tip) = self.find_ref(notes_ref)? else { return Ok(None) };
        let objects = Durable(self);
        let mut state = self.notes_at(Some(&tip), &objects)?;
        self.note_blob(&mut state, object, &objects)?
            .map(|id| {
                let bytes = self.object(&oid(id), ObjectKind::Blob, MOST_BYTES)?;
                Ok(bytes.to_str_lossy().into_owned())
            })
            .transpose()
    }

    /// A commit on `old` that gives objects these blobs for notes; `None` if they have them already.
    fn with_notes(
        &self,
        old: Option<&Oid>,
        notes: &[(&Oid, &Oid)],
        person: &Person,
    ) -> Result<Option<Oid>, GitError> {
        let key =
            |id: &Oid| gix_id(id).ok_or_else(|| object_error(id, "it is not an object id here"));
        let objects = Durable(self);
        let mut state = self.notes_at(old, &objects)?;
        let mut last = None;
        for (object, blob) in notes {
            let (about, blob) = (key(object)?, key(blob)?);
            if self.note_blob(&mut state, object, &objects)? == Some(blob) {
                continue;
            }
            let failed = |e: gix::Error| object_error(object, &format!("its note: {}", told(&e)));
            state.edit(about, Some(blob), &objects).map_err(failed)?;
            last = Some(*object);
        }
        let Some(last) = last else { return Ok(None) };
        let failed = |e: gix::Error| object_error(last, &format!("its note: {}", told(&e)));
        let tree = state.write(&objects).map(oid).map_err(failed)?;
        let parents: Vec<Oid> = old.cloned().into_iter().collect();
        self.write_commit(&tree, &parents, person, "Notes added by gitroll\n").map(Some)
    }

    fn notes_at(&self, tip: Option<&Oid>, objects: &Durable<'_>) -> Result<State, GitError> {
        let tree = match tip {
            Some(tip) => self.tree_of(tip)?,
            None => self.write_tree(&[])?,
        };
        let key =
            gix_id(&tree).ok_or_else(|| object_error(&tree, "it is not an object id here"))?;
        State::new(key, objects).map_err(|e| object_error(&tree, &told(&e)))
    }

    fn note_blob(
        &self,
        state: &mut State,
        object: &Oid,
        objects: &Durable<'_>,
    ) -> Result<Option<gix::ObjectId>, GitError> {
        let key =
            gix_id(object).ok_or_else(|| object_error(object, "it is not an object id here"))?;
        state
            .get(&key, objects)
            .map_err(|e| object_error(object, &format!("its note: {}", told(&e))))
    }
}

/// The object database with writes that are synced before they are answered.
struct Durable<'a>(&'a Git);

impl Find for Durable<'_> {
    fn try_find<'a>(
        &self,
        id: &gix::oid,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Option<Data<'a>>, gix::Error> {
        self.0.repo.objects.try_find(id, buffer)
    }
}

impl Write for Durable<'_> {
    fn write_buf_with_known_id(
        &self,
        kind: Kind,
        bytes: &[u8],
        id: gix::ObjectId,
    ) -> Result<gix::ObjectId, gix::Error> {
        self.0.write_durably(kind, bytes).map(|_| id).map_err(gix::Error::from_error)
    }

    fn write_stream(
        &self,
        kind: Kind,
        size: u64,
        from: &mut dyn Read,
    ) -> Result<gix::ObjectId, gix::Error> {
        let mut bytes = Vec::new();
        from.take(size).read_to_end(&mut bytes).map_err(gix::Error::from_error)?;
        let id = self.0.write_durably(kind, &bytes).map_err(gix::Error::from_error)?;
        gix_id(&id).ok_or_else(|| {
            gix::Error::from_error(std::io::Error::other("an id of another repository format"))
        })
    }

    fn write_stream_with_known_id(
        &self,
        kind: Kind,
        size: u64,
        from: &mut dyn Read,
        _: gix::ObjectId,
    ) -> Result<gix::ObjectId, gix::Error> {
        self.write_stream(kind, size, from)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use crate::model::{Oid, Person};

    use super::super::testing::Repo;

    const NOTES: &str = "refs/notes/gitroll/production/web-1.k3f9";

    fn ana() -> Person {
        let time = Timestamp::from_second(1_767_323_045).unwrap();
        Person { name: "Ana".to_owned(), email: "ana@example.org".to_owned(), time }
    }

    #[test]
    fn a_note_reads_the_same_here_and_in_git() {
        let repo = Repo::new();
        let head = repo.id("HEAD");
        let git = repo.open();
        assert_eq!(git.note(NOTES, &head).unwrap(), None);
        git.set_notes(NOTES, &[(&head, "served\n".to_owned())], &ana()).unwrap();
        git.set_notes(NOTES, &[(&head, "served\nand left\n".to_owned())], &ana()).unwrap();
        assert_eq!(git.note(NOTES, &head).unwrap().as_deref(), Some("served\nand left\n"));
        let shown =
            repo.git(&["notes", "--ref", "gitroll/production/web-1.k3f9", "show", head.as_str()]);
        assert_eq!(shown, "served\nand left");
        let log = repo.git(&["log", "-1", "--format=%N", "--notes=gitroll/production/*"]);
        assert_eq!(log.trim_end(), "served\nand left");
        // The same again is not a new commit.
        let tip = repo.id(NOTES);
        git.set_notes(NOTES, &[(&head, "served\nand left\n".to_owned())], &ana()).unwrap();
        assert_eq!(repo.id(NOTES), tip);
        repo.git(&["fsck", "--strict", "--no-dangling"]);
    }

    #[test]
    fn many_notes_at_once_are_one_commit_and_every_one_of_them() {
        let repo = Repo::new();
        let tree = repo.id("HEAD^{tree}");
        let git = repo.open();
        let commits: Vec<_> = (0..600)
            .map(|n| git.write_commit(&tree, &[], &ana(), &format!("{n}\n")).unwrap())
            .collect();
        git.set_notes(NOTES, &[(&commits[0], "before\n".to_owned())], &ana()).unwrap();
        let notes: Vec<_> = commits.iter().map(|c| (c, format!("note on {c}\n"))).collect();
        git.set_notes(NOTES, &notes, &ana()).unwrap();
        assert_eq!(repo.git(&["rev-list", "--count", NOTES]), "2");
        let blobs = git.notes(NOTES).unwrap();
        assert_eq!(blobs.len(), commits.len());
        for (commit, text) in &notes {
            assert_eq!(git.note(NOTES, commit).unwrap().as_ref(), Some(text));
            let id = git.id_of(crate::system::git::ObjectKind::Blob, text.as_bytes()).unwrap();
            assert_eq!(blobs.get(*commit), Some(&id));
        }
        repo.git(&["fsck", "--strict", "--no-dangling"]);
    }

    #[test]
    fn many_notes_fan_out_as_git_would_lay_them() {
        let repo = Repo::new();
        let mut script = String::new();
        for n in 0..400 {
            script += &format!("commit refs/heads/many\ncommitter A <a@b> {n} +0000\ndata 1\nx\n");
        }
        repo.feed(&["fast-import", "--quiet"], script.as_bytes());
        let commits: Vec<Oid> =
            repo.git(&["rev-list", "many"]).lines().map(|line| line.parse().unwrap()).collect();
        let (few, most) = commits.split_at(12);
        repo.git(&["notes", "--ref=plain", "add", "-m", "copied", most[0].as_str()]);
        let copies: String = most[1..].iter().map(|id| format!("{} {id}\n", most[0])).collect();
        repo.feed(&["notes", "--ref=plain", "copy", "--stdin"], copies.as_bytes());
        repo.git(&["update-ref", NOTES, "refs/notes/plain"]);

        let git = repo.open();
        for commit in few {
            git.set_notes(NOTES, &[(commit, format!("note on {commit}\n"))], &ana()).unwrap();
            let text = format!("note on {commit}");
            repo.git(&["notes", "--ref=plain", "add", "-m", &text, commit.as_str()]);
        }
        let ours = repo.git(&["ls-tree", "-r", NOTES]);
        assert!(ours.lines().all(|line| line.matches('/').count() == 1), "no fan-out: {ours}");
        assert_eq!(
            ours,
            repo.git(&["ls-tree", "-r", "refs/notes/plain"]),
            "git lays them otherwise"
        );
    }

    #[test]
    fn writers_at_the_same_time_lose_no_note() {
        let repo = Repo::new();
        let tree = repo.id("HEAD^{tree}");
        let git = repo.open();
        let commits: Vec<_> = (0..40)
            .map(|n| git.write_commit(&tree, &[], &ana(), &format!("{n}\n")).unwrap())
            .collect();
        std::thread::scope(|scope| {
            for part in commits.chunks(10) {
                let repo = &repo;
                scope.spawn(move || {
                    let git = repo.open();
                    for commit in part {
                        git.set_notes(NOTES, &[(commit, "x\n".to_owned())], &ana()).unwrap();
                    }
                });
            }
        });
        for commit in &commits {
            assert_eq!(git.note(NOTES, commit).unwrap().as_deref(), Some("x\n"));
        }
    }
}
