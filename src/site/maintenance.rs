//! Maintenance: a person stopped services and does not want them started, judged or rolled back by anything automatic.
//!
//! Whoever acts without being asked (a soak, a ramp, a watcher) asks [`maintenance`] first, and does nothing while it
//! answers. People are refused nothing.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bound::Site;
use crate::service::{ServiceError, ServiceState};
use crate::system::files;

/// Services that a person stopped for maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Maintenance {
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Who stopped them.
    pub by: String,
    /// Why, where they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The services that were stopped. Empty if the state in the file cannot be read: it is in force all the same.
    pub services: Vec<String>,
    /// Whether nothing of the app answered before they were stopped.
    pub was_down: bool,
}

/// The maintenance that is in force here; `None` if there is none.
pub fn maintenance(site: &Site) -> Option<Maintenance> {
    let path = path(site);
    let written = path.symlink_metadata().ok()?.modified().ok();
    let read = files::read_state(&path).ok();
    // What cannot be read was written by somebody who wanted silence.
    read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).or_else(|| {
        Some(Maintenance {
            since: Timestamp::try_from(written?).ok()?,
            by: "unknown".to_owned(),
            reason: None,
            services: Vec::new(),
            was_down: false,
        })
    })
}

/// Begins maintenance, or goes on with the one that is in force: whatever it stopped counts, and since when.
///
/// # Errors
/// When it cannot be written durably.
pub fn begin_maintenance(site: &Site, new: Maintenance) -> io::Result<Maintenance> {
    let new = match maintenance(site) {
        Some(known) => known.and(new),
        None => new,
    };
    files::make_private_dir(&site.state())?;
    let bytes = serde_json::to_vec_pretty(&new).map_err(io::Error::other)?;
    files::write_durably(&path(site), &bytes, 0o600)?;
    Ok(new)
}

/// Ends maintenance once every service that it stopped is up again. Whether it ended.
///
/// # Errors
/// When its file cannot be removed.
pub fn end_maintenance(
    site: &Site,
    services: &[(String, Result<ServiceState, ServiceError>)],
) -> io::Result<bool> {
    let Some(known) = maintenance(site) else { return Ok(false) };
    let is_down = |(name, state): &(String, Result<ServiceState, ServiceError>)| {
        let stopped = known.services.is_empty() || known.services.contains(name);
        stopped && !state.as_ref().is_ok_and(|state| state.up)
    };
    if services.iter().any(is_down) {
        return Ok(false);
    }
    std::fs::remove_file(path(site))?;
    files::sync_dir(&site.state())?;
    Ok(true)
}

impl Maintenance {
    fn and(self, new: Self) -> Self {
        let mut services = self.services;
        for one in new.services {
            if !services.contains(&one) {
                services.push(one);
            }
        }
        Self { services, reason: new.reason.or(self.reason), ..self }
    }
}

fn path(site: &Site) -> PathBuf {
    site.state().join("maintenance.json")
}
