//! Flags in a file, whatever its format.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::place::{FileOnDisk, Snapshot};
use super::undo::{Bytes, Undo, UndoState, UndoStore, left_alone};
use super::{FlagError, Value, document};
use crate::config::{DocumentFormat, FilePlace, FlagSourceKind};
use crate::model::{Digest, FlagName, dotenv};
use crate::service::Host;

/// How often a change is tried when something else changes the file at the same moment.
const TRIES: usize = 20;

/// A source that is a file.
pub(super) struct FlagFile<'a> {
    place: FileOnDisk,
    format: Format<'a>,
}

#[derive(Clone, Copy)]
enum Format<'a> {
    Dotenv,
    Document(DocumentFormat, &'a str),
}

impl<'a> FlagFile<'a> {
    /// The file of a source; `None` for a source that is not a file.
    pub(super) fn of(host: &Host<'_>, kind: &'a FlagSourceKind) -> Result<Option<Self>, FlagError> {
        let (file, format): (&FilePlace, _) = match kind {
            FlagSourceKind::Dotenv(file) => (file, Format::Dotenv),
            FlagSourceKind::Document { file, format, pointer } => {
                (file, Format::Document(*format, pointer))
            }
            FlagSourceKind::Http(_) | FlagSourceKind::Command { .. } => return Ok(None),
        };
        Ok(Some(Self { place: FileOnDisk::of(&host.top, file)?, format }))
    }

    pub(super) fn read(&self, names: &[FlagName]) -> Result<BTreeMap<FlagName, Value>, FlagError> {
        self.values(self.place.read()?.as_ref(), names.iter())
    }

    pub(super) fn list(&self) -> Result<Vec<FlagName>, FlagError> {
        let found = self.place.read()?;
        let bytes = found.as_ref().map_or(&[][..], |found| &found.bytes);
        let names: Vec<String> = match self.format {
            Format::Dotenv => dotenv::names(bytes),
            Format::Document(..) => {
                let entries = self.entries(found.as_ref())?.into_iter();
                entries.filter(|(_, value)| value.is_some()).map(|(name, _)| name).collect()
            }
        };
        Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    pub(super) fn change(
        &self,
        wanted: &[(FlagName, Value)],
        kept: &UndoStore<'_>,
    ) -> Result<Vec<String>, FlagError> {
        self.place.clean()?;
        for _ in 0..TRIES {
            let found = self.place.read()?;
            let now = self.values(found.as_ref(), wanted.iter().map(|(name, _)| name))?;
            let changes: Vec<_> = wanted
                .iter()
                .filter(|(name, value)| !now[name].same(value))
                .map(|(name, value)| (name.clone(), now[name].clone(), value.clone()))
                .collect();
            if changes.is_empty() {
                return Ok(Vec::new());
            }
            let old = found.as_ref().map_or(&[][..], |found| &found.bytes);
            let mut new = old.to_vec();
            for (name, _, value) in &changes {
                new = self.with(&new, name, value)?;
            }
            keep(kept, found.as_ref(), &new, &changes)?;
            if self.place.replace(found.as_ref(), &new)? {
                return Ok(self.notes(old, &changes));
            }
        }
        Err(FlagError::Busy { path: self.place.path.clone() })
    }

    pub(super) fn restore(
        &self,
        undo: &Undo,
        kept: &UndoStore<'_>,
    ) -> Result<Vec<String>, FlagError> {
        self.place.clean()?;
        for _ in 0..TRIES {
            let found = self.place.read()?;
            let now = found.as_ref().map(|found| Digest::of(&found.bytes));
            if let Some(file) = &undo.file
                && (now == file.before || now.is_some_and(|now| file.written.contains(&now)))
            {
                if now == file.before {
                    return Ok(Vec::new());
                }
                let done = match (file.before, &found) {
                    (None, Some(found)) => Some(self.place.remove(found)?),
                    (Some(before), _) => match kept.bytes(before)? {
                        Some(bytes) => Some(self.place.replace(found.as_ref(), &bytes)?),
                        None => None,
                    },
                    (None, None) => None,
                };
                match done {
                    Some(true) => return Ok(Vec::new()),
                    Some(false) => continue,
                    None => {}
                }
            }
            // Someone edited it meanwhile: only our flags go back.
            let values = self.values(found.as_ref(), undo.before.keys())?;
            let old = found.as_ref().map_or(&[][..], |found| &found.bytes);
            let (mut new, mut notes) = (old.to_vec(), Vec::new());
            for (name, value) in &values {
                match undo.way(name, value) {
                    UndoState::Back => {}
                    UndoState::Ours(before) => new = self.with(&new, name, before)?,
                    UndoState::Theirs => notes.push(left_alone(name)),
                }
            }
            if new == old || self.place.replace(found.as_ref(), &new)? {
                return Ok(notes);
            }
        }
        Err(FlagError::Busy { path: self.place.path.clone() })
    }

    fn values<'n>(
        &self,
        found: Option<&Snapshot>,
        names: impl Iterator<Item = &'n FlagName>,
    ) -> Result<BTreeMap<FlagName, Value>, FlagError> {
        match self.format {
            Format::Dotenv => {
                let mut values = dotenv::values(found.map_or(&[][..], |found| &found.bytes));
                Ok(names
                    .map(|name| {
                        let value = values.remove(name.as_str()).map_or(Value::Absent, Value::text);
                        (name.clone(), value)
                    })
                    .collect())
            }
            Format::Document(..) => {
                let entries = self.entries(found)?;
                let value = |name: &FlagName| match entries
                    .iter()
                    .find(|(known, _)| known == name.as_str())
                {
                    None => Ok((name.clone(), Value::Absent)),
                    Some((_, Some(value))) => Ok((name.clone(), Value::Known(value.clone()))),
                    Some((_, None)) => {
                        let problem = "is not a single value there (text, number, true, false)";
                        Err(FlagError::flag(name, problem))
                    }
                };
                names.map(value).collect()
            }
        }
    }

    fn entries(&self, found: Option<&Snapshot>) -> Result<Vec<(String, Option<Json>)>, FlagError> {
        let Format::Document(format, pointer) = self.format else { return Ok(Vec::new()) };
        let refused = |problem: String| FlagError::refused(&self.place.path, problem);
        let found = found.ok_or_else(|| refused("is not there".to_owned()))?;
        let text = str::from_utf8(&found.bytes).map_err(|_| refused("is not UTF-8".to_owned()))?;
        document::entries(text, format, pointer).map_err(refused)
    }

    fn with(&self, bytes: &[u8], name: &FlagName, value: &Value) -> Result<Vec<u8>, FlagError> {
        let problem = |problem: String| {
            FlagError::flag(name, format!("{}: {problem}", self.place.path.display()))
        };
        match self.format {
            Format::Dotenv => dotenv::with(bytes, name.as_str(), value.plain().as_deref())
                .map_err(|error| problem(error.to_string())),
            Format::Document(format, pointer) => {
                let text = str::from_utf8(bytes).map_err(|_| problem("is not UTF-8".to_owned()))?;
                let value = match value {
                    Value::Absent => None,
                    Value::Known(value) => Some(value),
                };
                let new = document::with(text, format, pointer, name.as_str(), value);
                new.map(String::into_bytes).map_err(problem)
            }
        }
    }

    fn notes(&self, old: &[u8], changes: &[(FlagName, Value, Value)]) -> Vec<String> {
        let Format::Dotenv = self.format else { return Vec::new() };
        let assigned = dotenv::assignments(old);
        let times =
            |name: &FlagName| assigned.iter().filter(|one| one.name == name.as_str()).count();
        let again =
            changes.iter().filter(|(name, _, value)| *value != Value::Absent && times(name) > 1);
        let path = self.place.path.display();
        let note = |name| {
            format!("{path} sets {name} more than once: the last line applies and was changed")
        };
        again.map(|(name, ..)| note(name)).collect()
    }
}

/// Keeps the way back from `new` to what is there, and on to where the run began.
fn keep(
    kept: &UndoStore<'_>,
    found: Option<&Snapshot>,
    new: &[u8],
    changes: &[(FlagName, Value, Value)],
) -> Result<(), FlagError> {
    let earlier = kept.load()?;
    let mut undo = earlier.clone().unwrap_or_default();
    undo.add(changes);
    let now = found.map(|found| Digest::of(&found.bytes));
    let next = Digest::of(new);
    let mut bytes = None;
    undo.file = match undo.file.take() {
        // What is there is the beginning still, or leads to it already.
        Some(mut file)
            if now == file.before || now.is_some_and(|now| file.written.contains(&now)) =>
        {
            if !file.written.contains(&next) {
                file.written.push(next);
            }
            Some(file)
        }
        // Nothing of ours is in what is there: this is the beginning.
        _ if earlier.is_none_or(|earlier| untouched(&earlier, changes)) => {
            bytes = found.map(|found| found.bytes.as_slice());
            Some(Bytes { before: now, written: vec![next] })
        }
        // Edited by someone else between two changes of ours: no bytes lead back, flag by flag does.
        _ => None,
    };
    kept.save(&undo, bytes)
}

/// Whether every flag that was to be changed is found as it was before.
fn untouched(earlier: &Undo, changes: &[(FlagName, Value, Value)]) -> bool {
    let found =
        |name: &FlagName| changes.iter().find(|(other, ..)| other == name).map(|(_, now, _)| now);
    earlier.before.iter().all(|(name, before)| found(name).is_some_and(|now| now.same(before)))
}
