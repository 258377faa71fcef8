//! What `gitroll init` takes.

use clap::Args;

/// Set up this checkout: gitroll.toml, host binding, signing key and first record
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll init                                ask for names, edited files and old tags
  gitroll init --yes --environment staging    ask nothing
  gitroll init --yes --system                 store the binding in /etc/gitroll, not ~/.config/gitroll

On a running server, init checks and adopts what serves, and copies its build outputs so that the \
first `back` needs no build. It adopts older stable tags that HEAD's reflog shows as checked out here. \
For each tracked file edited here, you choose: keep it (local), or let the first deploy save it \
elsewhere (save).

init does not reload services, move files or push. Run it again to accept an edited gitroll.toml, \
or after you install tools.")]
pub struct InitArgs {
    /// Environment of this checkout (default production)
    #[arg(long, value_name = "NAME")]
    pub(super) environment: Option<String>,
    /// Name of this host in records (default: its host name)
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Store the binding in /etc/gitroll
    #[arg(long)]
    pub(super) system: bool,
    /// Create a key for this host, even if the user's git can sign
    #[arg(long)]
    pub(super) new_key: bool,
    /// Start a new chain, because this checkout is a copy
    #[arg(long)]
    pub(super) new_writer: bool,
    /// Let the next deploy take over apps that pm2 runs in another directory
    #[arg(long)]
    pub(super) take_over: bool,
    /// Accept every default
    #[arg(long, short)]
    pub(super) yes: bool,
}
