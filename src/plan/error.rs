//! Why no plan could be made.

use crate::build::BuildError;
use crate::component::ComponentError;
use crate::layout::LayoutError;
use crate::ledger::LedgerError;
use crate::system::git::GitError;

/// Why no plan could be made. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Build groups.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The tree.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The configuration to be used cannot be read.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// A component's files cannot be put in place.
    #[error(transparent)]
    Component(ComponentError),
    /// Files.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The chain has no record.
    #[error("this checkout's chain {0} is missing")]
    NoChain(String),
}

impl From<ComponentError> for PlanError {
    fn from(error: ComponentError) -> Self {
        match error {
            ComponentError::Git(error) => Self::Git(error),
            error => Self::Component(error),
        }
    }
}
