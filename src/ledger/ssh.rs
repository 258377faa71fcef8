//! Ssh signatures without a program: the plain ones, made and verified in process.
//!
//! Only what is spelled exactly as `ssh-keygen` writes it is understood here. Everything else is `None`, and
//! `ssh-keygen` itself decides: an answer from here is always one that it would give.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, Ed25519KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use sha2::{Digest as _, Sha256, Sha512};

/// What an ssh signature begins with.
const MAGIC: &[u8] = b"SSHSIG";

const HEAD: &str = "-----BEGIN SSH SIGNATURE-----\n";
const TAIL: &str = "-----END SSH SIGNATURE-----\n";

/// The namespace of what git signs.
pub(super) const NAMESPACE: &str = "git";

/// Bytes of base64 in a line of armour.
const LINE: usize = 70;

/// `SHA256:…` of the public key in the armour of an ssh signature, as `ssh-keygen -l` shows it. `None` if it is none.
pub(super) fn of_signature(armour: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(armour).ok()?;
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let blob = STANDARD.decode(lines.collect::<String>()).ok()?;
    let mut fields = Fields(blob.strip_prefix(MAGIC)?);
    fields.number()?;
    fields.bytes().map(of_key)
}

fn of_key(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// Fields of ssh's wire format, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// A number that is not negative, in the one way to spell it: without needless zeros.
    fn integer(&mut self) -> Option<&'a [u8]> {
        match self.bytes()? {
            [0, rest @ ..] if rest.first().is_some_and(|byte| byte & 0x80 != 0) => Some(rest),
            bytes @ [1..=0x7f, ..] => Some(bytes),
            _ => None,
        }
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    // No field of a signature comes near four gigabytes.
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(field);
}

/// A public key of a usual type, spelled in the only way there is: equal bytes are equal keys, and others are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Ed25519(&'a [u8]),
    P256(&'a [u8]),
    P384(&'a [u8]),
    Rsa { e: &'a [u8], n: &'a [u8] },
}

impl<'a> Key<'a> {
    /// Reads the bytes of a public key.
    pub fn of(blob: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(blob);
        let kind = fields.bytes()?;
        let key = match kind {
            b"ssh-ed25519" => Key::Ed25519(fields.bytes().filter(|key| key.len() == 32)?),
            b"ecdsa-sha2-nistp256" if fields.bytes()? == b"nistp256" => {
                Key::P256(fields.bytes().filter(|point| is_point(point, 32))?)
            }
            b"ecdsa-sha2-nistp384" if fields.bytes()? == b"nistp384" => {
                Key::P384(fields.bytes().filter(|point| is_point(point, 48))?)
            }
            b"ssh-rsa" => Key::Rsa { e: fields.integer()?, n: fields.integer()? },
            _ => return None,
        };
        fields.end()?;
        Some(key)
    }

    /// The name of its type, as key files spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Key::Ed25519(_) => "ssh-ed25519",
            Key::P256(_) => "ecdsa-sha2-nistp256",
            Key::P384(_) => "ecdsa-sha2-nistp384",
            Key::Rsa { .. } => "ssh-rsa",
        }
    }

    /// Whether it made this signature (algorithm and value) of a message.
    fn made(&self, algorithm: &[u8], value: &[u8], message: &[u8]) -> Option<()> {
        match (self, algorithm) {
            (Key::Ed25519(key), b"ssh-ed25519") => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, value)
            }
            (Key::P256(key), b"ecdsa-sha2-nistp256") => {
                let value = fixed(value, 32)?;
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, &value)
            }
            (Key::P384(key), b"ecdsa-sha2-nistp384") => {
                let value = fixed(value, 48)?;
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key).verify(message, &value)
            }
            (Key::Rsa { e, n }, b"rsa-sha2-256") => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, value)
            }
            (Key::Rsa { e, n }, b"rsa-sha2-512") => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA512, message, value)
            }
            _ => return None,
        }
        .ok()
    }
}

fn is_point(point: &[u8], size: usize) -> bool {
    point.len() == 1 + 2 * size && point.first() == Some(&4)
}

/// The two numbers of an ECDSA signature, each of the same length.
fn fixed(value: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut fields = Fields(value);
    let mut both = vec![0; 2 * size];
    let (r, s) = both.split_at_mut(size);
    for half in [r, s] {
        let number = fields.integer()?;
        let from = size.checked_sub(number.len())?;
        half[from..].copy_from_slice(number);
    }
    fields.end()?;
    Some(both)
}

/// The public key whose signature of a payload, for git, is in this armour; `None` where that cannot be said here.
pub(super) fn signer(armour: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(armour).ok()?;
    let body = text.strip_prefix(HEAD)?.strip_suffix(TAIL)?;
    let blob = STANDARD.decode(body.split('\n').collect::<String>()).ok()?;
    if armour != armoured(&blob).as_bytes() {
        return None;
    }
    let mut fields = Fields(blob.strip_prefix(MAGIC)?);
    let version = fields.number()?;
    let (key, namespace, reserved) = (fields.bytes()?, fields.bytes()?, fields.bytes()?);
    let (hash, signature) = (fields.bytes()?, fields.bytes()?);
    fields.end()?;
    if version != 1 || namespace != NAMESPACE.as_bytes() || !reserved.is_empty() {
        return None;
    }
    let mut fields = Fields(signature);
    let (algorithm, value) = (fields.bytes()?, fields.bytes()?);
    fields.end()?;
    Key::of(key)?.made(algorithm, value, &message(hash, payload)?)?;
    Some(key.to_vec())
}

/// What is signed in place of a payload.
fn message(hash: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let digest = match hash {
        b"sha512" => Sha512::digest(payload).to_vec(),
        b"sha256" => Sha256::digest(payload).to_vec(),
        _ => return None,
    };
    let mut message = MAGIC.to_vec();
    for field in [NAMESPACE.as_bytes(), b"", hash, &digest] {
        put(&mut message, field);
    }
    Some(message)
}

fn armoured(blob: &[u8]) -> String {
    let body = STANDARD.encode(blob);
    let mut text = HEAD.to_owned();
    for (at, letter) in body.chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push('\n');
    text.push_str(TAIL);
    text
}

const KEY_HEAD: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
const KEY_TAIL: &str = "-----END OPENSSH PRIVATE KEY-----";

/// An ed25519 key without a passphrase, read from a file of OpenSSH.
pub(super) struct PrivateKey {
    /// The bytes of the public key.
    public: Vec<u8>,
    pair: Ed25519KeyPair,
}

impl PrivateKey {
    /// Reads the text of a key file.
    pub fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let body = text.strip_prefix(KEY_HEAD)?.trim_end().strip_suffix(KEY_TAIL)?;
        let blob = STANDARD.decode(body.split('\n').collect::<String>()).ok()?;
        let mut fields = Fields(blob.strip_prefix(b"openssh-key-v1\0")?);
        let (cipher, derivation, options) = (fields.bytes()?, fields.bytes()?, fields.bytes()?);
        let keys = fields.number()?;
        if (cipher, derivation, options, keys) != (b"none", b"none", b"", 1) {
            return None;
        }
        let (public, private) = (fields.bytes()?, fields.bytes()?);
        fields.end()?;
        let Key::Ed25519(wanted) = Key::of(public)? else { return None };
        let mut fields = Fields(private);
        if fields.number()? != fields.number()? || fields.bytes()? != b"ssh-ed25519" {
            return None;
        }
        let (own, secret, _comment) = (fields.bytes()?, fields.bytes()?, fields.bytes()?);
        let padding = fields.0;
        let (seed, again) = secret.split_at_checked(32)?;
        let padded = padding.len() < 8 && padding.iter().zip(1..).all(|(byte, at)| *byte == at);
        if own != wanted || again != wanted || !padded {
            return None;
        }
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, wanted).ok()?;
        Some(Self { public: public.to_vec(), pair })
    }

    /// Signs a payload as git has `ssh-keygen` sign it, byte for byte: the armour.
    pub fn sign(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let hash = b"sha512";
        let value = self.pair.sign(&message(hash, payload)?);
        let mut signature = Vec::new();
        put(&mut signature, b"ssh-ed25519");
        put(&mut signature, value.as_ref());
        let mut blob = MAGIC.to_vec();
        blob.extend_from_slice(&1_u32.to_be_bytes());
        for field in [&self.public[..], NAMESPACE.as_bytes(), b"", hash, &signature] {
            put(&mut blob, field);
        }
        Some(armoured(&blob).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_signature_has_no_key() {
        for text in [
            "",
            "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
            "U1NIU0lH",
            "U1NIU0lHAAAAAf////8=",
        ] {
            assert_eq!(of_signature(text.as_bytes()), None, "{text}");
            assert_eq!(signer(text.as_bytes(), b""), None, "{text}");
        }
    }

    #[test]
    fn a_number_has_one_spelling() {
        let integer = |bytes: &[u8]| {
            let mut field = Vec::new();
            put(&mut field, bytes);
            Fields(&field).integer().map(<[u8]>::to_vec)
        };
        assert_eq!(integer(&[0x7f, 0]), Some(vec![0x7f, 0]));
        assert_eq!(integer(&[0, 0x80]), Some(vec![0x80]));
        for other in [&[][..], &[0], &[0, 0x7f], &[0, 0, 0x80], &[0x80]] {
            assert_eq!(integer(other), None, "{other:?}");
        }
    }
}
