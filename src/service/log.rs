//! What a service wrote to its log files since it was last reloaded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::config::Service;
use crate::system::files;
use crate::system::process::telling_lines;

use super::{Host, ServiceError};

/// How much of a file's end is read.
const TAIL: u64 = 64 * 1024;

/// How many lines are told.
const LINES: usize = 5;

/// Remembers how long the files are now: what is written from here on belongs to the next start.
pub(super) fn mark(
    host: &Host<'_>,
    service: &Service,
    logs: &[PathBuf],
) -> Result<(), ServiceError> {
    let lengths: BTreeMap<&Path, u64> = logs
        .iter()
        .map(|path| (path.as_path(), path.metadata().map_or(0, |file| file.len())))
        .collect();
    let path = host.file(service, ".logs.json")?;
    let text = serde_json::to_vec(&lengths).unwrap_or_default();
    files::write_durably(&path, &text, 0o600).map_err(ServiceError::at(&path))
}

/// The telling lines written since the mark to the first of `logs` that has any. Where no mark was set,
/// the telling lines of its end.
pub(super) fn since_mark(host: &Host<'_>, service: &Service, logs: &[PathBuf]) -> Vec<String> {
    lines_since_mark(host, service, logs, |_| true)
}

/// As [`since_mark`], of the lines that are `wanted`: for a log that several services share.
pub(super) fn lines_since_mark(
    host: &Host<'_>,
    service: &Service,
    logs: &[PathBuf],
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let marks = host.state.join("services").join(format!("{}.logs.json", service.name));
    let lengths: BTreeMap<PathBuf, u64> = std::fs::read(marks)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let told = |path: &PathBuf| {
        let written = tail(path, lengths.get(path).copied().unwrap_or(0));
        let written = written.split_inclusive(|b| *b == b'\n');
        let written = written.filter(|line| wanted(&String::from_utf8_lossy(line)));
        telling_lines(&written.flatten().copied().collect::<Vec<u8>>(), LINES)
    };
    logs.iter().map(told).find(|lines| !lines.is_empty()).unwrap_or_default()
}

/// The end of a file, not before `from`. A log that cannot be read tells nothing, which is no failure.
fn tail(path: &Path, from: u64) -> Vec<u8> {
    let read = || -> std::io::Result<Vec<u8>> {
        // Only files: a pipe named as the log would block.
        if !path.metadata()?.is_file() {
            return Ok(Vec::new());
        }
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        // A file shorter than its mark was rotated: all of it is new.
        let from = if from > length { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL))))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().unwrap_or_default()
}
