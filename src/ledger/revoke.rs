//! Revoking keys, and what trust records of other hosts ask for.

use std::fs;

use super::chain::{self, Expected};
use super::codec::MOST_BYTES;
use super::entry::{Entry, Ledger, LedgerError, chain_ref};
use super::key::{self, Offered};
use super::roles_file::{roles, text};
use super::signing;
use super::trust::{Trust, Validity, fingerprint};
use crate::config::{Binding, Roles, revoked_text};
use crate::model::{Event, Outcome, RevokedKey, Seq, WriterId};
use crate::system::files;
use crate::system::git::{Git, ObjectKind};

/// Which key signed a record: `SHA256:…`, or `openpgp`.
///
/// # Errors
/// When git has lost the record.
pub fn signer(git: &Git, entry: &Entry) -> Result<String, LedgerError> {
    let object = git.object(&entry.blob, ObjectKind::Blob, MOST_BYTES)?;
    Ok(signing::split(&object).map(|signed| fingerprint(&signed)).unwrap_or_default())
}

/// What it takes to revoke a key: the last record of each chain that it signed, at most `at`. A key that signed none is
/// revoked for the writers that the trust file lists it for.
///
/// # Errors
/// When git cannot read the records, or the trust file cannot be read.
pub fn revocations(
    git: &Git,
    binding: &Binding,
    ledger: &Ledger,
    revoked: &str,
    at: Option<Seq>,
) -> Result<Vec<RevokedKey>, LedgerError> {
    let mut found = Vec::new();
    for chain in ledger.chains.values() {
        let within = |entry: &&Entry| at.is_none_or(|at| entry.record.seq <= at);
        let mut signed = None;
        for entry in chain.entries.iter().rev().filter(within) {
            if signer(git, entry)? == revoked {
                signed = Some(entry);
                break;
            }
        }
        if let Some(entry) = signed {
            found.push(RevokedKey {
                fingerprint: revoked.to_owned(),
                writer: chain.writer.clone(),
                last: entry.record.seq.0,
                digest: Some(entry.digest),
            });
        }
    }
    let listed = key::trusted(binding)?.into_iter().filter(|key| key.fingerprint == revoked);
    let writers = listed.filter_map(|key| key.principal?.parse::<WriterId>().ok());
    for writer in writers {
        if found.iter().all(|revoked| revoked.writer != writer) {
            let fingerprint = revoked.to_owned();
            found.push(RevokedKey { fingerprint, writer, last: 0, digest: None });
        }
    }
    Ok(found)
}

/// Adds revocations to the roles file; those that are there already are left out. The ones that were added.
///
/// # Errors
/// `Sign` when the roles file cannot be read or written.
pub fn revoke(binding: &Binding, keys: &[RevokedKey]) -> Result<Vec<RevokedKey>, LedgerError> {
    let path = binding.roles_file();
    let failed = |problem: String| LedgerError::Sign(format!("{}: {problem}", path.display()));
    let there = roles(binding)?.revoked;
    let covers = |key: &RevokedKey| {
        there.iter().any(|known| {
            (&known.fingerprint, &known.writer) == (&key.fingerprint, &key.writer)
                && known.last <= key.last
        })
    };
    let new: Vec<RevokedKey> = keys.iter().filter(|key| !covers(key)).cloned().collect();
    if new.is_empty() {
        return Ok(new);
    }
    let mut text = text(binding).map_err(|e| failed(e.to_string()))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    new.iter().for_each(|key| text.push_str(&revoked_text(key)));
    Roles::parse(&text).map_err(&failed)?;
    fs::create_dir_all(&binding.dir).map_err(|e| failed(e.to_string()))?;
    files::write_durably(&path, text.as_bytes(), 0o644).map_err(|e| failed(e.to_string()))?;
    Ok(new)
}

/// The trust records of other hosts that ask for something this host does not have yet. Of a chain that is rejected, too,
/// where their own signatures count: a host that has a new key says so in the last record that its old key signs.
///
/// # Errors
/// `Sign` when the trust file or the roles file cannot be read; when git cannot read the refs.
pub fn proposals(git: &Git, binding: &Binding, ledger: &Ledger) -> Result<Vec<Entry>, LedgerError> {
    let revoked = roles(binding)?.revoked;
    let others = ledger.chains.values().filter(|chain| chain.writer != binding.writer);
    let may = |entry: &&Entry| !ledger.without_role.contains_key(&entry.digest);
    let of_believed = others.flat_map(|chain| &chain.entries).filter(is_proposal).filter(may);
    let mut all: Vec<Entry> = of_believed.cloned().collect();
    for (writer, why) in &ledger.refused {
        if let (LedgerError::Untrusted { .. }, Ok(writer)) = (why, writer.parse()) {
            all.extend(of_rejected(git, binding, &writer)?);
        }
    }
    let known = |key: &RevokedKey| {
        revoked.iter().any(|r| (&r.fingerprint, &r.writer) == (&key.fingerprint, &key.writer))
    };
    let trusted = |line: &String| {
        let offered = Offered::parse(line).filter(Offered::is_request);
        offered.is_none_or(|offered| key::is_trusted(binding, &offered))
    };
    all.retain(|entry| {
        let record = &entry.record;
        !record.revokes.iter().all(known) || !record.trusts.iter().all(trusted)
    });
    Ok(all)
}

fn is_proposal(entry: &&Entry) -> bool {
    entry.record.event == Event::Trust && entry.record.outcome == Outcome::Succeeded
}

/// The trust records of a rejected chain whose own signatures count.
fn of_rejected(git: &Git, binding: &Binding, writer: &WriterId) -> Result<Vec<Entry>, LedgerError> {
    let Some(head) = git.find_ref(&chain_ref(&binding.environment, writer))? else {
        return Ok(Vec::new());
    };
    let (environment, app) = (&binding.environment, Some(&binding.app));
    let expected = Expected { environment, writer, app, chain: None };
    let Ok(walked) = chain::walk(git, &head, expected, chain::Below::default()) else {
        return Ok(Vec::new());
    };
    let trust = Trust::load(binding);
    let counts = |(entry, object): &(Entry, Vec<u8>)| {
        let record = &entry.record;
        signing::split(object).is_ok_and(|signed| {
            let by = trust.verify(&signed, writer.as_str(), Some(record.seq), entry.tagger.time);
            let (environment, writer) = (Some(&record.environment), Some(writer));
            by.is_ok_and(|validity| validity == Validity::Current)
                && trust.lacks(&signed, &record.event, environment, writer).is_none()
        })
    };
    let records = walked.chain.entries.into_iter().zip(walked.objects);
    let proposals = records.filter(|(entry, _)| is_proposal(&entry)).filter(counts);
    Ok(proposals.map(|(entry, _)| entry).collect())
}

/// Applies a trust record: trusts its keys, revokes those that it revokes. What was done, a line each.
///
/// # Errors
/// `Sign` when a line of it is no key, or a file cannot be read or written.
pub fn apply(binding: &Binding, entry: &Entry) -> Result<Vec<String>, LedgerError> {
    let record = &entry.record;
    let mut done = Vec::new();
    // First what is taken away: nothing that is revoked is trusted in between.
    for key in revoke(binding, &record.revokes)? {
        done.push(format!(
            "revoked {} of {}, except for its records up to #{}",
            key.fingerprint, key.writer, key.last
        ));
    }
    for line in &record.trusts {
        let offered = Offered::parse(line)
            .filter(Offered::is_request)
            .ok_or_else(|| LedgerError::Sign(format!("{line:?} is not a key")))?;
        if key::trust(binding, &offered)? {
            let shown = key::fingerprints(binding, std::slice::from_ref(&offered))?.concat();
            done.push(format!("trusts {shown} for {}", offered.principal));
        }
    }
    Ok(done)
}
