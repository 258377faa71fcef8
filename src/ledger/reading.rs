//! The ledger of one command: read once, and again only where a chain or the trust has changed since, for example after
//! an append. Of a chain that grew, only the new records are read.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::as_read::AsRead;
use super::entry::{Ledger, LedgerError, chain_prefix};
use super::fold::History;
use super::queue;
use super::seen::{read_as_seen, read_with_queue};
use super::snapshot;
use super::trust::Trust;
use super::verify;
use crate::config::Binding;
use crate::system::git::Git;

/// What the last reading found, for all later questions of the same command.
#[derive(Debug, Default)]
pub struct Reading {
    last: RefCell<Option<AsRead>>,
    looks: Cell<bool>,
}

impl Reading {
    /// From now on for a command that only looks: what the chains came to when they were folded before is enough.
    pub fn only_looks(&self) {
        self.looks.set(true);
    }

    /// The ledger as it is now.
    ///
    /// # Errors
    /// When git cannot be read, and when the own chain is not trusted.
    pub fn ledger(&self, git: &Git, binding: &Binding) -> Result<Rc<Ledger>, LedgerError> {
        let before = self.last.borrow().clone();
        let known = match before {
            None if self.looks.get() => match remembered(git, binding)? {
                Some(known) => known,
                None => snapshot::save(git, binding, verify::read_after(git, binding, None)?),
            },
            before => verify::read_after(git, binding, before.as_ref())?,
        };
        let ledger = Rc::clone(&known.ledger);
        self.last.replace(Some(known));
        Ok(ledger)
    }

    /// What a ledger that was read here comes to.
    pub fn history(&self, ledger: &Rc<Ledger>, binding: &Binding) -> Rc<History> {
        let last = self.last.borrow();
        let same = last.as_ref().filter(|last| Rc::ptr_eq(&last.ledger, ledger));
        match same.and_then(|same| same.folded.clone()) {
            Some(folded) => folded,
            None => Rc::new(History::of(ledger, Some(&binding.writer))),
        }
    }

    /// [`super::read_as_seen`].
    ///
    /// # Errors
    /// As that.
    pub fn as_seen(&self, git: &Git, binding: &Binding) -> Result<Rc<Ledger>, LedgerError> {
        self.ledger(git, binding).or_else(|_| read_as_seen(git, binding).map(Rc::new))
    }

    /// The ledger as this host has to go by it: as [`Reading::as_seen`], and what it did and could not sign yet.
    ///
    /// # Errors
    /// As [`Reading::as_seen`]; when git cannot write what belongs to the records that wait.
    pub fn with_queue(&self, git: &Git, binding: &Binding) -> Result<Rc<Ledger>, LedgerError> {
        match queue::queued(git).is_empty() {
            true => self.as_seen(git, binding),
            false => read_with_queue(git, binding).map(Rc::new),
        }
    }
}

fn remembered(git: &Git, binding: &Binding) -> Result<Option<AsRead>, LedgerError> {
    let refs = git.refs(&chain_prefix(&binding.environment))?;
    Ok(snapshot::load(git, binding, &refs, &Trust::load(binding).digest))
}
