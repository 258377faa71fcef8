//! What `gitroll init` takes.

use clap::Args;

/// Set this checkout up: gitroll.toml, the host binding, a key, the first record
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll init                                asks who this is, then about edited files and old tags
  gitroll init --yes --environment staging    asks none
  gitroll init --yes --system                 binding in /etc/gitroll, not ~/.config/gitroll

On a server that runs: what serves is observed and adopted, and its built directories are copied, so \
that the first `back` needs no build. Stable tags of the past are adopted where HEAD's reflog shows them \
checked out here. Tracked files that were edited here stay (local) or are put aside by the first deploy.

Reloads nothing, moves nothing, pushes nothing. Run it again after editing gitroll.toml to accept \
the new one, or after installing tools.")]
pub struct InitArgs {
    /// The environment this checkout is (default production)
    #[arg(long, value_name = "NAME")]
    pub(super) environment: Option<String>,
    /// The name of this host in records (default its host name)
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Put the binding into /etc/gitroll
    #[arg(long)]
    pub(super) system: bool,
    /// Make a key of the host's own, also where the user's git can sign
    #[arg(long)]
    pub(super) new_key: bool,
    /// Begin a new chain: this checkout was copied
    #[arg(long)]
    pub(super) new_writer: bool,
    /// Let the next deploy move apps here that pm2 runs in another directory
    #[arg(long)]
    pub(super) take_over: bool,
    /// Take every default
    #[arg(long, short)]
    pub(super) yes: bool,
}
