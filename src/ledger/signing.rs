//! Signing without asking anyone anything: the signature at the end of a tag object, and the programs that make and
//! verify it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::entry::LedgerError;
use super::ssh::PrivateKey;
use crate::config::{Binding, SigningFormat};
use crate::system::files;
use crate::system::process::{Finished, Invocation, ProcessError, telling_lines};

/// The first bytes, in base64, of an OpenSSH private key whose cipher is `none`.
const NOT_ENCRYPTED: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// No key is larger.
const MOST_KEY: u64 = 1 << 20;

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
    match split(&object) {
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
    let (text, private) = read_key(Path::new(key))
        .map_err(|error| format!("the signing key {key} cannot be read ({error})"))?;
    let kind = KeyFile::of(&String::from_utf8_lossy(&text));
    // As git takes it: of a public key the private one may be beside it. One with a passphrase is the agent's.
    let beside = key.strip_suffix(".pub").filter(|_| kind == KeyFile::Public);
    let beside = beside.and_then(|key| Some((key, read_key(Path::new(key)).ok()?)));
    let beside = beside
        .filter(|(_, (text, _))| KeyFile::of(&String::from_utf8_lossy(text)) == KeyFile::Private);
    let (key, kind, text, private) = match beside {
        Some((key, (text, private))) => (key, KeyFile::Private, text, private),
        None => (key.as_str(), kind, text, private),
    };
    if private && let Some(armour) = PrivateKey::read(&text).and_then(|key| key.sign(payload)) {
        return Ok(armour);
    }
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

/// The bytes of a key file, and whether they are for its owner alone: `ssh-keygen` refuses others.
fn read_key(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let (_, found) = files::open_plain(path)?;
    Ok((files::read_plain(path, MOST_KEY)?, found.mode & 0o077 == 0))
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
            "gpg could not sign with {key} without a prompt: {said}; use a key without a passphrase, \
             or a key that a running gpg-agent has unlocked"
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

const KINDS: [(SignatureKind, &str, &str); 2] = [
    (SignatureKind::Ssh, "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"),
    (SignatureKind::OpenPgp, "-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"),
];

/// What begins a line of armour, of whatever kind. No line of a payload may begin so.
pub(super) const ARMOUR: &str = "-----BEGIN";

/// The kind of a signature, by its armour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureKind {
    Ssh,
    OpenPgp,
}

/// The bytes of a tag object, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signed<'a> {
    /// What is signed: everything before the armour.
    pub payload: &'a [u8],
    pub kind: SignatureKind,
    /// The armour, to the last byte of the object.
    pub signature: &'a [u8],
}

/// Finds the one signature of a tag object, as git does: it begins at the last line that is an armour's
/// head. Here there may be no other such line, and nothing after the armour's last.
pub(super) fn split(object: &[u8]) -> Result<Signed<'_>, &'static str> {
    let mut heads = line_starts(object).filter(|at| object[*at..].starts_with(ARMOUR.as_bytes()));
    let at = heads.next().ok_or("it is not signed")?;
    if heads.next().is_some() {
        return Err("it has more than one signature");
    }
    let (payload, signature) = object.split_at(at);
    let armour = std::str::from_utf8(signature)
        .ok()
        .filter(|text| text.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)))
        .ok_or("its signature is not text")?;
    let mut lines = armour.lines();
    let head = lines.next().unwrap_or_default();
    let (kind, _, end) = KINDS
        .into_iter()
        .find(|(_, begin, _)| *begin == head)
        .ok_or("its signature is of an unknown kind")?;
    let closed = lines.by_ref().any(|line| line == end);
    if !closed || !armour.ends_with('\n') {
        return Err("its signature does not end");
    }
    if lines.next().is_some() {
        return Err("bytes follow its signature");
    }
    Ok(Signed { payload, kind, signature })
}

fn line_starts(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let after = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(after)
}

/// Both are done within milliseconds; a program that waits for a person is ended.
const LIMIT: Duration = Duration::from_secs(10);

/// What the programs may see of this process's environment.
const PASSED_ON: [&str; 4] = ["HOME", "GNUPGHOME", "TZ", "TMPDIR"];

/// A program that signs and verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    SshKeygen,
    Gpg,
}

impl Program {
    /// One run of it, not yet started. Its directory is that of the binding, so that nothing in the
    /// repository can be taken for a file of its own.
    pub fn prepare<A: AsRef<OsStr>>(self, binding: &Binding, args: &[A]) -> Invocation {
        let (given, name) = match self {
            Program::SshKeygen => (&binding.tools.ssh_keygen, "ssh-keygen"),
            Program::Gpg => (&binding.tools.gpg, "gpg"),
        };
        let program = given.as_deref().unwrap_or(Path::new(name));
        // Before a host is bound there is none.
        let dir = if binding.dir.is_dir() { binding.dir.as_path() } else { Path::new("/") };
        let mut invocation = Invocation::new(program, dir);
        invocation.args = args.iter().map(|arg| arg.as_ref().to_owned()).collect();
        invocation.limit = LIMIT;
        let mut set = |name: &str, value: OsString| invocation.env.insert(name.into(), value);
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                set(name, value);
            }
        }
        set("PATH", binding.path_variable.clone().into());
        set("LC_ALL", "C".into());
        set("SSH_ASKPASS_REQUIRE", "never".into());
        invocation
    }
}

/// Why a program did not even come to an answer, for a person.
pub(super) fn no_answer(result: &Result<Finished, ProcessError>) -> Option<String> {
    match result {
        Err(error) => Some(error.to_string()),
        Ok(finished) if finished.timed_out => {
            Some(format!("it did not end within {} s: was it waiting for input?", LIMIT.as_secs()))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSH: &str =
        "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n=+/0\n-----END SSH SIGNATURE-----\n";

    #[test]
    fn the_payload_ends_where_the_armour_begins() {
        let object = format!("object x\n\nhello\n{SSH}");
        let signed = split(object.as_bytes()).expect("signed");
        assert_eq!(signed.payload, b"object x\n\nhello\n");
        assert_eq!(signed.kind, SignatureKind::Ssh);
        assert_eq!(signed.signature, SSH.as_bytes());
    }

    #[test]
    fn nothing_may_stand_after_or_beside_the_one_signature() {
        for (object, problem) in [
            ("hello\n".to_owned(), "it is not signed"),
            (format!("a\n{SSH}x"), "its signature does not end"),
            (format!("a\n{SSH}x\n"), "bytes follow its signature"),
            (format!("a\n{SSH}\n"), "bytes follow its signature"),
            (format!("a\n{SSH}{SSH}"), "it has more than one signature"),
            (format!("a\n{}", SSH.trim_end()), "its signature does not end"),
            (format!("a\n{}", SSH.replace("=+/0\n", "\r\n")), "its signature is not text"),
            (format!("a\n{}", SSH.replace("SSH", "SIGNED")), "its signature is of an unknown kind"),
            (format!("a\n{}", &SSH[..40]), "its signature does not end"),
        ] {
            assert_eq!(split(object.as_bytes()), Err(problem), "{object:?}");
        }
    }

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
