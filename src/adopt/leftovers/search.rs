//! Where lines are looked for and noted. Files that anyone may have put there are read where they are plain, small
//! and no links, or not at all.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::app::App;
use super::command::{Parsed, Part};
use super::shell::{self, Command};
use crate::system::files;

/// A line that deploys the app without gitroll.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Leftover {
    /// The file: relative to the tree where it is in it. `crontab -l` for the user's own crontab.
    pub place: String,
    /// The number of the (first) line, from 1.
    pub line: Option<usize>,
    /// The line as it is, bytes that are no text replaced; continued lines joined.
    pub text: String,
    /// The line to put in its place; `None`: remove it, what it did is done by another line's replacement.
    pub replacement: Option<String>,
}

/// Where a host keeps what runs by itself.
#[derive(Debug, Clone)]
pub struct Places {
    /// `/etc`
    pub etc: PathBuf,
    /// Where crontabs of users lie: `/var/spool/cron/crontabs`.
    pub spool: PathBuf,
    /// The user's home directory.
    pub home: PathBuf,
    /// `crontab`, which may read what this user may not.
    pub crontab: Option<PathBuf>,
}

/// A search on its way.
pub(super) struct Search<'a> {
    pub(super) app: &'a App,
    pub(super) places: &'a Places,
    pub(super) found: BTreeSet<Leftover>,
    pub(super) unread: BTreeSet<String>,
}

impl Search<'_> {
    pub(super) fn add(
        &mut self,
        place: &str,
        line: Option<usize>,
        text: &str,
        replacement: Option<String>,
    ) {
        let (place, text) = (place.to_owned(), text.trim_end().to_owned());
        let line_of = |known: &Leftover| known.place == place && known.line == line;
        if line.is_none() || !self.found.iter().any(line_of) {
            self.found.insert(Leftover { place, line, text, replacement });
        }
    }

    /// How a file is called: by its path in the tree, else by its whole path.
    pub(super) fn place_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.app.top).unwrap_or(path).display().to_string()
    }

    /// Whether `text` names the app's directory, or one below it.
    pub(super) fn names_app(&self, text: &str) -> bool {
        let top = self.app.top.display().to_string();
        let mut spellings = vec![top];
        if let Ok(below) = self.app.top.strip_prefix(&self.places.home) {
            let below = below.display();
            spellings.extend([format!("~/{below}"), format!("$HOME/{below}")]);
            spellings.push(format!("${{HOME}}/{below}"));
        }
        spellings.iter().any(|spelling| names_path(text, spelling)) || self.enters_app(text)
    }

    /// Whether a `cd` of it leads into the app, through links or from the home directory.
    fn enters_app(&self, text: &str) -> bool {
        let entered = |command: Command<'_>| {
            let parsed = Parsed::of(command, self.app);
            let (Part::Enter(dir) | Part::Move { dir: Some(dir), .. }) = parsed.part else {
                return false;
            };
            let dir = self.places.home.join(dir);
            dir.canonicalize().is_ok_and(|dir| dir.starts_with(&self.app.top))
        };
        shell::split(text).into_iter().any(entered)
    }

    /// Whether it reloads one of the app's own pm2 apps.
    pub(super) fn reloads_app(&self, text: &str) -> bool {
        let reloads = |command: Command<'_>| {
            matches!(Parsed::of(command, self.app).part,
                Part::Reload(name) if self.app.service_of(&name).is_some())
        };
        shell::split(text).into_iter().any(reloads)
    }
}

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
    /// The text of a regular file; what could not be read is noted. Below the tree and its git directory no
    /// link is followed.
    pub(super) fn text(&mut self, path: &Path) -> Option<String> {
        if self.leads_out(path) {
            return None;
        }
        path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        match files::read_plain(path, MOST_BYTES) {
            Ok(bytes) => {
                let text = !bytes.contains(&0);
                return text.then(|| String::from_utf8_lossy(&bytes).into_owned());
            }
            Err(error) if error.kind() == ErrorKind::FileTooLarge => {
                // What a package manager locks is long, and deploys nothing.
                const LOCKS: [&str; 4] = ["package-lock", "npm-shrinkwrap", "-lock", "lock"];
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let ending = path.extension().unwrap_or_default();
                let lock = LOCKS.iter().any(|end| name.ends_with(end)) || ending == "lock";
                if !lock {
                    self.note(path, "larger than 256 KiB");
                }
            }
            Err(error) => self.note(path, &error.to_string()),
        }
        None
    }

    /// The plain files of a directory, sorted by name; none if there is no such directory.
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

    /// Someone who may commit must not choose what is read outside.
    fn leads_out(&self, path: &Path) -> bool {
        [&self.app.git_dir, &self.app.top].into_iter().any(|top| {
            path.strip_prefix(top).is_ok_and(|below| files::obstacle(top, below).is_some())
        })
    }

    fn note(&mut self, path: &Path, why: &str) {
        self.unread.insert(format!("{}: {why}", path.display()));
    }
}

/// The lines of a text of shell, those that continue in the next joined.
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

/// Whether `path` is in `text` as a whole: `/srv/shop` is not in `/srv/shop2`, nor in `/srv/shop.old`.
fn names_path(text: &str, path: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "._-".contains(c);
    text.match_indices(path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + path.len()..].chars().next();
        !before.is_some_and(|c| part(c) || c == '/') && !after.is_some_and(part)
    })
}
