//! Who may do what with a file: owner, group, permission bits, ACL, label. What is put in place takes it over
//! from what it replaces, or has what its directory gives to a new file.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, StatxFlags, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::acl::Acl;
use crate::system::user;

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

/// Who may do what at a place that something comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceAccess {
    /// With what is replaced there, a directory by a directory and a file by a file.
    Of(Access),
    /// Nothing is replaced: with the directory that it comes into.
    New(Access),
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

    /// What an artifact with this access has in a place, where it is a directory or not.
    pub fn fitted(&self, place: &PlaceAccess, mask: u32, directory: bool) -> Self {
        let replaced = match place {
            PlaceAccess::New(dir) => {
                let gid = if dir.mode & SET_GROUP_ID == 0 { self.gid } else { dir.gid };
                let dir = Self { uid: self.uid, gid, ..dir.clone() };
                return self.made_in(&dir, mask, directory);
            }
            PlaceAccess::Of(replaced) if directory => {
                Self { mode: (replaced.mode & 0o3777) | 0o700, ..replaced.clone() }
            }
            PlaceAccess::Of(replaced) => replaced.of_replacement(self.mode & 0o100 != 0),
        };
        let mut attributes = self.peoples_own();
        let theirs = replaced.attributes.iter().filter(|(name, _)| !name.starts_with(PEOPLES_OWN));
        attributes.extend(theirs.map(|(name, value)| (name.clone(), value.clone())));
        Self { attributes, ..replaced }
    }

    /// What a file or directory with this access would have, had it been made in a directory with that one.
    pub fn made_in(&self, dir: &Self, mask: u32, directory: bool) -> Self {
        let all = if directory || self.mode & 0o100 != 0 { 0o777 } else { 0o666 };
        // Nobody chose this mode but the mask, which has no say beside a default ACL.
        let wanted = if self.mode & 0o777 == all & !mask { all } else { self.mode & 0o777 };
        let mut new = dir.of_new(wanted, mask);
        if let Some(default) = dir.attributes.get(DEFAULT_ACL).filter(|_| directory) {
            new.attributes.insert(DEFAULT_ACL.to_owned(), default.clone());
        }
        let acl = dir.attributes.contains_key(DEFAULT_ACL);
        let mut made = Self {
            mode: if acl { new.mode } else { self.mode & 0o777 },
            uid: dir.uid,
            gid: dir.gid,
            attributes: self.peoples_own(),
        };
        if let Some(own) = self.attributes.get(ACL).filter(|_| !acl) {
            made.attributes.insert(ACL.to_owned(), own.clone());
        }
        if directory {
            made.mode |= dir.mode & SET_GROUP_ID;
        }
        made.attributes.extend(new.attributes);
        made
    }

    fn peoples_own(&self) -> BTreeMap<String, String> {
        let own = self.attributes.iter().filter(|(name, _)| name.starts_with(PEOPLES_OWN));
        own.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Whether nothing of it is missing that this user could give.
    pub fn fits(&self, wanted: &Self) -> bool {
        let root = rustix::process::geteuid().is_root();
        let group = || user::groups_to_give().is_none_or(|own| own.contains(&wanted.gid));
        self.mode == wanted.mode
            && self.attributes == wanted.attributes
            && (self.uid == wanted.uid || !root)
            && (self.gid == wanted.gid || !group())
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

/// Who may do what with what is at a path; `None` if nothing or a symbolic link does.
pub(super) fn at_path(path: &Path) -> io::Result<Option<Access>> {
    at(CWD, path.as_os_str())
}

/// As [`at_path`], for a name in a directory.
pub(super) fn at(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Access>> {
    match rustix::fs::openat(dir, name, LOOK, Mode::empty()) {
        Ok(file) => Of::Open(file.as_fd()).access().map(Some),
        Err(Errno::NOENT | Errno::LOOP) => Ok(None),
        // Neither this user's to read nor a file that can be opened: by its path.
        Err(_) => match Of::Path(&reaching(dir, name)).access() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        },
    }
}

/// Gives what is at a path, no symbolic link, this access. Owner and label only as far as this user may; says
/// whether the group is as wanted, which is not for everybody to give either.
pub(super) fn give_path(path: &Path, access: &Access) -> io::Result<bool> {
    give(CWD, path.as_os_str(), access)
}

/// As [`give_path`], for a name in a directory.
pub(super) fn give(dir: BorrowedFd<'_>, name: &OsStr, access: &Access) -> io::Result<bool> {
    match rustix::fs::openat(dir, name, LOOK, Mode::empty()) {
        Ok(file) => give_open(file.as_fd(), access),
        Err(Errno::LOOP) => Err(Errno::LOOP.into()),
        Err(_) => Of::Path(&reaching(dir, name)).give(access),
    }
}

/// As [`give_path`], for an open file.
pub(super) fn give_open(file: BorrowedFd<'_>, access: &Access) -> io::Result<bool> {
    Of::Open(file).give(access)
}

/// A path that leads to a name in an open directory.
fn reaching(dir: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    match dir.as_raw_fd() {
        number if number == CWD.as_raw_fd() => name.into(),
        number => Path::new("/proc/self/fd").join(number.to_string()).join(name),
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
        use std::os::unix::fs::OpenOptionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir(&top).unwrap();
        let mask = {
            let mask = rustix::process::umask(Mode::from_raw_mode(0o022));
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
            let mut access = at_path(&top).unwrap().unwrap();
            access.mode = mode;
            access.attributes.clear();
            access.attributes.extend(default.map(|acl| (DEFAULT_ACL.to_owned(), acl)));
            give_path(&top, &access).unwrap();
            let access = at_path(&top).unwrap().unwrap();
            if access.mode != mode {
                continue; // Not for this user to set.
            }
            let (file, below) = (top.join("file"), top.join("below"));
            for executable in [false, true] {
                let wanted = if executable { 0o777 } else { 0o666 };
                let open = std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(wanted)
                    .open(&file);
                drop(open.unwrap());
                let made = at_path(&file).unwrap().unwrap();
                assert_eq!(made, access.of_new_file(mask, executable), "{mode:o}");
                // As one that was built elsewhere, by this user for itself.
                let private =
                    Access { mode: wanted & !mask, attributes: BTreeMap::new(), ..made.clone() };
                assert_eq!(private.made_in(&access, mask, false), made, "{mode:o}");
                std::fs::remove_file(&file).unwrap();
            }
            std::fs::create_dir(&below).unwrap();
            let made = at_path(&below).unwrap().unwrap();
            assert_eq!(made, access.of_new_directory(mask), "{mode:o}");
            let private =
                Access { mode: 0o777 & !mask, attributes: BTreeMap::new(), ..made.clone() };
            assert_eq!(private.made_in(&access, mask, true), made, "{mode:o}");
            std::fs::remove_dir(&below).unwrap();
        }
    }
}
