//! What a unit wrote since it was last started.

use std::path::PathBuf;

use crate::config::Service;
use crate::system::clock;
use crate::system::files;
use crate::system::process::telling_lines;
use crate::system::procs;

use super::super::log;
use super::super::state::{Host, ServiceError};
use super::client::Client;
use super::processes;
use super::unit::Unit;

/// How many lines of the journal are read.
const READ: usize = 200;

/// How many lines are told.
const LINES: usize = 5;

/// Remembers when this is, and how long the units' files are: what is written from here on belongs to the next
/// start.
pub(super) fn mark(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    units: &[Unit],
) -> Result<(), ServiceError> {
    let logs: Vec<PathBuf> =
        units.iter().filter_map(|unit| files(client, unit)).flatten().collect();
    log::mark(host, service, &logs)?;
    let path = host.file(service, ".journal")?;
    let now = clock::now().as_second().to_string();
    files::write_durably(&path, now.as_bytes(), 0o600).map_err(ServiceError::at(&path))
}

/// The telling lines of the units that are not up. Where all are up nobody asks for them at every look, and reading
/// a journal may take seconds: see [`said`].
pub(super) fn told(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    units: &[Unit],
) -> Vec<String> {
    let down: Vec<&Unit> = units.iter().filter(|unit| !unit.up()).collect();
    let mut told = if down.is_empty() { Vec::new() } else { said(host, service, client, &down) };
    told.extend(units.iter().flat_map(processes::left_over));
    told
}

/// The telling lines of units.
pub(super) fn said(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    units: &[&Unit],
) -> Vec<String> {
    let mark = host.state.join("services").join(format!("{}.journal", service.name));
    let text = files::read_state(&mark).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let since = text.and_then(|text| text.trim().parse().ok());
    let names: Vec<&str> = units.iter().map(|unit| unit.id.as_str()).collect();
    let written = client.journal(&names, since, READ).unwrap_or_default();
    let told = telling_lines(&written, LINES);
    let to_file = units.iter().any(|unit| unit.to_file);
    if !to_file {
        return told;
    }
    // What systemd says of a unit is in the journal in any case.
    let logs = units.iter().filter_map(|unit| files(client, unit)).flatten();
    let in_files = log::since_mark(host, service, &logs.collect::<Vec<_>>());
    if in_files.is_empty() { told } else { in_files }
}

/// The telling lines of one unit that fell, or why there are none.
pub(super) fn lines_of(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    name: &str,
) -> Vec<String> {
    let Ok(unit) = client.one(name) else { return Vec::new() };
    let mut lines = said(host, service, client, &[&unit]);
    if lines.is_empty() {
        lines.push(why_silent(client, &unit));
    }
    lines.extend(processes::left_over(&unit));
    lines
}

/// Why nothing can be told of what a unit wrote.
fn why_silent(client: &Client, unit: &Unit) -> String {
    match files(client, unit).as_deref() {
        Some([]) => return "it writes to a file that gitroll does not know".to_owned(),
        Some([file, ..]) if file.metadata().is_ok() && files::open_plain(file).is_err() => {
            return format!("it writes to {}, which this user may not read", file.display());
        }
        Some([file, ..]) => {
            return format!("it has written nothing to {} since its start", file.display());
        }
        None => {}
    }
    match client.journal_of(&unit.id).map(|journal| journal.readable()) {
        Some(Ok(())) => "it has written nothing to the journal since its start".to_owned(),
        Some(Err(_)) => {
            let command = client.journal_command(&unit.id);
            format!("this user cannot read its journal; try {command}")
        }
        None => "journalctl was not found, so its output cannot be read".to_owned(),
    }
}

/// The files that a unit's output goes to, as far as its process and this user's rights tell, and without one its
/// definition; `None` if it goes to the journal.
pub(super) fn files(client: &Client, unit: &Unit) -> Option<Vec<PathBuf>> {
    /// Output, and what it complains.
    const STREAMS: [u32; 2] = [1, 2];
    const KEYS: [&str; 2] = ["StandardOutput", "StandardError"];
    unit.to_file.then(|| {
        let open = STREAMS.into_iter().filter_map(|number| procs::open_file(unit.main?, number));
        let mut files: Vec<PathBuf> = open.filter(|file| file.is_file()).collect();
        if files.is_empty() {
            let said = client.definition(&unit.id).unwrap_or_default();
            let named =
                KEYS.into_iter().filter_map(|key| said.last("Service", key)?.split_once(':'));
            let named = named.filter(|(kind, file)| {
                matches!(*kind, "file" | "append" | "truncate") && !file.contains('%')
            });
            files.extend(named.map(|(_, file)| PathBuf::from(file)));
        }
        files.dedup();
        files
    })
}
