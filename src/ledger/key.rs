//! The host's key: using the one the person's git signs with, or making one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::entry::LedgerError;
use super::signing::Program;
use crate::config::{Binding, OPENPGP, Roles, Signing, SigningFormat};
use crate::model::{Event, RevokedKey, WriterId};
use crate::system::files;
use crate::system::git::Git;
use crate::system::process::{Invocation, telling_lines};
use crate::system::user::Account;

/// No key and no list of keys is larger.
const MOST_BYTES: u64 = 16 << 20;

/// How the person's own git signs: from the user's and the system's configuration, never the repository's.
/// `None` if none is set up. Whether it can sign without asking is for [`crate::ledger::probe_signing`] to say. A key
/// that the configuration spells out, of which an agent has the private half, is the file `user-key.pub` of the binding
/// from now on.
///
/// # Errors
/// When that file cannot be written.
pub fn of_user(git: &Git, dir: &Path, home: Option<&Path>) -> io::Result<Option<Signing>> {
    let Some(key) = git.user_setting("user.signingkey") else { return Ok(None) };
    let format = git.user_setting("gpg.format").unwrap_or_else(|| "openpgp".to_owned());
    let literal = key.strip_prefix("key::").or(key.starts_with("ssh-").then_some(key.as_str()));
    if let Some(key) = literal.filter(|_| format == "ssh") {
        let path = dir.join("user-key.pub");
        fs::create_dir_all(dir)?;
        files::write_durably(&path, format!("{}\n", key.trim()).as_bytes(), 0o644)?;
        let key = path.display().to_string();
        return Ok(Some(Signing { format: SigningFormat::Ssh, key }));
    }
    Ok(named_by_user(&key, &format, home))
}

fn named_by_user(key: &str, format: &str, home: Option<&Path>) -> Option<Signing> {
    match format {
        "ssh" => {
            let path = match (key.strip_prefix("~/"), home) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => key.into(),
            };
            let key = path.is_absolute().then(|| path.display().to_string())?;
            Some(Signing { format: SigningFormat::Ssh, key })
        }
        "openpgp" => Some(Signing { format: SigningFormat::OpenPgp, key: key.to_owned() }),
        _ => None,
    }
}

/// Makes a passphrase-less ed25519 key `key` in the binding's directory, unless it is there.
///
/// # Errors
/// `Sign` when ssh-keygen is missing or fails.
pub fn make(binding: &Binding) -> Result<Signing, LedgerError> {
    make_at(binding, &binding.dir.join("key"))
}

/// Makes another such key for the binding, beside those that are there.
///
/// # Errors
/// As [`make`].
pub fn make_another(binding: &Binding) -> Result<Signing, LedgerError> {
    let free = (2..)
        .map(|number: u32| binding.dir.join(format!("key-{number}")))
        .find(|path| !path.exists());
    make_at(binding, &free.unwrap_or_else(|| binding.dir.join("key")))
}

fn make_at(binding: &Binding, path: &Path) -> Result<Signing, LedgerError> {
    let signing = Signing { format: SigningFormat::Ssh, key: path.display().to_string() };
    if path.exists() {
        return Ok(signing);
    }
    let problem =
        |what: String| LedgerError::Sign(format!("the host key could not be created: {what}"));
    let program = binding
        .tools
        .ssh_keygen
        .as_ref()
        .ok_or_else(|| problem("ssh-keygen was not found; install openssh-client".into()))?;
    let current = Account::current();
    if Account::named(&current.name).is_none() {
        return Err(problem(format!(
            "the tree's owner, user id {}, has no account on this host, which ssh-keygen needs; \
             create it with `useradd --uid {} NAME`",
            current.uid, current.uid
        )));
    }
    fs::create_dir_all(&binding.dir).map_err(|e| problem(e.to_string()))?;
    let mut run = Invocation::new(program, &binding.dir);
    run.args = ["-q", "-t", "ed25519", "-N", "", "-C"].map(Into::into).to_vec();
    run.args.push(format!("gitroll {}", binding.writer).into());
    run.args.extend(["-f".into(), path.as_os_str().to_owned()]);
    run.env.insert("PATH".into(), binding.path_variable.clone().into());
    run.limit = Duration::from_secs(20);
    let done = run.run().map_err(|e| problem(e.to_string()))?;
    if !done.success() {
        return Err(problem(telling_lines(&done.stderr, 3).join("; ")));
    }
    // ssh-keygen syncs nothing: without this a power cut soon after would leave an empty key.
    files::sync_file_system(&binding.dir).map_err(|e| problem(e.to_string()))?;
    Ok(signing)
}

/// Takes a key that the person's git signs with as the binding's own, if it signs without asking; only then it is
/// trusted too.
///
/// # Errors
/// `Sign` and `Untrusted` as of [`super::probe_signing`]; nothing is trusted then that was not before.
pub fn adopt(git: &Git, binding: &mut Binding, signing: Signing) -> Result<(), LedgerError> {
    // Where nothing is bound yet the programs that sign would have no directory to run in.
    fs::create_dir_all(&binding.dir)
        .map_err(|e| LedgerError::Sign(format!("{}: {e}", binding.dir.display())))?;
    let mut trial = Binding { signing, ..binding.clone() };
    super::signing::sign(&trial, b"gitroll probe\n")?;
    let before = files::read_plain(&trial.trust_file(), MOST_BYTES).ok();
    trust_own(&mut trial)?;
    if let Err(error) = super::probe_signing(git, &trial, None) {
        let path = trial.trust_file();
        // Revoked, or expired: it may not stay among those that are believed.
        let restored = match before {
            Some(bytes) => files::write_durably(&path, &bytes, 0o644),
            None => fs::remove_file(&path),
        };
        restored.map_err(|e| LedgerError::Sign(format!("{}: {e}", path.display())))?;
        return Err(error);
    }
    *binding = trial;
    Ok(())
}

/// Trusts the binding's own key for its writer: a line in the trust file, or a fingerprint in the binding.
///
/// # Errors
/// `Sign` when the public key cannot be found.
pub fn trust_own(binding: &mut Binding) -> Result<(), LedgerError> {
    let problem = |what: String| LedgerError::Sign(what);
    match binding.signing.format {
        SigningFormat::Ssh => {
            let public = public_key(&binding.signing.key)?;
            trust_line(binding, &binding.writer.clone(), &public)
                .map_err(|e| problem(format!("{}: {e}", binding.trust_file().display())))
        }
        SigningFormat::OpenPgp => {
            let fingerprint = fingerprint(binding)?;
            if !binding.openpgp.contains(&fingerprint) {
                binding.openpgp.push(fingerprint);
            }
            trust_line_comment(binding)
                .map_err(|e| problem(format!("{}: {e}", binding.trust_file().display())))
        }
    }
}

/// The public key of a key file: the file itself, or `.pub` beside it; type and key only.
fn public_key(path: &str) -> Result<String, LedgerError> {
    let text = [PathBuf::from(format!("{path}.pub")), PathBuf::from(path)]
        .iter()
        .filter_map(|path| text(path).ok())
        .find(|text| {
            text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-")
        })
        .ok_or_else(|| LedgerError::Sign(format!("{path}.pub, the public key, was not found")))?;
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some(kind), Some(key)) => Ok(format!("{kind} {key}")),
        _ => Err(LedgerError::Sign(format!("{path}.pub is not a public key"))),
    }
}

/// The text of a key or of the trust file.
fn text(path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = files::read_plain(path.as_ref(), MOST_BYTES)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8"))
}

/// What every key is limited to: signatures of git objects.
const NAMESPACES: &str = "namespaces=\"git\"";

const HEAD: &str = "\
# Keys that gitroll trusts on this host, in the format of allowed_signers (ssh-keygen(1)).
# A writer's records must be signed by a key listed for that writer; stable tags by any key here.
";

fn trust_line(binding: &Binding, principal: &WriterId, key: &str) -> std::io::Result<()> {
    let path = binding.trust_file();
    let mut text = match text(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(error),
    };
    let line = format!("{principal} {NAMESPACES} {key}");
    if !text.lines().any(|l| l.trim() == line) {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&line);
        text.push('\n');
        fs::create_dir_all(&binding.dir)?;
        files::write_durably(&path, text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// One key that this host trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrustedKey {
    /// For whom, as the trust file says it: a writer, a person, or a pattern. `None` for OpenPGP keys.
    pub principal: Option<String>,
    /// `ssh-ed25519` and the like, or `openpgp`.
    pub kind: String,
    /// `SHA256:…`, or the OpenPGP fingerprint.
    pub fingerprint: String,
    /// What it may do; `None` where no roles are given and every key may do everything.
    pub roles: Option<Vec<String>>,
    /// Up to which records it still counts, where it is revoked.
    pub revoked: Vec<RevokedKey>,
}

/// The keys that the trust file and the binding list. Revoked ones are among them.
///
/// # Errors
/// `Sign` when the trust file cannot be read, or a line of it is no key.
pub fn trusted(binding: &Binding) -> Result<Vec<TrustedKey>, LedgerError> {
    let path = binding.trust_file();
    let text = match text(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(LedgerError::Sign(format!("{}: {error}", path.display()))),
    };
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let wrong = |line: &str| LedgerError::Sign(format!("{}: no key in {line:?}", path.display()));
    let offered: Vec<Offered> = lines
        .map(|line| Offered::parse(line).ok_or_else(|| wrong(line)))
        .collect::<Result<_, _>>()?;
    let fingerprints = fingerprints(binding, &offered)?;
    let mut keys: Vec<TrustedKey> = offered
        .into_iter()
        .zip(fingerprints)
        .map(|(offered, fingerprint)| TrustedKey {
            principal: Some(offered.principal),
            kind: offered.kind,
            fingerprint,
            roles: None,
            revoked: Vec::new(),
        })
        .collect();
    keys.extend(binding.openpgp.iter().map(|fingerprint| TrustedKey {
        principal: None,
        kind: "openpgp".to_owned(),
        fingerprint: fingerprint.clone(),
        roles: None,
        revoked: Vec::new(),
    }));
    let roles = super::roles_file::roles(binding)?;
    for key in &mut keys {
        let name = if key.principal.is_some() { key.fingerprint.as_str() } else { OPENPGP };
        let own = || roles.of(name).into_iter().map(str::to_owned).collect();
        key.roles = roles.are_given().then(own);
        let revoked = roles.revoked.iter().filter(|revoked| revoked.fingerprint == name);
        key.revoked = revoked.cloned().collect();
    }
    Ok(keys)
}

/// Whether a person gave up a writer's chain: every key that the trust file lists for it is revoked from its first record
/// on.
pub(super) fn is_given_up(binding: &Binding, roles: &Roles, writer: &WriterId) -> bool {
    let wholly = |key: &TrustedKey| {
        let own = roles.revoked.iter().filter(|revoked| revoked.writer == *writer);
        let mut own = own.filter(|revoked| revoked.fingerprint == key.fingerprint);
        own.any(|revoked| revoked.last == 0)
    };
    let Ok(keys) = trusted(binding) else { return false };
    let of_writer = |key: &&TrustedKey| match key.principal.as_deref() {
        Some(principal) => principal == writer.as_str() || principal.contains(['*', '?', ',']),
        None => true,
    };
    let mut keys = keys.iter().filter(of_writer).peekable();
    *writer != binding.writer && keys.peek().is_some() && keys.all(wholly)
}

/// How roles and keys fit together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RolesState {
    /// A role that the binding's own key lacks, and what that stops here.
    pub lacking: Vec<(String, &'static str)>,
    /// A role that no key has, and what nobody can do without it.
    pub nobody: Vec<(String, &'static str)>,
    /// Fingerprints with roles that no trusted key has.
    pub unknown: Vec<String>,
}

/// Looks whether what `roles.toml` says fits the keys; `None` where it gives no roles.
///
/// # Errors
/// `Sign` when it, the trust file or the own key cannot be read.
pub fn examine_roles(binding: &Binding) -> Result<Option<RolesState>, LedgerError> {
    const ACTS: [(Event, &str, &str); 4] = [
        (Event::Deploy, "gitroll deploy refuses", "deploy"),
        (Event::Back, "gitroll back continues, and ends with 30", "sign a rollback"),
        (Event::Promote, "gitroll promote refuses", "promote"),
        (Event::Mark, "gitroll mark and unhold refuse", "judge a version or lift a hold"),
    ];
    let roles = super::roles_file::roles(binding)?;
    if !roles.are_given() {
        return Ok(None);
    }
    let keys = trusted(binding)?;
    let named = |key: &TrustedKey| match key.principal {
        Some(_) => key.fingerprint.clone(),
        None => OPENPGP.to_owned(),
    };
    let own = match binding.signing.format {
        SigningFormat::OpenPgp => OPENPGP.to_owned(),
        SigningFormat::Ssh => {
            let line = request(binding)?;
            let own: Vec<Offered> = Offered::parse(&line).into_iter().collect();
            fingerprints(binding, &own)?.concat()
        }
    };
    let mut state = RolesState::default();
    for (event, stops, nobody) in ACTS {
        let lacks = |name: &str| {
            let (environment, writer) = (Some(&binding.environment), Some(&binding.writer));
            roles.lacks(name, &event, environment, writer).map(str::to_owned)
        };
        // Another host's key may act for other writers.
        let can = |key: &TrustedKey| {
            roles.lacks(&named(key), &event, Some(&binding.environment), None).is_none()
        };
        let Some(role) = lacks(&own) else { continue };
        match keys.iter().any(can) {
            true => state.lacking.push((role, stops)),
            false => state.nobody.push((role, nobody)),
        }
    }
    let known: Vec<String> = keys.iter().map(named).collect();
    let given = roles.fingerprints();
    state.unknown =
        given.filter(|key| !known.iter().any(|k| k == key)).map(str::to_owned).collect();
    Ok(Some(state))
}

/// A line of the trust file: who, and with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub principal: String,
    /// What stands between the principal and the key, e.g. `valid-before="20300101"`.
    options: Vec<String>,
    kind: String,
    key: String,
}

impl Offered {
    /// Reads `<principal> [options] <type> <base64> [comment]`.
    pub fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kinds = ["ssh-", "ecdsa-", "sk-"];
        let at =
            words.iter().skip(1).position(|word| kinds.iter().any(|k| word.starts_with(k)))? + 1;
        let principal = words.first()?.trim_matches('"').to_owned();
        let options = words[1..at].iter().map(|&option| option.to_owned()).collect();
        let (kind, key) = (words[at].to_owned(), (*words.get(at + 1)?).to_owned());
        Some(Self { principal, options, kind, key })
    }

    /// Whether it is as [`request`] prints it. What limits a key otherwise would be lost by [`trust`].
    pub fn is_request(&self) -> bool {
        self.options.iter().all(|option| option == NAMESPACES)
    }

    fn same_key(&self, other: &Self) -> bool {
        (&self.principal, &self.kind, &self.key) == (&other.principal, &other.kind, &other.key)
    }
}

/// What `ssh-keygen -l` shows of each key: `SHA256:…`.
///
/// # Errors
/// `Sign` when one of them is no key, or ssh-keygen cannot be run.
pub fn fingerprints(binding: &Binding, keys: &[Offered]) -> Result<Vec<String>, LedgerError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut run = Program::SshKeygen.prepare(binding, &["-l", "-f", "-"]);
    let lines: Vec<String> = keys.iter().map(|key| format!("{} {}\n", key.kind, key.key)).collect();
    run.input = Some(lines.concat().into_bytes());
    let done = run.run().map_err(|e| LedgerError::Sign(e.to_string()))?;
    let shown = String::from_utf8_lossy(&done.stdout).into_owned();
    // `256 SHA256:… no comment (ED25519)`
    let found = shown.lines().filter_map(|line| line.split_whitespace().nth(1));
    let found: Vec<String> = found.map(str::to_owned).collect();
    if found.len() != keys.len() {
        let what = "ssh-keygen does not take one of them for a public key";
        return Err(LedgerError::Sign(what.to_owned()));
    }
    Ok(found)
}

/// The line by which another host can trust the binding's own key; nothing in it is secret.
///
/// # Errors
/// `Sign` when the public key cannot be found, and for OpenPGP keys, which the other host's gpg must have.
pub fn request(binding: &Binding) -> Result<String, LedgerError> {
    match binding.signing.format {
        SigningFormat::Ssh => {
            let key = public_key(&binding.signing.key)?;
            Ok(format!("{} {NAMESPACES} {key}", binding.writer))
        }
        SigningFormat::OpenPgp => Err(LedgerError::Sign(format!(
            "records of this host are signed with the OpenPGP key {}: import it on the other host, and add its \
             fingerprint to openpgp in host.toml there",
            fingerprint(binding)?
        ))),
    }
}

/// Trusts a key that another host offered for its writer. `false` where that is so already.
///
/// # Errors
/// `Sign` when the trust file cannot be read or written.
pub fn trust(binding: &Binding, offered: &Offered) -> Result<bool, LedgerError> {
    let path = binding.trust_file();
    let failed = |e: io::Error| LedgerError::Sign(format!("{}: {e}", path.display()));
    let writer: WriterId = offered
        .principal
        .parse()
        .map_err(|e| LedgerError::Sign(format!("{:?} is no writer: {e}", offered.principal)))?;
    if is_trusted(binding, offered) {
        return Ok(false);
    }
    trust_line(binding, &writer, &format!("{} {}", offered.kind, offered.key)).map_err(failed)?;
    Ok(true)
}

/// Whether the trust file lists a key for its writer.
pub fn is_trusted(binding: &Binding, offered: &Offered) -> bool {
    let there = text(binding.trust_file()).unwrap_or_default();
    let same =
        |line: &str| Offered::parse(line.trim()).is_some_and(|there| there.same_key(offered));
    there.lines().any(same)
}

fn trust_line_comment(binding: &Binding) -> std::io::Result<()> {
    let path = binding.trust_file();
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(&binding.dir)?;
    files::write_durably(&path, HEAD.as_bytes(), 0o644)
}

/// The full fingerprint of the binding's OpenPGP key.
fn fingerprint(binding: &Binding) -> Result<String, LedgerError> {
    let key = &binding.signing.key;
    let problem = |what: &str| LedgerError::Sign(format!("OpenPGP key {key}: {what}"));
    let program = binding.tools.gpg.as_ref().ok_or_else(|| problem("gpg was not found"))?;
    let mut run = Invocation::new(program, &binding.dir);
    run.dir = "/".into();
    run.args = ["--batch", "--no-tty", "--with-colons", "--list-secret-keys", "--"]
        .map(Into::into)
        .to_vec();
    run.args.push(key.into());
    run.env.insert("PATH".into(), binding.path_variable.clone().into());
    for name in ["HOME", "GNUPGHOME"] {
        if let Some(value) = std::env::var_os(name) {
            run.env.insert(name.into(), value);
        }
    }
    let done = run.run().map_err(|e| problem(&e.to_string()))?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix("fpr:")?.split(':').find(|f| f.len() >= 40))
        .map(str::to_owned)
        .ok_or_else(|| problem("gpg has no secret key with that name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_damaged_trust_file_makes_it_panic_and_only_a_whole_line_is_a_request() {
        crate::model::mutated::each("trust", |bytes| {
            for line in String::from_utf8_lossy(bytes).lines() {
                if let Some(offered) = Offered::parse(line).filter(Offered::is_request) {
                    assert!(
                        !offered.key.is_empty() && offered.options.iter().all(|o| o == NAMESPACES)
                    );
                }
            }
        });
    }
}
