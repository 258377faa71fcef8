//! The records of a chain as they were read from git, in one file of the state directory: a long chain is thousands of
//! objects, and they never change.
//!
//! The newest record of a file is read from git all the same, and each record names the digest of the one before it:
//! so no record can be another than the chain's, whatever the file holds. A file that is damaged, or not this
//! checkout's, counts for nothing and is written anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::codec;
use super::entry::{Entry, EntryParts};
use crate::model::{Digest, Oid};
use crate::system::files;
use crate::system::git::Git;

/// So many records are read from git without writing them here.
pub(super) const AFTER: usize = 64;

/// A larger file is not one that was written here.
const MOST_BYTES: u64 = 256 << 20;

/// The records of a chain up to some commit.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// Oldest first.
    places: Vec<Place>,
}

/// Where a record lies in a file, and the objects beside it.
#[derive(Debug)]
struct Place {
    commit: Oid,
    blob: Oid,
    evidence: Oid,
    config: Oid,
    from: usize,
    to: usize,
}

impl Kept {
    /// What is kept of a chain, if anything usable.
    pub fn load(git: &Git, chain_ref: &str) -> Option<Self> {
        let bytes = files::read_cache(&file(git, chain_ref), MOST_BYTES)?;
        let end = bytes.windows(2).position(|two| two == b"\n\n")?;
        let (sum_line, index) = std::str::from_utf8(bytes.get(..end)?).ok()?.split_once('\n')?;
        if sum(git, chain_ref, index).to_string() != sum_line {
            return None;
        }
        let mut places = Vec::new();
        let mut from = end + 2;
        for line in index.lines() {
            let mut words = line.split(' ');
            let mut id = || words.next()?.parse::<Oid>().ok();
            let (commit, blob, evidence, config) = (id()?, id()?, id()?, id()?);
            let to = from.checked_add(words.next()?.parse::<usize>().ok()?)?;
            places.push(Place { commit, blob, evidence, config, from, to });
            from = to;
        }
        (from == bytes.len()).then_some(Self { bytes, places })
    }

    /// Whether this commit carries the newest of its records.
    pub fn ends_with(&self, commit: &Oid) -> bool {
        self.places.last().is_some_and(|place| place.commit == *commit)
    }

    /// The bytes of the record at a place of the chain, if this is their blob.
    pub fn object(&self, at: usize, blob: &Oid) -> Option<&[u8]> {
        let place = self.places.get(at).filter(|place| place.blob == *blob)?;
        self.bytes.get(place.from..place.to)
    }

    /// Its records with the bytes of their objects, the newest first; `None` for one that does not read as a record.
    pub fn newest_first(&self) -> impl Iterator<Item = Option<(Entry, Vec<u8>)>> {
        self.places.iter().rev().map(|place| {
            let object = self.bytes.get(place.from..place.to)?.to_vec();
            let (decoded, _) = codec::decode(&object).ok()?;
            let entry = EntryParts {
                record: decoded.record,
                tagger: decoded.tagger,
                digest: decoded.digest,
                object: decoded.object,
                commit: place.commit.clone(),
                blob: place.blob.clone(),
                evidence: place.evidence.clone(),
                config: place.config.clone(),
            };
            Some((entry.into(), object))
        })
    }
}

/// Keeps the records of a chain. A failure costs time later and is not told.
pub(super) fn save(git: &Git, chain_ref: &str, entries: &[Entry], objects: &[Vec<u8>]) {
    let mut index = String::new();
    for (entry, object) in entries.iter().zip(objects) {
        let EntryParts { commit, blob, evidence, config, .. } = &**entry;
        // Writing to a String cannot fail.
        let _ = writeln!(index, "{commit} {blob} {evidence} {config} {}", object.len());
    }
    let index = index.trim_end();
    let mut bytes = format!("{}\n{index}\n\n", sum(git, chain_ref, index)).into_bytes();
    objects.iter().for_each(|object| bytes.extend_from_slice(object));
    let file = file(git, chain_ref);
    if let Err(error) = files::write_cache(&file, &bytes) {
        tracing::debug!("{} was not written: {error}", file.display());
    }
}

fn file(git: &Git, chain_ref: &str) -> PathBuf {
    let name = Digest::of(chain_ref.as_bytes()).hex()[..16].to_owned();
    git.state_dir().join("cache").join(format!("records-{name}"))
}

fn sum(git: &Git, chain_ref: &str, index: &str) -> Digest {
    let place = git.git_dir().display();
    Digest::of(format!("gitroll records 1\n{place}\n{chain_ref}\n{index}").as_bytes())
}
