//! Commits that say, as `git revert` does, which commit they revert.

use crate::model::Oid;
use crate::system::git::{Git, GitError};

/// More commits than these are not searched.
const MOST: usize = 2_000;

/// Whether nobody reverted the revert.
pub fn stands(all: &[Revert], revert: &Revert, depth: usize) -> bool {
    const DEEPEST: usize = 20;
    depth > DEEPEST
        || !all.iter().any(|other| other.of == revert.by && stands(all, other, depth + 1))
}

/// A commit that says, as `git revert` does, that it reverts another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    pub by: Oid,
    pub of: Oid,
}

/// The reverts in `tip` since `base`.
///
/// # Errors
/// When git cannot read the commits.
pub fn between(git: &Git, base: &Oid, tip: &Oid) -> Result<Vec<Revert>, GitError> {
    let mut reverts = Vec::new();
    for commit in git.commits_between(base, tip, MOST)? {
        for word in named(&commit.message) {
            let full = word.parse::<Oid>().ok().or_else(|| git.resolve(word).ok());
            let of = full.filter(|of| git.has(of) && git.commit(of).is_ok());
            reverts.extend(of.map(|of| Revert { by: commit.id.clone(), of }));
        }
    }
    Ok(reverts)
}

/// The ids in `This reverts commit ID`, whole or shortened.
fn named(message: &str) -> impl Iterator<Item = &str> {
    const SHORTEST: usize = 7;
    message.split("This reverts commit ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        (end >= SHORTEST).then(|| &rest[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(letter: char) -> Oid {
        letter.to_string().repeat(40).parse().expect("hex")
    }

    fn revert(by: char, of: char) -> Revert {
        Revert { by: oid(by), of: oid(of) }
    }

    #[test]
    fn the_commits_that_a_message_reverts_are_named_in_it() {
        let table: [(&str, &[&str]); 5] = [
            ("Revert \"x\"\n\nThis reverts commit abcdef0123.", &["abcdef0123"]),
            ("This reverts commit abcdef0, reversing\nchanges made to 1234567.", &["abcdef0"]),
            (
                "This reverts commit abcdef0 (x, 2026).\nThis reverts commit 1234567",
                &["abcdef0", "1234567"],
            ),
            ("This reverts commit abc", &[]),
            ("reverts commit abcdef0", &[]),
        ];
        for (message, wanted) in table {
            assert_eq!(named(message).collect::<Vec<_>>(), wanted, "{message}");
        }
    }

    #[test]
    fn a_revert_of_a_revert_brings_it_back() {
        let all = [revert('b', 'a'), revert('c', 'b')];
        assert!(!stands(&all, &all[0], 0) && stands(&all, &all[1], 0));
        let all = [revert('b', 'a'), revert('c', 'b'), revert('d', 'c')];
        assert!(stands(&all, &all[0], 0) && !stands(&all, &all[1], 0));
    }
}
