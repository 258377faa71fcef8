//! What is done with the points there are: listed, tried out, restored into another place, kept or pruned.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::outcome::{RecordBrief, Status};
use super::point::{PointView, failed, host, open_to_write, record_missing, recorded, store};
use super::session::Session;
use crate::data::{
    DataError, Difference, Keeping, KeyState, Ruling, StoredPoint, Writing, differences,
    remember_artifacts, rule, try_out,
};
use crate::model::PointId;
use crate::system::clock;

/// One point with its record.
#[derive(Debug, Clone)]
pub struct PointShown {
    pub point: PointView,
    /// The record that states it; `None` if this host's chain has none.
    pub record: Option<RecordBrief>,
    /// Whether the record states what is stored; `None` without a record.
    pub as_recorded: Option<bool>,
    /// Every path in it with its bytes, where that was asked for.
    pub files: Vec<(String, u64)>,
}

/// What came of trying out one point.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Trial {
    /// Its name.
    pub id: PointId,
    /// It was restored, and not only read.
    pub restored: bool,
    /// What is wrong. Empty: it is good.
    pub problems: Vec<String>,
    /// What was not asked, and why.
    pub notes: Vec<String>,
    /// How long it took.
    pub took_millis: u64,
}

/// What a prune removes, or would.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Pruned {
    /// The points that go, the newest first.
    pub removed: Vec<PointId>,
    /// The points that stay, the newest first, each with why.
    pub kept: Vec<Kept>,
    /// The bytes that this frees.
    pub freed: u64,
}

/// A point that stays.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Kept {
    /// Its name.
    pub id: PointId,
    /// Why it stays.
    pub why: String,
}

/// How two points differ.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PointDiff {
    /// The first point.
    pub before: PointId,
    /// The second point.
    pub after: PointId,
    /// The files that differ.
    pub files: Vec<Difference>,
}

/// What was restored into another place.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RestoredInto {
    /// The point.
    pub id: PointId,
    /// The directory.
    pub into: PathBuf,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// All points, the oldest first.
///
/// # Errors
/// When they cannot be read. Where none was ever taken there are none.
pub fn list(caller: &Caller) -> Result<Vec<PointView>, Failure> {
    let session = Session::look(caller)?;
    let store = store(&session);
    if !store.exists() {
        return Ok(Vec::new());
    }
    let repository = store.read().map_err(failed)?;
    let points = repository.points().map_err(failed)?;
    Ok(points.iter().map(PointView::from).collect())
}

/// One point, with what its record states of it.
///
/// # Errors
/// When there is no such point, or it cannot be read.
pub fn show(caller: &Caller, id: &str, files: bool) -> Result<PointShown, Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    let repository = store(&session).read().map_err(failed)?;
    let point = named(&repository, id)?;
    let stated = recorded(&session, &facts)?.remove(&point.manifest.id);
    let files = if files { repository.files(&point).map_err(failed)? } else { Vec::new() };
    Ok(PointShown {
        as_recorded: stated
            .as_ref()
            .map(|(_, stated)| stated.tree == point.tree && stated.manifest == point.manifest),
        record: stated.map(|(record, _)| record),
        point: PointView::from(&point),
        files,
    })
}

/// Reads every stored byte of the points, or restores them into a scratch place and runs their checks.
///
/// # Errors
/// When they cannot be tried at all. What is wrong with one is its result.
pub fn verify(
    caller: &Caller,
    ids: &[String],
    restore: bool,
    mut told: impl FnMut(&Trial),
) -> Result<Vec<Trial>, Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    let host = host(&session, config);
    let repository = store(&session).read().map_err(failed)?;
    let points = match ids {
        [] => repository.points().map_err(failed)?,
        ids => ids.iter().map(|id| named(&repository, id)).collect::<Result<_, _>>()?,
    };
    session.heed_signals();
    caller.between_runs(Some("stopping; the points stay as they are"));
    let mut trials = Vec::new();
    for point in &points {
        let begun = Instant::now();
        let id = &point.manifest.id;
        caller.info(match restore {
            true => format!("restoring {id} into a scratch place"),
            false => format!("reading {id}"),
        });
        let mut problems = repository.check(point).map_err(failed)?;
        let mut notes = Vec::new();
        if restore && problems.is_empty() {
            let scratch = repository.scratch().map_err(failed)?;
            let tried = try_out(&repository, point, &host, config, &scratch);
            drop(std::fs::remove_dir_all(&scratch));
            let tried = tried.map_err(failed)?;
            problems.extend(tried.problems);
            notes.extend(tried.notes);
        }
        let noted = repository.note_verified(point, restore, problems.clone(), begun.elapsed());
        if let Err(error) = noted {
            caller.warn(format!("it is not noted that {id} was verified: {error}"));
        }
        let took_millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let trial = Trial { id: id.clone(), restored: restore, problems, notes, took_millis };
        told(&trial);
        trials.push(trial);
    }
    Ok(trials)
}

/// Removes the points that `[points] keep` does not keep.
///
/// # Errors
/// When they cannot be read or removed.
pub fn prune(caller: &Caller, plan_only: bool) -> Result<Pruned, Failure> {
    let session = match plan_only {
        true => Session::look(caller)?,
        false => Session::change(caller, "point")?,
    };
    let facts = session.facts()?;
    let store = store(&session);
    if !store.exists() {
        return Err(failed(DataError::NoRepository { dir: store.repository() }));
    }
    let repository = match plan_only {
        true => store.read().map_err(failed)?,
        false => store.write().map_err(failed)?,
    };
    let points = repository.points().map_err(failed)?;
    let keeping: Vec<Keeping> = points
        .iter()
        .map(|point| Keeping {
            id: point.manifest.id.clone(),
            taken: point.manifest.taken,
            pinned: point.pinned,
        })
        .collect();
    let keep = &facts.accepted.config.points.keep;
    let ruled = rule(&keeping, keep, clock::now(), &TimeZone::system());
    let goes = |id: &PointId| ruled.iter().any(|r: &Ruling| r.id == *id && r.kept.is_none());
    let going: Vec<&StoredPoint> =
        points.iter().rev().filter(|point| goes(&point.manifest.id)).collect();
    let freed = repository.freed_without(&going).map_err(failed)?;
    if !plan_only {
        record_missing(&session, &facts, &repository)?;
        if !going.is_empty() {
            repository.remove(&going).map_err(failed)?;
            let left = repository.points().map_err(failed)?;
            let state = session.site.state();
            remember_artifacts(&state, &left)
                .map_err(|error| Failure::unchanged(format!("{}: {error}", state.display())))?;
        }
    }
    let kept = ruled
        .iter()
        .filter_map(|ruling| Some(Kept { id: ruling.id.clone(), why: ruling.kept.clone()? }));
    Ok(Pruned {
        removed: going.iter().map(|point| point.manifest.id.clone()).collect(),
        kept: kept.collect(),
        freed,
    })
}

/// Keeps a point for ever, or no longer.
///
/// # Errors
/// When there is no such point.
pub fn pin(caller: &Caller, id: &str, pinned: bool) -> Result<PointView, Failure> {
    let session = Session::change(caller, "point")?;
    let existing = store(&session);
    if !existing.exists() {
        return Err(failed(DataError::NoRepository { dir: existing.repository() }));
    }
    let repository = open_to_write(&session)?;
    let point = named(&repository, id)?;
    repository.pin(&point, pinned).map_err(failed)?;
    Ok(PointView::from(&repository.point(&point.manifest.id).map_err(failed)?))
}

/// The files that differ between a point and another, the newest where none is named.
///
/// # Errors
/// When there is no such point.
pub fn diff(caller: &Caller, id: &str, other: Option<&str>) -> Result<PointDiff, Failure> {
    let session = Session::look(caller)?;
    let repository = store(&session).read().map_err(failed)?;
    let before = named(&repository, id)?;
    let after = match other {
        Some(other) => named(&repository, other)?,
        None => {
            let newest = repository.points().map_err(failed)?.pop();
            newest.ok_or_else(|| failed(DataError::NoSuchPoint { id: id.to_owned() }))?
        }
    };
    let files = differences(&repository, &before, &after).map_err(failed)?;
    Ok(PointDiff { before: before.manifest.id, after: after.manifest.id, files })
}

/// Restores a point, or the named paths in it, below an empty directory that is no part of the app.
///
/// # Errors
/// When the directory is not free, or something cannot be restored.
pub fn restore_into(
    caller: &Caller,
    id: &str,
    paths: &[String],
    into: &Path,
) -> Result<RestoredInto, Failure> {
    let session = Session::look(caller)?;
    let repository = store(&session).read().map_err(failed)?;
    let point = named(&repository, id)?;
    let place = empty_place(&session, into)?;
    let (files, bytes) = repository.restore(&point, paths, &place).map_err(|error| {
        failed(error).detail(format!("{} may hold a part of it", place.display()))
    })?;
    Ok(RestoredInto { id: point.manifest.id, into: place, files, bytes })
}

/// An empty directory of this user's, made where it is missing, outside the app and outside the points.
fn empty_place(session: &Session, into: &Path) -> Result<PathBuf, Failure> {
    let place = std::path::absolute(into)
        .map_err(|error| Failure::unchanged(format!("{}: {error}", into.display())))?;
    let refused = |problem| failed(DataError::Place { place: place.clone(), problem });
    // What is above it may be a link into the app.
    let above = place.ancestors().find_map(|above| std::fs::canonicalize(above).ok());
    let site = &session.site;
    let taken = [site.top().to_owned(), site.git.git_dir().to_owned(), store(session).dir];
    let taken = taken.iter().filter_map(|dir| std::fs::canonicalize(dir).ok());
    if taken.into_iter().any(|dir| above.as_ref().is_some_and(|above| above.starts_with(&dir))) {
        return Err(refused("is a part of the app or of the points: name another place"));
    }
    match std::fs::read_dir(&place) {
        Ok(mut entries) => match entries.next() {
            None => Ok(place),
            Some(_) => Err(refused("is not empty: name a new directory")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // The copies may hold secrets.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&place);
            made.map_err(|error| Failure::unchanged(format!("{}: {error}", place.display())))?;
            Ok(place)
        }
        Err(error) => Err(Failure::unchanged(format!("{}: {error}", place.display()))),
    }
}

/// The password of the points, for a person. It is noted who was shown it.
///
/// # Errors
/// When there is none; when it was shown before and `again` is not said.
pub fn export_key(caller: &Caller, again: bool) -> Result<String, Failure> {
    let session = Session::look(caller)?;
    session.must_be_owner()?;
    let store = store(&session);
    let key = store.key().map_err(failed)?;
    if store.key_state() == KeyState::Exported && !again {
        return Err(Failure::new(Status::Refused, "the password of the points was shown before")
            .next("gitroll point key export --again", "shows it once more"));
    }
    store.note_exported(&session.site.actor).map_err(failed)?;
    Ok(key.password().to_owned())
}

fn named(repository: &Writing, id: &str) -> Result<StoredPoint, Failure> {
    let parsed: PointId =
        id.parse().map_err(|_| failed(DataError::NoSuchPoint { id: id.to_owned() }))?;
    repository.point(&parsed).map_err(failed)
}
