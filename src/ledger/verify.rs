//! Which chains are believed: every record signed by a key trusted for its writer, none missing that
//! this host or another chain has seen.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::as_read::{AsRead, Identity};
use super::cache::Cache;
use super::chain::{self, Below, Expected, Walked};
use super::entry::{Chain, Entry, EntryParts, Ledger, LedgerError, chain_prefix, chain_ref};
use super::kept::{self, Kept};
use super::key;
use super::signing;
use super::trust::{EXPIRED, Trust, Validity};
use crate::config::Binding;
use crate::model::{Digest, EnvironmentName, Oid, Record, Seq, WriterId};
use crate::system::git::{Git, Ref};

/// Verifying is waiting for programs; more of them at once than this does not help.
const MOST_AT_ONCE: usize = 8;

/// How often a ledger is read again because a chain grew while it was read.
const ATTEMPTS: usize = 3;

/// Reads every chain of an environment. Signatures already verified under the same trust are not
/// verified again (cached by chain head and trust digest in gitroll's state directory).
///
/// # Errors
/// When git cannot be read, and when the binding's own chain is not trusted: nothing may be decided as
/// if it were not there. Another chain that is not trusted lands in [`Ledger::refused`].
pub fn read(git: &Git, binding: &Binding) -> Result<Ledger, LedgerError> {
    // Nobody else has it.
    read_after(git, binding, None).map(|known| Rc::into_inner(known.ledger).unwrap_or_default())
}

/// [`read`], going on from what was read `before`.
pub(super) fn read_after(
    git: &Git,
    binding: &Binding,
    before: Option<&AsRead>,
) -> Result<AsRead, LedgerError> {
    let prefix = chain_prefix(&binding.environment);
    let mut attempt = 1;
    loop {
        // The cache first: what it knows was in the refs before they are listed here.
        let cache = Cache::load(git);
        let refs = git.refs(&prefix)?;
        let reader = Reader::new(git, binding, cache);
        let trust = reader.trust.digest;
        let before = before.filter(|before| before.holds(binding, &trust));
        if let Some(same) = before.filter(|before| before.refs == refs) {
            return Ok(same.clone());
        }
        // What each key signed without its role is found in the bytes of the records, so these are read again.
        let known = before.filter(|_| !reader.trust.roles.are_given());
        let reader = Reader { known: known.map(|known| &*known.ledger), ..reader };
        let result = reader.read(&refs);
        let disturbed = match &result {
            Ok(ledger) => {
                ledger.refused.iter().any(|(_, why)| matches!(why, LedgerError::Rewritten { .. }))
            }
            Err(error) => matches!(error, LedgerError::Rewritten { .. }),
        };
        if !disturbed || attempt == ATTEMPTS || git.refs(&prefix)? == refs {
            let ledger = Rc::new(result?);
            let of = Identity::of(binding);
            return Ok(AsRead { of, refs, trust, ledger, folded: None });
        }
        attempt += 1;
    }
}

/// Reads every chain without a binding, signatures unchecked: for a clone that only looks. The links of
/// each chain are checked; a chain that is none lands in [`Ledger::refused`].
///
/// # Errors
/// Only when git cannot be read.
pub fn read_unverified(git: &Git, environment: &EnvironmentName) -> Result<Ledger, LedgerError> {
    let mut ledger = Ledger::default();
    for Ref { name, id } in git.refs(&chain_prefix(environment))? {
        let read = writer_of(environment, &name).and_then(|writer| {
            let expected = Expected { environment, writer: &writer, app: None, chain: None };
            Ok((chain::walk(git, &id, expected, Below::default())?, writer))
        });
        match read {
            Ok((walked, writer)) => {
                ledger.chains.insert(writer, walked.chain);
            }
            Err(error) => ledger.refused.push((shown(environment, &name), error)),
        }
    }
    Ok(ledger)
}

/// The newest records of one writer, of all where none is named, the newest first; nothing is verified or checked
/// against what is below it. For what only shows them; nothing may be decided by it.
pub fn newest_unverified(
    git: &Git,
    environment: &EnvironmentName,
    writer: Option<&WriterId>,
    most: usize,
) -> Vec<Record> {
    let mut found = Vec::new();
    for Ref { name, id } in git.refs(&chain_prefix(environment)).unwrap_or_default() {
        let Ok(of) = writer_of(environment, &name) else { continue };
        if writer.is_none_or(|writer| *writer == of) {
            found.extend(chain::newest_down(git, &id, &of).take(most));
        }
    }
    found
}

pub(super) struct Reader<'a> {
    git: &'a Git,
    binding: &'a Binding,
    trust: Trust<'a>,
    before: Cache,
    cache: Cache,
    /// The own chain may be refused like any other.
    each: bool,
    without_role: BTreeMap<Digest, String>,
    /// What this command read and verified before, under the same trust.
    known: Option<&'a Ledger>,
}

impl<'a> Reader<'a> {
    pub fn new(git: &'a Git, binding: &'a Binding, cache: Cache) -> Self {
        let trust = Trust::load(binding);
        Self {
            git,
            binding,
            trust,
            before: cache.clone(),
            cache,
            each: false,
            without_role: BTreeMap::new(),
            known: None,
        }
    }

    /// Reads all chains and refuses the own one, too, where it cannot be believed.
    pub fn read_each(self, refs: &[Ref]) -> Result<Ledger, LedgerError> {
        Self { each: true, ..self }.read(refs)
    }

    fn read(mut self, refs: &[Ref]) -> Result<Ledger, LedgerError> {
        let environment = &self.binding.environment;
        let mut ledger = Ledger::default();
        for Ref { name, id } in refs {
            let believed = writer_of(environment, name)
                .and_then(|writer| Ok((self.chain(name, id, &writer)?, writer)));
            match believed {
                Ok((chain, writer)) => {
                    ledger.chains.insert(writer, chain);
                }
                Err(error) => self.refuse(&mut ledger, shown(environment, name), error)?,
            }
        }
        ledger.without_role = std::mem::take(&mut self.without_role);
        self.check_vanished(refs, &mut ledger)?;
        self.check_witnesses(&mut ledger)?;
        if self.cache != self.before {
            self.cache.save(self.git);
        }
        Ok(ledger)
    }

    // What cannot be believed of others is left out; of one's own chain it must not be overlooked.
    fn refuse(
        &self,
        ledger: &mut Ledger,
        writer: String,
        error: LedgerError,
    ) -> Result<(), LedgerError> {
        if writer == self.binding.writer.as_str() && !self.each {
            return Err(error);
        }
        ledger.refused.push((writer, error));
        Ok(())
    }

    fn chain(&mut self, name: &str, head: &Oid, writer: &WriterId) -> Result<Chain, LedgerError> {
        let own = *writer == self.binding.writer;
        let expected = Expected {
            environment: &self.binding.environment,
            writer,
            app: Some(&self.binding.app),
            chain: own.then_some(&self.binding.chain),
        };
        // Who examines everything reads everything from git.
        let before = self.known.and_then(|known| known.chains.get(writer));
        let kept = if self.each || before.is_some() { None } else { Kept::load(self.git, name) };
        let below = Below { kept: kept.as_ref(), chain: before };
        let Walked { chain, objects, read } = chain::walk(self.git, head, expected, below)?;
        let entries = &chain.entries;
        tracing::debug!(
            "ledger: {writer}: {} records read, {read} of them from git",
            objects.len()
        );
        let known = self.cache.known(name).map_or(Ok(Seq(0)), |known| {
            match chain::lacks(entries, known.seq, &known.digest) {
                None => Ok(known.seq),
                Some(problem) => {
                    Err(self.not_as_seen(writer, format!("{problem}, as seen by this host")))
                }
            }
        })?;
        self.check_pins(writer, entries)?;
        let verified = self.cache.verified(name, &self.trust.digest);
        let done = entries
            .iter()
            .rposition(|entry| Some(&entry.commit) == verified)
            .map_or(0, |last| last + 1);
        // Those without their bytes were verified when this command first read them.
        let first = entries.len() - objects.len();
        let new = done.saturating_sub(first);
        let pairs: Vec<_> = entries[first..].iter().zip(&objects).skip(new).collect();
        verify(&self.trust, &pairs, known)?;
        self.find_without_role(entries, &objects);
        if own {
            // What is kept was present when it was read.
            self.check_present(&entries[entries.len() - read..])?;
        }
        if let Some((last, _)) = pairs.last() {
            self.cache.remember(name, &self.trust.digest, last);
        }
        if read > kept::AFTER && first == 0 {
            kept::save(self.git, name, entries, &objects);
        }
        Ok(chain)
    }

    /// A chain is not what it was seen to be. Where none of its records counts any more, nothing is lost by that.
    fn not_as_seen(&self, writer: &WriterId, problem: String) -> LedgerError {
        let writer = writer.clone();
        match key::is_given_up(self.binding, &self.trust.roles, &writer) {
            true => LedgerError::Untrusted {
                name: format!("chain {writer}"),
                problem: "its keys are revoked from its first record on".to_owned(),
            },
            false => LedgerError::Rewritten { writer, problem },
        }
    }

    /// A key that was revoked counts for the records that it signed before, not for others in their place.
    fn check_pins(&self, writer: &WriterId, entries: &[Entry]) -> Result<(), LedgerError> {
        for revoked in self.trust.roles.revoked.iter().filter(|revoked| revoked.writer == *writer) {
            let Some(digest) = revoked.digest.filter(|_| revoked.last > 0) else { continue };
            if let Some(problem) = chain::lacks(entries, Seq(revoked.last), &digest) {
                let key = &revoked.fingerprint;
                let problem = format!("{problem}, as pinned when {key} was revoked");
                return Err(LedgerError::Rewritten { writer: writer.clone(), problem });
            }
        }
        Ok(())
    }

    fn find_without_role(&mut self, entries: &[Entry], objects: &[Vec<u8>]) {
        if !self.trust.roles.are_given() {
            return;
        }
        for (entry, object) in entries.iter().zip(objects) {
            let EntryParts { record, digest, .. } = &**entry;
            let (environment, writer) = (Some(&record.environment), Some(&record.writer));
            let Ok(signed) = signing::split(object) else { continue };
            if let Some(role) = self.trust.lacks(&signed, &record.event, environment, writer) {
                self.without_role.insert(*digest, role.to_owned());
            }
        }
    }

    // A chain of another repository, pushed here, names commits that are not.
    fn check_present(&self, entries: &[Entry]) -> Result<(), LedgerError> {
        match entries.iter().find(|entry| !self.git.has(&entry.object)) {
            None => Ok(()),
            Some(entry) => Err(LedgerError::Broken {
                name: entry.name(),
                problem: format!("this repository lacks its commit {}", entry.object),
            }),
        }
    }

    fn check_vanished(&self, refs: &[Ref], ledger: &mut Ledger) -> Result<(), LedgerError> {
        let environment = &self.binding.environment;
        for (name, known) in self.before.below(&chain_prefix(environment)) {
            let (Ok(writer), false) =
                (writer_of(environment, name), refs.iter().any(|found| found.name == name))
            else {
                continue;
            };
            let problem = format!(
                "it is gone, but its record {} was {}, as seen by this host",
                known.seq, known.digest
            );
            let error = self.not_as_seen(&writer, problem);
            self.refuse(ledger, writer.to_string(), error)?;
        }
        Ok(())
    }

    fn before_has(&self, writer: &WriterId) -> bool {
        self.before.known(&chain_ref(&self.binding.environment, writer)).is_some()
    }

    fn check_witnesses(&self, ledger: &mut Ledger) -> Result<(), LedgerError> {
        for (writer, problem) in contradicted(&ledger.chains) {
            let believed = ledger.chains.remove(&writer).is_some();
            if believed || !ledger.refused.iter().any(|(refused, _)| refused == writer.as_str()) {
                let writer_shown = writer.to_string();
                // It may never have been fetched.
                let error = match believed || self.before_has(&writer) {
                    true => self.not_as_seen(&writer, problem),
                    false => LedgerError::Missing { writer, problem },
                };
                self.refuse(ledger, writer_shown, error)?;
            }
        }
        Ok(())
    }
}

/// Chains that are not what another trusted chain has seen them to be.
fn contradicted(chains: &BTreeMap<WriterId, Chain>) -> BTreeMap<WriterId, String> {
    let mut problems = BTreeMap::new();
    for entry in chains.values().flat_map(|chain| &chain.entries) {
        for seen in &entry.record.seen {
            let entries = chains.get(&seen.writer).map_or(&[][..], |chain| &chain.entries);
            if let Some(problem) = chain::lacks(entries, seen.seq, &seen.digest) {
                let problem = format!("{problem}, as seen by {}", entry.name());
                problems.entry(seen.writer.clone()).or_insert(problem);
            }
        }
    }
    problems
}

/// A record and the bytes of its tag object.
type Signed<'a> = (&'a Entry, &'a Vec<u8>);

/// Verifies records whose signatures were not verified under this trust before. Up to position `known`
/// this host has verified the same records under an earlier trust.
///
/// The newest is verified first, alone: a chain that someone else put here costs one look.
fn verify(trust: &Trust<'_>, records: &[Signed<'_>], known: Seq) -> Result<(), LedgerError> {
    let Some((newest, older)) = records.split_last() else {
        return Ok(());
    };
    let newest_validity = validity(trust, *newest)?;
    let mut validities = all(trust, older)?;
    validities.push(newest_validity);
    // A later record with a valid key names the digest of all before it: its signer vouches for them.
    let mut vouched = false;
    for ((entry, _), validity) in records.iter().zip(validities).rev() {
        vouched |= validity == Validity::Current;
        if !vouched && entry.record.seq > known {
            let problem = EXPIRED.to_owned();
            return Err(LedgerError::Untrusted { name: entry.name(), problem });
        }
    }
    Ok(())
}

fn validity(trust: &Trust<'_>, (entry, object): Signed<'_>) -> Result<Validity, LedgerError> {
    let writer = entry.record.writer.as_str();
    signing::split(object)
        .map_err(str::to_owned)
        .and_then(|signed| trust.verify(&signed, writer, Some(entry.record.seq), entry.tagger.time))
        .map_err(|problem| LedgerError::Untrusted { name: entry.name(), problem })
}

fn all(trust: &Trust<'_>, records: &[Signed<'_>]) -> Result<Vec<Validity>, LedgerError> {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let workers = (workers * 2).min(MOST_AT_ONCE).min(records.len());
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(records.len()));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(record) = records.get(at) else {
                return;
            };
            let result = validity(trust, *record);
            if result.is_err() {
                next.store(records.len(), Ordering::Relaxed);
            }
            let mut results = results.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            results.push((at, result));
        }
    };
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn writer_of(environment: &EnvironmentName, name: &str) -> Result<WriterId, LedgerError> {
    let writer = shown(environment, name);
    let parsed = writer.parse::<WriterId>().ok().filter(|w| chain_ref(environment, w) == name);
    parsed.ok_or_else(|| LedgerError::Malformed {
        name: format!("ref {name:?}"),
        problem: "the ref name does not contain a writer".to_owned(),
    })
}

fn shown(environment: &EnvironmentName, name: &str) -> String {
    name.strip_prefix(&chain_prefix(environment)).unwrap_or(name).to_owned()
}
