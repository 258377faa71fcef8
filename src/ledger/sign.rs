//! Signing without asking anybody anything.

use super::LedgerError;
use super::armour;
use super::programs::{Program, no_answer};
use crate::config::{Binding, SigningFormat};
use crate::system::process::{Finished, ProcessError, telling_lines};

/// The first bytes, in base64, of an OpenSSH private key whose cipher is `none`.
const NOT_ENCRYPTED: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// Signs a payload with the binding's key.
///
/// Returns the whole object: the payload, then the armour, as `git tag -s` puts them together.
///
/// # Errors
/// `Sign` with what to do.
pub(super) fn sign(binding: &Binding, payload: &[u8]) -> Result<Vec<u8>, LedgerError> {
    let armour = match binding.signing.format {
        SigningFormat::Ssh => with_ssh(binding, payload),
        SigningFormat::OpenPgp => with_gpg(binding, payload),
    }
    .map_err(LedgerError::Sign)?;
    let object = [payload, &armour].concat();
    match armour::split(&object) {
        Ok(signed) if signed.payload == payload => Ok(object),
        _ => Err(LedgerError::Sign("what the signing program wrote is not a signature".to_owned())),
    }
}

/// What the file that the binding names as its ssh key is.
#[derive(Debug, PartialEq, Eq)]
enum KeyFile {
    /// A private key that can be used as it is.
    Private,
    /// A private key with a passphrase: only an agent that holds it can sign.
    Encrypted,
    /// A public key: an agent holds the private one.
    Public,
}

fn with_ssh(binding: &Binding, payload: &[u8]) -> Result<Vec<u8>, String> {
    let key = &binding.signing.key;
    let text = std::fs::read(key)
        .map_err(|error| format!("the signing key {key} cannot be read ({error})"))?;
    let kind = KeyFile::of(&String::from_utf8_lossy(&text));
    let mut args = vec!["-Y", "sign", "-n", "git"];
    if kind != KeyFile::Private {
        args.push("-U");
    }
    args.extend(["-f", key]);
    let mut run = Program::SshKeygen.prepare(binding, &args);
    run.input = Some(payload.to_vec());
    // An agent is asked only where it alone can sign: one that wants a confirmation would ask a person.
    let agent = std::env::var_os("SSH_AUTH_SOCK").filter(|_| kind != KeyFile::Private);
    let has_agent = agent.is_some();
    run.env.extend(agent.map(|socket| ("SSH_AUTH_SOCK".into(), socket)));
    let result = run.run();
    answer(&result).map_err(|said| match kind {
        KeyFile::Private => format!("ssh-keygen could not sign with {key}: {said}"),
        KeyFile::Encrypted => format!(
            "the key {key} has a passphrase and no ssh-agent offers it{}: load it with `ssh-add {key}`, \
             or use a key without a passphrase on this host ({said})",
            if has_agent { "" } else { " (SSH_AUTH_SOCK is not set)" }
        ),
        KeyFile::Public => format!(
            "{key} is a public key and no ssh-agent offers its private one{}: load it with `ssh-add`, \
             or use a key file without a passphrase on this host ({said})",
            if has_agent { "" } else { " (SSH_AUTH_SOCK is not set)" }
        ),
    })
}

impl KeyFile {
    fn of(text: &str) -> Self {
        let Some(at) = text.find("-----BEGIN ") else {
            return KeyFile::Public;
        };
        let armour = &text[at..];
        let old_encryption = armour.contains("BEGIN ENCRYPTED") || armour.contains(",ENCRYPTED");
        let new_format = armour.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----");
        let body = armour.lines().nth(1).unwrap_or_default();
        if old_encryption || (new_format && !body.starts_with(NOT_ENCRYPTED)) {
            KeyFile::Encrypted
        } else {
            KeyFile::Private
        }
    }
}

fn with_gpg(binding: &Binding, payload: &[u8]) -> Result<Vec<u8>, String> {
    let key = &binding.signing.key;
    // The exclamation mark of a subkey may stand at the end; nothing else than digits before it.
    let digits = key.trim_end_matches('!');
    if digits.len() < 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("{key:?} is not the fingerprint of an OpenPGP key"));
    }
    let args = [
        "--batch",
        "--no-tty",
        "--pinentry-mode",
        "error",
        "--status-fd",
        "2",
        "--armor",
        "--detach-sign",
        "--local-user",
        key,
    ];
    let mut run = Program::Gpg.prepare(binding, &args);
    run.input = Some(payload.to_vec());
    let result = run.run();
    answer(&result).map_err(|said| {
        format!(
            "gpg could not sign with {key} without asking: {said}; use a key without a passphrase on \
             this host, or one that a running gpg-agent has unlocked"
        )
    })
}

/// Standard output of a run that succeeded, else what it said.
fn answer(result: &Result<Finished, ProcessError>) -> Result<Vec<u8>, String> {
    if let Some(problem) = no_answer(result) {
        return Err(problem);
    }
    match result {
        Ok(finished) if finished.success() => Ok(finished.stdout.clone()),
        Ok(finished) => {
            let said = telling_lines(&finished.stderr, 2);
            let said: Vec<&str> =
                said.iter().map(String::as_str).filter(|l| !l.starts_with("[GNUPG:]")).collect();
            if said.is_empty() {
                Err(format!("exit code {}", finished.code.unwrap_or(-1)))
            } else {
                Err(said.join("; "))
            }
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_key_is_told_by_its_text() {
        let openssh = |body: &str| format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}AAAA\n");
        for (text, kind) in [
            (openssh(NOT_ENCRYPTED), KeyFile::Private),
            (openssh("b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAG"), KeyFile::Encrypted),
            ("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n".into(), KeyFile::Encrypted),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII\n".into(), KeyFile::Encrypted),
            ("-----BEGIN RSA PRIVATE KEY-----\nMII\n".into(), KeyFile::Private),
            ("ssh-ed25519 AAAAC3 ana@example.com\n".into(), KeyFile::Public),
        ] {
            assert_eq!(KeyFile::of(&text), kind, "{text}");
        }
    }
}
