//! The ledger with everything real: git, ssh-keygen, ssh-agent, gpg.
#![allow(clippy::unwrap_used)]

mod chains;
mod forgery;
mod plain_git;
mod projections;
mod signing;
mod world;
