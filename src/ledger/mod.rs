//! Chains of signed records in git: codec, append, projections, signing and trust, the fold.

use std::collections::BTreeMap;

mod append;
mod armour;
mod cache;
mod chain;
mod codec;
mod fold;
mod gpg_status;
mod kept;
pub mod key;
mod programs;
mod project;
mod sign;
mod tags;
mod trailers;
mod trust;
mod verify;

pub use fold::{Held, History, Pinned, ServedSpan, ServingState};

use crate::config::Binding;
use crate::model::{
    ChainId, Digest, EnvironmentName, Evidence, Oid, Person, Record, Seq, TargetRef, WriterId,
};
use crate::system::git::{Git, GitError};

/// Every chain of an environment, read and verified.
#[derive(Debug)]
pub struct Ledger {
    /// The chains whose every record is signed by a key trusted for its writer, by writer.
    pub chains: BTreeMap<WriterId, Chain>,
    /// Chains that are here but not believed, and why. Shown, never used.
    pub refused: Vec<(String, LedgerError)>,
}

/// One writer's records, oldest first: position `i` holds sequence number `i + 1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The writer.
    pub writer: WriterId,
    /// The chain's random id.
    pub id: ChainId,
    /// The records.
    pub entries: Vec<Entry>,
}

/// One record in its chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it states.
    pub record: Record,
    /// Who signed it, when.
    pub tagger: Person,
    /// Its identity: SHA-256 of the signed payload.
    pub digest: Digest,
    /// The object the tag points to.
    pub object: Oid,
    /// The chain's commit that carries it.
    pub commit: Oid,
    /// Blob of the exact bytes of the tag object.
    pub blob: Oid,
    /// Blob of the evidence.
    pub evidence: Oid,
    /// Blob of the configuration.
    pub config: Oid,
}

/// What is to be recorded; the ledger adds position, digests, chain and signature.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Draft {
    /// The record. `seq`, `previous`, `chain`, `seen`, `evidence` and `config` are filled in by the append.
    pub record: Record,
    /// What was observed.
    pub evidence: Evidence,
    /// The bytes of the `gitroll.toml` used.
    pub config: String,
    /// Who acts, and when.
    pub person: Person,
}

/// Why records cannot be read, believed or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A record's bytes are not a record of this format.
    #[error("{name}: {problem}")]
    Malformed {
        /// What it is: `record <writer> <seq>`, or `tag <name>`.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A record does not continue its chain.
    #[error("{name} does not continue its chain: {problem}")]
    Broken {
        /// What it is: `record <writer> <seq>`.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A signature is missing, bad, or by a key that is not trusted for the writer.
    #[error("{name}: {problem}")]
    Untrusted {
        /// What it is: `record <writer> <seq>`, `tag <name>`, or the probe.
        name: String,
        /// e.g. `signer is not in the pinned trust file`.
        problem: String,
    },
    /// The chain is shorter or other than this host has seen before.
    #[error("chain {writer}: {problem}")]
    Rewritten {
        /// The writer.
        writer: WriterId,
        /// Both heads.
        problem: String,
    },
    /// Signing failed, or would have asked.
    #[error("cannot sign: {0}")]
    Sign(String),
    /// A reason that could be taken for a part of a record.
    #[error("this reason cannot be recorded: {0}")]
    Reason(String),
    /// The chain moved while we wrote: another process appended.
    #[error("the chain moved while a record was written")]
    Raced,
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Reads every chain of an environment. Signatures already verified under the same trust are not
/// verified again (cached by chain head and trust digest in gitroll's state directory).
///
/// # Errors
/// When git cannot be read, and when the binding's own chain is not believed: nothing may be decided as
/// if it were not there. Another chain that is not believed lands in [`Ledger::refused`].
pub fn read(git: &Git, binding: &Binding) -> Result<Ledger, LedgerError> {
    verify::read(git, binding)
}

/// Reads every chain without a binding, signatures unchecked: for a clone that only looks. The links of
/// each chain are checked; a chain that is none lands in [`Ledger::refused`].
///
/// # Errors
/// Only when git cannot be read.
pub fn read_unverified(git: &Git, environment: &EnvironmentName) -> Result<Ledger, LedgerError> {
    verify::read_unverified(git, environment)
}

/// Signs a draft and appends it to the binding's own chain (which it begins where there is none),
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
    append::append(git, binding, ledger, draft)
}

/// Rebuilds tags and notes of every believed chain: idempotent. What is right is not written again; a
/// tag that somebody moved is put right.
///
/// # Errors
/// When git cannot write them.
pub fn project(
    git: &Git,
    environment: &EnvironmentName,
    ledger: &Ledger,
) -> Result<(), LedgerError> {
    project::project(git, environment, ledger)
}

/// Signs a probe with the binding's key, without asking anybody anything, and verifies it against the
/// trust file.
///
/// # Errors
/// `Sign` with what to do; `Untrusted` when the key is not in the trust file for this writer.
pub fn probe_signing(git: &Git, binding: &Binding) -> Result<(), LedgerError> {
    append::probe(git, binding)
}

/// Makes a signed annotated tag `refs/tags/<name>` on `commit`.
///
/// # Errors
/// `Sign`; `Untrusted` when the key is in nobody's name in the trust file; `Malformed` when name or
/// message cannot be used; `Git` when the tag exists.
pub fn create_tag(
    git: &Git,
    binding: &Binding,
    name: &str,
    commit: &Oid,
    message: &str,
    person: &Person,
) -> Result<TargetRef, LedgerError> {
    tags::create(git, binding, name, commit, message, person)
}

/// Whether a tag object's signature is by a key the trust file holds (for anybody) and that is valid
/// now. `Ok(principal)` as the trust file spells it; for OpenPGP the primary key's fingerprint.
///
/// # Errors
/// `Untrusted` with the reason.
pub fn verify_tag(git: &Git, binding: &Binding, tag: &Oid) -> Result<String, LedgerError> {
    tags::verify(git, binding, tag)
}

/// The evidence of a record.
///
/// # Errors
/// When it is missing or not what the record's digest says.
pub fn evidence(git: &Git, entry: &Entry) -> Result<Evidence, LedgerError> {
    kept::evidence(git, entry)
}

/// The configuration of a record.
///
/// # Errors
/// When it is missing or not what the record's digest says.
pub fn config(git: &Git, entry: &Entry) -> Result<String, LedgerError> {
    kept::config(git, entry)
}

/// Whether a reason can be recorded as it is.
///
/// # Errors
/// `Reason` with what is wrong.
pub fn check_reason(reason: &str) -> Result<(), LedgerError> {
    codec::check_reason(reason).map_err(LedgerError::Reason)
}

/// The full name of a writer's chain ref.
pub fn chain_ref(environment: &EnvironmentName, writer: &WriterId) -> String {
    format!("{}{writer}", chain_prefix(environment))
}

/// The full name of a record's tag, a projection.
pub fn record_tag(
    environment: &EnvironmentName,
    writer: &WriterId,
    seq: Seq,
    event: &str,
) -> String {
    format!("refs/tags/{}", codec::tag_name(environment, writer, seq, event))
}

/// What the full names of an environment's chain refs begin with.
fn chain_prefix(environment: &EnvironmentName) -> String {
    format!("refs/gitroll/{environment}/ledger/")
}

/// The full name of a writer's notes ref, a projection.
pub fn notes_ref(environment: &EnvironmentName, writer: &WriterId) -> String {
    format!("refs/notes/gitroll/{environment}/{writer}")
}

#[cfg(test)]
mod tests;
