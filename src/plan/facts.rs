//! Facts, gathered by observing: what the chain says, what lies there, what serves.

use jiff::Timestamp;

use super::error::PlanError;
use super::names::Names;
use crate::build::{Depth, LiveArtifact};
use crate::component::{self, HeldContent};
use crate::config::{self, Config};
use crate::ledger::{self, Chain, Entry, History, Ledger, ServingState};
use crate::model::{Moment, Oid, RepoPath, Seq, Served};
use crate::site::{Site, config_in_tree};
use crate::system::git::{GitError, Head, Tag};
use crate::system::{clock, secrets};

/// Everything a plan is made from. Nothing here was changed by gathering it.
pub struct Facts {
    /// The moment of gathering.
    pub now: Timestamp,
    /// The same by both clocks.
    pub moment: Moment,
    /// Where HEAD is.
    pub head: Head,
    /// All believed chains.
    pub ledger: Ledger,
    /// What they say together.
    pub history: History,
    /// The configuration that was last accepted here.
    pub accepted: Accepted,
    /// What the own chain says serves.
    pub standing: Option<ServingState>,
    /// What serves as observed: HEAD.
    pub serving: Served,
    /// All tags of people's making.
    pub tags: Vec<Tag>,
    /// Names of commits.
    pub names: Names,
    /// Contents of components that are held.
    pub held_contents: Vec<HeldContent>,
}

/// A configuration and where it comes from.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Parsed.
    pub config: Config,
    /// Its bytes.
    pub text: String,
    /// The record that used it.
    pub seq: Seq,
}

impl Facts {
    /// Whether `gitroll.toml` lies in the tree neither as accepted nor as it belongs to what serves by the records:
    /// somebody edited it, or moved HEAD.
    pub fn config_was_changed(&self, site: &Site) -> bool {
        let path = RepoPath::new("gitroll.toml").expect("a plain name");
        let Ok(Some(text)) = config_in_tree(site.top()) else { return false };
        let serving = self.standing.as_ref().map(|standing| &standing.commit);
        let belongs = serving.and_then(|commit| site.git.file(commit, &path).ok().flatten());
        text != self.accepted.text && belongs.as_deref() != Some(text.as_bytes())
    }

    /// Gathers.
    ///
    /// # Errors
    /// When the repository or the own chain cannot be read.
    pub fn gather(site: &Site) -> Result<Self, PlanError> {
        let ledger = ledger::read(&site.git, &site.binding)?;
        let history = History::of(&ledger, Some(&site.binding.writer));
        let chain = own_chain(&ledger, site)?;
        let accepted = accepted(site, chain)?;
        // From here on their values are known wherever something is cut or told.
        secrets::hide(&site.redactor(&accepted.config));
        if let Some(last) = chain.entries.last() {
            // The next record is written after looking at this: better to fail before anything changes.
            ledger::evidence(&site.git, last)?;
        }
        let head = site.git.head()?;
        let tags = site.git.tags()?;
        let names = Names::of(&tags, &accepted.config.stable.pattern);
        let serving = names.served(&site.git, &head.commit, Some(&accepted.config))?;
        let standing = history.serving().cloned();
        let components = &accepted.config.components;
        let held_contents =
            component::held_contents(&site.git, &ledger, history.holds(), components);
        let moment = clock::moment();
        Ok(Self {
            now: moment.time,
            moment,
            head,
            ledger,
            history,
            accepted,
            standing,
            serving,
            tags,
            names,
            held_contents,
        })
    }

    /// Whether HEAD is not what the own chain says: somebody else moved it.
    pub fn by_hand(&self) -> bool {
        self.standing.as_ref().is_some_and(|s| s.commit != self.head.commit)
    }

    /// Resolves a name to a commit: as git does, else as the name under which states that served here are shown
    /// (`v1.2.0` of a package.json, `v1.2.0~QW-001`).
    ///
    /// # Errors
    /// `Unknown`; `Ambiguous` where several states are shown under it.
    pub fn resolve(&self, site: &Site, name: &str) -> Result<Oid, GitError> {
        let unknown = match site.git.resolve(name) {
            Err(error @ GitError::Unknown { .. }) => error,
            other => return other,
        };
        let mut shown: Vec<&Oid> = Vec::new();
        let served = self.history.deployments().iter().rev().map(|span| &span.commit);
        for commit in std::iter::once(&self.head.commit).chain(served) {
            if !shown.contains(&commit)
                && self.names.served(&site.git, commit, Some(&self.accepted.config))?.name == name
            {
                shown.push(commit);
            }
        }
        match shown.as_slice() {
            [] => Err(unknown),
            [only] => Ok((*only).clone()),
            several => {
                let meaning = |commit: &&Oid| match self.last_record_of(site, commit) {
                    Some(entry) => format!("@{} ({})", entry.record.seq, commit.short()),
                    None => commit.short().to_owned(),
                };
                let meanings = several.iter().map(meaning).collect();
                Err(GitError::Ambiguous { name: name.to_owned(), meanings })
            }
        }
    }

    /// The own chain's records, oldest first.
    pub fn own<'a>(&'a self, site: &Site) -> &'a [Entry] {
        self.ledger.chains.get(&site.binding.writer).map_or(&[], |c| &c.entries)
    }

    /// The last own record that put `commit` in place, or found it there.
    pub fn last_record_of<'a>(&'a self, site: &Site, commit: &Oid) -> Option<&'a Entry> {
        self.own(site).iter().rev().find(|entry| {
            let record = &entry.record;
            record.event.serves()
                && (record.to.as_ref() == Some(commit)
                    || (record.to.is_none()
                        && record.event == crate::model::Event::Predeploy
                        && record.subject.as_ref() == Some(commit)))
        })
    }

    /// The deployment id that serves: the run of the last serving record.
    pub fn deployment(&self, site: &Site) -> String {
        self.own(site)
            .iter()
            .rev()
            .filter(|entry| entry.record.event.serves())
            .find_map(|entry| ledger::evidence(&site.git, entry).ok()?.run)
            .map(|run| run.to_string())
            .unwrap_or_default()
    }

    /// What lies in the live tree at the given outputs.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn live(
        &self,
        site: &Site,
        outputs: &[RepoPath],
        depth: Depth,
    ) -> Result<Vec<LiveArtifact>, PlanError> {
        site.store
            .live(site.top(), outputs, depth)
            .map_err(|source| PlanError::Io { path: site.top().to_owned(), source })
    }

    /// The artifacts of `commit`'s last record that were edited since they were built, wherever they lie.
    ///
    /// # Errors
    /// When the record or the store cannot be read.
    pub fn changed(&self, site: &Site, commit: &Oid) -> Result<Vec<RepoPath>, PlanError> {
        let Some(entry) = self.last_record_of(site, commit) else { return Ok(Vec::new()) };
        let artifacts = ledger::evidence(&site.git, entry)?.artifacts;
        site.store
            .changed(site.top(), &artifacts)
            .map_err(|source| PlanError::Io { path: site.store.dir.clone(), source })
    }
}

fn own_chain<'a>(ledger: &'a Ledger, site: &Site) -> Result<&'a Chain, PlanError> {
    let name = || ledger::chain_ref(&site.binding.environment, &site.binding.writer);
    ledger.chains.get(&site.binding.writer).ok_or_else(|| PlanError::NoChain(name()))
}

/// The configuration of the last own record.
fn accepted(site: &Site, chain: &Chain) -> Result<Accepted, PlanError> {
    let entry = chain.entries.last().ok_or_else(|| PlanError::NoChain(chain.writer.to_string()))?;
    let text = ledger::config(&site.git, entry)?;
    let file = format!("gitroll.toml of record #{}", entry.record.seq);
    Ok(Accepted { config: config::parse(&text, &file)?, text, seq: entry.record.seq })
}
