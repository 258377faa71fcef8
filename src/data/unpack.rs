//! Writing what is in a point below a directory: content, owner, mode, times, attributes and hard links.
//!
//! Each file is written by itself and each failure is an error: what is restored is whole or said not to be.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use rustic_core::repofile::{Node, NodeType};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, lsetxattr, utimensat};

use super::error::DataError;
use super::source::unix_mode;

/// Writes the nodes below `into`, which may hold none of them yet. How many files and bytes.
pub(super) fn unpack(
    nodes: &[(PathBuf, Node)],
    into: &Path,
    mut content: impl FnMut(&Node, &mut fs::File) -> Result<(), DataError>,
) -> Result<(u64, u64), DataError> {
    let mut linked: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let (mut files, mut bytes) = (0, 0);
    for (path, node) in nodes {
        let place = into.join(path);
        let io = || DataError::io(&place);
        match &node.node_type {
            NodeType::Dir => match fs::create_dir(&place) {
                // Its own mode comes last: it may forbid to write into it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && place.is_dir() => {}
                made => made.map_err(io())?,
            },
            NodeType::Symlink { .. } => {
                symlink(node.node_type.to_link(), &place).map_err(io())?;
                describe(&place, node)?;
            }
            NodeType::File => {
                files += 1;
                bytes += node.meta.size;
                let key = (node.meta.device_id, node.meta.inode);
                let several = node.meta.links > 1 && key.0 != 0;
                if let Some(first) = linked.get(&key).filter(|_| several) {
                    fs::hard_link(first, &place).map_err(io())?;
                    continue;
                }
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o600);
                let mut file = options.open(&place).map_err(io())?;
                content(node, &mut file)?;
                let written = file.metadata().map_err(io())?.len();
                if written != node.meta.size {
                    let what = format!("has {written} bytes, and should have {}", node.meta.size);
                    return Err(io()(io::Error::other(what)));
                }
                describe(&place, node)?;
                if several {
                    linked.insert(key, place.clone());
                }
            }
            // None is ever stored.
            _ => {}
        }
    }
    for (path, node) in nodes.iter().rev().filter(|(_, node)| node.is_dir()) {
        describe(&into.join(path), node)?;
    }
    Ok((files, bytes))
}

/// Gives owner, attributes, mode and times, in the order in which one does not undo the other. Who is not root
/// gives nothing away.
fn describe(place: &Path, node: &Node) -> Result<(), DataError> {
    let io = || DataError::io(place);
    let meta = &node.meta;
    if rustix::process::geteuid().is_root() {
        lchown(place, meta.uid, meta.gid).map_err(io())?;
    } else if meta.gid.is_some() {
        // One of this user's own groups, or it stays as it was made.
        let _ = lchown(place, None, meta.gid);
    }
    for attribute in &meta.extended_attributes {
        let value = attribute.value.as_deref().unwrap_or_default();
        match lsetxattr(place, attribute.name.as_str(), value, XattrFlags::empty()) {
            // Another file system, or a label that only root gives.
            Ok(()) | Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::PERM) => {}
            Err(error) => return Err(io()(error.into())),
        }
    }
    if let (Some(mode), false) = (meta.mode, node.is_symlink()) {
        let mode = fs::Permissions::from_mode(unix_mode(mode));
        fs::set_permissions(place, mode).map_err(io())?;
    }
    if let Some(modified) = meta.mtime {
        let time =
            Timespec { tv_sec: modified.as_second(), tv_nsec: modified.subsec_nanosecond().into() };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| io()(e.into()))?;
    }
    Ok(())
}
