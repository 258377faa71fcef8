//! Reading files that anybody may have put there: plain, small and no links, or not at all.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Search;
use crate::system::files;

/// Larger files are no scripts.
const MOST_BYTES: u64 = 256 * 1024;

/// Longer lines were not written by a person.
const MOST_COLUMNS: usize = 4 * 1024;

/// So many files of a directory are looked at, by name.
const MOST_FILES: usize = 200;

/// Lines that belong together: the number of the first, and their text as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
}

impl Search<'_> {
    /// The text of a plain file; what could not be read is noted. Below the tree and its git directory no
    /// link is followed.
    pub(super) fn text(&mut self, path: &Path) -> Option<String> {
        if self.leads_out(path) {
            return None;
        }
        let found = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let mut bytes = Vec::new();
        let read = |bytes: &mut Vec<u8>| {
            File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(bytes))
        };
        if found.len() > MOST_BYTES {
            self.note(path, "larger than 256 KiB");
        } else if let Err(error) = read(&mut bytes) {
            self.note(path, &error.to_string());
        } else if !bytes.contains(&0) && bytes.len() as u64 <= MOST_BYTES {
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        None
    }

    /// The plain files of a directory, sorted by name; none where there is no such directory.
    pub(super) fn files(&mut self, dir: &Path) -> Vec<PathBuf> {
        if self.leads_out(dir) {
            return Vec::new();
        }
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() == std::io::ErrorKind::PermissionDenied {
                    self.note(dir, &error.to_string());
                }
                return Vec::new();
            }
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.retain(|path| path.is_file());
        if paths.len() > MOST_FILES {
            self.note(dir, &format!("holds more than {MOST_FILES} files"));
            paths.truncate(MOST_FILES);
        }
        paths
    }

    /// Somebody who may commit must not choose what is read outside.
    fn leads_out(&self, path: &Path) -> bool {
        [&self.app.git_dir, &self.app.top].into_iter().any(|top| {
            path.strip_prefix(top).is_ok_and(|below| files::obstacle(top, below).is_some())
        })
    }

    fn note(&mut self, path: &Path, why: &str) {
        self.unread.insert(format!("{}: {why}", path.display()));
    }
}

/// The lines of a text of shell, those that go on in the next joined.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut goes_on = false;
    for (index, text) in text.lines().enumerate() {
        let (text, backslash) = match text.strip_suffix('\\') {
            Some(text) => (text.trim_end(), true),
            None => (text.trim_end(), false),
        };
        match lines.last_mut().filter(|line| goes_on && line.text.len() < MOST_COLUMNS) {
            Some(line) => {
                line.text.push(' ');
                line.text.push_str(text.trim_start());
            }
            None => lines.push(Line { number: index + 1, text: text.to_owned() }),
        }
        let operator = text.ends_with("&&") || text.ends_with('|');
        goes_on = backslash || (operator && !text.trim_start().starts_with('#'));
    }
    lines.retain(|line| line.text.len() <= MOST_COLUMNS);
    lines
}
