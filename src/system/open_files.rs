//! Files that processes hold open, read from /proc.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// How a process may write to a file it holds open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writing {
    /// Only at its end: a log.
    Appending,
    /// Anywhere, through a descriptor or through shared memory: a database, most likely.
    Anywhere,
}

/// The plain files below `top`, a path without symbolic links, that process `pid` could write to, each with
/// the most that any of its descriptors and memory maps allows.
///
/// A file that was deleted or replaced since it was opened is not among them, nor is one that the process
/// sees under another path (in a container). Empty where this user may not look into the process.
pub fn open_for_writing(pid: u32, top: &Path) -> BTreeMap<PathBuf, Writing> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let mut found = BTreeMap::new();
    for (path, writing) in described(&process, top).into_iter().chain(mapped(&process, top)) {
        let most = found.entry(path).or_insert(writing);
        *most = (*most).max(writing);
    }
    found
}

/// Those of `paths` that a process holds open, as far as this user may see.
pub fn open_anywhere(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let place = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let wanted: BTreeMap<_, _> =
        paths.iter().filter_map(|path| Some((place(path)?, path.clone()))).collect();
    let mut open = BTreeSet::new();
    for pid in super::procs::running() {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let held = files.filter_map(|file| wanted.get(&place(&file.path())?).cloned());
        open.extend(held);
    }
    open
}

/// A process that has a file open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// The name of its program.
    pub program: String,
    /// The file.
    pub path: PathBuf,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {}) has {} open", self.program, self.pid, self.path.display())
    }
}

/// The processes that hold one of `paths` open, each with the first of them, as far as this user may see. This process
/// is none of them.
pub fn holders(paths: &[PathBuf]) -> Vec<Holder> {
    let place = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let wanted: BTreeMap<_, _> =
        paths.iter().filter_map(|path| Some((place(path)?, path.clone()))).collect();
    let others = super::procs::running().into_iter().filter(|pid| *pid != std::process::id());
    let holder = |pid: u32| {
        let mut files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let path = files.find_map(|file| wanted.get(&place(&file.path())?).cloned())?;
        let program = super::procs::program(pid).unwrap_or_else(|| "a program".to_owned());
        Some(Holder { pid, program, path })
    };
    if wanted.is_empty() { Vec::new() } else { others.filter_map(holder).collect() }
}

/// Through descriptors.
fn described(process: &Path, top: &Path) -> Vec<(PathBuf, Writing)> {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let look = |link: PathBuf| {
        let path = fs::read_link(&link).ok().filter(|path| path.starts_with(top))?;
        // Through the link: what is open, whatever is at its path now.
        let (open, lies) = (fs::metadata(&link).ok()?, path.symlink_metadata().ok()?);
        let same = open.is_file() && (open.dev(), open.ino()) == (lies.dev(), lies.ino());
        let details = process.join("fdinfo").join(link.file_name()?);
        let writing = writing(&fs::read_to_string(details).ok()?)?;
        same.then_some((path, writing))
    };
    descriptors.filter_map(|entry| look(entry.path())).collect()
}

/// The `flags` line of `/proc/PID/fdinfo/FD`, an octal number.
fn writing(details: &str) -> Option<Writing> {
    let flags = details.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = OFlags::from_bits_retain(u32::from_str_radix(flags.trim(), 8).ok()?);
    if !flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return None;
    }
    let appends = flags.contains(OFlags::APPEND) && !flags.contains(OFlags::RDWR);
    Some(if appends { Writing::Appending } else { Writing::Anywhere })
}

/// Through memory that is shared with the file: its descriptor may be closed long ago.
///
/// The device and inode numbers told there are those of the file system below on overlays, so they are not
/// compared.
fn mapped(process: &Path, top: &Path) -> Vec<(PathBuf, Writing)> {
    let maps = fs::read(process.join("maps")).unwrap_or_default();
    let plain = |path: &PathBuf| path.symlink_metadata().is_ok_and(|found| found.is_file());
    maps.split(|b| *b == b'\n')
        .filter_map(shared_and_writable)
        .filter(|path| path.starts_with(top) && plain(path))
        .map(|path| (path, Writing::Anywhere))
        .collect()
}

/// `7f00-7f01 rw-s 00000000 08:01 1234      /srv/shop/data/app.db-shm`
fn shared_and_writable(line: &[u8]) -> Option<PathBuf> {
    let mut fields = line.splitn(6, |b| *b == b' ');
    let permissions = fields.nth(1)?;
    if permissions.get(1) != Some(&b'w') || permissions.get(3) != Some(&b's') {
        return None;
    }
    let path = fields.nth(3)?.trim_ascii_start();
    path.starts_with(b"/").then(|| OsString::from_vec(path.to_vec()).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    /// A shell that has carried out `script` in `dir` and waits to be killed.
    fn shell(dir: &Path, script: &str) -> Child {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{script}; echo ready; read -r _")])
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        child
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn files_open_for_writing_are_found_and_told_from_logs_and_from_what_is_only_read() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let outside = tempfile::tempdir().unwrap();
        for name in ["app.db", "read.txt", "web.log"] {
            fs::write(top.join(name), "x").unwrap();
        }
        let script = format!(
            "exec 3<>app.db 4<read.txt 5>>web.log 6>plain.out 7>'{}/elsewhere' 8>gone; rm gone",
            outside.path().display()
        );
        let child = shell(&top, &script);
        let found = open_for_writing(child.id(), &top);
        end(child);
        let names: Vec<(&str, Writing)> = found
            .iter()
            .map(|(path, writing)| (path.strip_prefix(&top).unwrap().to_str().unwrap(), *writing))
            .collect();
        let wanted = [
            ("app.db", Writing::Anywhere),
            ("plain.out", Writing::Anywhere),
            ("web.log", Writing::Appending),
        ];
        assert_eq!(names, wanted);
    }

    #[test]
    fn a_file_that_was_replaced_since_is_not_the_one_held_open() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let child = shell(&top, "exec 3<>app.db; echo new >other; mv other app.db");
        let found = open_for_writing(child.id(), &top);
        end(child);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn names_that_are_no_text_are_found() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let path = top.join(OsStr::from_bytes(b"caf\xe9\n.db"));
        fs::write(&path, "x").unwrap();
        let child = shell(&top, "set -- caf*; exec 3<>\"$1\"");
        let found = open_for_writing(child.id(), &top);
        end(child);
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [path]);
    }

    #[test]
    fn a_shared_map_counts_although_its_descriptor_is_closed() {
        let cases: [(&[u8], Option<&str>); 5] = [
            (b"7f-7f rw-s 00000000 08:01 12                  /a/b c.db-shm", Some("/a/b c.db-shm")),
            (b"7f-7f rw-p 00000000 08:01 12                  /a/private", None),
            (b"7f-7f r--s 00000000 08:01 12                  /a/read", None),
            (b"7f-7f rw-p 00000000 00:00 0 ", None),
            (b"", None),
        ];
        for (line, path) in cases {
            assert_eq!(shared_and_writable(line), path.map(PathBuf::from));
        }
    }
}
