//! `gitroll status`

use std::collections::BTreeMap;

use clap::Args;

mod answer;
mod open;
mod prometheus;

pub use answer::StatusAnswer;
use answer::{BackTo, HeldLine, KilledCommand, ServiceLine, SkippedTarget, Upstream};
use open::OpenRun;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use super::service::maintenance_words;
use super::session::Session;
use crate::act::diagnosis;
use crate::act::incident::WatchAnswer;
use crate::act::notify;
use crate::act::parts::parts;
use crate::act::watchdog::FinishedRun;
use crate::component;
use crate::config::{self, CheckKind, Config, Prove};
use crate::diagnosis::Health;
use crate::engine::{self, Course, Lying, Run};
use crate::ledger::{self, Held};
use crate::model::{CheckName, Event, Hold, Outcome, RepoPath, Seq, Served};
use crate::plan::candidates;
use crate::plan::facts::Facts;
use crate::plan::{estimate, holds};
use crate::site::{Observed, maintenance};
use crate::target::{Needed, Standing};
use crate::ui::{Ui, ago, clock_word, escape, plural, span};

/// How many of the versions that `back` passes over are named.
const SKIPPED_SHOWN: usize = 3;

/// Show what serves, whether it is healthy, and where `back` would go
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  gitroll status
  gitroll status --json | jq -e .result.healthy
  gitroll status --prometheus > gitroll.prom    for node_exporter

status changes nothing. It exits 0 even if what serves is not healthy; use `gitroll check` for an exit code.")]
pub struct StatusArgs {
    /// Print metrics for node_exporter's textfile collector
    #[arg(long)]
    prometheus: bool,
}

/// Runs it.
///
/// # Errors
/// When the repository or the own chain cannot be read.
pub fn run(globals: &Globals, ui: &Ui, args: &StatusArgs) -> Result<Exit, Failure> {
    if args.prometheus && ui.json {
        return Err(Failure::new(Status::Usage, "--prometheus prints metrics, not JSON"));
    }
    let session = Session::glance(globals, ui)?;
    let facts = session.facts()?;
    let (open, damaged) = match engine::open_runs(&session.site) {
        Ok(runs) => (runs, None),
        Err(error) if error.damaged_run().is_some() => (Vec::new(), Some(error)),
        Err(error) => return Err(error.into()),
    };
    let mut answer = look(&session, &facts, &open)?;
    answer.damaged_run = damaged.as_ref().map(ToString::to_string);
    match args.prometheus {
        true => ui.raw(prometheus::page(&answer, promoted(&session, &facts), facts.now).as_bytes()),
        false => print(&session, &facts, &answer),
    }
    let exit = match damaged {
        None => Exit::Done,
        Some(error) => {
            let failure = Failure::from(error);
            failure.tell(ui);
            failure.exit()
        }
    };
    ui.document("status", exit.code(), &answer);
    Ok(exit)
}

/// When a version was promoted to stable last on this host.
fn promoted(session: &Session, facts: &Facts) -> Option<jiff::Timestamp> {
    let promotes = |entry: &&ledger::Entry| {
        entry.record.event == Event::Promote && entry.record.outcome == Outcome::Succeeded
    };
    facts.own(&session.site).iter().rev().find(promotes).map(|entry| entry.tagger.time)
}

fn look(session: &Session, facts: &Facts, open: &[engine::Run]) -> Result<StatusAnswer, Failure> {
    let site = &session.site;
    let seen = see(session, facts, open.last())?;
    let serving = seen.serves.clone().unwrap_or_else(|| facts.serving.clone());
    let known = seen.serves.as_ref().and(facts.standing.as_ref());
    let standing = known.filter(|s| s.commit == serving.commit);
    let all = candidates::gather(site, facts);
    let back = diagnosis::last_good(&all, !seen.observed.healthy())?;
    let back = back.filter(|_| open.is_empty());
    let diagnosis = diagnosis::of(session, facts, &seen.observed, open)?;
    let back_to = back.and_then(|found| {
        let build = match found.chosen.build {
            Needed::Build(groups) => groups,
            _ => Vec::new(),
        };
        let about = estimate::about(site, facts, &build);
        let skipped = found.skipped.iter().filter_map(|candidate| match &candidate.standing {
            Standing::Skipped(reason) => {
                Some(SkippedTarget { name: candidate.name.clone(), why: reason.to_string() })
            }
            _ => None,
        });
        Some(BackTo {
            skipped: skipped.collect(),
            name: found.chosen.name,
            commit: found.chosen.commit?,
            about_millis: about.and_then(|time| u64::try_from(time.as_millis()).ok()),
            build,
        })
    });
    let seen_well = seen.observed.healthy();
    let mut held = Vec::new();
    for hold in facts.history.holds() {
        let known = site.git.has(&hold.subject);
        held.push(HeldLine {
            name: if known {
                facts.names.served(&site.git, &hold.subject, None)?.name
            } else {
                hold.subject.short().to_owned()
            },
            commit: hold.subject.clone(),
            component: match &hold.hold {
                Hold::Component { id, .. } => Some(id.clone()),
                Hold::Commit => None,
            },
            seq: hold.seq,
            by: held_by(session, facts, hold),
            at: hold.at,
            reason: hold.reason.clone().or_else(|| {
                let added = facts.history.added_reasons(&hold.digest);
                added.last().map(|added| added.text.clone())
            }),
        });
    }
    Ok(StatusAnswer {
        app: site.binding.app.to_string(),
        environment: site.binding.environment.to_string(),
        writer: site.binding.writer.to_string(),
        record: standing.map(|s| s.seq),
        since: standing.map(|s| s.since),
        proven: seen.serves.is_some()
            && seen.doubt.is_none()
            && seen.weak.is_none()
            && diagnosis.health != Health::Doubtful
            && proven(facts, &serving, open.first()),
        weak: seen.weak,
        doubt: match diagnosis.health {
            Health::Doubtful => diagnosis.why.first().cloned(),
            _ => seen.doubt,
        },
        // A run that is open put it there.
        never_started: facts.never_started().filter(|_| open.is_empty()).cloned(),
        serving,
        told: seen.serves.is_some(),
        healthy: seen.observed.healthy(),
        services: services(&seen.observed),
        strangers: seen.observed.strangers.iter().map(ToString::to_string).collect(),
        checks: seen.observed.checks,
        asked: asked(&facts.accepted.config),
        edited: seen.edited,
        parts: parts(site, facts)?.into_iter().filter(|part| !part.is_as_released()).collect(),
        back_to,
        held,
        upstream: upstream(session, facts)?,
        open_runs: open.iter().map(|run| OpenRun::of(session, facts, run)).collect(),
        damaged_run: None,
        finished_by_watchdog: FinishedRun::lately(&session.site, facts.now),
        killed: engine::AtWork::killed(site).map(|killed| KilledCommand {
            leftovers: !open.is_empty() || killed.leaves_something(site),
            ended: killed.ended,
            command: killed.command,
            since: killed.since,
        }),
        unpublished: unpublished(session, facts),
        unsigned: engine::queued(site).len(),
        watch: WatchAnswer::of(site),
        maintenance: maintenance(site),
        help: match seen_well && open.is_empty() {
            true => Vec::new(),
            false => notify::help(&facts.accepted.config)
                .into_iter()
                .map(|(label, text)| format!("{label}  {text}"))
                .collect(),
        },
        diagnosis,
    })
}

/// What each check asks, for whoever wants to ask it by hand.
fn asked(config: &Config) -> BTreeMap<CheckName, String> {
    let asked = config.checks.iter().filter_map(|check| {
        let place = match &check.kind {
            CheckKind::Http(http) => http.url.split('?').next().unwrap_or_default().to_owned(),
            CheckKind::Tcp(tcp) => format!("{}:{}", tcp.host, tcp.port),
            _ => return None,
        };
        Some((check.name.clone(), place))
    });
    asked.collect()
}

/// Who held it: whoever was logged in, and whose key signed that where it is another's.
fn held_by(session: &Session, facts: &Facts, hold: &Held) -> String {
    let site = &session.site;
    let own = facts.own(site).iter().find(|entry| entry.digest == hold.digest);
    let evidence = own.and_then(|entry| ledger::evidence(&site.git, entry).ok());
    match evidence.map(|evidence| evidence.actor).filter(|actor| *actor != hold.by) {
        Some(actor) => format!("{actor}, with the key of {}", hold.by),
        None => hold.by.clone(),
    }
}

/// Whether a run observed it serving here: one that is over, or the open one.
fn proven(facts: &Facts, serving: &Served, open: Option<&Run>) -> bool {
    let now = open.filter(|run| run.course() == Course::Proven);
    facts.history.proven_here(&serving.commit)
        || now.is_some_and(|run| run.plan.to.commit == serving.commit)
}

fn services(observed: &Observed) -> Vec<ServiceLine> {
    observed
        .services
        .iter()
        .map(|(name, state)| match state {
            Ok(state) => ServiceLine {
                service: name.clone(),
                state: state.word.clone(),
                up: state.up,
                pids: state.processes.iter().map(|p| p.pid).collect(),
            },
            Err(error) => ServiceLine {
                service: name.clone(),
                state: error.to_string(),
                up: false,
                pids: Vec::new(),
            },
        })
        .collect()
}

fn upstream(session: &Session, facts: &Facts) -> Result<Option<Upstream>, Failure> {
    let git = &session.site.git;
    let Some(upstream) = &facts.accepted.config.deploy.upstream else { return Ok(None) };
    let name = format!("{}/{}", upstream.remote, upstream.branch);
    let Some(tip) = git.find_ref(&format!("refs/remotes/{name}"))? else { return Ok(None) };
    let holding = holds::holding(&session.site, facts, &tip)?;
    let contents = component::held_in(git, &facts.held_contents, &tip)?;
    Ok(Some(Upstream {
        name,
        ahead: git.distance(&facts.head.commit, &tip)?,
        holds: holding.first().map(|held| held.subject.clone()),
        held_components: contents.iter().map(|found| found.component.id.to_string()).collect(),
    }))
}

fn unpublished(session: &Session, facts: &Facts) -> Option<u64> {
    let remote = &facts.accepted.config.remote.name;
    if !session.site.git.remotes().contains(remote) {
        return None;
    }
    let own = facts.own(&session.site);
    let published = engine::published_head(&session.site)
        .and_then(|head| own.iter().find(|entry| entry.commit == head))
        .map_or(0, |entry| entry.record.seq.0);
    Some(own.len() as u64 - published.min(own.len() as u64))
}

fn print(session: &Session, facts: &Facts, answer: &StatusAnswer) {
    let ui = &session.ui;
    let style = &ui.out;
    let dot = style.dot();
    let now = facts.now;
    let field = |name: &str, value: &str| ui.line(&format!("  {name:<9} {value}"));
    let host = engine::host_name(&answer.writer);
    ui.line(&format!("{} {dot} {} {dot} {host}", answer.app, answer.environment));
    field("serving", &serving_words(ui, answer, now));
    if let Some(tree) = answer.open_runs.last().and_then(|run| run.tree_words(facts)) {
        field("tree", &escape(&tree));
    }
    if let Some(head) = &answer.never_started {
        let sign = style.yellow("!");
        field("tree", &format!("{sign} {}", never_started(head)));
    }
    field("observed", &observed_words(ui, answer));
    if let Some(maintenance) = &answer.maintenance {
        field("silenced", &maintenance_words(maintenance, now));
    }
    // If nobody knows that what answers is what should, the line of what serves says so.
    if answer.diagnosis.health != Health::Doubtful {
        for (label, text) in super::diagnosis::fields(&answer.diagnosis, now) {
            field(label, &text);
        }
    }
    for line in &answer.help {
        let (label, text) = line.split_once("  ").unwrap_or(("", line));
        field(label, &escape(text));
    }
    for (index, part) in answer.parts.iter().enumerate() {
        let label = if index == 0 { "parts" } else { "" };
        let words = part.words().unwrap_or_default();
        field(label, &escape(&format!("{}: {words}", part.component)));
    }
    field(
        "back to",
        &match &answer.back_to {
            Some(back) => {
                let build = match back.build.as_slice() {
                    [] => "no build".to_owned(),
                    groups => format!("builds {}", groups.join(", ")),
                };
                let about = back
                    .about_millis
                    .map(|millis| format!(" {dot} about {} s", (millis / 1000).max(1)));
                let about = about.unwrap_or_default();
                let (name, commit) = (escape(&back.name), back.commit.short());
                match &answer.diagnosis.back_doubted {
                    Some(why) => format!("{name}  {commit} {dot} may not help: {}", escape(why)),
                    None => format!("{name}  {commit} {dot} {build}{about}"),
                }
            }
            None if !answer.open_runs.is_empty() => {
                "unknown until the open run is finished".to_owned()
            }
            None => "no version: gitroll targets shows why".to_owned(),
        },
    );
    let skipped = answer.back_to.iter().flat_map(|back| &back.skipped);
    for skipped in skipped.take(SKIPPED_SHOWN) {
        field("", &escape(&format!("passes over {}: {}", skipped.name, skipped.why)));
    }
    let mut shown = Vec::new();
    for held in answer.held.iter().rev() {
        if shown.contains(&(&held.commit, &held.component)) {
            continue;
        }
        shown.push((&held.commit, &held.component));
        let when = clock_word(held.at, now);
        let (name, by) = (escape(&held.name), escape(&held.by));
        let component = held.component.as_ref().map(|id| format!("{id} of ")).unwrap_or_default();
        let commit = held.commit.short();
        field("held", &format!("{component}{commit} {name}  by {by}, {when} (#{})", held.seq));
        if let Some(reason) = &held.reason {
            field("", &format!("because: {}", escape(reason)));
        }
    }
    if let Some(upstream) = &answer.upstream {
        let mut text = format!("{} +{}", upstream.name, upstream.ahead);
        if let Some(held) = &upstream.holds {
            text.push_str(&format!(", contains held {}", held.short()));
        }
        for id in &upstream.held_components {
            text.push_str(&format!(", contains the held version of {id}"));
        }
        field("upstream", &text);
    }
    for (label, text) in super::watch::lines(ui, &answer.watch) {
        field(label, &text);
    }
    let mut runs = match (&answer.damaged_run, answer.open_runs.last()) {
        (Some(_), _) => format!("{} one run is damaged and may be open: see below", style.bad()),
        (None, None) => "none open".to_owned(),
        (None, Some(run)) => run.line(),
    };
    if let Some(count) = answer.unpublished.filter(|count| *count > 0) {
        runs.push_str(&format!(" {dot} {} unpublished", plural(count as usize, "record")));
    }
    if answer.unsigned > 0 {
        runs.push_str(&format!(" {dot} {} unsigned", plural(answer.unsigned, "record")));
    }
    field("runs", &runs);
    if let Some(finished) = &answer.finished_by_watchdog {
        field("watchdog", &finished.words(now));
    }
    if let Some(killed) = &answer.killed {
        let what = format!("gitroll {} of {}", killed.command, clock_word(killed.since, now));
        match (killed.ended, killed.leftovers) {
            (true, _) => {
                field("left", &format!("by {what}; the next changing command cleans up"));
            }
            (false, true) => {
                field("killed", &format!("{what}; the next changing command cleans up"));
            }
            // Of a run that nobody can read nobody knows what is left.
            (false, false) if answer.damaged_run.is_some() => field("cut off", &what),
            (false, false) if answer.diagnosis.not_restored.is_some() => {
                field("cut off", &format!("{what}; saved files were not restored yet"));
            }
            (false, false) => field("cut off", &format!("{what}; nothing remains to be done")),
        }
    }
    let Some((run, beneath)) = answer.open_runs.split_last() else {
        return super::diagnosis::tell_next(ui, &answer.diagnosis);
    };
    for run in beneath {
        field("", &format!("after {}", run.line()));
    }
    run.particulars(now, &field);
}

/// What was seen of a host.
struct Seen {
    /// What serves; `None` if a run is open and neither state answers as it should, or nobody can tell which.
    serves: Option<Served>,
    /// The checks and services, as asked of that.
    observed: Observed,
    /// Tracked files with local edits, those that the open run itself has changed left out.
    edited: Vec<RepoPath>,
    /// Why nobody knows whether that is what runs.
    doubt: Option<String>,
    /// Why it was proven weakly only.
    weak: Option<String>,
}

/// What is said of a version that someone checked out without a restart.
pub(super) fn never_started(head: &Served) -> String {
    format!("{head} is checked out by hand but was never started")
}

/// What serves while a run is open neither HEAD nor the records say: the checks do.
///
/// # Errors
/// When the tree cannot be compared.
fn see(session: &Session, facts: &Facts, run: Option<&Run>) -> Result<Seen, Failure> {
    let site = &session.site;
    let deployment = facts.deployment(site);
    let mut edited = site.git.edited(&facts.head.commit)?;
    let Some(run) = run.filter(|run| run.course() != Course::Preparing) else {
        let observed = Observed::now(site, &facts.accepted.config, &facts.serving, &deployment);
        let vouched = facts.vouched(site, &observed.services)?;
        let weak = facts.accepted.config.app.prove == Prove::Weak;
        // Passing checks are enough for what was proven so, not for what someone put beside it.
        let weak = weak && !facts.by_hand();
        let doubt = vouched.doubt(observed.told(), weak).filter(|_| observed.healthy());
        let doubt = doubt.map(str::to_owned);
        edited.extend(facts.changed(site, &facts.serving.commit)?);
        let weak = facts.weakness(site, observed.told())?;
        return Ok(Seen { serves: Some(facts.serving.clone()), observed, edited, doubt, weak });
    };
    let plan = &run.plan;
    let lying = match run.lying() {
        Lying::Before => Some(&plan.from.commit),
        Lying::Target => Some(&plan.to.commit),
        Lying::Between => None,
    };
    if lying != Some(&facts.head.commit) {
        edited.retain(|path| plan.activation.changes.iter().all(|change| change.path != *path));
    }
    let as_before = config::parse(&plan.config_before, "gitroll.toml")
        .map(|config| Observed::now(site, &config, &plan.from, &deployment))?;
    let as_target = config::parse(&plan.config, "gitroll.toml")
        .map(|config| Observed::now(site, &config, &plan.to, run.id.as_str()))?;
    let target = match (as_before.healthy(), as_target.healthy()) {
        (true, false) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
        // Only flags differ.
        (true, true) if plan.from.commit == plan.to.commit => Some(false),
        // No check tells the one from the other: what was not reloaded is what it was.
        (true, true) => match run.course() {
            Course::Proven => Some(true),
            _ if !run.reloaded() => Some(false),
            _ => None,
        },
    };
    let serves = target.map(|target| if target { &plan.to } else { &plan.from }.clone());
    let shown = target.unwrap_or(run.lying() == Lying::Target);
    let observed = if shown { as_target } else { as_before };
    Ok(Seen { serves, observed, edited, doubt: None, weak: None })
}

/// What serves, since when, and by whose word.
fn serving_words(ui: &Ui, answer: &StatusAnswer, now: jiff::Timestamp) -> String {
    let style = &ui.out;
    let open = answer.open_runs.last().filter(|run| run.touches());
    let doubted = answer.doubt.as_ref().filter(|_| answer.open_runs.is_empty());
    let proof = match (answer.told, answer.record, open) {
        (false, ..) if answer.healthy => {
            return "not known: the checks cannot distinguish the two versions".to_owned();
        }
        (false, ..) if !answer.checks.is_empty() && answer.checks.iter().all(|c| c.passed) => {
            let down = answer.services.iter().filter(|service| !service.up);
            let down: Vec<&str> = down.map(|service| service.service.as_str()).collect();
            let down = down.join(", ");
            return format!("{} not known: the checks pass, not seen up: {down}", style.bad());
        }
        (false, ..) => return format!("{} nothing healthy", style.bad()),
        (_, Some(_), _) if let Some(why) = doubted => {
            format!("{} not proven: {}", style.yellow("!"), escape(why))
        }
        (_, Some(seq), _) if answer.proven => proven_words(ui, answer, seq, now),
        (_, Some(_), _)
            if answer.healthy
                && let Some(why) = &answer.weak =>
        {
            format!("{} weak: {}", style.yellow("!"), escape(why))
        }
        (_, Some(seq), _) => format!("not proven by a run, #{seq}"),
        (_, None, Some(run)) if answer.serving.commit == run.to.commit => {
            let sign = if answer.proven { style.ok() } else { style.yellow("!") };
            format!("{sign} {}", run.target_word())
        }
        (_, None, None) if answer.unsigned > 0 => {
            format!("{} its record waits to be signed", style.yellow("!"))
        }
        (_, None, _) => {
            let doubt = doubted.map(|why| format!("; not proven: {}", escape(why)));
            let doubt = doubt.unwrap_or_default();
            format!("{} checked out by hand, not recorded{doubt}", style.yellow("!"))
        }
    };
    let since = answer
        .since
        .map(|since| format!("  since {} ({})", clock_word(since, now), span(ago(since, now))));
    if answer.diagnosis.health == Health::Down && answer.checks.iter().all(|one| !one.passed) {
        let word = format!("{} nothing: {} is checked out", style.bad(), answer.serving);
        return format!("{word}{}  {proof}", since.unwrap_or_default());
    }
    format!("{}{}  {proof}", answer.serving, since.unwrap_or_default())
}

/// That it was proven, and whether it still is as it was then.
fn proven_words(ui: &Ui, answer: &StatusAnswer, seq: Seq, now: jiff::Timestamp) -> String {
    let style = &ui.out;
    let down = answer.services.iter().filter(|service| !service.up);
    let down: Vec<&str> = down.map(|service| service.service.as_str()).collect();
    if !down.is_empty() {
        return format!("{} proven #{seq}, but not up now: {}", style.bad(), down.join(", "));
    }
    let failing = answer.checks.iter().filter(|check| check.failed());
    let failing: Vec<&str> = failing.map(|check| check.check.as_str()).collect();
    if !failing.is_empty() {
        let since = answer.diagnosis.failing_since.as_ref().filter(|since| since.began);
        let since = since.map(|since| format!("since {}", clock_word(since.at, now)));
        let since = since.unwrap_or_else(|| "now".to_owned());
        return format!(
            "{} proven #{seq}, but failing {since}: {}",
            style.bad(),
            failing.join(", ")
        );
    }
    if !answer.strangers.is_empty() {
        return format!("{} proven #{seq}, but not alone on its ports", style.bad());
    }
    format!("{} proven #{seq}", style.ok())
}

/// Checks, services and the tree.
fn observed_words(ui: &Ui, answer: &StatusAnswer) -> String {
    let style = &ui.out;
    let mut words: Vec<String> = Vec::new();
    for check in &answer.checks {
        if check.skipped.is_some() {
            continue;
        }
        words.push(if check.passed {
            format!("{} {} {} ms", check.check, style.ok(), check.last.millis)
        } else {
            let asked = answer.asked.get(&check.check).map(|url| format!(" ({})", escape(url)));
            let (sign, said) = (style.bad(), escape(&check.last.answer));
            format!("{} {sign} {said}{}", check.check, asked.unwrap_or_default())
        });
    }
    for service in &answer.services {
        words.push(if service.up {
            format!(
                "{} {} ({})",
                service.service,
                service.state,
                plural(service.pids.len(), "process").replace("processs", "processes")
            )
        } else {
            format!("{} {} {}", service.service, style.bad(), escape(&service.state))
        });
    }
    words.push(match answer.edited.as_slice() {
        [] => "tree clean".to_owned(),
        [only] => format!("{only} edited"),
        many => format!("{} files edited", many.len()),
    });
    words.join(&format!(" {} ", style.dot()))
}
