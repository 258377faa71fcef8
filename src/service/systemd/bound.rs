//! Units that systemd stops with one of ours since they require it, are bound to it or are part of it. They are
//! not in gitroll.toml, and nobody else would start them again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::config::Service;
use crate::system::files;

use super::super::{Host, ServiceError};
use super::client::Client;
use super::unit::Unit;

/// How far from one unit to the next is looked.
const DEPTH: usize = 8;

/// The active units that would be stopped with these.
pub(super) fn active(client: &Client, names: &[String]) -> Result<Vec<Unit>, ServiceError> {
    let ours: BTreeSet<String> = names.iter().cloned().collect();
    let mut found = BTreeSet::new();
    let mut next: Vec<String> = names.to_vec();
    for _ in 0..DEPTH {
        let more = if next.is_empty() { Vec::new() } else { client.dependents(&next)? };
        next = more.into_iter().filter(|name| !ours.contains(name)).collect();
        next.retain(|name| found.insert(name.clone()));
    }
    let found: Vec<String> = found.into_iter().collect();
    let mut units = if found.is_empty() { Vec::new() } else { client.show(&found)? };
    units.retain(|unit| matches!(unit.active.as_str(), "active" | "reloading" | "refreshing"));
    Ok(units)
}

/// Remembers them before ours are stopped, beside those of an earlier stop that were not started yet.
pub(super) fn note(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    names: &[String],
) -> Result<(), ServiceError> {
    let mut all = noted(host, service);
    all.extend(active(client, names)?.into_iter().map(|unit| unit.id));
    if all.is_empty() {
        return Ok(());
    }
    let path = host.file(service, ".bound.json")?;
    let text = serde_json::to_vec(&all).unwrap_or_default();
    files::write_durably(&path, &text, 0o600).map_err(ServiceError::at(&path))
}

/// The units that were remembered.
pub(super) fn noted(host: &Host<'_>, service: &Service) -> BTreeSet<String> {
    let text = std::fs::read(path(host, service)).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// All of them run again.
pub(super) fn forget(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let path = path(host, service);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ServiceError::at(&path)(error))
        }
        _ => Ok(()),
    }
}

fn path(host: &Host<'_>, service: &Service) -> PathBuf {
    host.state.join("services").join(format!("{}.bound.json", service.name))
}
