//! Units of systemd, the system's or the user's.
//!
//! The exit codes of systemctl are not trusted: a restart of `Type=simple` succeeds for a program that ends
//! half a second later. After each change a unit is watched until it holds, and judged by its properties.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::{Manager, Scope, Service};
use crate::system::clock;
use crate::system::files;
use crate::system::procs::{ProcessId, Ticks};
use crate::system::signals::Until;
use crate::system::user::Account;

use super::log::ServiceLog;
use super::state::{Between, Host, ServiceError, ServiceState};
use client::Client;
use processes::CodeOrigin;
use unit::Unit;

mod client;
mod output;
mod processes;
mod unit;

/// For how long a unit that was started must hold before the next one is touched. The proof looks longer.
const SETTLE: Duration = Duration::from_secs(1);

/// How long a unit may take to hold. One that is up and falls again and again never does.
const PATIENCE: Duration = Duration::from_secs(10);

/// From one look at a settling unit to the next.
const PAUSE: Duration = Duration::from_millis(100);

/// A service unit whose code is in a tree, for `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitApp {
    /// Its name without `.service`; of a template up to the `@`.
    pub name: String,
    /// The instances of a template.
    pub instances: Vec<String>,
    /// It is one of the user's own systemd.
    pub user: bool,
    /// It does what it is there for.
    pub up: bool,
    /// Its processes.
    pub processes: Vec<u32>,
    /// It can reload without a restart.
    pub can_reload: bool,
}

/// The most units that one question names.
const MOST_ASKED: usize = 200;

/// The units of the system and of this user that run from a tree or below it; if none of them runs, those that
/// would. Starts nothing.
pub fn units_in(systemctl: &Path, top: &Path) -> Vec<UnitApp> {
    let mut found: Vec<UnitApp> = Vec::new();
    for user in [false, true] {
        let Some(client) = Client::outside(systemctl, user) else { continue };
        for names in client.all().chunks(MOST_ASKED) {
            let units = client.show(names).unwrap_or_default();
            let ours = |unit: &&Unit| {
                let serves = unit.kind != "oneshot" || unit.main.is_some();
                // What only a timer or a person starts is not a service of the app.
                let meant = match unit.active.as_str() {
                    "inactive" => is_enabled(&unit.id, user),
                    _ => true,
                };
                let deploys = unit.argv().any(|command| command.contains("gitroll"));
                unit.load == "loaded"
                    && serves
                    && meant
                    && !deploys
                    && processes::running_from(unit, top) == CodeOrigin::Tree
            };
            for unit in units.iter().filter(ours) {
                let whole = unit.id.trim_end_matches(".service");
                let (name, instance) = match whole.split_once('@') {
                    Some((name, instance)) => (format!("{name}@"), Some(instance.to_owned())),
                    None => (whole.to_owned(), None),
                };
                let pids = processes::processes(unit).iter().map(|process| process.pid).collect();
                let up = unit.up() && unit.main.is_some();
                match found.iter_mut().find(|f| f.name == name && f.user == user && f.up == up) {
                    Some(known) => {
                        known.instances.extend(instance);
                        known.processes.extend::<Vec<u32>>(pids);
                    }
                    None => found.push(UnitApp {
                        name,
                        instances: instance.into_iter().collect(),
                        user,
                        up,
                        processes: pids,
                        can_reload: unit.can_reload,
                    }),
                }
            }
        }
    }
    if found.iter().any(|unit| unit.up) {
        found.retain(|unit| unit.up);
    }
    found
}

/// Whether a target starts it at boot or at login.
fn is_enabled(id: &str, user: bool) -> bool {
    let dir = match user {
        true => Account::current().home.join(".config/systemd/user"),
        false => PathBuf::from("/etc/systemd/system"),
    };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let wants = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "wants"));
    wants.into_iter().any(|wants| wants.join(id).symlink_metadata().is_ok())
}

/// The files of its units, drop-ins included.
pub(super) fn unit_files(host: &Host<'_>, service: &Service) -> Vec<PathBuf> {
    let units = Asked::of(host, service).and_then(|asked| asked.client.known(&asked.names));
    let units = units.unwrap_or_default();
    units.iter().flat_map(|unit| unit.files.split_whitespace()).map(PathBuf::from).collect()
}

pub(super) fn observe(host: &Host<'_>, service: &Service) -> Result<ServiceState, ServiceError> {
    let asked = Asked::of(host, service)?;
    let units = asked.client.known(&asked.names)?;
    let processes: Vec<ProcessId> = units.iter().flat_map(processes::processes).collect();
    let shown = units.iter().find(|unit| !unit.up()).or(units.first());
    let word = shown.map_or_else(|| "unknown".to_owned(), Unit::word);
    let up = !units.is_empty() && units.iter().all(Unit::up);
    let of = |unit: &Unit| {
        if up || units.len() == 1 { String::new() } else { format!(" ({})", unit.id) }
    };
    // A unit that ended well may have left the server behind that it started.
    let left = !processes.is_empty();
    Ok(ServiceState {
        word: format!("{word}{}", shown.map(of).unwrap_or_default()),
        up,
        processes,
        restarts: units.iter().map(|unit| unit.restarts).sum(),
        // The manager itself holds the socket of a unit that is started by one.
        socket_owners: [
            asked.client.manager(&units),
            units.iter().flat_map(processes::helpers).collect(),
        ]
        .concat(),
        stale: units.iter().find_map(|unit| match processes::running_from(unit, &host.top) {
            CodeOrigin::Elsewhere(what) => Some(what),
            CodeOrigin::Tree | CodeOrigin::Unknown(_) => None,
        }),
        untouched: !left && units.iter().all(Unit::ended_well),
        kept: asked.reload && units.iter().any(|unit| unit.can_reload),
        no_witness: units
            .iter()
            .find_map(|unit| no_witness(unit, processes::running_from(unit, &host.top))),
        redefined: None,
        log: output::told(host, service, &asked.client, &units),
    })
}

pub(super) fn reload(
    host: &Host<'_>,
    service: &Service,
    between: &mut Between<'_>,
) -> Result<Ticks, ServiceError> {
    let asked = Asked::of(host, service)?;
    // All of them are known before the first is touched.
    let units = asked.client.known(&asked.names)?;
    if units.iter().any(|unit| unit.need_daemon_reload) {
        asked.client.daemon_reload()?;
    }
    note_dependents(host, service, &asked.client, &asked.names)?;
    output::mark(host, service, &asked.client, &units)?;
    let moment = Ticks::now();
    for (at, name) in asked.names.iter().enumerate() {
        if at > 0 {
            let settled = &asked.names[at - 1];
            between(settled).map_err(|why| ServiceError::Down {
                unit: settled.clone(),
                word: format!("runs, but {why}"),
                lines: output::lines_of(host, service, &asked.client, settled),
            })?;
        }
        asked.renew(host, service, name, moment)?;
    }
    forget_refused(host, service)?;
    asked.start_dependents(host, service)?;
    Ok(moment)
}

pub(super) fn start(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let asked = Asked::of(host, service)?;
    let units = asked.client.known(&asked.names)?;
    output::mark(host, service, &asked.client, &units)?;
    for unit in units.iter().filter(|unit| !unit.up()) {
        asked.client.forgive(&unit.id);
        asked.client.change("start", unit)?;
        asked.settle(host, service, &unit.id)?;
    }
    asked.start_dependents(host, service)
}

/// The last lines that the units wrote since they were started, whether or not they are up.
pub(super) fn last_lines(host: &Host<'_>, service: &Service) -> Vec<String> {
    let Ok(asked) = Asked::of(host, service) else { return Vec::new() };
    let units = asked.client.known(&asked.names).unwrap_or_default();
    output::said(host, service, &asked.client, &units.iter().collect::<Vec<_>>())
}

pub(super) fn stop(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let asked = Asked::of(host, service)?;
    let units = asked.client.known(&asked.names)?;
    note_dependents(host, service, &asked.client, &asked.names)?;
    for unit in units.iter().rev().filter(|unit| unit.has_begun()) {
        let refused = asked.client.change("stop", unit)?;
        let now = asked.client.one(&unit.id)?;
        if now.has_begun() {
            let problem = refused.unwrap_or_else(|| format!("it is still {}", now.word()));
            return Err(ServiceError::Failed {
                command: format!("systemctl stop {}", unit.id),
                problem,
            });
        }
    }
    Ok(())
}

/// The files that the units write to, and the journal of those that write to none.
pub(super) fn logs(host: &Host<'_>, service: &Service) -> Result<Vec<ServiceLog>, ServiceError> {
    let asked = Asked::of(host, service)?;
    let mut logs = Vec::new();
    for unit in asked.client.known(&asked.names)? {
        let Some(files) = output::files(&asked.client, &unit) else {
            let journal = asked.client.journal_of(&unit.id).ok_or_else(|| {
                format!("journalctl was not found, so the log of {} cannot be read", unit.id)
            });
            let read = journal.and_then(|journal| journal.readable().map(|()| journal));
            logs.push(ServiceLog::Journal(read.map_err(ServiceError::Unsupported)?));
            continue;
        };
        if files.is_empty() {
            let id = &unit.id;
            // That may be another thing when its process runs.
            return Err(ServiceError::Failed {
                command: format!("a look at what {id} writes to"),
                problem: "gitroll does not see a file: set it in the check".into(),
            });
        }
        logs.extend(files.into_iter().map(ServiceLog::File));
    }
    logs.dedup();
    Ok(logs)
}

/// Whether the units run the live tree and this user may restart them: what would otherwise be found when
/// the tree is changed already. Changes nothing of what serves.
pub(super) fn ready(host: &Host<'_>, service: &Service) -> Result<Option<String>, ServiceError> {
    let asked = Asked::of(host, service)?;
    let mut silent = None;
    for unit in asked.client.known(&asked.names)? {
        let place = asked.place(&unit, host)?;
        let mut verbs = vec!["restart"];
        verbs.extend(service.quiesce.then_some(["stop", "start"]).into_iter().flatten());
        verbs.extend((asked.reload && unit.can_reload).then_some("reload"));
        asked.client.may_change(&unit.id, &verbs)?;
        if unit.need_daemon_reload {
            asked.client.may_daemon_reload(&unit.id)?;
        }
        asked.may_show_that_it_ran(&unit)?;
        silent = silent.or_else(|| no_witness(&unit, place));
    }
    for unit in active_dependents(&asked.client, &asked.names)? {
        // A target that a restart of ours takes with it systemd starts again itself.
        if service.quiesce || !unit.id.ends_with(".target") {
            asked.client.may_change(&unit.id, &["start"])?;
        }
    }
    Ok(silent)
}

/// Refuses units that run another tree.
pub(super) fn of_this_tree(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let asked = Asked::of(host, service)?;
    for unit in asked.client.known(&asked.names)? {
        asked.place(&unit, host)?;
    }
    Ok(())
}

/// Why the processes of a unit say nothing about which version runs.
fn no_witness(unit: &Unit, place: CodeOrigin) -> Option<String> {
    match place {
        // What is meant to end is a witness of nothing in any case.
        CodeOrigin::Unknown(why) if unit.kind != "oneshot" => Some(format!("{} {why}", unit.id)),
        CodeOrigin::Tree | CodeOrigin::Unknown(_) | CodeOrigin::Elsewhere(_) => None,
    }
}

/// The mark of a reload that failed: the next change restarts.
const REFUSED: &str = ".reload-refused";

fn refused_path(host: &Host<'_>, service: &Service) -> PathBuf {
    host.state.join("services").join(format!("{}{REFUSED}", service.name))
}

fn forget_refused(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let path = refused_path(host, service);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(ServiceError::at(&path)(error)),
        _ => Ok(()),
    }
}

/// The units of one service, and who is asked about them.
struct Asked {
    client: Client,
    names: Vec<String>,
    /// A unit that can is reloaded instead of restarted.
    reload: bool,
}

impl Asked {
    /// Which tree a unit runs.
    ///
    /// # Errors
    /// `Unusable` where that is another one.
    fn place(&self, unit: &Unit, host: &Host<'_>) -> Result<CodeOrigin, ServiceError> {
        let files = unit.need_daemon_reload.then(|| self.client.definition(&unit.id)).flatten();
        let place = processes::defined_from(unit, files.as_ref(), &host.top);
        if let CodeOrigin::Elsewhere(elsewhere) = &place {
            return Err(ServiceError::Unusable {
                problem: format!("{} {elsewhere}", unit.id),
                hint: format!(
                    "set WorkingDirectory={} in the unit, then run systemctl daemon-reload; a unit that does \
                     not run the app's tree needs no [service]",
                    host.top.display()
                ),
                command: Some(self.client.as_root(&format!("edit {}", unit.id))),
            });
        }
        Ok(place)
    }

    fn of(host: &Host<'_>, service: &Service) -> Result<Self, ServiceError> {
        let Manager::Systemd { scope, reload, .. } = &service.manager else {
            return Err(ServiceError::Unsupported(format!("{} has no unit", service.name)));
        };
        let client = Client::new(host, *scope == Scope::User)?;
        Ok(Self { client, names: service.manager.units(), reload: *reload })
    }

    /// Makes one unit run what is there now, and waits until it holds.
    fn renew(
        &self,
        host: &Host<'_>,
        service: &Service,
        name: &str,
        moment: Ticks,
    ) -> Result<(), ServiceError> {
        // The start limit counts the starts of bad code and then refuses good code as well.
        self.client.forgive(name);
        let before = self.client.one(name)?;
        let refused_before = refused_path(host, service).exists();
        let reload = self.reload && before.can_reload && before.up() && !refused_before;
        let verb = if reload { "reload" } else { "restart" };
        let begun = clock::now().as_microsecond();
        let refused = self.client.change(verb, &before)?;
        if let (true, Some(problem)) = (reload, &refused) {
            // The way back must not fail at it a second time.
            let path = host.file(service, REFUSED)?;
            files::write_durably(&path, b"", 0o600).map_err(ServiceError::at(&path))?;
            let command = format!("systemctl reload {name}");
            return Err(ServiceError::Failed { command, problem: problem.clone() });
        }
        let now = self.settle(host, service, name)?;
        if reload || Until::Stopped.reached() {
            return Ok(());
        }
        let fresh = |pid: u32| ProcessId::of(pid).is_some_and(|main| main.start_ticks >= moment.0);
        let restarted = now.started > 0 && now.started != before.started;
        match refused {
            // What runs is what ran before, if anything does: a dependency that fails leaves it as it was.
            Some(problem) if !restarted && !now.main.is_some_and(fresh) => {
                Err(ServiceError::Failed { command: format!("systemctl restart {name}"), problem })
            }
            _ if now.ended_well() && !restarted => self.did_run(&now, begun),
            _ => Ok(()),
        }
    }

    /// Starts what systemd stopped with the units.
    fn start_dependents(&self, host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
        for name in noted_dependents(host, service) {
            let unit = self.client.one(&name)?;
            // systemd itself starts again what it stopped for a restart.
            if !unit.has_begun() {
                self.client.forgive(&name);
                self.client.change("start", &unit)?;
            }
            let down = |why: String, lines| ServiceError::Down {
                unit: name.clone(),
                word: format!(
                    "was running, was stopped with {} and is not running now: {why}",
                    service.name
                ),
                lines,
            };
            match self.settle(host, service, &name) {
                Ok(unit) if unit.has_begun() || Until::Stopped.reached() => {}
                Ok(unit) => return Err(down(unit.word(), Vec::new())),
                Err(ServiceError::Down { word, lines, .. }) => return Err(down(word, lines)),
                Err(error) => return Err(error),
            }
        }
        forget_dependents(host, service)
    }

    /// Whether a unit that is meant to end ran since a moment, in microseconds since 1970: systemd starts none
    /// whose conditions are not met, which is not a failure, and soon forgets that it ran.
    fn did_run(&self, unit: &Unit, since: i64) -> Result<(), ServiceError> {
        const TRIES: usize = 10;
        let definition = self.client.definition(&unit.id).unwrap_or_default();
        let conditions = definition.conditions();
        let forgotten = unit.started == 0 && !unit.remains;
        // What systemd says may take a moment to get to the journal.
        let told = || {
            (0..TRIES).any(|_| {
                std::thread::sleep(PAUSE);
                self.client.ran_since(&unit.id, since)
            })
        };
        if unit.commands.is_empty() || forgotten && (conditions.is_empty() || told()) {
            return Ok(());
        }
        let why = match conditions.as_slice() {
            [] => "systemd did not start it".to_owned(),
            [one] => format!("{one} is not met"),
            several => format!("one of these is not met: {}", several.join(", ")),
        };
        let word = format!("did not run: {why}");
        Err(ServiceError::Down { unit: unit.id.clone(), word, lines: Vec::new() })
    }

    /// Whether it could be told that a unit ran which is meant to end; see [`Self::did_run`].
    fn may_show_that_it_ran(&self, unit: &Unit) -> Result<(), ServiceError> {
        let conditions = || self.client.definition(&unit.id).unwrap_or_default().conditions();
        if unit.kind != "oneshot" || unit.remains || conditions().is_empty() {
            return Ok(());
        }
        let why = match self.client.journal_of(&unit.id) {
            Some(journal) => journal.readable().err(),
            None => Some("there is no journalctl".to_owned()),
        };
        let hint =
            "set RemainAfterExit=yes in the unit, or let this user read its journal".to_owned();
        let problem = |why| {
            format!("cannot tell whether {} ran or its condition was not met: {why}", unit.id)
        };
        let command = Some(self.client.as_root(&format!("edit {}", unit.id)));
        why.map_or(Ok(()), |why| {
            Err(ServiceError::Unusable { problem: problem(why), hint, command })
        })
    }

    /// Waits until the unit holds: up, with the same main process and no restart, for [`SETTLE`].
    fn settle(&self, host: &Host<'_>, service: &Service, name: &str) -> Result<Unit, ServiceError> {
        let begun = Instant::now();
        let mut holds: Option<(Option<u32>, u64, Instant)> = None;
        let fallen = loop {
            let unit = self.client.one(name)?;
            if unit.ended_well() || Until::Stopped.reached() {
                return Ok(unit);
            }
            if unit.given_up() {
                break unit;
            }
            holds = match holds.filter(|(main, restarts, _)| {
                unit.up() && (*main, *restarts) == (unit.main, unit.restarts)
            }) {
                Some((_, _, since)) if since.elapsed() >= SETTLE => return Ok(unit),
                Some(still) => Some(still),
                None => unit.up().then(|| (unit.main, unit.restarts, Instant::now())),
            };
            if begun.elapsed() >= PATIENCE {
                break unit;
            }
            std::thread::sleep(PAUSE);
        };
        let restarts = match fallen.restarts {
            0 => String::new(),
            1 => ", 1 restart".to_owned(),
            more => format!(", {more} restarts"),
        };
        let lines = output::lines_of(host, service, &self.client, name);
        // At this very moment one that starts again and again may well be up.
        let word = if fallen.given_up() { fallen.word() } else { "does not stay up".to_owned() };
        let word = format!("{word}{restarts}");
        Err(ServiceError::Down { unit: name.to_owned(), word, lines })
    }
}

// Units that systemd stops with one of ours since they require it, are bound to it or are part of it: they are not in
// gitroll.toml, and nobody else would start them again.

/// How far from one unit to the next is looked.
const DEPENDENCY_DEPTH: usize = 8;

/// The active units that would be stopped with these.
fn active_dependents(client: &Client, names: &[String]) -> Result<Vec<Unit>, ServiceError> {
    let ours: BTreeSet<String> = names.iter().cloned().collect();
    let mut found = BTreeSet::new();
    let mut next: Vec<String> = names.to_vec();
    for _ in 0..DEPENDENCY_DEPTH {
        let more = if next.is_empty() { Vec::new() } else { client.dependents(&next)? };
        next = more.into_iter().filter(|name| !ours.contains(name)).collect();
        next.retain(|name| found.insert(name.clone()));
    }
    let found: Vec<String> = found.into_iter().collect();
    let mut units = if found.is_empty() { Vec::new() } else { client.show(&found)? };
    units.retain(|unit| matches!(unit.active.as_str(), "active" | "reloading" | "refreshing"));
    Ok(units)
}

/// Remembers them before ours are stopped, beside those of an earlier stop that were not started yet.
fn note_dependents(
    host: &Host<'_>,
    service: &Service,
    client: &Client,
    names: &[String],
) -> Result<(), ServiceError> {
    let mut all = noted_dependents(host, service);
    all.extend(active_dependents(client, names)?.into_iter().map(|unit| unit.id));
    if all.is_empty() {
        return Ok(());
    }
    let path = host.file(service, ".bound.json")?;
    let text = serde_json::to_vec(&all).unwrap_or_default();
    files::write_durably(&path, &text, 0o600).map_err(ServiceError::at(&path))
}

/// The units that were remembered.
fn noted_dependents(host: &Host<'_>, service: &Service) -> BTreeSet<String> {
    let text = crate::system::files::read_state(&dependents_path(host, service)).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// All of them run again.
fn forget_dependents(host: &Host<'_>, service: &Service) -> Result<(), ServiceError> {
    let path = dependents_path(host, service);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(ServiceError::at(&path)(error)),
        _ => Ok(()),
    }
}

fn dependents_path(host: &Host<'_>, service: &Service) -> PathBuf {
    host.state.join("services").join(format!("{}.bound.json", service.name))
}
