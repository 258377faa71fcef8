//! Which ssh key made a signature, as the signature itself says: `ssh-keygen` verifies it against that key.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// What an ssh signature begins with.
const MAGIC: &[u8] = b"SSHSIG";

/// `SHA256:…` of the public key in the armour of an ssh signature, as `ssh-keygen -l` shows it. `None` if it is none.
pub(super) fn of_signature(armour: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(armour).ok()?;
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let blob = STANDARD.decode(lines.collect::<String>()).ok()?;
    let rest = blob.strip_prefix(MAGIC)?;
    let (_version, rest) = rest.split_at_checked(4)?;
    let (length, rest) = rest.split_at_checked(4)?;
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
    let key = rest.get(..length)?;
    Some(of_key(key))
}

fn of_key(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
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
        }
    }
}
