//! Commands of the team's own: what they are told, how they run, and those that are no step of the plan because they
//! come once it is known how the run ended.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::entry::{Entry, RunResult};
use super::error::{EngineError, StepError};
use super::run::{Run, hidden_flags};
use crate::model::{Event, HookMoment, HookStep, Narration, Narrator, Redactor, Served};
use crate::site::Site;
use crate::system::process::{Invocation, telling_lines};
use crate::system::signals::{self, Until};
use crate::system::{clock, failpoint};

/// How many lines of a command's output are kept.
const LINES: usize = 20;

/// How much of a stream is looked at for them, in bytes.
const KEPT: usize = 256 * 1024;

/// What came of a command, secrets removed.
struct Ran {
    /// The command itself, then the lines of its output that say most.
    output: Vec<String>,
    /// Why it failed, where it did.
    problem: Option<String>,
}

/// Runs a command that is a step of the plan; what it said, secrets removed.
pub(super) fn perform(site: &Site, run: &Run, hook: &HookStep) -> Result<Vec<String>, StepError> {
    let Ran { output, problem } = ran(site, run, hook, None, Until::Stopped);
    match (problem, signals::stop_asked()) {
        (None, _) => Ok(output),
        (Some(_), Some(signal)) => Err(StepError::Interrupted(signal)),
        (Some(problem), None) => {
            let moment = hook.moment.as_str();
            let lines = output.into_iter().map(|line| (moment.to_owned(), line)).collect();
            Err(StepError::Hook { problem, lines })
        }
    }
}

/// Runs the commands of a run that ended so, each once and journalled as a step is. What fails is a warning. Of an act
/// that goes on with another run nothing is run.
///
/// # Errors
/// When it cannot be journalled, or the accepted configuration cannot be read.
pub(super) fn at_end(
    site: &Site,
    run: &mut Run,
    result: RunResult,
    narrator: &mut Narrator<'_>,
) -> Result<(), EngineError> {
    let moments: &[HookMoment] = match (result, &run.plan.event) {
        (RunResult::Proven, Event::Back) => &[HookMoment::AfterProven, HookMoment::AfterBack],
        (RunResult::Proven, _) => &[HookMoment::AfterProven],
        _ => &[HookMoment::OnFailed],
    };
    let accepted = &run.configs()?.1.hooks;
    let hooks: Vec<HookStep> = moments.iter().flat_map(|moment| accepted.at(*moment)).collect();
    for hook in hooks {
        let (begun, ended) = so_far(run, &hook, result);
        if ended {
            continue;
        }
        let HookStep { moment, number, .. } = hook;
        let label = hook.label();
        let begin = Instant::now();
        let what = if begun && !hook.idempotent {
            let problem =
                "was interrupted, and is not run again: [hooks] idempotent does not name it";
            Ran { output: Vec::new(), problem: Some(problem.to_owned()) }
        } else {
            run.journal.write(Entry::HookBegun { moment, number, result }, clock::now())?;
            narrator(Narration::Begin { step: label.clone() });
            // Who stopped the run wants to hear that it failed; one more signal ends this too.
            let failed = moment == HookMoment::OnFailed;
            let until = if failed { Until::Left } else { Until::Stopped };
            let place = |when: &str| failpoint::pass(&format!("{label} {when}"));
            match place("before") {
                Ok(()) => ran(site, run, &hook, Some(result), until),
                Err(error) => Ran { output: Vec::new(), problem: Some(error.to_string()) },
            }
        };
        let took = begin.elapsed();
        let warnings: Vec<String> =
            what.problem.iter().map(|problem| format!("{label}: {problem}")).collect();
        match what.problem {
            None => narrator(Narration::Done { step: label.clone(), took }),
            Some(what_failed) => {
                let lines =
                    what.output.iter().map(|line| (moment.as_str().to_owned(), line.clone()));
                let (step, what) = (label.clone(), what_failed);
                narrator(Narration::Failed { step, what, lines: lines.collect() });
            }
        }
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (output, label) = (what.output, label);
        let entry = Entry::HookEnded { moment, number, result, label, millis, output, warnings };
        run.journal.write(entry, clock::now())?;
    }
    Ok(())
}

/// Whether a command was begun for this end of the run, and whether it ended.
fn so_far(run: &Run, hook: &HookStep, wanted: RunResult) -> (bool, bool) {
    let same = |moment: &HookMoment, number: &usize, result: &RunResult| {
        (*moment, *number, *result) == (hook.moment, hook.number, wanted)
    };
    let lines = || run.journal.lines().iter();
    let begun = lines().any(|line| match &line.entry {
        Entry::HookBegun { moment, number, result } => same(moment, number, result),
        _ => false,
    });
    let ended = lines().any(|line| match &line.entry {
        Entry::HookEnded { moment, number, result, .. } => same(moment, number, result),
        _ => false,
    });
    (begun, ended)
}

/// Runs one command at the top of the tree, in a process group of its own that ends with it.
fn ran(site: &Site, run: &Run, hook: &HookStep, result: Option<RunResult>, until: Until) -> Ran {
    let redactor = redactor(site, run);
    let mut output = vec![format!("$ {}", redactor.text(&hook.run.join(" ")))];
    let (program, args) = hook.run.split_first().map_or(("", &[][..]), |(p, args)| (p, args));
    let invocation = Invocation {
        args: args.iter().map(Into::into).collect(),
        env: environment(site, run, hook, result),
        limit: hook.limit(),
        until,
        most_output: KEPT,
        pid_file: Some(note(site, run)),
        ..Invocation::new(program, site.top())
    };
    match invocation.run() {
        Err(error) => Ran { output, problem: Some(error.to_string()) },
        Ok(finished) => {
            let said = [finished.stdout.as_slice(), b"\n", finished.stderr.as_slice()].concat();
            output.extend(telling_lines(redactor.output(&said).as_bytes(), LINES));
            Ran { output, problem: finished.problem(hook.limit()) }
        }
    }
}

/// The secrets of both configurations, and those that the run sets flags to and from.
fn redactor(site: &Site, run: &Run) -> Redactor {
    let flags = hidden_flags(site, &run.id).redactor();
    let Ok((after, before)) = run.configs() else { return flags };
    site.redactor(after).and(site.redactor(before)).and(flags)
}

/// Nothing of whoever called this program, as for services, and what the run is about.
fn environment(
    site: &Site,
    run: &Run,
    hook: &HookStep,
    result: Option<RunResult>,
) -> BTreeMap<OsString, OsString> {
    let plan = &run.plan;
    // What was left is what served when the act began, not a candidate of it that failed.
    let first = run.follows().first().and_then(|first| Run::open(site, first).ok());
    let from = first.map_or_else(|| plan.from.clone(), |first| first.plan.from);
    let version = |served: &Served| served.version.clone().unwrap_or_else(|| served.name.clone());
    let in_place = match (hook.moment, result) {
        (HookMoment::BeforeDeploy, _) | (_, Some(RunResult::Untouched | RunResult::Restored)) => {
            &plan.from
        }
        _ => &plan.to,
    };
    let mut told = vec![
        ("HOOK", hook.moment.as_str().to_owned()),
        ("APP", plan.app.to_string()),
        ("ENVIRONMENT", plan.environment.to_string()),
        ("ACT", plan.event.to_string()),
        ("FROM_COMMIT", from.commit.to_string()),
        ("FROM_VERSION", version(&from)),
        ("TO_COMMIT", plan.to.commit.to_string()),
        ("TO_VERSION", version(&plan.to)),
        ("REASON", plan.recorded.reason.clone().unwrap_or_default()),
    ];
    if let Some(result) = result {
        told.push(("RESULT", result.as_str().to_owned()));
        if hook.moment == HookMoment::OnFailed {
            told.push(("FAILURE", run.first_failure()));
        }
        if let Some(seq) = next_record(site).filter(|_| result.is_recorded()) {
            told.push(("RECORD", seq.to_string()));
        }
    }
    let mut environment = site.host(in_place, run.id.as_str()).command_environment();
    environment.insert("GITROLL_HOME".into(), site.binding.dir.clone().into());
    environment.extend(told.into_iter().map(|(name, value)| {
        // No variable can hold a zero byte.
        (format!("GITROLL_{name}").into(), value.replace('\0', "").into())
    }));
    environment
}

/// The number that the next record of this chain gets.
fn next_record(site: &Site) -> Option<u64> {
    let ledger = site.ledger().ok()?;
    let last = ledger.chains.get(&site.binding.writer)?.entries.last()?;
    Some(last.record.seq.0 + 1)
}

/// Where the process of a command is noted while it runs.
pub(super) fn note(site: &Site, run: &Run) -> PathBuf {
    site.run_dir(&run.id).join("hook.process")
}

/// How long a command that outlived this program may go on: as long as any of the run may.
pub(super) fn limit(run: &Run) -> Duration {
    run.configs().map_or(Duration::from_secs(60), |(_, accepted)| accepted.hooks.timeout)
}
