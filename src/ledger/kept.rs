//! What is kept beside a record: evidence and configuration, each believed only by the record's digest.

use super::{Entry, LedgerError};
use crate::model::{Digest, Evidence, Oid};
use crate::system::git::{Git, ObjectKind};

/// Larger ones are not read.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The evidence of a record.
pub(super) fn evidence(git: &Git, entry: &Entry) -> Result<Evidence, LedgerError> {
    let bytes = bytes(git, entry, "evidence", &entry.evidence, &entry.record.evidence)?;
    serde_json::from_slice(&bytes).map_err(|error| LedgerError::Malformed {
        name: entry.name(),
        problem: format!("its evidence: {error}"),
    })
}

/// The configuration of a record.
pub(super) fn config(git: &Git, entry: &Entry) -> Result<String, LedgerError> {
    let bytes = bytes(git, entry, "config", &entry.config, &entry.record.config)?;
    String::from_utf8(bytes).map_err(|_| LedgerError::Malformed {
        name: entry.name(),
        problem: "its config is not UTF-8".to_owned(),
    })
}

fn bytes(
    git: &Git,
    entry: &Entry,
    what: &str,
    blob: &Oid,
    digest: &Digest,
) -> Result<Vec<u8>, LedgerError> {
    let bytes = git.object(blob, ObjectKind::Blob, MOST_BYTES)?;
    if Digest::of(&bytes) == *digest {
        return Ok(bytes);
    }
    let problem = format!("the {what} beside it is not the one it names");
    Err(LedgerError::Malformed { name: entry.name(), problem })
}
