//! Facts, gathered by observing: what the chain says, what is there, what serves.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use jiff::Timestamp;

use super::error::PlanError;
use super::lineage::Lineage;
use super::names::Names;
use crate::build::{Depth, LiveArtifact, Toolchain, outputs_of};
use crate::check::ObservedService;
use crate::component::{self, HeldContent};
use crate::config::{self, Build, Config};
use crate::ledger::{self, Chain, Entry, Held, History, Ledger, ServingState};
use crate::model::{Event, Hold, Moment, Oid, Outcome, RepoPath, Seq, Served, WitnessedProcess};
use crate::site::{
    ProvenBy, Site, StartedOn, Vouched, all_started_on, config_in_tree, observe_services,
    processes, vouch, vouched_processes,
};
use crate::system::git::{Ancestry, GitError, Head};
use crate::system::procs::Ticks;
use crate::system::{clock, secrets};

/// Everything a plan is made from. Nothing here was changed by gathering it.
pub struct Facts {
    /// The moment of gathering.
    pub now: Timestamp,
    /// The same by both clocks.
    pub moment: Moment,
    /// Where HEAD is.
    pub head: Head,
    /// All trusted chains; the own one as this host has seen it, and with what it could not sign yet.
    pub ledger: Rc<Ledger>,
    /// What they say together.
    pub history: Rc<History>,
    /// The configuration that was last accepted here.
    pub accepted: Accepted,
    /// What the own chain says serves.
    pub standing: Option<ServingState>,
    /// What serves as observed: HEAD, or what the processes were started on where someone moved HEAD since.
    pub serving: Served,
    /// What was found where HEAD is not what the records say; `None` if it is.
    pub hand_made: Option<HandMade>,
    /// The stable tags, and the names of commits by them.
    pub names: Names,
    /// Contents of components that are held.
    pub held_contents: Vec<HeldContent>,
    lineage: OnceCell<Lineage>,
    held_trees: OnceCell<Vec<(Held, Option<Oid>)>>,
    /// What builds and runs the app here.
    pub toolchain: Toolchain,
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

/// What runs where someone moved HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandMade {
    /// What is checked out: the processes were started after it came.
    Started,
    /// What was checked out before. This is checked out, and no process was ever started on it.
    NeverStarted(Served),
    /// Nobody can tell: why.
    Unknown(String),
}

impl Facts {
    /// Whether `gitroll.toml` is in the tree neither as accepted nor as it belongs to what serves by the records:
    /// someone edited it, or moved HEAD.
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
        let ledger = site.ledger_with_queue()?;
        let history = site.history(&ledger);
        let chain = own_chain(&ledger, site)?;
        let accepted = accepted(site, chain)?;
        // From here on their values are known wherever something is cut or told.
        secrets::hide(&site.redactor(&accepted.config));
        if let Some(last) = chain.entries.last() {
            // The next record is written after looking at this: better to fail before anything changes.
            ledger::evidence(&site.git, last)?;
        }
        let head = site.git.head()?;
        let names = Names::of(&site.git, &accepted.config.stable.pattern)?;
        let serving = names.served(&site.git, &head.commit, Some(&accepted.config))?;
        let standing = history.serving().cloned();

        let components = &accepted.config.components;
        let held_contents =
            component::held_contents(&site.git, &ledger, history.holds(), components);
        let moment = clock::moment();
        let mut facts = Self {
            now: moment.time,
            moment,
            head,
            ledger,
            history,
            accepted,
            standing,
            serving,
            hand_made: None,
            lineage: OnceCell::new(),
            held_trees: OnceCell::new(),
            names,
            held_contents,
            toolchain: Toolchain::of(&site.binding, site.top()),
        };
        facts.look_at_hand_made(site)?;
        Ok(facts)
    }

    /// Finds out what runs where HEAD is not what the records say.
    fn look_at_hand_made(&mut self, site: &Site) -> Result<(), PlanError> {
        if !self.by_hand() {
            return Ok(());
        }
        let config = &self.accepted.config;
        let look = observe_services(site, config, &self.serving, &self.deployment(site));
        let hand_made = match self.started(site, &look)? {
            StartedOn::Head => HandMade::Started,
            StartedOn::Unknown(why) => HandMade::Unknown(why),
            StartedOn::Before(commit) => {
                let head = self.names.served(&site.git, &self.head.commit, Some(config))?;
                self.serving = self.names.served(&site.git, &commit, None)?;
                HandMade::NeverStarted(head)
            }
        };
        self.hand_made = Some(hand_made);
        Ok(())
    }

    /// The commit that the processes were started on, where it is not what is checked out now, and when the first of
    /// them was started.
    ///
    /// # Errors
    /// When the records or the repository cannot be read.
    pub fn running(&self, site: &Site) -> Result<Option<(Oid, Ticks)>, PlanError> {
        let config = &self.accepted.config;
        let look = observe_services(site, config, &self.serving, &self.deployment(site));
        let StartedOn::Before(commit) = self.started(site, &look)? else { return Ok(None) };
        let first = processes(config, &look).all.iter().map(|process| process.started).min();
        Ok(first.map(|first| (commit, Ticks(first))))
    }

    /// What the processes that serve were started on, where HEAD was moved: those that were proven run what was proven.
    fn started(&self, site: &Site, look: &[ObservedService]) -> Result<StartedOn, PlanError> {
        let proven = self.proven_by(site)?;
        let known = |process: &WitnessedProcess| match &proven {
            Some(proven) if proven.knows(process) => Some(StartedOn::Before(proven.commit.clone())),
            Some(proven) if !proven.clock_runs_on() => {
                Some(StartedOn::Unknown("the clock was set since the last proof".to_owned()))
            }
            _ => None,
        };
        let (config, head) = (&self.accepted.config, &self.head.commit);
        Ok(all_started_on(site, config, head, look, known)?)
    }

    /// The record that says how what serves by the records was proven, or found.
    ///
    /// # Errors
    /// When its evidence cannot be read.
    pub fn proven_by(&self, site: &Site) -> Result<Option<ProvenBy>, PlanError> {
        let Some(standing) = &self.standing else { return Ok(None) };
        let mut last = None;
        for entry in self.own(site).iter().rev().filter(|entry| entry.record.event.serves()) {
            let record = &entry.record;
            let served = match record.outcome {
                Outcome::Succeeded => record.to.as_ref(),
                Outcome::Restored => record.to.as_ref().or(record.from.as_ref()),
                Outcome::Failed => None,
            };
            match served {
                None => continue,
                Some(commit) if *commit != standing.commit => break,
                Some(_) if record.event == Event::Init => continue,
                Some(commit) => {
                    let evidence = ledger::evidence(&site.git, entry)?;
                    let witnessed = evidence.witnessed.is_some();
                    let found = ProvenBy { seq: record.seq, commit: commit.clone(), evidence };
                    if witnessed {
                        return Ok(Some(found));
                    }
                    last.get_or_insert(found);
                }
            }
        }
        Ok(last)
    }

    /// Who contains whom of what bears on the way back: held commits, and the reverts in what serves since the
    /// oldest state that served here.
    ///
    /// # Errors
    /// When git cannot read the commits.
    pub fn lineage(&self, site: &Site) -> Result<&Lineage, GitError> {
        if let Some(known) = self.lineage.get() {
            return Ok(known);
        }
        let held = self.history.holds().iter().filter(|held| held.hold == Hold::Commit);
        let mut served = self.history.deployments().iter().map(|span| &span.commit);
        let oldest = served.find(|commit| site.git.has(commit));
        let serving = &self.serving.commit;
        // Asked only of what no record put in place.
        let others = self.history.pins().next().map(|_| serving);
        let between = oldest.map(|oldest| (oldest, serving));
        let found = Lineage::of(site, held.map(|held| &held.subject), others, between)?;
        Ok(self.lineage.get_or_init(|| found))
    }

    /// Whether `commit` contains `of`.
    ///
    /// # Errors
    /// When git cannot read the commits.
    pub fn contains(&self, site: &Site, commit: &Oid, of: &Oid) -> Result<bool, GitError> {
        if *of == self.serving.commit && self.history.pins().next().is_some() {
            let found = self.lineage(site)?.ancestry(&site.git, commit, of)?;
            return Ok(found == Ancestry::Ancestor);
        }
        site.git.contains(commit, of)
    }

    /// The holds on commits, with the trees of those that are here.
    ///
    /// # Errors
    /// When git cannot read the commits.
    pub fn held_trees(&self, site: &Site) -> Result<&[(Held, Option<Oid>)], GitError> {
        if let Some(known) = self.held_trees.get() {
            return Ok(known);
        }
        let held = self.history.holds().iter().filter(|held| held.hold == Hold::Commit);
        let tree = |held: &Held| match site.git.has(&held.subject) {
            true => site.git.commit(&held.subject).map(|commit| Some(commit.tree)),
            false => Ok(None),
        };
        let found: Result<Vec<_>, GitError> =
            held.map(|held| Ok((held.clone(), tree(held)?))).collect();
        let found = found?;
        Ok(self.held_trees.get_or_init(|| found))
    }

    /// What the processes that serve are worth as witnesses of [`Facts::serving`].
    ///
    /// # Errors
    /// When the records or the tree cannot be read.
    pub fn vouched(&self, site: &Site, look: &[ObservedService]) -> Result<Vouched, PlanError> {
        match &self.hand_made {
            // Told by their age.
            Some(HandMade::Started | HandMade::NeverStarted(_)) => return Ok(Vouched::Yes),
            Some(HandMade::Unknown(why)) => return Ok(Vouched::CannotTell(why.clone())),
            None => {}
        }
        match self.proven_by(site)? {
            Some(proven) => Ok(vouch(site, &self.accepted.config, look, &proven)?),
            None => Ok(Vouched::CannotTell("no record proves it".to_owned())),
        }
    }

    /// Why what serves was proven weakly only, where it was: passing checks show no more of it later on. `told`: a check
    /// was answered with the version now.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn weakness(&self, site: &Site, told: bool) -> Result<Option<String>, PlanError> {
        let proven = self.proven_by(site)?.filter(|_| !told);
        let proven = proven.filter(|proven| proven.commit == self.serving.commit);
        let weak = proven.and_then(|proven| Some((proven.seq, proven.evidence.weak?)));
        Ok(weak.map(|(seq, why)| format!("#{seq} proved it weakly: {why}")))
    }

    /// The processes that serve and were proven.
    ///
    /// # Errors
    /// As [`Facts::vouched`].
    pub fn vouched_processes(
        &self,
        site: &Site,
        look: &[ObservedService],
    ) -> Result<Vec<WitnessedProcess>, PlanError> {
        let config = &self.accepted.config;
        match (&self.hand_made, self.proven_by(site)?) {
            (Some(HandMade::Started | HandMade::NeverStarted(_)), _) => {
                Ok(processes(config, look).all)
            }
            (Some(HandMade::Unknown(_)), _) | (_, None) => Ok(Vec::new()),
            (_, Some(proven)) => Ok(vouched_processes(site, config, look, &proven)?),
        }
    }

    /// What is checked out by hand, where no process was ever started on it.
    pub fn never_started(&self) -> Option<&Served> {
        match &self.hand_made {
            Some(HandMade::NeverStarted(head)) => Some(head),
            Some(HandMade::Started | HandMade::Unknown(_)) | None => None,
        }
    }

    /// Whether HEAD is not what the own chain says: someone else moved it.
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
        self.own(site).get(self.history.last_record(commit)?)
    }

    /// The own record of this position.
    pub fn own_record(&self, site: &Site, seq: Seq) -> Option<&Entry> {
        // Position i of a chain holds record i + 1.
        let at = usize::try_from(seq.0).ok()?.checked_sub(1)?;
        self.own(site).get(at).filter(|entry| entry.record.seq == seq)
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

    /// The outputs of these groups for these commits, and where else something was put in place that their globs
    /// mean.
    ///
    /// # Errors
    /// When a commit's tree or the store cannot be read.
    pub fn outputs(
        &self,
        site: &Site,
        groups: &[Build],
        commits: &[&Oid],
    ) -> Result<Vec<RepoPath>, PlanError> {
        if groups.iter().all(|group| group.output_globs.is_empty()) {
            let all = outputs_of(groups, &[]);
            return Ok(all.iter().flat_map(|outputs| outputs.all()).cloned().collect());
        }
        let mut found = BTreeSet::new();
        for commit in commits {
            let all = outputs_of(groups, &site.git.entries(commit)?);
            found.extend(all.iter().flat_map(|outputs| outputs.all()).cloned());
        }
        let globs: Vec<_> = groups.iter().flat_map(|group| &group.output_globs).collect();
        let places = site.store.places();
        let mut places =
            places.map_err(|source| PlanError::Io { path: site.store.dir.clone(), source })?;
        places.retain(|place| globs.iter().any(|glob| glob.is_match(place)));
        found.extend(places);
        Ok(found.into_iter().collect())
    }

    /// What is in the live tree at the given outputs.
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
