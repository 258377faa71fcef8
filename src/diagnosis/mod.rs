//! One diagnosis of a host: what is observed serving, why it fails, what changed outside of git, and the command that
//! heals. A pure function of what was observed; nothing else decides what is to be typed next about the host's state.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Seq, Served};

mod since;

use since::plain;
pub use since::{FailingSince, first_told, without_time};

/// A command, and what it does.
pub type NextStep = (String, String);

/// What was observed, before anything is concluded from it.
#[derive(Debug, Clone)]
pub struct Findings {
    /// What serves, or should: HEAD, or what the processes were started on.
    pub serving: Served,
    /// The last time it was observed serving well.
    pub proof: Option<Proof>,
    /// Since when it fails; `None` where it does not, or nobody knows.
    pub since: Option<FailingSince>,
    /// Why nobody knows that what answers is what should serve.
    pub doubt: Option<String>,
    /// HEAD is not what the records say.
    pub by_hand: bool,
    /// What is wrong with each check that fails.
    pub checks: Vec<FailingCheck>,
    pub services: Vec<ServiceSeen>,
    /// What listens where the app should: a sentence, and the process where that is known.
    pub strangers: Vec<(String, Option<u32>)>,
    /// Files outside of git that changed since the proof.
    pub changed: Vec<Changed>,
    /// Who stopped services for maintenance, since when and why, in words.
    pub maintenance: Option<String>,
    /// Files of settings that were written after the service that fails was started, which the last proof did not see.
    pub unread: Vec<String>,
    /// If there is no room left: the place, and what is left in words.
    pub full: Vec<(String, String)>,
    /// What gitroll itself keeps where there is no room: what it is, its size in words, and what to type about it.
    pub own_use: Vec<(String, String, String)>,
    /// Built directories of what serves that are gone, and whether a copy of each is kept.
    pub gone: Vec<(String, bool)>,
    /// Those that are there and are not as they were built, and whether a copy of each is kept.
    pub partial: Vec<(String, bool)>,
    /// Where `gitroll back` goes.
    pub back: Option<Way>,
    /// Migrations that going there crosses.
    pub migrations: Migrations,
    /// The part of the app that fails, where that is known.
    pub part: Option<Part>,
    /// The change of flags that was the last act here, where the app was well before it.
    pub switched: Option<Switched>,
    /// The last change of flags, if it was tried without success since.
    pub switched_in_vain: Option<Switched>,
    /// The rollback that was the last act here.
    pub rollback: Option<Rollback>,
    /// A given-up act that left what serves failing: the record, and what was wrong.
    pub failing_before: Option<(Seq, String)>,
    /// The ways on from an open run; empty if none is open.
    pub open_run: Vec<NextStep>,
    /// What restores the saved files that an undo did not, which was killed at its end, and the name of their set.
    pub not_restored: Option<(String, NextStep)>,
    /// The newest version of the upstream branch is not what serves, and may be deployed.
    pub newer: Option<String>,
}

/// The last time something was observed serving well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Proof {
    /// The record.
    pub record: Seq,
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// A check that fails.
#[derive(Debug, Clone)]
pub struct FailingCheck {
    pub name: String,
    /// `500`
    pub answer: String,
    /// What the answer says of a cause.
    pub says: Option<String>,
}

/// A service as seen.
#[derive(Debug, Clone)]
pub struct ServiceSeen {
    pub name: String,
    /// The manager's word.
    pub word: String,
    pub up: bool,
    /// Someone stopped it; it did not fall over.
    pub stopped: bool,
    pub restarts: u64,
    /// When the oldest of its processes was started.
    pub started: Option<Timestamp>,
    /// The last line of its log that names an error.
    pub error: Option<String>,
}

/// A file outside of git that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Changed {
    /// Where it is.
    pub path: String,
    /// When it was written last; absent where it is gone.
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// Of a file of variables the names of those that changed.
    pub names: Vec<String>,
    /// The settings that it belongs to, and the point that holds them as they were before it changed.
    #[serde(skip)]
    #[schemars(skip)]
    pub kept: Option<(String, String)>,
}

/// Where one could go.
#[derive(Debug, Clone)]
pub struct Way {
    /// As it is typed behind `--to`.
    pub name: String,
    /// It is not what `gitroll back` goes to by itself.
    pub named: bool,
    /// The record of the last try to go there, where that failed.
    pub failed: Option<Seq>,
    /// What must be built.
    pub build: Vec<String>,
    pub about: Option<Duration>,
}

/// Migrations between what serves and where one goes.
#[derive(Debug, Clone, Default)]
pub struct Migrations {
    /// Their names.
    pub names: Vec<String>,
    /// The target served with them once.
    pub seen: bool,
    /// `[migrate] old_code_ok`: the target works with them.
    pub old_code_ok: bool,
    /// Those that have no way back.
    pub stay: Vec<String>,
    /// The newest good point of a version without those that have no way back.
    pub point: Option<String>,
}

/// The part of the app that fails.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its component's id.
    pub id: String,
    /// Why it is that one: `check search is its own`.
    pub because: String,
    /// What last changed it: the state's name and record.
    pub changed_in: Option<(String, Seq)>,
    /// Where `gitroll back` goes has it as it is.
    pub same_in_target: bool,
    /// The newest state that may be rolled back to and has it otherwise.
    pub other_in: Option<Way>,
    /// Its flag, where that is on.
    pub flag: Option<String>,
}

/// A rollback that was the last act.
#[derive(Debug, Clone)]
pub struct Rollback {
    pub record: Seq,
    /// What it left, as it is called.
    pub left: String,
    /// What was wrong with that.
    pub faults: Vec<String>,
    /// It only switched flags.
    pub flags: bool,
}

/// A change of flags that was the last act, made while the app was well.
#[derive(Debug, Clone)]
pub struct Switched {
    pub record: Seq,
    /// The names of the flags.
    pub flags: Vec<String>,
}

/// How a host is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// What should serve is observed serving.
    Well,
    /// Something answers well, and nobody knows that it is what should, or it was failing lately.
    Doubtful,
    /// Something answers, and not well.
    Failing,
    /// Nothing answers.
    Down,
}

/// What is wrong and what to type.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// In a word.
    pub health: Health,
    /// What serves, or should.
    pub serving: Served,
    /// The last time it was observed serving well.
    pub last_well: Option<Proof>,
    /// Since when it fails, as far as it is known.
    pub failing_since: Option<FailingSince>,
    /// Why it is not well, the most telling sentence first; empty where it is.
    pub why: Vec<String>,
    /// What changed outside of git since it was last observed serving well.
    pub changed: Vec<Changed>,
    /// What a person should know before going anywhere.
    pub notes: Vec<String>,
    /// Why `gitroll back` would not help, if that is known.
    pub back_doubted: Option<String>,
    /// The saved files that an undo did not restore, which was killed at its end, as `gitroll saved` names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_restored: Option<String>,
    /// The commands to type, the one that heals first; each with what it does.
    pub next: Vec<NextStep>,
}

impl Diagnosis {
    /// Whether there is anything to be told.
    pub fn is_well(&self) -> bool {
        self.health == Health::Well
    }
}

impl Findings {
    fn health(&self) -> Health {
        let silent = !self.services.is_empty() && self.services.iter().all(|one| !one.up);
        let failing = !self.checks.is_empty()
            || !self.strangers.is_empty()
            || self.services.iter().any(|one| !one.up);
        match failing {
            true if silent => Health::Down,
            true => Health::Failing,
            false if self.doubt.is_some() || self.failing_before.is_some() => Health::Doubtful,
            false => Health::Well,
        }
    }

    fn down(&self) -> impl Iterator<Item = &ServiceSeen> {
        self.services.iter().filter(|service| !service.up)
    }

    /// Built directories that are not as they were built, where what is said of the cause is that something is missing.
    fn broken_builds(&self) -> impl Iterator<Item = &(String, bool)> {
        let missing = self.causes().any(is_of_a_missing_module);
        self.partial.iter().filter(move |_| missing)
    }

    /// What was said of the cause, by answers and logs.
    fn causes(&self) -> impl Iterator<Item = &str> {
        let said = self.checks.iter().filter_map(|check| check.says.as_deref());
        said.chain(self.services.iter().filter_map(|service| service.error.as_deref()))
    }

    /// The first word for something around the app that does not work, where one is said.
    fn surroundings(&self) -> Option<&str> {
        self.causes().find(|cause| is_of_the_surroundings(cause))
    }

    /// Whether what is wrong now was wrong with what the last rollback left, too.
    fn as_before_the_rollback(&self) -> Option<&Rollback> {
        let rollback = self.rollback.as_ref()?;
        let same =
            |cause: &str| rollback.faults.iter().any(|fault| plain(fault).contains(&plain(cause)));
        self.causes().any(same).then_some(rollback)
    }

    /// Whether something outside of git changed that a process has read since it did.
    fn reads_what_changed(&self) -> bool {
        let latest = self.changed.iter().filter_map(|changed| changed.at).max();
        let down = self.down().next().is_some();
        let read = |at: Timestamp| {
            let mut started = self.services.iter().filter_map(|service| service.started);
            down || started.any(|started| started >= at)
        };
        !self.changed.is_empty() && latest.is_none_or(read)
    }
}

/// Concludes.
pub fn diagnose(found: &Findings) -> Diagnosis {
    let health = found.health();
    let well = matches!(health, Health::Well | Health::Doubtful);
    Diagnosis {
        health,
        serving: found.serving.clone(),
        last_well: found.proof.clone(),
        failing_since: found.since.clone().filter(|_| !well),
        why: if well { doubts(found) } else { why(found) },
        changed: if well { Vec::new() } else { found.changed.clone() },
        notes: if well { no_room(found).collect() } else { notes(found) },
        back_doubted: back_doubted(found).filter(|_| !well),
        not_restored: found.not_restored.as_ref().map(|(id, _)| id.clone()),
        next: next(found, health),
    }
}

fn doubts(found: &Findings) -> Vec<String> {
    let before = found.failing_before.as_ref();
    let before = before.map(|(seq, fault)| {
        format!("it was failing before #{seq} ({fault}) and answers now: watch it")
    });
    before.into_iter().chain(found.doubt.clone()).take(1).collect()
}

fn no_room(found: &Findings) -> impl Iterator<Item = String> {
    found.full.iter().map(|(place, left)| format!("the disk is full: {left} left at {place}"))
}

fn why(found: &Findings) -> Vec<String> {
    let mut why: Vec<String> = found.maintenance.iter().cloned().collect();
    why.extend(no_room(found));
    for (stranger, _) in &found.strangers {
        why.push(stranger.clone());
    }
    for check in found.checks.iter().filter(|check| check.says.is_some()) {
        let says = check.says.as_deref().unwrap_or_default();
        why.push(format!("{} answers {} and says: {says}", check.name, check.answer));
    }
    for (output, _) in &found.gone {
        why.push(format!("{output} is missing: it was built for this version"));
    }
    for (output, _) in found.broken_builds() {
        why.push(format!("{output} is not as it was built, and a module is missing"));
    }
    for service in &found.services {
        let restarts = match service.restarts {
            0 => String::new(),
            1 => ", restarted once".to_owned(),
            many => format!(", restarted {many} times"),
        };
        let told = |error: &String| {
            why.iter().any(|line: &String| {
                let says = line.rsplit("says: ").next().unwrap_or_default();
                !says.is_empty() && since::tells_of(error, says)
            })
        };
        match (&service.error, service.up) {
            (Some(error), true) if told(error) => {}
            (Some(error), true) => why.push(format!("{} log: {error}", service.name)),
            (Some(error), false) => {
                why.push(format!("{} {}{restarts}: {error}", service.name, service.word));
            }
            (None, false) if service.stopped => {
                why.push(format!("{} was stopped and did not crash", service.name));
            }
            (None, false) => why.push(format!("{} {}{restarts}", service.name, service.word)),
            (None, true) if service.restarts > 0 => {
                why.push(format!("{} {}{restarts}", service.name, service.word));
            }
            (None, true) => {}
        }
    }
    // That nobody answers where nothing runs says nothing new.
    let silent = !why.is_empty() && found.down().next().is_some();
    for check in found.checks.iter().filter(|check| check.says.is_none() && !silent) {
        why.push(format!("{} answers: {}", check.name, check.answer));
    }
    why
}

fn notes(found: &Findings) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(part) = &found.part {
        let since = part.changed_in.as_ref();
        let since = since.map(|(name, seq)| format!(", last changed in {name}, #{seq}"));
        notes.push(format!("{}: {}{}", part.id, part.because, since.unwrap_or_default()));
        if let (true, Some(back)) = (part.same_in_target, &found.back) {
            notes.push(format!(
                "{} is the same in {}: rolling back to it does not help",
                part.id, back.name
            ));
        }
    }
    if let Some(Switched { record, flags }) = &found.switched {
        let flags = flags.join(", ");
        notes.push(format!("{flags} was switched by #{record}, and the app was well before that"));
    }
    if let Some(Switched { record, flags }) = &found.switched_in_vain {
        notes.push(format!("switching {} did not help, #{record}", flags.join(", ")));
    }
    if found.broken_builds().next().is_none() {
        let names: Vec<&str> = found.partial.iter().map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            notes.push(format!("{} was changed since it was built", names.join(", ")));
        }
    }
    if let Some(Way { name, failed: Some(seq), .. }) = &found.back {
        notes.push(format!("{name} was tried and failed, #{seq}"));
    }
    if let Some(rollback) = found.as_before_the_rollback() {
        let left = &rollback.left;
        notes.push(format!(
            "the same error as in {left}, before #{}: probably not the code",
            rollback.record
        ));
    }
    if found.reads_what_changed()
        && !found.by_hand
        && let Some(back) = &found.back
    {
        let files: Vec<&str> = found.changed.iter().map(|changed| changed.path.as_str()).collect();
        notes.push(format!("{} reads the same {}", back.name, files.join(", ")));
    }
    if !found.unread.is_empty() && !found.by_hand {
        let files = found.unread.join(", ");
        notes.push(format!("{files} was written after the service was started: not read yet"));
    }
    if let (false, Some(back)) = (found.migrations.names.is_empty(), &found.back) {
        notes.push(crossing(&found.migrations, &back.name));
    }
    notes
}

/// Why going back would not help: what is wrong would be wrong there, too.
fn back_doubted(found: &Findings) -> Option<String> {
    let target = &found.back.as_ref()?.name;
    let files = || {
        let files: Vec<&str> = found.changed.iter().map(|file| file.path.as_str()).collect();
        files.join(", ")
    };
    if !found.full.is_empty() {
        return Some("the disk is full for every version".to_owned());
    }
    if let Some(part) = found.part.as_ref().filter(|part| part.same_in_target) {
        return Some(format!("{target} has the same {}, which fails", part.id));
    }
    if let Some(rollback) = found.as_before_the_rollback() {
        return Some(format!("{} failed in the same way", rollback.left));
    }
    if let (Some(Switched { record, flags }), None) = (&found.switched, found.surroundings()) {
        let flags = flags.join(", ");
        return Some(format!("{flags} stays as #{record} set it in {target}, too"));
    }
    if !found.unread.is_empty() && !found.by_hand {
        return Some(format!("{} was written since, and not read yet", found.unread.join(", ")));
    }
    if found.reads_what_changed() && !found.by_hand {
        return Some(format!("{target} reads the same {}", files()));
    }
    None
}

/// What is to be said of going to `target` across migrations.
pub fn crossing(migrations: &Migrations, target: &str) -> String {
    let names = &migrations.names;
    let crossed =
        format!("{} crossed, schema is not rolled back: {}", counted(names), shown(names));
    let seen = match (migrations.seen, migrations.old_code_ok) {
        (true, _) => format!("{target} served on this schema before"),
        (false, true) => format!("{target} works on this schema, as old_code_ok says"),
        (false, false) => format!("{target} never served on this schema"),
    };
    let stay = shown(&migrations.stay);
    match (migrations.stay.is_empty(), &migrations.point) {
        (true, _) => format!("{crossed}; {seen}"),
        (false, None) => format!(
            "{crossed}; {seen}; no way back for {stay}: gitroll point list shows the points"
        ),
        (false, Some(point)) => {
            format!("{crossed}; {seen}; no way back for {stay}, and {point} is from before it")
        }
    }
}

/// What is to be said of migrations that come with a version; `stay` are those that have no way back.
pub fn arriving(names: &[String], stay: &[String]) -> String {
    let what = format!("{} included: {}", counted(names), shown(names));
    match stay.is_empty() {
        true => format!("{what}; gitroll migrate down reverts it"),
        false => format!("{what}; no way back for {}", shown(stay)),
    }
}

fn counted(names: &[String]) -> String {
    let noun = if names.len() == 1 { "migration" } else { "migrations" };
    format!("{} {noun}", names.len())
}

/// The first few names.
fn shown(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    format!("{shown}{more}")
}

/// How migrations are taken back together with the code: only the newer tree knows how.
pub fn way_down(migrations: &Migrations) -> Option<NextStep> {
    let Migrations { names, seen, old_code_ok, stay, .. } = migrations;
    if names.is_empty() || *seen || *old_code_ok || !stay.is_empty() {
        return None;
    }
    let what = format!("reverts {} and rolls back, in one run", shown(names));
    Some(("gitroll back --migrate-down".to_owned(), what))
}

/// What was built and lacks something is built again, or restored from its copy.
fn rebuilt(found: &Findings) -> Option<NextStep> {
    let broken: Vec<&(String, bool)> = found.broken_builds().collect();
    let names: Vec<&str> = broken.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    let what = match broken.as_slice() {
        [] => return None,
        all if all.iter().all(|(_, kept)| *kept) => {
            format!("restores {names} from the kept copy: no build")
        }
        _ => format!("builds {names} again"),
    };
    Some((format!("gitroll deploy {}", found.serving.commit.short()), what))
}

/// What fills a disk, and what gitroll itself may free of it.
fn room(found: &Findings) -> Vec<NextStep> {
    let all = found.full.iter();
    let mut steps: Vec<NextStep> = all
        .map(|(place, left)| {
            // What sorts it may find no room for much.
            let command = format!("du -xah -t 1M {place} | sort -h | tail -n 20");
            (command, format!("shows what fills the disk: {left} left"))
        })
        .collect();
    let own = found.own_use.iter().filter(|_| !found.full.is_empty());
    steps.extend(own.map(|(what, bytes, command)| {
        (command.clone(), format!("{what} of gitroll take {}", bytes))
    }));
    steps
}

/// How files outside of git that changed are put right; each that can be from where it is kept.
fn put_right(changed: &[Changed]) -> Vec<NextStep> {
    let mut steps: Vec<NextStep> = Vec::new();
    for changed in changed {
        let names = changed.names.join(", ");
        let keys = if names.is_empty() { String::new() } else { format!(" ({names})") };
        if let Some((settings, point)) = &changed.kept {
            let path = &changed.path;
            let back = format!("gitroll settings back {settings} --to {point}");
            steps.push((back, format!("restores {path}{keys} from before it changed")));
            let diff = format!("gitroll settings diff {settings} --to {point}");
            steps.push((diff, "shows the keys that differ".to_owned()));
            continue;
        }
        let what = match names.as_str() {
            "" => "fix it: it changed since the last proof".to_owned(),
            names => format!("fix {names}: changed since the last proof"),
        };
        steps.push((format!("${{EDITOR:-vi}} {}", changed.path), what));
    }
    steps
}

/// The way back of code and data together, where migrations have no way back of their own.
fn to_point(migrations: &Migrations) -> Option<NextStep> {
    if migrations.seen || migrations.old_code_ok {
        return None;
    }
    let point = migrations.point.as_ref()?;
    let names = shown(&migrations.stay);
    let what = format!("restores code and data from before {names}; says first what is lost");
    Some((format!("gitroll back --level full --to {point}"), what))
}

fn next(found: &Findings, health: Health) -> Vec<NextStep> {
    if !found.open_run.is_empty() {
        return found.open_run.clone();
    }
    let mut next = healing(found, health);
    let restores = found.not_restored.iter().map(|(_, step)| step.clone());
    match health {
        Health::Well => drop(next.splice(0..0, restores)),
        Health::Doubtful | Health::Failing | Health::Down => next.extend(restores),
    }
    next
}

fn healing(found: &Findings, health: Health) -> Vec<NextStep> {
    let step = |command: String, what: String| (command, what);
    let mut next = room(found);
    if found.maintenance.is_some() && found.down().next().is_some() {
        let what = "starts the services and ends the maintenance".to_owned();
        next.insert(0, step("gitroll service start".to_owned(), what));
    }
    match health {
        Health::Well => {
            next.extend(undo(found));
            // A return to what was seen failing is not the one thing to type.
            if found.rollback.as_ref().is_some_and(|one| !one.flags && !one.faults.is_empty()) {
                let what = "shows what came with the version that was left, suspects first";
                next.insert(0, step("gitroll diff".to_owned(), what.to_owned()));
            }
            return next;
        }
        Health::Doubtful => {
            let commit = found.serving.commit.short();
            let again = "restarts it and proves it".to_owned();
            let deploy = step(format!("gitroll deploy {commit}"), again);
            match (&found.failing_before, &found.back) {
                // What failed by itself may do so again; what was around it may be fixed by now.
                (Some((_, fault)), Some(target)) if !is_of_the_surroundings(fault) => {
                    next.extend([back(target), deploy]);
                }
                (Some(_), Some(target)) => next.extend([deploy, back(target)]),
                _ => next.push(deploy),
            }
            next.extend(undo(found));
            return next;
        }
        Health::Failing | Health::Down => {}
    }
    let restart = || {
        let down: Vec<&str> = found.down().map(|service| service.name.as_str()).collect();
        match (down.as_slice(), found.services.as_slice()) {
            ([only], _) => format!("gitroll service restart {only}"),
            ([], [only]) => format!("gitroll service restart {}", only.name),
            _ => "gitroll service restart".to_owned(),
        }
    };
    if !found.full.is_empty() {
        next.push(step(restart(), "after you free some space".to_owned()));
    }
    for (_, pid) in &found.strangers {
        let pid = pid.map(|pid| format!("kill {pid}"));
        next.extend(pid.map(|kill| {
            step(kill, "stops the process that listens in place of the app".to_owned())
        }));
    }
    let only_stopped = found.down().next().is_some()
        && found.down().all(|service| service.stopped && service.error.is_none());
    if only_stopped && found.maintenance.is_none() {
        let start = restart().replace("restart", "start");
        next.push(step(start, "starts what someone stopped".to_owned()));
    }
    // A flag of the part that fails is switched as a flag.
    let flag = found.part.as_ref().and_then(|part| part.flag.as_ref());
    let only_flag = flag.is_some_and(|flag| {
        found.changed.iter().all(|changed| {
            !changed.names.is_empty() && changed.names.iter().all(|name| name == flag)
        })
    });
    if !found.unread.is_empty() && !found.by_hand {
        let what = format!("reads {}, which was written since", found.unread.join(", "));
        next.push(step(restart(), what));
    } else if found.reads_what_changed() && !found.by_hand && !only_flag {
        next.extend(put_right(&found.changed));
        if found.changed.iter().any(|changed| changed.kept.is_none()) {
            next.push(step(restart(), "restarts with the fixed file".to_owned()));
        }
    }
    if !found.gone.is_empty() && found.gone.iter().all(|(_, kept)| *kept) {
        let names: Vec<&str> = found.gone.iter().map(|(name, _)| name.as_str()).collect();
        let what = format!("restores {} from the kept copy: no build", names.join(", "));
        next.push(step(format!("gitroll deploy {}", found.serving.commit.short()), what));
    }
    next.extend(rebuilt(found));
    if let (Some(_), Some(around)) = (found.as_before_the_rollback(), found.surroundings()) {
        next.push(step(
            "gitroll check".to_owned(),
            format!("checks again, after you fix this: {around}"),
        ));
    }
    // Code that was proven with the values of before is not the first to be suspected.
    if let (Some(Switched { record, flags }), None) = (&found.switched, found.surroundings()) {
        let what = format!("restores {}, as before #{record}; the code stays", flags.join(", "));
        next.push(step("gitroll back --level flags".to_owned(), what));
    }
    if let Some(rollback) = found.as_before_the_rollback().filter(|rollback| !rollback.flags) {
        let what = format!("lifts the hold on {}, which is probably not the cause", rollback.left);
        next.push(step(format!("gitroll unhold {}", rollback.record), what));
    }
    let doubted = back_doubted(found).is_some();
    next.extend(way_down(&found.migrations).filter(|_| found.back.is_some() && !doubted));
    match (&found.part, &found.back) {
        (Some(Part { id, flag: Some(flag), .. }), _) => {
            next.push(step(
                format!("gitroll component {id}"),
                format!("switches {flag} off, or restores its files"),
            ));
            next.extend(found.back.as_ref().filter(|_| !doubted).map(back));
        }
        (Some(Part { id, same_in_target: true, other_in: Some(other), .. }), _) => {
            let name = &other.name;
            let only = format!("restores only {id}, from {name}");
            next.push(step(format!("gitroll component {id} --to {name}"), only));
            next.push(step(
                format!("gitroll back --to {name}"),
                "rolls back everything".to_owned(),
            ));
        }
        // Two opinions on one page help nobody.
        (_, Some(_)) if doubted && !next.is_empty() => {}
        (_, Some(target)) if target.failed.is_some() => {
            next.extend(to_point(&found.migrations));
            let newer = found.newer.as_ref();
            next.extend(newer.map(|name| {
                step("gitroll deploy".to_owned(), format!("deploys the newest commit of {name}"))
            }));
            let again = "checks again, after you fix the problem above".to_owned();
            next.push(step("gitroll check".to_owned(), again));
            next.push(back(target));
        }
        (_, Some(target)) => {
            next.push(back(target));
            next.extend(to_point(&found.migrations));
        }
        (_, None) => {}
    }
    if found.back.is_none() && next.is_empty() {
        next.extend(undo(found));
        let gone = !found.gone.is_empty();
        let commit = found.serving.commit.short();
        next.extend(
            gone.then(|| step(format!("gitroll deploy {commit}"), "builds it again".to_owned())),
        );
        let newer = found.newer.as_ref();
        next.extend(newer.map(|name| {
            step("gitroll deploy".to_owned(), format!("deploys the newest commit of {name}"))
        }));
        if next.is_empty() {
            next.push(step(
                "gitroll targets".to_owned(),
                "shows every version and why it is skipped".to_owned(),
            ));
        }
    }
    next
}

fn back(way: &Way) -> NextStep {
    let build = match way.build.as_slice() {
        [] => "no build".to_owned(),
        groups => format!("builds {}", groups.join(", ")),
    };
    let about = way.about.map(|time| format!(", about {} s", time.as_secs().max(1)));
    let command = if way.named {
        format!("gitroll back --to {}", way.name)
    } else {
        "gitroll back".to_owned()
    };
    (command, format!("to {}, {build}{}", way.name, about.unwrap_or_default()))
}

/// The way back to what the last rollback left.
pub fn undo(found: &Findings) -> Option<NextStep> {
    let Rollback { left, flags, faults, .. } = found.rollback.as_ref()?;
    let what = if *flags { "restores the flags".to_owned() } else { format!("returns to {left}") };
    // What was seen failing is not offered as if it were good.
    let failing = match (faults.first(), flags) {
        (Some(fault), true) => format!("; the app was failing with them: {fault}"),
        (Some(fault), false) => format!(", which was failing: {fault}"),
        (None, _) => String::new(),
    };
    let only = if failing.is_empty() { "" } else { "only " };
    let what = format!("{only}if it was a false alarm: {what}{failing}");
    Some(("gitroll back --undo".to_owned(), what))
}

/// Whether two failures are the same one, and say enough to be told from others: a bare status does not.
pub fn same_failure(one: &str, other: &str) -> bool {
    plain(one) == plain(other) && (one.contains('"') || is_of_the_surroundings(one))
}

/// Whether a failure is told with this cause.
pub fn says_the_same(failure: &str, cause: &str) -> bool {
    let cause = plain(cause);
    !cause.trim().is_empty() && plain(failure).contains(&cause)
}

/// Whether a cause is around the app rather than in it.
pub fn is_of_the_surroundings(cause: &str) -> bool {
    const WORDS: [&str; 19] = [
        "econnrefused",
        "enotfound",
        "etimedout",
        "ehostunreach",
        "econnreset",
        "enospc",
        "emfile",
        "eio:",
        "erofs",
        "i/o error",
        "input/output error",
        "read-only file system",
        "connection refused",
        "no space left",
        "too many open files",
        "name or service not known",
        "timed out",
        "certificate",
        "password authentication failed",
    ];
    let cause = cause.to_lowercase();
    WORDS.iter().any(|word| cause.contains(word))
}

/// Whether a cause says that a file of the app, or of what it uses, is not there.
pub fn is_of_a_missing_module(cause: &str) -> bool {
    const WORDS: [&str; 8] = [
        "cannot find module",
        "cannot find package",
        "module_not_found",
        "err_module_not_found",
        "modulenotfounderror",
        "no module named",
        "cannot load such file",
        "enoent",
    ];
    let cause = cause.to_lowercase();
    WORDS.iter().any(|word| cause.contains(word))
}

/// Whether a cause says that the schema of the database is not the one that the code knows.
pub fn is_of_the_schema(cause: &str) -> bool {
    const WORDS: [&str; 10] = [
        "no such column",
        "no such table",
        "has no column named",
        "unknown column",
        "undefinedcolumn",
        "undefinedtable",
        "undefined column",
        "unknown table",
        "invalid column name",
        "invalid object name",
    ];
    let cause = cause.to_lowercase();
    // `column "guest" does not exist`, `Table 'shop.orders' doesn't exist`
    let gone = ["does not exist", "doesn't exist"].iter().any(|words| cause.contains(words));
    let of_database = ["column", "relation", "table"].iter().any(|word| cause.contains(word));
    gone && of_database || WORDS.iter().any(|word| cause.contains(word))
}

#[cfg(test)]
mod tests;
