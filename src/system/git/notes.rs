//! Notes, in the very layout of `git notes`.

use std::io::Read;
use std::thread;
use std::time::Duration;

use gix::bstr::ByteSlice;
use gix::note::plumbing::State;
use gix::objs::{Data, Find, Kind, Write};

use crate::model::{Oid, Person};

use super::read::{gix_id, object_error};
use super::refs::oid;
use super::{Git, GitError, ObjectKind, RefEdit};

/// How often a write is tried again after another writer was quicker.
const TRIES: u64 = 40;

const MOST_BYTES: u64 = 16 << 20;

impl Git {
    /// Sets the note of `object` in the notes ref to `text` (compare and swap, retried).
    ///
    /// # Errors
    /// `Ref` when the notes ref cannot be moved, `Object`, `Io`.
    pub fn set_note(
        &self,
        notes_ref: &str,
        object: &Oid,
        text: &str,
        person: &Person,
    ) -> Result<(), GitError> {
        let mut tries = 0;
        loop {
            let old = self.find_ref(notes_ref)?;
            let edit = match self.with_note(old.as_ref(), object, text, person)? {
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

    /// A commit on `old` that gives `object` this note; `None` where it has it already.
    fn with_note(
        &self,
        old: Option<&Oid>,
        object: &Oid,
        text: &str,
        person: &Person,
    ) -> Result<Option<Oid>, GitError> {
        let failed = |e: gix::Error| object_error(object, &format!("its note: {e:#}"));
        let key = gix_id(object).ok_or_else(|| object_error(object, "it is no id here"))?;
        let objects = Durable(self);
        let mut state = self.notes_at(old, &objects)?;
        let blob = self.write_object(ObjectKind::Blob, text.as_bytes())?;
        let blob_key = gix_id(&blob).ok_or_else(|| object_error(&blob, "it is no id here"))?;
        if self.note_blob(&mut state, object, &objects)? == Some(blob_key) {
            return Ok(None);
        }
        state.edit(key, Some(blob_key), &objects).map_err(failed)?;
        let tree = state.write(&objects).map(oid).map_err(failed)?;
        let parents: Vec<Oid> = old.cloned().into_iter().collect();
        self.write_commit(&tree, &parents, person, "Notes added by gitroll\n").map(Some)
    }

    fn notes_at(&self, tip: Option<&Oid>, objects: &Durable<'_>) -> Result<State, GitError> {
        let tree = match tip {
            Some(tip) => self.tree_of(tip)?,
            None => self.write_tree(&[])?,
        };
        let key = gix_id(&tree).ok_or_else(|| object_error(&tree, "it is no id here"))?;
        State::new(key, objects).map_err(|e| object_error(&tree, &format!("{e:#}")))
    }

    fn note_blob(
        &self,
        state: &mut State,
        object: &Oid,
        objects: &Durable<'_>,
    ) -> Result<Option<gix::ObjectId>, GitError> {
        let key = gix_id(object).ok_or_else(|| object_error(object, "it is no id here"))?;
        state.get(&key, objects).map_err(|e| object_error(object, &format!("its note: {e:#}")))
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
#[path = "notes_tests.rs"]
mod tests;
