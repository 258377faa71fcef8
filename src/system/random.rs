//! Randomness, from the kernel.

use rustix::rand::{GetRandomFlags, getrandom};

/// `N` random bytes.
///
/// # Panics
/// On a kernel without `getrandom`, older than any that this program runs on. It needs no file descriptor, so
/// that a process that has used up its own still gets them.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no random bytes: {error}"),
        }
    }
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
