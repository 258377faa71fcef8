//! The ledger of one command: read once, and again only where a chain or the trust has changed since, for example after
//! an append. Of a chain that grew, only the new records are read.

use std::cell::RefCell;
use std::rc::Rc;

use super::as_read::AsRead;
use super::entry::{Ledger, LedgerError};
use super::queue;
use super::seen::{read_as_seen, read_with_queue};
use super::verify;
use crate::config::Binding;
use crate::system::git::Git;

/// What the last reading found, for all later questions of the same command.
#[derive(Debug, Default)]
pub struct Reading(RefCell<Option<AsRead>>);

impl Reading {
    /// The ledger as it is now.
    ///
    /// # Errors
    /// When git cannot be read, and when the own chain is not trusted.
    pub fn ledger(&self, git: &Git, binding: &Binding) -> Result<Rc<Ledger>, LedgerError> {
        let before = self.0.borrow().clone();
        let known = verify::read_after(git, binding, before.as_ref())?;
        let ledger = Rc::clone(&known.ledger);
        self.0.replace(Some(known));
        Ok(ledger)
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
