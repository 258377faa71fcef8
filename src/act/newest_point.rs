//! Which point is the newest good one: for a rollback of everything, before some migrations, before a file changed.

use jiff::Timestamp;

use super::failure::Failure;
use super::point::{self, failed};
use super::session::Session;
use crate::config::{Config, Settings};
use crate::data::StoredPoint;
use crate::model::{Health, PointId, PointKind, PointManifest};
use crate::plan::deployed;
use crate::plan::facts::Facts;
use crate::plan::holds;

/// Why `last-good` does not take a point.
pub fn passed_over(
    session: &Session,
    facts: &Facts,
    manifest: &PointManifest,
    everything: bool,
) -> Option<String> {
    if manifest.writer != session.site.binding.writer {
        return Some(format!("taken by {}", manifest.writer));
    }
    if !manifest.is_sound() {
        return Some("evidence only: a copy in it failed its checks".to_owned());
    }
    if manifest.health != Health::Healthy {
        return Some(format!("the app was {} then", manifest.health.as_str()));
    }
    if manifest.kind == PointKind::BeforeBack {
        return Some("a rollback left it".to_owned());
    }
    if everything && manifest.commit == facts.serving.commit {
        return Some("it has the code that serves".to_owned());
    }
    let judged = holds::against(&session.site, facts, &manifest.commit);
    judged.ok().flatten().filter(|_| everything).map(|reason| reason.to_string())
}

/// The newest good point of a version that has none of these migrations.
pub fn before_migrations(session: &Session, facts: &Facts, names: &[String]) -> Option<PointId> {
    if names.is_empty() || facts.accepted.config.data.is_empty() {
        return None;
    }
    let (site, serving) = (&session.site, &facts.serving.commit);
    let fits = |point: &StoredPoint| {
        let commit = &point.manifest.commit;
        let crossed = || deployed::migrations(site, facts, serving, commit).ok();
        passed_over(session, facts, &point.manifest, true).is_none()
            && site.git.has(commit)
            && crossed().is_some_and(|all| names.iter().all(|name| all.names.contains(name)))
    };
    let points = points(session).ok()?;
    points.into_iter().rev().find(fits).map(|point| point.manifest.id)
}

/// The newest good point that holds these settings as they were before then.
pub fn of_settings(
    session: &Session,
    facts: &Facts,
    settings: &Settings,
    before: Option<Timestamp>,
) -> Option<PointId> {
    let place = format!("settings/{}", settings.name);
    let fits = |point: &StoredPoint| {
        let manifest = &point.manifest;
        manifest.items.iter().any(|item| item.place == place)
            && before.is_none_or(|before| manifest.taken < before)
            && passed_over(session, facts, manifest, false).is_none()
    };
    let points = points(session).ok()?;
    points.into_iter().rev().find(fits).map(|point| point.manifest.id)
}

/// The settings that a file of the tree belongs to.
pub fn settings_of<'c>(session: &Session, config: &'c Config, path: &str) -> Option<&'c Settings> {
    let host = point::host(session, config);
    let file = session.site.top().join(path);
    config.settings.iter().find(|settings| {
        settings.paths.iter().any(|declared| file.starts_with(host.path(declared)))
    })
}

fn points(session: &Session) -> Result<Vec<StoredPoint>, Failure> {
    let store = point::store(session);
    if !store.exists() {
        return Ok(Vec::new());
    }
    store.read().and_then(|repository| repository.points()).map_err(failed)
}
