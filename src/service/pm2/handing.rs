//! The flags that an app is handed in its environment.
//!
//! pm2 keeps the variables an app was started with and adds to them what it is handed later; it never takes one
//! away. What was handed over is noted, so that a flag that is not set any more gives way to what the app had
//! before, and the app's own variables are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::Service;
use crate::system::files;

use super::super::{Host, ServiceError};
use super::listing::Instance;

/// What the variables of an app have to become.
#[derive(Debug, Default)]
pub(super) struct Handing {
    /// Those to be handed over.
    pub(super) set: BTreeMap<String, String>,
    /// Those that it must not have any more.
    pub(super) unset: Vec<String>,
}

/// One variable that was handed over.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    /// The app's own value; none where it had none.
    own: Option<String>,
    /// Every value that was handed over: any of them may be there, after a kill.
    handed: BTreeSet<String>,
}

impl Handing {
    /// What the host's flags mean for an app with the variables `env`; noted before anything changes.
    ///
    /// # Errors
    /// Files.
    pub(super) fn over(
        host: &Host<'_>,
        service: &Service,
        env: Option<&Map<String, Value>>,
    ) -> Result<Self, ServiceError> {
        if host.flags.is_empty() {
            return Ok(Self::default());
        }
        let path = host.file(service, ".handed.json")?;
        let mut notes: BTreeMap<String, Noted> = std::fs::read(&path)
            .ok()
            .and_then(|t| serde_json::from_slice(&t).ok())
            .unwrap_or_default();
        let mut handing = Self::default();
        for (name, wanted) in &host.flags {
            let now = env.and_then(|env| env.get(name)).map(in_text);
            let ours = |noted: &Noted| now.as_ref().is_some_and(|now| noted.handed.contains(now));
            match (wanted, notes.get_mut(name)) {
                (Some(value), noted) => {
                    let known = noted.filter(|noted| ours(noted) || now == noted.own);
                    if let Some(noted) = known {
                        noted.handed.insert(value.clone());
                    } else {
                        let handed = BTreeSet::from([value.clone()]);
                        notes.insert(name.clone(), Noted { own: now, handed });
                    }
                    handing.set.insert(name.clone(), value.clone());
                }
                (None, Some(noted)) if ours(noted) => match &noted.own {
                    Some(own) => drop(handing.set.insert(name.clone(), own.clone())),
                    None => handing.unset.push(name.clone()),
                },
                // It never was handed over, or somebody gave the app another value since.
                (None, _) => {}
            }
        }
        let text = serde_json::to_vec_pretty(&notes).unwrap_or_default();
        // Flags may be secrets.
        files::write_durably(&path, &text, 0o600).map_err(ServiceError::at(&path))?;
        Ok(handing)
    }

    /// Words of a command that makes pm2 take the variables it is called with.
    pub(super) fn words<'w>(&self, command: &[&'w str]) -> Vec<&'w str> {
        let more = (!self.set.is_empty()).then_some("--update-env");
        command.iter().copied().chain(more).collect()
    }

    /// The variables to call pm2 with: it gives all that it is called with to the app, so whatever the app has of
    /// its own among the host's stays the app's.
    pub(super) fn variables(
        &self,
        host: &BTreeMap<OsString, OsString>,
        app: &Instance,
    ) -> BTreeMap<OsString, OsString> {
        let mut variables = host.clone();
        if self.set.is_empty() {
            return variables;
        }
        let own = app.settings.get("env").and_then(Value::as_object);
        for name in ["PATH", "HOME", "USER", "LANG"] {
            match own.and_then(|own| own.get(name)).map(in_text) {
                Some(value) => drop(variables.insert(name.into(), value.into())),
                None if name == "PATH" || name == "HOME" => {}
                None => drop(variables.remove(std::ffi::OsStr::new(name))),
            }
        }
        variables.extend(self.set.iter().map(|(name, value)| (name.into(), value.into())));
        variables
    }

    /// The same for a definition that the app is started from.
    pub(super) fn apply(&self, env: &mut Map<String, Value>) {
        for name in &self.unset {
            env.remove(name);
        }
        env.extend(self.set.iter().map(|(name, value)| (name.clone(), value.clone().into())));
    }
}

/// A value as a process finds it in its environment.
fn in_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
