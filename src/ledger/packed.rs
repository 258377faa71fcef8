//! Fields in bytes, one after the other, for what lies in the state directory. Pure.

use crate::model::{Digest, Oid};

/// Fields to be written.
#[derive(Debug, Default)]
pub(super) struct Packing(Vec<u8>);

impl Packing {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Seconds since 1970.
    pub fn seconds(&mut self, seconds: i64) {
        self.0.extend_from_slice(&seconds.to_le_bytes());
    }

    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub fn digest(&mut self, digest: &Digest) {
        self.0.extend_from_slice(digest.as_bytes());
    }

    /// Of one repository all are as long.
    pub fn oid(&mut self, id: &Oid) {
        let digits = id.as_str().as_bytes();
        self.0.push(u8::try_from(digits.len() / 2).unwrap_or(0));
        let value = |digit: u8| (digit as char).to_digit(16).map_or(0, |value| value as u8);
        self.0.extend(digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])));
    }

    /// A field that may be missing.
    pub fn optional<T>(&mut self, field: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(field.is_some()));
        if let Some(field) = field {
            put(self, field);
        }
    }
}

/// Fields to be read, each `None` where it is not there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    pub fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A number of things that follow, each of at least one byte.
    pub fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.0.len())
    }

    /// A place in a list.
    pub fn place(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    pub fn seconds(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub fn byte(&mut self) -> Option<u8> {
        Some(*self.take(1)?.first()?)
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub fn digest(&mut self) -> Option<Digest> {
        Some(Digest::from_bytes(self.take(32)?.try_into().ok()?))
    }

    pub fn oid(&mut self) -> Option<Oid> {
        let length = usize::from(self.byte()?);
        Oid::of_bytes(self.take(length)?)
    }

    /// A field that may be missing.
    pub fn optional<T>(&mut self, take: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => take(self).map(Some),
            _ => None,
        }
    }

    /// That nothing follows.
    pub fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
