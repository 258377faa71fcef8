//! A ledger as it was read, and what shows that it can be taken once more.

use std::rc::Rc;

use super::entry::Ledger;
use super::fold::History;
use crate::config::Binding;
use crate::model::{AppName, ChainId, Digest, EnvironmentName, WriterId};
use crate::system::git::Ref;

/// A ledger, and what it was read from.
#[derive(Debug, Clone)]
pub(super) struct AsRead {
    pub of: Identity,
    /// The refs of its chains.
    pub refs: Vec<Ref>,
    /// The trust under which they were verified.
    pub trust: Digest,
    pub ledger: Rc<Ledger>,
    /// What it comes to for the writer of the binding, where that is known already.
    pub folded: Option<Rc<History>>,
}

/// Whose ledger it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    app: AppName,
    environment: EnvironmentName,
    writer: WriterId,
    chain: ChainId,
}

impl Identity {
    pub fn of(binding: &Binding) -> Self {
        let Binding { app, environment, writer, chain, .. } = binding;
        Self {
            app: app.clone(),
            environment: environment.clone(),
            writer: writer.clone(),
            chain: chain.clone(),
        }
    }
}

impl AsRead {
    /// Whether it was read for this binding under this trust, and nothing in it was rejected: what is rejected is
    /// examined again each time, because an object that was missing may be here by now.
    pub fn holds(&self, binding: &Binding, trust: &Digest) -> bool {
        self.of == Identity::of(binding) && self.trust == *trust && self.ledger.refused.is_empty()
    }
}
