//! The key of this host that marks are made with: random bytes that never leave it.

use std::io;
use std::path::Path;

use crate::system::{files, random};

/// The key in gitroll's directory `state`.
pub(super) fn read_key(state: &Path) -> io::Result<String> {
    let bytes = files::read_plain(&state.join("marks.key"), 1024)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// The same, made if there is none.
pub(super) fn key(state: &Path) -> io::Result<String> {
    if let Ok(key) = read_key(state) {
        return Ok(key);
    }
    let key = format!("{}{}", random::hex_id(), random::hex_id());
    files::make_private_dir(state)?;
    files::write_durably(&state.join("marks.key"), key.as_bytes(), 0o600)?;
    Ok(key)
}
