//! Chains and their entries: what a ledger holds, the names of its refs, and why it cannot be read or written.

use crate::model::{
    ChainId, Digest, EnvironmentName, Evidence, Oid, Person, Record, Seq, WriterId,
};
use crate::system::git::GitError;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// Every chain of an environment, read and verified.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The chains whose every record is signed by a key trusted for its writer, by writer.
    pub chains: BTreeMap<WriterId, Chain>,
    /// Chains that are here but not trusted, and why. Shown, never used.
    pub refused: Vec<(String, LedgerError)>,
    /// Records whose signer may not do what they say: they judge, hold, promote and lift nothing. With the role that is
    /// missing.
    pub without_role: BTreeMap<Digest, String>,
    /// Where the own chain cannot be believed now, and what is here is what this host verified of it before.
    pub dispute: Option<Dispute>,
}

/// The own chain is not what the trust file and the refs say now, but what this host verified earlier.
#[derive(Debug)]
pub struct Dispute {
    /// Why the own chain cannot be believed now.
    pub why: LedgerError,
    /// The last of its records that this host has verified.
    pub until: Seq,
}

/// One writer's records, oldest first: position `i` holds sequence number `i + 1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    pub writer: WriterId,
    /// The chain's random id.
    pub id: ChainId,
    pub entries: Vec<Entry>,
}

/// One record in its chain. What lies in a store is read when somebody asks for it.
#[derive(Clone)]
pub struct Entry(Place);

#[derive(Clone)]
enum Place {
    Here(Box<EntryParts>),
    Stored { store: Arc<dyn Store>, at: usize, read: OnceLock<Box<EntryParts>> },
}

/// Where the records of a chain lie that were read before.
pub(super) trait Store: Send + Sync {
    /// The record at a place of the chain.
    fn parts(&self, at: usize) -> EntryParts;
}

impl Entry {
    /// The entry at a place of a stored chain.
    pub(super) fn stored(store: Arc<dyn Store>, at: usize) -> Self {
        Self(Place::Stored { store, at, read: OnceLock::new() })
    }
}

impl From<EntryParts> for Entry {
    fn from(parts: EntryParts) -> Self {
        Self(Place::Here(Box::new(parts)))
    }
}

impl Deref for Entry {
    type Target = EntryParts;

    fn deref(&self) -> &EntryParts {
        match &self.0 {
            Place::Here(parts) => parts,
            Place::Stored { store, at, read } => read.get_or_init(|| Box::new(store.parts(*at))),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// What is known of a record in its chain.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryParts {
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
        problem: String,
    },
    /// A record does not continue its chain.
    #[error("{name} does not continue its chain: {problem}")]
    Broken {
        /// What it is: `record <writer> <seq>`.
        name: String,
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
        writer: WriterId,
        /// Both heads.
        problem: String,
    },
    /// A chain that another trusted chain has seen is not in this repository.
    #[error("chain {writer}: {problem}")]
    Missing { writer: WriterId, problem: String },
    /// The signer's key may not do what the record says.
    #[error("{name}: {key} does not have the role {role}")]
    Role {
        /// What it is: `record <writer> <seq>`.
        name: String,
        /// `SHA256:…`
        key: String,
        role: String,
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
    #[error(transparent)]
    Git(#[from] GitError),
}

/// The full name of a writer's chain ref.
pub fn chain_ref(environment: &EnvironmentName, writer: &WriterId) -> String {
    format!("{}{writer}", chain_prefix(environment))
}

/// What the full names of an environment's chain refs begin with.
pub fn chain_prefix(environment: &EnvironmentName) -> String {
    format!("refs/gitroll/{environment}/ledger/")
}

/// The full name of a writer's notes ref, a projection.
pub fn notes_ref(environment: &EnvironmentName, writer: &WriterId) -> String {
    format!("refs/notes/gitroll/{environment}/{writer}")
}
