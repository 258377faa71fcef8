//! What git hooks call, and what they start beside everything else.

use std::time::Duration;

use super::caller::Caller;
use super::failure::Failure;
use super::moved;
use super::session::{Session, held};
use crate::engine::{self, KEEPING, Lock, watchdog};
use crate::ledger::{History, Ledger};
use crate::model::Oid;
use crate::plan::holds;
use crate::site::{Site, hooks};

/// How long another command is waited for before moves are left to it.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the end of a rebase or a bisection that a hook was called from is waited for.
const UNFINISHED: Duration = Duration::from_secs(3);

/// What begins the record of a move, as a hook starts it: `gitroll hook record`.
pub const RECORD: &str = "record";

/// Looks whether HEAD was moved, and has it recorded by a process of its own. `Some` is one line for the person who
/// moved it.
///
/// # Errors
/// When the checkout cannot be opened, is not bound, or the records cannot be read.
pub fn moved(caller: &Caller) -> Result<Option<String>, Failure> {
    let session = Session::look(caller)?;
    let site = &session.site;
    let head = site.git.head()?.commit;
    if hooks::installed(&site.state()).is_none() || moved::is_known(site, &head) {
        return Ok(None);
    }
    // Of a rebase or a bisection only the end counts: whoever records waits for it.
    let record = || {
        let log = site.state().join("hooks.log");
        let started = watchdog::start_beside(site, &["hook", RECORD], &log);
        started.map_err(|why| Failure::unchanged(format!("the move is not recorded: {why}")))
    };
    if !site.git.unfinished().is_empty() {
        return record().map(|()| None);
    }
    let ledger = site.ledger()?;
    if !moved::is_pending(site, &head, &ledger)? {
        return Ok(None);
    }
    record()?;
    held_line(site, &ledger, &head)
}

/// Says what is held of a commit that was checked out by hand, with the command.
fn held_line(site: &Site, ledger: &Ledger, head: &Oid) -> Result<Option<String>, Failure> {
    let history = History::of(ledger, Some(&site.binding.writer));
    let Some(held) = holds::stopping(site, &history, head)?.held.into_iter().next() else {
        return Ok(None);
    };
    let contains = match held.subject == *head {
        true => "is held".to_owned(),
        false => format!("contains {}, which is held", held.subject.short()),
    };
    let why = held.reason.and_then(|why| Some(format!(": {}", why.lines().next()?)));
    Ok(Some(format!(
        "{} {contains} (#{}{}); before you restart anything: gitroll back",
        head.short(),
        held.seq,
        why.unwrap_or_default()
    )))
}

/// Records what hooks told of, in a process of its own. Waits for the end of a rebase or bisection that called it.
///
/// # Errors
/// When the checkout cannot be opened or read, or the record can be neither written nor queued.
pub fn record(caller: &Caller) -> Result<(), Failure> {
    let session = Session::look(caller)?;
    let site = &session.site;
    let step = Duration::from_millis(100);
    let mut waited = Duration::ZERO;
    while !site.git.unfinished().is_empty() && waited < UNFINISHED {
        std::thread::sleep(step);
        waited += step;
    }
    if hooks::installed(&site.state()).is_none() {
        return Ok(());
    }
    // What runs is looked at before anything is waited for: it may be restarted any moment.
    let facts = session.facts()?;
    let running = facts.running(site)?;
    let Ok(_lock) = Lock::take(&site.state(), &held(KEEPING, &site.actor), PATIENCE) else {
        return Ok(());
    };
    if engine::open_runs(site)?.is_empty() {
        moved::append(site, &facts, running.as_ref())?;
    }
    Ok(())
}
