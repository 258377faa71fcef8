//! The processes that serve, compared with those that were proven: one that is neither of them, nor younger than the
//! files it vouches for, vouches for nothing.

use std::collections::BTreeSet;

use super::bound::Site;
use super::outside::outside_files;
use crate::check::{self, ObservedService};
use crate::config::Config;
use crate::model::{Digest, Evidence, Oid, Seq, ServiceName, Witnessed, WitnessedProcess};
use crate::system::git::GitError;
use crate::system::procs::{self, ProcessId, Ticks};

/// Between a record's look and its time, for records that name no processes.
const MARGIN: i64 = 2;

/// Notes what serves at this moment, of `commit`, by what was seen last of the services. `wanted` are those that were
/// proven themselves; of the others only the processes in `vouched` are believed, that is those that were proven before.
///
/// # Errors
/// When a file of the tree cannot be looked at.
pub fn witness(
    site: &Site,
    config: &Config,
    commit: &Oid,
    look: &[ObservedService],
    wanted: impl Fn(&str) -> bool,
    vouched: &[WitnessedProcess],
) -> Result<Witnessed, GitError> {
    let mut processes = processes(config, look).all;
    processes.retain(|process| wanted(process.service.as_str()) || vouched.contains(process));
    Ok(Witnessed {
        at: jiff::Timestamp::now(),
        ticks: Ticks::now().0,
        boot: procs::boot_id(),
        processes,
        files: Some(marks(site, config, commit)?),
        outside: outside_files(site, config, commit)?,
    })
}

/// The processes that serve.
#[derive(Debug, Default)]
pub struct Serving {
    pub all: Vec<WitnessedProcess>,
    /// The services of which nobody can tell the processes.
    pub unknown: Vec<ServiceName>,
    /// The services whose processes live through a reload, and may run anything by now.
    pub outliving: BTreeSet<ServiceName>,
    /// A service that is run otherwise than it was proven, and how.
    pub redefined: Option<(ServiceName, String)>,
}

/// Every process of the services, those that they started included. Where a manager names none, whoever listens where
/// checks ask the app. This command and what it started are no part of it, whoever called it.
pub fn processes(config: &Config, look: &[ObservedService]) -> Serving {
    let ours = &procs::family(std::process::id());
    let mut serving = Serving::default();
    for (name, state) in look {
        let (Ok(state), Ok(service)) = (state, name.parse::<ServiceName>()) else { continue };
        // It is meant to end, and ended well.
        if !state.up || state.untouched {
            continue;
        }
        // A service that was started just now is a child of this command.
        let theirs = |pid: u32| {
            let started_here = ours.contains(&pid);
            let family = procs::family(pid).into_iter();
            family.filter(move |pid| started_here || !ours.contains(pid))
        };
        let found: Vec<ProcessId> = match state.processes.is_empty() {
            false => {
                let named = state.processes.iter().flat_map(|process| theirs(process.pid));
                named.filter_map(ProcessId::of).collect()
            }
            true => check::unnamed(&config.checks, look),
        };
        if found.is_empty() {
            serving.unknown.push(service.clone());
        }
        if let Some(how) = &state.redefined {
            serving.redefined.get_or_insert((service.clone(), how.clone()));
        }
        if state.kept {
            serving.outliving.insert(service.clone());
        }
        serving.all.extend(found.into_iter().map(|process| WitnessedProcess {
            service: service.clone(),
            pid: process.pid,
            started: process.start_ticks,
        }));
    }
    serving
}

/// What the processes that serve are worth as witnesses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vouched {
    /// Each is one that was proven, or was started since from files that nobody has written meanwhile.
    Yes,
    /// One is not: why.
    No(String),
    /// Nobody can tell by processes: why. An answered version may.
    CannotTell(String),
}

impl Vouched {
    /// Why what answers does not count as the version that was proven; `None` if it does. `told`: a check was
    /// answered with the version. `weak`: passing checks are enough.
    pub fn doubt(&self, told: bool, weak: bool) -> Option<&str> {
        match self {
            Vouched::Yes => None,
            Vouched::CannotTell(_) if told || weak => None,
            Vouched::No(why) | Vouched::CannotTell(why) => Some(why),
        }
    }
}

/// The record that says how what serves was proven.
#[derive(Debug)]
pub struct ProvenBy {
    pub seq: Seq,
    pub commit: Oid,
    pub evidence: Evidence,
}

impl ProvenBy {
    /// Whether this very process served when the record was made. A record that names no processes knows those that
    /// were started before it.
    pub fn knows(&self, process: &WitnessedProcess) -> bool {
        match &self.evidence.witnessed {
            Some(witnessed) => {
                witnessed.boot == procs::boot_id() && witnessed.processes.contains(process)
            }
            None => {
                let started = Ticks(process.started).moment();
                started.as_second() <= self.evidence.finished.as_second() + MARGIN
            }
        }
    }

    /// Whether the clock runs as it did when the record was made, so that times tell an order. After the machine was
    /// started nobody knows.
    pub fn clock_runs_on(&self) -> bool {
        const MOST: f64 = 5.0;
        let Some(witnessed) = &self.evidence.witnessed else { return true };
        let same_boot = witnessed.boot == procs::boot_id();
        let apart = Ticks(witnessed.ticks).moment().duration_since(witnessed.at);
        !same_boot || apart.as_secs_f64().abs() < MOST
    }

    /// Whether a process was started after the record was made.
    fn is_before(&self, process: &WitnessedProcess) -> bool {
        let witnessed = self.evidence.witnessed.as_ref();
        witnessed.is_some_and(|w| w.boot != procs::boot_id() || process.started >= w.ticks)
    }
}

/// Compares the processes that serve with those of the record that proved it, and the files with those of then.
///
/// # Errors
/// When the tree cannot be looked at.
pub fn vouch(
    site: &Site,
    config: &Config,
    look: &[ObservedService],
    proven: &ProvenBy,
) -> Result<Vouched, GitError> {
    vouch_for(site, config, &processes(config, look), proven)
}

fn vouch_for(
    site: &Site,
    config: &Config,
    serving: &Serving,
    proven: &ProvenBy,
) -> Result<Vouched, GitError> {
    let seq = proven.seq;
    if let Some((service, how)) = &serving.redefined {
        return Ok(Vouched::No(format!("{service}: {how}, since #{seq} was proven")));
    }
    let recorded = proven.evidence.witnessed.as_ref().and_then(|witnessed| witnessed.files);
    let mut untouched: Option<bool> = None;
    let mut files_untouched = || -> Result<bool, GitError> {
        if let Some(known) = untouched {
            return Ok(known);
        }
        let same = recorded == Some(marks(site, config, &proven.commit)?)
            && site
                .store
                .changed(site.top(), &proven.evidence.artifacts)
                .is_ok_and(|changed| changed.is_empty());
        untouched = Some(same);
        Ok(same)
    };
    for process in &serving.all {
        let WitnessedProcess { service, pid, .. } = process;
        let known = proven.knows(process);
        if serving.outliving.contains(service) {
            if !files_untouched()? {
                let why = format!(
                    "{service}: process {pid} keeps running across a reload, and files were written since #{seq}"
                );
                return Ok(Vouched::CannotTell(why));
            }
        } else if !known && !proven.is_before(process) {
            let why = format!("{service}: process {pid} is not one that #{seq} proved");
            return Ok(Vouched::No(why));
        } else if !known && !files_untouched()? {
            let why = format!(
                "{service}: process {pid} started after #{seq}, and files were written since: it may run another version"
            );
            return Ok(Vouched::No(why));
        }
    }
    Ok(match serving.unknown.first() {
        Some(service) => Vouched::CannotTell(format!("{service}: its processes are not known")),
        None if serving.all.is_empty() => {
            Vouched::CannotTell("there is no process to examine".to_owned())
        }
        None => Vouched::Yes,
    })
}

/// The processes that serve and that the record vouches for.
///
/// # Errors
/// As [`vouch`].
pub fn vouched_processes(
    site: &Site,
    config: &Config,
    look: &[ObservedService],
    proven: &ProvenBy,
) -> Result<Vec<WitnessedProcess>, GitError> {
    let serving = processes(config, look);
    let names: BTreeSet<&ServiceName> = serving.all.iter().map(|p| &p.service).collect();
    let mut vouched = Vec::new();
    for name in names {
        let all = serving.all.iter().filter(|process| process.service == *name).cloned();
        let outliving = serving.outliving.iter().filter(|other| *other == name).cloned();
        let redefined = serving.redefined.clone().filter(|(other, _)| other == name);
        let one = Serving {
            all: all.collect(),
            unknown: Vec::new(),
            outliving: outliving.collect(),
            redefined,
        };
        if vouch_for(site, config, &one, proven)? == Vouched::Yes {
            vouched.extend(one.all);
        }
    }
    Ok(vouched)
}

fn marks(site: &Site, config: &Config, commit: &Oid) -> Result<Digest, GitError> {
    let local = site.local(config);
    site.git.stamps(commit, |path| !local.matches(path) && !super::unread::of_tools(path))
}
