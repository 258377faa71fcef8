//! Signed tags of people: made by a promotion, verified before they name a target.

use super::append::plain;
use super::codec::MOST_BYTES;
use super::entry::LedgerError;
use super::signing::{self, sign};
use super::trust::Trust;
use crate::config::Binding;
use crate::model::{Oid, Person, TargetRef};
use crate::system::git::{Git, ObjectKind, RefEdit};

/// Makes a signed annotated tag `refs/tags/<name>` on `commit`.
///
/// # Errors
/// `Sign`; `Untrusted` when the key is in nobody's name in the trust file; `Malformed` when name or
/// message cannot be used; `Git` when the tag exists.
pub fn create_tag(
    git: &Git,
    binding: &Binding,
    name: &str,
    commit: &Oid,
    message: &str,
    person: &Person,
) -> Result<TargetRef, LedgerError> {
    let malformed = |problem: &str| LedgerError::Malformed {
        name: format!("tag {name:?}"),
        problem: problem.to_owned(),
    };
    if !is_tag_name(name) {
        return Err(malformed("this is not a valid tag name"));
    }
    let message = message.trim();
    let armoured = message.lines().any(|line| line.starts_with(signing::ARMOUR));
    if message.is_empty() || armoured || message.contains(|c: char| c.is_control() && c != '\n') {
        return Err(malformed("its message cannot be signed"));
    }
    let person = plain(person.clone());
    let payload = format!(
        "object {commit}\ntype commit\ntag {name}\ntagger {} <{}> {} +0000\n\n{message}\n",
        person.name,
        person.email,
        person.time.as_second()
    );
    let object = sign(binding, payload.as_bytes())?;
    principal(&Trust::load(binding), &object, &format!("tag {name}"))?;
    let id = git.write_object(ObjectKind::Tag, &object)?;
    let name = format!("refs/tags/{name}");
    let edit = RefEdit { name: name.clone(), new: Some(id.clone()), old: None };
    git.update_refs(&[edit], "gitroll: promote")?;
    Ok(TargetRef { name, id })
}

/// Whether a tag object's signature is by a key the trust file holds (for anyone) and that is valid
/// now. `Ok(principal)` as the trust file spells it; for OpenPGP the primary key's fingerprint.
///
/// # Errors
/// `Untrusted` with the reason.
pub fn verify_tag(git: &Git, binding: &Binding, tag: &Oid) -> Result<String, LedgerError> {
    let object = git.object(tag, ObjectKind::Tag, MOST_BYTES)?;
    principal(&Trust::load(binding), &object, &format!("tag object {}", tag.short()))
}

fn principal(trust: &Trust<'_>, object: &[u8], name: &str) -> Result<String, LedgerError> {
    signing::split(object)
        .map_err(str::to_owned)
        .and_then(|signed| trust.principal(&signed))
        .map_err(|problem| LedgerError::Untrusted { name: name.to_owned(), problem })
}

/// What git takes for the name of a tag, without gitroll's own names and a leading `-`.
fn is_tag_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    name.len() <= 200
        && name.split('/').all(part)
        && !name.contains(forbidden)
        && !name.contains("..")
        && !name.contains("@{")
        && name != "@"
        && !name.starts_with('-')
        && !name.starts_with("gitroll/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_git_takes_are_made() {
        for good in ["v1.2.0-stable", "release/1.2", "é"] {
            assert!(is_tag_name(good), "{good:?}");
        }
        for bad in [
            "",
            "-x",
            "a b",
            "a..b",
            "a/",
            "/a",
            ".a",
            "a.lock",
            "a~1",
            "a\n",
            "gitroll/x",
            "a@{1}",
            "@",
        ] {
            assert!(!is_tag_name(bad), "{bad:?}");
        }
    }
}
