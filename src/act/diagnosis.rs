//! Gathers what a diagnosis is made from: what was observed, the records, what is outside of git, where one could go.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::failure::Failure;
use super::newest_point;
use super::next_steps;
use super::saved;
use super::session::Session;
use super::target;
use crate::component::Content;
use crate::config::{Component, Flag, Prove};
use crate::diagnosis::{
    Changed, Diagnosis, FailingCheck, FailingSince, Findings, Migrations, Part, Proof, Rollback,
    ServiceSeen, Switched, Way, diagnose, first_told, is_of_the_surroundings, without_time,
};
use crate::engine::{self, Run};
use crate::flag;
use crate::ledger::{self, Entry};
use crate::model::{Event, Oid, Outcome, RepoPath, Seq, Served};
use crate::plan::PlanError;
use crate::plan::candidates::{self, Candidates};
use crate::plan::deployed;
use crate::plan::estimate;
use crate::plan::facts::Facts;
use crate::plan::holds;
use crate::service::{self, ServiceLog};
use crate::site::{
    Observed, Sightings, changed_since, environment_files, maintenance, note_sighting,
};
use crate::system::files;
use crate::system::process::is_error;
use crate::system::procs;
use crate::system::text::{bytes, clock_word, escape, quoted};
use crate::target::{Candidate, Needed, Reach, Request, Resolution};

/// Less than this is no room: 1 MiB, and some files.
const NO_ROOM: (u64, u64) = (1024 * 1024, 8);

/// Looks now, and concludes.
///
/// # Errors
/// When the repository or the own chain cannot be read.
pub fn look(session: &Session) -> Result<Diagnosis, Failure> {
    let facts = session.facts()?;
    let site = &session.site;
    let config = &facts.accepted.config;
    let observed = Observed::now(site, config, &facts.serving, &facts.deployment(site));
    let open = engine::open_runs(site)?;
    of(session, &facts, &observed, &open)
}

/// Concludes from what was observed. `open` are the runs that are not over.
///
/// # Errors
/// When the repository or the records cannot be read.
pub fn of(
    session: &Session,
    facts: &Facts,
    observed: &Observed,
    open: &[Run],
) -> Result<Diagnosis, Failure> {
    let site = &session.site;
    let healthy = observed.healthy();
    let rollback = last_rollback(session, facts);
    let failing_before = failing_before(session, facts);
    let doubt = if healthy && open.is_empty() { doubt(session, facts, observed)? } else { None };
    let proof = facts.proven_by(site)?;
    let seen =
        open.is_empty().then(|| note_sighting(site, &facts.serving.commit, healthy, facts.now));
    let mut found = Findings {
        serving: facts.serving.clone(),
        proof: proof.as_ref().and_then(|proof| {
            let at = proof.evidence.witnessed.as_ref()?.at;
            Some(Proof { record: proof.seq, at })
        }),
        since: None,
        doubt,
        by_hand: facts.by_hand(),
        checks: failing(observed),
        services: Vec::new(),
        strangers: observed.strangers.iter().map(|one| (one.to_string(), one.pid)).collect(),
        changed: Vec::new(),
        maintenance: maintenance(site).map(|found| {
            let since = clock_word(found.since, facts.now);
            format!("{} stopped services for maintenance, {since}", escape(&found.by))
        }),
        unread: Vec::new(),
        full: Vec::new(),
        own_use: Vec::new(),
        gone: Vec::new(),
        partial: Vec::new(),
        back: None,
        migrations: Migrations::default(),
        part: None,
        switched: None,
        switched_in_vain: None,
        rollback,
        failing_before: failing_before.filter(|_| open.is_empty()),
        open_run: open.last().map(next_steps::of).unwrap_or_default(),
        not_restored: saved::not_brought_back(site, &facts.serving.commit)
            .map(|left| (left.0.clone(), saved::bring_back_step(&left))),
        newer: None,
    };
    found.full = full(session);
    if !found.full.is_empty() {
        found.own_use = own_use(session);
    }
    if healthy {
        found.services = services(session, facts, observed, false);
        if found.failing_before.is_some() {
            let all = candidates::gather(site, facts);
            found.back = last_good(&all, false)?.map(|found| way(session, facts, &found.chosen));
        }
        return Ok(diagnose(&found));
    }
    found.services = services(session, facts, observed, true);
    found.since = since(session, facts, &found, seen);
    let config = &facts.accepted.config;
    if let Some(before) = proof.and_then(|proof| proof.evidence.witnessed?.outside) {
        let changed = changed_since(site, config, &facts.serving.commit, &before)?;
        found.changed = changed
            .into_iter()
            .map(|file| {
                let path = file.path.to_string();
                let kept = kept_settings(session, facts, &path, file.at);
                Changed { path, at: file.at, names: file.names, kept }
            })
            .collect();
    }
    found.unread = unread(session, facts, &found);
    found.gone = gone(session, facts);
    found.partial = partial(session, facts, &found.gone)?;
    if !open.is_empty() {
        return Ok(diagnose(&found));
    }
    (found.switched, found.switched_in_vain) = match switched(session, facts) {
        Some(last) => match in_vain(session, facts, &last.flags) {
            Some(record) => (None, Some(Switched { record, ..last })),
            None => (Some(last), None),
        },
        None => (None, None),
    };
    let all = candidates::gather(site, facts);
    let usual = last_good(&all, true)?;
    let good = match usual.clone() {
        Some(good) => Some(not_tried(session, facts, good)),
        // Named, `back` goes there.
        None => all.even_tried(Reach::default())?,
    };
    if let Some(Candidate { commit: Some(commit), .. }) = good.as_ref().map(|good| &good.chosen) {
        found.migrations = deployed::migrations(site, facts, &facts.serving.commit, commit)?;
        let point = newest_point::before_migrations(session, facts, &found.migrations.stay);
        found.migrations.point = point.map(|point| point.to_string());
    }
    found.part = part(session, facts, observed, good.as_ref(), &found.services)?;
    let usual = usual.and_then(|usual| usual.chosen.commit);
    found.back = good.map(|good| {
        let named = usual != good.chosen.commit;
        Way { named, ..way(session, facts, &good.chosen) }
    });
    found.newer = newer(session, facts)?;
    Ok(diagnose(&found))
}

/// A failure with what is observed now and why, and with the command that heals before its own.
pub fn explain(session: &Session, failure: Failure) -> Failure {
    let Ok(found) = look(session) else {
        return failure.next("gitroll status", "shows what serves");
    };
    let label = |label: &'static str| {
        move |(index, text): (usize, &String)| {
            let label = if index == 0 { label } else { "" };
            format!("{label:<8} {text}")
        }
    };
    let changed = changed_files(&found).map(|files| format!("{:<8} {files}", "changed"));
    let failure = failure
        .details(found.why.iter().enumerate().map(label("why")))
        .details(changed)
        .details(found.notes.iter().enumerate().map(label("note")));
    failure.next_first(found.next)
}

/// `.env: RELAY, SENDER`
pub fn changed_files(found: &Diagnosis) -> Option<String> {
    let file = |file: &Changed| match file.names.as_slice() {
        [] => file.path.clone(),
        names => format!("{}: {}", file.path, names.join(", ")),
    };
    let files: Vec<String> = found.changed.iter().map(file).collect();
    (!files.is_empty()).then(|| files.join("; "))
}

/// Where `gitroll back` goes.
///
/// # Errors
/// When the repository cannot be read.
pub fn last_good(all: &Candidates<'_>, failing: bool) -> Result<Option<Resolution>, PlanError> {
    match all.resolve(&Request::LastGood)? {
        Ok(found) => Ok(Some(found)),
        Err(_) if failing => all.however_short(),
        Err(_) => Ok(None),
    }
}

/// A target that is no better than what serves.
#[derive(Debug)]
pub struct DoubtedTarget {
    /// Why, in a sentence.
    pub why: String,
    /// The newest one that has the part that fails otherwise, as it is typed.
    pub instead: Option<String>,
}

/// Why the target of `back` is no better than what serves, where the part that fails is the same in it; with the one to
/// go to instead.
///
/// # Errors
/// When git cannot read a tree.
pub fn doubt_of_target(
    session: &Session,
    facts: &Facts,
    good: &Resolution,
) -> Result<Option<DoubtedTarget>, Failure> {
    let site = &session.site;
    let config = &facts.accepted.config;
    let observed = Observed::now(site, config, &facts.serving, &facts.deployment(site));
    if observed.healthy() {
        return Ok(None);
    }
    let services = services(session, facts, &observed, true);
    let part = part(session, facts, &observed, Some(good), &services)?;
    let Some(part) = part.filter(|part| part.same_in_target) else {
        let found = of(session, facts, &observed, &[])?;
        let changed = changed_files(&found).map(|files| format!(" (changed: {files})"));
        return Ok(found.back_doubted.map(|why| DoubtedTarget {
            why: format!("going back may not help: {why}{}", changed.unwrap_or_default()),
            instead: None,
        }));
    };
    let Part { id, because, changed_in, other_in, .. } = part;
    let since = changed_in.map(|(name, seq)| format!(", last changed in {name}, #{seq}"));
    let instead = other_in.map(|way| way.name);
    let past = instead.as_ref().map(|name| format!("; gitroll back --to {name} has another one"));
    let why = format!(
        "{} has the same {id}, which fails now ({because}{}){}",
        good.chosen.name,
        since.unwrap_or_default(),
        past.unwrap_or_default()
    );
    Ok(Some(DoubtedTarget { why, instead }))
}

fn failing(observed: &Observed) -> Vec<FailingCheck> {
    let failed = observed.checks.iter().filter(|check| check.failed());
    failed
        .map(|check| FailingCheck {
            name: check.check.to_string(),
            answer: check.last.answer.clone(),
            says: check.last.says.clone(),
        })
        .collect()
}

fn doubt(session: &Session, facts: &Facts, observed: &Observed) -> Result<Option<String>, Failure> {
    let vouched = facts.vouched(&session.site, &observed.services)?;
    let weak = facts.accepted.config.app.prove == Prove::Weak;
    Ok(vouched.doubt(observed.told(), weak).map(str::to_owned))
}

/// The services as seen, with what their logs say of errors where that is asked for.
fn services(
    session: &Session,
    facts: &Facts,
    observed: &Observed,
    with_logs: bool,
) -> Vec<ServiceSeen> {
    let site = &session.site;
    let config = &facts.accepted.config;
    let host = site.host(&facts.serving, &facts.deployment(site));
    let redactor = site.redactor(config);
    let declared = |name: &str| config.services.iter().find(|one| one.name.as_str() == name);
    let error_of = |lines: &[String]| {
        let error = lines.iter().rev().find(|line| is_error(line) && !line.starts_with("at "));
        error.map(|line| redactor.text(without_time(line)))
    };
    let seen = observed.services.iter().map(|(name, state)| match state {
        Ok(state) => {
            let mut error = error_of(&state.log).filter(|_| with_logs);
            if error.is_none()
                && with_logs
                && let Some(service) = declared(name)
            {
                error = error_of(&service::last_lines(&host, service));
            }
            let started = state.processes.iter().filter_map(|one| procs::started_at(one.pid)).min();
            ServiceSeen {
                name: name.clone(),
                word: match &state.stale {
                    Some(how) => format!("{}, but not from this tree: {how}", state.word),
                    None => state.word.clone(),
                },
                up: state.up,
                stopped: !state.up && Observed::is_stopped(state),
                restarts: state.restarts,
                started,
                error,
            }
        }
        Err(error) => ServiceSeen {
            name: name.clone(),
            word: error.to_string(),
            up: false,
            stopped: false,
            restarts: 0,
            started: None,
            error: None,
        },
    });
    seen.collect()
}

/// Since when it fails: by a log that writes times, else by when this was seen first.
fn since(
    session: &Session,
    facts: &Facts,
    found: &Findings,
    seen: Option<Sightings>,
) -> Option<FailingSince> {
    let site = &session.site;
    let config = &facts.accepted.config;
    let host = site.host(&facts.serving, &facts.deployment(site));
    let redactor = site.redactor(config);
    let proof = found.proof.as_ref().map(|proof| proof.at);
    let well = seen.as_ref().and_then(|seen| seen.well).max(proof);
    let says = found.checks.iter().filter_map(|check| check.says.as_deref());
    let errors = found.services.iter().filter_map(|service| service.error.as_deref());
    let causes: Vec<&str> = says.chain(errors).collect();
    for service in &config.services {
        let logs = service::logs(&host, service).unwrap_or_default();
        for log in &logs {
            let ServiceLog::File(path) = log else { continue };
            let (text, whole) = service::end_of_log(path);
            let text = redactor.output(&text);
            let told =
                causes.iter().filter_map(|cause| first_told(text.lines(), cause, well, whole));
            if let Some((at, began)) = told.min() {
                let told_by = Some(format!("{} log", service.name));
                return Some(FailingSince { at, began, told_by });
            }
        }
    }
    let first = seen.and_then(|seen| seen.failing)?;
    Some(FailingSince { at: first, began: false, told_by: None })
}

/// The environment files that were written after the processes were started. Processes that the last proof saw have
/// served well without that.
fn unread(session: &Session, facts: &Facts, found: &Findings) -> Vec<String> {
    let site = &session.site;
    let Some(started) = found.services.iter().filter_map(|service| service.started).min() else {
        return Vec::new();
    };
    if found.proof.as_ref().is_none_or(|proof| started <= proof.at) {
        return Vec::new();
    }
    let paths = environment_files(&facts.accepted.config).into_iter();
    let unread = paths.filter(|path| {
        let written = site.top().join(path).metadata().and_then(|file| file.modified()).ok();
        let written = written.and_then(|at| jiff::Timestamp::try_from(at).ok());
        written.is_some_and(|at| at > started)
    });
    unread.map(|path| path.display().to_string()).collect()
}

/// The last change of flags that still holds, if the app was well when it was made and nothing was deployed since.
fn switched(session: &Session, facts: &Facts) -> Option<Switched> {
    let own = facts.own(&session.site).iter().rev();
    let mut acts = own
        .filter(|entry| entry.record.outcome == Outcome::Succeeded && entry.record.event.serves());
    // Going back leaves the flags as they are.
    let entry = acts.find(|entry| entry.record.event != Event::Back)?;
    if entry.record.event != Event::Flags || !entry.record.lifts.is_empty() {
        return None;
    }
    let evidence = ledger::evidence(&session.site.git, entry).ok()?;
    let well =
        evidence.faults_before.is_empty() && !evidence.baseline.iter().any(|one| one.failed());
    let flags = entry.record.flags.iter().map(|change| change.name.to_string()).collect();
    well.then_some(Switched { record: entry.record.seq, flags })
}

/// The record of the last try to change one of these flags, where that failed and nothing was changed since.
fn in_vain(session: &Session, facts: &Facts, flags: &[String]) -> Option<Seq> {
    let own = facts.own(&session.site).iter().rev();
    let mut tries = own
        .filter(|entry| entry.record.event.serves())
        .take_while(|entry| entry.record.outcome != Outcome::Succeeded);
    let failed = tries.find(|entry| {
        let Ok(evidence) = ledger::evidence(&session.site.git, entry) else { return false };
        let of_these = || {
            let steps = evidence.steps.iter().filter_map(|step| step.step.strip_prefix("flags"));
            let named = entry.record.flags.iter().map(|change| change.name.to_string());
            named.clone().any(|name| flags.contains(&name))
                || named.count() == 0 && steps.count() > 0
        };
        entry.record.event == Event::Flags && !engine::was_stopped(&evidence) && of_these()
    });
    failed.map(|entry| entry.record.seq)
}

/// The settings that a changed file belongs to, and the newest good point from before it changed.
fn kept_settings(
    session: &Session,
    facts: &Facts,
    path: &str,
    at: Option<jiff::Timestamp>,
) -> Option<(String, String)> {
    let settings = newest_point::settings_of(session, &facts.accepted.config, path)?;
    let point = newest_point::of_settings(session, facts, settings, at)?;
    Some((settings.name.to_string(), point.to_string()))
}

/// What was built for what serves, lies there and is not as it was built; and whether a copy of it is kept.
fn partial(
    session: &Session,
    facts: &Facts,
    gone: &[(String, bool)],
) -> Result<Vec<(String, bool)>, Failure> {
    let site = &session.site;
    let changed = facts.changed(site, &facts.serving.commit)?;
    let Some(entry) = facts.last_record_of(site, &facts.serving.commit) else {
        return Ok(Vec::new());
    };
    let artifacts = ledger::evidence(&site.git, entry)?.artifacts;
    let kept = |output: &RepoPath| {
        let made = artifacts.iter().find(|artifact| artifact.output == *output);
        made.is_some_and(|made| site.store.has(&made.key, output))
    };
    let changed =
        changed.iter().filter(|path| gone.iter().all(|(one, _)| *one != path.to_string()));
    Ok(changed.map(|path| (path.to_string(), kept(path))).collect())
}

/// What gitroll keeps on this host and can be made less.
fn own_use(session: &Session) -> Vec<(String, String, String)> {
    const WORTH_IT: u64 = 1024 * 1024;
    let site = &session.site;
    let all = [
        ("points", site.binding.points_dir(), "gitroll point prune"),
        ("saved files", site.state().join("saved"), "gitroll saved"),
    ];
    let sizes = all.into_iter().map(|(what, place, command)| {
        (what.to_owned(), files::size_of_tree(&place).0, command.to_owned())
    });
    let worth_it = sizes.filter(|(_, size, _)| *size >= WORTH_IT);
    worth_it.map(|(what, size, command)| (what, bytes(size), command)).collect()
}

/// What is wrong with what was observed, as [`Observed::faults`], of a service that is down with its log's last error: in
/// the morning nothing else tells it any more.
pub fn faults(session: &Session, facts: &Facts, observed: &Observed) -> Vec<String> {
    let mut faults = observed.faults();
    for seen in services(session, facts, observed, true).iter().filter(|seen| !seen.up) {
        let fault = format!("{} {}", seen.name, seen.word);
        let known = faults.iter_mut().find(|known| **known == fault);
        if let (Some(known), Some(error)) = (known, &seen.error) {
            known.push_str(&format!(": {error}"));
        }
    }
    faults
}

/// The places of this app without room.
fn full(session: &Session) -> Vec<(String, String)> {
    let site = &session.site;
    let places = [site.top(), site.git.git_dir(), site.binding.work_dir.as_path()];
    let mut full: Vec<(String, String)> = Vec::new();
    for place in places {
        let Ok(free) = files::free_space(place) else { continue };
        let left = if free.bytes < NO_ROOM.0 {
            format!("{} KiB", free.bytes / 1024)
        } else if let Some(inodes) = free.inodes.filter(|inodes| *inodes < NO_ROOM.1) {
            format!("{inodes} inodes")
        } else {
            continue;
        };
        if full.is_empty() {
            full.push((mounted_at(place), left));
        }
    }
    full
}

/// Where the file system of a place begins: what fills it may lie beside the app.
fn mounted_at(place: &Path) -> String {
    let device = |path: &Path| path.metadata().map(|found| found.dev()).ok();
    let own = device(place);
    let same = place.ancestors().take_while(|above| own.is_some() && device(above) == own);
    let top = same.last().unwrap_or(place).display().to_string();
    quoted(&top).unwrap_or(top)
}

/// What was built for what serves and does not lie there any more, and whether a copy of it is kept.
fn gone(session: &Session, facts: &Facts) -> Vec<(String, bool)> {
    let site = &session.site;
    let Some(entry) = facts.last_record_of(site, &facts.serving.commit) else { return Vec::new() };
    let Ok(evidence) = ledger::evidence(&site.git, entry) else { return Vec::new() };
    let missing = |path: &RepoPath| {
        let path = site.top().join(path.as_path());
        let empty = || std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        path.symlink_metadata().is_err() || empty()
    };
    let gone = evidence.artifacts.iter().filter(|artifact| missing(&artifact.output));
    gone.map(|artifact| {
        (artifact.output.to_string(), site.store.has(&artifact.key, &artifact.output))
    })
    .collect()
}

fn way(session: &Session, facts: &Facts, candidate: &Candidate) -> Way {
    let build = match &candidate.build {
        Needed::Build(groups) => groups.clone(),
        _ => Vec::new(),
    };
    Way {
        name: candidate.name.clone(),
        named: false,
        failed: candidate.commit.as_ref().and_then(|commit| failed_try(session, facts, commit)),
        about: estimate::about(&session.site, facts, &build),
        build,
    }
}

/// With the first candidate that was not tried without success since it was last proven, where there is one.
fn not_tried(session: &Session, facts: &Facts, good: Resolution) -> Resolution {
    let tried = |one: &Candidate| {
        one.commit.as_ref().is_some_and(|commit| failed_try(session, facts, commit).is_some())
    };
    let all: Vec<Candidate> =
        std::iter::once(good.chosen.clone()).chain(good.further.clone()).collect();
    let Some(place) = all.iter().position(|one| !tried(one)).filter(|place| *place > 0) else {
        return good;
    };
    let further = all[place + 1..].to_vec();
    Resolution { chosen: all[place].clone(), further, ..good }
}

/// The record of a try to put a commit in place that failed, where it was not proven since.
fn failed_try(session: &Session, facts: &Facts, commit: &Oid) -> Option<Seq> {
    let own = facts.own(&session.site).iter().rev();
    for entry in own.filter(|entry| entry.record.event.serves()) {
        let record = &entry.record;
        match record.outcome {
            Outcome::Succeeded if record.to.as_ref() == Some(commit) => return None,
            Outcome::Failed | Outcome::Restored if record.subject.as_ref() == Some(commit) => {
                let evidence = ledger::evidence(&session.site.git, entry).ok()?;
                // What failed for something around the app failed for nothing of its own.
                let around = evidence.failure.as_deref().is_some_and(is_of_the_surroundings);
                let stopped = engine::was_stopped(&evidence) || around;
                return (record.event != Event::Predeploy && !stopped).then_some(record.seq);
            }
            _ => {}
        }
    }
    None
}

/// The component that fails, where a check or an error says which.
fn part(
    session: &Session,
    facts: &Facts,
    observed: &Observed,
    good: Option<&Resolution>,
    services: &[ServiceSeen],
) -> Result<Option<Part>, Failure> {
    let components = &facts.accepted.config.components;
    let Some((component, because)) = suspect(session, facts, observed, services) else {
        return Ok(None);
    };
    let git = &session.site.git;
    let now = Content::of(git, &facts.serving.commit, component)?;
    let same = |candidate: &Candidate| -> Result<bool, Failure> {
        let Some(commit) = &candidate.commit else { return Ok(true) };
        Ok(Content::of(git, commit, component)? == now)
    };
    let mut same_in_target = false;
    let mut other_in = None;
    if let Some(good) = good {
        same_in_target = same(&good.chosen)?;
        for candidate in good.further.iter().filter(|_| same_in_target) {
            if !same(candidate)? {
                other_in = Some(way(session, facts, candidate));
                break;
            }
        }
    }
    let index = components.iter().position(|one| one.id == component.id).unwrap_or_default();
    let changed_in = deployed::last_changes(&session.site, facts, &components[index..=index])?;
    let changed_in = changed_in.into_iter().flatten().next();
    let on = component.flag.as_ref().filter(|flag| is_on(session, facts, flag));
    let flag = on.filter(|flag| in_vain(session, facts, &[flag.name.to_string()]).is_none());
    let flag = flag.map(|flag| flag.name.to_string());
    Ok(Some(Part {
        id: component.id.to_string(),
        because,
        changed_in: changed_in.map(|change| (change.name, change.seq)),
        same_in_target,
        other_in,
        flag,
    }))
}

/// The component that fails while `served` is in place: its index and why it is that one; and what is said of the cause.
pub fn failing_part(
    session: &Session,
    facts: &Facts,
    served: &Served,
) -> (Option<(usize, String)>, Vec<String>) {
    let config = &facts.accepted.config;
    let observed = Observed::now(&session.site, config, served, &facts.deployment(&session.site));
    let services = services(session, facts, &observed, true);
    let said = observed.checks.iter().filter_map(|check| check.last.says.clone());
    let causes = said.chain(services.iter().filter_map(|seen| seen.error.clone())).collect();
    let part = suspect(session, facts, &observed, &services).and_then(|(component, because)| {
        let index = config.components.iter().position(|one| one.id == component.id)?;
        Some((index, because))
    });
    (part, causes)
}

/// Whether a flag is known not to be off.
fn is_on(session: &Session, facts: &Facts, flag: &Flag) -> bool {
    let sources = facts.accepted.config.flags.as_ref();
    let source = sources.and_then(|flags| flags.source(flag.source.as_ref()));
    let host = session.site.host(&facts.serving, "");
    source.is_some_and(|source| {
        let read = flag::read(&host, source, std::slice::from_ref(&flag.name)).ok();
        let value = read.and_then(|mut found| found.remove(&flag.name));
        value.is_some_and(|value| value.plain().as_ref() != Some(&flag.off))
    })
}

/// The one component that a failing check belongs to, or that an error names a file of; with why.
fn suspect<'f>(
    session: &Session,
    facts: &'f Facts,
    observed: &Observed,
    services: &[ServiceSeen],
) -> Option<(&'f Component, String)> {
    let components = &facts.accepted.config.components;
    let failed: Vec<_> = observed.checks.iter().filter(|check| check.failed()).collect();
    let only = |mut found: Vec<(&'f Component, String)>| {
        if found.len() == 1 { found.pop() } else { None }
    };
    let by_check = components.iter().filter_map(|component| {
        let check = failed.iter().find(|check| component.checks.contains(&check.check))?;
        Some((component, format!("check {} belongs to it", check.check)))
    });
    // Where every check fails, that one of its own does says nothing.
    let all = failed.len() == observed.checks.iter().filter(|c| c.skipped.is_none()).count();
    if let Some(found) = only(by_check.collect()).filter(|_| !all || observed.checks.len() == 1) {
        return Some(found);
    }
    let top = session.site.top();
    let lines = observed.services.iter().filter_map(|(_, state)| state.as_ref().ok());
    let lines: Vec<&str> = lines.flat_map(|state| state.log.iter().map(String::as_str)).collect();
    let said = failed.iter().filter_map(|check| check.last.says.as_deref());
    let errors = services.iter().filter_map(|service| service.error.as_deref());
    let said: Vec<&str> = said.chain(errors).chain(lines).collect();
    let by_place = components.iter().filter_map(|component| {
        let mut places = said.iter().flat_map(|line| places(line, top));
        let place = places.find(|place| component.paths.covers(place))?;
        Some((component, format!("the error is in {place}")))
    });
    only(by_place.collect())
}

/// The files of the app that a line of an error names: `at f (/srv/shop/src/search.js:14:15)`.
fn places(line: &str, top: &Path) -> Vec<RepoPath> {
    let top = format!("{}/", top.display());
    let parts = line.split(&top).skip(1);
    let named = parts.map(|rest| {
        let end = rest.find([':', ')', '\'', '"', ' ', ',']).unwrap_or(rest.len());
        RepoPath::new(rest.as_bytes().get(..end).unwrap_or_default())
    });
    named.flatten().collect()
}

/// The newest of the upstream branch, where that may be deployed and does not serve.
fn newer(session: &Session, facts: &Facts) -> Result<Option<String>, Failure> {
    let git = &session.site.git;
    let Some(upstream) = &facts.accepted.config.deploy.upstream else { return Ok(None) };
    let name = format!("{}/{}", upstream.remote, upstream.branch);
    let Some(tip) = git.find_ref(&format!("refs/remotes/{name}"))? else { return Ok(None) };
    if tip == facts.serving.commit || !git.contains(&tip, &facts.serving.commit)? {
        return Ok(None);
    }
    let held = !holds::holding(&session.site, facts, &tip)?.is_empty();
    Ok((!held).then_some(name))
}

/// The rollback that was the last act here, by code or by flags; `None` if something else was, or someone moved
/// HEAD since.
pub fn last_rollback(session: &Session, facts: &Facts) -> Option<Rollback> {
    let (entry, flags) = undoable(session, facts)?;
    let evidence = ledger::evidence(&session.site.git, entry).ok()?;
    let mut faults = evidence.faults_before;
    if faults.is_empty() {
        let failed = evidence.baseline.iter().filter(|check| check.failed());
        faults = failed.map(|check| format!("{} {}", check.check, check.last.told())).collect();
    }
    if flags && faults.is_empty() {
        return None;
    }
    let left = entry.record.from.as_ref()?;
    let left = facts.names.served(&session.site.git, left, None).ok()?.to_string();
    Some(Rollback { record: entry.record.seq, left, faults, flags })
}

/// The last act, where `back --undo` takes it back; whether it is one of flags.
fn undoable<'f>(session: &Session, facts: &'f Facts) -> Option<(&'f Entry, bool)> {
    if facts.by_hand() {
        return None;
    }
    let own = facts.own(&session.site).iter().rev();
    let mut done = own.filter(|entry| entry.record.outcome == Outcome::Succeeded);
    let last = done.find(|entry| entry.record.event.serves())?;
    if last.record.event == Event::Flags {
        return last.record.lifts.is_empty().then_some((last, true));
    }
    let back = target::last_rollback(session, facts)?;
    back.record.lifts.is_empty().then_some((back, false))
}

/// An act that was given up and left what serves as it was, failing.
pub fn failing_before(session: &Session, facts: &Facts) -> Option<(Seq, String)> {
    let mut own = facts.own(&session.site).iter().rev();
    let last = own.find(|entry| entry.record.event.serves())?;
    let record = &last.record;
    let given_up = record.outcome == Outcome::Failed
        && record.event != Event::Predeploy
        && record.from.as_ref() == Some(&facts.serving.commit);
    let evidence = given_up.then(|| ledger::evidence(&session.site.git, last).ok()).flatten()?;
    let fault = evidence.faults_before.first()?.clone();
    Some((record.seq, fault))
}
