//! What runs saved: listed, brought back by name, and brought back by the undo of what put it aside.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Caller, Notice};
use super::failure::Failure;
use super::next_steps::{self, NextStep};
use super::point;
use super::session::Session;
use crate::config::Config;
use crate::data::{Bringing, Declared, Host};
use crate::engine;
use crate::layout::{BroughtBack, LayoutError, PlaceNow, SavedSet, saved_sets};
use crate::ledger;
use crate::model::{Event, Oid, RepoPath, RunId, Seq, mark_of};
use crate::plan::facts::Facts;
use crate::site::Site;
use crate::system::files;
use crate::system::text::{self, plural};

/// The files that one run saved.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SavedFiles {
    /// Its name: the run, followed by `-later` for files found when that run went back.
    pub id: String,
    /// When that run began.
    #[schemars(with = "Option<String>")]
    pub when: Option<Timestamp>,
    /// Its record.
    pub seq: Option<Seq>,
    /// What it did.
    pub event: Option<Event>,
    /// It is not removed before this moment, nor before two warnings.
    #[schemars(with = "Option<String>")]
    pub kept_until: Option<Timestamp>,
    pub files: Vec<SavedFile>,
}

/// A file that was saved.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SavedFile {
    /// Where it was.
    pub path: RepoPath,
    pub bytes: u64,
    /// What is there by now.
    pub place: Place,
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Nothing.
    Free,
    /// Identical.
    Same,
    /// Something else.
    Taken,
}

/// What happened to the files of one run that were to be restored.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RestoredFiles {
    pub id: String,
    /// Back where they were; of a directory that came back whole only its own path.
    pub restored: Vec<RepoPath>,
    /// They were already there, byte for byte.
    pub there: Vec<RepoPath>,
    /// They stay saved, because the path is in use.
    pub taken: Vec<RepoPath>,
    /// The files that were there instead are saved under this name.
    pub replaced: Option<String>,
}

/// Everything that is saved, the oldest first.
///
/// # Errors
/// When the checkout is not bound, or the files cannot be read.
pub fn saved(caller: &Caller) -> Result<Vec<SavedFiles>, Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    let site = &session.site;
    let retention = &facts.accepted.config.retention;
    let describe = |set: SavedSet| {
        let when = engine::begun_at(&set.run);
        let record = record_of(site, &facts, &set.run);
        let files = set.entries(site.top())?.into_iter().map(|entry| SavedFile {
            path: entry.path,
            bytes: entry.bytes,
            place: match entry.place {
                PlaceNow::Free => Place::Free,
                PlaceNow::Same => Place::Same,
                PlaceNow::Taken => Place::Taken,
            },
        });
        Ok(SavedFiles {
            files: files.collect(),
            seq: record.as_ref().map(|(seq, _)| *seq),
            event: record.map(|(_, event)| event),
            kept_until: when.and_then(|at| at.checked_add(engine::saved_for(retention)).ok()),
            when,
            id: set.id,
        })
    };
    let sets = saved_sets(&site.state()).map_err(failed)?;
    let all = sets.into_iter().map(describe).collect::<Result<Vec<_>, LayoutError>>();
    Ok(all.map_err(failed)?.into_iter().filter(|set| !set.files.is_empty()).collect())
}

/// The open run and the ways on from it: until it is over, nothing is restored.
pub fn open_run(caller: &Caller) -> Option<(String, Vec<NextStep>)> {
    let session = Session::look(caller).ok()?;
    let run = engine::open_runs(&session.site).ok()?.pop()?;
    Some((next_steps::what(&run), next_steps::of(&run)))
}

/// The files that the last undo did not bring back although their paths are free, with the name of their set: it was
/// killed after its run was over.
pub(super) fn not_brought_back(site: &Site, serving: &Oid) -> Option<(String, Vec<RepoPath>)> {
    let last = engine::last_run(site).filter(|run| run.plan.to.commit == *serving)?;
    let undone = last.plan.undoes.as_ref()?;
    let mut sets = saved_sets(&site.state()).ok()?.into_iter().filter(|set| set.run == *undone);
    sets.find_map(|set| {
        let entries = set.entries(site.top()).ok()?.into_iter();
        let free = entries.filter(|entry| entry.place == PlaceNow::Free);
        let free: Vec<RepoPath> = free.map(|entry| entry.path).collect();
        (!free.is_empty()).then_some((set.id, free))
    })
}

/// The command that restores them.
pub(super) fn bring_back_step((id, paths): &(String, Vec<RepoPath>)) -> NextStep {
    let what = format!("restores what the interrupted undo did not: {}", names(paths));
    (format!("gitroll saved restore {id}"), what)
}

/// Data that a rollback replaced and still keeps.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct KeptData {
    /// The run.
    pub id: RunId,
    /// When that run began.
    #[schemars(with = "Option<String>")]
    pub when: Option<Timestamp>,
    /// Its record.
    pub seq: Option<Seq>,
    /// From when on `gitroll saved remove --expired` removes it; absent if only a person does.
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// Where it is.
    pub places: Vec<KeptPlace>,
}

/// One database, file or directory that is kept.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct KeptPlace {
    /// A path, or `database NAME`.
    pub place: String,
    /// Its bytes.
    pub bytes: u64,
}

/// What of kept data is to be removed.
#[derive(Debug, Clone)]
pub enum WhatToRemove {
    /// What one run keeps, named by the run or its record.
    Of(String),
    /// Everything that is older than `[retention] data`.
    Expired,
}

/// All data that rollbacks replaced and keep, the oldest first. What cannot be asked for is warned of.
///
/// # Errors
/// When the checkout is not bound.
pub fn kept_data(caller: &Caller) -> Result<Vec<KeptData>, Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    Ok(kept(&session, &facts))
}

fn kept(session: &Session, facts: &Facts) -> Vec<KeptData> {
    let site = &session.site;
    let config = &facts.accepted.config;
    let host = point::host(session, config);
    let describe = |run: RunId| {
        let when = engine::begun_at(&run);
        let mut places = Vec::new();
        for bringing in all_of(site, config, &host, &run) {
            match bringing.put_aside() {
                Ok(found) => places
                    .extend(found.into_iter().map(|(place, bytes)| KeptPlace { place, bytes })),
                Err(error) => session.caller.warn(format!("{run}: {error}")),
            }
        }
        let expires = config.retention.data.zip(when);
        KeptData {
            when,
            seq: record_of(site, facts, &run).map(|(seq, _)| seq),
            expires: expires.and_then(|(after, when)| when.checked_add(after).ok()),
            places,
            id: run,
        }
    };
    let all = engine::runs_that_keep_data(site).into_iter().map(describe);
    all.filter(|one| !one.places.is_empty()).collect()
}

/// Each declared item, as a run brought it back.
fn all_of<'a>(site: &Site, config: &'a Config, host: &'a Host, run: &RunId) -> Vec<Bringing<'a>> {
    let data = config.data.iter().map(Declared::Data);
    let declared = data.chain(config.settings.iter().map(Declared::Settings));
    let root = engine::kept_dir(site, run);
    let bringing = |declared| Bringing { host, declared, root: root.clone(), mark: mark_of(run) };
    declared.map(bringing).collect()
}

/// Removes data that rollbacks replaced and keep, for good. What was removed.
///
/// # Errors
/// When there is none of that name, it was not confirmed, or something cannot be removed.
pub fn remove_kept(
    caller: &Caller,
    what: &WhatToRemove,
    yes: bool,
) -> Result<Vec<KeptData>, Failure> {
    let session = Session::change(caller, "saved")?;
    let facts = session.facts()?;
    let mut going = kept(&session, &facts);
    match what {
        WhatToRemove::Of(id) => {
            let seq = Seq::typed(id);
            going.retain(|one| one.id.as_str() == id || (seq.is_some() && one.seq == seq));
            if going.is_empty() {
                return Err(Failure::unchanged(format!("no replaced data is kept by {id}"))
                    .next("gitroll saved", "lists what is kept"));
            }
        }
        WhatToRemove::Expired => going.retain(|one| {
            one.expires.is_some_and(|expires| expires <= crate::system::clock::now())
        }),
    }
    let bytes: u64 = going.iter().flat_map(|one| &one.places).map(|place| place.bytes).sum();
    let question = format!("Remove {} for good?", text::bytes(bytes));
    if !going.is_empty() && !yes && !caller.prompt().confirm(&question, false)? {
        return Err(Failure::unchanged("not confirmed").and_nothing_changed());
    }
    let config = &facts.accepted.config;
    let host = point::host(&session, config);
    for one in &going {
        for bringing in all_of(&session.site, config, &host, &one.id) {
            bringing.remove_aside().map_err(point::failed)?;
        }
    }
    Ok(going)
}

/// Brings back what one run saved, or the named parts of it, where nothing else is; with `force` also where something
/// else is, which is saved first.
///
/// # Errors
/// When there is no such set or path, or nothing could be brought back.
pub fn restore(
    caller: &Caller,
    id: &str,
    paths: &[String],
    force: bool,
) -> Result<RestoredFiles, Failure> {
    let session = Session::change(caller, "saved")?;
    let site = &session.site;
    let sets = saved_sets(&site.state()).map_err(failed)?;
    let seq = Seq::typed(id);
    let of_record = seq.map(|seq| run_of(site, &session.facts()?, seq)).transpose()?.flatten();
    let meant = |set: &&SavedSet| set.id == id || Some(&set.run) == of_record.as_ref();
    let Some(set) = sets.iter().find(meant) else {
        return Err(Failure::unchanged(format!("there are no saved files named {id}"))
            .next("gitroll saved", "lists the saved files"));
    };
    let entries = set.entries(site.top()).map_err(failed)?;
    let mut only = Vec::new();
    for path in paths {
        let below = |entry: &RepoPath| {
            entry.as_bytes() == path.trim_end_matches('/').as_bytes()
                || entry
                    .as_bytes()
                    .starts_with(format!("{}/", path.trim_end_matches('/')).as_bytes())
        };
        let known = entries.iter().any(|entry| below(&entry.path));
        match RepoPath::new(path.trim_end_matches('/')).ok().filter(|_| known) {
            Some(path) => only.push(path),
            None => {
                return Err(Failure::unchanged(format!("{} does not contain {path}", set.id))
                    .next("gitroll saved", "lists the saved files"));
            }
        }
    }
    let new = force.then(|| saved_anew(site)).transpose()?;
    let aside = new.as_ref().map(|new| new.dir.as_path());
    let brought = set.bring_back(site.top(), &only, aside);
    let replaced = match &new {
        Some(new) => {
            let _ = files::remove_empty_directories(&new.dir);
            new.dir.exists().then(|| new.id.clone())
        }
        None => None,
    };
    let BroughtBack { restored, there, taken } = brought.map_err(|error| {
        let failure = failed(error);
        match &replaced {
            Some(id) => failure.next("gitroll saved", format!("what was there is saved as {id}")),
            None => failure,
        }
    })?;
    if restored.is_empty() && there.is_empty() {
        let mut failure = Failure::unchanged("every one of these paths is in use again");
        if let Some(command) = forced(&set.id, paths).filter(|_| !force) {
            failure = failure
                .detail("stop the app first if it has one of them open, as a database")
                .next(command, "saves the present files, then restores these");
        }
        for path in taken.iter().take(5) {
            failure = failure
                .detail(format!("{path}: kept in {}", set.dir.join(path.as_path()).display()));
        }
        return Err(failure.and_nothing_changed());
    }
    Ok(RestoredFiles { id: set.id.clone(), restored, there, taken, replaced })
}

/// The command that restores also where something else is. `None` if a path cannot be typed.
pub fn forced(id: &str, paths: &[String]) -> Option<String> {
    let paths = paths.iter().map(|path| Some(format!(" {}", text::quoted(path)?)));
    Some(format!("gitroll saved restore {id}{} --force", paths.collect::<Option<String>>()?))
}

/// A set of its own, of this moment: it is kept as long as what a run saves.
fn saved_anew(site: &Site) -> Result<SavedSet, Failure> {
    let run = engine::fresh_id();
    let id = run.to_string();
    let dir = site.state().join("saved").join(&id);
    let made = files::make_private_dir(&dir);
    made.map_err(|error| Failure::unchanged(format!("{}: {error}", dir.display())))?;
    Ok(SavedSet { id, run, dir })
}

/// Brings back what a run saved, now that it is undone, and tells what stays aside and how to get at it. A failure is
/// told, no more: what was asked for is done.
pub(super) fn bring_back_of(session: &Session, run: &RunId) -> (Vec<RepoPath>, Vec<RepoPath>) {
    let site = &session.site;
    let (mut back, mut aside) = (Vec::new(), Vec::new());
    let sets = saved_sets(&site.state()).unwrap_or_default();
    for set in sets.iter().filter(|set| set.run == *run) {
        match set.bring_back(site.top(), &[], None) {
            Ok(brought) => {
                if !brought.restored.is_empty() {
                    let names = names(&brought.restored);
                    session.caller.info(format!("restored saved files: {names}"));
                }
                if !brought.taken.is_empty() {
                    let names = names(&brought.taken);
                    session
                        .caller
                        .warn(format!("still saved, because the path is in use: {names}"));
                    session.caller.tell(Notice::MoreNext(
                        "gitroll saved".to_owned(),
                        format!("shows what {} saved", set.id),
                    ));
                }
                back.extend(brought.restored);
                aside.extend(brought.taken);
            }
            Err(error) => {
                session.caller.warn(format!("saved files were not restored: {error}"));
                session.caller.tell(Notice::MoreNext(
                    format!("gitroll saved restore {}", set.id),
                    "tries again".to_owned(),
                ));
            }
        }
    }
    (back, aside)
}

/// Names what the runs that were left saved and what could lie where it was again.
pub(super) fn name_free(session: &Session, left: &[RunId]) {
    let site = &session.site;
    let sets = saved_sets(&site.state()).unwrap_or_default();
    for set in sets.iter().filter(|set| left.contains(&set.run)) {
        let entries = set.entries(site.top()).unwrap_or_default();
        let free = entries.into_iter().filter(|entry| entry.place == PlaceNow::Free);
        let free: Vec<RepoPath> = free.map(|entry| entry.path).collect();
        if !free.is_empty() {
            session.caller.tell(Notice::MoreNext(
                format!("gitroll saved restore {}", set.id),
                format!("restores the saved files: {}", names(&free)),
            ));
        }
    }
}

/// The runs recorded after `seq`, the last record left out.
pub(super) fn runs_since(site: &Site, facts: &Facts, seq: Seq) -> Vec<RunId> {
    let own = facts.own(site).iter().filter(|entry| entry.record.seq > seq);
    own.filter_map(|entry| ledger::evidence(&site.git, entry).ok()?.run).collect()
}

/// The first few, and how many more.
fn names(paths: &[RepoPath]) -> String {
    const SHOWN: usize = 3;
    let mut names: Vec<String> = paths.iter().take(SHOWN).map(RepoPath::to_string).collect();
    if paths.len() > SHOWN {
        names.push(plural(paths.len() - SHOWN, "more file"));
    }
    names.join(", ")
}

fn record_of(site: &Site, facts: &Facts, run: &RunId) -> Option<(Seq, Event)> {
    let own = facts.own(site).iter().rev();
    let mut of_runs = own.filter(|entry| entry.record.event.serves());
    let found = of_runs.find(|entry| {
        ledger::evidence(&site.git, entry).is_ok_and(|evidence| evidence.run.as_ref() == Some(run))
    })?;
    Some((found.record.seq, found.record.event.clone()))
}

fn run_of(site: &Site, facts: &Facts, seq: Seq) -> Result<Option<RunId>, Failure> {
    let own = facts.own(site).iter().find(|entry| entry.record.seq == seq);
    Ok(own.and_then(|entry| ledger::evidence(&site.git, entry).ok()?.run))
}

fn failed(error: LayoutError) -> Failure {
    Failure::unchanged(error.to_string())
}
