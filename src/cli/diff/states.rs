//! Which two states are compared, and what the records say of them.

use super::args::DiffArgs;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::cli::reader::Reader;
use crate::cli::session::Session;
use crate::component;
use crate::config::{self, Config};
use crate::ledger::{self, Chain, Entry, Held, History};
use crate::model::{Event, Evidence, Hold, Judgement, Moment, Oid, Outcome, Seq};
use crate::plan::candidates;
use crate::plan::facts::Facts;
use crate::plan::names::Names;
use crate::report::diff::{State, live_keys};
use crate::system::clock;
use crate::system::git::{Git, GitError};
use crate::system::text::nearest;
use crate::target::Request;
use crate::ui::Ui;

/// Two states and what is known about them.
pub struct Compared {
    /// The one before.
    pub from: State,
    /// The one since.
    pub to: State,
    /// The configuration that was accepted last.
    pub config: Option<Config>,
    /// The holds that stand.
    pub held: Vec<Held>,
    /// The names of the variables in `.env` then and since.
    pub keys: Option<(Vec<String>, Vec<String>)>,
    /// What could not be examined.
    pub warnings: Vec<String>,
}

/// A state before it has a name.
struct Found {
    commit: Oid,
    seq: Option<Seq>,
    role: String,
}

/// Finds the states that are asked for, or those that matter now.
///
/// # Errors
/// When a name names nothing, nothing was deployed yet, or objects are not here.
pub fn find(
    globals: &Globals,
    ui: &Ui,
    reader: &Reader,
    args: &DiffArgs,
) -> Result<Compared, Failure> {
    let both = args.a.is_some() && args.b.is_some();
    let chain = match reader.chain(args.writer.as_deref()) {
        // Two names say enough by themselves.
        Err(_) if both && args.writer.is_none() => None,
        chain => Some(chain?),
    };
    let mut warnings = Vec::new();
    let config = chain.and_then(|chain| accepted(&reader.git, chain, &mut warnings));
    let history = History::of(&reader.ledger, chain.map(|chain| &chain.writer));
    let look = Look { globals, ui, reader, chain, config: config.as_ref(), history: &history };
    let to = match &args.b {
        Some(name) => look.named(name)?,
        None => look.suspected()?,
    };
    let from = match &args.a {
        Some(name) => look.named(name)?,
        None => look.good(&to, &mut warnings)?,
    };
    let keys = look.keys(&from, &to, &mut warnings);
    let (from, to) = (look.state(from)?, look.state(to)?);
    let held = concerned(reader, &history, config.as_ref(), [&from.commit, &to.commit]);
    Ok(Compared { from, to, config, held, keys, warnings })
}

/// The holds that concern what is compared: of a component those on a content that one of the states has.
fn concerned(
    reader: &Reader,
    history: &History,
    config: Option<&Config>,
    states: [&Oid; 2],
) -> Vec<Held> {
    let accepted = config.map_or(&[][..], |config| &config.components);
    let git = &reader.git;
    let contents = component::held_contents(git, &reader.ledger, history.holds(), accepted);
    let there: Vec<_> = states
        .into_iter()
        .filter_map(|commit| component::held_in(git, &contents, commit).ok())
        .flatten()
        .map(|content| content.held.digest)
        .collect();
    let concerns = |held: &&Held| held.hold == Hold::Commit || there.contains(&held.digest);
    history.holds().iter().filter(concerns).cloned().collect()
}

/// Says how to get what is not here.
pub fn fetching(failure: Failure) -> Failure {
    failure.next(
        "git fetch origin 'refs/gitroll/*:refs/gitroll/*'",
        "fetches every deployed commit, if it was pushed",
    )
}

/// The configuration of the last record.
fn accepted(git: &Git, chain: &Chain, warnings: &mut Vec<String>) -> Option<Config> {
    let entry = chain.entries.last()?;
    let file = format!("gitroll.toml of record #{}", entry.record.seq);
    let parsed = match ledger::config(git, entry) {
        Ok(text) => config::parse(&text, &file).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let told = |problem| warnings.push(format!("components and migrations are unknown: {problem}"));
    parsed.map_err(told).ok()
}

/// Everything that is looked at to find a state.
struct Look<'a> {
    globals: &'a Globals,
    ui: &'a Ui,
    reader: &'a Reader,
    chain: Option<&'a Chain>,
    config: Option<&'a Config>,
    history: &'a History,
}

impl Look<'_> {
    fn entries(&self) -> &[Entry] {
        self.chain.map_or(&[], |chain| &chain.entries)
    }

    /// The binding's own chain, on the host where it serves.
    fn at_home(&self) -> bool {
        let own = self.reader.binding.as_ref().map(|binding| &binding.writer);
        own.is_some() && own == self.chain.map(|chain| &chain.writer)
    }

    fn named(&self, name: &str) -> Result<Found, Failure> {
        let role = "named".to_owned();
        if let Some(seq) = Seq::typed(name)
            && let Some(entry) = self.entries().iter().find(|e| e.record.seq == seq)
            && let Some(commit) = tried(entry)
        {
            return Ok(Found { commit: commit.clone(), seq: Some(seq), role });
        }
        let commit = match self.reader.git.resolve(name) {
            Ok(commit) => commit,
            Err(error) => {
                let shown = match error {
                    GitError::Unknown { .. } => self.reader.shown_as(self.entries(), name),
                    _ => Vec::new(),
                };
                match shown.as_slice() {
                    [] => return Err(self.unknown(name, error)),
                    [one] => {
                        let commit =
                            tried(one).cloned().ok_or_else(|| self.unknown(name, error))?;
                        return Ok(Found { commit, seq: Some(one.record.seq), role });
                    }
                    several => {
                        let what = format!("several states are shown as {name:?}");
                        let name = |entry: &&Entry| format!("@{}", entry.record.seq);
                        let names: Vec<String> = several.iter().map(name).collect();
                        return Err(Failure::refused(what)
                            .detail(format!("name one of them: {}", names.join(", "))));
                    }
                }
            }
        };
        let seq = self.placed(&commit, None).map(|entry| entry.record.seq);
        Ok(Found { commit, seq, role })
    }

    fn unknown(&self, name: &str, error: GitError) -> Failure {
        let unknown = matches!(error, GitError::Unknown { .. });
        let failure = missing(error);
        if !unknown {
            return failure;
        }
        let tags = self.reader.git.tag_refs(|_| true).unwrap_or_default();
        let known: Vec<String> = tags.into_iter().map(|tag| tag.short).collect();
        match nearest(name, &known) {
            Some(near) => failure.detail(format!("the nearest name is {near}")),
            None => failure.next("gitroll log", "shows what was deployed"),
        }
    }

    /// What went bad: what the last rollback left, what the last act tried, else what serves.
    fn suspected(&self) -> Result<Found, Failure> {
        let last = self.entries().iter().rev().find(|entry| entry.record.event.serves());
        let serving = self.serving()?;
        let Some(last) = last.filter(|_| !self.by_hand(&serving)) else {
            return Ok(self.what_serves(serving));
        };
        let record = &last.record;
        let back = matches!(record.event, Event::Back | Event::Component);
        let left = record.from.clone().filter(|from| *from != serving);
        let tried = record.subject.clone().filter(|subject| *subject != serving);
        Ok(match (record.outcome, left, tried) {
            (Outcome::Succeeded, Some(commit), _) if back => {
                let seq = self.placed(&commit, Some(record.seq)).map(|entry| entry.record.seq);
                Found { commit, seq, role: format!("left by #{}", record.seq) }
            }
            (Outcome::Restored | Outcome::Failed, _, Some(commit)) => {
                let role = format!("tried by #{}", record.seq);
                Found { commit, seq: Some(record.seq), role }
            }
            _ => self.what_serves(serving),
        })
    }

    fn what_serves(&self, commit: Oid) -> Found {
        let seq = self.placed(&commit, None).map(|entry| entry.record.seq);
        Found { commit, seq, role: "serves".to_owned() }
    }

    /// The state to compare with: what serves where something else went bad, else the last good one.
    fn good(&self, to: &Found, warnings: &mut Vec<String>) -> Result<Found, Failure> {
        let before = |commit: Oid, role: &str| {
            let seq = self.placed(&commit, to.seq).or_else(|| self.placed(&commit, None));
            Found { seq: seq.map(|entry| entry.record.seq), commit, role: role.to_owned() }
        };
        let serving = self.serving()?;
        if to.role != "named" && to.commit != serving {
            return Ok(before(serving, "serves"));
        }
        if let Some(commit) = self.last_good(&to.commit)? {
            return Ok(before(commit, "last good"));
        }
        let deployments = self.history.deployments().iter().rev();
        let mut earlier = deployments.filter(|span| span.commit != to.commit);
        let Some(span) = earlier.next() else {
            return Err(Failure::unchanged("there is nothing to compare with")
                .detail("only one version was deployed so far")
                .next("gitroll log", "shows what was deployed")
                .next("gitroll diff A B", "compares any two commits"));
        };
        warnings.push(
            "no version qualifies as last good: comparing with the version before".to_owned(),
        );
        Ok(before(span.commit.clone(), "the one before"))
    }

    /// As `gitroll back` would choose it; in a clone, if nobody knows what is kept on the host, as far
    /// as the records say.
    fn last_good(&self, since: &Oid) -> Result<Option<Oid>, Failure> {
        if self.at_home() {
            let session = Session::look(self.globals, self.ui)?;
            let facts = Facts::gather(&session.site)?;
            let found = candidates::gather(&session.site, &facts).resolve(&Request::LastGood)?;
            let chosen = found.ok().and_then(|found| found.chosen.commit);
            return Ok(chosen.filter(|commit| commit != since));
        }
        let now = clock::moment();
        let deployments = self.history.deployments().iter().rev();
        let good = |commit: &Oid| *commit != *since && self.qualifies(commit, &now);
        Ok(deployments.map(|span| &span.commit).find(|commit| good(commit)).cloned())
    }

    fn qualifies(&self, commit: &Oid, now: &Moment) -> bool {
        let history = self.history;
        let wanted = self.config.map(|config| config.stable.min_served).unwrap_or_default();
        let bad = history.verdict(commit).is_some_and(|j| j.verdict.judgement == Judgement::Bad);
        let held = history.holds().iter().any(|h| h.hold == Hold::Commit && h.subject == *commit);
        let long = history.served_total(commit, now).known >= wanted
            || !history.promoted(commit).is_empty()
            || history.adopted(commit);
        !bad && !held && long && (history.proven_here(commit) || history.adopted(commit))
    }

    /// What serves: as observed at home, by the chain's word elsewhere.
    fn serving(&self) -> Result<Oid, Failure> {
        if self.at_home() {
            return Ok(self.reader.git.head()?.commit);
        }
        let serving = self.history.serving().map(|standing| standing.commit.clone());
        serving.ok_or_else(|| {
            Failure::unchanged("nothing was deployed yet")
                .next("gitroll log", "shows the records")
                .next("gitroll diff A B", "compares any two commits")
        })
    }

    fn by_hand(&self, serving: &Oid) -> bool {
        self.history.serving().is_some_and(|standing| standing.commit != *serving)
    }

    /// The last record that put `commit` in place, or tried to, where asked before another record.
    fn placed(&self, commit: &Oid, before: Option<Seq>) -> Option<&Entry> {
        let mut entries = self.entries().iter().rev();
        entries.find(|entry| {
            entry.record.event.serves()
                && before.is_none_or(|seq| entry.record.seq < seq)
                && tried(entry) == Some(commit)
        })
    }

    /// The names of the variables in `.env` when each state was put in place. For the later one what is
    /// known best: the live file while it serves, else the record that ended its time.
    fn keys(
        &self,
        from: &Found,
        to: &Found,
        warnings: &mut Vec<String>,
    ) -> Option<(Vec<String>, Vec<String>)> {
        let record = |seq: Option<Seq>| self.entries().iter().find(|e| Some(e.record.seq) == seq);
        let before = self.recorded_keys(record(from.seq)?)?;
        let serves = self.at_home() && self.serving().is_ok_and(|commit| commit == to.commit);
        if serves {
            match live_keys(self.reader.git.top()) {
                Ok(keys) => return Some((before, keys)),
                Err(error) => warnings.push(format!(
                    "the live .env cannot be read ({error}): showing its variables as last recorded"
                )),
            }
        }
        let placed = record(to.seq)?;
        let ended = self.entries().iter().find(|entry| {
            entry.record.seq > placed.record.seq
                && entry.record.event.serves()
                && placed.record.outcome == Outcome::Succeeded
        });
        let since = ended.and_then(|entry| self.recorded_keys(entry));
        Some((before, since.or_else(|| self.recorded_keys(placed))?))
    }

    /// Only a run looks at `.env`.
    fn recorded_keys(&self, entry: &Entry) -> Option<Vec<String>> {
        let evidence: Evidence = ledger::evidence(&self.reader.git, entry).ok()?;
        evidence.run.is_some().then_some(evidence.environment_keys)
    }

    fn state(&self, found: Found) -> Result<State, Failure> {
        let Found { commit, seq, role } = found;
        let git = &self.reader.git;
        if !git.has(&commit) {
            let which = seq.map(|seq| format!("#{seq} is about ")).unwrap_or_default();
            let what = format!("{which}commit {}, which is not in this repository", commit.short());
            return Err(fetching(Failure::unchanged(what)));
        }
        let pattern = self.config.map_or("*-stable", |config| config.stable.pattern.as_str());
        let names = Names::of(git, pattern).map_err(missing)?;
        let served = names.served(git, &commit, None).map_err(missing)?;
        Ok(State { name: served.name, commit, seq, role })
    }
}

/// The commit that a record put in place; where it failed, the one that it tried.
fn tried(entry: &Entry) -> Option<&Oid> {
    let record = &entry.record;
    match record.outcome {
        Outcome::Succeeded => record.to.as_ref().or(record.subject.as_ref()),
        Outcome::Restored | Outcome::Failed => record.subject.as_ref().or(record.to.as_ref()),
    }
}

/// An error of git, with the way to the objects where some are not here.
pub fn missing(error: GitError) -> Failure {
    let objects = matches!(error, GitError::Object { .. });
    let failure = Failure::from(error);
    if objects { fetching(failure) } else { failure }
}
