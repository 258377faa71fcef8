//! `gitroll demote`

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::mark::print_record;
use crate::act::demote::{DemoteRequest, demote};
use crate::system::git::Pushed;
use crate::ui::{Ui, escape};

/// Withdraw a promotion: the tag stays, but `back --to last-stable` no longer uses it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll demote v1.3.0-stable --reason 'slow under load'
  gitroll demote                                     demote what serves now
  gitroll promote v1.3.0-stable                      promote it again")]
pub struct DemoteArgs {
    /// Stable tag, commit, or number of the record that promoted it [default: what serves]
    what: Option<String>,
    /// Reason, stored in the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// # Errors
/// When nothing of that name is promoted, or the record cannot be written.
pub fn run(globals: &Globals, ui: &Ui, args: &DemoteArgs) -> Result<Exit, Failure> {
    let request = DemoteRequest { what: args.what.clone(), reason: args.reason.clone() };
    let demoted = demote(&globals.caller(ui), &request)?;
    print_record(ui, "demote", &demoted.entry);
    for tag in &demoted.tags {
        ui.say(&format!("  the tag stays; git tag -d {} removes it here", escape(tag)));
    }
    if let Some(Pushed::Failed(why) | Pushed::Rejected(why)) = &demoted.published {
        ui.cry(&format!("  warning  not published: {}", escape(why)));
    }
    Ok(Exit::Done)
}
