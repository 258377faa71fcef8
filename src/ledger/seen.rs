//! The own chain as this host knows it, where it cannot be verified now: the way back is not barred by a lost trust
//! file, a revoked key or a chain that somebody rewrote.

use super::cache::{Cache, Known};
use super::chain::{self, Below, Expected};
use super::codec;
use super::entry::{
    Chain, Dispute, Draft, Entry, EntryParts, Ledger, LedgerError, chain_prefix, chain_ref,
};
use super::queue;
use super::verify::{Reader, read};
use crate::config::Binding;
use crate::model::{ChainId, Digest, Oid};
use crate::system::git::{Git, ObjectKind, Ref, RefEdit};

/// Reads every chain of an environment as [`read`]. Where the own chain cannot be believed, what this host verified of
/// it before takes its place, and [`Ledger::dispute`] says so: by the state directory, which nobody else can write.
/// No other chain is believed for that.
///
/// # Errors
/// As [`read`], where this host has verified nothing before or git has lost it.
pub fn read_as_seen(git: &Git, binding: &Binding) -> Result<Ledger, LedgerError> {
    let why = match read(git, binding) {
        Err(why) => why,
        read => return read,
    };
    let name = chain_ref(&binding.environment, &binding.writer);
    let cache = Cache::load(git);
    let Some(known) = cache.known(&name) else { return Err(why) };
    let Some(chain) = as_known(git, binding, &name, known) else { return Err(why) };
    let Some(last) = chain.entries.last() else { return Err(why) };
    let until = last.record.seq;
    let refs = git.refs(&chain_prefix(&binding.environment))?;
    let mut ledger = Reader::new(git, binding, cache).read_each(&refs)?;
    ledger.refused.retain(|(writer, _)| writer != binding.writer.as_str());
    ledger.chains.insert(binding.writer.clone(), chain);
    ledger.dispute = Some(Dispute { why, until });
    Ok(ledger)
}

/// The own chain up to the record that this host has verified last.
fn as_known(git: &Git, binding: &Binding, name: &str, known: &Known) -> Option<Chain> {
    let expected = Expected {
        environment: &binding.environment,
        writer: &binding.writer,
        app: Some(&binding.app),
        chain: Some(&binding.chain),
    };
    let there = git.find_ref(name).ok().flatten();
    known.heads().chain(&there).find_map(|head| {
        let mut chain = chain::walk(git, head, expected, Below::default()).ok()?.chain;
        // Every record names the digest of the one before it.
        if chain::lacks(&chain.entries, known.seq, &known.digest).is_some() {
            return None;
        }
        chain.entries.truncate(usize::try_from(known.seq.0).ok()?);
        Some(chain)
    })
}

/// Moves that give every chain back the records that this host has verified of it, where its ref is gone or names an
/// older record. Where it names other records, only a person can say which are right.
pub(super) fn restorations(git: &Git, binding: &Binding) -> Result<Vec<RefEdit>, LedgerError> {
    let mut edits = Vec::new();
    let cache = Cache::load(git);
    for (name, known) in cache.below(&chain_prefix(&binding.environment)) {
        let there = git.find_ref(name)?;
        let Some(head) = known.heads().find(|head| git.has(head)) else { continue };
        let older = |there: &Oid| there != head && git.contains(head, there).unwrap_or(false);
        if !there.as_ref().is_none_or(older) {
            continue;
        }
        let wanted = [Ref { name: name.to_owned(), id: head.clone() }];
        let ledger = Reader::new(git, binding, Cache::default()).read_each(&wanted)?;
        if !ledger.chains.is_empty() {
            edits.push(RefEdit { name: name.to_owned(), new: Some(head.clone()), old: there });
        }
    }
    Ok(edits)
}

/// Carries out what [`restorations`] finds.
///
/// # Errors
/// When git cannot write: nothing was moved then.
pub fn restore_chains(git: &Git, binding: &Binding) -> Result<(), LedgerError> {
    let edits = restorations(git, binding)?;
    Ok(git.update_refs(&edits, "gitroll: fsck --repair")?)
}

/// The ledger as this host has to go by it: see [`read_as_seen`], and what this host did and could not sign yet. The
/// digests of such records are not those that they will have.
///
/// # Errors
/// As [`read_as_seen`]; when git cannot write what belongs to the records that wait.
pub fn read_with_queue(git: &Git, binding: &Binding) -> Result<Ledger, LedgerError> {
    let mut ledger = read_as_seen(git, binding)?;
    for draft in queue::queued_drafts(git) {
        if queue::recorded(git, &ledger, &draft)?.is_some() {
            continue;
        }
        let Some(chain) = ledger.chains.get_mut(&binding.writer) else { break };
        let Some(last) = chain.entries.last() else { break };
        let entry = provisional(git, &chain.id, last, draft)?;
        chain.entries.push(entry);
    }
    Ok(ledger)
}

fn provisional(
    git: &Git,
    chain: &ChainId,
    last: &Entry,
    draft: Draft,
) -> Result<Entry, LedgerError> {
    let digest = draft.provisional_digest();
    let Draft { mut record, evidence, config, person } = draft;
    let malformed = |problem: String| LedgerError::Malformed {
        name: "a record that is not signed yet".to_owned(),
        problem,
    };
    let mut evidence =
        serde_json::to_vec_pretty(&evidence).map_err(|error| malformed(error.to_string()))?;
    evidence.push(b'\n');
    record.seq = last.record.seq.next();
    record.previous = Some(last.digest);
    record.chain = chain.clone();
    record.evidence = Digest::of(&evidence);
    record.config = Digest::of(config.as_bytes());
    let object = codec::object_of(&record).map_err(malformed)?.clone();
    let write = |bytes: &[u8]| -> Result<Oid, LedgerError> {
        Ok(git.write_object(ObjectKind::Blob, bytes)?)
    };
    Ok(Entry::from(EntryParts {
        tagger: person,
        digest,
        object,
        // It has none of its own yet.
        commit: last.commit.clone(),
        blob: last.blob.clone(),
        evidence: write(&evidence)?,
        config: write(config.as_bytes())?,
        record,
    }))
}

impl Draft {
    /// What names it in what lifts it while it has no digest of its own.
    pub fn provisional_digest(&self) -> Digest {
        let mut plain = self.clone();
        plain.record.lifts.clear();
        // What cannot be written as JSON was never read from it.
        Digest::of(&serde_json::to_vec(&plain).unwrap_or_default())
    }
}
