//! What is no longer needed is renamed at once and removed when nobody waits any more: hundreds of megabytes in small
//! files take minutes.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::process::Invocation;
use super::random;

/// How long a command that has told its answer continues for this.
const PATIENCE: Duration = Duration::from_secs(1);

const MARK: &str = ".gone-";

static LEFT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Renames what is at `path`, where something does, to a name that is never used again, and notes it for
/// [`finish`]. A kill leaves it under that name ([`is_aside`]).
///
/// # Errors
/// Any I/O error but "not found".
pub fn set_aside(path: &Path) -> io::Result<()> {
    let aside = aside(path);
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    later(aside);
    Ok(())
}

/// A name beside `path` that is never used again.
pub fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(MARK);
    name.push(&random::hex_id()[..12]);
    path.with_file_name(name)
}

/// Whether a name is one that [`set_aside`] gives.
pub fn is_aside(name: &str) -> bool {
    name.contains(MARK)
}

/// Notes for [`finish`] what nobody needs or will make again under this name.
pub fn later(path: PathBuf) {
    left().push(path);
}

/// Removes what is noted, however long it takes: the room is needed. What cannot be removed stays noted.
pub fn make_room() {
    left().retain(|path| remove(path, None).is_err());
}

/// Removes what is noted, for a second at most; the rest is left to a process of its own, which nobody waits for.
pub fn finish() {
    let deadline = Instant::now() + PATIENCE;
    let mut left = std::mem::take(&mut *left());
    left.retain(|path| !matches!(remove(path, Some(deadline)), Ok(true)));
    if left.is_empty() {
        return;
    }
    let mut rm = Invocation::new("nice", Path::new("/"));
    rm.env.insert("PATH".into(), "/usr/bin:/bin".into());
    rm.args = ["rm", "-rf", "--"].into_iter().map(Into::into).collect();
    rm.args.extend(left.into_iter().map(Into::into));
    if let Err(error) = rm.spawn_detached(Path::new("/dev/null")) {
        // The next command finds it.
        tracing::warn!("{error}");
    }
}

fn left() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a tree; whether that was done in time.
fn remove(path: &Path, deadline: Option<Instant>) -> io::Result<bool> {
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        return Ok(false);
    }
    let removed = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => {
            // Package managers make directories that their owner may not write to.
            let mode = meta.permissions().mode();
            if mode & 0o700 != 0o700 {
                fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o700))?;
            }
            for entry in fs::read_dir(path)? {
                if !remove(&entry?.path(), deadline)? {
                    return Ok(false);
                }
            }
            fs::remove_dir(path)
        }
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(true),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_away_at_once_and_gone_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let stage = dir.path().join("stage");
        let locked = stage.join("a/locked");
        fs::create_dir_all(&locked).unwrap();
        fs::write(locked.join("file"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path(), stage.join("link")).unwrap();
        fs::write(dir.path().join("stays"), "x").unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
        set_aside(&stage).unwrap();
        set_aside(&stage).unwrap();
        assert!(!stage.exists());
        let names = || {
            let names = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
            names.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert!(names().len() == 2 && names().iter().any(|name| is_aside(name)), "{:?}", names());
        let aside = dir.path().join(names().into_iter().find(|name| is_aside(name)).unwrap());
        assert!(!remove(&aside, Some(Instant::now())).unwrap(), "no time left");
        assert!(remove(&aside, None).unwrap());
        assert_eq!(names(), ["stays"]);
    }
}
