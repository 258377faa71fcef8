//! Sources that are asked and told one flag at a time: an admin API, commands.

use std::collections::BTreeMap;
use std::time::Duration;

use super::undo::{Undo, UndoState, UndoStore, left_alone, never_seen};
use super::{FlagError, Value, api, command};
use crate::config::FlagSourceKind;
use crate::model::FlagName;
use crate::service::Host;
use crate::system::failpoint;

/// How often a value that was set is asked for until it is there, and the pause between.
const ASKED: usize = 6;
const PAUSE: Duration = Duration::from_millis(300);

/// How often on the way back, where what was sent may come late.
const WATCHED: usize = 20;

/// A source that answers for one flag at a time.
pub(super) struct PerFlagSource<'a> {
    pub(super) host: &'a Host<'a>,
    pub(super) kind: &'a FlagSourceKind,
}

impl PerFlagSource<'_> {
    pub(super) fn read(&self, names: &[FlagName]) -> Result<BTreeMap<FlagName, Value>, FlagError> {
        names.iter().map(|name| Ok((name.clone(), self.value(name)?))).collect()
    }

    pub(super) fn change(
        &self,
        wanted: &[(FlagName, Value)],
        kept: &UndoStore<'_>,
    ) -> Result<Vec<String>, FlagError> {
        let mut undo = kept.load()?.unwrap_or_default();
        let mut changes = Vec::new();
        for (name, value) in wanted {
            let now = self.value(name)?;
            if now.same(value) {
                if undo.pending.remove(name) {
                    kept.save(&undo, None)?;
                }
                continue;
            }
            if now == Value::Absent || *value == Value::Absent {
                let problem = "does not exist, and creating it could not be undone: create it first, \
                               or check the name and pointer";
                return Err(FlagError::flag(name, problem));
            }
            changes.push((name.clone(), now, value.clone()));
        }
        for change in &changes {
            undo.add(std::slice::from_ref(change));
            let (name, _, value) = change;
            undo.pending.insert(name.clone());
            kept.save(&undo, None)?;
            let done = self.set(name, value, ASKED);
            if done.as_ref().map_or_else(FlagError::settled, |()| true) {
                undo.pending.remove(name);
                kept.save(&undo, None)?;
            }
            done?;
        }
        Ok(Vec::new())
    }

    pub(super) fn restore(&self, undo: &Undo) -> Result<Vec<String>, FlagError> {
        let mut notes = Vec::new();
        for (name, before) in &undo.before {
            match undo.way(name, &self.value(name)?) {
                UndoState::Back if undo.pending.contains(name) => {
                    notes.extend(self.send_after(undo, name, before)?);
                }
                UndoState::Back => {}
                UndoState::Ours(before) => self.set(name, before, WATCHED)?,
                UndoState::Theirs => notes.push(left_alone(name)),
            }
        }
        Ok(notes)
    }

    /// What was sent may come yet, although nothing of it is seen: the previous value is sent behind it, and for a
    /// while what comes is restored.
    fn send_after(
        &self,
        undo: &Undo,
        name: &FlagName,
        before: &Value,
    ) -> Result<Option<String>, FlagError> {
        self.set(name, before, WATCHED)?;
        for _ in 0..WATCHED {
            std::thread::sleep(PAUSE);
            match undo.way(name, &self.value(name)?) {
                UndoState::Back => {}
                UndoState::Ours(before) => return self.set(name, before, WATCHED).map(|()| None),
                UndoState::Theirs => return Ok(Some(left_alone(name))),
            }
        }
        Ok(Some(never_seen(name)))
    }

    /// Sets it, and asks until it is seen there, at most so often.
    fn set(&self, name: &FlagName, value: &Value, asked: usize) -> Result<(), FlagError> {
        failpoint::pass("flags before write").map_err(FlagError::Stopped)?;
        match self.kind {
            FlagSourceKind::Http(api) => api::set(api, name, value)?,
            FlagSourceKind::Command { set, timeout, .. } => {
                command::set(self.host, set, *timeout, name, value)?;
            }
            FlagSourceKind::Dotenv(_) | FlagSourceKind::Document { .. } => {}
        }
        failpoint::pass("flags after write").map_err(FlagError::Stopped)?;
        for turn in 0..asked {
            if turn > 0 {
                std::thread::sleep(PAUSE);
            }
            if self.value(name)?.same(value) {
                return Ok(());
            }
        }
        let problem = "was set without an error, but still reads as a different value";
        Err(FlagError::Unseen { name: name.clone(), problem })
    }

    fn value(&self, name: &FlagName) -> Result<Value, FlagError> {
        match self.kind {
            FlagSourceKind::Http(api) => api::value(api, name),
            FlagSourceKind::Command { get, timeout, .. } => {
                command::value(self.host, get, *timeout, name)
            }
            FlagSourceKind::Dotenv(_) | FlagSourceKind::Document { .. } => Ok(Value::Absent),
        }
    }
}
