//! Finding the file to execute.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The program that runs here, to be executed once more: its path where that is still this very file, else
/// `/proc/self/exe`. A process keeps the file it executes, also when an update replaced or removed it.
pub fn own_program() -> PathBuf {
    let image = PathBuf::from("/proc/self/exe");
    let same = |path: &PathBuf| match (path.metadata(), image.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    std::fs::read_link(&image).ok().filter(same).unwrap_or(image)
}

/// The file that `name` stands for: itself where it has a `/`, else the first on `path_variable`.
pub fn find_program(name: &Path, path_variable: &str) -> Option<PathBuf> {
    if name.as_os_str().as_encoded_bytes().contains(&b'/') {
        return is_executable(name).then(|| name.to_owned());
    }
    on_path(name, path_variable.as_ref())
}

/// The file to execute: a bare name is looked up in `path_variable` and nowhere else, any other is as seen from
/// `dir`.
pub(super) fn located(name: &Path, dir: &Path, path_variable: Option<&OsStr>) -> Option<PathBuf> {
    if name.as_os_str().as_encoded_bytes().contains(&b'/') {
        return Some(dir.join(name)).filter(|path| path.exists());
    }
    on_path(name, path_variable?)
}

fn on_path(name: &Path, path_variable: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path_variable)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
