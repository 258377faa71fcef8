//! Whose records this host believes: listing the trust file, offering the own key, taking another host's.

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::session::Session;
use crate::ledger::key::{self, Offered, TrustedKey};

/// What an offered key is: shown before it is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Offer {
    /// The writer whose records it would sign.
    pub writer: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// Whether it is trusted already.
    pub known: bool,
}

/// The keys that this host trusts.
///
/// # Errors
/// When the checkout is not bound, or the trust file cannot be read.
pub fn list(caller: &Caller) -> Result<Vec<TrustedKey>, Failure> {
    let session = Session::look(caller)?;
    Ok(key::trusted(&session.site.binding)?)
}

/// The line by which another host can trust this one.
///
/// # Errors
/// When the checkout is not bound, or its key has no public half here.
pub fn request(caller: &Caller) -> Result<String, Failure> {
    let session = Session::look(caller)?;
    Ok(key::request(&session.site.binding)?)
}

/// Looks at a line that another host offered.
///
/// # Errors
/// When it is no such line.
pub fn look(caller: &Caller, line: &str) -> Result<Offer, Failure> {
    let session = Session::look(caller)?;
    let offered = parse(line)?;
    let binding = &session.site.binding;
    let fingerprint = key::fingerprints(binding, std::slice::from_ref(&offered))
        .map_err(|_| no_offer(line))?
        .concat();
    let known = key::trusted(binding)?.iter().any(|trusted| {
        trusted.principal.as_ref() == Some(&offered.principal) && trusted.fingerprint == fingerprint
    });
    Ok(Offer { writer: offered.principal, fingerprint, known })
}

/// Trusts the offered key for its writer.
///
/// # Errors
/// As [`look`]; when another command is at work; when the trust file cannot be written.
pub fn add(caller: &Caller, line: &str) -> Result<bool, Failure> {
    let session = Session::change(caller, "trust add")?;
    Ok(key::trust(&session.site.binding, &parse(line)?)?)
}

fn parse(line: &str) -> Result<Offered, Failure> {
    Offered::parse(line).filter(Offered::is_request).ok_or_else(|| no_offer(line))
}

fn no_offer(line: &str) -> Failure {
    let shown: String = line.chars().take(60).collect();
    Failure::unchanged(format!("{shown:?} is not a line of `gitroll trust request`"))
        .next("gitroll trust request", "prints it, on the other host")
}
