//! Who may sign: the trust file beside the host binding, and nothing in the repository.
//!
//! Verdicts come from exit codes and gpg's status lines, never from text meant for people.

use std::io::ErrorKind;
use std::path::PathBuf;

use jiff::Timestamp;

use super::signers::{self, Signers};
use super::signing::{Program, SignatureKind, Signed, no_answer};
use super::ssh;
use crate::config::{Binding, OPENPGP, Roles};
use crate::model::{Digest, EnvironmentName, Event, Seq, WriterId};
use crate::system::clock::now;
use crate::system::files::{self, BytesAsFile};
use crate::system::process::Finished;

/// No list of keys, trusted or revoked, is larger.
const MOST_BYTES: u64 = 16 << 20;

/// What is said of a good signature by a key nobody trusted.
pub(super) const NOT_PINNED: &str = "signer is not in the pinned trust file";

/// What is trusted, read once.
#[derive(Debug)]
pub(super) struct Trust<'a> {
    binding: &'a Binding,
    /// Who may do what, and which keys count only up to some record.
    pub roles: Roles,
    /// Where there is a revocation list.
    revoked: Option<PathBuf>,
    /// The trust file, as far as it is plain.
    signers: Signers,
    /// The keys of the revocation list, where all of it is plain; none where there is no list.
    revoked_keys: Option<Vec<Vec<u8>>>,
    /// Why nothing can be trusted.
    unusable: Option<String>,
    /// Over everything that decides who is trusted: what was verified under it need not be again.
    pub digest: Digest,
}

/// How far a good signature by a listed key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    /// The key is valid now.
    Current,
    /// The key was valid at the time the signature names, which is the signer's own word: good only for
    /// a record that something else vouches for.
    Past,
}

impl<'a> Trust<'a> {
    /// Reads the trust of a binding. What cannot be read is trusted by nobody: every verification then
    /// fails and says so.
    pub fn load(binding: &'a Binding) -> Self {
        let mut unusable = binding.distrust.as_ref().map(ToString::to_string);
        let mut seen = format!("gitroll trust 1\n{}\n", binding.openpgp.join(" ")).into_bytes();
        let mut read = |path: PathBuf, needed: bool| match files::read_plain(&path, MOST_BYTES) {
            Ok(bytes) => {
                seen.extend_from_slice(format!("{} {}\n", path.display(), bytes.len()).as_bytes());
                seen.extend_from_slice(&bytes);
                Some((path, bytes))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !needed => None,
            Err(error) => {
                unusable.get_or_insert(format!("{} cannot be read ({error})", path.display()));
                None
            }
        };
        let signers = read(binding.trust_file(), binding.openpgp.is_empty());
        let signers = signers.map(|(_, bytes)| Signers::parse(&bytes)).unwrap_or_default();
        let revoked = read(binding.revoked_file(), false);
        let revoked_keys = match &revoked {
            None => Some(Vec::new()),
            Some((_, bytes)) => signers::revoked(bytes),
        };
        let revoked = revoked.map(|(path, _)| path);
        let roles = match read(binding.roles_file(), false) {
            None => Roles::default(),
            Some((path, bytes)) => {
                Roles::parse(&String::from_utf8_lossy(&bytes)).unwrap_or_else(|problem| {
                    unusable.get_or_insert(format!("{}: {problem}", path.display()));
                    Roles::default()
                })
            }
        };
        if let Some(problem) = &unusable {
            // Nothing that was verified before counts either.
            seen.extend_from_slice(format!("unusable: {problem}\n").as_bytes());
        }
        let digest = Digest::of(&seen);
        Self { binding, roles, revoked, signers, revoked_keys, unusable, digest }
    }

    /// Verifies that a payload is signed by a key trusted for `writer`. `seq` is its position in the writer's chain, where
    /// it has one: a revoked key counts up to a position. `dated` is the time the payload itself names.
    ///
    /// # Errors
    /// Why it is not to be believed.
    pub fn verify(
        &self,
        signed: &Signed<'_>,
        writer: &str,
        seq: Option<Seq>,
        dated: Timestamp,
    ) -> Result<Validity, String> {
        self.check_usable()?;
        self.check_revoked(signed, writer, seq)?;
        match signed.kind {
            SignatureKind::OpenPgp => self.gpg(signed).map(|verified| verified.validity),
            SignatureKind::Ssh => match self.plain_verify(signed, writer, dated) {
                Some(validity) => Ok(validity),
                None => self.ssh_keygen_verify(signed, writer, dated),
            },
        }
    }

    /// Verifies that a payload is signed by a key trusted for anyone, now. Returns the principal as the
    /// trust file spells it; for OpenPGP, the primary key's fingerprint.
    ///
    /// # Errors
    /// Why it is not to be believed.
    pub fn principal(&self, signed: &Signed<'_>) -> Result<String, String> {
        self.check_usable()?;
        self.check_revoked(signed, "", None)?;
        if let Some(role) = self.lacks(signed, &Event::Promote, None, None) {
            return Err(format!("{} does not have the role {role}", fingerprint(signed)));
        }
        match signed.kind {
            SignatureKind::OpenPgp => match self.gpg(signed)? {
                Verified { validity: Validity::Current, primary } => Ok(primary),
                Verified { validity: Validity::Past, .. } => Err(EXPIRED.to_owned()),
            },
            SignatureKind::Ssh => {
                let plain = self.plain_key(signed);
                let plain = plain.and_then(|key| self.signers.principal(&key, now().as_second()));
                if let Some(principal) = plain {
                    return Ok(principal.to_owned());
                }
                let file = SignatureFile::write(signed)?;
                let found = self.ssh(&["-Y", "find-principals", "-s", file.path()?], None, true)?;
                let found = String::from_utf8_lossy(&found.stdout).into_owned();
                for principal in found.lines().map(str::trim).filter(|line| !line.is_empty()) {
                    if self.ssh_verify(&file, signed, principal, None)? {
                        return Ok(principal.to_owned());
                    }
                }
                Err(self.why_not(&file, signed)?)
            }
        }
    }

    /// The role that a signer lacks for an act.
    pub fn lacks(
        &self,
        signed: &Signed<'_>,
        event: &Event,
        environment: Option<&EnvironmentName>,
        writer: Option<&WriterId>,
    ) -> Option<&str> {
        self.roles.lacks(&fingerprint(signed), event, environment, writer)
    }

    /// Whether a signer has a role, by name. Without any key in the roles file each key has all.
    pub fn has_role(
        &self,
        signed: &Signed<'_>,
        role: &str,
        environment: &EnvironmentName,
        writer: &WriterId,
    ) -> bool {
        self.roles.has(&fingerprint(signed), role, environment, writer)
    }

    /// The key that made a signature, told from all others: for OpenPGP its primary key.
    ///
    /// # Errors
    /// Why the signature is not to be believed.
    pub fn key_of(&self, signed: &Signed<'_>) -> Result<String, String> {
        match signed.kind {
            SignatureKind::Ssh => Ok(fingerprint(signed)),
            SignatureKind::OpenPgp => self.gpg(signed).map(|verified| verified.primary),
        }
    }

    fn check_revoked(
        &self,
        signed: &Signed<'_>,
        writer: &str,
        seq: Option<Seq>,
    ) -> Result<(), String> {
        if self.roles.revoked.is_empty() {
            return Ok(());
        }
        let key = fingerprint(signed);
        let mut own =
            self.roles.revoked.iter().filter(|revoked| revoked.fingerprint == key).peekable();
        if own.peek().is_none() {
            return Ok(());
        }
        // Where it was revoked twice, the stricter word counts.
        let own = own.filter(|revoked| revoked.writer.as_str() == writer);
        let last = own.map(|revoked| revoked.last).min().unwrap_or(0);
        match seq {
            Some(seq) if seq.0 <= last => Ok(()),
            _ if last > 0 => Err(format!("{key} is revoked: only its records up to #{last} count")),
            _ => Err(format!("{key} is revoked")),
        }
    }

    fn check_usable(&self) -> Result<(), String> {
        self.unusable.clone().map_or(Ok(()), Err)
    }

    /// What `ssh-keygen` says of a signature.
    pub(super) fn ssh_keygen_verify(
        &self,
        signed: &Signed<'_>,
        writer: &str,
        dated: Timestamp,
    ) -> Result<Validity, String> {
        let file = SignatureFile::write(signed)?;
        if self.ssh_verify(&file, signed, writer, None)? {
            return Ok(Validity::Current);
        }
        if self.ssh_verify(&file, signed, writer, Some(dated))? {
            return Ok(Validity::Past);
        }
        Err(self.why_not(&file, signed)?)
    }

    /// The same of a signature that is good by the plain lines of the lists. Of all others only `ssh-keygen` can tell.
    pub(super) fn plain_verify(
        &self,
        signed: &Signed<'_>,
        writer: &str,
        dated: Timestamp,
    ) -> Option<Validity> {
        let key = self.plain_key(signed)?;
        let trusted = |at: Timestamp| self.signers.trust(&key, writer, at.as_second());
        match (trusted(now()), trusted(dated)) {
            (Some(true), _) => Some(Validity::Current),
            (Some(false), Some(true)) => Some(Validity::Past),
            _ => None,
        }
    }

    /// The key of a signature that fits its bytes, and that the revocation list does not name.
    fn plain_key(&self, signed: &Signed<'_>) -> Option<Vec<u8>> {
        let revoked = self.revoked_keys.as_ref()?;
        let key = ssh::signer(signed.signature, signed.payload)?;
        (!revoked.contains(&key)).then_some(key)
    }

    fn ssh_verify(
        &self,
        file: &SignatureFile,
        signed: &Signed<'_>,
        principal: &str,
        at: Option<Timestamp>,
    ) -> Result<bool, String> {
        let mut args = vec!["-Y", "verify", "-n", "git", "-I", principal, "-s", file.path()?];
        let time = at.map(|at| format!("-Overify-time={}", at.strftime("%Y%m%d%H%M%SZ")));
        args.extend(time.as_deref());
        let revoked = self.revoked.as_ref().map(|path| path.display().to_string());
        if let Some(path) = &revoked {
            args.extend(["-r", path]);
        }
        Ok(self.ssh(&args, Some(signed.payload), true)?.success())
    }

    // A signature that is whole but accepted for nobody, or one that does not fit its bytes?
    fn why_not(&self, file: &SignatureFile, signed: &Signed<'_>) -> Result<String, String> {
        let args = ["-Y", "check-novalidate", "-n", "git", "-s", file.path()?];
        let whole = self.ssh(&args, Some(signed.payload), false)?.success();
        Ok(if whole { NOT_PINNED } else { "its signature does not match its content" }.to_owned())
    }

    fn ssh(
        &self,
        args: &[&str],
        payload: Option<&[u8]>,
        with_trust: bool,
    ) -> Result<Finished, String> {
        let mut run = Program::SshKeygen.prepare(self.binding, args);
        if with_trust {
            run.args.extend(["-f".into(), self.binding.trust_file().into()]);
        }
        run.input = payload.map(<[u8]>::to_vec);
        finish(run.run())
    }

    fn gpg(&self, signed: &Signed<'_>) -> Result<Verified, String> {
        let file = SignatureFile::write(signed)?;
        let args = [
            "--batch",
            "--no-tty",
            "--pinentry-mode",
            "error",
            // Nothing is fetched, and the web of trust says nothing: the list of fingerprints does.
            "--disable-dirmngr",
            "--no-auto-key-retrieve",
            "--no-auto-check-trustdb",
            "--trust-model",
            "always",
            "--status-fd",
            "1",
            "--verify",
            file.path()?,
            "-",
        ];
        let mut run = Program::Gpg.prepare(self.binding, &args);
        run.input = Some(signed.payload.to_vec());
        let finished = finish(run.run())?;
        let status = String::from_utf8_lossy(&finished.stdout);
        judge_gpg(&status, finished.success(), &self.binding.openpgp)
    }
}

/// What is said of a key whose time is over.
pub(super) const EXPIRED: &str = "the signing key has expired";

fn finish(
    result: Result<Finished, crate::system::process::ProcessError>,
) -> Result<Finished, String> {
    match no_answer(&result) {
        Some(problem) => Err(format!("its signature cannot be verified: {problem}")),
        None => result.map_err(|error| error.to_string()),
    }
}

/// Which key made a signature, as roles name it. What is no signature by any key names none.
pub(super) fn fingerprint(signed: &Signed<'_>) -> String {
    match signed.kind {
        SignatureKind::OpenPgp => OPENPGP.to_owned(),
        SignatureKind::Ssh => ssh::of_signature(signed.signature).unwrap_or_default(),
    }
}

/// A signature under a path of its own, as the programs want it. It is not a secret.
struct SignatureFile(BytesAsFile);

impl SignatureFile {
    fn write(signed: &Signed<'_>) -> Result<Self, String> {
        let file = BytesAsFile::new(signed.signature);
        file.map(Self).map_err(|error| format!("its signature cannot be verified: {error}"))
    }

    fn path(&self) -> Result<&str, String> {
        let path = self.0.path().to_str();
        path.ok_or_else(|| "the directory for temporary files has no UTF-8 name".to_owned())
    }
}

/// A good OpenPGP signature by a listed key.
#[derive(Debug, PartialEq, Eq)]
struct Verified {
    /// Whether the key is valid now.
    validity: Validity,
    /// The primary key's fingerprint.
    primary: String,
}

/// Judges the status lines of one verification. `trusted` are fingerprints, of primary keys or subkeys.
///
/// # Errors
/// Why the signature is not to be believed.
fn judge_gpg(status: &str, success: bool, trusted: &[String]) -> Result<Verified, String> {
    let lines: Vec<Vec<&str>> = status
        .lines()
        .filter_map(|line| line.strip_prefix("[GNUPG:] "))
        .map(|line| line.split(' ').collect())
        .collect();
    let count = |word: &str| lines.iter().filter(|line| line.first() == Some(&word)).count();
    let has = |word: &str| count(word) > 0;
    if has("BADSIG") {
        return Err("its signature does not match its content".to_owned());
    }
    if has("REVKEYSIG") {
        return Err("the signing key is revoked".to_owned());
    }
    if has("EXPSIG") {
        return Err("its signature has expired".to_owned());
    }
    if has("NO_PUBKEY") {
        return Err(format!("{NOT_PINNED}: gpg does not have its public key"));
    }
    // One payload, one signature: more would let a trusted one stand beside a forged one.
    let one = count("NEWSIG") <= 1 && count("VALIDSIG") == 1;
    let valid = lines.iter().find(|line| line.first() == Some(&"VALIDSIG")).filter(|_| one);
    let Some([_, key, .., primary]) = valid.map(Vec::as_slice) else {
        return Err("gpg rejects its signature".to_owned());
    };
    let validity = if success && has("GOODSIG") {
        Validity::Current
    } else if has("EXPKEYSIG") {
        Validity::Past
    } else {
        return Err("gpg rejects its signature".to_owned());
    };
    let listed = |fingerprint: &str| trusted.iter().any(|t| t.eq_ignore_ascii_case(fingerprint));
    if !listed(key) && !listed(primary) {
        let expired =
            if validity == Validity::Past { format!(", and {EXPIRED}") } else { String::new() };
        return Err(format!("{NOT_PINNED}{expired}"));
    }
    Ok(Verified { validity, primary: (*primary).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "[GNUPG:] VALIDSIG SUB 2026-11-20 1795144325 0 4 0 22 8 00 PRIMARY\n";

    #[test]
    fn only_one_good_signature_by_a_listed_key_counts() {
        let good = format!("[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 1 ana\n{VALID}");
        let old = format!("[GNUPG:] NEWSIG\n[GNUPG:] EXPKEYSIG 1 ana\n{VALID}");
        let trust = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let verified = |validity| Verified { validity, primary: "PRIMARY".to_owned() };
        assert_eq!(judge_gpg(&good, true, &trust(&["PRIMARY"])), Ok(verified(Validity::Current)));
        assert_eq!(judge_gpg(&good, true, &trust(&["SUB"])), Ok(verified(Validity::Current)));
        assert_eq!(judge_gpg(&old, true, &trust(&["SUB"])), Ok(verified(Validity::Past)));
        for (status, success, trusted) in [
            (good.clone(), true, trust(&[])),
            (good.clone(), true, trust(&["OTHER", "ana", "1"])),
            (good.clone(), false, trust(&["PRIMARY"])),
            (format!("{good}{good}"), true, trust(&["PRIMARY"])),
            (format!("{good}[GNUPG:] BADSIG 1 ana\n"), true, trust(&["PRIMARY"])),
            (format!("[GNUPG:] REVKEYSIG 1 ana\n{VALID}"), true, trust(&["PRIMARY"])),
            (format!("[GNUPG:] EXPSIG 1 ana\n{VALID}"), true, trust(&["PRIMARY"])),
            ("[GNUPG:] ERRSIG 1\n[GNUPG:] NO_PUBKEY 1\n".to_owned(), false, trust(&["PRIMARY"])),
            ("gpg: Good signature from ana\n".to_owned(), true, trust(&["PRIMARY"])),
            (String::new(), true, trust(&["PRIMARY"])),
        ] {
            assert!(judge_gpg(&status, success, &trusted).is_err(), "{status:?}");
        }
    }
}
