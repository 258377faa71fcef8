//! How services and checks stand, and the files inside the live tree that services hold open for writing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::bound::Site;
use crate::check::{
    self, Expectation, Listens, MustListen, NoLog, ServiceListens, Stranger, Surroundings,
};
use crate::config::{CheckKind, Config, LogCheck, LogSource, Manager, Prove, Selection, Service};
use crate::model::{CheckEvidence, Redactor, RepoPath, Served};
use crate::service::{self, ServiceError, ServiceState};
use crate::system::open_files::{self, Writing};
use crate::system::procs::{self, Ticks};
use crate::system::secrets;
use crate::system::signals::Until;

/// How a host is at one moment, nothing asked twice.
#[derive(Debug)]
pub struct Observed {
    /// Each check and its one answer.
    pub checks: Vec<CheckEvidence>,
    /// Each service by name.
    pub services: Vec<(String, Result<ServiceState, ServiceError>)>,
    /// What listens where the app should but does not belong to a service.
    pub strangers: Vec<Stranger>,
}

impl Observed {
    /// Looks once, without settling.
    pub fn now(site: &Site, config: &Config, served: &Served, deployment: &str) -> Self {
        Self::by(site, config, served, deployment, Selection::All)
    }

    /// As [`Self::now`], asking some of the checks only.
    pub fn by(
        site: &Site,
        config: &Config,
        served: &Served,
        deployment: &str,
        only: Selection,
    ) -> Self {
        let expectation =
            Expectation { only, ..expectation(site, config, served, deployment, None) };
        let services = observe_services(site, config, served, deployment);
        let checks = check::look_at_each(&config.checks, Some(&expectation), workers(&services));
        let mut observed = Self { checks, services, strangers: Vec::new() };
        if config.app.prove == Prove::Weak {
            return observed;
        }
        let asked = only.of(&config.checks);
        let strangers =
            |observed: &Self| check::strangers(&asked, &observed.services, &expectation.listens);
        if !strangers(&observed).is_empty() {
            // One that was started since the services were asked is theirs.
            observed.services = observe_services(site, config, served, deployment);
            observed.strangers = strangers(&observed);
        }
        observed
    }

    /// Whether every check passed and every service is up and runs this tree.
    pub fn healthy(&self) -> bool {
        !self.checks.iter().any(CheckEvidence::failed)
            && self.strangers.is_empty()
            && self
                .services
                .iter()
                .all(|(_, s)| s.as_ref().is_ok_and(|s| s.up && s.stale.is_none()))
    }

    /// Whether nothing of the app is there: no service is up and no question over HTTP is answered as it should be. What
    /// else is asked may be about what the app only uses.
    pub fn nothing_answers(&self, config: &Config) -> bool {
        let asks_the_app = |asked: &&CheckEvidence| {
            let check = config.checks.iter().find(|check| check.name == asked.check);
            check.is_some_and(|check| matches!(check.kind, CheckKind::Http(_)))
        };
        let mut asked = self.checks.iter().filter(asks_the_app).peekable();
        (asked.peek().is_some() || !self.services.is_empty())
            && self.strangers.is_empty()
            && !asked.any(|check| check.passed)
            && !self.services.iter().any(|(_, state)| state.as_ref().is_ok_and(|state| state.up))
    }

    /// Whether a check was answered with the version that was asked for.
    pub fn told(&self) -> bool {
        self.checks.iter().any(|check| check.told_version)
    }

    /// Whether a service does not run because nobody wants it to.
    pub fn stopped(&self) -> bool {
        self.services.iter().any(|(_, state)| state.as_ref().is_ok_and(Self::is_stopped))
    }

    /// Whether this one does not run because nobody wants it to.
    pub fn is_stopped(state: &ServiceState) -> bool {
        const WORDS: [&str; 2] = ["stopped", "inactive"];
        !state.up && WORDS.contains(&state.word.as_str())
    }

    /// What is wrong, in few words each.
    pub fn faults(&self) -> Vec<String> {
        let checks = self
            .checks
            .iter()
            .filter(|c| c.failed())
            .map(|c| format!("{} {}", c.check, c.last.told()));
        let services = self.services.iter().filter_map(|(name, state)| match state {
            Ok(state) => match &state.stale {
                _ if !state.up => Some(format!("{name} {}", state.word)),
                Some(how) => Some(format!("{name} does not run from the live tree: {how}")),
                None => None,
            },
            Err(error) => Some(format!("{name}: {error}")),
        });
        let strangers = self.strangers.iter().map(ToString::to_string);
        strangers.chain(checks).chain(services).collect()
    }
}

/// Among how many processes the answers of the services may be shared out.
fn workers(services: &[(String, Result<ServiceState, ServiceError>)]) -> usize {
    let states = services.iter().filter_map(|(_, state)| state.as_ref().ok());
    let of_one = |state: &ServiceState| {
        // What starts the server is none: another program, most often.
        let mut programs: BTreeMap<Option<String>, usize> = BTreeMap::new();
        for pid in state.processes.iter().flat_map(|process| procs::family(process.pid)) {
            *programs.entry(procs::program(pid)).or_default() += 1;
        }
        programs.into_values().max().unwrap_or_default()
    };
    states.map(of_one).max().unwrap_or_default()
}

/// Asks every service of a configuration how it is.
pub fn observe_services(
    site: &Site,
    config: &Config,
    served: &Served,
    deployment: &str,
) -> Vec<(String, Result<ServiceState, ServiceError>)> {
    let host = site.host(served, deployment);
    let asked = check::asked_ports(&config.checks);
    // A start script may well copy the tree: the version in an answer says which one runs.
    let told = config.checks.iter().any(check::names_version);
    let observe = |service: &Service| {
        // What commands say of a process of another checkout is not about this one.
        if matches!(service.manager, Manager::Command { .. }) {
            service::of_this_tree(&host, service, &asked)?;
        }
        let mut state = service::observe(&host, service)?;
        if let Some(dir) = service::acts_on(&host.top, service, &asked) {
            // To be replaced: until then it is the other one that answers.
            let found = format!("its port is served from {}", dir.display());
            (state.stale, state.redefined) = (Some(found.clone()), Some(found));
        }
        if state.up && state.stale.is_none() && !told {
            let copy = service::copy_served(&host.top, &state);
            state.stale = copy.map(|dir| format!("it runs the copy in {}", dir.display()));
        }
        hide_variables(&state);
        Ok(state)
    };
    config.services.iter().map(|one| (one.name.to_string(), observe(one))).collect()
}

/// What its manager was told to give a service in its environment, by a unit, by pm2, by hand, is in no file of the
/// app: an app may print it all the same.
fn hide_variables(state: &ServiceState) {
    for process in &state.processes {
        let environment = procs::environment(process.pid).unwrap_or_default();
        let pairs = environment
            .iter()
            .map(|(name, value)| (name.to_string_lossy(), value.to_string_lossy()));
        secrets::hide(&Redactor::of_environment(pairs));
    }
}

/// What is to be proven of `served` with the checks of a configuration: all of them, and nothing was changed.
pub fn expectation(
    site: &Site,
    config: &Config,
    served: &Served,
    deployment: &str,
    fresh_since: Option<Ticks>,
) -> Expectation {
    Expectation {
        served: served.clone(),
        deployment: deployment.to_owned(),
        not: None,
        fresh_since,
        changed: false,
        weak: config.app.prove == Prove::Weak,
        until: Until::Left,
        only: Selection::All,
        around: surroundings(site, config, served, deployment),
        listens: listens(config),
        tells: BTreeSet::new(),
    }
}

/// Where the services of a configuration listen by what it says itself.
pub fn listens(config: &Config) -> Listens {
    let of = |service: &Service| {
        let said = service.ports.clone().unwrap_or_default();
        let port = match &service.manager {
            Manager::Process { env, .. } => env.get("PORT").and_then(|port| port.parse().ok()),
            _ => None,
        };
        let must = MustListen { ports: said.clone(), ..MustListen::default() };
        let nameless = matches!(service.manager, Manager::Command { .. });
        let named = said.into_iter().chain(port).collect();
        (service.name.to_string(), ServiceListens { named, nameless, must })
    };
    Listens { services: config.services.iter().map(of).collect() }
}

/// As [`expectation`], for the questions of rules.
pub fn expectation_of_rules(
    site: &Site,
    config: &Config,
    served: &Served,
    deployment: &str,
) -> Expectation {
    let kinds = config.rules.iter().map(|rule| &rule.probe.kind);
    let around = surroundings_of(site, config, served, deployment, kinds);
    let without_checks = Config { checks: Vec::new(), ..config.clone() };
    Expectation { around, ..expectation(site, &without_checks, served, deployment, None) }
}

/// What checks need to know of this host. Asks managers where the logs are that checks read, if any does.
pub fn surroundings(
    site: &Site,
    config: &Config,
    served: &Served,
    deployment: &str,
) -> Surroundings {
    let kinds = config.checks.iter().map(|check| &check.kind);
    surroundings_of(site, config, served, deployment, kinds)
}

fn surroundings_of<'c>(
    site: &Site,
    config: &Config,
    served: &Served,
    deployment: &str,
    kinds: impl Iterator<Item = &'c CheckKind>,
) -> Surroundings {
    let host = site.host(served, deployment);
    let mut around = Surroundings {
        top: site.top().to_owned(),
        env: host.command_environment(),
        redactor: site.redactor(config),
        ..Surroundings::default()
    };
    let named = kinds.filter_map(|kind| match kind {
        CheckKind::Log(LogCheck { source: LogSource::Service(name), .. }) => Some(name),
        _ => None,
    });
    for name in named {
        let service = config.services.iter().find(|service| service.name == *name);
        let Some(service) = service.filter(|_| !around.service_logs.contains_key(name)) else {
            continue;
        };
        let logs = service::logs(&host, service).map_err(|error| NoLog {
            why: error.to_string(),
            lasting: matches!(error, ServiceError::Unsupported(_)),
        });
        let places = logs.map(|logs| logs.into_iter().map(|log| around.place_of(log)).collect());
        around.service_logs.insert(name.clone(), places);
    }
    around
}

/// A file that a service holds open for writing: a database, a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFile {
    /// Its path in the tree.
    pub path: RepoPath,
    /// The service; the program, where only its working directory tells that it belongs to the app.
    pub holder: String,
    /// The process.
    pub pid: u32,
    /// Written at its end only: a log.
    pub log: bool,
}

impl HeldFile {
    /// Whether taking `path` away takes this file, or a part of the same SQLite database: its journal and
    /// its write-ahead log are worth as much as the file itself.
    pub fn is_part_of(&self, path: &RepoPath) -> bool {
        *path == self.path || (!self.log && database(path) == database(&self.path))
    }
}

/// The files below the top of the tree that the observed services hold open for writing, by path. What this
/// user may not look into stays unknown.
pub fn held_files(site: &Site, observed: &Observed) -> Vec<HeldFile> {
    let Ok(top) = site.top().canonicalize() else {
        return Vec::new();
    };
    let mut found: BTreeMap<RepoPath, HeldFile> = BTreeMap::new();
    for (service, state) in &observed.services {
        let Ok(state) = state else { continue };
        for (pid, holder) in processes(service, state, &top) {
            for (path, writing) in open_files::open_for_writing(pid, &top) {
                let below = path.strip_prefix(&top).unwrap_or(&path);
                // What is in `.git` is not a path of the repository.
                let Ok(path) = RepoPath::new(below.as_os_str().as_bytes()) else { continue };
                let log = writing == Writing::Appending;
                let held = HeldFile { path: path.clone(), holder: holder.clone(), pid, log };
                let known = found.entry(path).or_insert_with(|| held.clone());
                if known.log && !log {
                    *known = held;
                }
            }
        }
    }
    found.into_values().collect()
}

/// The processes of a service with what to call them. A manager that cannot name them (commands of the
/// team's own) leaves those that work in the tree.
fn processes(service: &str, state: &ServiceState, top: &Path) -> Vec<(u32, String)> {
    if state.up && state.processes.is_empty() {
        let ours: BTreeSet<u32> = procs::family(std::process::id()).into_iter().collect();
        let here = |pid: &u32| {
            !ours.contains(pid)
                && procs::working_directory(*pid).is_some_and(|dir| dir.starts_with(top))
        };
        let named = |pid| (pid, program(pid).unwrap_or_else(|| service.to_owned()));
        return procs::running().into_iter().filter(here).map(named).collect();
    }
    let families = state.processes.iter().flat_map(|process| procs::family(process.pid));
    // pm2's daemon writes the logs of what it runs.
    let all: BTreeSet<u32> = families.chain(state.socket_owners.iter().copied()).collect();
    all.into_iter().map(|pid| (pid, service.to_owned())).collect()
}

fn program(pid: u32) -> Option<String> {
    let line = procs::command_line(pid)?;
    Some(Path::new(line.first()?).file_name()?.to_string_lossy().into_owned())
}

/// The name without what SQLite appends for the files beside a database.
fn database(path: &RepoPath) -> &[u8] {
    let bytes = path.as_bytes();
    let beside: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];
    beside.into_iter().find_map(|end| bytes.strip_suffix(end)).unwrap_or(bytes)
}
