//! Chains of signed records in git: codec, append, projections, signing and trust, the fold.

mod append;
pub mod approval;
mod as_read;
mod cache;
mod chain;
mod codec;
mod entry;
mod fold;
mod fsck;
mod kept;
pub mod key;
mod packed;
mod project;
mod pushed;
mod queue;
mod reading;
pub mod revoke;
mod roles_file;
mod seen;
mod signers;
mod signing;
mod snapshot;
mod ssh;
mod tags;
mod trailers;
mod trust;
mod verify;

pub use append::{append, check_reason, probe_signing};
pub use chain::{config, evidence};
pub use codec::record_tag;
pub use entry::{
    Chain, Dispute, Draft, Entry, Ledger, LedgerError, chain_prefix, chain_ref, notes_ref,
};
pub use fold::{Held, History, Pinned, Promotion, ServedSpan, ServingState};
pub use fsck::{ChainSummary, Examined, Finding, FindingKind, Scope, examine, repair_stable_tags};
pub use project::{Projecting, project};
pub use pushed::{CHAINS, PushedRef, check_pushed, only_adds};
pub use queue::{queue_dir, queued, queued_drafts, recorded};
pub use reading::Reading;
pub use seen::restore_chains;
pub use tags::{create_tag, verify_tag};
#[cfg(test)]
pub use verify::read;
pub use verify::{newest_unverified, read_unverified};

#[cfg(test)]
mod tests;
