//! One chain: from its head to its first record, each link checked; and what is kept beside a record, believed
//! only by the digest that the record names. Signatures are not examined here.

use super::codec::{self, Decoded, MOST_BYTES};
use super::entry::{Chain, Entry, EntryParts, LedgerError};
use super::kept::Kept;
use crate::model::{
    AppName, ChainId, Digest, EnvironmentName, Evidence, Oid, Person, Record, Seq, TreeMode,
    WriterId,
};
use crate::system::git::{Commit, Git, ObjectKind};

/// A chain read back, and the exact bytes of its records' tag objects, for their signatures.
#[derive(Debug)]
pub(super) struct Walked {
    pub chain: Chain,
    /// The tag objects of the newest entries, in the order of these: of all but those that were known as a chain.
    pub objects: Vec<Vec<u8>>,
    /// How many of the entries, the newest, were read from git.
    pub read: usize,
}

impl Chain {
    /// Its newest entry, if this commit carries it.
    fn last_at(&self, commit: &Oid) -> Option<&Entry> {
        self.entries.last().filter(|last| last.commit == *commit)
    }
}

impl Entry {
    /// The record as messages name it: `record <writer> <seq>`.
    pub(super) fn name(&self) -> String {
        record_name(&self.record)
    }
}

/// A record as messages name it: `record <writer> <seq>`.
pub(super) fn record_name(record: &Record) -> String {
    format!("record {} {}", record.writer, record.seq)
}

/// What every record of a chain must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub environment: &'a EnvironmentName,
    pub writer: &'a WriterId,
    /// The app, where it is known.
    pub app: Option<&'a AppName>,
    /// The chain's id, where it is known.
    pub chain: Option<&'a ChainId>,
}

/// What is known of a chain without git, up to some record: nothing above that is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Below<'a> {
    /// With the bytes of its records.
    pub kept: Option<&'a Kept>,
    /// Read and verified before by the same command.
    pub chain: Option<&'a Chain>,
}

/// Reads a chain back from its head, oldest record first, and checks that it is one: positions without
/// a gap down to 1, each naming the digest of the one before, all of the same app, environment, writer
/// and chain.
///
/// # Errors
/// `Malformed` and `Broken` name the record; `Git` when an object is missing.
pub(super) fn walk(
    git: &Git,
    head: &Oid,
    expected: Expected<'_>,
    below: Below<'_>,
) -> Result<Walked, LedgerError> {
    let (mut entries, mut objects): (Vec<Entry>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let mut next = head.clone();
    loop {
        if let Some((known, last)) =
            below.chain.and_then(|known| Some((known, known.last_at(&next)?)))
        {
            if let Some(later) = entries.last() {
                check_record(last, Some(&later.record), expected)?;
            }
            entries.reverse();
            objects.reverse();
            let read = entries.len();
            let (writer, id) = (known.writer.clone(), known.id.clone());
            let entries = known.entries.iter().cloned().chain(entries).collect();
            let chain = Chain { writer, id, entries };
            return Ok(Walked { chain, objects, read });
        }
        let commit = git.commit(&next)?;
        let (entry, object) = entry(git, &commit, expected.writer)?;
        let later = entries.last().map(|later| &later.record);
        check_link(&commit, &entry, later, expected)?;
        let (seq, id) = (entry.record.seq, entry.record.chain.clone());
        entries.push(entry);
        objects.push(object);
        let read = entries.len();
        let kept = below.kept.filter(|kept| seq != Seq::FIRST && kept.ends_with(&next));
        if let Some(kept) = kept
            && !append_kept(kept, &mut entries, &mut objects, expected)
        {
            entries.truncate(read);
            objects.truncate(read);
        }
        if entries.last().is_some_and(|first| first.record.seq == Seq::FIRST) {
            entries.reverse();
            objects.reverse();
            let chain = Chain { writer: expected.writer.clone(), id, entries };
            return Ok(Walked { chain, objects, read });
        }
        next = commit.parents[0].clone();
    }
}

/// Goes on with what is kept beneath the last entry, down to the first record; whether all of it is what the entry
/// above names.
fn append_kept(
    kept: &Kept,
    entries: &mut Vec<Entry>,
    objects: &mut Vec<Vec<u8>>,
    expected: Expected<'_>,
) -> bool {
    for found in kept.newest_first().skip(1) {
        let Some((entry, object)) = found else { return false };
        let later = entries.last().map(|later| &later.record);
        if check_record(&entry, later, expected).is_err() {
            return false;
        }
        entries.push(entry);
        objects.push(object);
    }
    entries.last().is_some_and(|first| first.record.seq == Seq::FIRST)
}

/// The newest entry of a chain by its head; nothing below it is read.
///
/// # Errors
/// As [`walk`].
pub(super) fn newest(git: &Git, head: &Oid, writer: &WriterId) -> Result<Entry, LedgerError> {
    Ok(entry(git, &git.commit(head)?, writer)?.0)
}

/// The records of a chain from its head down, as far as they can be read, none checked against the one above it.
pub(super) fn newest_down(
    git: &Git,
    head: &Oid,
    writer: &WriterId,
) -> impl Iterator<Item = Record> {
    let mut next = Some(head.clone());
    std::iter::from_fn(move || {
        let commit = git.commit(&next.take()?).ok()?;
        let record = entry(git, &commit, writer).ok()?.0.record.clone();
        next = commit.parents.first().filter(|_| record.seq != Seq::FIRST).cloned();
        Some(record)
    })
}

fn entry(git: &Git, commit: &Commit, writer: &WriterId) -> Result<(Entry, Vec<u8>), LedgerError> {
    let name = || format!("record of {writer} at {}", commit.id.short());
    let broken =
        |problem: &str| LedgerError::Malformed { name: name(), problem: problem.to_owned() };
    let (mut record, mut evidence, mut config) = (None, None, None);
    for (path, entry) in git.entries(&commit.id)? {
        let place = match path.as_bytes() {
            b"record" => &mut record,
            b"evidence" => &mut evidence,
            b"config" => &mut config,
            // A newer version may keep more beside a record.
            _ => continue,
        };
        *place = (entry.mode == TreeMode::File).then_some(entry.id);
    }
    let blob = record.ok_or_else(|| broken("its commit holds no record"))?;
    let evidence = evidence.ok_or_else(|| broken("its commit holds no evidence"))?;
    let config = config.ok_or_else(|| broken("its commit holds no config"))?;
    let object = git.object(&blob, ObjectKind::Blob, MOST_BYTES)?;
    let (Decoded { record, tagger, object: pointed, digest }, _) = codec::decode(&object)
        .map_err(|problem| LedgerError::Malformed { name: name(), problem })?;
    let commit = commit.id.clone();
    let entry =
        EntryParts { record, tagger, digest, object: pointed, commit, blob, evidence, config };
    Ok((entry.into(), object))
}

fn check_link(
    commit: &Commit,
    entry: &Entry,
    later: Option<&Record>,
    expected: Expected<'_>,
) -> Result<(), LedgerError> {
    check_record(entry, later, expected)?;
    let parents = if entry.record.seq == Seq::FIRST { 1 } else { 2 };
    if commit.parents.len() != parents || commit.parents.last() != Some(&entry.object) {
        return Err(LedgerError::Broken {
            name: entry.name(),
            problem:
                "its commit's parents are not the previous record and the commit that it is about"
                    .to_owned(),
        });
    }
    Ok(())
}

/// Whether a record is of the chain that is read, and the one that the later record names.
fn check_record(
    entry: &Entry,
    later: Option<&Record>,
    expected: Expected<'_>,
) -> Result<(), LedgerError> {
    let record = &entry.record;
    let wrong = |problem: String| Err(LedgerError::Broken { name: entry.name(), problem });
    if record.environment != *expected.environment {
        return wrong(format!(
            "it belongs to environment {}, not {}",
            record.environment, expected.environment
        ));
    }
    if record.writer != *expected.writer {
        return wrong(format!("it belongs to writer {}, not {}", record.writer, expected.writer));
    }
    if let Some(app) = expected.app.filter(|app| **app != record.app) {
        return wrong(format!("it is of app {}, not {app}", record.app));
    }
    if let Some(chain) = expected.chain.filter(|chain| **chain != record.chain) {
        return wrong(format!("it belongs to chain {}, not {chain}", record.chain));
    }
    if let Some(later) = later {
        if record.seq.next() != later.seq {
            return wrong(format!("record {} comes after it", later.seq));
        }
        if later.previous != Some(entry.digest) {
            return wrong(format!("record {} names another record before it", later.seq));
        }
        if (&record.chain, &record.app) != (&later.chain, &later.app) {
            return wrong(format!("record {} belongs to another chain or app", later.seq));
        }
    }
    Ok(())
}

/// The name of the file that keeps the bytes of a promotion's tag object.
const TAG: &str = "tag";

/// The bytes of the tag object that a promotion made, as they are kept beside its record; `None` if a version of
/// gitroll that did not keep them wrote it.
///
/// # Errors
/// When git cannot read them.
pub(super) fn promoted_tag(git: &Git, entry: &Entry) -> Result<Option<Vec<u8>>, LedgerError> {
    let kept =
        git.entries(&entry.commit)?.into_iter().find(|(path, _)| path.as_bytes() == TAG.as_bytes());
    let kept = kept.filter(|(_, kept)| kept.mode == TreeMode::File);
    Ok(kept.map(|(_, kept)| git.object(&kept.id, ObjectKind::Blob, MOST_BYTES)).transpose()?)
}

/// Writes the objects of a chain's next commit and returns its id. Nothing points to it yet.
///
/// # Errors
/// When git cannot write.
pub(super) fn write(
    git: &Git,
    blobs: [&Oid; 3],
    tag: Option<&Oid>,
    previous: Option<&Oid>,
    object: &Oid,
    person: &Person,
    sentence: &str,
) -> Result<Oid, LedgerError> {
    let [record, evidence, config] = blobs.map(Clone::clone);
    let mut entries = vec![("config", config), ("evidence", evidence), ("record", record)];
    entries.extend(tag.map(|tag| (TAG, tag.clone())));
    let tree = git.write_tree(&entries)?;
    let parents: Vec<Oid> = previous.into_iter().chain([object]).cloned().collect();
    Ok(git.write_commit(&tree, &parents, person, &format!("{sentence}\n"))?)
}

/// What is wrong with a chain that should hold a record with this digest at this position; `None` when
/// it does.
pub(super) fn lacks(entries: &[Entry], seq: Seq, digest: &Digest) -> Option<String> {
    let at = usize::try_from(seq.0).ok().and_then(|seq| seq.checked_sub(1));
    match (at.and_then(|at| entries.get(at)), entries.last()) {
        (Some(entry), _) if entry.digest == *digest => None,
        (Some(entry), _) => {
            Some(format!("its record {seq} is now {}, but was {digest}", entry.digest))
        }
        (None, Some(last)) => Some(format!(
            "it ends with record {} ({}), but its record {seq} was {digest}",
            last.record.seq, last.digest
        )),
        (None, None) => Some(format!("it is missing, but its record {seq} was {digest}")),
    }
}

/// Larger ones are not read.
const MOST_KEPT: u64 = 16 * 1024 * 1024;

/// The evidence of a record.
///
/// # Errors
/// When it is missing or not what the record's digest says.
pub fn evidence(git: &Git, entry: &Entry) -> Result<Evidence, LedgerError> {
    let bytes = kept(git, entry, "evidence", &entry.evidence, &entry.record.evidence)?;
    serde_json::from_slice(&bytes).map_err(|error| LedgerError::Malformed {
        name: entry.name(),
        problem: format!("its evidence: {error}"),
    })
}

/// The configuration of a record.
///
/// # Errors
/// When it is missing or not what the record's digest says.
pub fn config(git: &Git, entry: &Entry) -> Result<String, LedgerError> {
    let bytes = kept(git, entry, "config", &entry.config, &entry.record.config)?;
    String::from_utf8(bytes).map_err(|_| LedgerError::Malformed {
        name: entry.name(),
        problem: "its config is not UTF-8".to_owned(),
    })
}

fn kept(
    git: &Git,
    entry: &Entry,
    what: &str,
    blob: &Oid,
    digest: &Digest,
) -> Result<Vec<u8>, LedgerError> {
    let bytes = git.object(blob, ObjectKind::Blob, MOST_KEPT)?;
    if Digest::of(&bytes) == *digest {
        return Ok(bytes);
    }
    let problem = format!("the {what} stored beside it is not the one it names");
    Err(LedgerError::Malformed { name: entry.name(), problem })
}
