//! Rolling back data and settings: to a point, with the code of that time or without it, to declared defaults, and the
//! undoing of that.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::caller::Notice;
use super::carry_out::{ChangeOptions, carry_out};
use super::failure::Failure;
use super::newest_point::passed_over;
use super::outcome::{ChangeOutcome, Status};
use super::point::{self, failed};
use super::session::Session;
use super::target::{older, provisional};
use crate::config::{BackRule, Config, Settings};
use crate::data::{Bringing, Declared, Host, StoredPoint, Writing};
use crate::engine;
use crate::ledger::{self, Entry};
use crate::model::{
    AcceptedLoss, BroughtBack, CopyOfNow, Event, FullLevel, FullPlan, Health, ItemBack,
    ItemSection, ItemSource, Oid, PointId, PointItem, PointManifest, PointUsed, Recorded, Stays,
};
use crate::plan::compose::Change;
use crate::plan::facts::Facts;
use crate::plan::holds;
use crate::site::Observed;
use crate::system::text::{bytes, nearest};
use crate::system::{clock, files, procs};

/// Left free on each disk, whatever is restored: 64 MiB.
const MARGIN: u64 = 64 << 20;

/// To roll back data or settings.
#[derive(Debug, Clone)]
pub struct FullRequest {
    /// A point, or `last-good`; the latter where left out.
    pub to: Option<String>,
    /// What goes back.
    pub what: What,
    /// To the declared defaults, not to a point.
    pub defaults: bool,
    /// The most that may be lost of each database, said in advance.
    pub accepted: Vec<AcceptedLoss>,
    pub reason: Option<String>,
    /// Do not judge what is left as bad.
    pub no_verdict: bool,
    pub emergency: bool,
}

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Code, data and settings.
    Everything,
    /// `data`, `settings`, or NAMEs of their sections: the code stays.
    Only(Vec<String>),
}

/// Rolls back data and settings, and proves that the app serves with them.
///
/// # Errors
/// Everything that ends without the target observed serving.
pub fn full(
    session: &Session,
    facts: Facts,
    request: &FullRequest,
    options: &ChangeOptions,
) -> Result<ChangeOutcome, Failure> {
    let config = &facts.accepted.config;
    let wanted = wanted(config, &request.what)?;
    let change = if request.defaults {
        to_defaults(session, &facts, request, wanted)?
    } else {
        let repository = point::store(session).read().map_err(failed)?;
        let point = chosen(session, &facts, &repository, request)?;
        let source = Source { repository: &repository, point: &point, undoes: None };
        to_point(session, &facts, request, wanted, &source)?
    };
    finish(session, facts, change, options)
}

/// Undoes a rollback of data or settings: returns to the copy that it took first.
///
/// # Errors
/// As [`full`]; when that copy is none that could be restored.
pub fn undo(
    session: &Session,
    facts: Facts,
    entry: &Entry,
    request: &FullRequest,
    options: &ChangeOptions,
) -> Result<ChangeOutcome, Failure> {
    let evidence = ledger::evidence(&session.site.git, entry)?;
    let config = &facts.accepted.config;
    let names: BTreeSet<String> = evidence.brought_back.iter().map(section_and_name).collect();
    let mut wanted: Vec<Declared<'_>> = declared(config);
    wanted.retain(|one| names.contains(&format!("{}/{}", one.section().as_str(), one.name())));
    let Some(id) = &evidence.copy_of_now else {
        let run = evidence.run.ok_or_else(|| {
            Failure::unchanged(format!("record #{} does not name its run", entry.record.seq))
        })?;
        let items = wanted.iter().map(|one| item(one, ItemSource::Kept(run.clone()), None));
        let plan = FullPlan {
            level: FullLevel::Settings,
            point: None,
            copy: None,
            items: items.collect(),
            stays: Vec::new(),
            accepted: Vec::new(),
            restore_millis: None,
            cheaper: None,
        };
        let mut change = code_stays(&facts, request, plan);
        change.undoes = Some(run);
        return finish(session, facts, change, options);
    };
    let repository = point::store(session).read().map_err(failed)?;
    let point = repository.point(id).map_err(failed)?;
    let source = Source { repository: &repository, point: &point, undoes: Some(entry) };
    let wanted = Wanted { items: wanted, stays: Vec::new() };
    let change = to_point(session, &facts, request, wanted, &source)?;
    drop(repository);
    finish(session, facts, change, options)
}

fn section_and_name(brought: &BroughtBack) -> String {
    format!("{}/{}", brought.section.as_str(), brought.name)
}

/// Carries it out, and records the copy that was taken first.
fn finish(
    session: &Session,
    facts: Facts,
    change: Change,
    options: &ChangeOptions,
) -> Result<ChangeOutcome, Failure> {
    let copies = change.full.as_ref().is_some_and(|full| full.copy.is_some());
    // Data is never tried with one candidate after the other.
    let options = ChangeOptions { fallbacks: 0, any_candidate: false, ..*options };
    let ended = carry_out(session, facts, change, &[], &options);
    if copies && !options.plan_only && point::store(session).exists() {
        let recorded = session.be_at_work().and_then(|()| {
            let repository = point::store(session).write().map_err(failed)?;
            point::record_missing(session, &session.facts()?, &repository).map(drop)
        });
        if let Err(failure) = recorded {
            let why = failure.message;
            session.caller.warn(format!("the copy of now is stored and not recorded yet: {why}"));
        }
    }
    ended
}

/// What could be tried if less did not help: the command for the newest point that would be taken.
pub fn offer(session: &Session, ended: &Result<ChangeOutcome, Failure>) {
    let status = match ended {
        Ok(outcome) => outcome.status,
        Err(failure) => failure.status,
    };
    if !matches!(status, Status::PersonNeeded | Status::Restored) {
        return;
    }
    let (Ok(facts), Ok(repository)) = (session.facts(), point::store(session).read()) else {
        return;
    };
    let request = FullRequest {
        to: None,
        what: What::Everything,
        defaults: false,
        accepted: Vec::new(),
        reason: None,
        no_verdict: false,
        emergency: false,
    };
    if let Ok(point) = chosen(session, &facts, &repository, &request) {
        let command = format!("gitroll back --level full --to {} --plan", point.manifest.id);
        let what = "shows what code, data and settings of that point would lose";
        session.caller.tell(Notice::MoreNext(command, what.to_owned()));
    }
}

/// What is declared and shall go back, and what is declared and stays.
struct Wanted<'c> {
    items: Vec<Declared<'c>>,
    stays: Vec<Stays>,
}

/// Data first, then settings, each by name.
fn declared(config: &Config) -> Vec<Declared<'_>> {
    let data = config.data.iter().map(Declared::Data);
    data.chain(config.settings.iter().map(Declared::Settings)).collect()
}

fn is_never(declared: &Declared<'_>) -> bool {
    matches!(declared, Declared::Data(source) if source.back == BackRule::Never)
}

fn wanted<'c>(config: &'c Config, what: &What) -> Result<Wanted<'c>, Failure> {
    let all = declared(config);
    if all.is_empty() {
        return Err(Failure::unchanged(
            "gitroll.toml declares no [data.NAME] and no [settings.NAME]",
        )
        .next("gitroll back", "rolls back the code"));
    }
    let names = match what {
        What::Everything => vec!["data".to_owned(), "settings".to_owned()],
        What::Only(names) => names.clone(),
    };
    let (mut items, mut stays): (Vec<Declared<'c>>, Vec<Stays>) = (Vec::new(), Vec::new());
    for name in &names {
        let of = |declared: &&Declared<'c>| {
            let section = declared.section().as_str();
            section == name
                || declared.name().as_str() == name
                || format!("{section}/{}", declared.name()) == *name
        };
        let found: Vec<Declared<'c>> = all.iter().filter(of).copied().collect();
        if found.is_empty() && !(*what == What::Everything) {
            let mut known: Vec<String> = all.iter().map(|one| one.name().to_string()).collect();
            known.extend(["data".to_owned(), "settings".to_owned()]);
            let failure =
                Failure::unchanged(format!("gitroll.toml declares no data or settings {name}"));
            return Err(match nearest(name, &known) {
                Some(near) => failure.detail(format!("the nearest name is {near}")),
                None => failure.detail(format!("it declares {}", known.join(", "))),
            });
        }
        for one in found {
            if is_never(&one) && name != "data" {
                return Err(Failure::refused(format!("[data.{name}] says back = \"never\"")).next(
                    format!("gitroll point restore pN data/{name} --into DIR"),
                    "restores it beside the app",
                ));
            } else if is_never(&one) {
                stays.push(Stays { name: one.name().clone(), why: "back = \"never\"".to_owned() });
            } else if !items.iter().any(|other| same(other, &one)) {
                items.push(one);
            }
        }
    }
    items.sort_by_key(|one| (one.section() == ItemSection::Settings, one.name().clone()));
    if items.is_empty() {
        return Err(Failure::refused("everything that is declared says back = \"never\"")
            .next("gitroll back", "rolls back the code"));
    }
    Ok(Wanted { items, stays })
}

fn same(a: &Declared<'_>, b: &Declared<'_>) -> bool {
    (a.section(), a.name()) == (b.section(), b.name())
}

/// Where data comes from.
struct Source<'a> {
    repository: &'a Writing,
    point: &'a StoredPoint,
    /// The rollback that is undone.
    undoes: Option<&'a Entry>,
}

/// The point that is meant.
fn chosen(
    session: &Session,
    facts: &Facts,
    repository: &Writing,
    request: &FullRequest,
) -> Result<StoredPoint, Failure> {
    let points = repository.points().map_err(failed)?;
    match request.to.as_deref() {
        None | Some("last-good") => {
            let everything = request.what == What::Everything;
            let mut skipped = Vec::new();
            for point in points.into_iter().rev() {
                match passed_over(session, facts, &point.manifest, everything) {
                    None => return Ok(point),
                    Some(why) => skipped.push(format!("skipped  {}  {why}", point.manifest.id)),
                }
            }
            let failure = Failure::unchanged("there is no point to go back to").details(skipped);
            let failure = failure.next("gitroll point list", "shows all points");
            Err(match everything {
                true => failure.next(
                    "gitroll back --only data --to POINT",
                    "brings back the data and leaves the code",
                ),
                false => failure,
            })
        }
        Some(name) => {
            let id: Option<PointId> = name.parse().ok();
            let found = points.into_iter().find(|point| Some(&point.manifest.id) == id.as_ref());
            found.ok_or_else(|| {
                Failure::unchanged(format!("there is no point {name}"))
                    .next("gitroll point list", "shows the points")
            })
        }
    }
}

/// Why a point cannot be restored here, whatever is wanted of it.
fn refused(session: &Session, facts: &Facts, source: &Source<'_>) -> Result<(), Failure> {
    let manifest = &source.point.manifest;
    let (id, binding) = (&manifest.id, &session.site.binding);
    if manifest.point > PointManifest::VERSION {
        return Err(Failure::refused(format!("{id} was taken by a newer gitroll"))
            .next("gitroll point list", "shows the points"));
    }
    if (&manifest.app, &manifest.environment, &manifest.writer)
        != (&binding.app, &binding.environment, &binding.writer)
    {
        let (app, environment, writer) = (&manifest.app, &manifest.environment, &manifest.writer);
        return Err(Failure::refused(format!(
            "{id} is a point of {app}, {environment}, {writer}: another host's"
        ))
        .next(
            format!("gitroll point restore {id} --into DIR"),
            "restores it beside the app; gitroll point import makes a point of a database in it",
        ));
    }
    let stated = point::recorded(session, facts)?;
    match stated.get(id) {
        Some((_, stated)) if stated.tree != source.point.tree => {
            let why = "what is stored is not what its signed record states";
            return Err(Failure::refused(format!("{id}: {why}"))
                .next(format!("gitroll point show {id}"), "shows both"));
        }
        _ => {}
    }
    // The stored bytes, all of them: damage is found before anything stops.
    session.caller.info(format!("reading {id}"));
    let damage = source.repository.check(source.point).map_err(failed)?;
    if !damage.is_empty() {
        return Err(Failure::refused(format!("{id} is damaged"))
            .details(damage)
            .next("gitroll point verify --all", "shows which points are good"));
    }
    Ok(())
}

/// The change that brings items back from a point.
fn to_point(
    session: &Session,
    facts: &Facts,
    request: &FullRequest,
    mut wanted: Wanted<'_>,
    source: &Source<'_>,
) -> Result<Change, Failure> {
    refused(session, facts, source)?;
    let manifest = &source.point.manifest;
    let everything = request.what == What::Everything && source.undoes.is_none();
    let stored = |one: &Declared<'_>| {
        let place = format!("{}/{}", one.section().as_str(), one.name());
        manifest.items.iter().find(|item| item.place == place)
    };
    if everything {
        let (held, lacking): (Vec<_>, Vec<_>) =
            wanted.items.into_iter().partition(|one| stored(one).is_some());
        let why = format!("{} does not hold it", manifest.id);
        wanted
            .stays
            .extend(lacking.iter().map(|one| Stays { name: one.name().clone(), why: why.clone() }));
        wanted.items = held;
    }
    let mut pairs: Vec<(Declared<'_>, &PointItem)> = Vec::new();
    for one in &wanted.items {
        let item = stored(one).ok_or_else(|| {
            Failure::unchanged(format!("{} does not hold {}", manifest.id, one.name()))
                .next("gitroll point list", "shows what each point holds")
        })?;
        if let Some(problem) = item.problems.first() {
            return Err(evidence_only(manifest, item, problem, source.undoes, session));
        }
        pairs.push((*one, item));
    }
    let host = point::host(session, &facts.accepted.config);
    let config = &facts.accepted.config;
    let deployment = facts.deployment(&session.site);
    let observed = Observed::now(&session.site, config, &facts.serving, &deployment);
    let items = examined(session, source, &pairs, (&host, &observed))?;
    let data = items.iter().any(|item| item.section == ItemSection::Data);
    let copy = match data {
        true => Some(copy_of_now(session, facts, &observed)?),
        false => None,
    };
    let commit = match (source.undoes, everything) {
        (Some(entry), _) => entry.record.from.clone(),
        (None, true) => Some(manifest.commit.clone()),
        (None, false) => None,
    };
    let commit = commit.filter(|commit| *commit != facts.serving.commit);
    let plan = FullPlan {
        level: match (&commit, everything, data) {
            (Some(_), ..) => FullLevel::Full,
            (None, _, true) => FullLevel::Data,
            (None, _, false) => FullLevel::Settings,
        },
        point: Some(PointUsed {
            id: manifest.id.clone(),
            tree: source.point.tree.clone(),
            taken: manifest.taken,
            health: manifest.health,
            verified: source.point.verified.as_ref().filter(|v| v.restored).map(|v| v.at),
            offsite: source.point.offsite,
        }),
        copy,
        cheaper: cheaper(facts, manifest, commit.as_ref(), &items, source.undoes.is_some()),
        items,
        stays: wanted.stays,
        accepted: request.accepted.clone(),
        restore_millis: source
            .point
            .verified
            .as_ref()
            .filter(|v| v.restored)
            .and_then(|v| v.millis),
    };
    let mut change = match &commit {
        None => code_stays(facts, request, plan),
        Some(commit) => with_code(session, facts, request, commit, plan, source.undoes)?,
    };
    if let Some(entry) = source.undoes {
        let judged = entry.record.verdict.is_some() || entry.record.hold.is_some();
        change.recorded.lifts = if judged { vec![entry.digest] } else { Vec::new() };
        change.undoes = ledger::evidence(&session.site.git, entry)?.run;
    }
    if manifest.health != Health::Healthy && source.undoes.is_none() {
        let health = manifest.health.as_str();
        change.warnings.push(format!("the app was {health} when {} was taken", manifest.id));
    }
    Ok(change)
}

/// A copy that failed its own checks is never a target.
fn evidence_only(
    manifest: &PointManifest,
    item: &PointItem,
    problem: &str,
    undoes: Option<&Entry>,
    session: &Session,
) -> Failure {
    let failure =
        Failure::refused(format!("{} of {} is evidence only: {problem}", item.name, manifest.id));
    let kept = undoes
        .and_then(|entry| ledger::evidence(&session.site.git, entry).ok())
        .map(|evidence| evidence.brought_back)
        .unwrap_or_default();
    let kept = kept.into_iter().filter(|brought| brought.name == item.name);
    let kept =
        kept.flat_map(|brought| brought.kept).map(|place| format!("kept as it was: {place}"));
    failure.details(kept).next("gitroll point list", "shows the other points")
}

/// Each item that goes back, with what it loses.
///
/// # Errors
/// Everything that would stop it, found while everything runs.
fn examined(
    session: &Session,
    source: &Source<'_>,
    pairs: &[(Declared<'_>, &PointItem)],
    (host, observed): (&Host, &Observed),
) -> Result<Vec<ItemBack>, Failure> {
    let manifest = &source.point.manifest;
    let states = observed.services.iter().filter_map(|(_, state)| state.as_ref().ok());
    let processes = states.flat_map(|state| state.processes.iter().map(|process| process.pid));
    let own: Vec<u32> = processes.flat_map(procs::family).collect();
    let mut problems = Vec::new();
    let mut items = Vec::new();
    let mut rooms: Vec<(PathBuf, u64)> = Vec::new();
    for (declared, stored) in pairs {
        let bringing = bringing(session, host, *declared);
        let found = bringing
            .problems(Some((source.repository, source.point, stored)), &own)
            .map_err(failed)?;
        problems.extend(found.into_iter().map(|what| format!("{}: {what}", declared.name())));
        rooms.push(bringing.room(stored).map_err(failed)?);
        let mut back = item(declared, ItemSource::Point(stored.place.clone()), Some(stored));
        let age = clock::now().duration_since(manifest.taken).as_secs();
        back.seconds = Some(u64::try_from(age).unwrap_or(0));
        match bringing.rows_since(manifest.taken) {
            Some(Ok(rows)) => back.rows = Some(rows),
            Some(Err(why)) => session
                .caller
                .warn(format!("{}: lost rows were not counted: {why}", declared.name())),
            None => {}
        }
        items.push(back);
    }
    problems.extend(short_of_room(session, rooms, pairs)?);
    if problems.is_empty() {
        return Ok(items);
    }
    let message = format!("{} cannot be restored here", manifest.id);
    Err(Failure::unchanged(message).details(problems).and_nothing_changed().next(
        format!("gitroll point restore {} --into DIR", manifest.id),
        "restores it beside the app",
    ))
}

/// Whether what is restored fits beside what is live, and the copy of now among the points.
fn short_of_room(
    session: &Session,
    rooms: Vec<(PathBuf, u64)>,
    pairs: &[(Declared<'_>, &PointItem)],
) -> Result<Vec<String>, Failure> {
    let data = pairs.iter().filter(|(one, _)| one.section() == ItemSection::Data);
    let copied: u64 = data.map(|(_, item)| 2 * item.bytes).sum();
    let mut rooms = rooms;
    rooms.push((point::store(session).dir, copied));
    let mut by_disk: Vec<(PathBuf, files::FreeSpace, u64)> = Vec::new();
    for (place, needed) in rooms {
        let free = files::free_space(&place)
            .map_err(|error| Failure::unchanged(format!("{}: {error}", place.display())))?;
        match by_disk.iter_mut().find(|(other, ..)| files::device(other) == files::device(&place)) {
            Some((_, _, sum)) => *sum += needed,
            None => by_disk.push((place, free, needed)),
        }
    }
    let short = by_disk.into_iter().filter(|(_, free, needed)| free.bytes < needed + MARGIN);
    Ok(short
        .map(|(place, free, needed)| {
            format!(
                "{} has {} free, and this needs {}",
                place.display(),
                bytes(free.bytes),
                bytes(needed + MARGIN)
            )
        })
        .collect())
}

/// As a run will do it, for what can be asked before there is one.
fn bringing<'a>(session: &Session, host: &'a Host, declared: Declared<'a>) -> Bringing<'a> {
    let root = session.site.state().join("kept").join("plan");
    Bringing { host, declared, root, mark: "plan".to_owned() }
}

fn item(declared: &Declared<'_>, from: ItemSource, stored: Option<&PointItem>) -> ItemBack {
    let engine = match declared {
        Declared::Data(source) => source.engine.as_str(),
        Declared::Settings(_) => "settings",
    };
    ItemBack {
        name: declared.name().clone(),
        section: declared.section(),
        engine: engine.to_owned(),
        from,
        bytes: stored.map_or(0, |item| item.bytes),
        files: stored.map_or(0, |item| item.files),
        rows: None,
        seconds: None,
    }
}

fn copy_of_now(
    session: &Session,
    facts: &Facts,
    observed: &Observed,
) -> Result<CopyOfNow, Failure> {
    let (health, faults) = point::health(observed);
    let recorded = point::recorded(session, facts)?;
    Ok(CopyOfNow {
        health,
        faults,
        artifacts: point::artifacts_of(session, facts, &facts.serving.commit)?,
        after: recorded.into_keys().map(|id| id.number()).max().unwrap_or(0),
    })
}

/// A way that loses less.
fn cheaper(
    facts: &Facts,
    manifest: &PointManifest,
    commit: Option<&Oid>,
    items: &[ItemBack],
    undoes: bool,
) -> Option<(String, String)> {
    if undoes {
        return None;
    }
    let data = items.iter().find(|item| item.section == ItemSection::Data)?;
    match commit {
        Some(commit) if facts.history.served_here(commit) => {
            let command = format!("gitroll back {}", commit.short());
            Some((command, "the code only, keeps all data and the bad rows in it".to_owned()))
        }
        _ => {
            let command =
                format!("gitroll point restore {} data/{} --into DIR", manifest.id, data.name);
            Some((command, "takes single rows or files out of it by hand".to_owned()))
        }
    }
}

/// The change that leaves the code as it is.
fn code_stays(facts: &Facts, request: &FullRequest, plan: FullPlan) -> Change {
    let recorded = Recorded { reason: request.reason.clone(), ..Recorded::default() };
    let change = Change {
        recorded,
        full: Some(plan),
        ..Change::new(facts, Event::Back, facts.serving.clone())
    };
    if request.emergency { change.in_emergency(None) } else { change }
}

/// The change that brings back the code of the point too.
fn with_code(
    session: &Session,
    facts: &Facts,
    request: &FullRequest,
    commit: &Oid,
    plan: FullPlan,
    undoes: Option<&Entry>,
) -> Result<Change, Failure> {
    let site = &session.site;
    let to = facts.names.served(&site.git, commit, None)?;
    let left = &facts.serving.commit;
    let judged = !request.no_verdict && undoes.is_none() && older(session, facts, commit, left)?;
    let recorded = match judged {
        true => provisional(&holds::judged_with(site, facts, left, commit)?),
        false => Recorded::default(),
    };
    let recorded = Recorded { reason: request.reason.clone(), ..recorded };
    let mut change = Change { recorded, full: Some(plan), ..Change::new(facts, Event::Back, to) };
    if undoes.is_none()
        && let Some(reason) = holds::against(site, facts, commit)?
    {
        change.warnings.push(format!("{}: {reason}", change.to.name));
    }
    let change = change.asked_as_proven(site, facts)?;
    Ok(if request.emergency { change.in_emergency(None) } else { change })
}

/// The change that puts settings to the defaults that the repository has.
fn to_defaults(
    session: &Session,
    facts: &Facts,
    request: &FullRequest,
    wanted: Wanted<'_>,
) -> Result<Change, Failure> {
    let mut items = Vec::new();
    for one in &wanted.items {
        let Declared::Settings(settings) = one else {
            return Err(Failure::refused(format!("{} is data, and has no defaults", one.name())));
        };
        items.push(default_of(session, facts, settings)?);
    }
    let plan = FullPlan {
        level: FullLevel::Settings,
        point: None,
        copy: None,
        items,
        stays: Vec::new(),
        accepted: Vec::new(),
        restore_millis: None,
        cheaper: None,
    };
    Ok(code_stays(facts, request, plan))
}

fn default_of(session: &Session, facts: &Facts, settings: &Settings) -> Result<ItemBack, Failure> {
    let name = &settings.name;
    let Some(dir) = &settings.defaults else {
        return Err(Failure::unchanged(format!("[settings.{name}] declares no defaults"))
            .next(format!("gitroll settings back {name}"), "restores them from a point"));
    };
    let mut item = item(&Declared::Settings(settings), ItemSource::Defaults(dir.clone()), None);
    for place in &settings.paths {
        let path = engine::default_of(dir, place);
        let bytes = match &path {
            Some(path) => session.site.git.file(&facts.serving.commit, path)?,
            None => None,
        };
        let bytes = bytes.ok_or_else(|| {
            let path = path.map_or_else(|| dir.to_string(), |path| path.to_string());
            Failure::unchanged(format!("{} has no {path}", facts.serving))
                .detail("`defaults` needs a file of the same name for each path")
        })?;
        item.files += 1;
        item.bytes += bytes.len() as u64;
    }
    Ok(item)
}
