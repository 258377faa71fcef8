//! `gitroll promote`

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::outcome::RecordBrief;
use crate::act::promote::{PromoteRequest, promote};
use crate::model::{Oid, TargetRef};
use crate::system::git::Pushed;
use crate::ui::{Ui, escape};

/// Create a signed stable tag for a version that was proven here
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll promote                promote what serves now, named by its version
  gitroll promote --as v1.3.0    create v1.3.0-stable, whatever version is declared
  gitroll promote 42             promote what record #42 deployed")]
pub struct PromoteArgs {
    /// Record number, tag or commit [default: what serves]
    what: Option<String>,
    /// Version for the tag name [default: the version that the commit declares]
    #[arg(long = "as", value_name = "VERSION")]
    name: Option<String>,
    /// Promote a version that was never observed serving here or is failing now (stored in the record)
    #[arg(long)]
    unproven: bool,
    /// Reason, stored in the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Ask nothing: nothing is asked
    #[arg(long, short, hide = true)]
    yes: bool,
}

/// The answer of `promote`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PromoteAnswer {
    /// The tag.
    pub tag: TargetRef,
    /// The commit.
    pub commit: Oid,
    /// The record; absent when the tag was there already.
    pub record: Option<RecordBrief>,
    /// Whether it is on the remote; absent without a remote.
    pub published: Option<bool>,
}

/// # Errors
/// When it was never proven here, is held, or the tag names something else.
pub fn run(globals: &Globals, ui: &Ui, args: &PromoteArgs) -> Result<Exit, Failure> {
    let request = PromoteRequest {
        what: args.what.clone(),
        version: args.name.clone(),
        unproven: args.unproven,
        reason: args.reason.clone(),
    };
    let promoted = promote(&globals.caller(ui), &request)?;
    let (tag, commit) = (promoted.tag.short(), promoted.commit.short());
    match &promoted.record {
        Some(entry) => {
            ui.line(&format!("{} {tag} is {commit} (#{})", ui.out.ok(), entry.record.seq))
        }
        None => ui.line(&format!("{} {tag} already names {commit}", ui.out.ok())),
    }
    if let Some(Pushed::Failed(why) | Pushed::Rejected(why)) = &promoted.published {
        ui.cry(&format!("  warning  not published: {}", escape(why)));
    }
    let exit = if promoted.unpublished { Exit::Unrecorded } else { Exit::Done };
    let brief = |seq, digest| RecordBrief { seq, digest };
    let answer = PromoteAnswer {
        tag: promoted.tag,
        commit: promoted.commit,
        record: promoted.record.map(|entry| brief(entry.record.seq, entry.digest)),
        published: promoted.published.map(|published| published == Pushed::Done),
    };
    ui.document("promote", exit.code(), &answer);
    Ok(exit)
}
