//! Whether a unit runs the live tree.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::system::procs;

use super::unit::Unit;

/// Where the running unit is found to run from, if that is not the tree at `top`. A program outside of the
/// tree is fine as long as its directory or one of its arguments is inside.
pub(super) fn stale(unit: &Unit, top: &Path) -> Option<String> {
    let main = unit.main.filter(|_| is_on_host(unit))?;
    let directory = procs::working_directory(main)?;
    let words = procs::command_line(main).unwrap_or_default();
    elsewhere(&directory, words.iter().map(|word| word.as_os_str()), top)
}

/// Where a start of the unit would run from by its definition, if that is not the tree at `top`.
pub(super) fn defined_elsewhere(unit: &Unit, top: &Path) -> Option<String> {
    if !is_on_host(unit) || unit.need_daemon_reload {
        return None;
    }
    // `~` is the home of a user who is not known here.
    let directory = Path::new(&unit.directory).is_absolute().then_some(unit.directory.as_str())?;
    elsewhere(Path::new(directory), unit.commands.split([' ', ';']).map(OsStr::new), top)
}

/// Whether its paths are the host's.
fn is_on_host(unit: &Unit) -> bool {
    matches!(unit.root.as_str(), "" | "/")
}

fn elsewhere<'a>(
    directory: &Path,
    mut words: impl Iterator<Item = &'a OsStr>,
    top: &Path,
) -> Option<String> {
    let top = top.canonicalize().ok()?;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // Of a unit that runs in no directory of its own nothing can be said.
    if directory == Path::new("/") || real(directory).starts_with(&top) {
        return None;
    }
    let inside = |word: &OsStr| {
        let path = PathBuf::from(word);
        path.is_absolute() && real(&path).starts_with(&top)
    };
    // Also `--config=/srv/app/x`.
    let after_sign = |word: &'a OsStr| {
        word.as_bytes()
            .iter()
            .position(|b| *b == b'=')
            .map(|at| OsStr::from_bytes(&word.as_bytes()[at + 1..]))
    };
    if words.any(|word| inside(word) || after_sign(word).is_some_and(inside)) {
        return None;
    }
    Some(format!("runs in {}, not in {}", directory.display(), top.display()))
}
