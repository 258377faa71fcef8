//! What is known of both states of a plan before it is carried out: where their services listen, and whether their
//! answers tell the version.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use crate::check::{self, MustListen, Shown};
use crate::config::{CheckKind, Config, HttpCheck};
use crate::ledger;
use crate::model::{CheckName, Digest, Event, Oid, Plan, RepoPath};
use crate::site::{Observed, Site, listens};
use crate::system::sockets::Place;

impl Facts {
    /// Where the services listened when `commit` was last put in place here.
    pub fn listened(
        &self,
        site: &Site,
        commit: &Oid,
        config: &Config,
    ) -> BTreeMap<String, MustListen> {
        let evidence = self.last_record_of(site, commit);
        let evidence = evidence.and_then(|entry| ledger::evidence(&site.git, entry).ok());
        let known = listens(config);
        let seen = evidence.map(|evidence| evidence.services).unwrap_or_default();
        let mut listened = BTreeMap::new();
        for service in seen.iter().filter(|service| !service.listens.is_empty()) {
            let named = known.services.get(service.service.as_str()).map(|s| &s.named);
            let lasts = |place: &Place| {
                let said = place.port().is_some_and(|p| named.is_some_and(|n| n.contains(&p)));
                place.port().is_some() && (said || !place.is_passing())
            };
            let places = service.listens.iter().filter_map(|place| place.parse().ok());
            let at: Vec<Place> = places.filter(lasts).collect();
            let must = MustListen { somewhere: at.is_empty(), at, ports: Vec::new() };
            listened.insert(service.service.to_string(), must);
        }
        listened
    }

    /// What is known of both states of a plan.
    pub fn shown(&self, site: &Site, plan: &Plan, config: &Config, observed: &Observed) -> Shown {
        let accepted = &self.accepted.config;
        let before = check::listened(&accepted.checks, &observed.services, &listens(accepted));
        let mut target = self.listened(site, &plan.to.commit, config);
        let dropped = named_only(accepted, config);
        for (name, must) in &before {
            if target.contains_key(name) {
                continue;
            }
            let goes_on = |place: &&Place| !place.port().is_some_and(|p| dropped.contains(&p));
            let must = match plan.event {
                Event::Deploy => {
                    let at = must.at.iter().filter(goes_on).cloned();
                    // A release that lets its checks ask at another address means to be reached there.
                    let (moved, at): (Vec<Place>, Vec<Place>) = at.partition(|place| {
                        let asked = |config: &Config| {
                            place.port().map(|port| check::asked_addresses(&config.checks, port))
                        };
                        asked(accepted) != asked(config)
                    });
                    let ports: Vec<u16> = moved.iter().filter_map(Place::port).collect();
                    MustListen { somewhere: at.is_empty() && ports.is_empty(), at, ports }
                }
                // An older state may never have listened everywhere.
                _ => MustListen { somewhere: true, ..MustListen::default() },
            };
            target.insert(name.clone(), must);
        }
        let files = served_before(site, plan, config);
        Shown { before, target, tells: self.tells(site, plan, config), files }
    }

    /// The checks in whose answers the target of a plan names its version: by its record, and before it has one, by
    /// what it says itself.
    fn tells(&self, site: &Site, plan: &Plan, config: &Config) -> BTreeSet<CheckName> {
        let record = self.last_record_of(site, &plan.to.commit);
        if let Some(evidence) = record.and_then(|entry| ledger::evidence(&site.git, entry).ok()) {
            let told = evidence.checks.into_iter().filter(|check| check.told_version);
            return told.map(|check| check.check).collect();
        }
        let path = RepoPath::new("gitroll.toml").expect("a plain name");
        let own = site.git.file(&plan.to.commit, &path).ok().flatten();
        if plan.event != Event::Deploy || own.as_deref() != Some(plan.config.as_bytes()) {
            return BTreeSet::new();
        }
        let telling = config.checks.iter().filter(|check| check::names_version(check));
        telling.map(|check| check.name.clone()).collect()
    }
}

/// The files that answers to checks must be, as they were in what serves: where the plan changes one, as that version
/// has it, for someone may have checked out the target by hand.
fn served_before(site: &Site, plan: &Plan, config: &Config) -> BTreeMap<CheckName, Digest> {
    let mut files = check::served_files(&config.checks, site.top());
    for check in &config.checks {
        let CheckKind::Http(HttpCheck { file: Some(path), .. }) = &check.kind else { continue };
        if !plan.activation.changes.iter().any(|change| change.path == *path) {
            continue;
        }
        match site.git.file(&plan.from.commit, path) {
            Ok(Some(bytes)) => drop(files.insert(check.name.clone(), Digest::of(&bytes))),
            Ok(None) => drop(files.remove(&check.name)),
            Err(_) => {}
        }
    }
    files
}

/// The ports that one configuration speaks of and another does not.
fn named_only(one: &Config, other: &Config) -> BTreeSet<u16> {
    let named = |config: &Config| {
        let mut ports = check::asked_ports(&config.checks);
        ports.extend(listens(config).services.into_values().flat_map(|service| service.named));
        ports
    };
    named(one).difference(&named(other)).copied().collect()
}
