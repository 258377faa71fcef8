//! What goes into a point, as the repository reads it: files and directories of this host under names of the point.
//!
//! The library that writes the repository drops an entry that it cannot read and goes on. Here each such entry is
//! noted, so that a point that lacks a file is never taken for a whole one.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustic_core::jiff::Timestamp;
use rustic_core::repofile::{Metadata as NodeMetadata, Node, NodeType};
use rustic_core::{ReadSource, ReadSourceEntry, ReadSourceOpen, RusticResult};
use rustix::io::Errno;

/// A file or directory with what is below it, and where it is put in the point.
#[derive(Debug, Clone)]
pub struct Root {
    /// In the point: relative, its parts plain.
    pub at: PathBuf,
    /// On this host.
    pub from: PathBuf,
}

/// What could not be read, in the order in which it was found, and how much was handed out.
#[derive(Debug, Clone, Default)]
pub(super) struct Missed(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    missed: Vec<(PathBuf, String)>,
    handed_out: u64,
}

impl Missed {
    fn add(&self, path: &Path, why: impl Into<String>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.missed.push((path.to_owned(), why.into()));
    }

    fn hand_out(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).handed_out += 1;
    }

    /// The first path that was missed, and why.
    pub(super) fn first(&self) -> Option<(PathBuf, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).missed.first().cloned()
    }

    /// How many entries that are no directories were given to be stored.
    pub(super) fn handed_out(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).handed_out
    }
}

/// All entries below the roots of one point.
pub(super) struct Tree {
    roots: Vec<Root>,
    missed: Missed,
}

impl Tree {
    pub(super) fn new(mut roots: Vec<Root>, missed: Missed) -> Self {
        // A directory that was left is not entered again.
        roots.sort_by(|a, b| a.at.cmp(&b.at));
        Self { roots, missed }
    }

    /// How many files and bytes there are, as far as can be told before they are read.
    pub(super) fn weigh(roots: &[Root]) -> (u64, u64) {
        let missed = Missed::default();
        let all = Entries::new(roots.to_vec(), missed);
        all.flatten()
            .filter(|entry| entry.node.is_file())
            .fold((0, 0), |(files, bytes), entry| (files + 1, bytes + entry.node.meta.size))
    }
}

impl ReadSource for Tree {
    type Open = NotedFile;
    type Iter = Entries;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Entries {
        Entries::new(self.roots.clone(), self.missed.clone())
    }
}

/// A file that is opened when its turn comes.
pub(super) struct NotedFile {
    path: PathBuf,
    size: u64,
    missed: Missed,
}

impl ReadSourceOpen for NotedFile {
    type Reader = NotedReader;

    fn open(self) -> RusticResult<NotedReader> {
        let file = File::open(&self.path).inspect_err(|error| {
            self.missed.add(&self.path, error.to_string());
        });
        Ok(NotedReader { file: file.ok(), left: self.size, path: self.path, missed: self.missed })
    }
}

/// Reads as many bytes as the file had when it was found: one that grows is cut there, one that shrinks is noted.
pub(super) struct NotedReader {
    file: Option<File>,
    left: u64,
    path: PathBuf,
    missed: Missed,
}

impl Read for NotedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Ok(0) };
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        match file.read(&mut buffer[..most]) {
            Ok(0) => {
                self.missed.add(&self.path, "became shorter while it was read");
                Ok(0)
            }
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.missed.add(&self.path, error.to_string());
                Err(error)
            }
        }
    }
}

/// Walks the roots: a directory before what is in it, names in the order of their bytes.
pub(super) struct Entries {
    /// What is still to come, the next one last.
    stack: Vec<Root>,
    missed: Missed,
}

impl Entries {
    fn new(mut roots: Vec<Root>, missed: Missed) -> Self {
        roots.reverse();
        Self { stack: roots, missed }
    }

    fn entry(&mut self, root: &Root) -> Option<ReadSourceEntry<NotedFile>> {
        let Root { at, from } = root;
        let metadata = match from.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                self.missed.add(from, error.to_string());
                return None;
            }
        };
        let kind = metadata.file_type();
        let node_type = if kind.is_dir() {
            self.push_children(root);
            NodeType::Dir
        } else if kind.is_symlink() {
            match std::fs::read_link(from) {
                Ok(target) => NodeType::from_link(&target),
                Err(error) => {
                    self.missed.add(from, error.to_string());
                    return None;
                }
            }
        } else if kind.is_file() {
            NodeType::File
        } else {
            // A socket or a pipe has no content: the app makes it again.
            return None;
        };
        let is_file = node_type == NodeType::File;
        let attributes = attributes(from).map_err(|error| error.to_string());
        let described = attributes.and_then(|attributes| described(&metadata, attributes));
        let described = match described {
            Ok(described) => described,
            Err(why) => {
                self.missed.add(from, format!("its extended attributes: {why}"));
                return None;
            }
        };
        let name = at.file_name().unwrap_or(OsStr::new(""));
        let node = Node::new_node(name, node_type, described);
        let open = is_file.then(|| NotedFile {
            path: from.clone(),
            size: metadata.len(),
            missed: self.missed.clone(),
        });
        if !node.is_dir() {
            self.missed.hand_out();
        }
        Some(ReadSourceEntry { path: at.clone(), node, open })
    }

    fn push_children(&mut self, dir: &Root) {
        let names = std::fs::read_dir(&dir.from).and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()
        });
        match names {
            Ok(mut names) => {
                names.sort_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
                let child = |name| Root { at: dir.at.join(&name), from: dir.from.join(&name) };
                self.stack.extend(names.into_iter().map(child));
            }
            Err(error) => self.missed.add(&dir.from, error.to_string()),
        }
    }
}

impl Iterator for Entries {
    type Item = RusticResult<ReadSourceEntry<NotedFile>>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(root) = self.stack.pop() {
            if let Some(entry) = self.entry(&root) {
                return Some(Ok(entry));
            }
        }
        None
    }
}

/// What the repository notes of a file. The library does not name the type of an attribute, so they come as JSON.
fn described(metadata: &Metadata, attributes: serde_json::Value) -> Result<NodeMetadata, String> {
    let time = |seconds, nanoseconds: i64| {
        Timestamp::new(seconds, i32::try_from(nanoseconds).unwrap_or(0)).ok()
    };
    let linked = metadata.nlink() > 1 && !metadata.is_dir();
    let extended_attributes =
        serde_json::from_value(attributes).map_err(|error| error.to_string())?;
    Ok(NodeMetadata {
        mode: Some(go_mode(metadata.mode())),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        atime: time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: time(metadata.ctime(), metadata.ctime_nsec()),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
        user: None,
        group: None,
        inode: metadata.ino(),
        device_id: if linked { metadata.dev() } else { 0 },
        size: if metadata.is_dir() { 0 } else { metadata.len() },
        links: if metadata.is_dir() { 0 } else { metadata.nlink() },
        extended_attributes,
    })
}

/// The mode as restic writes it: Go's bits for the kind and the special ones.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let set = special.iter().filter(|(bit, _)| mode & bit != 0).map(|(_, go)| go);
    (mode & 0o777) | kind | set.fold(0, |all, bit| all | bit)
}

/// The mode that `go_mode` made of it.
pub(super) fn unix_mode(go: u32) -> u32 {
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let set = special.iter().filter(|(_, bit)| go & bit != 0).map(|(mode, _)| mode);
    (go & 0o777) | set.fold(0, |all, bit| all | bit)
}

fn attributes(path: &Path) -> io::Result<serde_json::Value> {
    use rustix::fs::{lgetxattr, lgetxattr_query, llistxattr, llistxattr_query};
    let names = all_of(|| llistxattr_query(path), |buffer| llistxattr(path, buffer));
    let names = match names {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(serde_json::json!([])),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match all_of(|| lgetxattr_query(path, name), |buffer| lgetxattr(path, name, buffer)) {
            Ok(value) => found.push(serde_json::json!({
                "name": String::from_utf8_lossy(name),
                "value": STANDARD.encode(value),
            })),
            // Gone meanwhile, or for root alone.
            Err(Errno::NODATA | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found.into())
}

/// What `read` writes, in a buffer as large as `length` says; it may grow between the two.
fn all_of(
    length: impl Fn() -> rustix::io::Result<usize>,
    read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
    loop {
        let mut bytes = vec![0; length()?];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        match read(&mut bytes) {
            Ok(length) => {
                bytes.truncate(length);
                return Ok(bytes);
            }
            Err(Errno::RANGE) => {}
            Err(error) => return Err(error),
        }
    }
}
