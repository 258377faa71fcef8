//! Expected texts with `{version}`, `{commit}` and `{deployment}` in them.

use crate::config::{Comparison, Expected};
use crate::model::{Oid, Served};

use super::expectation::Expectation;

/// The fewest digits by which a commit may be abbreviated.
pub(super) const ABBREVIATION: usize = 7;

/// What the placeholders stand for; `None` if that is not known.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject {
    pub(super) version: Option<String>,
    pub(super) commit: Option<Oid>,
    pub(super) deployment: Option<String>,
    pub(super) before: Option<Served>,
}

impl Subject {
    pub(super) fn of(expectation: Option<&Expectation>) -> Self {
        let Some(expectation) = expectation else { return Self::default() };
        Self {
            version: expectation.served.version.clone().filter(|v| !v.is_empty()),
            commit: Some(expectation.served.commit.clone()),
            deployment: Some(expectation.deployment.clone()).filter(|d| !d.is_empty()),
            before: expectation.not.clone(),
        }
    }

    /// Whether the intended version, when it is answered, rules out what served before. A commit that did
    /// not raise its version answers as the one before it did.
    fn version_differs(&self) -> bool {
        match (&self.before, &self.commit) {
            (Some(before), Some(commit)) => {
                before.commit == *commit || before.version != self.version
            }
            _ => true,
        }
    }
}

/// A part of an expected text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    Version,
    Commit,
    Deployment,
}

impl Piece<'_> {
    const PLACEHOLDERS: [(&'static str, Piece<'static>); 3] = [
        ("{version}", Piece::Version),
        ("{commit}", Piece::Commit),
        ("{deployment}", Piece::Deployment),
    ];

    fn is_placeholder(self) -> bool {
        !matches!(self, Piece::Literal(_))
    }

    /// What must stand there, in full; `None` when unknown.
    pub(super) fn value<'s>(&'s self, subject: &'s Subject) -> Option<&'s str> {
        match self {
            Piece::Literal(text) => Some(text),
            Piece::Version => subject.version.as_deref(),
            Piece::Commit => subject.commit.as_ref().map(Oid::as_str),
            Piece::Deployment => subject.deployment.as_deref(),
        }
    }
}

/// An expected text, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template<'a>(Vec<Piece<'a>>);

impl<'a> Template<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((at, name, piece)) = Piece::PLACEHOLDERS
            .iter()
            .filter_map(|(name, piece)| Some((rest.find(name)?, name, *piece)))
            .min_by_key(|(at, ..)| *at)
        {
            if at > 0 {
                pieces.push(Piece::Literal(&rest[..at]));
            }
            pieces.push(piece);
            rest = &rest[at + name.len()..];
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Literal(rest));
        }
        Self(pieces)
    }

    /// The text of an expectation: taken apart only where it is so in `gitroll.toml`.
    pub(super) fn of(expected: &Expected, text: &'a str) -> Self {
        match expected.comparison {
            Comparison::Filled => Self::new(text),
            Comparison::Literal | Comparison::NotLiteral => Self(vec![Piece::Literal(text)]),
        }
    }

    /// Whether it names the version, commit or deployment.
    pub(super) fn names_version(&self) -> bool {
        self.0.iter().any(|piece| piece.is_placeholder())
    }

    pub(super) fn pieces(&self) -> &[Piece<'a>] {
        &self.0
    }

    /// The one placeholder it consists of, if it does.
    pub(super) fn only(&self) -> Option<Piece<'a>> {
        match self.0[..] {
            [piece] if piece.is_placeholder() => Some(piece),
            _ => None,
        }
    }

    /// Whether everything it names is known.
    pub(super) fn known(&self, subject: &Subject) -> bool {
        self.0.iter().all(|piece| piece.value(subject).is_some())
    }

    /// Whether an answer that matches rules out what served before.
    pub(super) fn tells(&self, subject: &Subject) -> bool {
        self.0.iter().any(|piece| match piece {
            Piece::Literal(_) => false,
            Piece::Version => subject.version_differs(),
            Piece::Commit | Piece::Deployment => true,
        })
    }

    /// The text that is wanted, for people: commits short, unknown placeholders as they are.
    pub(super) fn wanted(&self, subject: &Subject) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text,
                Piece::Version => subject.version.as_deref().unwrap_or("{version}"),
                Piece::Commit => subject.commit.as_ref().map_or("{commit}", Oid::short),
                Piece::Deployment => subject.deployment.as_deref().unwrap_or("{deployment}"),
            })
            .collect()
    }

    /// Whether `text` is exactly what is wanted. A commit may be abbreviated to seven digits or more.
    pub(super) fn matches(&self, subject: &Subject, text: &str) -> bool {
        fits(&self.0, subject, text, &mut |rest| rest.is_empty())
    }

    /// Whether `text` contains what is wanted. A version or commit at the edge must stand for itself:
    /// `1.0.0` is not found in `11.0.0`, `1.0.0-rc.1` or `1.0.0.1`.
    pub(super) fn occurs_in(&self, subject: &Subject, text: &str) -> bool {
        if let [Piece::Literal(literal)] = self.0[..] {
            return text.contains(literal);
        }
        let (first, last) = (self.0.first(), self.0.last());
        text.char_indices().any(|(at, _)| {
            begins_apart(first, &text[..at])
                && fits(&self.0, subject, &text[at..], &mut |rest| ends_apart(last, rest))
        })
    }
}

/// Whether `pieces` match from the start of `text`, with `done` content with what is left.
fn fits(
    pieces: &[Piece<'_>],
    subject: &Subject,
    text: &str,
    done: &mut dyn FnMut(&str) -> bool,
) -> bool {
    let Some((piece, others)) = pieces.split_first() else { return done(text) };
    let Some(value) = piece.value(subject) else { return false };
    let shortest =
        if *piece == Piece::Commit { ABBREVIATION.min(value.len()) } else { value.len() };
    (shortest..=value.len()).rev().any(|length| {
        let same = text.get(..length).is_some_and(|found| match piece {
            Piece::Commit => found.eq_ignore_ascii_case(&value[..length]),
            _ => found == value,
        });
        same && fits(others, subject, &text[length..], done)
    })
}

/// Whether what is before a placeholder's value is not a part of it.
pub(super) fn begins_apart(first: Option<&Piece<'_>>, before: &str) -> bool {
    let last = before.chars().next_back();
    match first {
        Some(Piece::Version) => !last.is_some_and(|c| c.is_ascii_digit() || c == '.'),
        Some(Piece::Commit | Piece::Deployment) => !last.is_some_and(char::is_alphanumeric),
        _ => true,
    }
}

/// Whether what follows a placeholder's value is not a part of it.
pub(super) fn ends_apart(last: Option<&Piece<'_>>, after: &str) -> bool {
    let mut chars = after.chars();
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    let longer = match chars.next() {
        Some(c) if joins(c) => true,
        Some('.' | '-' | '+') => {
            !matches!(last, Some(Piece::Commit)) && chars.next().is_some_and(joins)
        }
        _ => false,
    };
    matches!(last, Some(Piece::Literal(_))) || !longer
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMIT: &str = "4be21d9aaaabbbbccccddddeeeeffff000011112";

    fn subject() -> Subject {
        Subject {
            version: Some("1.0.0".to_owned()),
            commit: Some(COMMIT.parse().unwrap()),
            deployment: Some("run-7".to_owned()),
            before: None,
        }
    }

    #[test]
    fn whole_texts_match_exactly_and_commits_by_seven_digits_or_more() {
        let table = [
            ("{version}", "1.0.0", true),
            ("{version}", "v1.0.0", false),
            ("{version}", "1.0.0-rc.1", false),
            ("{version}", "", false),
            ("v{version}", "v1.0.0", true),
            ("{commit}", COMMIT, true),
            ("{commit}", "4be21d9", true),
            ("{commit}", "4BE21D9A", true),
            ("{commit}", "4be21d", false),
            ("{commit}", "4be21d9b", false),
            ("{version}+{commit}", "1.0.0+4be21d9a", true),
            ("{version}+{commit}", "1.0.0+7c1e0a4", false),
            ("{commit}a", "4be21d9aa", true),
            ("{version} {commit} {deployment}", "1.0.0 4be21d9 run-7", true),
            ("{deployment}", "run-8", false),
            ("plain", "plain", true),
            ("", "", true),
            ("{other}", "{other}", true),
            ("é{version}", "é1.0.0", true),
            ("{commit}", "4be21dé", false),
        ];
        for (text, actual, wanted) in table {
            let found = Template::new(text).matches(&subject(), actual);
            assert_eq!(found, wanted, "{text:?} against {actual:?}");
        }
    }

    #[test]
    fn a_version_inside_a_text_must_stand_for_itself() {
        let table = [
            ("{version}", "shop 1.0.0", true),
            ("{version}", "shop v1.0.0.", true),
            ("{version}", "<b>1.0.0</b>", true),
            ("{version}", "shop-1.0.0", true),
            ("{version}", "11.0.0", false),
            ("{version}", "2.1.0.0", false),
            ("{version}", "1.0.0-rc.1", false),
            ("{version}", "1.0.0.1", false),
            ("{version}", "1.0.01", false),
            ("{version}", "11.0.0 and 1.0.0", true),
            ("{version};", "1.0.0;x", true),
            ("{commit}", "main.4be21d9.js", true),
            ("{commit}", "a4be21d9", false),
            ("{commit}", "4be21d9b", false),
            ("{commit}", "4be21d", false),
            ("ok", "it is ok", true),
            ("ok", "no", false),
        ];
        for (text, body, wanted) in table {
            let found = Template::new(text).occurs_in(&subject(), body);
            assert_eq!(found, wanted, "{text:?} in {body:?}");
        }
    }

    #[test]
    fn an_unchanged_version_number_tells_nothing_but_a_commit_does() {
        let before = |version: &str, commit: &str| Subject {
            before: Some(Served {
                commit: commit.repeat(40).parse().unwrap(),
                name: "before".to_owned(),
                version: Some(version.to_owned()),
            }),
            ..subject()
        };
        assert!(Template::new("{version}").tells(&before("1.1.0", "7")));
        assert!(!Template::new("{version}").tells(&before("1.0.0", "7")));
        assert!(Template::new("{version}+{commit}").tells(&before("1.0.0", "7")));
        assert!(Template::new("{deployment}").tells(&before("1.0.0", "7")));
        assert!(!Template::new("ok").tells(&before("1.1.0", "7")));
        let mut same = before("1.0.0", "7");
        same.commit = same.before.as_ref().map(|b| b.commit.clone());
        assert!(Template::new("{version}").tells(&same), "the same commit is what is intended");
    }

    #[test]
    fn without_an_intent_nothing_is_known() {
        let nobody = Subject::default();
        assert!(!Template::new("{version}").known(&nobody));
        assert!(Template::new("ok").known(&nobody));
        assert!(!Template::new("{version}").matches(&nobody, "1.0.0"));
    }

    proptest! {
        #[test]
        fn what_a_template_asks_for_is_what_it_matches(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("{version}".to_owned()), Just("{commit}".to_owned()),
                    Just("{deployment}".to_owned()), "[a-z é{}./-]{0,6}",
                ], 0..6),
        ) {
            let text = parts.concat();
            let template = Template::new(&text);
            let wanted = template.wanted(&subject());
            prop_assert!(template.matches(&subject(), &wanted));
            prop_assert!(template.occurs_in(&subject(), &wanted));
            let more = format!("{}~", wanted);
            prop_assert!(!template.matches(&subject(), &more));
        }

        #[test]
        fn no_text_makes_matching_fail_badly(text in ".{0,40}", actual in ".{0,80}") {
            let template = Template::new(&text);
            template.matches(&subject(), &actual);
            template.occurs_in(&subject(), &actual);
        }
    }
}
