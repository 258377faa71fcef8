//! Exchanging the records of an environment with a remote: every host's chain comes here, this host's goes there.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::guard;
use super::session::{Session, open};
use super::trust;
use crate::config::{self, BindingError};
use crate::engine;
use crate::ledger::{self, Ledger, Projecting, revoke};
use crate::model::{EnvironmentName, Oid, RepoPath, Seq, WriterId};
use crate::plan::facts::Facts;
use crate::plan::names::stable_matcher;
use crate::site::Site;
use crate::system::git::{Git, Pushed};

/// A remote that has not answered a question about its refs by then counts as away.
const ASK_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Default)]
pub struct SyncRequest {
    /// The remote; that of `[remote]` where left out.
    pub remote: Option<String>,
}

/// What was exchanged.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SyncReport {
    pub remote: String,
    /// Whether this host verifies signatures and publishes: a clone that is not bound only fetches.
    pub verified: bool,
    /// The other hosts' chains, as they are here now.
    pub chains: Vec<SyncedChain>,
    /// Stable tags that came.
    pub tags: Vec<String>,
    /// Stable tags that are others on the remote; the ones here were kept.
    pub moved_tags: Vec<String>,
    /// Records of this host that went there.
    pub published: u64,
    /// Refs that were pushed.
    pub pushed: Vec<String>,
    /// What does not fit together, a sentence each: nothing here was overwritten.
    pub disputes: Vec<String>,
    /// Why the remote does not have this host's records.
    pub unpublished: Option<String>,
    /// Why the remote does not have this host's notes, which are only for people.
    pub notes_unpublished: Option<String>,
    /// What of other hosts' trust records this host applied by itself, a line each.
    pub trust: Vec<String>,
    /// Trust records that a person may accept.
    pub proposed: Vec<Proposed>,
}

/// A trust record of another host that this host has not applied.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Proposed {
    pub writer: String,
    pub seq: Seq,
    /// Its sentence; escape before printing.
    pub what: String,
}

/// Another host's chain.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SyncedChain {
    pub writer: String,
    /// Its records; `None` where they are not believed.
    pub records: Option<u64>,
    /// How many of them are new here.
    pub new: u64,
    /// Why they are not believed.
    pub refused: Option<String>,
}

/// Fetches every chain of the environment and the stable tags, then pushes this host's chain, its stable tags and its
/// notes. Nothing is forced in either direction.
///
/// # Errors
/// When there is no such remote or it does not answer.
pub fn sync(caller: &Caller, request: &SyncRequest) -> Result<SyncReport, Failure> {
    if let (git, Err(BindingError::Unbound { .. })) = open(caller)? {
        return unbound(&git, request);
    }
    let session = Session::change(caller, "sync")?;
    let site = &session.site;
    let facts = session.facts()?;
    let remote = request.remote.clone();
    let remote = remote.unwrap_or_else(|| facts.accepted.config.remote.name.clone());
    must_be_there(&site.git, &remote)?;
    let mut report = SyncReport::of(remote, true);
    let before = lengths(&facts.ledger);
    session.letting_others_in(|| exchange(site, &facts, &mut report))?;
    session.be_at_work()?;
    let mut after = site.ledger()?;
    report.trust = trust::follow(&session, &after)?;
    if !report.trust.is_empty() {
        after = site.ledger()?;
    }
    for entry in revoke::proposals(&site.git, &site.binding, &after)? {
        let record = &entry.record;
        report.proposed.push(Proposed {
            writer: record.writer.to_string(),
            seq: record.seq,
            what: record.sentence.clone(),
        });
    }
    engine::project(site, &after, Projecting::Onward);
    session.tell_unprojected();
    report.chains = chains(Some(&site.binding.writer), &before, &after);
    Ok(report)
}

/// Fetches every environment's chains and the stable tags into a clone that is not bound: it publishes nothing, and nobody
/// says there whose keys count.
fn unbound(git: &Git, request: &SyncRequest) -> Result<SyncReport, Failure> {
    let remote = request.remote.clone().unwrap_or_else(|| "origin".to_owned());
    must_be_there(git, &remote)?;
    let mut report = SyncReport::of(remote, false);
    let head = git.head()?.commit;
    let text = RepoPath::new("gitroll.toml").ok().and_then(|path| git.file(&head, &path).ok()?);
    let config =
        text.and_then(|t| config::parse(&String::from_utf8_lossy(&t), "gitroll.toml").ok());
    let pattern = config.map_or_else(|| guard::USUAL.to_owned(), |config| config.stable.pattern);
    let mut there = ask(git, &pattern, "refs/gitroll/", &report.remote)?;
    there.chains.retain(|(name, _)| name.contains("/ledger/"));
    let mut environments: Vec<EnvironmentName> =
        there.chains.iter().filter_map(|(name, _)| name.split('/').nth(2)?.parse().ok()).collect();
    environments.sort();
    environments.dedup();
    let read = |environment| ledger::read_unverified(git, environment);
    let before: Result<Vec<Ledger>, _> = environments.iter().map(read).collect();
    let before: Lengths = before?.iter().flat_map(lengths).collect();
    fetch(git, "", &there, &mut report)?;
    for environment in &environments {
        report.chains.extend(chains(None, &before, &read(environment)?));
    }
    Ok(report)
}

fn must_be_there(git: &Git, remote: &str) -> Result<(), Failure> {
    match git.remotes().iter().any(|name| name == remote) {
        true => Ok(()),
        false => Err(Failure::unchanged(format!("there is no remote {remote}"))
            .next(format!("git remote add {remote} URL"), "names it")),
    }
}

impl SyncReport {
    fn of(remote: String, verified: bool) -> Self {
        Self {
            remote,
            verified,
            chains: Vec::new(),
            tags: Vec::new(),
            moved_tags: Vec::new(),
            published: 0,
            pushed: Vec::new(),
            disputes: Vec::new(),
            unpublished: None,
            notes_unpublished: None,
            trust: Vec::new(),
            proposed: Vec::new(),
        }
    }
}

type Lengths = Vec<(String, u64)>;

fn lengths(ledger: &Ledger) -> Lengths {
    let chains = ledger.chains.values();
    chains.map(|chain| (chain.writer.to_string(), chain.entries.len() as u64)).collect()
}

fn chains(own: Option<&WriterId>, before: &Lengths, after: &Ledger) -> Vec<SyncedChain> {
    let known = |writer: &str| before.iter().find(|(known, _)| known == writer).map_or(0, |k| k.1);
    let others = after.chains.values().filter(|chain| Some(&chain.writer) != own);
    let believed = others.map(|chain| {
        let (writer, records) = (chain.writer.to_string(), chain.entries.len() as u64);
        let new = records.saturating_sub(known(&writer));
        SyncedChain { writer, records: Some(records), new, refused: None }
    });
    let refused = after.refused.iter().map(|(writer, why)| SyncedChain {
        writer: writer.clone(),
        records: None,
        new: 0,
        refused: Some(why.to_string()),
    });
    believed.chain(refused).collect()
}

/// What a remote has of an environment.
struct There {
    chains: Vec<(String, Oid)>,
    tags: Vec<(String, Oid)>,
}

fn exchange(site: &Site, facts: &Facts, report: &mut SyncReport) -> Result<(), Failure> {
    let (git, binding) = (&site.git, &site.binding);
    let own = ledger::chain_ref(&binding.environment, &binding.writer);
    let pattern = &facts.accepted.config.stable.pattern;
    let there = ask(git, pattern, &ledger::chain_prefix(&binding.environment), &report.remote)?;
    fetch(git, &own, &there, report)?;
    if let Some((_, head)) = there.chains.iter().find(|(name, _)| *name == own)
        && let Some(dispute) = engine::other_records(site, &report.remote, head)
    {
        report.disputes.push(dispute);
        report.unpublished = Some("the remote has other records of this host".to_owned());
        return Ok(());
    }
    push(site, facts, &own, &there, report);
    Ok(())
}

fn ask(git: &Git, pattern: &str, prefix: &str, remote: &str) -> Result<There, Failure> {
    let asked = [format!("{prefix}*"), "refs/tags/*".to_owned()];
    let found = git.remote_refs_like(remote, &asked, ASK_LIMIT).map_err(|error| {
        Failure::unchanged(format!("{remote} does not answer: {error}"))
            .and_nothing_changed()
            .next("gitroll sync", "tries again; records stay here until then")
    })?;
    let stable = stable_matcher(pattern);
    let is_stable = |name: &str| {
        let short = name.strip_prefix("refs/tags/").unwrap_or(name);
        stable.as_ref().is_some_and(|matcher| matcher.is_match(short))
    };
    let (chains, tags) = found.into_iter().partition(|(name, _)| name.starts_with(prefix));
    let tags = Vec::into_iter(tags).filter(|(name, _)| is_stable(name)).collect();
    Ok(There { chains, tags })
}

/// Brings what is missing here, ref by ref: one that does not fit keeps no other away.
fn fetch(git: &Git, own: &str, there: &There, report: &mut SyncReport) -> Result<(), Failure> {
    let mut wanted = Vec::new();
    for (name, id) in there.chains.iter().filter(|(name, _)| name != own) {
        if git.find_ref(name)?.as_ref() != Some(id) {
            wanted.push((name.clone(), id.clone()));
        }
    }
    let mut tags = Vec::new();
    for (name, id) in &there.tags {
        match git.find_ref(name)? {
            None => tags.push((name.clone(), id.clone())),
            Some(here) if here != *id => report.moved_tags.push(short(name)),
            Some(_) => {}
        }
    }
    let names = wanted.iter().chain(&tags).map(|(name, _)| name.clone());
    git.fetch_refs(&report.remote, &names.collect::<Vec<_>>())?;
    for (name, id) in wanted {
        let here = git.find_ref(&name)?;
        // The remote may have gone on meanwhile.
        let fits = here.as_ref().is_some_and(|here| git.contains(here, &id).unwrap_or(false));
        if !fits {
            let at = here.map_or_else(|| "nothing".to_owned(), |here| here.short().to_owned());
            report.disputes.push(format!(
                "{name}: {} has {}, which does not continue {at}, what is here",
                report.remote,
                id.short()
            ));
        }
    }
    for (name, _) in tags {
        if git.find_ref(&name)?.is_some() {
            report.tags.push(short(&name));
        }
    }
    Ok(())
}

fn push(site: &Site, facts: &Facts, own: &str, there: &There, report: &mut SyncReport) {
    let git = &site.git;
    let is_there = |name: &str, id: &Oid| there.tags.iter().any(|(n, i)| n == name && i == id);
    let taken = |name: &str| there.tags.iter().any(|(n, _)| n == name);
    let tags: Vec<String> = facts
        .history
        .promotions()
        .map(|promotion| &promotion.tag)
        .filter(|tag| git.find_ref(&tag.name).ok().flatten().as_ref() == Some(&tag.id))
        .filter(|tag| !is_there(&tag.name, &tag.id) && !taken(&tag.name))
        .map(|tag| tag.name.clone())
        .collect();
    let entries = facts.own(site);
    let head = there.chains.iter().find(|(name, _)| name == own).map(|(_, head)| head);
    let known = head.and_then(|head| entries.iter().position(|entry| entry.commit == *head));
    let waiting = entries.len() - known.map_or(0, |at| at + 1);
    if waiting > 0 || !tags.is_empty() {
        match engine::publish(site, &report.remote, &tags, engine::LONG_WAIT) {
            Some(Pushed::Done) => {
                report.published = waiting as u64;
                report.pushed.push(own.to_owned());
                report.pushed.extend(tags);
            }
            Some(Pushed::Rejected(why) | Pushed::Failed(why)) => report.unpublished = Some(why),
            None => {}
        }
    }
    // Only for people: made anew, they may not continue those on the remote, and the records are there all the same.
    let notes = ledger::notes_ref(&site.binding.environment, &site.binding.writer);
    if report.unpublished.is_none() && matches!(git.find_ref(&notes), Ok(Some(_))) {
        match git.push(&report.remote, std::slice::from_ref(&notes)) {
            Ok(Pushed::Done) => {}
            Ok(Pushed::Rejected(why) | Pushed::Failed(why)) => {
                report.notes_unpublished = Some(why);
            }
            Err(error) => report.notes_unpublished = Some(error.to_string()),
        }
    }
}

fn short(name: &str) -> String {
    name.strip_prefix("refs/tags/").unwrap_or(name).to_owned()
}
