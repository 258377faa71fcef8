//! A POSIX ACL as the kernel keeps it in an extended attribute.

const VERSION: u32 = 2;
const OWNER: u16 = 0x01;
const GROUP: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

/// The entries of an ACL, in the kernel's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acl {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: u16,
    /// `rwx`, as in a mode.
    permissions: u16,
    /// The user or group of a named entry.
    id: u32,
}

impl Acl {
    /// `None` if the bytes are of a version that is not known here.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, entries) = bytes.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
            return None;
        }
        let entry = |bytes: &[u8]| {
            let (tag, rest) = bytes.split_first_chunk::<2>()?;
            let (permissions, id) = rest.split_first_chunk::<2>()?;
            Some(Entry {
                tag: u16::from_le_bytes(*tag),
                permissions: u16::from_le_bytes(*permissions),
                id: u32::from_le_bytes(id.try_into().ok()?),
            })
        };
        Some(Self { entries: entries.chunks(8).map(entry).collect::<Option<_>>()? })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for Entry { tag, permissions, id } in &self.entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&permissions.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    }

    /// Lets everybody who may read execute, or nobody.
    pub(super) fn execution(&mut self, executable: bool) {
        let is = self.entries.iter().any(|e| e.tag == OWNER && e.permissions & 1 != 0);
        for entry in &mut self.entries {
            match executable {
                true if is => {}
                true => entry.permissions |= (entry.permissions & 4) >> 2,
                false => entry.permissions &= !1,
            }
        }
    }

    /// Makes of a directory's default ACL that of a file which is made with these permissions, as the kernel
    /// does; its mode.
    pub(super) fn of_new(&mut self, wanted: u32) -> u32 {
        let masked = self.entries.iter().any(|e| e.tag == MASK);
        let mut mode = 0;
        for entry in &mut self.entries {
            let shift = match entry.tag {
                OWNER => 6,
                GROUP if !masked => 3,
                MASK => 3,
                OTHERS => 0,
                _ => continue,
            };
            let allowed = u16::try_from((wanted >> shift) & 7).unwrap_or(0);
            entry.permissions &= allowed;
            mode |= u32::from(entry.permissions) << shift;
        }
        mode
    }

    /// Whether a mode alone would not say the same.
    pub(super) fn is_more_than_a_mode(&self) -> bool {
        self.entries.iter().any(|e| !matches!(e.tag, OWNER | GROUP | OTHERS))
    }
}
