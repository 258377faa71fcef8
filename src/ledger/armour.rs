//! The signature at the end of a tag object: where it begins, and that nothing follows it.

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
    /// The kind of signature.
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
}
