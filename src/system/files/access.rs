//! Who may do what with a file: owner, group, permission bits, ACL, label. What is put in place takes it over
//! from what it replaces, or has what its directory gives to a new file.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, StatxFlags, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::acl::Acl;
use super::dir_entry_at::DirEntryAt;

/// The ACL of a file.
const ACL: &str = "system.posix_acl_access";
/// The ACL that a directory gives to what is made in it.
const DEFAULT_ACL: &str = "system.posix_acl_default";
/// Labels: what is made in a directory has the directory's.
const LABELS: [&str; 2] = ["security.selinux", "security.SMACK64"];
/// Attributes that say who may do what, or that people set. Not capabilities and signatures, which are
/// about the very bytes that they were given to: the kernel drops them with a write, too.
const TAKEN_OVER: [&str; 5] = [ACL, DEFAULT_ACL, LABELS[0], LABELS[1], "system.nfs4_acl"];
const PEOPLES_OWN: &str = "user.";
const SET_GROUP_ID: u32 = 0o2000;

/// Who may do what with a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Extended attributes by name: ACLs, labels, `user.…`; bytes as hex digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl Access {
    /// What a file that replaces one with this access has: the executable bits for whoever may read it, or
    /// none; no set-id bits, which were given to other bytes.
    pub fn of_replacement(&self, executable: bool) -> Self {
        let mode = with_execution(self.mode & 0o777, executable);
        let mut attributes = self.attributes.clone();
        if let Some(mut acl) = self.acl(ACL) {
            acl.execution(executable);
            attributes.insert(ACL.to_owned(), hex(&acl.bytes()));
        }
        Self { mode, attributes, ..self.clone() }
    }

    /// What the kernel gives to a file that this user makes in a directory with this access.
    pub fn of_new_file(&self, mask: u32, executable: bool) -> Self {
        self.of_new(if executable { 0o777 } else { 0o666 }, mask)
    }

    /// As [`Access::of_new_file`], for a directory.
    pub fn of_new_directory(&self, mask: u32) -> Self {
        let mut new = self.of_new(0o777, mask);
        new.mode |= self.mode & SET_GROUP_ID;
        if let Some(default) = self.attributes.get(DEFAULT_ACL) {
            new.attributes.insert(DEFAULT_ACL.to_owned(), default.clone());
        }
        new
    }

    fn of_new(&self, wanted: u32, mask: u32) -> Self {
        let own = rustix::process::getegid().as_raw();
        let mut new = Self {
            mode: wanted & !mask,
            uid: rustix::process::geteuid().as_raw(),
            gid: if self.mode & SET_GROUP_ID == 0 { own } else { self.gid },
            attributes: BTreeMap::new(),
        };
        let labels = self.attributes.iter().filter(|(name, _)| LABELS.contains(&name.as_str()));
        new.attributes.extend(labels.map(|(name, value)| (name.clone(), value.clone())));
        // With such an ACL the mask has no say.
        if let Some(mut acl) = self.acl(DEFAULT_ACL) {
            new.mode = acl.of_new(wanted);
            if acl.is_more_than_a_mode() {
                new.attributes.insert(ACL.to_owned(), hex(&acl.bytes()));
            }
        }
        new
    }

    /// Whether the group may do something that others may not, or the other way round.
    pub fn group_matters(&self) -> bool {
        (self.mode >> 3) & 7 != self.mode & 7
    }

    fn acl(&self, name: &str) -> Option<Acl> {
        Acl::parse(&bytes(self.attributes.get(name)?)?)
    }
}

/// The executable bit for whoever may read, or for nobody.
fn with_execution(mode: u32, executable: bool) -> u32 {
    match (executable, mode & 0o100 != 0) {
        (true, true) | (false, false) if executable || mode & 0o111 == 0 => mode,
        (true, _) => mode | ((mode & 0o444) >> 2) | 0o100,
        (false, _) => mode & !0o111,
    }
}

impl DirEntryAt {
    /// Who may do what with what lies here; `None` where nothing or a symbolic link does.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn access(&self) -> io::Result<Option<Access>> {
        let (dir, name) = self.parts();
        match rustix::fs::openat(dir, name, LOOK, Mode::empty()) {
            Ok(file) => Of::Open(file.as_fd()).access().map(Some),
            Err(Errno::NOENT | Errno::LOOP) => Ok(None),
            // Neither this user's to read nor a file that can be opened: by its path.
            Err(_) => match Of::Path(&self.real_path()).access() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                found => found.map(Some),
            },
        }
    }

    /// Gives what lies here, no symbolic link, this access. Owner and label only as far as this user may; says
    /// whether the group is as wanted, which is not for everybody to give either.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn give(&self, access: &Access) -> io::Result<bool> {
        super::dir_entry_at::change()?;
        let (dir, name) = self.parts();
        match rustix::fs::openat(dir, name, LOOK, Mode::empty()) {
            Ok(file) => Of::Open(file.as_fd()).give(access),
            Err(Errno::LOOP) => Err(Errno::LOOP.into()),
            Err(_) => Of::Path(&self.real_path()).give(access),
        }
    }

    /// Makes a plain file with this access, and never with a wider one. Says whether it is in the group that it
    /// shall be in. Not durable by itself.
    ///
    /// # Errors
    /// Any I/O error; `AlreadyExists` where something lies here.
    pub fn make_file_with(&self, bytes: &[u8], access: &Access) -> io::Result<bool> {
        let mut file = self.make_private_file()?;
        file.write_all(bytes)?;
        Of::Open(file.as_fd()).give(access)
    }
}

const LOOK: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// What is looked at and changed: opened where that can be, for it is quicker.
#[derive(Clone, Copy)]
enum Of<'a> {
    Open(BorrowedFd<'a>),
    Path(&'a Path),
}

impl Of<'_> {
    fn access(self) -> io::Result<Access> {
        let basic = StatxFlags::BASIC_STATS;
        let stat = match self {
            Of::Open(file) => rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, basic)?,
            Of::Path(path) => rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, basic)?,
        };
        Ok(Access {
            mode: u32::from(stat.stx_mode) & 0o7777,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            attributes: self.attributes()?,
        })
    }

    fn give(self, access: &Access) -> io::Result<bool> {
        let now = self.access()?;
        if now == *access {
            return Ok(true);
        }
        if now.uid != access.uid {
            self.owner(Some(access.uid), None)?;
        }
        let group = now.gid == access.gid || self.owner(None, Some(access.gid))?;
        for name in now.attributes.keys().filter(|name| !access.attributes.contains_key(*name)) {
            let removed = match self {
                Of::Open(file) => rustix::fs::fremovexattr(file, name.as_str()),
                Of::Path(path) => rustix::fs::lremovexattr(path, name.as_str()),
            };
            match removed {
                Err(error) if error != Errno::NODATA && !may_stay(name, error) => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        // After the owner, whose change clears set-id bits.
        let kept = (now.uid, now.gid, now.mode) == (access.uid, access.gid, access.mode);
        if !kept {
            let mode = Mode::from_raw_mode(access.mode);
            match self {
                Of::Open(file) => rustix::fs::fchmod(file, mode)?,
                Of::Path(path) => rustix::fs::chmodat(CWD, path, mode, AtFlags::empty())?,
            }
        }
        for (name, value) in &access.attributes {
            // An ACL was changed with the mode.
            if now.attributes.get(name) == Some(value) && (kept || !name.starts_with("system.")) {
                continue;
            }
            let Some(value) = bytes(value) else { continue };
            let set = match self {
                Of::Open(file) => {
                    rustix::fs::fsetxattr(file, name.as_str(), &value, XattrFlags::empty())
                }
                Of::Path(path) => {
                    rustix::fs::lsetxattr(path, name.as_str(), &value, XattrFlags::empty())
                }
            };
            match set {
                Err(error) if may_stay(name, error) => {}
                set => set?,
            }
        }
        Ok(group)
    }

    /// Whether this user could change the owner or the group.
    fn owner(self, uid: Option<u32>, gid: Option<u32>) -> io::Result<bool> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        let changed = match self {
            Of::Open(file) => rustix::fs::fchown(file, uid, gid),
            Of::Path(path) => rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
        };
        match changed {
            Ok(()) => Ok(true),
            // A number that means nothing in this user namespace is INVAL.
            Err(Errno::PERM | Errno::INVAL) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn attributes(self) -> io::Result<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        let mut list = [0; 1024];
        let listed = match self.list(&mut list) {
            Err(Errno::RANGE) => {
                let mut longer = vec![0; 1 << 16];
                let length = self.list(&mut longer)?;
                longer.truncate(length);
                longer
            }
            // A file system without any.
            Err(Errno::NOTSUP) => return Ok(found),
            length => list[..length?].to_vec(),
        };
        for name in listed.split_inclusive(|b| *b == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            let Ok(text) = name.to_str() else { continue };
            if !TAKEN_OVER.contains(&text) && !text.starts_with(PEOPLES_OWN) {
                continue;
            }
            let mut value = vec![0; 1 << 16];
            let got = match self {
                Of::Open(file) => rustix::fs::fgetxattr(file, name, value.as_mut_slice()),
                Of::Path(path) => rustix::fs::lgetxattr(path, name, value.as_mut_slice()),
            };
            match got {
                Ok(length) => {
                    found.insert(text.to_owned(), hex(&value[..length]));
                }
                Err(Errno::NODATA | Errno::NOTSUP | Errno::ACCESS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    fn list(self, into: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Of::Open(file) => rustix::fs::flistxattr(file, into),
            Of::Path(path) => rustix::fs::llistxattr(path, into),
        }
    }
}

/// Whether an attribute may be left as it is when it cannot be changed: one of the host's policy, or one that
/// this file system does not know.
fn may_stay(name: &str, error: Errno) -> bool {
    error == Errno::NOTSUP
        || (LABELS.contains(&name) && matches!(error, Errno::PERM | Errno::ACCESS))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_bit_comes_and_goes_for_whoever_may_read() {
        for (before, executable, after) in [
            (0o644, true, 0o755),
            (0o640, true, 0o750),
            (0o600, true, 0o700),
            (0o755, false, 0o644),
            (0o750, true, 0o750),
            (0o710, true, 0o710),
            (0o444, false, 0o444),
            (0o4755, true, 0o755),
            (0o660, false, 0o660),
        ] {
            let access = Access { mode: before, uid: 0, gid: 0, attributes: BTreeMap::new() };
            assert_eq!(access.of_replacement(executable).mode, after, "{before:o} {executable}");
        }
    }

    /// The kernel is asked for every kind of directory, and must say the same.
    #[test]
    fn a_new_file_has_what_the_kernel_would_give_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| DirEntryAt::try_from(dir.path().join(name).as_path()).unwrap();
        let top = place("top");
        top.make_dir().unwrap();
        let mask = {
            let mask = rustix::process::umask(Mode::from_raw_mode(0o027));
            rustix::process::umask(mask);
            mask.as_raw_mode()
        };
        let acl = |text: &[(u16, u16, u32)]| {
            let entries = text.iter().flat_map(|(tag, perm, id)| {
                [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
            });
            hex(&[&2_u32.to_le_bytes()[..], &entries.collect::<Vec<u8>>()].concat())
        };
        let named = acl(&[
            (0x01, 7, u32::MAX),
            (0x02, 5, 1),
            (0x04, 5, u32::MAX),
            (0x10, 7, u32::MAX),
            (0x20, 0, u32::MAX),
        ]);
        let plain = acl(&[(0x01, 7, u32::MAX), (0x04, 5, u32::MAX), (0x20, 4, u32::MAX)]);
        for (mode, default) in
            [(0o755, None), (0o2750, None), (0o755, Some(named)), (0o2775, Some(plain))]
        {
            let mut access = top.access().unwrap().unwrap();
            access.mode = mode;
            access.attributes.clear();
            access.attributes.extend(default.map(|acl| (DEFAULT_ACL.to_owned(), acl)));
            top.give(&access).unwrap();
            let access = top.access().unwrap().unwrap();
            if access.mode != mode {
                continue; // Not for this user to set.
            }
            for executable in [false, true] {
                let file = place("top/file");
                file.make_file(b"x", if executable { 0o777 } else { 0o666 }).unwrap();
                assert_eq!(
                    file.access().unwrap().unwrap(),
                    access.of_new_file(mask, executable),
                    "{mode:o}"
                );
                file.remove_file().unwrap();
            }
            let below = place("top/below");
            below.make_dir().unwrap();
            assert_eq!(below.access().unwrap().unwrap(), access.of_new_directory(mask), "{mode:o}");
            below.remove_tree().unwrap();
        }
    }
}
