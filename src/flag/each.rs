//! Sources that are asked and told one flag at a time: an admin API, commands.

use std::collections::BTreeMap;
use std::time::Duration;

use super::undo::{Kept, Undo, Way, left_alone};
use super::{FlagError, Value, api, command};
use crate::config::FlagSourceKind;
use crate::model::FlagName;
use crate::service::Host;
use crate::system::failpoint;

/// How often a value that was set is asked for until it is there, and the pause between.
const ASKED: usize = 6;
const PAUSE: Duration = Duration::from_millis(300);

/// A source that answers for one flag at a time.
pub(super) struct Each<'a> {
    pub(super) host: &'a Host<'a>,
    pub(super) kind: &'a FlagSourceKind,
}

impl Each<'_> {
    pub(super) fn read(&self, names: &[FlagName]) -> Result<BTreeMap<FlagName, Value>, FlagError> {
        names.iter().map(|name| Ok((name.clone(), self.value(name)?))).collect()
    }

    pub(super) fn change(
        &self,
        wanted: &[(FlagName, Value)],
        kept: &Kept<'_>,
    ) -> Result<Vec<String>, FlagError> {
        let mut changes = Vec::new();
        for (name, value) in wanted {
            let now = self.value(name)?;
            if now.same(value) {
                continue;
            }
            if now == Value::Absent || *value == Value::Absent {
                let problem = "is not there, and what is made here could not be taken away again: \
                               make it there first, or look at the name and at pointer";
                return Err(FlagError::flag(name, problem));
            }
            changes.push((name.clone(), now, value.clone()));
        }
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let mut undo = kept.load()?.unwrap_or_default();
        undo.add(&changes);
        kept.save(&undo, None)?;
        for (name, _, value) in &changes {
            self.set(name, value)?;
        }
        Ok(Vec::new())
    }

    pub(super) fn restore(&self, undo: &Undo) -> Result<Vec<String>, FlagError> {
        let mut notes = Vec::new();
        for name in undo.before.keys() {
            match undo.way(name, &self.value(name)?) {
                Way::Back => {}
                Way::Ours(before) => self.set(name, before)?,
                Way::Theirs => notes.push(left_alone(name)),
            }
        }
        Ok(notes)
    }

    /// Sets it, and asks until it is seen there.
    fn set(&self, name: &FlagName, value: &Value) -> Result<(), FlagError> {
        failpoint::pass("flags before write").map_err(FlagError::Stopped)?;
        match self.kind {
            FlagSourceKind::Http(api) => api::set(api, name, value)?,
            FlagSourceKind::Command { set, timeout, .. } => {
                command::set(self.host, set, *timeout, name, value)?;
            }
            FlagSourceKind::Dotenv(_) | FlagSourceKind::Document { .. } => {}
        }
        failpoint::pass("flags after write").map_err(FlagError::Stopped)?;
        for turn in 0..ASKED {
            if turn > 0 {
                std::thread::sleep(PAUSE);
            }
            if self.value(name)?.same(value) {
                return Ok(());
            }
        }
        Err(FlagError::flag(name, "was set without an error, and still reads as something else"))
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
