//! What a unit wrote since it was last started.

use std::path::PathBuf;

use crate::config::Service;
use crate::system::clock;
use crate::system::files;
use crate::system::process::telling_lines;
use crate::system::procs;

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
        shown.flat_map(|unit| lines(host, service, client, &unit.id, files(unit))).collect();
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
    let files = client.one(name).ok().and_then(|unit| files(&unit));
    let mut lines = lines(host, service, client, name, files);
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
    files: Option<Vec<PathBuf>>,
) -> Vec<String> {
    let mark = host.state.join("services").join(format!("{}.journal", service.name));
    let since = std::fs::read_to_string(mark).ok().and_then(|text| text.trim().parse().ok());
    let written = client.journal(name, since, READ).unwrap_or_default();
    let told = telling_lines(&written, LINES);
    match files {
        Some(files) if told.is_empty() => log::since_mark(host, service, &files),
        _ => told,
    }
}

/// The files that a unit's output goes to, as far as its process and this user's rights tell; `None` where it
/// goes to the journal.
pub(super) fn files(unit: &Unit) -> Option<Vec<PathBuf>> {
    /// Output, and what it complains.
    const STREAMS: [u32; 2] = [1, 2];
    unit.to_file.then(|| {
        let open = STREAMS.into_iter().filter_map(|number| procs::open_file(unit.main?, number));
        let mut files: Vec<PathBuf> = open.filter(|file| file.is_file()).collect();
        files.dedup();
        files
    })
}
