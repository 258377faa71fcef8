//! Gathers the report of one act: from its record and evidence, from the records around it, and from what this host still
//! has of logs and messages.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::annotate::{AnnotateRequest, annotate_record};
use super::caller::Caller;
use super::failure::Failure;
use super::logs;
use super::outcome::Status;
use super::session::Session;
use crate::engine;
use crate::ledger::{self, Entry};
use crate::model::{CheckEvidence, CheckName, Event, Evidence, Oid, Outcome, Seq, StepEvidence};
use crate::plan::facts::Facts;
use crate::report::diff::{CommitLine, Diff, Question, State, Suspect, compare};
use crate::report::incident::{
    Answered, Blank, CheckLine, CommitBrief, Downtime, Happening, LinkLine, LogPart, Report, Said,
    StepLine, SuspectLine, ToldLine, downtime, to_the_second,
};
use crate::system::text::duration;
use crate::tell::Outbox;

/// So many lines of each log, commits and suspects are in a report.
const LINES: usize = 40;
const COMMITS: usize = 30;
const SUSPECTS: usize = 12;

/// Gathers it: of record `seq`, else of the last run.
///
/// # Errors
/// When there is no such record, or the repository cannot be read.
pub fn report(caller: &Caller, seq: Option<Seq>) -> Result<Report, Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    let own = facts.own(&session.site);
    let entry = find(own, seq)?;
    let evidence = ledger::evidence(&session.site.git, entry)?;
    let gathering = Gathering { session: &session, facts: &facts, own, entry, evidence: &evidence };
    Ok(gathering.report())
}

fn find(own: &[Entry], seq: Option<Seq>) -> Result<&Entry, Failure> {
    let found = match seq {
        Some(seq) => own.iter().find(|entry| entry.record.seq == seq),
        None => own.iter().rev().find(|entry| entry.record.plan.is_some()),
    };
    found.ok_or_else(|| {
        let what = match seq {
            Some(seq) => format!("there is no record #{seq} of this host"),
            None => "no run is recorded here yet".to_owned(),
        };
        Failure::unchanged(what).next("gitroll log", "shows the records")
    })
}

/// The page on which a person writes what only people know of a record, with what was written already.
///
/// # Errors
/// As [`report`].
pub fn page(caller: &Caller, seq: Seq) -> Result<String, Failure> {
    let report = report(caller, Some(seq))?;
    Ok(Blank::page(&report.blanks, &format!("#{seq}: {}", report.title)))
}

/// Records what a person wrote on the page of a record, if it says more than before.
///
/// # Errors
/// When nothing was written, or it cannot be recorded.
pub fn save(caller: &Caller, seq: Seq, before: &str, page: &str) -> Result<Option<Entry>, Failure> {
    let Some(reason) = Blank::recorded(page) else {
        return Err(Failure::new(Status::Usage, "nothing was written").and_nothing_changed());
    };
    if Blank::recorded(before).as_ref() == Some(&reason) {
        return Ok(None);
    }
    let request = AnnotateRequest { record: Some(seq.to_string()), reason };
    annotate_record(caller, &request).map(Some)
}

struct Gathering<'a> {
    session: &'a Session,
    facts: &'a Facts,
    own: &'a [Entry],
    entry: &'a Entry,
    evidence: &'a Evidence,
}

impl Gathering<'_> {
    fn report(&self) -> Report {
        let Self { session, facts, entry, evidence, .. } = self;
        let record = &entry.record;
        let place = session.place();
        let took = Duration::try_from(evidence.finished.duration_since(evidence.started));
        let wanted = record.to.as_ref().or(record.subject.as_ref());
        let diff = self.diff();
        let (commits, more_commits) = diff.as_ref().map(commits).unwrap_or_default();
        let written = self.annotations().filter_map(|one| one.record.reason.as_deref());
        let written = written.filter(|text| Blank::is_filled_by(text)).last();
        Report {
            app: place.app.to_string(),
            environment: place.environment.to_string(),
            host: place.host,
            record: record.seq,
            digest: entry.digest,
            title: record.sentence.clone(),
            act: record.event.to_string(),
            outcome: record.outcome.as_str().to_owned(),
            from: record.from.as_ref().map(|commit| self.name(commit)),
            to: wanted.map(|commit| self.name(commit)),
            who: evidence.actor.clone(),
            signed_by: format!("{} <{}>", entry.tagger.name, entry.tagger.email),
            verified: true,
            reasons: self.reasons(),
            failure: evidence.failure.clone(),
            started: evidence.started,
            finished: evidence.finished,
            took: duration(took.unwrap_or_default()),
            downtime: self.downtime(),
            timeline: self.timeline(),
            steps: steps(evidence),
            checks: checks(evidence),
            suspects: diff.as_ref().map(suspects).unwrap_or_default(),
            commits_title: diff
                .as_ref()
                .map(|diff| format!("What came with {}", diff.to.name))
                .unwrap_or_default(),
            commits,
            more_commits,
            logs: self.logs(),
            notes: notes(evidence),
            approvals: self.approvals(),
            messages: self.messages(),
            blanks: Blank::all(written),
            links: facts
                .accepted
                .config
                .links
                .iter()
                .map(|(name, url)| LinkLine { name: name.clone(), url: url.clone() })
                .collect(),
        }
    }

    fn name(&self, commit: &Oid) -> String {
        let served = self.facts.names.served(&self.session.site.git, commit, None);
        served.map_or_else(|_| commit.short().to_owned(), |served| served.to_string())
    }

    fn annotations(&self) -> impl Iterator<Item = &Entry> {
        self.own.iter().filter(|one| one.record.annotates == Some(self.entry.digest))
    }

    fn reasons(&self) -> Vec<Said> {
        let reason = self
            .entry
            .record
            .reason
            .iter()
            .map(|text| Said { who: self.evidence.actor.clone(), text: text.clone() });
        let added = self.annotations().filter_map(|one| {
            let text = one.record.reason.clone().filter(|text| !Blank::is_filled_by(text))?;
            Some(Said { who: one.tagger.name.clone(), text })
        });
        reason.chain(added).collect()
    }

    fn approvals(&self) -> Vec<Said> {
        let plan = self.entry.record.plan;
        let approves = |one: &&Entry| {
            one.record.event == Event::Approve && plan.is_some() && one.record.plan == plan
        };
        let all = self.facts.ledger.chains.values().flat_map(|chain| &chain.entries);
        let said = all.filter(approves).map(|one| Said {
            who: one.tagger.name.clone(),
            text: one.record.reason.clone().unwrap_or_else(|| one.record.sentence.clone()),
        });
        said.collect()
    }

    /// The records of one story with this: those before it, back to the first that was begun while what served was
    /// failing, or that left it failing.
    fn story(&self) -> Vec<(&Entry, Evidence)> {
        let acts = self.own.iter().filter(|one| one.record.seq < self.entry.record.seq);
        let mut story = vec![(self.entry, self.evidence.clone())];
        for one in acts.rev().filter(|one| one.record.plan.is_some()) {
            let Ok(evidence) = ledger::evidence(&self.session.site.git, one) else { break };
            if !failing(&story[0].1) || one.record.outcome == Outcome::Succeeded {
                break;
            }
            story.insert(0, (one, evidence));
        }
        story
    }

    fn downtime(&self) -> Option<Downtime> {
        let story = self.story();
        let (first, evidence) = story.iter().find(|(_, evidence)| failing(evidence))?;
        let served = self.entry.record.outcome == Outcome::Succeeded;
        let proven = self.evidence.witnessed.as_ref().map(|seen| seen.at);
        let to = proven.filter(|_| served).or(served.then_some(self.evidence.finished));
        Some(downtime(evidence.started, to, first.record.seq))
    }

    fn timeline(&self) -> Vec<Happening> {
        let mut timeline = Vec::new();
        let mut add =
            |at: Timestamp, what: String| timeline.push(Happening { at: to_the_second(at), what });
        let story = self.story();
        if let Some(from) = &story[0].0.record.from {
            let placed = self.own.iter().rev().find(|one| {
                one.record.to.as_ref() == Some(from) && one.record.seq < story[0].0.record.seq
            });
            if let Some(placed) = placed {
                let at = ledger::evidence(&self.session.site.git, placed).map(|one| one.finished);
                let what = format!(
                    "{} served from here on ({} #{})",
                    self.name(from),
                    placed.record.event,
                    placed.record.seq
                );
                add(at.unwrap_or(placed.tagger.time), what);
            }
        }
        for (entry, evidence) in &story {
            let record = &entry.record;
            let faults = faults(evidence);
            if !faults.is_empty() {
                add(evidence.started, format!("what served was failing: {}", faults.join("; ")));
            }
            let to = record.to.as_ref().or(record.subject.as_ref()).map(|commit| self.name(commit));
            let act = match &to {
                Some(to) => format!("{} to {to}", record.event),
                None => record.event.to_string(),
            };
            add(evidence.started, format!("{act} began (#{})", record.seq));
            if let Some(failure) = &evidence.failure {
                add(evidence.finished, format!("it failed: {failure}"));
            }
            let from = record.from.as_ref().map(|commit| self.name(commit)).unwrap_or_default();
            let (at, what) = match (record.outcome, &evidence.witnessed) {
                (Outcome::Succeeded, Some(seen)) => {
                    (seen.at, format!("observed serving: {}", to.unwrap_or_default()))
                }
                (Outcome::Succeeded, None) => (evidence.finished, "it was done".to_owned()),
                (Outcome::Restored, _) => {
                    (evidence.finished, format!("{from} was restored and observed serving"))
                }
                (Outcome::Failed, _) => {
                    (evidence.finished, "it ended, and nothing healthy served".to_owned())
                }
            };
            add(at, what);
        }
        for message in self.messages() {
            add(message.at, format!("{} was told: {}", message.channel, message.event));
        }
        for said in self.annotations() {
            let (who, text) =
                (&said.tagger.name, said.record.reason.as_deref().unwrap_or_default());
            let text = if Blank::is_filled_by(text) { "filled in the report" } else { text };
            add(said.tagger.time, format!("{who}: {text}"));
        }
        timeline.sort_by_key(|one| one.at);
        timeline
    }

    /// From the version that is not at fault to the one that may be.
    fn diff(&self) -> Option<Diff> {
        let record = &self.entry.record;
        let (from, to) = match (&record.event, record.outcome) {
            (Event::Back | Event::Component, Outcome::Succeeded) => (&record.to, &record.from),
            (_, Outcome::Succeeded) => (&record.from, &record.to),
            _ => (&record.from, &record.subject),
        };
        let state = |commit: &Oid| State {
            commit: commit.clone(),
            name: self.name(commit),
            seq: None,
            role: "named".to_owned(),
        };
        let (from, to) = (state(from.as_ref()?), state(to.as_ref()?));
        let question = Question {
            from,
            to,
            config: Some(&self.facts.accepted.config),
            component: None,
            held: self.facts.history.holds(),
            keys: None,
        };
        compare(&self.session.site.git, question).ok().filter(|diff| !diff.same)
    }

    fn logs(&self) -> Vec<LogPart> {
        let kept = self.evidence.steps.iter().filter(|step| !step.output.is_empty());
        let kept = kept.map(|step| LogPart {
            source: format!("{} (kept in the record)", step.step),
            lines: step.output.clone(),
            note: None,
        });
        let config = &self.facts.accepted.config;
        let services: Vec<_> = config.services.iter().collect();
        let span = Some(logs::around(self.evidence));
        let now = logs::of_services(self.session, self.facts, &services, LINES, span);
        let now = now.into_iter().map(|log| LogPart {
            source: match log.place {
                Some(place) => format!("{}: {place}", log.service),
                None => log.service,
            },
            lines: log.lines,
            note: log.problem.or(log.note),
        });
        kept.chain(now).filter(|log| !log.lines.is_empty() || log.note.is_some()).collect()
    }

    fn messages(&self) -> Vec<ToldLine> {
        let Some(run) = &self.evidence.run else { return Vec::new() };
        let sent = Outbox::of(&self.session.site.state()).sent().into_iter();
        let of_run = sent.filter(|one| one.run.as_deref() == Some(run.as_str()));
        of_run
            .map(|one| ToldLine {
                at: one.at,
                channel: one.channel,
                kind: one.kind,
                event: one.event,
                answer: one.answer,
            })
            .collect()
    }
}

/// Whether what served was seen failing before the act.
fn failing(evidence: &Evidence) -> bool {
    !evidence.faults_before.is_empty() || evidence.baseline.iter().any(|check| check.failed())
}

fn faults(evidence: &Evidence) -> Vec<String> {
    if !evidence.faults_before.is_empty() {
        return evidence.faults_before.clone();
    }
    let failed = evidence.baseline.iter().filter(|check| check.failed());
    failed.map(|check| format!("{} {}", check.check, check.last.told())).collect()
}

fn steps(evidence: &Evidence) -> Vec<StepLine> {
    let line = |step: &StepEvidence| StepLine {
        step: step.step.clone(),
        result: step.result.clone(),
        took: duration(Duration::from_millis(step.millis)),
    };
    evidence.steps.iter().map(line).collect()
}

fn checks(evidence: &Evidence) -> Vec<CheckLine> {
    let mut names: Vec<_> = evidence.baseline.iter().map(|check| &check.check).collect();
    names.extend(evidence.checks.iter().map(|check| &check.check));
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    let of = |all: &[CheckEvidence], name: &CheckName| {
        all.iter().find(|check| check.check == *name).and_then(Answered::of)
    };
    let line = |name: &CheckName| CheckLine {
        check: name.to_string(),
        before: of(&evidence.baseline, name),
        after: of(&evidence.checks, name),
    };
    names.into_iter().map(line).collect()
}

fn commits(diff: &Diff) -> (Vec<CommitBrief>, usize) {
    let line = |commit: &CommitLine| CommitBrief {
        id: commit.id.short().to_owned(),
        subject: commit.subject.clone(),
        author: commit.author.name.clone(),
    };
    let all = &diff.commits.gained_commits;
    let shown: Vec<CommitBrief> = all.iter().take(COMMITS).map(line).collect();
    let more = diff.commits.gained.saturating_sub(shown.len());
    (shown, more)
}

fn suspects(diff: &Diff) -> Vec<SuspectLine> {
    let line = |suspect: &Suspect| SuspectLine {
        what: match (&suspect.from, &suspect.to) {
            (Some(from), Some(to)) => format!("{} {from} → {to}", suspect.what),
            _ => suspect.what.clone(),
        },
        why: suspect.why.clone(),
    };
    diff.suspects.iter().take(SUSPECTS).map(line).collect()
}

fn notes(evidence: &Evidence) -> Vec<String> {
    let skipped = evidence.skipped.iter().map(|one| format!("skipped {}: {}", one.name, one.why));
    let saved =
        evidence.saved.iter().map(|one| format!("{} is saved in .git/{}", one.path, one.saved));
    let watchdog = engine::by_watchdog(evidence).then(|| "the watchdog finished it".to_owned());
    let all = evidence.decisions.iter().cloned().chain(skipped).chain(saved);
    all.chain(evidence.warnings.iter().cloned())
        .chain(evidence.weak.clone())
        .chain(watchdog)
        .collect()
}
