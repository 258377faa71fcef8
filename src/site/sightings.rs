//! When gitroll last saw what serves answer well, and when it first saw it fail since. Notes for people who ask since
//! when; no decision rests on them.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::bound::Site;
use crate::model::Oid;
use crate::system::{files, text};

/// Seen well again within this time changes nothing worth a write.
const SOON: Duration = Duration::from_secs(30);

/// What was seen of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings {
    /// The version that served.
    pub commit: Oid,
    /// When it was last seen well.
    pub well: Option<Timestamp>,
    /// When it was first seen failing since; `None` while it is well.
    pub failing: Option<Timestamp>,
}

impl Sightings {
    /// With what is seen now.
    fn and(self, healthy: bool, now: Timestamp) -> Self {
        match healthy {
            true => Self { well: Some(now), failing: None, ..self },
            false => Self { failing: self.failing.or(Some(now)), ..self },
        }
    }
}

/// Notes how what serves is seen now, and answers with all that is known. A directory that cannot be written to loses
/// the note and nothing else.
pub fn note_sighting(site: &Site, commit: &Oid, healthy: bool, now: Timestamp) -> Sightings {
    let path = path(site);
    let known: Option<Sightings> =
        files::read_state(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let known = known.filter(|known| known.commit == *commit);
    let recent = known.as_ref().is_some_and(|known| {
        known.failing.is_some() != healthy
            && (!healthy || known.well.is_some_and(|well| text::ago(well, now) < SOON))
    });
    let unseen = Sightings { commit: commit.clone(), well: None, failing: None };
    let seen = known.unwrap_or(unseen).and(healthy, now);
    if !recent {
        let bytes = serde_json::to_vec(&seen).unwrap_or_default();
        let _ = files::write_cache(&path, &bytes);
    }
    seen
}

fn path(site: &Site) -> PathBuf {
    site.git.state_dir().join("cache").join("seen-serving.json")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_counts_until_it_is_well_again() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let unseen =
            Sightings { commit: "a".repeat(40).parse().unwrap(), well: None, failing: None };
        let seen = unseen.and(true, at(10)).and(false, at(20)).and(false, at(30));
        assert_eq!((seen.well, seen.failing), (Some(at(10)), Some(at(20))));
        let seen = seen.and(true, at(40));
        assert_eq!((seen.well, seen.failing), (Some(at(40)), None));
    }
}
