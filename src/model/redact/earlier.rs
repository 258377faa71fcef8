//! Secrets that stood in a file once and do not any more: a process may still run with them, and its log shows them. Only
//! keyed digests and lengths of them are kept, so a text is searched for pieces that have one of these.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Digest;

/// A longer text is not searched: what people see is cut long before.
const LONGEST_TEXT: usize = 32 * 1024;

/// What is kept of a secret: its length in bytes, and a digest that nobody can try values against without the key.
pub type Mask = (usize, String);

/// Secrets of earlier by their masks.
#[derive(Clone, Default)]
pub struct Earlier {
    key: String,
    by_length: BTreeMap<usize, BTreeSet<String>>,
}

/// The mask of a secret under a key that stays on this host.
pub fn mask_of(key: &str, secret: &str) -> Mask {
    let inner = Digest::of(format!("{key}\0earlier\0{secret}").as_bytes()).hex();
    (secret.len(), Digest::of(format!("{key}\0{inner}").as_bytes()).hex()[..16].to_owned())
}

impl Earlier {
    /// Those with these masks, which were made with `key`.
    pub fn new(key: &str, masks: impl IntoIterator<Item = Mask>) -> Self {
        let mut by_length: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for (length, digest) in masks.into_iter().filter(|(length, _)| *length > 0) {
            by_length.entry(length).or_default().insert(digest);
        }
        Self { key: key.to_owned(), by_length }
    }

    pub(super) fn and(&mut self, other: Self) {
        if self.key.is_empty() {
            self.key = other.key;
        } else if !other.key.is_empty() && self.key != other.key {
            return;
        }
        for (length, digests) in other.by_length {
            self.by_length.entry(length).or_default().extend(digests);
        }
    }

    /// Where a text holds one of them, from the beginning of a word to the end of one.
    pub(super) fn find(&self, text: &str) -> Vec<(usize, usize)> {
        if self.by_length.is_empty() || text.len() > LONGEST_TEXT {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut before: Option<char> = None;
        for (from, c) in text.char_indices() {
            let begins = !before.is_some_and(is_word) || !is_word(c);
            before = Some(c);
            if !begins {
                continue;
            }
            for (length, digests) in &self.by_length {
                let to = from + length;
                let Some(piece) = text.get(from..to) else { continue };
                let next = text[to..].chars().next();
                let last = piece.chars().next_back();
                let ends = !next.is_some_and(is_word) || !last.is_some_and(is_word);
                if ends && digests.contains(&mask_of(&self.key, piece).1) {
                    found.push((from, to));
                }
            }
        }
        found
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::super::{REDACTED, Redactor};
    use super::*;

    #[test]
    fn what_was_a_secret_is_found_by_its_mask_and_nothing_else_is() {
        let masks = [mask_of("key", "old-canary-7"), mask_of("key", "p@ss!")];
        let redactor = Redactor::default().with_earlier(Earlier::new("key", masks));
        let table = [
            ("refused old-canary-7 for ana", format!("refused {REDACTED} for ana")),
            ("\"old-canary-7\"", format!("\"{REDACTED}\"")),
            ("user:p@ss!@db", format!("user:{REDACTED}@db")),
            ("old-canary-77 and xold-canary-7", "old-canary-77 and xold-canary-7".to_owned()),
            ("", String::new()),
        ];
        for (text, wanted) in table {
            assert_eq!(redactor.text(text), wanted);
        }
        let other =
            Redactor::default().with_earlier(Earlier::new("another", [mask_of("key", "abc")]));
        assert_eq!(other.text("abc"), "abc");
    }
}
