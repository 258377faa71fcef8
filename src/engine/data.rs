//! Data and settings as steps of a run: the copy of now, what is restored beside what is live, the exchange, and its
//! undoing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::error::StepError;
use super::output::Effect;
use super::run::Run;
use crate::config::{ApplySettings, Config, FilePlace, Settings};
use crate::data::{
    Bringing, CopyJob, DataError, Declared, Host, PointStore, StoredPoint, Writing, copies,
    copy_away, run_command,
};
use crate::model::{
    BroughtBack, DataName, FullPlan, ItemBack, ItemSection, ItemSource, Narration, Narrator,
    PointId, PointKind, PointManifest, RUN_LABEL, RepoPath, RunId, Step, mark_of,
};
use crate::site::Site;
use crate::system::signals::Until;
use crate::system::{clock, files};

/// How long another command that works on the points is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Below gitroll's own state: what runs put aside of data and settings, by run.
const KEPT: &str = "kept";

/// The runs that keep data that they replaced, the oldest first.
pub fn runs_that_keep_data(site: &Site) -> Vec<RunId> {
    let entries = std::fs::read_dir(site.state().join(KEPT)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut runs: Vec<RunId> = names.filter_map(|name| name.parse().ok()).collect();
    runs.sort_by_key(|run| run.to_string());
    runs
}

/// Where a run keeps what it exchanges.
pub fn kept_dir(site: &Site, run: &RunId) -> PathBuf {
    site.state().join(KEPT).join(run.as_str())
}

/// Takes a point of what is there, with what writes stopped, and copies it away where that is declared. What cannot be
/// copied is evidence of what was wrong, and forbids nothing.
pub(super) fn copy(
    site: &Site,
    run: &Run,
    config: &Config,
    narrator: &mut Narrator<'_>,
) -> Result<Effect, StepError> {
    let full = full(run)?;
    let host = host(site, config, Until::Stopped);
    let store = PointStore::of(&site.binding);
    let repository = patiently(|| store.write())?;
    let id = match copy_of(&repository, &run.id)? {
        Some(point) => point.manifest.id,
        None => take(run, (config, full), (&host, &repository), narrator)?,
    };
    let mut output = vec![format!("point {id}")];
    drop(repository);
    let commands = copy_away(&host, &config.points.offsite, &store)?;
    output.extend(commands.into_iter().map(|command| format!("offsite: {command}")));
    Ok(Effect { output, point: Some(id), ..Effect::default() })
}

fn take(
    run: &Run,
    (config, full): (&Config, &FullPlan),
    (host, repository): (&Host, &Writing),
    narrator: &mut Narrator<'_>,
) -> Result<PointId, StepError> {
    let scratch = repository.scratch()?;
    let job = CopyJob { host, config, scratch, rescue: true };
    let copied =
        copies(&job, |name| narrator(Narration::Output { line: format!("copying {name}") }))?;
    let copy = full.copy.as_ref().ok_or(StepError::NoFullPlan)?;
    let stored = repository.points()?.into_iter().map(|point| point.manifest.id.number()).max();
    let plan = &run.plan;
    let manifest = PointManifest {
        point: PointManifest::VERSION,
        id: PointId::of(stored.unwrap_or(0).max(copy.after) + 1),
        kind: PointKind::BeforeBack,
        taken: clock::now(),
        reason: Some(format!("before {} went back", what(full))),
        labels: [(RUN_LABEL.to_owned(), run.id.to_string())].into(),
        app: plan.app.clone(),
        environment: plan.environment.clone(),
        writer: plan.writer.clone(),
        commit: plan.from.commit.clone(),
        name: plan.from.name.clone(),
        artifacts: copy.artifacts.clone(),
        health: copy.health,
        faults: copy.faults.clone(),
        items: copied.items,
    };
    repository.add(&manifest, copied.roots)?;
    drop(std::fs::remove_dir_all(&job.scratch));
    Ok(manifest.id)
}

/// The point that a run took of what was there.
fn copy_of(repository: &Writing, run: &RunId) -> Result<Option<StoredPoint>, DataError> {
    let label = |point: &StoredPoint| point.manifest.labels.get(RUN_LABEL).cloned();
    Ok(repository.points()?.into_iter().find(|point| label(point).as_deref() == Some(run.as_str())))
}

/// Restores one item beside what is live, and checks it there.
pub(super) fn restore(
    site: &Site,
    run: &Run,
    config: &Config,
    (section, name): (ItemSection, &DataName),
) -> Result<Effect, StepError> {
    let host = host(site, config, Until::Stopped);
    let (full, item, bringing) = planned(site, run, (config, &host), (section, name))?;
    let mut brought = brought(full, item);
    let mut notes = Vec::new();
    match (&item.from, &full.point) {
        (ItemSource::Defaults(dir), _) => {
            let settings = settings(config, name)?;
            bringing.write(&defaults(site, run, settings, dir)?)?;
        }
        (ItemSource::Kept(earlier), _) => {
            let earlier = Bringing {
                root: kept_dir(site, earlier),
                mark: mark_of(earlier),
                ..bringing.clone()
            };
            bringing.write(&earlier.kept()?)?;
        }
        (ItemSource::Point(_), Some(used)) => {
            let store = PointStore::of(&site.binding);
            let repository = patiently(|| store.read())?;
            let point = repository.point(&used.id)?;
            // What was planned, approved and checked is what is restored.
            if point.tree != used.tree {
                return Err(StepError::OtherPoint(used.id.clone()));
            }
            let stored = point.manifest.items.iter();
            let stored = stored.into_iter().find(
                |other| matches!(&item.from, ItemSource::Point(place) if *place == other.place),
            );
            let stored = stored.ok_or_else(|| StepError::OtherPoint(used.id.clone()))?;
            let inspected = bringing.restore(&repository, &point, stored)?;
            brought.rows_lost = inspected.rows_lost;
            notes = inspected.notes;
        }
        (ItemSource::Point(_), None) => return Err(StepError::NoFullPlan),
    }
    Ok(Effect { warnings: notes, brought_back: Some(brought), ..Effect::default() })
}

/// The full plan of a run, one item of it, and what brings that item back.
fn planned<'a>(
    site: &Site,
    run: &'a Run,
    (config, host): (&'a Config, &'a Host),
    (section, name): (ItemSection, &DataName),
) -> Result<(&'a FullPlan, &'a ItemBack, Bringing<'a>), StepError> {
    let full = full(run)?;
    let item = item(full, section, name)?;
    Ok((full, item, bringing(site, run, config, host, item)?))
}

/// Exchanges one item. Everything that uses it is down.
pub(super) fn swap(
    site: &Site,
    run: &Run,
    config: &Config,
    (section, name): (ItemSection, &DataName),
) -> Result<Effect, StepError> {
    let host = host(site, config, Until::Stopped);
    let (full, item, bringing) = planned(site, run, (config, &host), (section, name))?;
    // By its name the run is found again, also where what is put aside lies on another file system.
    let named = kept_dir(site, &run.id);
    files::make_private_dir(&named).map_err(|source| StepError::Io { path: named, source })?;
    let kept = bringing.swap()?;
    let brought = BroughtBack { kept: kept.clone(), ..brought(full, item) };
    let output = kept.iter().map(|place| format!("kept: {place}")).collect();
    Ok(Effect { output, brought_back: Some(brought), ..Effect::default() })
}

/// Runs the command that makes the app read its settings again.
pub(super) fn apply(site: &Site, config: &Config, name: &DataName) -> Result<Effect, StepError> {
    let settings = settings(config, name)?;
    if let ApplySettings::Command(argv) = &settings.apply {
        let host = host(site, config, Until::Stopped);
        let command = argv.join(" ");
        run_command(&host, argv, &host.top).map_err(|why| StepError::Apply { command, why })?;
    }
    Ok(Effect::default())
}

/// Puts back every item that the run exchanged, the last one first, and removes what it restored and did not use.
/// Everything that uses them is down.
///
/// # Errors
/// The first that cannot be put back: nothing may be started on what is there then.
pub(super) fn back(site: &Site, run: &Run, config: &Config) -> Result<(), StepError> {
    let Some(full) = &run.plan.full else { return Ok(()) };
    let host = host(site, config, Until::Left);
    for (number, step) in run.plan.steps.iter().enumerate().rev() {
        let Step::Restore { section, name } = step else { continue };
        if !began(run, number) {
            continue;
        }
        let item = item(full, *section, name)?;
        let bringing = bringing(site, run, config, &host, item)?;
        let unpacked = match (item.engine.as_str(), bringing.is_exchanged()?) {
            ("command", true) => Some(unpacked_copy(site, run, item)?),
            _ => None,
        };
        bringing.back(unpacked.as_deref())?;
    }
    Ok(())
}

/// As [`back`], where nothing was exchanged yet: what cannot be removed stays beside what is live.
pub(super) fn drop_prepared(site: &Site, run: &Run, config: &Config) {
    if let Err(error) = back(site, run, config) {
        tracing::warn!("{error}");
    }
}

/// Removes what the run restored and nothing uses.
pub(super) fn tidy(site: &Site, run: &Run) {
    if run.plan.full.is_none() {
        return;
    }
    let root = kept_dir(site, &run.id);
    for dir in ["new", "copy"] {
        let dir = root.join(dir);
        if dir.exists()
            && let Err(error) = std::fs::remove_dir_all(&dir)
        {
            tracing::warn!("{}: {error}", dir.display());
        }
    }
}

/// The copy of now of an item, in a directory of its own: the data of a command can be put back only by that command.
fn unpacked_copy(site: &Site, run: &Run, item: &ItemBack) -> Result<PathBuf, StepError> {
    let store = PointStore::of(&site.binding);
    let repository = patiently(|| store.read())?;
    let ItemSource::Point(place) = &item.from else { return Err(StepError::NoFullPlan) };
    let point = copy_of(&repository, &run.id)?.ok_or(StepError::NoFullPlan)?;
    let into = kept_dir(site, &run.id).join("copy");
    let io = |source| StepError::Io { path: into.clone(), source };
    if into.exists() {
        std::fs::remove_dir_all(&into).map_err(io)?;
    }
    files::make_private_dir(&into).map_err(io)?;
    repository.restore(&point, std::slice::from_ref(place), &into)?;
    Ok(into.join(place))
}

/// Whether an exchange of data or settings was announced.
pub(super) fn began_swap(run: &Run) -> bool {
    let steps = run.plan.steps.iter().enumerate();
    let mut swaps = steps.filter(|(_, step)| matches!(step, Step::Swap { .. }));
    swaps.any(|(number, _)| began(run, number))
}

/// Whether a step was announced.
fn began(run: &Run, number: usize) -> bool {
    let announced = |entry: &Entry| matches!(entry, Entry::Intent { step, .. } if *step == number);
    run.journal.lines().iter().any(|line| announced(&line.entry))
}

/// The files of a set of settings as they are in the directory of defaults of the commit that will serve.
fn defaults(
    site: &Site,
    run: &Run,
    settings: &Settings,
    dir: &RepoPath,
) -> Result<Vec<(FilePlace, Vec<u8>)>, StepError> {
    let commit = &run.plan.to.commit;
    settings
        .paths
        .iter()
        .map(|place| {
            let path = default_of(dir, place).ok_or(StepError::NoFullPlan)?;
            let bytes = site.git.file(commit, &path)?;
            Ok((place.clone(), bytes.ok_or(StepError::NoDefault(path))?))
        })
        .collect()
}

/// The file of the repository that holds the default of a file of settings: of the same name.
pub fn default_of(dir: &RepoPath, place: &FilePlace) -> Option<RepoPath> {
    let path: &Path = match place {
        FilePlace::Tree(path) => path.as_path(),
        FilePlace::Host(path) => path,
    };
    let name = path.file_name()?.to_str()?;
    RepoPath::new(format!("{dir}/{name}")).ok()
}

/// One item of a run.
///
/// # Errors
/// When the configuration no longer declares it.
fn bringing<'a>(
    site: &Site,
    run: &Run,
    config: &'a Config,
    host: &'a Host,
    item: &ItemBack,
) -> Result<Bringing<'a>, StepError> {
    let declared = match item.section {
        ItemSection::Settings => Some(Declared::Settings(settings(config, &item.name)?)),
        ItemSection::Data => {
            config.data.iter().find(|source| source.name == item.name).map(Declared::Data)
        }
    };
    let declared = declared.ok_or_else(|| StepError::NotDeclared(item.name.clone()))?;
    Ok(Bringing { host, declared, root: kept_dir(site, &run.id), mark: mark_of(&run.id) })
}

fn settings<'c>(config: &'c Config, name: &DataName) -> Result<&'c Settings, StepError> {
    let found = config.settings.iter().find(|settings| settings.name == *name);
    found.ok_or_else(|| StepError::NotDeclared(name.clone()))
}

fn host(site: &Site, config: &Config, until: Until) -> Host {
    Host { until, ..Host::of(&site.binding, site.top(), config.points.max_time) }
}

fn full(run: &Run) -> Result<&FullPlan, StepError> {
    run.plan.full.as_deref().ok_or(StepError::NoFullPlan)
}

fn item<'p>(
    full: &'p FullPlan,
    section: ItemSection,
    name: &DataName,
) -> Result<&'p ItemBack, StepError> {
    let found = full.items.iter().find(|item| item.section == section && item.name == *name);
    found.ok_or(StepError::NoFullPlan)
}

fn brought(full: &FullPlan, item: &ItemBack) -> BroughtBack {
    let point = full.point.as_ref().filter(|_| matches!(item.from, ItemSource::Point(_)));
    let age = point.map(|point| clock::now().duration_since(point.taken).as_secs());
    BroughtBack {
        name: item.name.clone(),
        section: item.section,
        point: point.map(|point| point.id.clone()),
        rows_lost: None,
        seconds_lost: age.map(|seconds| u64::try_from(seconds).unwrap_or(0)),
        kept: Vec::new(),
    }
}

/// `app, uploads`
fn what(full: &FullPlan) -> String {
    full.items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Another command may work on the points for a moment.
fn patiently(open: impl Fn() -> Result<Writing, DataError>) -> Result<Writing, StepError> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(DataError::Busy { .. })
                if begun.elapsed() < PATIENCE && !Until::Stopped.reached() =>
            {
                std::thread::sleep(Duration::from_millis(100));
            }
            opened => return Ok(opened?),
        }
    }
}

/// What went back, by what the run's journal says: each item that was exchanged, with what was counted before that; and
/// the point of what was there.
pub fn brought_back(run: &Run) -> (Vec<BroughtBack>, Option<PointId>) {
    let mut all: Vec<BroughtBack> = Vec::new();
    let mut copy = None;
    let mut counted: Vec<&BroughtBack> = Vec::new();
    for line in run.journal.lines() {
        let Entry::Done { step, brought_back, point, .. } = &line.entry else { continue };
        copy = point.clone().or(copy);
        let Some(brought) = brought_back else { continue };
        let same =
            |other: &&BroughtBack| (other.section, &other.name) == (brought.section, &brought.name);
        if !matches!(run.plan.steps.get(*step), Some(Step::Swap { .. })) {
            counted.push(brought);
            continue;
        }
        let mut brought = (**brought).clone();
        let before = counted.iter().rev().copied().filter(same);
        for earlier in before {
            brought.rows_lost = brought.rows_lost.or(earlier.rows_lost);
            // Counted when nothing wrote any more, not when it was exchanged.
            brought.seconds_lost = earlier.seconds_lost.or(brought.seconds_lost);
        }
        match all
            .iter_mut()
            .find(|other| (other.section, &other.name) == (brought.section, &brought.name))
        {
            Some(other) => *other = brought,
            None => all.push(brought),
        }
    }
    (all, copy)
}
