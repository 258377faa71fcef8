//! One look at a file: whether it is there, its bytes, its JSON.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use serde_json::Value;

use crate::config::FileCheck;
use crate::model::{Digest, Redactor};

use super::expectation::Surroundings;
use super::judgement::{Finding, Judgement, document, shown, size};
use super::log_position::open;
use super::template::Subject;

/// A file that is looked at many times.
#[derive(Debug)]
pub(super) struct FileAsker {
    check: FileCheck,
    top: PathBuf,
    redactor: Redactor,
}

impl FileAsker {
    pub(super) fn new(check: &FileCheck, around: &Surroundings) -> Self {
        let redactor = around.redactor.clone();
        Self { check: check.clone(), top: around.top.clone(), redactor }
    }

    /// Looks once. What is in the tree says nothing about what serves: it never tells a version.
    pub(super) fn ask(&self, subject: &Subject) -> Judgement {
        let opened = match open(&self.top, &self.check.file) {
            Err(error) if is_gone(&error) => None,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && !self.check.exists => {
                return Judgement::failed("it exists");
            }
            Err(error) => return Judgement::unaskable(why(&error)),
            Ok((file, found)) => Some((file, found.size)),
        };
        match (opened, self.check.exists) {
            (None, false) => Judgement::fine("absent"),
            (None, true) => Judgement::failed("no such file"),
            (Some(_), false) => Judgement::failed("it exists"),
            (Some((file, length)), true) => {
                Judgement { told: false, ..self.read(file, length, subject) }
            }
        }
    }

    fn read(&self, file: File, length: u64, subject: &Subject) -> Judgement {
        let FileCheck { sha256, json, max_bytes, .. } = &self.check;
        let there = "there";
        if sha256.is_none() && json.is_none() {
            return Judgement::fine(there);
        }
        let mut bytes = Vec::new();
        let too_large = || Judgement::unaskable(format!("larger than {}", size(*max_bytes)));
        if length > *max_bytes {
            return too_large();
        }
        if let Err(error) = file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes) {
            return Judgement::unaskable(why(&error));
        }
        if bytes.len() as u64 > *max_bytes {
            return too_large();
        }
        if let Some(wanted) = sha256 {
            let found = Digest::of(&bytes);
            if found.hex() != *wanted {
                let (found, wanted) = (&found.hex()[..12], &wanted[..12]);
                return Judgement::failed(format!("sha256 is {found}…, not {wanted}…"));
            }
        }
        let Some(expected) = json else { return Judgement::fine(there) };
        let Ok(mut found) = serde_json::from_slice::<Value>(&bytes) else {
            return Judgement::failed("not JSON");
        };
        let findings: Vec<Finding> = document(expected, &found, subject).collect();
        let judgement = Judgement::of(&findings, there);
        if judgement.ok {
            return judgement;
        }
        // Judgement by what is there, told without its secrets.
        redact(&mut found, &self.redactor);
        let findings: Vec<Finding> = document(expected, &found, subject).collect();
        Judgement { answer: Judgement::of(&findings, "it differs").answer, ..judgement }
    }
}

fn redact(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => *text = redactor.text(text),
        Value::Array(values) => values.iter_mut().for_each(|value| redact(value, redactor)),
        Value::Object(entries) => entries.values_mut().for_each(|value| redact(value, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether nothing is there: also where what would hold it is not a directory.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Why a file cannot be read, in words.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "no such file".to_owned(),
        io::ErrorKind::CrossesDevices => "a symbolic link leads out of the repository".to_owned(),
        io::ErrorKind::InvalidInput => "is not a regular file".to_owned(),
        io::ErrorKind::PermissionDenied => "is not readable by this user".to_owned(),
        _ => format!("cannot be read: {}", shown(&error.to_string())),
    }
}
