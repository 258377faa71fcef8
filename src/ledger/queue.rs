//! Records that wait to be signed, in the state directory: what this host did and could not put into its chain yet.

use std::fs;
use std::path::PathBuf;

use super::chain;
use super::entry::{Draft, Entry, Ledger, LedgerError};
use crate::model::Record;
use crate::system::files;
use crate::system::git::Git;

/// The directory of the queue.
pub fn queue_dir(git: &Git) -> PathBuf {
    git.state_dir().join("queue")
}

/// The files of the queue, oldest first.
pub fn queued(git: &Git) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(queue_dir(git))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    paths
}

/// The drafts in the queue, oldest first; what cannot be read is left out.
pub fn queued_drafts(git: &Git) -> Vec<Draft> {
    let read = |path: PathBuf| serde_json::from_slice(&files::read_state(&path).ok()?).ok();
    queued(git).into_iter().filter_map(read).collect()
}

/// The record of a draft, if it is in the chain already: that is known too late where its append fails after the
/// ref was moved, and the record of a run that followed it may come behind.
///
/// # Errors
/// When the evidence of a record cannot be read.
pub fn recorded(git: &Git, ledger: &Ledger, draft: &Draft) -> Result<Option<Entry>, LedgerError> {
    let chain = ledger.chains.get(&draft.record.writer);
    let entries = chain.map_or(&[][..], |chain| &chain.entries);
    if draft.evidence.run.is_none() {
        let Draft { record, person, .. } = draft;
        let key =
            |r: &Record| (r.event.clone(), r.from.clone(), r.moved_to.clone(), r.clock.clone());
        let same = |e: &Entry| e.tagger.time == person.time && key(&e.record) == key(record);
        return Ok(entries.iter().rev().find(|entry| same(entry)).cloned());
    }
    for entry in entries.iter().rev().filter(|entry| entry.record.plan == draft.record.plan) {
        if chain::evidence(git, entry)?.run == draft.evidence.run {
            return Ok(Some(entry.clone()));
        }
    }
    Ok(None)
}
