//! Stable tags from before gitroll: which of them HEAD's reflog shows checked out here. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ledger::History;
use crate::model::{AdoptedTag, Oid};
use crate::plan::names::stable_matcher;
use crate::system::git::{HeadMove, Tag, TagKind};
use crate::target::safe_name;

/// More tags than this are not adopted by one record: the latest that served are.
const MOST: usize = 1000;

/// What could be adopted, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Legacy {
    /// Tags whose commit was checked out here, the last to serve first.
    pub adoptable: Vec<AdoptedTag>,
    /// The short names of the others with why not; escape before printing.
    pub left: Vec<(String, String)>,
}

/// Sorts the tags that match `pattern`. `moves` is HEAD's reflog, and only what it says from before
/// `until` counts: the moment when gitroll's own records began, or now. What `history` knows already, by an
/// adoption that still holds or by a promotion, is in neither list.
pub fn legacy(
    tags: &[Tag],
    pattern: &str,
    moves: &[HeadMove],
    until: Timestamp,
    history: &History,
) -> Legacy {
    let stays = stays(moves, until);
    let matcher = stable_matcher(pattern);
    let mut legacy = Legacy::default();
    for tag in tags {
        let short = tag.target.short();
        if !matcher.as_ref().is_some_and(|m| m.is_match(short)) {
            continue;
        }
        let mut leave = |why: String| legacy.left.push((short.to_owned(), why));
        let commit = match &tag.kind {
            TagKind::Unusable(why) => {
                leave(why.clone());
                continue;
            }
            TagKind::Lightweight(commit) | TagKind::Annotated { commit, .. } => commit,
        };
        let pinned = history.pinned(&tag.target.name).is_some_and(|p| p.tag.target == tag.target);
        if pinned || history.promoted(commit).contains(&tag.target) {
            continue;
        }
        if let Some(by) = history.demoted(&tag.target) {
            leave(format!("its promotion was withdrawn (#{by})"));
            continue;
        }
        if !safe_name(short) {
            leave("unsafe name".to_owned());
            continue;
        }
        match stays.get(commit) {
            Some(stay) => legacy.adoptable.push(AdoptedTag {
                target: tag.target.clone(),
                commit: commit.clone(),
                since: stay.since,
                seconds: stay.seconds,
            }),
            None => leave(match checked_out_as(moves, short, until) {
                Some(then) => format!("it was {} when it was checked out here", then.short()),
                None => "HEAD's reflog does not show that it was checked out here".to_owned(),
            }),
        }
    }
    legacy.adoptable.sort_by(|a, b| (b.since, &a.target.name).cmp(&(a.since, &b.target.name)));
    let many = legacy.adoptable.split_off(legacy.adoptable.len().min(MOST));
    legacy.left.extend(many.into_iter().map(|tag| {
        (tag.target.short().to_owned(), format!("only the latest {MOST} are adopted at once"))
    }));
    legacy
}

/// How long HEAD stood on a commit, and since when the last time.
#[derive(Debug, Clone, Copy)]
struct Stay {
    since: Timestamp,
    seconds: u64,
}

/// A clock that was set back makes a stay count as nothing.
fn stays(moves: &[HeadMove], until: Timestamp) -> BTreeMap<Oid, Stay> {
    let mut stays: BTreeMap<Oid, Stay> = BTreeMap::new();
    let before: Vec<&HeadMove> = moves.iter().filter(|m| m.at <= until).collect();
    for (number, came) in before.iter().enumerate() {
        let left = before.get(number + 1).map_or(until, |next| next.at);
        let seconds = left.as_second().saturating_sub(came.at.as_second());
        let stay = stays.entry(came.commit.clone()).or_insert(Stay { since: came.at, seconds: 0 });
        stay.since = came.at;
        stay.seconds = stay.seconds.saturating_add(u64::try_from(seconds).unwrap_or(0));
    }
    stays
}

/// The commit that a tag's name led to the last time it was checked out by that name.
fn checked_out_as<'a>(moves: &'a [HeadMove], short: &str, until: Timestamp) -> Option<&'a Oid> {
    let named = |m: &&HeadMove| {
        m.name.as_deref().is_some_and(|name| {
            name == short
                || name.strip_prefix("tags/") == Some(short)
                || name.strip_prefix("refs/tags/") == Some(short)
        })
    };
    moves.iter().filter(|m| m.at <= until).rev().find(named).map(|m| &m.commit)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::TargetRef;

    fn commit(letter: char) -> Oid {
        letter.to_string().repeat(40).parse().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn came(letter: char, second: i64, name: Option<&str>) -> HeadMove {
        HeadMove { commit: commit(letter), at: at(second), name: name.map(str::to_owned) }
    }

    fn lightweight(name: &str, letter: char) -> Tag {
        Tag {
            target: TargetRef { name: format!("refs/tags/{name}"), id: commit(letter) },
            kind: TagKind::Lightweight(commit(letter)),
        }
    }

    fn sorted(tags: &[Tag], moves: &[HeadMove], until: i64) -> Legacy {
        legacy(tags, "*-stable", moves, at(until), &History::default())
    }

    #[test]
    fn a_tag_whose_commit_was_checked_out_is_adoptable_with_all_its_time() {
        let moves = [
            came('a', 100, None),
            came('b', 160, Some("v2-stable")),
            came('a', 200, Some("v1-stable")),
            came('b', 230, None),
        ];
        let tags = [lightweight("v1-stable", 'a'), lightweight("v2-stable", 'b')];
        let found = sorted(&tags, &moves, 1000);
        let seen: Vec<_> = found
            .adoptable
            .iter()
            .map(|t| (t.target.short(), t.since.as_second(), t.seconds))
            .collect();
        assert_eq!(seen, [("v2-stable", 230, 40 + 770), ("v1-stable", 200, 60 + 30)]);
        assert_eq!(found.left, []);
    }

    #[test]
    fn what_cannot_be_adopted_is_left_with_why() {
        let moves = [came('a', 100, Some("moved-stable"))];
        let unusable = Tag {
            kind: TagKind::Unusable("it is a tag on a tag".to_owned()),
            ..lightweight("nested-stable", 'c')
        };
        let tags = [
            lightweight("never-stable", 'b'),
            lightweight("moved-stable", 'b'),
            lightweight("\u{202e}a-stable", 'a'),
            lightweight("v1", 'a'),
            unusable,
        ];
        let found = sorted(&tags, &moves, 1000);
        assert_eq!(found.adoptable, []);
        let why: Vec<_> = found.left.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(
            why,
            [
                "HEAD's reflog does not show that it was checked out here",
                "it was aaaaaaa when it was checked out here",
                "unsafe name",
                "it is a tag on a tag",
            ]
        );
    }

    #[test]
    fn what_the_reflog_says_since_gitroll_came_does_not_count() {
        let moves = [came('a', 100, None), came('b', 200, None)];
        let tags = [lightweight("v1-stable", 'a'), lightweight("v2-stable", 'b')];
        let found = sorted(&tags, &moves, 150);
        assert_eq!(found.adoptable.len(), 1);
        assert_eq!(
            (found.adoptable[0].target.short(), found.adoptable[0].seconds),
            ("v1-stable", 50)
        );
    }

    #[test]
    fn a_clock_that_was_set_back_counts_as_nothing() {
        let moves = [came('a', 500, None), came('b', 200, None)];
        let found = sorted(&[lightweight("v1-stable", 'a')], &moves, 1000);
        assert_eq!(found.adoptable[0].seconds, 0);
    }
}
