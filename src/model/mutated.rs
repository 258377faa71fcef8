//! Damaged copies of real files, for the tests of parsers: always the same ones.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// What an editor, a bad disk or an attacker puts into a file.
const PIECES: [&[u8]; 12] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\xff\xfe",
    "\u{202e}".as_bytes(),
    b"\"",
    b"'''",
    b"[[",
    b"= ",
    b": ",
    b"99999999999999999999",
    b"-----BEGIN SSH SIGNATURE-----\n",
];

/// So many damaged copies of each file.
const COPIES: u64 = 400;

/// A generator of numbers (xorshift64*), so that a failure comes again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap_or(0) % end.max(1)
    }
}

/// Hands every file of `fixtures/corpus/<kind>` and its damaged copies to `parse`, which may refuse but not panic.
pub(crate) fn each(kind: &str, parse: impl Fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus").join(kind);
    let mut files: Vec<_> =
        fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(!files.is_empty(), "there is a corpus of {kind}");
    for file in files {
        let whole = fs::read(&file).unwrap();
        parse(&whole);
        let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15 ^ whole.len() as u64);
        for _ in 0..COPIES {
            parse(&damaged(&whole, &mut numbers));
        }
    }
}

fn damaged(whole: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let end = (at + numbers.below(40)).min(bytes.len());
        match numbers.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            3 => {
                let piece = PIECES[numbers.below(PIECES.len())];
                bytes.splice(at..end, piece.iter().copied());
            }
            4 => bytes.extend_from_slice(PIECES[numbers.below(PIECES.len())]),
            _ if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            _ => {}
        }
    }
    bytes
}
