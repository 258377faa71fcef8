//! Randomness, from the kernel.

use std::fs::File;
use std::io::Read as _;

/// `N` random bytes.
///
/// # Panics
/// When `/dev/urandom` cannot be read: nothing can be signed or named safely then.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .expect("/dev/urandom is readable on every Linux host");
    bytes
}

/// Four random characters for the end of a name: digits and lower-case letters without look-alikes.
pub fn suffix() -> String {
    const ALPHABET: &[u8; 32] = b"23456789abcdefghjkmnpqrstuvwxyz7";
    bytes::<4>().iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect()
}

/// 32 random hex digits.
pub fn hex_id() -> String {
    bytes::<16>().iter().map(|b| format!("{b:02x}")).collect()
}
