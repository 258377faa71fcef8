//! Taking a rollback point, and saying what is stored in those there are.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::{Failure, SAME_COMMAND};
use super::outcome::{RecordBrief, Status};
use super::session::Session;
use super::statement::{check_reason, state_with, statement};
use crate::config::{BeforeDeploy, Config};
use crate::data::{
    Copies, CopyJob, DataError, Host, KeyState, PointStore, StoredPoint, Verified, Writing, copies,
    copy_away, remember_artifacts,
};
use crate::engine;
use crate::ledger::{self, Entry};
use crate::model::{
    BuildKey, DataName, Event, Health, Oid, Plan, PointEvidence, PointId, PointKind, PointManifest,
    Served,
};
use crate::plan::compose::file_of;
use crate::plan::facts::Facts;
use crate::site::Observed;
use crate::system::clock;

/// A point to be taken.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    pub reason: Option<String>,
    /// Never prune it.
    pub pin: bool,
    pub labels: BTreeMap<String, String>,
}

/// A point as it is told.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PointView {
    /// What it holds.
    pub manifest: PointManifest,
    /// Whether every copy passed its own checks: otherwise it is evidence only.
    pub sound: bool,
    /// It is never pruned.
    pub pinned: bool,
    /// The bytes that it added to the repository.
    pub added: Option<u64>,
    /// Its snapshot, as restic names it.
    pub snapshot: String,
    /// The digest of all that is stored in it, as its record states it.
    pub tree: String,
    /// The last trial.
    pub verified: Option<Verified>,
    /// When it was copied away by `[points] offsite`.
    #[schemars(with = "Option<String>")]
    pub offsite: Option<Timestamp>,
}

impl From<&StoredPoint> for PointView {
    fn from(point: &StoredPoint) -> Self {
        Self {
            manifest: point.manifest.clone(),
            sound: point.manifest.is_sound(),
            pinned: point.pinned,
            added: point.added,
            snapshot: point.snapshot.clone(),
            tree: point.tree.clone(),
            verified: point.verified.clone(),
            offsite: point.offsite,
        }
    }
}

/// A point that was just taken.
#[derive(Debug, Clone)]
pub struct PointTaken {
    pub point: PointView,
    /// Its record.
    pub record: RecordBrief,
    /// Whether no person was shown the password yet.
    pub key_only_here: bool,
}

/// Takes a point of what `[data]` and `[settings]` declare. Others may act meanwhile: a rollback never waits for a copy.
///
/// # Errors
/// When nothing is declared, or something cannot be copied: then there is no point. When it is stored but could not be
/// recorded.
pub fn create(caller: &Caller, request: &CreateRequest) -> Result<PointTaken, Failure> {
    check_reason(request.reason.as_deref())?;
    let session = Session::change(caller, "point")?;
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    if !declares_something(config) {
        return Err(nothing_declared());
    }
    let repository = open_to_write(&session)?;
    record_missing(&session, &facts, &repository)?;
    let site = &session.site;
    let observed = Observed::now(site, config, &facts.serving, &facts.deployment(site));
    session.heed_signals();
    caller.between_runs(Some("stopping; no point is made"));
    let wanted = Wanted {
        kind: PointKind::Manual,
        reason: request.reason.clone(),
        labels: request.labels.clone(),
        serving: &facts.serving,
        observed: &observed,
    };
    let id = session.letting_others_in(|| take(&session, &facts, &repository, &wanted))?;
    let point = repository.point(&id).map_err(failed)?;
    if request.pin {
        repository.pin(&point, true).map_err(failed)?;
    }
    let taken = concluded(&session, &repository, &id)?;
    drop(repository);
    session.letting_others_in(|| copied_away(&session, config, taken))
}

/// Copies the points away, where `[points] offsite` says how.
///
/// # Errors
/// When they were not: the point is on this host only.
fn copied_away(
    session: &Session,
    config: &Config,
    mut taken: PointTaken,
) -> Result<PointTaken, Failure> {
    if config.points.offsite.is_empty() {
        return Ok(taken);
    }
    let store = store(session);
    session.caller.info("copying the points away");
    let copied = copy_away(&host(session, config), &config.points.offsite, &store);
    copied.map_err(|error| {
        failed(error)
            .detail(format!("{} is stored on this host only", taken.point.manifest.id))
            .next("gitroll point list", "shows which points were copied away")
    })?;
    taken.point.offsite = store.offsite().filter(|at| taken.point.manifest.taken <= *at);
    Ok(taken)
}

/// Takes a point of one database from a copy that was made elsewhere.
///
/// # Errors
/// As [`create`]; when the copy is none of such a database.
pub fn import(
    caller: &Caller,
    name: &str,
    file: &Path,
    request: &CreateRequest,
) -> Result<PointTaken, Failure> {
    check_reason(request.reason.as_deref())?;
    let session = Session::change(caller, "point")?;
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    let Some(source) = config.data.iter().find(|source| source.name.as_str() == name) else {
        let known: Vec<&str> = config.data.iter().map(|source| source.name.as_str()).collect();
        let failure = Failure::unchanged(format!("there is no [data.{name}]"));
        return Err(match known.is_empty() {
            true => nothing_declared(),
            false => failure.detail(format!("declared: {}", known.join(", "))),
        });
    };
    let repository = open_to_write(&session)?;
    record_missing(&session, &facts, &repository)?;
    let host = host(&session, config);
    let scratch = repository.scratch().map_err(failed)?;
    let job = CopyJob { host: &host, config, scratch, rescue: false };
    let copied = Copies::imported(&job, source, file).map_err(failed)?;
    let manifest = manifest(
        &session,
        &facts,
        &repository,
        Described {
            kind: PointKind::Imported,
            reason: request.reason.clone(),
            labels: request.labels.clone(),
            serving: &facts.serving,
            health: None,
        },
        &copied,
    )?;
    repository.add(&manifest, copied.roots).map_err(failed)?;
    if request.pin {
        let point = repository.point(&manifest.id).map_err(failed)?;
        repository.pin(&point, true).map_err(failed)?;
    }
    concluded(&session, &repository, &manifest.id)
}

/// Takes the point that a deploy takes first, where `[points] before_deploy` and what it changes call for one. The lock
/// stays held: nothing else may change between the point and the deploy.
///
/// # Errors
/// When there is no whole point. Nothing was changed.
pub(super) fn before_deploy(
    session: &Session,
    facts: &Facts,
    plan: &Plan,
    observed: &Observed,
) -> Result<(), Failure> {
    let config = &facts.accepted.config;
    let wanted = match config.points.before_deploy {
        BeforeDeploy::Never => false,
        BeforeDeploy::Always => true,
        BeforeDeploy::Migrations => crosses_a_migration(session, config, plan)?,
    };
    if !wanted || !declares_something(config) || plan.event != Event::Deploy {
        return Ok(());
    }
    let told = |failure: Failure| {
        let mut failure = failure.of_a_part();
        failure.status = Status::Unchanged;
        failure.message = format!("no point before this deploy: {}", failure.message);
        let command = format!("gitroll deploy {} --no-point", plan.to.commit.short());
        failure.nothing_changed().next(command, "deploys without a point")
    };
    let wanted = Wanted {
        kind: PointKind::BeforeDeploy,
        reason: Some(format!("before {}", plan.to)),
        labels: BTreeMap::new(),
        serving: &plan.from,
        observed,
    };
    let taken = taken_under_lock(session, facts, &wanted).map_err(told)?;
    let manifest = &taken.point.manifest;
    if let Some(item) = manifest.items.iter().find(|item| !item.problems.is_empty()) {
        let problem = item.problems.first().map_or("", String::as_str);
        let what = format!("{}: {}: {problem}", manifest.id, item.name);
        let command = format!("gitroll point show {}", manifest.id);
        return Err(told(Failure::unchanged(what).next(command, "shows all that is wrong")));
    }
    session.caller.info(format!(
        "point {} taken: {}",
        manifest.id,
        manifest.items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>().join(", ")
    ));
    if taken.key_only_here {
        session
            .caller
            .warn("the password of the points is only on this host: gitroll point key export");
    }
    Ok(())
}

/// Takes a point before migrations run down, and copies it away, where `[points] offsite` says how: scripts change the
/// database itself, and its copy must not lie on this host only.
///
/// # Errors
/// When there is no such point, or it was not copied away. Nothing was changed.
pub(super) fn before_migrating(
    session: &Session,
    facts: &Facts,
    plan: &Plan,
    observed: &Observed,
) -> Result<(), Failure> {
    let config = &facts.accepted.config;
    let Some(step) = plan.migrates().filter(|_| copies_first(config, plan)) else { return Ok(()) };
    let wanted = Wanted {
        kind: PointKind::BeforeBack,
        reason: Some(format!("before {} is reverted", step.names().join(", "))),
        labels: BTreeMap::new(),
        serving: &plan.from,
        observed,
    };
    let stored = || -> Result<PointId, Failure> {
        let repository = open_to_write(session)?;
        let id = take(session, facts, &repository, &wanted)?;
        // The way back is not barred by a record that cannot be written now: the next point writes it.
        if let Err(failure) = concluded(session, &repository, &id) {
            session.caller.warn(failure.message);
        }
        drop(repository);
        let store = store(session);
        copy_away(&host(session, config), &config.points.offsite, &store).map_err(failed)?;
        Ok(id)
    };
    let id = stored().map_err(Failure::nothing_changed)?;
    session.caller.info(format!("point {id} taken and copied away"));
    Ok(())
}

/// Whether a point is taken and copied away before a plan takes migrations back.
pub(super) fn copies_first(config: &Config, plan: &Plan) -> bool {
    plan.migrates().is_some()
        && plan.full.is_none()
        && !config.points.offsite.is_empty()
        && declares_something(config)
}

fn taken_under_lock(
    session: &Session,
    facts: &Facts,
    wanted: &Wanted<'_>,
) -> Result<PointTaken, Failure> {
    let repository = open_to_write(session)?;
    record_missing(session, facts, &repository)?;
    let id = take(session, facts, &repository, wanted)?;
    concluded(session, &repository, &id)
}

/// Whether the tree that is left and the one that comes differ in a migration.
fn crosses_a_migration(session: &Session, config: &Config, plan: &Plan) -> Result<bool, Failure> {
    let git = &session.site.git;
    let theirs = file_of(&session.site, &plan.to.commit)?;
    let theirs = theirs.and_then(|text| crate::config::parse(&text, "gitroll.toml").ok());
    let changes = git.changes(&plan.from.commit, &plan.to.commit)?;
    Ok(changes.iter().any(|change| {
        config.migrate.paths.matches(&change.path)
            || theirs.as_ref().is_some_and(|theirs| theirs.migrate.paths.matches(&change.path))
    }))
}

/// What is to be taken.
struct Wanted<'a> {
    kind: PointKind,
    reason: Option<String>,
    labels: BTreeMap<String, String>,
    /// What serves.
    serving: &'a Served,
    /// How it is.
    observed: &'a Observed,
}

/// Copies everything and writes the point. Its name.
fn take(
    session: &Session,
    facts: &Facts,
    repository: &Writing,
    wanted: &Wanted<'_>,
) -> Result<PointId, Failure> {
    let config = &facts.accepted.config;
    let host = host(session, config);
    let scratch = repository.scratch().map_err(failed)?;
    let job = CopyJob { host: &host, config, scratch, rescue: false };
    let told = |name: &DataName| session.caller.info(format!("copying {name}"));
    let copied = copies(&job, told).map_err(failed)?;
    let health = match moved_meanwhile(session, facts)? {
        true => (Health::Unknown, vec!["the version changed while it was taken".to_owned()]),
        false => health(wanted.observed),
    };
    let described = Described {
        kind: wanted.kind,
        reason: wanted.reason.clone(),
        labels: wanted.labels.clone(),
        serving: wanted.serving,
        health: Some(health),
    };
    let manifest = manifest(session, facts, repository, described, &copied)?;
    repository.add(&manifest, copied.roots).map_err(failed)?;
    // It would be removed by the next command as well.
    drop(std::fs::remove_dir_all(&job.scratch));
    Ok(manifest.id)
}

fn moved_meanwhile(session: &Session, facts: &Facts) -> Result<bool, Failure> {
    let head = session.site.git.head()?;
    let own = session.command().is_some();
    // Without the lock someone else may be in the middle of a run.
    let others = !own && !engine::open_runs(&session.site)?.is_empty();
    Ok(head.commit != facts.head.commit || others)
}

/// How what serves was observed, as a point states it.
pub(super) fn health(observed: &Observed) -> (Health, Vec<String>) {
    if observed.checks.is_empty() && observed.services.is_empty() {
        return (Health::Unknown, Vec::new());
    }
    match observed.healthy() {
        true => (Health::Healthy, Vec::new()),
        false => (Health::Failing, observed.faults()),
    }
}

/// What a manifest says besides what was copied.
struct Described<'a> {
    kind: PointKind,
    reason: Option<String>,
    labels: BTreeMap<String, String>,
    serving: &'a Served,
    /// `None`: what was copied is not of this moment.
    health: Option<(Health, Vec<String>)>,
}

fn manifest(
    session: &Session,
    facts: &Facts,
    repository: &Writing,
    described: Described<'_>,
    copied: &Copies,
) -> Result<PointManifest, Failure> {
    let site = &session.site;
    let stored = repository.points().map_err(failed)?.into_iter();
    let stored = stored.map(|point| point.manifest.id.number()).max().unwrap_or(0);
    // Points that were pruned keep their names.
    let recorded = recorded(session, facts)?.into_keys().map(|id| id.number()).max().unwrap_or(0);
    let (health, faults) = described.health.unwrap_or((Health::Unknown, Vec::new()));
    Ok(PointManifest {
        point: PointManifest::VERSION,
        id: PointId::of(stored.max(recorded) + 1),
        kind: described.kind,
        taken: clock::now(),
        reason: described.reason,
        labels: described.labels,
        app: site.binding.app.clone(),
        environment: site.binding.environment.clone(),
        writer: site.binding.writer.clone(),
        commit: described.serving.commit.clone(),
        name: described.serving.name.clone(),
        artifacts: artifacts_of(session, facts, &described.serving.commit)?,
        health,
        faults,
        items: copied.items.clone(),
    })
}

/// The keys of the built directories that a commit last served with.
///
/// # Errors
/// When its record cannot be read.
pub(super) fn artifacts_of(
    session: &Session,
    facts: &Facts,
    commit: &Oid,
) -> Result<Vec<BuildKey>, Failure> {
    let Some(entry) = facts.last_record_of(&session.site, commit) else { return Ok(Vec::new()) };
    let evidence = ledger::evidence(&session.site.git, entry)?;
    Ok(evidence.artifacts.into_iter().map(|artifact| artifact.key).collect())
}

/// Records the point that was written, and tells about it.
fn concluded(session: &Session, repository: &Writing, id: &PointId) -> Result<PointTaken, Failure> {
    let unrecorded = |failure: Failure| {
        let mut failure = failure.of_a_part();
        failure.status = Status::Unrecorded;
        failure.message = format!("point {id} is stored, but not recorded: {}", failure.message);
        failure.next("gitroll point prune", "records it, as the next point does")
    };
    session.be_at_work().map_err(unrecorded)?;
    let facts = session.facts().map_err(unrecorded)?;
    let recorded = record_missing(session, &facts, repository).map_err(unrecorded)?;
    let point = repository.point(id).map_err(failed)?;
    let entry =
        recorded.get(id).ok_or_else(|| Failure::unchanged(format!("{id} has no record")))?;
    Ok(PointTaken {
        record: RecordBrief { seq: entry.record.seq, digest: entry.digest },
        key_only_here: repository.store().key_state() == KeyState::OnlyHere,
        point: PointView::from(&point),
    })
}

/// Records each stored point of this writer that has no record yet. The records that were written.
///
/// # Errors
/// When one cannot be written.
pub(super) fn record_missing(
    session: &Session,
    facts: &Facts,
    repository: &Writing,
) -> Result<BTreeMap<PointId, Entry>, Failure> {
    let site = &session.site;
    let points = repository.points().map_err(failed)?;
    if let Err(error) = remember_artifacts(&site.state(), &points) {
        return Err(Failure::unchanged(format!("{}: {error}", site.state().display())));
    }
    let known = recorded(session, facts)?;
    let mut written = BTreeMap::new();
    for point in points {
        let manifest = &point.manifest;
        if manifest.writer != site.binding.writer || known.contains_key(&manifest.id) {
            continue;
        }
        // Each record names the one before it.
        let facts = session.facts()?;
        let entry = record(session, &facts, &point)?;
        written.insert(manifest.id.clone(), entry);
    }
    Ok(written)
}

fn record(session: &Session, facts: &Facts, point: &StoredPoint) -> Result<Entry, Failure> {
    let manifest = &point.manifest;
    let mut record = statement(session, Event::Point);
    record.subject = Some(manifest.commit.clone());
    record.reason = manifest.reason.clone();
    let items: Vec<&str> = manifest.items.iter().map(|item| item.name.as_str()).collect();
    let how = match (manifest.is_sound(), manifest.health) {
        (false, _) => "evidence only".to_owned(),
        (true, health) => format!("{} then", health.as_str()),
    };
    record.sentence = format!(
        "{} {}: point {} of {} ({}), {how}",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        manifest.id,
        items.join(", "),
        manifest.name,
    );
    let stated = PointEvidence { manifest: manifest.clone(), tree: point.tree.clone() };
    state_with(session, facts, record, |evidence| evidence.point = Some(stated))
}

/// The points that the own chain records, each with its record's number and what it states.
///
/// # Errors
/// When evidence cannot be read.
pub(super) fn recorded(
    session: &Session,
    facts: &Facts,
) -> Result<BTreeMap<PointId, (RecordBrief, PointEvidence)>, Failure> {
    let site = &session.site;
    let mut found = BTreeMap::new();
    for entry in facts.own(site).iter().filter(|entry| entry.record.event == Event::Point) {
        if let Some(point) = ledger::evidence(&site.git, entry)?.point {
            let brief = RecordBrief { seq: entry.record.seq, digest: entry.digest };
            found.insert(point.manifest.id.clone(), (brief, point));
        }
    }
    Ok(found)
}

/// Whether there is anything that a point would hold.
pub(super) fn declares_something(config: &Config) -> bool {
    !config.data.is_empty() || !config.settings.is_empty()
}

fn nothing_declared() -> Failure {
    Failure::unchanged("gitroll.toml declares no [data.NAME] and no [settings.NAME]")
        .detail("a point holds what they declare; the code is in git anyway")
        .next("gitroll init", "accepts a gitroll.toml that you edited")
}

/// Where the data is.
pub(super) fn host(session: &Session, config: &Config) -> Host {
    Host::of(&session.site.binding, session.site.top(), config.points.max_time)
}

/// The points of this checkout.
pub(super) fn store(session: &Session) -> PointStore {
    PointStore::of(&session.site.binding)
}

pub(super) fn open_to_write(session: &Session) -> Result<Writing, Failure> {
    store(session).write().map_err(failed)
}

/// What to do about an error of the points.
pub(super) fn failed(error: DataError) -> Failure {
    let message = error.to_string();
    let path = |path: &Path| path.display().to_string();
    match error {
        DataError::NoRepository { .. } => {
            Failure::unchanged(message).next("gitroll point create", "takes the first point")
        }
        DataError::NoSuchPoint { .. } => {
            Failure::unchanged(message).next("gitroll point list", "shows the points")
        }
        DataError::NoSuchPath { point, .. } => Failure::unchanged(message)
            .next(format!("gitroll point show {point} --files"), "lists what is in it"),
        DataError::PasswordMissing { file } => Failure::unchanged(message)
            .detail("without it nobody can read the points: write the exported password into this file, mode 600")
            .next(format!("install -m 600 /dev/null {}", path(&file)), "makes the file; then edit it"),
        DataError::PasswordUnwritable { file, .. } => Failure::unchanged(message)
            .and_nothing_changed()
            .next(
                format!("sudo install -m 600 -o \"$(id -un)\" /dev/null {}", path(&file)),
                "makes a file that this user may write",
            ),
        DataError::PasswordUnsafe { file, .. } => Failure::refused(message)
            .next(format!("chmod 600 {}", path(&file)), "keeps it to its owner"),
        DataError::WrongPassword { .. } => Failure::unchanged(message)
            .detail("write the exported password of this repository into the file"),
        DataError::Busy { .. } => Failure::new(Status::Busy, message)
            .next(SAME_COMMAND, "try again when it ended"),
        DataError::LockedByRestic { .. } => Failure::new(Status::Busy, message)
            .detail("wait until restic ended; a lock that was left behind goes after 30 min, or with restic unlock"),
        DataError::Repository { dir, .. } => Failure::unchanged(message).next(
            format!("restic -r {} check", path(&dir)),
            "examines it; gitroll point verify --all says which points are good",
        ),
        DataError::NoSpace { .. } => Failure::unchanged(message)
            .and_nothing_changed()
            .next("gitroll point prune --plan", "shows what could go"),
        DataError::Stopped | DataError::Offsite { .. } => Failure::unchanged(message),
        DataError::Item { .. } | DataError::Place { .. } | DataError::Io { .. } => {
            Failure::unchanged(message)
        }
    }
}
