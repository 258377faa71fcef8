//! `gitroll trust`

use std::io::Read as _;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use crate::act::trust::{
    Accepted, Offer, Revocation, Rotation, accept, add, list, look, request, revoke, rotate,
};
use crate::ledger::key::TrustedKey;
use crate::model::Seq;
use crate::ui::{Ui, escape};

/// A longer line is no key.
const MOST_BYTES: u64 = 64 << 10;

/// Show and extend the list of keys whose records this host believes
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll trust request           on the new host: prints one line, which is not secret
  gitroll trust add 'LINE'        on this host: shows the fingerprint, asks, trusts it
  gitroll trust revoke web-2      its later records do not count any more
  gitroll trust rotate            gives this host a new key
  gitroll trust accept 7          applies what another host's trust record proposes

Keys, roles and revocations are stored beside the host binding, never in the repository.")]
pub struct TrustArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the trusted keys
    List,
    /// Print the line with which another host can trust this one
    Request,
    /// Trust another host's key for its records
    Add(AddArgs),
    /// Revoke a key; what it signed up to now still counts
    Revoke(RevokeArgs),
    /// Replace the key of this host
    Rotate,
    /// Apply the trust record of another host
    Accept(AcceptArgs),
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// A fingerprint (SHA256:…) or the writer that the key signs for
    key: String,
    /// Count only its records up to this one; 0: none of them
    #[arg(long, value_name = "SEQ")]
    at: Option<u64>,
    /// Skip the confirmation prompt
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
struct AcceptArgs {
    /// The number of the trust record
    seq: String,
    /// The writer of the record, if several hosts have one with this number
    #[arg(long, value_name = "NAME")]
    writer: Option<String>,
    /// Skip the confirmation prompt
    #[arg(long, short)]
    yes: bool,
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
    /// Whether nothing is changed.
    pub fn only_looks(&self) -> bool {
        matches!(self.action, None | Some(Action::List | Action::Request))
    }
}

/// The answer of `trust`: one of them.
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
    /// The key that was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revocation>,
    /// The new key of this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated: Option<Rotation>,
    /// The trust record that was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
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
                let mut line = format!("{}  {}  {}", key.fingerprint, key.kind, escape(principal));
                if let Some(roles) = &key.roles {
                    let none = "no role".to_owned();
                    let roles = if roles.is_empty() { none } else { roles.join(", ") };
                    line.push_str(&format!("  {}", escape(&roles)));
                }
                for revoked in &key.revoked {
                    let writer = escape(revoked.writer.as_str());
                    line.push_str(&format!("  revoked after #{} of {writer}", revoked.last));
                }
                ui.line(&line);
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
        Some(Action::Revoke(RevokeArgs { key, at, yes })) => {
            let revoked = revoke(&caller, key, at.map(Seq), *yes)?;
            for key in &revoked.keys {
                let writer = escape(key.writer.as_str());
                ui.line(&format!(
                    "{} {writer}: only records up to #{} count",
                    ui.out.ok(),
                    key.last
                ));
            }
            if revoked.keys.is_empty() {
                ui.line(&format!("{} revoked already", ui.out.ok()));
            }
            answer.revoked = Some(revoked);
        }
        Some(Action::Rotate) => {
            let rotated = rotate(&caller)?;
            ui.line(&format!("{} this host signs with {}", ui.out.ok(), rotated.fingerprint));
            ui.line(&format!("  the old key counts up to #{}", rotated.record));
            ui.say(&format!(
                "on every other host:  gitroll sync && gitroll trust accept {} --writer {}",
                rotated.record, rotated.revoked.writer
            ));
            answer.rotated = Some(rotated);
        }
        Some(Action::Accept(AcceptArgs { seq, writer, yes })) => {
            let seq = Seq::typed(seq).ok_or_else(|| {
                Failure::new(Status::Usage, format!("{} is not a record number", escape(seq)))
            })?;
            let accepted = accept(&caller, seq, writer.as_deref(), *yes)?;
            for line in &accepted.done {
                ui.line(&format!("{} {}", ui.out.ok(), escape(line)));
            }
            answer.accepted = Some(accepted);
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
