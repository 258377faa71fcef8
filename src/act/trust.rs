//! Whose records this host believes: listing the trust file, offering the own key, taking another host's, revoking and
//! replacing keys, and applying what other hosts propose.

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::outcome::Status;
use super::session::Session;
use super::statement::{state, statement};
use crate::config::{Binding, OPENPGP, SigningFormat};
use crate::engine;
use crate::ledger::key::{self, Offered, TrustedKey};
use crate::ledger::{Entry, Ledger, revoke};
use crate::model::{Event, Record, RevokedKey, Seq, WriterId};
use crate::plan::facts::Facts;

/// What an offered key is: shown before it is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Offer {
    /// The writer whose records it would sign.
    pub writer: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// Whether it is trusted already.
    pub known: bool,
}

/// The keys that this host trusts.
///
/// # Errors
/// When the checkout is not bound, or the trust file cannot be read.
pub fn list(caller: &Caller) -> Result<Vec<TrustedKey>, Failure> {
    let session = Session::look(caller)?;
    Ok(key::trusted(&session.site.binding)?)
}

/// The line by which another host can trust this one.
///
/// # Errors
/// When the checkout is not bound, or its key has no public half here.
pub fn request(caller: &Caller) -> Result<String, Failure> {
    let session = Session::look(caller)?;
    Ok(key::request(&session.site.binding)?)
}

/// Looks at a line that another host offered.
///
/// # Errors
/// When it is no such line.
pub fn look(caller: &Caller, line: &str) -> Result<Offer, Failure> {
    let session = Session::look(caller)?;
    let offered = parse(line)?;
    let binding = &session.site.binding;
    let fingerprint = key::fingerprints(binding, std::slice::from_ref(&offered))
        .map_err(|_| no_offer(line))?
        .concat();
    let known = key::trusted(binding)?.iter().any(|trusted| {
        trusted.principal.as_ref() == Some(&offered.principal) && trusted.fingerprint == fingerprint
    });
    Ok(Offer { writer: offered.principal, fingerprint, known })
}

/// Trusts the offered key for its writer, and proposes it to other hosts.
///
/// # Errors
/// As [`look`]; when another command is at work; when the trust file cannot be written.
pub fn add(caller: &Caller, line: &str) -> Result<bool, Failure> {
    let session = Session::change(caller, "trust add")?;
    let facts = session.undisputed_facts()?;
    let offered = parse(line)?;
    let added = key::trust(&session.site.binding, &offered)?;
    if added {
        let mut record = statement(&session, Event::Trust);
        record.trusts = vec![line.split_whitespace().collect::<Vec<_>>().join(" ")];
        record.sentence = sentence(&session, &format!("trusts a key of {}", offered.principal));
        propose(&session, &facts, record);
    }
    Ok(added)
}

/// What revoking a key comes to, or came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Revocation {
    /// `SHA256:…`
    pub fingerprint: String,
    /// Up to which record of each writer it still counts.
    pub keys: Vec<RevokedKey>,
}

/// Revokes a key: a fingerprint, or the writer that it signs for. It keeps what it signed, up to `at` where that is given;
/// up to 0 of a writer, all of the writer's keys keep nothing, and it does not matter any more what became of its chain.
///
/// # Errors
/// When it is not trusted, or is this host's own; when nobody confirmed it; when the roles file cannot be written.
pub fn revoke(
    caller: &Caller,
    key: &str,
    at: Option<Seq>,
    yes: bool,
) -> Result<Revocation, Failure> {
    let session = Session::change(caller, "trust revoke")?;
    // It is also the way on where another host's chain was rewritten.
    let facts = session.facts()?;
    let binding = &session.site.binding;
    let given_up = if at == Some(Seq(0)) { keys_of(binding, key)? } else { Vec::new() };
    let fingerprint = match given_up.first() {
        Some(first) => first.clone(),
        None => fingerprint_of(binding, key)?,
    };
    let own = own_fingerprint(&session)?;
    if own == fingerprint || given_up.contains(&own) {
        return Err(Failure::refused("this is the key that this host signs with")
            .and_nothing_changed()
            .next("gitroll trust rotate", "replaces it by a new one, and revokes it"));
    }
    let others = given_up.iter().filter(|key| **key != fingerprint);
    let mut keys = Vec::new();
    for key in std::iter::once(&fingerprint).chain(others) {
        let git = &session.site.git;
        keys.extend(revoke::revocations(git, binding, &facts.ledger, key, at)?);
    }
    for key in &keys {
        caller.info(format!("{} of {} counts up to #{}", key.fingerprint, key.writer, key.last));
    }
    if !yes && !caller.prompt().confirm("Revoke this key?", false)? {
        return Err(Failure::new(Status::Usage, "not revoked").and_nothing_changed());
    }
    let keys = revoke::revoke(binding, &keys)?;
    if !keys.is_empty() {
        let mut record = statement(&session, Event::Trust);
        record.revokes =
            keys.iter().filter(|key| key.fingerprint.starts_with("SHA256:")).cloned().collect();
        record.sentence = sentence(&session, &format!("revoked {fingerprint}"));
        propose(&session, &facts, record);
    }
    Ok(Revocation { fingerprint, keys })
}

/// What replacing this host's key came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rotation {
    /// The file of the new key.
    pub key: String,
    /// `SHA256:…` of the new key.
    pub fingerprint: String,
    /// The old key, and up to which record it counts.
    pub revoked: RevokedKey,
    /// The record that proposes this to other hosts.
    pub record: Seq,
}

/// Gives this host a new key: the old one signs a record that names the new one, and counts up to that record.
///
/// # Errors
/// When the old key cannot sign, or a file cannot be written. Until the binding is written the old key stays.
pub fn rotate(caller: &Caller) -> Result<Rotation, Failure> {
    let session = Session::change(caller, "trust rotate")?;
    let facts = session.undisputed_facts()?;
    let site = &session.site;
    let old = own_fingerprint(&session)?;
    if site.binding.signing.format != SigningFormat::Ssh {
        return Err(Failure::refused("records of this host are signed with an OpenPGP key")
            .and_nothing_changed()
            .next("gitroll init --new-key", "creates an ssh key for this host"));
    }
    let signing = key::make_another(&site.binding)?;
    let mut renewed = Binding { signing, ..site.binding.clone() };
    let line = key::request(&renewed)?;
    let mut record = statement(&session, Event::Trust);
    let last = facts.own(site).last().map_or(1, |last| last.record.seq.0 + 1);
    let revoked = |digest| RevokedKey {
        fingerprint: old.clone(),
        writer: site.binding.writer.clone(),
        last,
        digest,
    };
    record.trusts = vec![line.clone()];
    record.revokes = vec![revoked(None)];
    record.sentence = sentence(&session, "has a new key");
    record.subject = Some(facts.serving.commit.clone());
    let entry = state(&session, &facts, record)?;
    key::trust_own(&mut renewed)?;
    renewed
        .save()
        .map_err(|error| Failure::unchanged(format!("{}: {error}", renewed.file().display())))?;
    let revoked = revoked(Some(entry.digest));
    revoke::revoke(&renewed, std::slice::from_ref(&revoked))?;
    let fingerprint = key::fingerprints(&renewed, &[parse(&line)?])?.concat();
    let key = renewed.signing.key.clone();
    Ok(Rotation { key, fingerprint, revoked, record: entry.record.seq })
}

/// A trust record that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Accepted {
    pub writer: WriterId,
    pub seq: Seq,
    /// What was done, a line each.
    pub done: Vec<String>,
}

/// Applies the trust record of this position of another host's chain.
///
/// # Errors
/// When there is no such proposal, or several and no writer was named; when nobody confirmed it.
pub fn accept(
    caller: &Caller,
    seq: Seq,
    writer: Option<&str>,
    yes: bool,
) -> Result<Accepted, Failure> {
    let session = Session::change(caller, "trust accept")?;
    let facts = session.undisputed_facts()?;
    let binding = &session.site.binding;
    let fits = |entry: &&Entry| {
        let of = entry.record.writer.as_str();
        let named = writer.is_none_or(|name| of == name || engine::host_name(of) == name);
        entry.record.seq == seq && named
    };
    let proposals = revoke::proposals(&session.site.git, binding, &facts.ledger)?;
    let found: Vec<&Entry> = proposals.iter().filter(fits).collect();
    let entry = match found.as_slice() {
        [entry] => *entry,
        [] => {
            let mut failure =
                Failure::unchanged(format!("no trust record #{seq} waits to be accepted"));
            for entry in &proposals {
                let record = &entry.record;
                failure = failure
                    .detail(format!("{} #{}: {}", record.writer, record.seq, record.sentence));
            }
            return Err(failure.next("gitroll sync", "fetches the records of other hosts"));
        }
        several => {
            let writers = several.iter().map(|entry| entry.record.writer.to_string());
            return Err(Failure::new(Status::Usage, "more than one writer has such a record")
                .next(
                    "--writer NAME",
                    format!("one of {}", writers.collect::<Vec<_>>().join(", ")),
                ));
        }
    };
    let record = &entry.record;
    for line in record
        .trusts
        .iter()
        .cloned()
        .chain(record.revokes.iter().map(|key| format!("revokes {key}")))
    {
        caller.info(line);
    }
    if !yes
        && !caller.prompt().confirm(&format!("Apply this, as {} says?", record.writer), false)?
    {
        return Err(Failure::new(Status::Usage, "not applied").and_nothing_changed());
    }
    let done = revoke::apply(binding, entry)?;
    Ok(Accepted { writer: record.writer.clone(), seq, done })
}

/// Applies the trust records that a key signed which the binding follows. What was done, a line each.
///
/// # Errors
/// When a record or a file of the binding cannot be read or written.
pub(super) fn follow(session: &Session, ledger: &Ledger) -> Result<Vec<String>, Failure> {
    let (git, binding) = (&session.site.git, &session.site.binding);
    let mut done = Vec::new();
    if binding.follow.is_empty() {
        return Ok(done);
    }
    for entry in &revoke::proposals(git, binding, ledger)? {
        if binding.follow.contains(&revoke::signer(git, entry)?) {
            let record = &entry.record;
            let lines = revoke::apply(binding, entry)?;
            let by = |line: String| format!("{line}, as #{} of {} says", record.seq, record.writer);
            done.extend(lines.into_iter().map(by));
        }
    }
    Ok(done)
}

/// Tells other hosts, which apply it where a person there accepts it. What is decided here does not depend on that.
fn propose(session: &Session, facts: &Facts, mut record: Record) {
    record.subject = Some(facts.serving.commit.clone());
    if let Err(error) = state(session, facts, record) {
        let what = format!("no record tells other hosts: {}", error.message);
        session.caller.warn(what);
    }
}

fn sentence(session: &Session, what: &str) -> String {
    let binding = &session.site.binding;
    let host = engine::host_name(binding.writer.as_str());
    format!("{} {host}: {what}", binding.environment)
}

/// The fingerprint that a person names: itself, or the writer that the key is listed for.
fn fingerprint_of(binding: &Binding, name: &str) -> Result<String, Failure> {
    let keys = key::trusted(binding)?;
    let is = |key: &&TrustedKey| {
        let principal = key.principal.as_deref().unwrap_or_default();
        key.fingerprint == name
            || (key.revoked.is_empty()
                && (principal == name || engine::host_name(principal) == name))
    };
    let mut found: Vec<&str> = keys.iter().filter(is).map(|key| key.fingerprint.as_str()).collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Failure::unchanged(format!("no trusted key is {name:?}"))
            .next("gitroll trust list", "shows the fingerprints")),
        several => {
            let failure = Failure::unchanged(format!("{name:?} has more than one key"));
            Err(several.iter().fold(failure, |failure, key| {
                failure.next(format!("gitroll trust revoke {key}"), "")
            }))
        }
    }
}

/// The fingerprints of every key that is listed for a writer, those that are revoked up to some record too.
fn keys_of(binding: &Binding, name: &str) -> Result<Vec<String>, Failure> {
    let is = |key: &TrustedKey| {
        let principal = key.principal.as_deref().unwrap_or_default();
        principal == name || engine::host_name(principal) == name
    };
    let mut found: Vec<String> =
        key::trusted(binding)?.into_iter().filter(is).map(|key| key.fingerprint).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The fingerprint of the key that this host signs with.
fn own_fingerprint(session: &Session) -> Result<String, Failure> {
    let binding = &session.site.binding;
    if binding.signing.format == SigningFormat::OpenPgp {
        return Ok(OPENPGP.to_owned());
    }
    let line = key::request(binding)?;
    Ok(key::fingerprints(binding, &[parse(&line)?])?.concat())
}

fn parse(line: &str) -> Result<Offered, Failure> {
    Offered::parse(line).filter(Offered::is_request).ok_or_else(|| no_offer(line))
}

fn no_offer(line: &str) -> Failure {
    let shown: String = line.chars().take(60).collect();
    Failure::unchanged(format!("{shown:?} is not a line of `gitroll trust request`"))
        .next("gitroll trust request", "prints it, on the other host")
}
