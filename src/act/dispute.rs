//! This host's own records cannot be verified now: what is said of that, and which command mends it.

use super::failure::Failure;
use crate::config::Binding;
use crate::ledger::{Dispute, LedgerError, key};
use crate::system::text::quoted;

/// What is told where what this host verified before takes the place of a verification.
pub fn told(dispute: &Dispute) -> [String; 2] {
    [
        format!("this host's own records cannot be verified now: {}", dispute.why),
        format!(
            "using its records up to #{}, which this host verified before; only they count as proof",
            dispute.until
        ),
    ]
}

/// A command that needs the records to be verified.
pub fn refused(binding: &Binding, dispute: Dispute) -> Failure {
    let mending = mending(binding, &dispute.why);
    let failure = Failure::from(dispute.why).and_nothing_changed();
    failure.next_first(mending).next("gitroll back", "still works, and ends with 30")
}

/// The commands that mend it, the best first.
pub fn mending(binding: &Binding, why: &LedgerError) -> Vec<(String, String)> {
    let next = |command: String, what: &str| (command, what.to_owned());
    match why {
        LedgerError::Rewritten { writer, .. } | LedgerError::Missing { writer, .. } => {
            let mut ways = vec![
                next(
                    "gitroll fsck --repair".to_owned(),
                    "restores the records that this host knows",
                ),
                next("gitroll sync".to_owned(), "fetches what the remote has"),
            ];
            if *writer != binding.writer {
                ways.push(next(
                    format!("gitroll trust revoke {writer} --at 0"),
                    "if its records are lost for good: none of them counts here any more, nor do its holds",
                ));
            }
            ways
        }
        LedgerError::Untrusted { .. } => untrusted(binding),
        _ => vec![next("gitroll fsck".to_owned(), "shows what is broken")],
    }
}

fn untrusted(binding: &Binding) -> Vec<(String, String)> {
    let next = |command: String, what: &str| (command, what.to_owned());
    let file = binding.trust_file();
    let shown = file.display().to_string();
    let Some(path) = quoted(&shown) else { return Vec::new() };
    if binding.distrust.is_some() {
        let Some(dir) = quoted(&binding.dir.display().to_string()) else { return Vec::new() };
        return vec![next(format!("ls -l {dir}"), "shows who can write these files")];
    }
    let own = |key: &key::TrustedKey| key.principal.as_deref() == Some(binding.writer.as_str());
    match key::trusted(binding) {
        Err(_) => vec![next(
            format!("mv {path} {path}.broken && gitroll init"),
            "trusts this host's own key again; then gitroll trust add for the other hosts",
        )],
        Ok(keys) if keys.iter().any(own) || !binding.openpgp.is_empty() => vec![
            next("gitroll trust list".to_owned(), "shows the trusted keys"),
            next(
                "gitroll init --new-key --new-writer".to_owned(),
                "begins a chain with a key of its own, if this host's key is revoked or expired",
            ),
        ],
        Ok(_) => {
            vec![next(
                "gitroll init".to_owned(),
                "trusts this host's own key again; then gitroll trust add for the other hosts",
            )]
        }
    }
}
