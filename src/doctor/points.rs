//! The rollback points: whether they can be read tonight, and after this host is gone.

use super::examination::{Examination, quoted};
use crate::data::{KeyState, PointStore};
use crate::site::Site;

pub(super) fn examine(site: &Site, found: &mut Examination) {
    let store = PointStore::of(&site.binding);
    if !store.exists() {
        return;
    }
    let dir = store.repository().display().to_string();
    if let Err(error) = store.key() {
        found.problem("points", error.to_string(), None);
        return;
    }
    if store.key_state() == KeyState::OnlyHere {
        let what = format!(
            "the password of the points in {dir} is on this host only: with it they are lost"
        );
        found.problem("points", what, Some("gitroll point key export".to_owned()));
        return;
    }
    match store.read().and_then(|repository| repository.points()) {
        Ok(points) => {
            let bad = points.iter().find(|point| {
                point.verified.as_ref().is_some_and(|verified| !verified.problems.is_empty())
            });
            match bad {
                Some(point) => found.warning(
                    "points",
                    format!("{} was not good when it was verified", point.manifest.id),
                    Some(format!("gitroll point show {}", point.manifest.id)),
                ),
                None => found.fine("points", format!("{} in {dir}", points.len())),
            }
        }
        Err(error) => {
            let fix = quoted(&dir).map(|dir| format!("restic -r {dir} check"));
            found.problem("points", error.to_string(), fix);
        }
    }
}
