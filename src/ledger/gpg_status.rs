//! What `gpg --verify` found, from its status lines. Pure.

use super::trust::{EXPIRED, NOT_PINNED, Validity};

/// A good signature by a listed key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verified {
    /// Whether the key is valid now.
    pub validity: Validity,
    /// The primary key's fingerprint.
    pub primary: String,
}

/// Judges the status lines of one verification. `trusted` are fingerprints, of primary keys or subkeys.
///
/// # Errors
/// Why the signature is not to be believed.
pub(super) fn judge(status: &str, success: bool, trusted: &[String]) -> Result<Verified, String> {
    let lines: Vec<Vec<&str>> = status
        .lines()
        .filter_map(|line| line.strip_prefix("[GNUPG:] "))
        .map(|line| line.split(' ').collect())
        .collect();
    let count = |word: &str| lines.iter().filter(|line| line.first() == Some(&word)).count();
    let has = |word: &str| count(word) > 0;
    if has("BADSIG") {
        return Err("its signature is not over these bytes".to_owned());
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
        return Err("gpg does not find its signature good".to_owned());
    };
    let validity = if success && has("GOODSIG") {
        Validity::Current
    } else if has("EXPKEYSIG") {
        Validity::Past
    } else {
        return Err("gpg does not find its signature good".to_owned());
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
        assert_eq!(judge(&good, true, &trust(&["PRIMARY"])), Ok(verified(Validity::Current)));
        assert_eq!(judge(&good, true, &trust(&["SUB"])), Ok(verified(Validity::Current)));
        assert_eq!(judge(&old, true, &trust(&["SUB"])), Ok(verified(Validity::Past)));
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
            assert!(judge(&status, success, &trusted).is_err(), "{status:?}");
        }
    }
}
