//! `gitroll.toml` as it lies in the tree.

use std::io;
use std::path::Path;

use crate::model::RepoPath;
use crate::system::files::{Beneath, FileKind};

/// More than any configuration: 1 MiB.
const MOST_BYTES: u64 = 1 << 20;

/// The text of `gitroll.toml` in the tree at `top`, invalid UTF-8 replaced; `None` where there is none.
///
/// # Errors
/// Where it is no plain file of the app's own, or longer than 1 MiB; any I/O error.
pub fn config_in_tree(top: &Path) -> io::Result<Option<String>> {
    let name = RepoPath::new("gitroll.toml").expect("a plain name");
    let Some(spot) = Beneath::open(top)?.entry(&name)? else { return Ok(None) };
    let Some(found) = spot.find()? else { return Ok(None) };
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    match found.kind {
        FileKind::File if found.size > MOST_BYTES => refused("it is longer than 1 MiB"),
        FileKind::File => Ok(Some(String::from_utf8_lossy(&spot.read()?).into_owned())),
        _ => refused("it is not a plain file"),
    }
}
