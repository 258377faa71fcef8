//! From a request to a target.

use std::str::FromStr;

use super::candidate::{Candidate, Reason, Standing};
use super::order::Rank;
use crate::model::{Oid, Seq};

/// What a person asked to go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The newest earlier deployment that qualifies.
    LastGood,
    /// The qualifying stable tag with the highest version.
    LastStable,
    /// The newest earlier deployment, however short it served.
    Previous,
    /// What a record put in place.
    Seq(Seq),
    /// What a record put in place, or a tag or branch of that number.
    Number(Seq),
    /// A tag, commit or other name.
    Named(String),
}

impl FromStr for Request {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "last-good" => Request::LastGood,
            "last-stable" => Request::LastStable,
            "previous" => Request::Previous,
            _ => match Seq::typed(text) {
                Some(seq) if text.starts_with(['#', '@']) => Request::Seq(seq),
                // Longer ones are abbreviated ids.
                Some(seq) if seq.0 < 1_000_000 => Request::Number(seq),
                _ => Request::Named(text.to_owned()),
            },
        })
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    pub chosen: Candidate,
    /// Those passed over before it was found, in order.
    pub skipped: Vec<Candidate>,
    /// Further ones that could be taken should it fail, in order.
    pub further: Vec<Candidate>,
}

/// Why there is no target.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// No candidate qualifies.
    #[error("there is no version to roll back to")]
    Nothing {
        /// All candidates, with their reasons.
        skipped: Vec<Candidate>,
    },
    /// No stable tag qualifies.
    #[error("no stable tag qualifies")]
    NoStable {
        /// All stable tags, with their reasons.
        skipped: Vec<Candidate>,
    },
    /// No record has this position, or it put nothing in place.
    #[error("record #{0} deployed nothing here")]
    NoSuchRecord(Seq),
    /// The named state may not be taken.
    #[error("{} cannot be the target: {reason}", .candidate.name)]
    Refused {
        /// The candidate.
        candidate: Box<Candidate>,
        /// Why.
        reason: Reason,
    },
}

/// Chooses among candidates.
///
/// `deployments` are the states that served here, the most recent first, one per commit; `stable` the
/// tags that match the pattern, in any order. A name has been resolved to `named` before.
///
/// # Errors
/// See [`RequestError`].
pub fn resolve(
    request: &Request,
    deployments: &[Candidate],
    stable: &[(Rank, Candidate)],
    named: Option<Candidate>,
) -> Result<Resolution, RequestError> {
    match request {
        Request::LastGood => first(deployments.iter().cloned(), |c| usable(c, false))
            .ok_or_else(|| RequestError::Nothing { skipped: skipped(deployments.iter().cloned()) }),
        Request::Previous => first(deployments.iter().cloned(), |c| usable(c, true))
            .ok_or_else(|| RequestError::Nothing { skipped: skipped(deployments.iter().cloned()) }),
        Request::LastStable => {
            let mut tags = stable.to_vec();
            tags.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
            let tags: Vec<Candidate> = tags.into_iter().map(|(_, c)| c).collect();
            first(tags.iter().cloned(), |c| usable(c, false))
                .ok_or_else(|| RequestError::NoStable { skipped: skipped(tags.into_iter()) })
        }
        Request::Seq(seq) | Request::Number(seq) => deployments
            .iter()
            .find(|c| c.seq == Some(*seq))
            .cloned()
            .or(named)
            .ok_or(RequestError::NoSuchRecord(*seq))
            .and_then(by_name),
        Request::Named(_) => match named {
            Some(candidate) => by_name(candidate),
            None => Err(RequestError::Nothing { skipped: Vec::new() }),
        },
    }
}

/// The last good state where none served long enough, for when what serves fails: what was proven at all is better.
pub fn however_short(deployments: &[Candidate]) -> Option<Resolution> {
    let proven = |c: &Candidate| c.served.is_some_and(|served| served.proven);
    first(deployments.iter().cloned(), |c| usable(c, true) && proven(c))
}

/// A person who names a target overrides what would only have made us doubt: that it never served here,
/// was put there by hand, or served too short.
fn by_name(candidate: Candidate) -> Result<Resolution, RequestError> {
    match &candidate.standing {
        Standing::Skipped(reason) if !reason.is_doubt() => {
            let reason = reason.clone();
            Err(RequestError::Refused { candidate: Box::new(candidate), reason })
        }
        Standing::Skipped(_) | Standing::Serving | Standing::Next | Standing::Usable => {
            Ok(Resolution { chosen: candidate, skipped: Vec::new(), further: Vec::new() })
        }
    }
}

fn usable(candidate: &Candidate, however_short: bool) -> bool {
    match &candidate.standing {
        Standing::Usable | Standing::Next => true,
        Standing::Skipped(Reason::TooShort { .. } | Reason::TimeUnknown { .. }) => however_short,
        Standing::Serving | Standing::Skipped(_) => false,
    }
}

fn first(
    candidates: impl Iterator<Item = Candidate>,
    fits: impl Fn(&Candidate) -> bool,
) -> Option<Resolution> {
    let mut passed = Vec::new();
    let mut chosen: Option<Candidate> = None;
    let mut further: Vec<Candidate> = Vec::new();
    let taken = |chosen: &Option<Candidate>, further: &[Candidate], commit: &Option<Oid>| {
        chosen.iter().chain(further).any(|c| c.commit == *commit)
    };
    for candidate in candidates {
        if !fits(&candidate) {
            if chosen.is_none() && candidate.standing != Standing::Serving {
                passed.push(candidate);
            }
        } else if chosen.is_none() {
            chosen = Some(candidate);
        } else if !taken(&chosen, &further, &candidate.commit) {
            further.push(candidate);
        }
    }
    chosen.map(|chosen| Resolution { chosen, skipped: passed, further })
}

fn skipped(candidates: impl Iterator<Item = Candidate>) -> Vec<Candidate> {
    candidates.filter(|c| c.standing != Standing::Serving).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::target::{Needed, version_of};

    fn candidate(name: &str, digit: char, standing: Standing) -> Candidate {
        Candidate {
            name: name.to_owned(),
            commit: Some(digit.to_string().repeat(40).parse().unwrap()),
            tag: None,
            seq: None,
            served: None,
            moved: None,
            build: Needed::Nothing,
            unfit: None,
            standing,
        }
    }

    fn bad() -> Standing {
        Standing::Skipped(Reason::Bad { by: "#4".into() })
    }

    fn short() -> Standing {
        Standing::Skipped(Reason::TooShort { seconds: 5, wanted: 1800 })
    }

    fn stable(list: &[(&str, char, Standing)]) -> Vec<(Rank, Candidate)> {
        list.iter()
            .map(|(name, digit, standing)| {
                let rank = Rank { version: version_of(name, "*-stable"), last: None };
                (rank, candidate(name, *digit, standing.clone()))
            })
            .collect()
    }

    #[test]
    fn last_good_is_the_most_recent_that_qualifies() {
        let deployments = [
            candidate("v4", '4', Standing::Serving),
            candidate("v3", '3', bad()),
            candidate("v2", '2', short()),
            candidate("v1", '1', Standing::Usable),
            candidate("v0", '0', Standing::Usable),
        ];
        let found = resolve(&Request::LastGood, &deployments, &[], None).unwrap();
        assert_eq!(found.chosen.name, "v1");
        let names = |list: &[Candidate]| list.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found.skipped), ["v3", "v2"]);
        assert_eq!(names(&found.further), ["v0"]);
        let previous = resolve(&Request::Previous, &deployments, &[], None).unwrap();
        assert_eq!(previous.chosen.name, "v2");
    }

    #[test]
    fn last_stable_is_the_highest_version_that_qualifies_not_the_last_in_any_list() {
        let tags = stable(&[
            ("zzz-stable", 'f', Standing::Usable),
            ("v1.9.0-stable", '9', Standing::Usable),
            ("v1.10.0-stable", 'a', Standing::Usable),
            ("v2.0.0-stable", '2', Standing::Skipped(Reason::NeverServed)),
        ]);
        let found = resolve(&Request::LastStable, &[], &tags, None).unwrap();
        assert_eq!(found.chosen.name, "v1.10.0-stable");
        assert_eq!(found.skipped[0].name, "v2.0.0-stable");
    }

    #[test]
    fn a_name_overrides_doubt_but_not_a_verdict() {
        let named = |standing| {
            let candidate = candidate("v2.0.0-stable", '2', standing);
            resolve(&Request::Named("x".into()), &[], &[], Some(candidate))
        };
        assert!(named(Standing::Skipped(Reason::NeverServed)).is_ok());
        assert!(named(short()).is_ok());
        for refused in
            [bad(), Standing::Skipped(Reason::Lightweight), Standing::Skipped(Reason::UnsafeName)]
        {
            assert!(matches!(named(refused), Err(RequestError::Refused { .. })));
        }
    }

    #[test]
    fn requests_are_read_as_people_type_them() {
        let table = [
            ("last-good", Request::LastGood),
            ("last-stable", Request::LastStable),
            ("previous", Request::Previous),
            ("42", Request::Number(Seq(42))),
            ("#42", Request::Seq(Seq(42))),
            ("@42", Request::Seq(Seq(42))),
            ("v1.2.0-stable", Request::Named("v1.2.0-stable".into())),
            ("1234567", Request::Named("1234567".into())),
            ("0", Request::Named("0".into())),
        ];
        for (text, wanted) in table {
            assert_eq!(text.parse::<Request>().unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn when_nothing_is_left_every_reason_is_there() {
        let deployments = [candidate("v1", '1', Standing::Serving), candidate("v0", '0', bad())];
        match resolve(&Request::LastGood, &deployments, &[], None) {
            Err(RequestError::Nothing { skipped }) => assert_eq!(skipped.len(), 1),
            other => panic!("{other:?}"),
        }
    }
}
