//! What a unit wrote since it was last started.

use std::path::PathBuf;

use crate::config::Service;
use crate::system::clock;
use crate::system::files;
use crate::system::process::telling_lines;

use super::super::{Host, ServiceError, log};
use super::client::Client;
use super::unit::Unit;

/// How many lines of the journal are read.
const READ: usize = 200;

/// How many lines are told.
const LINES: usize = 5;

/// Remembers when this is: what is written from here on belongs to the next start.
pub(super) fn mark(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let path = host.file(service, ".journal")?;
    let now = clock::now().as_second().to_string();
    files::write_durably(&path, now.as_bytes(), 0o600).map_err(ServiceError::at(&path))
}

/// The telling lines of the units that are not up; of all where all are.
pub(super) fn told(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    units: &[Unit],
) -> Vec<String> {
    let any_down = units.iter().any(|unit| !unit.up());
    let shown = units.iter().filter(|unit| !any_down || !unit.up());
    let mut lines: Vec<String> =
        shown.flat_map(|unit| lines(host, service, client, &unit.id, &unit.logs)).collect();
    let first = lines.len().saturating_sub(LINES);
    lines.split_off(first)
}

/// The telling lines of one unit.
pub(super) fn lines_of(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    name: &str,
) -> Vec<String> {
    let logs = client.one(name).map(|unit| unit.logs).unwrap_or_default();
    let mut lines = lines(host, service, client, name, &logs);
    if lines.is_empty() {
        lines
            .push(format!("its log tells this user nothing; {} may", client.journal_command(name)));
    }
    lines
}

fn lines(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    name: &str,
    logs: &[String],
) -> Vec<String> {
    let mark = host.state.join("services").join(format!("{}.journal", service.name));
    let since = std::fs::read_to_string(mark).ok().and_then(|text| text.trim().parse().ok());
    let written = client.journal(name, since, READ).unwrap_or_default();
    let told = telling_lines(&written, LINES);
    if !told.is_empty() || logs.is_empty() {
        return told;
    }
    // Its output goes to files, as far as this user may read those.
    let files: Vec<PathBuf> = logs.iter().map(PathBuf::from).collect();
    log::since_mark(host, service, &files)
}
