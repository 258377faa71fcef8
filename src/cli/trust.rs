//! `gitroll trust`

use std::io::Read as _;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use crate::act::trust::{Offer, add, list, look, request};
use crate::ledger::key::TrustedKey;
use crate::ui::{Ui, escape};

/// A longer line is no key.
const MOST_BYTES: u64 = 64 << 10;

/// Show and extend the list of keys whose records this host believes
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll trust request           on the new host: prints one line, which is not secret
  gitroll trust add 'LINE'        on this host: shows the fingerprint, asks, trusts it

Keys are stored beside the host binding, never in the repository. To stop trusting a key, \
remove its line from the trust file, or list the key in the file `revoked` beside it.")]
pub struct TrustArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the trusted keys
    List,
    /// Print the line by which another host can trust this one
    Request,
    /// Trust another host's key for its records
    Add(AddArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The line that `gitroll trust request` printed there; `-` reads it from stdin
    line: String,
    /// Do not ask: the fingerprint was compared already
    #[arg(long, short)]
    yes: bool,
}

impl TrustArgs {
    /// Whether no key is added.
    pub fn only_looks(&self) -> bool {
        !matches!(self.action, Some(Action::Add(_)))
    }
}

/// The answer of `trust`: one of the three.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct TrustAnswer {
    /// The keys that are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<TrustedKey>>,
    /// The line by which another host can trust this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The key that is trusted now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<Offer>,
}

/// # Errors
/// When the trust file cannot be read or written, the line is none, or nobody confirmed it.
pub fn run(globals: &Globals, ui: &Ui, args: &TrustArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    let mut answer = TrustAnswer::default();
    match &args.action {
        None | Some(Action::List) => {
            let keys = list(&caller)?;
            for key in &keys {
                let principal = key.principal.as_deref().unwrap_or("any writer");
                ui.line(&format!("{}  {}  {}", key.fingerprint, key.kind, escape(principal)));
            }
            answer.keys = Some(keys);
        }
        Some(Action::Request) => {
            let line = request(&caller)?;
            ui.line(&line);
            ui.say(&format!("on the other host:  gitroll trust add '{line}'"));
            answer.request = Some(line);
        }
        Some(Action::Add(AddArgs { line, yes })) => {
            let line = match line.as_str() {
                "-" => from_stdin()?,
                line => line.to_owned(),
            };
            let offer = look(&caller, &line)?;
            ui.line(&format!("{}  {}", offer.fingerprint, escape(&offer.writer)));
            if !offer.known {
                if !yes
                    && !caller
                        .prompt()
                        .confirm("Trust this key for the records of that writer?", false)?
                {
                    return Err(Failure::new(Status::Usage, "not trusted").and_nothing_changed());
                }
                add(&caller, &line)?;
            }
            let already = if offer.known { " already" } else { "" };
            ui.line(&format!("{} trusted{already}", ui.out.ok()));
            answer.added = Some(offer);
        }
    }
    ui.document("trust", 0, &answer);
    Ok(Exit::Done)
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| Failure::unchanged(format!("stdin: {error}")))?;
    Ok(text.trim().to_owned())
}
