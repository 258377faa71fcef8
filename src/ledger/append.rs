//! One more record: positioned, signed, verified, written, and only then pointed to.

use std::time::Duration;

use super::cache::Cache;
use super::chain;
use super::codec::{self, MOST_SENTENCE};
use super::entry::{Draft, Entry, EntryParts, Ledger, LedgerError, chain_ref};
use super::signing::{self, Signed, sign};
use super::trust::{EXPIRED, Trust, Validity, fingerprint};
use crate::config::Binding;
use crate::model::{Digest, Event, Oid, Person, Record, Seen, Seq};
use crate::system::clock::now;
use crate::system::failpoint;
use crate::system::git::{Git, GitError, ObjectKind, RefEdit};

/// How often a ref whose lock is taken is tried, and the time between.
const LOCK_ATTEMPTS: u32 = 5;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// Signs a draft and appends it to the binding's own chain (which it begins if there is none),
/// durably: objects, then the chain's ref. Projections follow; their failure is not an error here.
///
/// The record is verified against the trust file before the ref is written, and must be of the
/// binding's app, environment and writer.
///
/// # Errors
/// `Sign`; `Untrusted` when nobody would believe it; `Reason`; `Malformed` when it cannot be written as
/// it is; `Raced` when another process appended first: read again and retry; `Broken`, `Git`.
pub fn append(
    git: &Git,
    binding: &Binding,
    ledger: &Ledger,
    draft: Draft,
) -> Result<Entry, LedgerError> {
    let name = chain_ref(&binding.environment, &binding.writer);
    let last = last_own(git, binding, ledger, &name)?;
    let Draft { record, evidence, config, person } = draft;
    let person = plain(person);
    let mut evidence = serde_json::to_vec_pretty(&evidence)
        .map_err(|error| malformed(&record, error.to_string()))?;
    evidence.push(b'\n');
    let mut record = position(record, binding, ledger, last)?;
    record.evidence = Digest::of(&evidence);
    record.config = Digest::of(config.as_bytes());

    let trust = Trust::load(binding);
    let object = signed(binding, &trust, &record, &person)?;
    let blob = git.write_object(ObjectKind::Blob, &object)?;
    let evidence = git.write_object(ObjectKind::Blob, &evidence)?;
    let config = git.write_object(ObjectKind::Blob, config.as_bytes())?;
    let (decoded, _) = codec::decode(&object).map_err(|problem| malformed(&record, problem))?;
    if !git.has(&decoded.object) {
        let problem = format!("this repository lacks its commit {}", decoded.object);
        return Err(malformed(&record, problem));
    }
    // The tag object that a promotion made, so that the tag can be written back where someone deletes it.
    let tag = record.target.as_ref().filter(|_| record.event == Event::Promote);
    let tag = tag.and_then(|tag| git.object(&tag.id, ObjectKind::Tag, codec::MOST_BYTES).ok());
    let tag = tag.map(|bytes| git.write_object(ObjectKind::Blob, &bytes)).transpose()?;
    let previous = last.map(|last| &last.commit);
    let blobs = [&blob, &evidence, &config];
    let (about, sentence) = (&decoded.object, &record.sentence);
    let commit = chain::write(git, blobs, tag.as_ref(), previous, about, &person, sentence)?;
    let io = |source| GitError::Io { path: git.top().to_owned(), source };
    failpoint::pass("record objects written").map_err(io)?;
    // A chain that survives a power cut without the commit it names could not be read, packed or pushed.
    git.sync_objects()?;
    publish(git, &name, &commit, previous, &record)?;
    failpoint::pass("chain moved").map_err(io)?;

    let entry = Entry::from(EntryParts {
        record: decoded.record,
        tagger: decoded.tagger,
        digest: decoded.digest,
        object: decoded.object,
        commit,
        blob,
        evidence,
        config,
    });
    let mut cache = Cache::load(git);
    // Without what was verified before it, this record's being good says nothing of the chain.
    let continued = match last {
        None => true,
        Some(last) => cache.verified(&name, &trust.digest) == Some(&last.commit),
    };
    if continued {
        cache.remember(&name, &trust.digest, &entry);
        cache.save(git);
    }
    Ok(entry)
}

/// Signs a probe with the binding's key, without asking anyone anything, and verifies it against the
/// trust file and, where the act is known, that the key has the role for it.
///
/// # Errors
/// `Role`; `Sign` with what to do; `Untrusted` when the key is not in the trust file for this writer.
pub fn probe_signing(
    git: &Git,
    binding: &Binding,
    event: Option<&Event>,
) -> Result<(), LedgerError> {
    let payload = format!("gitroll probe {}\n", git.top().display());
    let object = sign(binding, payload.as_bytes())?;
    let untrusted = |problem: String| LedgerError::Untrusted {
        name: format!("probe signed with {}", binding.signing.key),
        problem,
    };
    let parts = signing::split(&object).map_err(|problem| untrusted(problem.to_owned()))?;
    let trust = Trust::load(binding);
    match trust.verify(&parts, binding.writer.as_str(), None, now()).map_err(untrusted)? {
        Validity::Current => match event {
            Some(event) => check_role(binding, &trust, &parts, event, "this host's key".to_owned()),
            None => Ok(()),
        },
        Validity::Past => Err(untrusted(EXPIRED.to_owned())),
    }
}

// The end of the own chain as the ledger knows it. One that is there but was not trusted is not a reason
// to begin another.
fn last_own<'a>(
    git: &Git,
    binding: &Binding,
    ledger: &'a Ledger,
    name: &str,
) -> Result<Option<&'a Entry>, LedgerError> {
    if let Some(chain) = ledger.chains.get(&binding.writer) {
        return Ok(chain.entries.last());
    }
    let refused = ledger.refused.iter().find(|(writer, _)| writer == binding.writer.as_str());
    match (refused, git.find_ref(name)?) {
        (Some((writer, why)), _) => Err(LedgerError::Malformed {
            name: format!("chain {writer}"),
            problem: format!("the chain is rejected, so nothing is appended: {why}"),
        }),
        (None, Some(_)) => Err(LedgerError::Raced),
        (None, None) => Ok(None),
    }
}

fn position(
    mut record: Record,
    binding: &Binding,
    ledger: &Ledger,
    last: Option<&Entry>,
) -> Result<Record, LedgerError> {
    let bound = (&binding.app, &binding.environment, &binding.writer);
    if bound != (&record.app, &record.environment, &record.writer) {
        let problem = format!(
            "it belongs to {} {} {}, but this checkout is bound to {} {} {}",
            record.app, record.environment, record.writer, bound.0, bound.1, bound.2
        );
        return Err(malformed(&record, problem));
    }
    record.seq = last.map_or(Seq::FIRST, |last| last.record.seq.next());
    record.previous = last.map(|last| last.digest);
    record.chain = binding.chain.clone();
    record.seen = ledger
        .chains
        .values()
        .filter(|chain| chain.writer != binding.writer)
        .filter_map(|chain| {
            let head = chain.entries.last()?;
            let writer = chain.writer.clone();
            Some(Seen { writer, seq: head.record.seq, digest: head.digest })
        })
        .collect();
    record.sentence = sentence(&record.sentence);
    record.reason = record.reason.map(|reason| reason.trim().to_owned());
    if let Some(reason) = &record.reason {
        check_reason(reason)?;
    }
    Ok(record)
}

fn signed(
    binding: &Binding,
    trust: &Trust<'_>,
    record: &Record,
    person: &Person,
) -> Result<Vec<u8>, LedgerError> {
    let payload = codec::encode(record, person).map_err(|problem| malformed(record, problem))?;
    let object = sign(binding, &payload)?;
    let untrusted =
        |problem: String| LedgerError::Untrusted { name: chain::record_name(record), problem };
    let parts = signing::split(&object).map_err(|problem| malformed(record, problem.to_owned()))?;
    check_role(binding, trust, &parts, &record.event, chain::record_name(record))?;
    match trust
        .verify(&parts, binding.writer.as_str(), Some(record.seq), person.time)
        .map_err(untrusted)?
    {
        Validity::Current => Ok(object),
        Validity::Past => Err(untrusted(EXPIRED.to_owned())),
    }
}

fn check_role(
    binding: &Binding,
    trust: &Trust<'_>,
    signed: &Signed<'_>,
    event: &Event,
    name: String,
) -> Result<(), LedgerError> {
    match trust.lacks(signed, event, Some(&binding.environment), Some(&binding.writer)) {
        None => Ok(()),
        Some(role) => {
            let key = fingerprint(signed);
            Err(LedgerError::Role { name, key, role: role.to_owned() })
        }
    }
}

/// The append itself: the chain's ref, from what it was to the new commit.
fn publish(
    git: &Git,
    name: &str,
    commit: &Oid,
    previous: Option<&Oid>,
    record: &Record,
) -> Result<(), LedgerError> {
    let edit = RefEdit { name: name.to_owned(), new: Some(commit.clone()), old: previous.cloned() };
    let why = format!("gitroll: record {} {}", record.seq, record.event);
    let mut attempt = 1;
    loop {
        let Err(error) = git.update_refs(std::slice::from_ref(&edit), &why) else {
            return Ok(());
        };
        let now = git.find_ref(name)?;
        if now.as_ref() == Some(commit) && matches!(error, GitError::Io { .. }) {
            // It is in place, only the sync after that failed: to say it is not would have it appended
            // twice. (Another error means that another process has appended the very same bytes.)
            tracing::warn!("{error}");
            return Ok(());
        }
        if now.as_ref() != previous {
            return Err(LedgerError::Raced);
        }
        if attempt == LOCK_ATTEMPTS {
            return Err(error.into());
        }
        // Another process may hold the ref's lock and be about to move it.
        attempt += 1;
        std::thread::sleep(LOCK_WAIT);
    }
}

/// Whether a reason can be recorded as it is.
///
/// # Errors
/// `Reason` with what is wrong.
pub fn check_reason(reason: &str) -> Result<(), LedgerError> {
    codec::check_reason(reason).map_err(LedgerError::Reason)
}

fn malformed(record: &Record, problem: String) -> LedgerError {
    LedgerError::Malformed { name: chain::record_name(record), problem }
}

/// A first line that can be written: names that came from elsewhere may hold anything.
fn sentence(text: &str) -> String {
    let mut line = String::new();
    for c in text.trim().chars() {
        let shown: String = if c.is_control() { c.escape_default().collect() } else { c.into() };
        if line.len() + shown.len() > MOST_SENTENCE {
            break;
        }
        line.push_str(&shown);
    }
    line.trim().to_owned()
}

/// A person as a tag object can name them: git leaves out the same characters.
pub(super) fn plain(person: Person) -> Person {
    let clean = |text: &str, otherwise: &str| {
        let kept: String =
            text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect();
        let kept = kept.trim();
        if kept.is_empty() { otherwise.to_owned() } else { kept.to_owned() }
    };
    let time = jiff::Timestamp::from_second(person.time.as_second()).unwrap_or(person.time);
    Person { name: clean(&person.name, "unknown"), email: clean(&person.email, "unknown"), time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_line_whatever_names_it_holds() {
        assert_eq!(sentence(" deployed v1\n\u{1b}[2J "), "deployed v1\\n\\u{1b}[2J");
        assert_eq!(sentence(&"é".repeat(1000)).len(), MOST_SENTENCE);
    }
}
