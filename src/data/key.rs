//! The password of the repository of points: a file beside the host binding.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::error::DataError;
use crate::model::Redactor;
use crate::system::{files, random, secrets};

/// A password file holds one line.
const MOST_BYTES: u64 = 4096;

/// The name of the file that says that the password was shown to a person.
const EXPORTED: &str = "key-exported";

/// The password of one repository of points.
#[derive(Clone)]
pub struct Key {
    password: String,
}

/// Whether the password is kept anywhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// A person was shown it.
    Exported,
    /// Nobody was: with this host it is lost.
    OnlyHere,
}

impl Key {
    /// Reads the password.
    ///
    /// # Errors
    /// When there is none, or others could read it.
    pub(super) fn read(file: &Path) -> Result<Self, DataError> {
        let found = match file.symlink_metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DataError::PasswordMissing { file: file.to_owned() });
            }
            Err(error) => return Err(DataError::io(file)(error)),
        };
        let mode = found.permissions().mode() & 0o7777;
        let me = rustix::process::geteuid().as_raw();
        let problem = if !found.is_file() {
            Some("is not a plain file (links are not followed)".to_owned())
        } else if mode & 0o077 != 0 {
            Some(format!("others may read it: its mode is {mode:o}, and must be 600"))
        } else if found.uid() != me && found.uid() != 0 {
            Some(format!("it belongs to user {}", found.uid()))
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(DataError::PasswordUnsafe { file: file.to_owned(), problem });
        }
        let bytes = files::read_plain(file, MOST_BYTES).map_err(DataError::io(file))?;
        let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
        if text.is_empty() {
            return Err(DataError::PasswordMissing { file: file.to_owned() });
        }
        secrets::hide(&Redactor::new([("POINTS_PASSWORD", text.as_str())]));
        Ok(Self { password: text })
    }

    /// Makes a new password, durably, before anything is encrypted with it.
    ///
    /// # Errors
    /// When it cannot be stored there.
    pub(super) fn make(file: &Path) -> Result<Self, DataError> {
        let password = format!("{}{}", random::hex_id(), random::hex_id());
        let line = format!("{password}\n");
        // An administrator may have made an empty file where this user may make none.
        let written = match files::write_durably(file, line.as_bytes(), 0o600) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && file.is_file() => {
                std::fs::write(file, line).map_err(|_| error)
            }
            written => written,
        };
        let unwritable = |source| DataError::PasswordUnwritable { file: file.to_owned(), source };
        written.map_err(unwritable)?;
        Self::read(file)
    }

    /// The password, for a person who keeps it elsewhere.
    pub fn password(&self) -> &str {
        &self.password
    }
}

/// Whether a person was shown the password of the points in `dir`.
pub(super) fn state(dir: &Path) -> KeyState {
    if exported(dir).exists() { KeyState::Exported } else { KeyState::OnlyHere }
}

/// Notes that a person was shown it.
pub(super) fn note_exported(dir: &Path, by: &str) -> Result<(), DataError> {
    let file = exported(dir);
    files::write_durably(&file, format!("{by}\n").as_bytes(), 0o600).map_err(DataError::io(&file))
}

fn exported(dir: &Path) -> PathBuf {
    dir.join(EXPORTED)
}
