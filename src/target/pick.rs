//! From a request to a target.

use std::str::FromStr;

use super::candidate::{Candidate, Needed, Reason, Standing};
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

/// How far is looked for others, should the chosen one fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// So many at most.
    pub further: usize,
    /// As far as it takes to find one that needs no build.
    pub until_kept: bool,
}

impl Default for Reach {
    fn default() -> Self {
        Self { further: 10, until_kept: false }
    }
}

/// Chooses among candidates, which are judged as they are asked for.
///
/// `candidates` are the states that served here, the most recent first, one per commit; for `last-stable` the
/// tags that match the pattern, the highest rank first. A name or a record has been resolved to `named` before.
///
/// # Errors
/// See [`RequestError`].
pub fn resolve(
    request: &Request,
    mut candidates: impl Iterator<Item = Candidate>,
    named: Option<Candidate>,
    reach: Reach,
) -> Result<Resolution, RequestError> {
    let mut find =
        |however_short: bool| first(&mut candidates, |c| usable(c, however_short), reach);
    match request {
        Request::LastGood => find(false).map_err(|skipped| RequestError::Nothing { skipped }),
        Request::Previous => find(true).map_err(|skipped| RequestError::Nothing { skipped }),
        Request::LastStable => find(false).map_err(|skipped| RequestError::NoStable { skipped }),
        Request::Seq(seq) | Request::Number(seq) => {
            named.ok_or(RequestError::NoSuchRecord(*seq)).and_then(by_name)
        }
        Request::Named(_) => match named {
            Some(candidate) => by_name(candidate),
            None => Err(RequestError::Nothing { skipped: Vec::new() }),
        },
    }
}

/// The last good state where none served long enough, for when what serves fails: what was proven or adopted at all is
/// better.
pub fn however_short(deployments: impl Iterator<Item = Candidate>) -> Option<Resolution> {
    first(deployments, |c| usable(c, true) && was_well(c), Reach::default()).ok()
}

/// The last good state of those that failed when they were tried, for when nothing else is left: what was around it may
/// be mended by now.
pub fn even_tried(
    deployments: impl Iterator<Item = Candidate>,
    reach: Reach,
) -> Option<Resolution> {
    let tried = |c: &Candidate| {
        matches!(c.standing, Standing::Skipped(Reason::FailedWhenTried { .. })) || usable(c, true)
    };
    first(deployments, |c| tried(c) && was_well(c), reach).ok()
}

/// Whether a run or a person saw it serve.
fn was_well(candidate: &Candidate) -> bool {
    candidate.served.is_some_and(|served| served.proven || served.adopted)
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

/// The first that fits, with those passed over before it and further ones; all that were passed over, where none does.
fn first(
    candidates: impl Iterator<Item = Candidate>,
    fits: impl Fn(&Candidate) -> bool,
    reach: Reach,
) -> Result<Resolution, Vec<Candidate>> {
    let mut passed = Vec::new();
    let mut chosen: Option<Candidate> = None;
    let mut further: Vec<Candidate> = Vec::new();
    let enough = |chosen: &Option<Candidate>, further: &[Candidate]| {
        let mut taken = chosen.iter().chain(further);
        let kept = !reach.until_kept || taken.any(|c| c.build == Needed::Nothing);
        chosen.is_some() && further.len() >= reach.further && kept
    };
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
        if enough(&chosen, &further) {
            break;
        }
    }
    match chosen {
        Some(chosen) => Ok(Resolution { chosen, skipped: passed, further }),
        None => Err(passed),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::target::{ServedHere, by_rank, version_of};

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

    fn find(request: &Request, among: &[Candidate]) -> Result<Resolution, RequestError> {
        resolve(request, among.iter().cloned(), None, Reach::default())
    }

    fn stable(list: &[(&str, char, Standing)]) -> Vec<Candidate> {
        let tags = list.iter().enumerate();
        let ranked = tags.map(|(at, (name, ..))| (version_of(name, "*-stable"), *name, at));
        let order = by_rank(ranked.collect(), |name| name, |_| None);
        let of = |at: usize| candidate(list[at].0, list[at].1, list[at].2.clone());
        order.into_iter().map(of).collect()
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
        let found = find(&Request::LastGood, &deployments).unwrap();
        assert_eq!(found.chosen.name, "v1");
        let names = |list: &[Candidate]| list.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found.skipped), ["v3", "v2"]);
        assert_eq!(names(&found.further), ["v0"]);
        let previous = find(&Request::Previous, &deployments).unwrap();
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
        let found = find(&Request::LastStable, &tags).unwrap();
        assert_eq!(found.chosen.name, "v1.10.0-stable");
        assert_eq!(found.skipped[0].name, "v2.0.0-stable");
    }

    #[test]
    fn a_name_overrides_doubt_but_not_a_verdict() {
        let named = |standing| {
            let candidate = candidate("v2.0.0-stable", '2', standing);
            let none = std::iter::empty();
            resolve(&Request::Named("x".into()), none, Some(candidate), Reach::default())
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
    fn no_more_is_judged_than_it_takes() {
        let judged = std::cell::Cell::new(0);
        let usable = |number: usize, build| Candidate {
            build,
            commit: Some(format!("{number:040x}").parse().unwrap()),
            ..candidate("v", '0', Standing::Usable)
        };
        let find = |kept_at: usize, reach| {
            judged.set(0);
            let deployments = (0..1000).map(|number| {
                judged.set(judged.get() + 1);
                let build = vec!["build".to_owned()];
                let kept = number == kept_at;
                usable(number, if kept { Needed::Nothing } else { Needed::Build(build) })
            });
            resolve(&Request::LastGood, deployments, None, reach).unwrap()
        };
        let found = find(0, Reach { further: 2, until_kept: false });
        assert_eq!((found.further.len(), judged.get()), (2, 3));
        let found = find(7, Reach { further: 2, until_kept: true });
        assert_eq!((found.further.len(), judged.get()), (7, 8));
    }

    #[test]
    fn the_last_resort_is_what_a_run_proved_or_a_person_accepted() {
        let served = |proven, adopted| ServedHere {
            seconds: 60,
            and_unknown: false,
            last: "2026-03-01T00:00:00Z".parse().unwrap(),
            proven,
            adopted,
            ran: !proven && !adopted,
            reflog: false,
        };
        let tried = || Standing::Skipped(Reason::FailedWhenTried { by: "#5".into() });
        let deployments = [
            candidate("v4", '4', Standing::Serving),
            Candidate { served: Some(served(false, false)), ..candidate("v3", '3', tried()) },
            Candidate { served: Some(served(true, false)), ..candidate("v2", '2', bad()) },
            Candidate { served: Some(served(false, true)), ..candidate("v1", '1', tried()) },
            Candidate { served: Some(served(true, false)), ..candidate("v0", '0', tried()) },
        ];
        let found = even_tried(deployments.iter().cloned(), Reach::default()).unwrap();
        assert_eq!(found.chosen.name, "v1");
        assert_eq!(found.further.first().map(|c| c.name.as_str()), Some("v0"));
        assert!(however_short(deployments.iter().cloned()).is_none());
    }

    #[test]
    fn when_nothing_is_left_every_reason_is_there() {
        let deployments = [candidate("v1", '1', Standing::Serving), candidate("v0", '0', bad())];
        match find(&Request::LastGood, &deployments) {
            Err(RequestError::Nothing { skipped }) => assert_eq!(skipped.len(), 1),
            other => panic!("{other:?}"),
        }
    }
}
