//! The file that says who may do what, as it lies beside the trust file.

use std::io;

use super::entry::LedgerError;
use crate::config::{Binding, ROLES_HEAD, Roles};
use crate::system::files;

/// No roles file is larger.
const MOST_ROLES: u64 = 16 << 20;

/// The roles file of a binding.
///
/// # Errors
/// `Sign` when it cannot be read.
pub(super) fn roles(binding: &Binding) -> Result<Roles, LedgerError> {
    let failed = |problem: String| {
        LedgerError::Sign(format!("{}: {problem}", binding.roles_file().display()))
    };
    Roles::parse(&text(binding).map_err(|e| failed(e.to_string()))?).map_err(failed)
}

/// Its text; where there is none, what a new one begins with.
///
/// # Errors
/// Any I/O error.
pub(super) fn text(binding: &Binding) -> io::Result<String> {
    match files::read_plain(&binding.roles_file(), MOST_ROLES) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ROLES_HEAD.to_owned()),
        Err(error) => Err(error),
    }
}
